"""Volumes and masks from DICOM files, without a guess."""

from ._acquisition import acquisition
from ._errors import (
    AmbiguousSeriesError,
    ColorImageError,
    ConflictingPatientsError,
    CorruptFileError,
    DeclaredSizeError,
    DecoderMissingError,
    DicomError,
    DicomWarning,
    DuplicatePositionError,
    GeometryError,
    InconsistentSeriesError,
    MaskError,
    MissingSlicesError,
    MixedMatrixError,
    MixedOrientationError,
    MixedSpacingError,
    NoImagesError,
    NonUniformSpacingError,
    SUVError,
)
from ._labels import label_volumes
from ._loader import VolumeLoader
from ._masks import load_mask
from ._regions import regions
from ._scan import scan
from ._select import select_regions
from ._series import load_series
from ._volume import Volume

__all__ = [
    "AmbiguousSeriesError",
    "ColorImageError",
    "ConflictingPatientsError",
    "CorruptFileError",
    "DeclaredSizeError",
    "DecoderMissingError",
    "DicomError",
    "DicomWarning",
    "DuplicatePositionError",
    "GeometryError",
    "InconsistentSeriesError",
    "MaskError",
    "MissingSlicesError",
    "MixedMatrixError",
    "MixedOrientationError",
    "MixedSpacingError",
    "NoImagesError",
    "NonUniformSpacingError",
    "SUVError",
    "Volume",
    "VolumeLoader",
    "acquisition",
    "label_volumes",
    "load_mask",
    "load_series",
    "regions",
    "scan",
    "select_regions",
]

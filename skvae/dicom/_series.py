"""Read one series of DICOM images as a volume."""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pydicom

from ._doubts import warn_of_doubts
from ._errors import (
    AmbiguousSeriesError,
    ConflictingPatientsError,
    CorruptFileError,
    DicomWarning,
    InconsistentSeriesError,
    NoImagesError,
    SUVError,
    discreet,
)
from ._geometry import Layout, arrange
from ._headers import (
    Frame,
    claims_dicom,
    is_dicom,
    is_image,
    quiet_pydicom,
    read_frames,
    shown_uid,
)
from ._images import is_image_file, load_image
from ._pixels import check_pixels, decode, units_of
from ._suv import suv_factor
from ._terms import MODALITIES, shown
from ._volume import Volume, hashed

Source = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, Any]


@discreet
def load_series(
    source: Source,
    *,
    series_uid: str | None = None,
    irregular: str = "raise",
    suv: bool = False,
    units: str | None = None,
) -> Volume:
    """Read one series as a volume: DICOM, NIfTI, NRRD or MetaImage.

    Slices are ordered by where they lie along their normal, whatever their names and
    numbers. Each is rescaled by its own slope and intercept. What can't be read without
    a guess is refused; what is read in a special way gives a `DicomWarning`.

    Parameters
    ----------
    source : path, list of paths or row of `scan`
        A folder, read with the folders below it; files; or one row of the table that
        `scan` returns. Files in a folder that are not DICOM images are left out. A
        file .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd is one volume; its axes are taken
        in reverse, so that those of the same series as DICOM are the same.
    series_uid : str, default=None
        SeriesInstanceUID of the series to read, where `source` holds several.
    irregular : {"raise", "interpolate"}, default="raise"
        What to do where slices are missing or unevenly spaced: refuse them, or
        interpolate linearly between those that are there. Slices that lie on the even
        grid stay as they are.
    suv : bool, default=False
        Whether to turn the activity concentrations of PET into standardized uptake
        values by body weight. Other images stay as they are.
    units : str, default=None
        What the values of a file that isn't DICOM are in, since such files don't say.
        None takes "HU" for a row whose "modality" is "CT", and "arbitrary" otherwise.

    Returns
    -------
    volume : Volume
        Values float32 of shape (n_slices, n_rows, n_columns): HU for CT, what "Units"
        says for PET. MONOCHROME1 values without units are inverted, so that what is
        bright has high values. Padding takes the lowest of the other values.

    Warns
    -----
    DicomWarning
        If values may be wrong though they can be read: headers that contradict
        themselves or those of their series, padding in most of the voxels, slices that
        were interpolated, a sheared grid, copies and scouts that were left out.

    Raises
    ------
    DicomError
        Of the kind that says what can't be read, with the file and the attribute:
        `NoImagesError`, `AmbiguousSeriesError`, `ConflictingPatientsError`,
        `MixedOrientationError`, `MixedMatrixError`, `MixedSpacingError`,
        `InconsistentSeriesError`,
        `MissingSlicesError`, `NonUniformSpacingError`, `DuplicatePositionError`,
        `GeometryError`, `CorruptFileError`, `DeclaredSizeError`,
        `DecoderMissingError`, `ColorImageError`, `SUVError`.
    ImportError
        If the file is NIfTI and nibabel is missing, or NRRD or MetaImage and SimpleITK
        is.
    ValueError
        If a parameter is not valid, or `units` are given for DICOM.

    See Also
    --------
    scan : List the volumes in a folder.
    load_mask : Read a mask on the grid of a volume.

    References
    ----------
    NEMA, "DICOM PS3.3: Information object definitions", sections C.7.6.2 (image plane),
    C.7.6.16 (multi-frame functional groups) and C.11.1 (modality LUT),
    https://dicom.nema.org/medical/dicom/current/output/html/part03.html.

    Examples
    --------
    >>> from pydicom.data import get_testdata_file
    >>> from skvae.dicom import load_series
    >>> load_series(get_testdata_file("CT_small.dcm"))
    Volume(1 x 128 x 128, 5 x 0.6615 x 0.6615 mm, HU)
    """
    if irregular not in ("raise", "interpolate"):
        raise ValueError(
            f"`irregular` must be 'raise' or 'interpolate', got {irregular!r}."
        )
    image = image_file_in(source)
    if image is not None:
        return _load_image(image, source, series_uid, suv, units)
    if units is not None:
        raise ValueError("`units` are for files that don't say. DICOM says: leave it.")
    frames = _one_series(frames_of(source) or _refuse_empty(source), series_uid)
    layout = lay_out(frames, irregular)
    warn_of_doubts(layout.frames)
    array = _on_grid(decode(layout.frames), layout)
    _warn_of_interpolation(layout)
    units = units_of(frames[0])
    if suv and frames[0].get("Modality") == "PT":
        array *= _suv_factor_of(frames)
        units = "SUVbw"
    if frames[0].get("Modality") == "CT" and units != "HU":
        warnings.warn(
            f"{frames[0]['path'].name} has no RescaleIntercept: values are as stored, "
            "which need not be HU.",
            DicomWarning,
            stacklevel=2,
        )
    return Volume(
        array,
        layout.affine,
        units,
        hashed(frames[0].get("FrameOfReferenceUID")),
        _provenance(layout, units),
    )


def image_file_in(source: Source) -> Path | None:
    """Return the NIfTI, NRRD or MetaImage file that a source is, if it is one."""
    if isinstance(source, str | os.PathLike):
        return _image_file(Path(source))
    row: Any = source
    files = [Path(path) for path in (row["files"] if _is_row(row) else row)]
    if not any(map(_image_file, files)):
        return None
    if len(files) > 1:
        raise AmbiguousSeriesError(
            f"`source` names {len(files)} files, {files[0].name} among the first, and "
            "not all are DICOM: each of the others is a volume of its own. Give one."
        )
    return files[0]


def _image_file(path: Path) -> Path | None:
    """Return a path if it is no DICOM by its name, nor a folder or DICOM in truth."""
    is_other = is_image_file(path) and not (path.is_dir() or is_dicom(path))
    return path if is_other else None


def modality_of(source: Source) -> str | None:
    """Return what a row says about its modality, which image files don't."""
    row: Any = source
    modality = row.get("modality") if _is_row(source) else None
    return modality if modality in MODALITIES else None


def _load_image(
    path: Path,
    source: Source,
    series_uid: str | None,
    suv: bool,
    units: str | None,
) -> Volume:
    """Read a file that holds a whole volume."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path.name!r}.")
    if series_uid is not None:
        raise NoImagesError(
            f"{path.name} states no SeriesInstanceUID. Leave `series_uid` out."
        )
    modality = modality_of(source)
    if suv and units is None and modality in (None, "PT"):
        raise SUVError(
            f"{path.name} doesn't state dose, time and weight. Compute SUV where it "
            'was made, and take suv=False; or give a row with its "modality".'
        )
    units = units or ("HU" if modality == "CT" else "arbitrary")
    return load_image(path, units, modality)


def lay_out(frames: Sequence[Frame], irregular: str = "raise") -> Layout:
    """Order the images of one volume, or say why they are none, by headers alone."""
    _refuse_conflicting_patients(frames)
    for frame in frames:
        check_pixels(frame)
    _refuse_mixed_units(frames)
    return arrange(frames, irregular)


def by_series(frames: Iterable[Frame]) -> dict[str | None, list[Frame]]:
    """Group images by the UID of their series."""
    series: dict[str | None, list[Frame]] = {}
    for frame in frames:
        series.setdefault(frame.get("SeriesInstanceUID"), []).append(frame)
    return series


def _raise(error: OSError) -> NoReturn:
    raise error


def files_in(
    root: Path,
    follow_links: bool = False,
    on_error: Callable[[OSError], object] = _raise,
) -> Iterator[Path]:
    """List the files of a folder and of those below it, each folder once."""
    seen = set()
    for folder, names, files in os.walk(
        root, onerror=on_error, followlinks=follow_links
    ):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            names.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        names.sort()
        yield from (Path(folder, name) for name in sorted(files))


def files_of(source: Source) -> list[Path]:
    """List the DICOM files of a series, in a fixed order."""
    row: Any = source
    if _is_row(row):
        return [Path(path) for path in dict.fromkeys(row["files"])]
    if hasattr(row, "columns"):
        raise TypeError("`source` must be one row of a table, not the table.")
    if not isinstance(source, str | os.PathLike):
        return list(map(Path, source))
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder {path.name!r}.")
    return list(filter(claims_dicom, files_in(path))) if path.is_dir() else [path]


def frames_of(source: Source) -> list[Frame]:
    """Read the headers of all images in a source."""
    frames = [frame for path in files_of(source) for frame in _images(path)]
    row: Any = source
    if not _is_row(row):
        return frames
    found = {(frame["path"], frame["index"]): frame for frame in frames}
    wanted = [
        (Path(p), index) for p, index in zip(row["files"], row["frames"], strict=True)
    ]
    for path, index in wanted:
        if (path, index) not in found:
            raise NoImagesError(
                f"{path.name} has no image in frame {index}, which the row names. Scan "
                "the folder again."
            )
    return [found[place] for place in wanted]


def _is_row(source: Any) -> bool:
    """Tell rows of `scan` from paths and tables."""
    return hasattr(source, "keys") and not hasattr(source, "columns")


def _images(path: Path) -> list[Frame]:
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path.name!r}.")
    if not is_dicom(path):
        raise CorruptFileError(f"{path.name} is not a DICOM file, or is damaged.")
    return [frame for frame in read_frames(path) if is_image(frame)]


def _refuse_empty(source: Source) -> NoReturn:
    """Say that there is no DICOM image, and how to read what is there instead."""
    way = "`scan` lists what there is."
    if isinstance(source, str | os.PathLike) and os.path.isdir(source):
        n_others = sum(map(is_image_file, files_in(Path(source))))
        if n_others:
            way = (
                f"Of its {n_others} files of NIfTI, NRRD or MetaImage, name the one "
                "that is meant: these don't say whether they are images or masks. "
                '`VolumeLoader` takes {"image": file, "mask": file}.'
            )
    raise NoImagesError(f"`source` holds no DICOM image. {way}")


def _one_series(frames: Sequence[Frame], series_uid: str | None) -> list[Frame]:
    series = by_series(frames)
    if series_uid is not None:
        series = {uid: part for uid, part in series.items() if uid == series_uid}
    if not series:
        raise NoImagesError(
            f"`source` holds no DICOM image of `series_uid`={series_uid}. `scan` lists "
            "what there is."
        )
    if len(series) > 1:
        uids = ", ".join(map(shown_uid, series))
        raise AmbiguousSeriesError(
            f"`source` holds {len(series)} series: SeriesInstanceUID {uids}. Name one "
            "as `series_uid`, or give a row of `scan`."
        )
    (chosen,) = series.values()
    return chosen


def _refuse_conflicting_patients(frames: Sequence[Frame]) -> None:
    """Refuse images of several patients under one series UID."""
    patients = {frame.get("PatientID") for frame in frames}
    if len(patients) > 1:
        raise ConflictingPatientsError(
            f"SeriesInstanceUID {shown_uid(frames[0].get('SeriesInstanceUID'))} stands "
            f"for images of {len(patients)} patients: PatientID differs. Give the "
            "files of one."
        )


def _refuse_mixed_units(frames: Sequence[Frame]) -> None:
    for frame in frames:
        if units_of(frame) != units_of(frames[0]):
            raise InconsistentSeriesError(
                "RescaleIntercept or RescaleType is not the same in "
                f"{frame['path'].name} and {frames[0]['path'].name}: one is without "
                "units. Fetch the series from its source again."
            )


def _on_grid(values: np.ndarray, layout: Layout) -> np.ndarray:
    """Interpolate between slices, where not every place of the grid has one."""
    if layout.is_regular:
        return values
    grid = np.arange(layout.n_slices)
    after = np.clip(np.searchsorted(layout.places, grid), 1, len(values) - 1)
    before = after - 1
    width = layout.places[after] - layout.places[before]
    weight = ((grid - layout.places[before]) / width).astype(np.float32)
    weight = weight[:, None, None]
    return (1 - weight) * values[before] + weight * values[after]


def _warn_of_interpolation(layout: Layout) -> None:
    if layout.n_interpolated:
        warnings.warn(
            f"ImagePositionPatient: {layout.n_interpolated} of {layout.n_slices} "
            "slices were interpolated between those that are there, from "
            f"{layout.frames[0]['path'].name} on.",
            DicomWarning,
            stacklevel=4,
        )


def _moment(frame: Frame) -> str:
    return str(frame.get("AcquisitionDate")) + str(frame.get("AcquisitionTime"))


def _suv_factor_of(frames: Sequence[Frame]) -> np.float32:
    first = min(frames, key=_moment)
    with quiet_pydicom(first["path"]):
        dataset = pydicom.dcmread(first["path"], stop_before_pixels=True)
        return np.float32(suv_factor(dataset, first["path"].name))


def _provenance(layout: Layout, units: str) -> dict[str, Any]:
    first = layout.frames[0]
    return {
        "series": hashed(first.get("SeriesInstanceUID")),
        "modality": first.get("Modality") and shown(first["Modality"], MODALITIES),
        "units": units,
        "n_files": len({frame["path"] for frame in layout.frames}),
        "transfer_syntaxes": sorted({f["TransferSyntaxUID"] for f in layout.frames}),
        "interpolated_slices": layout.n_interpolated,
        "versions": {name: version(name) for name in ("skvae", "pydicom", "numpy")},
    }

"""What is refused, each by a name of its own. No message says who the patient is."""


class DicomError(ValueError):
    """Something that can't be read as one volume, or as a mask of one."""


class NoImagesError(DicomError):
    """There is no image where one was looked for."""


class AmbiguousSeriesError(DicomError):
    """There are several series or patients where one was asked for."""


class ConflictingPatientsError(DicomError):
    """One series UID stands for images of several patients."""


class MixedOrientationError(DicomError):
    """Slices of one series face different ways."""


class MixedMatrixError(DicomError):
    """Slices of one series differ in their numbers of rows or columns."""


class MixedSpacingError(DicomError):
    """Slices of one series differ in their pixel spacing."""


class MissingSlicesError(DicomError):
    """There are gaps between the slices of a series."""


class NonUniformSpacingError(DicomError):
    """Slices of one series don't lie evenly on one straight line."""


class DuplicatePositionError(DicomError):
    """Different images lie at one position."""


class GeometryError(DicomError):
    """Position, orientation or spacing of an image is missing or makes no sense."""


class CorruptFileError(DicomError):
    """A file is cut off or damaged."""


class DeclaredSizeError(CorruptFileError):
    """A file declares more pixels than its bytes can hold."""


class DecoderMissingError(DicomError):
    """No installed package decodes the pixels of a file."""


class ColorImageError(DicomError):
    """An image is in colour, where intensities are needed."""


class SUVError(DicomError):
    """Standardized uptake values can't be computed from what a series says."""


class MaskError(DicomError):
    """A mask doesn't belong to its volume, or there is nothing in it."""


class DicomWarning(UserWarning):
    """A series was read, but not as plainly as others."""

"""What is refused, each by a name of its own. No message says who the patient is."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


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


class InconsistentSeriesError(DicomError):
    """Images of one series differ in what must be one for a volume."""


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


def discreet(function: Callable[P, R]) -> Callable[P, R]:
    """Keep folders, and the errors behind an error, out of what is raised.

    Both may hold a patient's name.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (DicomError, OSError) as error:
            kept = error
        # Outside of the `except`, lest the error becomes its own context.
        raise _without_folders(kept)

    return call


def _without_folders(error: DicomError | OSError) -> Exception:
    error.__cause__ = error.__context__ = None
    if isinstance(error, OSError) and error.filename:
        return type(error)(error.errno, error.strerror, Path(error.filename).name)
    return error

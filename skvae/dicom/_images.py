"""Images that are no DICOM: NIfTI, NRRD and MetaImage, for values and for labels."""

import gzip
import hashlib
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version
from io import BytesIO
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ._errors import (
    AmbiguousSeriesError,
    ColorImageError,
    CorruptFileError,
    DicomError,
    DicomWarning,
    GeometryError,
)
from ._volume import Volume

_CHUNK = 2**20  # bytes
_GZIP = 31  # for zlib
_LONGEST = 2**16  # bytes in a line of a header
_DOUBTFUL = 0.01  # share of the spacing by which two statements may differ
_REORDER = [2, 1, 0, 3]  # (i, j, k, 1) to (slice, row, column, 1), and back


@dataclass(frozen=True)
class Image:
    """What an image file holds.

    Attributes
    ----------
    shape : tuple of ints
        (slices, rows, columns): the axes of the file, the last one first.
    affine : ndarray of shape (4, 4) or None
        Takes (slice, row, column, 1) to millimetres, LPS. None if the file states no
        position.
    values : ndarray of `shape`, or None
        None if only the header was read.
    n_components : int, default=1
        Values per voxel; several are a colour or a vector.
    """

    shape: tuple[int, ...]
    affine: np.ndarray | None
    values: np.ndarray | None
    n_components: int = 1


class Format(NamedTuple):
    """A kind of file: what it is called, and how `read(path, with_values)` reads it."""

    name: str
    package: str
    read: Callable[[Path, bool], Image]


def is_image_file(path: Path) -> bool:
    """Tell by its name whether a file is one of these."""
    return path.name.lower().endswith(tuple(FORMATS))


def format_of(path: Path) -> tuple[str, Format]:
    """Return the suffix of an image file, and what stands behind it."""
    name = path.name.lower()
    return next((end, kind) for end, kind in FORMATS.items() if name.endswith(end))


def read_image(path: Path, with_values: bool = True) -> Image:
    """Read an image file, or its header."""
    return format_of(path)[1].read(path, with_values)


def load_image(path: Path, units: str, modality: str | None) -> Volume:
    """Read an image file as a volume."""
    kind, image = format_of(path)[1], read_image(path)
    _, affine = grid_of_image(path, image)
    packages = "skvae", kind.package, "numpy"
    about = {
        "series": hash_of_image(path),
        "modality": modality,
        "units": units,
        "n_files": 1 + len(detached_from(path)),
        "format": kind.name,
        "interpolated_slices": 0,
        "versions": {name: version(name) for name in packages},
    }
    return Volume(values_of_image(path, image), affine, units, None, about)


def grid_of_image(path: Path, image: Image) -> tuple[tuple[int, ...], np.ndarray]:
    """Return shape and affine of a volume, or say why an image is none."""
    if image.n_components > 1:
        raise ColorImageError(
            f"{path.name} holds {image.n_components} values per voxel: colours or "
            "vectors. Take one of them."
        )
    if len(image.shape) > 3:
        raise AmbiguousSeriesError(
            f"{path.name} holds {prod(image.shape[:-3])} volumes: it has "
            f"{len(image.shape)} dimensions. Write each to a file of its own."
        )
    if len(image.shape) < 3:
        raise GeometryError(f"{path.name} is flat. Write it as a volume of one slice.")
    if image.affine is None:
        raise GeometryError(f"{path.name} {UNPLACED}")
    affine = image.affine
    if not np.isfinite(affine).all() or not abs(np.linalg.det(affine)) > 1e-9:
        raise GeometryError(
            f"{path.name} states axes that span no space: spacing is 0, or directions "
            "are missing or the same. Write it with the geometry of its source."
        )
    return image.shape, affine


UNPLACED = (
    "states no position: sform_code and qform_code (NIfTI) are 0, `space` (NRRD) isn't "
    "anatomical, or Offset, TransformMatrix or ElementSpacing (MetaImage) is missing. "
    "Write it with the geometry of its image."
)


def values_of_image(path: Path, image: Image) -> np.ndarray:
    """Return values as float32, or say why they can't be."""
    values = np.asarray(image.values)
    if values.dtype.kind not in "biuf":
        raise DicomError(
            f"{path.name} must hold real numbers, got {values.dtype}. Take the "
            "magnitude, say."
        )
    with np.errstate(over="ignore"):
        values = values.astype(np.float32, order="C")
    n_wrong = values.size - np.count_nonzero(np.isfinite(values))
    if n_wrong:
        raise CorruptFileError(
            f"{path.name} holds {n_wrong} voxels that are NaN or infinite. Give them a "
            "value first: that of air, or the lowest."
        )
    return values


def hash_of_image(path: Path) -> str:
    """Hash an image file, and the file of its values where that is another."""
    digest = hashlib.sha256()
    for part in (path, *detached_from(path)):
        with open(part, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def detached_from(path: Path) -> list[Path]:
    """Return the file that holds the values of a header, if that is another."""
    name = format_of(path)[1].name
    return [] if name == "NIfTI" else _read_header(path, _MARKS[name]).detached


@contextmanager
def reading_by(package: str, path: Path) -> Iterator[Any]:
    """Import a package, and keep back what it says: it may quote a patient's name."""
    try:
        module = import_module(package)
    except ImportError:
        raise ImportError(
            f"Reading {path.name} takes {package}: pip install 'skvae[radiomics]'."
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield module
        except Exception as error:
            raise CorruptFileError(
                f"{path.name} is damaged: {package} stopped with "
                f"{type(error).__name__}. Fetch it from its source again."
            ) from None


def _read_nifti(path: Path, with_values: bool) -> Image:
    with reading_by("nibabel", path) as nibabel:
        from nibabel.imageglobals import LoggingOutputSuppressor

        with LoggingOutputSuppressor():
            image = nibabel.load(path)
            shape, affine = image.shape[::-1], _affine_of_nifti(image)
            stored = np.dtype(image.get_data_dtype())
            values, doubts = None, []
            if with_values:
                content = _content_of(path)  # to its end, where gzip has its checksum
                image = type(image).from_bytes(content)
                raw = type(image.header).from_fileobj(BytesIO(content), check=False)
                doubts = list(_doubts_of_nifti(image, raw, len(content)))
                values = _rescaled(image.dataobj).T
    for doubt in doubts:
        warnings.warn(f"{path.name}: {doubt}", DicomWarning, stacklevel=6)
    return _without_ones(Image(shape, affine, values, max(1, len(stored))))


def _content_of(path: Path) -> bytes:
    if path.name.lower().endswith(".gz"):
        with gzip.open(path) as file:
            return file.read()
    return path.read_bytes()


def _affine_of_nifti(image: Any) -> np.ndarray | None:
    header = image.header
    if not (header["sform_code"] or header["qform_code"]):
        return None
    millimetres = _MILLIMETRES[header.get_xyzt_units()[0]]
    return _affine(np.diag([-1, -1, 1, 1]) @ image.affine, millimetres)  # RAS to LPS


_MILLIMETRES = {"unknown": 1, "mm": 1, "meter": 1e3, "micron": 1e-3}


def _affine(affine: np.ndarray, millimetres: float = 1) -> np.ndarray:
    """Take indices in the order of arrays, to millimetres."""
    scale = [[millimetres], [millimetres], [millimetres], [1]]
    return np.asarray(affine * scale)[:, _REORDER]


def _rescaled(stored: Any) -> np.ndarray:
    """Apply slope and intercept as `load_series` does for DICOM."""
    values: Any = np.asarray(stored.get_unscaled())
    if (stored.slope, stored.inter) != (1, 0):
        kind = np.float32 if values.itemsize <= 2 else np.float64
        values = values.astype(kind) * kind(stored.slope) + kind(stored.inter)
    return np.asarray(values)


_SURPLUS = (
    "bytes follow its values: its shape may be wrong. Compare it with its source."
)


def _doubts_of_nifti(image: Any, raw: Any, n_bytes: int) -> Iterator[str]:
    """Tell what contradicts itself in a header that can be read."""
    stored, header = image.dataobj, image.header
    if raw["bitpix"] != 8 * stored.dtype.itemsize:
        raise ValueError("bitpix is not that of datatype")
    if n_bytes > stored.offset + prod(stored.shape) * stored.dtype.itemsize:
        yield _SURPLUS
    spacing, corners = np.linalg.norm(image.affine[:3, :3], axis=0), _corners(stored)
    if (abs(raw["pixdim"][1:4] - spacing) > _DOUBTFUL * spacing).any():
        yield (
            f"pixdim says {_times(raw['pixdim'][1:4])}, the affine {_times(spacing)}. "
            "The latter is taken: look at the volume."
        )
    if header["sform_code"] and header["qform_code"]:
        apart = (header.get_qform() - header.get_sform()) @ corners
        if abs(apart).max() > 0.1 * spacing.min():
            yield "qform and sform place it differently. The latter is taken."


def _corners(stored: Any) -> np.ndarray:
    sizes = (*stored.shape, 1, 1, 1)[:3]
    return np.array([*product(*((0, size - 1) for size in sizes), [1])]).T


def _times(spacing: np.ndarray) -> str:
    return " x ".join(f"{step:.4g}" for step in spacing)


def _without_ones(image: Image) -> Image:
    """Leave out times and the like of which there is one."""
    n = max(len(image.shape) - 3, 0)
    if not n or prod(image.shape[:n]) != 1:
        return image
    values = None if image.values is None else image.values.reshape(image.shape[n:])
    return replace(image, shape=image.shape[n:], values=values)


def _read_nrrd(path: Path, with_values: bool) -> Image:
    return _read_by_itk(path, with_values, "NRRD", "NrrdImageIO")


def _read_mha(path: Path, with_values: bool) -> Image:
    return _read_by_itk(path, with_values, "MHA", "MetaImageIO")


def _read_by_itk(path: Path, with_values: bool, name: str, reads: str) -> Image:
    with reading_by("SimpleITK", path) as sitk:
        reader = sitk.ImageFileReader()
        reader.SetImageIO(reads)
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
    header = _read_header(path, _MARKS[name])
    _check_numbers(path, header, reader.GetDimension())
    values = None
    if with_values:
        n_bytes = _count_bytes(path, header)
        with reading_by("SimpleITK", path) as sitk:
            values = sitk.GetArrayFromImage(reader.Execute())
        if n_bytes > values.nbytes:
            warnings.warn(f"{path.name}: {_SURPLUS}", DicomWarning, stacklevel=7)
    space = reader.GetMetaData(_SPACE) if reader.HasMetaDataKey(_SPACE) else ""
    is_placed = all(header.stated.keys() & keys for keys in _PLACE[name])
    # ITK turns the spaces it knows into this one, and takes others as they come.
    is_placed &= name == "MHA" or space == "left-posterior-superior"
    affine = _affine_of_itk(reader) if is_placed and reader.GetDimension() > 2 else None
    shape = reader.GetSize()[::-1]
    return _without_ones(Image(shape, affine, values, reader.GetNumberOfComponents()))


_SPACE = "NRRD_space"
_MARKS = {"NRRD": ":", "MHA": "="}
_PLACE = {
    "NRRD": [{"space origin"}, {"space directions"}],
    "MHA": [
        {"Offset", "Origin", "Position"},
        {"TransformMatrix", "Rotation", "Orientation"},
        {"ElementSpacing"},
    ],
}


def _affine_of_itk(reader: Any) -> np.ndarray:
    n, affine = reader.GetDimension(), np.eye(4)
    direction = np.reshape(reader.GetDirection(), (n, n)) * reader.GetSpacing()
    affine[:3, :3], affine[:3, 3] = direction[:3, :3], reader.GetOrigin()[:3]
    return _affine(affine)


@dataclass(frozen=True)
class Header:
    """The lines of a header by their keys (of NRRD in small letters), and its end."""

    stated: Mapping[str, str]
    start: int
    detached: list[Path]


def _read_header(path: Path, mark: str) -> Header:
    """Read the lines of a header, of which ITK hands on a part only."""
    stated: dict[str, str] = {}
    with open(path, "rb") as file:
        while (line := file.readline(_LONGEST)).strip():
            key, is_stated, value = line.decode("latin-1").partition(mark)
            if mark == ":" and (not is_stated or line[:1] == b"#" or value[:1] == "="):
                continue
            key = key.strip() if mark == "=" else key.strip().lower()
            if not is_stated or (key == "CompressedData" and not _IS.search(value)):
                raise CorruptFileError(
                    f"{path.name} is damaged: a line of its header says nothing. Fetch "
                    "it from its source again."
                )
            if stated.setdefault(key, value.strip()) != value.strip():
                raise CorruptFileError(
                    f"{path.name} states two values of one key. Fetch it from its "
                    "source again."
                )
            if key == "ElementDataFile":
                break
        start = file.tell()
    _refuse_other_units(path, stated)
    return Header(stated, start, _detached(path, stated))


_POWERS = {
    **dict.fromkeys(("Offset", "Origin", "Position", "ElementSpacing"), 1),
    **dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), 2),
    "space origin": 1,
    "space directions": 2,
}


def _check_numbers(path: Path, header: Header, n: int) -> None:
    """Refuse a position that is none, of which ITK takes what it can."""
    for key in _POWERS.keys() & header.stated.keys():
        words = re.sub(r"[(),]|\bnone\b", " ", header.stated[key]).split()
        numbers = [float(word) for word in words if _NUMBER.fullmatch(word)]
        is_whole = len(words) == len(numbers) == n ** _POWERS[key]
        are_directions = key != "space directions" and _POWERS[key] == 2
        if is_whole and are_directions:
            is_whole = _are_directions(np.reshape(numbers, (n, n)))
        if not is_whole:
            raise CorruptFileError(
                f"{path.name} is damaged: {key!r} must be {n ** _POWERS[key]} numbers"
                f"{', of directions' * are_directions}. Fetch it from its source "
                "again."
            )


def _are_directions(rows: np.ndarray) -> bool:
    return np.allclose(np.linalg.norm(rows, axis=1), 1, atol=_DOUBTFUL)


_IS = re.compile(r"^\s*(true|false)\s*$", re.I)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.I)


def _refuse_other_units(path: Path, stated: Mapping[str, str]) -> None:
    units = stated.get("space units", "") + stated.get("DistanceUnits", "")
    if not set(units.replace('"', " ").split()) <= {"mm", "millimeter", "millimeters"}:
        raise GeometryError(
            f"{path.name} is not in millimetres, by its space units. Write it in mm."
        )


def _detached(path: Path, stated: Mapping[str, str]) -> list[Path]:
    names = (stated.get(key) for key in ("data file", "datafile", "ElementDataFile"))
    name = next(filter(None, names), "LOCAL")
    if name.upper() == "LOCAL":
        return []
    if name.upper().startswith("LIST") or "%" in name:
        raise CorruptFileError(
            f"{path.name} spreads its values over several files. Write it as one."
        )
    if not (path.parent / name).is_file():
        raise CorruptFileError(
            f"{path.name} names a file of values that isn't there. Put both into one "
            "folder."
        )
    return [path.parent / name]


def _count_bytes(path: Path, header: Header) -> int:
    """Count the bytes of values; verify the checksum if compressed, which ITK doesn't.

    Return 0 where they are written as text, or start somewhere else.
    """
    stated = {key: value.lower() for key, value in header.stated.items()}
    if not stated.keys().isdisjoint({"line skip", "byte skip", "HeaderSize"}):
        return 0
    file_of_values = (*header.detached, path)[0]
    start = 0 if header.detached else header.start
    if stated.get("encoding") in ("gzip", "gz"):
        return _inflated(path, file_of_values, start, _GZIP)[0]
    if stated.get("CompressedData") == "true":
        n_bytes, n_read = _inflated(path, file_of_values, start, zlib.MAX_WBITS)
        if stated.get("CompressedDataSize") != str(n_read):  # ITK reads something else
            raise CorruptFileError(
                f"{path.name} is damaged: CompressedDataSize is not that of its "
                "values. Fetch it from its source again."
            )
        return n_bytes
    is_text = stated.get("encoding", "raw") != "raw" or (
        stated.get("BinaryData", "true") != "true"
    )
    return 0 if is_text else file_of_values.stat().st_size - start


def _inflated(
    path: Path, file_of_values: Path, start: int, kind: int
) -> tuple[int, int]:
    """Count the bytes in a compressed stream, to its end, where its checksum is.

    Return how many they are without compression, and with it.
    """
    inflate, n_bytes = zlib.decompressobj(kind), 0
    with open(file_of_values, "rb") as file, suppress(zlib.error):
        file.seek(start)
        while not inflate.eof and (chunk := file.read(_CHUNK)):
            n_bytes += len(inflate.decompress(chunk))
        n_read = file.tell() - start - len(inflate.unused_data)
    if not inflate.eof:
        raise CorruptFileError(
            f"{path.name} is damaged: its compressed values don't have the checksum "
            "that they are stored with. Fetch it from its source again."
        )
    return n_bytes, n_read


# Suffixes in small letters. `read` returns an `Image`: see there.
FORMATS = {
    ".nii": Format("NIfTI", "nibabel", _read_nifti),
    ".nii.gz": Format("NIfTI", "nibabel", _read_nifti),
    ".nrrd": Format("NRRD", "SimpleITK", _read_nrrd),
    ".nhdr": Format("NRRD", "SimpleITK", _read_nrrd),
    ".mha": Format("MHA", "SimpleITK", _read_mha),
    ".mhd": Format("MHA", "SimpleITK", _read_mha),
}

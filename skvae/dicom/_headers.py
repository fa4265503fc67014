"""Headers of DICOM files as plain values, one mapping per frame."""

import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from ._errors import CorruptFileError, DicomError

Frame = Mapping[str, Any]

# What tells volumes of one series apart that lie on each other; the first that does is
# taken.
TEMPORAL = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "DiffusionBValue",
    "EchoTime",
    "EffectiveEchoTime",
    "EchoNumbers",
    "TriggerTime",
    "AcquisitionNumber",
    "StackID",
    "ImageType",
    "AcquisitionTime",
    "SOPInstanceUID",
)
KEYWORDS = (
    "SOPClassUID",
    "Modality",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesDescription",
    "FrameOfReferenceUID",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "SliceThickness",
    "SpacingBetweenSlices",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "Units",
    "AcquisitionDate",
    *TEMPORAL,
)
_PIXELS = 0x7FE00008  # the lowest tag of pixel data, of floats
_INTEGERS = 0x7FE00010
_SUFFIXES = {".dcm", ".dicom", ".ima"}
_HEAD = 1 << 16  # bytes; pydicom reads longer headers
_UNDEFINED = 0xFFFFFFFF
_ITEM_END, _SEQUENCE_END = 0xFFFEE00D, 0xFFFEE0DD
_FUNCTIONAL_GROUPS = (0x52009229, 0x52009230)
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT"}
_LONG |= {b"SV", b"UV"}
MASKS = {
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
    "1.2.840.10008.5.1.4.1.1.481.3",  # RT Structure Set
}
_IMPLICIT = {ImplicitVRLittleEndian}
_NOT_PLAIN = {ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}


class _NotPlainError(Exception):
    """The header needs a full parser."""


def claims_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM by its first bytes or, damaged, by its suffix."""
    return is_dicom(path) or path.suffix.lower() in _SUFFIXES


def is_dicom(path: Path) -> bool:
    """Tell by its first bytes whether a file is meant to be DICOM."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        head = file.read(132)
    return head[128:] == b"DICM" or head[:2] in (b"\x08\x00", b"\x02\x00")


def read_frames(path: Path) -> list[Frame]:
    """Read what the header of a file says about each of its frames.

    Returns
    -------
    frames : list of mappings from keyword to value
        Beside `KEYWORDS`: "path", "folder", "index" of the frame in its file,
        "TransferSyntaxUID", "PixelBytes", the bytes of pixel data that are there and
        that are declared, and of plain files "PixelStart", where they start. A file
        without images has one such mapping too.
    """
    try:
        with open(path, "rb") as file:
            frames: list[Frame] = [_read_plain(file) | _place(path)]
    except (_NotPlainError, struct.error, ValueError):
        frames = _read_by_pydicom(path)
    frames = [_checked(frame) for frame in frames]
    _require_whole(frames[0])
    return frames


def _checked(frame: Frame) -> Frame:
    """Give each attribute the type it must have, or refuse the file."""
    return {keyword: _typed(keyword, frame) for keyword in frame}


def _typed(keyword: str, frame: Frame) -> Any:
    value = frame[keyword]
    values = value if isinstance(value, tuple) else (value,)
    if keyword in _TEXTS and isinstance(value, tuple):
        return "\\".join(map(str, value))
    if keyword not in _NUMBERS or value is None:
        return value
    is_vector = keyword in _VECTORS
    are_numbers = all(isinstance(v, int | float) and isfinite(v) for v in values)
    if not are_numbers or not (is_vector or len(values) == 1):
        raise CorruptFileError(
            f"{frame['path'].name}: {keyword} must be finite, "
            f"{'numbers' if is_vector else 'one number'}. Export the images again from "
            "their source."
        )
    return values if is_vector else values[0]


def is_image(frame: Frame) -> bool:
    """Tell images from masks, plans and reports."""
    # The class in the file meta tells where that in the data set is damaged.
    classes = {frame.get("SOPClassUID"), frame.get("MediaStorageSOPClassUID")}
    by_name = any("Image Storage" in uid_of(name).name for name in classes)
    return not classes & MASKS and (by_name or bool(frame.get("Rows")))


def uid_of(text: str | None) -> UID:
    """Make a UID without pydicom's warning, which quotes what a damaged file holds."""
    return UID(text or "", pydicom.config.IGNORE)


def _require_whole(frame: Frame) -> None:
    """Refuse a file that ends before it says what it must."""
    needed = ["SOPClassUID"]
    if not uid_of(frame.get("SOPClassUID")).is_valid:
        frame = {"path": frame["path"]}
    elif is_image(frame):
        needed += ["Rows", "Columns", "BitsAllocated", "PixelBytes"]
    for keyword in needed:
        if not frame.get(keyword):
            name = {"PixelBytes": "PixelData"}.get(keyword, keyword)
            raise CorruptFileError(
                f"{frame['path'].name} has no {name}: it is cut off or damaged. Fetch "
                "it from its source again."
            )


def _place(path: Path) -> dict[str, Any]:
    return {"path": path, "folder": path.parent, "index": 0}


@contextmanager
def quiet_pydicom(path: Path) -> Iterator[None]:
    """Keep pydicom's warnings and errors back: they may quote a patient's name."""
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        try:
            yield
        except (DicomError, OSError):
            raise
        except Exception as error:
            raise CorruptFileError(
                f"{path.name} is damaged: pydicom stopped with {type(error).__name__}. "
                "Fetch it from its source again."
            ) from None


def _read_plain(file: BinaryIO) -> dict[str, Any]:
    """Read the header of one little-endian frame, several times as fast as pydicom.

    Whatever is not plain is left to pydicom.
    """
    head = file.read(_HEAD)
    if head[128:132] != b"DICM":
        raise _NotPlainError
    offset, header = _read_file_meta(head)
    syntax = header["TransferSyntaxUID"]
    if syntax in _NOT_PLAIN:
        raise _NotPlainError
    for tag, start, length in _elements(head, offset, syntax not in _IMPLICIT):
        if tag >= _PIXELS:
            header["PixelBytes"] = file.seek(0, 2) - start, length
            if tag == _INTEGERS and "ModalityLUTSequence" not in header:
                header["PixelStart"] = start
            break
        if tag in _FUNCTIONAL_GROUPS:
            raise _NotPlainError
        if tag in _WANTED:
            keyword, convert = _WANTED[tag]
            header[keyword] = convert(head[start : start + length])
    is_single = header.get("NumberOfFrames") in (None, 1)
    if not is_single or header["SOPClassUID"] in MASKS:
        raise _NotPlainError
    return header


def _read_file_meta(head: bytes) -> tuple[int, dict[str, Any]]:
    """Return where the data set begins, its transfer syntax and its class."""
    header: dict[str, Any] = {}
    end = len(head)
    for tag, start, length in _elements(head, 132, True):
        raw = head[start : start + length]
        if tag == 0x00020000:
            end = start + length + int.from_bytes(raw, "little")
        elif tag == 0x00020002:
            header["MediaStorageSOPClassUID"] = header["SOPClassUID"] = _text(raw)
        elif tag == 0x00020010:
            return end, header | {"TransferSyntaxUID": _text(raw)}
    raise _NotPlainError


def _elements(
    head: bytes, offset: int, explicit: bool
) -> Iterator[tuple[int, int, int]]:
    """Walk elements of one level: tag, where the value begins, its length."""
    while offset < len(head):
        group, number, length = struct.unpack_from("<HHI", head, offset)
        start = offset + 8
        if explicit and group != 0xFFFE:
            kind = head[offset + 4 : offset + 6]
            if not kind.isalpha():
                raise _NotPlainError
            if kind in _LONG:
                (length,) = struct.unpack_from("<I", head, start)
                start += 4
            else:
                length >>= 16
        yield group << 16 | number, start, length
        if length == _UNDEFINED:
            offset = _end_of_level(head, start, explicit)
        else:
            offset = start + length
    raise _NotPlainError


def _end_of_level(head: bytes, offset: int, explicit: bool) -> int:
    """Find the end of a sequence, or of an item, that doesn't state its length."""
    for tag, start, _ in _elements(head, offset, explicit):
        if tag in (_ITEM_END, _SEQUENCE_END):
            return start
    raise _NotPlainError


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode("ascii").strip("\0 ") or None
    except UnicodeDecodeError:
        raise _NotPlainError from None


def _texts(raw: bytes) -> Any:
    text = _text(raw)
    return tuple(text.split("\\")) if text and "\\" in text else text


def _numbers(kind: Callable[[str], Any]) -> Callable[[bytes], Any]:
    def convert(raw: bytes) -> Any:
        texts = _texts(raw)
        if isinstance(texts, tuple):
            return tuple(map(kind, texts))
        return None if texts is None else kind(texts)

    return convert


def _unpacked(code: str) -> Callable[[bytes], Any]:
    return lambda raw: struct.unpack(code, raw)[0] if raw else None


_CONVERTERS: dict[str, Callable[[bytes], Any]] = {
    "CS": _texts,
    "DS": _numbers(float),
    "FD": _unpacked("<d"),
    "IS": _numbers(int),
    "SQ": lambda raw: bool(raw) or None,
    "UL": _unpacked("<I"),
    "US": _unpacked("<H"),
    "US or SS": _unpacked("<H"),
}
_VECTORS = {"PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"}
_NUMBERS = {
    keyword
    for keyword in KEYWORDS
    if dictionary_VR(keyword) in {"DS", "FD", "IS", "UL", "US", "US or SS"}
}
_TEXTS = {*KEYWORDS, "MediaStorageSOPClassUID"} - _NUMBERS - {"ImageType"}
_WANTED = {
    tag_for_keyword(keyword): (
        keyword,
        _CONVERTERS.get(dictionary_VR(keyword), _text),
    )
    for keyword in KEYWORDS
}


def _read_by_pydicom(path: Path) -> list[Frame]:
    """Read any header; that of a multi-frame image says more about each frame."""
    with quiet_pydicom(path), open(path, "rb") as file:
        dataset = pydicom.dcmread(file, force=True, stop_before_pixels=True)
        syntax = syntax_of(dataset)
        stated = _plain(dataset.file_meta.get("MediaStorageSOPClassUID"))
        header = {
            "SOPClassUID": stated,
            "MediaStorageSOPClassUID": stated,
            "TransferSyntaxUID": syntax,
            **_space_of_contours(dataset),
            **_values(dataset),
            **_place(path),
            **_pixel_bytes(file, syntax),
        }
        return _frames_in(dataset, header)


def _space_of_contours(dataset: Dataset) -> dict[str, Any]:
    spaces = dataset.get("ReferencedFrameOfReferenceSequence") or []
    return _values(spaces[0]) if len(spaces) == 1 else {}


def _frames_in(dataset: Dataset, header: dict[str, Any]) -> list[Frame]:
    """Spread what functional groups say over the frames."""
    n_frames = header.get("NumberOfFrames") or 1
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if not per_frame:
        # What position there is, is that of the first frame.
        return [header if n_frames == 1 else header | {"ImagePositionPatient": None}]
    if len(per_frame) != n_frames:
        raise CorruptFileError(
            f"{header['path'].name}: NumberOfFrames is {n_frames}, but "
            f"PerFrameFunctionalGroupsSequence has {len(per_frame)} items. Fetch it "
            "from its source again."
        )
    shared = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    header = header | _values_of_groups(shared[0])
    return [
        header | _values_of_groups(groups) | {"index": index}
        for index, groups in enumerate(per_frame)
    ]


def syntax_of(dataset: Dataset) -> UID:
    """Return the encoding that a file states or, without its preamble, shows."""
    is_implicit, _ = dataset.original_encoding
    shown = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
    return UID(dataset.file_meta.get("TransferSyntaxUID", shown))


def _pixel_bytes(file: BinaryIO, syntax: UID) -> dict[str, tuple[int, int]]:
    """Measure pixel data at whose element pydicom has stopped."""
    element = file.read(12)
    if syntax == DeflatedExplicitVRLittleEndian:
        return {"PixelBytes": (file.seek(0, 2), _UNDEFINED)}
    if len(element) < 12:
        return {}
    order = "<" if syntax.is_little_endian else ">"
    (length,) = struct.unpack_from(
        f"{order}I", element, 4 if syntax.is_implicit_VR else 8
    )
    start = file.tell() - (4 if syntax.is_implicit_VR else 0)
    return {"PixelBytes": (file.seek(0, 2) - start, length)}


def _values_of_groups(groups: Dataset) -> dict[str, Any]:
    """Merge the values in all functional groups of a frame."""
    values: dict[str, Any] = {}
    for element in groups:
        is_private = element.tag.is_private  # vendors repeat other values in theirs
        if not is_private and element.VR == "SQ" and len(element.value) == 1:
            values |= _values(element.value[0])
    return values


def _values(dataset: Dataset) -> dict[str, Any]:
    return {
        keyword: _plain(dataset[keyword].value)
        for keyword in KEYWORDS
        if keyword in dataset
    }


def _plain(value: Any) -> Any:
    """Turn what pydicom makes of a value into built-in types."""
    if isinstance(value, pydicom.Sequence):
        return bool(value) or None
    if isinstance(value, MultiValue):
        return tuple(map(_plain, value))
    if isinstance(value, str):
        return value.strip("\0 ") or None
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    return value or None

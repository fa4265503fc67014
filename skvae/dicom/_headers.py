"""Headers of DICOM files as plain values, one mapping per frame."""

import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import pydicom
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import RawDataElement
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
from ._terms import shown

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
    "DiffusionGradientOrientation",
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
_PIXEL_TYPES = {b"OB", b"OW", b"OF", b"OD", b"UN"}
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
        that are declared, and of plain files "PixelStart", where they start. "Disorder"
        names an element that comes after one with a higher tag, and "Surplus" tells
        whether bytes follow the pixels that are no element. A file without images has
        one such mapping too.
    """
    with damage_refused(path):
        try:
            with open(path, "rb") as file:
                frames: list[Frame] = [_read_plain(file) | _place(path)]
        except CorruptFileError:
            raise
        except (_NotPlainError, struct.error, ValueError):
            frames = _read_by_pydicom(path)
        frames = [_checked(frame) for frame in frames]
        _require_whole(frames[0])
        return frames


def _checked(frame: Frame) -> Frame:
    """Give each attribute the type it must have, or refuse the file."""
    return {
        keyword: value
        if value is None or type(value) is _PLAINLY.get(keyword)
        else _typed(keyword, value, frame)
        for keyword, value in frame.items()
    }


def _typed(keyword: str, value: Any, frame: Frame) -> Any:
    if keyword not in _RULES:
        return value
    values = value if isinstance(value, tuple) else (value,)
    if keyword in _TEXTS or keyword == "ImageType":
        values = tuple("" if v is None else v for v in values)
    is_valid, is_one, rule = _RULES[keyword]
    if not all(map(is_valid, values)) or (is_one and len(values) > 1):
        raise CorruptFileError(
            f"{frame['path'].name}: {keyword} must be {rule}. Export the images again "
            "from their source."
        )
    if keyword in _TEXTS:
        return "\\".join(values)
    return values[0] if is_one else values


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_image(frame: Frame) -> bool:
    """Tell images from masks, plans and reports."""
    # The class in the file meta tells where that in the data set is damaged.
    classes = {frame.get("SOPClassUID"), frame.get("MediaStorageSOPClassUID")}
    by_name = any("Image Storage" in uid_of(name).name for name in classes)
    return not classes & MASKS and (by_name or bool(frame.get("Rows")))


def uid_of(text: str | None) -> UID:
    """Make a UID without pydicom's warning, which quotes what a damaged file holds."""
    return UID(text or "", pydicom.config.IGNORE)


def shown_uid(uid: str | None) -> str:
    """Show a UID if it has the form of one."""
    return shown(uid, [uid] if uid and uid_of(uid).is_valid else ())


def is_known(uid: str | None) -> bool:
    """Tell whether a UID is one that the standard, or a well-known vendor, defines."""
    known = uid_of(uid)
    return known.name != known


def _require_whole(frame: Frame) -> None:
    """Refuse a file that ends before it says what it must."""
    needed = ["SOPClassUID"]
    name = frame.get("SOPClassUID") or ""
    if not uid_of(name).is_valid:
        frame = {"path": frame["path"]}
    elif is_image(frame):
        needed += ["Rows", "Columns", "BitsAllocated", "PixelBytes"]
    elif name not in MASKS and not is_known(name):
        needed += ["SeriesInstanceUID"]
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
def damage_refused(path: Path) -> Iterator[None]:
    """Raise what a damaged file leads to as one error, which quotes nothing from it."""
    try:
        yield
    except (DicomError, OSError):
        raise
    except Exception as error:
        raise CorruptFileError(
            f"{path.name} is damaged: reading it stopped with {type(error).__name__}. "
            "Fetch it from its source again."
        ) from None


@contextmanager
def quiet_pydicom(path: Path) -> Iterator[None]:
    """Keep pydicom's warnings and errors back: they may quote a patient's name."""
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        with damage_refused(path):
            yield


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
    last = 0
    for tag, start, length in _elements(head, offset, syntax not in _IMPLICIT):
        if tag >= _PIXELS:
            header |= _measured(file, start, length)
            if tag == _INTEGERS and "ModalityLUTSequence" not in header:
                header["PixelStart"] = start
            break
        if tag in _FUNCTIONAL_GROUPS:
            raise _NotPlainError
        if tag in _WANTED:
            keyword, convert = _WANTED[tag]
            value = convert(head[start : start + length])
            if tag <= last and header.get(keyword, value) != value:
                _refuse_repeat(Path(file.name), keyword)
            header[keyword] = value
        if tag <= last:
            header["Disorder"] = _name_of(tag)
        last = tag
    is_single = header.get("NumberOfFrames") in (None, 1)
    if not is_single or header.get("SOPClassUID") in MASKS:
        raise _NotPlainError
    return header


def _refuse_repeat(path: Path, keyword: str) -> NoReturn:
    raise CorruptFileError(
        f"{path.name}: {keyword} is stated twice, with different values. Export the "
        "images again from their source."
    )


def _name_of(tag: int) -> str:
    return keyword_for_tag(tag) or f"element {tag >> 16:04X},{tag & 0xFFFF:04X}"


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


def _doubles(raw: bytes) -> Any:
    values = tuple(value for (value,) in struct.iter_unpack("<d", raw))
    return values if len(values) > 1 else next(iter(values), None)


_CONVERTERS: dict[str, Callable[[bytes], Any]] = {
    "CS": _texts,
    "DS": _numbers(float),
    "FD": _doubles,
    "IS": _numbers(int),
    "SQ": lambda raw: bool(raw) or None,
    "UL": _unpacked("<I"),
    "US": _unpacked("<H"),
    "US or SS": _unpacked("<H"),
}
_VECTORS = {
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "DiffusionGradientOrientation",
}
_NUMBERS = {
    keyword
    for keyword in KEYWORDS
    if dictionary_VR(keyword) in {"DS", "FD", "IS", "UL", "US", "US or SS"}
}
_WHOLE = {
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
}
_SEQUENCES = {"ModalityLUTSequence"}
_TEXTS = {*KEYWORDS, "MediaStorageSOPClassUID"} - _NUMBERS - _SEQUENCES - {"ImageType"}
# What each value of an attribute must be, whether there must be one, and in words.
_RULES: dict[str, tuple[Callable[[Any], bool], bool, str]] = {
    **dict.fromkeys([*_TEXTS, "ImageType"], (_is_text, False, "text")),
    **dict.fromkeys(_NUMBERS, (_is_number, True, "finite, one number")),
    **dict.fromkeys(_WHOLE, (_is_whole, True, "one whole number")),
    **dict.fromkeys(_VECTORS, (_is_number, False, "finite, numbers")),
}
# The types of values that need no further look.
_PLAINLY = dict.fromkeys(_TEXTS, str) | dict.fromkeys(_WHOLE, int)
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
        is_implicit = any(
            getattr(element, "is_implicit_VR", False) for element in dataset.values()
        )
        header = {
            **_disorder(dataset),  # which takes elements that nobody has looked at yet
            "SOPClassUID": stated,
            "MediaStorageSOPClassUID": stated,
            "TransferSyntaxUID": syntax,
            **_space_of_contours(dataset),
            **_values(dataset),
            **_place(path),
            **_pixel_bytes(file, syntax, is_implicit),
        }
        return _frames_in(dataset, header)


def _disorder(dataset: Dataset) -> dict[str, str]:
    name = disorder_of(dataset)
    return {} if name is None else {"Disorder": name}


def disorder_of(dataset: Dataset) -> str | None:
    """Name the first element that is out of order, or whose tag is repeated."""
    last, end = 0, None
    for tag, element in zip(dataset.keys(), dataset.values(), strict=True):
        start = _start_of(element)
        if tag <= last or tag >> 16 == 0xFFFE or (end and start and start != end):
            return _name_of(tag)
        length = getattr(element, "length", _UNDEFINED)
        last, end = tag, None
        if start and length != _UNDEFINED:
            end = start + _size_of_head(element) + length
    return None


def _start_of(element: Any) -> int | None:
    """Return where an element begins in its file, unless it is a sequence."""
    if not isinstance(element, RawDataElement) or element.VR is None:
        return None
    return element.value_tell - _size_of_head(element)


def _size_of_head(element: Any) -> int:
    is_long = not element.is_implicit_VR and element.VR.encode() in _LONG
    return 12 if is_long else 8


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
    found = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
    return UID(dataset.file_meta.get("TransferSyntaxUID", found))


def _pixel_bytes(file: BinaryIO, syntax: UID, is_implicit: bool) -> dict[str, Any]:
    """Measure pixel data at whose element pydicom has stopped."""
    element = file.read(12)
    if syntax == DeflatedExplicitVRLittleEndian:
        return {"PixelBytes": (file.seek(0, 2), _UNDEFINED)}
    if len(element) < 12 or not (is_implicit or element[4:6] in _PIXEL_TYPES):
        return {}
    order = "<" if syntax.is_little_endian else ">"
    (length,) = struct.unpack_from(f"{order}I", element, 4 if is_implicit else 8)
    start = file.tell() - (4 if is_implicit else 0)
    return _measured(file, start, length, order)


def _measured(
    file: BinaryIO, start: int, length: int, order: str = "<"
) -> dict[str, Any]:
    """Measure the pixel data that begin in a file, and look at what follows them."""
    present = file.seek(0, 2) - start
    if length == _UNDEFINED or present <= length:
        return {"PixelBytes": (present, length)}
    file.seek(start + length)
    rest = file.read(8).ljust(8, b"\0")
    (group,) = struct.unpack(f"{order}H", rest[:2])
    is_element = group > _PIXELS >> 16 or not any(rest)
    return {"PixelBytes": (present, length), "Surplus": not is_element}


def _values_of_groups(groups: Dataset) -> dict[str, Any]:
    """Merge the values in all functional groups of a frame."""
    values: dict[str, Any] = {}
    for element in groups:
        is_private = element.tag.is_private  # vendors repeat other values in theirs
        if not is_private and element.VR == "SQ" and len(element.value) == 1:
            (item,) = element.value
            values |= _values(item)
            for direction in item.get("DiffusionGradientDirectionSequence") or ():
                values |= _values(direction)
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

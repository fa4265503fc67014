"""From stored pixels to values with units."""

import struct
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels import apply_modality_lut, get_decoder, pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGExtended12Bit,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from ._errors import (
    ColorImageError,
    CorruptFileError,
    DeclaredSizeError,
    DecoderMissingError,
    DicomWarning,
)
from ._headers import Frame, quiet_pydicom, shown_uid, syntax_of, uid_of
from ._terms import COLORS, GREY, UNITS, shown

# gdcm comes last: it ends the whole process on some damaged pixels (see `_plugin_for`).
_PLUGINS = ("pydicom", "pylibjpeg", "pyjpegls", "pillow", "gdcm")
_UNDEFINED = 0xFFFFFFFF
_RAW = {ImplicitVRLittleEndian, ExplicitVRLittleEndian}
_MOST_PADDING = 0.5
# What one byte of a file can at most be unpacked to.
_MOST_BYTES = {RLELossless: 64, DeflatedExplicitVRLittleEndian: 1032}
_MOST_BYTES_COMPRESSED = 20_000
_DECODERS = {
    **dict.fromkeys(JPEG2000TransferSyntaxes, "pylibjpeg pylibjpeg-openjpeg"),
    **dict.fromkeys(JPEGLSTransferSyntaxes, "pyjpegls"),
    JPEGExtended12Bit: "pylibjpeg pylibjpeg-libjpeg",
}


def check_pixels(frame: Frame) -> None:
    """Refuse what can't be decoded as intensities, by its header alone."""
    name = frame["path"].name
    kind = frame.get("PhotometricInterpretation")
    if frame.get("SamplesPerPixel", 1) != 1 or kind not in GREY:
        raise ColorImageError(
            f"{name}: PhotometricInterpretation must be MONOCHROME1 or MONOCHROME2, "
            f"got {shown(kind, GREY | COLORS)}. Convert it to grey first."
        )
    _check_bits(frame)
    _check_size(frame)
    _check_decoder(uid_of(frame["TransferSyntaxUID"]), name)


def units_of(frame: Frame) -> str:
    """Return the units of the values after their rescaling."""
    is_rescaled = frame.get("RescaleIntercept") is not None
    kind = frame.get("RescaleType")
    if frame.get("Modality") == "CT" and is_rescaled and kind in (None, "HU", "US"):
        return "HU"
    if frame.get("Modality") == "PT":
        units = frame.get("Units")
        return units if units in UNITS else "arbitrary"
    return "arbitrary"


def decode(frames: Sequence[Frame]) -> np.ndarray:
    """Decode frames of one size, padding filled with the lowest of the other values.

    Returns
    -------
    values : ndarray of shape (n_frames, n_rows, n_columns), float32
    """
    first = frames[0]
    values = np.empty((len(frames), first["Rows"], first["Columns"]), np.float32)
    by_path: dict[Path, list[int]] = {}
    for place, frame in enumerate(frames):
        by_path.setdefault(frame["path"], []).append(place)
    padding: dict[int, np.ndarray] = {}
    n_padding = 0
    for path, places in by_path.items():
        with quiet_pydicom(path):
            read = _reader(path, frames[places[0]])
            for place in places:
                frame = frames[place]
                raw = read(frame)
                stored = _without_spare_bits(raw, frame)
                values[place] = _rescaled(stored, frame)
                is_padding = _is_padding(raw, frame)
                if stored is not raw:
                    is_padding |= _is_padding(stored, frame)
                n_here = int(np.count_nonzero(is_padding))
                if n_here:
                    n_padding += n_here
                    padding[place] = is_padding
                    values[place][is_padding] = np.inf
    if padding:
        lowest = values.min()
        for place, is_padding in padding.items():
            values[place][is_padding] = lowest if np.isfinite(lowest) else 0
        _warn_of_padding(n_padding / values.size, first)
    return values


def _warn_of_padding(share: float, first: Frame) -> None:
    if share > _MOST_PADDING:
        warnings.warn(
            f"{first['path'].name}: {share:.0%} of the voxels are padding by "
            "PixelPaddingValue, and take the lowest of the other values. Look at the "
            "volume: the padding may be wrong.",
            DicomWarning,
            stacklevel=5,
        )


def _check_bits(frame: Frame) -> None:
    """Refuse attributes that contradict each other about what a pixel is."""
    allocated = frame["BitsAllocated"]
    stored = frame.get("BitsStored") or allocated
    high = frame.get("HighBit")
    if not 0 < stored <= allocated or high not in (None, stored - 1):
        raise CorruptFileError(
            f"{frame['path'].name}: BitsStored must be at most BitsAllocated, and 1 "
            f"more than HighBit, got {stored}, {allocated} and {high}. Export the "
            "images again from their source."
        )
    if frame.get("PixelRepresentation") not in (None, 0, 1):
        raise CorruptFileError(
            f"{frame['path'].name}: PixelRepresentation must be 0 (unsigned) or 1 "
            f"(signed), got {frame['PixelRepresentation']}. Export the images again "
            "from their source."
        )
    if frame.get("RescaleSlope") == 0:
        raise CorruptFileError(
            f"{frame['path'].name}: RescaleSlope must not be 0. Export the images "
            "again from their source."
        )


def _check_size(frame: Frame) -> None:
    name = frame["path"].name
    present, declared = frame["PixelBytes"]
    bits = frame.get("BitsAllocated") or 0
    n_frames = frame.get("NumberOfFrames") or 1
    needed = frame["Rows"] * frame["Columns"] * n_frames * bits // 8
    syntax = uid_of(frame["TransferSyntaxUID"])
    if declared == _UNDEFINED and syntax in _RAW:
        raise CorruptFileError(
            f"{name}: PixelData is encapsulated, but TransferSyntaxUID says it isn't. "
            "Export the images again."
        )
    if declared != _UNDEFINED and present < declared:
        raise CorruptFileError(
            f"{name} is cut off: PixelData has {present} of {declared} bytes. Fetch it "
            "from its source again."
        )
    is_native = declared != _UNDEFINED
    limit = 1 if is_native else _MOST_BYTES.get(syntax, _MOST_BYTES_COMPRESSED)
    held = min(present, declared)
    is_too_much = is_native and held >= max(2 * needed, needed + 2)
    if needed > held * limit or not needed or is_too_much:
        raise DeclaredSizeError(
            f"{name}: Rows, Columns, NumberOfFrames and BitsAllocated declare {needed} "
            f"bytes, which the {held} bytes of PixelData can't hold or don't fit. "
            "Fetch it from its source again."
        )


def _check_decoder(syntax: UID, name: str) -> None:
    try:
        is_available = not syntax.is_encapsulated or get_decoder(syntax).is_available
    except (NotImplementedError, ValueError):
        raise DecoderMissingError(
            f"{name}: TransferSyntaxUID {shown_uid(syntax)} is not one that can be "
            "decoded. Export the images again, uncompressed."
        ) from None
    if not is_available:
        _refuse_missing_decoder(syntax, name)


def _refuse_missing_decoder(syntax: UID, name: str) -> NoReturn:
    package = _DECODERS.get(syntax, "python-gdcm")
    raise DecoderMissingError(
        f"{name}: no installed package decodes TransferSyntaxUID {syntax} "
        f"({syntax.name}). `pip install {package}` adds one."
    )


def _reader(path: Path, first: Frame) -> Callable[[Frame], np.ndarray]:
    """Return what reads the stored values of a frame of a file."""
    syntax, is_plain = uid_of(first["TransferSyntaxUID"]), "PixelStart" in first
    if is_plain and syntax in _RAW and first["BitsAllocated"] in (8, 16, 32):
        return _raw_pixels
    if is_plain and syntax.is_encapsulated:
        return _compressed_pixels
    dataset = pydicom.dcmread(path, force=True)
    dataset.file_meta.TransferSyntaxUID = syntax_of(dataset)
    n_frames = first.get("NumberOfFrames") or 1

    def read(frame: Frame) -> np.ndarray:
        index, plugin = frame["index"] if n_frames > 1 else None, ""
        if syntax.is_encapsulated:
            stream = get_frame(
                dataset.PixelData,
                frame["index"],
                number_of_frames=n_frames,
                extended_offsets=_extended_offsets(dataset),
            )
            plugin = _plugin_for(stream, frame)
        stored = pixel_array(dataset, index=index, raw=True, decoding_plugin=plugin)
        if frame.get("ModalityLUTSequence"):
            stored = apply_modality_lut(stored, dataset)
        return stored.reshape(frame["Rows"], frame["Columns"])

    return read


def _extended_offsets(dataset: Dataset) -> tuple[bytes, bytes] | None:
    if "ExtendedOffsetTable" not in dataset:
        return None
    return dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths


def _raw_pixels(frame: Frame) -> np.ndarray:
    """Read pixels that lie in a file as they are, without parsing it again."""
    shape = frame["Rows"], frame["Columns"]
    kind = "i" if frame.get("PixelRepresentation") else "u"
    stored = np.fromfile(
        frame["path"],
        dtype=f"<{kind}{frame['BitsAllocated'] // 8}",
        count=shape[0] * shape[1],
        offset=frame["PixelStart"],
    )
    return stored.reshape(shape)


def _compressed_pixels(frame: Frame) -> np.ndarray:
    """Decode the pixels of a file, without parsing it again."""
    syntax = uid_of(frame["TransferSyntaxUID"])
    with open(frame["path"], "rb") as file:
        file.seek(frame["PixelStart"])
        items = file.read()
    plugin = _plugin_for(get_frame(items, 0, number_of_frames=1), frame)
    options: Any = {
        "rows": frame["Rows"],
        "columns": frame["Columns"],
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": frame["PhotometricInterpretation"],
        "pixel_keyword": "PixelData",
        "pixel_representation": frame.get("PixelRepresentation") or 0,
        "bits_allocated": frame["BitsAllocated"],
        "bits_stored": frame.get("BitsStored") or frame["BitsAllocated"],
    }
    stored, _ = get_decoder(syntax).as_array(
        items, index=0, raw=True, decoding_plugin=plugin, **options
    )
    return stored


def plugin_of(syntax: UID) -> str:
    """Name the decoder to take, empty where there is no choice."""
    is_encoded = syntax.is_encapsulated
    available = get_decoder(syntax).available_plugins if is_encoded else ()
    return next((name for name in _PLUGINS if name in available), "")


def _plugin_for(stream: bytes, frame: Frame) -> str:
    """Check the compressed pixels of a frame, and name the decoder to take.

    gdcm takes two thirds of the time of others for JPEG 2000, and ends the process
    where OpenJPEG, which it is built on, can't read a header. So that is tried first.
    """
    _check_stream(stream, frame)
    syntax = uid_of(frame["TransferSyntaxUID"])
    plugins = get_decoder(syntax).available_plugins
    if syntax in JPEG2000TransferSyntaxes and {"gdcm", "pylibjpeg"} <= set(plugins):
        from openjpeg import utils

        with suppress(RuntimeError):
            utils.get_parameters(stream)
            return "gdcm"
    return plugin_of(syntax)


def _check_stream(stream: bytes, frame: Frame) -> None:
    """Refuse compressed pixels of another size than the header says, or cut off."""
    name, matrix = frame["path"].name, (frame["Rows"], frame["Columns"])
    syntax, stated = uid_of(frame["TransferSyntaxUID"]), _stated_in(stream)
    if stated is None:
        return
    if stated[1:] != matrix:
        raise CorruptFileError(
            f"{name}: Rows and Columns are {matrix}, but the compressed pixels say "
            f"{stated[1:]}. Fetch it from its source again."
        )
    if _END_OF_IMAGE not in stream[-16:]:  # which padding may follow
        raise CorruptFileError(
            f"{name}: its compressed pixels are cut off. Fetch it from its source "
            "again."
        )
    is_deep = syntax == JPEGExtended12Bit and stated[0] > 8
    if is_deep and plugin_of(syntax) != "pylibjpeg":
        _refuse_missing_decoder(syntax, name)


def _stated_in(stream: bytes) -> tuple[int, int, int] | None:
    """Return bits, rows and columns that a JPEG or JPEG 2000 stream states."""
    if stream[:4] == b"\xff\x4f\xff\x51":
        right, bottom, left, top = struct.unpack_from(">4I", stream, 8)
        return (stream[42] & 127) + 1, bottom - top, right - left
    if stream[:2] != b"\xff\xd8":
        return None
    start = 2
    while stream[start] == 0xFF:
        if stream[start + 1] in _START_OF_FRAME:
            return struct.unpack_from(">BHH", stream, start + 4)
        start += 2 + int.from_bytes(stream[start + 2 : start + 4], "big")
    return None


_END_OF_IMAGE = b"\xff\xd9"
_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


def _without_spare_bits(stored: np.ndarray, frame: Frame) -> np.ndarray:
    """Drop bits beyond BitsStored, where overlays once lay."""
    spare = frame["BitsAllocated"] - (frame.get("BitsStored") or frame["BitsAllocated"])
    is_stored = stored.dtype.kind in "iu" and not frame.get("ModalityLUTSequence")
    return (stored << spare) >> spare if spare and is_stored else stored


def _is_padding(stored: np.ndarray, frame: Frame) -> np.ndarray:
    """Tell which pixels hold no image."""
    low = frame.get("PixelPaddingValue")
    is_stored = stored.dtype.kind in "iu" and not frame.get("ModalityLUTSequence")
    if low is None or not is_stored:
        return np.zeros((), dtype=bool)
    other = frame.get("PixelPaddingRangeLimit")
    ends = (low, low if other is None else other)
    low, high = sorted(_reread(value, stored.dtype) for value in ends)
    return stored == low if low == high else (stored >= low) & (stored <= high)


def _reread(value: int, kind: np.dtype) -> int:
    """Read a value that was written as unsigned as the signed one it is, or back."""
    limits, span = np.iinfo(kind), 2 ** (8 * kind.itemsize)
    if kind.kind == "i" and limits.max < value < span:
        return value - span
    if kind.kind == "u" and -span // 2 <= value < 0:
        return value + span
    return value


def _rescaled(stored: np.ndarray, frame: Frame) -> np.ndarray:
    if frame.get("ModalityLUTSequence"):
        return stored
    is_inverted = frame["PhotometricInterpretation"] == "MONOCHROME1"
    if is_inverted and units_of(frame) == "arbitrary":
        stored = _inverted(stored, frame)
    slope, intercept = frame.get("RescaleSlope"), frame.get("RescaleIntercept")
    kind = np.float32 if stored.itemsize <= 2 else np.float64
    values: np.ndarray = stored.astype(kind)
    if slope not in (None, 1):
        values = values * slope
    if intercept:
        values = values + intercept
    return values


def _inverted(stored: np.ndarray, frame: Frame) -> np.ndarray:
    """Turn values that grow darker into such that grow brighter."""
    bits = frame.get("BitsStored") or frame["BitsAllocated"]
    lowest_plus_highest = -1 if stored.dtype.kind == "i" else 2**bits - 1
    return lowest_plus_highest - stored

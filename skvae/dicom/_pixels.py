"""From stored pixels to values with units."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels import apply_modality_lut, get_decoder, pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from ._errors import (
    ColorImageError,
    CorruptFileError,
    DeclaredSizeError,
    DecoderMissingError,
)
from ._headers import Frame, quiet_pydicom, syntax_of, uid_of

_UNDEFINED = 0xFFFFFFFF
_RAW = {ImplicitVRLittleEndian, ExplicitVRLittleEndian}
# What one byte of a file can at most be unpacked to.
_MOST_BYTES = {RLELossless: 64, DeflatedExplicitVRLittleEndian: 1032}
_MOST_BYTES_COMPRESSED = 20_000
_DECODERS = {
    **dict.fromkeys(JPEG2000TransferSyntaxes, "pylibjpeg pylibjpeg-openjpeg"),
    **dict.fromkeys(JPEGLSTransferSyntaxes, "pyjpegls"),
}


def check_pixels(frame: Frame) -> None:
    """Refuse what can't be decoded as intensities, by its header alone."""
    name = frame["path"].name
    if frame.get("SamplesPerPixel", 1) != 1 or not (
        frame.get("PhotometricInterpretation") or ""
    ).startswith("MONOCHROME"):
        raise ColorImageError(
            f"{name}: PhotometricInterpretation must be MONOCHROME1 or MONOCHROME2, "
            f"got {frame.get('PhotometricInterpretation')}. Convert it to grey first."
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
        return frame.get("Units") or "arbitrary"
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
    padding = {}
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
                if is_padding.any():
                    padding[place] = is_padding
                    values[place][is_padding] = np.inf
    if padding:
        lowest = values.min()
        for place, is_padding in padding.items():
            values[place][is_padding] = lowest if np.isfinite(lowest) else 0
    return values


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
            f"{name}: TransferSyntaxUID {syntax} is not one that can be decoded. "
            "Export the images again, uncompressed."
        ) from None
    if not is_available:
        package = _DECODERS.get(syntax, "python-gdcm")
        raise DecoderMissingError(
            f"{name}: no installed package decodes TransferSyntaxUID {syntax} "
            f"({syntax.name}). `pip install {package}` adds one."
        )


def _reader(path: Path, first: Frame) -> Callable[[Frame], np.ndarray]:
    """Return what reads the stored values of a frame of a file."""
    is_raw = first["TransferSyntaxUID"] in _RAW and "PixelStart" in first
    if is_raw and first["BitsAllocated"] in (8, 16, 32):
        return _raw_pixels
    dataset = pydicom.dcmread(path, force=True)
    dataset.file_meta.TransferSyntaxUID = syntax_of(dataset)
    n_frames = first.get("NumberOfFrames") or 1

    def read(frame: Frame) -> np.ndarray:
        index = frame["index"] if n_frames > 1 else None
        stored = pixel_array(dataset, index=index, raw=True)
        if frame.get("ModalityLUTSequence"):
            stored = apply_modality_lut(stored, dataset)
        return stored.reshape(frame["Rows"], frame["Columns"])

    return read


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

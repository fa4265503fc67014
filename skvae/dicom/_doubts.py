"""What headers say that makes values doubtful, though they can be read."""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence

from ._errors import DicomWarning
from ._headers import Frame, is_known

_MODALITIES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
    "1.2.840.10008.5.1.4.1.1.128.1": "PT",
    "1.2.840.10008.5.1.4.1.1.130": "PT",
}
# Whatever differs here turns the same bits into other values.
_ALIKE = ("BitsAllocated", "BitsStored", "PixelRepresentation")
_MOSTLY_ALIKE = (
    "RescaleSlope",
    "RescaleIntercept",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
)
_MOST_ODD = 0.1  # of all images


def warn_of_doubts(frames: Sequence[Frame]) -> None:
    """Warn of headers that contradict themselves, or those of their series."""
    named: dict[str, list[str]] = {}
    for frame in frames:
        for doubt in _doubts(frame):
            named.setdefault(doubt, []).append(frame["path"].name)
    for doubt, names in [*named.items(), *_odd_ones(frames)]:
        names = list(dict.fromkeys(names))
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        warnings.warn(
            f"{names[0]}{more}: {doubt} Values may be wrong. Compare the file with its "
            "source.",
            DicomWarning,
            stacklevel=4,
        )


def _doubts(frame: Frame) -> Iterator[str]:
    if "Disorder" in frame:
        yield f"{frame['Disorder']} is out of order or repeated among its elements."
    if frame.get("Surplus"):
        yield "bytes follow PixelData that are no element, they may be pixels."
    classes = {frame.get("MediaStorageSOPClassUID"), frame.get("SOPClassUID")}
    if len(classes - {None}) > 1 and not all(map(is_known, classes)):
        yield "SOPClassUID and MediaStorageSOPClassUID differ, and one is unknown."
    modality = frame.get("Modality")
    if _MODALITIES.get(frame["SOPClassUID"], modality) != modality:
        yield "Modality is not that of SOPClassUID."
    are_integers = 0 < (frame.get("BitsAllocated") or 0) <= 16  # more may be floats
    if are_integers and frame.get("PixelRepresentation") is None:
        yield "PixelRepresentation is missing, unsigned values are assumed."
    if modality == "PT" and frame.get("RescaleSlope") is None:
        yield "RescaleSlope is missing, 1 is assumed."


def _odd_ones(frames: Sequence[Frame]) -> Iterator[tuple[str, list[str]]]:
    """Find images in which an attribute differs from that of (almost) all others."""
    for keyword in (*_ALIKE, *_MOSTLY_ALIKE):
        values = [frame.get(keyword) for frame in frames]
        ((usual, n_usual), *others) = Counter(values).most_common()
        n_odd = len(values) - n_usual
        is_doubtful = keyword in _ALIKE or n_odd <= max(1, _MOST_ODD * len(values))
        if others and is_doubtful and (keyword in _ALIKE or len(values) > 2):
            odd = zip(frames, values, strict=True)
            yield (
                f"{keyword} differs from that of the other images.",
                [frame["path"].name for frame, value in odd if value != usual],
            )

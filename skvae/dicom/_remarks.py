"""What sets the volumes of one series apart, in words."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._geometry import normal_of
from ._headers import Frame

Volume = Sequence[Frame]

_PLANES = "sagittal", "coronal", "axial"
_IMAGE_TYPES = {
    "magnitude": {"M", "MAGNITUDE", "M_FFE", "M_IR", "M_SE"},
    "phase": {"P", "PHASE", "PHASE MAP", "P_FFE", "P_IR", "P_SE"},
    "real": {"R", "REAL", "R_FFE", "R_IR", "R_SE"},
    "imaginary": {"I", "IMAGINARY", "I_FFE", "I_IR", "I_SE"},
    "field map": {"B0", "B0 MAP", "FIELD MAP", "FIELD_MAP", "FIELDMAP"},
    "ADC": {"ADC"},
    "water": {"W", "WATER"},
    "fat": {"F", "FAT"},
    "in phase": {"IN_PHASE", "IP"},
    "opposed phase": {"OPP_PHASE", "OUT_PHASE", "OP"},
}


def remarks_on(volumes: Sequence[Volume]) -> list[str | None]:
    """Say of each volume how it differs from others of its series, and what is a scout.

    Returns
    -------
    remarks : list of str or None
        Words such as "scout", "echo 2" or "b 800, direction 3"; None for a volume that
        is the only one of its series.
    """
    series: dict[object, list[int]] = {}
    for place, volume in enumerate(volumes):
        series.setdefault(volume[0].get("SeriesInstanceUID"), []).append(place)
    words = [["scout"] if _is_scout(volume) else [] for volume in volumes]
    for places in series.values():
        if len(places) > 1:
            found = _differences([volumes[place] for place in places])
            for place, differences in zip(places, found, strict=True):
                words[place] += differences
    return [", ".join(some) or None for some in words]


def _is_scout(volume: Volume) -> bool:
    return all("LOCALIZER" in (frame.get("ImageType") or ()) for frame in volume)


def _differences(volumes: Sequence[Volume]) -> list[list[str]]:
    """Take one attribute after the other, until they tell all volumes apart."""
    words: list[list[str]] = [[] for _ in volumes]
    keys: list[tuple] = [() for _ in volumes]
    for keyword, say in _WORDS.items():
        values = [_value(volume, keyword) for volume in volumes]
        finer = [(*key, value) for key, value in zip(keys, values, strict=True)]
        if len(set(finer)) > len(set(keys)):
            keys = finer
            for some, word in zip(words, say(values), strict=True):
                some.extend([word] if word else [])
    for place, key in enumerate(keys):
        if keys.count(key) > 1:
            words[place].append(f"part {keys[: place + 1].count(key)}")
    return words


def _value(volume: Volume, keyword: str) -> Any:
    """Return what all frames of a volume say, or None."""
    stated = [_get(frame, keyword) for frame in volume]
    return stated[0] if all(value == stated[0] for value in stated) else None


def _get(frame: Frame, keyword: str) -> Any:
    return _DERIVED[keyword](frame) if keyword in _DERIVED else frame.get(keyword)


def _plane(frame: Frame) -> tuple[float, ...] | None:
    cosines: Any = frame.get("ImageOrientationPatient")
    if np.shape(cosines) != (6,):
        return None
    return tuple(abs(normal_of(frame)).round(2).tolist())


_DERIVED: dict[str, Callable[[Frame], Any]] = {
    "plane": _plane,
    "matrix": lambda frame: (frame.get("Rows"), frame.get("Columns")),
    "folder": lambda frame: str(frame["folder"]),
}


def _numbered(name: str) -> Callable[[Sequence[Any]], list[str]]:
    """Number values in their order."""

    def say(values: Sequence[Any]) -> list[str]:
        order = sorted({value for value in values if value is not None}, key=_rank)
        return ["" if v is None else f"{name} {order.index(v) + 1}" for v in values]

    return say


def _rank(value: Any) -> tuple[float, str]:
    return (value, "") if isinstance(value, int | float) else (np.inf, str(value))


def _as_stated(name: str) -> Callable[[Sequence[Any]], list[str]]:
    return lambda values: ["" if v is None else f"{name} {v:g}" for v in values]


def _say_planes(values: Sequence[Any]) -> list[str]:
    words = ["" if v is None else _PLANES[int(np.argmax(v))] for v in values]
    return _if_unlike(words, values, "orientation")


def _say_matrices(values: Sequence[Any]) -> list[str]:
    return ["" if v is None else f"{v[0]} x {v[1]}" for v in values]


def _say_image_types(values: Sequence[Any]) -> list[str]:
    words = [_image_type(value or ()) for value in values]
    return _if_unlike(words, values, "image type")


def _image_type(value: Sequence[str]) -> str:
    stated = [value] if isinstance(value, str) else value
    fits = [name for name, terms in _IMAGE_TYPES.items() if terms & {*stated}]
    return fits[0] if fits else ""


def _if_unlike(words: list[str], values: Sequence[Any], name: str) -> list[str]:
    """Return words that tell as much apart as the values do, or numbers."""
    return words if len(set(words)) == len(set(values)) else _numbered(name)(values)


_WORDS: dict[str, Callable[[Sequence[Any]], list[str]]] = {
    "plane": _say_planes,
    "matrix": _say_matrices,
    "DiffusionBValue": _as_stated("b"),
    "DiffusionGradientOrientation": _numbered("direction"),
    "EchoTime": _numbered("echo"),
    "EffectiveEchoTime": _numbered("echo"),
    "EchoNumbers": _numbered("echo"),
    "ImageType": _say_image_types,
    "TemporalPositionIdentifier": _numbered("time"),
    "TemporalPositionIndex": _numbered("time"),
    "TriggerTime": _numbered("time"),
    "AcquisitionNumber": _numbered("acquisition"),
    "StackID": _numbered("stack"),
    "AcquisitionTime": _numbered("time"),
    "folder": _numbered("folder"),
}

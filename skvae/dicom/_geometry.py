"""Where slices lie in space: their order, the grid they make, and what is refused."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NoReturn

import numpy as np

from ._errors import (
    DicomError,
    DicomWarning,
    DuplicatePositionError,
    GeometryError,
    InconsistentSeriesError,
    MissingSlicesError,
    MixedMatrixError,
    MixedOrientationError,
    MixedSpacingError,
    NonUniformSpacingError,
)
from ._headers import TEMPORAL, Frame
from ._terms import MODALITIES, UNITS, shown

_COSINE = 1e-4  # tolerance of direction cosines
_TURN = np.deg2rad(1)  # by which parts of one stack may be turned
_TILT = np.deg2rad(0.1)
_MOST_GAPS = 20  # slices of a grid for each that is there


@dataclass(frozen=True)
class Layout:
    """Slices in order, and the grid that they lie on.

    Attributes
    ----------
    frames : list of Frame
        In the order in which they lie along the normal of the slices.
    places : ndarray of shape (n_frames,)
        Where each lies on the grid, in slices.
    n_slices : int
        Of the grid. More than there are frames where some are missing.
    affine : ndarray of shape (4, 4)
    """

    frames: list[Frame]
    places: np.ndarray
    n_slices: int
    affine: np.ndarray

    @property
    def is_regular(self) -> bool:
        """Whether each place of the grid has its slice."""
        return np.array_equal(self.places, np.arange(self.n_slices))

    @property
    def n_interpolated(self) -> int:
        """How many slices of the grid lie between those that are there."""
        return len(np.setdiff1d(np.arange(self.n_slices), self.places))


def arrange(frames: Sequence[Frame], irregular: str = "raise") -> Layout:
    """Order the slices of one volume along their normal.

    Parameters
    ----------
    frames : sequence of Frame
    irregular : {"raise", "interpolate"}
        What to do where slices are missing or unevenly spaced.
    """
    frames = _without_copies(_without_scouts(frames))
    _require_position(frames)
    for keyword, agree, error in _SHARED:
        _require_same(frames, keyword, agree, error)
    order = np.argsort(_heights(frames), kind="stable")
    frames = [frames[i] for i in order]
    heights = _heights(frames)
    _refuse_duplicates(frames, heights)
    if len(frames) == 1:
        step = normal_of(frames[0]) * _thickness(frames[0])
        return Layout(frames, np.zeros(1), 1, _affine(frames[0], step))
    places, n_slices = _places(heights, irregular, frames)
    step = _step(frames, places)
    return Layout(frames, places, n_slices, _affine(frames[0], step))


def split(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Split the images of one series into those of single volumes.

    Parts that lie beside each other, so that they would make one stack, are left
    together: they are one volume whose images differ, which `arrange` refuses.
    """
    parts = [
        same_size
        for facing in _clusters(frames, "ImageOrientationPatient", _same_cosines)
        for same_size in _clusters(facing, "matrix", _equal)
    ]
    return [v for whole in _joined(parts) for v in _split_by_time(whole)]


def _joined(parts: list[list[Frame]]) -> list[list[Frame]]:
    """Join parts that continue each other, where all of them have a place."""
    try:
        if len(parts) > 1:
            _require_position([frame for part in parts for frame in part])
    except GeometryError:
        return parts
    joined: list[list[list[Frame]]] = []
    for part in parts:
        stack = next((s for s in joined if all(_continues(p, part) for p in s)), None)
        if stack is None:
            joined.append([part])
        else:
            stack.append(part)
    return [[frame for part in stack for frame in part] for stack in joined]


def _continues(one: Sequence[Frame], other: Sequence[Frame]) -> bool:
    """Tell whether parts face the same way, and no slices of theirs overlap."""
    normal = normal_of(one[0])
    if normal @ normal_of(other[0]) < np.cos(_TURN):
        return False
    heights = [np.unique((_positions(p) @ normal).round(3)) for p in (one, other)]
    steps = [np.diff(h).min() for h in heights if len(h) > 1]
    distance = np.abs(np.subtract.outer(*heights)).min()
    return distance > 0.75 * min(steps, default=2 * distance)


def normal_of(frame: Frame) -> np.ndarray:
    """Return the unit vector across a slice, on which it has its height."""
    return np.cross(*_axes(frame))


def _axes(frame: Frame) -> np.ndarray:
    """Return the unit vectors along rows and along columns."""
    axes = np.reshape(frame["ImageOrientationPatient"], (2, 3))
    return axes / np.linalg.norm(axes, axis=1, keepdims=True)


def _heights(frames: Sequence[Frame]) -> np.ndarray:
    return _positions(frames) @ normal_of(frames[0])


def _positions(frames: Sequence[Frame]) -> np.ndarray:
    return np.array([frame["ImagePositionPatient"] for frame in frames], dtype=float)


def _tolerance(step: float) -> float:
    return max(0.01 * step, min(0.01, 0.1 * step))


def _same_spacing(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) <= _tolerance(a) for a, b in zip(one, other, strict=True))


def _same_cosines(one: Sequence[float], other: Sequence[float]) -> bool:
    return one == other or bool(np.allclose(one, other, rtol=0, atol=_COSINE))


def _same_direction(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and _same_cosines(one, other)


def _same_number(one: Any, other: Any) -> bool:
    return one == other or (bool(one and other) and abs(one - other) <= 0.01 * abs(one))


def _equal(one: object, other: object) -> bool:
    return one == other


_BY_SCAN = ", or a row of `scan`, which tells them apart."
_SHARED: list[tuple[str, Callable[..., bool], type[DicomError]]] = [
    ("ImageOrientationPatient", _same_cosines, MixedOrientationError),
    ("matrix", _equal, MixedMatrixError),
    ("PixelSpacing", _same_spacing, MixedSpacingError),
    ("Modality", _equal, InconsistentSeriesError),
    ("Units", _equal, InconsistentSeriesError),
    ("FrameOfReferenceUID", _equal, InconsistentSeriesError),
    ("EchoTime", _same_number, InconsistentSeriesError),
    ("DiffusionBValue", _same_number, InconsistentSeriesError),
    ("DiffusionGradientOrientation", _same_direction, InconsistentSeriesError),
]


def _get(frame: Frame, keyword: str) -> Any:
    if keyword == "matrix":
        return frame["Rows"], frame["Columns"]
    value = frame.get(keyword)
    return () if value is None else value


def _require_same(
    frames: Sequence[Frame],
    keyword: str,
    agree: Callable[..., bool],
    error: type[DicomError],
) -> None:
    first = frames[0]
    for frame in frames:
        if not agree(_get(first, keyword), _get(frame, keyword)):
            name = "Rows and Columns" if keyword == "matrix" else keyword
            one, other = (_shown(f, keyword) for f in (first, frame))
            raise error(
                f"{name} differ within one series: {one} in {first['path'].name}, "
                f"{other} in {frame['path'].name}. Give the files of one volume"
                f"{_BY_SCAN if len(split(frames)) > 1 else '.'}"
            )


def _shown(frame: Frame, keyword: str) -> str:
    """Show numbers, and of texts those that the standard defines."""
    value = _get(frame, keyword)
    if not isinstance(value, str):
        return str(value if value != () else None)
    return shown(value, {"Modality": MODALITIES, "Units": UNITS}.get(keyword, ()))


def _require_position(frames: Sequence[Frame]) -> None:
    for frame in frames:
        for keyword, size in (
            ("ImagePositionPatient", 3),
            ("ImageOrientationPatient", 6),
            ("PixelSpacing", 2),
        ):
            values: Any = frame.get(keyword)
            if np.shape(values) != (size,) or not np.isfinite(values).all():
                _refuse_geometry(frame, keyword, f"{size} numbers")
        row, column = np.reshape(frame["ImageOrientationPatient"], (2, 3))
        lengths = np.linalg.norm([row, column], axis=1)
        if np.abs(lengths - 1).max() > 1e-2 or abs(row @ column) > 1e-2:
            _refuse_geometry(frame, "ImageOrientationPatient", "two unit vectors")
        if min(frame["PixelSpacing"]) <= 0:
            _refuse_geometry(frame, "PixelSpacing", "positive")


def _refuse_geometry(frame: Frame, keyword: str, rule: str) -> NoReturn:
    raise GeometryError(
        f"{keyword} must be {rule}, got {frame.get(keyword)} in {frame['path'].name}: "
        "where its pixels lie can't be told. Export the images again from their source."
    )


def _without_scouts(frames: Sequence[Frame]) -> Sequence[Frame]:
    """Drop the scout, from which slices were planned, where it is part of a series."""
    others = [f for f in frames if "LOCALIZER" not in (f.get("ImageType") or ())]
    if not others or len(others) == len(frames):
        return frames
    warnings.warn(
        f"{len(frames) - len(others)} of {len(frames)} images were left out: "
        "ImageType says LOCALIZER.",
        DicomWarning,
        stacklevel=3,
    )
    return others


def _without_copies(frames: Sequence[Frame]) -> Sequence[Frame]:
    """Keep one of several copies of a file."""
    by_uid: dict[object, list[Frame]] = {}
    for frame in frames:
        by_uid.setdefault((frame.get("SOPInstanceUID"), frame["index"]), []).append(
            frame
        )
    kept = [frame for same in by_uid.values() for frame in _unlike(same)]
    if len(kept) < len(frames):
        warnings.warn(
            f"{len(frames) - len(kept)} of {len(frames)} images were left out: their "
            "files are copies of others.",
            DicomWarning,
            stacklevel=4,
        )
    return kept


def _unlike(frames: Sequence[Frame]) -> list[Frame]:
    """Keep one of all frames whose files are the same, byte for byte."""
    if len(frames) == 1:
        return list(frames)
    return list({frame["path"].read_bytes(): frame for frame in frames}.values())


def _refuse_duplicates(frames: Sequence[Frame], heights: np.ndarray) -> None:
    steps = np.diff(heights)
    thickness = frames[0].get("SliceThickness") or np.median(steps) if len(steps) else 0
    at_one_place = np.flatnonzero(steps < max(1e-3, 0.01 * thickness))
    if not len(at_one_place):
        return
    one, other = (frames[at_one_place[0] + i]["path"].name for i in (0, 1))
    way_out = (
        "Give a row of `scan`, which tells them apart."
        if len(_split_by_time(frames)) > 1
        else "Give the files of one volume."
    )
    raise DuplicatePositionError(
        f"ImagePositionPatient of {len(at_one_place)} of {len(frames)} images repeats "
        f"that of another, in {one} and {other} first: these are several volumes. "
        f"{way_out}"
    )


def _thickness(frame: Frame) -> float:
    """Return the extent of a single slice, for which there is no other measure."""
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        if frame.get(keyword):
            return abs(frame[keyword])
    _refuse_geometry(frame, "SliceThickness", "given for a single slice")


def _places(
    heights: np.ndarray, irregular: str, frames: Sequence[Frame]
) -> tuple[np.ndarray, int]:
    """Return where slices lie on a regular grid, and how many slices it has."""
    steps = np.diff(heights)
    counts = np.rint(steps / steps.min())
    step = (heights[-1] - heights[0]) / counts.sum()
    are_few = counts.sum() <= _MOST_GAPS * len(heights)
    if are_few and np.all(np.abs(steps - counts * step) <= counts * _tolerance(step)):
        places = np.concatenate([[0], np.cumsum(counts)])
        n_slices = int(places[-1]) + 1
        if irregular == "raise" and n_slices > len(heights):
            _refuse_gaps(heights[0], step, places)
        return places, n_slices
    if irregular == "raise":
        odd = np.abs(steps - np.median(steps)).argmax()
        raise NonUniformSpacingError(
            f"ImagePositionPatient: the distance between slices varies from "
            f"{steps.min():.4g} to {steps.max():.4g} mm, it is {steps[odd]:.4g} mm "
            f"before {frames[odd + 1]['path'].name}. irregular='interpolate' resamples "
            "them to an even one."
        )
    n_slices = round((heights[-1] - heights[0]) / np.median(steps)) + 1
    extent = (heights - heights[0]) / (heights[-1] - heights[0])
    return extent * (n_slices - 1), n_slices


def _refuse_gaps(first: float, step: float, places: np.ndarray) -> None:
    missing = np.setdiff1d(np.arange(places[-1] + 1), places)
    heights = ", ".join(f"{first + step * place:.4g}" for place in missing[:10])
    more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
    raise MissingSlicesError(
        f"ImagePositionPatient: {len(missing)} slices are missing among "
        f"{len(places)} that are {step:.4g} mm apart, at {heights}{more} mm along "
        "their normal. Complete the series; irregular='interpolate' fills the gaps."
    )


def _step(frames: Sequence[Frame], places: np.ndarray) -> np.ndarray:
    """Return the vector from one slice of the grid to the next."""
    positions = _positions(frames)
    step = (positions[-1] - positions[0]) / places[-1]
    normal = normal_of(frames[0])
    on_line = positions[0] + places[:, None] * step
    across = positions - on_line
    across -= (across @ normal)[:, None] * normal
    worst = np.linalg.norm(across, axis=1).argmax()
    if np.linalg.norm(across[worst]) > _tolerance(float(np.linalg.norm(step))):
        raise NonUniformSpacingError(
            "ImagePositionPatient: the slices don't lie on one straight line, "
            f"{frames[worst]['path'].name} is {np.linalg.norm(across[worst]):.3g} mm "
            "beside it. Give the files of one volume."
        )
    tilt = np.arctan2(np.linalg.norm(np.cross(normal, step)), normal @ step)
    if tilt > _TILT:
        warnings.warn(
            f"The slices are sheared by {np.rad2deg(tilt):.1f} degrees (a tilted "
            "gantry): the affine is, too, and the array taken alone is not a box.",
            DicomWarning,
            stacklevel=4,
        )
    return step


def _affine(first: Frame, step: np.ndarray) -> np.ndarray:
    along_row, along_column = _axes(first)
    between_rows, between_columns = first["PixelSpacing"]
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = between_rows * along_column
    affine[:3, 2] = between_columns * along_row
    affine[:3, 3] = first["ImagePositionPatient"]
    return affine


def _clusters(
    frames: Iterable[Frame], keyword: str, agree: Callable[..., bool]
) -> list[list[Frame]]:
    """Group frames by a value that is the same up to a tolerance."""
    clusters: list[list[Frame]] = []
    for frame in frames:
        value = _get(frame, keyword)
        for cluster in clusters:
            first = _get(cluster[0], keyword)
            if len(first) == len(value) and agree(first, value):
                cluster.append(frame)
                break
        else:
            clusters.append([frame])
    return clusters


def _split_by_time(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Split images that repeat their positions into complete volumes that don't."""
    n_positions = len(set(map(_position, frames)))
    if n_positions < len(frames) and n_positions > 1:
        for keywords in _TELL_APART:
            volumes: dict[object, list[Frame]] = {}
            for frame in frames:
                volumes.setdefault(tuple(map(frame.get, keywords)), []).append(frame)
            if len(volumes) > 1 and all(
                len(volume) == n_positions == len(set(map(_position, volume)))
                for volume in volumes.values()
            ):
                return list(volumes.values())
    return [list(frames)]


_ONE_BY_ONE = [(keyword,) for keyword in (*TEMPORAL, "folder", "path")]
_DIFFUSION = ("DiffusionBValue", "DiffusionGradientOrientation")
_TELL_APART = [_DIFFUSION, *_ONE_BY_ONE, *combinations(TEMPORAL, 2)]


def _position(frame: Frame) -> object:
    return frame.get("ImagePositionPatient")

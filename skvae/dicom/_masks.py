"""Masks on the grid of a volume, from segmentations, contours and label images."""

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import product
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels.utils import iter_pixels, pixel_array
from pydicom.tag import BaseTag
from pydicom.uid import RTStructureSetStorage, SegmentationStorage

from ._doubts import warn_of_doubts
from ._errors import DicomWarning, MaskError, discreet
from ._headers import disorder_of, is_dicom, quiet_pydicom, read_frames
from ._images import UNPLACED, is_image_file, read_image
from ._pixels import check_pixels, plugin_of
from ._terms import OPEN_CONTOURS, shown
from ._volume import Volume, hashed

Label = int | str | None

_LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"  # which pydicom 3.0 doesn't know
_OFF_GRID = 0.1  # voxels that the centre of a voxel may lie away from the grid
_OFF_PLANE = 0.25  # slices that a contour may lie away from the plane of one
_LISTED = 20  # choices that a message lists at most


@discreet
def load_mask(
    source: str | PathLike[str] | Sequence[str | PathLike[str]] | Mapping[str, Any],
    like: Volume,
    label: Label | Sequence[Label] = None,
) -> np.ndarray:
    """Read a mask onto the grid of a volume.

    Nothing is resampled: the mask must have been drawn on this volume, or on one with
    the same grid. It may hold some of the slices only, in any order, turned or
    mirrored.

    Parameters
    ----------
    source : path, list of paths, or row of `select_regions` or `regions`
        A DICOM segmentation (SEG: binary, fractional or label map), DICOM contours
        (RTSTRUCT), or a label image (.nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd). Of
        fractional segmentations, voxels at half of MaximumFractionalValue or more are
        taken; of contours, pixels whose centre lies inside. Contours in one slice cut
        holes into each other (even-odd rule). The masks of several files are united. A
        row names its files as "mask" and what to take in them as "mask_label".
    like : Volume
        The volume that the mask belongs to.
    label : int, str or list of these, default=None
        Which mask to take where the file holds several: the number or name of a segment
        or ROI, the value of voxels in a label image. None takes the only one. The masks
        of a list are united; with a list of files, it names one for each.

    Returns
    -------
    mask : ndarray of shape (n_slices, n_rows, n_columns), bool
        True in at least one voxel.

    Raises
    ------
    MaskError
        If the file holds no mask, or none called `label`; if the mask is empty, lies in
        another frame of reference, off the grid of `like` or outside it.
    CorruptFileError
        If the file is cut off or damaged.
    DecoderMissingError
        If no installed package decompresses a segmentation.
    ImportError
        If the mask is NIfTI and nibabel is missing, or NRRD or MetaImage and SimpleITK
        is.

    References
    ----------
    DICOM PS3.3, A.51 "Segmentation IOD" and C.8.8.6 "ROI Contour Module",
    https://dicom.nema.org/medical/dicom/current/output/chtml/part03/PS3.3.html.
    """
    if hasattr(source, "keys"):
        source, label = mask_of(source, label)
    parts = [_load_one(path, like, one) for path, one in _pairs(source, label)]
    return np.logical_or.reduce(parts)


def mask_of(row: Any, label: Any = None) -> tuple[Any, Any]:
    """Return the files that a row names as its mask, and what to take in them."""
    stated = row.get("mask_label")
    if is_missing(stated):
        return row.get("mask"), label
    if isinstance(stated, float) and stated.is_integer():
        stated = int(stated)  # of a column of whole numbers, some of them missing
    if label is not None and label not in (stated, row.get("region")):
        raise ValueError(
            f'`label`={label!r} contradicts the column "mask_label", which says '
            f"{stated!r}. Leave one of them out."
        )
    return row.get("mask"), stated


def is_missing(value: Any) -> bool:
    """Tell None and NaN from values, among them lists."""
    return np.ndim(value) == 0 and bool(pd.isna(value))


def _pairs(source: Any, label: Any) -> list[tuple[Any, Any]]:
    """Pair files with labels; one of either goes with all of the other."""
    files = [source] if isinstance(source, str | PathLike) else source
    labels = [label] if isinstance(label, str) or not np.ndim(label) else label
    if is_missing(files) or not len(files) or not len(labels):
        raise MaskError(
            "No mask is named. Give the file of one, or a row of `select_regions`."
        )
    n = max(len(files), len(labels))
    if {len(files), len(labels)} - {1, n}:
        raise ValueError(
            f"`label` must name one mask, or one for each of {len(files)} files, got "
            f"{len(labels)}."
        )
    return list(
        zip([*files] * (n // len(files)), [*labels] * (n // len(labels)), strict=True)
    )


def _load_one(file: str | PathLike[str], like: Volume, label: Label) -> np.ndarray:
    path = Path(file)
    if not isinstance(label, Integral | str | None) or isinstance(label, bool):
        raise TypeError(f"`label` must be an int, a str or None, got {label!r}.")
    if not path.is_file():
        raise FileNotFoundError(f"`source` must be a file, {path.name} is none.")
    try:
        mask = _read(path, like, label)
        if not mask.any():
            raise MaskError("the mask is empty. Take another `label` or no mask.")
    except MaskError as error:
        raise MaskError(f"{path.name}: {error}") from None
    return mask


def read_label_image(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the values of a label image, and its affine where it states one."""
    image = read_image(path)
    return np.asarray(image.values), image.affine


def _read(path: Path, like: Volume, label: Label) -> np.ndarray:
    if is_image_file(path):
        return _from_label_image(*read_label_image(path), like, label)
    if path.name.lower().endswith(".dcm") or is_dicom(path):
        return _from_dicom(path, like, label)
    raise MaskError(
        "must be DICOM (SEG or RTSTRUCT), NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr) "
        "or MetaImage (.mha, .mhd) and is none of these. Convert it to one."
    )


def _from_dicom(path: Path, like: Volume, label: Label) -> np.ndarray:
    with quiet_pydicom(path):
        dataset = pydicom.dcmread(path, force=is_dicom(path))
        read = _DICOM.get(dataset.get("SOPClassUID"))
        if read is None:
            raise MaskError(
                "SOPClassUID must be that of a segmentation (SEG) or structure set "
                "(RTSTRUCT). Give the file of the mask."
            )
        frames = read_frames(path)
        if "PixelData" in dataset:
            check_pixels(frames[0])
        mask = read(dataset, like, label)
        doubts = _doubts(dataset, label) if read is _from_rtstruct else []
    warn_of_doubts(frames)
    if read is _from_rtstruct:
        _warn_of_gaps(mask, path.name)
    for doubt in doubts:
        warnings.warn(f"{path.name}: {doubt}", DicomWarning, stacklevel=5)
    return mask


def _from_seg(seg: Dataset, like: Volume, label: Label) -> np.ndarray:
    _check_space(seg, "FrameOfReferenceUID", like)
    segments = {
        int(segment.SegmentNumber): str(segment.SegmentLabel)
        for segment in _get("SegmentSequence", seg)
        if segment.SegmentNumber  # 0 is the background of a label map
    }
    number = _choose(segments, label)
    kind = _get("SegmentationType", seg)
    if kind not in _IS_SET:
        raise MaskError(
            f"SegmentationType must be one of {', '.join(_IS_SET)}. Export the mask "
            "again from its source."
        )
    is_set = _IS_SET[kind]
    affines = _affines_of_frames(seg, number, segments)
    mask = np.zeros(like.shape, bool)
    for affine, frame in zip(affines.values(), _frames(seg, [*affines]), strict=False):
        _place(mask, is_set(frame, seg, number), affine, like)
    return mask


_IS_SET: dict[str, Callable[[np.ndarray, Dataset, int], np.ndarray]] = {
    "BINARY": lambda frame, seg, number: frame != 0,
    "FRACTIONAL": lambda frame, seg, number: _is_half(frame, seg),
    "LABELMAP": lambda frame, seg, number: frame == number,
}


def _is_half(frame: np.ndarray, seg: Dataset) -> np.ndarray:
    most = int(_get("MaximumFractionalValue", seg))
    if most <= 0 or frame.max() > most:
        raise MaskError(
            f"MaximumFractionalValue is {most}, but voxels hold {frame.max()}. Export "
            "the mask again from its source."
        )
    return frame >= most / 2


def _frames(seg: Dataset, indices: list[int]) -> Iterator[np.ndarray]:
    """Decode some frames.

    pydicom 3.0 cuts a frame of single bits short that ends within a byte, unless it
    decodes them all.
    """
    how: Any = {"decoding_plugin": plugin_of(seg.file_meta.TransferSyntaxUID)}
    if seg.BitsAllocated == 1 and seg.Rows * seg.Columns % 8:
        whole = pixel_array(seg, **how).reshape(-1, seg.Rows, seg.Columns)
        return iter(whole[indices])
    return iter_pixels(seg, indices=indices, **how)


def _affines_of_frames(
    seg: Dataset, number: int, known: Collection[int]
) -> dict[int, np.ndarray]:
    """Return the affine of each frame that a segment is in, by the frame's index."""
    (shared,) = _get("SharedFunctionalGroupsSequence", seg)
    groups = _get("PerFrameFunctionalGroupsSequence", seg)
    numbers = [number] * len(groups)
    if seg.SegmentationType != "LABELMAP":
        numbers = [
            _get_of_frame("ReferencedSegmentNumber", own, shared) for own in groups
        ]
    for stated in numbers:
        if stated not in known:
            raise MaskError(
                f"ReferencedSegmentNumber {stated} is not listed in SegmentSequence. "
                "Export the mask again from its source."
            )
    affines = {
        index: _affine_of_frame(own, shared)
        for index, own in enumerate(groups)
        if numbers[index] == number
    }
    if len({affine.tobytes() for affine in affines.values()}) < len(affines):
        raise MaskError(
            "a segment has several frames at one ImagePositionPatient, of several "
            "times perhaps. Split it."
        )
    return affines


def _affine_of_frame(*groups: Dataset) -> np.ndarray:
    """Return the matrix of shape (4, 3) from (row, column, 1) to millimetres."""
    spacing = _get_of_frame("PixelSpacing", *groups)
    cosines = _get_of_frame("ImageOrientationPatient", *groups)
    affine = np.zeros((4, 3))
    affine[:3, 0] = np.multiply(cosines[3:], spacing[0])
    affine[:3, 1] = np.multiply(cosines[:3], spacing[1])
    affine[:, 2] = *_get_of_frame("ImagePositionPatient", *groups), 1
    return affine


_GROUPS = {
    "ReferencedSegmentNumber": "SegmentIdentificationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "ImagePositionPatient": "PlanePositionSequence",
}


def _get_of_frame(keyword: str, *groups: Dataset) -> Any:
    (group,) = _get(_GROUPS[keyword], *groups)
    return _get(keyword, group)


def _get(keyword: str, *datasets: Dataset) -> Any:
    """Return what the first data set that states an attribute says."""
    for dataset in datasets:
        if keyword in dataset:
            return dataset[keyword].value
    raise MaskError(f"{keyword} is missing. Export the mask again from its source.")


def _from_rtstruct(structures: Dataset, like: Volume, label: Label) -> np.ndarray:
    rois = _rois(structures)
    number = _choose_roi(rois, label)
    _check_space(rois[number], "ReferencedFrameOfReferenceUID", like)
    mask = np.zeros(like.shape, bool)
    drawn = set()
    for contour in filter(_is_closed, _contours(structures, number)):
        index, corners = _corners(contour, like)
        key = index, corners.tobytes()
        if key in drawn:
            raise MaskError(
                f"ContourData repeats a contour in slice {index}: by the even-odd rule "
                "the two cancel each other. Export the contours again."
            )
        drawn.add(key)
        mask[index] ^= _fill(corners, like.shape[1:])
    return mask


def _rois(structures: Dataset) -> dict[int, Dataset]:
    rois = _get("StructureSetROISequence", structures)
    return {int(roi.ROINumber): roi for roi in rois}


def _choose_roi(rois: Mapping[int, Dataset], label: Label) -> int:
    names = {number: str(roi.get("ROIName", "")) for number, roi in rois.items()}
    return _choose(names, label)


def _doubts(structures: Dataset, label: Label) -> list[str]:
    """Tell what makes contours doubtful that were read."""
    rois = _rois(structures)
    drawn = _get("ROIContourSequence", structures)
    contours = [*_contours(structures, _choose_roi(rois, label))]
    n_wrong = sum(not _has_stated_points(contour) for contour in contours)
    doubts = {
        "ROIContourSequence draws a region that StructureSetROISequence doesn't list. "
        "The numbers of regions may be wrong: look at the mask.": any(
            int(roi.ReferencedROINumber) not in rois for roi in drawn
        ),
        f"NumberOfContourPoints is not that of ContourData in {n_wrong} of "
        f"{len(contours)} contours. Points may be missing: look at the mask.": n_wrong,
    }
    return [text for text, is_doubtful in doubts.items() if is_doubtful]


def _has_stated_points(contour: Dataset) -> bool:
    stated = contour.get("NumberOfContourPoints")
    return stated is None or 3 * stated == np.size(contour.get("ContourData"))


def _warn_of_gaps(mask: np.ndarray, name: str) -> None:
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    n_skipped = np.sum(np.diff(slices) - 1)
    if n_skipped:
        warnings.warn(
            f"{name}: contours leave out {n_skipped} slices between others, where the "
            "mask has gaps.",
            DicomWarning,
            stacklevel=2,
        )


def _contours(structures: Dataset, number: int) -> Iterator[Dataset]:
    for roi in _get("ROIContourSequence", structures):
        if roi.ReferencedROINumber == number:
            yield from map(_in_order, roi.get("ContourSequence") or ())


def _in_order(contour: Dataset) -> Dataset:
    if disorder_of(contour) or not all(map(_is_of_contours, contour.keys())):
        raise MaskError(
            "ContourSequence has an item with elements that are out of order, repeated "
            "or strange to it. Export the contours again."
        )
    return contour


def _is_of_contours(tag: BaseTag) -> bool:
    return tag.is_private or tag.group in (0x0008, 0x3006)


def _is_closed(contour: Dataset) -> bool:
    kind = _get("ContourGeometricType", contour)
    if kind not in _IS_CLOSED:
        raise MaskError(
            f"ContourGeometricType must be one of {', '.join(_IS_CLOSED)}, got "
            f"{shown(kind, OPEN_CONTOURS)}. Draw closed contours."
        )
    return _IS_CLOSED[kind]


_IS_CLOSED = {"CLOSED_PLANAR": True, "CLOSEDPLANAR_XOR": True, "POINT": False}


def _corners(contour: Dataset, like: Volume) -> tuple[int, np.ndarray]:
    """Return the slice of a contour, and its points as (row, column) in it."""
    data = _contour_data(contour)
    if data.size % 3:
        raise MaskError(
            f"ContourData must hold three numbers for each point, got {data.size} in "
            "all. Export the contours again."
        )
    points = np.column_stack([data.reshape(-1, 3), np.ones(data.size // 3)])
    # Rounded, lest the noise of floats decide about edges through centres of pixels.
    slices, *corners = np.linalg.solve(like.affine, points.T)[:3].round(6)
    index = np.rint(slices[0])
    off = abs(slices - index).max()
    if not off <= _OFF_PLANE:
        raise MaskError(
            "ContourData lies off the grid of the volume: each contour must lie in one "
            f"slice, give or take {_OFF_PLANE}, got {off:.2g}. Load the series it was "
            "drawn on."
        )
    if not 0 <= index < like.shape[0]:
        raise MaskError(
            f"ContourData lies outside the volume, in slice {index:g} of "
            f"0 to {like.shape[0] - 1}. Load the whole series it was drawn on."
        )
    return int(index), np.column_stack(corners)


def _contour_data(contour: Dataset) -> np.ndarray:
    """Return the numbers of a contour, many times as fast as pydicom makes them."""
    element: Any = contour.get_item("ContourData")
    value = None if element is None else element.value
    if isinstance(value, bytes):
        value = value.strip(b"\0 ").split(b"\\")
    return np.atleast_1d(np.array(value, dtype=float))


def _fill(corners: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Tell by the even-odd rule which centres of pixels lie in a polygon.

    Along a row, each edge that crosses it turns outside into inside, or back. Centres
    on an edge belong to what lies beyond it, towards higher indices.
    """
    edges = np.stack([corners, np.roll(corners, -1, axis=0)])
    falls = edges[0, :, :1] <= edges[1, :, :1]
    above, below = np.where(falls, edges, edges[::-1])
    rows = np.arange(shape[0])
    edge, row = np.nonzero((above[:, :1] <= rows) & (rows < below[:, :1]))
    start, step = above[edge], (below - above)[edge]
    column = start[:, 1] + (row - start[:, 0]) / step[:, 0] * step[:, 1]
    turns = np.zeros((shape[0], shape[1] + 1), bool)
    first = np.ceil(column).clip(0, shape[1]).astype(int)
    np.logical_xor.at(turns, (row, first), True)
    return np.logical_xor.accumulate(turns, axis=1)[:, :-1]


def _from_label_image(
    values: np.ndarray, affine: np.ndarray | None, like: Volume, label: Label
) -> np.ndarray:
    affine, found = affine_and_labels(values, affine)
    number = _choose({int(value): "" for value in found}, label)
    mask = np.zeros(like.shape, bool)
    _place(mask, values == number, affine, like)
    return mask


def affine_and_labels(
    values: np.ndarray, affine: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return what places a label image, and its labels, or say why it is none."""
    if affine is None:
        raise MaskError(UNPLACED)
    if values.ndim != 3 or not _are_whole(values):
        raise MaskError(
            f"must hold whole numbers in 3 dimensions, got {values.dtype} in "
            f"{values.ndim}. Round or split it."
        )
    return affine, np.unique(values[values != 0])


def _are_whole(values: np.ndarray) -> bool:
    if values.dtype.kind not in "biuf":
        return False
    return bool((np.isfinite(values) & (values == np.rint(values))).all())


def _place(
    mask: np.ndarray, values: np.ndarray, affine: np.ndarray, like: Volume
) -> None:
    """Set in a mask what is set in a slice, or in a grid, of the same voxels.

    Parameters
    ----------
    mask : ndarray of shape (n_slices, n_rows, n_columns), bool
    values : ndarray of n dimensions, bool
    affine : ndarray of shape (4, n + 1)
        Takes indices of `values`, and 1, to millimetres.
    like : Volume
    """
    exact = np.linalg.solve(like.affine, affine)[:3]
    whole = np.rint(exact)
    steps, offset = whole[:, :-1], whole[:, -1]
    corners = [*product(*((0, size - 1) for size in values.shape), [1])]
    distance = abs((exact - whole) @ np.transpose(corners)).max()
    permutes = np.array_equal(abs(steps.T) @ abs(steps), np.eye(values.ndim))
    if not (permutes and distance <= _OFF_GRID):
        off = f"{distance:.2g} voxels off" if permutes else "turned or scaled"
        raise MaskError(
            f"lies off the grid of the volume ({_BY}): it is {off}. Resample it onto "
            "the volume, or load the series it was drawn on."
        )
    indices = (np.argwhere(values) @ steps.T + offset).astype(int)
    if ((indices < 0) | (indices >= mask.shape)).any():
        raise MaskError(
            f"lies partly outside the volume ({_BY}). Load the whole series it was "
            "drawn on."
        )
    mask[tuple(indices.T)] = True


_BY = "by ImagePositionPatient, ImageOrientationPatient, PixelSpacing or its affine"


def _check_space(dataset: Dataset, keyword: str, like: Volume) -> None:
    space = hashed(dataset.get(keyword))
    if space and like.frame_of_reference not in (None, space):
        raise MaskError(
            f"{keyword} differs from the volume's FrameOfReferenceUID. Load the series "
            "that the mask was drawn on, or register the two."
        )


def _choose(choices: Mapping[int, str], label: Label) -> int:
    """Return the number of the one mask that `label` stands for."""
    fits = [n for n, name in choices.items() if label is None or label in (n, name)]
    if len(fits) == 1:
        return fits[0]
    if not choices:
        raise MaskError("holds no mask: nothing is drawn in it. Give another file.")
    listed = [f"{n} ({name})" if name else str(n) for n, name in choices.items()]
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    raise MaskError(
        f"`label` must be one of {', '.join(listed[:_LISTED])}{more}, got {label!r}."
    )


_DICOM: dict[Any, Callable[[Dataset, Volume, Label], np.ndarray]] = {
    SegmentationStorage: _from_seg,
    _LABEL_MAP_STORAGE: _from_seg,
    RTStructureSetStorage: _from_rtstruct,
}

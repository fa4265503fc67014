"""The regions in masks: segments, contours and labels."""

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from ._errors import DicomError, DicomWarning, MaskError
from ._headers import MASKS, quiet_pydicom
from ._images import (
    FORMATS,
    format_of,
    grid_of_image,
    is_image_file,
    read_image,
    reading_by,
)
from ._masks import (
    _affines_of_frames,
    _check_space,
    _contours,
    _corners,
    _is_closed,
    _place,
    affine_and_labels,
    read_label_image,
)
from ._scan import reason_of
from ._series import frames_of, image_file_in, lay_out
from ._volume import Volume, hashed

_NAMES = [
    "volume",
    "patient_id",
    "modality",
    "region",
    "mask",
    "mask_label",
    "kind",
    "drawn_on",
    "is_drawn_here",
    "is_on_grid",
    "problem",
]
KINDS = ("SEG", "RTSTRUCT", *dict.fromkeys(kind.name for kind in FORMATS.values()))
_LARGEST = 2**31  # of numbers, by the standard
_MOST_LABELS = 200  # values in a label image; one with more is no mask


@dataclass(frozen=True)
class Region:
    """One of the regions in a file.

    Attributes
    ----------
    name : str
    number : int
        Of the segment or ROI, or the value of voxels.
    check : callable
        Takes a `Volume` and raises MaskError if the region lies off its grid.
    """

    name: str
    number: int
    check: Callable[[Volume], object]


@dataclass(frozen=True)
class Contents:
    """What a file of masks holds, and on which series and images it was drawn."""

    kind: str
    regions: list[Region]
    series: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Grid:
    """The grid of a volume, without its values, and the UIDs of its images."""

    volume: Volume
    images: frozenset[str]


def regions(volumes: pd.DataFrame) -> pd.DataFrame:
    """List the regions in the masks of volumes: segments, contours and labels.

    Each file is opened once. Segmentations are not decoded.

    Parameters
    ----------
    volumes : DataFrame
        A table from `scan`, or some of its rows; for NIfTI, NRRD and MetaImage one
        with the columns "files" and "label_images", both of tuples of paths.

    Returns
    -------
    regions : DataFrame
        One row for each volume and each region that may lie on it, in the order of
        `volumes`:

        - volume: label of the volume in the index of `volumes`
        - patient_id, modality: of the volume
        - region: name of the segment or ROI. In a label image, it is the name of the
          file if it has one label, or else what a .seg.nrrd file calls the label, or
          the label itself
        - mask, mask_label: the file, and the number of the segment or ROI in it, or the
          label
        - kind: "SEG", "RTSTRUCT", "NIfTI", "NRRD" or "MHA"
        - drawn_on: SeriesInstanceUID of the series that the file says it was drawn on;
          missing where it says none. For a label image, it is the series in whose
          folder the file lies
        - is_drawn_here: whether that is the series of the volume
        - is_on_grid: whether `load_mask` takes it: contours lie in slices, other masks
          on the voxels of the volume
        - problem: why it can't be taken; missing where it can. A file that can't be
          read has one row, without a region

    Raises
    ------
    TypeError
        If `volumes` is not a table of `scan`.
    ValueError
        If the index of `volumes` repeats itself.

    See Also
    --------
    select_regions : Pick one region for each volume.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from skvae.datasets import make_dicom_cohort
    >>> from skvae.dicom import regions, scan
    >>> with TemporaryDirectory() as folder:
    ...     options = {"modalities": ("CT", "MR"), "regions": ("GTV", "Edema")}
    ...     patients = make_dicom_cohort(folder, 1, **options, random_state=0)
    ...     found = regions(scan(folder))
    >>> found.loc[found["is_drawn_here"], ["modality", "region", "is_on_grid"]]
      modality region  is_on_grid
    0       CT    GTV        True
    1       CT  Edema        True
    6       MR    GTV        True
    7       MR  Edema        True
    """
    columns = {*getattr(volumes, "columns", ())}
    if "files" not in columns or columns.isdisjoint({"masks", "label_images"}):
        raise TypeError(
            "`volumes` must be a table from `scan`, some of its rows, or one with the "
            'columns "files" and "label_images".'
        )
    if not volumes.index.is_unique:
        raise ValueError(
            "The index of `volumes` must name each row once. Take "
            "volumes.reset_index(drop=True)."
        )
    rows = list(volumes.iterrows())
    grid_at = cache(lambda place: _grid_of(rows[place][1]))
    found: list[dict[str, Any]] = []
    for path, places in _places_of_files(rows).items():
        contents = _try_to_read(Path(path))
        lines = [
            {"place": place, "volume": rows[place][0], "mask": path, **line}
            for place in places
            for line in _lines(Path(path), contents, rows[place][1], grid_at(place))
        ]
        _share_series(lines)
        found += lines
    found.sort(key=itemgetter("place"))
    kinds = {"is_drawn_here": bool, "is_on_grid": bool, "mask_label": "Int64"}
    return pd.DataFrame(found, columns=_NAMES).astype(kinds)


def _places_of_files(rows: Sequence[tuple[Any, Any]]) -> dict[str, list[int]]:
    """Tell which rows each file may have masks for."""
    places: dict[str, list[int]] = {}
    for place, (_, row) in enumerate(rows):
        for path in (*row.get("masks", ()), *row.get("label_images", ())):
            places.setdefault(path, []).append(place)
    return places


def _lines(
    path: Path, contents: Contents | str, row: Any, grid: Grid | str
) -> Iterator[dict[str, Any]]:
    """Describe what a file holds, as seen from one volume."""
    about = {name: row.get(name) for name in ("patient_id", "modality")}
    about |= {"is_drawn_here": False, "is_on_grid": False, "drawn_on": None}
    if isinstance(contents, str):
        yield about | {"problem": contents}
        return
    drawn_on, is_here = _drawn_on(path, contents, row, grid)
    for region in contents.regions:
        problem = grid if isinstance(grid, str) else _problem(path, region, grid.volume)
        yield about | {
            "region": region.name,
            "mask_label": region.number,
            "kind": contents.kind,
            "drawn_on": drawn_on,
            "is_drawn_here": is_here,
            "is_on_grid": problem is None,
            "problem": problem,
        }


def _share_series(lines: Iterable[dict[str, Any]]) -> None:
    """Name the series where it is known from another volume only."""
    known = [line["drawn_on"] for line in lines if line["is_drawn_here"]]
    for line in lines:
        line["drawn_on"] = line["drawn_on"] or next(iter(known), None)


def _drawn_on(
    path: Path, contents: Contents, row: Any, grid: Grid | str
) -> tuple[str | None, bool]:
    """Return the series that a mask was drawn on, and whether it is that of a row."""
    own = row.get("series_uid")
    if len(contents.series) == 1:
        (series,) = contents.series
        return series, series == own
    if is_image_file(path):
        is_here = {Path(file).parent for file in row["files"]} == {path.parent}
    else:
        images = grid.images if isinstance(grid, Grid) else frozenset()
        is_here = bool(contents.images & images) or own in contents.series
    return (own if is_here else None), is_here


def _problem(path: Path, region: Region, like: Volume) -> str | None:
    try:
        with quiet_pydicom(path):
            region.check(like)
    except (DicomError, OSError) as error:
        return reason_of(error)
    return None


def _grid_of(row: Any) -> Grid | str:
    """Read where the images of a volume lie, or say why they make none."""
    try:
        path = image_file_in(row)
        return _grid_of_frames(row) if path is None else _grid_of_image(path)
    except (DicomError, OSError, ImportError) as error:
        return reason_of(error)


def _grid_of_image(path: Path) -> Grid:
    shape, affine = grid_of_image(path, read_image(path, with_values=False))
    nothing = np.broadcast_to(np.float32(0), shape)
    return Grid(Volume(nothing, affine), frozenset())


def _grid_of_frames(row: Any) -> Grid:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DicomWarning)
        frames = frames_of(row)
        layout = lay_out(frames, "interpolate")
    first = layout.frames[0]
    shape = layout.n_slices, first["Rows"], first["Columns"]
    nothing = np.broadcast_to(np.float32(0), shape)
    space = hashed(first.get("FrameOfReferenceUID"))
    images = frozenset(str(frame.get("SOPInstanceUID")) for frame in frames)
    return Grid(Volume(nothing, layout.affine, frame_of_reference=space), images)


def _try_to_read(path: Path) -> Contents | str:
    try:
        return _from_label_image(path) if is_image_file(path) else _from_dicom(path)
    except (DicomError, OSError, ImportError) as error:
        return reason_of(error)


def _from_dicom(path: Path) -> Contents:
    with quiet_pydicom(path):
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        if dataset.SOPClassUID not in MASKS:
            raise MaskError(f"{path.name} holds no mask any more. Scan again.")
        is_contours = dataset.SOPClassUID == RTStructureSetStorage
        found = (_from_rtstruct if is_contours else _from_seg)(dataset)
    if not found.regions:
        raise MaskError(f"{path.name} holds no mask: nothing is drawn in it.")
    return found


def _from_seg(seg: Dataset) -> Contents:
    names = {
        _number(segment.SegmentNumber): str(segment.get("SegmentLabel", ""))
        for segment in seg.get("SegmentSequence") or ()
        if segment.SegmentNumber  # 0 is the background of a label map
    }
    found = [
        Region(name, number, partial(_check_frames, seg, number, names))
        for number, name in names.items()
    ]
    series = _uids(seg.get("ReferencedSeriesSequence"), "SeriesInstanceUID")
    groups = [
        *(seg.get("SharedFunctionalGroupsSequence") or ()),
        *(seg.get("PerFrameFunctionalGroupsSequence") or ()),
    ]
    sources = _below(groups, "DerivationImageSequence", "SourceImageSequence")
    return Contents("SEG", found, series, _uids(sources, "ReferencedSOPInstanceUID"))


def _check_frames(
    seg: Dataset, number: int, known: Collection[int], like: Volume
) -> None:
    _check_space(seg, "FrameOfReferenceUID", like)
    affines = _affines_of_frames(seg, number, known)
    if not affines:
        raise MaskError("the mask is empty.")
    # No voxel is set: only the grids are compared.
    mask, frame = np.zeros(like.shape, bool), np.zeros((seg.Rows, seg.Columns), bool)
    for affine in affines.values():
        _place(mask, frame, affine, like)


def _from_rtstruct(structures: Dataset) -> Contents:
    found = [
        Region(
            str(roi.get("ROIName", "")),
            _number(roi.ROINumber),
            partial(_check_contours, structures, roi),
        )
        for roi in structures.get("StructureSetROISequence") or ()
    ]
    spaces = structures.get("ReferencedFrameOfReferenceSequence")
    steps = "RTReferencedStudySequence", "RTReferencedSeriesSequence"
    series = _uids(_below(spaces, *steps), "SeriesInstanceUID")
    steps = "ContourSequence", "ContourImageSequence"
    images = _below(structures.get("ROIContourSequence"), *steps)
    return Contents(
        "RTSTRUCT", found, series, _uids(images, "ReferencedSOPInstanceUID")
    )


def _check_contours(structures: Dataset, roi: Dataset, like: Volume) -> None:
    _check_space(roi, "ReferencedFrameOfReferenceUID", like)
    closed = list(filter(_is_closed, _contours(structures, int(roi.ROINumber))))
    if not closed:
        raise MaskError("the mask is empty: no contour is closed.")
    for contour in closed:
        _corners(contour, like)


def _number(value: Any) -> int:
    if not abs(value) < _LARGEST:
        raise MaskError(f"a region has the number {value:g}. Number them anew.")
    return int(value)


def _below(items: Iterable[Dataset] | None, *keywords: str) -> list[Dataset]:
    """Walk down sequences in sequences."""
    found = list(items or ())
    for keyword in keywords:
        found = [inner for item in found for inner in item.get(keyword) or ()]
    return found


def _uids(items: Iterable[Dataset] | None, keyword: str) -> frozenset[str]:
    return frozenset(
        str(item[keyword].value) for item in items or () if keyword in item
    )


def _from_label_image(path: Path) -> Contents:
    values, stated = read_label_image(path)
    affine, labels = affine_and_labels(values, stated)
    numbers = [_number(label) for label in labels.tolist()]
    if not numbers:
        raise MaskError(f"{path.name} holds no mask: all voxels are 0.")
    if len(numbers) > _MOST_LABELS:
        raise MaskError(
            f"{path.name} holds {len(numbers)} values, more than {_MOST_LABELS}: it is "
            "an image, or a map, and no mask."
        )
    suffix, kind = format_of(path)
    names = _names_in_nrrd(path) if kind.name == "NRRD" else {}
    if len(numbers) == 1:
        names = {numbers[0]: path.name[: -len(suffix)].removesuffix(".seg")} | names
    fitting: set[int] = set()
    found = [
        Region(
            names.get(number, str(number)),
            number,
            partial(_check_voxels, values, affine, number, fitting),
        )
        for number in numbers
    ]
    return Contents(kind.name, found)


def _check_voxels(
    values: np.ndarray,
    affine: np.ndarray,
    number: int,
    fitting: set[int],
    like: Volume,
) -> None:
    """Look at all labels at once, and at one alone only where they don't fit.

    `fitting` keeps the ids of volumes on which all of them lie.
    """
    if id(like) in fitting:
        return
    try:
        _place(np.zeros(like.shape, bool), values != 0, affine, like)
        fitting.add(id(like))
    except MaskError:
        _place(np.zeros(like.shape, bool), values == number, affine, like)


def _names_in_nrrd(path: Path) -> dict[int, str]:
    """Return the names that 3D Slicer gives to labels."""
    with reading_by("SimpleITK", path) as sitk:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        about = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
    names = {}
    for key, name in about.items():
        stated = about.get(key.removesuffix("_Name") + "_LabelValue", "")
        if key.startswith("Segment") and key.endswith("_Name") and stated.isdigit():
            names[int(stated)] = name
    return names

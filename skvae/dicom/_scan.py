"""List the volumes in a folder."""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from ._errors import CorruptFileError, DicomError, DicomWarning
from ._geometry import split
from ._headers import MASKS, Frame, claims_dicom, is_dicom, is_image, read_frames
from ._images import grid_of_image, is_image_file, read_image
from ._remarks import remarks_on
from ._series import by_series, files_in, lay_out
from ._volume import spacing_of

_CHUNK = 256  # files per task
_PATIENCE = 2  # seconds before progress is shown
_COLUMNS = {
    "patient_id": "PatientID",
    "study_uid": "StudyInstanceUID",
    "series_uid": "SeriesInstanceUID",
    "frame_of_reference_uid": "FrameOfReferenceUID",
    "modality": "Modality",
    "description": "SeriesDescription",
    "orientation": "ImageOrientationPatient",
}
_NAMES = (*_COLUMNS, "n_slices", "shape", "spacing", "files", "frames", "masks")
_NAMES = (*_NAMES, "label_images", "remark", "problem")


def scan(
    root: str | os.PathLike[str],
    *,
    images: str | Mapping[str, str] | None = None,
    n_jobs: int | None = 1,
    follow_links: bool = False,
    progress: bool | None = None,
) -> pd.DataFrame:
    """List the volumes in a folder of DICOM files, whatever its order.

    Only headers are read. Images are told apart by series, then by orientation and
    matrix; then, where they repeat their positions, by time, echo, diffusion weighting
    and direction, or folder. Parts of one stack that differ in their matrix stay
    together: they are one row with a problem.

    Parameters
    ----------
    root : path
        Folder that is read with all folders below it.
    images : str, dict or None, default=None
        Which of the NIfTI, NRRD and MetaImage files are images, by a pattern for their
        path below `root`; others may be masks. A dict has one pattern for each
        modality, ``{"CT": "*ct.nii.gz"}``: these files don't say theirs.
    n_jobs : int or None, default=1
        Processes that read, as in joblib.
    follow_links : bool, default=False
        Whether to go into folders that are links. Each folder is visited once, also
        where links make a loop.
    progress : bool or None, default=None
        Whether to show a bar. None shows it in a terminal, if the scan takes more than
        two seconds.

    Returns
    -------
    volumes : DataFrame
        One row per volume, each of which `load_series` and `VolumeLoader` take:

        - patient_id, study_uid, series_uid, frame_of_reference_uid, modality,
          description: as in the files. For `images`, the patient is the name of the
          folder directly below `root`; missing if there is none
        - n_slices, shape (slices, rows, columns), spacing (of these, in mm),
          orientation (direction cosines of rows and columns)
        - files, frames: the images, and the number of each within its file
        - masks: DICOM files that hold masks in the same space
        - label_images: NIfTI, NRRD and MetaImage files in the patient's folder, which
          may be masks
        - remark: what sets a volume apart from others of its series ("echo 2", "b 800",
          "field map"), and whether it is a "scout"; missing where there is no such
          thing to say
        - problem: why these images can't be read as a volume; missing where they can

    Warns
    -----
    DicomWarning
        If there are no images, or files that are left out since they are not DICOM, or
        hold neither images nor masks (reports, plans); how many.

    Raises
    ------
    NotADirectoryError
        If `root` is not a folder.

    See Also
    --------
    regions : List the regions in the masks.
    load_series : Read one of the volumes.

    Examples
    --------
    >>> from pathlib import Path
    >>> from pydicom.data import get_testdata_file
    >>> from skvae.dicom import scan
    >>> folder = Path(get_testdata_file("DICOMDIR")).parent / "98892003"
    >>> scan(folder)["modality"].tolist()[:3]
    ['MR', 'MR', 'MR']
    """
    if not Path(root).is_dir():
        raise NotADirectoryError(
            f"`root` must be a folder, {Path(root).name!r} is none."
        )
    locked: list[OSError] = []
    paths = list(files_in(Path(root), follow_links, locked.append))
    read = _read_all(paths, n_jobs, progress)
    frames = [frame for part, _, _ in read for frame in part]
    slices = list(filter(is_image, frames))
    masks = [frame for frame in frames if frame.get("SOPClassUID") in MASKS]
    problems = [problem for _, part, _ in read for problem in part]
    others = _not_among(filter(is_image_file, paths), frames, problems)
    files = _image_files(others, images, Path(root))
    named = {file["path"] for file in files}
    others = [path for path in others if path not in named]
    label_images = _label_images(others, [*slices, *files], Path(root))
    n_others = sum(n for _, _, n in read) - len(files)
    n_others -= sum(map(len, label_images.values()))
    n_reports = len(frames) - len(slices) - len(masks)
    n_listed = len(slices) + len(files) + len(problems)
    _warn_of_others(len(paths), n_listed, n_others, n_reports)
    volumes = _volumes(slices)
    masks_in = _by_space(masks)
    rows = [
        _row(volume, masks_in, label_images) | {"remark": remark}
        for volume, remark in zip(volumes, remarks_on(volumes), strict=True)
    ]
    rows += [_row_of_image(file, label_images) for file in files]
    problems += [(Path(error.filename), reason_of(error)) for error in locked]
    rows += [_row_of_problem(*problem) for problem in problems]
    return pd.DataFrame(rows, columns=_NAMES)


def _read_all(
    paths: Sequence[Path], n_jobs: int | None, progress: bool | None
) -> list[tuple[list[Frame], list[tuple[Path, str]], int]]:
    """Read headers chunk by chunk, and show how far it is."""
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    tasks = (delayed(_read)(chunk) for chunk in chunks)
    read = []
    with tqdm(
        total=len(paths),
        desc="scan",
        unit="file",
        # None: not where nobody watches.
        disable=None if progress is None else not progress,
        delay=_PATIENCE if progress is None else 0,
    ) as bar:
        parts = Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
        for chunk, part in zip(chunks, parts, strict=True):
            read.append(part)
            bar.update(len(chunk))
    return read


def _warn_of_others(n_files: int, n_listed: int, n_others: int, n_reports: int) -> None:
    """Tell what was left out."""
    notes = []
    if not n_listed:
        holds = f"{n_files} files, none of them an image" if n_files else "no files"
        notes.append(f"`root` holds {holds}.")
    if n_others:
        notes.append(f"{n_others} of {n_files} files are not DICOM and were left out.")
    if n_reports:
        notes.append(
            f"{n_reports} of {n_files} files are DICOM without images or masks "
            "(reports, plans) and were left out."
        )
    if notes:
        warnings.warn(" ".join(notes), DicomWarning, stacklevel=3)


def _read(paths: Iterable[Path]) -> tuple[list[Frame], list[tuple[Path, str]], int]:
    """Read headers: frames, files that can't be read and why, number of others."""
    frames, problems, n_others = [], [], 0
    for path in paths:
        try:
            if is_dicom(path):
                frames += read_frames(path)
            elif claims_dicom(path):
                raise CorruptFileError(f"{path.name} is damaged: it is no DICOM file.")
            else:
                n_others += 1
        except (DicomError, OSError) as error:
            problems.append((path, reason_of(error)))
    return frames, problems, n_others


def _volumes(frames: Iterable[Frame]) -> list[list[Frame]]:
    return [volume for series in by_series(frames).values() for volume in split(series)]


def _row(
    frames: Sequence[Frame],
    masks: Mapping[object, tuple[str, ...]],
    label_images: Mapping[object, tuple[str, ...]],
) -> dict[str, Any]:
    row: dict[str, Any] = {name: frames[0].get(key) for name, key in _COLUMNS.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DicomWarning)
            layout = lay_out(frames)
    except DicomError as error:
        row |= {"n_slices": len(frames), "problem": reason_of(error)}
    else:
        frames = layout.frames
        shape = layout.n_slices, frames[0]["Rows"], frames[0]["Columns"]
        row |= {"n_slices": shape[0], "shape": shape}
        row["spacing"] = spacing_of(layout.affine)
    row["files"] = tuple(str(frame["path"]) for frame in frames)
    row["frames"] = tuple(frame["index"] for frame in frames)
    row["masks"] = masks.get(_space(frames[0]), ())
    row["label_images"] = label_images.get(_owner(frames[0]), ())
    return row


def _image_files(
    paths: Sequence[Path], images: str | Mapping[str, str] | None, root: Path
) -> list[Frame]:
    """Describe the files that are images by their names, as far as these tell."""
    if images is None:
        return []
    patterns = images if isinstance(images, Mapping) else {None: images}
    found: dict[Path, Frame] = {}
    for path, (modality, pattern) in product(paths, patterns.items()):
        below = path.relative_to(root)
        if fnmatchcase(below.as_posix(), pattern):
            found[path] = {
                "path": path,
                "folder": path.parent,
                "Modality": modality,
                "PatientID": below.parts[0] if len(below.parts) > 1 else None,
            }
    return list(found.values())


def _row_of_image(
    file: Frame, label_images: Mapping[object, tuple[str, ...]]
) -> dict[str, Any]:
    row: dict[str, Any] = {name: file.get(key) for name, key in _COLUMNS.items()}
    row |= {"files": (str(file["path"]),), "frames": (0,), "masks": ()}
    row["label_images"] = label_images.get(_owner(file), ())
    try:
        image = read_image(file["path"], with_values=False)
        shape, affine = grid_of_image(file["path"], image)
    except (DicomError, OSError, ImportError) as error:
        return row | {"problem": reason_of(error)}
    cosines = affine[:3, [2, 1]] / np.linalg.norm(affine[:3, [2, 1]], axis=0)
    row |= {"n_slices": shape[0], "shape": shape, "spacing": spacing_of(affine)}
    return row | {"orientation": tuple(cosines.T.ravel().tolist())}


def _row_of_problem(path: Path, problem: str) -> dict[str, Any]:
    row = {"files": (str(path),), "frames": (0,), "masks": (), "label_images": ()}
    return row | {"problem": problem}


def _by_space(masks: Iterable[Frame]) -> dict[object, tuple[str, ...]]:
    """Group the files of masks by patient and frame of reference."""
    files: dict[object, dict[str, None]] = {}
    for mask in masks:
        if _space(mask) is not None:
            files.setdefault(_space(mask), {})[str(mask["path"])] = None
    return {space: tuple(paths) for space, paths in files.items()}


def _space(frame: Frame) -> object:
    """Return the space in which an image or a mask lies, None if it can't be told."""
    space = frame.get("PatientID"), frame.get("FrameOfReferenceUID")
    return space if all(space) else None


def _not_among(
    paths: Iterable[Path], frames: Iterable[Frame], problems: Iterable[tuple[Path, str]]
) -> list[Path]:
    """Leave out files that are DICOM, whatever their names, or can't be read."""
    candidates = list(paths)
    if not candidates:
        return candidates
    known = {frame["path"] for frame in frames} | {path for path, _ in problems}
    return [path for path in candidates if path not in known]


def _label_images(
    candidates: Sequence[Path], images: Iterable[Frame], root: Path
) -> dict[object, tuple[str, ...]]:
    """Group NIfTI and NRRD files by the patient in whose folder they lie.

    The folder is the nearest one, from the file upwards, with images in it or below it.
    They must all be of this patient.
    """
    found: dict[object, tuple[str, ...]] = {}
    if not candidates:
        return found
    owners: dict[Path, set[object]] = {}
    for folder, owner in {(frame["folder"], _owner(frame)) for frame in images}:
        for place in (folder, *folder.parents):
            owners.setdefault(place, set()).add(owner)
    for path in candidates:
        within = [folder for folder in path.parents if folder.is_relative_to(root)]
        nearest = next((owners[folder] for folder in within if folder in owners), ())
        if len(nearest) == 1 and None not in nearest:
            (owner,) = nearest
            found[owner] = (*found.get(owner, ()), str(path))
    return found


def _owner(frame: Frame) -> object:
    """Tell whose image this is, by the study where there is no ID."""
    return frame.get("PatientID") or frame.get("StudyInstanceUID")


def reason_of(error: Exception) -> str:
    """Say what went wrong, for a column "problem"."""
    text = getattr(error, "strerror", None) or str(error)  # without folders
    return f"{type(error).__name__}: {text}"

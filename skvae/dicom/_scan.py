"""List the volumes in a folder."""

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from joblib import Parallel, delayed

from ._errors import CorruptFileError, DicomError, DicomWarning
from ._geometry import split
from ._headers import MASKS, Frame, claims_dicom, is_dicom, is_image, read_frames
from ._series import by_series, files_in, lay_out
from ._volume import spacing_of

_CHUNK = 256  # files per task
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
_NAMES = (*_NAMES, "problem")


def scan(
    root: str | os.PathLike[str], *, n_jobs: int | None = 1, follow_links: bool = False
) -> pd.DataFrame:
    """List the volumes in a folder of DICOM files, whatever its order.

    Only headers are read. Images are told apart by series, then by orientation and
    matrix; then, where they repeat their positions, by time, echo, diffusion weighting
    or folder.

    Parameters
    ----------
    root : path
        Folder that is read with all folders below it.
    n_jobs : int or None, default=1
        Processes that read, as in joblib.
    follow_links : bool, default=False
        Whether to go into folders that are links. Each folder is visited once, also
        where links make a loop.

    Returns
    -------
    volumes : DataFrame
        One row per volume, each of which `load_series` and `VolumeLoader` take:

        - patient_id, study_uid, series_uid, frame_of_reference_uid, modality,
          description: as in the files
        - n_slices, shape (slices, rows, columns), spacing (of these, in mm),
          orientation (direction cosines of rows and columns)
        - files, frames: the images, and the number of each within its file
        - masks: files that hold masks in the same space
        - problem: why these images can't be read as a volume; missing where they can

    Warns
    -----
    DicomWarning
        If there are files that are not DICOM; how many.

    Raises
    ------
    NotADirectoryError
        If `root` is not a folder.

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
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    read = Parallel(n_jobs=n_jobs)(delayed(_read)(chunk) for chunk in chunks)
    frames = [frame for part, _, _ in read for frame in part]
    n_others = sum(n for _, _, n in read)
    if n_others:
        warnings.warn(
            f"{n_others} of {len(paths)} files are not DICOM and were left out.",
            DicomWarning,
            stacklevel=2,
        )
    masks = [frame for frame in frames if frame.get("SOPClassUID") in MASKS]
    rows = [_row(volume, masks) for volume in _volumes(filter(is_image, frames))]
    problems = [problem for _, part, _ in read for problem in part]
    problems += [(Path(error.filename), _reason(error)) for error in locked]
    rows += [_row_of_problem(*problem) for problem in problems]
    return pd.DataFrame(rows, columns=_NAMES)


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
            problems.append((path, _reason(error)))
    return frames, problems, n_others


def _volumes(frames: Iterable[Frame]) -> list[list[Frame]]:
    return [volume for series in by_series(frames).values() for volume in split(series)]


def _row(frames: Sequence[Frame], masks: Sequence[Frame]) -> dict[str, Any]:
    row: dict[str, Any] = {name: frames[0].get(key) for name, key in _COLUMNS.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DicomWarning)
            layout = lay_out(frames)
    except DicomError as error:
        row |= {"n_slices": len(frames), "problem": _reason(error)}
    else:
        frames = layout.frames
        shape = layout.n_slices, frames[0]["Rows"], frames[0]["Columns"]
        row |= {"n_slices": shape[0], "shape": shape}
        row["spacing"] = spacing_of(layout.affine)
    row["files"] = tuple(str(frame["path"]) for frame in frames)
    row["frames"] = tuple(frame["index"] for frame in frames)
    row["masks"] = tuple(
        dict.fromkeys(str(mask["path"]) for mask in masks if _is_of(mask, frames[0]))
    )
    return row


def _row_of_problem(path: Path, problem: str) -> dict[str, Any]:
    return {"files": (str(path),), "frames": (0,), "masks": (), "problem": problem}


def _is_of(mask: Frame, image: Frame) -> bool:
    """Tell whether a mask lies in the space of an image."""
    return all(
        image.get(keyword) and mask.get(keyword) == image[keyword]
        for keyword in ("PatientID", "FrameOfReferenceUID")
    )


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)  # without folders
    return f"{type(error).__name__}: {text}"

"""Pick the regions that are meant."""

import os
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pandas as pd

from ._errors import (
    DicomWarning,
    MaskError,
    MissingSlicesError,
    NonUniformSpacingError,
)
from ._regions import KINDS, regions
from ._scan import scan

_LISTED = 10  # names and rows that a message lists at most
_IRREGULAR = (MissingSlicesError.__name__, NonUniformSpacingError.__name__)


def select_regions(
    volumes: pd.DataFrame,
    name: str | Sequence[str] | None = None,
    *,
    drawn_on: str | Collection[str] = "own",
    kind: str | None = None,
    unite: bool = False,
    irregular: str = "raise",
    among: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Pick one region for each volume, and leave out volumes without one.

    Parameters
    ----------
    volumes : DataFrame
        A table from `scan`, or some of its rows.
    name : str, list of str or None, default=None
        Name of the region, or a pattern such as ``"GTV*"``, in capitals or not. A list
        holds several, any of which may fit. None takes any.
    drawn_on : {"own", "any"}, str or list of str, default="own"
        Which series the region was drawn on. "own" takes those drawn on the series of
        the volume, or those of an unknown series on its grid if there is no such.
        "any" takes those of another series on the grid if there is neither. Other
        values are the SeriesInstanceUIDs of the series.
    kind : {"SEG", "RTSTRUCT", "NIfTI", "NRRD"} or None, default=None
        Kind of file. None takes any.
    unite : bool, default=False
        Whether to unite several regions that fit one volume.
    irregular : {"raise", "interpolate"}, default="raise"
        As in `load_series`: "interpolate" keeps volumes whose "problem" is that slices
        are missing or uneven. Others with a problem are left out.
    among : DataFrame or None, default=None
        A table from `regions`, perhaps with rows taken out, from which to pick. None
        reads the files.

    Returns
    -------
    selected : DataFrame
        The rows of `volumes` for which one region fits, or one at least with
        ``unite=True``, in their order and with their index. There are three more
        columns: "mask" (the file), "mask_label" (the number of the region in it) and
        "region" (its name); for united regions, each holds a tuple. `VolumeLoader`,
        `RegionFeatures` and `load_mask` take these rows.

    Warns
    -----
    DicomWarning
        If volumes are left out: how many and which, since no region fits, or several
        do, and what these are called.

    Raises
    ------
    MaskError
        If no volume is left.
    TypeError
        If `volumes` is not a table of `scan`.
    ValueError
        If `kind` or `irregular` is not valid, or the index of `volumes` repeats itself.

    See Also
    --------
    regions : List what there is.
    load_mask : Reads the mask of a row.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from skvae.datasets import make_dicom_cohort
    >>> from skvae.dicom import scan, select_regions
    >>> with TemporaryDirectory() as folder:
    ...     options = {"modalities": ("CT", "MR"), "regions": ("GTV", "Edema")}
    ...     patients = make_dicom_cohort(folder, 2, **options, random_state=0)
    ...     selected = select_regions(scan(folder), "gtv*")
    >>> selected[["modality", "mask_label", "region"]]
      modality  mask_label region
    0       CT           1    GTV
    1       MR           1    GTV
    2       CT           1    GTV
    3       MR           1    GTV
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"`kind` must be one of {KINDS} or None, got {kind!r}.")
    if irregular not in ("raise", "interpolate"):
        raise ValueError(
            f"`irregular` must be 'raise' or 'interpolate', got {irregular!r}."
        )
    found = regions(volumes) if among is None else among.reset_index(drop=True)
    meant = found[_are_meant(found, name, kind)]
    on_grid = meant[meant["is_on_grid"]]
    fits = _nearest(on_grid, drawn_on)
    steps = {"series": fits, "grid": on_grid, "meant": meant, "mask": found}
    reasons = _reasons(volumes, steps)
    reasons[_are_broken(volumes, irregular)] = "volume"
    counts = fits["volume"].value_counts()
    several = [] if unite else counts.index[counts > 1]
    reasons[(reasons == "") & volumes.index.isin(several)] = "several"
    notes = _notes(volumes, reasons)
    if len(several):
        names = _counted(fits["region"][fits["volume"].isin(several)])
        notes.append(f"These are {names}. Give a closer `name`, or unite=True.")
    elif (reasons == "meant").any():
        there = _counted(found["region"].dropna())
        notes.append(f"`name` is {name!r}; there are {there}.")
    kept = (reasons == "").to_numpy()
    if not kept.any():
        raise MaskError(" ".join(["No region can be picked.", *notes]))
    if notes:
        warnings.warn(" ".join(notes), DicomWarning, stacklevel=2)
    selected = volumes[kept]
    by_volume = fits.groupby("volume")
    cells = {
        name: by_volume[name].agg(tuple)[selected.index].tolist()
        for name in ("mask", "mask_label", "region")
    }
    return selected.assign(**{name: _column(of) for name, of in cells.items()})


def _column(cells: list[tuple]) -> Any:
    """Take what is single out of its tuple."""
    if all(len(cell) == 1 for cell in cells):
        return [cell[0] for cell in cells]
    column = np.empty(len(cells), dtype=object)
    column[:] = [cell[0] if len(cell) == 1 else cell for cell in cells]
    return column


_REASONS = {
    "volume": 'the images make no volume, as "problem" says',
    "mask": "there is no mask",
    "meant": "no region has that name or kind",
    "grid": "such a region is off the grid or damaged, as `regions` says",
    "series": "such a region was drawn on another series only. drawn_on='any' takes "
    "it where it is on the grid",
    "several": "several regions fit",
}


def _reasons(volumes: pd.DataFrame, steps: Mapping[str, pd.DataFrame]) -> pd.Series:
    """Say for each volume at which step it lost its last region, or nothing."""
    reasons = pd.Series("", index=volumes.index)
    for reason, table in steps.items():
        reasons[~volumes.index.isin(table["volume"])] = reason
    return reasons


def _are_broken(volumes: pd.DataFrame, irregular: str) -> pd.Series:
    """Tell which volumes `load_series` refuses."""
    if "problem" not in volumes:
        return pd.Series(False, index=volumes.index)
    broken = volumes["problem"].notna()
    if irregular == "interpolate":
        broken &= ~volumes["problem"].str.startswith(_IRREGULAR, na=False)
    return broken


def _are_meant(
    found: pd.DataFrame, name: str | Sequence[str] | None, kind: str | None
) -> pd.Series:
    """Tell which regions have the name and kind, or could: what can't be read."""
    meant = found["region"].map(lambda region: _is_called(region, name)).astype(bool)
    if kind is not None:
        meant &= (found["kind"] == kind) | found["kind"].isna()
    return meant


def _is_called(region: Any, name: str | Sequence[str] | None) -> bool:
    if name is None or not isinstance(region, str):
        return True
    patterns = [name] if isinstance(name, str) else name
    region = region.strip().lower()
    return any(
        region == pattern.lower() or fnmatchcase(region, pattern.lower())
        for pattern in patterns
    )


def _nearest(found: pd.DataFrame, drawn_on: str | Collection[str]) -> pd.DataFrame:
    """Keep those drawn on the series of their volume, or on the next best."""
    uids = [drawn_on] if isinstance(drawn_on, str) else list(drawn_on)
    if uids not in (["own"], ["any"]):
        return found[found["drawn_on"].isin(uids)]
    far = pd.Series(2, index=found.index)
    far[found["drawn_on"].isna()] = 1
    far[found["is_drawn_here"]] = 0
    if uids == ["own"]:
        far = far[far < 2]
    nearest = far == far.groupby(found["volume"]).transform("min")
    return found.loc[far.index[nearest]]


def _notes(volumes: pd.DataFrame, reasons: pd.Series) -> list[str]:
    """Say how many volumes are left out, which and why."""
    notes = []
    for reason, rows in volumes.groupby(reasons, sort=False):
        if reason:
            patients = rows["patient_id"].nunique()
            notes.append(
                f"{len(rows)} of {len(volumes)} volumes ({patients} "
                f"patient{'s' * (patients != 1)}; "
                f"{rows_where(reasons == reason)}) are left out: {_REASONS[reason]}."
            )
    return notes


def rows_where(mask: pd.Series) -> str:
    """Name rows by numbers: their labels, or their places, lest they are IDs."""
    index = mask.index if pd.api.types.is_integer_dtype(mask.index) else None
    places = np.flatnonzero(mask)
    numbers = places if index is None else index[places]
    more = "" if index is not None else " (counted from 0)"
    return f"row{'s' * (len(places) > 1)} {_listed(list(numbers))}{more}"


def _counted(names: Iterable[Any]) -> str:
    return _listed([f"{name} ({n})" for name, n in Counter(names).most_common()])


def _listed(values: Sequence[Any]) -> str:
    more = len(values) - _LISTED
    listed = ", ".join(map(str, values[:_LISTED]))
    return f"{listed} and {more} more" if more > 0 else listed or "none"


def mask_beside(folder: str | os.PathLike[str], label: Any = None) -> tuple[Any, Any]:
    """Return the only mask in a folder with a single volume, and its number there.

    `label` is the number or name of the region, where the folder holds several.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DicomWarning)
        volumes = scan(folder, progress=False)
    volumes = volumes[volumes["series_uid"].notna()]
    if len(volumes) != 1:
        return None, label  # `load_series` says what is wrong
    found = regions(volumes)
    found = found[found["region"].notna()]
    if label is not None:
        found = found[(found["mask_label"] == label) | (found["region"] == label)]
    if found["is_on_grid"].any():
        found = _nearest(found[found["is_on_grid"]], "any")
    if len(found) > 1:
        raise MaskError(
            f"The folder holds {len(found)} regions, {_counted(found['region'])}. Name "
            "one as `label`, or give a row of `select_regions`."
        )
    if found.empty:
        return None, label
    return found["mask"].iloc[0], found["mask_label"].iloc[0]

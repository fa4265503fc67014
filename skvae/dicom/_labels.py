"""Outcomes of patients beside their volumes."""

import warnings
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from ._errors import DicomWarning
from ._select import rows_where


def label_volumes(
    volumes: pd.DataFrame,
    labels: pd.DataFrame | pd.Series | Mapping[Hashable, Any],
    on: str = "patient_id",
) -> pd.DataFrame:
    """Put the labels of patients beside their volumes.

    No row is lost or doubled in silence. IDs are compared as text, so that 12 is "12";
    "012" is another patient.

    Parameters
    ----------
    volumes : DataFrame
        A table from `scan` or `select_regions`, or some of its rows.
    labels : DataFrame, Series or mapping
        A table with the column `on`, or with the IDs as its index; a Series with the
        IDs as its index, or a mapping from IDs. All columns but `on` are labels.
    on : str, default="patient_id"
        Column of `volumes` that holds the IDs, "study_uid" or "series_uid" say.

    Returns
    -------
    labelled : DataFrame
        The rows of `volumes` that have a label, in their order and with their index,
        and the columns of `labels`. That of a Series without a name, or of a mapping,
        is called "label".

    Warns
    -----
    DicomWarning
        If volumes have no label and are left out, or labels have no volume; how many.
        It says so if IDs differ in white space, capitals or leading zeros only.

    Raises
    ------
    ValueError
        If an ID has two different labels, no ID of `labels` is in `volumes`, a column
        is in both, or there is no column `on`.
    TypeError
        If `labels` is none of the kinds above.

    See Also
    --------
    skvae.model_selection.groups_from : Keeps the volumes of a patient together.

    Examples
    --------
    >>> import pandas as pd
    >>> from skvae.dicom import label_volumes
    >>> volumes = pd.DataFrame({"patient_id": ["P1", "P2", "P1"]}, index=[4, 5, 6])
    >>> label_volumes(volumes, {"P1": "benign", "P2": "malignant"})
      patient_id      label
    4         P1     benign
    5         P2  malignant
    6         P1     benign
    """
    if on not in volumes:
        raise ValueError(
            f"`on` must be a column of `volumes`, got {on!r}. There are "
            f"{list(volumes.columns)}."
        )
    table = _by_id(labels, on)
    twice = [column for column in table if column in volumes]
    if twice:
        raise ValueError(
            f"{twice} are columns of `volumes` and of `labels`. Rename or drop one."
        )
    ids = volumes[on].map(_as_text)
    has_label = ids.isin(table.index).to_numpy()
    notes = _notes(ids, has_label, table.index, on)
    if not has_label.any():
        raise ValueError(" ".join(["No volume has a label.", *notes]))
    if notes:
        warnings.warn(" ".join(notes), DicomWarning, stacklevel=2)
    labelled = volumes[has_label]
    columns = table.loc[ids[has_label]].set_axis(labelled.index)
    return pd.concat([labelled, columns], axis=1)


def _by_id(labels: Any, on: str) -> pd.DataFrame:
    """Return a table of labels whose index holds each ID once."""
    if isinstance(labels, Mapping):
        labels = pd.Series(dict(labels))
    if isinstance(labels, pd.Series):
        labels = labels.to_frame("label" if labels.name is None else labels.name)
    elif not isinstance(labels, pd.DataFrame):
        raise TypeError(
            "`labels` must be a DataFrame, a Series or a mapping, got "
            f"{type(labels).__name__}."
        )
    if on in labels:
        labels = labels.set_index(on)
    elif labels.index.name != on and isinstance(labels.index, pd.RangeIndex):
        raise ValueError(
            f"`labels` must have the column {on!r}, or the IDs as its index. There are "
            f"{list(labels.columns)}."
        )
    labels = labels.dropna(how="all")
    ids = labels.index.map(_as_text)
    _refuse_contradictions(labels, ids)
    is_first = ~ids.duplicated() & ~ids.isna()
    return labels.set_axis(ids)[is_first]


def _refuse_contradictions(labels: pd.DataFrame, ids: pd.Index) -> None:
    rows = pd.DataFrame(
        {"id": ids.to_numpy(), "labels": labels.apply(tuple, axis=1).to_numpy()}
    )
    several = rows.groupby("id")["labels"].transform("nunique") > 1
    if several.any():
        raise ValueError(
            "`labels` has different labels for one ID, counted from 0 in its "
            f"{rows_where(several)}. Keep one for each."
        )


def _as_text(identifier: Any) -> str | None:
    if not isinstance(identifier, str) and pd.isna(identifier):
        return None
    return str(identifier)


def _notes(ids: pd.Series, has_label: Any, labelled: pd.Index, on: str) -> list[str]:
    """Say what has no counterpart."""
    notes = []
    without = ids[~has_label]
    if len(without):
        patients = without.nunique()
        notes.append(
            f"{len(without)} of {len(ids)} volumes ({patients} of {ids.nunique()} "
            f"different {on!r}) have no label and are left out: "
            f"{rows_where(pd.Series(~has_label, ids.index))}."
        )
    unused = labelled[~labelled.isin(ids)]
    if len(unused):
        notes.append(f"{len(unused)} of {len(labelled)} labels have no volume.")
    alike = {*without.dropna().map(_bare)} & {*unused.map(_bare)}
    if alike:
        notes.append(
            f"{len(alike)} of these IDs are the same but for white space, capitals, "
            f"leading zeros or a final .0: write them alike in both, with "
            f"labels[{on!r}].astype(str).str.strip() or .str.zfill(n) say, and read "
            "tables with dtype=str."
        )
    return notes


def _bare(identifier: str) -> str:
    return identifier.strip().lower().removesuffix(".0").lstrip("0")

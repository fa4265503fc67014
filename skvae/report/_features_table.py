"""The table of features that a study hands in."""

import hashlib
import hmac
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..dicom import acquisition
from ..model_selection import groups_from
from ._cases import cases_of, patients_of, sources_of
from ._estimators import channels_of, described, is_search, params_of, versions_of
from ._words import is_path

_OWN_COLUMNS = {
    "patient": "pseudonym of the patient",
    "series": "hashes of the series that were read (the first 16 digits of SHA-256 of "
    "their SeriesInstanceUID), separated by blanks",
    "settings": "hash of all settings, which the JSON file of the same name spells out",
    "software": "versions of the packages that computed the features",
}
_TELLING = {
    *("patient_id", "study_uid", "series_uid", "frame_of_reference_uid"),
    *("description", "files", "label_images", "masks", "mask"),
}
_MIN_KEY = 16  # characters


def features_table(pipeline, volumes, *, key=None, path=None):
    """Return the features of each case, with where they come from, for a supplement.

    The table can be read without this package. No name, ID or UID is in it.

    Parameters
    ----------
    pipeline : estimator
        A fitted transformer; a pipeline, whose features are those before its last step,
        or of its last step if that one can transform; or a search, for its best
        estimator. For features before a scaler, take a part: ``pipeline[:-2]``.
    volumes : DataFrame or list of length n_cases
        What the pipeline takes. Patients are told apart by the column "patient_id",
        that of the first channel for cases of several.
    key : str or bytes, default=None
        A secret of 16 characters or more. A patient then has the same pseudonym in
        every table, which nobody can trace without the key. None numbers patients in
        the order of the rows, which holds for this table only. If that order tells who
        they are, shuffle the rows.
    path : path, default=None
        A file to write as well: ".csv" or ".parquet" (which needs pyarrow). All
        settings and versions are written beside it, to ".json".

    Returns
    -------
    table : DataFrame
        One row per case, in the order of `volumes`: "patient", "series" (hashes), one
        column for each feature, "settings" (a hash) and "software" (versions). All
        settings are in ``table.attrs``. Hashes of series are those of
        ``VolumeLoader.report``: whoever has the images can find them by these.

    Raises
    ------
    NotFittedError
        If the pipeline is not fitted.
    ValueError
        If nothing before the last step is a transformer, if a feature is not a number,
        or if a column of the table of volumes that tells who a patient is would be
        among the features; if patients are not known, or if `key` or `path` is not
        valid.

    See Also
    --------
    methods_text : The text that goes with it.
    skvae.dicom.VolumeLoader.report : What was read and done, case by case.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from skvae.datasets import make_dicom_cohort
    >>> from skvae.dicom import VolumeLoader, scan
    >>> from skvae.radiomics import RegionFeatures
    >>> from skvae.report import features_table
    >>> features = RegionFeatures(["first_order"], loader=VolumeLoader())
    >>> with TemporaryDirectory() as folder:
    ...     patients = make_dicom_cohort(folder, 2, random_state=0)
    ...     volumes = scan(folder)
    ...     table = features_table(features.fit(volumes), volumes)
    >>> table[["patient", "first_order__median"]].round()
      patient  first_order__median
    0      P1                557.0
    1      P2                595.0
    """
    path = None if path is None else _check_path(path)
    features = _features_of(_transforming_part(pipeline), volumes)
    cases = cases_of(volumes)
    settings = _settings_of(_chosen(pipeline))
    about = {"settings": settings, "versions": versions_of(pipeline)}
    table = pd.DataFrame(
        {
            "patient": _pseudonyms(cases, key),
            "series": _series(pipeline, cases),
            **features,
            "settings": _digest(settings),
            "software": "; ".join(f"{k} {v}" for k, v in about["versions"].items()),
        }
    )
    columns = dict.fromkeys(features, "feature") | _OWN_COLUMNS
    table.attrs = about | {"columns": {name: columns[name] for name in table}}
    if path is not None:
        _write(table, path)
    return table


def _check_path(path):
    path = Path(path)
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(
            f"`path` must end in '.csv' or '.parquet', got {path.suffix!r}."
        )
    return path


def _write(table, path):
    """Write a table, and what is known about it beside it."""
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, index=False)
    text = json.dumps(table.attrs, indent=2, ensure_ascii=False)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


def _transforming_part(estimator):
    """Return what makes the features: all, or all before the last step."""
    estimator = _chosen(estimator)
    check_is_fitted(estimator)
    if not isinstance(estimator, Pipeline) or hasattr(estimator, "transform"):
        part = estimator
    else:
        part = estimator[:-1] if len(estimator) > 1 else None
    if not hasattr(part, "transform"):
        raise ValueError(
            "`pipeline` must be a transformer, or a pipeline with one before its last "
            f"step, got {type(estimator).__name__}."
        )
    return part


def _chosen(estimator):
    """Return the best estimator of a search, which must have been fitted."""
    if is_search(estimator):
        check_is_fitted(estimator)
    return described(estimator)


def _features_of(transformer, volumes):
    """Compute the features: a column of numbers for each name."""
    values = transformer.transform(volumes)
    if hasattr(values, "toarray"):
        values = values.toarray()
    if np.ndim(values) != 2:
        raise ValueError(
            "Features must be a table of one row per case, got an array of shape "
            f"{np.shape(values)}. Take VolumeLoader(flatten=True), or end the pipeline "
            "in features."
        )
    names = _names_of(transformer, values)
    columns = np.asarray(values).T
    _check_names(names)
    return {n: _numbers(n, column) for n, column in zip(names, columns, strict=True)}


def _names_of(transformer, values):
    if hasattr(values, "columns"):
        return list(map(str, values.columns))
    try:
        return list(map(str, transformer.get_feature_names_out()))
    except (AttributeError, ValueError):  # a step that names nothing
        return [f"feature{number}" for number in range(values.shape[1])]


def _check_names(names):
    counts = Counter(names)
    unclear = {name for name in names if counts[name] > 1 or name in _OWN_COLUMNS}
    telling = {name for name in names if name.split("__")[-1] in _TELLING}
    if unclear or telling:
        raise ValueError(
            f"Features must have names of their own, got {sorted(unclear)}."
            if unclear
            else f"{sorted(telling)} tell who a patient is and are no features. Leave "
            "these columns out of what the pipeline passes through."
        )


def _numbers(name, column):
    try:
        return np.array(column, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(
            f"The feature {name!r} must be a number in every row. Encode it, or leave "
            "it out of what the pipeline passes through."
        ) from None


def _pseudonyms(cases, key):
    patients = patients_of(cases)
    groups = groups_from(patients)
    if key is None:
        numbers = pd.factorize(groups)[0] + 1
        width = len(str(max(numbers, default=0)))
        return [f"P{number:0{width}d}" for number in numbers]
    key = key.encode() if isinstance(key, str) else bytes(key)
    if len(key) < _MIN_KEY:
        raise ValueError(
            f"`key` must have {_MIN_KEY} characters at least, or it can be guessed; "
            f"got {len(key)}. Take secrets.token_hex(16), and keep it."
        )
    names = [str(name).strip().encode() for name in patients["patient_id"]]
    return [f"P{hmac.new(key, name, 'sha256').hexdigest()[:12]}" for name in names]


def _series(estimator, cases):
    """Return the hashes of the series of each case, separated by blanks."""
    sources = [sources_of(case, channels_of(estimator)) for case in cases]
    flat = [source for part in sources for source in part]
    hashes = iter(acquisition(flat)["series"].fillna("").astype(str))
    return [" ".join(next(hashes) for _ in part).strip() for part in sources]


def _settings_of(value):
    """Turn settings into values for JSON, without folders and addresses of memory."""
    if hasattr(value, "get_params") and not isinstance(value, type):
        return {"class": type(value).__qualname__} | _settings_of(params_of(value))
    if isinstance(value, dict):
        return {str(name): _settings_of(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_settings_of(part) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return _settings_of(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if isinstance(value, str) and is_path(value):
        return "a path"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, "__qualname__", type(value).__name__)


def _digest(settings):
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

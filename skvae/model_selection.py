"""Cross-validation that keeps all samples of a patient on one side of each split."""

import hashlib
import warnings
from collections.abc import Iterator
from numbers import Integral

import numpy as np
import pandas as pd
import sklearn
from sklearn.base import is_classifier
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.utils import check_consistent_length
from sklearn.utils.metadata_routing import get_routing_for_object

from ._validation import number_groups

__all__ = ["GuardedSplit", "LeakageWarning", "check_groups", "groups_from"]


class LeakageWarning(UserWarning):
    """A patient is, or may be, on both sides of a split."""


def groups_from(volumes):
    """Number the patients of volumes, for splitters that keep groups together.

    Nothing of an identifier is in the numbers, so that they may be logged and stored.
    They are the same in whatever order the rows come, but not in a table of other
    patients: those of two calls can't be compared.

    Parameters
    ----------
    volumes : DataFrame of shape (n_volumes, n_columns), or list of its rows
        What `skvae.dicom.scan` returns, or any table with a column "patient_id". Blanks
        around an identifier don't matter.

    Returns
    -------
    groups : ndarray of shape (n_volumes,), int64
        From 0 to the number of patients - 1.

    Raises
    ------
    TypeError
        If "patient_id" holds anything but strings or numbers, or both.
    ValueError
        If there is no column "patient_id", or if it is empty in a row.

    See Also
    --------
    GuardedSplit : Takes groups from the samples by itself.

    Examples
    --------
    >>> import pandas as pd
    >>> from skvae.model_selection import groups_from
    >>> volumes = pd.DataFrame({"patient_id": ["left", "right", "left"]})
    >>> groups_from(volumes)
    array([1, 0, 1])
    """
    if not hasattr(volumes, "columns"):
        volumes = pd.DataFrame(list(volumes))
    if not _has_patients(volumes):
        raise ValueError(
            "`volumes` must have a column 'patient_id'. Rename the one that tells "
            "patients apart."
        )
    patients = _patients(volumes)
    missing = np.flatnonzero(patients < 0)
    if len(missing):
        some = ", ".join(map(str, missing[:10])) + ", ..." * (len(missing) > 10)
        raise ValueError(
            f"`patient_id` is missing in {len(missing)} of {len(patients)} rows, "
            f"counted from 0: {some}. Fill it in, or drop these rows; those of a scan "
            "that can't be read go by volumes[volumes['problem'].isna()]."
        )
    return patients


def _has_patients(X):
    return "patient_id" in getattr(X, "columns", ())


def _patients(volumes):
    """Number the patients by their hashes, -1 where they are not known.

    The order of names would tell something about them, that of hashes doesn't.
    """
    names = list(volumes["patient_id"])
    kind = pd.api.types.infer_dtype(names, skipna=True)
    if kind not in ("string", "integer", "floating", "empty"):
        raise TypeError(
            "`patient_id` must hold strings only or numbers only, or one patient may "
            f"have two identifiers; got values that are {kind}. Use strings."
        )
    hashes = np.array([_hash(name) for name in names], dtype=object)
    return pd.factorize(hashes, sort=True)[0]


def _hash(name):
    text = "" if pd.isna(name) else str(name).strip()
    return hashlib.sha256(text.encode()).hexdigest() if text else None


def check_groups(cv, X, y=None, groups=None, *, estimator=None):
    """Raise if a cross-validator puts samples of one patient on both sides of a split.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test)
        As in `sklearn.model_selection.cross_validate`. A splitter that shuffles with
        `random_state=None` splits differently the next time; `GuardedSplit` looks at
        the splits that are used.
    X : array-like of shape (n_samples, ...)
        The samples. The patients of a table with a column "patient_id" are checked too.
    y : array-like of shape (n_samples,), default=None
        Labels, for splitters that look at them.
    groups : array-like of shape (n_samples,), default=None
        What must stay together; the splitter gets it as well. None takes the patients
        of `X`.
    estimator : estimator, default=None
        What will be fitted. An int `cv` is stratified for a classifier. All parts of
        the estimator are looked at, as they are set, for early stopping that holds out
        samples whatever their groups.

    Raises
    ------
    TypeError
        If `cv` is an iterator, which can be used once only.
    ValueError
        If samples of one patient or group are on both sides of a split; if `groups` is
        not as long as `X`, lacks a value, or can't be taken from `X`.

    Warns
    -----
    LeakageWarning
        If a part of `estimator` has early stopping on and metadata routing is off, or
        its `fit` asks for no groups. Once routing is on, `groups` still have to be
        passed. Can be ignored where `fit` gets groups in another way, or `X_val`.

    See Also
    --------
    GuardedSplit : Warns while a search or a cross-validation runs.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GroupKFold
    >>> from skvae.model_selection import check_groups
    >>> X, groups = np.zeros((6, 2)), [0, 1, 2, 0, 1, 2]
    >>> check_groups(GroupKFold(3), X, groups=groups)
    >>> check_groups(3, X, groups=groups)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: 3 of 3 folds have groups on both sides of the split (fold 0: 2 of...
    """
    _check_reusable(cv)
    stratify = estimator is not None and is_classifier(estimator)
    cv = check_cv(cv, y, classifier=stratify)
    _, leak = _splits_and_leak(cv, X, y, groups)
    if leak:
        raise ValueError(leak)
    if estimator is not None:
        n_samples = X.shape[0] if hasattr(X, "shape") else len(X)
        _warn_of_early_stopping(estimator, n_samples)


class GuardedSplit(BaseCrossValidator):
    """A cross-validator that warns if a patient is on both sides of a split.

    It splits as `cv` does. Patients come from the samples themselves if these are a
    table such as `skvae.dicom.scan` returns, so that `groups` need not be passed for
    the splits. An estimator with early stopping needs them still; see `check_groups`.

    Parameters
    ----------
    cv : splitter or iterable of (train, test)
        Makes the splits. It receives the groups.

    See Also
    --------
    check_groups : Raises before anything runs.
    groups_from : The groups of a scan.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.model_selection import GroupKFold
    >>> from skvae.model_selection import GuardedSplit
    >>> volumes = pd.DataFrame({"patient_id": ["left", "right", "left"]})
    >>> for train, test in GuardedSplit(GroupKFold(2)).split(volumes):
    ...     print(train, test)
    [1] [0 2]
    [0 2] [1]

    `warnings.simplefilter("error", LeakageWarning)` turns warnings into errors.
    """

    __metadata_request__split = {"groups": True}

    def __init__(self, cv):
        self.cv = cv

    def split(self, X, y=None, groups=None):
        """Return the splits of `cv`, and warn if one of them leaks.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            The samples. The patients of a table with a column "patient_id" are checked.
        y : array-like of shape (n_samples,), default=None
            Labels, for splitters that look at them.
        groups : array-like of shape (n_samples,), default=None
            What must stay together. None takes the patients of `X`.

        Returns
        -------
        splits : iterator of (train, test)
            Indices of samples.

        Raises
        ------
        TypeError
            If `cv` is an int, None or an iterator, which can be used once only.
        ValueError
            If `groups` is not as long as `X`, lacks a value, or can't be taken from
            `X`.

        Warns
        -----
        LeakageWarning
            If samples of one patient or group are on both sides of a split. Once for
            all splits.
        """
        splits, leak = _splits_and_leak(self._checked_cv(), X, y, groups)
        if leak:
            warnings.warn(leak, LeakageWarning, stacklevel=2)
        return iter(splits)

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of splits.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), default=None
            The samples, for splitters that count them.
        y : array-like of shape (n_samples,), default=None
            Labels, for splitters that look at them.
        groups : array-like of shape (n_samples,), default=None
            For splitters that count groups. None takes the patients of `X`.

        Returns
        -------
        n_splits : int
        """
        return self._checked_cv().get_n_splits(X, y, _default_groups(X, groups))

    def _checked_cv(self):
        if self.cv is None or isinstance(self.cv, Integral):
            raise TypeError(
                "`cv` must be a splitter or an iterable of splits, got "
                f"{self.cv!r}. Take GroupKFold({self.cv or ''})."
            )
        _check_reusable(self.cv)
        return check_cv(self.cv)


def _check_reusable(cv):
    if isinstance(cv, Iterator):
        raise TypeError(
            "`cv` is an iterator, which the check would use up. Pass list(cv), and use "
            "that list from then on."
        )


def _default_groups(X, groups):
    return groups_from(X) if groups is None and _has_patients(X) else groups


def _splits_and_leak(cv, X, y, groups):
    """Return the splits, and what is wrong with them if anything."""
    groups = _default_groups(X, groups)
    labels = _labels(X, groups)
    with warnings.catch_warnings():
        # Splitters that have no use for groups say so; here the check has.
        warnings.filterwarnings("ignore", "The groups parameter is ignored")
        splits = list(cv.split(X, y, groups))
    return splits, _find_leak(splits, labels)


def _labels(X, groups):
    """Number what must stay together, -1 where it isn't known; a dict by its name."""
    if groups is None:
        raise ValueError(
            "`groups` must be given, as `X` has no column 'patient_id'. Take "
            "groups_from(volumes) of the volumes that `X` was made from."
        )
    codes = number_groups(groups)
    check_consistent_length(X, codes)
    patients = {"patients": _patients(X)} if _has_patients(X) else {}
    return patients | {"groups": codes}


def _find_leak(splits, labels):
    """Say which splits have something on both sides, or return None."""
    for name, codes in labels.items():
        counts = [_n_shared(codes, train, test) for train, test in splits]
        leaking = np.flatnonzero(counts)
        if len(leaking):
            return (
                f"{len(leaking)} of {len(splits)} folds have {name} on both sides of "
                f"the split (fold {leaking[0]}: {counts[leaking[0]]} of them). Take a "
                "splitter that keeps groups together, such as GroupKFold or "
                "StratifiedGroupKFold, and `groups` that keep patients together, such "
                "as those of groups_from."
            )
    return None


def _n_shared(codes, train, test):
    shared = np.intersect1d(codes[train], codes[test])
    return np.count_nonzero(shared >= 0)


def _holds_out(part, n_samples):
    """Tell whether an estimator holds out samples of its own for early stopping."""
    stopping = getattr(part, "early_stopping", None)
    if stopping is None:  # as in GradientBoostingClassifier
        stopping = hasattr(part, "validation_fraction") and part.n_iter_no_change
    if stopping == "auto":  # as in HistGradientBoostingClassifier
        return n_samples > 10_000
    return bool(stopping)


_ROUTING = (
    "Let its `fit` have them: sklearn.set_config(enable_metadata_routing=True), then "
    "pass `groups` to the `fit` of a pipeline or a search, or in `params` of "
    "cross_validate. Or set early_stopping=False."
)


def _warn_of_early_stopping(estimator, n_samples):
    """Warn of each part that holds samples out and that no groups will reach."""
    parts = {"estimator": estimator, **estimator.get_params()}
    for name, part in parts.items():
        if not _holds_out(part, n_samples):
            continue
        takes_groups = get_routing_for_object(part).consumes("fit", ["groups"])
        if takes_groups and sklearn.get_config()["enable_metadata_routing"]:
            continue
        off = "early_stopping=False"
        if not hasattr(part, "early_stopping"):
            off = "n_iter_no_change=None"
        way_out = _ROUTING if takes_groups else f"Set {off}."
        warnings.warn(
            f"{type(part).__name__} (`{name}`) holds out samples for early stopping "
            f"whatever their groups. {way_out}",
            LeakageWarning,
            stacklevel=3,
        )

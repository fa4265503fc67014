"""Cross-validation by patient: splits that don't leak, scores with intervals."""

import hashlib
import warnings
from collections.abc import Iterator
from numbers import Integral

import numpy as np
import pandas as pd
import sklearn
from sklearn.base import is_classifier, is_regressor
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    BaseCrossValidator,
    GroupKFold,
    StratifiedGroupKFold,
    check_cv,
)
from sklearn.utils import check_consistent_length
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import column_or_1d

from ._evaluation import (
    Evaluation,
    draw_cohorts,
    predict_repeats,
    score_draws,
    summarize,
)
from ._random import draw_seed
from ._search import (
    StackedGridSearchCV,
    StackedRandomizedSearchCV,
    stacked_cross_validate,
    stacked_training,
)
from ._validation import is_count, is_search, number_groups

__all__ = [
    "Evaluation",
    "GuardedSplit",
    "LeakageWarning",
    "StackedGridSearchCV",
    "StackedRandomizedSearchCV",
    "check_groups",
    "evaluate",
    "groups_from",
    "stacked_cross_validate",
    "stacked_training",
]


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
    _, leak = splits_and_leak(cv, X, y, groups)
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
        splits, leak = splits_and_leak(self._checked_cv(), X, y, groups)
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
        return self._checked_cv().get_n_splits(X, y, default_groups(X, groups))

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


def default_groups(X, groups):
    """Return groups, those of the patients of a table of volumes if there are none."""
    return groups_from(X) if groups is None and _has_patients(X) else groups


def splits_and_leak(cv, X, y, groups):
    """Return the splits, and what is wrong with them if anything."""
    groups = default_groups(X, groups)
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


def evaluate(
    estimators,
    X,
    y,
    *,
    groups=None,
    cv=5,
    n_repeats=10,
    scoring=None,
    baseline=None,
    confidence_level=0.95,
    n_draws=2000,
    random_state=None,
    n_jobs=None,
    error_score="raise",
):
    """Score estimators by repeated cross-validation, with intervals over patients.

    All estimators are fitted on the same splits, with each patient on one side. The
    predictions out of fold of a whole repeat are scored together; the score is the mean
    over the repeats.

    The interval is a percentile bootstrap: the score is taken again in cohorts of as
    many patients, drawn with replacement, with all their cases. In each cohort it is
    the mean over the repeats again. The same cohorts serve all estimators, so that
    differences are paired. The interval holds the chance of who was in the study. It
    does not hold that of another training, nor what changes in another hospital.

    Do not report the best of many estimators with its score from here: what was chosen
    for its score looks better than it is. Put the choice into a search, and evaluate
    the search, or keep patients aside for the one that you choose.

    Parameters
    ----------
    estimators : estimator, or dict of str to estimator
        Classifiers or regressors, not both. They stay as they are; clones are fitted. A
        search is fitted in each fold, with the groups of the patients there. If it is
        a part of a pipeline, that takes
        ``sklearn.set_config(enable_metadata_routing=True)``.
    X : array-like of shape (n_cases, ...)
        Arrays, lists, and tables such as `skvae.dicom.scan` returns.
    y : array-like of shape (n_cases,)
        Labels or numbers.
    groups : array-like of shape (n_cases,), default=None
        The patient of each case. None takes the column "patient_id" of `X`; if there is
        none, each case is a patient of its own.
    cv : int, splitter or iterable of (train, test), default=5
        An int is the number of folds of a shuffled StratifiedGroupKFold, or GroupKFold
        for regressors. Others bring their own repeats: each case must be tested once
        before any is tested again.
    n_repeats : int, default=10
        How many times an int `cv` splits anew. More make the score depend less on the
        splits; time grows with it, the interval hardly shrinks.
    scoring : str, scorer, list of str, or dict of str to scorer, default=None
        What scikit-learn calls a scorer, or its name. It sees predictions and labels
        only, so that it can't ask for anything else. None takes "roc_auc" for two
        classes, "roc_auc_ovr" for more, "r2" for regressors. Classifiers with
        probabilities are scored by them where a scorer takes decision functions too,
        since they compare better from fold to fold. The names "roc_auc" and
        "neg_brier_score" of two classes, "accuracy" and "neg_mean_squared_error" are
        quick. Others are called n_draws * n_repeats times for each estimator, at about
        a millisecond each.
    baseline : str, default=None
        The estimator that the others are compared with.
    confidence_level : float, default=0.95
        Share of the cohorts within the interval.
    n_draws : int, default=2000
        Cohorts. More make the ends of the interval depend less on the draws. Those
        that lack a class are left out, and counted.
    random_state : int, RandomState instance or None, default=None
        Draws splits and cohorts, not what an estimator draws. Of an int, repeat r is
        split with ``random_state + r``, and cohorts come from
        ``numpy.random.default_rng(random_state)``.
    n_jobs : int, default=None
        Processes that fit and score at once.
    error_score : "raise" or nan, default="raise"
        nan goes on if a fit or a prediction fails. The estimator's scores are NaN.

    Returns
    -------
    evaluation : Evaluation
        Its `table` has one row per estimator and metric.

    Raises
    ------
    TypeError
        If `estimators` or `cv` is of the wrong kind.
    ValueError
        If patients are on both sides of a split; if a training side lacks a class; if
        cases are not tested equally often; if a score can't be computed from
        predictions; if all cohorts lack a class; if a parameter is out of range.

    Warns
    -----
    LeakageWarning
        As `check_groups` does, of early stopping.
    sklearn.exceptions.FitFailedWarning
        If a fit failed and `error_score` is nan.

    See Also
    --------
    skvae.plot.ROCBandDisplay : The ROC curves.
    skvae.plot.CalibrationBandDisplay : Predicted and observed frequencies.

    Notes
    -----
    With few patients of a class the interval is too narrow. In simulated studies with
    known areas, 95 % intervals held the area in 91 % of 300 studies of 30 patients, 6
    of them positive, and in 93 to 96 % with more patients or even classes
    (``examples/benchmarks/coverage.py``).

    Folds are scored together. In small cohorts this puts a classifier that has learnt
    nothing below chance rather than at it, since a case of one class leaves fewer of
    that class to learn from.

    References
    ----------
    B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap, 1993,
    https://doi.org/10.1201/9780429246593.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skvae.model_selection import evaluate
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {
    ...     "Bayes": GaussianNB(),
    ...     "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    ... }
    >>> evaluation = evaluate(
    ...     models, X, y, n_repeats=2, n_draws=500, baseline="Bayes", random_state=0
    ... )
    >>> evaluation
    Evaluation(methods=['Bayes', 'logistic'], n_patients=569, n_cases=569, \
n_repeats=2, n_draws=500, n_left_out=0)
    >>> table = evaluation.table.set_index("method")
    >>> print(table[["score", "low", "high"]].round(2).to_csv(sep=" "))
    method score low high
    Bayes 0.99 0.98 0.99
    logistic 1.0 0.99 1.0
    <BLANKLINE>
    """
    estimators = _named(estimators)
    _check_numbers(n_repeats, n_draws, confidence_level)
    _check_choices(baseline, estimators, error_score)
    y = column_or_1d(y)
    check_consistent_length(X, y)
    classes, labels = _classes(estimators, y)
    groups, numbers = _patients_of(X, groups, len(y))
    is_seed = isinstance(random_state, Integral)
    seed = int(random_state) if is_seed else draw_seed(random_state)
    splitters = _splitters(cv, n_repeats, seed, classes is not None)
    repeats = _repeats(splitters, X, y, groups, labels)
    for estimator in estimators.values():
        _warn_of_early_stopping(estimator, len(y))
    scorers = _scorers(scoring, classes)
    counts = draw_cohorts(labels, numbers, n_draws, seed)
    fit_groups = {
        name: groups if _takes_groups(estimator) else None
        for name, estimator in estimators.items()
    }
    recorded = predict_repeats(
        estimators, X, y, repeats, fit_groups, n_jobs=n_jobs, error_score=error_score
    )
    scores, draws = score_draws(
        recorded, scorers, y, numbers, counts, len(repeats), n_jobs
    )
    table = summarize(scores, draws, baseline, confidence_level)
    return Evaluation(
        table=table.assign(n_patients=counts.shape[1], n_cases=len(y)),
        predictions_={
            name: out and np.array([repeat.values for repeat in out])
            for name, out in recorded.items()
        },
        scores_=scores,
        draws_=draws,
        counts_=counts,
        n_left_out_=n_draws - len(counts),
        y_=y,
        groups_=numbers,
        classes_=classes,
        responses_={name: out and out[0].response for name, out in recorded.items()},
        confidence_level=confidence_level,
    )


def _named(estimators):
    if hasattr(estimators, "fit"):
        return {type(estimators).__name__: estimators}
    if not isinstance(estimators, dict) or not estimators:
        raise TypeError(
            "`estimators` must be an estimator or a dict of names and estimators, got "
            f"{type(estimators).__name__}."
        )
    return estimators


def _patients_of(X, groups, n_cases):
    """Return groups and their numbers, which don't depend on the order of the rows."""
    groups = default_groups(X, groups)
    if groups is None:
        groups = np.arange(n_cases)
    number_groups(groups)  # for its errors
    groups = np.asarray(groups)
    return groups, np.unique(groups, return_inverse=True)[1]


def _check_numbers(n_repeats, n_draws, confidence_level):
    counts = {"n_repeats": n_repeats, "n_draws": n_draws}
    for name, value in counts.items():
        if not is_count(value):
            raise ValueError(f"`{name}` must be an int >= 1, got {value!r}.")
    if not 0 < confidence_level < 1:
        raise ValueError(
            f"`confidence_level` must be between 0 and 1, got {confidence_level!r}."
        )


def _check_choices(baseline, estimators, error_score):
    if error_score != "raise" and error_score == error_score:
        raise ValueError(f"`error_score` must be 'raise' or nan, got {error_score!r}.")
    if baseline is not None and baseline not in estimators:
        raise ValueError(
            f"`baseline` must be one of {list(estimators)}, got {baseline!r}."
        )


def _classes(estimators, y):
    """Return the classes, None for regressors, and their numbers, 0 for regressors."""
    if all(map(is_classifier, estimators.values())):
        if type_of_target(y, input_name="y") not in ("binary", "multiclass"):
            raise ValueError("`y` must hold classes for classifiers, got numbers.")
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"`y` must hold 2 classes at least, got {classes}.")
        return classes, labels
    if all(map(is_regressor, estimators.values())):
        return None, np.zeros(len(y), dtype=int)
    raise TypeError(
        "`estimators` must be classifiers, or regressors, all of them. Put a "
        "classifier at the end of a pipeline that only transforms."
    )


def _splitters(cv, n_repeats, seed, stratify):
    if not is_count(cv):
        _check_reusable(cv)
        return [check_cv(cv)]
    splitter = StratifiedGroupKFold if stratify else GroupKFold
    return [
        splitter(cv, shuffle=True, random_state=seed + repeat)
        for repeat in range(n_repeats)
    ]


def _repeats(splitters, X, y, groups, labels):
    """Return lists of splits, each of which tests each case once."""
    repeats, tested = [], np.ones(len(y), dtype=bool)
    for splitter in splitters:
        splits, leak = splits_and_leak(splitter, X, y, groups)
        if leak:
            raise ValueError(leak)
        for train, test in splits:
            if tested.all():
                repeats.append([])
                tested = np.zeros_like(tested)
            train, test = (np.arange(len(y))[side] for side in (train, test))
            if tested[test].any():
                raise ValueError(_UNEVEN)
            tested[test] = True
            repeats[-1].append((train, test))
            _check_all_classes(labels, train)
    if not tested.all():
        raise ValueError(_UNEVEN)
    return repeats


_UNEVEN = (
    "`cv` must test each case once before it tests one again, as an int does. "
    "Splitters that draw their test sides, such as GroupShuffleSplit, don't."
)


def _check_all_classes(labels, train):
    if len(np.unique(labels[train])) <= labels.max():
        raise ValueError(
            "A training side lacks a class: too few patients have it, or `cv` doesn't "
            "stratify. Take fewer folds, or StratifiedGroupKFold."
        )


def _takes_groups(estimator):
    """Tell whether to pass groups to `fit`; a search takes them without routing too."""
    routed = sklearn.get_config()["enable_metadata_routing"]
    if not (routed or is_search(estimator)):
        return False
    part = estimator if routed else estimator.cv
    method = "fit" if routed else "split"
    return bool(get_routing_for_object(part).consumes(method, ["groups"]))


def _scorers(scoring, classes):
    if scoring is None:
        names = {None: "r2", 2: "roc_auc"}
        n_classes = None if classes is None else len(classes)
        scoring = names.get(n_classes, "roc_auc_ovr")
    if isinstance(scoring, str):
        scoring = [scoring]
    if callable(scoring):
        return {"score": scoring}
    if not isinstance(scoring, dict):
        scoring = {name: name for name in scoring}
    for scorer in scoring.values():
        get_scorer(scorer)  # for its error
    return scoring

"""Scores of predictions out of fold, with intervals over patients."""

import warnings

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import get_scorer
from sklearn.utils import gen_batches, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import Parallel, delayed

from ._validation import assert_all_finite, safe_indexing

_BLOCK = 2**22  # weights that are in memory at once
_NO_GROUPS = "'groups' parameter should not be None"


class Evaluation:
    """What `evaluate` found out: scores, their intervals, and what they come from.

    Attributes
    ----------
    table : DataFrame
        One row per method and metric, with the columns "method", "metric", "score",
        "low" and "high", then "difference", "difference_low" and "difference_high" (the
        method less the baseline, if there is one), "n_patients" and "n_cases". An
        interval is NaN if the score is NaN in one of the drawn cohorts.
    predictions_ : dict of str to ndarray of shape (n_repeats, n_cases)
        Of each method, out of fold: the probability of the second class, or the
        decision function of a classifier without probabilities; all classes' along a
        third axis if there are more than two; the predicted values of a regressor.
        None where a fit failed.
    scores_ : DataFrame of shape (n_repeats, n_methods * n_metrics)
        The score in each repeat. The columns are pairs (method, metric).
    draws_ : DataFrame of shape (n_draws_kept, n_methods * n_metrics)
        The score in each drawn cohort, the mean over the repeats. A row is the same
        cohort for all methods, so that differences of columns are paired.
    counts_ : ndarray of shape (n_draws_kept, n_patients)
        How many times each patient is in each drawn cohort. For statistics of your own,
        ``counts_[:, groups_]`` are weights of the cases.
    n_left_out_ : int
        Drawn cohorts that lacked a class, and are not among those kept.
    y_ : ndarray of shape (n_cases,)
    groups_ : ndarray of shape (n_cases,), int64
        The patient of each case, from 0 to n_patients - 1.
    classes_ : ndarray of shape (n_classes,), or None
        None for regressors.
    responses_ : dict of str to str
        "predict_proba", "decision_function" or "predict": what `predictions_` are.
    confidence_level : float

    See Also
    --------
    evaluate : Makes it, with an example.
    """

    def __init__(self, **results):
        vars(self).update(results)

    def __repr__(self):
        n_patients = self.counts_.shape[1]
        return (
            f"Evaluation(methods={list(self.predictions_)}, n_patients={n_patients}, "
            f"n_cases={len(self.y_)}, n_repeats={len(self.scores_)}, "
            f"n_draws={len(self.draws_)}, n_left_out={self.n_left_out_})"
        )

    def _repr_html_(self):
        return self.table._repr_html_()

    def roc_curve(self, method, *, n_points=201):
        """Return the ROC curve of a method, with a band.

        Curves of repeats are averaged vertically: the mean true positive rate at each
        false positive rate. The band is pointwise.

        Parameters
        ----------
        method : str
        n_points : int, default=201
            False positive rates, evenly spaced from 0 to 1.

        Returns
        -------
        curve : DataFrame of shape (n_points, 4)
            With the columns "fpr", "tpr", "low" and "high".

        Raises
        ------
        ValueError
            If there is no such method, if it failed, or if there are not two classes.
        """
        predictions = self._binary_predictions(method)
        positive = self.y_ == self.classes_[1]
        fpr = np.linspace(0, 1, n_points)

        def tpr(weights):
            return sum(
                roc_rates(score, positive, weights, fpr) for score in predictions
            ) / len(predictions)

        drawn = tpr(self.counts_[:, self.groups_])
        low, high = percentiles(drawn, self.confidence_level)
        mean = tpr(np.ones((1, len(positive)), dtype=int))[0]
        return pd.DataFrame({"fpr": fpr, "tpr": mean, "low": low, "high": high})

    def calibration_curve(self, method, *, n_bins=5):
        """Return how often the second class came true, by predicted probability.

        The bins are quantiles of the predictions of all repeats.

        Parameters
        ----------
        method : str
            With probabilities.
        n_bins : int, default=5
            More bins show more, with wider intervals. Less where predictions are tied.

        Returns
        -------
        curve : DataFrame of shape (n_bins, 5)
            With the columns "predicted" (mean probability in the bin), "observed"
            (share of the second class), "low", "high" (interval of "observed") and
            "n_cases" (mean over the repeats).

        Raises
        ------
        ValueError
            If there is no such method, if it failed or has no probabilities, or if
            there are not two classes.
        """
        predictions = self._probabilities(method)
        edges = np.unique(np.quantile(predictions, np.linspace(0, 1, n_bins + 1)))
        bins = np.searchsorted(edges[1:-1], predictions, side="right")
        members = bins[:, :, None] == np.arange(max(len(edges) - 1, 1))
        share = members.mean(axis=0)
        positive = (self.y_ == self.classes_[1])[:, None]
        weights = self.counts_[:, self.groups_]
        with np.errstate(invalid="ignore"):  # a cohort without a case in a bin
            drawn = weights @ (share * positive) / (weights @ share)
        low, high = percentiles(drawn, self.confidence_level)
        n_cases = share.sum(axis=0)
        predicted = (members * predictions[:, :, None]).mean(axis=0).sum(axis=0)
        return pd.DataFrame(
            {
                "predicted": predicted / n_cases,
                "observed": (share * positive).sum(axis=0) / n_cases,
                "low": low,
                "high": high,
                "n_cases": n_cases,
            }
        )

    def brier_score(self, method):
        """Return the mean squared error of the probabilities of the second class.

        Pass "neg_brier_score" as `scoring` to `evaluate` for its interval.

        Parameters
        ----------
        method : str
            With probabilities.

        Returns
        -------
        score : float
            The mean over the repeats, from 0 (best) to 1.
        """
        predictions = self._probabilities(method)
        return float(np.mean((predictions - (self.y_ == self.classes_[1])) ** 2))

    def _probabilities(self, method):
        predictions = self._binary_predictions(method)
        if self.responses_[method] != "predict_proba":
            raise ValueError(
                f"{method!r} has no predict_proba. Put a CalibratedClassifierCV around "
                "its classifier."
            )
        return predictions

    def _binary_predictions(self, method):
        if method not in self.predictions_:
            raise ValueError(
                f"`method` must be one of {list(self.predictions_)}, got {method!r}."
            )
        if self.classes_ is None or len(self.classes_) != 2:
            raise ValueError("ROC and calibration curves need classes, two of them.")
        if self.predictions_[method] is None:
            raise ValueError(f"{method!r} could not be fitted in each fold.")
        return self.predictions_[method]


class PredictionsOutOfFold:
    """Stands for an estimator before a scorer; its samples are numbers of rows."""

    def __init__(self, estimator, classes, responses):
        self.tags = get_tags(estimator)
        self.responses = responses
        self.classes_ = classes

    def __sklearn_tags__(self):
        return self.tags

    def predict(self, rows):
        return self.responses["predict"][rows]

    @available_if(lambda self: "predict_proba" in self.responses)
    def predict_proba(self, rows):
        return self.responses["predict_proba"][rows]

    @available_if(lambda self: "decision_function" in self.responses)
    def decision_function(self, rows):
        return self.responses["decision_function"][rows]

    @property
    def response(self):
        """Name what says most: probabilities, or else the first that there is."""
        names = ["predict_proba", "decision_function", "predict"]
        return next(name for name in names if name in self.responses)

    @property
    def ranks_two_classes(self):
        two = self.classes_ is not None and len(self.classes_) == 2
        return two and self.response != "predict"

    @property
    def values(self):
        values = self.responses[self.response]
        second = self.ranks_two_classes and self.response == "predict_proba"
        return values[:, 1] if second else values


def predict_repeats(estimators, X, y, repeats, fit_groups, *, n_jobs, error_score):
    """Fit clones in all folds and join what they say about the cases left out.

    Parameters
    ----------
    estimators : dict of str to estimator
    X : array-like of shape (n_samples, ...)
    y : ndarray of shape (n_samples,)
    repeats : list of list of (train, test)
        The test sides of a repeat hold each sample once.
    fit_groups : dict of str to ndarray of shape (n_samples,), or None
        What `fit` of each estimator gets as groups.
    n_jobs : int or None
    error_score : "raise" or nan

    Returns
    -------
    recorded : dict of str to list of PredictionsOutOfFold
        One for each repeat; None if a fit failed.
    """
    folds = [fold for repeat in repeats for fold in repeat]
    answers = Parallel(n_jobs=n_jobs)(
        delayed(_answer)(clone(model), name, X, y, fit_groups[name], fold, error_score)
        for name, model in estimators.items()
        for fold in folds
    )
    answers = iter(answers)
    recorded = {}
    for name, estimator in estimators.items():
        of_repeats = [[next(answers) for _ in repeat] for repeat in repeats]
        recorded[name] = _joined(name, estimator, y, repeats, of_repeats)
    return recorded


def _answer(estimator, name, X, y, groups, fold, error_score):
    """Fit in one fold and predict; return the responses, or the text of an error."""
    train, test = fold
    params = {} if groups is None else {"groups": groups[train]}
    try:
        estimator.fit(safe_indexing(X, train), y[train], **params)
        return _responses(estimator, safe_indexing(X, test), y)
    except Exception as error:
        if error_score != "raise":
            return f"{type(error).__name__}: {error}"
        if _NO_GROUPS in str(error):
            raise ValueError(
                f"A search in {name!r} splits by groups, which don't reach it. Call "
                "sklearn.set_config(enable_metadata_routing=True) before `evaluate`."
            ) from error
        raise


def _responses(estimator, X, y):
    responses = {"predict": np.asarray(estimator.predict(X))}
    if is_classifier(estimator):
        _check_classes(estimator, y)
        method = "predict_proba"
        if not hasattr(estimator, method):
            method = "decision_function"
        if hasattr(estimator, method):
            responses[method] = np.asarray(getattr(estimator, method)(X))
    for method, values in responses.items():
        assert_all_finite(values, input_name=f"What {method} returned")
    return responses


def _check_classes(estimator, y):
    if not np.array_equal(estimator.classes_, np.unique(y)):
        raise ValueError(
            f"{type(estimator).__name__} knows the classes {estimator.classes_}, `y` "
            f"holds {np.unique(y)}. Evaluate on labelled cases only."
        )


def _joined(name, estimator, y, repeats, of_repeats):
    failures = [answer for row in of_repeats for answer in row if type(answer) is str]
    if failures:
        warnings.warn(
            f"{len(failures)} fits of {name!r} failed; its scores are NaN. The first: "
            f"{failures[0]}",
            FitFailedWarning,
            stacklevel=4,
        )
        return None
    classes = np.unique(y) if is_classifier(estimator) else None
    return [
        PredictionsOutOfFold(estimator, classes, _in_order(repeat, answers))
        for repeat, answers in zip(repeats, of_repeats, strict=True)
    ]


def _in_order(repeat, answers):
    order = np.argsort(np.concatenate([test for _, test in repeat]))
    return {
        method: np.concatenate([answer[method] for answer in answers])[order]
        for method in answers[0]
    }


def draw_cohorts(labels, groups, n_draws, seed):
    """Count how often each patient is in cohorts of as many, drawn with replacement.

    Parameters
    ----------
    labels : ndarray of shape (n_cases,)
        Numbers of classes; all 0 if there are none.
    groups : ndarray of shape (n_cases,)
        Numbers of patients.
    n_draws : int
    seed : int

    Returns
    -------
    counts : ndarray of shape (n_kept, n_patients)
        Without the cohorts that lack a class.
    """
    n = groups.max() + 1
    drawn = np.random.default_rng(seed).integers(n, size=(n_draws, n))
    cells = drawn + n * np.arange(n_draws)[:, None]
    counts = np.bincount(cells.ravel(), minlength=n_draws * n).reshape(n_draws, n)
    of_class = np.zeros((n, labels.max() + 1), dtype=int)
    np.add.at(of_class, (groups, labels), 1)
    counts = counts[(counts @ of_class > 0).all(axis=1)]
    if not len(counts):
        raise ValueError(
            f"All {n_draws} drawn cohorts lack a class: too few patients have it for "
            "an interval."
        )
    return counts


def score_draws(recorded, scorers, y, groups, counts, n_repeats, n_jobs):
    """Score all repeats of all methods, on all cases and in each drawn cohort.

    Returns
    -------
    scores : DataFrame of shape (n_repeats, n_methods * n_metrics)
    draws : DataFrame of shape (n_draws, n_methods * n_metrics)
        Means over the repeats.
    """
    scores, draws = {}, {}
    for method, repeats in recorded.items():
        for metric, scorer in scorers.items():
            values = np.full(n_repeats, np.nan), np.full(len(counts), np.nan)
            if repeats is not None:
                values = _scores(
                    repeats, metric, scorer, y, groups, counts, method, n_jobs
                )
            scores[method, metric], draws[method, metric] = values
    names = ["method", "metric"]
    return tuple(
        pd.DataFrame(table).rename_axis(columns=names) for table in (scores, draws)
    )


def _scores(repeats, metric, scorer, y, groups, counts, method, n_jobs):
    """Return the score of each repeat and the means in each cohort, the quick way."""
    if isinstance(scorer, str) and scorer in _QUICK:
        suits, quick = _QUICK[scorer]
        if suits(repeats[0]):
            return quick(repeats, y, counts[:, groups])
    try:
        return _called(repeats, get_scorer(scorer), y, groups, counts, n_jobs)
    except Exception as error:
        raise ValueError(
            f"`scoring` {metric!r} can't be computed from predictions of {method!r}: "
            f"{error}"
        ) from error


def _areas(repeats, y, weights):
    positive = y == repeats[0].classes_[1]
    values = np.array([repeat.values for repeat in repeats])
    everyone = np.ones((1, len(y)))
    scores = [roc_areas(value[None], positive, everyone)[0] for value in values]
    return scores, roc_areas(values, positive, weights)


def roc_areas(values, positive, weights):
    """Return areas under the ROC curve, the mean over the repeats, in many cohorts.

    The area is the share of pairs in which the positive case has the higher value. How
    a pair is ordered does not depend on the cohort; what the pair counts, does.

    Parameters
    ----------
    values : ndarray of shape (n_repeats, n_cases)
    positive : ndarray of shape (n_cases,), bool
    weights : ndarray of shape (n_draws, n_cases)
        How many times each case is in each cohort.

    Returns
    -------
    areas : ndarray of shape (n_draws,)
    """
    high, low = values[:, positive], values[:, ~positive]
    of_high = weights[:, positive].astype(float)
    of_low = weights[:, ~positive].astype(float)
    won = np.zeros(len(weights))
    for block in gen_batches(high.shape[1], max(1, _BLOCK // low.shape[1])):
        ordered = sum(
            np.heaviside(one[block, None] - other, 0.5)
            for one, other in zip(high, low, strict=True)
        )
        won += ((of_high[:, block] @ ordered) * of_low).sum(axis=1)
    return won / (len(values) * of_high.sum(axis=1) * of_low.sum(axis=1))


def _means_over_cases(of_cases):
    def quick(repeats, y, weights):
        values = np.array([of_cases(repeat, y) for repeat in repeats], dtype=float)
        drawn = weights @ values.mean(axis=0) / weights.sum(axis=1)
        return values.mean(axis=1), drawn

    return quick


def _hit(repeat, y):
    return repeat.responses["predict"] == y


def _brier_loss(repeat, y):
    return -((repeat.values - (y == repeat.classes_[1])) ** 2)


def _squared_error(repeat, y):
    return -((repeat.values - y) ** 2)


# Whom a quick way suits, and the way; it gives what calling the scorer gives.
_QUICK = {
    "roc_auc": (lambda repeat: repeat.ranks_two_classes, _areas),
    "accuracy": (lambda repeat: repeat.classes_ is not None, _means_over_cases(_hit)),
    "neg_brier_score": (
        lambda repeat: repeat.ranks_two_classes and repeat.response == "predict_proba",
        _means_over_cases(_brier_loss),
    ),
    "neg_mean_squared_error": (
        lambda repeat: repeat.classes_ is None,
        _means_over_cases(_squared_error),
    ),
}


def _called(repeats, scorer, y, groups, counts, n_jobs):
    """Call a scorer of any kind, on all cases of each repeat and in each cohort."""
    with_all = np.concatenate([np.ones_like(counts[:1]), counts])
    values = Parallel(n_jobs=n_jobs)(
        delayed(_score_cohorts)(repeat, scorer, y, groups, with_all)
        for repeat in repeats
    )
    scores, *draws = np.transpose(values)
    return scores, np.mean(draws, axis=1)


def _score_cohorts(repeat, scorer, y, groups, counts):
    rows = np.arange(len(y))
    drawn = (np.repeat(rows, count[groups]) for count in counts)
    return np.array([scorer(repeat, some, y[some]) for some in drawn], dtype=float)


def roc_rates(score, positive, weights, fpr):
    """Return true positive rates at false positive rates, in many cohorts.

    Parameters
    ----------
    score : ndarray of shape (n_cases,)
    positive : ndarray of shape (n_cases,), bool
    weights : ndarray of shape (n_draws, n_cases)
    fpr : ndarray of shape (n_points,)

    Returns
    -------
    tpr : ndarray of shape (n_draws, n_points)
    """
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=np.inf))
    rates = [
        np.add.reduceat((weights * side)[:, order], starts, axis=1).cumsum(axis=1)
        for side in (positive, ~positive)
    ]
    true, false = (np.pad(rate / rate[:, -1:], [(0, 0), (1, 0)]) for rate in rates)
    return np.array([np.interp(fpr, x, y) for x, y in zip(false, true, strict=True)])


def percentiles(draws, confidence_level):
    """Return the ends of the middle share of draws, along the first axis."""
    tail = 50 * (1 - confidence_level)
    return np.nanpercentile(draws, [tail, 100 - tail], axis=0)


def summarize(scores, draws, baseline, confidence_level):
    """Make one row for each method and metric of scores and their draws."""
    rows = []
    for method, metric in scores:
        score = scores[method, metric].mean()
        interval = _interval(draws[method, metric], confidence_level)
        row = {"method": method, "metric": metric, "score": score}
        row |= dict(zip(("low", "high"), interval, strict=True))
        if baseline is not None:
            row["difference"] = score - scores[baseline, metric].mean()
            paired = draws[method, metric] - draws[baseline, metric]
            ends = _interval(paired, confidence_level)
            names = "difference_low", "difference_high"
            row |= dict(zip(names, ends, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def _interval(draws, confidence_level):
    if draws.isna().any():
        return np.nan, np.nan
    return percentiles(draws, confidence_level)

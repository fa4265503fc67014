"""Which layer, and how many components: held-out numbers for both."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import t as student
from sklearn.base import clone, is_classifier
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import check_scoring
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, check_cv
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.parallel import Parallel, delayed

from .._pipelines import autoencoder_in, before_autoencoder
from .._search import stacked_training
from .._validation import as_list, check_rows, is_count, safe_indexing, to_numpy
from ..model_selection import default_groups, splits_and_leak
from ._codes import code_of, component_summary

RAW, CHANCE = "raw input", "chance"


@dataclass(repr=False)
class LayerComparison:
    """What `compare_layers` found out.

    Attributes
    ----------
    table : DataFrame
        One row per layer or list of layers, then "raw input" and "chance", with the
        columns "width" (number of values), "score" and its interval "low" to "high",
        "pca" (the score of PCA with as many components, at most as many as there are
        samples), and "difference", "difference_low" and "difference_high" to raw input.
    scores_ : DataFrame of shape (n_folds, n_rows)
        The score of each row of the table in each fold.
    metric : str
        What is scored.
    verdict : str
        The best layer, and whether raw input would have done. Its interval allows for
        all the layers that it is the best of (Bonferroni), so it is wider than that in
        the table.
    """

    table: pd.DataFrame
    scores_: pd.DataFrame
    metric: str
    verdict: str

    def __repr__(self):
        return f"{self.table.round(3)}\n{self.verdict}"

    def _repr_html_(self):
        return f"{self.table.round(3).to_html()}<p>{self.verdict}</p>"


def compare_layers(
    estimator,
    X,
    y,
    *,
    layers=None,
    pairs=False,
    predictor=None,
    scoring=None,
    cv=5,
    groups=None,
    max_width=10_000,
    confidence_level=0.95,
):
    """Score every layer of an autoencoder as features of a predictor.

    In each fold the autoencoder is trained once, on the training samples. The predictor
    learns from each layer of these, after a `StandardScaler`, and is scored on the
    held-out ones; so it is from raw input, and from PCA of as many components.

    Parameters
    ----------
    estimator : estimator
        An autoencoder, or a Pipeline that ends in one; copies of it are fitted.
    X : array-like of shape (n_samples, ...)
        What the estimator takes.
    y : array-like of shape (n_samples,)
        Classes or numbers to predict. The estimator gets them in training, too.
    layers : list of str or of lists of str, default=None
        Keys of `layer_names_`, and lists of them for layers side by side. None takes
        all, but "z", which is `mu` with noise, and those that only reshape or rescale
        another one.
    pairs : bool, default=False
        Whether to add "mu" beside each of the other layers.
    predictor : estimator, default=None
        None takes `LogisticRegression`, or `RidgeCV` for numbers.
    scoring : str or callable, default=None
        As in scikit-learn. None takes the area under the ROC curve for two classes,
        accuracy for more, and R² for numbers.
    cv : int, splitter or iterable, default=5
    groups : array-like of shape (n_samples,), default=None
        Patients, for example, that must not be on both sides of a split. None takes
        those of `X`, if it has a column "patient_id".
    max_width : int, default=10_000
        Wider layers are left out, and raw input if it is wider.
    confidence_level : float, default=0.95

    Returns
    -------
    comparison : LayerComparison
        With `table`, `scores_` and `verdict`.

    Raises
    ------
    ValueError
        If a split has samples of one group on both sides, if the score is not defined
        in a fold, or if all layers are wider than `max_width`.

    Notes
    -----
    Intervals are of Student's t with the variance of Nadeau and Bengio (2003), which
    allows for folds that share training samples. The best of many layers is best partly
    by luck: the verdict allows for that, its score does not. Report the score of a
    layer that was chosen on other data.

    See Also
    --------
    skvae.plot.LayerComparisonDisplay : Draws it.
    choose_n_components : How wide the code should be.

    References
    ----------
    C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning
    52, 2003, https://doi.org/10.1023/A:1024068626366.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import MLP, VAE
    >>> from skvae.inspection import compare_layers
    >>> X, y = load_digits(n_class=4, return_X_y=True)
    >>> vae = VAE(2, architecture=MLP((32,)), max_iter=10, random_state=0)
    >>> comparison = compare_layers(vae, X, y, layers=["mu", "encoder.2"], cv=3)
    >>> comparison.table.index.to_list()
    ['mu', 'encoder.2', 'raw input', 'chance']
    """
    y = to_numpy(y)
    predictor, dummy, metric, scorer = _predictor(predictor, scoring, y)
    splits = _splits(cv, X, y, groups, predictor)

    def fold(train, test):
        fitted = clone(estimator).fit(safe_indexing(X, train), y[train])
        parts = [_outputs(fitted, safe_indexing(X, i), layers) for i in (train, test)]
        wanted = _wanted(parts[0], layers, pairs)
        return {
            name: tuple(_joined(part, names) for part in parts)
            for name, names in wanted.items()
        }

    autoencoder_in(estimator)
    layers = None if layers is None else as_list(layers)
    with stacked_training():
        folds = Parallel()(delayed(fold)(train, test) for train, test in splits)
    scores = []
    for features, (train, test) in zip(folds, splits, strict=True):
        widths = {name: of_train.shape[1] for name, (of_train, _) in features.items()}
        features = {k: both for k, both in features.items() if widths[k] <= max_width}
        if not features.keys() - {RAW}:
            raise ValueError(
                f"All layers have more than max_width={max_width} values. Raise it."
            )

        def score(model, of_train, of_test, train=train, test=test):
            return scorer(clone(model).fit(of_train, y[train]), of_test, y[test])

        row = {name: score(predictor, *both) for name, both in features.items()}
        if RAW in features:
            raw, raw_test = features[RAW]
            for name in features.keys() - {RAW}:
                pca = PCA(min(widths[name], *raw.shape), random_state=0).fit(raw)
                both = pca.transform(raw), pca.transform(raw_test)
                row["pca", name] = score(predictor, *both)
        row[CHANCE] = score(dummy, *next(iter(features.values())))
        scores.append(row)
    share = np.mean([len(test) / len(train) for train, test in splits])
    scores = pd.DataFrame(scores)
    _check_defined(scores, metric, len(splits))
    level = confidence_level
    table = _layer_table(scores, widths, partial(_interval, share=share, level=level))
    level = 1 - (1 - level) / len(table)  # Bonferroni
    interval = partial(_interval, share=share, level=level)
    verdict = _verdict(table, scores, metric, interval)
    return LayerComparison(table, scores[list(table.index)], metric, verdict)


def choose_n_components(
    estimator,
    X,
    y=None,
    *,
    n_components=(2, 4, 8, 16, 32),
    predictor=None,
    scoring=None,
    cv=5,
    groups=None,
):
    """Measure codes of several sizes on held-out samples.

    Parameters
    ----------
    estimator : estimator
        An autoencoder, or a Pipeline that ends in one; copies of it are fitted. With
        ``ordered=True`` one fit per fold serves all sizes, as prefixes of the largest.
    X : array-like of shape (n_samples, ...)
        What the estimator takes.
    y : array-like of shape (n_samples,), default=None
        Classes or numbers to predict from the codes, if any.
    n_components : list of int, default=(2, 4, 8, 16, 32)
        Sizes to try.
    predictor, scoring : default=None
        As in `compare_layers`.
    cv : int, splitter or iterable, default=5
    groups : array-like of shape (n_samples,), default=None
        As in `compare_layers`.

    Returns
    -------
    table : DataFrame
        One row per size, with means over the folds: "log_likelihood" (what
        `score_samples` gives, in nats; NaN for a prefix), "error" (of the
        reconstruction: squared, as a share of the variance), "information" (of the last
        component, in nats; see `component_summary`), "score" if there is `y`, and the
        standard errors of them. "is_enough" is True from the smallest size on whose
        score, or whose error if there is no `y`, is within one standard error of the
        best.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import AE, MLP
    >>> from skvae.inspection import choose_n_components
    >>> X, y = load_digits(n_class=4, return_X_y=True)
    >>> ae = AE(architecture=MLP((32,)), max_iter=10, random_state=0)
    >>> table = choose_n_components(ae, X, y, n_components=[1, 4], cv=2)
    >>> bool(table["error"][4] < table["error"][1])
    True
    """
    sizes = sorted(set(n_components))
    if not sizes or not all(is_count(size) for size in sizes):
        raise ValueError(f"`n_components` must be ints >= 1, got {n_components!r}.")
    ordered = autoencoder_in(estimator).ordered
    target = None if y is None else to_numpy(y)
    scorer = None
    if y is not None:
        predictor, _, metric, scorer = _predictor(predictor, scoring, target)
    splits = _splits(cv, X, target, groups, predictor)

    def measured(size, train, test):
        fitted = clone(estimator)
        autoencoder_in(fitted).set_params(n_components=size)
        fitted.fit(
            safe_indexing(X, train), *([] if target is None else [target[train]])
        )
        prefixes = [k for k in sizes if k <= size] if ordered else [size]
        return [
            _measured(fitted, X, target, train, test, k, predictor, scorer)
            for k in prefixes
        ]

    jobs = [sizes[-1]] if ordered else sizes
    with stacked_training():
        found = Parallel()(
            delayed(measured)(size, train, test)
            for size in jobs
            for train, test in splits
        )
    rows = pd.DataFrame([row for several in found for row in several])
    if y is not None:
        _check_defined(rows["score"], metric, len(splits))
    by_size = rows.groupby("n_components")
    table = by_size.mean()
    errors = by_size.std() / math.sqrt(len(splits))
    goal = "error" if y is None else "score"
    sign = -1 if y is None else 1
    best = (sign * table[goal]).idxmax()
    bound = sign * table[goal][best] - errors[goal][best]
    table["is_enough"] = (sign * table[goal] >= bound).cummax()
    return table.join(errors.add_suffix("_se"))


def _measured(fitted, X, y, train, test, size, predictor, scorer):
    """Measure one fitted autoencoder, cut to so many components."""
    given, model = before_autoencoder(fitted, safe_indexing(X, test))
    is_prefix = size < model.n_components_
    rows = to_numpy(check_rows(model, given, reset=False)[0]).astype(np.float64)
    prefix = {"n_components": size} if model.ordered else {}
    decoded = to_numpy(model.reconstruct(given, **prefix)).reshape(rows.shape)
    summary = component_summary(model, given)
    row = {
        "n_components": size,
        "log_likelihood": np.nan if is_prefix else model.score(given),
        "error": np.nanmean(np.square(decoded - rows)) / np.nanvar(rows, axis=0).mean(),
        "information": summary["information"].iloc[size - 1],
    }
    if y is not None:
        of_train, of_test = (
            code_of(fitted, safe_indexing(X, i))[0]["mu"][:, :size]
            for i in (train, test)
        )
        row["score"] = scorer(
            clone(predictor).fit(of_train, y[train]), of_test, y[test]
        )
    return row


def _predictor(predictor, scoring, y):
    """Return a predictor behind a scaler, one by chance, and how to score both."""
    kind = type_of_target(y)
    is_classes = kind in ("binary", "multiclass")
    if predictor is None:
        predictor = LogisticRegression(max_iter=2000) if is_classes else RidgeCV()
    dummy = DummyClassifier(strategy="prior") if is_classes else DummyRegressor()
    if scoring is None:
        scoring = {"binary": "roc_auc", "multiclass": "accuracy"}.get(kind, "r2")
    metric = scoring if isinstance(scoring, str) else "score"
    predictor = make_pipeline(StandardScaler(), predictor)
    return predictor, dummy, metric, check_scoring(predictor, scoring)


def _check_defined(scores, metric, n_folds):
    if np.isnan(scores.to_numpy(dtype=float)).any():
        raise ValueError(
            f"{metric} is not defined in some of the {n_folds} folds, as where a class "
            "is missing. Take fewer folds, or another `scoring`."
        )


def _splits(cv, X, y, groups, predictor):
    """List the splits; whole groups go to one side."""
    classifies = predictor is not None and is_classifier(predictor)
    groups = default_groups(X, groups)
    if groups is not None and isinstance(cv, int):
        kind = StratifiedGroupKFold if classifies else GroupKFold
        cv = kind(cv)
    cv = check_cv(cv, y, classifier=classifies)
    if groups is None:
        return list(cv.split(X, y))
    splits, leak = splits_and_leak(cv, X, y, groups)
    if leak:
        raise ValueError(leak)
    return splits


def _outputs(fitted, X, layers):
    """Return the input of an autoencoder and its layers, as flat rows."""
    given, model = before_autoencoder(fitted, X)
    rows = to_numpy(check_rows(model, given, reset=False)[0])
    names = [name for name in model.layer_names_ if name != "z"]
    if layers is not None:
        names = list(dict.fromkeys(name for each in layers for name in as_list(each)))
    outputs = model.extract(given, names)
    flat = {
        name: to_numpy(values).reshape(len(rows), -1)
        for name, values in outputs.items()
    }
    return {RAW: rows} | flat


def _wanted(outputs, layers, pairs):
    """Map the names of rows of the table to the layers that they stand for."""
    names, kept = [RAW], [_standardized(outputs[RAW])]
    for name, values in outputs.items():
        Z = _standardized(values)
        if not any(Z.shape == K.shape and np.allclose(Z, K, atol=1e-3) for K in kept):
            names.append(name)
            kept.append(Z)
    wanted = names[1:] if layers is None else list(layers)
    if pairs:
        wanted += [["mu", name] for name in names[1:] if name != "mu"]
    return {" + ".join(as_list(each)): as_list(each) for each in [*wanted, RAW]}


def _standardized(values):
    """Return columns on one scale: layers that only rescale or reshape are equal."""
    return StandardScaler().fit_transform(values.astype(np.float64))


def _joined(outputs, names):
    return np.concatenate([outputs[name] for name in names], axis=1)


def _layer_table(scores, widths, interval):
    """Put means over folds and their intervals into a table."""
    names = [name for name in scores if not isinstance(name, tuple)]
    rows = {}
    for name in names:
        low, high = interval(scores[name])
        row = {"width": widths.get(name, 0), "score": scores[name].mean()}
        row |= {"low": low, "high": high}
        row["pca"] = scores["pca", name].mean() if ("pca", name) in scores else np.nan
        gain = scores[name] - scores[RAW] if RAW in scores else scores[name] * np.nan
        low, high = interval(gain)
        row |= {"difference": gain.mean(), "difference_low": low}
        rows[name] = row | {"difference_high": high}
    return pd.DataFrame(rows).T.astype({"width": int})


def _interval(values, share, level):
    """Return an interval of a mean over folds (Nadeau and Bengio 2003)."""
    n_folds = len(values)
    half = math.inf
    if n_folds > 1:
        error = values.std() * math.sqrt(1 / n_folds + share)
        half = student.ppf((1 + level) / 2, n_folds - 1) * error
    return values.mean() - half, values.mean() + half


def _verdict(table, scores, metric, interval):
    """Say in words which layer is best, and whether raw input would have done.

    `interval` is one that allows for having picked the best of all layers.
    """
    best = table.drop(index=[RAW, CHANCE], errors="ignore")["score"].idxmax()
    row = table.loc[best]
    text = (
        f"Best is {best!r} ({row['width']:.0f} values): {metric} {row['score']:.3f}, "
        f"PCA of that width {row['pca']:.3f}."
    )
    low, _ = interval(scores[best] - scores[CHANCE])
    if low <= 0:
        return f"{text} No layer is surely better than chance."
    if RAW not in scores:
        return text
    low, high = interval(scores[best] - scores[RAW])
    gain = f"{row['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
    if low > 0:
        return f"{text} It beats raw input by {gain}."
    return f"{text} Raw input would have done: the difference is {gain}."

"""Does each known factor have a component of its own, and again in another training?"""

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.stats import entropy, rankdata
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.metrics import mutual_info_score
from sklearn.model_selection import train_test_split
from sklearn.svm import LinearSVC

from .._random import draw_seed
from .._validation import to_numpy
from ._codes import code_of, component_names
from ._correlation import as_table, numbers_or_classes

_ALMOST_NOTHING = 1e-11


def disentanglement(
    estimator, X, factors, *, n_bins=20, test_size=0.5, random_state=None
):
    r"""Measure whether known factors lie in components of their own.

    Parameters
    ----------
    estimator : estimator
        A fitted autoencoder, or a Pipeline that ends in one.
    X : array-like of shape (n_samples, ...)
        What the estimator takes.
    factors : DataFrame or array-like of shape (n_samples, n_factors)
        What varies, as numbers or classes; see `latent_correlation` for which is which.
        They should vary independently, as in synthetic data.
    n_bins : int, default=20
        Of equal width, for "mig".
    test_size : float, default=0.5
        Share of the samples that predictions are scored on.
    random_state : int, RandomState instance or None, default=None
        Of this split and of the trees. None gives the same result in each call.

    Returns
    -------
    scores : Series
        Each is 1 at best, and 0 at worst:

        - "mig": the mutual information gap (Chen et al. 2018), how much more the best
          component knows of a factor than the second best, as a share of the factor's
          entropy;
        - "sap": separated attribute predictability (Kumar et al. 2018), how much better
          the best component alone predicts a factor than the second best: accuracies of
          a linear classifier, or shares of variance for numbers;
        - "disentanglement", "completeness" and "informativeness" (DCI; Eastwood and
          Williams 2018): whether a component serves one factor only, whether one
          component serves a factor, and how well all of them predict it, from the
          importances of boosted trees and their accuracy (R² for numbers).

    References
    ----------
    R. T. Q. Chen, X. Li, R. Grosse and D. Duvenaud, "Isolating sources of
    disentanglement in variational autoencoders", NeurIPS 2018,
    https://arxiv.org/abs/1802.04942.

    A. Kumar, P. Sattigeri and A. Balakrishnan, "Variational inference of disentangled
    latent concepts from unlabeled observations", ICLR 2018,
    https://arxiv.org/abs/1711.00848.

    C. Eastwood and C. K. I. Williams, "A framework for the quantitative evaluation of
    disentangled representations", ICLR 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAE
    >>> from skvae.inspection import disentanglement
    >>> rng = np.random.default_rng(0)
    >>> factors = rng.normal(size=(300, 2))
    >>> X = factors @ np.array([[3.0, 0, 0], [0, 1.0, 1.0]])
    >>> vae = VAE(2, max_iter=100, learning_rate=3e-3, random_state=0).fit(X)
    >>> scores = disentanglement(vae, X, factors)
    >>> bool((scores[["disentanglement", "completeness"]] > 0.5).all())
    True
    """
    codes = code_of(estimator, X)[0]["mu"].astype(np.float64)
    if codes.shape[1] < 2:
        raise ValueError("The code must have 2 components at least, got 1.")
    table = as_table(factors, len(codes))
    if table.isna().any(axis=None):
        raise ValueError("`factors` must be known for all samples, but some are not.")
    columns = [numbers_or_classes(table[name]) for name in table]
    seed = 0 if random_state is None else draw_seed(random_state)
    train, test = train_test_split(
        np.arange(len(codes)), test_size=test_size, random_state=seed % 2**32
    )
    rng = np.random.RandomState(seed % 2**32)
    gaps, accuracies, importances, informed = [], [], [], []
    for y in columns:
        gaps.append(_information_gap(codes, y, n_bins))
        alone = _predictability(codes[train], y[train], codes[test], y[test])
        accuracies.append(_gap(alone))
        weights, score = _importances(codes[train], y[train], codes[test], y[test], rng)
        importances.append(weights)
        informed.append(score)
    matrix = np.transpose(importances)
    return pd.Series(
        {
            "mig": np.mean(gaps),
            "sap": np.mean(accuracies),
            "disentanglement": _concentration(matrix),
            "completeness": _concentration(matrix.T),
            "informativeness": np.mean(informed),
        }
    )


def component_stability(estimators, X):
    """Measure which components come again in other trainings.

    Components of each pair of models are matched one to one, so that the sum of their
    absolute rank correlations is largest.

    Parameters
    ----------
    estimators : list of estimators
        Two or more that were fitted with other seeds, or on other samples.
    X : array-like of shape (n_samples, ...)
        What the estimators take.

    Returns
    -------
    stability : DataFrame of shape (n_components, n_models - 1)
        Of each component of the first model, its absolute rank correlation with the one
        that it is matched with, in each of the others. NaN where a model has fewer
        components.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAE
    >>> from skvae.inspection import component_stability
    >>> X, _ = load_digits(return_X_y=True)
    >>> models = [VAE(4, max_iter=10, random_state=seed).fit(X) for seed in range(3)]
    >>> component_stability(models, X).shape
    (4, 2)
    """
    if len(estimators) < 2:
        raise ValueError("`estimators` must hold 2 fitted models at least.")
    first, *others = (_ranks(code_of(each, X)[0]["mu"]) for each in estimators)
    stability = np.full((first.shape[1], len(others)), np.nan)
    for k, other in enumerate(others):
        alike = np.abs(first.T @ other)
        rows, columns = linear_sum_assignment(-alike)
        stability[rows, k] = alike[rows, columns]
    return pd.DataFrame(stability, index=component_names(len(stability)))


def _information_gap(codes, y, n_bins):
    """Return what the best component knows more than the second, of the entropy."""
    y = y if y.dtype.kind == "i" else _cut(y, n_bins)
    known = [mutual_info_score(y, _cut(column, n_bins)) for column in codes.T]
    whole = mutual_info_score(y, y)
    return _gap(known) / whole if whole else 0.0


def _cut(values, n_bins):
    return np.digitize(values, np.histogram_bin_edges(values, n_bins)[:-1])


def _gap(values):
    second, first = np.sort(values)[-2:]
    return first - second


def _predictability(codes, y, codes_test, y_test):
    """Return how well each component alone predicts a factor."""
    if y.dtype.kind != "i":
        centred = codes - codes.mean(axis=0)
        covariance = (y - y.mean()) @ centred
        norms = np.square(centred).sum(axis=0) * np.square(y - y.mean()).sum()
        return np.where(norms > 0, covariance**2 / np.where(norms > 0, norms, 1), 0)
    model = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
    return [
        model.fit(codes[:, [j]], y).score(codes_test[:, [j]], y_test)
        for j in range(codes.shape[1])
    ]


def _importances(codes, y, codes_test, y_test, rng):
    """Return the importance of each component for a factor, and the score of all."""
    is_classes = y.dtype.kind == "i"
    kind = GradientBoostingClassifier if is_classes else GradientBoostingRegressor
    model = kind(random_state=rng).fit(codes, y)
    return model.feature_importances_, model.score(codes_test, y_test)


def _concentration(importances):
    """Return the mean of 1 - entropy of rows, weighted by what they sum to."""
    n_columns = importances.shape[1]
    if n_columns == 1 or not importances.any():
        return 1.0 if n_columns == 1 else 0.0
    spread = entropy(importances.T + _ALMOST_NOTHING, base=n_columns)
    return float((1 - spread) @ importances.sum(axis=1) / importances.sum())


def _ranks(codes):
    ranks = rankdata(to_numpy(codes), axis=0)
    ranks -= ranks.mean(axis=0)
    norms = np.linalg.norm(ranks, axis=0)
    return ranks / np.where(norms > 0, norms, 1)

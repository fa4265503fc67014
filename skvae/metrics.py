"""Scores of reconstructions, and what turns probabilities into 0 and 1."""

from sklearn.utils.validation import check_consistent_length

from ._metrics import binarize, dice_score, otsu_threshold, resolve_metrics
from ._pipelines import before_autoencoder
from ._validation import to_numpy

__all__ = ["binarize", "dice_score", "otsu_threshold", "reconstruction_scorer"]


class _ReconstructionScorer:
    """Scores an estimator by its reconstructions."""

    def __init__(self, metric, greater_is_better):
        self.metric = metric
        self.greater_is_better = greater_is_better

    def __call__(self, estimator, X, y=None):
        given, model = before_autoencoder(estimator, X)
        X_hat = to_numpy(model.reconstruct(given))
        X = to_numpy(given).reshape(X_hat.shape)
        check_consistent_length(X, X_hat)
        ((_, metric),) = resolve_metrics([self.metric]).items()
        return metric(X, X_hat) * (1 if self.greater_is_better else -1)

    def __repr__(self):
        return f"reconstruction_scorer({self.metric!r})"


def reconstruction_scorer(metric, *, greater_is_better=None):
    """Make a scorer for searches, of reconstructions.

    Parameters
    ----------
    metric : str or callable
        "accuracy" or "dice" of values at least 0.5, "mean_squared_error", or a function
        ``metric(X, X_hat)``.
    greater_is_better : bool or None, default=None
        Whether to maximize it. None does, but for "mean_squared_error".

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X)``, for `scoring` of `GridSearchCV` and the like. The
        estimator is an autoencoder, or a Pipeline that ends in one.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import cross_val_score
    >>> from skvae import AE
    >>> from skvae.metrics import reconstruction_scorer
    >>> X = (load_digits().data > 7).astype(float)
    >>> ae = AE(10, likelihood="bernoulli", max_iter=20, random_state=0)
    >>> scores = cross_val_score(ae, X, cv=2, scoring=reconstruction_scorer("dice"))
    >>> bool(scores.mean() > 0.7)
    True
    """
    resolve_metrics([metric])
    if greater_is_better is None:
        greater_is_better = metric != "mean_squared_error"
    return _ReconstructionScorer(metric, greater_is_better)

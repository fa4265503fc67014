"""From probabilities to 0 and 1, and how well they agree with what is true."""

import numpy as np


def otsu_threshold(values, n_bins=256):
    """Return the threshold that divides values best into low and high ones.

    It makes the variance between both groups largest (Otsu 1979,
    https://doi.org/10.1109/TSMC.1979.4310076), and needs no truth. That of scikit-image
    is the same.

    Parameters
    ----------
    values : array-like of any shape
    n_bins : int, default=256
        Of the histogram that is looked at.

    Returns
    -------
    threshold : float
        The center of a bin. The only value, if all are equal.
    """
    values = np.ravel(values).astype(np.float64)
    if len(values) == 0 or not np.isfinite(values).all():
        raise ValueError("`values` must be finite numbers, and at least one.")
    if values.min() == values.max():
        return float(values[0])
    counts, edges = np.histogram(values, bins=n_bins)
    centers = (edges[:-1] + edges[1:]) / 2
    n_low, n_high = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    low = np.cumsum(counts * centers) / n_low
    high = (np.cumsum((counts * centers)[::-1]) / n_high[::-1])[::-1]
    between = n_low[:-1] * n_high[1:] * (low[:-1] - high[1:]) ** 2
    return float(centers[np.argmax(between)])


def binarize(values, threshold=0.5, y_true=None):
    """Turn probabilities into 0 and 1.

    Parameters
    ----------
    values : array-like of any shape
    threshold : float, "otsu" or "youden", default=0.5
        From where on a value is 1; that of `otsu_threshold`, above which it is 1; or
        the one that makes the rate of true positives minus that of false ones largest
        (Youden 1950), which needs `y_true` and should not be chosen on test data.
    y_true : array-like of the shape of values, default=None
        The true values, 0 and 1.

    Returns
    -------
    binary : ndarray of the shape and type of values
    """
    values = np.asarray(values)
    if isinstance(threshold, str) and threshold == "otsu":
        is_one = values > otsu_threshold(values)
    else:
        is_one = values >= _level(values, threshold, y_true)
    return is_one.astype(values.dtype if values.dtype.kind == "f" else np.int64)


def _level(values, threshold, y_true):
    if not isinstance(threshold, str):
        return float(threshold)
    if threshold != "youden":
        raise ValueError(
            f"`threshold` must be a number, 'otsu' or 'youden', got {threshold!r}."
        )
    if y_true is None:
        raise ValueError("threshold='youden' needs the true values, `y_true`.")
    y_true = _bits(y_true, "y_true")
    if y_true.all() or not y_true.any():
        raise ValueError("threshold='youden' needs both 0 and 1 in `y_true`.")
    from sklearn.metrics import roc_curve  # slow to import

    false, true, levels = roc_curve(y_true.ravel(), values.ravel())
    return float(levels[np.argmax(true - false)])


def dice_score(y_true, y_pred, average="micro"):
    r"""Return how far two sets of ones overlap.

    .. math:: \frac{2 |A \cap B|}{|A| + |B|}

    Parameters
    ----------
    y_true : array-like of shape (n_samples, ...)
        0 and 1.
    y_pred : array-like of shape (n_samples, ...)
        0 and 1.
    average : {"micro", "samples"}, default="micro"
        Over all values at once, or the mean of the scores of samples.

    Returns
    -------
    score : float
        Between 0 and 1. Where there are no ones at all, it is 1.
    """
    y_true, y_pred = _bits(y_true, "y_true"), _bits(y_pred, "y_pred")
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"`y_pred` must have the shape of `y_true`, {y_true.shape}, got "
            f"{y_pred.shape}."
        )
    if average not in ("micro", "samples"):
        raise ValueError(f"`average` must be 'micro' or 'samples', got {average!r}.")
    n_rows = 1 if average == "micro" else len(y_true)
    y_true, y_pred = y_true.reshape(n_rows, -1), y_pred.reshape(n_rows, -1)
    total = y_true.sum(axis=1) + y_pred.sum(axis=1)
    both = 2 * (y_true & y_pred).sum(axis=1)
    return float(np.where(total == 0, 1.0, both / np.maximum(total, 1)).mean())


def _bits(values, name):
    values = np.asarray(values)
    if not np.isin(values, [0, 1]).all():
        raise ValueError(f"`{name}` must hold 0 and 1 only. See `binarize`.")
    return values.astype(bool)


def _of_values(score):
    """Let a score see the values that there are only."""

    def scored(X, X_hat):
        there = ~np.isnan(X)
        return float(score(X[there], X_hat[there]))

    return scored


METRICS = {
    "accuracy": _of_values(lambda X, X_hat: (binarize(X) == binarize(X_hat)).mean()),
    "dice": _of_values(lambda X, X_hat: dice_score(binarize(X), binarize(X_hat))),
    "mean_squared_error": _of_values(lambda X, X_hat: np.square(X - X_hat).mean()),
}


def resolve_metrics(metrics):
    """Map names to functions of data and reconstructions.

    Parameters
    ----------
    metrics : list of str or callable, or None
        Names of `METRICS`, or functions with a name of their own.
    """
    found = {}
    for metric in metrics or []:
        if callable(metric):
            found[getattr(metric, "__name__", type(metric).__name__)] = metric
        elif metric in METRICS:
            found[metric] = METRICS[metric]
        else:
            raise ValueError(
                f"`metrics` must hold functions metric(X, X_hat) or names of "
                f"{sorted(METRICS)}, got {metric!r}."
            )
    return found

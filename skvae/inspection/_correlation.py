"""What components have to do with something known."""

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.utils import check_random_state

from .._validation import is_count
from ._codes import code_of, component_names

MEASURES = ("pearson", "spearman", "mutual_information")
_FEW = 10  # different ints are classes
_FEWEST = 10  # samples of a target
_N_BOOTSTRAPS = 300


def latent_correlation(
    estimator,
    X,
    targets,
    *,
    measures=MEASURES,
    n_permutations=500,
    confidence_level=0.95,
    random_state=None,
):
    r"""Measure how each component of the code goes with known values.

    Parameters
    ----------
    estimator : estimator
        A fitted autoencoder, or a Pipeline that ends in one.
    X : array-like of shape (n_samples, ...)
        What the estimator takes; better not the training data.
    targets : DataFrame, Series or array-like of shape (n_samples, ...)
        One or several columns of numbers or classes. Strings, booleans and the dtype
        "category" are classes, and so are ints of at most ten different values. Samples
        without a value (NaN, None) are left out for that target.
    measures : list of str, default=("pearson", "spearman", "mutual_information")
        "pearson" for linear relations and "spearman" for monotonic ones, from -1 to 1.
        For more than two classes it is the correlation ratio of values or of ranks,
        from 0 to 1. "mutual_information" is for any relation, in nats, with numbers cut
        into bins of equal counts.
    n_permutations : int, default=500
        Shuffles of the codes, which show what comes by chance.
    confidence_level : float, default=0.95
        Of the intervals, by a bootstrap over samples.
    random_state : int, RandomState instance or None, default=None
        Of shuffles and bootstrap. None gives the same result in each call.

    Returns
    -------
    correlation : DataFrame
        One row per component, target and measure, with "value", its interval "low" to
        "high", "baseline" (the mean over the shuffles of its absolute value), "p_value"
        and "adjusted_p_value". The latter is the share of shuffles in which the largest
        of all components and targets exceeds it (Westfall and Young 1993): among all
        those below .05, one false find or more is made with a probability of .05.

    Notes
    -----
    Cases of one patient are not independent. Give one case per patient, or means.

    See Also
    --------
    skvae.plot.LatentCorrelationDisplay : Draws it.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import AE
    >>> from skvae.inspection import latent_correlation
    >>> rng = np.random.default_rng(0)
    >>> size = rng.normal(size=200)
    >>> X = np.outer(size, [1.0, 2.0, -1.0]) + 0.1 * rng.normal(size=(200, 3))
    >>> ae = AE(1, max_iter=30, random_state=0).fit(X)
    >>> found = latent_correlation(ae, X, {"size": size}, measures=["spearman"])
    >>> bool(abs(found["value"][0]) > 0.9 and found["adjusted_p_value"][0] < 0.01)
    True
    """
    unknown = [name for name in measures if name not in MEASURES]
    if unknown or not len(measures):
        raise ValueError(
            f"`measures` must be a list of {list(MEASURES)}, got {measures!r}."
        )
    if not is_count(n_permutations):
        raise ValueError(
            f"`n_permutations` must be an int >= 1, got {n_permutations!r}."
        )
    if not 0 < confidence_level < 1:
        raise ValueError(
            f"`confidence_level` must be between 0 and 1, got {confidence_level!r}."
        )
    rng = check_random_state(0 if random_state is None else random_state)
    codes = code_of(estimator, X)[0]["mu"].astype(np.float64)
    table = as_table(targets, len(codes))
    seed = rng.randint(2**31)
    rows, by_chance = [], []
    for name, column in table.items():
        is_known = column.notna().to_numpy()
        if is_known.sum() < _FEWEST:
            raise ValueError(
                f"`targets` has {is_known.sum()} values of {name!r}, but {_FEWEST} are "
                "needed."
            )
        y, Z = numbers_or_classes(column[is_known]), codes[is_known]
        for measure in measures:
            value = _relation(*_prepared(measure, Z, y))
            low, high = _interval(measure, Z, y, value, confidence_level, seed)
            by_chance.append(_shuffled(measure, Z, y, n_permutations, seed))
            part = {
                "component": component_names(len(value)),
                "target": name,
                "measure": measure,
                "value": value,
                "low": low,
                "high": high,
            }
            rows.append(pd.DataFrame(part))
    found = pd.concat(rows, ignore_index=True)
    null = np.concatenate(by_chance, axis=1)
    found["baseline"], spread = null.mean(axis=0), null.std(axis=0)
    found["p_value"] = _p_values(null, found["value"].abs())
    spread = np.where(spread > 0, spread, np.inf)
    excess = (found["value"].abs() - found["baseline"]) / spread
    largest = ((null - found["baseline"].to_numpy()) / spread).max(axis=1)
    found["adjusted_p_value"] = _p_values(largest[:, None], excess)
    return found


def as_table(targets, n_samples):
    """Return targets as a DataFrame."""
    if isinstance(targets, pd.Series):
        targets = targets.to_frame(targets.name or "target")
    elif not isinstance(targets, pd.DataFrame):
        array = targets if isinstance(targets, dict) else np.asarray(targets)
        targets = pd.DataFrame(array)
        if targets.shape[1] == 1 and not isinstance(array, dict):
            targets.columns = ["target"]
    if len(targets) != n_samples:
        raise ValueError(
            f"`targets` must have a row for each of the {n_samples} samples, got "
            f"{len(targets)}."
        )
    return targets


def numbers_or_classes(column):
    """Return numbers as floats, and classes as ints from 0."""
    is_number = pd.api.types.is_numeric_dtype(column)
    is_int = pd.api.types.is_integer_dtype(column)
    is_class = pd.api.types.is_bool_dtype(column) or not is_number
    if is_class or (is_int and column.nunique() <= _FEW):
        return pd.factorize(column, sort=True)[0]
    return column.to_numpy(dtype=np.float64)


def _prepared(measure, Z, y):
    """Return what a measure compares, of codes and of a target."""
    is_classes = y.dtype.kind == "i"
    if measure == "mutual_information":
        return _bins(Z), y if is_classes else _bins(y[:, None])[:, 0]
    if measure == "spearman":
        Z = rankdata(Z, axis=0)
        y = y if is_classes else rankdata(y)
    basis = np.eye(y.max() + 1)[y][:, 1:] if is_classes else y[:, None]
    return _standardized(Z), _orthonormal(basis)


def _relation(codes, target):
    """Return how each column of the prepared codes goes with a prepared target."""
    if codes.dtype.kind == "i":
        return np.array([_information(column, target) for column in codes.T])
    along = target.T @ codes
    return along[0] if len(along) == 1 else np.linalg.norm(along, axis=0)


def _standardized(Z):
    Z = Z - Z.mean(axis=0)
    norm = np.linalg.norm(Z, axis=0)
    return Z / np.where(norm > 1e-12 * len(Z), norm, np.inf)


def _orthonormal(columns):
    """Return axes of what columns span beside a constant; the sign stays."""
    columns = columns - columns.mean(axis=0)
    if columns.shape[1] == 1:
        return _standardized(columns)
    if not columns.any():  # of one class
        return np.zeros((len(columns), 1))
    axes, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return axes[:, sizes > 1e-9 * max(sizes.max(), 1e-300)]


def _bins(Z):
    """Number bins of equal counts, some tens of samples in each pair of them."""
    n_bins = int(np.clip(np.sqrt(len(Z) / 5), 2, 10))
    below = np.arange(1, n_bins) / n_bins
    return np.stack(
        [np.searchsorted(np.quantile(z, below), z, side="left") for z in Z.T], axis=1
    )


def _information(a, b):
    """Return the mutual information of two rows of ints, in nats."""
    n_columns = b.max() + 1
    counts = np.bincount(a * n_columns + b, minlength=(a.max() + 1) * n_columns)
    joint = counts.reshape(-1, n_columns) / len(a)
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / product[there])).sum())


def _interval(measure, Z, y, value, confidence_level, seed):
    """Return percentiles over samples drawn anew."""
    rng = np.random.RandomState(seed)
    drawn = []
    for _ in range(_N_BOOTSTRAPS):
        picked = rng.randint(len(y), size=len(y))
        drawn.append(_relation(*_prepared(measure, Z[picked], y[picked])))
    if measure == "mutual_information":  # repeated samples tell more than they know
        drawn = np.maximum(drawn - (np.mean(drawn, axis=0) - value), 0)
    tail = (1 - confidence_level) / 2
    return np.quantile(drawn, [tail, 1 - tail], axis=0)


def _shuffled(measure, Z, y, n_permutations, seed):
    """Return absolute values of a measure for shuffled codes."""
    rng = np.random.RandomState(seed)
    codes, target = _prepared(measure, Z, y)
    values = [
        _relation(codes[rng.permutation(len(codes))], target)
        for _ in range(n_permutations)
    ]
    return np.abs(values)


def _p_values(by_chance, values):
    exceeded = (by_chance >= values.to_numpy() - 1e-12).sum(axis=0)
    return (1 + exceeded) / (1 + len(by_chance))

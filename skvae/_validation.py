"""Input and parameter checks; the only importer of scikit-learn's private helpers."""

import math
import warnings
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.base import _fit_context as fit_context
from sklearn.utils import assert_all_finite
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    Options,
    StrOptions,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    column_or_1d,
    validate_data,
)

__all__ = [
    "HasMethods",
    "Options",
    "StrOptions",
    "at_least",
    "check_codes",
    "check_feature_names_in",
    "check_image_shape",
    "check_labels",
    "check_rows",
    "check_support",
    "fit_context",
    "fraction",
    "known_labels",
    "location_and_spread",
    "positive",
    "share",
]


def at_least(minimum, kind=Real):
    """Constrain a parameter to numbers >= `minimum`."""
    return Interval(kind, minimum, None, closed="left")


positive = Interval(Real, 0, None, closed="neither")
fraction = Interval(Real, 0, 1, closed="neither")
share = Interval(Real, 0, 1, closed="left")


def check_rows(estimator, X, *, reset, name="X"):
    """Validate samples of any rank.

    Parameters
    ----------
    estimator : estimator
        Receives `n_features_in_` and `feature_names_in_` when `reset`.
    X : array-like of shape (n_samples, n_features) or (n_samples, ...)
    reset : bool
    name : str
        What to call `X` in errors.

    Returns
    -------
    rows : ndarray of shape (n_samples, n_features), float32
        C-contiguous; shares memory with `X` where it can.
    shape : tuple of int
        The shape of one sample as it came.
    """
    if not hasattr(X, "shape"):
        X = np.asarray(X)
    shape = tuple(X.shape[1:])
    if len(shape) > 1:
        if not reset and shape not in (estimator._input_shape, estimator.sample_shape_):
            raise ValueError(
                f"{name} has samples of shape {shape}, but {type(estimator).__name__} "
                f"was fitted on samples of shape {estimator._input_shape}."
            )
        X = np.asarray(X).reshape(X.shape[0], math.prod(shape))
    rows = validate_data(
        estimator,
        X,
        reset=reset,
        dtype=np.float32,
        order="C",
        ensure_all_finite=False,
    )
    flat = rows.ravel()
    with np.errstate(all="ignore"):
        probe = flat @ flat  # on all cores, unlike the thorough check
    if not np.isfinite(probe):
        assert_all_finite(
            rows, estimator_name=type(estimator).__name__, input_name=name
        )
    return rows, shape


_REQUIRED = object()  # marks nothing, and every sample must have a label


def check_labels(estimator, y, rows, *, classes=None, unlabelled=_REQUIRED, name="y"):
    """Number the classes of samples.

    Parameters
    ----------
    estimator : estimator
        Its name appears in errors.
    y : array-like of shape (n_samples,)
    rows : array-like of shape (n_samples, ...)
    classes : ndarray of shape (n_classes,) or None
        The classes there are, sorted; None takes those of `y`.
    unlabelled : object
        What marks a sample without a label, beside None and NaN, which then do; "auto"
        is -1, unless -1 is one of `classes` or `y` holds -1 and 1 only. By default
        every sample must have one.
    name : str
        What to call `y` in errors.

    Returns
    -------
    numbers : ndarray of shape (n_samples,), int64
        Numbers of the classes, -1 where the label is not known.
    classes : ndarray of shape (n_classes,)
    """
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target "
            f"{name} is None."
        )
    if isinstance(y, list | tuple):
        y = np.asarray(y, dtype=object)  # else NaN and numbers would become strings
    y = column_or_1d(y, warn=True)
    check_consistent_length(rows, y)
    known = known_labels(y, unlabelled, classes)
    if unlabelled is _REQUIRED and not known.all():
        raise ValueError(
            f"`{name}` lacks {(~known).sum()} labels; {type(estimator).__name__} needs "
            "that of each sample. AAEClassifier learns from some."
        )
    labels = _plain(y[known], name)
    if labels.dtype.kind == "f":
        assert_all_finite(labels, input_name=name)
    check_classification_targets(labels)
    if classes is None:
        classes = np.unique(labels)
    unseen = ~np.isin(labels, classes)
    if unseen.any():
        label = labels[unseen][0].item()
        raise ValueError(
            f"`{name}` holds {label!r}, which is none of the classes "
            f"{classes.tolist()} that {type(estimator).__name__} was fitted on."
        )
    numbers = np.full(len(y), -1)
    numbers[known] = np.searchsorted(classes, labels)
    return numbers, classes


def known_labels(y, unlabelled, classes=None):
    """Tell which samples have a label.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
    unlabelled : object
    classes : ndarray of shape (n_classes,) or None
        As in `check_labels`.

    Returns
    -------
    known : ndarray of shape (n_samples,), bool
    """
    y = np.asarray(y, dtype=object)
    known = ~pd.isna(y)
    if isinstance(unlabelled, str) and unlabelled == "auto":
        unlabelled = None if _is_sign_coded(y[known], classes) else -1
    if unlabelled is _REQUIRED or unlabelled is None:
        return known
    if unlabelled == -1 and "-1" in y[known].tolist():
        raise ValueError(
            "`y` holds the string '-1', which is not the number that marks samples "
            "without a label. Use None there, or unlabelled='-1'."
        )
    known[known] = y[known] != unlabelled
    return known


def _is_sign_coded(labels, classes):
    """Tell whether -1 is a class, as in the usual coding of two classes by -1 and 1."""
    if classes is not None:
        return -1 in classes.tolist()
    if set(labels) != {-1, 1}:
        return False
    warnings.warn(
        "`y` holds -1 and 1 only, which is read as two classes. If -1 marks samples "
        "without a label, use NaN or None instead. In AAEClassifier, unlabelled=-1 or "
        "unlabelled=None says which is meant.",
        UserWarning,
        stacklevel=10,
    )
    return True


def _plain(labels, name):
    """Give labels in an array of objects the type that they have."""
    if labels.dtype != object:
        return labels
    if len({isinstance(label, str) for label in labels}) > 1:
        raise TypeError(f"`{name}` mixes strings with other labels.")
    return np.asarray(labels.tolist())


def check_image_shape(image_shape, shape):
    """Resolve the shape that the networks see from what the user passed."""
    if image_shape is None:
        return shape
    image_shape = tuple(image_shape)
    if not all(isinstance(size, Integral) and size > 0 for size in image_shape):
        raise ValueError(
            f"`image_shape` must be a tuple of positive ints, got {image_shape}."
        )
    if math.prod(image_shape) != math.prod(shape):
        raise ValueError(
            f"`image_shape`={image_shape} holds {math.prod(image_shape)} values, but "
            f"each sample of X has {math.prod(shape)} (shape {shape})."
        )
    return image_shape


def check_codes(Z, n_components):
    """Validate latent codes of shape (n_samples, n_components)."""
    Z = check_array(Z, dtype=np.float32, order="C", input_name="Z")
    if Z.shape[1] != n_components:
        raise ValueError(
            f"Z must have n_components={n_components} columns, got {Z.shape[1]}."
        )
    return Z


def check_support(rows, likelihood, name="X"):
    """Raise if the data lie outside of what the likelihood can produce.

    Scalers that map to an interval may miss its ends by rounding; that is let pass.
    """
    low, high = likelihood.support
    if rows.min() < low - 1e-6 or rows.max() > high + 1e-6:
        raise ValueError(
            f"likelihood={likelihood} needs values in [{low:g}, {high:g}], but {name} "
            f"runs from {rows.min():.9g} to {rows.max():.9g}. Scale it (MinMaxScaler), "
            "or take likelihood='gaussian'."
        )


def location_and_spread(rows, index):
    """Return the mean of each feature and the standard deviation around them.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features), float32
    index : ndarray of shape (n_train,)
        Rows to look at; taken in chunks, so that no second copy of the data arises.

    Returns
    -------
    mean : ndarray of shape (n_features,), float32
    spread : float
        One for all features, and 1 for constant data.
    """
    n_features = rows.shape[1]
    n_chunks = math.ceil(len(index) * n_features / 2**20)
    chunks = np.array_split(index, max(1, min(len(index), n_chunks)))
    total = sum(rows[chunk].sum(axis=0, dtype=np.float64) for chunk in chunks)
    mean = (total / len(index)).astype(np.float32)
    squares = sum(
        np.square(rows[chunk] - mean, dtype=np.float64).sum() for chunk in chunks
    )
    spread = np.float32(math.sqrt(squares / (len(index) * n_features)))
    return mean, float(spread) or 1.0

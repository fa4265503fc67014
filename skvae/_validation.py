"""Input and parameter checks; the only importer of scikit-learn's private helpers."""

import math
import re
import warnings
from functools import cache, partial
from inspect import signature
from numbers import Integral, Real
from types import FunctionType

import numpy as np
from sklearn.base import _fit_context as fit_context
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils import assert_all_finite, get_tags
from sklearn.utils._array_api import get_namespace
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    column_or_1d,
    validate_data,
)
from sklearn.utils.validation import _num_samples as count_samples

from ._blocks import BlockRows, Items, stays_on_disk

__all__ = [
    "HasMethods",
    "Numbers",
    "StrOptions",
    "arguments_of",
    "at_least",
    "check_codes",
    "check_feature_names_in",
    "check_image_shape",
    "check_labels",
    "check_rows",
    "check_support",
    "count_samples",
    "fit_context",
    "fraction",
    "get_namespace",
    "is_count",
    "is_search",
    "known_labels",
    "location_and_spread",
    "named_after",
    "number_groups",
    "positive",
    "safe_indexing",
    "share",
    "side_by_side",
    "takes",
    "to_numpy",
    "type_in",
    "warn_of_target",
]


class Numbers(Interval):
    """An interval of numbers, among which True and False are none."""

    def is_satisfied_by(self, val):
        return not isinstance(val, bool | np.bool_) and super().is_satisfied_by(val)


def arguments_of(cls, given):
    """Pick those that the constructor of a base class takes, of all arguments.

    Parameters
    ----------
    cls : type
    given : dict
        The ``locals()`` of the constructor of a subclass.
    """
    return {name: given[name] for name in _names_of_arguments(cls)}


@cache
def _names_of_arguments(cls):
    return tuple(signature(cls).parameters)


def takes(function, *arguments):
    """Tell whether a function can be called with so many arguments."""
    if hasattr(function, "register_forward_hook"):  # calls `forward`, of one
        return False
    try:
        signature(function).bind(*arguments)
    except ValueError:  # has no signature, as some of C
        return True
    except TypeError:
        return False
    return True


def named_after(cls, function):
    """Copy a function of a base class, so that errors of its arguments name `cls`.

    Python takes the name from the function. To check the arguments in a wrapper would
    add a frame, from which warnings would seem to come.
    """
    own = FunctionType(
        function.__code__,
        function.__globals__,
        argdefs=function.__defaults__,
        closure=function.__closure__,
    )
    own.__kwdefaults__ = dict(function.__kwdefaults__ or {})
    own.__doc__ = function.__doc__
    own.__qualname__ = f"{cls.__qualname__}.{function.__name__}"
    return own


def at_least(minimum, kind=Real):
    """Constrain a parameter to numbers >= `minimum`."""
    return Numbers(kind, minimum, None, closed="left")


positive = Numbers(Real, 0, None, closed="neither")
fraction = Numbers(Real, 0, 1, closed="neither")
share = Numbers(Real, 0, 1, closed="left")


def is_count(value):
    """Tell whether a value is an int >= 1; a bool is none."""
    is_int = isinstance(value, Integral) and not isinstance(value, bool)
    return is_int and value >= 1


def is_search(estimator):
    """Tell whether an estimator is one of scikit-learn's searches."""
    from sklearn.model_selection._search import BaseSearchCV  # slow to import

    return isinstance(estimator, BaseSearchCV)


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
    rows : ndarray or Tensor of shape (n_samples, n_features), float32 or float64
        C-contiguous; shares memory with `X` where it can. A tensor if `X` is one and
        scikit-learn's ``array_api_dispatch`` is on.
    shape : tuple of int
        The shape of one sample as it came.
    """
    if _is_of_torch_data(X) and {"__getitem__", "__len__"} <= set(dir(X)) and len(X):
        X = Items(X)
    on_disk = stays_on_disk(X)
    X = X if on_disk else _as_array(X, name)
    shape = tuple(X.shape[1:])
    if name != "X" and len(shape) < 2 and shape != (estimator.n_features_in_,):
        raise ValueError(
            f"{name} must have shape (n_samples, {estimator.n_features_in_}), as X has "
            f"that many features; got {tuple(X.shape)}."
        )
    known = () if reset else (estimator._input_shape, estimator.sample_shape_)
    if len(shape) > 1 and known and shape not in known:
        raise ValueError(
            f"{name} has samples of shape {shape}, but {type(estimator).__name__} "
            f"was fitted on samples of shape {estimator._input_shape}."
        )
    if on_disk:
        return _rows_on_disk(estimator, X, reset, name), shape
    if len(shape) > 1:
        X = X.reshape(X.shape[0], math.prod(shape))
    rows = validate_data(
        estimator,
        X,
        reset=reset,
        dtype=_float_types(X),
        order="C",
        ensure_all_finite=False,
    )
    _check_finite(rows, estimator, name)
    return rows, shape


def _rows_on_disk(estimator, X, reset, name):
    """Return rows that are read, and checked, when they are needed."""
    if X.dtype.kind not in "biuf":
        raise TypeError(f"{name} has the dtype {X.dtype}, but must hold numbers.")
    sizes = [size for size in X.shape if is_count(size)]
    if len(sizes) < max(2, len(X.shape)):
        raise ValueError(
            f"{name} must have a known shape (n_samples, ...) with some samples and "
            f"features, got {tuple(X.shape)}. Arrays of dask learn theirs by "
            "compute_chunk_sizes()."
        )
    first = np.asarray(X[:1]).reshape(1, -1)
    validate_data(estimator, first, reset=reset, ensure_all_finite=False)
    return BlockRows(X, partial(_check_finite, estimator=estimator, name=name))


def _as_array(X, name):
    """Return an array, tensor or table, or raise if `X` means something else."""
    if _is_of_torch_data(X):
        raise TypeError(
            f"{name} is a {type(X).__name__}, but must be an array of shape "
            "(n_samples, ...), or a Dataset of samples that has a length."
        )
    parts = list(X) if isinstance(X, list | tuple) else [X]
    if any(map(np.ma.is_masked, parts)):
        raise ValueError(
            f"{name} holds masked values, which would be taken for data. Fill them in, "
            "as by X.filled(0) or by SimpleImputer on X.filled(np.nan)."
        )
    if isinstance(X, list | tuple):
        X = np.asarray([to_numpy(p) if hasattr(p, "detach") else p for p in parts])
        _warn_of_joint_arrays(X.shape, name)
    if hasattr(X, "detach"):
        X = X.detach()
        if not get_namespace(X)[1]:
            return X.numpy()
        if X.is_complex():
            raise ValueError(f"{name} holds complex numbers. Take their parts apart.")
    if not hasattr(X, "shape"):
        X = np.asarray(X)
    if _holds_dates(X):
        raise TypeError(
            f"{name} holds dates or durations, which have no scale of their own. Turn "
            "them into numbers first, such as days since a date."
        )
    return np.asarray(X) if len(X.shape) > 2 and not hasattr(X, "detach") else X


def _holds_dates(X):
    """Tell whether an array or a table has dates or durations in it."""
    dtypes = list(getattr(X, "dtypes", [getattr(X, "dtype", None)]))
    kinds = [getattr(dtype, "kind", "") for dtype in dtypes]
    temporal = (getattr(dtype, "is_temporal", bool)() for dtype in dtypes)  # of polars
    if {"m", "M"} & set(kinds) or any(temporal):
        return True
    objects = [i for i, kind in enumerate(kinds) if kind == "O"]
    if not objects:
        return False
    from pandas.api.types import infer_dtype

    columns = (X.iloc[:, i] if hasattr(X, "iloc") else X for i in objects)
    inferred = {infer_dtype(np.ravel(values)) for values in columns}
    return bool(inferred & _DATES)


_DATES = {"date", "datetime", "datetime64", "period", "timedelta", "timedelta64"}


def _is_of_torch_data(X):
    """Tell whether a value is a Dataset or DataLoader, without an import of torch."""
    return any(
        base.__module__.startswith("torch.utils.data") for base in type(X).__mro__
    )


def _warn_of_joint_arrays(shape, name):
    """Doubt a list of few parts that are longer than the list."""
    if len(shape) > 2 and shape[0] < shape[1]:
        warnings.warn(
            f"{name} is a list of {shape[0]} arrays of shape {shape[1:]}, read as "
            f"{shape[0]} samples. Join several inputs of the same samples by "
            "np.stack(X, axis=1), several batches by np.concatenate(X). If these are "
            "samples, np.stack(X) says so.",
            UserWarning,
            stacklevel=8,
        )


def _float_types(X):
    """Choose a precision that holds the values: single for short types, or as it is."""
    xp, _ = get_namespace(X)
    itemsize = getattr(getattr(X, "dtype", None), "itemsize", 8)
    return xp.float32 if itemsize <= 2 else [xp.float64, xp.float32]


_BLOCK = (
    8192  # values, too few for BLAS to start threads, which busy cores keep waiting
)


def _check_finite(rows, estimator, name):
    """Raise unless all values are finite, or NaN if allowed, and not too large."""
    largest = float(np.finfo(np.float32).max)
    flat = rows.reshape(-1)
    blocks = (flat[i : i + _BLOCK] for i in range(0, len(flat), _BLOCK))
    with np.errstate(all="ignore"):
        probe = sum(block @ block for block in blocks)
    if probe < largest:
        return
    allow_nan = get_tags(estimator).input_tags.allow_nan
    if not allow_nan and hasattr(estimator, "missing_values") and _has_nan(rows):
        raise ValueError(
            f"Input {name} contains NaN. To leave missing values out, set "
            f"missing_values='mask' in {type(estimator).__name__}; to fill them first, "
            "take SimpleImputer or skvae.impute.AutoencoderImputer."
        )
    assert_all_finite(
        rows,
        allow_nan=allow_nan,
        estimator_name=type(estimator).__name__,
        input_name=name,
    )
    low, high = extremes(rows)
    if low < -largest or high > largest:
        raise ValueError(
            f"{name} holds values beyond {largest:.2g}, which single precision can't "
            "hold. Scale them."
        )


def _has_nan(rows):
    """Tell whether values are missing."""
    return math.isnan(float(rows.min()))


def extremes(rows):
    """Return the smallest and the largest value, apart from NaN."""
    low, high = float(rows.min()), float(rows.max())
    if _has_nan(rows):
        values = to_numpy(rows)
        low = float(np.fmin.reduce(values, axis=None))
        high = float(np.fmax.reduce(values, axis=None))
    return low, high


_REQUIRED = object()  # marks nothing, and every sample must have a label


def check_weights(sample_weight, rows):
    """Return what each sample counts as an array, or None if none is given."""
    if sample_weight is None:
        return None
    weights = _check_sample_weight(
        sample_weight, rows, dtype=np.float64, ensure_non_negative=True
    )
    if not weights.any():
        raise ValueError("`sample_weight` is 0 for all samples: nothing to train on.")
    return weights


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
    if np.ma.is_masked(y):
        raise ValueError(
            f"`{name}` holds masked values, which would be taken for labels. Mark them "
            "as AAEClassifier expects it, by y.filled(-1) for ints."
        )
    if hasattr(y, "detach"):
        y = to_numpy(y)
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
        raise ValueError(
            f"`{name}` holds {unseen.sum()} labels ({type_in(labels)}) that are none "
            f"of the {len(classes)} classes ({type_in(classes)}) that "
            f"{type(estimator).__name__} was fitted on. See `classes_`."
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
    from pandas import isna

    y = np.asarray(y, dtype=object)
    known = ~isna(y)
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


def type_in(array):
    """Name the type of the values in an array, as Python calls it."""
    return type(np.zeros(1, array.dtype).item()).__name__


def _plain(labels, name, kind="labels"):
    """Give labels in an array of objects the type that they have."""
    if labels.dtype != object:
        return labels
    if len({isinstance(label, str) for label in labels}) > 1:
        raise TypeError(f"`{name}` mixes strings with other {kind}.")
    return np.asarray(labels.tolist())


def number_groups(groups):
    """Number the groups of samples.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)

    Returns
    -------
    numbers : ndarray of shape (n_samples,), int64
        In the order in which the groups come first.
    """
    from pandas import factorize

    if np.ma.is_masked(groups):
        groups = np.where(np.ma.getmaskarray(groups), None, groups.data.astype(object))
    # As objects, or a missing value among strings would become a string.
    groups = column_or_1d(np.asarray(groups, dtype=object))
    numbers, names = factorize(groups)
    if (numbers < 0).any():
        raise ValueError(
            f"`groups` lacks {(numbers < 0).sum()} of {len(numbers)} values. Fill them "
            "in, or drop these samples."
        )
    _plain(names, "groups", "values")
    return numbers


def check_image_shape(image_shape, shape):
    """Resolve the shape that the networks see from what the user passed."""
    if image_shape is None:
        return shape
    image_shape = tuple(image_shape)
    if not all(is_count(size) for size in image_shape):
        raise ValueError(
            f"`image_shape` must be a tuple of positive ints, got {image_shape}."
        )
    if math.prod(image_shape) != math.prod(shape):
        raise ValueError(
            f"`image_shape`={image_shape} holds {math.prod(image_shape)} values, but "
            f"each sample of X has {math.prod(shape)} (shape {shape})."
        )
    return image_shape


def as_list(layers):
    """Return the names of one or several layers as a list."""
    return [layers] if isinstance(layers, str) else list(layers)


def check_layers(layers, valid):
    """Validate names of layers, or of prefixes of layers as in "mu[:4]".

    Parameters
    ----------
    layers : str or list of str
    valid : dict of str to tuple of int
        The shape of each layer for one sample.

    Returns
    -------
    shapes : dict of str to tuple of int
        The shape of each of `layers`.
    """
    names = as_list(layers)
    parts = [prefix_of(name) if isinstance(name, str) else ("", None) for name in names]
    found = [layer for layer, _ in parts]
    if not names or not set(found) <= set(valid) or len(set(found)) < len(found):
        raise ValueError(
            f"`layer` must be one of, or a list without repeats of {list(valid)}; "
            f"got {layers!r}."
        )
    return {
        name: _shape_of_prefix(name, valid[layer], length)
        for name, (layer, length) in zip(names, parts, strict=True)
    }


def _shape_of_prefix(name, shape, length):
    if length is None:
        return shape
    size = shape[0] if shape else 0
    if not 1 <= length <= size:
        raise ValueError(
            f"`layer` names {name!r}, but the first axis of that layer has length "
            f"{size}, which a prefix can't exceed."
        )
    return length, *shape[1:]


_PREFIX = re.compile(r"(.*)\[:(\d+)\]")


def prefix_of(name):
    """Split "mu[:4]" into ("mu", 4), and "mu" into ("mu", None)."""
    match = _PREFIX.fullmatch(name)
    return (match[1], int(match[2])) if match else (name, None)


def check_codes(X, n_components):
    """Validate latent codes of shape (n_samples, n_components)."""
    X = _as_array(X, "X")
    X = check_array(X, dtype=get_namespace(X)[0].float32, order="C", input_name="X")
    if X.shape[1] != n_components:
        raise ValueError(
            f"X must hold codes of n_components={n_components} columns, got "
            f"{X.shape[1]}."
        )
    return X


def check_support(rows, likelihood, name="X"):
    """Raise if the data lie outside of what the likelihood can produce.

    Scalers that map to an interval may miss its ends by rounding; that is let pass.
    """
    low, high = likelihood.support
    smallest, largest = np.inf, -np.inf
    for block in rows.blocks() if isinstance(rows, BlockRows) else [rows]:
        likelihood.check(to_numpy(block))
        part = extremes(block)
        smallest, largest = min(smallest, part[0]), max(largest, part[1])
    if smallest < low - 1e-6 or largest > high + 1e-6:
        raise ValueError(
            f"likelihood={likelihood} needs values in [{low:g}, {high:g}], but {name} "
            f"runs from {smallest:.9g} to {largest:.9g}. Scale it (MinMaxScaler), "
            "or take likelihood='gaussian'."
        )


def location_and_spread(rows, index, unscaled=(), weights=None):
    """Return the mean of each feature and the standard deviation around them.

    Parameters
    ----------
    rows : ndarray or Tensor of shape (n_samples, n_features)
    index : ndarray of shape (n_train,)
        Rows to look at; taken in chunks, so that no second copy of the data arises.
    unscaled : sequence of int
        Features whose mean is taken as 0, and that have no part in the deviation.
    weights : ndarray of shape (n_train,) or None
        What each of the rows counts.

    Returns
    -------
    mean : ndarray of shape (n_features,), float64
    spread : float
        One for all features, and 1 for constant data.
    """
    n_features = rows.shape[1]
    if len(unscaled):
        mean = np.zeros(n_features)
        scaled = np.setdiff1d(np.arange(n_features), unscaled)
        if len(scaled) == 0:
            return mean, 1.0
        part = in_memory(rows)[:, scaled]
        mean[scaled], spread = location_and_spread(part, index, weights=weights)
        return mean, spread
    n_chunks = math.ceil(len(index) * n_features / 2**18)
    chunks = np.array_split(index, max(1, min(len(index), n_chunks)))

    def differences(origin):
        return (to_numpy(rows[chunk]).astype(np.float64) - origin for chunk in chunks)

    # From a row on, no offset is lost, and constant features stay exactly constant.
    first, n_values = to_numpy(rows[index[0]]).astype(np.float64), len(index)
    total = sum(part.sum(axis=0) for part in differences(first))
    if np.isnan(total).any():
        first, n_values = _first_values(rows, chunks)
        total = sum(np.nansum(part, axis=0) for part in differences(first))
    if weights is None:
        mean = first + total / n_values
        squares = sum(np.nansum(np.square(part)) for part in differences(mean))
        spread = math.sqrt(squares / (np.zeros(n_features) + n_values).sum())
    else:
        parts = np.array_split(weights, len(chunks))
        pairs = zip(parts, differences(first), strict=True)
        sums = [(w @ np.nan_to_num(part), w @ ~np.isnan(part)) for w, part in pairs]
        total, n_values = np.sum(sums, axis=0)
        mean = first + total / n_values
        pairs = zip(parts, differences(mean), strict=True)
        squares = sum((w @ np.nan_to_num(part) ** 2).sum() for w, part in pairs)
        spread = math.sqrt(squares / n_values.sum())
    smallest = float(np.finfo(np.float32).tiny)
    if spread < smallest and any(np.nansum(abs(d)) for d in differences(mean)):
        raise ValueError(
            f"The features spread by less than {smallest:.2g}, which single precision "
            "can't hold. Scale them."
        )
    return mean, float(np.float32(spread)) or 1.0


def _first_values(rows, chunks):
    """Return the first value of each feature that is not missing, and their number."""
    first, n_values = np.full(rows.shape[1], np.nan), 0
    for chunk in chunks:
        values = to_numpy(rows[chunk])
        there = ~np.isnan(values)
        n_values += there.sum(axis=0)
        of_chunk = values[there.argmax(axis=0), np.arange(rows.shape[1])]
        first = np.where(np.isnan(first), of_chunk, first)
    empty = np.flatnonzero(n_values == 0)
    if len(empty):
        raise ValueError(
            f"{len(empty)} features of X have no value in the training samples, such "
            f"as that of number {empty[0]}. Drop them."
        )
    return first, n_values


def warn_of_target(estimator, y, rows):
    """Warn if `y`, which a model ignores, looks like what X shall be turned into."""
    if isinstance(y, list | tuple) and np.ndim(y[0]):
        y = np.asarray(y)
    shape = getattr(y, "shape", ())
    if len(shape) < 2 or math.prod(shape) != math.prod(rows.shape):
        return
    if shape[0] != len(rows) or rows.shape[1] == 1:
        return
    if np.array_equal(to_numpy(y).reshape(rows.shape), to_numpy(rows)):
        return  # X itself, which is what is reconstructed
    warnings.warn(
        f"`y` has the shape of X and is ignored: {type(estimator).__name__} learns to "
        "reconstruct X, not to turn X into `y`. Leave `y` out, or pass it as "
        "`X_target`. For a denoiser, AE(corruption=...) on clean X will do.",
        UserWarning,
        stacklevel=7,
    )


def side_by_side(*columns):
    """Join arrays or tensors of the same rows, as the first of them is."""
    xp, _ = get_namespace(columns[0])
    where = {"device": columns[0].device} if hasattr(columns[0], "detach") else {}
    return xp.concat([xp.asarray(part, **where) for part in columns], axis=1)


def in_memory(rows):
    """Return rows that are on disk as an array, and all others as they are."""
    return np.asarray(rows) if isinstance(rows, BlockRows) else rows


def to_numpy(values):
    """Return values of a tensor on any device, or of an array, as an ndarray."""
    if hasattr(values, "detach"):
        return values.detach().cpu().numpy()
    return np.asarray(values)

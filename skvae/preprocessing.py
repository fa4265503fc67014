"""Columns of tables as numbers that networks can learn from, and back."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ._mixin import EstimatorMixin
from ._validation import fit_context, positive

__all__ = ["SquashingScaler", "TableEncoder"]

# A normal distribution has quartiles 1.349 standard deviations apart.
_QUARTILES = 1.349
_NEAR = 1e-6  # of the bounds, from where the way back would lead to infinity


class SquashingScaler(
    EstimatorMixin, OneToOneFeatureMixin, TransformerMixin, BaseEstimator
):
    r"""Scale columns by their quartiles, and draw in their tails smoothly.

    .. math:: f(x) = \frac{u}{\sqrt{1 + (u / b)^2}}, \qquad
              u = 1.349 \, \frac{x - \mathrm{median}}{q_{75} - q_{25}}

    In the middle this is a standardized column; outliers come close to :math:`\pm b`.
    Radiomics features have long tails. A few patients would otherwise decide what PCA
    or a network learns, and a linear model extrapolate from them.

    Parameters
    ----------
    max_absolute_value : float, default=3.0
        The bound :math:`b`. A larger one leaves more of the tails.

    Attributes
    ----------
    center_, scale_ : ndarray of shape (n_features,)
        Median of each column, and the distance of its quartiles divided by 1.349; where
        that is 0, half of the range, and 1 for a constant column.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of `X`, where it had any.

    See Also
    --------
    sklearn.preprocessing.RobustScaler : Scales by quartiles, and leaves tails as they
        are.
    sklearn.preprocessing.QuantileTransformer : Draws all columns to one distribution.

    References
    ----------
    D. Holzmüller, L. Grinsztajn and I. Steinwart, "Better by default: strong pre-tuned
    MLPs and boosted trees on tabular data", NeurIPS 2024,
    https://arxiv.org/abs/2407.04491 (there the unit is the distance of the quartiles).

    Examples
    --------
    >>> import numpy as np
    >>> from skvae.preprocessing import SquashingScaler
    >>> X = np.array([[1.0], [2.0], [3.0], [4.0], [1000.0]])
    >>> Z = SquashingScaler().fit_transform(X)
    >>> Z.ravel().round(2)
    array([-1.23, -0.66,  0.  ,  0.66,  3.  ])
    """

    _parameter_constraints = {"max_absolute_value": [positive]}

    def __init__(self, max_absolute_value=3.0):
        self.max_absolute_value = max_absolute_value

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn median and quartiles.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            NaN is left out.
        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a column has no value.
        """
        X = self._validated(X, reset=True)
        empty = np.flatnonzero(np.isnan(X).all(axis=0))
        if len(empty):
            raise ValueError(f"Columns {empty.tolist()} have no value. Drop them.")
        low, self.center_, high = np.nanquantile(X, [0.25, 0.5, 0.75], axis=0)
        half_range = (np.nanmax(X, axis=0) - np.nanmin(X, axis=0)) / 2
        scale = np.where(high > low, (high - low) / _QUARTILES, half_range)
        self.scale_ = np.where(scale > 0, scale, 1.0)
        return self

    def transform(self, X):
        """Scale columns, and draw in their tails.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features)
            NaN where `X` is NaN.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        unit = (X - self.center_) / self.scale_
        return unit / np.hypot(1, unit / self.max_absolute_value)

    def inverse_transform(self, X):
        """Undo `transform`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Values at the bound or beyond, as a model may give them, are taken for
            values a millionth below it.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        share = np.clip(X / self.max_absolute_value, _NEAR - 1, 1 - _NEAR)
        unit = self.max_absolute_value * share / np.sqrt(1 - share**2)
        return self.center_ + self.scale_ * unit

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _validated(self, X, *, reset):
        return validate_data(
            self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=reset
        )


class TableEncoder(EstimatorMixin, TransformerMixin, BaseEstimator):
    """Turn a DataFrame into numbers for an autoencoder, and back.

    The types of the columns say what they are. Numbers are standardized; booleans
    become 0 and 1; all else is taken for categories and becomes one-hot columns, those
    of the dtype "category" in its order. Missing values become NaN, in all columns of a
    category. `likelihood_` is the likelihood of such a table.

    Attributes
    ----------
    likelihood_ : skvae.nn.Mixed
        For `likelihood` of an autoencoder.
    categories_ : dict of str to Index
        Values of each categorical column.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names.

    See Also
    --------
    skvae.nn.Mixed : The likelihood.
    sklearn.compose.ColumnTransformer : More freedom, without a way back.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skvae import VAE
    >>> from skvae.preprocessing import TableEncoder
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame(
    ...     {
    ...         "age": rng.normal(60, 10, 200),
    ...         "smoker": rng.random(200) < 0.3,
    ...         "stage": rng.choice(["I", "II", "III"], 200),
    ...     }
    ... )
    >>> encoder = TableEncoder().fit(table)
    >>> vae = VAE(2, likelihood=encoder.likelihood_, max_iter=20, random_state=0)
    >>> rows = vae.fit(encoder.transform(table)).sample(3, noise=True)
    >>> encoder.inverse_transform(rows).dtypes.equals(table.dtypes)
    True
    """

    def fit(self, X, y=None):
        """Learn the columns.

        Parameters
        ----------
        X : DataFrame of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            If `X` is no DataFrame, or has dates.
        ValueError
            If a column has no value.
        """
        from .nn import Mixed

        _check_table(X)
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        self._dtypes = dict(X.dtypes)
        self.categories_, self._scales = {}, {}
        bernoulli, categorical, start = [], [], 0
        for name, column in X.items():
            if column.isna().all():
                raise ValueError(f"Column {name!r} has no value. Drop it.")
            if _is_number(column):
                values = _as_floats(column)
                self._scales[name] = np.nanmean(values), np.nanstd(values) or 1.0
            elif _is_bool(column):
                bernoulli.append(start)
            else:
                values = _categories_of(column)
                self.categories_[name] = values
                categorical.append(list(range(start, start + len(values))))
            start += self._width(name)
        self.likelihood_ = Mixed(bernoulli, categorical)
        return self

    def transform(self, X):
        """Turn the columns of a table into numbers.

        Parameters
        ----------
        X : DataFrame of shape (n_samples, n_features)

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_columns), float64

        Raises
        ------
        ValueError
            If columns are missing, or a category was not there in `fit`.
        """
        check_is_fitted(self)
        _check_table(X)
        missing = [name for name in self.feature_names_in_ if name not in X.columns]
        if missing:
            raise ValueError(f"X lacks the columns {missing} that fit has seen.")
        parts = [self._encoded(name, X[name]) for name in self.feature_names_in_]
        return np.concatenate(parts, axis=1)

    def inverse_transform(self, X):
        """Turn numbers into a table: of each category the value of the largest column.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_columns)

        Returns
        -------
        table : DataFrame of shape (n_samples, n_features)
            Of the types that `fit` saw; integers are rounded.
        """
        check_is_fitted(self)
        X = np.asarray(X, dtype=np.float64)
        names = list(self.get_feature_names_out())
        if X.ndim != 2 or X.shape[1] != len(names):
            raise ValueError(
                f"X must have shape (n_samples, {len(names)}), got {X.shape}."
            )
        if np.isnan(X).any():
            raise ValueError(
                "X contains NaN, which is no value of a table. Fill missing values "
                "first, as by `reconstruct` of a model with missing_values='mask'."
            )
        ends = np.cumsum([self._width(name) for name in self.feature_names_in_])
        parts = np.split(X, ends[:-1], axis=1)
        return pd.DataFrame(
            {
                name: self._decoded(name, part)
                for name, part in zip(self.feature_names_in_, parts, strict=True)
            }
        )

    def get_feature_names_out(self, input_features=None):
        """Name the columns of `transform`, those of a category with its value.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        feature_names_out : ndarray of str objects
        """
        check_is_fitted(self)
        names = []
        for name in self.feature_names_in_:
            values = self.categories_.get(name)
            names += [name] if values is None else [f"{name}_{v}" for v in values]
        return np.asarray(names, dtype=object)

    def _width(self, name):
        return len(self.categories_.get(name, "1"))

    def _encoded(self, name, column):
        if name in self._scales:
            mean, scale = self._scales[name]
            return ((_as_floats(column) - mean) / scale)[:, None]
        if name not in self.categories_:
            return _as_floats(column)[:, None]
        values = self.categories_[name]
        numbers = values.get_indexer(column)
        unknown = column[(numbers < 0) & column.notna().to_numpy()]
        if len(unknown):
            raise ValueError(
                f"Column {name!r} has {len(unknown)} values that are none of the "
                f"{len(values)} categories that fit has seen. Give it the dtype "
                "'category' with all of them before fit."
            )
        one_hot = np.eye(len(values))[numbers]
        one_hot[numbers < 0] = np.nan
        return one_hot

    def _decoded(self, name, part):
        dtype = self._dtypes[name]
        if name in self.categories_:
            values = self.categories_[name]
            return pd.Series(values.take(part.argmax(axis=1))).astype(dtype)
        if name not in self._scales:
            return pd.Series(part[:, 0] >= 0.5).astype(dtype)
        mean, scale = self._scales[name]
        values = pd.Series(part[:, 0] * scale + mean)
        if pd.api.types.is_integer_dtype(dtype):
            values = values.round()
        return values.astype(dtype)


def _check_table(X):
    if not isinstance(X, pd.DataFrame):
        raise TypeError(
            f"X must be a pandas DataFrame, whose types say what its columns are, got "
            f"{type(X).__name__}."
        )
    if not X.columns.is_unique:
        raise ValueError("The columns of X must have different names.")
    dates = [name for name, dtype in X.dtypes.items() if dtype.kind in "mM"]
    if dates:
        raise TypeError(
            f"Columns {dates} hold dates or durations. Turn them into numbers first, "
            "such as days since a date."
        )


def _is_bool(column):
    return pd.api.types.is_bool_dtype(column.dtype)


def _is_number(column):
    return pd.api.types.is_numeric_dtype(column.dtype) and not _is_bool(column)


def _as_floats(column):
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _categories_of(column):
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.categories
    return pd.Index(sorted(column.dropna().unique(), key=str))

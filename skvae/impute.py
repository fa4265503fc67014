"""Missing values, filled by autoencoders."""

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from ._mixin import EstimatorMixin
from ._pipelines import autoencoder_in, back_from_autoencoder, before_autoencoder
from ._random import child_seed, draw_seed
from ._vae import VAE
from ._validation import (
    HasMethods,
    at_least,
    check_rows,
    fit_context,
    is_count,
    to_numpy,
)

__all__ = ["AutoencoderImputer"]

_AT_A_TIME = 1024  # samples, whose draws are in memory together


class AutoencoderImputer(
    EstimatorMixin, OneToOneFeatureMixin, TransformerMixin, BaseEstimator
):
    r"""Fill missing values (NaN) by what an autoencoder makes of the others.

    The autoencoder is trained on the values that there are, of which some more are
    hidden from its encoder at random, so that it learns to fill them. A `VAE` fills a
    value by its mean given the others, or by draws that vary as the value might:

    .. math:: E[x_{mis} | x_{obs}] \approx \sum_k w_k E[x_{mis} | z_k], \qquad
              w_k \propto \frac{p(x_{obs}|z_k) \, p(z_k)}{q(z_k|x_{obs})}

    with :math:`z_k` drawn from the encoder's :math:`q`. This assumes that whether a
    value is missing does not depend on the value itself.

    Parameters
    ----------
    estimator : estimator or None, default=None
        An autoencoder, or a Pipeline that ends in one; the steps before it must let NaN
        pass and have an `inverse_transform`, as scalers do. Its `missing_values` and
        `corruption` are set. None takes ``VAE(20, likelihood=Gaussian("feature"),
        max_iter=600)`` after a `StandardScaler`, and is for tables.
    masking : float, default=0.3
        Share of the values that training hides (`skvae.nn.Masking`). 0 leaves the
        `corruption` of the estimator as it is.
    n_draws : int, default=100
        Draws from the posterior of a `VAE`. More are more exact, and take longer.
        Other autoencoders have none: their reconstruction fills the gaps.
    sample_posterior : bool, default=False
        Whether `transform` fills by a draw, as real values vary, and not by the mean.
        Only with a `VAE`.
    random_state : int, RandomState instance or None, default=None
        Seed of these draws, and of the networks where there is no `estimator`.

    Attributes
    ----------
    estimator_ : estimator
        The fitted autoencoder or Pipeline.
    n_features_in_ : int
        Number of values per sample.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of `X`, where it had any.

    See Also
    --------
    sklearn.impute.IterativeImputer : By regressions of each column on the others.
    sklearn.impute.KNNImputer : By the nearest samples.

    References
    ----------
    P.-A. Mattei and J. Frellsen, "MIWAE: deep generative modelling and imputation of
    incomplete data sets", ICML 2019, https://arxiv.org/abs/1812.02633.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAE
    >>> from skvae.impute import AutoencoderImputer
    >>> X = load_digits().data
    >>> gaps = np.random.default_rng(0).random(X.shape) < 0.3
    >>> imputer = AutoencoderImputer(VAE(max_iter=10, random_state=0))
    >>> filled = imputer.fit_transform(np.where(gaps, np.nan, X))
    >>> bool(np.isnan(filled).any())
    False
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit"]), None],
        "masking": [at_least(0)],
        "n_draws": [at_least(1, Integral)],
        "sample_posterior": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        masking=0.3,
        n_draws=100,
        sample_posterior=False,
        random_state=None,
    ):
        self.estimator = estimator
        self.masking = masking
        self.n_draws = n_draws
        self.sample_posterior = sample_posterior
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Train the autoencoder on the values that there are.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            NaN where a value is missing.
        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a feature has no value at all, or if the estimator is no autoencoder and
            no Pipeline that ends in one.
        """
        from .nn import Masking

        rows, shape = check_rows(self, X, reset=True)
        self._seed = draw_seed(self.random_state)
        estimator = self._new_estimator()
        options = {"missing_values": "mask"}
        if self.masking > 0:
            options["corruption"] = Masking(self.masking)
        model = autoencoder_in(estimator).set_params(**options)
        if self.sample_posterior and not isinstance(model, VAE):
            raise ValueError(
                "sample_posterior=True draws from the posterior of a VAE, which "
                f"{type(model).__name__} is not."
            )
        self.estimator_ = estimator.fit(to_numpy(rows).reshape(-1, *shape))
        self._input_shape = self.sample_shape_ = shape
        return self

    def transform(self, X):
        """Fill the missing values of samples; all others stay as they are.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)

        Returns
        -------
        X_filled : ndarray of the shape of X
        """
        if self.sample_posterior:
            return self.draw(X, 1)[0]
        return self._filled(X, 1, lambda model, rows: [self._means(model, rows)])[0]

    def draw(self, X, n_imputations=5, *, random_state=None):
        """Fill the missing values several times, each time by draws (a `VAE` only).

        Analyse each, and pool the results by the rules of Rubin (1987): the spread
        between them is what the missing values leave open.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
        n_imputations : int, default=5
        random_state : int, RandomState instance or None, default=None
            None repeats the same draws in each call on one fitted imputer.

        Returns
        -------
        X_filled : ndarray of shape (n_imputations, n_samples, ...)
        """
        check_is_fitted(self)
        if not is_count(n_imputations):
            raise ValueError(
                f"`n_imputations` must be an int >= 1, got {n_imputations!r}."
            )
        first = self._seed if random_state is None else draw_seed(random_state)
        seeds = [child_seed(first, i) for i in range(n_imputations)]

        def draws(model, rows):
            return model._conditional_draws(rows, self.n_draws, seeds)

        return self._filled(X, n_imputations, draws)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        return tags

    def _new_estimator(self):
        if self.estimator is not None:
            autoencoder_in(self.estimator)
            return clone(self.estimator)
        from .nn import Gaussian

        scales = Gaussian("feature")
        vae = VAE(20, likelihood=scales, max_iter=600, random_state=self._seed)
        return make_pipeline(StandardScaler(), vae)

    def _means(self, model, rows):
        return model._conditional_means(rows, self.n_draws)

    def _filled(self, X, n_fillings, values_of):
        """Fill the gaps of samples by each of the values that a function gives.

        Returns
        -------
        X_filled : ndarray of shape (n_fillings, n_samples, ...)
        """
        check_is_fitted(self)
        rows, shape = check_rows(self, X, reset=False)
        whole = to_numpy(rows)
        gaps = np.isnan(whole)
        some = np.flatnonzero(gaps.any(axis=1))
        filled = np.repeat(whole[None], n_fillings, axis=0)
        for batch in np.array_split(some, len(some) // _AT_A_TIME + 1):
            if len(batch):
                values = self._values(whole[batch].reshape(-1, *shape), values_of)
                filled[:, batch] = np.where(gaps[batch], values, whole[batch])
        return filled.reshape(len(filled), -1, *shape)

    def _values(self, samples, values_of):
        """Return fillings of whole samples, as rows in the units of the data."""
        given, model = before_autoencoder(self.estimator_, samples)
        given, _ = check_rows(model, given, reset=False)
        return np.stack(
            [
                to_numpy(
                    back_from_autoencoder(
                        self.estimator_, values.reshape(-1, *model._input_shape)
                    )
                ).reshape(len(samples), -1)
                for values in values_of(model, given)
            ]
        )

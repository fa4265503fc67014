"""Outliers: samples that an autoencoder of normal ones doesn't expect."""

import math
from numbers import Integral, Real

import numpy as np
from joblib import Parallel, delayed
from scipy.special import erf
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import GroupKFold, KFold, check_cv
from sklearn.utils import get_tags, indexable
from sklearn.utils.validation import check_is_fitted

from ._ae import AE
from ._mixin import EstimatorMixin
from ._pipelines import adopt_features, autoencoder_in, before_autoencoder
from ._random import draw_seed
from ._search import stacked_training
from ._validation import (
    HasMethods,
    Numbers,
    StrOptions,
    at_least,
    count_samples,
    fit_context,
    number_groups,
    safe_indexing,
    to_numpy,
)

__all__ = ["ReconstructionOutlierDetector"]

_FALSE_ALARMS = 0.05  # of normal samples, for contamination="auto"
_TO_DEVIATION = 1.4826  # of a Gaussian, from its median absolute deviation


class ReconstructionOutlierDetector(EstimatorMixin, OutlierMixin, BaseEstimator):
    r"""Find samples that an autoencoder, trained on normal ones, doesn't expect.

    The autoencoder learns to reconstruct what it is trained on. What it reconstructs
    badly, or encodes far from all else, is an outlier. Samples that it was trained on
    are reconstructed too well to say where normal ends. So `fit` trains one model for
    each fold of a cross-validation, and scores the samples of the fold by it. Threshold
    and p-values come from these scores of unseen samples. The score of a new sample is
    the mean over the models, which also finds more than a single one. They are trained
    as one batch where that is possible (`stacked_training`).

    Parameters
    ----------
    estimator : estimator or None, default=None
        An autoencoder, or a Pipeline that ends in one. None takes ``AE()``.
    contamination : float or "auto", default="auto"
        Share of the training samples that are outliers, in (0, 0.5], which settles the
        threshold. "auto" is 0.05: of normal samples, one in twenty is a false alarm.
    criterion : str, default="reconstruction"
        What tells outliers from normal samples. "reconstruction": minus the logarithm
        of the mean squared error. "elbo": the `score_samples` of the autoencoder, which
        of a `VAE` is the evidence lower bound. "prior": minus half the squared
        Mahalanobis distance of the code `mu` from the codes trained on. "combined": the
        error and the distance together; here an error that is unusually *small* counts
        too, as of smooth images among detailed ones.
    cv : int or splitter, default=5
        Folds of the cross-validation. An int shuffles, and keeps `groups` together.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds. That of the networks is the estimator's own.

    Attributes
    ----------
    estimators_ : list of estimator
        Trained on all folds but one.
    calibration_scores_ : ndarray of shape (n_samples,), float64
        Score of each training sample by a model that has not seen it.
    offset_ : float
        Threshold: samples whose score is lower are outliers.
    n_features_in_ : int
        Number of features, where the estimator knows it.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of `X`, likewise.

    See Also
    --------
    sklearn.ensemble.IsolationForest : By random trees; hard to beat on tables.
    sklearn.covariance.EllipticEnvelope : By one Gaussian.

    References
    ----------
    V. Vovk, A. Gammerman and G. Shafer, "Algorithmic learning in a random world", 2005
    (conformal p-values), https://doi.org/10.1007/b106715.

    R. F. Barber, E. J. Candès, A. Ramdas and R. J. Tibshirani, "Predictive inference
    with the jackknife+" (scores by cross-validation), Annals of Statistics 49, 2021,
    https://doi.org/10.1214/20-AOS1965.

    H.-P. Kriegel, P. Kröger, E. Schubert and A. Zimek, "Interpreting and unifying
    outlier scores" (probabilities), 2011, https://doi.org/10.1137/1.9781611972818.2.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skvae import AE
    >>> from skvae.outlier import ReconstructionOutlierDetector
    >>> X, y = load_digits(return_X_y=True)
    >>> ae = AE(4, max_iter=30, random_state=0)
    >>> detector = ReconstructionOutlierDetector(ae, random_state=0).fit(X[y == 0])
    >>> others = detector.predict(X[y != 0]) == -1
    >>> bool(others.mean() > 0.9)
    True
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit"]), None],
        "contamination": [
            StrOptions({"auto"}),
            Numbers(Real, 0, 0.5, closed="right"),
        ],
        "criterion": [StrOptions({"reconstruction", "elbo", "prior", "combined"})],
        "cv": [at_least(2, Integral), HasMethods(["split"])],
        "random_state": ["random_state"],
    }
    __metadata_request__fit = {"groups": True}

    def __init__(
        self,
        estimator=None,
        *,
        contamination="auto",
        criterion="reconstruction",
        cv=5,
        random_state=None,
    ):
        self.estimator = estimator
        self.contamination = contamination
        self.criterion = criterion
        self.cv = cv
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, *, groups=None):
        """Train the models, and find the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            What the estimator takes. Normal samples, and at most a few outliers.
        y : array-like of shape (n_samples,), default=None
            Passed on to the estimator: classes, for a model that is told them.
        groups : array-like of shape (n_samples,), default=None
            Samples of one group (one patient, say) are scored by a model that has seen
            none of them.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If there are fewer samples, or groups, than folds, if the folds of a
            splitter don't hold each sample once, or if the estimator is no autoencoder
            and no Pipeline that ends in one.
        """
        estimator = AE() if self.estimator is None else self.estimator
        autoencoder_in(estimator)
        X, y = indexable(X, y)
        folds = list(self._folds(X, y, groups))
        _check_partition([test for _, test in folds], count_samples(X))
        with stacked_training():
            results = Parallel()(
                delayed(_fit_and_measure)(clone(estimator), X, y, *fold)
                for fold in folds
            )
        measures = np.empty((count_samples(X), len(_MEASURES)))
        for (_, test), (*_, found) in zip(folds, results, strict=True):
            measures[test] = found
        if all(len(test) > 1 and np.ptp(measures[test, 0]) == 0 for _, test in folds):
            raise ValueError(
                "All samples of X are equal for the autoencoder: nothing says how far "
                "from them is unusual."
            )
        self._models = [model for *model, _ in results]
        self.estimators_ = [model for model, _ in self._models]
        adopt_features(self, self.estimators_[0])
        self._center, self._scale = _center_and_deviation(measures)
        self.calibration_scores_ = self._scores(measures)
        self.offset_ = self._threshold()
        return self

    def score_samples(self, X):
        """Score samples; outliers have low scores.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
        """
        check_is_fitted(self)
        measures = [_measures(*model, X) for model in self._models]
        return np.mean([self._scores(each) for each in measures], axis=0)

    def decision_function(self, X):
        """Return how far the scores of samples are above `offset_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
            Below 0 for outliers.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Tell outliers from normal samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)

        Returns
        -------
        is_inlier : ndarray of shape (n_samples,), int
            -1 for outliers, 1 for others.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def fit_predict(self, X, y=None, *, groups=None):
        """Fit, and tell the outliers among the training samples.

        Each is judged by the model that has not seen it. `predict` would take the mean
        over all models, most of which have.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        y : array-like of shape (n_samples,), default=None
        groups : array-like of shape (n_samples,), default=None
            As in `fit`.

        Returns
        -------
        is_inlier : ndarray of shape (n_samples,), int
            -1 for outliers, 1 for others.
        """
        self.fit(X, y, groups=groups)
        return np.where(self.calibration_scores_ < self.offset_, -1, 1)

    def p_values(self, X):
        """Return conformal p-values: how rare a score this low is among normal samples.

        If the training samples are normal, at most a share `a` of new normal samples
        gets a p-value of `a` or less, whatever the model. Give those of many samples to
        ``scipy.stats.false_discovery_control`` to bound the share of false alarms.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)

        Returns
        -------
        p_values : ndarray of shape (n_samples,), float64
            Between 1 / (n_training_samples + 1) and 1.
        """
        scores = self.score_samples(X)
        calibration = np.sort(self.calibration_scores_)
        n_lower = np.searchsorted(calibration, scores, side="right")
        return (1 + n_lower) / (1 + len(calibration))

    def predict_proba(self, X):
        """Turn scores into probabilities, by a Gaussian of those of normal samples.

        They rank as the scores do. A sample at the median of normal ones, or above, has
        a probability of 0 to be an outlier.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)

        Returns
        -------
        proba : ndarray of shape (n_samples, 2), float64
            To be an outlier, and to be none.
        """
        scores = self.score_samples(X)
        center, deviation = _center_and_deviation(self.calibration_scores_)
        outlier = erf(np.maximum((center - scores) / deviation, 0) / math.sqrt(2))
        return np.column_stack([outlier, 1 - outlier])

    def score_features(self, X):
        """Return what each feature adds to the error: where a sample is unusual.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)

        Returns
        -------
        errors : ndarray of the shape of what the autoencoder gets
            Squared errors. Of images, heat maps.
        """
        check_is_fitted(self)
        pairs = [before_autoencoder(estimator, X) for estimator in self.estimators_]
        return np.mean([np.square(_errors(model, X)) for X, model in pairs], axis=0)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        if self.estimator is not None:
            tags.input_tags.allow_nan = get_tags(self.estimator).input_tags.allow_nan
        return tags

    def _folds(self, X, y, groups):
        if not isinstance(self.cv, Integral):
            return check_cv(self.cv).split(X, y, groups)
        seed = draw_seed(self.random_state)
        if groups is None:
            splitter = KFold(self.cv, shuffle=True, random_state=seed)
        else:
            groups = number_groups(groups)
            splitter = GroupKFold(self.cv, shuffle=True, random_state=seed)
        return splitter.split(np.empty(count_samples(X)), groups=groups)

    def _scores(self, measures):
        """Turn the columns of `_MEASURES` into one score per sample."""
        error, bound, distance = measures.T
        if self.criterion == "reconstruction":
            return -error
        if self.criterion == "elbo":
            return bound.copy()
        if self.criterion == "prior":
            return -distance
        (error, _, distance) = ((measures - self._center) / self._scale).T
        return -np.hypot(error, np.maximum(distance, 0))

    def _threshold(self):
        share = _FALSE_ALARMS if self.contamination == "auto" else self.contamination
        return float(np.quantile(self.calibration_scores_, share))


_MEASURES = ("log of the squared error", "score_samples", "distance of the code")


def _fit_and_measure(estimator, X, y, train, test):
    """Fit on some samples; return the model and its codes, and measure others."""
    X_train = safe_indexing(X, train)
    estimator.fit(X_train, None if y is None else safe_indexing(y, train))
    before, model = before_autoencoder(estimator, X_train)
    codes = LedoitWolf().fit(to_numpy(model.extract(before, "mu")["mu"]))
    return estimator, codes, _measures(estimator, codes, safe_indexing(X, test))


def _measures(estimator, codes, X):
    """Return an array of shape (n_samples, 3): what `_MEASURES` names."""
    X, model = before_autoencoder(estimator, X)
    errors = _errors(model, X)
    mean = np.nanmean(np.square(errors.reshape(len(errors), -1)), axis=1)
    mu = to_numpy(model.extract(X, "mu")["mu"])
    return np.column_stack(
        [
            np.log(np.maximum(mean, np.finfo(float).tiny)),
            to_numpy(model.score_samples(X)),
            codes.mahalanobis(mu) / 2,
        ]
    )


def _errors(model, X):
    X_hat = to_numpy(model.reconstruct(X)).astype(np.float64)
    return to_numpy(np.asarray(X)).astype(np.float64).reshape(X_hat.shape) - X_hat


def _check_partition(folds, n_samples):
    """Raise unless each sample is in one fold."""
    if not np.array_equal(np.sort(np.concatenate(folds)), np.arange(n_samples)):
        raise ValueError(
            "`cv` must put each sample into one test fold, as KFold does, so that each "
            "is scored once. ShuffleSplit and repeated splitters don't."
        )


def _center_and_deviation(values):
    """Return the median and the standard deviation, hardly moved by outliers."""
    center = np.median(values, axis=0)
    deviation = _TO_DEVIATION * np.median(np.abs(values - center), axis=0)
    deviation = np.where(deviation > 0, deviation, values.std(axis=0))  # of many ties
    return center, np.where(deviation > 0, deviation, 1.0)

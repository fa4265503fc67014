import math
from functools import reduce
from operator import add, mul

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._adversarial import ClassDecoder
from ._documentation import inherit_documentation
from ._validation import check_rows, fit_context, get_namespace, to_numpy


@inherit_documentation
class SupervisedAAE(ClassDecoder, corruption=0.5, batch_size=64):
    r"""Supervised adversarial autoencoder: the code holds what the label does not say.

    The decoder is told the class :math:`y` of each sample beside its code :math:`z`,
    so that the code is left to hold the style. Every training step has three phases:
    encoder and decoder lower the reconstruction loss, a discriminator :math:`D` learns
    to tell codes from draws of a prior :math:`p(z)`, and the encoder learns to pass:

    .. math::

        -\log p(x|z, y), \qquad
        -\log D(z', y) - \log(1 - D(z, y)) \;\; \text{with} \; z' \sim p(z), \qquad
        -\log D(z, y)

    The discriminator too is told the class: the codes of each class follow the prior,
    so they say nothing about it. Give a code another class to transfer the style:
    ``inverse_transform(transform(X), y=other)``.

    Parameters
    ----------
    batch_size : int, default=64
        Samples per training step. The adversaries need many steps, so fewer samples
        per step take the class out of the code in fewer epochs.
    layer : str or list of str, default="mu"
        What `transform` returns: "mu", "logvar" (of a Gaussian posterior), "z" (a draw
        from it, the same for equal samples; else `mu` itself) or any other key of
        `layer_names_`, layers of the encoder. It may be changed after `fit`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels in `y`.
    class_prior_ : ndarray of shape (n_classes,)
        Their frequencies in `y`.

    See Also
    --------
    AAE : Without labels.
    AAEClassifier : Learns the labels too, from few of them.

    References
    ----------
    A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow and B. Frey, "Adversarial
    autoencoders", 2015, https://arxiv.org/abs/1511.05644.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import SupervisedAAE
    >>> X, y = load_digits(return_X_y=True)
    >>> aae = SupervisedAAE(max_iter=5, random_state=0).fit(X, y)
    >>> sevens = aae.sample(3, y=7)
    >>> as_threes = aae.inverse_transform(aae.transform(X), y=3)
    """

    __metadata_request__fit = {"X_val": True, "y_val": True, "groups": True}
    _module_name = "SupervisedAAEModule"

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        *,
        sample_weight=None,
        X_target=None,
        X_val=None,
        X_val_target=None,
        y_val=None,
        groups=None,
    ):
        """Train the networks.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            Class of each sample: strings, numbers or bools.
        y_val : array-like of shape (n_validation,), default=None
            Their classes; needed with `X_val`.
        """
        targets = X_target, X_val_target
        return self._fit(X, y, sample_weight, X_val, y_val, groups, targets)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None):
        """Train for one more epoch, or for the first.

        The first call takes the mean and the spread of the features and the frequencies
        of the classes from its samples, for good; they should be many enough for that.
        Nothing is held out.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            Class of each sample.
        classes : array-like of shape (n_classes,), default=None
            All classes that will come, if those of the first call are not all. Each
            that the first call lacks counts once in `class_prior_`.
        """
        return self._fit_one_epoch(X, y, classes)

    def score_samples(self, X, y=None):
        """Return the log-likelihood of each sample around its reconstruction.

        Parameters
        ----------
        y : scalar, array-like of shape (n_samples,) or None, default=None
            Class of each sample, or of all. None sums the likelihoods of all classes,
            weighted by `class_prior_`; squared errors are averaged in this way.
        """
        check_is_fitted(self)
        rows, _ = check_rows(self, X, reset=False)
        if y is not None:
            return self._log_likelihood(rows, self._numbers_of(y, len(rows)))
        return self._scores(rows)

    def _scores(self, rows):
        """Return the score of each sample over all classes, given as flat rows."""
        xp, _ = get_namespace(rows)
        by_class = [
            xp.astype(self._log_likelihood(rows, np.full(len(rows), n)), xp.float64)
            for n in range(len(self.classes_))
        ]
        shares = self.class_prior_.tolist()
        if self.module_.likelihood.is_density:
            joint = map(add, map(math.log, shares), by_class)
            # Unlike logsumexp, the same for one row as for many, to the last bit.
            scores = reduce(xp.logaddexp, joint)
        else:
            scores = sum(map(mul, shares, by_class))
        return xp.astype(scores, xp.float32)

    def score(self, X, y=None):
        """Return the mean of `score_samples`, which a grid search maximizes.

        Parameters
        ----------
        y : array-like of shape (n_samples,), default=None
            Class of each sample.
        """
        return float(to_numpy(self.score_samples(X, y)).mean(dtype=np.float64))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _means(self, rows, y, n_components=None):
        codes = to_numpy(self._net.extract(rows, ["mu"])["mu"][:, :n_components])
        return self._decode(self._beside(codes, y))

    def _graph(self, method):
        from ._engine.graphs import scored_by_class

        if method == "reconstruct":
            decode, shape = super()._graph("inverse_transform")
            return lambda X: decode(self.module_.encode(X)["mu"]), shape
        if method == "score_samples":
            return scored_by_class(self.module_, self.class_prior_.tolist()), ()
        return super()._graph(method)

    def _log_likelihood(self, rows, numbers):
        samples = self._net.as_samples(rows)
        return self._net.apply(self.module_.log_likelihood, samples, numbers)

    def _labels(self, y, rows, classes, known, weights):
        return self._labels_of(y, rows, classes, known, weights)

    def _held_out_numbers(self, y, rows, labels):
        return self._numbered(y, rows, labels.classes, name="y_val")

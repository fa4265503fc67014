from ._adversarial import BaseAdversarial
from ._documentation import inherit_documentation
from ._random import draw_seed
from ._validation import fit_context


@inherit_documentation
class AAE(BaseAdversarial, adversarial_weight=0.25):
    r"""Adversarial autoencoder: codes that follow any prior one can draw from.

    An encoder maps a sample :math:`x` to a code :math:`z`, a decoder maps it back, and
    a discriminator :math:`D` learns to tell codes from draws of a prior :math:`p(z)`.
    Every training step has three phases, each with an Adam of its own. Encoder and
    decoder lower the reconstruction loss, the discriminator the loss of its verdicts,
    the encoder what its codes are found out for:

    .. math::

        -\log p(x|z), \qquad
        -\log D(z') - \log(1 - D(z)) \;\; \text{with} \; z' \sim p(z), \qquad
        -\log D(z)

    where :math:`D` is the probability that a code is drawn from the prior. Where a VAE
    needs the formula of its prior, this needs draws only: a swiss roll or a mixture
    with a place for each class will do.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels in `y`, if the prior is tied to classes.
    class_prior_ : ndarray of shape (n_classes,)
        Their frequencies, likewise.

    See Also
    --------
    VAE : A Gaussian prior by formula, and a bound on the likelihood.
    SupervisedAAE : Takes the class out of the code.
    AAEClassifier : Learns from few labels.
    AAEClusterer : Finds clusters without labels.

    References
    ----------
    A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow and B. Frey, "Adversarial
    autoencoders", 2015, https://arxiv.org/abs/1511.05644.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import AAE
    >>> from skvae.nn import GaussianMixture
    >>> X, y = load_digits(return_X_y=True)
    >>> aae = AAE(n_components=2, max_iter=5, random_state=0).fit(X)
    >>> aae.transform(X).shape
    (1797, 2)

    Ten classes around a circle; samples labelled -1 find their place by themselves:

    >>> aae = aae.set_params(prior=GaussianMixture(by_class=True)).fit(X, y)
    >>> sevens = aae.sample(3, y=7)
    """

    _module_name = "AAEModule"

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y=None,
        *,
        sample_weight=None,
        X_target=None,
        X_val=None,
        X_val_target=None,
        groups=None,
    ):
        """Train the networks.

        Parameters
        ----------
        y : array-like of shape (n_samples,), default=None
            Labels for a prior with ``by_class=True``, else ignored. -1, None or NaN
            mark samples without one (-1 does not if `y` holds -1 and 1 only, which is
            read as two classes, with a warning).
        """
        targets = X_target, X_val_target
        return self._fit(X, y, sample_weight, X_val, None, groups, targets)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, classes=None):
        """Train for one more epoch, or for the first.

        The first call takes the mean and the spread of the features from its samples,
        for good; they should be many enough for that. Nothing is held out.

        Parameters
        ----------
        y : array-like of shape (n_samples,), default=None
            As in `fit`.
        classes : array-like of shape (n_classes,), default=None
            All labels that will come, if those of the first call are not all. Each
            that the first call lacks counts once in `class_prior_`.
        """
        return self._fit_one_epoch(X, y, classes)

    def sample(self, n_samples=1, y=None, *, noise=False, random_state=None):
        """Decode draws from the prior.

        Parameters
        ----------
        y : scalar, array-like of shape (n_samples,) or None, default=None
            Class of each sample, or of all, if the prior is tied to classes.
        """
        rng = self._check_sampling(n_samples, random_state)
        codes = self._draw_as(y, n_samples, rng)
        return self._decode(codes, draw_seed(rng) if noise else None)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = getattr(self.prior, "by_class", False)
        return tags

    def _labels(self, y, rows, classes, known, weights):
        if not self._new_prior().by_class:
            return super()._labels(y, rows, classes, known, weights)
        if y is None:
            raise ValueError(
                f"prior={self.prior!r} ties codes to classes: pass the labels `y` to "
                "fit, -1 where they are not known."
            )
        labels = self._labels_of(y, rows, classes, known, weights, unlabelled="auto")
        if known is None and not (labels.numbers >= 0).any():
            raise ValueError(
                f"prior={self.prior!r} ties codes to classes, but `y` holds no label."
            )
        return labels

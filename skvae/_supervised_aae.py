import math
from functools import reduce
from operator import add, mul

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._adversarial import BaseAdversarial, ClassDecoder
from ._validation import check_rows, fit_context, get_namespace, to_numpy


class SupervisedAAE(ClassDecoder, BaseAdversarial):
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
    hence say nothing about it. Give a code another class, and the style is transferred:
    ``inverse_transform(transform(X), y=other)``.

    Parameters
    ----------
    n_components : int, default=10
        Size of the code. A larger one keeps more detail.
    architecture : {"mlp", "conv", "resnet"}, object or tuple, default="mlp"
        The networks: a name for the defaults of `MLP`, `Conv` or `ResNet`; such an
        object; any object with the methods ``encoder(sample_shape)`` and
        ``decoder(n_inputs, sample_shape)``; a pair (encoder, decoder) of
        ``torch.nn.Module``, or one that has both as parts, which are copied and trained
        from the weights they hold.
    image_shape : tuple of int, default=None
        Shape of one sample, such as (c, h, w) or (c, d, h, w), for a flat `X` whose
        axes the networks need. None takes the shape of `X`.
    likelihood : str or object, default="gaussian"
        How data are distributed around what the decoder says: "gaussian", "laplace",
        "bernoulli" (values in [0, 1]), "squared_error", or an object such as
        ``skvae.nn.Gaussian(scale=1.0)``.
    prior : str, object or callable, default="normal"
        What the codes are held to: "normal", "uniform", "gaussian_mixture",
        "swiss_roll", an object such as ``skvae.nn.Normal(scale=5.0)``, or a function
        ``prior(n_samples, rng)`` that draws codes of shape (n_samples, n_components)
        from a ``numpy.random.Generator``.
    posterior : {"deterministic", "gaussian"}, default="deterministic"
        Whether a sample has one code, or a Gaussian of codes of mean ``mu`` and
        log-variance ``logvar``.
    adversarial_weight : float, default=0.5
        How strongly the codes are drawn to the prior, next to the reconstruction: the
        adversaries take steps of ``adversarial_weight * learning_rate``. 0 leaves the
        codes free.
    discriminator_hidden_layer_sizes : array-like of int, default=(128, 64)
        Widths of the discriminator's layers.
    discriminator_dropout : float, default=0.0
        Share of the discriminator's hidden values set to zero in each training step.
    discriminator_learning_rate : float or None, default=None
        Step size of the discriminator. None takes that of its adversary, the encoder.
    spectral_norm : bool, default=False
        Whether no layer of the discriminator may stretch distances. It then stays
        beatable, and learns slower.
    input_noise : float, default=0.0
        Standard deviation of noise added to the encoder's input in training, in units
        of the spread of the data (of the data themselves for
        ``likelihood="bernoulli"``). More of it makes codes robust, and the model a
        denoiser.
    layer : str or list of str, default="mu"
        What `transform` returns: "mu", "logvar" (of a Gaussian posterior), "z" (a draw
        from it, the same for equal samples; else `mu` itself) or any other key of
        `layer_names_`, layers of the encoder. It may be changed after `fit`.
    learning_rate : float, default=1e-3
        Step size of Adam. A larger one learns faster, until the loss diverges.
    batch_size : int, default=128
        Samples per training step.
    max_iter : int, default=100
        Number of epochs, or the most of them with `early_stopping`.
    early_stopping : bool, default=False
        Whether to stop when the loss on held-out samples stops falling, and to keep the
        weights of the best epoch. Those samples are `X_val` of `fit`, or a share of X.
    validation_fraction : float, default=0.1
        Share of the samples (or of their groups) held out for `early_stopping`.
    n_iter_no_change : int, default=10
        Epochs without an improvement of at least `tol` before training stops.
    tol : float, default=1e-4
        Improvement of the held-out loss that counts, in nats per sample.
    warm_start : bool, default=False
        Whether `fit` goes on from the last solution instead of starting anew.
    memory : str, path or joblib.Memory, default=None
        Folder where trained networks are kept (of a Memory, its location), so that a
        search over `layer` or over anything downstream trains each network once per
        fold. A fit found there runs no callbacks, and ``random_state=None`` then means
        the draw of the first time. A training that was cut off is not kept.
    callbacks : list of skorch callbacks, default=None
        Called during training, as in ``skorch.NeuralNet``. Those given stay as they
        are: `fit` runs copies of them, which are `callbacks_` afterwards.
    device : str or torch.device, default="auto"
        "auto" takes a CUDA device if there is one, else "cpu".
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, batches and noise. The global states of NumPy and
        PyTorch are never read or written.
    verbose : int, default=0
        Whether to show a progress bar with the terms of the loss.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels in `y`.
    class_prior_ : ndarray of shape (n_classes,)
        Their frequencies in `y`.
    module_ : torch.nn.Module
        The trained networks.
    layer_names_ : dict of str to tuple of int
        Every valid name for `layer`, with the shape of its output for one sample.
    sample_shape_ : tuple of int
        Shape of one sample as the networks see it.
    n_iter_ : int
        Number of epochs trained.
    callbacks_ : list of tuple
        Name and callback of each that ran in the last training. Empty if the networks
        came from `memory` or from a pickle.
    history_ : list of dict
        Per epoch: "train_loss", its terms for each phase ("reconstruction_loss",
        "discriminator_loss", "generator_loss"), "valid_loss" (without the
        adversaries) if there are held-out samples, and the duration "dur" in seconds.
    loss_curve_ : list of float
        Sum of the losses of all phases after each epoch, in nats per sample.
    n_features_in_ : int
        Number of values per sample.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of `X`, where it had any.

    Warns
    -----
    DiscriminatorWarning
        If the discriminator tells codes from the prior without error for many epochs.

    See Also
    --------
    AAE : Without labels.
    AAEClassifier : Learns the labels too, from few of them.

    References
    ----------
    A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow and B. Frey, "Adversarial
    autoencoders", 2015, https://arxiv.org/abs/1511.05644.

    T. Miyato et al., "Spectral normalization for generative adversarial networks",
    2018, https://arxiv.org/abs/1802.05957.

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
    def fit(self, X, y, *, X_val=None, y_val=None, groups=None):
        """Train the networks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            A table, or images or volumes in their own shape.
        y : array-like of shape (n_samples,)
            Class of each sample: strings, numbers or bools.
        X_val : array-like of shape (n_validation, ...), default=None
            Held-out samples for `early_stopping`, instead of a share of `X`. Their loss
            is in `history_` in any case.
        y_val : array-like of shape (n_validation,), default=None
            Their classes; needed with `X_val`.
        groups : array-like of shape (n_samples,), default=None
            Samples of one group (one patient, say) stay on one side of the split that
            `early_stopping` makes.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter, the shape or the values of `X` or `y` are not valid, or if a
            loss stops being finite. The estimator is then as it was before.
        """
        return self._fit(X, y, X_val, y_val, groups)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None):
        """Train for one more epoch, or for the first.

        The first call takes the mean and the spread of the features and the frequencies
        of the classes from its samples, for good; they should be many enough for that.
        Nothing is held out.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples of the shape seen before.
        y : array-like of shape (n_samples,)
            Class of each sample.
        classes : array-like of shape (n_classes,), default=None
            All classes that will come, if those of the first call are not all. Each
            that the first call lacks counts once in `class_prior_`.

        Returns
        -------
        self : object
        """
        return self._fit_one_epoch(X, y, classes)

    def score_samples(self, X, y=None):
        """Return the log-likelihood of each sample around its reconstruction.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
        y : scalar, array-like of shape (n_samples,) or None, default=None
            Class of each sample, or of all. None sums the likelihoods of all classes,
            weighted by `class_prior_`; squared errors are averaged in this way.

        Returns
        -------
        scores : ndarray of shape (n_samples,), float32
            In nats, summed over the features (for ``likelihood="squared_error"``: minus
            the squared error). Low ones are anomalies.
        """
        check_is_fitted(self)
        rows, _ = check_rows(self, X, reset=False)
        if y is not None:
            return self._log_likelihood(rows, self._numbers_of(y, len(rows)))
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
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
        y : array-like of shape (n_samples,), default=None
            Class of each sample.

        Returns
        -------
        score : float
            In nats per sample.
        """
        return float(to_numpy(self.score_samples(X, y)).mean(dtype=np.float64))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _means(self, rows, y):
        codes = to_numpy(self._net.extract(rows, ["mu"])["mu"])
        return self._decode(self._beside(codes, y))

    def _log_likelihood(self, rows, numbers):
        samples = self._net.as_samples(rows)
        return self._net.apply(self.module_.log_likelihood, samples, numbers)

    def _check_labels(self, y, rows, classes, *, reset):
        if not reset:
            return self._number(y, rows, classes)
        numbers = self._learn_classes(y, rows, classes)
        self.class_prior_ = self._shares(numbers)
        return numbers

    def _check_held_out_labels(self, y, rows):
        return self._number(y, rows, name="y_val")

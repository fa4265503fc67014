from ._adversarial import BaseAdversarial
from ._validation import fit_context


class AAE(BaseAdversarial):
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
        from a ``numpy.random.Generator``. Those with
        ``by_class=True`` give each class of `y` a place of its own.
    posterior : {"deterministic", "gaussian"}, default="deterministic"
        Whether a sample has one code, or a Gaussian of codes of mean ``mu`` and
        log-variance ``logvar``.
    adversarial_weight : float, default=0.25
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
        `layer_names_`. It may be changed after `fit`.
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
        Labels in `y`, if the prior is tied to classes.
    class_prior_ : ndarray of shape (n_classes,)
        Their frequencies, likewise.
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
    VAE : A Gaussian prior by formula, and a bound on the likelihood.
    SupervisedAAE : Takes the class out of the code.
    AAEClassifier : Learns from few labels.
    AAEClusterer : Finds clusters without labels.

    References
    ----------
    A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow and B. Frey, "Adversarial
    autoencoders", 2015, https://arxiv.org/abs/1511.05644.

    T. Miyato et al., "Spectral normalization for generative adversarial networks",
    2018, https://arxiv.org/abs/1802.05957.

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

    def __init__(
        self,
        n_components=10,
        *,
        architecture="mlp",
        image_shape=None,
        likelihood="gaussian",
        prior="normal",
        posterior="deterministic",
        adversarial_weight=0.25,
        discriminator_hidden_layer_sizes=(128, 64),
        discriminator_dropout=0.0,
        discriminator_learning_rate=None,
        spectral_norm=False,
        input_noise=0.0,
        layer="mu",
        learning_rate=1e-3,
        batch_size=128,
        max_iter=100,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        memory=None,
        callbacks=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            n_components,
            architecture=architecture,
            image_shape=image_shape,
            likelihood=likelihood,
            prior=prior,
            posterior=posterior,
            adversarial_weight=adversarial_weight,
            discriminator_hidden_layer_sizes=discriminator_hidden_layer_sizes,
            discriminator_dropout=discriminator_dropout,
            discriminator_learning_rate=discriminator_learning_rate,
            spectral_norm=spectral_norm,
            input_noise=input_noise,
            layer=layer,
            learning_rate=learning_rate,
            batch_size=batch_size,
            max_iter=max_iter,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            warm_start=warm_start,
            memory=memory,
            callbacks=callbacks,
            device=device,
            random_state=random_state,
            verbose=verbose,
        )

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, X_val=None, groups=None):
        """Train the networks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            A table, or images or volumes in their own shape.
        y : array-like of shape (n_samples,), default=None
            Labels for a prior with ``by_class=True``, else ignored. -1, None or NaN
            mark samples without one (-1 does not if `y` holds -1 and 1 only, which is
            read as two classes, with a warning).
        X_val : array-like of shape (n_validation, ...), default=None
            Held-out samples for `early_stopping`, instead of a share of `X`. Their loss
            is in `history_` in any case.
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
        return self._fit(X, y, X_val, None, groups)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, classes=None):
        """Train for one more epoch, or for the first.

        The first call takes the mean and the spread of the features from its samples,
        for good; they should be many enough for that. Nothing is held out.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples of the shape seen before.
        y : array-like of shape (n_samples,), default=None
            As in `fit`.
        classes : array-like of shape (n_classes,), default=None
            All labels that will come, if those of the first call are not all. Each
            that the first call lacks counts once in `class_prior_`.

        Returns
        -------
        self : object
        """
        return self._fit_one_epoch(X, y, classes)

    def sample(self, n_samples=1, y=None, *, random_state=None):
        """Decode draws from the prior.

        Parameters
        ----------
        n_samples : int, default=1
        y : scalar, array-like of shape (n_samples,) or None, default=None
            Class of each sample, or of all, if the prior is tied to classes.
        random_state : int, RandomState instance or None, default=None
            None repeats the same draws in each call on one fitted model.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features) or (n_samples, ...)
            Means of the likelihood, of the rank and precision that `fit` saw.
        """
        return self._decode(self.sample_codes(n_samples, y, random_state=random_state))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = getattr(self.prior, "by_class", False)
        return tags

    def _check_labels(self, y, rows, classes, *, reset):
        if not self._new_prior().by_class:
            vars(self).pop("classes_", None)
            vars(self).pop("class_prior_", None)
            return super()._check_labels(y, rows, classes, reset=reset)
        if y is None:
            raise ValueError(
                f"prior={self.prior!r} ties codes to classes: pass the labels `y` to "
                "fit, -1 where they are not known."
            )
        if not reset:
            return self._number(y, rows, classes, unlabelled="auto")
        numbers = self._learn_classes(y, rows, classes, unlabelled="auto")
        if not (numbers >= 0).any():
            raise ValueError(
                f"prior={self.prior!r} ties codes to classes, but `y` holds no label."
            )
        self.class_prior_ = self._shares(numbers)
        return numbers

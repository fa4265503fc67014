from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassifierMixin, ClusterMixin

from ._adversarial import BaseAdversarial, ClassDecoder
from ._validation import at_least, fit_context, to_numpy


class _ClassEncoder(ClassDecoder, BaseAdversarial):
    """What models share that find the classes of samples beside their codes."""

    def predict_proba(self, X):
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes), float32
            Columns in the order of `classes_`.
        """
        return self.extract(X, "proba")["proba"]

    def predict(self, X):
        """Return the most probable class of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        proba = self.predict_proba(X)
        return self.classes_[to_numpy(proba).argmax(axis=1)]

    def reconstruct(self, X, y=None):
        """Encode samples, and decode their `mu` as samples of some class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
        y : scalar, array-like of shape (n_samples,) or None, default=None
            Class of each sample, or of all. None takes the probabilities of the classes
            that the model finds.

        Returns
        -------
        X_hat : ndarray of the shape of X
            Of the precision that `fit` saw.
        """
        if y is None:
            return BaseAdversarial.reconstruct(self, X)
        return super().reconstruct(X, y)

    def _module_options(self):
        return super()._module_options() | {"class_noise": self.class_noise}


class AAEClassifier(ClassifierMixin, _ClassEncoder):
    r"""Adversarial autoencoder that learns classes from few labels and many samples.

    One encoder has two heads: class probabilities :math:`q(y|x)` and a code :math:`z`
    of the style. The decoder gets both. One discriminator holds the codes to a prior
    :math:`p(z)`, another the class probabilities to one-hot draws from a categorical
    prior :math:`p(y)`, so that each sample, with a label or without, is given to one
    class. Every training step has four phases: reconstruction, both discriminators,
    both generators (as in `AAE`), and the cross-entropy :math:`-\log q(y|x)` of as
    many labelled samples, which are taken over and over.

    Parameters
    ----------
    n_components : int, default=10
        Size of the style. A larger one keeps more detail.
    unlabelled : str, number or None, default="auto"
        What marks a sample without a label in `y`, beside None and NaN, which always
        do. "auto" is -1, except where the `y` of the first fit holds -1 and 1 only:
        that is read as two classes, with a warning. None marks nothing.
    class_prior : array-like of shape (n_classes,) or None, default=None
        Shares of the classes among all samples. None takes those among the labels.
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
        ``by_class=True`` give each class a place of its own.
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
    input_noise : float, default=0.5
        Standard deviation of noise added to the encoder's input in training, in units
        of the spread of the data (of the data themselves for
        ``likelihood="bernoulli"``). More of it makes codes robust, and the model a
        denoiser.
    class_noise : float, default=0.3
        Standard deviation of noise on the probabilities of the classes before their
        discriminator sees them in training. Without it, that none of them is exactly 0
        or 1 would give them away.
    layer : str or list of str, default="mu"
        What `transform` returns: "mu" (the style), "proba" (the probabilities of the
        classes), both as a list, "logvar" (of a Gaussian posterior), "z" (a draw from
        it, the same for equal samples; else `mu` itself) or any other key of
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
        Labels in `y`.
    class_prior_ : ndarray of shape (n_classes,)
        Shares of the classes that training assumed.
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
        "discriminator_loss", "generator_loss", "class_discriminator_loss",
        "class_generator_loss", "classification_loss"), "valid_loss" (without the
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
    AAEClusterer : Needs no labels.
    sklearn.semi_supervised.LabelSpreading : Spreads labels to neighbours.

    References
    ----------
    A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow and B. Frey, "Adversarial
    autoencoders", 2015, https://arxiv.org/abs/1511.05644.

    C. K. Sønderby et al., "Amortised MAP inference for image super-resolution" (noise
    on the input of discriminators), 2017, https://arxiv.org/abs/1610.04490.

    T. Miyato et al., "Spectral normalization for generative adversarial networks",
    2018, https://arxiv.org/abs/1802.05957.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skvae import AAEClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> known = np.where(np.arange(len(y)) < 100, y, -1)
    >>> classifier = AAEClassifier(max_iter=10, random_state=0).fit(X, known)
    >>> bool(classifier.score(X[100:], y[100:]) > 0.5)
    True
    >>> sevens = classifier.sample(3, y=7)
    """

    _parameter_constraints = {
        **BaseAdversarial._parameter_constraints,
        "unlabelled": [str, Real, None],
        "class_prior": ["array-like", None],
        "class_noise": [at_least(0)],
    }
    __metadata_request__fit = {"X_val": True, "y_val": True, "groups": True}
    _module_name = "AAEClassifierModule"
    _structure = ("class_prior", *BaseAdversarial._structure)
    _engine = (*BaseAdversarial._engine, "class_noise")

    def __init__(
        self,
        n_components=10,
        *,
        unlabelled="auto",
        class_prior=None,
        architecture="mlp",
        image_shape=None,
        likelihood="gaussian",
        prior="normal",
        posterior="deterministic",
        adversarial_weight=0.5,
        discriminator_hidden_layer_sizes=(128, 64),
        discriminator_dropout=0.0,
        discriminator_learning_rate=None,
        spectral_norm=False,
        input_noise=0.5,
        class_noise=0.3,
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
        self.unlabelled = unlabelled
        self.class_prior = class_prior
        self.class_noise = class_noise

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, *, X_val=None, y_val=None, groups=None):
        """Train the networks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            A table, or images or volumes in their own shape.
        y : array-like of shape (n_samples,)
            Class of each sample, or what `unlabelled` says where it is not known.
        X_val : array-like of shape (n_validation, ...), default=None
            Held-out samples for `early_stopping`, instead of a share of `X`. Their loss
            is in `history_` in any case.
        y_val : array-like of shape (n_validation,), default=None
            Their classes, as far as they are known.
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

        The first call takes the mean and the spread of the features and the shares of
        the classes from its samples, for good; they should be many enough for that.
        Nothing is held out.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples of the shape seen before.
        y : array-like of shape (n_samples,)
            As in `fit`; some labels are needed in each call.
        classes : array-like of shape (n_classes,), default=None
            All classes that will come, if those of the first call are not all. Each
            that the first call lacks counts once in `class_prior_`.

        Returns
        -------
        self : object
        """
        return self._fit_one_epoch(X, y, classes)

    def _check_labels(self, y, rows, classes, *, reset):
        learn = self._learn_classes if reset else self._number
        numbers = learn(y, rows, classes, unlabelled=self.unlabelled)
        if not (numbers >= 0).any():
            raise ValueError(
                "`y` holds no label: AAEClassifier needs some samples of each class. "
                "AAEClusterer works without labels."
            )
        if len(self.classes_) < 2:
            raise ValueError(
                "AAEClassifier needs labels of at least two classes, got one class."
            )
        if reset:
            self.class_prior_ = self._check_class_prior(numbers)
        return numbers

    def _check_held_out_labels(self, y, rows):
        if y is None:
            return None
        return self._number(y, rows, unlabelled=self.unlabelled, name="y_val")

    def _check_class_prior(self, numbers):
        if self.class_prior is None:
            return self._shares(numbers)
        try:
            class_prior = np.asarray(self.class_prior, dtype=np.float64)
        except (TypeError, ValueError):
            class_prior = np.empty(0)
        valid = class_prior.shape == self.classes_.shape and np.all(class_prior >= 0)
        if not (valid and np.isclose(class_prior.sum(), 1)):
            raise ValueError(
                f"`class_prior` must hold {len(self.classes_)} numbers >= 0 that sum "
                "up to 1, one for each class in sorted order; got "
                f"{self.class_prior!r}."
            )
        return class_prior / class_prior.sum()

    def _own_rows(self, y, index):
        return {"classification": index[y[index] >= 0]}

    def _scored_rows(self, y, index):
        return index[y[index] >= 0]  # an accuracy needs labels


class AAEClusterer(ClusterMixin, _ClassEncoder):
    r"""Adversarial autoencoder that finds clusters, and the style within them.

    One encoder has two heads: cluster probabilities :math:`q(y|x)` and a code :math:`z`
    of the style. The decoder gets both. One discriminator holds the codes to a prior
    :math:`p(z)`, another the probabilities to one-hot draws of equal shares, so that
    each sample is given to one cluster. Every training step has three phases:
    reconstruction, both discriminators and both generators, as in `AAE`.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters. Classes of varied looks need several clusters each.
    n_components : int, default=10
        Size of the style. A larger one keeps more detail.
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
    input_noise : float, default=0.5
        Standard deviation of noise added to the encoder's input in training, in units
        of the spread of the data (of the data themselves for
        ``likelihood="bernoulli"``). More of it makes codes robust, and the model a
        denoiser.
    class_noise : float, default=0.3
        Standard deviation of noise on the probabilities of the classes before their
        discriminator sees them in training. Without it, that none of them is exactly 0
        or 1 would give them away.
    layer : str or list of str, default="mu"
        What `transform` returns: "mu" (the style), "proba" (the probabilities of the
        clusters), both as a list, "logvar" (of a Gaussian posterior), "z" (a draw from
        it, the same for equal samples; else `mu` itself) or any other key of
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
    labels_ : ndarray of shape (n_samples,), int64
        Cluster of each sample of the last training.
    classes_ : ndarray of shape (n_clusters,)
        Numbers of the clusters.
    class_prior_ : ndarray of shape (n_clusters,)
        Their shares that training assumed, all equal.
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
        "discriminator_loss", "generator_loss", "class_discriminator_loss",
        "class_generator_loss"), "valid_loss" (without the
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
    AAEClassifier : Learns classes, where some labels are known.
    sklearn.mixture.GaussianMixture : Clusters of simple shapes.

    References
    ----------
    A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow and B. Frey, "Adversarial
    autoencoders", 2015, https://arxiv.org/abs/1511.05644.

    C. K. Sønderby et al., "Amortised MAP inference for image super-resolution" (noise
    on the input of discriminators), 2017, https://arxiv.org/abs/1610.04490.

    T. Miyato et al., "Spectral normalization for generative adversarial networks",
    2018, https://arxiv.org/abs/1802.05957.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import AAEClusterer
    >>> X, _ = load_digits(return_X_y=True)
    >>> clusterer = AAEClusterer(n_clusters=20, max_iter=10, random_state=0)
    >>> clusterer.fit_predict(X).shape
    (1797,)
    >>> of_first_cluster = clusterer.sample(3, y=0)
    """

    _parameter_constraints = {
        **BaseAdversarial._parameter_constraints,
        "n_clusters": [at_least(1, Integral)],
        "class_noise": [at_least(0)],
    }
    _module_name = "AAEClustererModule"
    _structure = ("n_clusters", *BaseAdversarial._structure)
    _engine = (*BaseAdversarial._engine, "class_noise")

    def __init__(
        self,
        n_clusters=8,
        *,
        n_components=10,
        architecture="mlp",
        image_shape=None,
        likelihood="gaussian",
        prior="normal",
        posterior="deterministic",
        adversarial_weight=0.5,
        discriminator_hidden_layer_sizes=(128, 64),
        discriminator_dropout=0.0,
        discriminator_learning_rate=None,
        spectral_norm=False,
        input_noise=0.5,
        class_noise=0.3,
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
        self.n_clusters = n_clusters
        self.class_noise = class_noise

    def _check_labels(self, y, rows, classes, *, reset):
        if self._new_prior().by_class:
            raise ValueError(
                f"prior={self.prior!r} ties codes to classes, but AAEClusterer knows "
                "of none. Take by_class=False."
            )
        self.classes_ = np.arange(self.n_clusters)
        self.class_prior_ = np.full(self.n_clusters, 1 / self.n_clusters)

    def _after_training(self, rows):
        proba = self._net.extract(rows, ["proba"])["proba"]
        self.labels_ = to_numpy(proba).argmax(axis=1)

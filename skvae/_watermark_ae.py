import numpy as np
from scipy.special import expit
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ._ae import AE
from ._base import BaseAutoencoder, transforms_to_codes
from ._documentation import inherit_documentation
from ._engine.plan import Labels
from ._metrics import binarize
from ._random import draw_seed
from ._validation import (
    arguments_of,
    at_least,
    check_rows,
    fit_context,
    side_by_side,
    to_numpy,
)


@inherit_documentation
class WatermarkAE(AE):
    r"""Autoencoder that hides a binary mark in images, and a network that reads it.

    The decoder gets the code of an image and a mark, and gives the image with the mark
    in it; a reader gets the marked image and gives back the mark. All are trained
    together:

    .. math:: \min \; \frac1n \sum_{i=1}^n -\log p\left(x_i \mid \mu(x_i), y_i\right)
              - w \log q\left(y_i \mid \hat x_i\right)

    in nats, summed over the values of :math:`x_i` and over the bits of :math:`y_i`.
    The mark changes what the autoencoder makes of an image, within the error that it
    makes anyhow.

    Parameters
    ----------
    mark_weight : float, default=10.0
        Weight :math:`w` of the mark. A larger one makes marks surer and images worse.
    channel : float, object, callable or None, default=None
        What happens to marked images before they are read, for which the mark has to be
        robust. As `corruption`: a number is noise of so many times the spread of the
        data. The gradient takes a function for the identity.
    layer : str or list of str, default="mu"
        What `transform` returns: "mu" or any other key of `layer_names_`. It may be
        changed after `fit`.

    Attributes
    ----------
    mark_shape_ : tuple of int
        Shape of one mark.
    history_ : list of dict
        Per epoch: "train_loss", its terms ("reconstruction_loss", "mark_loss"),
        "valid_loss" if there are held-out samples, and the duration "dur" in seconds.

    See Also
    --------
    AE : The same without a mark.

    References
    ----------
    J. Zhu, R. Kaplan, J. Johnson and L. Fei-Fei, "HiDDeN: hiding data with deep
    networks", ECCV 2018, https://arxiv.org/abs/1807.09937 (there an encoder changes the
    image itself).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skvae import WatermarkAE
    >>> X = load_digits().images
    >>> marks = np.random.default_rng(0).integers(2, size=(len(X), 2, 2))
    >>> model = WatermarkAE(16, batch_size=32, max_iter=20, random_state=0)
    >>> model = model.fit(X, marks)
    >>> marked = model.embed(X, marks)
    >>> marked.shape
    (1797, 8, 8)
    >>> bool((model.predict(marked) == marks).mean() > 0.95)
    True
    """

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "mark_weight": [at_least(0)],
        "channel": BaseAutoencoder._parameter_constraints["corruption"],
    }
    __metadata_request__fit = {"y_val": True}
    _module_name = "WatermarkModule"
    _objective = (*BaseAutoencoder._objective, "mark_weight", "channel")
    _examples = BaseAutoencoder._examples | {"channel": "GaussianNoise()"}

    def __init__(
        self,
        n_components=10,
        *,
        mark_weight=10.0,
        channel=None,
        ordered=False,
        architecture="mlp",
        image_shape=None,
        likelihood="gaussian",
        corruption=None,
        missing_values="error",
        layer="mu",
        learning_rate=1e-3,
        weight_decay=0.0,
        batch_size=128,
        max_iter=100,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        memory=None,
        callbacks=None,
        metrics=None,
        precision="float32",
        device="auto",
        random_state=None,
        verbose=0,
    ):
        super().__init__(**arguments_of(BaseAutoencoder, locals()))
        self.mark_weight = mark_weight
        self.channel = channel

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
        y : array-like of shape (n_samples, ...)
            Marks: 0 and 1, at most as many as an image has values. In each step they
            are dealt anew among the images, so that no mark is learnt from its image.
        y_val : array-like of shape (n_validation, ...), default=None
            Marks of `X_val`.
        """
        targets = X_target, X_val_target
        return self._fit(X, y, sample_weight, X_val, y_val, groups, targets)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y):
        """Train for one more epoch, or for the first.

        Parameters
        ----------
        y : array-like of shape (n_samples, ...)
            Marks.
        """
        return self._fit_one_epoch(X, y)

    def embed(self, X, y):
        """Return images with marks in them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
        y : array-like of shape (n_samples, ...)
            A mark for each image, or one of `mark_shape_` for all.

        Returns
        -------
        X_marked : ndarray of the shape of X
        """
        return self.reconstruct(X, y)

    def predict_proba(self, X):
        """Return the probability of each bit of the marks to be 1.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Marked images.

        Returns
        -------
        proba : ndarray of shape (n_samples, ...), float32
        """
        check_is_fitted(self)
        rows, _ = check_rows(self, X, reset=False)
        read = self._net.apply(self.module_.read, self._net.as_samples(rows))
        proba = expit(to_numpy(read))
        return proba.reshape(-1, *self.mark_shape_)

    def predict(self, X, *, threshold=0.5):
        """Read the marks of images.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Marked images.
        threshold : float or "otsu", default=0.5
            Of the probability from which on a bit is 1 (`skvae.metrics.binarize`).

        Returns
        -------
        y : ndarray of shape (n_samples, ...), int64
        """
        return binarize(self.predict_proba(X), threshold).astype(np.int64)

    def score(self, X, y):
        """Mark images, and return the share of the bits that are read again.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
        y : array-like of shape (n_samples, ...)
            Marks.

        Returns
        -------
        score : float
            0.5 is chance.
        """
        marks = self._marks(y, len(X)).reshape(-1, *self.mark_shape_)
        return float((self.predict(self.embed(X, y)) == marks).mean())

    @available_if(transforms_to_codes)
    def inverse_transform(self, X, y=None, *, logits=False):
        """Decode latent codes to images with marks.

        Parameters
        ----------
        y : array-like of shape (n_samples, ...), default=None
            Marks, or one for all. None leaves each bit half way between 0 and 1.
        """
        check_is_fitted(self)
        codes = self._beside(self._check_codes(X), y)
        return self._decode(codes, logits=self._check_logits(logits))

    def reconstruct(self, X, y=None, n_components=None, *, threshold=None):
        """Encode samples, and decode their `mu` with marks.

        Parameters
        ----------
        y : array-like of shape (n_samples, ...), default=None
            Marks, or one for all. None leaves each bit half way between 0 and 1.
        """
        check_is_fitted(self)
        self._check_prefix(n_components)
        rows, shape = check_rows(self, X, reset=False)
        codes = self._net.extract(rows, ["mu"])["mu"][:, :n_components]
        means = self._decode(self._beside(codes, y)).reshape(-1, *shape)
        return self._binarized(means, threshold, X)

    def sample(self, n_samples=1, y=None, *, noise=False, random_state=None):
        """Decode draws from a Gaussian fitted to the training codes, with marks.

        Parameters
        ----------
        y : array-like of shape (n_samples, ...), default=None
            Marks, or one for all. None leaves each bit half way between 0 and 1.
        """
        rng = self._check_sampling(n_samples, random_state)
        codes = self._beside(self._draw_codes(n_samples, rng), y)
        return self._decode(codes, draw_seed(rng) if noise else None)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags

    def _module_options(self, labels):
        options = super()._module_options(labels)
        channel = self._new_corruption("channel")
        return options | {"n_bits": self._n_bits, "channel": channel}

    @property
    def _n_bits(self):
        return int(np.prod(self.mark_shape_, dtype=int))

    @property
    def _standardizes_input(self):
        return self.channel is not None

    def _known_labels(self):
        return Labels(None, None, None)

    def _labels(self, y, rows, classes, known, weights):
        if y is None:
            raise ValueError(
                "WatermarkAE requires y to be passed, the marks of the images, but the "
                "target y is None."
            )
        shape = np.shape(y)[1:]
        if known is not None and shape != self.mark_shape_:
            raise ValueError(
                f"`y` has marks of shape {shape}, but the networks were made for "
                f"{self.mark_shape_}."
            )
        self.mark_shape_ = shape
        check_consistent_length(rows, y)
        if not 1 <= self._n_bits <= rows.shape[-1]:
            raise ValueError(
                f"`y` has marks of {self._n_bits} bits (shape {shape}), but must have "
                f"from 1 to {rows.shape[-1]}, the number of values of an image."
            )
        return Labels(self._marks(y, len(rows)), None, None)

    def _held_out_numbers(self, y, rows, labels):
        return self._marks(y, len(rows), "y_val")

    def _graph(self, method):
        module = self.module_
        if method == "predict_proba":
            return lambda X: module.read(X).sigmoid(), self.mark_shape_
        if method == "inverse_transform":
            decode, shape = super()._graph(method)
            return lambda Z: decode(module.beside(Z, None)), shape
        return super()._graph(method)

    def _marks(self, y, n_samples, name="y"):
        """Return marks as rows of bits, float32."""
        y = np.asarray(to_numpy(y))
        if y.shape == self.mark_shape_:
            y = np.broadcast_to(y, (n_samples, *y.shape))
        if y.shape != (n_samples, *self.mark_shape_):
            raise ValueError(
                f"`{name}` must hold marks of shape {self.mark_shape_} for "
                f"{n_samples} images, got an array of shape {y.shape}."
            )
        bits = y.reshape(n_samples, -1)
        if not np.isin(bits, [0, 1]).all():
            raise ValueError(f"`{name}` must hold marks of 0 and 1 only.")
        return bits.astype(np.float32)

    def _means(self, rows, y, n_components=None):
        codes = to_numpy(self._net.extract(rows, ["mu"])["mu"][:, :n_components])
        marks = None if y is None else y.reshape(-1, *self.mark_shape_)
        return self._decode(self._beside(codes, marks))

    def _beside(self, codes, y):
        """Return the input of the decoder for codes and marks."""
        if y is None:
            marks = np.zeros((len(codes), self._n_bits), dtype=np.float32)
        else:
            marks = 2 * self._marks(y, len(codes)) - 1
        return side_by_side(codes, marks)

"""Architectures: small parameter objects that build an encoder and a decoder.

Anything with the two methods of these classes can stand in their place, and so can a
pair ``(encoder, decoder)`` of ``torch.nn.Module``. `Discriminator` describes the third
network of adversarial models.
"""

import copy
import warnings
from numbers import Integral

from sklearn.base import BaseEstimator

from ._mixin import EstimatorMixin
from ._validation import Numbers, StrOptions, at_least, is_count, positive, share

_ACTIVATION = StrOptions({"elu", "gelu", "leaky_relu", "relu", "silu", "tanh"})
_DROPOUT = [share]
_WIDTHS = ["array-like"]


class _Network(EstimatorMixin, BaseEstimator):
    """Parameters that are checked when a network is built from them."""

    def _doc_link_url_param_generator(self):
        return {"estimator_module": "skvae", "estimator_name": type(self).__name__}


class _Architecture(_Network):
    # What is built here draws from no global random state and never changes its input.
    self_contained = True
    # Whether networks have linear paths, which are set to principal axes at first.
    begins_as_pca = False


class MLP(_Architecture):
    """Fully connected layers; samples of any shape are flattened.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, default=(256, 128)
        Widths of the encoder's layers; the decoder mirrors them. Without any, encoder
        and decoder are linear.
    activation : {"elu", "gelu", "leaky_relu", "relu", "silu", "tanh"}, default="silu"
        Function after each hidden layer.
    dropout : float, default=0.0
        Share of the hidden values set to zero in each training step. More of it
        regularizes more.
    init : {"random", "pca"}, default="random"
        How the networks begin. "pca" adds a linear map beside the hidden layers of
        encoder and decoder, and sets it to the principal axes of the training data (of
        20,000 samples at most); what the layers give is zero at first. Training goes on
        from what PCA knows, which pays where samples are few. A `VAE` begins as
        probabilistic PCA (Tipping and Bishop 1999,
        https://doi.org/10.1111/1467-9868.00196).

    Examples
    --------
    >>> from skvae import AE, MLP
    >>> AE(n_components=2, architecture=MLP(hidden_layer_sizes=(64,)))
    AE(architecture=MLP(hidden_layer_sizes=(64,)), n_components=2)
    """

    _parameter_constraints = {
        "hidden_layer_sizes": _WIDTHS,
        "activation": [_ACTIVATION],
        "dropout": _DROPOUT,
        "init": [StrOptions({"random", "pca"})],
    }

    def __init__(
        self,
        hidden_layer_sizes=(256, 128),
        activation="silu",
        dropout=0.0,
        init="random",
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.init = init

    @property
    def begins_as_pca(self):
        return self.init == "pca"

    def encoder(self, sample_shape):
        """Build the encoder.

        Parameters
        ----------
        sample_shape : tuple of int

        Returns
        -------
        encoder : torch.nn.Module
            Maps (n_samples, *sample_shape) to (n_samples, n_hidden).
        """
        from .nn import mlp_encoder

        return mlp_encoder(sample_shape, *self._arguments())

    def decoder(self, n_inputs, sample_shape):
        """Build the decoder.

        Parameters
        ----------
        n_inputs : int
        sample_shape : tuple of int

        Returns
        -------
        decoder : torch.nn.Module
            Maps (n_samples, n_inputs) to (n_samples, *sample_shape).
        """
        from .nn import mlp_decoder

        return mlp_decoder(n_inputs, sample_shape, *self._arguments())

    def inference_batch(self, sample_shape):
        """Say how samples are batched outside of training.

        Parameters
        ----------
        sample_shape : tuple of int

        Returns
        -------
        size : int
            Samples per forward pass.
        multiple : int
            Smaller batches are padded to a multiple of so many samples.
        """
        return 1024, 128

    def _arguments(self):
        self._validate_params()
        hidden = check_widths("hidden_layer_sizes", self.hidden_layer_sizes)
        return hidden, self.activation, self.dropout, self.begins_as_pca


class _Convolutional(_Architecture):
    """Convolutions on 1, 2 or 3 space axes, described by one `Pyramid`."""

    _parameter_constraints = {
        "channels": _WIDTHS,
        "kernel_size": [at_least(1, Integral)],
        "downsample": [StrOptions({"stride", "max_pool", "avg_pool"})],
        "dense": ["array-like", at_least(1, Integral), None],
        "activation": [_ACTIVATION],
        "dropout": _DROPOUT,
        "spatial_dims": [Numbers(Integral, 1, 3, closed="both"), None],
    }

    def encoder(self, sample_shape):
        """Build the encoder.

        Parameters
        ----------
        sample_shape : tuple of int

        Returns
        -------
        encoder : torch.nn.Module
            Maps (n_samples, *sample_shape) to (n_samples, n_hidden).

        Raises
        ------
        ValueError
            If the channels seem to come last.

        Warns
        -----
        UserWarning
            If the samples are rows of a table, which are taken for signals.
        """
        pyramid = self._pyramid(sample_shape)
        if self.spatial_dims is None:
            _check_axes(sample_shape)
        return pyramid.encoder()

    def decoder(self, n_inputs, sample_shape):
        """Build the decoder.

        Parameters
        ----------
        n_inputs : int
        sample_shape : tuple of int

        Returns
        -------
        decoder : torch.nn.Module
            Maps (n_samples, n_inputs) to (n_samples, *sample_shape).
        """
        return self._pyramid(sample_shape).decoder(n_inputs)

    def _pyramid(self, sample_shape):
        from .nn import Pyramid

        self._validate_params()
        parameters = {"n_blocks": 0, **self.get_params(deep=False)}
        dense = parameters["dense"]
        if dense is None or isinstance(dense, Integral):
            dense = () if dense is None else (dense,)
        parameters["dense"] = check_widths("dense", dense)
        parameters["channels"] = check_widths("channels", self.channels)
        return Pyramid(sample_shape, **parameters)


def _check_axes(sample_shape):
    """Doubt that samples are signals, or images, if they are surely something else."""
    *front, last = sample_shape
    if not front:
        warnings.warn(
            f"Convolutions take each row of {last} values for a signal, whose "
            "neighbours belong together. If rows are flat images, set `image_shape`. "
            "If they are features of a table, take MLP. If they are signals, set "
            "spatial_dims=1.",
            UserWarning,
            stacklevel=2,
        )
    elif len(front) > 1 and last in (1, 3, 4) and last < min(front):
        raise ValueError(
            f"Samples of shape {tuple(sample_shape)} seem to have their channels last, "
            "but convolutions take them first. Use np.moveaxis(X, -1, 1) (and "
            "`image_shape` accordingly). If the last axis is space, set `spatial_dims`."
        )


class Conv(_Convolutional):
    """Plain convolutions on samples with 1, 2 or 3 space axes.

    Samples of shape (h, w) are grey images, (c, h, w) images with channels,
    (c, d, h, w) volumes with channels and (n_features,) signals; `spatial_dims` says
    it otherwise. Odd sizes are decoded to themselves.

    Parameters
    ----------
    channels : array-like of int, default=(32, 64)
        Filters of each level. Every level halves the grid; the decoder mirrors them.
    kernel_size : int, default=3
        Points of a filter along each axis; the borders are padded with zeros ("same").
    downsample : {"stride", "max_pool", "avg_pool"}, default="stride"
        How a level halves the grid: by the stride of its convolution, or by pooling
        after it. The decoder doubles it by a transposed convolution, or by repeating
        values before a convolution.
    dense : int, array-like of int or None, default=256
        Widths of fully connected layers between the last level and the code.
    activation : {"elu", "gelu", "leaky_relu", "relu", "silu", "tanh"}, default="silu"
        Function after each layer.
    dropout : float, default=0.0
        Share of the values set to zero after each layer in a training step.
    spatial_dims : {1, 2, 3} or None, default=None
        Number of space axes. None takes 1, 2, 2, 3 for samples of rank 1, 2, 3, 4.

    Examples
    --------
    The network of Kingma's tutorials on images of 28 x 28:

    >>> from skvae import VAE, Conv
    >>> vae = VAE(architecture=Conv(channels=(32, 64), kernel_size=3, dense=16))

    Five blocks on volumes of 1 x 32 x 256 x 256:

    >>> Conv(channels=(16, 32, 64, 32, 16), kernel_size=2, downsample="max_pool")
    Conv(channels=(16, 32, 64, 32, 16), downsample='max_pool', kernel_size=2)
    """

    def __init__(
        self,
        channels=(32, 64),
        kernel_size=3,
        downsample="stride",
        dense=256,
        activation="silu",
        dropout=0.0,
        spatial_dims=None,
    ):
        self.channels = channels
        self.kernel_size = kernel_size
        self.downsample = downsample
        self.dense = dense
        self.activation = activation
        self.dropout = dropout
        self.spatial_dims = spatial_dims


class ResNet(_Convolutional):
    """Convolutions with residual blocks at every level (He et al. 2016).

    Shapes are read as in `Conv`. The blocks are pre-activated, with group instead of
    batch normalization, so that no sample depends on its batch.

    Parameters
    ----------
    channels : array-like of int, default=(32, 64)
        Filters of each level. Every level halves the grid; the decoder mirrors them.
    n_blocks : int, default=1
        Residual blocks per level; more of them make the network deeper.
    kernel_size : int, default=3
        Points of a filter along each axis; the borders are padded with zeros ("same").
    downsample : {"stride", "max_pool", "avg_pool"}, default="stride"
        How a level halves the grid, as in `Conv`.
    dense : int, array-like of int or None, default=256
        Widths of fully connected layers between the last level and the code.
    activation : {"elu", "gelu", "leaky_relu", "relu", "silu", "tanh"}, default="silu"
        Function after each layer.
    dropout : float, default=0.0
        Share of the values set to zero after each layer in a training step.
    spatial_dims : {1, 2, 3} or None, default=None
        Number of space axes. None takes 1, 2, 2, 3 for samples of rank 1, 2, 3, 4.

    References
    ----------
    K. He et al., "Identity mappings in deep residual networks", 2016,
    https://arxiv.org/abs/1603.05027.

    Examples
    --------
    >>> from skvae import VAE, ResNet
    >>> vae = VAE(architecture=ResNet(channels=(16, 32), n_blocks=2))
    """

    _parameter_constraints = {
        **_Convolutional._parameter_constraints,
        "n_blocks": [at_least(1, Integral)],
    }

    def __init__(
        self,
        channels=(32, 64),
        n_blocks=1,
        kernel_size=3,
        downsample="stride",
        dense=256,
        activation="silu",
        dropout=0.0,
        spatial_dims=None,
    ):
        self.channels = channels
        self.n_blocks = n_blocks
        self.kernel_size = kernel_size
        self.downsample = downsample
        self.dense = dense
        self.activation = activation
        self.dropout = dropout
        self.spatial_dims = spatial_dims


class Discriminator(_Network):
    """The network that tells codes from draws of a prior: fully connected layers.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, default=(128, 64)
        Widths of its layers.
    dropout : float, default=0.0
        Share of the hidden values set to zero in each training step.
    learning_rate : float or None, default=None
        Step size of its Adam. None takes that of its adversary, the encoder:
        ``adversarial_weight * learning_rate`` of the model. It may be changed between
        trainings that go on.
    spectral_norm : bool, default=False
        Whether no layer may stretch distances (Miyato et al. 2018). The discriminator
        then stays beatable, and learns slower.

    See Also
    --------
    AAE : Takes it as `discriminator`, as do the other adversarial models.

    References
    ----------
    T. Miyato et al., "Spectral normalization for generative adversarial networks",
    2018, https://arxiv.org/abs/1802.05957.

    Examples
    --------
    >>> from skvae import AAE, Discriminator
    >>> aae = AAE(discriminator=Discriminator(spectral_norm=True))
    >>> aae.set_params(discriminator__dropout=0.2)
    AAE(discriminator=Discriminator(dropout=0.2, spectral_norm=True))
    """

    _parameter_constraints = {
        "hidden_layer_sizes": _WIDTHS,
        "dropout": _DROPOUT,
        "learning_rate": [positive, None],
        "spectral_norm": ["boolean"],
    }

    def __init__(
        self,
        hidden_layer_sizes=(128, 64),
        dropout=0.0,
        learning_rate=None,
        spectral_norm=False,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.spectral_norm = spectral_norm

    def network_options(self):
        """Return what the network is built from.

        Returns
        -------
        options : dict
            Arguments of `skvae.nn.DiscriminatorModule`.
        """
        self._validate_params()
        return {
            "hidden_layer_sizes": check_widths(
                "hidden_layer_sizes", self.hidden_layer_sizes
            ),
            "dropout": self.dropout,
            "spectral_norm": self.spectral_norm,
        }


class _Pair:
    """The user's own two modules, copied so that theirs stay as they are."""

    def __init__(self, encoder, decoder):
        self._encoder = encoder
        self._decoder = decoder

    def encoder(self, sample_shape):
        return copy.deepcopy(self._encoder)

    def decoder(self, n_inputs, sample_shape):
        return copy.deepcopy(self._decoder)


ARCHITECTURES = {"mlp": MLP, "conv": Conv, "resnet": ResNet}


def resolve(architecture):
    """Return the object that builds the networks for what the user passed."""
    if isinstance(architecture, str):
        return ARCHITECTURES[architecture]()
    if isinstance(architecture, type):
        raise ValueError(
            "`architecture` must be an instance, got the class "
            f"{architecture.__name__}. Write {architecture.__name__}()."
        )
    if isinstance(architecture, tuple):
        if len(architecture) != 2 or not all(map(_is_module, architecture)):
            raise ValueError(
                "`architecture` as a tuple must be a pair (encoder, decoder) of "
                f"torch.nn.Module, got {architecture!r}."
            )
        return _Pair(*architecture)
    if _is_module(architecture):
        return _Pair(architecture.encoder, architecture.decoder)
    return architecture


def _is_module(value):
    return hasattr(value, "state_dict") and hasattr(value, "forward")


def check_widths(name, widths):
    """Return widths of layers as a tuple, all of them ints >= 1."""
    widths = tuple(widths)
    if not all(is_count(width) for width in widths):
        raise ValueError(f"`{name}` must hold ints >= 1, got {widths}.")
    return widths

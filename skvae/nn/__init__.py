"""The torch floor: modules, likelihoods and blocks, for those who extend the package.

Importing this module imports torch.
"""

from ._conv import Pyramid
from ._dropout import Dropout, bind_generator
from ._layers import layer_function, layer_shapes
from ._likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    Gaussian,
    Laplace,
    Likelihood,
    SquaredError,
)
from ._mlp import ACTIVATIONS, mlp_decoder, mlp_encoder
from ._modules import AEModule, VAEModule, kl_divergence
from ._resnet import ResidualBlock

__all__ = [
    "ACTIVATIONS",
    "LIKELIHOODS",
    "AEModule",
    "Bernoulli",
    "Dropout",
    "Gaussian",
    "Laplace",
    "Likelihood",
    "Pyramid",
    "ResidualBlock",
    "SquaredError",
    "VAEModule",
    "bind_generator",
    "kl_divergence",
    "layer_function",
    "layer_shapes",
    "mlp_decoder",
    "mlp_encoder",
]

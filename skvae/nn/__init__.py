"""The torch floor: modules, likelihoods and blocks, for those who extend the package.

Importing this module imports torch.
"""

from ._conv import Pyramid
from ._dropout import Dropout, bind_generator
from ._layers import capture, layer_shapes, without_hooks_of_others
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
    "capture",
    "kl_divergence",
    "layer_shapes",
    "mlp_decoder",
    "mlp_encoder",
    "without_hooks_of_others",
]

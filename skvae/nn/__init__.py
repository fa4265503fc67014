"""Pure torch: modules, likelihoods, priors and blocks, for those who extend.

Importing this module imports torch.
"""

from ._adversarial import (
    AAEClassifierModule,
    AAEClustererModule,
    AAEModule,
    DiscriminatorModule,
    SupervisedAAEModule,
)
from ._conv import Pyramid
from ._corruptions import (
    Corruption,
    Function,
    GaussianNoise,
    Masking,
    SaltAndPepper,
    Swap,
)
from ._dropout import Dropout
from ._layers import layer_function, layer_shapes, multiply_adds
from ._likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    Gaussian,
    Laplace,
    Likelihood,
    Mixed,
    SquaredError,
)
from ._mlp import ACTIVATIONS, mlp_decoder, mlp_encoder
from ._modules import AEModule, VAEModule, encoder_shape, kl_divergence
from ._noise import Noise
from ._ordered import octaves
from ._priors import (
    PRIORS,
    GaussianMixture,
    Normal,
    Prior,
    Sampler,
    SwissRoll,
    Uniform,
)
from ._resnet import ResidualBlock
from ._spectral import SpectralLinear
from ._watermark import WatermarkModule

__all__ = [
    "ACTIVATIONS",
    "LIKELIHOODS",
    "PRIORS",
    "AAEClassifierModule",
    "AAEClustererModule",
    "AAEModule",
    "AEModule",
    "Bernoulli",
    "Corruption",
    "DiscriminatorModule",
    "Dropout",
    "Function",
    "Gaussian",
    "GaussianMixture",
    "GaussianNoise",
    "Laplace",
    "Likelihood",
    "Masking",
    "Mixed",
    "Noise",
    "Normal",
    "Prior",
    "Pyramid",
    "ResidualBlock",
    "SaltAndPepper",
    "Sampler",
    "SpectralLinear",
    "SquaredError",
    "SupervisedAAEModule",
    "Swap",
    "SwissRoll",
    "Uniform",
    "VAEModule",
    "WatermarkModule",
    "encoder_shape",
    "kl_divergence",
    "layer_function",
    "layer_shapes",
    "mlp_decoder",
    "mlp_encoder",
    "multiply_adds",
    "octaves",
]

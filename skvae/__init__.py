"""Autoencoders that behave like scikit-learn."""

from ._aae import AAE
from ._aae_classifier import AAEClassifier, ClassPriorWarning
from ._aae_clusterer import AAEClusterer
from ._adversarial import DiscriminatorWarning
from ._ae import AE
from ._cache import CacheWarning
from ._files import load, save
from ._onnx import to_onnx
from ._supervised_aae import SupervisedAAE
from ._vae import VAE, PosteriorCollapseWarning
from ._watermark_ae import WatermarkAE
from .architectures import MLP, Conv, Discriminator, ResNet

__version__ = "0.1.0"

__all__ = [
    "AAE",
    "AE",
    "MLP",
    "VAE",
    "AAEClassifier",
    "AAEClusterer",
    "CacheWarning",
    "ClassPriorWarning",
    "Conv",
    "Discriminator",
    "DiscriminatorWarning",
    "PosteriorCollapseWarning",
    "ResNet",
    "SupervisedAAE",
    "WatermarkAE",
    "load",
    "save",
    "to_onnx",
]

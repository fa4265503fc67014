"""Autoencoders that behave like scikit-learn."""

from ._ae import AE
from ._vae import VAE, PosteriorCollapseWarning
from .architectures import MLP, Conv, ResNet

__version__ = "0.1.0"

__all__ = ["AE", "MLP", "VAE", "Conv", "PosteriorCollapseWarning", "ResNet"]

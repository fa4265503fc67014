"""Autoencoders that behave like scikit-learn."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from ._aae import AAE
from ._aae_classifier import AAEClassifier, ClassPriorWarning
from ._aae_clusterer import AAEClusterer
from ._adversarial import DiscriminatorWarning
from ._ae import AE
from ._cache import CacheWarning
from ._files import load, save
from ._supervised_aae import SupervisedAAE
from ._vae import VAE, PosteriorCollapseWarning
from ._watermark_ae import WatermarkAE
from .architectures import MLP, Conv, Discriminator, ResNet

if _TYPE_CHECKING:
    from ._onnx import to_onnx

__version__ = "0.2.0"

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

_MODULES = (
    "datasets",
    "dicom",
    "hashing",
    "impute",
    "inspection",
    "metrics",
    "model_selection",
    "nn",
    "outlier",
    "plot",
    "preprocessing",
    "radiomics",
    "report",
)


def __getattr__(name: str) -> _Any:
    """Import what is slow to import, and modules, when they are asked for."""
    if name == "to_onnx":
        return _import_module("._onnx", __name__).to_onnx
    if name in _MODULES:
        return _import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_MODULES]

"""Numbers that say what a fitted autoencoder has learnt."""

from ._attribution import attribution
from ._codes import component_summary, nearest, prior_distance
from ._correlation import latent_correlation
from ._decoding import interpolate, latent_traversal
from ._layers import LayerComparison, choose_n_components, compare_layers

__all__ = [
    "LayerComparison",
    "attribution",
    "choose_n_components",
    "compare_layers",
    "component_summary",
    "interpolate",
    "latent_correlation",
    "latent_traversal",
    "nearest",
    "prior_distance",
]

"""Numbers that say what a fitted autoencoder has learnt."""

from ._attribution import attribution
from ._codes import component_summary, nearest, prior_distance
from ._correlation import latent_correlation
from ._decoding import interpolate, latent_traversal
from ._disentanglement import component_stability, disentanglement
from ._layers import LayerComparison, choose_n_components, compare_layers
from ._predictions import Counterfactuals, counterfactual, posterior_predict

__all__ = [
    "Counterfactuals",
    "LayerComparison",
    "attribution",
    "choose_n_components",
    "compare_layers",
    "component_stability",
    "component_summary",
    "counterfactual",
    "disentanglement",
    "interpolate",
    "latent_correlation",
    "latent_traversal",
    "nearest",
    "posterior_predict",
    "prior_distance",
]

"""What the steps of a pipeline do, in sentences."""

from collections.abc import Mapping

import numpy as np
from sklearn.preprocessing import FunctionTransformer

from ..architectures import ARCHITECTURES
from ..radiomics import RegionFeatures
from ._words import changed, counted, named, product, value_of

GRIDS = (
    "Volumes were brought to grids along the acquired axes, in the order and direction "
    "nearest to slices to the head, rows to the back and columns to the left, aligned "
    "by their centre. Masks were interpolated linearly and cut at one half."
)


def processing(loader):
    """Say what a loader does to a case, a sentence for each of its parameters."""
    yield from _resampling(loader)
    if loader.irregular == "interpolate":
        yield "Between missing or uneven slices, values were interpolated linearly."
    if loader.label is not None:
        yield f"The region is the label {value_of(loader.label)}."
    if loader.suv:
        yield "PET was converted to standardized uptake values by body weight."
    yield from _cropping(loader)
    if loader.window is not None:
        yield f"Values were clipped to {_window(loader.window)}."
    if loader.ibsi:
        yield "Hounsfield units were rounded after interpolation, as IBSI asks."
    yield _NORMALIZATIONS[loader.normalize]
    fill = "the lowest value of the volume or the window"
    fill = fill if loader.fill is None else value_of(loader.fill)
    yield f"What lay outside of the volume was filled with {fill}."
    if loader.mask_outside:
        yield "So were voxels outside of the mask."
    if len(loader.channels) > 1:
        names = ", ".join(map(str, loader.channels))
        yield f"The channels ({names}) were brought to the grid of the first."
    if loader.on_error == "nan":
        yield "Cases that could not be read are missing values."


def _resampling(loader):
    spacing = loader.spacing
    how = _INTERPOLATIONS[loader.interpolation]
    if spacing is None:
        yield "Voxels kept their acquired spacing."
        yield f"Where they lay askew to the grid, {how} interpolation was used."
    else:
        size = "the isotropic spacing at which its region fills the grid"
        if not isinstance(spacing, str):
            size = f"voxels of {product(np.broadcast_to(spacing, 3))} mm"
        yield f"Each volume was resampled to {size}, by {how} interpolation."


def _cropping(loader):
    margin = f" with a margin of {loader.margin:g} mm" if loader.margin else ""
    around = "the bounding box of the mask" + margin
    if loader.crop != "mask":
        around = "the centre of the volume"
    if loader.shape is not None:
        yield f"A box of {product(loader.shape)} voxels was cut around {around}."
    elif loader.crop == "mask":
        yield f"Images were cut to {around}."


_INTERPOLATIONS = {
    "nearest": "nearest-neighbour",
    "linear": "linear",
    "cubic": "cubic spline",
}


_NORMALIZATIONS = {
    None: "Intensities were not normalized.",
    "standard": "Intensities were standardized to mean 0 and standard deviation 1 "
    "within the mask (within the body where there is none).",
    "percentile": "The 0.5 and 99.5 percentiles of intensities within the mask (within "
    "the body where there is none) were taken to 0 and 1, and values beyond clipped.",
    "window": "The limits of the window were taken to 0 and 1.",
}


def _window(window):
    if isinstance(window, dict):
        return ", ".join(f"{_window(window[name])} ({name})" for name in window)
    if isinstance(window, str):
        return f"the {window.replace('_', ' ')} window of CT"
    centre, width = window
    return f"{centre - width / 2:g} to {centre + width / 2:g}"


def step_text(step, stated):
    """Say what a step computes, and note which items of the checklists that answers."""
    if isinstance(step, RegionFeatures):
        return _hand_crafted(step, stated)
    if hasattr(step, "architecture"):
        stated.add("dimension reduction")
        return network(step)
    if isinstance(step, FunctionTransformer) and step.func is None:
        return "Columns of the table as they are."
    module = type(step).__module__
    for part, notes in _NOTES.items():
        stated |= notes if part in module else set()
    return f"{named(step)}."


_NOTES = {  # by the module of scikit-learn
    "decomposition": {"dimension reduction"},
    "feature_selection": {"dimension reduction", "feature selection"},
    "impute": {"missing data"},
    "preprocessing": {"feature scaling"},
}


def _hand_crafted(step, stated):
    """Say which features of regions are computed, and how many of each class."""
    stated.add("feature classes")
    functions = _functions(step.features)
    sentences = [f"Hand-crafted features of the region in 3D: {', '.join(functions)}."]
    if hasattr(step, "feature_names_"):
        stated.add("number of features")
        counts = counted(name.split("__")[-2] for name in step.feature_names_)
        sentences.append(f"Numbers of features: {counts}.")
    if set(functions) <= _CONTINUOUS:
        stated |= {"discretization", "ibsi", "image types"}
        sentences.append(_IBSI)
    beside = changed(step, {"features", "loader"})
    return " ".join(sentences + ([f"Settings: {beside}."] if beside else []))


_IBSI = (
    "Their definitions are those of IBSI. They are taken from the original image, not "
    "from filtered ones, and none of them needs a discretization of intensities."
)
_CONTINUOUS = {"first_order", "shape"}


def _functions(features):
    """Name the functions that compute features, with their settings."""
    if isinstance(features, Mapping):
        return [f"{name}: {value_of(features[name])}" for name in features]
    if not isinstance(features, list | tuple):
        features = [features]
    return [f if isinstance(f, str) else value_of(f) for f in features]


def network(step):
    """Describe an autoencoder, its networks and their training."""
    name = type(step).__name__
    likelihood = _LIKELIHOODS.get(str(step.likelihood)) or value_of(step.likelihood)
    layers = step.layer if isinstance(step.layer, str) else ", ".join(step.layer)
    sentences = [
        f"{_MODELS.get(name, 'Autoencoder')} ({name}) with a code of "
        f"{_components(step)}; networks: {_architecture(step)}; likelihood: "
        f"{likelihood}; output: {layers}.",
        f"Trained by Adam with a learning rate of {step.learning_rate:g}, in batches "
        f"of {step.batch_size}, for {_epochs(step)}.",
    ]
    beside = changed(step, _TOLD)
    return " ".join(sentences + ([f"Further settings: {beside}."] if beside else []))


def _components(step):
    if step.n_components != "auto":
        return f"{step.n_components} components"
    number = getattr(step, "n_components_", "as many")
    return f"{number} components, chosen on held-out samples"


def _architecture(step):
    architecture = step.architecture
    if isinstance(architecture, str):
        architecture = ARCHITECTURES[architecture]()
    text = value_of(architecture)
    if hasattr(step, "module_"):
        size = sum(weights.numel() for weights in step.module_.parameters())
        text += f", {size} weights in all"
    return text


_LIKELIHOODS = {
    "bernoulli": "Bernoulli",
    "gaussian": "Gaussian of one learnt scale",
    "laplace": "Laplace of one learnt scale",
    "squared_error": "none, squared error",
}
_TOLD = {
    *("n_components", "architecture", "likelihood", "layer", "learning_rate"),
    *("batch_size", "max_iter", "early_stopping", "validation_fraction"),
    *("n_iter_no_change", "random_state", "device"),
}


_MODELS = {
    "AE": "Autoencoder",
    "VAE": "Variational autoencoder",
    "AAE": "Adversarial autoencoder",
    "SupervisedAAE": "Supervised adversarial autoencoder",
    "AAEClassifier": "Semi-supervised adversarial autoencoder",
    "AAEClusterer": "Clustering adversarial autoencoder",
}


def _epochs(step):
    if not step.early_stopping:
        return f"{step.max_iter} epochs"
    return (
        f"{step.max_iter} epochs at most, stopped early after {step.n_iter_no_change} "
        f"without a gain on the {step.validation_fraction:.0%} of samples held out"
    )

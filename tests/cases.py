"""Lists that the common tests run over: add every new model, layer and part here."""

from itertools import cycle

from skvae import (
    AAE,
    AE,
    MLP,
    VAE,
    AAEClassifier,
    AAEClusterer,
    Conv,
    Discriminator,
    ResNet,
    SupervisedAAE,
)
from skvae.nn import Gaussian, GaussianMixture, Laplace, SquaredError, SwissRoll

SMALL = {"max_iter": 3, "random_state": 0}
# scikit-learn checks how well classes and clusters are found, which takes many steps.
LIGHT = {"architecture": MLP((32,)), "discriminator": Discriminator((16,))}
CLASSIFIER = SMALL | LIGHT | {"max_iter": 6, "batch_size": 32, "learning_rate": 2e-2}
CLASSIFIER |= {"early_stopping": True}  # one of the checks asks for 1000 epochs
CLUSTERER = SMALL | LIGHT | {"max_iter": 6, "batch_size": 16, "learning_rate": 1e-2}

MODELS = {
    "AE": (AE, SMALL),
    "VAE": (VAE, SMALL),
    "AAE": (AAE, SMALL),
    "SupervisedAAE": (SupervisedAAE, SMALL),
    "AAEClassifier": (AAEClassifier, CLASSIFIER),
    "AAEClusterer": (AAEClusterer, CLUSTERER),
}
# Beside the default, which is "mu".
LAYERS = {
    "AE": ["decoder", "encoder.1"],
    "VAE": "decoder.0",
    "AAE": "z",
    "SupervisedAAE": ["mu", "encoder.2"],
    "AAEClassifier": ["proba", "proba.0"],
    "AAEClusterer": "proba",
}
ARCHITECTURES = {
    "mlp": MLP(),
    "linear": MLP(hidden_layer_sizes=()),
    "pca": MLP(hidden_layer_sizes=(32,), init="pca"),
    "dropout": MLP(hidden_layer_sizes=(32,), activation="relu", dropout=0.2),
    "conv": Conv(channels=(4, 8), dense=16),
    "pooled": Conv(channels=(4,), kernel_size=2, downsample="max_pool", dense=None),
    "resnet": ResNet(channels=(4, 8), dense=16),
}
LIKELIHOODS = {
    "gaussian": "gaussian",
    "gaussian_feature": Gaussian(scale="feature"),
    "gaussian_fixed": Gaussian(scale=0.5),
    "laplace": "laplace",
    "laplace_feature": Laplace(scale="feature"),
    "squared_error": SquaredError(),
}
# These take turns with architectures and likelihoods.
FULL = ("AE", "VAE", "AAE")
ADVERSARIAL = {
    "gaussian_posterior": {"posterior": "gaussian", "layer": ["z", "logvar"]},
    "regularized": {
        "discriminator": Discriminator(dropout=0.2, spectral_norm=True),
        "corruption": 0.3,
    },
    "uniform": {"prior": "uniform"},
}


def laplace(n_samples, rng):
    """Draw codes of ten components, as a prior of the user's own."""
    return rng.laplace(size=(n_samples, 10))


# scikit-learn's checks set n_components=1, for which these priors are not made.
WIDER = {
    "mixture": {"prior": "gaussian_mixture"},
    "by_class": {"prior": GaussianMixture(by_class=True), "n_components": 2},
    "swiss_roll": {"prior": SwissRoll(by_class=True)},
    "sampler": {"prior": laplace},
}


def models_and_layers():
    """Yield a name and an estimator for each model on two of its layers."""
    for name, (model, _) in MODELS.items():
        for layer in ("mu", LAYERS[name]):
            yield f"{name}-{layer}", model(layer=layer, **SMALL)


def estimators():
    """Yield a name and an estimator for all that takes data of any kind."""
    for i, (name, (model, small)) in enumerate(MODELS.items()):
        layer = ("mu", LAYERS[name])[i % 2]  # models take turns
        yield name, model(layer=layer, **small)
    models, stops = cycle(FULL), cycle([False, True])
    for key, architecture in ARCHITECTURES.items():
        name, options = next(models), {"early_stopping": next(stops), **SMALL}
        yield f"{name}-{key}", MODELS[name][0](architecture=architecture, **options)
    for key, likelihood in LIKELIHOODS.items():
        name = next(models)
        yield f"{name}-{key}", MODELS[name][0](likelihood=likelihood, **SMALL)
    for key, options in ADVERSARIAL.items():
        yield f"AAE-{key}", AAE(**options, **SMALL)
    yield "VAE-ordered", VAE(ordered=True, layer="mu[:1]", **SMALL)


def image_estimators():
    """Yield a name and an estimator for images in [0, 1]."""
    yield from estimators()
    for name, (model, _) in MODELS.items():
        yield f"{name}-bernoulli", model(likelihood="bernoulli", **SMALL)
        yield f"{name}-conv", model(architecture=ARCHITECTURES["conv"], **SMALL)
        if name not in FULL:
            options = {"early_stopping": True, "ordered": True, **SMALL}
            yield f"{name}-early_stopping-ordered", model(**options)
    for key, options in WIDER.items():
        for model in (AAE, SupervisedAAE, AAEClassifier):
            yield f"{model.__name__}-{key}", model(**options, **SMALL)


def parametrize(cases):
    """Arguments for ``pytest.mark.parametrize`` of pairs (name, value)."""
    names, values = zip(*cases, strict=True)
    return {"argvalues": values, "ids": names}

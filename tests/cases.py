"""Lists that the common tests run over: add every new model, layer and part here."""

from skvae import AE, MLP, VAE, Conv, ResNet
from skvae.nn import Gaussian, Laplace, SquaredError

SMALL = {"max_iter": 3, "random_state": 0}

MODELS = {"AE": AE, "VAE": VAE}
LAYERS = {
    "AE": ["mu", "z", "encoder.1", "decoder", ["mu", "encoder.2"]],
    "VAE": ["mu", "z", "logvar", "encoder.1", "decoder.0", ["z", "mu", "logvar"]],
}
ARCHITECTURES = {
    "mlp": MLP(),
    "linear": MLP(hidden_layer_sizes=()),
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


def estimators():
    """Yield a name and an estimator for all that takes data of any kind."""
    for name, model in MODELS.items():
        for layer in LAYERS[name]:
            yield f"{name}-{layer}", model(layer=layer, **SMALL)
        for key, architecture in ARCHITECTURES.items():
            for stop in (False, True):
                yield (
                    f"{name}-{key}-early_stopping={stop}",
                    model(architecture=architecture, early_stopping=stop, **SMALL),
                )
        for key, likelihood in LIKELIHOODS.items():
            yield f"{name}-{key}", model(likelihood=likelihood, **SMALL)


def image_estimators():
    """Yield a name and an estimator for images in [0, 1]."""
    yield from estimators()
    for name, model in MODELS.items():
        yield f"{name}-bernoulli", model(likelihood="bernoulli", **SMALL)


def parametrize(cases):
    """Arguments for ``pytest.mark.parametrize`` of pairs (name, value)."""
    names, values = zip(*cases, strict=True)
    return {"argvalues": values, "ids": names}

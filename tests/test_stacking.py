"""Many networks as one batch: each takes the step that it takes alone."""

import copy

import numpy as np
import pytest
import torch
from cases import parametrize
from torch.func import functional_call, grad, stack_module_state, vmap

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
from skvae._engine.program import Drawn, Recorder
from skvae.nn import (
    Gaussian,
    GaussianMixture,
    Laplace,
    Noise,
    Normal,
    SwissRoll,
    Uniform,
)

N_NETWORKS = 3
RATES = torch.tensor([1e-3, 3e-3, 1e-2], dtype=torch.float64)
SHARES = [[0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]]


def laplace(n_samples, rng):
    """Draw codes of three components, as a prior of the user's own."""
    return rng.laplace(size=(n_samples, 3))


# Networks number 0, 1 and 2 of each kind: of one structure, and different in numbers.
NETWORKS = {
    "AE": lambda i: AE(3),
    "VAE": lambda i: VAE(3, beta=0.5 + i, beta_warmup=4 * i, free_bits=0.2 * i),
    "AAE": lambda i: AAE(3, prior=Normal(0.5 + i)),
    "SupervisedAAE": lambda i: SupervisedAAE(3, corruption=0.1 + i),
    "AAEClusterer": lambda i: AAEClusterer(n_clusters=3, class_noise=0.1 + i),
    "AAEClassifier": lambda i: AAEClassifier(
        3,
        class_prior=SHARES[i],
        label_smoothing=0.1 * i,
        corruption=0.1 + i,
        class_noise=0.1 + i,
    ),
    "mlp": lambda i: VAE(3, architecture=MLP((16, 8), dropout=0.1 + 0.2 * i)),
    "conv": lambda i: AE(3, architecture=Conv((2, 4), dropout=0.1 + 0.2 * i)),
    "resnet": lambda i: AE(3, architecture=ResNet((2, 4), dropout=0.1 + 0.2 * i)),
    "gaussian": lambda i: VAE(3, likelihood=Gaussian(0.5 + i)),
    "gaussian_feature": lambda i: VAE(3, likelihood=Gaussian("feature")),
    "laplace": lambda i: AE(3, likelihood=Laplace(0.5 + i)),
    "laplace_learnt": lambda i: AE(3, likelihood="laplace"),
    "bernoulli": lambda i: VAE(3, likelihood="bernoulli"),
    "squared_error": lambda i: AE(3, likelihood="squared_error"),
    "discriminator": lambda i: AAE(
        3, discriminator=Discriminator(spectral_norm=True, dropout=0.1 + 0.2 * i)
    ),
    "gaussian_posterior": lambda i: AAE(
        3, posterior="gaussian", prior=Uniform(0.5 + i), corruption=0.1 + i
    ),
    "mixture": lambda i: AAE(3, prior=GaussianMixture(5, False, 2 + i, 0.5 + i, 1 + i)),
    "mixture_by_class": lambda i: AAEClassifier(
        3, prior=GaussianMixture(by_class=True), class_prior=SHARES[i]
    ),
    "roll": lambda i: AAE(2, prior=SwissRoll(False, 2.0 + i, 0.1 + i)),
    "roll_by_class": lambda i: SupervisedAAE(2, prior=SwissRoll(True, 2.0 + i)),
    "sampler": lambda i: AAE(3, prior=laplace),
    "ordered": lambda i: VAE(3, ordered=True, beta=0.5 + i, free_bits=0.2 * i),
    "ordered_classes": lambda i: AAEClassifier(3, ordered=True, corruption=0.1 + i),
}


def data_of(i):
    """Return images and their classes; the spread differs from network to network."""
    rng = np.random.default_rng(i)
    return rng.random((16, 5, 5)) * (0.3 + 0.3 * i), rng.permutation(16) % 3


def networks(kind):
    """Train networks of a kind for an epoch; return their modules, set to train on.

    They have double precision, so that the order of sums does not matter.
    """
    models = [
        kind(i).set_params(random_state=i, batch_size=8).partial_fit(*data_of(i))
        for i in range(N_NETWORKS)
    ]
    return [model.module_.double().train() for model in models]


class Losses(torch.nn.Module):
    """What a step takes the gradient of, and all terms, as torch.func asks for them."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, phase, *data, **options):
        terms = self.module.losses(phase, *data, **options)
        scale = self.module.gradient_scale(phase)
        return terms["loss"] * (1.0 if scale is None else scale), terms

    def trained_by(self, phase):
        """Name the parameters that a phase trains."""
        parts = self.module.phases()[phase]
        trained = {id(parameter) for part in parts for parameter in part.parameters()}
        return {name: p for name, p in self.named_parameters() if id(p) in trained}


def generators():
    return [torch.Generator().manual_seed(10 + i) for i in range(N_NETWORKS)]


def batches():
    X, y = zip(*map(data_of, range(N_NETWORKS)), strict=True)
    epochs = torch.arange(1.0, 1 + N_NETWORKS)
    return torch.tensor(np.stack(X)), torch.tensor(np.stack(y)), epochs


def one_by_one(modules, phase):
    """Take a step with each network; return losses, gradients and what comes of it."""
    results = []
    for module, generator, X, y, epoch, rate in zip(
        modules, generators(), *batches(), RATES, strict=True
    ):
        losses = Losses(copy.deepcopy(module))
        trained = losses.trained_by(phase)
        loss, terms = losses(phase, X, y, noise=Noise(generator), epoch=epoch.item())
        loss.backward(inputs=[*trained.values()])
        gradients = {name: parameter.grad for name, parameter in trained.items()}
        torch.optim.Adam(trained.values(), lr=rate.item()).step()
        results.append((terms, gradients, trained | dict(losses.named_buffers())))
    return results


def at_once(modules, phase):
    """Return the same of all networks, stacked."""
    losses = [Losses(module) for module in modules]
    parameters, buffers = stack_module_state(losses)
    trained = {name: parameters.pop(name) for name in losses[0].trained_by(phase)}
    streams = generators()
    recorder = Recorder("cpu")
    X, y, epochs = batches()
    losses[0](phase, X[0], y[0], noise=recorder, epoch=epochs[0])
    drawn = [torch.stack([draw(g) for g in streams]) for draw in recorder.draws]

    def run(trained, others, drawn, X, y, epoch):
        options = {"noise": Drawn(drawn, "cpu"), "epoch": epoch}
        return functional_call(losses[0], trained | others, (phase, X, y), options)

    # What changes in place, as vectors of spectral norms do, has to be an argument.
    steps = vmap(grad(run, has_aux=True))
    others = parameters | buffers
    gradients, terms = steps(trained, others, drawn, X, y, epochs)
    moved = {
        name: adams_first_step(value, gradients[name])
        for name, value in trained.items()
    }
    return terms, gradients, moved | {name: others[name] for name in buffers}


def adams_first_step(stacked, gradients):
    rates = RATES.view(-1, *[1] * (stacked.dim() - 1))
    return stacked - rates * gradients / (gradients.abs() + 1e-8)


def assert_close(actual, expected, rtol):
    """Hold each stacked tensor to those of the networks."""
    for name, stacked in actual.items():
        for one, alone in zip(stacked, (part[name] for part in expected), strict=True):
            torch.testing.assert_close(one, alone, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("kind", **parametrize(NETWORKS.items()))
def test_each_network_takes_the_step_that_it_takes_alone(kind):
    modules = networks(kind)
    for phase in modules[0].phases():
        alone = zip(*one_by_one(modules, phase), strict=True)
        for stacked, expected in zip(at_once(modules, phase), alone, strict=True):
            assert_close(stacked, expected, rtol=1e-6)

"""What codes are held to: shapes of the priors, and the discriminator's formulas."""

import numpy as np
import pytest
import torch
from scipy import stats

from skvae import AAE
from skvae.nn import (
    DiscriminatorModule,
    GaussianMixture,
    Noise,
    Normal,
    Sampler,
    SpectralLinear,
    SwissRoll,
    Uniform,
)


class Duck:
    """What looks like a prior."""

    def build(self, n_components, class_prior=()):
        pass

    def sample(self, n_samples, y, noise):
        pass


def draw(prior, n_components, y=None, n_classes=0, n_samples=20000):
    prior.build(n_components, np.full(n_classes, 0.2).tolist())
    noise = Noise(torch.Generator().manual_seed(0))
    y = None if y is None else torch.as_tensor(y)
    codes = prior.sample(n_samples, y, noise)
    assert codes.dtype == torch.float32
    assert codes.shape == (n_samples, n_components)
    return codes.numpy()


def polar(codes):
    return np.hypot(*codes[:, :2].T), np.arctan2(codes[:, 1], codes[:, 0])


@pytest.mark.parametrize(
    ("prior", "exact"),
    [
        (Normal(), stats.norm()),
        (Normal(scale=5.0), stats.norm(scale=5)),
        (Uniform(), stats.uniform(-1, 2)),
        (Uniform(scale=3.0), stats.uniform(-3, 6)),
    ],
    ids=["normal", "wide normal", "uniform", "wide uniform"],
)
def test_components_are_independent_draws(prior, exact):
    codes = draw(prior, 3)
    for column in codes.T:
        assert stats.kstest(column, exact.cdf).pvalue > 1e-5
    assert np.abs(np.corrcoef(codes.T) - np.eye(3)).max() < 0.03


def test_mixture_has_its_modes_around_a_circle():
    prior = GaussianMixture(
        n_modes=4, radius=5.0, radial_scale=0.5, tangential_scale=0.1
    )
    codes = draw(prior, 4)
    mode = np.round(polar(codes)[1] / (np.pi / 2)) % 4
    assert np.abs(np.bincount(mode.astype(int)) / 20000 - 0.25).max() < 0.02
    right = codes[mode == 0]
    np.testing.assert_allclose(right.mean(axis=0), [5, 0, 0, 0], atol=0.05)
    np.testing.assert_allclose(right.std(axis=0), [0.5, 0.1, 1, 1], rtol=0.05)


def test_swiss_roll_is_uniform_along_a_spiral():
    codes = draw(SwissRoll(radius=6.0, thickness=0.01), 4)
    radius, angle = polar(codes)
    # The angle is that of the way along the roll, up to whole turns.
    turns = 1.5 * radius / 6
    off = (angle / (2 * np.pi) - turns + 0.5) % 1 - 0.5
    assert np.abs(off[radius > 1]).max() < 0.02
    assert stats.kstest((radius / 6) ** 2, stats.uniform().cdf).statistic < 0.01
    assert stats.kstest(codes[:, 2], stats.norm().cdf).pvalue > 1e-5


@pytest.mark.parametrize("name", ["mixture", "roll"])
def test_every_class_has_a_place_of_its_own(name):
    prior = {
        "mixture": GaussianMixture(by_class=True, tangential_scale=0.1),
        "roll": SwissRoll(by_class=True, thickness=1e-4),
    }[name]
    y = np.arange(20000) % 5
    radius, angle = polar(draw(prior, 2, y, n_classes=5))
    if name == "mixture":
        place = np.round(angle / (2 * np.pi / 5)) % 5
    else:
        place = np.floor(5 * (radius / 4) ** 2)
    assert (place == y).mean() > 0.99


@pytest.mark.parametrize("prior", [GaussianMixture(by_class=True), SwissRoll(True)])
def test_samples_without_a_label_may_lie_anywhere(prior):
    y = np.where(np.arange(20000) % 2, -1, 3)
    labelled, free = (draw(prior, 2, y, n_classes=5)[start::2] for start in (0, 1))
    everywhere = draw(prior, 2, n_classes=5)
    for i in range(2):
        assert stats.ks_2samp(free[:, i], everywhere[:, i]).pvalue > 1e-5
        assert stats.ks_2samp(labelled[:, i], everywhere[:, i]).pvalue < 1e-6


def test_draws_come_from_the_generator_alone():
    for prior in (
        Normal(),
        SwissRoll(),
        Sampler(lambda n, rng: rng.normal(size=(n, 2))),
    ):
        np.testing.assert_array_equal(draw(prior, 2), draw(prior, 2))


def test_loss_of_the_discriminator_is_the_cross_entropy():
    torch.manual_seed(0)
    judge = DiscriminatorModule(3, (16,), 0.0, False, 0.0)
    real, fake = torch.randn(40, 3), torch.randn(60, 3) + 1
    on_real = torch.distributions.Bernoulli(logits=judge(real))
    on_fake = torch.distributions.Bernoulli(logits=judge(fake))
    ones, zeros = torch.ones(40, 1), torch.zeros(60, 1)
    expected = -on_real.log_prob(ones).mean() - on_fake.log_prob(zeros).mean()
    torch.testing.assert_close(judge.loss(real, fake), expected)
    expected = -on_fake.log_prob(torch.ones(60, 1)).mean()
    torch.testing.assert_close(judge.loss_of_generator(fake), expected)


def test_spectral_norm_bounds_every_layer():
    torch.manual_seed(0)
    judge = DiscriminatorModule(5, (32, 16), 0.0, True, 0.0)
    with torch.no_grad():
        for layer in judge.network:
            if isinstance(layer, torch.nn.Linear):
                layer.weight.mul_(50)
        for _ in range(100):
            judge(torch.randn(4, 5))  # power iterations settle
    judge.eval()
    layers = [m for m in judge.network if isinstance(m, torch.nn.Linear)]
    weights = [layer.normalized_weight for layer in layers]
    assert len(weights) == 3
    for weight in weights:
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, rel=0.01)


def test_spectral_norm_is_that_of_pytorch():
    torch.manual_seed(0)
    linear, ours = torch.nn.Linear(7, 5), SpectralLinear(7, 5)
    reference = torch.nn.utils.parametrizations.spectral_norm(linear)
    parts = reference.parametrizations.weight
    names = {"weight": parts.original, "bias": linear.bias}
    names |= {"u": parts[0]._u, "v": parts[0]._v}
    ours.load_state_dict(names)
    optimizers = [torch.optim.Adam(m.parameters(), lr=0.1) for m in (ours, reference)]
    for _ in range(5):
        X = torch.randn(20, 7)
        outputs = ours(X), reference(X)
        torch.testing.assert_close(*outputs)
        for output, optimizer in zip(outputs, optimizers, strict=True):
            optimizer.zero_grad()
            output.square().sum().backward()
            optimizer.step()
        torch.testing.assert_close(ours.weight.grad, parts.original.grad)
    torch.testing.assert_close(ours.eval()(X), reference.eval()(X))


def test_spectral_norm_may_be_used_twice_before_a_gradient():
    layer = SpectralLinear(3, 2)
    (layer(torch.ones(1, 3)) - layer(torch.zeros(1, 3))).sum().backward()
    assert layer.weight.grad.isfinite().all()


def test_noise_of_the_discriminator_is_for_training():
    torch.manual_seed(0)
    judge = DiscriminatorModule(3, (16,), 0.0, False, 0.5)
    Z = torch.randn(10, 3)
    assert not torch.equal(judge(Z), judge(Z))
    judge.eval()
    torch.testing.assert_close(judge(Z), judge.network(Z))


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (Normal(scale=0.0), "`scale` of Normal must be a number > 0, got 0.0"),
        (Uniform(scale=-1), "`scale` of Uniform must be a number > 0, got -1"),
        (
            GaussianMixture(n_modes=0),
            "`n_modes` of GaussianMixture must be an int >= 1",
        ),
        (GaussianMixture(radius=0), "`radius` of GaussianMixture must be a number > 0"),
        (SwissRoll(thickness=0), "`thickness` of SwissRoll must be a number > 0"),
        (
            lambda n, rng: rng.normal(size=(n, 3)),
            r"\(2, 10\), float32; got shape \(2, 3",
        ),
        (lambda n, rng: np.full((n, 10), np.nan), "`prior` must draw finite codes"),
        (Duck(), "an instance of a subclass of skvae.nn.Prior"),
        (Normal(scale="wide"), "`scale` of Normal must be a number > 0, got 'wide'"),
        (Normal(scale=np.inf), "`scale` of Normal must be a number > 0, got inf"),
        (Normal(scale=True), "`scale` of Normal must be a number > 0, got True"),
        (GaussianMixture(n_modes=True), "`n_modes` of GaussianMixture must be an int"),
        (
            Normal,
            r"`prior` must be an instance, got the class Normal. Write Normal\(\)",
        ),
        ("cauchy", "The 'prior' parameter of AAE must be"),
    ],
)
def test_bad_priors_are_named(prior, message):
    with pytest.raises(ValueError, match=message):
        AAE(prior=prior, max_iter=1).fit(np.eye(20))


def test_priors_that_were_built_before_are_the_same_priors():
    prior = Uniform(scale=2.0)
    prior.build(7)
    model = AAE(2, prior=prior, random_state=0).partial_fit(np.eye(20))
    model.partial_fit(np.eye(20))
    assert GaussianMixture(n_modes=np.int64(3)).build(2) is None


@pytest.mark.parametrize("prior", ["gaussian_mixture", "swiss_roll"])
def test_planar_priors_need_two_components(prior):
    with pytest.raises(ValueError, match="`n_components` must be >= 2, got 1"):
        AAE(1, prior=prior, max_iter=1).fit(np.eye(20))

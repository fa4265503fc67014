"""Losses against independent formulas: torch.distributions, scipy, closed forms."""

import re

import numpy as np
import pytest
import torch
from scipy.stats import laplace, multivariate_normal, norm
from sklearn.base import clone
from sklearn.decomposition import FactorAnalysis
from sklearn.model_selection import GridSearchCV
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

import skvae.nn as nn
from skvae import AE, MLP, VAE
from skvae._engine.trainer import restored
from skvae._validation import StrOptions

RNG = np.random.default_rng(0)
X = RNG.normal(3, 5, size=(7, 4, 3)).astype(np.float32)
RAW = RNG.normal(size=(7, 4, 3)).astype(np.float32)


def nll(likelihood, spread=1.0, raw=RAW, data=X):
    likelihood.build(data.shape[1:], spread)
    return likelihood.nll(torch.from_numpy(data), torch.from_numpy(raw))


@pytest.mark.parametrize(
    ("likelihood", "density"),
    [(nn.Gaussian(scale=0.7), norm), (nn.Laplace(scale=0.7), laplace)],
)
def test_fixed_scale_matches_scipy(likelihood, density):
    expected = -density.logpdf(X, loc=RAW, scale=0.7).sum(axis=(1, 2))
    np.testing.assert_allclose(nll(likelihood), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("cls", "density"), [(nn.Gaussian, norm), (nn.Laplace, laplace)]
)
@pytest.mark.parametrize("scale", ["shared", "feature"])
def test_learnt_scale_matches_scipy(cls, density, scale):
    likelihood = cls(scale=scale)
    likelihood.build((4, 3), 2.5)
    with torch.no_grad():
        likelihood.slow_log_scale.uniform_(-0.1, 0.1)
    scales = np.exp(10 * likelihood.slow_log_scale.detach().numpy())
    actual = likelihood.nll(torch.from_numpy(X), torch.from_numpy(RAW)).detach()
    # The networks see data divided by the spread; the density is that of the data.
    expected = -density.logpdf(2.5 * X, loc=2.5 * RAW, scale=2.5 * scales)
    np.testing.assert_allclose(actual, expected.sum(axis=(1, 2)), rtol=1e-5)


def test_learnt_scale_stops_before_zero():
    likelihood = nn.Gaussian()
    likelihood.build((4, 3), 1.0)
    with torch.no_grad():
        likelihood.slow_log_scale.fill_(-100.0)
    loss = likelihood.nll(torch.from_numpy(X), torch.from_numpy(X))
    expected = -norm.logpdf(X, loc=X, scale=1e-3).sum(axis=(1, 2))
    np.testing.assert_allclose(loss.detach(), expected, rtol=1e-5)


def test_bernoulli_matches_torch_distributions():
    data = RNG.random((7, 4, 3)).astype(np.float32)
    logits = torch.from_numpy(RAW)
    distribution = Bernoulli(logits=logits, validate_args=False)
    expected = -distribution.log_prob(torch.from_numpy(data)).sum((1, 2))
    np.testing.assert_allclose(nll(nn.Bernoulli(), data=data), expected, rtol=1e-5)
    np.testing.assert_allclose(nn.Bernoulli().mean(logits), distribution.mean)


def test_squared_error_is_in_squared_units_of_the_data():
    expected = np.square(X - RAW).sum(axis=(1, 2))
    np.testing.assert_allclose(nll(nn.SquaredError()), expected, rtol=1e-5)
    np.testing.assert_allclose(nll(nn.SquaredError(), 3.0), 9 * expected, rtol=1e-5)


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace", "squared_error"])
@pytest.mark.parametrize("factor", [1e-6, 1e4])
def test_an_ae_learns_alike_in_any_unit(likelihood, factor):
    data = np.random.default_rng(0).normal(size=(200, 2)) @ np.ones((2, 6))
    codes = [
        AE(2, likelihood=likelihood, max_iter=20, random_state=0).fit_transform(X)
        for X in (data, factor * data)
    ]
    np.testing.assert_allclose(codes[1], codes[0], atol=0.01)


@pytest.mark.parametrize("likelihood", [nn.Gaussian, nn.Laplace])
@pytest.mark.parametrize(
    "scale", ["all", 0, -1.0, None, True, np.nan, np.inf, [1.0]], ids=repr
)
def test_scale_must_be_known_or_positive(likelihood, scale):
    message = (
        f"`scale` of {likelihood.__name__} must be 'shared', 'feature' or a finite "
        f"number > 0, got {scale!r}."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        AE(likelihood=likelihood(scale=scale)).fit(X)


def test_kl_divergence_matches_torch_distributions():
    mu, logvar = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    expected = kl_divergence(Normal(mu, torch.exp(0.5 * logvar)), Normal(0.0, 1.0))
    actual = nn.kl_divergence({"mu": mu, "logvar": logvar})
    torch.testing.assert_close(actual, expected)


@pytest.fixture(scope="module")
def fitted():
    images = np.random.default_rng(1).random((60, 6)).astype(np.float32)
    model = VAE(3, likelihood="bernoulli", max_iter=20, random_state=0)
    with pytest.warns(UserWarning, match="collapse"):
        return model.fit(images), torch.from_numpy(images)


def pytorch_example_loss(module, x, noise):
    """Loss of the VAE in PyTorch's examples: sums over the batch, after a sigmoid."""
    hidden = module.encoder(x)
    mu, logvar = module.mu(hidden), module.logvar(hidden)
    z = mu + noise * torch.exp(0.5 * logvar)
    probability = torch.sigmoid(module.decoder(z))
    bce = torch.nn.functional.binary_cross_entropy(probability, x, reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def test_vae_loss_is_that_of_the_pytorch_example(fitted):
    model, x = fitted
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(60, 3, generator=generator)
    source = nn.Noise(generator.manual_seed(3))
    terms = model.module_.losses("reconstruction", x, noise=source)
    expected = pytorch_example_loss(model.module_, x, noise) / 60
    torch.testing.assert_close(terms["loss"], expected)
    total = terms["reconstruction_loss"] + terms["kl_divergence"]
    torch.testing.assert_close(terms["loss"], total)


def test_beta_warmup_and_free_bits_weigh_the_kl_term(fitted):
    model, x = fitted

    def terms(epoch, **options):
        changed = clone(model).set_params(**options)
        vars(changed).update(sample_shape_=model.sample_shape_)
        recipe = changed._recipe(None, "cpu")
        module = restored(recipe, model._net.get_state()).module_
        noise = nn.Noise(torch.Generator().manual_seed(0))
        return module.losses("reconstruction", x, noise=noise, epoch=epoch)

    plain = terms(1)
    kl = plain["kl_divergence"].item()
    base = plain["reconstruction_loss"].item()
    for epoch, weight in [(1, 1.0), (2, 2.0), (4, 4.0), (9, 4.0)]:
        loss = terms(epoch, beta=4.0, beta_warmup=4)["loss"].item()
        assert loss == pytest.approx(base + weight * kl, rel=1e-6)
    codes = model.module_.encode(x)
    by_sample = nn.kl_divergence(codes)
    free = by_sample.mean(0).median().item()  # of the batch, not of each sample
    floored = by_sample.mean(0).clamp(min=free).sum().item()
    loss = terms(1, free_bits=free)["loss"].item()
    assert loss == pytest.approx(base + floored, rel=1e-5)
    assert kl < floored < by_sample.clamp(min=free).mean(0).sum().item() / 1.2


def linear_gaussian_vae():
    """Return a VAE with linear maps, and its exact log-likelihood."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(500, 2)) @ rng.normal(size=(2, 5)) + rng.normal(size=5)
    data = (data + 0.5 * rng.normal(size=data.shape)).astype(np.float32)
    model = VAE(
        2,
        architecture=MLP(hidden_layer_sizes=()),
        likelihood=nn.Gaussian(scale="feature"),
        max_iter=200,
        learning_rate=1e-2,
        random_state=0,
    ).fit(data)
    zero = model.inverse_transform(np.zeros((1, 2)))[0]
    loadings = model.inverse_transform(np.eye(2)) - zero
    scales = torch.exp(model.module_.likelihood._log_scale) * model.module_.spread
    covariance = loadings.T @ loadings + np.diag(scales.detach().numpy() ** 2)
    return model, data, multivariate_normal(zero, covariance).logpdf(data)


def test_bounds_tighten_to_the_exact_likelihood_of_a_linear_model():
    model, data, exact = linear_gaussian_vae()
    elbo = model.score(data)
    iwae = [model.score_samples(data, n_draws=k).mean() for k in (1, 10, 200)]
    assert elbo < exact.mean()
    assert iwae[0] < iwae[1] < iwae[2] < exact.mean() + 0.02
    assert iwae[2] == pytest.approx(exact.mean(), abs=0.02)
    # A linear VAE with one scale per feature is factor analysis.
    reference = FactorAnalysis(2, max_iter=10_000).fit(data).score(data)
    assert exact.mean() == pytest.approx(reference, abs=0.05)


def test_elbo_matches_torch_distributions(fitted):
    model, x = fitted
    codes = model.extract(x.numpy(), ["mu", "logvar", "z"])
    mu, logvar, z = (torch.from_numpy(codes[name]) for name in ("mu", "logvar", "z"))
    posterior = Independent(Normal(mu, torch.exp(0.5 * logvar)), 1)
    prior = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)
    with torch.no_grad():
        likelihood = Bernoulli(logits=model.module_.decoder(z), validate_args=False)
    reconstruction = likelihood.log_prob(x).sum(1)
    expected = reconstruction - kl_divergence(posterior, prior)
    np.testing.assert_allclose(model.score_samples(x.numpy()), expected, rtol=1e-5)
    weight = reconstruction + prior.log_prob(z) - posterior.log_prob(z)
    one = model.score_samples(x.numpy(), n_draws=1)
    np.testing.assert_allclose(one, weight, rtol=1e-5)
    assert model.score(x.numpy()) == pytest.approx(expected.mean().item(), rel=1e-5)


def test_ae_scores_by_its_reconstruction():
    model = AE(2, likelihood=nn.Gaussian(scale=2.0), max_iter=2, random_state=0).fit(X)
    expected = norm.logpdf(X, loc=model.reconstruct(X), scale=2.0).sum(axis=(1, 2))
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-4)


@pytest.mark.parametrize("n_draws", [0, 1.5, "many"])
def test_number_of_draws_must_be_a_positive_int(fitted, n_draws):
    model, x = fitted
    with pytest.raises(ValueError, match="`n_draws` must be an int >= 1"):
        model.score_samples(x.numpy(), n_draws=n_draws)
    with pytest.raises(ValueError, match="`n_samples` must be an int >= 1"):
        model.sample(n_draws)
    with pytest.raises(ValueError, match="`n_draws` must be an int >= 1 or None"):
        model.score_samples(x.numpy(), True)


def test_bernoulli_refuses_values_outside_of_0_and_1():
    message = r"likelihood=Bernoulli\(\) needs values in \[0, 1\], but X runs from"
    model = AE(likelihood="bernoulli", max_iter=1)
    with pytest.raises(ValueError, match=message):
        model.fit(X)
    unit = np.clip(X, 0, 1)
    for rounding in (-1e-7, 1e-7):  # what a MinMaxScaler may miss
        model.fit(unit + rounding)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X)
    with pytest.raises(ValueError, match="but X_val runs from"):
        model.fit(unit, X_val=255 * unit)


def test_a_class_is_no_likelihood():
    with pytest.raises(ValueError, match=r"`likelihood` must be an instance.*Gaussian"):
        AE(likelihood=nn.Gaussian).fit(X)


def test_scores_do_not_depend_on_how_many_there_are():
    data = np.random.default_rng(0).random((2100, 4)).astype(np.float32)
    model = VAE(2, max_iter=2, random_state=0).partial_fit(data)
    for n_draws in (None, 3):
        scores = model.score_samples(data, n_draws)
        part = model.score_samples(data[1000:1100], n_draws)
        np.testing.assert_array_equal(scores[1000:1100], part)


def test_names_of_likelihoods_are_those_of_the_table():
    constraints = VAE._parameter_constraints["likelihood"]
    names = next(c.options for c in constraints if isinstance(c, StrOptions))
    assert names == set(nn.LIKELIHOODS)


def test_likelihoods_are_searchable_and_cloneable():
    search = GridSearchCV(
        AE(2, likelihood=nn.Gaussian(), max_iter=2, random_state=0),
        {"likelihood__scale": ["shared", 1.0], "likelihood": [nn.Gaussian()]},
        cv=2,
    ).fit(X)
    assert len(search.cv_results_["params"]) == 2
    assert repr(clone(nn.Laplace(scale=2.0))) == "Laplace(scale=2.0)"
    with pytest.raises(ValueError, match=r"Invalid parameter 'sigma' for Gaussian"):
        nn.Gaussian().set_params(sigma=1)


def test_a_likelihood_of_ones_own_trains():
    class Cauchy(nn.Likelihood):
        def nll(self, X, raw):
            return torch.log1p((X - raw).square()).flatten(1).sum(1)

    model = AE(2, likelihood=Cauchy(), max_iter=30, random_state=0).fit(X)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    with pytest.raises(NotImplementedError, match="must define nll"):
        AE(likelihood=nn.Likelihood()).fit(X)


@pytest.mark.parametrize("likelihood", [nn.Gaussian(), nn.Laplace("feature")])
def test_a_scale_at_its_floor_comes_back(likelihood):
    rng = np.random.default_rng(0)
    line = rng.normal(size=(100, 1)) @ rng.normal(size=(1, 5))
    cloud = line + rng.normal(size=line.shape)
    options = {"likelihood": likelihood, "batch_size": 8, "random_state": 0}
    ae = AE(1, architecture=MLP(()), max_iter=100, **options).fit(line)
    for _ in range(20):
        ae.partial_fit(cloud)
    at_first, in_the_end = ae.loss_curve_[100], ae.loss_curve_[-1]
    assert in_the_end < at_first / 20

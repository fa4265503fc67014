"""Tables of numbers, 0/1 columns and categories."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from skvae import AE, VAE, AAEClassifier
from skvae.nn import Masking, Mixed, Noise

# Columns: a number, a category of three, a number of another offset, a 0/1 column.
KINDS = {"bernoulli": [5], "categorical": [[1, 3, 2]]}


def table(n_samples=400, seed=0):
    rng = np.random.default_rng(seed)
    kind = rng.integers(3, size=n_samples)
    age = kind + rng.normal(scale=0.3, size=n_samples)
    size = 1e4 - 2 * age + rng.normal(scale=0.5, size=n_samples)
    flag = rng.random(n_samples) < 0.1 + 0.4 * kind
    one_hot = np.eye(3)[kind]
    return np.column_stack([age, one_hot[:, [0, 2, 1]], size, flag]), kind


@pytest.fixture(scope="module")
def vae():
    likelihood = Mixed(**KINDS)
    return VAE(2, likelihood=likelihood, max_iter=60, random_state=0).fit(table()[0])


def test_scores_are_those_of_each_kind():
    X, _ = table()
    ae = AE(2, likelihood=Mixed(**KINDS), max_iter=5, random_state=0).fit(X)
    X_hat = ae.reconstruct(X)
    module = ae.module_
    scale = torch.exp(module.likelihood.numbers._log_scale.detach()) * module.spread
    numbers = stats.norm.logpdf(X[:, [0, 4]], X_hat[:, [0, 4]], scale)
    category = (X[:, 1:4] * np.log(X_hat[:, 1:4])).sum(axis=1)
    flag = stats.bernoulli.logpmf(X[:, 5], X_hat[:, 5])
    expected = numbers.sum(axis=1) + category + flag
    assert_allclose(ae.score_samples(X), expected, rtol=1e-4)
    assert_allclose(X_hat[:, 1:4].sum(axis=1), 1, rtol=1e-5)


def test_the_kind_is_in_the_code(vae):
    X, kind = table(seed=1)
    assert (vae.reconstruct(X)[:, [1, 3, 2]].argmax(axis=1) == kind).mean() > 0.95


def test_samples_with_noise_are_rows_of_such_a_table(vae):
    X, _ = table()
    drawn = vae.sample(2000, noise=True)
    assert set(np.unique(drawn[:, [1, 2, 3, 5]])) == {0, 1}
    assert_array_equal(drawn[:, 1:4].sum(axis=1), 1)
    assert_allclose(drawn.mean(axis=0)[1:4], X.mean(axis=0)[1:4], atol=0.1)
    assert_allclose(drawn.std(axis=0)[[0, 4]], X.std(axis=0)[[0, 4]], rtol=0.2)
    correlation = np.corrcoef(drawn[:, 0], drawn[:, 3])[0, 1]
    assert correlation == pytest.approx(np.corrcoef(X[:, 0], X[:, 3])[0, 1], abs=0.15)


def test_draws_have_the_probabilities_of_the_decoder(vae):
    with torch.no_grad():
        Z = torch.ones(20_000, 2)
        drawn = vae.module_.decode(Z, Noise(torch.Generator().manual_seed(0)))
        mean = vae.module_.decode(Z[:1])[0]
    assert_allclose(drawn.mean(0)[[1, 2, 3, 5]], mean[[1, 2, 3, 5]], atol=0.015)


def test_categories_may_be_missing():
    X, kind = table()
    gaps = np.random.default_rng(0).random(len(X)) < 0.3
    X[gaps, 1:4] = np.nan
    options = {"missing_values": "mask", "corruption": Masking(0.1)}
    vae = VAE(2, likelihood=Mixed(**KINDS), max_iter=60, random_state=0, **options)
    filled = vae.fit(X).reconstruct(X)[gaps][:, [1, 3, 2]]
    assert (filled.argmax(axis=1) == kind[gaps]).mean() > 0.9


def test_labels_go_with_it():
    X, kind = table()
    y = np.where(np.arange(len(X)) < 100, kind, -1)
    model = AAEClassifier(2, likelihood=Mixed(**KINDS), max_iter=3, random_state=0)
    assert model.fit(X, y).sample(5, y=1, noise=True).shape == (5, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bernoulli": [4]}, r"values in \[0, 1\] in its columns, but X has"),
        ({"categorical": [[1, 2]]}, r"columns \[1, 2\] .* must be one-hot.* sum 0"),
        ({"bernoulli": [6]}, "different numbers from 0 to 5"),
        ({"bernoulli": [1], "categorical": [[1, 2, 3]]}, "different numbers"),
    ],
)
def test_columns_that_are_none_of_the_kind(options, message):
    with pytest.raises(ValueError, match=message):
        AE(likelihood=Mixed(**options), max_iter=1).fit(table()[0])


def test_images_have_no_columns(digits):
    with pytest.raises(ValueError, match="is for tables"):
        AE(likelihood=Mixed(), max_iter=1).fit(digits[0])

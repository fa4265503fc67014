"""Disentanglement, stability, and what classifiers behind autoencoders know."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import AE, MLP, VAE
from skvae.inspection import (
    component_stability,
    counterfactual,
    disentanglement,
    posterior_predict,
)

QUICK = {"max_iter": 5, "random_state": 0}


class Codes:
    """Stands for a fitted autoencoder whose codes are the samples themselves."""


@pytest.fixture
def as_codes(monkeypatch):
    """Let arrays stand for the codes of samples."""
    from skvae.inspection import _disentanglement

    def code_of(estimator, X):
        return {"mu": X}, estimator

    monkeypatch.setattr(_disentanglement, "code_of", code_of)


def factors_and_codes():
    rng = np.random.default_rng(0)
    factors = rng.integers(4, size=(400, 3))
    codes = [
        factors[:, 0] + 0.3 * rng.normal(size=400),
        factors[:, 1] + 0.5 * factors[:, 2] + 0.3 * rng.normal(size=400),
        factors[:, 2] + 0.4 * rng.normal(size=400),
        rng.normal(size=400),
    ]
    return factors, np.column_stack(codes)


def eastwood_and_williams(factors, codes):
    """Compute their three scores from boosted trees, by the formulas of the paper."""
    train, test = train_test_split(np.arange(400), test_size=0.5, random_state=0)
    rng = np.random.RandomState(0)
    trees = [
        GradientBoostingClassifier(random_state=rng).fit(codes[train], y[train])
        for y in factors.T
    ]
    importance = np.transpose([model.feature_importances_ for model in trees])
    shares = importance / importance.sum(axis=1, keepdims=True)
    of_codes = 1 + np.sum(shares * np.log(shares + 1e-12), axis=1) / np.log(3)
    shares = importance / importance.sum(axis=0)
    of_factors = 1 + np.sum(shares * np.log(shares + 1e-12), axis=0) / np.log(4)
    accuracies = [
        model.score(codes[test], y[test])
        for model, y in zip(trees, factors.T, strict=True)
    ]
    return {
        "disentanglement": np.average(of_codes, weights=importance.sum(axis=1)),
        "completeness": np.average(of_factors, weights=importance.sum(axis=0)),
        "informativeness": np.mean(accuracies),
    }


def test_scores_are_those_of_the_reference(as_codes):
    """The numbers are what the functions of disentanglement_lib 1.5 gave for these."""
    factors, codes = factors_and_codes()
    scores = disentanglement(Codes(), codes, factors)
    assert scores["mig"] == pytest.approx(0.6230686035264305, abs=1e-6)
    assert scores["sap"] == pytest.approx(0.25, abs=1e-6)
    of_trees = {  # whose splits differ between processors and versions
        "disentanglement": 0.653786185115144,
        "completeness": 0.6550341222553782,
        "informativeness": 0.8333333333333334,
    }
    assert scores[list(of_trees)].to_dict() == pytest.approx(of_trees, abs=0.005)
    of_trees = eastwood_and_williams(factors, codes)  # by the trees of this machine
    assert scores[list(of_trees)].to_dict() == pytest.approx(of_trees, abs=1e-6)
    numbers = disentanglement(Codes(), codes, factors.astype(float))
    assert numbers["sap"] == pytest.approx(0.8023986746407575, abs=1e-6)


def test_the_best_and_the_worst_code(as_codes):
    rng = np.random.default_rng(0)
    factors = rng.integers(5, size=(500, 3))
    best = disentanglement(Codes(), factors.astype(float), factors)
    assert best[["mig", "disentanglement", "completeness"]].min() > 0.95
    noise = disentanglement(Codes(), rng.normal(size=(500, 3)), factors)
    assert noise[["mig", "disentanglement", "completeness"]].max() < 0.1


def test_disentanglement_needs_factors_and_components(digits):
    X, y = digits
    with pytest.raises(ValueError, match="2 components at least"):
        disentanglement(AE(1, **QUICK).fit(X), X, y)
    with pytest.raises(ValueError, match="must be known for all samples"):
        disentanglement(AE(2, **QUICK).fit(X), X, np.where(y > 5, y, np.nan))


def test_components_come_again_in_the_same_model(digits):
    X = digits[0].reshape(-1, 64)
    ae = AE(3, architecture=MLP((), init="pca"), learning_rate=1e-12, max_iter=1)
    fitted = ae.set_params(random_state=0).fit(X)
    stability = component_stability([fitted, fitted], X)
    assert_allclose(stability, 1, rtol=1e-6)
    assert stability.index.to_list() == ["mu_0", "mu_1", "mu_2"]
    few = AE(2, **QUICK).fit(X)
    assert component_stability([fitted, few], X).isna().sum().sum() == 1
    with pytest.raises(ValueError, match="2 fitted models"):
        component_stability([fitted], X)


@pytest.fixture(scope="module")
def classifier():
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    vae = VAE(6, max_iter=20, random_state=0)
    steps = StandardScaler(), vae, StandardScaler(), LogisticRegression(max_iter=1000)
    return make_pipeline(*steps).fit(X[:900], y[:900]), X, y


def test_draws_average_to_the_integral_over_the_posterior(digits):
    X, y = digits
    vae = VAE(2, **QUICK)
    pipeline = make_pipeline(vae, Ridge()).fit(X, y)
    mean, spread = posterior_predict(pipeline, X[:20], n_draws=2000)
    assert_allclose(mean, pipeline.predict(X[:20]), atol=0.1)  # Ridge is linear
    logvar = vae.extract(X[:20], "logvar")["logvar"]
    exact = np.sqrt(np.exp(logvar) @ pipeline[-1].coef_ ** 2)
    assert_allclose(spread, exact, rtol=0.1)


def test_probabilities_of_draws_are_less_sure(classifier):
    pipeline, X, _ = classifier
    plain = pipeline.predict_proba(X[900:])
    mean, spread = posterior_predict(pipeline, X[900:], n_draws=50)
    assert_allclose(mean.sum(axis=1), 1, rtol=1e-5)
    assert mean.max(axis=1).mean() < plain.max(axis=1).mean()
    again = posterior_predict(pipeline, X[900:], n_draws=50)
    assert_array_equal(again[0], mean)
    assert (spread >= 0).all()


def test_posterior_predict_says_what_it_needs(digits):
    X, y = digits
    model = LogisticRegression(max_iter=1000)
    without = make_pipeline(AE(2, **QUICK), model).fit(X, y)
    with pytest.raises(ValueError, match="no posterior to draw from"):
        posterior_predict(without, X)
    hidden = make_pipeline(VAE(2, layer="encoder.1", **QUICK), model).fit(X, y)
    with pytest.raises(ValueError, match="must hand on 'mu' or 'z'"):
        posterior_predict(hidden, X)
    with pytest.raises(ValueError, match="one autoencoder of skvae among its steps"):
        posterior_predict(make_pipeline(PCA(), model), X)
    with pytest.raises(ValueError, match="must end in a classifier"):
        posterior_predict(make_pipeline(VAE(2, **QUICK)).fit(X), X)


def test_counterfactuals_change_the_mind_within_the_data(classifier):
    pipeline, X, _ = classifier
    found = counterfactual(pipeline, X[900:910], 3, X[:900])
    behind = pipeline[2:]
    assert (behind.predict(found.codes.astype(np.float32)) == 3).all()
    codes = pipeline[:2].transform(X[900:910])
    assert_allclose(found.distances, np.linalg.norm(found.codes - codes, axis=1))
    is_three = pipeline.predict(X[900:910]) == 3
    assert_allclose(found.distances[is_three], 0, atol=1e-6)
    just_before = codes + 0.98 * (found.codes - codes)
    moved = ~is_three
    said = behind.predict(just_before[moved].astype(np.float32))
    assert (said != 3).mean() > 0.5  # it stops where the mind changes
    assert found.decoded.shape == found.start.shape == (10, 64)


def test_counterfactuals_that_are_not_there(classifier):
    pipeline, X, _ = classifier
    with pytest.warns(UserWarning, match="no supported code was found"):
        found = counterfactual(
            pipeline, X[900:905], 3, X[:900], support=1e-3, n_candidates=1
        )
    assert np.isnan(found.decoded[np.isnan(found.distances)]).all()
    with pytest.raises(ValueError, match="`to` must be a class of the pipeline"):
        counterfactual(pipeline, X[:2], "three", X)
    with pytest.raises(ValueError, match="2 samples at least"):
        counterfactual(pipeline, X[:2], 3, X[:1])
    with pytest.raises(ValueError, match="says 3 for none of `X_known`"):
        counterfactual(pipeline, X[:2], 3, X[pipeline.predict(X) == 0][:50])

"""Codes and components of fitted models, in numbers."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm, spearmanr
from sklearn.decomposition import PCA
from sklearn.metrics import mutual_info_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skvae import AAE, AE, MLP, VAE, AAEClassifier, Conv, SupervisedAAE
from skvae.inspection import (
    attribution,
    component_summary,
    interpolate,
    latent_correlation,
    latent_traversal,
    nearest,
)
from skvae.inspection._correlation import _information

QUICK = {"max_iter": 3, "random_state": 0}


@pytest.fixture(scope="module")
def one_source():
    """A table whose second column decides a target, and independent noise."""
    rng = np.random.default_rng(0)
    source, other = rng.normal(size=(2, 300))
    X = np.stack([other, source, -other, source, source], axis=1)
    return (X + 0.1 * rng.normal(size=X.shape)).astype(np.float32), source


def linear(n_components=2, **options):
    """Return an `AE` whose components are those of PCA."""
    options = {"learning_rate": 1e-12, "max_iter": 1, "random_state": 0} | options
    return AE(n_components, architecture=MLP((), init="pca"), **options)


# --- component_summary ----------------------------------------------------------------


def test_information_of_a_gaussian_channel():
    """Codes N(x, s^2) of x ~ N(0, 1) carry log(1 + 1 / s^2) / 2 nats."""
    from skvae.inspection._codes import _information

    x = norm.ppf((np.arange(1000) + 0.5) / 1000)[:, None]
    for scale in (0.1, 0.5, 2.0):
        logvar = np.full_like(x, 2 * np.log(scale))
        expected = 0.5 * np.log(1 + 1 / scale**2)
        assert _information(x, logvar)[0] == pytest.approx(expected, abs=0.01)


def test_summary_tells_used_components_from_unused_ones(one_source):
    X, _ = one_source
    vae = VAE(4, max_iter=150, learning_rate=3e-3, random_state=0).fit(X)
    summary = component_summary(vae, X)
    active = summary["is_active"]
    assert active.sum() == 2
    assert summary["variance_share"].sum() == pytest.approx(1)
    assert (summary["information"][active] > 1).all()
    assert (summary["information"][~active] < 0.05).all()
    assert (summary["kl_divergence"] >= summary["information"] - 1e-6).all()
    assert summary["kl_divergence"].sum() == pytest.approx(
        vae.history_[-1]["kl_divergence"], rel=0.05
    )


def test_summary_without_a_posterior(one_source):
    X, _ = one_source
    ae = linear().fit(X)
    summary = component_summary(ae, X)
    assert summary[["information", "kl_divergence"]].isna().all(axis=None)
    assert_allclose(summary["overlap"], 0, atol=1e-4)
    ratio = PCA(2).fit(X).explained_variance_ratio_
    assert summary["variance_share"].to_list() == pytest.approx([0.5, 0.5], abs=1e-3)
    assert ratio[0] > 0.5  # codes have unit variance, so their shares differ from PCA's


def test_overlap_of_two_components_that_are_one(one_source):
    X, _ = one_source

    class Twice(nn.Module):
        def forward(self, X):
            return X[:, [1, 1, 0]]

    ae = AE(3, architecture=(Twice(), nn.Linear(3, 5)), **QUICK).fit(X)
    ae.module_.mu.weight.data = 0 * ae.module_.mu.weight.data
    ae.module_.mu.weight.data[[0, 1, 2], [0, 1, 2]] = 1.0
    summary = component_summary(ae, X)
    assert (summary["overlap"][:2] > 5).all()
    assert summary["overlap"].iloc[2] < 0.1
    assert summary.attrs["total_correlation"] > 5


def test_too_few_samples_tell_nothing_of_overlap(one_source):
    X, _ = one_source
    summary = component_summary(linear().fit(X), X[:3])
    assert summary["overlap"].isna().all()
    assert np.isnan(summary.attrs["total_correlation"])


@pytest.mark.parametrize("model", [VAE, AAE, SupervisedAAE, AAEClassifier])
def test_summary_of_every_model(model, digits):
    X, y = digits
    fitted = model(3, **QUICK).fit(X, y)
    summary = component_summary(fitted, X, max_samples=100)
    assert summary.shape == (3, 6)
    assert summary["prior_distance"].between(0, 1).all()
    again = component_summary(fitted, X, max_samples=100)
    pd.testing.assert_frame_equal(summary, again)


# --- latent_correlation ---------------------------------------------------------------


def test_correlations_are_those_of_numpy_and_scipy(one_source):
    X, source = one_source
    ae = linear().fit(X)
    mu = ae.transform(X)
    found = latent_correlation(ae, X, source, n_permutations=50)
    by_measure = found.set_index(["measure", "component"])["value"]
    for j in range(2):
        pearson = np.corrcoef(mu[:, j], source)[0, 1]
        assert by_measure["pearson", f"mu_{j}"] == pytest.approx(pearson, abs=1e-6)
        spearman = spearmanr(mu[:, j], source)[0]
        assert by_measure["spearman", f"mu_{j}"] == pytest.approx(spearman, abs=1e-6)


def test_mutual_information_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    a, b = rng.integers(4, size=(2, 500))
    b = np.where(rng.random(500) < 0.5, a, b)
    assert _information(a, b) == pytest.approx(mutual_info_score(a, b))


def test_classes_give_the_correlation_ratio(digits):
    X, y = digits
    ae = AE(2, **QUICK).fit(X)
    mu = ae.transform(X)[:, 0]
    found = latent_correlation(
        ae, X, pd.Series(y).astype("category"), measures=["pearson"], n_permutations=20
    )
    means = np.array([mu[y == c].mean() for c in range(10)])[y]
    eta = np.sqrt(np.var(means) / np.var(mu))
    assert found["value"][0] == pytest.approx(eta, rel=1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_what_is_there_is_found_and_what_is_not_is_not(seed):
    rng = np.random.default_rng(seed)
    sources = rng.normal(size=(150, 3))
    X = sources @ rng.normal(size=(3, 12)) + 0.1 * rng.normal(size=(150, 12))
    targets = {"second": sources[:, 1], "shuffled": rng.permutation(sources[:, 1])}
    found = latent_correlation(
        linear(3).fit(X), X, targets, measures=["spearman"], n_permutations=200
    )
    is_found = found["adjusted_p_value"] < 0.01
    assert is_found[found["target"] == "second"].any()
    assert not is_found[found["target"] == "shuffled"].any()


def test_missing_targets_are_left_out(one_source):
    X, source = one_source
    ae = linear().fit(X)
    holes = source.copy()
    holes[::3] = np.nan
    some = latent_correlation(ae, X, {"y": holes}, n_permutations=20)
    kept = ~np.isnan(holes)
    whole = latent_correlation(ae, X[kept], {"y": source[kept]}, n_permutations=20)
    pd.testing.assert_frame_equal(some, whole)


def test_a_target_of_one_class_goes_with_nothing(one_source):
    X, _ = one_source
    found = latent_correlation(linear().fit(X), X, ["a"] * 300, n_permutations=20)
    assert (found["value"] == 0).all()
    assert (found["adjusted_p_value"] == 1).all()


def test_bad_targets_are_refused(one_source):
    X, source = one_source
    ae = linear().fit(X)
    with pytest.raises(ValueError, match="a row for each of the 300 samples, got 299"):
        latent_correlation(ae, X, source[1:])
    with pytest.raises(ValueError, match="has 5 values of 'y', but 10 are needed"):
        latent_correlation(ae, X, {"y": [*source[:5], *[None] * 295]})
    with pytest.raises(ValueError, match="`measures` must be a list of"):
        latent_correlation(ae, X, source, measures=["kendall"])


# --- what codes stand for -------------------------------------------------------------


def test_traversal_changes_one_component_only(one_source):
    X, _ = one_source
    pipeline = make_pipeline(StandardScaler(), linear()).fit(X)
    values, decoded = latent_traversal(pipeline, X, [1], n_steps=5)
    assert values.shape == (1, 5)
    assert decoded.shape == (1, 5, 5)
    back = pipeline.transform(decoded[0])
    assert_allclose(back[:, 1], values[0], atol=1e-4)
    assert_allclose(back[:, 0], back[0, 0], atol=1e-4)


def test_interpolation_begins_and_ends_at_the_samples(digits):
    X, _ = digits
    vae = VAE(4, **QUICK).fit(X)
    for method in ("linear", "spherical"):
        way = interpolate(vae, X[:3], X[3:6], n_steps=4, method=method)
        assert way.shape == (3, 4, 8, 8)
        assert_allclose(way[:, 0], vae.reconstruct(X[:3]), atol=1e-5)
        assert_allclose(way[:, -1], vae.reconstruct(X[3:6]), atol=1e-5)
    same = interpolate(vae, X[:1], X[:1], method="spherical")
    assert np.isfinite(same).all()


def test_an_arc_keeps_its_distance():
    from skvae.inspection._decoding import _on_arc

    first, last = np.array([[[3.0, 0.0]]]), np.array([[[0.0, 3.0]]])
    arc = _on_arc(first, last, np.linspace(0, 1, 7)[:, None])
    assert_allclose(np.linalg.norm(arc, axis=-1), 3)


def test_traversal_leaves_the_model_as_it_is(digits):
    X, y = digits
    model = SupervisedAAE(2, layer="encoder.1", **QUICK).fit(X, y)
    latent_traversal(model, X)
    assert model.layer == "encoder.1"


def test_nearest_finds_the_samples_themselves(digits):
    X, _ = digits
    ae = AE(4, **QUICK).fit(X)
    distances, indices = nearest(ae, X, ae.transform(X[5:8]), n_neighbors=2)
    assert_array_equal(indices[:, 0], [5, 6, 7])
    assert_allclose(distances[:, 0], 0, atol=1e-4)


# --- attribution ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        VAE(3, **QUICK),
        AE(3, architecture=MLP((32,), activation="relu"), **QUICK),
        AE(3, architecture=Conv((4, 8), dense=8), **QUICK),
        VAE(3, likelihood="bernoulli", **QUICK),
        AAE(3, **QUICK),
        AE(3, missing_values="mask", **QUICK),
    ],
    ids=["VAE", "relu", "conv", "bernoulli", "AAE", "mask"],
)
def test_attributions_add_up(model, digits):
    X, _ = digits
    model.fit(X)
    shift = model.module_.shift.numpy().astype(np.float32)
    given = attribution(model, X[:20], 1)
    assert given.shape == (20, 8, 8)
    change = model.transform(X[:20])[:, 1] - model.transform(shift[None])[0, 1]
    error = np.abs(given.sum(axis=(1, 2)) - change).max()
    assert error <= 0.01 * np.abs(change).max()


def test_attribution_of_a_linear_model_is_weight_times_way(one_source):
    X, _ = one_source
    ae = linear().fit(X)
    axis = PCA(2).fit(X).components_[0]
    expected = (X - X.mean(axis=0)) * axis
    expected /= (expected.sum(axis=1)).std()
    given = attribution(ae, X, 0)
    sign = np.sign((given * expected).sum())
    assert_allclose(given, sign * expected, atol=1e-3)


@pytest.mark.parametrize("seed", range(10))
def test_attribution_finds_what_a_component_is_made_of(seed):
    rng = np.random.default_rng(seed)
    sources = rng.normal(size=(200, 3)) * [3, 2, 1]
    X = np.repeat(sources, 4, axis=1) + 0.1 * rng.normal(size=(200, 12))
    ae = linear(3).fit(X)
    found = latent_correlation(
        ae, X, sources[:, 1], measures=["pearson"], n_permutations=1
    )
    component = int(found["value"].abs().argmax())
    weight = np.abs(attribution(ae, X, component)).mean(axis=0)
    assert set(np.argsort(weight)[-4:]) == {4, 5, 6, 7}


def test_attribution_at_a_hidden_layer_and_from_a_baseline(digits):
    X, _ = digits
    ae = AE(2, architecture=MLP((16,)), **QUICK).fit(X)
    given = attribution(ae, X[:3], 5, layer="encoder.2", baseline=X[10])
    outputs = ae.extract(X[[0, 1, 2, 10]], "encoder.2")["encoder.2"][:, 5]
    assert_allclose(given.sum(axis=(1, 2)), outputs[:3] - outputs[3], atol=1e-3)
    assert_allclose(attribution(ae, X[:3], 0, baseline=X[0])[0], 0, atol=1e-7)


def test_attribution_refuses_what_it_can_not_tell(digits):
    X, _ = digits
    vae = VAE(2, **QUICK).fit(X)
    with pytest.raises(ValueError, match="`component` must be an int from 0 to 1"):
        attribution(vae, X, 2)
    with pytest.raises(ValueError, match="`layer` can't be 'z', which is random"):
        attribution(vae, X, 0, layer="z")
    with pytest.raises(ValueError, match="`baseline` must have the shape"):
        attribution(vae, X, 0, baseline=[0.0])

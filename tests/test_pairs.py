"""Pairs of what goes in and what is to come out."""

import numpy as np
import pytest
import sklearn
from cases import MODELS
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skvae import AE, VAE, Conv, WatermarkAE
from skvae.metrics import reconstruction_scorer
from skvae.model_selection import stacked_training

FIT = {"max_iter": 3, "random_state": 0}


@pytest.fixture(scope="module")
def pairs(digits):
    X, y = digits
    noise = np.random.default_rng(0).normal(scale=4, size=X.shape)
    return X + noise, X, y


@pytest.mark.parametrize("name", [*MODELS, "WatermarkAE"])
def test_pairs_of_equal_samples_are_samples(pairs, name):
    _, X, y = pairs
    model = MODELS[name][0] if name in MODELS else WatermarkAE
    if name == "WatermarkAE":
        y = np.random.default_rng(0).integers(2, size=(len(X), 3))
    alone = model(**FIT).fit(X, y)
    both = model(**FIT).fit(X, y, X_target=X)
    assert_allclose(both.loss_curve_, alone.loss_curve_, rtol=1e-5)
    assert_allclose(both.transform(X), alone.transform(X), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("architecture", ["mlp", Conv((8,))])
def test_clean_samples_come_out_of_noisy_ones(pairs, architecture):
    noisy, X, _ = pairs
    options = {"architecture": architecture, "max_iter": 40, "learning_rate": 3e-3}
    ae = AE(16, random_state=0, **options)
    clean = ae.fit(noisy, X_target=X).reconstruct(noisy)
    as_it_was = ae.fit(noisy).reconstruct(noisy)
    error = np.square(clean - X).mean()
    assert error < 0.8 * np.square(as_it_was - X).mean()
    assert error < 0.5 * np.square(noisy - X).mean()


def test_held_out_pairs_stop_the_training(pairs):
    noisy, X, _ = pairs
    options = {"metrics": ["mean_squared_error"], "early_stopping": True}
    vae = VAE(4, **options, **FIT | {"max_iter": 5})
    vae.fit(noisy[50:], X_target=X[50:], X_val=noisy[:50], X_val_target=X[:50])
    error = np.square(vae.reconstruct(noisy[:50]) - X[:50]).mean()
    measured = [row["valid_mean_squared_error"] for row in vae.history_]
    assert min(abs(np.array(measured) - error)) < 1e-3 * error
    shared = VAE(4, **options, **FIT).fit(noisy, X_target=X)
    assert "valid_loss" in shared.history_[-1]


def test_other_targets_are_another_training(pairs, tmp_path):
    noisy, X, _ = pairs
    ae = AE(4, ordered=True, memory=tmp_path, **FIT)
    first = ae.fit(noisy, X_target=X).loss_curve_
    shares = ae.explained_variance_ratio_
    assert ae.fit(noisy, X_target=X).loss_curve_ == first
    assert_array_equal(ae.explained_variance_ratio_, shares)
    assert ae.fit(noisy).loss_curve_ != first
    assert ae.fit(noisy, X_target=-X).loss_curve_ != first


def test_targets_go_through_pipelines_and_searches(pairs):
    noisy, X, _ = pairs
    noisy, X = noisy.reshape(len(X), -1), X.reshape(len(X), -1)
    with sklearn.config_context(enable_metadata_routing=True):
        ae = AE(4, **FIT).set_fit_request(X_target=True)
        pipeline = make_pipeline(FunctionTransformer(), ae)
        fitted = pipeline.fit(noisy, X_target=X)
        alone = AE(4, **FIT).fit(noisy, X_target=X)
        assert_array_equal(fitted[-1].transform(noisy), alone.transform(noisy))
        scores = {}
        options = {"params": {"X_target": X}, "cv": 2}
        options["scoring"] = reconstruction_scorer("mean_squared_error")
        scores["alone"] = cross_val_score(pipeline, noisy, **options)
        with stacked_training():
            scores["stacked"] = cross_val_score(pipeline, noisy, **options)
    assert_allclose(scores["stacked"], scores["alone"], rtol=1e-3)


def test_targets_that_fit_no_samples(pairs):
    noisy, X, _ = pairs
    ae = AE(**FIT)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ae.fit(noisy, X_target=X[1:])
    with pytest.raises(ValueError, match="X_target has samples of shape"):
        ae.fit(noisy, X_target=X[:, :4])
    with pytest.raises(ValueError, match="Pass `X_val_target`"):
        ae.fit(noisy, X_target=X, X_val=noisy)
    with pytest.raises(ValueError, match="`X_val_target` was given without `X_val`"):
        ae.fit(noisy, X_target=X, X_val_target=X)
    bernoulli = AE(likelihood="bernoulli", **FIT)
    with pytest.raises(ValueError, match="but X_target runs from"):
        bernoulli.fit(noisy, X_target=X + 2)
    bernoulli.fit(noisy, X_target=X / 16)  # what goes in may have any range

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skvae import AE, WatermarkAE
from skvae.model_selection import StackedGridSearchCV
from skvae.nn import GaussianNoise

FIT = {"max_iter": 3, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    X = load_digits().images[:600] / 16
    marks = np.random.default_rng(0).integers(2, size=(len(X), 2, 3))
    return X, marks


@pytest.fixture(scope="module")
def model(data):
    return WatermarkAE(16, batch_size=32, max_iter=40, random_state=0).fit(*data)


def test_marks_are_read_from_marked_images_only(data, model):
    X, y = data
    marked = model.embed(X, y)
    assert marked.shape == X.shape
    assert marked.dtype == X.dtype
    assert (model.predict(marked) == y).mean() > 0.95
    assert (model.predict(X) == y).mean() == pytest.approx(0.5, abs=0.05)
    other = 1 - y
    assert (model.predict(model.embed(X, other)) == other).mean() > 0.93
    proba = model.predict_proba(marked)
    assert proba.shape == y.shape
    assert_array_equal(model.predict(marked), proba >= 0.5)
    assert model.score(X, y) == (model.predict(marked) == y).mean()


def test_new_images_are_hardly_worse_than_without_marks(data, model):
    X, y = data
    new = load_digits().images[600:1200] / 16
    plain = AE(16, batch_size=32, max_iter=40, random_state=0).fit(X).reconstruct(new)
    error = np.square(model.embed(new, y) - new).mean()
    assert error < 1.3 * np.square(plain - new).mean()
    assert model.score(new, y) > 0.95


def test_a_weight_trades_images_for_marks(data, model):
    X, y = data
    surer = clone(model).set_params(mark_weight=100.0).fit(X, y)
    assert surer.score(X, y) > model.score(X, y)
    assert surer.history_[-1]["mark_loss"] < model.history_[-1]["mark_loss"]
    nll = [each.history_[-1]["reconstruction_loss"] for each in (model, surer)]
    assert nll[0] < nll[1]


@pytest.mark.parametrize(
    "channel",
    [GaussianNoise(0.5), lambda X, rng: X + rng.normal(0, 0.15, X.shape)],
)
def test_marks_withstand_the_channel_that_they_were_trained_for(data, model, channel):
    X, y = data
    robust = clone(model).set_params(channel=channel).fit(X, y)
    noise = np.random.default_rng(0).normal(scale=0.15, size=X.shape)
    read = [
        (each.predict(each.embed(X, y) + noise) == y).mean() for each in (model, robust)
    ]
    assert read[1] > read[0] + 0.05


def test_losses_are_those_of_image_and_mark(data):
    X, y = data
    model = WatermarkAE(4, mark_weight=3.0, batch_size=600, **FIT).fit(X, y)
    module = model.module_
    tensors = (
        torch.from_numpy(X[:9]).float(),
        torch.from_numpy(y[:9]).flatten(1).float(),
    )
    terms = {k: v.item() for k, v in module.losses("reconstruction", *tensors).items()}
    log_likelihood = module.log_likelihood(*tensors).mean().item()
    assert terms["reconstruction_loss"] == pytest.approx(-log_likelihood, rel=1e-4)
    proba = np.clip(model.predict_proba(model.embed(X[:9], y[:9])), 1e-7, 1)
    right = np.where(y[:9], proba, 1 - proba)
    expected = -np.log(right).sum() / 9
    assert terms["mark_loss"] == pytest.approx(expected, rel=1e-3)
    assert terms["loss"] == pytest.approx(
        terms["reconstruction_loss"] + 3 * terms["mark_loss"], rel=1e-5
    )


@pytest.mark.parametrize("shape", [(), (1,), (64,), (8, 8)])
def test_marks_of_any_shape(data, shape):
    X, _ = data
    y = np.random.default_rng(0).random((len(X), *shape)) < 0.5
    model = WatermarkAE(4, **FIT).fit(X, y)
    assert model.mark_shape_ == shape
    assert model.predict(X).shape == y.shape
    one = model.embed(X[:5], y[0])
    assert_allclose(one, model.embed(X[:5], np.stack([y[0]] * 5)), rtol=1e-6)


def test_what_other_autoencoders_do(data, tmp_path):
    X, y = data
    flat = X.reshape(len(X), -1)
    options = {"early_stopping": True, "ordered": True, "memory": tmp_path}
    model = WatermarkAE(4, image_shape=(1, 8, 8), architecture="conv", **options, **FIT)
    model.fit(flat, y, X_val=flat[:50], y_val=y[:50])
    again = clone(model).fit(flat, y, X_val=flat[:50], y_val=y[:50])
    loaded = pickle.loads(pickle.dumps(again))
    assert_array_equal(loaded.embed(flat, y), model.embed(flat, y))
    assert model.transform(flat).shape == (len(X), 4)
    assert model.inverse_transform(model.transform(flat), y).shape == flat.shape
    assert model.sample(3, y[:3], noise=True).shape == (3, 64)
    assert model.score_samples(flat).shape == (len(X),)
    assert model.reconstruct(flat, y, n_components=2).shape == flat.shape
    model.partial_fit(flat, y)
    assert len(model.loss_curve_) == again.n_iter_ + 1


def test_it_is_searched_in_stacks_as_alone(data):
    X, y = data
    grid = {"mark_weight": [1.0, 3.0], "early_stopping": [False, True]}
    options = {"param_grid": grid, "cv": 2, "refit": False}
    alone = GridSearchCV(WatermarkAE(4, **FIT), **options).fit(X[:200], y[:200])
    stacked = StackedGridSearchCV(WatermarkAE(4, **FIT), **options)
    scores = stacked.fit(X[:200], y[:200]).cv_results_["mean_test_score"]
    assert_allclose(scores, alone.cv_results_["mean_test_score"], atol=2e-3)


def test_marks_that_are_none(data, model):
    X, y = data
    with pytest.raises(ValueError, match="marks of 0 and 1 only"):
        WatermarkAE(**FIT).fit(X, y + 1)
    with pytest.raises(ValueError, match=r"65 bits .* from 1 to 64"):
        WatermarkAE(**FIT).fit(X, np.zeros((len(X), 65)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        WatermarkAE(**FIT).fit(X, y[1:])
    with pytest.raises(ValueError, match="requires y to be passed"):
        WatermarkAE(**FIT).fit(X, None)
    with pytest.raises(ValueError, match=r"shape \(2, 3\) for 600 images, got .*\(3,"):
        model.embed(X, np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"`y` has marks of shape \(3,\), but the"):
        clone(model).set_params(max_iter=1).fit(X, y).partial_fit(X, y[:, 0])

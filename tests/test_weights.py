"""Weights of samples and of classes."""

import numpy as np
import pytest
import sklearn
import torch
from cases import MODELS, SMALL
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skvae import AE, MLP, VAE, AAEClassifier, WatermarkAE
from skvae.model_selection import stacked_training
from skvae.nn import Noise

ALL = [*(model for model, _ in MODELS.values()), WatermarkAE]
TINY = {"architecture": MLP((8,)), "max_iter": 4, "random_state": 0}


class Silence(Noise):
    """The same for each sample."""

    def normal(self, *shape):
        return torch.zeros(shape)

    def uniform(self, *shape):
        return torch.full(shape, 0.5)


@pytest.fixture
def weights():
    return np.random.default_rng(0).integers(0, 4, size=300)


def targets(model, y):
    return np.arange(4) < (y % 5)[:, None] if model is WatermarkAE else y


@pytest.mark.parametrize("model", ALL)
@pytest.mark.parametrize("ordered", [False, True])
def test_integer_weights_are_repeated_rows_in_all_losses(model, ordered, digits):
    X, y = digits
    estimator = model(4, **TINY, ordered=ordered) if model in ALL[:5] else None
    estimator = estimator or model(n_components=4, **TINY, ordered=ordered)
    module = estimator.fit(X, targets(model, y)).module_
    labels = estimator._labels(targets(model, y), X, None, None, None)
    numbers = None if labels is None else labels.numbers
    heads = len(module._heads)  # which take turns among the rows of a batch
    block = np.arange(300).reshape(-1, heads)[:20].ravel()
    weights = np.random.default_rng(0).integers(1, 4, 20).repeat(heads)
    repeated = np.concatenate([block[weights > n] for n in range(3)])

    def losses(phase, index, weight=None):
        y = None if numbers is None else torch.as_tensor(numbers[index])
        if weight is not None:
            weight = torch.from_numpy(weight / weight.mean()).float()
        return module.losses(
            phase, torch.from_numpy(X[index]), y, noise=Silence(), weight=weight
        )

    for phase in module.phases():
        weighted = losses(phase, block, weights)
        for name, value in losses(phase, repeated).items():
            assert_allclose(
                weighted[name].item(), value.item(), rtol=1e-5, err_msg=name
            )
    y = None if numbers is None else torch.as_tensor(numbers[block])
    weight = torch.from_numpy(weights / weights.mean()).float()
    whole = module.held_out_loss(
        torch.from_numpy(X[block]), y, noise=Silence(), weight=weight
    )
    y = None if numbers is None else torch.as_tensor(numbers[repeated])
    expected = module.held_out_loss(torch.from_numpy(X[repeated]), y, noise=Silence())
    assert_allclose(whole.item(), expected.item(), rtol=1e-5)


def test_a_training_in_one_batch_is_that_of_repeated_rows(digits, weights):
    X, options = digits[0].reshape(300, 64), TINY | {"batch_size": 1000}
    one = AE(4, **options).fit(X, sample_weight=weights)
    other = AE(4, **options).fit(X.repeat(weights, axis=0))
    assert_allclose(one.module_.shift, other.module_.shift, rtol=1e-12)
    assert_allclose(float(one.module_.spread), float(other.module_.spread), rtol=1e-6)
    assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-4)
    assert_allclose(one.transform(X), other.transform(X), atol=1e-3)


@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize("model", ALL)
def test_a_weight_of_zero_leaves_a_sample_out(model, stops, digits, weights):
    (X, y), options = digits, TINY | {"early_stopping": stops}
    y, there = targets(model, y), weights > 0
    one = model(**options).fit(X, y, sample_weight=1.0 * there)
    other = model(**options).fit(X[there], y[there])
    assert_array_equal(one.transform(X), other.transform(X))


def test_only_the_ratio_of_weights_counts(digits, weights):
    X, _ = digits
    one = VAE(**TINY).fit(X, sample_weight=weights)
    other = VAE(**TINY).fit(X, sample_weight=4 * weights)
    assert_array_equal(one.transform(X), other.transform(X))
    assert np.abs(one.transform(X) - VAE(**TINY).fit_transform(X)).max() > 1e-3


def test_a_weight_of_zero_leaves_a_sample_out_of_its_group(digits):
    X, _ = digits
    groups, weights = np.arange(300)[::-1] // 7, np.arange(300) % 3
    there = weights > 0
    options = TINY | {"early_stopping": True}
    one = VAE(**options).fit(X, sample_weight=1.0 * there, groups=groups)
    other = VAE(**options).fit(X[there], groups=groups[there])
    assert_array_equal(one.transform(X), other.transform(X))


def test_weights_leave_something_to_train_on_and_to_validate(digits):
    X, _ = digits
    one = np.arange(300) == 7
    with pytest.raises(ValueError, match="n_samples=1 with a weight above 0"):
        VAE(early_stopping=True, **TINY).fit(X, sample_weight=one)


def test_gaps_and_weights_go_together(digits, weights):
    X = digits[0].reshape(300, 64)
    X = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    options = TINY | {"missing_values": "mask"}
    one = AE(**options).fit(X, sample_weight=weights)
    other = AE(**options).fit(X.repeat(weights, axis=0))
    assert_allclose(one.module_.shift, other.module_.shift, rtol=1e-12)
    assert_allclose(float(one.module_.spread), float(other.module_.spread), rtol=1e-6)


def test_memory_and_stacks_know_of_weights(digits, weights, tmp_path):
    X, _ = digits
    expected = AE(**TINY).fit(X, sample_weight=weights).transform(X)
    AE(**TINY, memory=tmp_path).fit(X)
    with stacked_training():
        ae = AE(**TINY, memory=tmp_path).fit(X, sample_weight=weights)
    assert_array_equal(ae.transform(X), expected)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.ones(300), "Negative values"),
        (np.zeros(300), "(at least one non-zero|is 0 for all samples)"),
        (np.ones(299), "sample_weight.shape"),
        (np.full(300, np.nan), "sample_weight contains NaN"),
    ],
)
def test_weights_that_make_no_sense_are_errors(weights, message, digits):
    ae = AE(**TINY).fit(digits[0])
    before = ae.transform(digits[0])
    with pytest.raises(ValueError, match=message):
        ae.fit(digits[0], sample_weight=weights)
    assert_array_equal(ae.transform(digits[0]), before)


@pytest.mark.parametrize("odd", [{3: -1.0}, {3: np.nan}, None])
def test_weights_of_classes_that_make_no_sense_are_errors(odd, digits):
    weight = dict.fromkeys(range(10), 1.0) | odd if odd else dict.fromkeys(range(10), 0)
    with pytest.raises(ValueError, match="`class_weight` must hold numbers >= 0"):
        AAEClassifier(class_weight=weight, **TINY).fit(*digits)


def test_weights_are_routed_through_pipelines_and_searches(digits, weights):
    X, y = digits[0].reshape(300, 64), digits[1]
    expected = VAE(3, **TINY).fit(X, sample_weight=weights).transform(X)
    pipeline = make_pipeline(VAE(3, **TINY), LogisticRegression())
    pipeline.fit(X, y, vae__sample_weight=weights)
    assert_array_equal(pipeline[:-1].transform(X), expected)
    with sklearn.config_context(enable_metadata_routing=True):
        vae = VAE(3, **TINY).set_fit_request(sample_weight=True)
        regression = LogisticRegression().set_fit_request(sample_weight=True)
        pipeline = make_pipeline(vae, regression)
        scoring = make_scorer(accuracy_score).set_score_request(sample_weight=False)
        search = GridSearchCV(pipeline, {}, scoring=scoring, cv=2)
        search.fit(X, y, sample_weight=weights)
        assert_array_equal(search.best_estimator_[:-1].transform(X), expected)


def test_weights_of_classes_move_probabilities(digits):
    X, y = digits[0], digits[1] == 3
    options = SMALL | {"max_iter": 20, "architecture": MLP((16,)), "batch_size": 32}
    shares = [
        AAEClassifier(class_weight=weight, **options).fit(X, y).predict_proba(X)[:, 1]
        for weight in (None, "balanced", {True: 100.0})
    ]
    assert np.all(np.diff(np.mean(shares, axis=1)) > 0.02)
    counts = np.bincount(y)
    given = {False: 150 / counts[0], True: 150 / counts[1]}
    found = AAEClassifier(class_weight=given, **options).fit(X, y).predict_proba(X)
    assert_array_equal(found[:, 1], shares[1])

"""Properties that hold for every model, layer, architecture and likelihood."""

import pickle

import numpy as np
import pytest
import torch
from cases import (
    CLASSIFIER,
    MODELS,
    SMALL,
    estimators,
    image_estimators,
    models_and_layers,
    parametrize,
)
from joblib import Parallel, delayed
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.utils import estimator_checks

from skvae import AAE, MLP, AAEClassifier

# Three epochs are too few for some likelihoods to fill the code.
pytestmark = [
    pytest.mark.filterwarnings("ignore::skvae.PosteriorCollapseWarning"),
    pytest.mark.filterwarnings("ignore:Convolutions take each row"),
]

# scikit-learn leaves it out for its own estimators that train in random batches.
NOT_FOR_RANDOM_STEPS = {
    "check_sample_weight_equivalence_on_dense_data": "batches are drawn from the rows"
}
# Checks that `check_estimator` does not call for third-party estimators.
MORE_CHECKS = [
    estimator_checks.check_param_validation,
    estimator_checks.check_set_output_transform,
    estimator_checks.check_set_output_transform_pandas,
    estimator_checks.check_set_output_transform_polars,
    estimator_checks.check_global_output_transform_pandas,
    estimator_checks.check_global_set_output_transform_polars,
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_transformer_get_feature_names_out_pandas,
    estimator_checks.check_get_feature_names_out_error,
    estimator_checks.check_dataframe_column_names_consistency,
]
over_estimators = pytest.mark.parametrize("estimator", **parametrize(estimators()))
over_models = pytest.mark.parametrize("model", [model for model, _ in MODELS.values()])
over_images = pytest.mark.parametrize("estimator", **parametrize(image_estimators()))


@pytest.fixture(scope="module")
def digits(digits):
    """Fewer of them: these tests run often."""
    X, y = digits
    return X[:140], y[:140]


def is_matrix_model(estimator):
    """Whether all of its work is matrix products, which repeat bit by bit."""
    return isinstance(estimator.architecture, (str, MLP))


def assert_same(actual, expected, estimator):
    """Compare bit by bit; convolution kernels are chosen by batch size."""
    if is_matrix_model(estimator):
        assert_array_equal(actual, expected)
    else:
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6 * scale)


def outputs_of(estimator, X):
    outputs = {
        "transform": estimator.transform(X),
        "reconstruct": estimator.reconstruct(X).reshape(len(X), -1),
        "score_samples": estimator.score_samples(X),
    }
    if hasattr(estimator, "predict_proba"):
        outputs["predict_proba"] = estimator.predict_proba(X)
    return outputs | estimator.extract(X, ["mu", "z"])


@over_estimators
def test_check_estimator(estimator):
    results = estimator_checks.check_estimator(
        estimator, on_skip=None, expected_failed_checks=NOT_FOR_RANDOM_STEPS
    )
    assert len(results) > 40
    others = {r["check_name"]: r["status"] for r in results if r["status"] != "passed"}
    assert others == dict.fromkeys(NOT_FOR_RANDOM_STEPS, "xfail")


def test_a_classifier_that_never_stops_early_passes_too():
    estimator = AAEClassifier(**CLASSIFIER | {"early_stopping": False})
    too_long = {"check_class_weight_classifiers"}  # trains for 1000 epochs
    checks = estimator_checks.estimator_checks_generator(estimator)
    passed = 0
    for part, check in checks:
        if check.func.__name__ not in {*NOT_FOR_RANDOM_STEPS, *too_long}:
            check(part)
            passed += 1
    assert passed > 40


@pytest.mark.parametrize("estimator", **parametrize(models_and_layers()))
@pytest.mark.parametrize("check", MORE_CHECKS, ids=lambda check: check.__name__)
# The checks themselves mix arrays and data frames.
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
def test_more_checks(estimator, check):
    check(type(estimator).__name__, clone(estimator))


@over_images
def test_images_keep_their_shape(estimator, digits):
    X, y = digits
    estimator = clone(estimator).fit(X, y)
    assert estimator.sample_shape_ == (8, 8)
    assert estimator.reconstruct(X).shape == X.shape
    assert estimator.sample(3).shape == (3, 8, 8)
    assert estimator.sample_codes(3).shape == (3, estimator.n_components)
    assert estimator.sample_codes(3).dtype == np.float32
    assert estimator.transform(X).dtype == np.float32
    names = estimator.get_feature_names_out()
    assert estimator.transform(X[:5]).shape == (5, len(names))
    codes = estimator.set_params(layer="mu").transform(X)
    assert estimator.inverse_transform(codes).shape == X.shape
    decodes_classes = hasattr(estimator, "classes_") and not isinstance(estimator, AAE)
    told = {"y": estimator.classes_[1]} if decodes_classes else {}
    assert_same(
        estimator.inverse_transform(codes, **told),
        estimator.reconstruct(X, **told),
        estimator,
    )


@over_images
def test_flat_and_shaped_images_give_the_same(estimator, digits):
    X, y = digits
    shaped = clone(estimator).fit(X, y)
    flat = clone(estimator).set_params(image_shape=(8, 8)).fit(X.reshape(len(X), 64), y)
    assert_array_equal(flat.loss_curve_, shaped.loss_curve_)
    for name, expected in outputs_of(shaped, X).items():
        assert_array_equal(outputs_of(flat, X.reshape(len(X), 64))[name], expected)
    assert flat.sample(2).shape == (2, 64)


@over_images
def test_outputs_depend_on_the_row_only(estimator, digits):
    X, y = digits
    estimator = clone(estimator).fit(X, y)
    expected = outputs_of(estimator, X)
    order = np.random.default_rng(0).permutation(len(X))
    for name, values in outputs_of(estimator, X[order]).items():
        assert_same(values, expected[name][order], estimator)
    for rows in (slice(0, 1), slice(5, 22), slice(3, 203)):
        for name, values in outputs_of(estimator, X[rows]).items():
            assert_same(values, expected[name][rows], estimator)


@over_images
def test_pickle_keeps_every_bit(estimator, digits):
    X, y = digits
    estimator = clone(estimator).fit(X, y)
    copy = pickle.loads(pickle.dumps(estimator))
    for name, expected in outputs_of(estimator, X).items():
        assert_array_equal(outputs_of(copy, X)[name], expected)
    assert_array_equal(copy.sample(4), estimator.sample(4))
    assert copy.history_ == estimator.history_


@over_images
def test_outputs_repeat_with_any_number_of_threads(estimator, digits):
    X, y = digits
    estimator = clone(estimator).fit(X, y)
    results = []
    before = torch.get_num_threads()
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            results.append(outputs_of(estimator, X))
    finally:
        torch.set_num_threads(before)
    for name, expected in results[0].items():
        assert_same(results[1][name], expected, estimator)


@over_models
def test_outputs_repeat_in_any_number_of_processes(model, digits):
    X, y = digits
    estimator = model(**SMALL).fit(X, y)
    results = [
        Parallel(n_jobs=n_jobs)(
            delayed(estimator.transform)(X[start : start + 50])
            for start in (0, 50, 100)
        )
        for n_jobs in (1, 2)
    ]
    for values in results:
        assert_array_equal(np.vstack(values), estimator.transform(X))


@over_images
def test_global_random_states_stay_untouched(estimator, digits):
    X, y = digits

    def states():
        numpy_state = np.random.get_state()[1]  # noqa: NPY002, this is the global one
        return numpy_state.tolist(), torch.get_rng_state().tolist()

    before = states()
    fitted = clone(estimator).set_params(random_state=None, max_iter=1).fit(X, y)
    outputs_of(fitted, X)
    fitted.sample(2)
    assert states() == before


@over_images
def test_resumed_training_equals_one_training(estimator, digits):
    X, y = digits
    estimator = clone(estimator).set_params(early_stopping=False)
    whole = clone(estimator).set_params(max_iter=5).fit(X, y)
    resumed = clone(estimator).set_params(max_iter=3).fit(X, y)
    resumed = pickle.loads(pickle.dumps(resumed)).partial_fit(X, y)
    resumed = pickle.loads(pickle.dumps(resumed)).partial_fit(X, y)
    assert resumed.n_iter_ == 5
    assert_array_equal(resumed.loss_curve_, whole.loss_curve_)
    for name, expected in outputs_of(whole, X).items():
        assert_array_equal(outputs_of(resumed, X)[name], expected)


@over_models
def test_errors_of_arguments_name_the_class(model, digits):
    for name in ("fit", "partial_fit"):
        message = rf"^{model.__name__}\.{name}\(\) got an unexpected .* 'weight'"
        with pytest.raises(TypeError, match=message):
            getattr(model(), name)(*digits, weight=1)


@over_models
def test_float32_rows_of_any_layout_give_the_same(model, digits):
    X, y = digits[0].reshape(-1, 64), digits[1]
    read_only = X.copy()
    read_only.flags.writeable = False
    expected = model(**SMALL).fit_transform(X, y)
    for other in (np.asfortranarray(X), X.astype(np.float64), read_only, X.tolist()):
        assert_array_equal(model(**SMALL).fit_transform(other, y), expected)


@over_models
def test_errors_of_the_constructor_name_the_class(model):
    with pytest.raises(TypeError, match=rf"^{model.__name__}\.__init__\(\)"):
        model(n_component=2)

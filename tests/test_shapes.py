"""What is accepted as samples and codes, and what is refused how."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skvae import AE, VAE

FIT = {"max_iter": 2, "random_state": 0}
MODELS = pytest.mark.parametrize("model", [AE, VAE])
pytestmark = pytest.mark.filterwarnings("ignore::skvae.PosteriorCollapseWarning")


@MODELS
def test_decoded_samples_have_the_rank_that_fit_saw(model, digits):
    X, _ = digits
    shaped = model(3, **FIT).fit(X)
    flat = model(3, image_shape=(1, 8, 8), **FIT).fit(X.reshape(300, 64))
    codes = shaped.transform(X)
    assert shaped.inverse_transform(codes).shape == (300, 8, 8)
    assert flat.inverse_transform(codes).shape == (300, 64)
    assert flat.sample_shape_ == (1, 8, 8)
    assert shaped.n_features_in_ == flat.n_features_in_ == 64
    # `reconstruct` answers in the shape that it was asked in.
    assert shaped.reconstruct(X.reshape(300, 64)).shape == (300, 64)
    assert_array_equal(shaped.transform(X.reshape(300, 64)), codes)


@MODELS
def test_image_shape_may_add_an_axis(model, digits):
    X, _ = digits
    fitted = model(2, architecture="conv", image_shape=(1, 8, 8), **FIT).fit(X)
    assert fitted.sample(2).shape == (2, 8, 8)
    assert_array_equal(fitted.transform(X), fitted.transform(X[:, None]))


@pytest.mark.parametrize(
    ("image_shape", "message"),
    [
        ((1, 8, 9), r"holds 72 values, but each sample of X has 64"),
        ((8, -8), "must be a tuple of positive ints"),
        ((8, 8.0), "must be a tuple of positive ints"),
    ],
)
def test_image_shape_must_fit(image_shape, message, digits):
    with pytest.raises(ValueError, match=f"`image_shape`.*{message}"):
        AE(image_shape=image_shape).fit(digits[0].reshape(300, 64))


@MODELS
def test_other_shapes_are_refused(model, digits):
    X, _ = digits
    fitted = model(2, **FIT).fit(X)
    message = (
        r"samples of shape \(4, 16\), but .* was fitted on samples of shape \(8, 8\)"
    )
    for method in (fitted.transform, fitted.reconstruct, fitted.partial_fit):
        with pytest.raises(ValueError, match=message):
            method(X.reshape(300, 4, 16))
    with pytest.raises(ValueError, match="63 features, but"):
        fitted.transform(X.reshape(300, 64)[:, 1:])
    with pytest.raises(ValueError, match="Expected 2D array"):
        fitted.transform(X[0, 0])
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        fitted.transform(X[:0])
    with pytest.raises(ValueError, match="could not convert string to float"):
        fitted.transform(np.full((2, 8, 8), "a"))


@MODELS
def test_held_out_samples_of_another_shape_are_named(model, digits):
    X = digits[0].reshape(300, 64)
    with pytest.raises(ValueError, match=r"X_val must .* 64\), .* got \(300, 63\)"):
        model(2, **FIT).fit(X, X_val=X[:, 1:])
    with pytest.raises(ValueError, match=r"X_val must .* 64\), .* got \(64,\)"):
        model(2, **FIT).fit(X, X_val=X[0])
    with pytest.raises(ValueError, match=r"X_val has samples of shape \(4, 16\), but"):
        model(2, **FIT).fit(X, X_val=X.reshape(300, 4, 16))


@MODELS
def test_codes_of_another_width_are_refused(model, digits):
    fitted = model(2, **FIT).fit(digits[0])
    with pytest.raises(ValueError, match="n_components=2 columns, got 3"):
        fitted.inverse_transform(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="Input X contains NaN"):
        fitted.inverse_transform([[0.0, np.nan]])


@MODELS
def test_groups_must_be_as_many_as_samples(model, digits):
    X, _ = digits
    for early_stopping in (False, True):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            model(early_stopping=early_stopping).fit(X, groups=[1, 2])


@MODELS
def test_lists_of_images_are_taken(model, digits):
    X = digits[0][:40]
    expected = model(2, **FIT).fit_transform(X)
    assert_array_equal(model(2, **FIT).fit_transform(X.tolist()), expected)


@MODELS
def test_constant_and_tiny_data_train(model):
    for X in (np.ones((5, 3)), np.zeros((1, 4)), np.full((3, 1), 7.0)):
        fitted = model(2, **FIT).fit(X)
        assert np.isfinite(fitted.transform(X)).all()
        assert np.isfinite(fitted.sample(3)).all()


@MODELS
def test_samples_repeat_and_follow_random_state(model, digits):
    fitted = model(2, **FIT).fit(digits[0])
    assert_array_equal(fitted.sample(4), fitted.sample(4))
    assert_array_equal(
        fitted.sample(4, random_state=1), fitted.sample(4, random_state=1)
    )
    assert not np.array_equal(fitted.sample(4, random_state=1), fitted.sample(4))


def test_samples_of_an_ae_follow_its_codes(digits):
    X, _ = digits
    model = AE(2, max_iter=60, random_state=0).fit(X)
    codes = model.transform(X)
    drawn = model._draw_codes(20_000, np.random.RandomState(0))
    np.testing.assert_allclose(drawn.mean(axis=0), codes.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(codes.T), rtol=0.1, atol=0.1)

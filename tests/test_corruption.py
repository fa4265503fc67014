import numpy as np
import pytest
import torch
from cases import MODELS
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skvae import AE, VAE
from skvae.model_selection import StackedGridSearchCV
from skvae.nn import (
    Corruption,
    Function,
    GaussianNoise,
    Masking,
    Noise,
    SaltAndPepper,
    Swap,
)

FIT = {"max_iter": 3, "random_state": 0}


def corrupted(corruption, X, seed=0):
    corruption.build()
    noise = Noise(torch.Generator().manual_seed(seed))
    return corruption(torch.from_numpy(X), noise).numpy()


@pytest.fixture
def samples():
    return np.random.default_rng(0).normal(size=(400, 25)).astype(np.float32)


def test_noise_has_the_scale_it_was_given(samples):
    X = samples
    difference = corrupted(GaussianNoise(0.3), X) - X
    assert difference.std() == pytest.approx(0.3, abs=0.01)
    assert np.abs(difference.mean(axis=0)).max() < 0.06


@pytest.mark.parametrize("kind", [Masking, SaltAndPepper, Swap])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_share_of_the_values_is_replaced(samples, kind, share):
    X = samples
    changed = corrupted(kind(share), X)
    differs = changed != X
    assert differs.mean() == pytest.approx(share, abs=0.02)
    new = changed[differs]
    if kind is Masking:
        assert (new == 0).all()
    elif kind is SaltAndPepper:
        _, columns = differs.nonzero()
        high = new == X.max(axis=0)[columns]
        assert (high | (new == X.min(axis=0)[columns])).all()
        assert high.mean() == pytest.approx(0.5, abs=0.05)
    else:
        for column, values in enumerate(changed.T):
            assert set(values) <= set(X[:, column])
    assert (corrupted(kind(share), X, seed=1) != changed).any()


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_a_function_gets_data_as_they_came(digits, likelihood):
    seen = []

    def upside_down(X, rng):
        assert isinstance(rng, np.random.Generator)
        seen.append(X.copy())
        return X[:, ::-1]

    X, _ = digits
    ae = AE(likelihood=likelihood, corruption=upside_down, batch_size=300, **FIT)
    ae.fit(X)
    assert len(seen) == 3
    order = np.lexsort(X.reshape(300, -1).T)
    seen_order = np.lexsort(seen[0].round(4).reshape(300, -1).T)
    assert_allclose(seen[0][seen_order], X[order], atol=1e-4)
    module = ae.module_.train()
    raw = module.standardized(torch.from_numpy(X))
    changed = module._corrupted(raw, Noise())
    expected = module.standardized(torch.from_numpy(X[:, ::-1].copy()))
    assert_allclose(changed, expected, atol=1e-4)
    with pytest.raises(ValueError, match="`corruption` must return an array of the sh"):
        AE(corruption=lambda X, rng: X[:1], **FIT).fit(X)


@pytest.mark.parametrize("name", MODELS)
def test_only_training_sees_it(digits, name):
    X, y = digits
    model = MODELS[name][0](corruption=Masking(0.5), early_stopping=True, **FIT)
    model.fit(X, y)
    assert_array_equal(model.transform(X), model.transform(X))
    plain = clone(model).set_params(corruption=None).fit(X, y)
    assert model.loss_curve_ != plain.loss_curve_
    raw = model.module_.standardized(torch.from_numpy(X))
    assert model.module_._corrupted(raw, Noise()) is raw


def test_a_number_is_gaussian_noise_and_0_is_none(digits):
    X, _ = digits
    as_number, as_object = (
        VAE(corruption=c, **FIT).fit(X) for c in (0.3, GaussianNoise(0.3))
    )
    assert as_number.loss_curve_ == as_object.loss_curve_
    without, zero = (VAE(corruption=c, **FIT).fit(X) for c in (None, 0.0))
    assert without.loss_curve_ == zero.loss_curve_
    assert zero.module_.corruption is None


def test_a_denoiser_takes_noise_away(digits):
    X, _ = digits
    noisy = X[200:] + 0.25 * np.random.default_rng(0).normal(size=X[200:].shape)
    options = {"n_components": 20, "max_iter": 150, "random_state": 0}
    errors = [
        np.square(AE(corruption=c, **options).fit(X[:200]).reconstruct(noisy) - X[200:])
        for c in (None, 0.25 / X.std())
    ]
    plain, denoised = (error.mean() for error in errors)
    assert denoised < 0.8 * plain
    assert denoised < np.square(noisy - X[200:]).mean()


@pytest.mark.parametrize("kind", [GaussianNoise, Masking, SaltAndPepper, Swap])
def test_searched_in_stacks_as_alone(digits, kind):
    X, _ = digits
    name = "scale" if kind is GaussianNoise else "share"
    grid = {f"corruption__{name}": [0.1, 0.4]}
    ae = AE(3, corruption=kind(), **FIT)
    alone = GridSearchCV(ae, grid, cv=2).fit(X)
    stacked = StackedGridSearchCV(ae, grid, cv=2, verbose=1).fit(X)
    for key in ("mean_test_score", "split1_test_score"):
        assert_allclose(stacked.cv_results_[key], alone.cv_results_[key], rtol=1e-4)
    assert len(set(alone.cv_results_["mean_test_score"])) == 2


@pytest.mark.parametrize(
    ("corruption", "message"),
    [
        (-1, "corruption"),
        ("noise", "corruption"),
        (GaussianNoise(0), "`scale` of GaussianNoise must be a number > 0"),
        (Masking(1.5), "`share` of Masking must be between 0 and 1"),
        (Swap, "must be an instance"),
        (torch.nn.Dropout(0.5), "must be a function of two arguments"),
        (lambda X: X, "must be a function of two arguments"),
        (lambda X, rng: X * np.nan, "`corruption` must return finite values"),
    ],
)
def test_corruptions_that_are_none(digits, corruption, message):
    with pytest.raises(ValueError, match=message):
        AE(corruption=corruption, **FIT).fit(digits[0])


def test_corruptions_show_their_parameters():
    assert repr(Masking(0.3)) == "Masking(share=0.3)"
    assert isinstance(Function(np.add), Corruption)
    with pytest.raises(NotImplementedError, match="must define forward"):
        Corruption()(torch.zeros(2), Noise())

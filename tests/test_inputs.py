"""What X and y may be, and what surely means something else."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy
import sklearn
import torch
from cases import MODELS, SMALL
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from torch.utils.data import DataLoader, TensorDataset

from skvae import AAE, AE, MLP, VAE, Conv, ResNet, SupervisedAAE
from skvae.nn import Gaussian, Normal, SwissRoll

pytestmark = pytest.mark.filterwarnings("ignore::skvae.PosteriorCollapseWarning")
over_models = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(scope="module")
def flat(digits):
    return digits[0].reshape(300, 64), digits[1]


# Precision


@over_models
@pytest.mark.parametrize("offset", [2.0**20, 2.0**30])
def test_large_offsets_lose_nothing(name, offset, flat):
    # Multiples of 2 ** -11, to which any of these offsets is added without rounding.
    X, y = flat[0].astype(np.float64) / 128, flat[1]
    model, _ = MODELS[name]
    errors = []
    for at in (0, offset):  # of short trainings: adversaries amplify rounding
        estimator = model(**SMALL).fit(X + at, y)
        errors.append(np.square(estimator.reconstruct(X + at) - (X + at)).mean())
    assert errors[1] == pytest.approx(errors[0], rel=0.02)


def test_offsets_of_whole_numbers_lose_nothing():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 1000, (50, 4))
    expected = AE(2, **SMALL).fit_transform(X)
    moved = AE(2, **SMALL).fit_transform(X + 1_700_000_000)
    assert_allclose(moved, expected, atol=1e-4)


@over_models
def test_decoded_data_have_the_precision_of_the_training_data(name, flat):
    X, y = flat
    model, small = MODELS[name]
    for dtype, expected in [("f4", "f4"), ("f8", "f8"), ("u1", "f4"), ("i8", "f8")]:
        estimator = model(**small).fit((16 * X).astype(dtype), y)
        assert estimator.transform(X).dtype == np.float32
        codes = estimator.set_params(layer="mu").transform(X)
        for decoded in (
            estimator.reconstruct(X),
            estimator.inverse_transform(codes),
            estimator.sample(3),
        ):
            assert decoded.dtype == expected


@pytest.mark.parametrize("value", [0.1, 1e9 + 0.1, 0.0])
def test_constant_features_are_constant(value):
    X = np.full((50, 3), value)
    model = AE(1, **SMALL).fit(X)
    assert model.module_.spread == 1
    assert_allclose(model.inverse_transform(np.zeros((1, 1))), X[:1], atol=1)


def test_values_beyond_single_precision_are_an_error():
    X = np.random.default_rng(0).normal(size=(20, 3))
    X[3, 1] = 1e39
    with pytest.raises(ValueError, match=r"X holds values beyond 3\.4e\+38"):
        AE().fit(X)


@pytest.mark.parametrize("model", [AE, VAE, AAE])
def test_the_default_precision_of_torch_does_not_matter(model, flat):
    X, _ = flat
    own = torch.nn.Linear(64, 8), torch.nn.Linear(10, 64)
    expected = [model(**SMALL).fit(X), model(architecture=own, **SMALL).fit(X)]
    torch.set_default_dtype(torch.float64)
    try:
        estimators = [clone(estimator).fit(X) for estimator in expected]
        for estimator in estimators:
            estimator.set_params(layer="z")
        codes = [estimator.transform(X) for estimator in estimators]
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    for estimator, Z in zip(expected, codes, strict=True):
        assert_array_equal(estimator.set_params(layer="z").transform(X), Z)


# Tensors and files


@over_models
def test_tensors_in_arrays_out(name, flat):
    X, y = flat
    model, small = MODELS[name]
    expected = model(**small).fit(X, y)
    estimator = clone(expected).fit(
        torch.tensor(X, requires_grad=True), torch.tensor(y)
    )
    Z = estimator.set_params(layer="mu").transform(torch.tensor(X, requires_grad=True))
    assert isinstance(Z, np.ndarray)
    assert_array_equal(Z, expected.set_params(layer="mu").transform(X))
    codes = torch.tensor(Z, requires_grad=True)
    assert_array_equal(
        estimator.inverse_transform(codes), expected.inverse_transform(Z)
    )


def test_devices_may_be_those_of_torch(flat, tmp_path):
    X, _ = flat
    expected = AE(device="cpu", **SMALL).fit_transform(X)
    model = clone(AE(device=torch.device("cpu"), memory=tmp_path, **SMALL))
    for _ in range(2):
        assert_array_equal(model.fit_transform(X), expected)
    model = pickle.loads(pickle.dumps(model))
    assert model.partial_fit(X).n_iter_ == 4
    with pytest.raises(TypeError, match=r"must be a str or a torch\.device, got 0"):
        AE(device=0).fit(X)


dispatches = pytest.mark.skipif(
    tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 14),
    reason="scikit-learn's array_api_dispatch needs SciPy 1.14",
)
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@dispatches
@over_models
@pytest.mark.parametrize("device", DEVICES)
def test_tensors_out_with_array_api_dispatch(name, device, flat):
    X, y = flat
    model, small = MODELS[name]
    expected = model(device=device, **small).fit(X, y).set_params(layer=["mu", "z"])
    tensor = torch.tensor(X, device=device)
    with sklearn.config_context(array_api_dispatch=True):
        estimator = clone(expected).fit(tensor, y)
        results = {
            method: getattr(estimator, method)(tensor)
            for method in ("transform", "reconstruct", "score_samples")
        }
        if hasattr(estimator, "predict_proba"):
            results["predict_proba"] = estimator.predict_proba(tensor)
            assert_array_equal(estimator.predict(tensor), expected.predict(X))
        codes = estimator.set_params(layer="mu").transform(tensor)
        results["inverse_transform"] = estimator.inverse_transform(codes)
        if name != "AAEClassifier":  # whose score is the accuracy
            assert estimator.score(tensor) == pytest.approx(expected.score(X))
    for method, result in results.items():
        assert isinstance(result, torch.Tensor), method
        assert result.device == tensor.device
        assert not result.is_inference()
        if method == "inverse_transform":
            expected.set_params(layer="mu")
            X = expected.transform(X)
        assert_array_equal(result.cpu().numpy(), getattr(expected, method)(X))


@dispatches
def test_tensors_keep_their_kind_as_in_pca(flat):
    tensor = torch.tensor(flat[0], dtype=torch.float64)
    with sklearn.config_context(array_api_dispatch=True):
        for estimator in (PCA(2), VAE(2, **SMALL)):
            Z = estimator.fit_transform(tensor)
            assert isinstance(Z, torch.Tensor)
            back = estimator.inverse_transform(Z)
            assert isinstance(back, torch.Tensor)
            assert back.dtype == torch.float64


def test_files_that_are_read_only_train_alike(flat, tmp_path):
    X, y = flat
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for model in (VAE, SupervisedAAE):
        expected = model(early_stopping=True, **SMALL).fit(X, y)
        estimator = clone(expected).fit(mapped, y)
        assert estimator.loss_curve_ == expected.loss_curve_
        assert_array_equal(estimator.transform(mapped), expected.transform(X))


def test_files_that_are_read_only_are_shared_not_copied(flat):
    from skvae._engine.rows import as_tensor

    X = flat[0].copy()
    X.flags.writeable = False
    assert as_tensor(X).data_ptr() == X.ctypes.data


# What surely means something else


def test_arrays_in_a_list_are_doubted(digits):
    X, _ = digits
    tensors = [torch.tensor(X[:100], requires_grad=True), torch.tensor(X[100:200])]
    for parts in ([X[:100], X[100:200]], (X[:9].tolist(), X[9:18].tolist()), tensors):
        with pytest.warns(UserWarning, match=r"X is a list of 2 arrays .* np\.stack"):
            AE(**SMALL).fit(parts)
    AE(**SMALL).fit(list(X))


@pytest.mark.parametrize("architecture", ["conv", "resnet", Conv(channels=(4,))])
@pytest.mark.parametrize("shape", [(8, 8, 1), (16, 16, 3), (8, 8, 8, 1)])
def test_channels_last_are_refused(architecture, shape):
    X = np.zeros((4, *shape))
    with pytest.raises(ValueError, match=r"channels last.*np\.moveaxis"):
        AE(architecture=architecture).fit(X)
    AE(architecture=architecture, **SMALL).fit(np.moveaxis(X, -1, 1))


def test_a_narrow_last_axis_may_be_space():
    X = np.random.default_rng(0).random((4, 8, 8, 3))
    AE(architecture=Conv(channels=(4,), spatial_dims=2), **SMALL).fit(X)


@pytest.mark.parametrize("architecture", ["conv", ResNet(channels=(4,))])
def test_tables_are_no_signals(architecture, flat):
    X, _ = flat
    with pytest.warns(UserWarning, match="set `image_shape`.*take MLP"):
        AE(architecture=architecture, max_iter=1).fit(X[:20])
    AE(architecture=Conv(channels=(4,), spatial_dims=1), max_iter=1).fit(X[:20])
    AE(architecture=architecture, image_shape=(8, 8), max_iter=1).fit(X[:20])


@pytest.mark.parametrize("model", [AE, VAE, AAE])
def test_a_target_as_y_is_doubted(model, digits):
    X, _ = digits
    noisy = X + np.random.default_rng(0).normal(size=X.shape)
    for method in ("fit", "partial_fit"):
        with pytest.warns(UserWarning, match="`y` has the shape of X and is ignored"):
            getattr(model(**SMALL), method)(noisy, X)
    model(**SMALL).fit(X, X)


def test_loaders_of_torch_are_refused(flat):
    X = DataLoader(TensorDataset(torch.tensor(flat[0])))
    with pytest.raises(TypeError, match=r"X is a DataLoader.*or a Dataset of samples"):
        AE().fit(X)


def test_dates_are_refused(flat):
    dates = pd.date_range("2020-01-01", periods=20)
    tables = [
        pd.DataFrame({"a": np.arange(20.0), "date": dates}),
        pd.DataFrame({"date": dates.tz_localize("UTC")}),
        dates.to_numpy()[:, None],
        (dates - dates[0]).to_numpy()[:, None],
        dates.to_numpy()[:, None].astype("M8[us]").astype(object),
        pd.DataFrame({"date": dates.date}),
    ]
    for X in tables:
        with pytest.raises(TypeError, match="X holds dates or durations"):
            AE().fit(X)


def test_masked_values_are_refused(flat):
    X, _ = flat
    masked = np.ma.masked_less(X, 0.1)
    with pytest.raises(ValueError, match=r"X holds masked values.*SimpleImputer"):
        AE().fit(masked)
    whole = np.ma.masked_less(X, -1)
    assert_array_equal(
        AE(**SMALL).fit(whole).transform(whole), AE(**SMALL).fit_transform(X)
    )


@pytest.mark.parametrize(
    "parameters",
    [
        *({"n_components": True}, {"max_iter": True}, {"batch_size": True}),
        *({"learning_rate": True}, {"n_iter_no_change": np.True_}, {"tol": False}),
        *({"beta": True}, {"beta_warmup": True}, {"image_shape": (64, True)}),
        {"architecture": MLP(hidden_layer_sizes=(True,))},
        {"architecture": MLP(dropout=False)},
        {"architecture": Conv(spatial_dims=True), "image_shape": (8, 8)},
        {"architecture": Conv(dense=True), "image_shape": (8, 8)},
    ],
    ids=str,
)
def test_bools_are_no_numbers(parameters, flat):
    with pytest.raises(ValueError, match=r"must be|must hold"):
        VAE(**parameters).fit(flat[0])


def test_a_swiss_roll_of_three_components_is_doubted(flat):
    X, _ = flat
    with pytest.warns(UserWarning, match="no sheet rolled up in space"):
        AAE(3, prior="swiss_roll", max_iter=1).fit(X)
    AAE(4, prior=SwissRoll(), max_iter=1).fit(X)


# Equal parameters, and scores without a density


def test_equal_parameters_of_other_types_go_on(flat):
    X, y = flat
    prior = [0.1] * 10
    changes = [
        ("AAEClassifier", {"class_prior": prior}, {"class_prior": np.array(prior)}),
        ("AAE", {"prior": "normal"}, {"prior": Normal()}),
        ("AE", {"likelihood": "gaussian"}, {"likelihood": Gaussian()}),
        ("AE", {"architecture": "mlp"}, {"architecture": MLP()}),
        ("AE", {"image_shape": (8, 8)}, {"image_shape": np.array([8, 8])}),
    ]
    for name, before, after in changes:
        model, small = MODELS[name]
        estimator = model(**small, **before).fit(X, y)
        for parameters in (after, before):
            estimator.set_params(**parameters).partial_fit(X, y)
        assert estimator.n_iter_ == small["max_iter"] + 2
    with pytest.raises(ValueError, match="`prior` was"):
        AAE(**SMALL).fit(X).set_params(prior=Normal(2.0)).partial_fit(X)


def test_squared_errors_of_classes_are_averaged(flat):
    X, y = flat
    model = SupervisedAAE(likelihood="squared_error", **SMALL).fit(X, y)
    by_class = [model.score_samples(X, label) for label in model.classes_]
    expected = np.average(by_class, axis=0, weights=model.class_prior_)
    assert_allclose(model.score_samples(X), expected, rtol=1e-5)
    error = np.square(model.reconstruct(X, y=3) - X).sum(axis=1)
    assert_allclose(-model.score_samples(X, 3), error, rtol=1e-4)


@pytest.mark.parametrize("name", ["SupervisedAAE", "AAEClassifier", "AAEClusterer"])
@pytest.mark.parametrize("prior", ["normal", SwissRoll(by_class=True)])
def test_sample_decodes_sample_codes(name, prior, flat):
    X, y = flat
    model, small = MODELS[name]
    if name == "AAEClusterer":
        prior = "normal"
    model = model(prior=prior, **small).fit(X, y)
    codes = model.sample_codes(20, random_state=3)
    samples = model.sample(20, random_state=3)
    by_class = [model.inverse_transform(codes, y=label) for label in model.classes_]
    distances = [np.abs(decoded - samples).max(axis=1) for decoded in by_class]
    assert np.min(distances, axis=0).max() < 1e-5
    label = model.classes_[1]
    same_class = model.sample(20, y=label, random_state=3)
    told = {} if prior == "normal" else {"y": label}
    codes = model.sample_codes(20, **told, random_state=3)
    assert_allclose(same_class, model.inverse_transform(codes, y=label), atol=1e-5)


# A fit that went wrong


def test_a_fit_worse_than_the_mean_says_so(flat):
    X, _ = flat
    with pytest.warns(match="worse than their mean does.*or lower `learning_rate`"):
        AE(learning_rate=1.0, max_iter=5, random_state=0).fit(X)


@pytest.mark.parametrize("n_components", [2, 10])
def test_outliers_do_not_make_a_linear_vae_diverge(n_components):
    rng = np.random.default_rng(0)
    X = rng.standard_t(2, size=(200, 3)) @ rng.normal(size=(3, 600))
    X += 0.3 * rng.standard_t(2, size=X.shape)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    linear = MLP(hidden_layer_sizes=())
    model = VAE(n_components, architecture=linear, batch_size=16, random_state=0)
    model.fit(X)
    assert max(model.loss_curve_[10:]) < model.loss_curve_[0]
    assert np.square(model.reconstruct(X) - X).mean() < 0.7


@pytest.mark.parametrize(
    ("model", "X"),
    [
        (
            VAE(2, likelihood="bernoulli", learning_rate=10.0),
            np.random.default_rng(0).integers(0, 2, (200, 6)),
        ),
        (AE(2, learning_rate=1.0), np.full((50, 6), 5.0)),
    ],
)
def test_saturated_and_constant_data_can_go_wrong_too(model, X):
    with pytest.warns(match="worse than their mean does"):
        model.set_params(max_iter=30, random_state=0).fit(X)


def test_constants_beside_their_rounding_are_no_alarm():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AE(2, max_iter=20, random_state=0).fit(np.full((50, 6), 1e9 + 0.1))


def test_masked_labels_and_groups_are_refused(flat):
    X, y = flat
    masked = np.ma.array(y, mask=y == 3)
    with pytest.raises(ValueError, match=r"`y` holds masked values"):
        SupervisedAAE(**SMALL).fit(X, masked)
    with pytest.raises(ValueError, match=r"`groups` lacks"):
        AE(early_stopping=True, **SMALL).fit(X, groups=masked)


@dispatches
def test_labels_may_be_tensors_with_array_api_dispatch(flat):
    X, y = flat
    with sklearn.config_context(array_api_dispatch=True):
        model = SupervisedAAE(**SMALL).fit(torch.tensor(X), torch.tensor(y))
    assert_array_equal(model.classes_, np.arange(10))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_fit_needs_no_gradients_around_it(context, flat):
    X, _ = flat
    expected = VAE(**SMALL).fit_transform(X)
    with context():
        assert_array_equal(VAE(**SMALL).fit_transform(X), expected)


def test_rows_of_masked_values_are_refused(flat):
    rows = list(np.ma.masked_less(flat[0], 0.1))
    with pytest.raises(ValueError, match=r"X holds masked values"):
        AE().fit(rows)


@dispatches
def test_complex_tensors_are_refused(flat):
    tensor = torch.tensor(flat[0]) + 0j
    with (
        sklearn.config_context(array_api_dispatch=True),
        pytest.raises(ValueError, match=r"X holds complex numbers"),
    ):
        AE().fit(tensor)


def test_values_below_single_precision_are_an_error(flat):
    with pytest.raises(ValueError, match=r"features spread by less than 1\.2e-38"):
        AE(**SMALL).fit(1e-200 * flat[0].astype(np.float64))


def test_autocast_changes_nothing(flat):
    expected = VAE(**SMALL).fit_transform(flat[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_array_equal(VAE(**SMALL).fit_transform(flat[0]), expected)


def test_double_precision_that_comes_later_is_kept(flat):
    X = flat[0].astype(np.float64) + 2.0**20
    model = AE(**SMALL).partial_fit(X.astype(np.float32)).partial_fit(X)
    assert model.reconstruct(X).dtype == np.float64

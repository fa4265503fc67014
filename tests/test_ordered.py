import pickle

import numpy as np
import pandas as pd
import pytest
from cases import MODELS
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skvae import AAE, AE, MLP, VAE, AAEClassifier, SupervisedAAE
from skvae._engine.net import Net
from skvae.nn import octaves

FIT = {"max_iter": 8, "random_state": 0}
LINEAR = {"architecture": MLP(()), "likelihood": "squared_error", "batch_size": 32}


@pytest.fixture(scope="module")
def vae(digits):
    return VAE(6, ordered=True, **FIT).fit(*digits)


def near_four_axes(noise):
    """Draw samples of twelve columns that vary along four axes, and a little beside."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(12, 12)))[0][:4]
    codes = rng.normal(size=(400, 4)) * [3.0, 2.2, 1.6, 1.1]
    return codes @ axes + noise * rng.normal(size=(400, 12))


@pytest.fixture(scope="module")
def plane():
    return near_four_axes(noise=0.3)


@pytest.mark.parametrize(
    ("n_components", "expected"),
    [(1, [1]), (2, [2]), (3, [2, 3]), (8, [2, 4, 8]), (10, [2, 4, 8, 10])],
)
def test_octaves_end_with_the_whole_code(n_components, expected):
    assert octaves(n_components) == expected


def test_a_prefix_is_the_beginning_of_a_layer(vae, digits):
    X, _ = digits
    layers = {"mu": 3, "z": 2, "logvar": 6, "encoder.1": 5, "decoder": 2}
    outputs = vae.extract(X[:9], list(layers))
    prefixes = vae.extract(X[:9], [f"{name}[:{n}]" for name, n in layers.items()])
    for (name, n), values in zip(layers.items(), prefixes.values(), strict=True):
        assert_array_equal(values, outputs[name][:, :n])


def test_columns_of_prefixes_are_named_and_searched_without_a_refit(digits, tmp_path):
    X, y = digits
    trained = []
    original = Net.train

    class Counting:
        def __call__(self, *args, **kwargs):
            trained.append(1)
            return original(*args, **kwargs)

    vae = VAE(4, ordered=True, memory=tmp_path, **FIT)
    pipeline = make_pipeline(vae, LogisticRegression(max_iter=1000))
    layers = ["mu[:1]", "mu[:3]", ["mu[:2]", "logvar[:1]"]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Net, "train", lambda *args, **kwargs: Counting()(*args, **kwargs))
        search = GridSearchCV(pipeline, {"vae__layer": layers}, cv=2).fit(X, y)
    assert len(trained) == 3  # two folds, and the whole
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] < scores[1]
    names = vae.set_params(layer=layers[2]).fit(X).get_feature_names_out()
    assert list(names) == ["mu_0", "mu_1", "logvar_0"]


@pytest.mark.parametrize("layer", ["mu[:0]", "mu[:7]", "mu[1:]", "mu[:]", "nu[:1]"])
def test_prefixes_that_are_none(vae, digits, layer):
    with pytest.raises(ValueError, match="layer"):
        vae.extract(digits[0], layer)
    with pytest.raises(ValueError, match="layer"):
        vae.extract(digits[0], ["mu", "mu[:2]"])  # the same columns twice


@pytest.mark.parametrize("name", MODELS)
def test_prefixes_are_decoded(digits, name):
    X, y = digits
    model = MODELS[name][0](n_components=6, ordered=True, **FIT).fit(X, y)
    assert model.module_.decoder is not model.module_.prefixes.heads[0].decoder
    for n in (1, 2, 5):
        reconstruction = model.reconstruct(X[:9], n_components=n)
        codes = model.set_params(layer=f"mu[:{n}]").transform(X[:9])
        assert codes.shape == (9, n)
        assert np.isfinite(reconstruction).all()
        if name in ("AE", "VAE", "AAE"):
            decoded = model.inverse_transform(codes)
            assert_allclose(decoded, reconstruction, rtol=1e-5, atol=1e-5)
        else:
            given = model.reconstruct(X[:9], y[:9] % 8, n_components=n)
            decoded = model.inverse_transform(codes, y[:9] % 8)
            assert_allclose(decoded, given, rtol=1e-5, atol=1e-5)
    ratios = model.explained_variance_ratio_
    assert ratios.shape == (6,)
    by_class = {"y": y} if name == "SupervisedAAE" else {}
    error = np.square(model.reconstruct(X, **by_class) - X).mean()
    assert ratios.sum() == pytest.approx(1 - error / X.var(axis=0).mean(), abs=1e-4)


def test_a_linear_one_finds_the_axes_of_pca():
    X = near_four_axes(noise=0.05)
    options = {**LINEAR, "max_iter": 300, "learning_rate": 1e-2, "random_state": 0}
    ae, pca = AE(4, ordered=True, **options).fit(X), PCA(4).fit(X)
    codes, scores = ae.transform(X), pca.transform(X)
    for i in range(4):
        assert abs(np.corrcoef(codes[:, i], scores[:, i])[0, 1]) > 0.98
    explained = pca.explained_variance_ratio_
    assert_allclose(ae.explained_variance_ratio_, explained, atol=0.01)
    unordered = AE(4, **options).fit(X).transform(X)
    axes = np.corrcoef(unordered.T, scores.T)[:4, 4:]
    assert np.abs(np.diag(axes)).min() < 0.9  # an AE has no order by itself


def test_each_prefix_reconstructs_better_than_pca(digits):
    X, _ = digits
    X = X.reshape(len(X), -1)
    train, test = X[::2], X[1::2]
    options = {"max_iter": 60, "learning_rate": 3e-3, "batch_size": 32}
    ae = AE(8, ordered=True, random_state=0, **options).fit(train)
    for n in (2, 4, 8):
        pca = PCA(n).fit(train)
        linear = np.square(pca.inverse_transform(pca.transform(test)) - test).mean()
        assert np.square(ae.reconstruct(test, n_components=n) - test).mean() < linear


@pytest.mark.parametrize("n_val", [None, 100])
def test_auto_keeps_what_held_out_samples_justify(plane, n_val):
    options = {**LINEAR, "likelihood": "gaussian", "max_iter": 100, "random_state": 0}
    X_val = None if n_val is None else plane[-n_val:]
    auto = VAE("auto", learning_rate=3e-3, **options).fit(plane[:300], X_val=X_val)
    assert auto.n_components_ == 4
    assert auto.layer_names_["mu"] == auto.layer_names_["z"] == (4,)
    assert auto.transform(plane).shape == (400, 4)
    assert auto.extract(plane, ["mu", "encoder"])["mu"].shape == (400, 4)
    assert auto.sample_codes(5).shape == (5, 4)
    assert auto.explained_variance_ratio_.shape == (4,)
    whole = auto.inverse_transform(auto.transform(plane))
    assert_allclose(whole, auto.reconstruct(plane), rtol=1e-4, atol=1e-4)
    again = pickle.loads(pickle.dumps(auto))
    assert again.layer_names_ == auto.layer_names_
    assert_array_equal(again.transform(plane), auto.transform(plane))
    assert_array_equal(again.score_samples(plane), auto.score_samples(plane))


def test_auto_repeats_from_memory(plane, tmp_path):
    auto = AAE("auto", memory=tmp_path, **FIT).fit(plane)
    again = AAE("auto", memory=tmp_path, **FIT).fit(plane)
    assert again.callbacks_ == []
    assert again.n_components_ == auto.n_components_ <= 12
    assert_array_equal(again.sample(3), auto.sample(3))


@pytest.mark.parametrize("name", MODELS)
def test_auto_takes_tables_and_classes(digits, name):
    X, y = digits
    table = pd.DataFrame(X.reshape(len(X), -1)).add_prefix("pixel ")
    options = {"n_components": "auto", "learning_rate": 1e-2}
    model = MODELS[name][0](**options, **FIT).fit(table, y)
    assert model.n_components_ in (2, 4, 8, 16, 32)
    assert model.score_samples(table).shape == (len(X),)


def test_auto_goes_on_from_whole_codes(plane):
    auto = AE("auto", warm_start=True, **FIT).fit(plane)
    auto.fit(plane)
    assert auto.n_iter_ == 16
    assert auto.module_.mu.out_features == 12
    with pytest.raises(ValueError, match="partial_fit holds none out"):
        auto.partial_fit(plane)
    with pytest.raises(ValueError, match="n_components='auto' would hold out all"):
        AE("auto").fit(plane[:1])


def test_only_an_ordered_code_has_prefixes(digits):
    X, y = digits
    ae = AE(3, layer="mu[:2]", **FIT).fit(X)
    assert ae.transform(X).shape == (len(X), 2)
    assert not hasattr(ae, "explained_variance_ratio_")
    with pytest.raises(AttributeError) as error:
        ae.inverse_transform(X)
    assert "only ordered=True can decode" in str(error.value.__cause__)
    ae.set_params(ordered=True)  # without a fit
    with pytest.raises(ValueError, match="ordered=True"):
        ae.inverse_transform(ae.transform(X))
    with pytest.raises(ValueError, match="ordered=True"):
        ae.reconstruct(X, n_components=2)
    with pytest.raises(ValueError, match="ordered=True"):
        SupervisedAAE(3, **FIT).fit(X, y).reconstruct(X, y, n_components=2)
    ordered = AE(3, ordered=True, **FIT).fit(X)
    plain = ordered.set_params(ordered=False).fit(X)
    assert not hasattr(plain, "explained_variance_ratio_")
    with pytest.raises(ValueError, match="from 1 to 3"):
        AE(3, ordered=True, **FIT).fit(X).reconstruct(X, n_components=4)


def test_a_change_of_the_order_needs_a_new_start(digits):
    X, _ = digits
    ae = AE(3, warm_start=True, **FIT).fit(X).set_params(ordered=True)
    with pytest.raises(ValueError, match="`ordered` was False"):
        ae.fit(X)


def test_probabilities_are_without_the_smoothing_of_labels(digits):
    X, y = digits
    model = AAEClassifier(label_smoothing=0.3, **FIT).fit(X, y)
    raw = model.extract(X, "proba.1")["proba.1"].astype(np.float64)
    expected = np.maximum((raw - 0.03) / 0.7, 0.03 * 0.03)
    expected /= expected.sum(axis=1, keepdims=True)
    assert_allclose(model.predict_proba(X), expected, atol=1e-5)
    both = model.extract(X, ["proba", "encoder.0"])["proba"]
    assert_array_equal(both, model.predict_proba(X))
    assert_array_equal(model.predict(X), model.classes_[raw.argmax(axis=1)])

import threading

import numpy as np
import pytest
import torch
from cases import MODELS
from joblib import Memory, parallel_config
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback, EpochScoring, LRScheduler

from skvae import AAE, AE, MLP, VAE, CacheWarning, Conv, Discriminator
from skvae._engine.net import Net
from skvae.nn import Gaussian, Normal

FIT = {"max_iter": 8, "random_state": 0}


@pytest.fixture(scope="module")
def vae(digits):
    architecture = Conv(channels=(4, 8), dense=16)
    return VAE(3, architecture=architecture, **FIT).fit(digits[0])


def test_layer_names_say_the_shape_of_one_sample(vae, digits):
    names = vae.layer_names_
    assert list(names)[:3] == ["mu", "logvar", "z"]
    assert names["mu"] == names["z"] == names["logvar"] == (3,)
    assert names["encoder.1"] == (4, 4, 4)
    assert names["decoder"] == (8, 8)
    outputs = vae.extract(digits[0][:7], list(names))
    assert {name: values.shape[1:] for name, values in outputs.items()} == names
    assert all(len(values) == 7 for values in outputs.values())


def test_every_layer_is_what_the_modules_compute(vae, digits):
    X, _ = digits
    module = vae.module_
    with torch.no_grad():
        hidden = module.standardized(torch.from_numpy(X[:128]))
        for i, layer in enumerate(module.encoder):
            hidden = layer(hidden)
            actual = vae.extract(X[:128], f"encoder.{i}")[f"encoder.{i}"]
            np.testing.assert_allclose(actual, hidden, atol=1e-6)
        mu, logvar = module.mu(hidden), module.logvar(hidden)
    np.testing.assert_allclose(vae.transform(X[:128]), mu, atol=1e-6)
    outputs = vae.extract(X[:128], ["logvar", "decoder.0"])
    np.testing.assert_allclose(outputs["logvar"], logvar, atol=1e-6)
    with torch.no_grad():
        np.testing.assert_allclose(
            outputs["decoder.0"], module.decoder[0](mu), atol=1e-6
        )


def test_layer_changes_without_a_refit(digits):
    X, _ = digits
    model = VAE(3, **FIT).fit(X)
    module, widths = model.module_, {}
    for layer in ("mu", "z", "encoder.1", ["mu", "encoder.1"], ("logvar",)):
        model.set_params(layer=layer)
        widths[str(layer)] = model.transform(X).shape[1]
        assert len(model.get_feature_names_out()) == widths[str(layer)]
    assert list(widths.values()) == [3, 3, 256, 259, 3]
    assert model.module_ is module


def test_columns_stand_side_by_side_named_after_their_layer(vae, digits):
    X, _ = digits
    model = clone(vae).set_params(layer=["logvar", "mu"]).fit(X)
    assert list(model.get_feature_names_out()) == [
        *("logvar_0", "logvar_1", "logvar_2", "mu_0", "mu_1", "mu_2")
    ]
    outputs = model.extract(X, ["mu", "logvar"])
    expected = np.hstack([outputs["logvar"], outputs["mu"]])
    assert_array_equal(model.transform(X), expected)


@pytest.mark.parametrize("layer", ["nu", ["mu", "nu"], [], ["mu", "mu"], [["mu"]]])
def test_a_wrong_layer_lists_the_valid_ones(layer, digits):
    X, _ = digits
    model = AE(architecture=MLP((8,)), **FIT)
    message = r"`layer` must be one of.*\['mu', 'z', 'encoder.0', "
    with pytest.raises(ValueError, match=message):
        model.set_params(layer=layer).fit(X)
    assert not hasattr(model, "module_")
    model.set_params(layer="mu").fit(X).set_params(layer=layer)
    for call in (model.transform, lambda X: model.get_feature_names_out()):
        with pytest.raises(ValueError, match=message):
            call(X)
    with pytest.raises(ValueError, match="got 'logvar'"):
        model.extract(X, "logvar")


def test_inverse_transform_is_there_for_codes_only(digits):
    X, _ = digits
    model = VAE(3, **FIT).fit(X)
    for layer in ("logvar", "encoder.1", ["mu", "z"]):
        model.set_params(layer=layer)
        assert not hasattr(model, "inverse_transform")
        with pytest.raises(AttributeError):
            model.inverse_transform(np.zeros((1, 3)))
    for layer in ("mu", "z", ["mu"]):
        assert hasattr(model.set_params(layer=layer), "inverse_transform")


def test_forward_pass_stops_at_the_deepest_layer(digits):
    X, _ = digits
    model = VAE(3, architecture=MLP((16, 8)), **FIT).fit(X)
    ran = []
    for name, module in model.module_.named_modules():
        module.register_forward_pre_hook(lambda m, args, name=name: ran.append(name))
    model.extract(X[:5], ["encoder.1", "encoder.2"])
    assert ran == ["", "encoder", "encoder.0", "encoder.1", "encoder.2"]
    ran.clear()
    model.extract(X[:5], "mu")
    assert "logvar" not in ran
    assert "decoder" not in ran


def test_z_is_a_draw_from_the_posterior(digits):
    X, _ = digits
    outputs = VAE(3, **FIT).fit(X).extract(X, ["mu", "logvar", "z"])
    noise = (outputs["z"] - outputs["mu"]) / np.exp(outputs["logvar"] / 2)
    assert abs(noise.mean()) < 0.1
    assert abs(noise.std() - 1) < 0.1
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 0.15
    other = VAE(3, **FIT).set_params(random_state=1).fit(X)
    assert not np.allclose(other.extract(X, "z")["z"], outputs["z"], atol=0.5)


def test_equal_rows_get_equal_z(digits):
    X, _ = digits
    model = VAE(3, layer="z", **FIT).fit(X)
    twice = np.concatenate([X[:3], -0.0 * X[:1], X[:3], 0.0 * X[:1]])
    Z = model.transform(twice)
    assert_array_equal(Z[:4], Z[4:])
    assert len(np.unique(Z, axis=0)) == 4


def test_in_place_layers_do_not_change_what_was_captured(digits):
    X, _ = digits
    linear = torch.nn.Linear(64, 8)
    encoder = torch.nn.Sequential(
        torch.nn.Flatten(), linear, torch.nn.ReLU(inplace=True)
    )
    decoder = torch.nn.Sequential(torch.nn.Linear(3, 64), torch.nn.Unflatten(1, (8, 8)))
    model = AE(3, architecture=(encoder, decoder), **FIT).fit(X)
    assert model.extract(X, ["encoder.1", "encoder.2"])["encoder.1"].min() < 0


def test_threads_share_a_model(vae, digits):
    X, _ = digits
    names = [name for name in vae.layer_names_ if name.startswith("encoder.")]
    expected = vae.extract(X, names)
    failures = []

    def work(name):
        for _ in range(20):
            if not np.array_equal(vae.extract(X, name)[name], expected[name]):
                failures.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in names[:4]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# --- memory ---------------------------------------------------------------------------


@pytest.fixture
def trainings(monkeypatch, tmp_path):
    """Count the trainings of this process and of its workers, in a file."""
    log = tmp_path / "trainings"
    log.touch()
    train = Net.train

    def counted(self, *args, **kwargs):
        with log.open("a") as file:
            file.write(".")
        return train(self, *args, **kwargs)

    monkeypatch.setattr(Net, "train", counted)
    return lambda: len(log.read_text())


@pytest.mark.parametrize("kind", [str, Memory, lambda path: path])
def test_a_search_over_layers_trains_once_per_fold(kind, digits, trainings, tmp_path):
    X, y = digits
    memory = kind(tmp_path / "cache")
    if kind is Memory:
        memory.verbose = 0
    pipeline = make_pipeline(
        VAE(3, memory=memory, **FIT), LogisticRegression(max_iter=2000)
    )
    grid = {
        "vae__layer": ["mu", "z", "encoder.1"],
        "logisticregression__C": [0.1, 1.0],
    }
    cached = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert trainings() == 3 + 1
    plain = clone(pipeline).set_params(vae__memory=None)
    plain = GridSearchCV(plain, grid, cv=3).fit(X, y)
    assert trainings() == 3 + 1 + 3 * 6 + 1
    for name in ("mean_test_score", "std_test_score"):
        assert_array_equal(cached.cv_results_[name], plain.cv_results_[name])
    assert_array_equal(cached.predict(X), plain.predict(X))


def test_of_two_workers_that_want_one_training_one_waits(digits, trainings, tmp_path):
    X, y = digits
    pipeline = make_pipeline(
        VAE(3, memory=tmp_path / "cache", max_iter=60, random_state=0),
        LogisticRegression(max_iter=2000),
    )
    grid = {"vae__layer": ["mu", "z", "logvar", "encoder.1"]}
    with parallel_config("threading"):
        GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X, y)
    assert trainings() == 3 + 1


def test_anything_that_matters_trains_anew(digits, trainings, tmp_path):
    X, _ = digits
    model = VAE(3, memory=tmp_path, **FIT).fit(X)
    fits = [
        lambda: clone(model).set_params(n_components=4).fit(X),
        lambda: clone(model).set_params(beta=2.0).fit(X),
        lambda: clone(model).set_params(weight_decay=0.1).fit(X),
        lambda: clone(model).set_params(random_state=1).fit(X),
        lambda: clone(model).fit(X[:200]),
        lambda: clone(model).fit(X, X_val=X[:20]),
        lambda: AE(3, memory=tmp_path, **FIT).fit(X),
        lambda: clone(model).fit(X).partial_fit(X),
    ]
    for n_trained, fit in enumerate(fits, start=1):
        fit()
        assert trainings() == 1 + n_trained
    again = clone(model).set_params(layer="z", verbose=0).fit(X)
    assert trainings() == 1 + len(fits)
    assert_array_equal(again.set_params(layer="mu").transform(X), model.transform(X))
    assert again.history_ == model.history_
    assert_array_equal(again.partial_fit(X).transform(X), fits[-1]().transform(X))


@pytest.mark.parametrize(
    "same",
    [
        {"architecture": MLP()},
        {"architecture": MLP([256, 128])},
        {"likelihood": Gaussian()},
        {"prior": Normal()},
        {"discriminator": Discriminator()},
        {"image_shape": (8, 8)},
        {"device": "cpu"},
        {"warm_start": True},
        {"tol": 0.1, "n_iter_no_change": 3, "validation_fraction": 0.5},
        {"learning_rate": np.float64(1e-3), "max_iter": np.int64(2)},
    ],
    ids=lambda same: next(iter(same)),
)
def test_what_does_not_matter_trains_nothing(same, digits, trainings, tmp_path):
    X, _ = digits
    model = AAE(2, memory=tmp_path, device="auto", max_iter=2, random_state=0)
    codes = model.fit(X).transform(X)
    again = clone(model).set_params(**same).fit(X, groups=np.arange(len(X)))
    assert_array_equal(again.transform(X), codes)
    assert trainings() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"adversarial_weight": 0.5},
        {"discriminator__learning_rate": 1e-4},
        {"validation_fraction": 0.2},
        {"tol": 1.0},
        {"n_iter_no_change": 2},
        {"early_stopping": False},
        {"batch_size": 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_matters_to_a_training_trains_anew(change, digits, trainings, tmp_path):
    X, _ = digits
    options = {"discriminator": Discriminator(), "early_stopping": True}
    model = AAE(2, memory=tmp_path, max_iter=1, random_state=0, **options).fit(X)
    clone(model).set_params(**change).fit(X)
    assert trainings() == 2


def test_groups_matter_where_some_are_held_out(digits, trainings, tmp_path):
    X, _ = digits
    model = AE(2, memory=tmp_path, max_iter=1, random_state=0, early_stopping=True)
    for n_groups in (10, 20, 10):
        model.fit(X, groups=np.arange(len(X)) % n_groups)
    assert trainings() == 2


def test_modules_of_ones_own_are_remembered(digits, trainings, tmp_path):
    X, _ = digits
    with torch.random.fork_rng():
        encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8))
        decoder = torch.nn.Sequential(
            torch.nn.Linear(3, 64), torch.nn.Unflatten(1, (8, 8))
        )
    model = AE(3, architecture=(encoder, decoder), memory=tmp_path, **FIT)
    codes = model.fit(X).transform(X)
    assert_array_equal(clone(model).fit(X).transform(X), codes)
    assert trainings() == 1
    with torch.no_grad():
        encoder[1].weight += 1
    model.fit(X)
    assert trainings() == 2


class Scaled(torch.nn.Module):
    """Holds a plain attribute besides its weights."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor
        self.linear = torch.nn.Linear(64, 8)

    def forward(self, X):
        return self.linear(self.factor * X.flatten(1))


def test_attributes_of_modules_matter(digits, trainings, tmp_path):
    X, _ = digits
    with torch.random.fork_rng():
        encoder = Scaled(1.0)
        decoder = torch.nn.Sequential(
            torch.nn.Linear(3, 64), torch.nn.Unflatten(1, (8, 8))
        )
    model = AE(3, architecture=(encoder, decoder), memory=tmp_path, **FIT).fit(X)
    encoder.factor = 5.0
    model.fit(X)
    assert trainings() == 2


def test_random_state_instances_go_on(digits, trainings, tmp_path):
    X, _ = digits

    def codes():
        rng = np.random.RandomState(0)
        model = AE(2, max_iter=1, random_state=rng, memory=tmp_path)
        return model.fit(X).transform(X), model.fit(X).transform(X)

    first, second = codes()
    assert not np.array_equal(first, second)
    again = codes()
    assert trainings() == 2
    assert_array_equal(again[0], first)
    assert_array_equal(again[1], second)


def test_callbacks_are_part_of_the_key(digits, trainings, tmp_path):
    X, _ = digits
    schedule = LRScheduler("StepLR", step_size=1)
    model = AE(2, memory=tmp_path, callbacks=[schedule], **FIT)
    codes = model.fit(X).transform(X)
    assert_array_equal(model.fit(X).transform(X), codes)
    assert trainings() == 1
    clone(model).set_params(callbacks=[LRScheduler("StepLR", step_size=2)]).fit(X)
    assert trainings() == 2
    for _ in range(2):
        scoring = EpochScoring(lambda net, X, y=None: 0.0, use_caching=False)
        clone(model).set_params(callbacks=[scoring]).fit(X)
        assert trainings() == 3


def test_cache_holds_no_value_of_the_data(digits, tmp_path):
    X, y = digits[0].astype(np.float64), digits[1]
    X[0] += np.pi
    AE(2, memory=tmp_path, **FIT).fit(X, y)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    with np.load(path, allow_pickle=False) as kept:
        values = np.concatenate(
            [kept[n].ravel() for n in kept if kept[n].dtype == "f4"]
        )
    assert not np.isin(X[0].astype(np.float32), values).any()


@pytest.mark.filterwarnings("ignore:Convolutions take each row")
def test_the_shape_of_a_sample_is_part_of_the_key(digits, trainings, tmp_path):
    X, _ = digits
    model = AE(2, architecture=Conv(channels=(4,)), memory=tmp_path, **FIT).fit(X)
    fits = [
        lambda: clone(model).fit(X.reshape(-1, 4, 16)),
        lambda: clone(model).fit(X.reshape(-1, 64)),
    ]
    for n_trained, fit in enumerate(fits, start=2):
        assert fit().loss_curve_ != model.loss_curve_
        assert trainings() == n_trained
    again = clone(model).set_params(image_shape=(8, 8)).fit(X.reshape(-1, 64))
    assert_array_equal(again.loss_curve_, model.loss_curve_)


class Interrupt(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


class InterruptWithin(Callback):
    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize("interrupt", [Interrupt, InterruptWithin])
@pytest.mark.filterwarnings("ignore:Training was interrupted")
def test_a_training_that_was_cut_off_is_not_kept(interrupt, digits, tmp_path):
    X, _ = digits
    model = AE(2, memory=tmp_path, callbacks=[interrupt()], max_iter=4, random_state=0)
    assert model.fit(X).n_iter_ == 2
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["AE", "VAE", "AAEClassifier"])
def test_a_damaged_entry_is_never_used(name, digits, tmp_path):
    X, y = digits
    model, small = MODELS[name]
    model = model(2, memory=tmp_path, **small).fit(X, y)
    (path,) = tmp_path.rglob("*.npz")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(5):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=3):
            damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        again = clone(model).fit(X, y)
        assert_array_equal(again.transform(X), model.transform(X))
    assert clone(model).fit(X, y).history_ is not None


def test_what_callbacks_write_is_kept_or_a_warning_says_so(digits, trainings, tmp_path):
    X, _ = digits

    class Note(Callback):
        def __init__(self, value):
            self.value = value

        def on_epoch_end(self, net, **kwargs):
            net.history.record("note", self.value)

    model = AE(2, memory=tmp_path, callbacks=[Note(np.float32(0.1))], **FIT)
    history = model.fit(X).history_
    assert clone(model).fit(X).history_ == history
    assert trainings() == 1
    model.set_params(callbacks=[Note(object())])
    with pytest.warns(CacheWarning, match="object is no array"):
        model.fit(X)
    assert model.n_iter_ == FIT["max_iter"]


def test_a_remembered_training_still_checks_the_layer(digits, tmp_path):
    X, _ = digits
    model = AE(2, memory=tmp_path, **FIT).fit(X)
    with pytest.raises(ValueError, match="`layer` must be one of"):
        model.set_params(layer="nu").fit(X)


def test_memory_without_a_folder_trains(digits, trainings):
    AE(2, memory=Memory(None), **FIT).fit(digits[0])
    assert trainings() == 1


def test_memory_must_be_a_cache(digits):
    with pytest.raises(ValueError, match="'memory' parameter of AE"):
        AE(memory=3).fit(digits[0])


def test_what_cannot_be_hashed_is_named(digits, tmp_path):
    class Locked:
        def __init__(self):
            self.lock = threading.Lock()

        def __call__(self, n_samples, rng):
            return rng.normal(size=(n_samples, 10))

    model = AAE(prior=Locked(), memory=tmp_path, **FIT)
    with pytest.raises(ValueError, match=r"by `prior` too, but Locked holds .*=None\."):
        model.fit(digits[0])

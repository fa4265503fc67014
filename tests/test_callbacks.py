"""Callbacks of skorch, each alone, and of scikit-learn."""

import gc
import pickle
import sys
from importlib.util import find_spec
from itertools import cycle
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
import skorch.callbacks
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNet
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    PrintLog,
    TensorBoard,
    TrainEndCheckpoint,
    Unfreezer,
)
from skorch.dataset import Dataset
from skorch.helper import predefined_split

from skvae import AAE, AE, VAE, AAEClassifier, AAEClusterer, SupervisedAAE

SHORT = {"max_iter": 2, "batch_size": 10, "learning_rate": 5e-3, "random_state": 0}
MODELS = [AE, VAE, AAE, AAEClassifier]


def brightness(net, X, y):
    """Score what the net predicts."""
    return float(net.predict(X).mean())


def own_score(estimator, X, y):
    """Score as the estimator does; scoring=None fails in scikit-learn 1.9."""
    return estimator.score(X, y)


def scale_up(parameter):
    with torch.no_grad():
        parameter.mul_(1.5)


# What makes each callback of skorch; `tool` stands in for a tracking tool's object.
CALLBACKS = {
    "BatchScoring": lambda make, tool, folder: make(brightness),
    "Checkpoint": lambda make, tool, folder: make(dirname=folder),
    "EarlyStopping": lambda make, tool, folder: make(patience=9),
    "EpochScoring": lambda make, tool, folder: make(brightness),
    "EpochTimer": lambda make, tool, folder: make(),
    "Freezer": lambda make, tool, folder: make("encoder*"),
    "GradientNormClipping": lambda make, tool, folder: make(1.0),
    "Initializer": lambda make, tool, folder: make("encoder*", fn=scale_up),
    "LRScheduler": lambda make, tool, folder: make("StepLR", step_size=1),
    "LoadInitState": lambda make, tool, folder: make(Checkpoint(dirname=folder)),
    "MlflowLogger": lambda make, tool, folder: make(tool, tool),
    "NeptuneLogger": lambda make, tool, folder: make(tool),
    "ParamMapper": lambda make, tool, folder: make("encoder*", fn=scale_up),
    "PassthroughScoring": lambda make, tool, folder: make("train_loss", on_train=True),
    "PrintLog": lambda make, tool, folder: make(),
    "ProgressBar": lambda make, tool, folder: make(),
    "SacredLogger": lambda make, tool, folder: make(tool),
    "TensorBoard": lambda make, tool, folder: make(tool),
    "TrainEndCheckpoint": lambda make, tool, folder: make(dirname=folder),
    "Unfreezer": lambda make, tool, folder: make("encoder*"),
    "WandbLogger": lambda make, tool, folder: make(tool),
}
# These look for what is known of held-out samples only, unless told otherwise.
OTHERWISE = {
    "Checkpoint": {"monitor": "train_loss_best"},
    "EarlyStopping": {"monitor": "train_loss"},
    "WandbLogger": {"save_model": False},
}
NOT_RUN = {
    "Callback",  # the base class
    "InputShapeSetter",  # refused, see below
    "WarmRestartLR",  # a policy for LRScheduler
}


@pytest.fixture
def flat(digits):
    X, y = digits
    return X[:90].reshape(90, 64), y[:90]


@pytest.fixture
def made(monkeypatch, tmp_path):
    """A function that makes a callback of skorch by its name."""

    class Handler:
        """What NeptuneLogger tells from a run."""

    for name in ("neptune", "neptune.handler", "neptune.types"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    sys.modules["neptune.handler"].Handler = Handler

    def make(name, **options):
        kind = getattr(skorch.callbacks, name, None)
        if kind is None:
            pytest.skip(f"this skorch has no {name}")
        callback = CALLBACKS[name](kind, MagicMock(dir=tmp_path), tmp_path)
        vars(callback).update(options)
        return callback

    return make


def test_every_callback_of_skorch_is_run_here():
    assert set(skorch.callbacks.__all__) <= set(CALLBACKS) | NOT_RUN


def plain_net(X, X_val, callback=None):
    """Train an autoencoder by skorch alone."""

    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = torch.nn.Linear(64, 4)
            self.decoder = torch.nn.Linear(4, 64)

        def forward(self, X):
            return self.decoder(self.encoder(X))

    net = NeuralNet(
        Linear,
        torch.nn.MSELoss,
        max_epochs=SHORT["max_iter"],
        batch_size=SHORT["batch_size"],
        train_split=predefined_split(Dataset(X_val, X_val)),
        callbacks=[] if callback is None else [callback],
        callbacks__print_log=None,
    )
    return net.fit(X, X)


def calls_of(callback):
    """List what a callback told its tool, without the values."""
    tools = [held for held in vars(callback).values() if isinstance(held, MagicMock)]
    names = [name for tool in tools[:1] for name, _, _ in tool.mock_calls]
    return sorted(name for name in names if "__getitem__()" not in name)


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_do_what_they_do_in_skorch(name, flat, made, capsys):
    X, _ = flat
    bare = plain_net(X[:60], X[60:])
    theirs, ours = made(name), made(name)
    net = plain_net(X[:60], X[60:], theirs)
    added = set(net.history[-1]) - set(bare.history[-1])
    plain = AE(**SHORT).fit(X[:60], X_val=X[60:])
    model = AE(callbacks=[ours], **SHORT).fit(X[:60], X_val=X[60:])
    assert set(model.history_[-1]) - set(plain.history_[-1]) == added
    assert set(calls_of(ours)) <= set(calls_of(theirs)) | {"log_scalar"}
    assert bool(calls_of(ours)) == bool(calls_of(theirs))


@pytest.mark.parametrize(
    ("name", "model"), list(zip(CALLBACKS, cycle([VAE, AAEClassifier]), strict=False))
)
def test_callbacks_run_alone_and_stay_as_they_are(name, model, flat, made):
    X, y = flat
    for options, held_out in (({}, {"X_val": X[60:]}), (OTHERWISE.get(name, {}), {})):
        callback = made(name, **options)
        before = dict(vars(callback))
        fitted = model(callbacks=[callback], warm_start=True, **SHORT)
        fitted.fit(X[:60], y[:60], **held_out)
        if not held_out:
            fitted.fit(X[:60], y[:60]).partial_fit(X[:60], y[:60])
        assert vars(callback) == before
        ((own_name, own),) = fitted.callbacks_
        assert own_name == name
        assert own is not callback
        assert type(own) is type(callback)
        assert np.isfinite(fitted.transform(X)).all()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", OTHERWISE)
def test_callbacks_that_need_held_out_samples_say_so(name, model, flat, made):
    X, y = flat
    estimator = model(callbacks=[made(name)], **SHORT)
    way_out = "save_model=False" if name == "WandbLogger" else "monitor='train_loss"
    message = f"The callback {name} asks for 'valid_loss.* `X_val` to fit .* {way_out}"
    for method in (estimator.fit, estimator.partial_fit):
        with pytest.raises(ValueError, match=message):
            method(X, y)
        with pytest.raises(NotFittedError):
            estimator.transform(X)
    estimator.set_params(early_stopping=True).fit(X, y)


def test_a_key_that_nobody_records_is_named(flat):
    callbacks = [EarlyStopping(monitor="accuracy")]
    message = r"EarlyStopping asks for 'accuracy', .* \['dur', 'epoch', .*EpochScoring"
    with pytest.raises(ValueError, match=message):
        AE(callbacks=callbacks, **SHORT).fit(flat[0])


def test_callbacks_can_not_rebuild_the_networks(flat):
    estimator = AE(callbacks=[InputShapeSetter()], **SHORT)
    with pytest.raises(
        ValueError, match=r"InputShapeSetter.* 'module__input_dim', but"
    ):
        estimator.fit(flat[0])
    assert not hasattr(estimator, "module_")


def test_errors_of_a_callback_are_its_own(flat):
    class Lookup(Callback):
        def on_epoch_end(self, net, **kwargs):
            return {}["unknown"]

    with pytest.raises(KeyError, match="unknown"):
        AE(callbacks=[Lookup()], **SHORT).fit(flat[0])


# --- what callbacks see ---------------------------------------------------------------


@pytest.mark.parametrize("use_caching", [True, False])
def test_scores_are_those_of_the_reconstructions(use_caching, flat):
    X, _ = flat
    options = {"use_caching": use_caching, "lower_is_better": False}
    metric = "neg_mean_squared_error"
    callbacks = [
        EpochScoring(metric, name="valid_score", **options),
        EpochScoring(metric, name="train_score", on_train=True, **options),
        BatchScoring(metric, name="batch_score", **options),
    ]
    model = AE(callbacks=callbacks, **SHORT).fit(X[:60], X_val=X[60:])
    errors = np.square(X - model.reconstruct(X)).mean(axis=1)
    last = model.history_[-1]
    np.testing.assert_allclose(last["valid_score"], -errors[60:].mean(), rtol=1e-5)
    np.testing.assert_allclose(last["train_score"], -errors[:60].mean(), rtol=1e-5)
    np.testing.assert_allclose(last["batch_score"], last["valid_score"], rtol=1e-5)
    plain = AE(**SHORT).fit(X[:60], X_val=X[60:])
    assert_array_equal(plain.loss_curve_, model.loss_curve_)


class Spy(Callback):
    """Keep what the methods are told, in a list that copies share."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, net, dataset_train, dataset_valid, **kwargs):
        lengths = len(dataset_train), dataset_valid and len(dataset_valid)
        self.seen.append((*lengths, net.history[-1, "batches"]))


@pytest.mark.parametrize("watched", [False, True])
def test_callbacks_see_the_samples_and_batches_of_the_training(watched, flat):
    X, _ = flat
    spy = Spy()
    callbacks = [spy, LRScheduler("StepLR", step_size=9)] if watched else [spy]
    AE(callbacks=callbacks, early_stopping=True, **SHORT).fit(X)
    assert len(spy.seen) == 2
    n_train, n_valid, batches = spy.seen[0]
    assert (n_train, n_valid) == (81, 9)
    assert [row.get("train_batch_size") for row in batches] == [10] * 8 + [1, None]
    assert batches[-1]["valid_batch_size"] == 9
    assert all(np.isfinite(row["train_loss"]) for row in batches[:-1])


def test_predictions_go_to_those_who_name_them(flat):
    X, _ = flat
    seen = []

    class Reader(Callback):
        def on_batch_end(self, net, batch, training, y_pred, **kwargs):
            seen.append((training, y_pred.shape, batch[1] is batch[0]))

    model = AE(callbacks=[Reader()], **SHORT).fit(X[:60], X_val=X[60:])
    assert seen[:7] == [(True, (10, 64), True)] * 6 + [(False, (10, 64), True)]
    plain = AE(**SHORT).fit(X[:60], X_val=X[60:])
    assert_array_equal(plain.transform(X), model.transform(X))


def test_callbacks_know_the_number_of_epochs(flat):
    epochs = []

    class Reader(Callback):
        def on_train_begin(self, net, **kwargs):
            epochs.append(net.max_epochs)

    model = AE(callbacks=[Reader()], max_iter=3, random_state=0).fit(flat[0])
    model.partial_fit(flat[0])
    assert epochs == [3, 1]


def test_scoring_leaves_the_global_random_state_alone(flat):
    state = torch.random.get_rng_state()
    AE(callbacks=[EpochScoring(brightness, on_train=True)], **SHORT).fit(flat[0])
    assert torch.equal(state, torch.random.get_rng_state())


# --- what becomes of callbacks --------------------------------------------------------


def test_a_fitted_model_holds_the_callbacks_that_ran(flat):
    X, _ = flat
    stop = EarlyStopping("train_loss", patience=1, threshold=1e9, sink=list)
    model = AE(callbacks=[("stop", stop)], random_state=0).fit(X)
    assert model.n_iter_ == 2
    ((name, own),) = model.callbacks_
    assert (name, own.misses_, own.best_epoch_) == ("stop", 1, 1)
    assert not hasattr(stop, "best_epoch_")
    assert pickle.loads(pickle.dumps(model)).callbacks_ == []
    assert not hasattr(clone(model), "callbacks_")


@pytest.mark.parametrize("kind", [AE, AAE])
def test_a_training_goes_on_from_a_checkpoint(kind, flat, tmp_path):
    X, _ = flat
    checkpoint = TrainEndCheckpoint(dirname=tmp_path)
    callbacks = [checkpoint, LoadInitState(checkpoint)]
    model = kind(callbacks=callbacks, **SHORT).fit(X)
    again = kind(callbacks=callbacks, **SHORT).fit(X)
    whole = kind(**SHORT | {"max_iter": 4}).fit(X)
    assert again.n_iter_ == 4
    assert_array_equal(again.loss_curve_, whole.loss_curve_)
    # It loads once only, also where the training goes on epoch by epoch.
    assert model.partial_fit(X).partial_fit(X).n_iter_ == 4
    assert_array_equal(model.loss_curve_, whole.loss_curve_)


@pytest.mark.parametrize("verbose", [0, 1])
def test_checkpoints_hold_all_that_they_are_asked_for(verbose, flat, tmp_path):
    X, _ = flat
    messages = []
    checkpoint = Checkpoint(
        "train_loss_best",
        f_params="params_{last_epoch[epoch]}_{last_batch[train_batch_size]}.pt",
        f_pickle="net.pkl",
        dirname=tmp_path,
        sink=messages.append,
    )
    model = AE(callbacks=[checkpoint], verbose=verbose, **SHORT).fit(X)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("params_1_10.pt", "params_2_10.pt"),
        *("optimizer.pt", "criterion.pt", "history.json", "net.pkl"),
    }
    assert not [text for text in messages if "Unable" in text]
    net = pickle.loads((tmp_path / "net.pkl").read_bytes())
    assert_array_equal(net.predict(X), model.reconstruct(X))


def test_the_best_checkpoint_comes_back_from_an_earlier_training(flat, tmp_path):
    X, _ = flat
    checkpoint = Checkpoint("train_loss_best", dirname=tmp_path, load_best=True)
    model = AE(callbacks=[checkpoint], warm_start=True, **SHORT).fit(X)
    codes = model.transform(X)
    model.set_params(learning_rate=10.0).fit(X)
    assert model.n_iter_ == 2
    assert_array_equal(model.transform(X), codes)


def test_frozen_parts_stay_frozen_where_a_training_goes_on(flat):
    X, _ = flat
    frozen = AE(callbacks=[Freezer("encoder*")], **SHORT | {"max_iter": 4}).fit(X)
    model = AE(callbacks=[Freezer("encoder*")], **SHORT).fit(X)
    model = pickle.loads(pickle.dumps(model)).partial_fit(X).partial_fit(X)
    assert_array_equal(model.loss_curve_, frozen.loss_curve_)
    thawed = model.set_params(callbacks=[Unfreezer("*", at=5)]).partial_fit(X)
    assert all(parameter.requires_grad for parameter in thawed.module_.parameters())


def test_a_table_has_one_header_where_a_training_goes_on(flat):
    lines = []
    model = AE(callbacks=[PrintLog(sink=lines.append)], random_state=0)
    model.partial_fit(flat[0]).partial_fit(flat[0])
    assert [line.split()[0] for line in lines] == ["epoch", "-------", "1", "2"]


def test_a_run_is_shared_and_never_copied(flat):
    class Run(MagicMock):
        def __deepcopy__(self, memo):
            raise TypeError("a run can't be copied")

    run = Run()
    AE(callbacks=[TensorBoard(run)], **SHORT).fit(flat[0])
    assert run.add_scalar.called


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_are_part_of_the_key_in_memory(name, flat, made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    callback = made(name, **OTHERWISE.get(name, {}))
    model = AE(callbacks=[callback], memory=folder, **SHORT)
    if name.endswith("Logger") or name == "TensorBoard":
        message = f"`memory` .* {name} holds something that can't be hashed, .*=None.$"
        with pytest.raises(ValueError, match=message):
            model.fit(flat[0])
        return
    codes = model.fit_transform(flat[0])
    assert len(model.callbacks_) == 1
    again = clone(model).fit(flat[0])
    assert again.callbacks_ == []
    assert_array_equal(again.transform(flat[0]), codes)


# --- scikit-learn's callbacks ---------------------------------------------------------


class Watcher:
    """Note what scikit-learn shows at the end of each task."""

    def __init__(self):
        self.tasks = []
        self.models = []
        self.seen = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.seen.append((X, y))

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, fitted_estimator=None
    ):
        self.tasks.append((context.task_name, context.max_subtasks))
        self.seen.append((X, y))
        if fitted_estimator is not None:
            self.models.append(fitted_estimator)


@pytest.mark.skipif(not find_spec("sklearn.callback"), reason="scikit-learn < 1.9")
class TestScikitLearnCallbacks:
    @pytest.mark.parametrize("model", [*MODELS, SupervisedAAE, AAEClusterer])
    def test_a_monitor_records_the_score_of_every_epoch(self, model, flat):
        from sklearn.callback import ScoringMonitor

        monitor = ScoringMonitor(scoring={"score": own_score})
        fitted = model(**SHORT).set_callbacks(monitor).fit(*flat)
        rows = monitor.get_logs().data
        assert [row["task_name"] for row in rows] == ["epoch"] * 2
        assert rows[-1]["score"] == pytest.approx(fitted.score(*flat), rel=1e-6)
        assert rows[0]["score"] != rows[-1]["score"]

    def test_a_monitor_needs_no_labels(self, flat):
        from sklearn.callback import ScoringMonitor

        monitor = ScoringMonitor(scoring={"score": own_score})
        fitted = AE(**SHORT).set_callbacks(monitor).partial_fit(flat[0])
        (row,) = monitor.get_logs().data
        assert row["score"] == pytest.approx(fitted.score(flat[0]), rel=1e-6)

    def test_accuracy_is_that_of_the_labelled_samples(self, flat):
        from sklearn.callback import ScoringMonitor

        X, y = flat
        y = np.where(np.arange(90) < 60, y, -1)
        monitor = ScoringMonitor(scoring="accuracy")
        fitted = AAEClassifier(**SHORT).set_callbacks(monitor).fit(X, y)
        expected = np.mean(fitted.predict(X[:60]) == y[:60])
        assert monitor.get_logs().data[-1]["accuracy"] == pytest.approx(expected)

    def test_callbacks_see_the_samples_trained_on_as_they_came(self, flat):
        X, y = flat
        frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(64)])
        watcher = Watcher()
        model = SupervisedAAE(early_stopping=True, **SHORT).set_callbacks(watcher)
        model.fit(frame, y, groups=np.arange(90) // 10)
        whole, *epochs, end = watcher.seen
        assert whole[0] is end[0] is frame
        assert whole[1] is end[1] is y
        assert len(epochs) == 4
        for X_seen, y_seen in epochs:
            assert X_seen.shape == (80, 64)
            assert_array_equal(y_seen, y[X_seen.index])
            watcher.models[-1].score(X_seen, y_seen)

    def test_models_of_earlier_epochs_stay_as_they_were(self, flat):
        X, _ = flat
        watcher = Watcher()
        AE(**SHORT).set_callbacks(watcher).fit(X)
        for n_epochs, model in enumerate(watcher.models, start=1):
            alone = AE(**SHORT | {"max_iter": n_epochs}).fit(X)
            assert_array_equal(model.transform(X), alone.transform(X))
            assert_array_equal(model.sample(2), alone.sample(2))
        assert len(watcher.models) == 2

    def test_partial_fit_is_a_task_too(self, flat, capsys):
        from sklearn.callback import ProgressBar

        watcher = Watcher()
        model = AE(**SHORT).set_callbacks(watcher, ProgressBar())
        model.partial_fit(flat[0]).partial_fit(flat[0])
        assert watcher.tasks == [("epoch", 0), ("partial_fit", 1)] * 2
        assert capsys.readouterr().out.count("AE - partial_fit") == 2

    def test_training_is_the_same_under_observation(self, flat):
        plain = VAE(**SHORT).fit(flat[0])
        watched = VAE(**SHORT).set_callbacks(Watcher()).fit(flat[0])
        assert_array_equal(plain.transform(flat[0]), watched.transform(flat[0]))

    def test_data_are_not_kept_by_the_model(self, flat):
        X = flat[0].copy()
        before = sys.getrefcount(X)
        model = AE(**SHORT).set_callbacks(Watcher())
        model._skl_callbacks[0].on_fit_task_begin = lambda *args: None
        model._skl_callbacks[0].on_fit_task_end = lambda *args: None
        model.fit(X)
        gc.collect()
        assert sys.getrefcount(X) == before

    def test_a_monitor_works_in_a_pipeline(self, flat):
        from sklearn.callback import ScoringMonitor

        monitor = ScoringMonitor(scoring={"score": own_score})
        pipeline = make_pipeline(StandardScaler(), AE(**SHORT).set_callbacks(monitor))
        pipeline.fit(flat[0])
        rows = monitor.get_logs().data
        assert rows[-1]["score"] == pytest.approx(pipeline.score(flat[0]), rel=1e-6)

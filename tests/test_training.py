"""The engine: epochs, early stopping, resuming, callbacks, interruptions, devices."""

import pickle
import re
import warnings
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    LRScheduler,
    PrintLog,
    ProgressBar,
    Unfreezer,
)
from skorch.callbacks import EarlyStopping as SkorchEarlyStopping
from tqdm.auto import tqdm

from skvae import AAE, AE, MLP, VAE, Discriminator, PosteriorCollapseWarning, ResNet
from skvae._engine.plan import Plan
from skvae._engine.stopping import EarlyStopping, Snapshot
from skvae.nn import Gaussian

MODELS = [AE, VAE]
HEALTHY = {"max_iter": 15, "random_state": 0}


class Raise(Callback):
    """Raise an exception at the end of a batch or of an epoch."""

    def __init__(self, exception, epoch, hook="on_batch_end"):
        self.exception = exception
        self.epoch = epoch
        self.hook = hook

    def on_batch_end(self, net, **kwargs):
        self._maybe_raise(net, "on_batch_end")

    def on_epoch_end(self, net, **kwargs):
        self._maybe_raise(net, "on_epoch_end")

    def _maybe_raise(self, net, hook):
        if hook == self.hook and len(net.history) == self.epoch:
            raise self.exception


@pytest.mark.parametrize("model", MODELS)
def test_history_holds_the_terms_of_the_loss(model, digits):
    X, _ = digits
    fitted = model(**HEALTHY).fit(X)
    assert fitted.n_iter_ == len(fitted.history_) == len(fitted.loss_curve_) == 15
    assert [row["epoch"] for row in fitted.history_] == list(range(1, 16))
    last = fitted.history_[-1]
    total = last["reconstruction_loss"] + last.get("kl_divergence", 0.0)
    assert last["train_loss"] == pytest.approx(total, rel=1e-5)
    assert fitted.loss_curve_[-1] == last["train_loss"] < fitted.loss_curve_[0]
    assert ("kl_divergence" in last) == (model is VAE)


@pytest.mark.parametrize("model", MODELS)
def test_result_does_not_change_with_the_scale_of_the_data(model, digits):
    X, _ = digits
    codes = model(**HEALTHY).fit_transform(X)
    moved = model(**HEALTHY).fit_transform(1000 * X + 50)
    np.testing.assert_allclose(moved, codes, atol=0.05)
    assert np.abs(codes).mean() > 0.3


def test_batches_are_drawn_anew_in_each_epoch(digits):
    seen = []

    class Spy(Callback):
        def on_batch_begin(self, net, batch, **kwargs):
            seen.append(batch[0].clone())

    X = digits[0].reshape(300, 64)
    AE(max_iter=2, batch_size=100, callbacks=[Spy()], random_state=0).fit(X)
    epochs = [torch.cat(seen[:3]).numpy(), torch.cat(seen[3:]).numpy()]
    assert not np.array_equal(*epochs)
    for rows in epochs:
        assert_array_equal(np.sort(rows, axis=0), np.sort(X, axis=0))


def test_history_marks_losses_that_are_the_best_so_far(digits):
    X, _ = digits
    fitted = AE(learning_rate=0.1, max_iter=20, random_state=0).fit(X)
    losses = np.array(fitted.loss_curve_)
    is_best = [row["train_loss_best"] for row in fitted.history_]
    assert is_best == [loss == losses[: i + 1].min() for i, loss in enumerate(losses)]
    assert 0 < np.sum(is_best) < 20


@pytest.mark.parametrize("model", MODELS)
def test_early_stopping_keeps_the_best_weights(model, digits):
    X, _ = digits
    fitted = model(
        learning_rate=0.02,
        max_iter=200,
        early_stopping=True,
        n_iter_no_change=3,
        tol=0,
        random_state=0,
    ).fit(X[:200], X_val=X[200:])
    losses = [row["valid_loss"] for row in fitted.history_]
    assert fitted.n_iter_ < 200
    assert int(np.argmin(losses)) == fitted.n_iter_ - 4
    if model is AE:
        assert -fitted.score(X[200:]) == pytest.approx(min(losses), rel=1e-4)
    # Without the rule the same training goes on past the best epoch.
    longer = clone(fitted).set_params(early_stopping=False, max_iter=fitted.n_iter_)
    longer.fit(X[:200], X_val=X[200:])
    assert [row["valid_loss"] for row in longer.history_] == losses
    assert fitted.score(X[200:]) > longer.score(X[200:])


def test_validation_loss_has_the_same_noise_in_every_epoch(digits):
    X, _ = digits
    model = VAE(max_iter=3, learning_rate=1e-12, random_state=0)
    with pytest.warns(PosteriorCollapseWarning):
        model.fit(X[:200], X_val=X[200:])
    losses = [row["valid_loss"] for row in model.history_]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)


def test_early_stopping_waits_for_an_improvement_of_tol(digits):
    X, _ = digits
    fitted = AE(
        max_iter=50, early_stopping=True, tol=1e9, n_iter_no_change=4, random_state=0
    ).fit(X)
    assert fitted.n_iter_ == 5


def test_the_best_weights_may_be_better_by_less_than_tol():
    weights = [torch.zeros(1)]
    stopping = EarlyStopping(patience=2, tol=1.0)
    reached = []
    for loss in (5.0, 4.5, 4.2):
        weights[0].fill_(loss)
        reached.append(stopping.reached(loss, weights))
    assert reached == [False, False, True]
    weights[0].fill_(9.0)
    stopping.restore_best(weights)
    assert weights[0].item() == pytest.approx(4.2)


@pytest.mark.parametrize("model", MODELS)
def test_groups_stay_on_one_side_of_the_validation_split(model, digits, monkeypatch):
    X, _ = digits
    groups = np.arange(300) // 10
    splits = []
    split = Plan._split
    monkeypatch.setattr(
        Plan, "_split", lambda *args: splits.append(split(*args)) or splits[-1]
    )
    estimator = model(early_stopping=True, validation_fraction=0.2, **HEALTHY)
    estimator.fit(X, groups=groups)
    train, valid = splits[0]
    assert set(groups[train]).isdisjoint(groups[valid])
    assert len(valid) == 60
    estimator.fit(X)
    train, valid = splits[1]
    assert not set(groups[train]).isdisjoint(groups[valid])
    assert sorted([*train, *valid]) == list(range(300))


def test_early_stopping_starts_from_what_there_was(digits):
    X, _ = digits
    model = AE(max_iter=60, early_stopping=True, warm_start=True, random_state=0)
    before = model.fit(X[:200], X_val=X[200:]).score(X[200:])
    model.set_params(learning_rate=0.05, max_iter=3).fit(X[:200], X_val=X[200:])
    assert model.n_iter_ == 63
    assert model.score(X[200:]) >= before


def test_partial_fit_holds_nothing_out(digits):
    X, _ = digits
    models = [AE(early_stopping=stop, random_state=0) for stop in (True, False)]
    codes = [model.partial_fit(X).transform(X) for model in models]
    assert_array_equal(*codes)
    models[0].partial_fit(X[:1])


def test_a_single_group_can_not_be_split(digits):
    with pytest.raises(ValueError, match=r"validation_fraction=0\.1 of n_groups=1"):
        AE(early_stopping=True).fit(digits[0], groups=np.zeros(300))


def test_too_few_samples_to_hold_some_out(digits):
    X, _ = digits
    message = r"hold out all .*n_samples=1\. Pass `X_val`, or set early_stopping=False"
    with pytest.raises(ValueError, match=message):
        AE(early_stopping=True).fit(X[:1])
    with pytest.raises(ValueError, match=r"validation_fraction=0\.7 of n_samples=3"):
        AE(early_stopping=True, validation_fraction=0.7).fit(X[:3])
    AE(early_stopping=True, validation_fraction=0.6, max_iter=1).fit(X[:3])


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_groups_that_are_not_known_are_an_error(missing, digits):
    X, _ = digits
    with pytest.raises(ValueError, match="`groups` lacks 100 of 300 values"):
        AE(early_stopping=True).fit(X, groups=["left", "right", missing] * 100)
    with pytest.raises(TypeError, match="`groups` mixes strings with other values"):
        AE(early_stopping=True).fit(X, groups=["1", 1, 2] * 100)


def test_groups_of_any_type_give_the_same_split(digits):
    X, _ = digits
    numbers = np.arange(300) // 10
    names = [f"patient {number % 7} {number}" for number in numbers]
    codes = [
        AE(early_stopping=True, max_iter=2, random_state=0)
        .fit(X, groups=groups)
        .transform(X)
        for groups in (numbers, names, np.array(names), -1.5 * numbers)
    ]
    for other in codes[1:]:
        assert_array_equal(other, codes[0])


@pytest.mark.parametrize("model", MODELS)
def test_warm_start_goes_on(model, digits):
    X, _ = digits
    whole = model(max_iter=8, random_state=0).fit(X)
    warm = model(max_iter=4, warm_start=True, random_state=0).fit(X).fit(X)
    assert warm.n_iter_ == 8
    assert_array_equal(warm.loss_curve_, whole.loss_curve_)
    cold = model(max_iter=4, random_state=0).fit(X).fit(X)
    assert_array_equal(cold.loss_curve_, whole.loss_curve_[:4])


def test_parts_may_thaw_during_a_training(digits):
    X, _ = digits
    callbacks = [Freezer("encoder*"), Unfreezer("encoder*", at=3)]
    model = AE(max_iter=5, callbacks=callbacks, early_stopping=True, random_state=0)
    assert model.fit(X).n_iter_ == 5


@pytest.mark.parametrize("architecture", [MLP((16,)), ResNet((4,), dense=8)])
def test_weight_decay_is_that_of_adamw(architecture, digits):
    X = digits[0][:60]
    options = {
        "architecture": architecture,
        "likelihood": Gaussian(scale="feature"),
        "random_state": 0,
    }
    start = AE(2, learning_rate=1e-30, max_iter=1, **options).fit(X)
    module = start.module_.train()
    groups = {True: [], False: []}
    for name, parameter in module.named_parameters():
        is_weight = parameter.dim() > 1 and not name.startswith("likelihood")
        groups[is_weight].append(parameter)
    rest = {"params": groups[False], "weight_decay": 0.0}
    optimizer = torch.optim.AdamW(
        [{"params": groups[True]}, rest], lr=5e-3, weight_decay=0.5
    )
    for _ in range(4):
        optimizer.zero_grad()
        module.losses("reconstruction", torch.from_numpy(X))["loss"].backward()
        optimizer.step()
    model = AE(2, learning_rate=5e-3, weight_decay=0.5, max_iter=4, **options).fit(X)
    expected = module.state_dict()
    for name, values in model.module_.state_dict().items():
        torch.testing.assert_close(values, expected[name], rtol=1e-3, atol=1e-5)


def test_weight_decay_may_change_when_training_goes_on(digits):
    X, _ = digits
    free = VAE(max_iter=1, random_state=0).partial_fit(X)
    held = pickle.loads(pickle.dumps(free)).set_params(weight_decay=20.0)
    norms = [
        sum(p.square().sum().item() for p in model.partial_fit(X).module_.parameters())
        for model in (free, held)
    ]
    assert norms[1] < 0.95 * norms[0]
    whole = VAE(weight_decay=0.5, max_iter=4, random_state=0).fit(X)
    part = VAE(weight_decay=0.5, max_iter=2, random_state=0).fit(X)
    part = pickle.loads(pickle.dumps(part)).partial_fit(X)
    part = pickle.loads(pickle.dumps(part)).partial_fit(X)
    assert_array_equal(part.transform(X), whole.transform(X))


def test_partial_fit_alone_trains(digits):
    X, _ = digits
    model = AE(random_state=0)
    for _ in range(3):
        model.partial_fit(X)
    whole = AE(max_iter=3, random_state=0).fit(X)
    assert_array_equal(model.transform(X), whole.transform(X))
    assert_array_equal(model.sample(2), whole.sample(2))


def test_learning_rate_and_beta_may_change_between_two_fits(digits):
    X, _ = digits
    model = VAE(max_iter=3, warm_start=True, random_state=0).fit(X)
    slow = clone(model)
    model.set_params(learning_rate=1e-9, beta=5.0).fit(X)
    before = slow.fit(X).transform(X)
    np.testing.assert_allclose(model.transform(X), before, atol=1e-5)
    last = model.history_[-1]
    expected = last["reconstruction_loss"] + 5 * last["kl_divergence"]
    assert last["train_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"n_components": 3},
        {"architecture": MLP((8,))},
        {"likelihood": Gaussian(scale=1.0)},
        {"image_shape": (1, 8, 8)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_warm_start_refuses_other_networks(change, digits):
    X, _ = digits
    model = AE(max_iter=2, warm_start=True, random_state=0).fit(X)
    codes = model.transform(X)
    model.set_params(**change)
    (name,) = change
    with pytest.raises(ValueError, match=f"`{name}` was .* and is now"):
        model.fit(X)
    with pytest.raises(ValueError, match="warm_start=False"):
        model.partial_fit(X)
    assert_array_equal(model.transform(X), codes)


def test_equal_parameters_of_other_types_go_on(digits):
    X = digits[0].reshape(300, 64)
    model = AE(3, image_shape=(8, 8), architecture=MLP((8,)), max_iter=1).fit(X)
    model.set_params(n_components=np.int64(3), image_shape=[8, 8])
    model.set_params(architecture=MLP([8])).partial_fit(X)
    assert model.n_iter_ == 2


# --- callbacks ----------------------------------------------------------------------


def test_skorch_callbacks_work(digits, tmp_path, capsys):
    X, _ = digits
    checkpoint = Checkpoint(monitor="valid_loss_best", dirname=tmp_path)
    scoring = EpochScoring(
        lambda net, X, y=None: net.module_.log_likelihood(X).mean().item(),
        lower_is_better=False,
        name="likelihood",
        use_caching=False,
    )
    callbacks = [
        ("rate", LRScheduler("StepLR", step_size=2, gamma=0.5)),
        scoring,
        checkpoint,
        PrintLog(),
        ProgressBar(),
    ]
    model = AE(max_iter=6, callbacks=callbacks, random_state=0)
    model.fit(X[:200], X_val=X[200:])
    rates = [row["event_lr"] for row in model.history_]
    np.testing.assert_allclose(rates, [1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4, 2.5e-4])
    assert {"params.pt", "optimizer.pt", "history.json"} <= {
        path.name for path in tmp_path.iterdir()
    }
    saved = torch.load(tmp_path / "params.pt")
    assert torch.equal(saved["mu.weight"], model.module_.mu.weight)
    assert [row["likelihood"] for row in model.history_] == sorted(
        row["likelihood"] for row in model.history_
    )
    assert "train_loss" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("callback", "name"),
    [("x", "str"), (print, "builtin_function_or_method"), (("rate", 3), "int")],
)
def test_only_callbacks_of_skorch_are_taken(callback, name, digits):
    message = (
        f"`callbacks` must hold skorch callbacks, .* got a {name}. .*set_callbacks"
    )
    with pytest.raises(TypeError, match=message):
        AE(callbacks=[PrintLog(), callback]).fit(digits[0])


def test_a_class_of_callbacks_may_stand_for_an_instance(digits, capsys):
    AE(max_iter=1, callbacks=[PrintLog, ("other", PrintLog())]).fit(digits[0])
    assert capsys.readouterr().out.count("train_loss") == 2


def test_gradients_can_be_clipped(digits):
    X, _ = digits
    seen = []

    class Spy(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            seen.append(sum(p.grad.abs().sum().item() for _, p in named_parameters))

    AE(max_iter=2, callbacks=[Spy()], random_state=0).fit(X)
    free, seen[:] = list(seen), []
    AE(max_iter=2, callbacks=[GradientNormClipping(1e-3), Spy()], random_state=0).fit(X)
    assert len(seen) == len(free) == 6
    assert max(seen) < 1 < min(free)


def test_pickles_leave_what_callbacks_hold_behind(digits):
    X, _ = digits
    plain = AE(max_iter=1, random_state=0).fit(X)
    schedule = LRScheduler("StepLR", step_size=2)
    scheduled = AE(max_iter=1, random_state=0, callbacks=[schedule]).fit(X)
    assert len(pickle.dumps(scheduled)) < 1.05 * len(pickle.dumps(plain))


def test_learning_rate_schedule_resumes_where_it_was(digits):
    X, _ = digits

    def model(max_iter):
        schedule = LRScheduler("StepLR", step_size=2, gamma=0.5)
        return AE(max_iter=max_iter, callbacks=[schedule], random_state=0)

    whole = model(5).fit(X)
    resumed = pickle.loads(pickle.dumps(model(3).fit(X))).partial_fit(X).partial_fit(X)
    assert_array_equal(resumed.loss_curve_, whole.loss_curve_)


def test_a_schedule_scales_the_rates_of_all_phases(digits):
    seen = []

    class Watch(Callback):
        def on_epoch_end(self, net, **kwargs):
            optimizers = net.optimizers_.values()
            seen.append([optimizer.param_groups[0]["lr"] for optimizer in optimizers])

    schedule = LRScheduler("StepLR", step_size=1, gamma=0.5)
    rates = {"learning_rate": 0.008, "adversarial_weight": 0.5}
    discriminator = Discriminator(learning_rate=0.001)
    model = AAE(discriminator=discriminator, callbacks=[Watch(), schedule], **rates)
    model.set_params(max_iter=3).fit(digits[0])
    factors = [[1.0], [0.5], [0.25]]
    np.testing.assert_allclose(seen, np.multiply(factors, [0.008, 0.001, 0.004]))


def test_a_callback_may_stop_the_training(digits):
    X, _ = digits
    stop = SkorchEarlyStopping(
        monitor="valid_loss", patience=2, threshold=1e9, load_best=True, sink=list
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = AE(max_iter=50, callbacks=[stop], random_state=0)
        model.fit(X[:200], X_val=X[200:])
    assert 1 < model.n_iter_ < 10


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("hook", ["on_batch_end", "on_epoch_end"])
def test_an_exception_in_a_callback_loses_nothing(model, hook, digits):
    X, _ = digits
    callback = Raise(OSError("disk full"), 2, hook)
    estimator = model(max_iter=3, callbacks=[callback], random_state=0)
    with pytest.raises(OSError, match="disk full"):
        estimator.fit(X)
    with pytest.raises(NotFittedError):
        estimator.transform(X)
    assert not hasattr(estimator, "n_features_in_")

    fitted = model(**HEALTHY).fit(X)
    before = pickle.dumps(fitted)
    for method in ("fit", "partial_fit"):
        callback = Raise(OSError("disk full"), 2 if method == "fit" else 16, hook)
        fitted.set_params(callbacks=[callback])
        with pytest.raises(OSError, match="disk full"):
            getattr(fitted, method)(X.reshape(300, 64) if method == "fit" else X)
        fitted.set_params(callbacks=None)
        assert pickle.dumps(fitted) == before


def test_verbose_shows_the_terms(digits, capsys):
    X, _ = digits
    VAE(max_iter=12, verbose=1, random_state=0).fit(X)
    shown = capsys.readouterr().err
    assert re.search(r"VAE.* 12/12 .*train_loss=.*kl_divergence=", shown)
    VAE(max_iter=12, random_state=0).fit(X)
    assert capsys.readouterr().err == ""
    with pytest.raises(OSError, match="disk full"):
        AE(verbose=1, callbacks=[Raise(OSError("disk full"), 2)]).fit(X)
    assert not list(tqdm._instances)


needs_callbacks = pytest.mark.skipif(
    not find_spec("sklearn.callback"), reason="scikit-learn < 1.9"
)


@needs_callbacks
class TestScikitLearnCallbacks:
    class Recorder:
        def __init__(self, stop_after=None):
            self.stop_after = stop_after
            self.tasks = []
            self.scores = []

        def setup(self, estimator, context):
            self.tasks.append("setup")

        def teardown(self, estimator, context):
            self.tasks.append("teardown")

        def on_fit_task_begin(self, estimator, context, *, X=None):
            self.tasks.append(f"begin {context.task_name}")

        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            self.tasks.append(f"end {context.task_name}")
            if context.task_name == "epoch":
                self.scores.append(fitted_estimator.n_iter_)
                fitted_estimator.transform(np.zeros((2, 8, 8)))
                return self.stop_after == context.task_id + 1

    def test_every_epoch_is_a_task(self, digits):
        recorder = self.Recorder()
        AE(max_iter=2, random_state=0).set_callbacks(recorder).fit(digits[0])
        epoch = ["begin epoch", "end epoch"]
        assert recorder.tasks == [
            *("setup", "begin fit", *epoch, *epoch, "end fit", "teardown")
        ]
        assert recorder.scores == [1, 2]

    def test_a_callback_may_stop_the_training(self, digits):
        recorder = self.Recorder(stop_after=3)
        model = AE(max_iter=9, random_state=0).set_callbacks(recorder).fit(digits[0])
        assert model.n_iter_ == 3

    def test_a_failed_fit_tears_down(self, digits):
        recorder = self.Recorder()
        model = AE(callbacks=[Raise(OSError(), 1)]).set_callbacks(recorder)
        with pytest.raises(OSError):  # noqa: PT011
            model.fit(digits[0])
        assert recorder.tasks[-1] == "teardown"
        assert not hasattr(model, "_callback_fit_ctx")

    def test_progress_bar_of_scikit_learn(self, digits, capsys):
        from sklearn.callback import ProgressBar

        model = AE(max_iter=2, random_state=0)
        model.set_callbacks(ProgressBar()).fit(digits[0])
        assert "AE - fit" in capsys.readouterr().out


# --- interruptions --------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_ctrl_c_keeps_the_last_full_epoch(model, digits):
    X, _ = digits
    estimator = model(max_iter=15, callbacks=[Raise(KeyboardInterrupt(), 12)])
    estimator.set_params(random_state=0)
    with pytest.warns(ConvergenceWarning, match="epoch 12: .* weights of epoch 11"):
        estimator.fit(X)
    expected = model(max_iter=11, random_state=0).fit(X)
    assert estimator.n_iter_ == 11
    assert_array_equal(estimator.transform(X), expected.transform(X))
    assert_array_equal(estimator.loss_curve_, expected.loss_curve_)
    estimator.set_params(callbacks=None).partial_fit(X)
    assert_array_equal(estimator.transform(X), expected.partial_fit(X).transform(X))


def test_ctrl_c_in_the_first_epoch_is_passed_on(digits):
    X, _ = digits
    model = AE(callbacks=[Raise(KeyboardInterrupt(), 1)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    with pytest.raises(NotFittedError):
        model.transform(X)


@pytest.mark.parametrize("model", MODELS)
def test_a_loss_that_is_not_finite_is_an_error(model, digits):
    X, _ = digits
    estimator = model(**HEALTHY).fit(X)
    before = pickle.dumps(estimator)
    estimator.set_params(learning_rate=1e30)
    with pytest.raises(ValueError, match=r"became .* in epoch \d+\. Scale") as error:
        estimator.fit(X)
    assert "lower `learning_rate` (now 1e+30)" in str(error.value)
    estimator.set_params(learning_rate=1e-3)
    assert pickle.dumps(estimator) == before


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_an_error(model, value, digits):
    X, _ = digits
    broken = X.copy()
    broken[3, 4, 5] = value
    estimator = model(**HEALTHY)
    with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
        estimator.fit(broken)
    assert not hasattr(estimator, "module_")
    estimator.fit(X)
    codes = estimator.transform(X)
    for method in ("transform", "reconstruct", "score_samples", "partial_fit", "fit"):
        with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
            getattr(estimator, method)(broken)
    with pytest.raises(ValueError, match=r"Input X_val contains (NaN|infinity)"):
        estimator.fit(X, X_val=broken)
    assert_array_equal(estimator.transform(X), codes)


def test_large_finite_values_are_no_error(digits):
    X, _ = digits
    assert np.isfinite(AE(max_iter=1, random_state=0).fit(X * 1e25).transform(X)).all()


# --- collapse ------------------------------------------------------------------------


def test_posterior_collapse_is_said(digits):
    X, _ = digits
    with pytest.warns(PosteriorCollapseWarning, match="likelihood='gaussian'"):
        VAE(likelihood="squared_error", beta=100.0, **HEALTHY).fit(X)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "laplace"])
def test_healthy_fits_are_silent(likelihood, digits):
    X, _ = digits
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = VAE(likelihood=likelihood, max_iter=40, random_state=0).fit(X)
    assert model.history_[-1]["kl_divergence"] > 10 * 0.01


# --- devices --------------------------------------------------------------------------


def test_a_device_that_is_not_there_is_an_error(digits):
    with pytest.raises(ValueError, match=r"`device`='cuda:77' is not available here"):
        AE(device="cuda:77").fit(digits[0])
    with pytest.raises(ValueError, match=r"`device`='gpu'"):
        AE(device="gpu").fit(digits[0])


@pytest.mark.parametrize("model", MODELS)
def test_a_model_of_a_missing_device_opens_on_the_cpu(model, digits):
    X, _ = digits
    estimator = model(**HEALTHY).fit(X)
    state = estimator.__getstate__()
    state["_net"]["device"] = "cuda:77"
    moved = model()
    with pytest.warns(UserWarning, match="fitted on 'cuda:77'.* loaded on the CPU"):
        moved.__setstate__(state)
    assert_array_equal(moved.transform(X), estimator.transform(X))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("model", MODELS)
def test_training_on_a_gpu(model, digits):
    X, _ = digits
    gpu = model(device="cuda", **HEALTHY).fit(X)
    assert next(gpu.module_.parameters()).is_cuda
    cpu = model(device="cpu", **HEALTHY).fit(X)
    assert gpu.loss_curve_[-1] == pytest.approx(cpu.loss_curve_[-1], rel=0.2)
    copy = pickle.loads(pickle.dumps(gpu))
    np.testing.assert_allclose(copy.transform(X), gpu.transform(X), atol=1e-5)


def test_pickled_state_holds_arrays_and_plain_values_only(digits):
    def leaves(tree):
        if isinstance(tree, dict):
            for value in tree.values():
                yield from leaves(value)
        elif isinstance(tree, (list, tuple)):
            for value in tree:
                yield from leaves(value)
        else:
            yield tree

    state = VAE(**HEALTHY).fit(digits[0]).__getstate__()
    kinds = {type(leaf) for leaf in leaves(state)}
    assert kinds <= {np.ndarray, str, int, float, bool, type(None)}


# --- what follows the training --------------------------------------------------------


def end_with_an_error(model):
    from sklearn.callback import ProgressBar

    class Fail(ProgressBar):
        def on_fit_task_end(self, estimator, context):
            raise OSError("disk full")

    return model.set_callbacks(Fail())


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda model: model.set_params(learning_rate=3.0), ConvergenceWarning),
        (
            lambda model: model.set_params(likelihood=Gaussian(scale=100.0)),
            PosteriorCollapseWarning,
        ),
        pytest.param(end_with_an_error, OSError, marks=needs_callbacks),
    ],
)
def test_an_error_after_the_training_leaves_the_model_as_it_was(change, error, digits):
    X, _ = digits
    model = VAE(2, max_iter=5, random_state=0).fit(X)
    codes, history = model.transform(X), model.history_
    change(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error):
            model.fit(X)
    assert model.history_ is history
    assert_array_equal(model.transform(X), codes)


def test_ctrl_c_after_an_epoch_is_told(digits, monkeypatch):
    X, _ = digits
    take = Snapshot.take

    def interrupted(self, tensors):
        take(self, tensors)
        monkeypatch.undo()
        raise KeyboardInterrupt

    model = AE(max_iter=20, random_state=0)
    monkeypatch.setattr(Snapshot, "take", interrupted)
    with pytest.warns(ConvergenceWarning, match="keeps the weights of epoch 1"):
        model.fit(X)
    assert_array_equal(
        model.transform(X), AE(max_iter=1, random_state=0).fit_transform(X)
    )

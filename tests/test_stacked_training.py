"""Searches that train their networks together give what they give one by one."""

import gc
import os
import signal
import threading
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from cases import parametrize
from joblib import Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import load_digits
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    ParameterGrid,
    RandomizedSearchCV,
    cross_validate,
)
from sklearn.pipeline import make_pipeline, make_union
from sklearn.utils.estimator_checks import check_estimator

from skvae import (
    AAE,
    AE,
    MLP,
    VAE,
    AAEClassifier,
    Conv,
    Discriminator,
)
from skvae._engine import stacked
from skvae._engine.crew import current_crew
from skvae._engine.net import Net
from skvae.model_selection import (
    StackedGridSearchCV,
    StackedRandomizedSearchCV,
    stacked_cross_validate,
    stacked_training,
)
from skvae.nn import Gaussian

SMALL = MLP((8,), dropout=0.1)


@pytest.fixture(scope="module")
def data():
    X, y = load_digits(n_class=4, return_X_y=True)
    return X[:211] / 16, y[:211]  # 3 folds of 70 and 71


@pytest.fixture
def sizes(monkeypatch):
    """Collect the sizes of the stacks that one thread trains."""
    found = []
    train = stacked._train

    def recorded(trainings, *others):
        found.append(len(trainings))
        train(trainings, *others)

    monkeypatch.setattr(stacked, "_train", recorded)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield found
    torch.set_num_threads(before)


def vae(**parameters):
    return VAE(2, architecture=SMALL, max_iter=3, random_state=0, **parameters)


def classifier(**parameters):
    return make_pipeline(vae(**parameters), LogisticRegression())


class Ties(Gaussian):
    """Has one parameter in two places."""

    def build(self, sample_shape, spread):
        super().build(sample_shape, spread)
        self.twin, self.part = torch.nn.Parameter(torch.zeros(1)), torch.nn.Module()
        self.part.twin = self.twin

    def nll(self, X, raw):
        both = self.twin + 9 * self.part.twin
        return super().nll(X, raw) * (1 + (both - 1).square())


# Candidates of one structure, each with what may differ in it.
CANDIDATES = {
    "rates": (VAE, {"learning_rate": [1e-3, 1e-2], "weight_decay": [0.0, 0.1]}),
    "objective": (
        VAE,
        {"beta": [0.5, 1], "beta_warmup": [0, 4], "free_bits": [0, 0.1]},
    ),
    "epochs": (VAE, {"max_iter": [1, 2, 3, 9], "random_state": [0, 1]}),
    "scale": (AE, {"likelihood": [Gaussian(0.3), Gaussian(0.5)]}),
    "ties": (AE, {"likelihood": [Ties()], "learning_rate": [1e-3, 3e-3]}),
    "feature": (
        AE,
        {"likelihood": [Gaussian("feature")], "weight_decay": [0.0, 10.0]},
    ),
    "dropout": (AE, {"architecture": [SMALL, MLP((8,), dropout=0.3)]}),
    "conv": (AE, {"architecture": [Conv((2, 4))], "random_state": [0, 1]}),
    "adversary": (AAE, {"adversarial_weight": [0.3, 1], "corruption": [0.1, 0.5]}),
    "spectral": (
        AAE,
        {
            "discriminator": [Discriminator((32, 32), spectral_norm=True)],
            "max_iter": [2, 5],
        },
    ),
    "early stopping": (
        AAEClassifier,
        {
            "tol": [0, 10],
            "n_iter_no_change": [2],
            "early_stopping": [True],
            "validation_fraction": [0.5],  # more than a batch
        },
    ),
}


@pytest.mark.parametrize(("model", "grid"), **parametrize(CANDIDATES.items()))
def test_each_network_becomes_what_it_becomes_alone(model, grid, data, sizes):
    X, y = data
    base = model(n_components=2, architecture=SMALL, max_iter=5, batch_size=64)
    base.set_params(random_state=0, image_shape=(1, 8, 8))
    if model is AAE:
        base.set_params(discriminator=Discriminator((8,)))
    y = np.where(np.arange(len(y)) % 3, y, -1) if model is AAEClassifier else None
    rows = [np.arange(len(X) - i) for i in range(2)]
    jobs = [
        (clone(base).set_params(**parameters), part)
        for parameters in ParameterGrid(grid)
        for part in rows
    ]

    def fit(estimator, part):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return clone(estimator).fit(X[part], None if y is None else y[part])

    alone = [fit(*job) for job in jobs]
    with stacked_training():
        together = Parallel()(delayed(fit)(*job) for job in jobs)
    assert sizes == [len(jobs)]
    for one, other in zip(together, alone, strict=True):
        assert one.n_iter_ == other.n_iter_
        for name in one.history_[0].keys() - {"dur"}:
            assert_allclose(
                [row[name] for row in one.history_],
                [row[name] for row in other.history_],
                rtol=1e-4,
                atol=1e-6,
            )
            assert_allclose(
                one.history_[0][name], other.history_[0][name], rtol=2e-6, atol=1e-7
            )
        assert_allclose(
            one.transform(X[:9]), other.transform(X[:9]), rtol=1e-3, atol=1e-4
        )
        weights = one.module_.state_dict()
        for name, values in other.module_.state_dict().items():
            torch.testing.assert_close(weights[name], values, rtol=1e-3, atol=1e-3)
        one.partial_fit(X, y)
        other.partial_fit(X, y)
        assert_allclose(one.loss_curve_[-1], other.loss_curve_[-1], rtol=1e-3)


GRID = {
    "vae__learning_rate": [1e-3, 1e-2],
    "vae__layer": ["mu", ["mu", "logvar"]],
    "logisticregression__C": [0.1, 1],
}


def assert_same_scores(search, expected):
    for name in expected.cv_results_:
        if "time" not in name and not name.startswith("param"):
            assert_allclose(
                *(found.cv_results_[name] for found in (search, expected)),
                rtol=1e-4,
                atol=1e-4,
                err_msg=name,
            )
    assert search.best_params_ == expected.best_params_


def test_each_thread_trains_a_stack(data, sizes):
    X, y = data
    search = StackedGridSearchCV(classifier(), {"vae__beta": np.arange(6)}, cv=3)
    expected = search.fit(X, y).cv_results_["mean_test_score"]
    torch.set_num_threads(2)
    assert_allclose(search.fit(X, y).cv_results_["mean_test_score"], expected)
    assert sizes == [18, 9, 9]
    assert torch.get_num_threads() == 2


def test_rates_of_numpy_are_numbers_like_others(data):
    X, _ = data

    def codes(number):
        jobs = [vae(learning_rate=number(rate)) for rate in (1e-3, 3e-3)]
        with stacked_training():
            return Parallel()(delayed(job.fit_transform)(X) for job in jobs)

    assert_array_equal(codes(np.float64), codes(float))


def test_search_has_the_scores_of_scikit_learns(data, sizes):
    X, y = data
    options = {
        "cv": GroupKFold(3),
        "scoring": {"first": "neg_log_loss", "second": "neg_log_loss"},
        "refit": "first",
        "return_train_score": True,
    }
    groups = np.arange(len(X)) % 30
    search = StackedGridSearchCV(classifier(), GRID, **options)
    search.fit(X, y, groups=groups)
    assert sizes == [6]  # neither a layer nor C takes a network of its own
    expected = GridSearchCV(classifier(), GRID, **options).fit(X, y, groups=groups)
    assert_same_scores(search, expected)
    np.testing.assert_array_equal(search.predict(X), expected.predict(X))
    assert search.best_estimator_.memory is None
    assert search.estimator.memory is None


def test_randomized_search_draws_the_same_candidates(data, sizes):
    X, y = data
    options = {"n_iter": 3, "cv": 2, "random_state": 0}
    search = StackedRandomizedSearchCV(classifier(), GRID, **options).fit(X, y)
    expected = RandomizedSearchCV(classifier(), GRID, **options).fit(X, y)
    assert search.cv_results_["params"] == expected.cv_results_["params"]
    assert_same_scores(search, expected)
    assert sizes


def test_nested_search_is_one_queue(data, sizes):
    X, y = data
    grid = {"vae__learning_rate": [1e-3, 1e-2]}
    search = StackedGridSearchCV(classifier(), grid, cv=KFold(2))
    scores = stacked_cross_validate({"a": search, "b": classifier()}, X, y, cv=3)
    # 3 x 2 x 2 inner fits with the 3 of "b", then 3 of the best.
    assert sum(sizes) == 3 * 2 * 2 + 3 + 3
    assert max(sizes) >= 6
    expected = cross_validate(GridSearchCV(classifier(), grid, cv=KFold(2)), X, y, cv=3)
    assert_allclose(scores["a"]["test_score"], expected["test_score"])
    assert scores["b"]["test_score"].shape == (3,)


@pytest.mark.parametrize("max_networks", [1, 8, 200])
def test_tasks_belong_to_the_crew_whoever_begins_them(max_networks, data):
    def begun_in(i):
        if i % 3 == 0:  # others go on while this one waits
            AE(2, architecture=MLP((4,)), max_iter=1, random_state=i).fit(data[0])
        return current_crew()

    def crews(i):
        return Parallel()(delayed(begun_in)(12 * i + j) for j in range(12))

    with stacked_training(max_networks=max_networks):
        mine = current_crew()
        found = Parallel()(delayed(crews)(i) for i in range(6))
    assert [crew for part in found for crew in part] == [mine] * 72


class Counted(TransformerMixin, BaseEstimator):
    """Pass samples on, and count how often it is fitted."""

    n_fits = 0

    def __init__(self, factor=1.0):
        self.factor = factor

    def fit(self, X, y=None):
        Counted.n_fits += 1
        return self

    def transform(self, X):
        return X * self.factor


def test_steps_before_are_fitted_once_per_fold_and_setting(data):
    X, y = data
    pipeline = make_pipeline(Counted(), make_union(vae(), AE(2, max_iter=1)))
    pipeline.steps.append(("classify", LogisticRegression()))
    grid = {"counted__factor": [1.0, 2.0], "classify__C": [0.1, 1.0]}
    before = Counted.n_fits
    StackedGridSearchCV(pipeline, grid, cv=3, refit=False).fit(X, y)
    assert Counted.n_fits - before == 2 * 3


@pytest.mark.filterwarnings("ignore:One or more of the test scores")
def test_a_loss_that_diverges_fails_its_candidate_alone(data):
    X, y = data
    grid = {"vae__learning_rate": [1e-3, 1e12]}
    pipeline = classifier(likelihood="squared_error")
    search = StackedGridSearchCV(pipeline, grid, cv=2)
    with pytest.warns(FitFailedWarning, match="became"):
        search.fit(X, y)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]


class Refuses(Gaussian):
    def nll(self, X, raw):
        if raw.sum().item() > np.inf:  # `vmap` can't
            raise AssertionError
        return super().nll(X, raw)


class Counts(Gaussian):
    n_calls = 0

    def nll(self, X, raw):
        self.n_calls += 1
        return super().nll(X, raw) * self.n_calls


@pytest.mark.parametrize("likelihood", [Refuses, Counts])
def test_what_cannot_be_stacked_is_trained_alone(likelihood, data, sizes):
    X, y = data
    grid = {"vae__learning_rate": [1e-3, 1e-2]}
    pipeline = classifier(likelihood=likelihood())
    search = StackedGridSearchCV(pipeline, grid, cv=2, refit=False).fit(X, y)
    expected = GridSearchCV(pipeline, grid, cv=2, refit=False).fit(X, y)
    assert sizes == [4]
    for name in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(
            search.cv_results_[name], expected.cv_results_[name]
        )


def test_no_more_than_max_networks_wait_or_are_kept(data, sizes, monkeypatch):
    X, y = data
    alive = []
    train = stacked.StackedTrainer.train

    def n_alive():
        gc.collect()
        return sum(type(each) is Net for each in gc.get_objects())

    def counted(*arguments):
        alive.append(n_alive() - before)
        train(*arguments)

    monkeypatch.setattr(stacked.StackedTrainer, "train", counted)
    before = n_alive()
    grid = {"vae__learning_rate": np.geomspace(1e-3, 1e-2, 8)}
    StackedGridSearchCV(classifier(), grid, cv=3, max_networks=6, refit=False).fit(X, y)
    assert sizes == [6, 6, 6, 6]
    assert max(alive) <= 2 * 6


def test_memory_keeps_networks_of_stacks(data, sizes, tmp_path):
    X, y = data
    grid = {"vae__learning_rate": [1e-3, 1e-2]}
    pipeline = classifier(memory=str(tmp_path))
    first = StackedGridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert sizes == [4]
    again = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert_same_scores(again, first)
    assert len(list(tmp_path.rglob("*.npz"))) == 5


@pytest.mark.filterwarnings("ignore:One or more of the test scores")
@pytest.mark.parametrize("error_score", ["raise", np.nan])
def test_no_thread_outlives_a_search_that_fails(data, error_score):
    X, y = data
    grid = {"vae__learning_rate": [1e-3, -1.0]}
    search = StackedGridSearchCV(classifier(), grid, cv=2, error_score=error_score)
    before = threading.enumerate()
    if error_score == "raise":
        with pytest.raises(ValueError, match="learning_rate"):
            search.fit(X, y)
    else:
        with pytest.warns(FitFailedWarning, match="learning_rate"):
            search.fit(X, y)
    assert threading.enumerate() == before


@contextmanager
def interrupted(delay=0):
    """Expect the KeyboardInterrupt that is raised in the block.

    It comes after some seconds, or with SIGALRM.
    """
    before = threading.enumerate()
    # SIGALRM, since jobs in the background of a shell ignore SIGINT.
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, delay)
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGALRM, handler)
    assert threading.enumerate() == before


@pytest.mark.parametrize("delay", [0.05, 0.3])
def test_ctrl_c_ends_all_threads(data, delay):
    grid = {"vae__learning_rate": [1e-3, 1e-2]}
    pipeline = classifier().set_params(vae__max_iter=1000)
    with interrupted(delay):
        StackedGridSearchCV(pipeline, grid, cv=2).fit(*data)


@pytest.fixture
def interrupted_epochs(monkeypatch):
    """Send SIGALRM in the twentieth epoch of a stack; return the epochs that ran."""
    epochs = []
    run_epoch = stacked.Stack.run_epoch

    def counted(stack, epoch):
        epochs.append(epoch)
        if epoch == 20:
            os.kill(os.getpid(), signal.SIGALRM)  # to the main thread
        return run_epoch(stack, epoch)

    monkeypatch.setattr(stacked.Stack, "run_epoch", counted)
    return epochs


def test_ctrl_c_ends_stacks_that_the_main_thread_trains(data, interrupted_epochs):
    X, _ = data

    def fit(*max_iters):
        for max_iter in max_iters:
            vae().set_params(max_iter=max_iter).fit(X)

    # While the last two wait for their second network, the main thread trains.
    tasks = [delayed(fit)(1), delayed(fit)(2, 1000), delayed(fit)(3, 1001)]
    with interrupted(), stacked_training():
        Parallel()(tasks)
    assert 20 <= max(interrupted_epochs) < 1000


@pytest.mark.usefixtures("interrupted_epochs")
def test_ctrl_c_keeps_networks_that_are_finished(data, sizes, tmp_path):
    grid = {"vae__max_iter": [1, 2, 100_000]}
    pipeline = classifier(memory=str(tmp_path))
    with interrupted():
        StackedGridSearchCV(pipeline, grid, cv=2).fit(*data)
    assert sizes == [6]
    assert len(list(tmp_path.rglob("*.npz"))) == 4
    search = StackedGridSearchCV(pipeline, {"vae__max_iter": [1, 2]}, cv=2, refit=False)
    search.fit(*data)
    assert sizes == [6]


def test_an_error_of_the_trainer_reaches_each_fit(data, monkeypatch):
    def fail(*arguments):
        raise MemoryError("no room")

    monkeypatch.setattr(stacked, "structure_of", fail)
    search = StackedGridSearchCV(classifier(), {}, cv=2, error_score="raise")
    with pytest.raises(MemoryError, match="no room"):
        search.fit(*data)
    search.set_params(param_grid={"vae__beta": [0.1, 1.0, 2.0]}, error_score=np.nan)
    with pytest.raises(ValueError, match="All the 6 fits failed") as failure:
        search.fit(*data)
    assert str(failure.value).count("MemoryError: no room") < 2  # all failed alike


def test_verbose_counts_networks_and_stacks(data, capsys):
    X, y = data
    with stacked_training(verbose=1):
        cross_validate(classifier(), X, y, cv=3)
    assert "networks=3, stacks=1" in capsys.readouterr().err


def failed_checks(kind, options):
    search = kind(LogisticRegression(), {"C": [0.1, 1]}, cv=2, **options)
    results = check_estimator(search, on_fail=None, on_skip=None)
    return {each["check_name"] for each in results if each["status"] == "failed"}


@pytest.mark.filterwarnings("ignore")  # the checks fit what can't be fitted
@pytest.mark.parametrize(
    ("kind", "of_scikit_learn", "options"),
    [
        (StackedGridSearchCV, GridSearchCV, {}),
        (StackedRandomizedSearchCV, RandomizedSearchCV, {"n_iter": 2}),
    ],
)
def test_no_check_fails_that_scikit_learns_passes(kind, of_scikit_learn, options):
    """With NumPy 2.5 and torch 2.14, two of scikit-learn's own fail."""
    failed = failed_checks(kind, options)
    assert not failed or failed <= failed_checks(of_scikit_learn, options)


@pytest.mark.parametrize("hint", [{"prefer": "threads"}, {"require": "sharedmem"}])
def test_small_tasks_in_threads_are_left_to_their_caller(hint):
    """A forest took twice its time, as its trees became tasks beside the networks."""
    with stacked_training():
        idents = Parallel(n_jobs=2, **hint)(
            delayed(threading.get_ident)() for _ in range(4)
        )
        others = Parallel(n_jobs=2)(delayed(threading.get_ident)() for _ in range(4))
    assert set(idents) == {threading.get_ident()}
    assert threading.get_ident() not in others

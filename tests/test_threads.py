"""Torch's threads: one for small networks, put back, and never more than before."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from skorch.callbacks import Callback
from torch import nn

from skvae import AAE, AE, MLP, VAE, Conv, SupervisedAAE
from skvae._engine import threads
from skvae._engine.threads import threads_for
from skvae.nn import multiply_adds

SMALL, LARGE = 1000, 10**9


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Spy(Callback):
    """Note how many threads torch has in an epoch."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(torch.get_num_threads())


def in_new_thread(function, *args):
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(function, *args).result()


@pytest.mark.parametrize(("work", "expected"), [(SMALL, 1), (LARGE, 2)])
def test_small_work_gets_one_thread(work, expected):
    with threads_for(work):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 2


def test_threads_are_put_back_after_an_error():
    with pytest.raises(OSError, match="disk full"), threads_for(SMALL):
        raise OSError("disk full")
    assert torch.get_num_threads() == 2


def test_threads_are_put_back_after_ctrl_c_at_the_start(monkeypatch):
    def interrupted(**options):
        raise KeyboardInterrupt

    monkeypatch.setattr(threads, "Thread", interrupted)
    with pytest.raises(KeyboardInterrupt), threads_for(SMALL):
        pass
    assert torch.get_num_threads() == 2


def test_threads_are_never_more_than_before():
    torch.set_num_threads(1)
    with threads_for(LARGE):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 1


def test_blocks_may_be_nested():
    with threads_for(SMALL):
        with threads_for(LARGE):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_other_python_threads_keep_theirs():
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(torch.get_num_threads).result() == 2
        with threads_for(SMALL):
            assert executor.submit(torch.get_num_threads).result() == 2
            assert in_new_thread(torch.get_num_threads) == 2
            assert torch.get_num_threads() == 1
    assert in_new_thread(torch.get_num_threads) == 2


def test_fits_side_by_side_put_threads_back(digits):
    X, _ = digits

    def fit(seed):
        spy = Spy()
        AE(max_iter=3, callbacks=[spy], random_state=seed).fit(X)
        return spy.seen, torch.get_num_threads()

    with ThreadPoolExecutor(3) as executor:
        assert list(executor.map(fit, range(6))) == [([1, 1, 1], 2)] * 6
    assert torch.get_num_threads() == in_new_thread(torch.get_num_threads) == 2


@pytest.mark.parametrize(
    ("architecture", "expected"), [("mlp", 1), (MLP((2000, 1000)), 2)]
)
def test_the_work_of_a_step_decides(architecture, expected, digits):
    spy = Spy()
    model = AE(architecture=architecture, max_iter=1, callbacks=[spy], random_state=0)
    model.fit(digits[0]).transform(digits[0])
    assert spy.seen == [expected]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("model", [AE, VAE, AAE, SupervisedAAE])
def test_fit_of_a_small_network_repeats_with_any_number_of_threads(model):
    rng = np.random.default_rng(0)
    X, y = rng.random((300, 784)), rng.integers(2, size=300)
    results = []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        fitted = model(
            architecture=MLP((80,)), max_iter=2, early_stopping=True, random_state=0
        ).fit(X, y)
        results.append([fitted.transform(X), fitted.loss_curve_, fitted.sample(3)])
    for one, two in zip(*results, strict=True):
        assert_array_equal(one, two)


def test_transform_of_a_small_network_gives_the_same_in_any_batch():
    """Of products with many columns, two threads share the sums, not the rows."""
    X = np.random.default_rng(0).random((1024, 784), dtype=np.float32)
    model = AE(architecture=MLP((80,)), max_iter=1, random_state=0).fit(X)
    expected = model.transform(X)
    assert_array_equal(model.transform(X[:100]), expected[:100])
    torch.set_num_threads(1)
    assert_array_equal(model.transform(X), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
# Python warns that a fork does not copy threads, which is what this is about.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_of_a_process_with_threads_works(digits):
    X = digits[0]
    model = AE(architecture=MLP((2000, 1000)), max_iter=1, random_state=0).fit(X)
    expected = model.transform(X)
    child = os.fork()
    if child == 0:  # leaves without pytest's clean-up, which is the parent's
        is_close = False
        try:
            is_close = np.allclose(model.transform(X), expected, atol=1e-5)
        finally:
            os._exit(0 if is_close else 1)
    assert exit_code(child, seconds=60) == 0


def exit_code(child, seconds):
    """Wait for a child process, and end it if it takes too long."""
    for _ in range(10 * seconds):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError("The child hangs.")


def parts_of(architecture, shape):
    return nn.Sequential(architecture.encoder(shape), architecture.decoder(16, shape))


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Linear(64, 256), (64,), 64 * 256),
        (nn.Linear(8, 3), (5, 8), 5 * 8 * 3),
        (nn.Conv2d(2, 4, 3, padding=1), (2, 10, 12), 10 * 12 * 2 * 4 * 9),
        (nn.Conv3d(1, 4, 2, stride=2), (1, 8, 8, 8), 512 * 4 * 8),
        (nn.ConvTranspose2d(8, 4, 4, stride=2), (8, 5, 5), 144 * 8 * 4 * 16),
        (nn.GRU(8, 16, batch_first=True), (10, 8), 10 * 48 * (8 + 16)),
        (parts_of(MLP((32, 16)), (64,)), (64,), 2 * (64 * 32 + 32 * 16) + 16 * 16),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_multiply_adds_are_those_of_the_formula(module, shape, expected):
    assert multiply_adds(module, torch.zeros(2, *shape)) == expected


def test_convolutions_count_all_places_of_an_image():
    convolution = Conv(channels=(4, 8)).encoder((1, 16, 16))[0]
    small, large = (
        multiply_adds(convolution, torch.zeros(2, 1, n, n)) for n in (16, 32)
    )
    assert large == 4 * small > 0

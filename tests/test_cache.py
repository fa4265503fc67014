"""What is kept on disk: whole or not at all, and never a pickle."""

import multiprocessing
import os
import resource
import signal
import stat
import time
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skvae import CacheWarning
from skvae._cache import key_of, remember
from skvae._trees import pack, unpack

fork = multiprocessing.get_context("fork")


def numbers(folder, key="a", *, make=lambda: np.arange(1000.0)):
    return remember(
        folder,
        lambda: key_of(key),
        make,
        pack=lambda values: {"values": values},
        unpack=lambda arrays: arrays["values"],
    )


def refuse():
    raise AssertionError("this should have been kept")


def files_in(folder):
    return sorted(path.suffix for path in folder.rglob("*") if path.is_file())


def in_child(function, *args):
    """Run a function in a forked process; return how it ended."""
    process = fork.Process(target=function, args=args)
    process.start()
    process.join(60)
    return process.exitcode


def test_a_job_is_done_once_per_key(tmp_path):
    done = []
    for key in ("a", "a", "b", "a"):
        make = lambda key=key: done.append(key) or np.array([ord(key)])  # noqa: E731
        assert numbers(tmp_path, key, make=make) == [ord(key)]
    assert done == ["a", "b"]
    assert files_in(tmp_path) == [".npz", ".npz"]


def test_no_folder_keeps_nothing():
    assert_array_equal(numbers(None), np.arange(1000.0))


def test_an_error_is_passed_on_and_nothing_is_kept(tmp_path):
    with pytest.raises(AssertionError, match="should have been kept"):
        numbers(tmp_path, make=refuse)
    assert files_in(tmp_path) == []


def test_what_pack_gives_up_is_not_kept(tmp_path):
    values = remember(
        tmp_path, lambda: "a", lambda: 3, pack=lambda value: None, unpack=None
    )
    assert values == 3
    assert files_in(tmp_path) == []


def test_damaged_entries_are_made_anew(tmp_path):
    expected = numbers(tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        assert_array_equal(numbers(tmp_path), expected)
    path.write_bytes(whole[:100])
    assert_array_equal(numbers(tmp_path), expected)
    assert_array_equal(numbers(tmp_path, make=refuse), expected)


def test_an_entry_under_another_key_is_not_used(tmp_path):
    numbers(tmp_path, "a")
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / f"{key_of('b')}.npz")
    assert_array_equal(numbers(tmp_path, "b", make=lambda: np.ones(2)), np.ones(2))


def test_a_pickle_is_never_loaded(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "attacked"),)

    numbers(tmp_path, make=lambda: np.array([Attack()], dtype=object))
    assert files_in(tmp_path) == [".npz"]
    assert_array_equal(numbers(tmp_path), np.arange(1000.0))
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_permissions_follow_the_umask(umask, tmp_path):
    before = os.umask(umask)
    try:
        numbers(tmp_path / "cache")
    finally:
        os.umask(before)
    (path,) = (tmp_path / "cache").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o777 & ~umask


def use_as_another_user(folder):
    os.setuid(65534)
    warnings.simplefilter("error")
    numbers(folder, "a", make=refuse)
    with pytest.warns(CacheWarning, match="Permission denied"):
        numbers(folder, "b")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_may_read_what_is_kept(tmp_path):
    folder = tmp_path / "cache"
    before = os.umask(0o022)
    try:
        numbers(folder, "a")
    finally:
        os.umask(before)
    parents = [folder, *folder.parents][:-2]
    modes = [parent.stat().st_mode for parent in parents]
    try:
        for parent in parents:
            parent.chmod(0o755)
        assert in_child(use_as_another_user, folder) == 0
    finally:
        for parent, mode in zip(parents, modes, strict=True):
            parent.chmod(mode)


def fill_up(folder):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    with pytest.warns(CacheWarning, match="File too large") as caught:
        assert_array_equal(numbers(folder), np.arange(1000.0))
    assert str(folder) not in str(caught[0].message)


def test_a_full_disk_is_a_warning(tmp_path):
    assert in_child(fill_up, tmp_path) == 0
    assert files_in(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(CacheWarning, match="could not be kept"):
        assert_array_equal(numbers(tmp_path / "file"), np.arange(1000.0))


def save_half(folder):
    def half(file, **arrays):
        file.write(b"half of it")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    np.savez = half
    numbers(folder)


def test_a_later_call_clears_up_after_a_killed_process(tmp_path):
    assert in_child(save_half, tmp_path) == -signal.SIGKILL
    assert files_in(tmp_path) == [".lock", ".tmp"]
    numbers(tmp_path, "another")
    assert files_in(tmp_path) == [".npz"]


def wait_and_log(folder, log):
    def make():
        with open(log, "a") as file:
            file.write("made\n")
        time.sleep(0.5)
        return np.arange(3)

    assert_array_equal(numbers(folder, make=make), np.arange(3))


def test_of_processes_that_want_the_same_one_works(tmp_path):
    folder, log = tmp_path / "cache", tmp_path / "log"
    workers = [fork.Process(target=wait_and_log, args=(folder, log)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert log.read_text() == "made\n"
    assert files_in(folder) == [".npz"]


TREE = {
    "history": [{"loss": 0.1 + 0.2, "best": True, "lr": np.float32(0.1)}, {}],
    "betas": (0.9, 0.999),
    "state": {0: {"step": np.array(3.0), "none": None}},
    "empty": np.empty((0, 3), dtype=np.float32),
    "nan": float("nan"),
}


def test_trees_come_back_as_they_were():
    again = unpack(pack(TREE))
    assert repr(again) == repr(TREE)
    assert again["empty"].shape == (0, 3)


@pytest.mark.parametrize("value", [{1, 2}, object(), np.array([None]), 1j])
def test_trees_hold_plain_values_only(value):
    with pytest.raises(TypeError, match="no array and no plain value"):
        pack({"a": [value]})

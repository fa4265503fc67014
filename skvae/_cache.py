"""Results kept on disk as arrays, under a hash of all that they depend on.

Nothing here is a pickle, so reading an entry never runs code.
"""

import hashlib
import json
import os
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from zipfile import ZipFile

import numpy as np
from filelock import FileLock, Timeout

Arrays = Mapping[str, Any]
Result = TypeVar("Result")
_FORMAT = 3  # of entries; another one makes all of them anew


class CacheWarning(UserWarning):
    """A result could not be kept on disk; it is returned all the same."""


def remember(
    folder: Path | None,
    key: Callable[[], str],
    make: Callable[[], Result],
    *,
    pack: Callable[[Result], Arrays | None],
    unpack: Callable[[Arrays], Result],
) -> Result:
    """Call `make`, or take from a folder what it gave before under the same key.

    Of two processes that want the same result, one works and the other waits. An entry
    that is damaged is made anew. If the folder can't be written to, a warning says so
    and the result is returned.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.
    key : callable
        Returns a hash of all that decides the result.
    make : callable
        Returns the result.
    pack : callable
        Turns the result into arrays, or into None if it should not be kept.
    unpack : callable
        Turns these arrays into the result.
    """
    if folder is None:
        return make()
    path = folder / f"{key()}.npz"
    found = _load(path)
    if found is not None:
        return unpack(found)
    with _only_one(path) as is_mine:
        found = _load(path) if is_mine else None  # perhaps made while waiting
        if found is not None:
            return unpack(found)
        result = make()
        packed = pack(result) if is_mine else None
        if packed is not None:
            _save(path, packed)
    return result


def key_of(*parts: Any) -> str:
    """Hash plain values and those of NumPy."""
    text = as_json([_FORMAT, *parts])
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def as_json(value: Any) -> str:
    """Write a value as text, that of NumPy too."""
    return json.dumps(value, sort_keys=True, default=lambda v: np.asarray(v).tolist())


@contextmanager
def _only_one(path: Path) -> Iterator[bool]:
    """Hold the lock of an entry; yield False where no lock can be made."""
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        _warn(error)
        yield False
        return
    try:
        yield True
    finally:
        _clear(lock)
        _clear_after_the_dead(path.parent)


def _clear(lock: FileLock) -> None:
    """Remove a lock that is held, and what its holder has not finished."""
    path = Path(lock.lock_file)
    try:
        for file in (*path.parent.glob(f"{path.stem}.*.tmp"), path):
            file.unlink(missing_ok=True)
    except OSError:
        pass  # of another user, or open in another process: left for a later call
    finally:
        lock.release()


def _clear_after_the_dead(folder: Path) -> None:
    """Remove what processes left behind that were killed: locks that nobody holds."""
    for path in folder.glob("*.lock"):
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except (OSError, Timeout):
            continue
        _clear(lock)


def _load(path: Path) -> Arrays | None:
    """Read an entry; return None if there is none or if it has changed since."""
    try:
        with ZipFile(path) as entry:
            if entry.comment != _checksum(entry, path.stem):
                return None
            return {Path(name).stem: _array(entry, name) for name in entry.namelist()}
    except Exception:  # of zip and NumPy, of whatever kind damage leads to
        return None


def _array(entry: ZipFile, name: str) -> np.ndarray:
    with entry.open(name) as file:
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):  # only at its end is the checksum of an array verified
            raise ValueError("bytes follow the array")
    return array


def _save(path: Path, arrays: Arrays) -> None:
    """Put an entry into its place in one step, whole, with the user's umask."""
    unfinished = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
    try:
        with open(unfinished, "x+b") as file:
            np.savez(file, **arrays)
            with ZipFile(file, "a") as entry:
                entry.comment = _checksum(entry, path.stem)
        os.replace(unfinished, path)
    except OSError as error:
        _warn(error)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _checksum(entry: ZipFile, key: str) -> bytes:
    """Hash a key with names, sizes and checksums of the arrays in an entry."""
    contents = [(info.filename, info.file_size, info.CRC) for info in entry.infolist()]
    return key_of(key, contents).encode()


def _warn(error: BaseException) -> None:
    reason = getattr(error, "strerror", None) or type(error).__name__
    warnings.warn(
        f"A result could not be kept in the cache ({reason}). It is used all the same, "
        "and made anew the next time. Take a folder that you may write to, with room.",
        CacheWarning,
        stacklevel=4,
    )

"""Arrays kept on disk under a hash of what they were made from."""

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

Arrays = dict[str, Any]
_FORMAT = 1  # of what is kept; another one makes all of it anew


def remember(
    folder: Path | None, key: Callable[[], str], make: Callable[[], Arrays]
) -> Arrays:
    """Call `make`, or take from the cache what it gave before under the same key.

    Of two processes that want the same, one works and the other waits. A file is put
    into its place in one step, whole; one that can't be read is made anew.
    """
    if folder is None:
        return make()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key()}.npz"
    found = _load(path)
    if found is not None:
        return found
    with FileLock(path.with_suffix(".lock")):
        found = _load(path)
        if found is None:
            found = make()
            _save(path, found)
    return found


def key_of(digests: Iterable[str], settings: Mapping[str, Any]) -> str:
    """Hash contents of files and what is done with them."""
    text = as_json([_FORMAT, list(digests), settings])
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def as_json(value: Any) -> str:
    """Write a value as text, that of NumPy too."""
    return json.dumps(value, sort_keys=True, default=lambda v: np.asarray(v).tolist())


def digest_of(path: str | os.PathLike[str]) -> str:
    """Hash the content of a file."""
    status = os.stat(path)
    changed = status.st_mtime_ns, status.st_ctime_ns
    return _digest(os.fspath(path), status.st_size, changed)


@lru_cache(maxsize=100_000)
def _digest(path: str, size: int, changed: tuple[int, int]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _load(path: Path) -> Arrays | None:
    try:
        with open(path, "rb") as file, np.load(file) as stored:
            return dict(stored)
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile):
        return None


def _save(path: Path, arrays: Arrays) -> None:
    with tempfile.NamedTemporaryFile(
        dir=path.parent, suffix=".tmp", delete=False
    ) as file:
        try:
            np.savez(file, **arrays)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise

"""Results kept on disk under a hash of all that they depend on."""

import inspect
import os
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from types import FunctionType

import joblib
import numpy as np
from filelock import FileLock
from sklearn.utils.validation import check_memory


def remember(memory, key, job):
    """Call `job`, or take from the cache what it gave before under this key.

    Beyond key and result nothing is kept: neither data nor paths that the job works on.
    Of two processes that want the same result, one works and the other waits.

    Parameters
    ----------
    memory : str, path or joblib.Memory
    key : str
    job : callable
        Takes no argument.
    """
    is_path = isinstance(memory, os.PathLike)
    memory = check_memory(os.fspath(memory) if is_path else memory)
    with _locked(memory, key):
        return memory.cache(_run, ignore=["job"])(key, job)


def fingerprint(value):
    """Hash a value such that copies of it, and equals of other types, hash alike."""
    return joblib.hash(_content(value))


def _run(key, job):
    return job()


def _locked(memory, key):
    """Hold a file lock beside the cache, if the cache is on disk."""
    if getattr(memory, "location", None) is None:
        return nullcontext()
    folder = Path(memory.location, "joblib")
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"skvae-{key}.lock")


def _content(value, within=()):
    """Break a value down to plain ones.

    Torch modules pickle differently from copy to copy, and functions and classes by
    their names only. Here they are taken for their attributes, weights included, and
    their source, since users change it under the same name.
    """
    if id(value) in within:
        return "cycle"
    within = (*within, id(value))
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy()
    if isinstance(value, dict):
        return {name: _content(part, within) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_content(part, within) for part in value]
    if isinstance(value, type):
        return _named(value)
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        parts = value.__code__.co_code, value.__defaults__, cells
        return [_named(value), _content(parts, within)]
    if hasattr(value, "__dict__"):
        return [_named(type(value)), _content(value.__reduce_ex__(2)[1:3], within)]
    return value


@lru_cache
def _named(definition):
    """Name a class or function, with its source where there is one."""
    try:
        source = inspect.getsource(definition)
    except (OSError, TypeError):
        source = None
    return definition.__module__, definition.__qualname__, source

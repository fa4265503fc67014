"""Hashes of values by their content, to tell whether two trainings are the same."""

import inspect
import sys
from functools import lru_cache
from numbers import Number
from types import CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any

import joblib
import numpy as np

_PLAIN = Number | str | bytes | list | tuple | dict | np.ndarray | ModuleType
_LIBRARIES = {"joblib", "numpy", "scipy", "sklearn", "skorch", "skvae", "torch"}
_LIBRARIES |= sys.stdlib_module_names


def fingerprint(value: Any) -> str:
    """Hash a value such that copies of it, and equals of other types, hash alike."""
    return str(joblib.hash(_content(value)))


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
        return _content(value.item())
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, type):
        return _content_of_class(value, within)
    if hasattr(value, "detach"):
        return [value.detach().cpu().numpy(), value.requires_grad]
    if isinstance(value, dict):
        return {name: _content(part, within) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_content(part, within) for part in value]
    if isinstance(value, FunctionType):
        return [_named(value), _content(_parts_of_function(value), within)]
    if isinstance(value, CodeType):
        return [value.co_code, value.co_names, _content(value.co_consts, within)]
    if hasattr(value, "get_params"):
        parameters = {
            name: part.tolist() if isinstance(part, np.ndarray) else part
            for name, part in value.get_params(deep=False).items()
        }
        return [_content(type(value), within), _content(parameters, within)]
    if hasattr(value, "__dict__"):
        state = value.__reduce_ex__(2)[1:3]
        return [_content(type(value), within), _content(state, within)]
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return _content(value.tolist(), within)
    if value is None or isinstance(value, Number | str | bytes | np.ndarray):
        return value
    return joblib.hash(value)  # within dicts, joblib passes over what it can't hash


def _content_of_class(cls, within):
    """Take a class for all that it inherits: its source, functions and values.

    The source alone says nothing of what surrounds it, of values that were set later,
    nor of an edit since it was loaded. That of a library stands for all.
    """
    parts = []
    for base in cls.__mro__[:-1]:
        parts.append(_named(base))
        if base.__module__.partition(".")[0] not in _LIBRARIES:
            parts.append(_content(_attributes_of(base), within))
    return parts


def _attributes_of(cls):
    """Return the functions and plain values in the body of a class."""
    attributes = {}
    for name, value in vars(cls).items():
        value = getattr(value, "fget", getattr(value, "__func__", value))
        is_plain = isinstance(value, _PLAIN) and not name.startswith("__")
        if is_plain or isinstance(value, FunctionType):
            attributes[name] = value
    return attributes


def _parts_of_function(function):
    """List what the result of a function depends on, but its arguments."""
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    read = {
        name: _known_by(function.__globals__.get(name), function.__module__)
        for name in _names(function.__code__)
    }
    code, defaults = function.__code__, function.__defaults__
    return code, defaults, function.__kwdefaults__, vars(function), cells, read


def _known_by(value, module):
    """Take what a function looks up for its content, unless that may be boundless."""
    if isinstance(value, FunctionType | type):
        return value if value.__module__ == module else _named(value)
    is_known = isinstance(value, _PLAIN | SimpleNamespace) or hasattr(value, "detach")
    return value if is_known else _named(type(value))


def _names(code):
    """List the names that a function and those inside of it look up."""
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return sorted({*code.co_names, *(name for part in inner for name in _names(part))})


@lru_cache
def _named(definition):
    """Name a class or function, with its source where there is one."""
    try:
        source = inspect.getsource(definition)
    except (OSError, TypeError):
        source = None
    return definition.__module__, definition.__qualname__, source

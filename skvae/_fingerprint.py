"""Hashes of values by their content, to tell whether two trainings are the same."""

import inspect
from functools import lru_cache
from numbers import Number
from types import CodeType, FunctionType, ModuleType

import joblib
import numpy as np


def fingerprint(value):
    """Hash a value such that copies of it, and equals of other types, hash alike."""
    return joblib.hash(_content(value))


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
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, type):
        return _content_of_class(value, within)
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy()
    if isinstance(value, dict):
        return {name: _content(part, within) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_content(part, within) for part in value]
    if isinstance(value, FunctionType):
        return [_named(value), _content(_parts_of_function(value), within)]
    if isinstance(value, CodeType):
        return [value.co_code, value.co_names, _content(value.co_consts, within)]
    if hasattr(value, "get_params"):
        parameters = value.get_params(deep=False)
        return [_content(type(value), within), _content(parameters, within)]
    if hasattr(value, "__dict__"):
        state = value.__reduce_ex__(2)[1:3]
        return [_content(type(value), within), _content(state, within)]
    return value


def _content_of_class(cls, within):
    """Take a class for the source of all that it inherits, or for its functions."""
    parts = []
    for base in cls.__mro__[:-1]:
        named = _named(base)
        methods = {k: v for k, v in vars(base).items() if isinstance(v, FunctionType)}
        parts += [named] if named[-1] else [named, _content(methods, within)]
    return parts


def _parts_of_function(function):
    """List what the result of a function depends on, but its arguments."""
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    read = {
        name: _known_by(function.__globals__.get(name), function.__module__)
        for name in _names(function.__code__)
    }
    code, defaults = function.__code__, function.__defaults__
    return code, defaults, function.__kwdefaults__, cells, read


def _known_by(value, module):
    """Take what a function looks up for its content, unless that may be boundless."""
    if isinstance(value, FunctionType | type):
        return value if value.__module__ == module else _named(value)
    plain = Number | str | bytes | list | tuple | dict | np.ndarray | ModuleType
    return value if isinstance(value, plain) else _named(type(value))


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

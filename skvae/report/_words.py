"""Values in words."""

import inspect
from collections import Counter
from functools import partial
from os import PathLike

import numpy as np

from ._estimators import params_of


def value_of(value):
    """Write a value in short, without folders."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, str):
        return "a path" if is_path(value) else f'"{value}"'
    if isinstance(value, PathLike):
        return "a path"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, partial):
        params = ", ".join(f"{k} = {value_of(v)}" for k, v in value.keywords.items())
        return f"{value_of(value.func)} ({params})"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(value_of, value))})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}: {value_of(v)}' for k, v in value.items())}}}"
    if hasattr(value, "get_params") and not isinstance(value, type):
        params = ", ".join(f"{k} = {value_of(v)}" for k, v in params_of(value).items())
        return f"{type(value).__name__} ({params})"
    if value is None or isinstance(value, bool | int):
        return str(value)
    return getattr(value, "__name__", type(value).__name__)


def is_path(text):
    """Tell whether a text may name a folder."""
    return "/" in text or "\\" in text


def named(estimator):
    """Name an estimator and the parameters that are not at their defaults."""
    params = changed(estimator, {"random_state"}) or "default parameters"
    return f"{type(estimator).__name__} ({params})"


def changed(estimator, told):
    """List the parameters that are not at their defaults and not told elsewhere."""
    signature = inspect.signature(type(estimator)).parameters
    params = {k: v for k, v in params_of(estimator).items() if k not in told}
    texts = [
        f"{name} = {value_of(value)}"
        for name, value in params.items()
        if name not in signature or value_of(value) != value_of(signature[name].default)
    ]
    return ", ".join(texts)


def many(n, noun):
    """Count things: "1 volume", "2 volumes"."""
    return f"{n} {noun}{'s' * (n != 1)}"


def counted(values, form="{value} ({n})"):
    """List values with how often they occur, the most frequent first."""
    counts = Counter(values).items()
    ordered = sorted(counts, key=lambda item: (-item[1], str(item[0])))
    return ", ".join(form.format(value=value, n=n) for value, n in ordered)


def range_of(numbers):
    """Write the range of whole numbers."""
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def product(numbers):
    """Write the size of a box."""
    return " x ".join(f"{number:g}" for number in numbers)


def in_branch(branch, steps):
    """Name a branch where there are several."""
    several = len({name for name, _ in steps}) > 1
    return f"Branch “{branch}”: " if several and branch else ""


def as_list(lines):
    """Write one line as a paragraph, several as a list."""
    return (
        "\n".join(f"- {line}" for line in lines) if len(lines) > 1 else "".join(lines)
    )

"""Nested dicts and lists as flat arrays and one text, without a pickle."""

import json
from typing import Any

import numpy as np

_STRUCTURE = "structure"
_PLAIN = (bool, int, float, str, type(None))


def pack(tree: Any) -> dict[str, np.ndarray]:
    """Turn dicts, lists, tuples, arrays and plain values into named arrays.

    Raises
    ------
    TypeError
        If the tree holds anything else.
    """
    leaves: list[np.ndarray] = []
    structure = json.dumps(_described(tree, leaves))
    named = {str(number): leaf for number, leaf in enumerate(leaves)}
    return {_STRUCTURE: np.array(structure)} | named


def unpack(arrays: dict[str, np.ndarray]) -> Any:
    """Give back what `pack` was given."""
    return _rebuilt(json.loads(str(arrays[_STRUCTURE])), arrays)


def _described(value: Any, leaves: list[np.ndarray]) -> Any:
    """Describe a value for JSON, and move its arrays to `leaves`."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, dict):
        pairs = [[_described(part, leaves) for part in pair] for pair in value.items()]
        return {"dict": pairs}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_described(part, leaves) for part in value]}
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        leaves.append(np.asarray(value))
        kind = "array" if isinstance(value, np.ndarray) else "number"
        return {kind: str(len(leaves) - 1)}
    raise TypeError(f"{type(value).__name__} is no array and no plain value.")


def _rebuilt(description: Any, arrays: dict[str, np.ndarray]) -> Any:
    if not isinstance(description, dict):
        return description
    ((kind, content),) = description.items()
    if kind == "dict":
        return {_rebuilt(k, arrays): _rebuilt(v, arrays) for k, v in content}
    if kind in ("list", "tuple"):
        parts = [_rebuilt(part, arrays) for part in content]
        return parts if kind == "list" else tuple(parts)
    return arrays[content] if kind == "array" else arrays[content][()]

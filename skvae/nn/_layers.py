import copy
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn


class _Complete(Exception):  # noqa: N818, no error but a way out
    """All layers asked for are there: the rest of the forward pass can be skipped."""


def _first_tensor(output: Any) -> Tensor | None:
    """Recurrent modules return tuples, whose first tensor holds the features."""
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


@contextmanager
def _hooked(module: nn.Module, hook: Any) -> Iterator[None]:
    """Call ``hook(name, output)`` after the forward pass of each submodule."""

    def named_hook(name: str) -> Any:
        return lambda _module, _args, output: hook(name, output)

    handles = [
        child.register_forward_hook(named_hook(name))
        for name, child in module.named_modules()
        if name
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def layer_shapes(module: nn.Module, X: Tensor) -> dict[str, tuple[int, ...]]:
    """Map the path of each submodule to the shape of its output for one sample.

    Parameters
    ----------
    module : nn.Module
    X : Tensor of shape (n_samples, ...)
        Any input; a forward pass is run on it.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: Any) -> None:
        output = _first_tensor(output)
        if output is not None and output.dim() and len(output) == len(X):
            shapes.setdefault(name, tuple(output.shape[1:]))

    with torch.no_grad(), _hooked(module, note):
        module(X)
    return shapes


def without_hooks_of_others(module: nn.Module) -> nn.Module:
    """Copy the structure of a module but none of its tensors.

    Hooks set on the copy are seen by nobody else, so that threads can share `module`.
    """
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def capture(module: nn.Module, X: Tensor, names: Collection[str]) -> dict[str, Tensor]:
    """Return the outputs of the named submodules; stop after the deepest of them.

    A submodule that is called more than once answers with its first output.
    """
    captured: dict[str, Tensor] = {}

    def note(name: str, output: Any) -> None:
        if name in names and name not in captured:
            tensor = _first_tensor(output)
            if tensor is not None:
                captured[name] = tensor
        if len(captured) == len(names):
            raise _Complete

    with _hooked(module, note):
        with suppress(_Complete):
            module(X)
    return captured

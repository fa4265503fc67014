import copy
import math
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class _Complete(Exception):  # noqa: N818, no error but a way out
    """All layers asked for are there: the rest of the forward pass can be skipped."""


def _copy_without_tensors(module: nn.Module) -> nn.Module:
    """Copy a module but none of its tensors.

    Hooks on the copy are seen by nobody else, so that threads can share `module`.
    """
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def _first(values: Any) -> Any:
    return values[0] if isinstance(values, tuple | list) and values else values


def _watch(
    module: nn.Module, names: Iterable[str], observe: Callable[[str, Tensor], None]
) -> list[RemovableHandle]:
    """Watch what submodules return.

    Those that return tuples, as recurrent ones do, stand for the first entry.
    """

    def hook_on(name: str) -> Callable[..., None]:
        def forward_hook(module: nn.Module, args: Any, output: Any) -> None:
            output = _first(output)
            if isinstance(output, Tensor):
                observe(name, output)

        return forward_hook

    return [
        module.get_submodule(name).register_forward_hook(hook_on(name))
        for name in names
    ]


@torch.no_grad()
def _pass_once(module: nn.Module, X: Tensor, hooks: list[RemovableHandle]) -> None:
    """Run a forward pass for the sake of hooks, which are then removed."""
    try:
        module(X)
    finally:
        for hook in hooks:
            hook.remove()


def layer_shapes(module: nn.Module, X: Tensor) -> dict[str, tuple[int, ...]]:
    """Map the path of each submodule to the shape of its output for one sample.

    Parameters
    ----------
    module : nn.Module
    X : Tensor of shape (n_samples, ...)
        Any input; a forward pass is run on it.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: Tensor) -> None:
        if output.dim() and len(output) == len(X):
            shapes.setdefault(name, tuple(output.shape[1:]))

    names = [name for name, _ in module.named_modules() if name]
    _pass_once(module, X, _watch(module, names, note))
    return shapes


def multiply_adds(module: nn.Module, X: Tensor) -> int:
    """Estimate the multiply-adds of weights in the forward pass of one sample.

    A weight counts once per place: per point in space for convolutions (of the input or
    the output, whichever has more), per step for layers that work on sequences.

    Parameters
    ----------
    module : nn.Module
    X : Tensor of shape (n_samples, ...)
        Any input; a forward pass is run on it.
    """
    total = 0

    def count(layer: nn.Module, args: Any, output: Any) -> None:
        nonlocal total
        ends = [end for end in map(_first, (args, output)) if isinstance(end, Tensor)]
        for weight in layer.parameters(recurse=False):
            if weight.dim() > 1 and ends:
                total += weight.numel() * max(_n_places(end, weight) for end in ends)

    hooks = [layer.register_forward_hook(count) for layer in module.modules()]
    _pass_once(module, X, hooks)
    return total


def _n_places(values: Tensor, weight: Tensor) -> int:
    """Count the places of a sample; channels come first in convolutions, else last."""
    shape = values.shape[1:]
    return math.prod(shape[1:] if weight.dim() > 2 else shape[:-1])


def layer_function(
    module: nn.Module, names: Collection[str]
) -> Callable[[Tensor], dict[str, Tensor]]:
    """Return a function that gives the outputs of the named submodules.

    Its forward pass stops after the deepest of them. A submodule that is called more
    than once answers with its first output.
    """
    outputs: dict[str, Tensor] = {}

    def note(name: str, output: Tensor) -> None:
        if name not in outputs:
            outputs[name] = output.clone()  # the next layer may work in place
        if len(outputs) == len(names):
            raise _Complete

    observed = _copy_without_tensors(module)
    _watch(observed, names, note)

    def run(X: Tensor) -> dict[str, Tensor]:
        outputs.clear()
        with suppress(_Complete):
            observed(X)
        return dict(outputs)

    return run

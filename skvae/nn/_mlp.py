import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ._dropout import Dropout

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def activate(activation: str, dropout: float = 0.0) -> list[nn.Module]:
    """List the layers that follow a linear map: activation, then dropout if any."""
    tail: list[nn.Module] = [ACTIVATIONS[activation]()]
    return [*tail, Dropout(dropout)] if dropout else tail


def dense(
    sizes: Sequence[int],
    activation: str,
    dropout: float,
    linear: type[nn.Linear] = nn.Linear,
) -> list[nn.Module]:
    """List fully connected layers from ``sizes[0]`` to ``sizes[-1]``, all activated."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [linear(n_in, n_out), *activate(activation, dropout)]
    return layers


class WithInput(nn.Module):
    """Layers whose input goes past them, too: (n, ...) to (n, n_outputs + n_inputs).

    What follows is linear in the input and in what the layers make of it.
    """

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, X: Tensor) -> Tensor:
        return torch.cat([self.layers(X), X.flatten(1)], 1)


class WithLinear(nn.Module):
    """Layers with a linear map beside them: their outputs are added up."""

    def __init__(self, layers: nn.Module, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.layers = layers
        self.linear = nn.Linear(n_inputs, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        output: Tensor = self.layers(X) + self.linear(X)
        return output


def mlp_encoder(
    sample_shape: Sequence[int],
    hidden: Sequence[int],
    activation: str,
    dropout: float,
    linear_path: bool = False,
) -> nn.Module:
    """Map (n, *sample_shape) to (n, hidden[-1]), with the input beside if asked to."""
    sizes = [math.prod(sample_shape), *hidden]
    layers = nn.Sequential(nn.Flatten(), *dense(sizes, activation, dropout))
    return WithInput(layers) if linear_path and hidden else layers


def mlp_decoder(
    n_inputs: int,
    sample_shape: Sequence[int],
    hidden: Sequence[int],
    activation: str,
    dropout: float,
    linear_path: bool = False,
) -> nn.Sequential:
    """Map (n, n_inputs) to (n, *sample_shape), with a linear map beside if asked to."""
    sizes = [n_inputs, *reversed(hidden)]
    n_outputs = math.prod(sample_shape)
    layers = [*dense(sizes, activation, dropout), nn.Linear(sizes[-1], n_outputs)]
    if linear_path and hidden:
        layers = [WithLinear(nn.Sequential(*layers), n_inputs, n_outputs)]
    return nn.Sequential(*layers, nn.Unflatten(1, tuple(sample_shape)))


def begin_linear(decoder: nn.Module, weight: Tensor, bias: Tensor) -> None:
    """Let a decoder of `mlp_decoder` begin as a linear map of its first inputs.

    Parameters
    ----------
    decoder : nn.Module
        With a linear path.
    weight : Tensor of shape (n_outputs, n_first)
    bias : Tensor of shape (n_outputs,)
    """
    first: Any = decoder[0]  # type: ignore[index]
    linear = first
    if isinstance(first, WithLinear):
        linear = first.linear
        last: Any = first.layers[-1]  # type: ignore[index]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    nn.init.zeros_(linear.weight)
    with torch.no_grad():
        linear.weight[:, : weight.shape[1]] = weight
        linear.bias[:] = bias

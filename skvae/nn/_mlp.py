import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

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


def mlp_encoder(
    sample_shape: Sequence[int], hidden: Sequence[int], activation: str, dropout: float
) -> nn.Sequential:
    """Map (n, *sample_shape) to (n, hidden[-1])."""
    sizes = [math.prod(sample_shape), *hidden]
    return nn.Sequential(nn.Flatten(), *dense(sizes, activation, dropout))


def mlp_decoder(
    n_inputs: int,
    sample_shape: Sequence[int],
    hidden: Sequence[int],
    activation: str,
    dropout: float,
) -> nn.Sequential:
    """Map (n, n_inputs) to (n, *sample_shape)."""
    sizes = [n_inputs, *reversed(hidden)]
    return nn.Sequential(
        *dense(sizes, activation, dropout),
        nn.Linear(sizes[-1], math.prod(sample_shape)),
        nn.Unflatten(1, tuple(sample_shape)),
    )

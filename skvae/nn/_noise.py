"""Where the random numbers of a training step come from."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor


class Noise:
    """Random numbers for the losses of one network, drawn from one generator.

    Parameters
    ----------
    generator : torch.Generator or None, default=None
        None takes PyTorch's global one.
    device : torch.device, str or None, default=None
        Where the numbers are needed. None leaves them where the generator draws.
    """

    def __init__(
        self,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self._generator = torch.default_generator if generator is None else generator
        self.device = torch.device(device or self._generator.device)

    def draw(self, function: Callable[[torch.Generator], Tensor]) -> Tensor:
        """Return what a function draws from a generator.

        All random numbers come through here. The function never sees the tensors of
        `torch.vmap`, so it may do what these can't: loop, or call NumPy.

        Parameters
        ----------
        function : callable
            Takes a torch.Generator and returns a tensor without gradient. Of networks
            that are stacked, each calls it with a generator of its own.
        """
        return function(self._generator).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """Draw standard normal numbers."""

        def draw(generator: torch.Generator) -> Tensor:
            return torch.randn(shape, **_options(generator))

        return self.draw(draw)

    def uniform(self, *shape: int) -> Tensor:
        """Draw numbers between 0 and 1."""

        def draw(generator: torch.Generator) -> Tensor:
            return torch.rand(shape, **_options(generator))

        return self.draw(draw)

    def keep(self, share: Tensor | float, *shape: int) -> Tensor:
        """Draw a mask that is true for a share of the values, on average."""
        return self.uniform(*shape) < share

    def choice(self, weights: Tensor, n_draws: int) -> Tensor:
        """Draw numbers from 0 to ``len(weights) - 1``, with replacement.

        Parameters
        ----------
        weights : Tensor of shape (n_choices,)
            How often each comes, up to a factor.
        n_draws : int

        Returns
        -------
        numbers : Tensor of shape (n_draws,), int64
        """
        bounds = weights.cumsum(0)
        return (self.uniform(n_draws, 1) >= bounds[:-1] / bounds[-1]).sum(1)


class StackedNoise(Noise):
    """The noise of one among many networks that are trained under `torch.vmap`.

    Each network gets the numbers that it would get alone, with `Noise` of its own
    generator.

    Parameters
    ----------
    generators : sequence of torch.Generator
        One per network.
    index : Tensor of shape (), int64
        Number of the network. Map ``torch.arange(len(generators))`` over the networks,
        and keep it on the CPU: reading it from elsewhere would wait for the device.
    device : torch.device, str or None, default=None
        As in `Noise`.

    Examples
    --------
    >>> import torch
    >>> from skvae.nn import Noise, StackedNoise
    >>> generators = [torch.Generator().manual_seed(seed) for seed in (3, 5)]
    >>> def draw(index):
    ...     return StackedNoise(generators, index).normal(2)
    >>> stacked = torch.vmap(draw)(torch.arange(2))
    >>> alone = Noise(torch.Generator().manual_seed(5)).normal(2)
    >>> torch.equal(stacked[1], alone)
    True
    """

    def __init__(
        self,
        generators: Sequence[torch.Generator],
        index: Tensor,
        device: torch.device | str | None = None,
    ) -> None:
        self._generators = generators
        self._index = index
        self.device = torch.device(device or generators[0].device)

    def draw(self, function: Callable[[torch.Generator], Tensor]) -> Tensor:
        draw: Callable[..., Tensor] = _Draw.apply
        drawn = draw(self._index, function, self._generators)
        return drawn.to(self.device)


class _Draw(torch.autograd.Function):
    """Draws of each network by its number; PyTorch calls `vmap` for all at once."""

    @staticmethod
    def forward(
        index: Tensor,
        function: Callable[[torch.Generator], Tensor],
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        return function(generators[int(index)])

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:
        return None, None, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: Any,
        index: Tensor,
        function: Callable[[torch.Generator], Tensor],
        generators: Sequence[torch.Generator],
    ) -> tuple[Tensor, int]:
        draws = [function(generators[i]) for i in index.tolist()]
        return torch.stack(draws), 0


_current: ContextVar[Noise | None] = ContextVar("_current", default=None)


class drawing_from:  # noqa: N801, a context manager; one of a generator is slower
    """Let each `Dropout` that runs within draw from `noise`.

    No call between the losses and a layer has a place for it: ``nn.Sequential``, and
    the networks that users write, pass one tensor on. An attribute of the layer would
    be state, shared by networks that are stacked.
    """

    def __init__(self, noise: Noise) -> None:
        self._noise = noise

    def __enter__(self) -> None:
        self._token = _current.set(self._noise)

    def __exit__(self, *error: object) -> None:
        _current.reset(self._token)


def current_noise(device: torch.device) -> Noise:
    """Return the noise that is drawn from here, else PyTorch's global state."""
    return _current.get() or Noise(device=device)


def _options(generator: torch.Generator) -> dict[str, Any]:
    return {
        "generator": generator,
        "device": generator.device,
        "dtype": torch.float32,
    }

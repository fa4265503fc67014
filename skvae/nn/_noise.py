"""Where the random numbers of a training step come from."""

from collections.abc import Callable
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

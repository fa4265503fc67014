"""What is done to the encoder's input in training, which a model learns to undo."""

import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ._noise import Noise
from ._parameters import Parameterized, is_positive, register_numbers


class Corruption(Parameterized, nn.Module):
    """A change of the encoder's input, made anew in each training step.

    A subclass implements `forward` and stores the arguments of its constructor under
    their own names.

    Attributes
    ----------
    takes_standardized : bool
        Whether the data come centred and in units of their spread, or as they are.
    makes_gaps : bool
        Whether values may be NaN, and are marked as missing for the encoder then.
    """

    takes_standardized: ClassVar[bool] = True
    makes_gaps: bool = False

    def __init__(self) -> None:
        super().__init__()  # nn.Module's own signature would hide that there are none

    def build(self) -> None:
        """Keep numbers as buffers; raise a ValueError if one can't be."""

    def forward(self, X: Tensor, noise: Noise) -> Tensor:
        """Return what the encoder gets instead of X.

        Parameters
        ----------
        X : Tensor of shape (n_samples, ...)
        noise : Noise
            Source of all random numbers.
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward(...).")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


class GaussianNoise(Corruption):
    """Add Gaussian noise.

    Parameters
    ----------
    scale : float, default=0.5
        Standard deviation, in units of the spread of the data.
    """

    _scale: Tensor

    def __init__(self, scale: float = 0.5) -> None:
        super().__init__()
        self.scale = scale

    def build(self) -> None:
        if not is_positive(self.scale):
            raise ValueError(
                f"`scale` of GaussianNoise must be a number > 0, got {self.scale!r}."
            )
        register_numbers(self, _scale=self.scale)

    def forward(self, X: Tensor, noise: Noise) -> Tensor:
        return X + self._scale * noise.normal(*X.shape)


class _OfSomeValues(Corruption):
    """Replaces a share of the values."""

    _share: Tensor

    def __init__(self, share: float = 0.25) -> None:
        super().__init__()
        self.share = share

    def build(self) -> None:
        if not (is_positive(self.share) and self.share < 1):
            raise ValueError(
                f"`share` of {type(self).__name__} must be between 0 and 1, got "
                f"{self.share!r}."
            )
        register_numbers(self, _share=self.share)

    def forward(self, X: Tensor, noise: Noise) -> Tensor:
        replaced = noise.keep(self._share, *X.shape)
        return torch.where(replaced, self._others(X, noise), X)

    def _others(self, X: Tensor, noise: Noise) -> Tensor:
        """Return what takes the place of values, for all of them."""
        raise NotImplementedError


class Masking(_OfSomeValues):
    """Replace values by the mean of their feature, which says nothing of the sample.

    With ``missing_values="mask"``, they are missing values, which teaches the model to
    fill those.

    Parameters
    ----------
    share : float, default=0.25
        Share of the values, drawn anew for each sample.

    References
    ----------
    P. Vincent et al., "Stacked denoising autoencoders", JMLR 11, 2010,
    https://jmlr.org/papers/v11/vincent10a.html.
    """

    def _others(self, X: Tensor, noise: Noise) -> Tensor:
        return torch.full_like(X, math.nan if self.makes_gaps else 0.0)


class SaltAndPepper(_OfSomeValues):
    """Replace values by the smallest or the largest of their feature in the batch.

    Parameters
    ----------
    share : float, default=0.25
        Share of the values, drawn anew for each sample.

    References
    ----------
    P. Vincent et al., "Stacked denoising autoencoders", JMLR 11, 2010,
    https://jmlr.org/papers/v11/vincent10a.html.
    """

    def _others(self, X: Tensor, noise: Noise) -> Tensor:
        there = X.nan_to_num()
        return torch.where(noise.keep(0.5, *X.shape), there.amax(0), there.amin(0))


class Swap(_OfSomeValues):
    """Replace values by those of other samples of the batch, within each feature.

    So each feature keeps its distribution, which suits tables with skewed or discrete
    columns.

    Parameters
    ----------
    share : float, default=0.25
        Share of the values, drawn anew for each sample.

    References
    ----------
    J. Yoon, Y. Zhang, J. Jordon and M. van der Schaar, "VIME", NeurIPS 2020 (there the
    values are drawn by a permutation of each column).
    """

    def _others(self, X: Tensor, noise: Noise) -> Tensor:
        rows = (noise.uniform(*X.shape) * len(X)).long()  # below len(X), as uniform < 1
        return X.gather(0, rows)


class Function(Corruption):
    """A corruption that the user writes in NumPy.

    Parameters
    ----------
    function : callable
        ``function(X, rng)`` returns an array of the shape of `X`, a batch as it came;
        `rng` is a ``numpy.random.Generator``.
    """

    takes_standardized = False

    def __init__(self, function: Callable[..., np.ndarray]) -> None:
        super().__init__()
        self.function = function

    def forward(self, X: Tensor, noise: Noise) -> Tensor:
        def draw(generator: torch.Generator) -> Tensor:
            device = generator.device
            return torch.randint(2**62, (1,), generator=generator, device=device)

        rng = np.random.default_rng(int(noise.draw(draw)))
        returned = self.function(X.detach().cpu().numpy().copy(), rng)
        changed = torch.from_numpy(np.array(returned, dtype=np.float32))
        if changed.shape != X.shape:
            raise ValueError(
                "`corruption` must return an array of the shape of X, "
                f"{tuple(X.shape)}; got {tuple(changed.shape)}."
            )
        is_valid = changed.isfinite() | (changed.isnan() & self.makes_gaps)
        if not is_valid.all():
            raise ValueError("`corruption` must return finite values.")
        return changed.to(X.device)

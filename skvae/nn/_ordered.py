"""Codes of which each prefix is a code of its own, the most important part first.

Nested dropout (Rippel, Gelbart and Adams 2014, https://arxiv.org/abs/1402.0915): a
decoder that gets only the first values of a code, of a number drawn at random, makes
the encoder say there what helps most. One decoder for prefixes of all lengths would be
a compromise that costs twice the error of long ones. So there is one for each octave of
lengths, as in "up to 2, 4, 8, 16", each with a likelihood of its own. Samples of a
batch take turns among them, so that there are no more multiplications than with one.
"""

import copy
from bisect import bisect_left
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ._likelihoods import Likelihood
from ._noise import Noise

# Share of the samples whose prefix may be shorter than its octave allows. It puts the
# components of an octave in order; more of it costs the longest prefixes their quality.
_SHORTER = 0.1


def octaves(n_components: int) -> list[int]:
    """Return the length of the longest prefix of each octave, the last a whole code."""
    sizes = [2]
    while sizes[-1] < n_components:
        sizes.append(2 * sizes[-1])
    return [*sizes[:-1], n_components]


class Head(nn.Module):
    """A decoder and the likelihood of data around what it says.

    Parameters
    ----------
    decoder : nn.Module
    likelihood : Likelihood
    """

    def __init__(self, decoder: nn.Module, likelihood: Likelihood) -> None:
        super().__init__()
        self.decoder = decoder
        self.likelihood = likelihood


class Prefixes(nn.Module):
    """What an ordered code has beside a decoder of whole codes.

    Parameters
    ----------
    decoders : sequence of nn.Module
        One for each octave but the last. They get codes with zeros after the prefix.
    likelihood : Likelihood
        Not built yet; each decoder gets a copy.
    n_components : int
        Size of a whole code.

    Attributes
    ----------
    shares : Tensor of shape (n_components,)
        Shares of the samples of a batch whose prefix holds a component.
    n_used : Tensor of shape (), int64
        Length of the prefix that stands for the code outside of training.
    """

    shares: Tensor
    n_used: Tensor
    _longest: Tensor

    def __init__(
        self, decoders: Sequence[nn.Module], likelihood: Likelihood, n_components: int
    ) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            Head(decoder, copy.deepcopy(likelihood)) for decoder in decoders
        )
        self.sizes = octaves(n_components)
        longest = torch.tensor(self.sizes, dtype=torch.float32)[:, None]
        self.register_buffer("_longest", longest, persistent=False)
        number = torch.arange(n_components)
        shares = (1 - _SHORTER * number / longest) * (number < longest)
        self.register_buffer("shares", shares.mean(0), persistent=False)
        self.register_buffer("n_used", torch.tensor(n_components))

    def head_for(self, length: int) -> nn.Module | None:
        """Return what decodes prefixes of a length, None for that of whole codes."""
        number = bisect_left(self.sizes, length)
        return self.heads[number] if number < len(self.heads) else None

    def cut(self, Z: Tensor, noise: Noise) -> Tensor:
        """Set codes to zero after prefixes whose octaves take turns from row to row.

        Most of them are the longest of their octave, some of random length.
        """
        turn = torch.arange(len(Z), device=Z.device) % len(self.sizes)
        longest = self._longest[turn]
        drawn = noise.uniform(len(Z), 1) / _SHORTER  # above 1: the longest
        length = torch.minimum((drawn * longest).ceil(), longest)
        return Z * (torch.arange(Z.shape[1], device=Z.device) < length)

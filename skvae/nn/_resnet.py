import math
from collections.abc import Sequence

from torch import Tensor, nn

from ._mlp import ACTIVATIONS


class ResidualBlock(nn.Module):
    """Pre-activated convolutions and a skip (He et al. 2016, arXiv:1603.05027).

    Group normalization (Wu and He 2018, arXiv:1803.08494) takes the place of batch
    normalization, so that a sample's output does not depend on its batch.

    Parameters
    ----------
    channels : int
    convolutions : sequence of nn.Module
        Each keeps the number of channels and the grid.
    activation : str
    """

    def __init__(
        self, channels: int, convolutions: Sequence[nn.Module], activation: str
    ) -> None:
        super().__init__()
        groups = math.gcd(channels, max(1, channels // 8))
        layers: list[nn.Module] = []
        for convolution in convolutions:
            layers += [
                nn.GroupNorm(groups, channels),
                ACTIVATIONS[activation](),
                convolution,
            ]
        self.residual = nn.Sequential(*layers)

    def forward(self, X: Tensor) -> Tensor:
        residual: Tensor = self.residual(X)
        return X + residual

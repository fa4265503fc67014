import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn

from ._mlp import activate, dense
from ._resnet import ResidualBlock


class _Layers(NamedTuple):
    conv: type[nn.Module]
    transposed: type[nn.Module]
    pad: type[nn.Module]
    max_pool: type[nn.Module]
    avg_pool: type[nn.Module]


_LAYERS = {
    1: _Layers(
        nn.Conv1d, nn.ConvTranspose1d, nn.ConstantPad1d, nn.MaxPool1d, nn.AvgPool1d
    ),
    2: _Layers(
        nn.Conv2d, nn.ConvTranspose2d, nn.ConstantPad2d, nn.MaxPool2d, nn.AvgPool2d
    ),
    3: _Layers(
        nn.Conv3d, nn.ConvTranspose3d, nn.ConstantPad3d, nn.MaxPool3d, nn.AvgPool3d
    ),
}
# Without a word from the user, (h, w) is one grey image, (c, h, w) an image with
# channels and (c, d, h, w) a volume with channels.
_SPATIAL_DIMS = {1: 1, 2: 2, 3: 2, 4: 3}


class _Crop(nn.Module):
    def __init__(self, size: Sequence[int]) -> None:
        super().__init__()
        self.size = tuple(size)

    def forward(self, X: Tensor) -> Tensor:
        for axis, n in enumerate(self.size, start=2):
            X = X.narrow(axis, 0, n)
        return X


class Pyramid:
    """Convolutional encoders and decoders that halve and double a grid, level by level.

    A level has ``ceil(n / 2)`` points along each axis of the level before. The decoder
    goes back through the very same sizes, so odd ones come out as they went in.

    Parameters
    ----------
    sample_shape : tuple of int
        ``(*size)`` or ``(n_channels, *size)``.
    channels : sequence of int
        Filters of each level.
    kernel_size : int
    downsample : {"stride", "max_pool", "avg_pool"}
    dense : sequence of int
        Widths of the fully connected layers between the last level and the code.
    n_blocks : int
        Residual blocks per level.
    activation : str
    dropout : float
    spatial_dims : {1, 2, 3} or None
        Number of space axes; None takes 1, 2, 2, 3 for samples of rank 1, 2, 3, 4.
    """

    def __init__(
        self,
        sample_shape: Sequence[int],
        channels: Sequence[int],
        *,
        kernel_size: int,
        downsample: str,
        dense: Sequence[int],
        n_blocks: int,
        activation: str,
        dropout: float,
        spatial_dims: int | None,
    ) -> None:
        rank = len(sample_shape)
        n_dims = _SPATIAL_DIMS.get(rank) if spatial_dims is None else spatial_dims
        if n_dims is None or rank not in (n_dims, n_dims + 1):
            raise ValueError(
                f"Convolutions with spatial_dims={spatial_dims} need samples of shape "
                f"(*size) or (n_channels, *size) with 1 to 3 space axes, got "
                f"{tuple(sample_shape)}. Pass `image_shape` or set `spatial_dims`."
            )
        self.has_channel_axis = rank > n_dims
        self.layers = _LAYERS[n_dims]
        self.channels = [sample_shape[0] if self.has_channel_axis else 1, *channels]
        self.sizes = [tuple(sample_shape[-n_dims:])]
        for _ in channels:
            self.sizes.append(tuple(math.ceil(n / 2) for n in self.sizes[-1]))
        self.kernel_size = kernel_size
        self.downsample = downsample
        self.dense = dense
        self.n_blocks = n_blocks
        self.activation = activation
        self.dropout = dropout

    def encoder(self) -> nn.Sequential:
        """Map (n, *sample_shape) to (n, dense[-1])."""
        size, n_features = self.sizes[0], self._n_features
        layers: list[nn.Module] = []
        if not self.has_channel_axis:
            layers.append(nn.Unflatten(1, (1, size[0])))
        for n_in, n_out in pairwise(self.channels):
            layers += [*self._down(n_in, n_out), *self._blocks(n_out)]
        layers.append(nn.Flatten())
        layers += dense([n_features, *self.dense], self.activation, self.dropout)
        return nn.Sequential(*layers)

    def decoder(self, n_inputs: int) -> nn.Sequential:
        """Map (n, n_inputs) to (n, *sample_shape)."""
        widths = [n_inputs, *reversed(self.dense), self._n_features]
        layers = dense(widths, self.activation, self.dropout)
        layers.append(nn.Unflatten(1, (self.channels[-1], *self.sizes[-1])))
        for level in reversed(range(len(self.sizes) - 1)):
            n_in, n_out = self.channels[level + 1], self.channels[level]
            layers += [*self._blocks(n_in), *self._up(n_in, n_out, level)]
            if level > 0:
                layers += activate(self.activation, self.dropout)
        if not self.has_channel_axis:
            layers.append(nn.Flatten(1, 2))
        return nn.Sequential(*layers)

    @property
    def _n_features(self) -> int:
        return self.channels[-1] * math.prod(self.sizes[-1])

    def _blocks(self, channels: int) -> list[nn.Module]:
        return [
            ResidualBlock(
                channels,
                [nn.Sequential(*self._conv(channels, channels)) for _ in range(2)],
                self.activation,
            )
            for _ in range(self.n_blocks)
        ]

    def _down(self, n_in: int, n_out: int) -> list[nn.Module]:
        tail = activate(self.activation, self.dropout)
        if self.downsample == "stride":
            return [*self._conv(n_in, n_out, stride=2), *tail]
        pool = getattr(self.layers, self.downsample)
        return [*self._conv(n_in, n_out), *tail, pool(2, ceil_mode=True)]

    def _up(self, n_in: int, n_out: int, level: int) -> list[nn.Module]:
        size = self.sizes[level]
        if self.downsample == "stride":
            return self._transposed(n_in, n_out, size, self.sizes[level + 1])
        return [nn.Upsample(size), *self._conv(n_in, n_out)]

    def _conv(self, n_in: int, n_out: int, stride: int = 1) -> list[nn.Module]:
        """Convolve to ``ceil(n / stride)`` points.

        An even kernel needs one more point of padding on the right than on the left.
        """
        k = self.kernel_size
        if k % 2:
            return [self.layers.conv(n_in, n_out, k, stride, padding=k // 2)]
        left, right = (k - 1) // 2, k // 2
        pad = self.layers.pad((left, right) * len(self.sizes[0]), 0.0)
        return [pad, self.layers.conv(n_in, n_out, k, stride)]

    def _transposed(
        self, n_in: int, n_out: int, size: Sequence[int], smaller: Sequence[int]
    ) -> list[nn.Module]:
        """Convolve with stride 1/2 to exactly `size` points.

        Odd kernels give 2n - 1 points plus `output_padding`, even ones 2n, cropped.
        """
        k = self.kernel_size
        extra = tuple(n - (2 * m - 1) for n, m in zip(size, smaller, strict=True))
        up = self.layers.transposed(
            n_in,
            n_out,
            k,
            stride=2,
            padding=(k - 1) // 2,
            output_padding=extra if k % 2 else 0,
        )
        return [up] if k % 2 or all(extra) else [up, _Crop(size)]

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SpectralLinear(nn.Linear):
    """A linear map that stretches no distance (Miyato et al. 2018, arXiv:1802.05957).

    The weight is divided by its largest singular value, whose vectors `u` and `v` each
    forward pass in training brings one step of a power iteration closer. They are
    buffers, unlike in ``torch.nn.utils.parametrizations.spectral_norm``, which has no
    place in ``torch.vmap``.

    Parameters
    ----------
    in_features : int
    out_features : int
    """

    _first_iterations: ClassVar[int] = 15
    u: Tensor
    v: Tensor

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        for name, size in {"u": out_features, "v": in_features}.items():
            vector = torch.randn(size, dtype=torch.float32)
            self.register_buffer(name, F.normalize(vector, dim=0))
        for _ in range(self._first_iterations):
            self._iterate()

    def forward(self, input: Tensor) -> Tensor:
        if self.training:
            self._iterate()
        return F.linear(input, self.normalized_weight, self.bias)

    @property
    def normalized_weight(self) -> Tensor:
        """The weight over its largest singular value."""
        u, v = self.u.clone(), self.v.clone()  # the next step writes to them
        return self.weight / u.dot(self.weight.mv(v))

    @torch.no_grad()
    def _iterate(self) -> None:
        self.u.copy_(F.normalize(self.weight.mv(self.v), dim=0))
        self.v.copy_(F.normalize(self.weight.t().mv(self.u), dim=0))

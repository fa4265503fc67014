from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._corruptions import Corruption, Function
from ._modules import AEModule
from ._noise import Noise
from ._parameters import register_numbers


class WatermarkModule(AEModule):
    """Autoencoder whose decoder writes a mark into the data, and a network to read it.

    Parameters
    ----------
    *args
        As in `AEModule`.
    reader : nn.Module
        (n_samples, *sample_shape) to (n_samples, ...); its output is flattened.
    n_read : int
        Number of values per sample that the reader gives.
    n_bits : int
        Size of a mark.
    mark_weight : float
        Weight of the loss of what is read.
    channel : Corruption or None
        What happens to marked data before they are read, in training.
    **kwargs
        As in `AEModule`.
    """

    decodes_classes = True
    mark_weight: Tensor

    def __init__(
        self,
        *args: Any,
        reader: nn.Module,
        n_read: int,
        n_bits: int,
        mark_weight: float,
        channel: Corruption | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.n_classes = n_bits
        self.reader = nn.Sequential(reader, nn.Flatten(), nn.Linear(n_read, n_bits))
        self.channel = channel
        if channel is not None:
            channel.build()
        register_numbers(self, mark_weight=mark_weight)

    def forward(self, X: Tensor, n_components: int | None = None) -> Tensor:
        """Reconstruct X without a mark."""
        mu = self.encode(X)["mu"][:, :n_components]
        return self.decode(self.beside(mu, None)).to(X.dtype)

    def reconstructed(self, X: Tensor, y: Tensor | None = None) -> Tensor:
        """Reconstruct X with marks."""
        return self.decode(self.beside(self.encode(X)["mu"], y)).to(X.dtype)

    def beside(self, Z: Tensor, y: Tensor | None) -> Tensor:
        """Return the input of the decoder: codes and marks, half a mark for None."""
        if y is None:
            y = torch.full_like(Z[:, :1], 0.5).expand(-1, self.n_classes)
        return torch.cat([Z, 2 * y - 1], 1)

    def read(self, X: Tensor) -> Tensor:
        """Return the log-odds that bits are 1, of shape (n_samples, n_bits)."""
        logits: Tensor = self.reader(self.standardized(X))
        return logits

    def log_likelihood(self, X: Tensor, y: Tensor | None = None) -> Tensor:
        """Return log p(x | mu(x), y) per sample in nats, of shape (n_samples,)."""
        X = self.standardized(X)
        mu = self.as_used(self._codes(X))["mu"]
        return -self._nll(X, self.beside(mu, y))

    def _losses(
        self,
        phase: str,
        X: Tensor,
        y: Tensor | None,
        noise: Noise,
        epoch: Tensor | float,
    ) -> dict[str, Tensor]:
        if y is None:
            raise ValueError(f"{type(self).__name__} needs the marks y here.")
        if self.training:
            y = self._dealt(y, noise)
        codes = self._codes(self._corrupted(X, noise))
        Z = self.beside(self._cut(codes["mu"], noise), y)
        reconstruction = self._decoding_loss(X, Z)
        head, Z = self._head_for(Z)
        marked = head.likelihood.mean(self._through(head.decoder, Z))
        logits = self._through(self.reader, self._sent(marked, noise))
        losses = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
        mark = self._weighed(losses.sum(1)).mean()
        return {
            "loss": reconstruction + self.mark_weight * mark,
            "reconstruction_loss": reconstruction,
            "mark_loss": mark,
        }

    def _dealt(self, y: Tensor, noise: Noise) -> Tensor:
        """Give each sample the mark of another one.

        The same mark in each epoch could be learnt by heart from the image itself.
        """
        order = noise.uniform(len(y), 1).argsort(0)
        return y.gather(0, order.expand(-1, y.shape[1]))

    def _sent(self, X: Tensor, noise: Noise) -> Tensor:
        """Return what the reader gets of marked data, in training."""
        if self.channel is None or not self.training:
            return X
        changed = self._changed(self.channel, X, noise)
        if isinstance(self.channel, Function):  # through NumPy comes no gradient
            return X + (changed - X).detach()
        return changed

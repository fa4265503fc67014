import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Dropout that draws from a generator of its own.

    ``torch.nn.Dropout`` draws from PyTorch's global state. This one draws from the
    generator last bound to it by `bind_generator`.

    Parameters
    ----------
    p : float
        Probability that a value is set to zero during training.
    """

    generator: torch.Generator | None = None

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, X: Tensor) -> Tensor:
        if not self.training:
            return X
        keep = torch.empty_like(X).bernoulli_(1 - self.p, generator=self.generator)
        return X * keep / (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def bind_generator(module: nn.Module, generator: torch.Generator) -> None:
    """Let every `Dropout` inside `module` draw from `generator`."""
    for child in module.modules():
        if isinstance(child, Dropout):
            child.generator = generator

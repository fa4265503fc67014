from torch import Tensor, nn

from ._noise import current_noise
from ._parameters import register_numbers


class Dropout(nn.Module):
    """Dropout that draws from the noise of the losses that it is part of.

    ``torch.nn.Dropout`` draws from PyTorch's global state, and so does this one outside
    of the `losses` of a model.

    Parameters
    ----------
    p : float
        Probability that a value is set to zero during training.
    """

    p: Tensor

    def __init__(self, p: float) -> None:
        super().__init__()
        register_numbers(self, p=p)

    def forward(self, X: Tensor) -> Tensor:
        if not self.training:
            return X
        share = 1 - self.p
        return X * (current_noise(X.device).keep(share, *X.shape) / share)

    def extra_repr(self) -> str:
        return f"p={self.p.item():g}"

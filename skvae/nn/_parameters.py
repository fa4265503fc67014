import inspect
import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, Self

import torch
from torch import nn


def is_positive(value: object) -> bool:
    """Tell whether a value is a finite number > 0; a bool is no number."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    return 0 < float(value) < math.inf


def register_numbers(
    module: nn.Module, **numbers: float | Sequence[float] | None
) -> None:
    """Keep numbers as buffers, in which networks that are stacked may differ.

    They come from the constructor, so they are no part of the state. None says that the
    module has no such term, in which stacked networks must not differ.
    """
    for name, value in numbers.items():
        is_there = value is not None
        tensor = torch.tensor(value, dtype=torch.float32) if is_there else None
        module.register_buffer(name, tensor, persistent=False)


class Parameterized:
    """Arguments of the constructor, open to `clone` and to a grid search.

    A subclass stores them under their own names, as scikit-learn's estimators do.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments of the constructor, as a grid search asks for them."""
        names = list(inspect.signature(type(self)).parameters)
        return {name: getattr(self, name) for name in names}

    def set_params(self, **params: Any) -> Self:
        """Set arguments of the constructor, as a grid search does."""
        valid = self.get_params()
        for name, value in params.items():
            if name not in valid:
                raise ValueError(
                    f"Invalid parameter {name!r} for {self!r}. "
                    f"Valid parameters are: {sorted(valid)}."
                )
            setattr(self, name, value)
        return self

    def extra_repr(self) -> str:
        return ", ".join(f"{k}={v!r}" for k, v in self.get_params().items())

"""Rows of the data as tensors, shuffled, and as skorch's callbacks see them."""

import math
import warnings

import torch
from skorch.dataset import Dataset
from torch.utils.data import Subset


def target_of(X, y):
    """Return what callbacks compare predictions with: X, if no labels come in."""
    return X if y is None else y


def dataset_of(X, y, index):
    """Show callbacks the samples of `index`, which are copied only on demand."""
    dataset = Dataset(X, y)
    return dataset if len(index) == len(X) else Subset(dataset, index)


def as_tensor(array):
    """Share memory with an array. The tensor must not be written to."""
    if isinstance(array, torch.Tensor):
        return array
    if array.flags.writeable:
        return torch.from_numpy(array)
    with warnings.catch_warnings():  # PyTorch knows no tensors that are read-only
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)


@torch.inference_mode(False)
def empty_beside(data, shape, dtype):
    """Make room for results on the device of a tensor, else on the CPU."""
    device = data.device if isinstance(data, torch.Tensor) else "cpu"
    return torch.empty(shape, dtype=getattr(torch, dtype), device=device)


def shuffled(rows, n_rows, generator):
    """Repeat rows in ever new orders until there are `n_rows` of them."""
    orders = [
        torch.randperm(len(rows), generator=generator, device=generator.device)
        for _ in range(math.ceil(n_rows / len(rows)))
    ]
    return rows[torch.cat(orders)[:n_rows].to(rows.device)]

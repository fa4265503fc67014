"""Rows of the data as tensors, shuffled, and as skorch's callbacks see them."""

import math
import warnings

import torch
from skorch.dataset import Dataset
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Subset

from .._blocks import BlockRows


def target_of(X, y):
    """Return what callbacks compare predictions with: X, if no labels come in."""
    return X if y is None else y


def dataset_of(X, y, index):
    """Show callbacks the samples of `index`, which are copied only on demand."""
    if isinstance(X, BlockRows):
        return _OnDisk(X, y, index)
    dataset = Dataset(X, y)
    return dataset if len(index) == len(X) else Subset(dataset, index)


class _OnDisk(TorchDataset):
    """Samples that are read one by one, when a callback asks for them."""

    def __init__(self, X, y, index):
        self._X, self._y, self._index = X, y, index

    def __len__(self):
        return len(self._index)

    def __getitem__(self, i):
        sample = self._X[self._index[i]]
        return sample, sample if self._y is None else self._y[self._index[i]]


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


def shuffled_in_blocks(X, rows, generator):
    """Shuffle the numbers of all rows such that few blocks are read at a time."""

    def permutation(n):
        device = generator.device
        return torch.randperm(n, generator=generator, device=device).cpu().numpy()

    return torch.from_numpy(X.order(rows.numpy(), permutation))


def shuffled(rows, n_rows, generator):
    """Repeat rows in ever new orders until there are `n_rows` of them."""
    orders = [
        torch.randperm(len(rows), generator=generator, device=generator.device)
        for _ in range(math.ceil(n_rows / len(rows)))
    ]
    return rows[torch.cat(orders)[:n_rows].to(rows.device)]

"""When a training ends, and what is kept for that."""

import math

import torch


class Snapshot:
    """A copy of tensors, refreshed in place; they may become more."""

    def __init__(self):
        self._copies = {}  # by the address of the original

    @property
    def taken(self):
        return bool(self._copies)

    @torch.no_grad()
    def take(self, tensors):
        for tensor in tensors:
            copy = self._copies.get(tensor.data_ptr())
            if copy is None or copy.shape != tensor.shape:
                self._copies[tensor.data_ptr()] = tensor.clone()
            else:
                copy.copy_(tensor)

    @torch.no_grad()
    def restore(self, tensors):
        for tensor in tensors:
            tensor.copy_(self._copies.get(tensor.data_ptr(), tensor))


class EarlyStopping:
    """Stop when the validation loss has not fallen by `tol` for some epochs."""

    def __init__(self, patience, tol):
        self.patience = patience
        self.tol = tol
        self._threshold = math.inf
        self._best_loss = math.inf
        self._n_waited = 0
        self._best = Snapshot()

    def reached(self, loss, weights):
        """Look at the validation loss of an epoch; return whether to stop after it."""
        if loss < self._best_loss:
            self._best_loss = loss
            self._best.take(weights)
        if loss < self._threshold - self.tol:
            self._threshold = loss
            self._n_waited = 0
        else:
            self._n_waited += 1
        return self._n_waited >= self.patience

    def restore_best(self, weights):
        if self._best.taken:
            self._best.restore(weights)

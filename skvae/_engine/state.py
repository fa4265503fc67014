"""What a net is, as arrays and plain values."""

import numpy as np
import torch


class Optimizers:
    """The optimizers of all phases, to save and to load as one."""

    def __init__(self, optimizers):
        self._optimizers = optimizers

    def state_dict(self):
        return {name: part.state_dict() for name, part in self._optimizers.items()}

    def load_state_dict(self, states):
        for name, part in self._optimizers.items():
            part.load_state_dict(states[name])


def to_arrays(tree):
    return _map_leaves(
        tree, torch.Tensor, lambda tensor: tensor.detach().cpu().numpy().copy()
    )


def to_tensors(tree):
    return _map_leaves(tree, np.ndarray, lambda array: torch.from_numpy(array.copy()))


def _map_leaves(tree, kind, function):
    if isinstance(tree, kind):
        return function(tree)
    if isinstance(tree, dict):
        return {k: _map_leaves(v, kind, function) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_map_leaves(v, kind, function) for v in tree)
    return tree

"""A model of your own: copy this file, and change the loss.

A sparse autoencoder (Ng 2011): the absolute values of the codes have a price. The
module computes the losses, the estimator has the parameters. Training, layers, scores,
pickles, searches and all else come from the base classes.
"""

import torch

from skvae import AE
from skvae.nn import AEModule


class SparseAEModule(AEModule):
    def __init__(self, *args, penalty, **kwargs):
        super().__init__(*args, **kwargs)
        self.register_buffer("penalty", torch.tensor(penalty))

    def _losses(self, phase, X, y, noise, epoch):
        codes = self._codes(self._corrupted(X, noise))["mu"]
        reconstruction = self._decoding_loss(X, self._cut(codes, noise))
        sparsity = self._weighed(codes.abs().sum(1)).mean()
        return {
            "loss": reconstruction + self.penalty * sparsity,
            "reconstruction_loss": reconstruction,
            "sparsity_loss": sparsity,
        }


class SparseAE(AE):
    """Sparse autoencoder.

    Parameters
    ----------
    n_components : int, default=10
    penalty : float, default=1.0
        Price of the absolute value of each component, in nats.
    max_iter : int, default=100
    random_state : int, RandomState instance or None, default=None
        As in `AE`. List further parameters of `AE` here to make them searchable.
    """

    _module_name = SparseAEModule
    _objective = (*AE._objective, "penalty")
    _parameter_constraints = AE._parameter_constraints | {"penalty": [float]}

    def __init__(
        self, n_components=10, *, penalty=1.0, max_iter=100, random_state=None
    ):
        super().__init__(n_components, max_iter=max_iter, random_state=random_state)
        self.penalty = penalty


if __name__ == "__main__":
    from sklearn.datasets import load_digits

    X = load_digits().data / 16
    for penalty in (0.0, 0.3):
        sparse = SparseAE(10, penalty=penalty, max_iter=30, random_state=0).fit(X)
        size = abs(sparse.transform(X)).mean()
        print(f"penalty {penalty:g}: mean absolute value of the codes {size:.2f}")

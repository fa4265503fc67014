"""Semantic hashing of MNIST, next to PCA with the same rotation. Usage::

    SKVAE_DATA=... python examples/benchmarks/hashing.py [held_back]

Trained, without labels, on the first 10,000 training images, among which neighbours of
the first 1000 test images are searched. Mean average precision of the 1000 nearest: an
image of the same digit is a hit. With "held_back" other training images stand for both.
"""

import sys

import numpy as np
from mnist import load

from skvae import AE, MLP
from skvae.hashing import SemanticHasher


def mean_average_precision(hasher, queries, is_hit, n_neighbors=1000):
    hits = is_hit(hasher.kneighbors(queries, n_neighbors, return_distance=False))
    precision = hits.cumsum(axis=1) / np.arange(1, n_neighbors + 1)
    return ((precision * hits).sum(axis=1) / np.maximum(hits.sum(axis=1), 1)).mean()


if __name__ == "__main__":
    (X, y), (queries, y_queries) = load("train"), load("t10k")
    base = slice(0, 10_000)
    if "held_back" in sys.argv:
        base, queries, y_queries = slice(20_000, 30_000), X[50_000:], y[50_000:]
    X, y, queries, y_queries = X[base], y[base], queries[:1000], y_queries[:1000]
    for n_bits in (16, 32):
        linear = AE(n_bits, architecture=MLP(()), likelihood="squared_error")
        estimators = {
            "linear": linear.set_params(max_iter=30, random_state=0),
            "default": None,
        }
        for name, estimator in estimators.items():
            hasher = SemanticHasher(estimator, n_bits, random_state=0).fit(X)
            found = mean_average_precision(
                hasher, queries, lambda numbers: y[numbers] == y_queries[:, None]
            )
            print(f"{n_bits} bits, {name}: {found:.3f}", flush=True)

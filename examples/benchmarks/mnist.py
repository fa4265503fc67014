"""MNIST: the VAE of PyTorch's examples, and a wide autoencoder.

The folder that SKVAE_DATA names holds MNIST as ``mnist/*.gz``. Usage::

    SKVAE_DATA=... python examples/benchmarks/mnist.py [example] [wide]
"""

import gzip
import os
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from skvae import AE, MLP, VAE


def read_idx(name):
    raw = gzip.decompress(Path(os.environ["SKVAE_DATA"], "mnist", name).read_bytes())
    n_dims = raw[3]
    shape = np.frombuffer(raw, ">u4", n_dims, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * n_dims).reshape(shape)


def load(part):
    X = read_idx(f"{part}-images-idx3-ubyte.gz").reshape(-1, 784)
    return X.astype(np.float32) / 255, read_idx(f"{part}-labels-idx1-ubyte.gz")


def example(X, X_test):
    """784-400-20, ReLU, summed cross-entropy + KL, Adam 1e-3, batch 128, 10 epochs."""
    for seed in range(3):
        vae = VAE(
            n_components=20,
            architecture=MLP(hidden_layer_sizes=(400,), activation="relu"),
            likelihood="bernoulli",
            learning_rate=1e-3,
            batch_size=128,
            max_iter=10,
            random_state=seed,
        )
        start = time.perf_counter()
        vae.fit(X)
        seconds = time.perf_counter() - start
        print(
            f"seed {seed}: train loss {vae.loss_curve_[-1]:.2f}, "
            f"test loss {-vae.score(X_test):.2f}, {seconds:.0f} s",
            flush=True,
        )


def report(name, model, X, y, X_test, y_test):
    codes = model.fit(X).transform(X)
    test_codes = model.transform(X_test)
    error = np.square(model.inverse_transform(test_codes) - X_test).mean()
    accuracy = KNeighborsClassifier(5).fit(codes, y).score(test_codes, y_test)
    print(
        f"{name}: test MSE {error:.5f}, 5-nearest-neighbour accuracy {accuracy:.4f}",
        flush=True,
    )


def wide(X, y, X_test, y_test):
    """1000-1000, 16 components, 25 epochs."""
    report("PCA(16)", PCA(16), X, y, X_test, y_test)
    for seed in range(3):
        ae = AE(
            n_components=16,
            architecture=MLP(hidden_layer_sizes=(1000, 1000)),
            max_iter=25,
            random_state=seed,
        )
        report(f"AE(16), seed {seed}", ae, X, y, X_test, y_test)


if __name__ == "__main__":
    (X, y), (X_test, y_test) = load("train"), load("t10k")
    chosen = sys.argv[1:] or ["example", "wide"]
    if "example" in chosen:
        example(X, X_test)
    if "wide" in chosen:
        wide(X, y, X_test, y_test)

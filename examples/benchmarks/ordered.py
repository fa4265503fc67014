"""One ordered autoencoder next to one for each number of components. Usage::

    SKVAE_DATA=... python examples/benchmarks/ordered.py [digits] [mnist]

Accuracy is that of a logistic regression on the test codes, the error a mean square.
Each line is a mean over seeds. The ratio is the time of the ordered fit over that of
one with 32 components and the default of 100 epochs, a median of fits in turn.
"""

import sys
import time
from statistics import median

import numpy as np
from mnist import load
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skvae import AE

SIZES = 2, 4, 8, 16, 32
ORDERED = {"ordered": True, "max_iter": 200, "learning_rate": 2e-3}


def digits():
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.2, random_state=0)
    return X, y, X_test, y_test


def mnist():
    X, y = load("train")
    return X[:10_000], y[:10_000], *load("t10k")


def judged(codes, test_codes, X_hat, y, X_test, y_test):
    classifier = LogisticRegression(max_iter=5000).fit(codes, y)
    return classifier.score(test_codes, y_test), np.square(X_hat - X_test).mean()


def timed(model, X):
    start = time.perf_counter()
    model.fit(X)
    return time.perf_counter() - start


def compare(name, X, y, X_test, y_test, n_seeds):
    test = y, X_test, y_test
    figures, ratios = {}, []
    for seed in range(n_seeds):
        ordered = AE(32, random_state=seed, **ORDERED)
        seconds = timed(ordered, X)
        codes, test_codes = ordered.transform(X), ordered.transform(X_test)
        for size in SIZES:
            single = AE(size, random_state=seed)
            of_single = timed(single, X)
            pca = PCA(size, random_state=0).fit(X)
            reduced = pca.transform(X_test)
            of_ordered = codes[:, :size], test_codes[:, :size]
            prefix = ordered.reconstruct(X_test, n_components=size)
            pair = single.transform(X), single.transform(X_test)
            ways = {
                "ordered": (*of_ordered, prefix),
                "single": (*pair, single.reconstruct(X_test)),
                "PCA": (pca.transform(X), reduced, pca.inverse_transform(reduced)),
            }
            for way, results in ways.items():
                row = figures.setdefault((size, way), [])
                row.append(judged(*results, *test))
        ratios.append(seconds / of_single)
    for (size, way), values in figures.items():
        accuracy, error = np.mean(values, axis=0)
        print(f"{name}, {size:2} components, {way:8} {accuracy:.3f} {error:.4f}")
    print(f"{name}, ratio of times {median(ratios):.2f}", flush=True)


if __name__ == "__main__":
    for part in sys.argv[1:] or ["digits", "mnist"]:
        data = {"digits": digits, "mnist": mnist}[part]()
        compare(part, *data, n_seeds={"digits": 5, "mnist": 2}[part])

"""Outliers by an autoencoder, next to the reconstruction error of PCA. Usage::

    SKVAE_DATA=... python examples/benchmarks/outliers.py [tables] [threshold] [mnist]

Figures are areas under the ROC curve. On tables, half of the normal samples of five
random splits are trained on, scaled by them; PCA has as many components as the
autoencoder: 10, or half of the columns. On MNIST, training samples are the first 2000
images of a digit, and all test images are judged.
"""

import sys

import numpy as np
from mnist import load
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_wine,
)
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import AE, VAE
from skvae.outlier import ReconstructionOutlierDetector


def all_tables():
    """Yield a name, samples, and which of them are outliers."""
    X, y = load_breast_cancer(return_X_y=True)
    yield "breast_cancer", X, y == 0
    for name, loader in {"digits": load_digits, "wine": load_wine}.items():
        X, y = loader(return_X_y=True)
        for label in np.unique(y):
            yield f"{name} {label}", X, y != label
    X, y = load_diabetes(return_X_y=True)
    yield "diabetes", X, y > np.median(y)


def by_pca(n_components, X, X_test):
    pca = PCA(n_components, random_state=0).fit(X)
    X_hat = pca.inverse_transform(pca.transform(X_test))
    return np.square(X_hat - X_test).mean(axis=1)


def by_autoencoder(estimator, criterion, X, X_test):
    detector = ReconstructionOutlierDetector(
        estimator, criterion=criterion, random_state=0
    )
    return -detector.fit(X).score_samples(X_test)


def show(name, ways, values):
    figures = (f"{way} {value:.4f}" for way, value in zip(ways, values, strict=True))
    print(f"{name:14}", *figures, flush=True)


def tables():
    means = []
    for name, X, is_outlier in all_tables():
        n = min(10, X.shape[1] // 2)
        ways = {
            "PCA": lambda *data, n=n: by_pca(n, *data),
            "AE": lambda *data, n=n: by_autoencoder(
                AE(n, random_state=0), "reconstruction", *data
            ),
            "VAE, elbo": lambda *data, n=n: by_autoencoder(
                VAE(n, random_state=0), "elbo", *data
            ),
        }
        areas = []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            normal = rng.permutation(np.flatnonzero(~is_outlier))
            half = len(normal) // 2
            test = np.r_[normal[half:], np.flatnonzero(is_outlier)]
            scaler = StandardScaler().fit(X[normal[:half]])
            data = scaler.transform(X[normal[:half]]), scaler.transform(X[test])
            areas.append(
                [roc_auc_score(is_outlier[test], way(*data)) for way in ways.values()]
            )
        means.append(np.mean(areas, axis=0))
        show(name, ways, means[-1])
    show("mean", ways, np.mean(means, axis=0))


def threshold():
    """Which share of new normal samples is called outliers at contamination=0.05?"""
    for name, X, is_outlier in all_tables():
        normal = X[~is_outlier]
        shares = []
        for seed in range(5):
            order = np.random.default_rng(seed).permutation(len(normal))
            train, test = np.array_split(normal[order], 2)
            ae = AE(min(10, X.shape[1] // 2), random_state=0)
            detector = ReconstructionOutlierDetector(
                make_pipeline(StandardScaler(), ae), contamination=0.05, random_state=0
            )
            shares.append((detector.fit(train).predict(test) == -1).mean())
        print(f"{name:14} {len(train):5} samples, {np.mean(shares):.3f}", flush=True)


def mnist():
    (X, y), (X_test, y_test) = load("train"), load("t10k")
    areas, shares = [], []
    for digit in range(10):
        train = X[y == digit][:2000]
        is_outlier = y_test != digit
        ae = AE(max_iter=50, random_state=0)
        detector = ReconstructionOutlierDetector(
            ae, contamination=0.05, random_state=0
        ).fit(train)
        area = roc_auc_score(is_outlier, -detector.score_samples(X_test))
        of_pca = roc_auc_score(is_outlier, by_pca(32, train, X_test))
        areas.append((area, of_pca))
        shares.append((detector.predict(X_test[~is_outlier]) == -1).mean())
        show(str(digit), ("AE", "PCA(32)", "share"), (area, of_pca, shares[-1]))
    show("mean", ("AE", "PCA(32)", "share"), (*np.mean(areas, axis=0), np.mean(shares)))


if __name__ == "__main__":
    for part in sys.argv[1:] or ["tables", "threshold", "mnist"]:
        print("==", part)
        {"tables": tables, "threshold": threshold, "mnist": mnist}[part]()

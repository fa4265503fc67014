"""Digits, 80/20: accuracy of a classifier on the code, and reconstruction error.

Stratified split, 10 components, default settings, logistic regression on `mu`; mean and
median of three seeds that fix split and model. Usage::

    python examples/benchmarks/digits.py
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skvae import AE, VAE

PREPARE = {
    "in [0, 1]": lambda train, test: (train / 16, test / 16),
    "0 to 16": lambda train, test: (train, test),
    "standardized": lambda train, test: (
        (scaler := StandardScaler().fit(train)).transform(train),
        scaler.transform(test),
    ),
}


def evaluate(model, prepare, seed):
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(
        X, y, test_size=0.2, stratify=y, random_state=seed
    )
    X, X_test = prepare(X, X_test)
    codes = model.fit(X).transform(X)
    classifier = LogisticRegression(max_iter=5000).fit(codes, y)
    accuracy = classifier.score(model.transform(X_test), y_test)
    back = model.inverse_transform(model.transform(X_test))
    return accuracy, np.square(back - X_test).mean()


def models(seed):
    yield "PCA", PCA(10)
    yield "AE", AE(n_components=10, random_state=seed)
    yield "VAE", VAE(n_components=10, random_state=seed)


if __name__ == "__main__":
    print(f"{'data':14s}{'model':6s}{'accuracy: mean':>15s}{'median':>8s}", end="")
    print(f"{'test MSE: mean':>16s}{'median':>8s}")
    for kind, prepare in PREPARE.items():
        results = {}
        for seed in range(3):
            for name, model in models(seed):
                figures = evaluate(model, prepare, seed)
                results.setdefault(name, []).append(figures)
        for name, figures in results.items():
            mean, median = np.mean(figures, axis=0), np.median(figures, axis=0)
            print(f"{kind:14s}{name:6s}{mean[0]:15.3f}{median[0]:8.3f}", end="")
            print(f"{mean[1]:16.4f}{median[1]:8.4f}")

"""Adversarial autoencoders on digits and MNIST, next to the figures of their paper.

The folder that SKVAE_DATA names holds MNIST as ``mnist/*.gz``. The parts with it take
between minutes and half an hour each. Usage::

    SKVAE_DATA=... python examples/benchmarks/adversarial.py PART...

with the parts digits, digits_labels, samples, content, labels, labels_full, clusters.
"""

import sys
import time

import numpy as np
from mnist import load
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    StratifiedShuffleSplit,
    cross_val_score,
    train_test_split,
)
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import LambdaLR

from skvae import AAE, MLP, AAEClassifier, AAEClusterer, SupervisedAAE
from skvae.inspection import prior_distance
from skvae.nn import Normal


def digits_split(seed):
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, test_size=0.2, stratify=y, random_state=seed)


def only_some(y, n_labels, seed):
    """Hide all labels but some, as many of each class."""
    splitter = StratifiedShuffleSplit(1, train_size=n_labels, random_state=seed)
    known, _ = next(splitter.split(y, y))
    some = np.full(len(y), -1)
    some[known] = y[known]
    return some


def digits():
    """Defaults, 10 components, ten seeds: is the code useful, is it like the prior?"""
    figures = []
    for seed in range(10):
        X, X_test, y, y_test = digits_split(seed)
        model = AAE(random_state=seed).fit(X)
        codes, test_codes = model.transform(X), model.transform(X_test)
        classifier = LogisticRegression(max_iter=5000).fit(codes, y)
        figures.append(
            [
                classifier.score(test_codes, y_test),
                np.square(model.reconstruct(X_test) - X_test).mean(),
                prior_distance(model, X),
                model.history_[-1]["discriminator_loss"],
            ]
        )
        print(f"seed {seed}: ", *(f"{figure:.4f}" for figure in figures[-1]))
    for name, values in zip(
        ("accuracy", "test MSE", "distance to the prior", "discriminator loss"),
        np.transpose(figures),
        strict=True,
    ):
        print(
            f"{name}: mean {values.mean():.4f}, {values.min():.4f}..{values.max():.4f}"
        )


def digits_labels():
    """Defaults, ten seeds, test accuracy next to label spreading."""
    for n_labels in (50, 100):
        scores = {"AAEClassifier": [], "LabelSpreading": []}
        for seed in range(10):
            X, X_test, y, y_test = digits_split(seed)
            some = only_some(y, n_labels, seed)
            spreading = LabelSpreading(kernel="knn", n_neighbors=7, alpha=0.2)
            for model in (AAEClassifier(random_state=seed), spreading):
                score = model.fit(X, some).score(X_test, y_test)
                scores[type(model).__name__].append(score)
        for name, values in scores.items():
            print(
                f"{n_labels} labels, {name}: mean {np.mean(values):.4f}, "
                f"min {min(values):.4f}"
            )


def parzen(samples, X_held_back, X_test):
    """Log-likelihood of a Parzen window; its bandwidth is chosen on held-back rows."""
    windows = [
        KernelDensity(bandwidth=width, algorithm="ball_tree").fit(samples)
        for width in np.linspace(0.08, 0.24, 9)
    ]
    best = max(windows, key=lambda window: window.score(X_held_back))
    return best.bandwidth, best.score_samples(X_test).mean()


def samples(X, y, X_test, y_test):
    """8-d prior of scale 5, 1000-1000, dropout, 50 epochs; 10,000 samples."""
    model = AAE(
        n_components=8,
        prior=Normal(scale=5.0),
        architecture=MLP((1000, 1000), dropout=0.1),
        likelihood="bernoulli",
        discriminator_hidden_layer_sizes=(500, 500),
        max_iter=50,
        random_state=0,
    ).fit(X[:-1000])
    drawn = model.sample(10000)
    codes, prior = model.transform(X[:10000]), model.sample_codes(10000)
    both = np.vstack([codes, prior])
    is_prior = np.repeat([0, 1], 10000)
    test = make_pipeline(StandardScaler(), LogisticRegression())
    told_apart = cross_val_score(test, both, is_prior, cv=5).mean()
    independent = SVC().fit(X[:10000], y[:10000])
    print("classifier of the samples:", independent.score(X_test, y_test))
    shares = np.bincount(independent.predict(drawn), minlength=10) / len(drawn)
    bandwidth, likelihood = parzen(drawn, X[-1000:], X_test)
    print(f"Parzen log-likelihood {likelihood:.1f} (bandwidth {bandwidth:.2f})")
    print(f"two-sample accuracy {told_apart:.4f}")
    print(f"distance to the prior {prior_distance(model, X_test):.4f}")
    print(f"shares of the digits {shares.min():.3f} to {shares.max():.3f}", shares)
    print({k: round(v, 3) for k, v in model.history_[-1].items()})


def falling(epoch):
    """Hold the rates for 20 of 40 epochs, then let them fall."""
    return min(1, max(0.02, (40 - epoch) / 20))


def content(X, y, X_test, y_test):
    """10 components, 40 epochs: is the asked digit drawn, is the label in the code?"""
    model = SupervisedAAE(
        architecture=MLP((500, 500)),
        likelihood="bernoulli",
        posterior="gaussian",
        discriminator_hidden_layer_sizes=(500, 500),
        max_iter=40,
        callbacks=[LRScheduler(LambdaLR, lr_lambda=falling)],
        random_state=0,
    ).fit(X, y)
    asked = np.arange(10000) % 10
    independent = SVC().fit(X[:20000], y[:20000])
    print("classifier of the samples:", independent.score(X_test, y_test))
    drawn = model.sample(10000, y=asked)
    print("read as asked:", independent.score(drawn, asked))
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(model.transform(X), y)
    print("label from mu:", probe.score(model.transform(X_test), y_test))
    print("distance to the prior:", prior_distance(model, X_test))
    print({k: round(v, 3) for k, v in model.history_[-1].items()})


def label_run(X, y, X_test, y_test, n_labels, seed, width, batch_size, **options):
    start = time.perf_counter()
    model = AAEClassifier(
        architecture=MLP((width, width)),
        likelihood="bernoulli",
        discriminator_hidden_layer_sizes=(500, 500),
        max_iter=40,
        batch_size=batch_size,
        input_noise=0.3,
        adversarial_weight=1.0,
        random_state=seed,
        **options,
    ).fit(X, only_some(y, n_labels, seed))
    print(
        f"pool {len(X)}, {n_labels} labels, seed {seed}: "
        f"{model.score(X_test, y_test):.4f}, {time.perf_counter() - start:.0f} s",
        flush=True,
    )


def labels(X, y, X_test, y_test):
    """A pool of 10,000, 500-500, 40 epochs, three seeds."""
    for n_labels in (1000, 100):
        for seed in range(3):
            pool = np.random.RandomState(seed).permutation(len(X))[:10000]
            label_run(X[pool], y[pool], X_test, y_test, n_labels, seed, 500, 64)


def labels_full(X, y, X_test, y_test):
    """A pool of 60,000, 1000-1000, 40 epochs, one seed."""
    settled = {
        "posterior": "gaussian",
        "callbacks": [LRScheduler(LambdaLR, lr_lambda=falling)],
    }
    label_run(X, y, X_test, y_test, 100, 0, 1000, 100)
    label_run(X, y, X_test, y_test, 1000, 0, 1000, 100, **settled)


def clusters(X, y, X_test, y_test):
    """30 clusters; each takes the label of its most confident test sample."""
    model = AAEClusterer(
        n_clusters=30,
        architecture=MLP((500, 500)),
        likelihood="bernoulli",
        discriminator_hidden_layer_sizes=(500, 500),
        posterior="gaussian",
        max_iter=40,
        batch_size=100,
        input_noise=0.3,
        adversarial_weight=1.0,
        random_state=0,
    ).fit(X)
    proba = model.predict_proba(X_test)
    label_of = y_test[proba.argmax(axis=0)]
    print("accuracy:", (label_of[proba.argmax(axis=1)] == y_test).mean())
    print("sizes:", np.bincount(model.labels_, minlength=30))


if __name__ == "__main__":
    parts = {part.__name__: part for part in (digits, digits_labels)}
    on_mnist = (samples, content, labels, labels_full, clusters)
    on_mnist = {part.__name__: part for part in on_mnist}
    for name in sys.argv[1:]:
        print(f"== {name}", flush=True)
        if name in parts:
            parts[name]()
        else:
            on_mnist[name](*load("train"), *load("t10k"))

"""Adversarial autoencoders on digits and MNIST, next to the figures of their paper.

The folder that SKVAE_DATA names holds MNIST as ``mnist/*.gz``. The parts with it take
between minutes and half an hour each. Usage::

    SKVAE_DATA=... python examples/benchmarks/adversarial.py PART...

with the parts digits, digits_labels, samples, content, labels, labels_full,
clusters_choice, clusters, defaults (or one of its parts defaults_content,
defaults_labels, defaults_uneven, defaults_digits).
"""

import sys
import time

import numpy as np
from mnist import load
from scipy.special import logsumexp
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, pairwise_distances_chunked
from sklearn.model_selection import (
    StratifiedShuffleSplit,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import LambdaLR

from skvae import (
    AAE,
    MLP,
    AAEClassifier,
    AAEClusterer,
    Discriminator,
    SupervisedAAE,
)
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


def parzen(samples, X, bandwidths):
    """Log-densities at X of Parzen windows around samples, a column per bandwidth.

    In float64: log-sum-exp of squared distances.
    """
    # KernelDensity of scikit-learn 1.9.1 is wrong here: 808 nats where this formula
    # gives -46 (3,000 images of MNIST, bandwidth .12, the first 500 test images). In
    # its tree, it subtracts bounds on the sum from each other. Where a ball contains
    # the query, the upper bound is near 1, the sum is e^-1000, and what rounding leaves
    # of the difference is taken for the sum. The same steps in 8,000 digits give the
    # right sum, and so does a single leaf. On normal data, the error starts between 10
    # and 20 features.
    scales = 2 * np.square(bandwidths)

    def log_sums(squared_distances, start):
        exponents = (-squared_distances / scale for scale in scales)
        return np.stack([logsumexp(e, axis=1) for e in exponents], axis=1)

    chunks = pairwise_distances_chunked(
        X.astype(np.float64),
        samples.astype(np.float64),
        reduce_func=log_sums,
        squared=True,
    )
    n_samples, n_features = samples.shape
    norm = np.log(n_samples) + n_features / 2 * np.log(np.pi * scales)
    return np.vstack(list(chunks)) - norm


def falling(n_epochs):
    """Hold the rates for half of the epochs, then let them fall."""

    def factor(epoch):
        return min(1, max(0.02, (n_epochs - epoch) / (n_epochs / 2)))

    return LRScheduler(LambdaLR, lr_lambda=factor)


def told_apart(model, X):
    """How often gradient boosting tells codes of X from draws of the prior."""
    codes = model.transform(X)
    both = np.vstack([codes, model.sample_codes(len(codes))])
    is_prior = np.repeat([0, 1], len(codes))
    test = HistGradientBoostingClassifier(random_state=0)
    return cross_val_score(test, both, is_prior, cv=5).mean()


def best_window(samples, X_held_back, X_test):
    """Choose the bandwidth by the rows held back; return it, and how X_test does."""
    bandwidths = np.linspace(0.1, 0.24, 8)
    held_back = parzen(samples, X_held_back, bandwidths).mean(axis=0)
    bandwidth = bandwidths[held_back.argmax()]
    log_densities = parzen(samples, X_test, [bandwidth])
    error = log_densities.std() / np.sqrt(len(X_test))
    return (
        f"Parzen {log_densities.mean():.1f} +- {error:.1f}, "
        f"held back {held_back.max():.1f} (bandwidth {bandwidth:.2f})"
    )


def samples(X, y, X_test, y_test):
    """Prior of scale 5, 500-500, 24 epochs, three seeds; 10,000 samples.

    The last 2,000 training images are held back. They chose the settings (with seed 0)
    and choose the bandwidth.
    """
    X, y, X_held_back = X[:-2000], y[:-2000], X[-2000:]
    print("training images:", best_window(X[:10000], X_held_back, X_test))
    independent = SVC().fit(X[:10000], y[:10000])
    print("classifier of the samples:", independent.score(X_test, y_test))
    for seed in range(3):
        model = AAE(
            n_components=6,
            prior=Normal(scale=5.0),
            architecture=MLP((500, 500)),
            likelihood="bernoulli",
            adversarial_weight=0.5,
            discriminator=Discriminator((500, 500)),
            max_iter=24,
            callbacks=[falling(24)],
            random_state=seed,
        ).fit(X)
        drawn = model.sample(10000)
        shares = np.bincount(independent.predict(drawn), minlength=10) / len(drawn)
        print(
            f"seed {seed}: {best_window(drawn, X_held_back, X_test)}; "
            f"told apart {told_apart(model, X_test):.3f}; "
            f"distance to the prior {prior_distance(model, X_test):.4f}; "
            f"shares {shares.min():.3f} to {shares.max():.3f}",
            flush=True,
        )


def content(X, y, X_test, y_test):
    """40 epochs, three seeds: is the asked digit drawn, is the label in the code?

    A linear probe can miss a label that is there; gradient boosting looks for it too.
    """
    asked = np.arange(10000) % 10
    independent = SVC().fit(X[:20000], y[:20000])
    print("classifier of the samples:", independent.score(X_test, y_test))
    for seed in range(3):
        model = SupervisedAAE(
            architecture=MLP((500, 500)),
            likelihood="bernoulli",
            posterior="gaussian",
            discriminator=Discriminator((500, 500)),
            max_iter=40,
            callbacks=[falling(40)],
            random_state=seed,
        ).fit(X, y)
        as_asked = independent.score(model.sample(10000, y=asked), asked)
        codes, test_codes = model.transform(X), model.transform(X_test)
        linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        boosting = HistGradientBoostingClassifier(random_state=0)
        found = [
            probe.fit(codes, y).score(test_codes, y_test)
            for probe in (linear, boosting)
        ]
        print(
            f"seed {seed}: read as asked {as_asked:.4f}; label from mu: "
            f"logistic regression {found[0]:.4f}, gradient boosting {found[1]:.4f}; "
            f"distance to the prior {prior_distance(model, X_test):.4f}",
            flush=True,
        )


def label_run(X, y, X_test, y_test, n_labels, seed, width, batch_size, **options):
    start = time.perf_counter()
    model = AAEClassifier(
        architecture=MLP((width, width)),
        likelihood="bernoulli",
        discriminator=Discriminator((500, 500)),
        max_iter=40,
        batch_size=batch_size,
        corruption=1.2,
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
        "callbacks": [falling(40)],
    }
    label_run(X, y, X_test, y_test, 100, 0, 1000, 100)
    label_run(X, y, X_test, y_test, 1000, 0, 1000, 100, **settled)


def clusterer(n_epochs, seed, **options):
    return AAEClusterer(
        n_clusters=30,
        architecture=MLP((500, 500)),
        likelihood="bernoulli",
        discriminator=Discriminator((500, 500)),
        batch_size=100,
        max_iter=n_epochs,
        callbacks=[falling(n_epochs)],
        random_state=seed,
        **options,
    )


def accuracy_of_clusters(model, X, y, X_new, y_new):
    """Let each cluster take the label of its most confident sample in X."""
    label_of = y[model.predict_proba(X).argmax(axis=0)]
    return np.mean(label_of[model.predict(X_new)] == y_new)


def clusters_choice(X, y, X_test, y_test):
    """Settings of the clusters, chosen on training images only; 15 epochs, seed 0.

    20,000 images are fitted and name the clusters, the last 10,000 choose.
    """
    X, X_held_back, y, y_held_back = X[:20000], X[-10000:], y[:20000], y[-10000:]
    for posterior, noise, weight in (
        ("gaussian", 1.2, 1.0),
        ("gaussian", 1.9, 0.5),
        ("deterministic", 1.2, 1.0),
    ):
        model = clusterer(
            15, 0, posterior=posterior, corruption=noise, adversarial_weight=weight
        ).fit(X)
        accuracy = accuracy_of_clusters(model, X, y, X_held_back, y_held_back)
        print(posterior, noise, weight, f"accuracy {accuracy:.4f}", flush=True)


def clusters(X, y, X_test, y_test):
    """30 clusters, named by the training images; 20 epochs, three seeds."""
    for seed in range(3):
        model = clusterer(
            20, seed, posterior="gaussian", corruption=1.9, adversarial_weight=0.5
        ).fit(X)
        accuracy = accuracy_of_clusters(model, X, y, X_test, y_test)
        sizes = np.bincount(model.labels_, minlength=30)
        print(
            f"seed {seed}: accuracy {accuracy:.4f}, "
            f"clusters of {sizes.min()} to {sizes.max()} images",
            flush=True,
        )


def calibration_error(proba, y, n_bins=15):
    """Return the mean distance of confidence and accuracy over bins of confidence."""
    confidence, right = proba.max(axis=1), proba.argmax(axis=1) == y
    bins = np.ceil(confidence * n_bins).astype(int)
    gaps = np.bincount(bins, weights=right - confidence)
    return np.abs(gaps).sum() / len(y)


def drawn_unevenly(y, n_drawn, seed):
    """Draw rows, digits 0 to 4 ten times as likely as 5 to 9."""
    weights = np.where(y < 5, 10.0, 1.0)
    rng = np.random.default_rng(seed)
    return rng.choice(len(y), n_drawn, replace=False, p=weights / weights.sum())


def defaults_content(X, y, X_test, y_test):
    """SupervisedAAE() on 10,000 images: digits read as asked, label read from mu."""
    asked = np.arange(5000) % 10
    independent = SVC().fit(X[:20000], y[:20000])
    X, y = X[:10000], y[:10000]
    for likelihood in ("gaussian", "bernoulli"):
        for seed in range(3):
            model = SupervisedAAE(
                likelihood=likelihood, warm_start=True, random_state=seed
            )
            for n_epochs in (30, 70):  # as one training of 100
                model.set_params(max_iter=n_epochs).fit(X, y)
                codes, test_codes = model.transform(X), model.transform(X_test)
                probe = LogisticRegression(max_iter=1000)
                probe = make_pipeline(StandardScaler(), probe).fit(codes, y)
                as_asked = independent.score(model.sample(5000, y=asked), asked)
                print(
                    f"{likelihood}, seed {seed}, {model.n_iter_} epochs: read as "
                    f"asked {as_asked:.4f}; leak {probe.score(test_codes, y_test):.4f}",
                    flush=True,
                )


def defaults_labels(X, y, X_test, y_test):
    """AAEClassifier() on 10,000 images, 1000 of them with a label."""
    X, y = X[:10000], y[:10000]
    for seed in range(3):
        model = AAEClassifier(random_state=seed).fit(X, only_some(y, 1000, seed))
        accuracy = model.score(X_test, y_test)
        error = calibration_error(model.predict_proba(X_test), y_test)
        print(
            f"seed {seed}: accuracy {accuracy:.4f}, calibration error {error:.4f}",
            flush=True,
        )


def defaults_uneven(X, y, X_test, y_test):
    """Labels drawn 10 : 1, from an even pool and from one that is as uneven."""
    X, y = X[:10000], y[:10000]
    for pool in ("even", "uneven"):
        for seed in range(3):
            rows = np.arange(len(X))
            known = drawn_unevenly(y, 1000, seed)
            if pool == "uneven":
                rows = np.flatnonzero((y < 5) | (rows % 10 == seed))
                rng = np.random.default_rng(seed)
                known = rng.choice(rows, 1000, replace=False)
            some = np.full(len(y), -1)
            some[known] = y[known]
            model = AAEClassifier(max_iter=60, random_state=seed)
            model.fit(X[rows], some[rows])
            balanced = balanced_accuracy_score(y_test, model.predict(X_test))
            shares = np.bincount(y[rows]) / len(rows)
            off = np.abs(model.class_prior_ - shares).sum() / 2
            print(
                f"{pool} pool, seed {seed}: balanced accuracy {balanced:.4f}; "
                f"class_prior_ {off:.3f} from the shares of the pool, "
                f"taken from the labels: {model.class_prior_ is model.label_prior_}",
                flush=True,
            )


def defaults_digits():
    """AAEClassifier() on digits with 100 labels, one split, five seeds."""
    X, X_test, y, y_test = digits_split(0)
    scores = [
        AAEClassifier(random_state=seed)
        .fit(X, only_some(y, 100, seed))
        .score(X_test, y_test)
        for seed in range(5)
    ]
    print(f"mean {np.mean(scores):.4f}:", *(f"{score:.4f}" for score in scores))


def defaults(X, y, X_test, y_test):
    """Defaults as they are."""
    for part in (defaults_content, defaults_labels, defaults_uneven):
        part(X, y, X_test, y_test)
    defaults_digits()


if __name__ == "__main__":
    parts = (digits, digits_labels, defaults_digits)
    parts = {part.__name__: part for part in parts}
    on_mnist = (
        *(samples, content, labels, labels_full, clusters_choice, clusters),
        *(defaults, defaults_content, defaults_labels, defaults_uneven),
    )
    on_mnist = {part.__name__: part for part in on_mnist}
    for name in sys.argv[1:]:
        print(f"== {name}", flush=True)
        if name in parts:
            parts[name]()
        else:
            on_mnist[name](*load("train"), *load("t10k"))

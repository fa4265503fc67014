"""Time searches whose networks are trained together, next to scikit-learn's. Usage::

    python examples/benchmarks/search.py [n_repeats [training] [search] [nested]]

Both ways are timed in turn. Figures are medians of the repeats and of their ratios.
"""

import sys
import time
import warnings
from functools import partial
from statistics import median

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    RepeatedStratifiedKFold,
    StratifiedKFold,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import AAE, MLP, VAE, AAEClassifier
from skvae.model_selection import (
    StackedGridSearchCV,
    stacked_cross_validate,
    stacked_training,
)

RATES = np.geomspace(3e-4, 1e-2, 8)
SMALL = MLP((64,))


def seconds(job):
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        job()
    return time.perf_counter() - start


def compare(name, one_by_one, together, n_repeats):
    pairs = [(seconds(one_by_one), seconds(together)) for _ in range(n_repeats)]
    alone, stacked = map(median, zip(*pairs, strict=True))
    ratio = median(one / other for one, other in pairs)
    print(f"{name:48} {alone:7.2f} s / {stacked:6.2f} s = {ratio:.2f}", flush=True)


def fit(estimator, X, y):
    clone(estimator).fit(X, y)


def fit_all(jobs):
    for job in jobs:
        fit(*job)


def fit_together(jobs):
    with stacked_training():
        Parallel()(delayed(fit)(*job) for job in jobs)


def forty(estimator, X, y):
    """Return fits of all folds and rates."""
    return [
        (clone(estimator).set_params(learning_rate=rate), X[rows], y[rows])
        for rows, _ in StratifiedKFold(5).split(X, y)
        for rate in RATES
    ]


def training(name, estimator, X, y, n_repeats):
    jobs = forty(estimator.set_params(random_state=0), X, y)
    compare(name, partial(fit_all, jobs), partial(fit_together, jobs), n_repeats)


def search(name, vae, X, y, n_repeats):
    pipeline = make_pipeline(vae.set_params(random_state=0), LogisticRegression())
    grid = {"vae__learning_rate": RATES}
    compare(
        name,
        partial(GridSearchCV(pipeline, grid, cv=5, n_jobs=2, refit=False).fit, X, y),
        partial(StackedGridSearchCV(pipeline, grid, cv=5, refit=False).fit, X, y),
        n_repeats,
    )


def nested(name, vae, X, y, n_repeats):
    """Two repeats of five outer folds, five inner ones, eight candidates."""
    pipeline = make_pipeline(
        StandardScaler(), vae.set_params(random_state=0), LogisticRegression()
    )
    grid = {"vae__learning_rate": RATES}
    options = {"cv": RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0)}
    alone = GridSearchCV(pipeline, grid, cv=5)
    stacked = StackedGridSearchCV(pipeline, grid, cv=5)
    compare(
        name,
        partial(cross_validate, alone, X, y, **options),
        partial(stacked_cross_validate, stacked, X, y, **options),
        n_repeats,
    )


def training_parts(n_repeats):
    """Forty networks against as many single fits, on one thread."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    digits = load_digits(return_X_y=True)
    table = make_classification(500, 100, n_informative=10, random_state=0)
    for name, (X, y) in {"digits": digits, "500 x 100": table}.items():
        small = VAE(8, architecture=SMALL, max_iter=20)
        training(f"fit, VAE 64-8, {name}", small, X, y, n_repeats)
    large = VAE(8, architecture=MLP((512,)), max_iter=5)
    training("fit, VAE 512-8, digits", large, *digits, n_repeats)
    for model in (AAE, AAEClassifier):
        small = model(n_components=8, architecture=SMALL, max_iter=20)
        training(f"fit, {model.__name__} 64-8, digits", small, *digits, n_repeats)
    torch.set_num_threads(n_threads)


def search_parts(n_repeats):
    """Whole searches, on all threads against two processes."""
    digits = load_digits(return_X_y=True)
    small = VAE(8, architecture=SMALL, max_iter=20)
    search("search, VAE 64-8, digits", small, *digits, n_repeats)
    search("search, VAE with defaults, digits", VAE(max_iter=20), *digits, n_repeats)
    wide = make_classification(200, 1000, n_informative=10, random_state=0)
    search("search, VAE with defaults, 200 x 1000", VAE(), *wide, n_repeats)


def nested_part(n_repeats):
    small = VAE(8, architecture=SMALL, max_iter=20)
    wide = make_classification(100, 800, n_informative=10, random_state=0)
    nested("nested search, VAE 64-8, 100 x 800", small, *wide, n_repeats)


PARTS = {"training": training_parts, "search": search_parts, "nested": nested_part}

if __name__ == "__main__":
    n_repeats, *parts = sys.argv[1:] or ["5"]
    for part in parts or PARTS:
        PARTS[part](int(n_repeats))

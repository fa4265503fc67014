"""Radiomics tables: raw features, PCA and a VAE before the same classifier.

The tables of at most 400 features in ``radiomics_tables`` of the folder that SKVAE_DATA
names (radMLBench). Features are standardized, reduced to 10 components or not at all,
and classified by logistic regression, whose C is chosen in folds of the training set.
The VAE has default settings. Five folds; three seeds fix folds and model. Prints areas
under the ROC curve, their means over tables, and 95 % intervals over tables drawn anew.
Usage::

    SKVAE_DATA=... python examples/benchmarks/tables.py
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAE

SEEDS = range(3)
MAX_FEATURES = 400


def tables():
    """Yield features and classes of each table."""
    folder = Path(os.environ["SKVAE_DATA"], "radiomics_tables")
    for path in sorted(folder.glob("*.csv.gz")):
        table = pd.read_csv(path)
        X = table.drop(columns=["ID", "Target"]).to_numpy(dtype=float)
        if X.shape[1] <= MAX_FEATURES:
            yield path.name.removesuffix(".csv.gz"), X, table["Target"].astype(int)


def reducers(seed):
    return {
        "raw": "passthrough",
        "PCA": PCA(10, random_state=seed),
        "VAE": VAE(10, random_state=seed),
    }


def area(reducer, X, y, seed):
    """Return the mean area under the ROC curve over five folds."""
    classifier = GridSearchCV(
        LogisticRegression(max_iter=2000),
        {"C": np.logspace(-4, 1, 6)},
        scoring="roc_auc",
        cv=StratifiedKFold(3),
    )
    pipeline = make_pipeline(
        SimpleImputer(), StandardScaler(), reducer, StandardScaler(), classifier
    )
    cv = StratifiedKFold(5, shuffle=True, random_state=seed)
    return cross_val_score(pipeline, X, y, scoring="roc_auc", cv=cv).mean()


def interval(values):
    """Write the 95 % interval of the mean over tables drawn anew."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, size=(10_000, len(values))).mean(axis=1)
    return "{:+.3f} to {:+.3f}".format(*np.percentile(means, [2.5, 97.5]))


if __name__ == "__main__":
    rows = {}
    for name, X, y in tables():
        areas = [
            [area(reducer, X, y, seed) for reducer in reducers(seed).values()]
            for seed in SEEDS
        ]
        rows[name] = np.mean(areas, axis=0)
        figures = "".join(f"{value:8.3f}" for value in rows[name])
        print(f"{name:30s}{len(y):4d} x {X.shape[1]:<5d}{figures}", flush=True)
    results = pd.DataFrame(rows, index=list(reducers(0))).T
    print(f"\nmean: {results.mean().round(3).to_dict()}")
    for other in ("PCA", "raw"):
        gain = results["VAE"] - results[other]
        print(f"VAE - {other}: {gain.mean():+.3f} ({interval(gain)}), ", end="")
        print(f"better on {(gain > 0).sum()} of {len(gain)} tables")

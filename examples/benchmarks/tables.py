"""Radiomics tables: what a code is worth before the same classifiers. Usage::

    SKVAE_DATA=... python examples/benchmarks/tables.py                 # what there is
    SKVAE_DATA=... python examples/benchmarks/tables.py odd PCA VAE     # run these

The 31 tables in ``radiomics_tables`` of the folder that SKVAE_DATA names (radMLBench).
Five outer folds, three repeats. In each, five inner folds choose the number of
components and the classifier by the area under the ROC curve; scaling and all else is
fitted in the fold. All methods see the same folds. Settings were chosen on the tables
whose place in the alphabet is odd; "odd", "even" or "all" says which ones to run. Areas
go to ``tables.csv``, one row per table and repeat, and what is there is not run again.
"""

import os
import sys
import time
import warnings
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.decomposition import NMF, PCA, KernelPCA
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectFromModel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

from skvae import AE, MLP, VAE, AAEClassifier
from skvae.model_selection import StackedGridSearchCV, stacked_cross_validate
from skvae.preprocessing import SquashingScaler

SIZES = [2, 4, 8, 16, 32]
CLASSIFIERS = [
    LogisticRegression(C=0.1, max_iter=2000),
    RandomForestClassifier(100, random_state=0),
    SVC(),
]
VOTE = VotingClassifier(
    [("regression", CLASSIFIERS[0]), ("forest", CLASSIFIERS[1])], voting="soft"
)
RESULTS = Path(__file__).with_name("tables.csv")
HALVES = {"odd": slice(0, None, 2), "even": slice(1, None, 2), "all": slice(None)}


def lasso():
    """Return a selection of at most so many features by L1-penalized regression."""
    model = LogisticRegression(l1_ratio=1, solver="liblinear", random_state=0)
    return SelectFromModel(model, threshold=-np.inf, max_features=1)


def ours(n_components=32):
    """Return a `VAE` that begins as PCA, in the space that the samples span."""
    vae = VAE(n_components, architecture=MLP(init="pca"), random_state=0)
    return Pipeline([("rotate", PCA(random_state=0)), ("vae", vae)])


def beside(reducer):
    """Return the features with a code beside them."""
    return FeatureUnion([("raw", "passthrough"), ("code", reducer)])


class Method(NamedTuple):
    """What stands between the table and the classifier."""

    reducer: object = "passthrough"
    size: str | None = "n_components"  # the parameter of the number of components
    scaler: object = StandardScaler()
    classifiers: list = CLASSIFIERS


SQUASHED = SquashingScaler()
METHODS = {
    "no reduction": Method(size=None),
    "random forest": Method(size=None, classifiers=CLASSIFIERS[1:2]),
    "LASSO": Method(lasso(), "max_features"),
    "PCA": Method(PCA(random_state=0)),
    "kernel PCA": Method(KernelPCA(kernel="rbf", random_state=0)),
    "NMF": Method(
        NMF(init="nndsvda", max_iter=300, random_state=0),
        scaler=MinMaxScaler(clip=True),
    ),
    "AE": Method(AE(random_state=0)),
    "VAE": Method(VAE(random_state=0)),
    "AAEClassifier": Method(AAEClassifier(random_state=0), classifiers=[None]),
    "no reduction, squashed": Method(size=None, scaler=SQUASHED),
    "PCA, squashed": Method(PCA(random_state=0), scaler=SQUASHED),
    "VAE, squashed": Method(ours(), "vae__n_components", SQUASHED),
    "raw + PCA, squashed": Method(
        beside(PCA(random_state=0)), "code__n_components", SQUASHED
    ),
    "raw + VAE, squashed": Method(beside(ours()), "code__vae__n_components", SQUASHED),
    "vote": Method("passthrough", None, SQUASHED, [VOTE]),
    "vote, raw + PCA of 16": Method(
        beside(PCA(16, random_state=0)), None, SQUASHED, [VOTE]
    ),
    "vote, raw + VAE of 16": Method(beside(ours(16)), None, SQUASHED, [VOTE]),
}


def search_over(method):
    """Return a search for the number of components and for the classifier."""
    steps = [
        ("impute", SimpleImputer()),
        ("scale", method.scaler),
        ("reduce", method.reducer),
        ("rescale", StandardScaler()),
        ("classify", CLASSIFIERS[0]),
    ]
    grid = {"classify": method.classifiers}
    if method.classifiers == [None]:  # the reducer classifies by itself
        steps, grid = steps[:3], {}
    if method.size:
        grid[f"reduce__{method.size}"] = SIZES
    return StackedGridSearchCV(
        Pipeline(steps),
        grid,
        scoring="roc_auc",
        cv=StratifiedKFold(5),
        error_score="raise",
    )


def table(path):
    """Return features and classes of a table."""
    frame = pd.read_csv(path)
    X = frame.drop(columns=["ID", "Target"]).to_numpy(dtype=float)
    return X, frame["Target"].astype(int).to_numpy()


def run(method, path, repeat):
    """Return the mean area over the outer folds, and the seconds it took."""
    X, y = table(path)
    start = time.perf_counter()
    scores = stacked_cross_validate(
        search_over(METHODS[method]),
        X,
        y,
        cv=StratifiedKFold(5, shuffle=True, random_state=repeat),
        scoring="roc_auc",
        error_score="raise",
    )
    seconds = time.perf_counter() - start
    return round(scores["test_score"].mean(), 5), round(seconds, 1)


def results():
    if RESULTS.exists():
        return pd.read_csv(RESULTS)
    return pd.DataFrame(columns=["method", "table", "repeat", "area", "seconds"])


if __name__ == "__main__":
    half, *methods = sys.argv[1:] or ["all"]
    unknown = set(methods) - set(METHODS)
    if half not in HALVES or unknown:
        sys.exit(f"usage: tables.py {'|'.join(HALVES)} METHOD ...; {list(METHODS)}")
    folder = Path(os.environ["SKVAE_DATA"], "radiomics_tables")
    paths = sorted(folder.glob("*.csv.gz"))[HALVES[half]]
    warnings.simplefilter("ignore", ConvergenceWarning)
    known = set(results()[["method", "table", "repeat"]].itertuples(index=False))
    for repeat, method, path in product(range(3), methods, paths):
        key = method, path.name.removesuffix(".csv.gz"), repeat
        if key in known:
            continue
        row = *key, *run(method, path, repeat)
        line = ",".join(f'"{x}"' if "," in str(x) else str(x) for x in row)
        if not RESULTS.exists():
            RESULTS.write_text("method,table,repeat,area,seconds\n")
        with RESULTS.open("a") as file:
            file.write(line + "\n")
    print(results().groupby("method")["area"].mean().sort_values().round(3))

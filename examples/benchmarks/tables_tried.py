"""Radiomics tables: settings of networks, tried on the odd half. Usage::

    SKVAE_DATA=... python examples/benchmarks/tables_tried.py

The 31 tables of ``tables.py``: all settings on those whose place in the alphabet is
odd, then those that were kept, unchanged, on the even half. Five folds, one seed, codes
of 16 components, features squashed and turned to their principal axes, scaling and all
else fitted in the fold. A line per setting: the mean area under the ROC curve of the
three classifiers, of codes and of codes beside the features, and the test error of the
reconstruction over that of PCA (geometric mean of the tables). "missing" is the share
of values that were taken away and filled by means. What is in ``tables_tried.csv`` is
not run again.
"""

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import CLASSIFIERS, HALVES, SQUASHED, table

from skvae import AE, MLP, VAE, AAEClassifier
from skvae.nn import Swap

SIZE = 16
RESULTS = Path(__file__).with_name("tables_tried.csv")


def vae(**options):
    """Return a `VAE` that begins as PCA, with other options."""
    options = {"architecture": MLP(init="pca"), "random_state": 0} | options
    return VAE(SIZE, **options)


class Members:
    """Codes of several networks side by side; the mean of what they decode."""

    def __init__(self, models):
        self.models = models

    def fit(self, X, y=None):
        rng = np.random.default_rng(0)
        for model in self.models:
            model.fit(X[rng.choice(len(X), len(X))])
        return self

    def transform(self, X):
        return np.hstack([model.transform(X) for model in self.models])

    def reconstruct(self, X):
        return np.mean([reconstructed(model, X) for model in self.models], axis=0)


class Supervised:
    """A supervised autoencoder: it decodes the class, too, but never sees it.

    L. Le, A. Patterson and M. White, "Supervised autoencoders", NeurIPS 2018. The class
    has a tenth of the variance of the features.
    """

    def fit(self, X, y):
        classes = (y - y.mean()) / y.std() * np.sqrt(0.1 * X.var(axis=0).sum())
        self.model = vae(corruption=without_class).fit(np.column_stack([X, classes]))
        return self

    def transform(self, X):
        return self.model.transform(np.column_stack([X, np.zeros(len(X))]))

    def reconstruct(self, X):
        return self.model.inverse_transform(self.transform(X))[:, :-1]


def without_class(X, rng):
    X[:, -1] = 0
    return X


class Draws:
    """Ten draws of each code; classifiers learn from all and average over them."""

    def fit(self, X, y=None):
        self.model = vae(layer=["mu", "logvar"]).fit(X)
        return self

    def transform(self, X):
        mu, logvar = np.hsplit(self.model.transform(X), 2)
        draws = np.random.default_rng(0).normal(size=(10, *mu.shape))
        return mu + np.exp(0.5 * logvar) * draws

    def reconstruct(self, X):
        return self.model.reconstruct(X)


SETTINGS = {
    "features alone": None,
    "PCA": PCA(SIZE, random_state=0),
    "VAE that begins as PCA": vae(),
    "VAE with defaults": vae(architecture="mlp"),
    "narrow: 16 units": vae(architecture=MLP((16,), init="pca")),
    "linear": vae(architecture=MLP((), init="pca")),
    "noise of .3": vae(corruption=0.3),
    "swaps of .15": vae(corruption=Swap(0.15)),
    "weight decay of .1": vae(weight_decay=0.1),
    "stops at the held-out bound": vae(early_stopping=True),
    "5 networks on rows drawn anew": Members([vae(random_state=i) for i in range(5)]),
    "less noise on the code": vae(beta=0.1),
    "more noise on the code": vae(beta=4.0),
    "narrow AE that learns slowly": AE(
        SIZE,
        architecture=MLP((16,), init="pca"),
        learning_rate=1e-4,
        random_state=0,
    ),
    "draws of the code, averaged": Draws(),
    "AAEClassifier (knows labels)": AAEClassifier(SIZE, random_state=0),
    "supervised (knows labels)": Supervised(),
    "5 PCAs on rows drawn anew": Members([PCA(SIZE, random_state=0) for _ in range(5)]),
}

KEPT = [
    "features alone",
    "PCA",
    "VAE that begins as PCA",
    "narrow: 16 units",
    "5 networks on rows drawn anew",
    "5 PCAs on rows drawn anew",
    "narrow AE that learns slowly",
    "supervised (knows labels)",
]
RUNS = [
    ("odd", 0, list(SETTINGS)),
    ("odd", 0.1, KEPT),
    ("even", 0, KEPT),
    ("even", 0.1, KEPT),
]


def area(A, B, y, y_test):
    """Return the mean area of the three classifiers from features, or draws of them."""
    draws, draws_test = (X[np.newaxis] if X.ndim == 2 else X for X in (A, B))
    y = np.tile(y, len(draws))
    found = []
    for classifier in CLASSIFIERS:
        model = make_pipeline(StandardScaler(), clone(classifier))
        model.fit(np.concatenate(draws), y)
        decide = getattr(model, "decision_function", None)
        decide = decide or (lambda X, model=model: model.predict_proba(X)[:, 1])
        scores = np.mean([decide(X) for X in draws_test], axis=0)
        found.append(roc_auc_score(y_test, scores))
    return np.mean(found)


def beside(X, codes):
    """Return the features with codes beside them, or with draws of codes."""
    if codes.ndim == 3:
        X = np.repeat(X[np.newaxis], len(codes), axis=0)
    return np.concatenate([X, codes], axis=-1)


def reconstructed(model, X):
    if hasattr(model, "reconstruct"):
        return model.reconstruct(X)
    return model.inverse_transform(model.transform(X))


def run(path, half, missing, settings):
    """Yield a row per fold and setting, with a share of the values taken away."""
    X, y = table(path)
    is_missing = np.random.default_rng(0).random(X.shape) < missing
    X = np.where(is_missing, np.nan, X)
    cv = StratifiedKFold(5, shuffle=True, random_state=0)
    for fold, (train, test) in enumerate(cv.split(X, y)):
        scale = make_pipeline(SimpleImputer(), clone(SQUASHED)).fit(X[train])
        A, B = scale.transform(X[train]), scale.transform(X[test])
        rotate = PCA(random_state=0).fit(A)
        turned, turned_test = rotate.transform(A), rotate.transform(B)
        place = {"half": half, "missing": missing, "table": path.name, "fold": fold}
        for name in settings:
            model = SETTINGS[name]
            if model is None:
                alone = area(A, B, y[train], y[test])
                yield place | {"setting": name, "beside": alone}
                continue
            model.fit(turned, y[train])
            codes, codes_test = model.transform(turned), model.transform(turned_test)
            both, both_test = beside(A, codes), beside(B, codes_test)
            residuals = reconstructed(model, turned_test) - turned_test
            yield place | {
                "setting": name,
                "code": area(codes, codes_test, y[train], y[test]),
                "beside": area(both, both_test, y[train], y[test]),
                "error": np.square(residuals).mean(),
            }


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    tables = sorted(Path(os.environ["SKVAE_DATA"], "radiomics_tables").glob("*.csv.gz"))
    rows = pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame()
    keys = ["missing", "table", "setting"]
    known = set() if rows.empty else set(rows[keys].itertuples(index=False, name=None))
    for half, missing, settings in RUNS:
        for path in tables[HALVES[half]]:
            new = [name for name in settings if (missing, path.name, name) not in known]
            if new:
                found = pd.DataFrame(run(path, half, missing, new))
                rows = found if rows.empty else pd.concat([rows, found])
                rows.round(5).to_csv(RESULTS, index=False)
    groups = ["half", "missing", "setting"]
    means = rows.groupby([*groups, "table"], sort=False).mean(numeric_only=True)
    error = np.log(means["error"])
    means["error to PCA"] = error - error.xs("PCA", level="setting")
    summary = means.groupby(groups, sort=False).mean()
    summary["error to PCA"] = np.exp(summary["error to PCA"])
    print(summary[["code", "beside", "error to PCA"]].round(3).to_string())

"""Metastasis in the lung from soft-tissue sarcomas: latent, hand-crafted, both.

51 patients (19 with metastases), cubes of 32 x 32 x 32 voxels around the tumour (MR, CT
and PET as channels) and PyRadiomics' features of the same tumours. Ten times five folds
of patients; nothing is tuned outside of the folds. The folder that SKVAE_DATA names
holds ``sts``. Usage::

    SKVAE_DATA=... python examples/benchmarks/radiomics_sts.py
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skvae import MLP, VAE
from skvae.model_selection import check_groups

N_REPEATS = 10


def load():
    """Return cubes and table side by side, classes and patients."""
    folder = Path(os.environ["SKVAE_DATA"], "sts")
    table = pd.read_csv(folder / "radiomics_features.csv").set_index("patient_id")
    with np.load(folder / "sts_rois_32.npz") as data:
        mask = data["mask"] > 0
        cubes = [normalized(data[name], mask) for name in ("mr", "ct", "pet")]
        patients, y = data["patient_id"], data["lung_metastasis"].astype(int)
    coarse = np.stack(cubes, axis=1)
    n = len(y)
    coarse = coarse.reshape(n, 3, 16, 2, 16, 2, 16, 2).mean(axis=(3, 5, 7))
    features = table.loc[patients].drop(columns="lung_metastasis").to_numpy()
    return np.hstack([features, coarse.reshape(n, -1)]), features.shape[1], y, patients


def normalized(cubes, mask):
    """Make each tumour's mean 0 and standard deviation 1, and what is around it 0."""
    done = np.zeros(cubes.shape, np.float32)
    for cube, region, out in zip(cubes, mask, done, strict=True):
        values = cube[region].astype(float)
        out[region] = (values - values.mean()) / (values.std() or 1)
    return done


def pipelines(n_features, n_columns):
    table, cubes = slice(0, n_features), slice(n_features, n_columns)
    vae = VAE(
        n_components=8,
        architecture=MLP((128,)),
        batch_size=16,
        max_iter=60,
        random_state=0,
    )
    branches = {
        "latents": [("latents", vae, cubes)],
        "hand-crafted": [("table", "passthrough", table)],
        "both": [("latents", vae, cubes), ("table", "passthrough", table)],
    }
    for name, branch in branches.items():
        yield (
            name,
            Pipeline(
                [
                    ("features", ColumnTransformer(branch)),
                    ("scale", StandardScaler()),
                    ("classify", RandomForestClassifier(500, random_state=0)),
                ]
            ),
        )


def out_of_fold(pipeline, X, y, patients):
    """Return a probability for each patient from each repetition."""
    proba = np.empty((N_REPEATS, len(y)))
    for repeat, row in enumerate(proba):
        cv = StratifiedGroupKFold(5, shuffle=True, random_state=repeat)
        check_groups(cv, X, y, patients)
        for train, test in cv.split(X, y, patients):
            fitted = pipeline.fit(X[train], y[train])
            row[test] = fitted.predict_proba(X[test])[:, 1]
    return proba


def interval(areas):
    return "{:.3f} to {:.3f}".format(*np.percentile(areas, [2.5, 97.5]))


def area(y, proba):
    return np.mean([roc_auc_score(y, row) for row in proba])


def resampled(y, probas, n_times=1000):
    """Return the areas of all pipelines on patients drawn anew."""
    rng, areas = np.random.default_rng(0), []
    while len(areas) < n_times:
        drawn = rng.integers(0, len(y), len(y))
        if 0 < y[drawn].sum() < len(y):
            areas.append([area(y[drawn], proba[:, drawn]) for proba in probas])
    return np.array(areas).T


if __name__ == "__main__":
    X, n_features, y, patients = load()
    names, probas = [], []
    for name, pipeline in pipelines(n_features, X.shape[1]):
        names.append(name)
        probas.append(out_of_fold(pipeline, X, y, patients))
        print(f"{name}: AUC {area(y, probas[-1]):.3f}", flush=True)
    areas = resampled(y, probas)
    for name, drawn in zip(names, areas, strict=True):
        print(f"{name}: 95 % interval over patients {interval(drawn)}")
    print(f"both - hand-crafted: {interval(areas[2] - areas[1])}")

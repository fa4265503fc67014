"""
From a folder of DICOM series to a cross-validated score
========================================================

Does the look of a tumour tell the outcome? One pipeline reads CT or MR series with
their contours, puts the latent code of a VAE beside hand-crafted features, and
classifies. Spacing and size of the code are searched together, within the folds. No
patient is on both sides of a split.

Without data of your own, the example writes 60 synthetic patients to disk. The class
of a tumour changes its texture and its shape. If the environment variable
``SKVAE_DATA`` names the folder of the project's benchmark data, the example takes 20
real patients with a soft-tissue sarcoma instead. Their class is metastases in the lung.

The figures are written as PNG files to the folder ``radiomics_figures``, since no
window opens on a server.
"""

# %%
# A folder of DICOM files
# -----------------------
# `scan` lists the volumes in it, with the masks that lie in the same space. If a volume
# can't be read without a guess, the column "problem" says why.

import os
import tempfile
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import auc, roc_curve
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    cross_val_predict,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skvae import MLP, VAE
from skvae.datasets import make_dicom_cohort
from skvae.dicom import VolumeLoader, scan
from skvae.model_selection import check_groups, groups_from
from skvae.radiomics import RegionFeatures


def sarcomas(data, root):
    """Unpack T1-weighted MR and contours; return who had metastases."""
    for path in sorted(Path(data, "sts", "dicom").glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if "MR_T1" in name]
            archive.extractall(root, names)
    labels = pd.read_csv(Path(data, "sts", "labels.csv"))
    return labels.rename(columns={"lung_metastasis": "label"})


data = os.environ.get("SKVAE_DATA")
cohort = "patients with a sarcoma" if data else "synthetic patients"
figures = Path("radiomics_figures")
figures.mkdir(exist_ok=True)
folder = tempfile.TemporaryDirectory()
root = Path(folder.name, "dicom")
patients = sarcomas(data, root) if data else make_dicom_cohort(root, 60, random_state=0)
volumes = scan(root)
volumes[["modality", "n_slices", "spacing", "problem"]].head()

# %%
# The label of each volume, and the patients, who must stay on one side of each split:

y = volumes.merge(patients, on="patient_id")["label"].to_numpy()
groups = groups_from(volumes)
cv = StratifiedGroupKFold(5, shuffle=True, random_state=0)
check_groups(cv, volumes, y, groups)
print(f"{len(y)} volumes of {len(np.unique(groups))} {cohort}, {y.sum()} of class 1")

# %%
# Hand-crafted features
# ---------------------
# They describe the tumour in the image as it is, at its own spacing. Nothing is learnt
# from other patients, so they are computed once, before any split, and stand in the
# table beside the series. A table that another program made would stand there too.

cache = Path(folder.name, "cache")
regions = RegionFeatures(loader=VolumeLoader(cache=cache)).set_output(
    transform="pandas"
)
table = volumes.join(regions.fit_transform(volumes))
hand_crafted = list(regions.get_feature_names_out())
print(f"{len(hand_crafted)} hand-crafted features")

# %%
# One pipeline
# ------------
# The VAE does learn from other patients, so it stands in the pipeline and is trained
# anew in each fold. It gets cubes around the tumour, of one size and brightness. The
# cache decodes each series once.

cube = (16, 16, 16)
cubes = VolumeLoader(
    shape=cube,
    crop="mask",
    margin=3.0,
    mask_outside=True,
    normalize="percentile",
    flatten=True,
    cache=cache,
)
vae = VAE(architecture=MLP((64,)), batch_size=16, max_iter=20, random_state=0)
latents = Pipeline([("cubes", cubes), ("vae", vae)])


def classified(*branches):
    """Put features side by side, and a classifier behind them."""
    return Pipeline(
        [
            ("features", ColumnTransformer(branches)),
            ("scale", StandardScaler()),
            ("classify", LogisticRegression(C=0.05)),
        ]
    )


latent_branch = "latents", latents, list(volumes)
table_branch = "regions", "passthrough", hand_crafted

# %%
# One search
# ----------
# The search sets how fine the cubes are (each tumour at a spacing of its own that fills
# the cube, or all at one) and how long the code is. It runs in three folds within each
# of the five that test. The hand-crafted features alone, in the same five folds, say
# what the latent ones add.

sklearn.set_config(enable_metadata_routing=True)
grid = {
    "features__latents__cubes__spacing": ["fit", 6.0 if data else 3.0],
    "features__latents__vae__n_components": [2, 6],
}
both = classified(latent_branch, table_branch)
search = GridSearchCV(both, grid, scoring="roc_auc", cv=StratifiedGroupKFold(3))
models = {
    "hand-crafted": classified(table_branch),
    "latent + hand-crafted": search,
}
probas = {}
for name, model in models.items():
    params = {"groups": groups}
    out_of_fold = cross_val_predict(
        model, table, y, cv=cv, params=params, method="predict_proba"
    )
    probas[name] = out_of_fold[:, 1]

# %%
# How good is it?
# ---------------
# Each patient's probability comes from a pipeline that never saw the patient. The
# intervals are those of 1000 cohorts, drawn with replacement from these patients. They
# hold the chance of who was in the study, not that of another training.

at = np.linspace(0, 1, 101)


def roc(proba, rows=slice(None)):
    """Return the true positive rates at given false positive rates, and the area."""
    false, true, _ = roc_curve(y[rows], proba[rows])
    return np.interp(at, false, true), auc(false, true)


def cohorts(n_times=1000):
    """Yield the volumes of as many patients, drawn anew, if both classes are there."""
    rng = np.random.default_rng(0)
    volumes_of = [np.flatnonzero(groups == patient) for patient in np.unique(groups)]
    for _ in range(n_times):
        drawn = rng.integers(len(volumes_of), size=len(volumes_of))
        rows = np.concatenate([volumes_of[patient] for patient in drawn])
        if len(np.unique(y[rows])) == 2:
            yield rows


def interval(values):
    """Write the range that holds 95 % of the values."""
    return "{:.3f} to {:.3f}".format(*np.percentile(values, [2.5, 97.5]))


drawn = list(cohorts())
curves, areas = {}, {}
print("AUC out of fold, 95 % interval over patients")
for name, proba in probas.items():
    resampled = [roc(proba, rows) for rows in drawn]
    curves[name] = np.array([curve for curve, _ in resampled])
    areas[name] = np.array([area for _, area in resampled])
    print(f"  {name:22s} {roc(proba)[1]:.3f}  {interval(areas[name])}")
gain = areas["latent + hand-crafted"] - areas["hand-crafted"]
print(f"  {'difference':22s}       {interval(gain)}")

# %%

fig, ax = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
for color, (name, proba) in zip(("C1", "C0"), probas.items(), strict=True):
    false, true, _ = roc_curve(y, proba)
    label = f"{name}: AUC {auc(false, true):.3f}"
    ax.step(false, true, where="post", color=color, label=label)
low, high = np.percentile(curves[name], [2.5, 97.5], axis=0)
ax.fill_between(
    at, low, high, alpha=0.2, step="mid", label="95 % interval of the blue curve"
)
ax.plot([0, 1], [0, 1], color="gray", linestyle=":", label="chance")
ax.set_title(f"ROC curves, {len(np.unique(groups))} {cohort}", fontsize=11)
ax.set(xlabel="False positive rate", ylabel="True positive rate", aspect="equal")
ax.legend(loc="lower right", fontsize=9)
fig.savefig(figures / "roc.png")

# %%
# What did the search choose?
# ---------------------------
# On all patients, for the pipeline that you would keep. These scores chose the
# settings, so they are no estimate of how good the pipeline is; those above are.

best = search.fit(table, y, groups=groups).best_estimator_
results = pd.DataFrame(search.cv_results_)
results.columns = [name.split("__")[-1] for name in results]
shown = ["spacing", "n_components", "mean_test_score", "std_test_score"]
print(results[[*shown, "rank_test_score"]].round(3).to_string(index=False))

# %%
# What does the code see?
# -----------------------
# The latent component with the largest weight, varied from low to high while the
# others stay at their means: the middle slice of the tumour that the VAE then draws.

names = best["features"].get_feature_names_out()
weights = pd.Series(best["classify"].coef_[0], index=names)
latent = weights[weights.index.str.startswith("latents__")]
column = latent.abs().argmax()
trained = best["features"].named_transformers_["latents"]
codes = trained.transform(volumes)
steps = np.linspace(-3, 3, 7)
moved = np.tile(codes.mean(axis=0), (len(steps), 1))
moved[:, column] += steps * codes[:, column].std()
drawn_by_vae = trained["vae"].inverse_transform(moved).reshape(-1, *cube)

fig, axes = plt.subplots(1, len(steps), figsize=(9, 1.9), layout="constrained")
for ax, image, step in zip(axes, drawn_by_vae, steps, strict=True):
    ax.imshow(image[cube[0] // 2], cmap="gray", vmin=0, vmax=drawn_by_vae.max())
    ax.set_title(f"{step:+.0f} SD" if step else "mean", fontsize=9)
    ax.axis("off")
towards = "1" if latent.iloc[column] > 0 else "0"
name = latent.index[column].removeprefix("latents__")
fig.suptitle(
    f"What the VAE draws as {name} grows; to the right, towards class {towards}"
)
fig.savefig(figures / "code.png")
print(f"The figures are roc.png and code.png in {figures.resolve()}")
folder.cleanup()
sklearn.set_config(enable_metadata_routing=False)

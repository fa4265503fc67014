"""
From a folder of DICOM series to a cross-validated score
========================================================

What does a tumour look like, and does its look tell the outcome? One pipeline reads CT
or MR series with their contours, puts the latent code of a VAE beside hand-crafted
features, and classifies. Spacing and size of the code are searched together, within
the folds; no patient is on both sides of a split.

Without data of your own the example makes a cohort on disk, of tumours whose class
changes texture and shape. Where the environment variable ``SKVAE_DATA`` names the
folder of the project's benchmark data, it takes patients with a soft-tissue sarcoma,
and asks for metastases in the lung.
"""

# %%
# A folder of DICOM files
# -----------------------
# `scan` lists the volumes in it, with the masks that lie in the same space. What can't
# be read without a guess has its reason in the column "problem".

import os
import tempfile
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    cross_val_predict,
)
from sklearn.pipeline import FeatureUnion, Pipeline
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
print(f"{len(y)} volumes of {len(np.unique(groups))} patients, {y.sum()} of class 1")

# %%
# One pipeline
# ------------
# Two branches read the same series, each in its own way: cubes around the tumour, of
# one size and brightness, for the VAE; the images as they are, at their own spacing,
# for the hand-crafted features. The cache decodes each series once.

cube = (16, 16, 16)
cache = Path(folder.name, "cache")
cubes = VolumeLoader(
    shape=cube,
    crop="mask",
    margin=3.0,
    mask_outside=True,
    normalize="percentile",
    flatten=True,
    cache=cache,
)
vae = VAE(architecture=MLP((64,)), batch_size=16, max_iter=40, random_state=0)
latents = Pipeline([("cubes", cubes), ("vae", vae)])
regions = RegionFeatures(loader=VolumeLoader(cache=cache))
pipeline = Pipeline(
    [
        ("features", FeatureUnion([("latents", latents), ("regions", regions)])),
        ("scale", StandardScaler()),
        ("classify", LogisticRegression(C=0.05)),
    ]
)

# %%
# One search
# ----------
# How fine the cubes are (each tumour at a spacing of its own that fills the cube, or
# all at one) and how long the code is are searched together, in folds within the
# folds that test.

sklearn.set_config(enable_metadata_routing=True)
grid = {
    "features__latents__cubes__spacing": ["fit", 6.0 if data else 3.0],
    "features__latents__vae__n_components": [2, 6],
}
search = GridSearchCV(pipeline, grid, scoring="roc_auc", cv=StratifiedGroupKFold(3))
proba = cross_val_predict(
    search, volumes, y, cv=cv, params={"groups": groups}, method="predict_proba"
)[:, 1]

# %%
# How good is it?
# ---------------
# Each patient's probability comes from a pipeline that never saw the patient. The band
# is that of 1000 cohorts drawn anew from these patients.


def bootstrap(y, proba, n_times=1000):
    """Draw samples anew; return curves on a grid, and areas."""
    rng = np.random.default_rng(0)
    at = np.linspace(0, 1, 101)
    curves, areas = [], []
    while len(areas) < n_times:
        drawn = rng.integers(0, len(y), len(y))
        if len(np.unique(y[drawn])) == 2:
            false, true, _ = roc_curve(y[drawn], proba[drawn])
            curves.append(np.interp(at, false, true))
            areas.append(roc_auc_score(y[drawn], proba[drawn]))
    return (
        at,
        np.percentile(curves, [2.5, 97.5], axis=0),
        np.percentile(areas, [2.5, 97.5]),
    )


at, band, (low, high) = bootstrap(y, proba)
false, true, _ = roc_curve(y, proba)
area = roc_auc_score(y, proba)
fig, ax = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
ax.fill_between(at, *band, alpha=0.25, step="mid", label="95 % of bootstrap samples")
ax.step(false, true, where="post", label="out of fold")
ax.plot([0, 1], [0, 1], color="gray", linestyle=":", label="chance")
ax.set_title(f"AUC {area:.2f} (95 % interval {low:.2f} to {high:.2f})")
ax.set(xlabel="False positive rate", ylabel="True positive rate", aspect="equal")
ax.legend(loc="lower right")
plt.show()

# %%
# What does the code see?
# -----------------------
# The latent component with the largest weight, varied from low to high while the
# others stay at their means: the middle slice of the tumour that the VAE then draws.

best = search.fit(volumes, y, groups=groups).best_estimator_
print(search.best_params_)
names = best["features"].get_feature_names_out()
weights = pd.Series(best["classify"].coef_[0], index=names)
latent = weights[weights.index.str.startswith("latents__")]
column = latent.abs().argmax()
trained = best["features"].transformer_list[0][1]
codes = trained.transform(volumes)
steps = np.linspace(-2, 2, 7)
moved = np.tile(codes.mean(axis=0), (len(steps), 1))
moved[:, column] += steps * codes[:, column].std()
drawn = trained["vae"].inverse_transform(moved).reshape(-1, *cube)

fig, axes = plt.subplots(1, len(steps), figsize=(9, 1.9), layout="constrained")
for ax, image, step in zip(axes, drawn, steps, strict=True):
    ax.imshow(image[cube[0] // 2], cmap="gray", vmin=0, vmax=drawn.max())
    ax.set_title(f"{step:+.1f} SD", fontsize=9)
    ax.axis("off")
towards = "1" if latent.iloc[column] > 0 else "0"
fig.suptitle(f"{latent.index[column]}: to the right, towards class {towards}")
plt.show()
folder.cleanup()
sklearn.set_config(enable_metadata_routing=False)

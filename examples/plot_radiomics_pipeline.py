"""
Radiomics: from a DICOM archive to the paper
============================================

Does the look of a tumour tell the outcome? The way from a folder of DICOM files to a
score that can be reported: list the volumes and the regions in their masks, pick the
tumours, look at them, put the latent code of a VAE beside hand-crafted features, score
both on the same splits by patient, write the methods, and apply the pipeline to a new
patient.

Without data of your own, the example writes 60 synthetic patients to disk, with CT and
MR, and two regions each. The class of a tumour changes its texture and its shape. If
the environment variable ``SKVAE_DATA`` names the folder of the project's benchmark
data, the example takes 20 real patients with a soft-tissue sarcoma instead. Their class
is metastases in the lung.

The figures are written as PNG files to the folder ``radiomics_figures``, since no
window opens on a server.
"""

# %%
# A folder of DICOM files
# -----------------------

import os
import tempfile
import zipfile
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skvae import MLP, VAE
from skvae.datasets import make_dicom_cohort
from skvae.dicom import VolumeLoader, label_volumes, regions, scan, select_regions
from skvae.model_selection import evaluate, groups_from
from skvae.plot import CohortDisplay, ROCBandDisplay
from skvae.radiomics import RegionFeatures
from skvae.report import methods_text


def sarcomas(data, root):
    """Unpack CT, MR and PET with their contours; return who had metastases."""
    for path in sorted(Path(data, "sts", "dicom").glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(root)
    labels = pd.read_csv(Path(data, "sts", "labels.csv"))
    return labels.rename(columns={"lung_metastasis": "label"})


def synthetic(root, n_patients=60, seed=0):
    """Write patients with CT and MR, tumour and oedema; return their classes."""
    kinds = {"modalities": ("CT", "MR"), "regions": ("GTV", "Edema")}
    return make_dicom_cohort(root, n_patients, **kinds, random_state=seed)


data = os.environ.get("SKVAE_DATA")
folder = tempfile.TemporaryDirectory()
archive, cache = Path(folder.name, "dicom"), Path(folder.name, "cache")
figures = Path("radiomics_figures")
figures.mkdir(exist_ok=True)
outcomes = sarcomas(data, archive) if data else synthetic(archive)

# %%
# Volumes, regions, outcomes
# --------------------------
# `scan` has a row for each volume; if one can't be read without a guess, the column
# "problem" says why. CT and MR of a patient share a frame of reference, so the masks of
# both fit both. `regions` lists what is in them, and on which series it was drawn.

archived = scan(archive)
regions(archived)[["modality", "region", "kind", "is_drawn_here", "is_on_grid"]].head(8)

# %%
# `select_regions` picks the tumour that was drawn on each volume, and `label_volumes`
# puts the outcome beside it. Both say what they left out.

picked = label_volumes(select_regions(archived, "GTV*"), outcomes)
volumes = picked[picked["modality"] == "MR"]
y, groups = volumes["label"].to_numpy(), groups_from(volumes)
cohort = f"{len(y)} {'patients with a sarcoma' if data else 'synthetic patients'}"
print(f"{len(archived)} volumes; MR of {cohort}, {y.sum()} of class 1")

# %%
# Look at the regions before anything is computed. A wrong mask is seen in a minute.

sheet = CohortDisplay.from_volumes(volumes[:12], loader=VolumeLoader(cache=cache))
sheet.figure_.savefig(figures / "cohort.png")

# %%
# Hand-crafted features
# ---------------------
# They describe the tumour in the image as it is, at its own spacing. Nothing is learnt
# from other patients, so they are computed once, before any split, and stand in the
# table beside the series. A table that another program made would stand there too.

hand_crafted = RegionFeatures(
    ["first_order", "shape"], loader=VolumeLoader(cache=cache)
).set_output(transform="pandas")
table = volumes.join(hand_crafted.fit_transform(volumes))
columns = list(hand_crafted.get_feature_names_out())
print(f"{len(columns)} hand-crafted features")

# %%
# Latent features
# ---------------
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


# %%
# One search inside, one score outside
# ------------------------------------
# The search sets how fine the cubes are (each tumour at a spacing of its own that fills
# the cube, or all at one) and how long the code is, in three folds within each of the
# five that test. `evaluate` gives both pipelines the same splits. The intervals hold
# the chance of who was in the study, not that of another training.

sklearn.set_config(enable_metadata_routing=True)
latent_branch = "latents", latents, list(volumes.drop(columns="label"))
table_branch = "regions", "passthrough", columns
grid = {
    "features__latents__cubes__spacing": ["fit", 6.0 if data else 3.0],
    "features__latents__vae__n_components": [2, 6],
}
both = classified(latent_branch, table_branch)
search = GridSearchCV(both, grid, scoring="roc_auc", cv=StratifiedGroupKFold(3))
models = {"hand-crafted": classified(table_branch), "latent + hand-crafted": search}
cv = StratifiedGroupKFold(5, shuffle=True, random_state=0)
evaluation = evaluate(models, table, y, cv=cv, baseline="hand-crafted", random_state=0)
print(evaluation.table.round(3).to_string())
evaluation.table.round(3)

# %%

roc = ROCBandDisplay.from_evaluation(evaluation)
roc.ax_.set_title(f"ROC curves, {cohort}", fontsize=11)
roc.figure_.savefig(figures / "roc.png")

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

# %%
# What to write in the paper
# --------------------------
# The methods, from the volumes, the settings and the splits, with what the checklists
# CLEAR and METRICS ask for and what remains open.

text = methods_text(search, table, y, cv=cv, groups=groups)
Path(figures, "methods.md").write_text(text)
print(text[:400], "...")

# %%
# Next month's patient
# --------------------
# Keep the fitted pipeline. For a new patient, the same steps make the row it takes.

joblib.dump((hand_crafted, best), Path(folder.name, "pipeline.joblib"))
hand_crafted, best = joblib.load(Path(folder.name, "pipeline.joblib"))
synthetic(Path(folder.name, "new"), n_patients=1, seed=1)
new = select_regions(scan(Path(folder.name, "new")), "GTV*")
new = new[new["modality"] == "MR"]
probability = best.predict_proba(new.join(hand_crafted.transform(new)))[0, 1]
print(f"New synthetic patient: probability of class 1 is {probability:.2f}")

print(f"cohort.png, roc.png, code.png and methods.md are in {figures.resolve()}")
folder.cleanup()
sklearn.set_config(enable_metadata_routing=False)

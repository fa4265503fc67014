"""
A VAE in place of PCA: pipeline and grid search
===============================================

A `VAE` is a transformer like any other. Here it stands in a ``Pipeline`` in front of a
classifier. One ``GridSearchCV`` tries its size, the layer to use, PCA in its place, and
raw pixels. The data are the 1797 real images of digits in scikit-learn.
"""

# %%
# One grid for layers, sizes and PCA
# ----------------------------------
#
# ``layer`` is an ordinary parameter. ``mu`` is the mean of the code, ``z`` a draw of
# the code, and ``encoder.4`` the last hidden layer of the encoder, with 128 features.
# With ``memory``, the three layers of one size share one training per fold.

from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from skvae import VAE

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.2, stratify=y, random_state=0
)
cache = TemporaryDirectory()
vae = VAE(memory=cache.name, random_state=0)
pipeline = Pipeline(
    [
        ("scale", MinMaxScaler()),
        ("reduce", vae),
        ("classify", LogisticRegression(max_iter=5000)),
    ]
)
grid = [
    {"reduce": ["passthrough"]},
    {"reduce": [PCA()], "reduce__n_components": [2, 5, 10]},
    {
        "reduce__n_components": [2, 5, 10],
        "reduce__layer": ["mu", "z", "encoder.4"],
    },
]
search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X_train, y_train)
cache.cleanup()

# %%
# Accuracy in cross-validation, a row per size. Compare ``mu`` and ``z`` with PCA: they
# have as many features. ``encoder.4`` always has 128, so compare it with the 64 pixels.

results = pd.DataFrame(search.cv_results_)
raw, results = results["mean_test_score"][0], results[1:]
method = results["param_reduce__layer"].radd("VAE, ").fillna("PCA")
table = results.pivot_table(
    values="mean_test_score",
    index=results["param_reduce__n_components"].astype(int).rename("n_components"),
    columns=method.rename(None),
)
print(table.round(3).to_string())
print(f"raw pixels: {raw:.3f}")
print(f"best: {search.best_params_}")
print(f"test accuracy: {search.score(X_test, y_test):.3f}")

# %%
fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
table.plot(ax=ax, marker="o", xticks=table.index, ylabel="accuracy, 3-fold")
ax.axhline(raw, color="gray", linestyle=":", label="raw pixels")
ax.legend()
ax.grid(alpha=0.3)
ax.set_title("Digits: logistic regression on codes, a hidden layer, pixels")

# %%
# What the code keeps
# -------------------
#
# ``inverse_transform`` decodes a code. PCA and the VAE both keep ten numbers per image.
# The VAE has less than half of the squared error on the 360 test images.

scaler = MinMaxScaler().fit(X_train)
A, B = scaler.transform(X_train), scaler.transform(X_test)
models = {"PCA": PCA(10), "VAE": VAE(n_components=10, random_state=0)}
rows = {"test images": B[:12]}
for name, model in models.items():
    model.fit(A)
    back = model.inverse_transform(model.transform(B))
    error = np.square(back - B).mean()
    rows[f"{name}, 10 components: test MSE {error:.4f}"] = back[:12]

fig = plt.figure(figsize=(8, 2.9), layout="constrained")
for line, (title, images) in zip(fig.subfigures(3), rows.items(), strict=True):
    line.suptitle(title, x=0.01, ha="left", fontsize=9)
    for ax, image in zip(line.subplots(1, 12), images, strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.axis("off")

# %%
# Two components as a map
# -----------------------

flat = VAE(n_components=2, max_iter=200, random_state=0).fit(A)
fig, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for ax, model in zip(axes, (PCA(2).fit(A), flat), strict=True):
    codes = model.transform(B)
    points = ax.scatter(*codes.T, c=y_test, cmap="tab10", s=14, vmin=-0.5, vmax=9.5)
    ax.set(title=type(model).__name__, xlabel="component 0", ylabel="component 1")
fig.colorbar(points, ax=axes, ticks=range(10), label="digit")

# %%
# How the training went
# ---------------------
#
# The history has the terms of the loss, in nats per sample. A likelihood of continuous
# data is a density, so its logarithm may have either sign.

history = pd.DataFrame(models["VAE"].history_).set_index("epoch")
fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
history[["train_loss", "reconstruction_loss", "kl_divergence"]].plot(ax=ax)
ax.grid(alpha=0.3)
ax.set(title="Loss curve", ylabel="nats per sample")

plt.show()

"""
A VAE where PCA stands: pipeline and grid search on digits
==========================================================

A `VAE` is a transformer like any other: it stands in a ``Pipeline`` in front of a
classifier, and ``GridSearchCV`` searches its size, the layer to use, and PCA in its
place, all in one grid.
"""

# %%
# One grid for layers, sizes and PCA
# ----------------------------------
#
# ``layer`` is an ordinary parameter: ``mu`` is the mean of the code, ``encoder.4`` the
# last hidden layer of the encoder. With ``memory``, the three layers of one size share
# one training per fold.

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
    {"reduce": [PCA()], "reduce__n_components": [2, 5, 10]},
    {
        "reduce__n_components": [2, 5, 10],
        "reduce__layer": ["mu", "z", "encoder.4"],
    },
]
search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X_train, y_train)
cache.cleanup()

# %%
# Accuracy in cross-validation, a row per size:

results = pd.DataFrame(search.cv_results_)
method = results["param_reduce__layer"].radd("VAE, ").fillna("PCA")
table = results.pivot_table(
    values="mean_test_score",
    index=results["param_reduce__n_components"].rename("n_components"),
    columns=method.rename(None),
)
print(table.round(3).to_string())
print(f"\nbest: {search.best_params_}")
print(f"test accuracy: {search.score(X_test, y_test):.3f}")

# %%
fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
table.plot(ax=ax, marker="o", xticks=table.index, ylabel="accuracy, 3-fold")
ax.grid(alpha=0.3)
ax.set_title("Digits: logistic regression on the code")

# %%
# What the code keeps
# -------------------
#
# ``inverse_transform`` decodes a code. From as many numbers as PCA the VAE gives the
# digits back with clean strokes and less than half of the squared error.

scaler = MinMaxScaler().fit(X_train)
A, B = scaler.transform(X_train), scaler.transform(X_test)
models = {"PCA": PCA(10), "VAE": VAE(n_components=10, random_state=0)}
rows = {"original": B[:12]}
for name, model in models.items():
    model.fit(A)
    back = model.inverse_transform(model.transform(B))
    rows[f"{name}, MSE {np.square(back - B).mean():.4f}"] = back[:12]

fig, axes = plt.subplots(3, 12, figsize=(8, 2.7), layout="constrained")
for line, (title, images) in zip(axes, rows.items(), strict=True):
    line[0].set_title(title, loc="left", fontsize=9)
    for ax, image in zip(line, images, strict=True):
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

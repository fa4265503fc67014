"""
Fill missing values, and show how uncertain they are
====================================================

The lower half of some digits is missing. An `AutoencoderImputer` fills it by its mean
given the upper half. Its draws show what else could have been there: they vary where
the upper half leaves it open.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skvae import VAE
from skvae.impute import AutoencoderImputer

X = load_digits().images
new = X[1500:1508]
rng = np.random.default_rng(0)
gaps = np.zeros(X[:1500].shape, dtype=bool)
gaps[rng.random(1500) < 0.5, 4:] = True
train = np.where(gaps, np.nan, X[:1500])

vae = VAE(16, max_iter=60, learning_rate=3e-3, random_state=0)
imputer = AutoencoderImputer(vae, random_state=0).fit(train)
halves = new.copy()
halves[:, 4:] = np.nan
draws = imputer.draw(halves, 3)

# %%
rows = {"image": new, "given": halves, "mean": imputer.transform(halves)}
rows |= {f"draw {i + 1}": drawn for i, drawn in enumerate(draws)}
fig, axes = plt.subplots(len(rows), len(new), figsize=(7, 5.4), layout="constrained")
colors = plt.get_cmap("gray").with_extremes(bad="tab:blue")
for row, (name, images) in zip(axes, rows.items(), strict=True):
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for ax, image in zip(row, images, strict=True):
        ax.imshow(image, cmap=colors, vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])

plt.show()

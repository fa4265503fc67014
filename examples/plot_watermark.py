"""
Hide a watermark in an image
============================

A `WatermarkAE` hides four bits in each digit. The marked images look like what an
autoencoder makes of a digit anyhow, and a network reads the marks from them.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skvae import WatermarkAE

X = load_digits().images / 16
marks = np.random.default_rng(0).integers(2, size=(len(X), 2, 2))
train, new = slice(1500), slice(1500, None)
model = WatermarkAE(16, batch_size=32, max_iter=40, random_state=0)
model.fit(X[train], marks[train])
marked = model.embed(X[new], marks[new])
right = (model.predict(marked) == marks[new]).mean()
chance = (model.predict(X[new]) == marks[new]).mean()
print(f"bits read right: {right:.3f} of marked images, {chance:.3f} of unmarked ones")

# %%
# One image with other marks, and what they change.

some = np.array(
    [[[0, 0], [0, 0]], [[1, 0], [0, 0]], [[1, 0], [0, 1]], [[1, 1], [1, 1]]]
)
images = model.embed(np.repeat(X[new][4:5], len(some), axis=0), some)
rows = {
    "mark": (some, "gray", 0, 1),
    "marked image": (images, "gray", 0, 1),
    "minus the first": (images - images[0], "RdBu", -0.2, 0.2),
    "read (probability)": (model.predict_proba(images), "gray", 0, 1),
}
fig, axes = plt.subplots(len(rows), len(some), figsize=(6, 5.6), layout="constrained")
for row, (name, (values, cmap, low, high)) in zip(axes, rows.items(), strict=True):
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for ax, value in zip(row, values, strict=True):
        ax.imshow(value, cmap=cmap, vmin=low, vmax=high)
        ax.set(xticks=[], yticks=[])

plt.show()

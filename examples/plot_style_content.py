"""
Separate the style of an image from its class
=============================================

A `SupervisedAAE` splits an image into its class and a code that holds the rest: slant,
width, thickness of the pen. You can combine the style of one image with any digit.

The example runs on scikit-learn's digits (1797 real images), or on the 10,000 test
images of MNIST if the environment variable ``SKVAE_DATA`` names the folder that holds
them.
"""

import gzip
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from skvae import AAE, SupervisedAAE


def load():
    """Return images and their digits."""
    if "SKVAE_DATA" not in os.environ:
        return load_digits().images / 16, load_digits().target
    folder = Path(os.environ["SKVAE_DATA"], "mnist")
    pixels = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 28, 28)
    return images / 255, np.frombuffer(labels, np.uint8, offset=8)


X, y = load()
settings = {"n_components": 5, "likelihood": "bernoulli", "batch_size": 64}
settings |= {"max_iter": 100, "random_state": 0}
if len(X) > 2000:
    settings |= {"max_iter": 30, "posterior": "gaussian"}
model = SupervisedAAE(**settings).fit(X, y)

# %%
# Each row is one style: the code of the real image on the left. Each column is one
# digit: ``inverse_transform(transform(X), y=digit)``. The images on the left were part
# of the training.

rows = np.random.default_rng(4).choice(len(X), 8, replace=False)
styles = model.transform(X[rows])
fig, axes = plt.subplots(8, 11, figsize=(7.5, 5.8), layout="constrained")
for line, row in zip(axes, rows, strict=True):
    line[0].imshow(X[row], cmap="Blues", vmin=0, vmax=1)
for digit in range(10):
    pictures = model.inverse_transform(styles, y=digit)
    axes[0, digit + 1].set_title(digit)
    for ax, picture in zip(axes[:, digit + 1], pictures, strict=True):
        ax.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
axes[0, 0].set_title("style of")
for ax in axes.flat:
    ax.axis("off")

# %%
# Does the style tell the digit?
# ------------------------------
#
# A linear classifier finds most digits in the code of an `AAE`. In the style of the
# supervised model it is close to guessing (0.10). The scores are accuracies
# in three folds of the images that the models were trained on.

plain = AAE(**settings).fit(X)
for name, fitted in (("AAE", plain), ("SupervisedAAE", model)):
    probe = LogisticRegression(max_iter=5000)
    score = cross_val_score(probe, fitted.transform(X), y, cv=3).mean()
    print(f"{name}: digit read from the code, accuracy {score:.2f}")

plt.show()

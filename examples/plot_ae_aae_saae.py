"""
AE, AAE and supervised AAE: the same digits, three codes
========================================================

The codes of an autoencoder may lie anywhere, so most random codes decode to no digit.
An adversarial autoencoder holds its codes to a prior, so draws from the prior decode to
digits. A supervised one is told the class beside the code, and draws the digit that you
ask for.

The example runs on scikit-learn's digits (1797 real images), or on the 10,000 test
images of MNIST if the environment variable ``SKVAE_DATA`` names the folder that holds
them. One split, one seed.
"""

import gzip
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvae import AAE, AE, SupervisedAAE
from skvae.inspection import prior_distance
from skvae.plot import LossCurveDisplay


def load():
    """Return images and their digits."""
    if "SKVAE_DATA" not in os.environ:
        return load_digits().images / 16, load_digits().target
    folder = Path(os.environ["SKVAE_DATA"], "mnist")
    pixels = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 28, 28)
    return images / 255, np.frombuffer(labels, np.uint8, offset=8)


def show(rows, side=0.75):
    """Draw a row of images per entry."""
    n_columns = len(next(iter(rows.values())))
    size = side * n_columns, (side + 0.15) * len(rows)
    fig, axes = plt.subplots(len(rows), n_columns, figsize=size, layout="constrained")
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        for ax, picture in zip(line, pictures, strict=True):
            ax.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        line[0].set_ylabel(name, fontsize=8)
    return fig


images, labels = load()
X, X_test, y, y_test = train_test_split(
    images, labels, test_size=0.2, stratify=labels, random_state=0
)
settings = {"n_components": 5, "likelihood": "bernoulli", "batch_size": 64}
settings |= {"max_iter": 80 if len(X) < 2000 else 20, "random_state": 0}
models = {
    "AE": AE(**settings).fit(X),
    "AAE": AAE(adversarial_weight=0.5, **settings).fit(X),
    "SupervisedAAE": SupervisedAAE(**settings).fit(X, y),
}

# %%
# One batch of test digits, reconstructed
# ---------------------------------------
#
# All three keep what a digit looks like. The decoder of the supervised one is told
# which digit it is, so its whole code can describe how the digit is written. The MSE
# printed below is that of these 12 images only.

batch, digits = X_test[:12], y_test[:12]
reconstructed = {
    "original": batch,
    "AE": models["AE"].reconstruct(batch),
    "AAE": models["AAE"].reconstruct(batch),
    "SupervisedAAE": models["SupervisedAAE"].reconstruct(batch, digits),
}
show(reconstructed)
for name in list(reconstructed)[1:]:
    error = np.square(reconstructed[name] - batch).mean()
    print(f"{name}: MSE of these {error:.4f}")

# %%
# One set of random codes, decoded by each
# ----------------------------------------
#
# Each model decodes the same draws from N(0, 1). The codes of the autoencoder spread
# much wider, so these draws are not like its codes. The number above each image of the
# supervised model is the digit that it was asked for. The other two models have no
# class to ask for.

Z = np.random.default_rng(0).normal(size=(12, 5))
asked = np.arange(12) % 10
decoded = {
    "AE": models["AE"].inverse_transform(Z),
    "AAE": models["AAE"].inverse_transform(Z),
    "SupervisedAAE": models["SupervisedAAE"].inverse_transform(Z, y=asked),
}
fig = show(decoded)
for ax, digit in zip(fig.axes[-12:], asked, strict=True):
    ax.set_title(digit, fontsize=9)

# %%
# How far are the codes from the prior?
# -------------------------------------
#
# The energy coefficient between the codes of the test images and draws of N(0, 1). It
# is 0 if they have the same distribution. The codes of the autoencoder have no prior.

for name, model in models.items():
    codes = model.extract(X_test, "z")["z"]
    print(f"{name}: standard deviation of the codes {codes.std():.2f}", end="")
    print("" if name == "AE" else f", distance {prior_distance(model, X_test):.4f}")

# %%
# The phases of the training
# --------------------------
#
# The reconstruction loss falls. The losses of discriminator and encoder keep each other
# in balance: a discriminator that can only guess has a loss of 2 log 2 = 1.39 nats.

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
LossCurveDisplay.from_estimator(models["SupervisedAAE"], ax=ax)

plt.show()

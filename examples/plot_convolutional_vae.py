"""
The convolutional VAE of the tutorials
======================================

Two convolutions of stride 2, a code of two numbers, and images of 0 and 1: the whole
plane of codes can be looked at. Here it is trained on scikit-learn's digits; with
``SKVAE_DATA`` in the environment, on MNIST.
"""

import gzip
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.base import clone
from sklearn.datasets import load_digits

from skvae import VAE, Conv
from skvae.plot import LossCurveDisplay


def load():
    """Return images of 0 and 1, and some held-out ones."""
    if "SKVAE_DATA" not in os.environ:
        images = load_digits().images > 7.5
        return images[:1500], images[1500:]
    folder = Path(os.environ["SKVAE_DATA"], "mnist")
    files = ("train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz")
    raw = (gzip.decompress((folder / name).read_bytes()) for name in files)
    pixels = (np.frombuffer(each, np.uint8, offset=16) for each in raw)
    return [each.reshape(-1, 28, 28) > 127.5 for each in pixels]


X, X_test = (images[:, None].astype(np.float32) for images in load())
size = X.shape[-1]
n_epochs = 10 if len(X) > 10_000 else 30
vae = VAE(
    2,
    architecture=Conv((32, 64), dense=256),
    likelihood="bernoulli",
    metrics=["dice"],
    max_iter=n_epochs,
    random_state=0,
).fit(X, X_val=X_test)
print(f"negative ELBO of new images: {-vae.score(X_test):.1f} nats")

# %%
# Each place of the plane is a code; the decoder draws what belongs there. The places
# are quantiles of the prior, so that all parts of the picture are equally probable.

n = 20 if size == 28 else 12
quantiles = norm.ppf((np.arange(n) + 0.5) / n)
plane = np.stack(np.meshgrid(quantiles, quantiles[::-1]), axis=-1).reshape(-1, 2)
tiles = np.pad(vae.inverse_transform(plane)[:, 0], [(0, 0), (1, 1), (1, 1)])
tiles = tiles.reshape(n, n, size + 2, size + 2)
fig, ax = plt.subplots(figsize=(7, 7), layout="constrained")
ax.imshow(np.block([list(row) for row in tiles]), cmap="gray")
ax.set(
    title="What the decoder draws for each code",
    xlabel="first component, quantiles of the prior",
    ylabel="second component",
    xticks=[],
    yticks=[],
)

# %%
# A Bernoulli likelihood gives log-odds (``logits=True``), probabilities, the 0 and 1
# that are more probable (`threshold`), or draws (``noise=True``).

codes = vae.transform(X_test[:6])
rows = {
    "image": X_test[:6],
    "log-odds": vae.inverse_transform(codes, logits=True),
    "probability": vae.inverse_transform(codes),
    "0 and 1": vae.reconstruct(X_test[:6], threshold="otsu"),
    "sample": vae.sample(6),
    "with noise": vae.sample(6, noise=True),
}
fig, axes = plt.subplots(len(rows), 6, figsize=(6, 6.6), layout="constrained")
for row, (name, images) in zip(axes, rows.items(), strict=True):
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for ax, image in zip(row, images, strict=True):
        ax.imshow(image[0], cmap="gray")
        ax.set(xticks=[], yticks=[])

# %%
# The overlap with new images (Dice) was measured after each epoch.

display = LossCurveDisplay.from_estimator(vae)
display.metric_ax_.set_ylim(top=1)

# %%
# The other losses of the tutorials are other likelihoods: "squared_error" (mean squared
# error), "gaussian" (l2, with a learnt scale) and "laplace" (l1). Their errors are of
# different kinds; the share of pixels that are right is not.

right = {}
for likelihood in ("bernoulli", "gaussian", "laplace", "squared_error"):
    beta = 0.1 if likelihood == "squared_error" else 1  # it has a unit, not nats
    options = {"likelihood": likelihood, "beta": beta, "metrics": None}
    model = clone(vae).set_params(**options, max_iter=10)
    X_hat = model.fit(X[:1500]).reconstruct(X_test, threshold=0.5)
    right[likelihood] = (X_hat == X_test).mean()
fig, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
bars = ax.barh(list(right), list(right.values()), color="C0")
ax.bar_label(bars, fmt="%.3f", padding=3)
ax.axvline(max(X.mean(), 1 - X.mean()), color="gray", ls="--")
ax.set(xlabel="share of right pixels of new images (dashed: all black)", xlim=(0.5, 1))

plt.show()

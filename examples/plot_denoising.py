"""
Take the noise out of images
============================

An `AE` that sees noisy images in its training, and has to give back the clean ones,
removes noise from new images: its error is about half of that of PCA, and less than
half of that of a Gaussian filter. The data are scikit-learn's digits (1797 real
images); the noise is added. One split, one seed.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skvae import AE

images = load_digits().images / 16
train, test = train_test_split(images, test_size=0.2, random_state=0)
train, val = train_test_split(train, test_size=0.2, random_state=0)
noise = np.random.default_rng(0).normal(scale=0.3, size=images.shape)
noisy_val, noisy = val + noise[: len(val)], test + noise[-len(test) :]

# %%
# `corruption` is the noise of the training in units of the spread of the data. The
# number of components of PCA, and the width of the filter, are those that are best on
# images held out for that.

spread = (train - train.mean(axis=0)).std()
ae = AE(24, corruption=0.3 / spread, max_iter=100, random_state=0).fit(train)


def by_pca(noisy, n_components):
    """Keep so many components of PCA."""
    pca = PCA(n_components, random_state=0).fit(train.reshape(-1, 64))
    codes = pca.transform(noisy.reshape(-1, 64))
    return pca.inverse_transform(codes).reshape(noisy.shape)


def by_filter(noisy, width):
    """Blur by a Gaussian filter of this width, in pixels."""
    return gaussian_filter(noisy, (0, width, width))


def best(denoise, settings):
    """Denoise the test images with the setting that is best on held-out images."""
    errors = [np.square(denoise(noisy_val, each) - val).mean() for each in settings]
    return denoise(noisy, settings[np.argmin(errors)])


rows = {
    "clean": test,
    "noisy": noisy,
    "Gaussian filter": best(by_filter, [0.3, 0.4, 0.5, 0.6, 0.8]),
    "PCA": best(by_pca, [4, 8, 12, 16, 24, 32]),
    "AE": ae.reconstruct(noisy),
}

# %%
# The number is the mean squared error of all 360 test images.

fig, axes = plt.subplots(len(rows), 10, figsize=(7.5, 4.2), layout="constrained")
for row, (name, shown) in zip(axes, rows.items(), strict=True):
    error = np.square(shown - test).mean()
    label = f"{name}\n{error:.4f}" if error else name
    row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    for ax, image in zip(row, shown, strict=False):
        ax.imshow(image, cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])

plt.show()

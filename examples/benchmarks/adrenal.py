"""AdrenalMNIST3D: logistic regression on latents of a VAE, and on PCA.

Shapes are turned to their principal axes, smoothed and halved in resolution first, for
both. The VAE sees the training images without their labels. The layer is that of the
best area in cross-validation on the training set, the mean over the seeds; so is the
strength of the regression for each. The folder that SKVAE_DATA names holds
``medmnist/adrenalmnist3d.npz``. Usage::

    SKVAE_DATA=... python examples/benchmarks/adrenal.py [n_seeds]
"""

import os
import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAE, Conv


def prepared(images):
    return np.stack([halved(turned(image > 0)) for image in images])


def turned(shape):
    """Move a shape to the centre, its principal axes to those of the grid.

    Each axis points to where the shape has its longer tail.
    """
    voxels = np.argwhere(shape).astype(float)
    centre = voxels.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov((voxels - centre).T))
    axes = axes[:, ::-1]
    skewness = (((voxels - centre) @ axes) ** 3).mean(axis=0)
    axes = axes * np.where(skewness < 0, -1, 1)
    if np.linalg.det(axes) < 0:
        axes[:, 2] *= -1
    middle = (np.array(shape.shape) - 1) / 2
    offset = centre - axes @ middle
    return affine_transform(shape.astype(np.float32), axes, offset=offset, order=1)


def halved(image):
    smooth = gaussian_filter(image, 1.0)
    return smooth.reshape(14, 2, 14, 2, 14, 2).mean(axis=(1, 3, 5)).ravel()


def load():
    path = Path(os.environ["SKVAE_DATA"], "medmnist", "adrenalmnist3d.npz")
    with np.load(path) as data:
        for part in ("train", "test"):
            yield prepared(data[f"{part}_images"])
            yield data[f"{part}_labels"].ravel()


def areas(codes, y, test_codes, y_test):
    """Return the area in cross-validation and that on the test set."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    grid = {"logisticregression__C": np.logspace(-4, 1, 11)}
    search = GridSearchCV(classifier, grid, scoring="roc_auc", cv=5).fit(codes, y)
    return search.best_score_, search.score(test_codes, y_test)


def report(name, found):
    cv, test = np.transpose(found)
    tests = ", ".join(f"{area:.3f}" for area in test)
    print(
        f"{name}: cross-validation {cv.mean():.3f}, test {test.mean():.3f} ({tests})",
        flush=True,
    )


if __name__ == "__main__":
    n_seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    X, y, X_test, y_test = load()
    pca = PCA(32, random_state=0).fit(X)
    report("PCA", [areas(pca.transform(X), y, pca.transform(X_test), y_test)])
    models = [
        VAE(
            32,
            architecture=Conv((16, 32)),
            image_shape=(1, 14, 14, 14),
            max_iter=40,
            random_state=seed,
        ).fit(X)
        for seed in range(n_seeds)
    ]
    for layer in ("mu", ["mu", "logvar"], "encoder"):
        found = []
        for model in models:
            model.set_params(layer=layer)
            codes, test_codes = model.transform(X), model.transform(X_test)
            found.append(areas(codes, y, test_codes, y_test))
        report(f"VAE, {layer}", found)

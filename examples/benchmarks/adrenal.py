"""AdrenalMNIST3D: logistic regression on latents of a VAE, and on PCA.

The folder that SKVAE_DATA names holds ``medmnist/adrenalmnist3d.npz``. Settings are
chosen by the validation set that comes with the data. Usage::

    SKVAE_DATA=... python examples/benchmarks/adrenal.py
"""

import os
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import MLP, VAE, Conv


def load():
    path = Path(os.environ["SKVAE_DATA"], "medmnist", "adrenalmnist3d.npz")
    with np.load(path) as data:
        for part in ("train", "val", "test"):
            images = (data[f"{part}_images"] > 0).astype(np.float32)
            yield images.reshape(len(images), -1)
            yield data[f"{part}_labels"].ravel()


def models():
    for n_components in (8, 16, 32):
        yield f"PCA({n_components})", PCA(n_components, random_state=0)
        for name, architecture in (
            ("mlp", MLP((256, 128))),
            ("conv", Conv((8, 16, 32))),
        ):
            for beta in (1.0, 4.0):
                vae = VAE(
                    n_components,
                    architecture=architecture,
                    image_shape=(1, 28, 28, 28),
                    likelihood="bernoulli",
                    beta=beta,
                    max_iter=30,
                    random_state=0,
                )
                yield f"VAE({n_components}), {name}, beta {beta}", vae


if __name__ == "__main__":
    X, y, X_val, y_val, X_test, y_test = load()
    for name, model in models():
        codes = model.fit(X).transform(X)
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
        classifier.fit(codes, y)
        areas = [
            roc_auc_score(truth, classifier.decision_function(model.transform(part)))
            for part, truth in ((X_val, y_val), (X_test, y_test))
        ]
        print("{}: validation {:.3f}, test {:.3f}".format(name, *areas), flush=True)

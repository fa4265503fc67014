"""Watermarks of 4 x 4 random bits in MNIST. Usage::

    SKVAE_DATA=... python examples/benchmarks/watermarks.py

Trained on the training images for 20 epochs; all figures are of the test images. Each
model was trained for pixel noise of a standard deviation (images are in [0, 1]), and is
tried without noise and with noise of .1. Noise and weights were chosen on the last
10,000 training images.
"""

import numpy as np
from mnist import load

from skvae import AE, MLP, WatermarkAE


def error(images, clean):
    return np.square(images - clean).mean()


if __name__ == "__main__":
    (X, _), (X_test, _) = load("train"), load("t10k")
    rng = np.random.default_rng(0)
    y, y_test = (rng.integers(2, size=(len(part), 4, 4)) for part in (X, X_test))
    noise = rng.normal(scale=0.1, size=X_test.shape)
    spread = (X - X.mean(axis=0)).std()
    options = {"architecture": MLP((400,)), "max_iter": 20, "random_state": 0}
    plain = error(AE(20, **options).fit(X).reconstruct(X_test), X_test)
    for trained_for, weight in {0: 10, 0.05: 10, 0.1: 30}.items():
        channel = trained_for / spread or None
        model = WatermarkAE(20, mark_weight=weight, channel=channel, **options)
        model.fit(X, y)
        marked = model.embed(X_test, y_test)
        wrong = (model.predict(marked) != y_test).mean()
        noisy = (model.predict(marked + noise) != y_test).mean()
        unmarked = (model.predict(X_test) != y_test).mean()
        ratio = error(marked, X_test) / plain
        print(
            f"trained for noise {trained_for}: error of images {ratio:.3f} of that "
            f"without marks; wrong bits {wrong:.5f}, with noise {noisy:.5f}, without "
            f"a mark {unmarked:.3f}",
            flush=True,
        )

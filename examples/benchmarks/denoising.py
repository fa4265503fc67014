"""Noise taken out of MNIST, next to a Wiener filter. Usage::

    SKVAE_DATA=... python examples/benchmarks/denoising.py [held_back]

An `AE` is trained on the training images for 20 epochs, with Gaussian noise as its
corruption, and reconstructs noisy test images. With "held_back" the last 10,000
training images stand for the test images. The peak signal-to-noise ratio is that of the
mean squared error of all pixels, in decibels; the filter has the better of windows of 3
and 5 pixels.
"""

import sys

import numpy as np
from mnist import load
from scipy.signal import wiener

from skvae import AE


def psnr(images, clean):
    return -10 * np.log10(np.square(images - clean).mean())


def filtered(images, size):
    return np.stack([wiener(image, size) for image in images])


if __name__ == "__main__":
    (X, _), (X_test, _) = load("train"), load("t10k")
    if "held_back" in sys.argv:
        X, X_test = X[:50_000], X[50_000:]
    spread = (X - X.mean(axis=0)).std()
    for scale in (0.5, 0.25):
        noise = np.random.default_rng(0).normal(scale=scale, size=X_test.shape)
        noisy = X_test + noise
        ae = AE(64, corruption=scale / spread, max_iter=20, random_state=0).fit(X)
        images = noisy.reshape(-1, 28, 28)
        of_filter = max(
            psnr(filtered(images, size).reshape(X_test.shape), X_test)
            for size in (3, 5)
        )
        print(
            f"noise {scale}: noisy {psnr(noisy, X_test):.2f}, Wiener {of_filter:.2f}, "
            f"AE {psnr(ae.reconstruct(noisy), X_test):.2f} dB",
            flush=True,
        )

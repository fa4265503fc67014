"""Noise taken out of MNIST, next to a Wiener filter. Usage::

    SKVAE_DATA=... python examples/benchmarks/denoising.py [held_back]

An `AE` of convolutions is trained on the training images for 20 epochs, with Gaussian
noise as its corruption, and reconstructs noisy test images. With "held_back" the last
10,000 training images stand for the test images. The filter is the linear one of least
error, from mean and covariance of the training images. All outputs are cut to [0, 1].
The peak signal-to-noise ratio is that of the mean squared error of all pixels, in
decibels.
"""

import sys

import numpy as np
from mnist import load

from skvae import AE, Conv


def psnr(images, clean):
    return -10 * np.log10(np.square(np.clip(images, 0, 1) - clean).mean())


def wiener(X, noisy, scale):
    mean, covariance = X.mean(axis=0), np.cov(X.T)
    gain = np.linalg.solve(covariance + scale**2 * np.eye(len(mean)), covariance)
    return mean + (noisy - mean) @ gain


if __name__ == "__main__":
    (X, _), (X_test, _) = load("train"), load("t10k")
    if "held_back" in sys.argv:
        X, X_test = X[:50_000], X[50_000:]
    spread = (X - X.mean(axis=0)).std()
    for scale in (0.5, 0.25):
        noise = np.random.default_rng(0).normal(scale=scale, size=X_test.shape)
        noisy = X_test + noise
        ae = AE(
            256,
            architecture=Conv((32, 64), dense=None),
            image_shape=(28, 28),
            likelihood="bernoulli",
            corruption=scale / spread,
            max_iter=20,
            random_state=0,
        ).fit(X)
        ways = {
            "noisy": noisy,
            "Wiener": wiener(X, noisy, scale),
            "AE": ae.reconstruct(noisy),
        }
        figures = (f"{way} {psnr(images, X_test):.2f}" for way, images in ways.items())
        print(f"noise {scale}:", *figures, "dB", flush=True)

"""Time `fit` and `transform` against bare torch, interleaved, as ratios of medians.

The bare loop does the same work in memory: the same networks and loss, a permutation
per epoch, ``torch.optim.Adam`` with its defaults. Usage::

    python examples/benchmarks/speed.py [n_repeats]
"""

import sys
import time
from statistics import median

import numpy as np
import torch
from sklearn.datasets import load_digits

from skvae import AAE, MLP, VAE


def networks(model, *names):
    """Take what a fitted model consists of, with new weights."""
    parts = [model.module_.get_submodule(name) for name in names]
    for part in parts:
        for layer in part.modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    return parts


def bare_loss(x, encoder, mu_head, logvar_head, decoder, log_scale):
    hidden = encoder(x)
    mu, logvar = mu_head(hidden), logvar_head(hidden)
    z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / len(x)
    if log_scale is None:
        p = torch.sigmoid(decoder(z))
        return kl + torch.nn.functional.binary_cross_entropy(
            p, x, reduction="sum"
        ) / len(x)
    error = (x - decoder(z)).square().sum() / len(x)
    n_features = x.shape[1]
    log_scale = 10 * log_scale
    return kl + 0.5 * error * torch.exp(-2 * log_scale) + n_features * log_scale


def bare_fit(X, parts, gaussian, epochs, batch_size=128):
    X = torch.from_numpy(X)
    log_scale = torch.nn.Parameter(torch.zeros(())) if gaussian else None
    if gaussian:
        mean = X.mean(0)
        X = (X - mean) / (X - mean).std()
    parameters = [p for part in parts for p in part.parameters()]
    optimizer = torch.optim.Adam(
        [*parameters, log_scale] if gaussian else parameters, lr=1e-3
    )
    for _ in range(epochs):
        order = torch.randperm(len(X))
        for start in range(0, len(X), batch_size):
            optimizer.zero_grad()
            loss = bare_loss(X[order[start : start + batch_size]], *parts, log_scale)
            loss.backward()
            optimizer.step()


def bare_fit_aae(X, encoder, mu_head, decoder, discriminator, gaussian, epochs):
    """Train by the three updates of an adversarial autoencoder."""
    X = torch.from_numpy(X)
    log_scale = torch.nn.Parameter(torch.zeros(()))
    if gaussian:
        mean = X.mean(0)
        X = (X - mean) / (X - mean).std()
    inference = [*encoder.parameters(), *mu_head.parameters()]
    reconstruction = torch.optim.Adam(
        [*inference, *decoder.parameters(), log_scale], lr=1e-3
    )
    judging = torch.optim.Adam(discriminator.parameters(), lr=2.5e-4)
    deceiving = torch.optim.Adam(inference, lr=2.5e-4)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    for _ in range(epochs):
        order = torch.randperm(len(X))
        for start in range(0, len(X), 128):
            x = X[order[start : start + 128]]
            ones, zeros = torch.ones(len(x), 1), torch.zeros(len(x), 1)

            reconstruction.zero_grad()
            raw = decoder(mu_head(encoder(x)))
            if gaussian:
                error = (x - raw).square().sum() / len(x)
                loss = 0.5 * error * torch.exp(-20 * log_scale)
                loss = loss + x.shape[1] * 10 * log_scale
            else:
                loss = entropy(raw, x, reduction="sum") / len(x)
            loss.backward()
            reconstruction.step()

            judging.zero_grad()
            with torch.no_grad():
                fake = mu_head(encoder(x))
            loss = entropy(discriminator(torch.randn_like(fake)), ones)
            loss = loss + entropy(discriminator(fake), zeros)
            loss.backward()
            judging.step()

            deceiving.zero_grad()
            entropy(discriminator(mu_head(encoder(x))), ones).backward()
            deceiving.step()


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compare(name, ours, theirs, repeats):
    """Print the ratio of the medians of two functions that are timed in turn."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(repeats + 1)][1:]
    a, b = (median(times) for times in zip(*pairs, strict=True))
    ratios = sorted(x / y for x, y in pairs)
    print(
        f"{name:42s} {a:7.3f} s / {b:7.3f} s = {a / b:.3f}"
        f"   (pairs {ratios[0]:.3f} to {ratios[-1]:.3f})",
        flush=True,
    )


def compare_fits(name, X, epochs, repeats, **parameters):
    vae = VAE(max_iter=epochs, device="cpu", random_state=0, **parameters).fit(X)
    parts = networks(vae, "encoder", "mu", "logvar", "decoder")
    gaussian = vae.likelihood == "gaussian"
    compare(
        f"fit, {name}",
        lambda: vae.fit(X),
        lambda: bare_fit(X, parts, gaussian, epochs),
        repeats,
    )


def compare_aae_fits(name, X, epochs, repeats, **parameters):
    aae = AAE(max_iter=epochs, device="cpu", random_state=0, **parameters).fit(X)
    parts = networks(aae, "encoder", "mu", "decoder", "discriminator.network")
    gaussian = aae.likelihood == "gaussian"
    compare(
        f"fit, AAE, {name}",
        lambda: aae.fit(X),
        lambda: bare_fit_aae(X, *parts, gaussian, epochs),
        repeats,
    )


def compare_transforms(name, X, batch_size, repeats, **parameters):
    vae = VAE(max_iter=1, device="cpu", random_state=0, **parameters).fit(X[:128])
    module = vae.module_
    samples = torch.from_numpy(X)

    def bare():
        with torch.inference_mode():
            batches = samples.split(batch_size)
            return torch.cat([module.mu(module.encoder(b)) for b in batches]).numpy()

    compare(f"transform, {name}", lambda: vae.transform(X), bare, repeats)


if __name__ == "__main__":
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    digits = (load_digits().data / 16).astype(np.float32)
    rng = np.random.default_rng(0)
    waves = rng.random((20000, 8)) @ rng.normal(size=(8, 784))
    wide = (0.5 + 0.5 * np.sin(waves)).astype(np.float32)
    images = wide.reshape(-1, 28, 28)
    classic = MLP(hidden_layer_sizes=(400,), activation="relu")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    compare_fits("digits, defaults, 20 epochs", digits, 20, repeats)
    compare_fits(
        "digits, Bernoulli, 20 epochs", digits, 20, repeats, likelihood="bernoulli"
    )
    compare_fits(
        "20000 x 784, 784-400-20, 3 epochs",
        wide,
        3,
        repeats,
        n_components=20,
        architecture=classic,
        likelihood="bernoulli",
    )
    compare_aae_fits("digits, defaults, 20 epochs", digits, 20, repeats)
    compare_aae_fits(
        "20000 x 784, 784-400-20, 3 epochs",
        wide,
        3,
        repeats,
        n_components=20,
        architecture=classic,
        likelihood="bernoulli",
    )
    compare_transforms(
        "20000 x 784, MLP",
        wide,
        1024,
        repeats,
        n_components=20,
        architecture=classic,
        likelihood="bernoulli",
    )
    compare_transforms(
        "4000 x 28 x 28, Conv",
        images[:4000],
        128,
        repeats,
        architecture="conv",
        likelihood="bernoulli",
    )

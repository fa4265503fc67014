"""Peak memory that `fit` and `transform` add to 60000 x 784 float32 data.

Each runs in a process of its own, next to a bare torch loop of the same work. Usage::

    python examples/benchmarks/memory.py
"""

import resource
import subprocess
import sys

import numpy as np


def make_data():
    rng = np.random.default_rng(0)
    X = rng.random((60000, 784), dtype=np.float32)
    X *= rng.random((60000, 1), dtype=np.float32)
    return X


def ours(X):
    from skvae import MLP, VAE

    vae = VAE(
        n_components=20,
        architecture=MLP(hidden_layer_sizes=(400,), activation="relu"),
        likelihood="bernoulli",
        max_iter=2,
        random_state=0,
    )
    return vae.fit(X).transform(X)


def bare(X):
    import torch
    from speed import bare_fit

    def linear(n_in, n_out):
        return torch.nn.Linear(n_in, n_out)

    encoder = torch.nn.Sequential(linear(784, 400), torch.nn.ReLU())
    decoder = torch.nn.Sequential(linear(20, 400), torch.nn.ReLU(), linear(400, 784))
    parts = [encoder, linear(400, 20), linear(400, 20), decoder]
    bare_fit(X, parts, gaussian=False, epochs=2)
    with torch.inference_mode():
        batches = torch.from_numpy(X).split(1024)
        return torch.cat([parts[1](encoder(batch)) for batch in batches]).numpy()


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    if len(sys.argv) > 1:
        # Libraries and what torch sets up at its first work are not the model's.
        import torch

        import skvae._engine.net  # noqa: F401

        function = {"ours": ours, "bare": bare}[sys.argv[1]]
        torch.nn.Linear(8, 8)(torch.zeros(8, 8)).sum().backward()
        X = make_data()
        before = peak()
        function(X)
        print(f"{(peak() - before) / X.nbytes:.2f}")
    else:
        for name in ("ours", "bare"):
            ratios = [
                subprocess.run(
                    [sys.executable, __file__, name],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout.strip()
                for _ in range(3)
            ]
            print(f"{name}: peak memory added, in units of the data: {ratios}")

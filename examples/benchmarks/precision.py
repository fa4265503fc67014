"""Training in bfloat16, on a processor that multiplies in it. Usage::

    SKVAE_DATA=... python examples/benchmarks/precision.py [mnist] [accuracy] [ct]

"mnist": `fit` of a 784-400-20 VAE in both precisions, next to a bare loop in single
precision, timed in turn. "accuracy": five nearest neighbours on its latents of MNIST,
three seeds. "ct": seconds per step of the network of ``ct3d.py`` on one CT series.
"""

import sys
import time
from statistics import median

import torch
from ct3d import N_STEPS, architecture, bare, read
from mnist import load
from sklearn.neighbors import KNeighborsClassifier
from skorch.callbacks import Callback
from speed import bare_fit, networks, seconds

from skvae import AE, MLP, VAE

PRECISIONS = "float32", "bfloat16"


def vae(precision, **options):
    """Return the VAE of PyTorch's examples."""
    return VAE(
        20,
        architecture=MLP((400,), activation="relu"),
        likelihood="bernoulli",
        precision=precision,
        **options,
    )


def mnist():
    X, _ = load("train")
    X = X[:20_000]
    models = {name: vae(name, max_iter=1, random_state=0).fit(X) for name in PRECISIONS}
    parts = networks(models["float32"], "encoder", "mu", "logvar", "decoder")
    times = {"bare loop": [], **{name: [] for name in models}}
    for _ in range(7):
        times["bare loop"].append(seconds(lambda: bare_fit(X, parts, False, 1)))
        for name, model in models.items():
            times[name].append(seconds(lambda model=model: model.fit(X)))
    base = median(times["bare loop"])
    for name, values in times.items():
        print(f"{name}: {median(values):.2f} s per epoch, {median(values) / base:.2f}")


def accuracy():
    X, y = load("train")
    X_test, y_test = load("t10k")
    for seed in range(3):
        found = []
        for name in PRECISIONS:
            model = vae(name, max_iter=10, random_state=seed).fit(X)
            neighbours = KNeighborsClassifier(5).fit(model.transform(X), y)
            found.append(neighbours.score(model.transform(X_test), y_test))
        print(
            "seed {}: {} {:.4f}, {} {:.4f}".format(
                seed, *sum(zip(PRECISIONS, found, strict=True), ())
            )
        )


class Clock(Callback):
    """Measures each step."""

    def initialize(self):
        self.times = []
        return self

    def on_batch_begin(self, net, **kwargs):
        self.times.append(time.perf_counter())

    def on_batch_end(self, net, **kwargs):
        self.times[-1] = time.perf_counter() - self.times[-1]


def ct():
    X = read()
    base = median(bare(X, 1))
    print(f"bare loop: {base:.2f} s per step")
    for name in PRECISIONS:
        options = {"likelihood": "bernoulli", "batch_size": 1, "max_iter": N_STEPS}
        options |= {"architecture": architecture(), "callbacks": [Clock()]}
        model = AE(32, precision=name, random_state=0, **options).fit(X)
        step = median(dict(model.callbacks_)["Clock"].times)
        print(f"{name}: {step:.2f} s per step, {step / base:.2f}")


if __name__ == "__main__":
    print(
        f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"
    )
    parts = {"mnist": mnist, "accuracy": accuracy, "ct": ct}
    for name in sys.argv[1:] or parts:
        parts[name]()

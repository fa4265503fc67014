"""Training from a file, next to training from memory: time, and memory taken. Usage::

    python examples/benchmarks/larger_than_memory.py 2 8   # GB of the files

Synthetic rows of 100 features in single precision, written to a temporary folder
(TMPDIR says where). Each fit is one epoch and runs in a process of its own. Before it,
the pages of the file are dropped from the cache of the operating system. Memory is the
most that the process takes for itself, beyond what it takes after a first small fit.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

N_FEATURES = 100


def write(path, n_rows):
    X = np.lib.format.open_memmap(path, "w+", "f4", (n_rows, N_FEATURES))
    for start in range(0, n_rows, 100_000):
        rng = np.random.default_rng(start)
        factors = rng.normal(size=(len(X[start : start + 100_000]), 8))
        loadings = np.random.default_rng(0).normal(size=(8, N_FEATURES))
        X[start : start + 100_000] = factors @ loadings
    X.flush()


def own_memory():
    """Return what the process takes for itself, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024


def measure(path, way):
    """Fit and transform; return seconds and MB."""
    from skvae import MLP, VAE

    def vae():
        options = {"max_iter": 1, "batch_size": 1024, "random_state": 0}
        return VAE(8, architecture=MLP((64,)), **options)

    vae().fit(np.random.default_rng(0).normal(size=(5000, N_FEATURES)))
    before, most, done = own_memory(), [0.0], threading.Event()

    def watch():
        while not done.wait(0.02):
            most[0] = max(most[0], own_memory())

    threading.Thread(target=watch, daemon=True).start()
    X = np.load(path) if way == "memory" else np.load(path, mmap_mode="r")
    start = time.perf_counter()
    model = vae().fit(X)
    middle = time.perf_counter()
    shape = len(X), model.n_components
    out = np.lib.format.open_memmap(Path(path).with_name("Z.npy"), "w+", "f4", shape)
    model.transform(X, out=out if way == "file" else None)
    end = time.perf_counter()
    done.set()
    print(json.dumps([middle - start, end - middle, most[0] - before]))


if __name__ == "__main__":
    if "--measure" in sys.argv:
        measure(*sys.argv[2:])
        sys.exit()
    with TemporaryDirectory() as folder:
        for size in map(float, sys.argv[1:] or ["2"]):
            path = Path(folder, "X.npy")
            write(path, int(size * 1e9 / 4 / N_FEATURES))
            for way in ("memory", "file") * 3 if size < 4 else ("file",):
                with path.open() as file:
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                command = [sys.executable, __file__, "--measure", str(path), way]
                out = subprocess.run(
                    command, capture_output=True, text=True, check=True
                )
                fit, transform, extra = json.loads(out.stdout)
                print(
                    f"{size:g} GB from {way}: fit {fit:.1f} s, transform "
                    f"{transform:.1f} s, {extra:.0f} MB",
                    flush=True,
                )

"""Time fits alone and beside processes that take the cores. Usage::

    python examples/benchmarks/threads.py [n_repeats]

Each fit is timed twice in turn: as it is, with torch's threads chosen by the work of a
step, and with the threads left alone. Then both are timed again while two other
processes spin, which this script starts and ends. Figures are medians of the repeats.
"""

import subprocess
import sys
import time
from contextlib import contextmanager
from statistics import median
from unittest.mock import patch

import numpy as np
import torch
from sklearn.datasets import load_digits

from skvae import AAE, MLP, VAE
from skvae._engine import threads

# Until the parent is gone, so that none stays behind if the parent is killed.
SPIN = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


@contextmanager
def spinning(n_processes):
    """Keep that many processes busy."""
    command = [sys.executable, "-c", SPIN]
    processes = [subprocess.Popen(command) for _ in range(n_processes)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def time_both(function, repeats):
    """Return the medians with chosen threads and with threads left alone."""
    chosen, left = [], []
    for _ in range(repeats):
        chosen.append(seconds(function))
        with patch.object(threads, "_ENOUGH", 0):
            left.append(seconds(function))
    return median(chosen), median(left)


def compare(name, function, repeats):
    time_both(function, 1)
    chosen, left = time_both(function, repeats)
    with spinning(2):
        chosen_beside, left_beside = time_both(function, repeats)
    print(
        f"{name:34s} alone {chosen:6.3f} s, to threads left alone {chosen / left:5.2f}"
        f" | beside two: {chosen_beside / chosen:5.2f} times that"
        f", left alone {left_beside / left:5.2f} times",
        flush=True,
    )


if __name__ == "__main__":
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    digits = (load_digits().data / 16).astype(np.float32)
    wide = np.random.default_rng(0).random((2560, 784), dtype=np.float32)
    classic = MLP(hidden_layer_sizes=(400,))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    vae = VAE(max_iter=10, device="cpu", random_state=0)
    aae = AAE(max_iter=5, device="cpu", random_state=0)
    large = VAE(20, architecture=classic, max_iter=2, device="cpu", random_state=0)
    fitted = VAE(max_iter=10, device="cpu", random_state=0).fit(digits)
    compare("fit, VAE, digits", lambda: vae.fit(digits), repeats)
    compare("fit, AAE, digits", lambda: aae.fit(digits), repeats)
    compare("fit, VAE, 784-400-20", lambda: large.fit(wide), repeats)
    compare("transform, VAE, digits", lambda: fitted.transform(digits), 4 * repeats)

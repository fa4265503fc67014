"""A 3-d network on a real CT series at 1 x 32 x 256 x 256: time and peak memory.

Each batch size runs in a process of its own, next to a bare torch step of the same
network. The folder that SKVAE_DATA names holds ``dicom_series``. Usage::

    SKVAE_DATA=... python examples/benchmarks/ct3d.py
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from statistics import median

import numpy as np

N_STEPS = 6
SHAPE = (32, 256, 256)


def architecture():
    from skvae import Conv

    return Conv(
        channels=(16, 32, 64, 32, 16),
        kernel_size=2,
        downsample="max_pool",
        dense=256,
        activation="relu",
    )


def read():
    """Read abdominal CT, 30 slices of 512 x 512, onto the grid of the network."""
    from skvae.dicom import VolumeLoader

    with tempfile.TemporaryDirectory() as folder:
        series = Path(os.environ["SKVAE_DATA"], "dicom_series", "crlm_ct_1004.zip")
        zipfile.ZipFile(series).extractall(folder)
        loader = VolumeLoader(
            spacing=(5, 1.6, 1.6),
            shape=SHAPE,
            crop="center",
            window="soft_tissue",
            normalize="window",
        )
        return loader.transform([folder])


def ours(X, batch_size):
    """Train for some steps; return seconds of each."""
    from skorch.callbacks import Callback

    from skvae import AE

    class Clock(Callback):
        times = []

        def on_batch_begin(self, net, **kwargs):
            self.times.append(time.perf_counter())

        def on_batch_end(self, net, **kwargs):
            self.times[-1] = time.perf_counter() - self.times[-1]

    AE(
        32,
        architecture=architecture(),
        likelihood="bernoulli",
        batch_size=batch_size,
        max_iter=N_STEPS,
        callbacks=[Clock()],
        random_state=0,
    ).fit(X)
    return Clock.times


def bare(X, batch_size):
    import torch

    torch.manual_seed(0)
    shape = X.shape[1:]
    networks = architecture().encoder(shape), torch.nn.Linear(256, 32)
    network = torch.nn.Sequential(*networks, architecture().decoder(32, shape))
    optimizer = torch.optim.Adam(network.parameters())
    data, times = torch.from_numpy(X), []
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    for _ in range(N_STEPS):
        start = time.perf_counter()
        batch = data[:batch_size]
        optimizer.zero_grad()
        loss = entropy(network(batch), batch, reduction="sum") / len(batch)
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return times


def measure(name, batch_size):
    """Print megabytes beyond data and libraries, and seconds per step."""
    import torch

    import skvae._engine.net  # noqa: F401

    torch.nn.Linear(2, 2)(torch.zeros(1, 2)).sum().backward()
    X = np.repeat(read(), batch_size, axis=0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = {"ours": ours, "bare": bare}[name](X, batch_size)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print((after - before) / 1024, median(times))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], int(sys.argv[2]))
        sys.exit()
    for batch_size in (1, 2, 4):
        figures = {}
        for name in ("ours", "bare"):
            command = [sys.executable, __file__, name, str(batch_size)]
            out = subprocess.run(command, capture_output=True, text=True, check=True)
            figures[name] = np.array(out.stdout.split(), dtype=float)
        memory, seconds = figures["ours"]
        ratios = figures["ours"] / figures["bare"]
        print(
            f"batch {batch_size}: {memory:.0f} MB, {ratios[0]:.2f} of bare torch's; "
            f"{seconds:.2f} s per step, {ratios[1]:.2f} of bare torch's",
            flush=True,
        )

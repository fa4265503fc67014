"""Volumes that don't fit: peak memory and time of training from the cache. Usage::

    python examples/benchmarks/larger_volumes.py n_cases small|large

Synthetic CT series of 1 x 32 x 256 x 256, written to a temporary folder (TMPDIR says
where), train a network for one epoch in batches of four: a small one, or that of
``ct3d.py``, which takes several seconds per case.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np


def write_cases(folder, n_cases):
    from skvae.datasets import write_dicom_series

    affine = np.diag([5.0, 1.6, 1.6, 1])[[2, 1, 0, 3]]
    for i in range(n_cases):
        rng = np.random.default_rng(i)
        coarse = rng.normal(size=(4, 8, 8)).repeat(8, 0).repeat(32, 1).repeat(32, 2)
        array = (100 * coarse).astype(np.int16)
        options = {"modality": "CT", "RescaleIntercept": 0}
        write_dicom_series(Path(folder, f"{i:04d}"), array, affine, **options)


def measure(folder, n_cases, size):
    """Load all cases into the cache, train on them, and print what it took."""
    from ct3d import SHAPE, architecture

    from skvae import AE, Conv
    from skvae.dicom import VolumeLoader

    loader = VolumeLoader(
        shape=SHAPE,
        crop="center",
        window="soft_tissue",
        normalize="window",
        cache=Path(folder, "cache"),
        lazy=True,
        n_jobs=2,
    )
    start = time.perf_counter()
    cases = [Path(folder, "dicom", f"{i:04d}") for i in range(n_cases)]
    images = loader.transform(cases)
    loaded = time.perf_counter()
    networks = architecture() if size == "large" else Conv((4, 8, 16, 16), dense=64)
    ae = AE(10, architecture=networks, batch_size=4, max_iter=1, random_state=0)
    ae.fit(images)
    fitted = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([loaded - start, fitted - loaded, peak]))


if __name__ == "__main__":
    if "--measure" in sys.argv:
        measure(sys.argv[2], int(sys.argv[3]), sys.argv[4])
        sys.exit()
    n_cases, size = int(sys.argv[1]), sys.argv[2]
    with TemporaryDirectory() as folder:
        write_cases(Path(folder, "dicom"), n_cases)
        command = [sys.executable, __file__, "--measure", folder, *sys.argv[1:]]
        out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        loading, training, peak = json.loads(out.stdout)
        print(
            f"{size} network, {n_cases} cases: to the cache {loading:.0f} s, one epoch "
            f"{training:.0f} s, peak memory {peak:.0f} MiB"
        )

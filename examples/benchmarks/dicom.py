"""Rates of reading DICOM: headers of small files, whole series next to pydicom, and
cases by `VolumeLoader`, from its cache and in two processes.

Usage::

    SKVAE_DATA=... python examples/benchmarks/dicom.py [n_repeats]
"""

import os
import shutil
import sys
import tempfile
import time
import zipfile
from functools import partial
from operator import truediv
from pathlib import Path
from statistics import median

import numpy as np
import pydicom
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from skvae.datasets import write_dicom_series
from skvae.dicom import VolumeLoader, load_series, scan


def seconds(job):
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def rate_of_scan(root, n_repeats):
    """Files per second of one core, headers of 5000 small files."""
    array = np.zeros((50, 16, 16), np.int16)
    for number in range(100):
        write_dicom_series(root / f"{number}", array, np.eye(4)[[2, 1, 0, 3]])
    times = [seconds(lambda: scan(root)) for _ in range(n_repeats)]
    print(f"scan: {5000 / median(times):.0f} files per second and core")


def bare(paths):
    return np.stack([pydicom.dcmread(path).pixel_array for path in paths])


def compress(folder, syntax):
    for path in folder.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            dataset.decompress()
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(path)


def ratio_of_reading(folder, n_repeats, encoding):
    """A series of 512 x 512 slices, next to pydicom decoding the same pixels."""
    paths = sorted(folder.rglob("*.dcm"))
    ours, theirs = [], []
    for _ in range(n_repeats):
        ours.append(seconds(lambda: load_series(folder)))
        theirs.append(seconds(lambda: bare(paths)))
    print(
        f"load_series, {encoding}: {median(map(truediv, ours, theirs)):.2f} of "
        f"pydicom's time, {len(paths)} slices in {median(ours):.3f} s"
    )


def gain_of_cache(series, n_repeats):
    """The first call of a loader, which makes the entries, next to the second."""
    for name, settings in LOADERS.items():
        first, second = [], []
        for _ in range(n_repeats):
            with tempfile.TemporaryDirectory() as cache:
                loader = VolumeLoader(cache=cache, **settings)
                call = partial(loader.transform, scan(series, progress=False))
                first.append(seconds(call))
                second.append(seconds(call))
        print(
            f"cache, {name}: first call {median(map(truediv, first, second)):.0f} "
            f"times as long as the second of {1000 * median(second):.1f} ms"
        )


def gain_of_two_processes(folder, series, n_repeats):
    """Copies of a series, by one process and by two that run already."""
    for n in range(20):
        shutil.copytree(series, folder / str(n))
    copies = scan(folder, progress=False)
    for name, settings in LOADERS.items():
        calls = [
            partial(VolumeLoader(n_jobs=n, **settings).transform, copies)
            for n in (1, 2)
        ]
        calls[1]()
        times = [list(map(seconds, calls)) for _ in range(n_repeats)]
        print(
            f"n_jobs=2, {name}: {median(one / two for one, two in times):.2f} times as "
            f"fast as one process in {median(one for one, _ in times):.2f} s, 20 "
            f"series, load average {os.getloadavg()[0]:.1f}"
        )


LOADERS = {
    "whole volumes": {},
    "resampled": {"spacing": 2, "shape": (32, 96, 96), "crop": "center"},
}


if __name__ == "__main__":
    n_repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with tempfile.TemporaryDirectory() as folder:
        rate_of_scan(Path(folder), n_repeats)
    with tempfile.TemporaryDirectory() as folder:
        series = Path(os.environ["SKVAE_DATA"], "dicom_series", "crlm_ct_1004.zip")
        zipfile.ZipFile(series).extractall(folder)
        ratio_of_reading(Path(folder), n_repeats, "uncompressed")
        gain_of_cache(Path(folder), n_repeats)
        with tempfile.TemporaryDirectory() as copies:
            gain_of_two_processes(Path(copies), Path(folder), n_repeats)
        for syntax in (JPEG2000Lossless, JPEGLSLossless, RLELossless):
            compress(Path(folder), syntax)
            ratio_of_reading(Path(folder), n_repeats, syntax.name)

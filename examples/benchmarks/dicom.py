"""Rates of reading DICOM: headers of small files, and whole series next to pydicom.

Usage::

    SKVAE_DATA=... python examples/benchmarks/dicom.py [n_repeats]
"""

import os
import sys
import tempfile
import time
import zipfile
from operator import truediv
from pathlib import Path
from statistics import median

import numpy as np
import pydicom
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from skvae.datasets import write_dicom_series
from skvae.dicom import load_series, scan


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


if __name__ == "__main__":
    n_repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with tempfile.TemporaryDirectory() as folder:
        rate_of_scan(Path(folder), n_repeats)
    with tempfile.TemporaryDirectory() as folder:
        series = Path(os.environ["SKVAE_DATA"], "dicom_series", "crlm_ct_1004.zip")
        zipfile.ZipFile(series).extractall(folder)
        ratio_of_reading(Path(folder), n_repeats, "uncompressed")
        for syntax in (JPEG2000Lossless, JPEGLSLossless, RLELossless):
            compress(Path(folder), syntax)
            ratio_of_reading(Path(folder), n_repeats, syntax.name)

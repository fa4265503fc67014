import os

# Before scipy and torch are imported: without the first, scikit-learn skips a check;
# the second leaves the cores to the test workers.
os.environ["SCIPY_ARRAY_API"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits


@pytest.fixture(scope="session")
def digits():
    """Images of shape (300, 8, 8) in [0, 1], and their labels."""
    data = load_digits()
    return (data.images[:300] / 16).astype(np.float32), data.target[:300]


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data that SKVAE_DATA names."""
    folder = os.environ.get("SKVAE_DATA")
    if not folder:
        pytest.skip("SKVAE_DATA names no folder of real data")
    return Path(folder)

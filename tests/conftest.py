import os

# Before scipy and torch are imported: without the first, scikit-learn skips a check;
# the second leaves the cores to the test workers.
os.environ["SCIPY_ARRAY_API"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_digits

# Examples that show scores, which hang on how the installed scikit-learn splits.
WITH_SCORES = (
    "skvae.model_selection.evaluate",
    "skvae.plot._evaluation.CalibrationBandDisplay",
    "howto_tuning.rst",
)


def pytest_collection_modifyitems(items):
    old = pytest.mark.skip(reason="scikit-learn < 1.8 splits in another way")
    if tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 8):
        for item in items:
            if item.name in WITH_SCORES:
                item.add_marker(old)


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

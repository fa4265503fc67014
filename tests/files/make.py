"""Write a small file per estimator for the current version. Usage::

    python tests/files/make.py

Run it once per release. Later versions must open these files to equal outputs.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import skvae

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

if __name__ == "__main__":
    from test_files import fitted_on

    folder = HERE / skvae.__version__
    folder.mkdir()
    data = load_digits()
    digits = (data.images[:300] / 16).astype(np.float32), data.target[:300]
    for name, estimator, method, X in fitted_on(digits):
        X = X[:5]
        skvae.save(estimator, folder / f"{name}.skvae")
        outputs = {"X": X, "expected": getattr(estimator, method)(X), "method": method}
        np.savez_compressed(folder / f"{name}.npz", **outputs)

"""Estimators that the benchmarks bring themselves."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

BENCHMARKS = Path(__file__).parents[1] / "examples" / "benchmarks"


@pytest.fixture
def adversarial(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return runpy.run_path(str(BENCHMARKS / "adversarial.py"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parzen_log_density_is_that_of_a_mixture_of_784_dimensions(adversarial, dtype):
    rng = np.random.RandomState(0)
    samples = rng.rand(200, 784).astype(dtype)
    X = rng.rand(5, 784).astype(dtype)
    bandwidths = (0.12, 0.24)
    differences = X[:, None].astype(float) - samples
    expected = [
        logsumexp(
            multivariate_normal(np.zeros(784), width**2).logpdf(differences), axis=1
        )
        - np.log(200)
        for width in bandwidths
    ]
    found = adversarial["parzen"](samples, X, bandwidths)
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-9)

import numpy as np
from numpy.testing import assert_array_equal
from scipy.stats import kstest

from skvae._random import child_seed, draw_seed, row_noise

X = np.random.default_rng(0).random((20_000, 5)).astype(np.float32)


def test_row_noise_is_standard_normal_and_uncorrelated():
    noise = row_noise(X, key=3, n_columns=4)
    assert noise.dtype == np.float32
    assert kstest(noise.ravel(), "norm").pvalue > 0.01
    assert np.abs(np.corrcoef(noise.T) - np.eye(4)).max() < 0.03
    assert np.abs(np.corrcoef(noise[:, 0], X[:, 0])[0, 1]) < 0.03


def test_row_noise_depends_on_row_and_key_only():
    noise = row_noise(X[:50], key=3, n_columns=4)
    assert_array_equal(row_noise(X[10:11], 3, 4), noise[10:11])
    assert_array_equal(row_noise(X[:50], 3, 2), noise[:, :2])
    assert not np.isclose(row_noise(X[:50], 4, 4), noise).any()
    nudged = np.nextafter(X[:50], 2, dtype=np.float32)
    assert not np.isclose(row_noise(nudged, 3, 4), noise).any()


def test_row_noise_of_strided_rows():
    strided = np.asfortranarray(X[:50])
    assert_array_equal(row_noise(strided, 3, 4), row_noise(X[:50], 3, 4))


def test_seeds():
    assert draw_seed(0) == draw_seed(0) != draw_seed(1)
    rng = np.random.RandomState(0)
    assert draw_seed(rng) != draw_seed(rng)
    assert draw_seed(None) != draw_seed(None)
    assert child_seed(5, 1) == child_seed(5, 1) != child_seed(5, 2)

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise_distances
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from skvae import AE, MLP
from skvae.hashing import SemanticHasher, _least_loss_rotation


@pytest.fixture(scope="module")
def hasher(digits):
    X, _ = digits
    ae = AE(16, max_iter=10, random_state=0)
    return SemanticHasher(ae, n_bits=12, random_state=0).fit(X)


def test_neighbours_differ_in_the_fewest_bits(digits, hasher):
    X, _ = digits
    bits = hasher.transform(X)
    assert set(np.unique(bits)) == {0, 1}
    assert bits.shape == (len(X), 12)
    distances, numbers = hasher.kneighbors(X[:50], 7)
    expected = pairwise_distances(bits[:50], bits, "manhattan").astype(int)
    order = np.argsort(expected, axis=1, kind="stable")[:, :7]
    assert_array_equal(numbers, order)
    assert_array_equal(distances, np.take_along_axis(expected, order, axis=1))
    assert_array_equal(hasher.kneighbors(X[:50], 7, return_distance=False), numbers)


def test_packed_bits_are_those_of_numpy(digits, hasher):
    bits = hasher.transform(digits[0])
    assert hasher.packed_.shape == (len(bits), 2)
    assert_array_equal(np.unpackbits(hasher.packed_, axis=1, count=12), bits)
    assert_array_equal(hasher.pack(bits), hasher.packed_)


def test_neighbours_are_of_the_same_class(digits, hasher):
    X, y = digits
    numbers = hasher.kneighbors(X, 6, return_distance=False)[:, 1:]
    assert (y[numbers] == y[:, None]).mean() > 0.6


def test_rotation_loses_less_in_each_step():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(500, 6)) * [5, 4, 3, 2, 1, 0.5]
    losses = []
    for n_iter in (0, 1, 3, 10):
        rotation = _least_loss_rotation(Z, 0, n_iter)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(6), atol=1e-12)
        turned = Z @ rotation
        losses.append(np.square(np.sign(turned) - turned).sum())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 1


def test_thresholds_halve_the_samples(digits):
    X, _ = digits
    pipeline = make_pipeline(StandardScaler(), AE(6, max_iter=3, random_state=0))
    hasher = SemanticHasher(pipeline, 6, method="threshold")
    bits = hasher.fit_transform(X.reshape(len(X), -1))
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.01
    assert list(hasher.get_feature_names_out()) == [
        f"semantichasher{i}" for i in range(6)
    ]


def test_what_makes_no_bits_is_refused(digits, hasher):
    X, _ = digits
    ae = AE(4, max_iter=1)
    with pytest.raises(ValueError, match=r"n_bits=8 needs .* codes of 4"):
        SemanticHasher(ae, 8).fit(X)
    with pytest.raises(ValueError, match="n_bits=3, but the code has 4"):
        SemanticHasher(ae, 3, method="threshold").fit(X)
    with pytest.raises(ValueError, match="All samples have the same code"):
        SemanticHasher(ae, 4).fit(np.ones((20, 5)))
    with pytest.raises(ValueError, match="autoencoder of skvae"):
        SemanticHasher(PCA()).fit(X)
    with pytest.raises(ValueError, match=rf"from 1 to {len(X)}, .* got 0"):
        hasher.kneighbors(X, 0)
    with pytest.raises(ValueError, match=r"shape \(n_samples, 12\)"):
        hasher.pack(np.ones((3, 11)))


@pytest.mark.filterwarnings("ignore")  # the checks fit what can't be fitted
def test_check_estimator():
    ae = AE(2, architecture=MLP((8,)), max_iter=2, random_state=0)
    check_estimator(SemanticHasher(ae, 2, random_state=0))

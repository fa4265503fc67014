"""Data that stay on disk: read in blocks, trained on as those in memory."""

import numpy as np
import pytest
import torch
from cases import MODELS
from joblib import Parallel, delayed
from numpy.testing import assert_array_equal
from skorch.callbacks import EpochScoring
from torch.utils.data import Dataset, TensorDataset

from skvae import AE, MLP, VAE, AAEClassifier, _blocks
from skvae._blocks import BlockRows
from skvae.nn import Mixed

TINY = {"architecture": MLP((8,)), "max_iter": 2, "random_state": 0}


class Samples(Dataset):
    """A Dataset of the user's own."""

    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i]


@pytest.fixture
def on_disk(digits, tmp_path):
    """Write an array to a file, and open it read-only."""

    def write(X):
        np.save(tmp_path / "X.npy", X)
        return np.load(tmp_path / "X.npy", mmap_mode="r")

    return write


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 10 samples of 64 values, and windows of 60."""
    monkeypatch.setattr(_blocks, "_BLOCK", 10 * 64 * 4)
    monkeypatch.setattr(_blocks, "_WINDOW", 60 * 64 * 4)


@pytest.mark.parametrize("model", [model for model, _ in MODELS.values()])
@pytest.mark.parametrize("options", [{}, {"early_stopping": True}])
def test_one_window_gives_what_memory_gives(model, options, digits, on_disk):
    X, y = digits
    there = on_disk(X)
    one = model(**TINY, **options).fit(X, y)
    other = model(**TINY, **options).fit(there, y)
    for method in ("transform", "reconstruct", "score_samples"):
        expected = getattr(one, method)(X)
        assert_array_equal(getattr(other, method)(there), expected)
    assert_array_equal(other.extract(there, "z")["z"], one.extract(X, "z")["z"])


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "int64", "float16", "float64", "bool"]
)
def test_numbers_of_any_type_are_read(dtype, digits, on_disk):
    X = (16 * digits[0].reshape(300, 64)).astype(dtype)
    expected = VAE(**TINY).fit(X)
    found = VAE(**TINY).fit(on_disk(X))
    assert found.reconstruct(X).dtype == expected.reconstruct(X).dtype
    assert_array_equal(found.transform(X), expected.transform(X))


@pytest.mark.usefixtures("small_blocks")
def test_several_windows_hold_each_row_once_and_repeat(digits, on_disk):
    X = on_disk(digits[0].reshape(300, 64))
    rows = BlockRows(X, lambda block: None)
    seen = rows.order(np.arange(7, 300), np.random.default_rng(0).permutation)
    assert_array_equal(np.sort(seen), np.arange(7, 300))
    for window in np.array_split(seen, 5):
        assert len(np.unique(window // 10)) <= 14  # parts of 6 blocks, not of all 30
    one = VAE(**TINY).fit(X)
    assert_array_equal(one.transform(X), VAE(**TINY).fit(X).transform(X))
    other = VAE(**TINY | {"random_state": 1}).fit(X)
    assert np.abs(one.transform(X) - other.transform(X)).max() > 1e-3


@pytest.mark.usefixtures("small_blocks")
def test_training_in_windows_learns_as_well(digits, on_disk):
    X = digits[0].reshape(300, 64)
    options = TINY | {"max_iter": 40, "batch_size": 32}
    expected = AE(4, **options).fit(X).loss_curve_[-1]
    found = AE(4, **options).fit(on_disk(X)).loss_curve_[-1]
    assert found < expected + 0.05 * abs(expected)


@pytest.mark.usefixtures("small_blocks")
def test_any_rows_are_read_in_any_order(digits, on_disk):
    X = digits[0].reshape(300, 64)
    rows = BlockRows(on_disk(X), lambda block: None)
    for key in (7, slice(3, 8), slice(250, 400), slice(290, 3), slice(0, 300, 7)):
        assert_array_equal(rows[key], X[key])
    for numbers in ([5, 2, 2, 299, 0], [], np.arange(300)[::-1], X[:, 20] > 0.5):
        numbers = np.asarray(numbers, dtype=None if len(numbers) else int)
        assert_array_equal(rows[numbers], X[numbers])
    assert_array_equal(np.stack(list(rows)), X)
    assert_array_equal(rows.reshape(300, 8, 8)[5:7], X[5:7].reshape(2, 8, 8))


def test_no_more_than_a_window_is_read_at_a_time(digits, on_disk, small_blocks):
    class Watched:
        shape, dtype, ndim = (300, 64), np.dtype("f4"), 2
        largest = 0

        def __getitem__(self, key):
            self.largest = max(self.largest, key.stop - key.start)
            return data[key]

    data, source = on_disk(digits[0].reshape(300, 64)), Watched()
    rows = BlockRows(source, lambda block: None)
    rows[np.random.default_rng(0).permutation(300)]
    sum(1 for _ in rows)
    assert source.largest <= 10


def test_results_are_written_where_they_shall_be(digits, on_disk, tmp_path):
    X = on_disk(digits[0])
    vae = VAE(3, layer=["mu", "logvar"], **TINY).fit(X)
    out = np.lib.format.open_memmap(tmp_path / "Z.npy", "w+", "f4", (300, 6))
    assert vae.transform(X, out=out) is out
    assert_array_equal(np.load(tmp_path / "Z.npy"), vae.transform(X))
    for wrong in (np.empty((300, 3)), np.empty((300, 6), dtype=int), [1, 2]):
        with pytest.raises(ValueError, match=r"floats of shape \(300, 6\), got"):
            vae.transform(X, out=wrong)


def test_bad_values_are_errors_and_nothing_is_lost(digits, on_disk):
    X = digits[0].reshape(300, 64).copy()
    vae = VAE(**TINY).fit(on_disk(X))
    before = vae.transform(X)
    X[200, 3] = np.nan
    broken = on_disk(X)
    for call in (vae.fit, vae.transform, vae.score_samples):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            call(broken)
    assert_array_equal(vae.transform(np.nan_to_num(X)[:200]), before[:200])
    with pytest.raises(ValueError, match="65 features"):
        vae.transform(on_disk(np.zeros((3, 65))))
    with pytest.raises(TypeError, match="must hold numbers"):
        vae.fit(on_disk(np.array([["a", "b"], ["c", "d"]])))
    with pytest.raises(ValueError, match=r"likelihood=.* needs values in"):
        VAE(likelihood="bernoulli", **TINY).fit(on_disk(2 * np.ones((30, 4))))


def test_gaps_labels_weights_memory_and_callbacks(digits, on_disk, tmp_path):
    X, y = digits
    gaps = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    weights = np.arange(300) % 3
    y = np.where(np.arange(300) % 2, y, -1)
    for model, data, fit in (
        (VAE(missing_values="mask", **TINY), gaps, {"sample_weight": weights}),
        (AAEClassifier(**TINY, memory=tmp_path), X, {"sample_weight": weights}),
        (VAE(early_stopping=True, **TINY), X, {"X_val": on_disk(X[:50])}),
        (AE(**TINY), X, {"X_target": X[::-1]}),
        (AE(callbacks=[EpochScoring("r2", use_caching=False)], **TINY), X, {}),
    ):
        data = data.reshape(300, 64) if model.callbacks else data
        expected = model.fit(data, y, **fit).transform(data)
        there = on_disk(data)
        assert_array_equal(model.fit(there, y, **fit).transform(there), expected)


def test_kinds_of_columns_that_are_scaled_apart(on_disk):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=50), rng.integers(2, size=50)])
    model = VAE(2, likelihood=Mixed(bernoulli=[1]), **TINY)
    expected = model.fit(X).transform(X)
    assert_array_equal(model.fit(on_disk(X)).transform(X), expected)


def test_what_joblib_puts_on_disk_is_the_array_that_it_was(digits, monkeypatch):
    X = np.concatenate([digits[0].reshape(300, 64)] * 20)  # joblib writes 1 MB and more
    monkeypatch.setattr(_blocks, "_WINDOW", 2**16)
    expected = AE(**TINY).fit(X).loss_curve_
    parallel = Parallel(n_jobs=2)
    (found, _) = parallel(delayed(AE(**TINY).fit)(X) for _ in range(2))
    assert found.loss_curve_ == expected


@pytest.mark.parametrize("kind", ["h5py", "zarr", "dask"])
def test_arrays_of_other_packages(kind, digits, tmp_path):
    X = digits[0]
    expected = VAE(**TINY).fit(X).transform(X)
    if kind == "h5py":
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "X.h5", "w") as file:
            data = file.create_dataset("X", data=X, chunks=(50, 8, 8))
            assert_array_equal(VAE(**TINY).fit(data).transform(data), expected)
        return
    if kind == "zarr":
        data = pytest.importorskip("zarr").array(X, chunks=(50, 8, 8))
    else:
        data = pytest.importorskip("dask.array").from_array(X, chunks=(50, 8, 8))
    assert_array_equal(VAE(**TINY).fit(data).transform(data), expected)


def test_datasets_of_torch(digits):
    X, y = digits
    expected = VAE(**TINY).fit(X).transform(X)
    for data in (TensorDataset(torch.from_numpy(X), torch.from_numpy(y)), Samples(X)):
        assert_array_equal(VAE(**TINY).fit(data).transform(data), expected)


def test_data_without_samples_or_of_unknown_shape_are_errors(on_disk):
    with pytest.raises(ValueError, match="must have a known shape"):
        AE().fit(on_disk(np.zeros((0, 5))))
    with pytest.raises(TypeError, match="X is a Samples"):
        AE().fit(Samples(np.zeros((0, 5))))
    array = pytest.importorskip("dask.array").from_array(np.zeros((9, 5)))
    with pytest.raises(ValueError, match=r"compute_chunk_sizes"):
        AE().fit(array[array[:, 0] >= 0])

"""Samples that stay on disk, or in pieces, and are read block by block."""

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np

_BLOCK = 2**22  # bytes that are read at once
_WINDOW = 6 * _BLOCK  # bytes of rows that are shuffled together
_NEARBY = 2**18  # bytes; a smaller gap is read and left out, not jumped over
_OF_JOBLIB = "joblib_memmapping_folder"
_PACKAGES = {"dask", "h5py", "zarr"}


def stays_on_disk(X):
    """Tell whether an array is better read in blocks than taken into memory.

    What joblib has put on disk for its workers is taken for the array that it was, so
    that a fit is the same in a worker.
    """
    if isinstance(X, np.memmap):
        return X.filename is not None and _OF_JOBLIB not in str(X.filename)
    package = type(X).__module__.split(".")[0]
    is_known = package in _PACKAGES and hasattr(X, "shape")
    return is_known or getattr(X, "stays_on_disk", False) is True


class Items:
    """Samples of a torch Dataset as an array that can be cut into slices.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        With a length. Of items that are tuples, as of samples with labels, the first
        part is taken.
    """

    stays_on_disk = True

    def __init__(self, dataset):
        self._dataset = dataset
        first = self._item(0)
        self.shape, self.dtype = (len(dataset), *first.shape), first.dtype

    def __getitem__(self, key):
        numbers = range(*key.indices(len(self._dataset)))
        return np.stack([self._item(i) for i in numbers])

    def _item(self, i):
        item = self._dataset[i]
        return np.asarray(item[0] if isinstance(item, tuple | list) else item)


class BlockRows:
    """Rows of an array that is read when they are asked for.

    Parameters
    ----------
    source : array-like of shape (n_samples, ...)
        With `shape`, `dtype` and slices.
    check : callable
        Takes an array of rows, and raises if its values are not valid.
    sample_shape : tuple of int or None, default=None
        The shape in which samples come out; None gives flat rows.
    """

    def __init__(self, source, check, sample_shape=None):
        self._source = source
        self._check = check
        self._n_features = math.prod(source.shape[1:])
        self._sample_shape = sample_shape or (self._n_features,)
        self.shape = (source.shape[0], *self._sample_shape)
        self.ndim = len(self.shape)
        kind, size = source.dtype.kind, source.dtype.itemsize
        is_short = size <= 2 or (kind == "f" and size == 4)
        self.dtype = np.dtype("f4" if is_short else "f8")
        row = self._n_features * max(self.dtype.itemsize, source.dtype.itemsize)
        self._n_at_once = max(1, _BLOCK // row)
        self.window = max(1, _WINDOW // row)
        self._nearby = _NEARBY // row
        self._held = 0, np.empty((0, self._n_features), self.dtype)

    def __len__(self):
        return self.shape[0]

    def __iter__(self):
        for start in range(0, len(self), self._n_at_once):
            yield from self[start : start + self._n_at_once]

    def __getitem__(self, key):
        """Read a row, a slice of rows, or those of an array of numbers."""
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            rows = self._read(start, max(start, stop))[::step]
        elif np.ndim(key) == 0:
            return self[key : key + 1][0]
        else:
            rows = self._gather(np.asarray(key))
        return rows.reshape(-1, *self._sample_shape)

    def __array__(self, dtype=None, copy=None):
        """Take all rows into memory, where they have to be there at once."""
        return np.concatenate(list(self.blocks()), dtype=dtype)

    def reshape(self, n_samples, *sample_shape):
        """Return the same rows, in another shape."""
        return BlockRows(self._source, self._check, sample_shape)

    def blocks(self):
        """Yield all rows, block by block."""
        for start in range(0, len(self), self._n_at_once):
            yield self[start : start + self._n_at_once]

    def digest(self):
        """Hash all values."""
        total = hashlib.blake2b(repr((self.shape, self.dtype)).encode())
        for block in self.blocks():
            total.update(block)
        return total.hexdigest()

    def order(self, index, permutation):
        """Shuffle rows such that few blocks have to be read at a time.

        Blocks come in random order. Those that are in memory together, a window, are
        shuffled row by row. All rows are, if they fit into one.

        Parameters
        ----------
        index : ndarray of shape (n_train,)
            Numbers of rows.
        permutation : callable
            Takes a number; returns so many numbers in random order.
        """
        n_windows = math.ceil(len(index) / self.window)
        order = index.copy()
        if n_windows > 1:
            order.sort()
            n_blocks = math.ceil(len(order) / self._n_at_once)
            blocks = np.array_split(order, n_blocks)
            order = np.concatenate([blocks[i] for i in permutation(n_blocks)])
        for window in np.array_split(order, n_windows):
            window[:] = window[permutation(len(window))]
        return order

    def _gather(self, numbers):
        """Read rows of any order by slices that are as long as may be."""
        numbers = np.flatnonzero(numbers) if numbers.dtype == bool else numbers
        wanted, places = np.unique(numbers, return_inverse=True)
        jumps = np.flatnonzero(np.diff(wanted) > 1 + self._nearby) + 1
        found = np.empty((len(wanted), self._n_features), self.dtype)
        at = 0
        for run in np.split(wanted, jumps) if len(wanted) else []:
            for part in np.array_split(run, math.ceil(len(run) / self._n_at_once)):
                start = part[0]
                rows = self._read(start, part[-1] + 1, ahead=False)
                found[at : at + len(part)] = rows[part - start]
                at += len(part)
        return found[places]

    def _read(self, start, stop, *, ahead=True):
        """Read successive rows; of a few, the block that begins with them."""
        first, held = self._held
        if first <= start and stop <= first + len(held):
            return held[start - first : stop - first]
        if stop - start >= self._n_at_once or not ahead:
            return self._load(start, stop)
        self._held = start, self._load(start, start + self._n_at_once)
        return self._held[1][: stop - start]

    def _load(self, start, stop):
        block = np.asarray(self._source[start:stop])
        rows = block.reshape(len(block), self._n_features)
        rows = np.ascontiguousarray(rows, dtype=self.dtype)
        self._check(rows)
        return rows


class Stream:
    """Rows in a given order, of which the next ones are read while some are used.

    Parameters
    ----------
    rows : BlockRows
    order : ndarray of shape (n_rows,)
    batch_size : int
        How many rows are taken at a time. So many at least are read ahead.
    """

    def __init__(self, rows, order, batch_size):
        self._rows = rows
        n_windows = max(1, math.ceil(len(order) / max(rows.window, batch_size)))
        self._orders = iter(np.array_split(order, n_windows))
        self._reader = ThreadPoolExecutor(1)
        self._window = np.empty((0, *rows.shape[1:]), rows.dtype)
        self._read_next()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self._reader.shutdown(cancel_futures=True)

    def take(self, n_rows):
        """Return the next rows."""
        while len(self._window) < n_rows:
            window = self._next.result()
            self._read_next()
            rest = self._window
            self._window = np.concatenate([rest, window]) if len(rest) else window
        rows, self._window = np.split(self._window, [n_rows])
        return rows

    def _read_next(self):
        order = next(self._orders, None)
        if order is not None:
            self._next = self._reader.submit(self._rows.__getitem__, order)

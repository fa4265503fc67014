"""Images of cases that stay in the cache until they are asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._case import CaseReader
from ._cases import Source


class CachedVolumes:
    """An array of images, of which each is read from the cache when it is asked for.

    Estimators of this package take it for `X`, and hold a few images at a time. NumPy
    makes an array of it that has all of them.

    Parameters
    ----------
    reader : CaseReader
    places : sequence of (source, key) or None
        What each case is made from, should the cache have lost it, and its key there.
        None stands for a case that can't be read; its image is NaN.
    shape : tuple of int
        Of one image.

    Attributes
    ----------
    shape : tuple of int
        (n_cases, n_channels, n_slices, n_rows, n_columns), or (n_cases, n_values).
    dtype : dtype
        float32.
    """

    stays_on_disk = True

    def __init__(
        self,
        reader: CaseReader,
        places: Sequence[tuple[Source, str] | None],
        shape: tuple[int, ...],
    ) -> None:
        self._reader = reader
        self._places = places
        self.shape = (len(places), *shape)
        self.dtype = np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read one image, or those of a slice, of numbers or of a mask."""
        numbers = np.arange(len(self))[key]
        images = np.empty((*numbers.shape, *self.shape[1:]), self.dtype)
        for place, number in np.ndenumerate(numbers):
            images[place] = self._image(number)
        return images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all images."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"CachedVolumes(shape={self.shape})"

    def _image(self, number: int) -> np.ndarray | float:
        place = self._places[number]
        if place is None:
            return np.nan
        return self._reader.image(*place).reshape(self.shape[1:])

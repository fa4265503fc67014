"""Volumes on other grids, along the axes of the patient."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import affine_transform
from scipy.optimize import linear_sum_assignment

from ._volume import spacing_of

# Slices to the head, rows to the back, columns to the left, in LPS.
_PATIENT_AXES = np.eye(3)[::-1]
_CORNERS = np.indices((2, 2, 2)).reshape(3, -1).T


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxels to interpolate at.

    Attributes
    ----------
    shape : tuple of 3 ints
    affine : ndarray of shape (4, 4)
        Takes indices (slice, row, column, 1) to millimetres (x, y, z, 1).
    """

    shape: tuple[int, ...]
    affine: np.ndarray

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between slices, rows and columns."""
        return spacing_of(self.affine)

    def cut(self, start: np.ndarray, shape: tuple[int, ...]) -> "Grid":
        """Return a part of the grid, or one that goes on beyond it."""
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ start
        return Grid(tuple(map(int, shape)), affine)

    def rescaled(self, spacing: float, centre: np.ndarray, shape: tuple) -> "Grid":
        """Return a grid of the same axes around a place, given in indices."""
        axes = self.affine[:3, :3] / self.spacing
        middle = self.affine[:3, :3] @ centre + self.affine[:3, 3]
        return _centred(axes, middle, np.full(3, spacing), np.array(shape))


def grid_of(
    shape: tuple[int, ...], affine: np.ndarray, spacing: np.ndarray | None = None
) -> Grid:
    """Return a rectangular grid over a volume, centred on it.

    Its axes are the acquired ones, in the order and the directions that come nearest
    to those of the patient: slices to the head, rows to the back, columns to the left.

    Parameters
    ----------
    shape : tuple of 3 ints
    affine : ndarray of shape (4, 4)
        Of the volume.
    spacing : ndarray of shape (3,) or None
        In millimetres. None keeps that of the volume.

    References
    ----------
    A. Zwanenburg et al., "Image biomarker standardisation initiative", 2019, section
    2.4, https://arxiv.org/abs/1612.07003: a grid is aligned by its centre.
    """
    axes, order = _axes(affine)
    if spacing is None:
        spacing = np.array(spacing_of(affine))[order]
    corners = (_CORNERS * shape - 0.5) @ affine[:3, :3].T + affine[:3, 3]
    low, high = (corners @ axes).min(axis=0), (corners @ axes).max(axis=0)
    # Without the rounding, an extent of 3.0000001 voxels would take four.
    size = np.ceil(np.round((high - low) / spacing, 4)).clip(1)
    return _centred(axes, axes @ (low + high) / 2, spacing, size)


def box_of(
    mask: np.ndarray, affine: np.ndarray, grid: Grid
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and the upper edge of a mask in indices of a grid.

    The voxel of index i reaches from i - 0.5 to i + 0.5.
    """
    places, to_grid = _places(mask, affine, grid)
    half = np.abs(to_grid).sum(axis=1) / 2
    return places.min(axis=0) - half, places.max(axis=0) + half


def share_cut(mask: np.ndarray, affine: np.ndarray, grid: Grid) -> float:
    """Return which share of the voxels of a mask lies outside of a grid."""
    places, _ = _places(mask, affine, grid)
    is_out = (places < -0.5 - 1e-6) | (places > np.array(grid.shape) - 0.5 + 1e-6)
    return float(is_out.any(axis=1).mean())


def _places(
    mask: np.ndarray, affine: np.ndarray, grid: Grid
) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels of a mask in indices of a grid, and the turn to it."""
    to_grid = np.linalg.solve(grid.affine, affine)
    return np.argwhere(mask) @ to_grid[:3, :3].T + to_grid[:3, 3], to_grid[:3, :3]


def resample(
    array: np.ndarray, affine: np.ndarray, grid: Grid, order: int, fill: float
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate a volume at the voxels of a grid; voxels outside of it are filled.

    Parameters
    ----------
    array : ndarray of shape (n_slices, n_rows, n_columns), float32
    affine : ndarray of shape (4, 4)
    grid : Grid
    order : int
        Of the spline: 0 takes the nearest voxel, 1 is linear, 3 cubic.
    fill : float

    Returns
    -------
    values : ndarray of shape grid.shape, float32
    is_inside : ndarray of shape grid.shape, bool
        Which voxels have their centre within the volume.
    """
    to_array = np.linalg.solve(affine, grid.affine)
    whole = np.rint(to_array)
    is_aligned = np.allclose(to_array, whole, rtol=0, atol=1e-4)
    if is_aligned and np.all(np.count_nonzero(whole[:3, :3], axis=0) == 1):
        return _picked(array, whole.astype(int), grid.shape, fill)
    options = {
        "matrix": whole if is_aligned else to_array,
        "output_shape": grid.shape,
    }
    values = affine_transform(
        array, order=0 if is_aligned else order, mode="nearest", **options
    )
    there = affine_transform(
        np.ones(array.shape, np.uint8), order=0, mode="grid-constant", **options
    )
    is_inside = there > 0
    values[~is_inside] = fill
    return values, is_inside


def _picked(
    array: np.ndarray, to_array: np.ndarray, shape: tuple[int, ...], fill: float
) -> tuple[np.ndarray, np.ndarray]:
    """Take voxels where they are, along axes that are those of the array."""
    axes = np.abs(to_array[:3, :3]).argmax(axis=0)  # of the array, for each of the grid
    source, target = [], []
    for along, (axis, size) in enumerate(zip(axes, shape, strict=True)):
        places = np.arange(size) * to_array[axis, along] + to_array[axis, 3]
        within = np.flatnonzero((places >= 0) & (places < array.shape[axis]))
        target.append(within)
        source.append(places[within])
    values = np.full(shape, fill, dtype=array.dtype)
    is_inside = np.zeros(shape, dtype=bool)
    if all(map(len, target)):
        there = tuple(map(_as_slice, target))
        values[there] = array.transpose(axes)[tuple(map(_as_slice, source))]
        is_inside[there] = True
    return values, is_inside


def _as_slice(places: np.ndarray) -> slice:
    """Return the slice of evenly spaced places: views are faster than copies."""
    step = int(places[1] - places[0]) if len(places) > 1 else 1
    stop = int(places[-1]) + step
    return slice(int(places[0]), stop if stop >= 0 else None, step)


def _axes(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return axes for a grid, as columns, and which of the acquired ones each is."""
    _, row, column = (affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)).T
    acquired = np.stack([np.cross(column, row), row, column], axis=1)
    likeness = _PATIENT_AXES.T @ acquired
    _, order = linear_sum_assignment(-np.abs(likeness))
    signs = np.sign(likeness[np.arange(3), order])
    return acquired[:, order] * signs, order


def _centred(
    axes: np.ndarray, centre: np.ndarray, spacing: np.ndarray, size: np.ndarray
) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = centre - affine[:3, :3] @ (size - 1) / 2
    return Grid(tuple(map(int, size)), affine)

"""Images and regions on one grid: resampled, cropped, clipped and normalized."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._errors import DicomError, DicomWarning, GeometryError, MaskError
from ._resample import Grid, box_of, grid_of, resample
from ._volume import Volume

WINDOWS = {
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
    "lung": (-600.0, 1500.0),
    "soft_tissue": (40.0, 400.0),
}
ORDERS = {"nearest": 0, "linear": 1, "cubic": 3}

_COARSER = 1.01  # from one spacing that is tried to the next


def check_one_space(volumes: Sequence[Volume]) -> None:
    """Refuse channels of which it can't be told how they lie on each other."""
    spaces = {volume.frame_of_reference for volume in volumes if not _is_bare(volume)}
    if len(volumes) > 1 and (len(spaces) > 1 or None in spaces):
        raise GeometryError(
            "FrameOfReferenceUID differs between the channels of a case, or is "
            "missing: how they lie on each other can't be told. Register the images "
            "first."
        )
    first = volumes[0]
    if any(map(_is_bare, volumes)) and not all(_agree(first, v) for v in volumes):
        warnings.warn(
            "Channels of a case are on different grids, and NIfTI, NRRD and MetaImage "
            "state no frame of reference: their millimetres are taken to be in one "
            "space. Look at a case, or register the images first.",
            DicomWarning,
            stacklevel=2,
        )


def _is_bare(volume: Volume) -> bool:
    """Tell whether a volume comes from a file that can't state a frame of reference."""
    return "format" in (volume.provenance or {})


def _agree(volume: Volume, other: Volume) -> bool:
    """Tell whether two volumes have one grid, to a tenth of a voxel."""
    apart = abs(volume.affine - other.affine).max() * max(volume.shape)
    return volume.shape == other.shape and apart <= 0.1 * min(volume.spacing)


def grid_for(
    volume: Volume,
    mask: np.ndarray | None,
    *,
    spacing: Any,
    shape: Any,
    crop: str | None,
    margin: float,
) -> Grid:
    """Return the grid of a case; parameters are those of `VolumeLoader`."""
    is_fit = isinstance(spacing, str)
    steps = None
    if spacing is not None and not is_fit:
        steps = np.broadcast_to(np.asarray(spacing, dtype=float), 3)
    grid = grid_of(volume.shape, volume.affine, steps)
    low, high = np.full(3, -0.5), np.array(grid.shape) - 0.5
    if crop == "mask" and mask is not None:
        reach = margin / np.array(grid.spacing)
        low, high = box_of(mask, volume.affine, grid)
        low, high = low - reach, high + reach
    if is_fit:
        extent = (high - low) * grid.spacing
        return grid.rescaled(max(extent / shape), (low + high) / 2, shape)
    if shape is None:
        start, stop = np.floor(low + 0.5 + 1e-4), np.ceil(high + 0.5 - 1e-4)
        return grid.cut(start, tuple(stop - start))
    if crop is None and np.any(np.array(grid.shape) > shape):
        raise GeometryError(
            f"`shape`={tuple(shape)} is smaller than a volume of {grid.shape} "
            "voxels: set crop='mask' or 'center', a larger `shape` or `spacing`."
        )
    return grid.cut(_start(low, high, shape), shape)


def _start(low: np.ndarray, high: np.ndarray, shape: Any) -> np.ndarray:
    """Return the first voxel of a shape that is laid around the middle of a box."""
    return np.rint((low + high) / 2 - (np.array(shape) - 1) / 2)


def spacing_that_holds(mask: np.ndarray, volume: Volume, shape: Any) -> float:
    """Return an isotropic spacing at which `shape`, laid around a mask, holds it."""
    acquired = grid_of(volume.shape, volume.affine)
    box = np.ones((2, 4))
    box[:, :3] = box_of(mask, volume.affine, acquired)
    spacing = max((box[1, :3] - box[0, :3]) * acquired.spacing / shape)
    while True:
        spacing = _rounded_up(spacing)
        grid = grid_of(volume.shape, volume.affine, np.full(3, spacing))
        low, high = (box @ np.linalg.solve(grid.affine, acquired.affine).T)[:, :3]
        start = _start(low, high, shape)
        if np.all(low > start - 0.501) and np.all(high < start + shape - 0.499):
            return spacing
        spacing *= _COARSER


def _rounded_up(value: float, digits: int = 3) -> float:
    unit = 10.0 ** (np.floor(np.log10(value)) + 1 - digits)
    return float(f"{np.ceil(value / unit - 1e-6) * unit:.{digits}g}")


def region_on(grid: Grid, mask: np.ndarray, volume: Volume) -> np.ndarray:
    """Interpolate a mask linearly, and cut it at one half."""
    values, _ = resample(mask.astype(np.float32), volume.affine, grid, 1, 0.0)
    region = values >= 0.5
    if not region.any():
        raise MaskError("The mask is too small for this spacing: none is left.")
    return region


def image_on(
    grid: Grid,
    volume: Volume,
    region: np.ndarray | None,
    name: str,
    *,
    window: Any,
    normalize: str | None,
    interpolation: str,
    fill: float | None,
    mask_outside: bool,
    ibsi: bool,
) -> tuple[np.ndarray, dict[str, float]]:
    """Return a channel of a case, and a note on what was done to it.

    Parameters are those of `VolumeLoader`.

    Returns
    -------
    image : ndarray of shape grid.shape, float32
    note : dict
        The shares of voxels that were "filled" and "clipped".
    """
    fill = float(volume.array.min()) if fill is None else fill
    image, is_inside = resample(
        volume.array, volume.affine, grid, ORDERS[interpolation], fill
    )
    if not is_inside.any():
        raise GeometryError(
            f"The channel {name!r} lies elsewhere than the first one, or than the "
            "mask. Check ImagePositionPatient."
        )
    note = {"filled": float(1 - is_inside.mean()), "clipped": 0.0}
    if ibsi and volume.units == "HU":
        np.rint(image, out=image)
    limits = _limits(window, name, volume.units)
    if limits is not None:
        note["clipped"] = float(((image < limits[0]) | (image > limits[1])).mean())
        image.clip(*limits, out=image)
        fill = np.clip(fill, *limits)
    if mask_outside and region is not None:
        image[~region] = fill
    if normalize is not None:
        within = is_inside & _body(image) if region is None else region
        low, scale = _location_and_scale(image[within], normalize, limits)
        image = (image - low) / scale
    if normalize == "percentile":
        image.clip(0, 1, out=image)
    return image.astype(np.float32, copy=False), note


def _limits(window: Any, name: str, units: str) -> tuple[float, float] | None:
    """Return the lowest and the highest value of the window of a channel."""
    if isinstance(window, dict):
        window = window.get(name)
    if window is None:
        return None
    if isinstance(window, str):
        if units != "HU":
            raise DicomError(
                f"window={window!r} is in HU, but the values of the channel {name!r} "
                f"are in units {units!r}. Give (centre, width)."
            )
        window = WINDOWS[window]
    if np.shape(window) != (2,) or not window[1] > 0:
        raise ValueError(
            f"`window` must be (centre, width) with a positive width, got {window}."
        )
    centre, width = window
    return centre - width / 2, centre + width / 2


def _location_and_scale(
    values: np.ndarray, normalize: str, limits: Any
) -> tuple[float, float]:
    if not values.size:
        return 0.0, 1.0
    if normalize == "window" and limits is None:
        raise ValueError("normalize='window' needs a `window` for every channel.")
    if normalize == "standard":
        return values.mean(), values.std() or 1.0
    if normalize == "percentile":
        limits = np.percentile(values, [0.5, 99.5])
    return limits[0], (limits[1] - limits[0]) or 1.0


def _body(image: np.ndarray) -> np.ndarray:
    """Tell the body from the air around it: values above Otsu's threshold (1979)."""
    if image.min() == image.max():
        return np.ones(image.shape, dtype=bool)
    counts, edges = np.histogram(image, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = image.size - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
    return image > edges[1:-1][np.nanargmax(below * above * gap**2)]

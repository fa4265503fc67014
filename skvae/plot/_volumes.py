"""Displays of volumes and of cohorts."""

import math
import re
import textwrap
import warnings
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone

from ..dicom import DicomError, DicomWarning, VolumeLoader
from ..dicom._process import WINDOWS
from ..dicom._resample import grid_of, resample

# Of a grid whose axes go to the head, to the back and to the left: the axis that a
# plane cuts, the one that is drawn from top to bottom or up, the one to the right.
_PLANES = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
_ENDS = (("F", "H"), ("A", "P"), ("R", "L"))
_COORDINATES = ("z", "y", "x")
_TILE = 1.9  # inches
_FILE = re.compile(r"\S+\.(dcm|ima|nii|nii\.gz|nrrd|nhdr|mha|mhd)\b", re.I)
_UID = re.compile(r"\d+(\.\d+){4,}")


@dataclass(frozen=True, eq=False)
class _Plane:
    """One slice through a volume, as it is drawn.

    Attributes
    ----------
    image : ndarray of shape (n_rows, n_columns)
    mask : ndarray of shape (n_rows, n_columns), bool, or None
    extent : tuple of 4 floats
        Millimetres at the left, right, lower and upper edge.
    letters : tuple of 4 str
        Which side of the patient each of these edges is.
    axes : tuple of 2 str
        Coordinates to the right, and up or down.
    title : str
    """

    image: np.ndarray
    mask: np.ndarray | None
    extent: tuple
    letters: tuple
    axes: tuple
    title: str

    def draw(self, ax, shades, size):
        """Draw the slice, the contour of the region and the letters."""
        left, right, bottom, top = self.extent
        origin = "upper" if bottom > top else "lower"
        ax.imshow(self.image, **shades, extent=self.extent, origin=origin)
        if self.mask is not None and self.mask.any():
            ax.contour(*self._outline(), levels=[0.5], colors="C1", linewidths=1.2)
        ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
        self._write_letters(ax, size)

    def _outline(self):
        """Return the centres of pixels in mm, and the mask with a rim outside of it."""
        n_rows, n_columns = self.mask.shape
        left, right, bottom, top = self.extent
        if bottom > top:
            bottom, top = top, bottom
        width, height = (right - left) / n_columns, (top - bottom) / n_rows
        x = left + (np.arange(-1, n_columns + 1) + 0.5) * width
        y = bottom + (np.arange(-1, n_rows + 1) + 0.5) * height
        return x, y, np.pad(self.mask, 1).astype(float)

    def _write_letters(self, ax, size):
        from matplotlib.patheffects import withStroke

        places = {
            (0.02, 0.5): ("left", "center"),
            (0.98, 0.5): ("right", "center"),
            (0.5, 0.02): ("center", "bottom"),
            (0.5, 0.98): ("center", "top"),
        }
        edge = [withStroke(linewidth=2, foreground="k")]
        for letter, (place, (ha, va)) in zip(self.letters, places.items(), strict=True):
            style = {"color": "w", "fontsize": size, "path_effects": edge, "zorder": 5}
            ax.text(*place, letter, transform=ax.transAxes, ha=ha, va=va, **style)


@dataclass(frozen=True, eq=False)
class _Tile:
    """The small picture of a case, or why there is none."""

    plane: _Plane | None = None
    shades: dict | None = None
    caption: str = ""
    problem: str | None = None
    title: str = ""

    def draw(self, ax):
        """Draw the picture or write the problem."""
        ax.set_title(self.title, fontsize=8, pad=3)
        ax.set(aspect="equal", anchor="N")
        if self.plane is not None:
            self.plane.draw(ax, self.shades, size=7)
            place = {"transform": ax.transAxes, "ha": "center", "va": "top"}
            color = "k" if self.plane.mask is not None else "C3"
            ax.text(0.5, -0.02, self.caption, fontsize=7, color=color, **place)
        else:
            text = textwrap.shorten(self.problem, 170, placeholder=" ...")
            text = textwrap.fill(text, 26)
            place = {"transform": ax.transAxes, "ha": "center", "va": "center"}
            ax.text(0.5, 0.5, text, fontsize=6.5, color="C3", **place)


class VolumeDisplay:
    """Three planes through a volume, with the contour of a region.

    The planes are axial, coronal and sagittal, or those of the acquisition that come
    nearest, in whatever order and direction the volume is stored. They are drawn as
    radiologists look at them: the patient's left is to the right of the image, the head
    or the front is up. Letters name the sides: R and L (right, left), A and P (front,
    back), H and F (head, feet). Coordinates are in millimetres: x grows to the left, y
    to the back, z to the head.

    Parameters
    ----------
    rows : list of (str, list of 3 planes, dict)
        For each channel its name, what is drawn, and how values are shown. Made by
        `from_series` and `from_case`.

    Attributes
    ----------
    axes_ : ndarray of shape (n_channels, 3), of matplotlib Axes
        Axial, coronal, sagittal.
    figure_ : matplotlib Figure

    See Also
    --------
    CohortDisplay : One small picture for each case.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae.dicom import Volume
    >>> from skvae.plot import VolumeDisplay
    >>> affine = np.diag([3.0, 1, 1, 1])[[2, 1, 0, 3]]  # slices of 3 mm, to the head
    >>> array = np.random.default_rng(0).random((20, 64, 64), dtype="float32")
    >>> mask = np.zeros(array.shape, dtype=bool)
    >>> mask[8:12, 20:30, 40:50] = True
    >>> display = VolumeDisplay.from_series(Volume(array, affine), mask)
    >>> [ax.get_title() for ax in display.axes_[0]]
    ['axial, z = 24 mm', 'coronal, y = 20 mm', 'sagittal, x = 40 mm']
    """

    def __init__(self, rows):
        self.rows = rows

    @classmethod
    def from_series(
        cls, volume, mask=None, *, window=None, slices="largest", axes=None
    ):
        """Plot a volume as it was read.

        An oblique volume is cut along its own axes, and the titles say by how much they
        are turned. That of a tilted gantry is interpolated onto a straight grid.

        Parameters
        ----------
        volume : Volume
            What `skvae.dicom.load_series` returns.
        mask : ndarray of shape (n_slices, n_rows, n_columns), bool, default=None
            The region, on the grid of the volume.
        window : str or pair of floats, default=None
            Which values are shown: (centre, width), or for CT in HU "bone", "brain",
            "lung" or "soft_tissue". None takes "soft_tissue" for HU. Without a pair,
            other values are shown by percentiles of what is drawn, and PET is drawn
            dark on white.
        slices : {"largest", "middle"}, default="largest"
            Which slice to take in each direction: that with the largest part of the
            mask, or the one in the middle of the volume. Without a mask, the latter.
        axes : array-like of 3 matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : VolumeDisplay

        Raises
        ------
        TypeError
            If `mask` is not of dtype bool.
        ValueError
            If `mask` is empty or of another shape, or if another parameter is not
            valid.
        """
        about = (volume.provenance or {}) | {"units": volume.units}
        planes = _planes(volume.array, mask, volume.affine, slices)
        return cls([("", planes, _shades(planes, about, window))]).plot(axes)

    @classmethod
    def from_case(cls, case, *, window=None, slices="largest", axes=None):
        """Plot the images of a case, as a loader made them.

        Parameters
        ----------
        case : Case
            One of those that `load_cases` of a `skvae.dicom.VolumeLoader` returns.
        window : str, pair of floats, or list of these, default=None
            As in `from_series`; a list has one for each channel. Where the loader has
            clipped or normalized values, None takes percentiles.
        slices : {"largest", "middle"}, default="largest"
            As in `from_series`.
        axes : array-like of shape (n_channels, 3), of matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : VolumeDisplay

        Raises
        ------
        ValueError
            If a parameter is not valid.
        """
        windows = window if isinstance(window, list) else [window] * len(case.image)
        names = case.report["settings"]["channels"]
        rows = []
        for number, (name, window) in enumerate(zip(names, windows, strict=True)):
            planes = _planes(case.image[number], case.mask, case.affine, slices)
            shades = _shades(planes, _about(case, number), window)
            rows.append((name if len(names) > 1 else "", planes, shades))
        return cls(rows).plot(axes)

    def plot(self, axes=None):
        """Draw the planes.

        Parameters
        ----------
        axes : array-like of shape (n_channels, 3), of matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : VolumeDisplay
        """
        import matplotlib.pyplot as plt

        shape = len(self.rows), len(_PLANES)
        if axes is None:
            size = 3.6 * shape[1], 3.6 * shape[0]
            _, axes = plt.subplots(*shape, figsize=size, layout="constrained")
        self.axes_ = np.reshape(axes, shape)
        self.figure_ = self.axes_[0, 0].figure
        for row, (name, planes, shades) in zip(self.axes_, self.rows, strict=True):
            for ax, plane in zip(row, planes, strict=True):
                plane.draw(ax, shades, size=9)
                ax.set_title(plane.title, fontsize=10)
                ax.set(xlabel=f"{plane.axes[0]}, mm", ylabel=f"{plane.axes[1]}, mm")
            if name:
                row[0].set_ylabel(f"{name}\n{row[0].get_ylabel()}")
        return self


class CohortDisplay:
    """A sheet with one small picture for each case, to find wrong masks.

    Each picture is the slice with the largest part of the mask, in the plane with the
    finest pixels. It has the contour of the mask, its volume, and the letters of
    `VolumeDisplay`. A case that can't be read, or that has no mask, says so.

    Parameters
    ----------
    tiles : list
        The pictures. Made by `from_volumes` and `from_cases`.

    Attributes
    ----------
    axes_ : ndarray of shape (n_rows, n_columns), of matplotlib Axes
        Those beyond the last case are empty.
    figure_ : matplotlib Figure

    See Also
    --------
    VolumeDisplay : One case in three planes.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from skvae.datasets import make_dicom_cohort
    >>> from skvae.dicom import scan
    >>> from skvae.plot import CohortDisplay
    >>> with TemporaryDirectory() as folder:
    ...     patients = make_dicom_cohort(folder, 3, random_state=0)
    ...     display = CohortDisplay.from_volumes(scan(folder))
    >>> display.axes_.shape
    (1, 3)
    """

    def __init__(self, tiles):
        self.tiles = tiles

    @classmethod
    def from_volumes(
        cls, volumes, *, loader=None, channel=0, window=None, n_columns=6, axes=None
    ):
        """Read cases one after the other, and plot them.

        Parameters
        ----------
        volumes : DataFrame or list
            What the loader takes. Titles are the labels of the rows in the index, or
            their numbers where the labels are IDs of patients.
        loader : VolumeLoader, default=None
            What reads the cases. None takes ``VolumeLoader()``: whole slices, as
            acquired. Small regions are easier to see with
            ``VolumeLoader(crop="mask", margin=30)``.
        channel : int, default=0
            Which image of each case is shown.
        window : str or pair of floats, default=None
            As in `VolumeDisplay.from_case`.
        n_columns : int, default=6
            Pictures side by side.
        axes : array-like of matplotlib Axes, default=None
            One for each case at least. None makes a new figure.

        Returns
        -------
        display : CohortDisplay
        """
        loader = VolumeLoader() if loader is None else clone(loader)
        n_jobs = loader.n_jobs
        loader.set_params(n_jobs=None, on_error="raise")
        tiles = Parallel(n_jobs=n_jobs)(
            delayed(_read_tile)(loader, row, channel, window) for row in _rows(volumes)
        )
        return cls(_titled(tiles, _labels(volumes))).plot(axes, n_columns=n_columns)

    @classmethod
    def from_cases(
        cls, cases, *, titles=None, channel=0, window=None, n_columns=6, axes=None
    ):
        """Plot cases that were read before.

        Parameters
        ----------
        cases : list of Case or None
            What `load_cases` of a `skvae.dicom.VolumeLoader` returns.
        titles : list of str, default=None
            None numbers the cases from 0.
        channel : int, default=0
            Which image of each case is shown.
        window : str or pair of floats, default=None
            As in `VolumeDisplay.from_case`.
        n_columns : int, default=6
            Pictures side by side.
        axes : array-like of matplotlib Axes, default=None
            One for each case at least. None makes a new figure.

        Returns
        -------
        display : CohortDisplay
        """
        tiles = [_tile(case, channel, window) for case in cases]
        titles = range(len(tiles)) if titles is None else titles
        return cls(_titled(tiles, titles)).plot(axes, n_columns=n_columns)

    def plot(self, axes=None, *, n_columns=6):
        """Draw the pictures.

        Parameters
        ----------
        axes : array-like of matplotlib Axes, default=None
            One for each case at least. None makes a new figure.
        n_columns : int, default=6
            Pictures side by side, of a new figure.

        Returns
        -------
        display : CohortDisplay

        Raises
        ------
        ValueError
            If there is no case, or if there are fewer axes than cases.
        """
        import matplotlib.pyplot as plt

        n_tiles = len(self.tiles)
        if axes is None and n_tiles:
            n_columns = min(n_columns, n_tiles)
            shape = math.ceil(n_tiles / n_columns), n_columns
            size = _TILE * shape[1], 1.2 * _TILE * shape[0]
            _, axes = plt.subplots(
                *shape, figsize=size, layout="constrained", squeeze=False
            )
        if not n_tiles or np.size(axes) < n_tiles:
            raise ValueError(
                f"There must be one case at least and one of the `axes` for each, got "
                f"{n_tiles} cases and {0 if axes is None else np.size(axes)} axes."
            )
        self.axes_ = np.atleast_2d(axes)
        self.figure_ = self.axes_.flat[0].figure
        for ax in self.axes_.flat:
            ax.set_axis_off()
        for ax, tile in zip(self.axes_.flat, self.tiles, strict=False):
            tile.draw(ax)
        return self


def _planes(array, mask, affine, slices):
    """Cut a volume into an axial, a coronal and a sagittal plane."""
    if slices not in ("largest", "middle"):
        raise ValueError(f"`slices` must be 'largest' or 'middle', got {slices!r}.")
    if mask is not None:
        _check_mask(mask, array.shape)
    grid = grid_of(array.shape, affine)
    numbers = _slices(grid, mask if slices == "largest" else None, affine)
    return [_cut(name, array, mask, affine, grid, numbers) for name in _PLANES]


def _check_mask(mask, shape):
    if np.shape(mask) != shape:
        raise ValueError(
            f"`mask` must be of the shape {shape} of the volume, got {np.shape(mask)}."
        )
    if mask.dtype != bool:
        raise TypeError(
            f"`mask` must be of dtype bool, got {mask.dtype}; pass mask == label."
        )
    if not mask.any():
        raise ValueError("`mask` must hold one voxel at least, got an empty one.")


def _slices(grid, mask, affine):
    """Choose a slice along each axis of a grid."""
    if mask is None:
        return [size // 2 for size in grid.shape]
    to_grid = np.linalg.solve(grid.affine, affine)
    places = np.argwhere(mask) @ to_grid[:3, :3].T + to_grid[:3, 3]
    places = np.rint(places).astype(int).clip(0, np.array(grid.shape) - 1)
    return [int(np.bincount(along).argmax()) for along in places.T]


def _cut(name, array, mask, affine, grid, numbers):
    """Return one slice of a grid; only what lies askew is interpolated."""
    axis, down, across = _PLANES[name]
    start, shape = np.zeros(3), list(grid.shape)
    start[axis], shape[axis] = numbers[axis], 1
    slab = grid.cut(start, tuple(shape))
    image, _ = resample(array, affine, slab, 1, float(array.min()))
    if mask is not None:
        # One byte per voxel is fine enough to cut at one half.
        values, _ = resample(mask * np.uint8(200), affine, slab, 1, 0)
        mask = values.squeeze(axis) >= 100
    directions = grid.affine[:3, :3] / grid.spacing
    low = directions.T @ slab.affine[:3, 3] - np.array(grid.spacing) / 2
    high = low + np.array(slab.shape) * grid.spacing
    place = (low + high)[axis] / 2
    vertical = [(low[down], high[down]), _ENDS[down]]
    if down:  # the front is up
        vertical = [ends[::-1] for ends in vertical]
    return _Plane(
        image.squeeze(axis),
        mask,
        (low[across], high[across], *vertical[0]),
        (*_ENDS[across], *vertical[1]),
        (_COORDINATES[across], _COORDINATES[down]),
        f"{name}, {_COORDINATES[axis]} = {round(place, 1) + 0.0:g} mm"
        + _turned(directions[2 - axis, axis]),
    )


def _turned(cosine):
    """Say by how much a plane is turned from that of the patient, if it is."""
    degrees = math.degrees(math.acos(min(cosine, 1)))
    return f", turned by {degrees:.0f}°" if degrees >= 1 else ""


def _shades(planes, about, window):
    """Choose which values are black and white, and the map of colours."""
    _check_window(window)
    values = np.concatenate([plane.image.ravel() for plane in planes])
    is_pair = window is not None and not isinstance(window, str)
    if not is_pair and about.get("modality") == "PT":
        return _as_shades(0, max(np.percentile(values, 99.8), 1e-9), "gray_r")
    if not is_pair and about.get("units") == "HU":
        window, is_pair = WINDOWS[window or "soft_tissue"], True
    if not is_pair:
        inside = values[values > values.min()]  # what lies around is filled with it
        return _as_shades(*np.percentile(inside if inside.size else values, [1, 99.5]))
    centre, width = window
    return _as_shades(centre - width / 2, centre + width / 2)


def _check_window(window):
    if window is None or (isinstance(window, str) and window in WINDOWS):
        return
    if isinstance(window, str) or np.shape(window) != (2,) or not window[1] > 0:
        raise ValueError(
            f"`window` must be one of {sorted(WINDOWS)} or (centre, width) with a "
            f"positive width, got {window!r}."
        )


def _as_shades(low, high, cmap="gray"):
    return {"vmin": float(low), "vmax": float(high), "cmap": cmap}


def _about(case, channel):
    """Tell modality and units of a channel, where values are as they were read."""
    settings = case.report["settings"]
    if settings["normalize"] is not None or settings["window"] is not None:
        return {}
    return case.report["channels"][channel]


def _rows(volumes):
    """Split what a loader takes into parts of one case each."""
    parts = getattr(volumes, "iloc", volumes)
    return [parts[number : number + 1] for number in range(len(volumes))]


def _labels(volumes):
    """Return the labels of rows, or their numbers if labels tell who a patient is."""
    numbers = range(len(volumes))
    if not hasattr(volumes, "iloc") or "patient_id" in volumes.index.names:
        return numbers
    pairs = zip(volumes.index, volumes.get("patient_id", ()), strict=False)
    return numbers if any(_tells(*pair) for pair in pairs) else volumes.index


def _tells(label, patient):
    """Tell whether a label has the ID of its patient in it."""
    is_number = isinstance(label, Integral)  # which any scan has as labels
    return not is_number and str(patient).strip() in str(label)


def _titled(tiles, titles):
    pairs = zip(tiles, titles, strict=True)
    return [replace(tile, title=str(title)) for tile, title in pairs]


def _read_tile(loader, part, channel, window):
    """Read one case and make its picture, or say why there is none."""
    row = part.iloc[0] if hasattr(part, "iloc") else part[0]
    known = dict(row) if hasattr(row, "keys") else {}
    if isinstance(known.get("problem"), str):
        return _Tile(problem=_discreet(known["problem"], known))
    try:
        with warnings.catch_warnings():
            # The caption tells of it.
            warnings.filterwarnings("ignore", ".* cuts the masks", DicomWarning)
            (case,) = loader.load_cases(part)
    except (DicomError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        reason = reason.replace("Case 0 of `X`", "This case")
        return _Tile(problem=_discreet(f"{type(error).__name__}: {reason}", known))
    return _tile(case, channel, window)


def _discreet(text, row):
    """Leave UIDs and the names of files out, which may tell who a patient is."""
    for column in ("files", "label_images", "masks", "mask"):
        for path in np.ravel(row.get(column, ())):
            text = text.replace(Path(str(path)).name, "a file")
    return _UID.sub("a UID", _FILE.sub("a file", text))


def _tile(case, channel, window):
    if case is None:
        return _Tile(problem="This case could not be read.")
    array, affine = case.image[channel], case.affine
    grid = grid_of(array.shape, affine)
    numbers = _slices(grid, case.mask, affine)
    # The finest pixels are in the plane across the largest spacing.
    name = max(_PLANES, key=lambda name: round(grid.spacing[_PLANES[name][0]], 2))
    plane = _cut(name, array, case.mask, affine, grid, numbers)
    shades = _shades([plane], _about(case, channel), window)
    return _Tile(plane, shades, _caption(case))


def _caption(case):
    if case.mask is None:
        return "no mask"
    millilitres = case.mask.sum() * np.prod(case.spacing) / 1000
    cut = case.report.get("mask_cut") or 0
    return f"{millilitres:.3g} ml" + (f", {cut:.0%} cut off" if cut else "")

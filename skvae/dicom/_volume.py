"""A volume: values on a grid in the space of a patient."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False, repr=False)
class Volume:
    """Values on a grid in the space of a patient.

    Parameters
    ----------
    array : ndarray of shape (n_slices, n_rows, n_columns), float32
        Values in `units`.
    affine : ndarray of shape (4, 4), float64
        Takes indices (slice, row, column, 1) to millimetres (x, y, z, 1), where x grows
        to the patient's left, y to the back and z to the head (LPS).
    units : str, default="arbitrary"
        "HU" (CT), "SUVbw" or the units that a PET series states ("BQML", say).
    frame_of_reference : str or None, default=None
        Hash of the UID of the space that the millimetres are in. Volumes and masks of
        one such space lie on each other as they are.
    provenance : dict or None, default=None
        Where the volume comes from and what was done to it, as values for JSON: the
        hash of its series UID ("series"), its modality, number of files, transfer
        syntaxes, number of slices that were interpolated, and the versions of the
        packages that read it. Nothing in it tells who the patient is.
    """

    array: np.ndarray
    affine: np.ndarray
    units: str = "arbitrary"
    frame_of_reference: str | None = None
    provenance: dict[str, Any] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of slices, rows and columns."""
        return self.array.shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between the planes of slices, between rows, between columns."""
        return spacing_of(self.affine)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Give the values to NumPy: ``np.asarray(volume)`` is ``volume.array``."""
        if copy is None:
            return np.asarray(self.array, dtype)
        if copy:
            return np.array(self.array, dtype)
        if dtype is not None and np.dtype(dtype) != self.array.dtype:
            raise ValueError(
                f"`copy`=False can't turn values from {self.array.dtype} into "
                f"{np.dtype(dtype)}. Leave it out."
            )
        return self.array

    @classmethod
    def from_array(
        cls,
        array: ArrayLike,
        spacing: Sequence[float] | np.ndarray,
        *,
        origin: Sequence[float] | np.ndarray | None = None,
        direction: Sequence[Sequence[float]] | np.ndarray | None = None,
        units: str = "arbitrary",
    ) -> "Volume":
        """Make a volume of values that are in memory.

        Parameters
        ----------
        array : array-like of shape (n_slices, n_rows, n_columns)
            Real numbers, kept as float32.
        spacing : array-like of 3 floats
            Millimetres between slices, rows and columns.
        origin : array-like of 3 floats, default=None
            Centre of the first voxel in millimetres (x, y, z), LPS. None takes 0.
        direction : array-like of shape (3, 3), default=None
            Columns are the directions in which slices, rows and columns count up, of
            length 1, in (x, y, z), LPS. None takes the head, the back and the left, as
            in an axial series.
        units : str, default="arbitrary"
            "HU", if these are values of CT.

        Returns
        -------
        volume : Volume

        Raises
        ------
        ValueError
            If a shape is another, a value is not finite, spacing is not above 0 or
            directions are not of length 1 or lie in one plane.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae.dicom import Volume
        >>> Volume.from_array(np.zeros((20, 64, 64)), (3, 0.8, 0.8))
        Volume(20 x 64 x 64, 3 x 0.8 x 0.8 mm, arbitrary)
        """
        values = np.asarray(array)
        if values.ndim != 3 or not values.size or values.dtype.kind not in "biuf":
            raise ValueError(
                "`array` must hold real numbers of shape (n_slices, n_rows, n_columns)"
                f", got {values.dtype} of shape {values.shape}."
            )
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError("`array` must be finite in float32. Fill what is NaN.")
        steps = _numbers("spacing", spacing, (3,))
        if not (steps > 0).all():
            raise ValueError(f"`spacing` must be 3 numbers above 0, got {spacing}.")
        turn = _numbers("direction", _AXIAL if direction is None else direction, (3, 3))
        lengths = np.linalg.norm(turn, axis=0)
        if not np.allclose(lengths, 1, atol=1e-3) or abs(np.linalg.det(turn)) < 1e-3:
            raise ValueError(
                "`direction` must have 3 columns of length 1 that don't lie in one "
                f"plane, got lengths {lengths.round(4)} and the determinant "
                f"{np.linalg.det(turn):.4g}."
            )
        affine = np.eye(4)
        affine[:3, :3] = turn * steps
        affine[:3, 3] = _numbers(
            "origin", (0, 0, 0) if origin is None else origin, (3,)
        )
        return cls(values, affine, units)

    def __repr__(self) -> str:
        spacing = " x ".join(f"{step:.4g}" for step in self.spacing)
        shape = " x ".join(map(str, self.shape))
        return f"Volume({shape}, {spacing} mm, {self.units})"


_AXIAL = ((0, 0, 1), (0, 1, 0), (1, 0, 0))


def _numbers(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    numbers = np.asarray(value, dtype=float)
    if numbers.shape != shape or not np.isfinite(numbers).all():
        wanted = " x ".join(map(str, shape))
        raise ValueError(f"`{name}` must be {wanted} finite numbers, got {value}.")
    return numbers


def spacing_of(affine: np.ndarray) -> tuple[float, float, float]:
    """Return the spacing of a grid; that of slices is taken along their normal."""
    step, row, column = affine[:3, :3].T
    between_rows, between_columns = np.linalg.norm(row), np.linalg.norm(column)
    normal = np.cross(column / between_columns, row / between_rows)
    return abs(float(step @ normal)), float(between_rows), float(between_columns)


def hashed(uid: str | None) -> str | None:
    """Hash a UID, so that it can be compared and traced, but not read."""
    if not uid:
        return None
    return hashlib.sha256(str(uid).encode()).hexdigest()[:16]

"""A volume: values on a grid in the space of a patient."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np


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

    def __repr__(self) -> str:
        spacing = " x ".join(f"{step:.4g}" for step in self.spacing)
        shape = " x ".join(map(str, self.shape))
        return f"Volume({shape}, {spacing} mm, {self.units})"


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

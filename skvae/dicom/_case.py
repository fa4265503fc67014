"""One case: images and a region on one grid, made of files or kept from before."""

import json
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from operator import itemgetter
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .._cache import Arrays, as_json, key_of, remember
from .._fingerprint import fingerprint
from ._cases import Channel, Source
from ._errors import DicomError, DicomWarning, MaskError, discreet
from ._masks import load_mask
from ._notes import Notes, notes_from_text, notes_to_text, recorded
from ._process import (
    check_one_space,
    grid_for,
    image_on,
    region_on,
    spacing_that_holds,
)
from ._resample import Grid, share_cut
from ._series import load_series
from ._volume import Volume, spacing_of

Result = TypeVar("Result")

_ABOUT_GRID = ("spacing", "shape", "crop", "margin")
_ABOUT_IMAGE = ("window", "normalize", "interpolation", "fill", "mask_outside", "ibsi")


@dataclass(frozen=True, eq=False)
class Case:
    """One patient's images and region on one grid.

    Attributes
    ----------
    image : ndarray of shape (n_channels, n_slices, n_rows, n_columns), float32
    mask : ndarray of shape (n_slices, n_rows, n_columns), bool, or None
    affine : ndarray of shape (4, 4)
        Takes indices (slice, row, column, 1) to millimetres (x, y, z, 1), LPS.
    spacing : tuple of 3 floats
        Millimetres between slices, rows and columns.
    report : dict
        What was read and what was done to it, as values for JSON.
    """

    image: np.ndarray
    mask: np.ndarray | None
    affine: np.ndarray
    spacing: tuple[float, float, float]
    report: dict[str, Any]


class CaseReader:
    """Makes cases as settings say.

    Parameters
    ----------
    settings : dict
        Parameters of `VolumeLoader` on which a case depends.
    cache : path or None
        Folder where cases, volumes and masks are kept.
    maker : type
        The class whose settings these are. Those of a subclass are other cases.
    """

    def __init__(
        self, settings: dict[str, Any], cache: str | PathLike[str] | None, maker: type
    ) -> None:
        self.settings = settings
        self.cache = cache
        self.maker = maker

    @discreet
    def read(self, source: Source) -> Case:
        """Take a case from the cache, or make it, with the warnings it gave."""
        kept = self._arrays(lambda: self.key(source), lambda: self._make(source))
        arrays = _warned(kept)
        return Case(
            arrays["image"],
            arrays.get("mask"),
            arrays["affine"],
            spacing_of(arrays["affine"]),
            json.loads(str(arrays["report"])),
        )

    def key(self, source: Source) -> str:
        """Hash all that decides a case."""
        return self._key_of(source.digests(), self.settings)

    @discreet
    def image(self, source: Source, key: str) -> np.ndarray:
        """Take the image of a case from the cache again, without warnings."""
        arrays, _ = self._arrays(lambda: key, lambda: self._make_again(source, key))
        image: np.ndarray = arrays["image"]
        return image

    def _arrays(
        self, key: Callable[[], str], make: Callable[[], Arrays]
    ) -> tuple[Arrays, Notes]:
        return self._kept("cases", key, make, lambda made: made, lambda kept: kept)

    def _key_of(self, digests: list[Any], settings: dict[str, Any]) -> str:
        """Hash all that decides a result: the files, what is done, and who does it."""
        return key_of(digests, settings, _versions(), fingerprint(self.maker))

    def _kept(
        self,
        kind: str,
        key: Callable[[], str],
        make: Callable[[], Result],
        pack: Callable[[Result], Arrays],
        unpack: Callable[[Arrays], Result],
    ) -> tuple[Result, Notes]:
        """Make something, or take it from the cache, with the warnings it gave."""
        return remember(
            None if self.cache is None else Path(self.cache, kind),
            key,
            lambda: recorded(make, DicomWarning),
            pack=lambda made: {**pack(made[0]), "notes": notes_to_text(made[1])},
            unpack=lambda kept: (unpack(kept), notes_from_text(kept["notes"])),
        )

    def _make_again(self, source: Source, key: str) -> Arrays:
        """Make what the cache has lost, unless the files are no longer the same."""
        if key != self.key(source):
            raise DicomError(
                "The files of a case have changed since `transform`, and the cache has "
                "lost what was made of them. Call `transform` again."
            )
        return self._make(source)

    def _make(self, source: Source) -> Arrays:
        settings = self.settings
        volumes = [self._volume(channel) for channel in source.channels]
        mask = None if source.mask is None else self._mask(source, volumes[0])
        is_needed = settings["crop"] == "mask" or settings["mask_outside"]
        if mask is None and is_needed:
            raise MaskError(
                "There is no mask, which crop='mask' and mask_outside=True need. Name "
                'its file in a column "mask".'
            )
        check_one_space(volumes)
        grid = grid_for(volumes[0], mask, **self._of(_ABOUT_GRID))
        region = None if mask is None else region_on(grid, mask, volumes[0])
        how = self._of(_ABOUT_IMAGE)
        done = [
            image_on(grid, volume, region, name, **how)
            for volume, name in zip(volumes, settings["channels"], strict=True)
        ]
        origins = [volume.provenance or {} for volume in volumes]
        report = {
            "series": [origin["series"] for origin in origins],
            "channels": [
                origin | note for origin, (_, note) in zip(origins, done, strict=True)
            ],
            "shape": list(grid.shape),
            "spacing": list(grid.spacing),
            "mask_label": source.label,
            "mask_voxels": None if region is None else int(region.sum()),
            **self._fit_of(mask, volumes[0], grid),
            "settings": settings,
        }
        arrays = {
            "image": np.stack([image for image, _ in done]),
            "affine": grid.affine,
            "report": np.array(as_json(report)),
        }
        return arrays if region is None else arrays | {"mask": region}

    def _fit_of(
        self, mask: np.ndarray | None, volume: Volume, grid: Grid
    ) -> dict[str, Any]:
        """Tell which share of a mask is cut off, and which spacing would hold it."""
        if mask is None:
            return {"mask_cut": None, "mask_spacing": None}
        cut = share_cut(mask, volume.affine, grid)
        spacing = None
        if cut and self.settings["crop"] == "mask":
            spacing = spacing_that_holds(mask, volume, self.settings["shape"])
        return {"mask_cut": cut, "mask_spacing": spacing}

    def _volume(self, channel: Channel) -> Volume:
        options = self._of(["irregular", "suv"])
        kept = self._kept(
            "volumes",
            lambda: self._key_of(channel.digests(), options),
            lambda: load_series(channel.source, **options),
            _packed,
            _unpacked,
        )
        return _warned(kept)

    def _mask(self, source: Source, like: Volume) -> np.ndarray:
        options = self._of(["irregular", "label"])
        kept = self._kept(
            "masks",
            lambda: self._key_of(source.digests(), options),
            lambda: load_mask(source.mask, like, source.label),
            lambda mask: {"mask": mask},
            itemgetter("mask"),
        )
        return _warned(kept)

    def _of(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: self.settings[name] for name in names}


def _warned(kept: tuple[Result, Notes]) -> Result:
    """Give the warnings that making something gave, and return it."""
    result, notes = kept
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return result


@lru_cache
def _versions() -> tuple[str, str]:
    return version("skvae"), version("pydicom")


def _packed(volume: Volume) -> Arrays:
    """Turn a volume into arrays to keep, whole numbers into short ones."""
    array = volume.array
    with np.errstate(invalid="ignore"):
        short = array.astype(np.int16)
    about = {
        "units": volume.units,
        "frame_of_reference": volume.frame_of_reference,
        "provenance": volume.provenance,
    }
    return {
        "array": short if np.array_equal(short, array) else array,
        "affine": volume.affine,
        "about": np.array(as_json(about)),
    }


def _unpacked(arrays: Arrays) -> Volume:
    about = json.loads(str(arrays["about"]))
    return Volume(arrays["array"].astype(np.float32), arrays["affine"], **about)

"""What a case is made from: series and a mask, in tables, lists and mappings."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from .._cache import as_json
from ._errors import MaskError
from ._masks import is_missing, mask_of
from ._select import mask_beside
from ._series import files_of, image_file_in, modality_of

_PATH = str | os.PathLike


@dataclass(frozen=True)
class Channel:
    """A series to read: a folder, files, or a row of `scan`."""

    source: Any

    def digests(self) -> list[str]:
        """Hash what is read, frame by frame where a row names them."""
        digests = {path: digest_of(path) for path in files_of(self.source)}
        if not hasattr(self.source, "keys"):
            return list(digests.values())
        places = zip(self.source["files"], self.source["frames"], strict=True)
        frames = [f"{digests[Path(path)]} {index}" for path, index in places]
        if image_file_in(self.source):  # whose units depend on the row
            frames.append(str(modality_of(self.source)))
        return frames


@dataclass(frozen=True)
class Source:
    """All that a case is made from."""

    channels: list[Channel]
    mask: Any
    label: Any = None

    def digests(self) -> list[str]:
        """Hash the contents of all files."""
        digests = [digest for channel in self.channels for digest in channel.digests()]
        if self.mask is None:
            return digests
        files = [self.mask] if isinstance(self.mask, _PATH) else self.mask
        return [*digests, "mask", *map(digest_of, files), as_json(self.label)]


def cases_in(X: Any) -> Iterable[Any]:
    """List the rows of a table, or what is in a list."""
    if isinstance(X, pd.DataFrame):
        return [row for _, row in X.iterrows()]
    if isinstance(X, str | os.PathLike) or hasattr(X, "keys"):
        raise TypeError("`X` must be a table or a list of cases, not a single case.")
    return X


def source_of(
    case: Any, channels: Sequence[str], number: int, label: Any = None
) -> Source:
    """Tell what a case is made from, and which label of its mask is meant."""
    if isinstance(case, _PATH) and os.path.isdir(case):
        mask, label = mask_beside(case, label)
        case = {channels[0]: case, "mask": mask}
    elif not hasattr(case, "keys"):
        case = {channels[0]: case}
    if channels[0] not in case and "files" in case:
        case = {channels[0]: case, **_mask_of(case, number)}
    missing = [name for name in channels if name not in case]
    if missing:
        raise ValueError(
            f"Case {number} of `X` lacks the `channels` {missing}, it has {list(case)}."
        )
    first = case[channels[0]]
    is_in_row = "mask" not in case and hasattr(first, "keys")
    mask, label = mask_of(first if is_in_row else case, label)
    files = mask if isinstance(mask, list | tuple) else [mask]
    if not (is_missing(mask) or all(isinstance(file, _PATH) for file in files)):
        raise TypeError(
            f'"mask" of case {number} of `X` must hold paths or be missing, got a '
            f"{type(mask).__name__}."
        )
    mask = None if is_missing(mask) else mask
    return Source([Channel(case[name]) for name in channels], mask, label)


def _mask_of(row: Any, number: int) -> dict[str, Any]:
    """Return the mask of a row of `scan`: the one named, or the only one there."""
    masks = row.get("masks", ())
    if "mask" in row:
        return {name: row.get(name) for name in ("mask", "mask_label", "region")}
    if len(masks) > 1:
        raise MaskError(
            f'Case {number} of `X` has {len(masks)} files in "masks". Pick one region '
            'with `select_regions`, or name the file in a column "mask".'
        )
    return {"mask": masks[0] if masks else None}


def digest_of(path: str | os.PathLike[str]) -> str:
    """Hash the content of a file."""
    status = os.stat(path)
    changed = status.st_mtime_ns, status.st_ctime_ns
    return _digest(os.fspath(path), status.st_size, changed)


@lru_cache(maxsize=100_000)
def _digest(path: str, size: int, changed: tuple[int, int]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()

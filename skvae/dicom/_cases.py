"""What a case is made from: series and a mask, in tables, lists and mappings."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ._errors import MaskError
from ._images import detached_from
from ._masks import is_missing, mask_of
from ._select import mask_beside
from ._series import files_of, image_file_in, modality_of

_PATH = str | os.PathLike


@dataclass(frozen=True)
class Channel:
    """A series to read: a folder, files, or a row of `scan`."""

    source: Any

    def digests(self) -> list[Any]:
        """Hash what is read, frame by frame where a row names them."""
        row = self.source
        digests = {path: digest_of(path) for path in files_of(row)}
        if not hasattr(row, "keys"):
            return list(digests.values())
        places = zip(row["files"], row["frames"], strict=True)
        frames = [(digests[Path(path)], int(index)) for path, index in places]
        return [*frames, modality_of(row)]  # on which units may depend


@dataclass(frozen=True)
class Source:
    """All that a case is made from."""

    channels: list[Channel]
    mask: Any
    label: Any = None

    def digests(self) -> list[Any]:
        """Hash the contents of all files, so that it shows where each one goes."""
        channels = [channel.digests() for channel in self.channels]
        if self.mask is None:
            return [channels]
        files = [self.mask] if isinstance(self.mask, _PATH) else self.mask
        return [channels, list(map(digest_of, files)), self.label]


def cases_in(X: Any) -> list[Any]:
    """List the rows of a table, or what is in a list."""
    if isinstance(X, _PATH) or (hasattr(X, "keys") and not hasattr(X, "columns")):
        raise TypeError("`X` must be a table or a list of cases, not a single case.")
    cases = [row for _, row in X.iterrows()] if hasattr(X, "columns") else list(X)
    if not cases:
        raise ValueError(
            "`X` holds no case, but must hold one at least. Look at what `scan` or "
            "`select_regions` found."
        )
    return cases


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
        _refuse_text(case, number)
        case = {channels[0]: case, **_mask_of(case, number)}
    missing = [name for name in channels if name not in case]
    if missing:
        raise ValueError(
            f"Case {number} of `X` lacks the `channels` {missing}, it has {list(case)}."
        )
    for name in channels:
        _refuse_text(case[name], number)
    first = case[channels[0]]
    is_in_row = "mask" not in case and hasattr(first, "keys")
    mask, label = mask_of(first if is_in_row else case, label)
    files = mask if np.ndim(mask) else [mask]
    if not (is_missing(mask) or all(isinstance(file, _PATH) for file in files)):
        raise TypeError(
            f'"mask" of case {number} of `X` must hold paths or be missing, got a '
            f"{type(mask).__name__}."
        )
    mask = None if is_missing(mask) else mask
    return Source([Channel(case[name]) for name in channels], mask, label)


def _refuse_text(row: Any, number: int) -> None:
    """Refuse rows of tables that were saved as text."""
    if hasattr(row, "keys") and isinstance(row.get("files"), str):
        raise TypeError(
            f'"files" of case {number} of `X` is text, but must be a tuple of paths: a '
            "table from `scan` can't be saved as CSV. Save it with `to_pickle` or "
            "`to_parquet`, or scan again."
        )


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
    """Hash the content of a file, and of one that it names as holding its values."""
    digests = []
    for file in (path, *(detached_from(Path(path)) if image_file_in(path) else ())):
        status = os.stat(file)
        changed = status.st_mtime_ns, status.st_ctime_ns
        digests.append(_digest(os.fspath(file), status.st_size, changed))
    return " ".join(digests)


@lru_cache(maxsize=100_000)
def _digest(path: str, size: int, changed: tuple[int, int]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()

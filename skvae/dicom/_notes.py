"""Warnings of cases: recorded where a case is made, given again where the user is."""

import json
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from .._cache import as_json
from ._errors import DicomWarning

Result = TypeVar("Result")
Notes = list[Warning]

_OURS = ("skvae.", "sklearn.")  # modules that are none of the user's


def recorded(
    function: Callable[[], Result], *categories: type[Warning]
) -> tuple[Result, Notes]:
    """Call a function; return what it gives, and its warnings of some categories.

    Others are passed on, and all of them if there is an error.
    """
    notes: Notes = []
    kept: tuple[type[Warning], ...] = ()
    try:
        with warnings.catch_warnings(record=True) as caught:
            for category in categories:
                warnings.simplefilter("always", category)
            result = function()
        kept = categories
    finally:
        for warning in caught:
            message: Any = warning.message
            if issubclass(warning.category, kept):
                notes.append(message)
            else:
                warnings.warn_explicit(
                    message, warning.category, warning.filename, warning.lineno
                )
    return result, notes


def notes_to_text(notes: Notes) -> np.ndarray:
    """Turn warnings into an array to keep."""
    return np.array(as_json(list(map(str, notes))))


def notes_from_text(text: np.ndarray) -> Notes:
    """Turn such an array into warnings."""
    return list(map(DicomWarning, json.loads(str(text))))


def distinct(notes: Notes) -> Collection[Warning]:
    """Keep one of the warnings that say the same."""
    return {(type(note), str(note)): note for note in notes}.values()


def level_of_user() -> int:
    """Count the calls up to the code that called this package, or scikit-learn."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals["__name__"].startswith(_OURS):
        frame, level = frame.f_back, level + 1
    return level


def mixed_modalities(
    reports: Collection[Mapping[str, Any]], channels: Sequence[str]
) -> Iterator[str]:
    """Name the channels that hold images of several modalities."""
    for place, name in enumerate(channels):
        found = Counter(report["channels"][place]["modality"] for report in reports)
        del found[None]
        if len(found) > 1:
            counts = ", ".join(f"{n} of {modality}" for modality, n in found.items())
            yield (
                f"The channel {name!r} holds different modalities: {counts}. Keep the "
                'cases of one, by the column "modality", or give each its own channel.'
            )


def cut_masks(reports: Mapping[int, Mapping[str, Any]], shape: Any) -> Iterable[str]:
    """Tell how much of the masks lies outside of a shape, and what would help."""
    cuts = {number: report["mask_cut"] for number, report in reports.items()}
    n_cut = sum(cut > 0 for cut in cuts.values())
    if not n_cut:
        return []
    worst = max(cuts, key=lambda number: cuts[number])
    spacing = max(report["mask_spacing"] or 0 for report in reports.values())
    return [
        f"`shape`={tuple(shape)} cuts the masks of {n_cut} of {len(cuts)} cases: "
        f"{100 * cuts[worst]:.3g} % of that of case {worst}, the worst. "
        f"spacing={spacing:g} would hold all of them. Take this, or a larger `shape`."
    ]

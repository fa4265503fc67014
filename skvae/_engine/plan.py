"""What a training works on and how it ends, settled before it begins."""

import math
from dataclasses import dataclass, fields
from functools import cache
from importlib.metadata import version
from pickle import PicklingError
from typing import Any, NamedTuple

import numpy as np

from .._blocks import BlockRows
from .._cache import key_of
from .._fingerprint import fingerprint
from .._validation import number_groups


class Labels(NamedTuple):
    """What a model takes from `y`.

    Attributes
    ----------
    numbers : ndarray of shape (n_samples,) or (n_samples, n_bits), or None
        Number of the class of each sample, -1 where it is not known, or the bits of its
        mark. None if samples have no labels.
    classes : ndarray of shape (n_classes,) or None
        None for marks.
    class_prior : ndarray of shape (n_classes,) or None
        Shares of the classes that training assumes.
    label_prior : ndarray of shape (n_classes,) or None
        Shares of the classes among the labels, where a model tells them apart.
    """

    numbers: Any
    classes: Any
    class_prior: Any
    label_prior: Any = None


@dataclass(frozen=True)
class Recipe:
    """What a net is made from: objects, no names, and copies of the user's own.

    Attributes
    ----------
    module : str or type
        A class of `skvae.nn` by its name, or one of the user's own.
    sample_shape : tuple of int
    architecture : object
    arguments : dict
        Arguments of the module beside the networks and the scale of the data.
    standardizes : bool
        Whether the networks need the scale of the data.
    learning_rate : float
    rates : dict of str to float
        Learning rates of phases that have one of their own.
    weight_decay : float
    batch_size : int
    precision : str
        In which the networks multiply, in training.
    device : str
    """

    module: Any
    sample_shape: Any
    architecture: Any
    arguments: Any
    standardizes: bool
    learning_rate: float
    rates: Any
    weight_decay: float
    batch_size: int
    precision: str
    device: str

    def parts(self):
        """Return all that decides what is made, by name."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return parts | parts.pop("arguments")


@dataclass(frozen=True)
class Plan:
    """One training.

    Attributes
    ----------
    recipe : Recipe
    layers : list of str
        Layers that the net must have.
    rows : ndarray or Tensor of shape (n_samples, n_features)
        Or (n_samples, 2, n_features): what is encoded, and what is to come out of it.
    labels : Labels or None
    weights : ndarray of shape (n_samples,) or None
        What each of `rows` counts; those of 0 are left out.
    class_weights : ndarray of shape (n_classes,) or None
        What the labels of each class count, where a model tells classes apart.
    held_out : tuple (rows, numbers of the classes or None) or None
        What to validate on.
    share : float or None
        Share of `rows`, or of their groups, to hold out for that instead.
    groups : ndarray of shape (n_samples,) or None
        Numbers of the groups.
    stopping : tuple (patience, tol) or None
        When to stop early, None for never.
    n_epochs : int
        To train at most.
    seed : int
    repeats : bool
        Whether the seed is the user's, so that another one is another training.
    callbacks : list of skorch callbacks
    metrics : dict of str to callable
        What else to measure on held-out samples, by name.
    earlier : Net or None
        Whose training goes on.
    """

    recipe: Recipe
    layers: Any
    rows: Any
    labels: Any
    weights: Any
    class_weights: Any
    held_out: Any
    share: Any
    groups: Any
    stopping: Any
    n_epochs: int
    seed: int
    repeats: bool
    callbacks: Any
    metrics: Any
    earlier: Any

    @property
    def numbers(self):
        """Return the numbers of the classes of `rows`, None without labels."""
        return None if self.labels is None else self.labels.numbers

    @property
    def targets(self):
        """Return what is reconstructed, of shape (n_samples, n_features)."""
        return self.rows if self.rows.ndim == 2 else self.rows[:, 1]

    def key(self):
        """Hash all that decides the result."""
        parts = self.recipe.parts()
        parts |= {"callbacks": self.callbacks, "metrics": self.metrics}
        rows = self.rows.digest() if isinstance(self.rows, BlockRows) else self.rows
        data = rows, self.numbers, self.held_out
        if self.share is not None:
            data += self.share, self.groups
        if self.weights is not None or self.class_weights is not None:
            data += self.weights, self.class_weights
        state = None if self.earlier is None else self.earlier.get_state()
        end = self.n_epochs, self.stopping, self.seed if self.repeats else None
        return key_of(_versions(), fingerprint((_hashed(parts), data, state, end)))

    def hold_out(self):
        """Return the rows to train on, and what to validate on, None for nothing.

        Returns
        -------
        index : ndarray of shape (n_train,)
        held_out : tuple (rows, numbers of the classes or None, weights or None) or None
        """
        small = isinstance(self.rows, BlockRows) and len(self.rows) < 2**31
        rows = np.arange(len(self.rows), dtype=np.int32 if small else np.int64)
        rows = rows if self.weights is None else rows[self.weights > 0]
        if self.share is None:
            return rows, self.held_out and (*self.held_out, None)
        index, held_out = self._split(rows)
        if self.numbers is not None and self.labels.classes is not None:
            index, held_out = self._keep_classes(index, held_out)
        numbers = None if self.numbers is None else self.numbers[held_out]
        return index, (self.rows[held_out], numbers, self.relative_weights(held_out))

    def relative_weights(self, index, of_classes=False):
        """Return what some rows count, 1 on average, or None if all count the same."""
        weights = None if self.weights is None else self.weights[index]
        if of_classes and self.class_weights is not None:
            of_labels = self.class_weights[self.numbers[index]]
            weights = of_labels if weights is None else weights * of_labels
        return None if weights is None else weights / weights.mean()

    @property
    def _who_asks(self):
        return "n_components='auto'" if self.stopping is None else "`early_stopping`"

    @property
    def _way_out(self):
        return "`n_components`" if self.stopping is None else "early_stopping=False"

    def _split(self, rows):
        """Set a share of some rows, or of their groups, aside."""
        groups = None if self.groups is None else number_groups(self.groups[rows])
        n_units = len(rows) if groups is None else groups.max() + 1
        if math.ceil(self.share * n_units) >= n_units:
            name = "n_samples" if groups is None else "n_groups"
            note = "" if self.weights is None else " with a weight above 0"
            raise ValueError(
                f"{self._who_asks} would hold out all that there is: "
                f"validation_fraction={self.share:g} of {name}={n_units}{note}. "
                f"Pass `X_val`, or set {self._way_out}."
            )
        # Slow to import, and needed here only.
        from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

        splitter = ShuffleSplit if groups is None else GroupShuffleSplit
        split = splitter(1, test_size=self.share, random_state=self.seed)
        return tuple(rows[part] for part in next(split.split(rows, groups=groups)))

    def _keep_classes(self, index, held_out):
        """Move one sample back of each class that would be held out as a whole."""
        y = self.numbers
        lost = np.setdiff1d(y[held_out], [*y[index], -1])
        back = [held_out[y[held_out] == number][0] for number in lost]
        if len(back) == len(held_out) or (back and self.groups is not None):
            raise ValueError(
                f"{self._who_asks} would hold out all samples of a class. Pass "
                f"`X_val`, or set {self._way_out}."
            )
        return np.append(index, back).astype(int), np.setdiff1d(held_out, back)


@cache
def _versions():
    """Return the versions on which the result of a training depends."""
    return version("skvae"), version("torch")


def _hashed(parts):
    """Hash the values of parameters for the key of a training."""
    try:
        return fingerprint(parts)
    except (TypeError, PicklingError):  # whose message holds all that was hashed
        for name, value in parts.items():
            _check_hashed(name, value)
        raise


def _check_hashed(parameter, value):
    """Name what can't be hashed in the value of a parameter."""
    for part in value if isinstance(value, list) else [value]:
        try:
            fingerprint(part)
        except (TypeError, PicklingError):
            given = getattr(part, "function", part)  # what a `Sampler` calls
            raise ValueError(
                f"`memory` tells trainings apart by `{parameter}` too, but "
                f"{type(given).__name__} holds something that can't be hashed, such "
                "as a lock or a connection. Take it out, or set memory=None."
            ) from None

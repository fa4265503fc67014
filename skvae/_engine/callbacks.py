"""Callbacks of skorch and of scikit-learn: how a training treats them."""

import inspect
import re
from contextlib import contextmanager
from copy import copy

from skorch.callbacks import (
    BatchScoring,
    Callback,
    EpochScoring,
    PassthroughScoring,
    WandbLogger,
)
from skorch.exceptions import SkorchException
from tqdm.auto import tqdm

from .._validation import safe_indexing

# How skorch's callbacks, and its history, name a key that they do not find.
_MISSING = re.compile(r"'(valid_\w+)'|'(\w+)' was not found in history")


def copies_of(callbacks):
    """Copy skorch callbacks, so that a training changes none of the user's.

    The copies are shallow. What a callback holds, such as the run of a logger or a list
    that it appends to, is the user's own; only another of `callbacks` (LoadInitState
    holds a Checkpoint) is replaced by its copy.
    """
    _check(callbacks)
    named = [item if isinstance(item, tuple) else (None, item) for item in callbacks]
    copies = {id(callback): copy(callback) for _, callback in named}
    for callback in copies.values():
        for name, held in list(getattr(callback, "__dict__", {}).items()):
            if id(held) in copies:
                setattr(callback, name, copies[id(held)])
    own = [(name, copies[id(callback)]) for name, callback in named]
    return [callback if name is None else (name, callback) for name, callback in own]


def _check(callbacks):
    """Raise if any is no callback of skorch, and no pair of a name and one."""
    for callback in callbacks:
        if isinstance(callback, tuple) and len(callback) == 2:
            callback = callback[1]
        cls = callback if isinstance(callback, type) else type(callback)
        if not issubclass(cls, Callback):
            raise TypeError(
                "`callbacks` must hold skorch callbacks, or pairs of a name and one; "
                f"got a {cls.__name__}. Those of scikit-learn go to `set_callbacks`."
            )


@contextmanager
def explaining(callback, history):
    """Say what to do if a callback looks for a key that the history lacks."""
    try:
        yield
    except (KeyError, ValueError, SkorchException) as error:
        found = _MISSING.search(str(error))
        key = found and (found[1] or found[2])
        if key is None or not history or key in history[-1]:
            raise
        raise ValueError(_explanation(callback, key, history[-1])) from error


def _explanation(callback, key, row):
    asks = f"The callback {type(callback).__name__} asks for {key!r}, "
    if not key.startswith("valid_"):
        known = sorted(set(row) - {"batches"})
        return (
            f"{asks}which is not in the history: {known}. A callback that records it, "
            "such as EpochScoring, must stand before it in `callbacks`."
        )
    instead = f"monitor={key.replace('valid_', 'train_')!r}"
    if isinstance(callback, WandbLogger):
        instead = "save_model=False"
    elif isinstance(callback, PassthroughScoring):
        instead = "on_train=True"
    return (
        f"{asks}which is known with held-out samples only. Pass `X_val` to fit or set "
        "early_stopping=True (partial_fit holds nothing out), or give the callback "
        f"{instead}."
    )


def watches_batches(callback):
    """Tell whether a skorch callback looks at single batches."""
    return any(
        getattr(type(callback), hook) is not getattr(Callback, hook)
        for hook in ("on_batch_begin", "on_batch_end", "on_grad_computed")
    )


def wants_predictions(callback):
    """Tell whether a skorch callback names `y_pred` as an argument.

    Those that score do, but get their predictions from the net when they need them.
    """
    if isinstance(callback, BatchScoring | EpochScoring):
        return False
    return "y_pred" in inspect.signature(callback.on_batch_end).parameters


class Observer(Callback):
    """A callback of the estimator's own, which is closed after the training."""

    def close(self):
        """Release what the training does not end by itself."""


class TrainingBar(Observer):
    """One progress bar for the whole training, with the terms of the loss."""

    def __init__(self, name, epochs):
        self.name = name
        self.epochs = epochs

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.bar_ = tqdm(total=self.epochs, unit="epoch", desc=self.name)

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        row = net.history[-1]
        terms = {k: v for k, v in row.items() if isinstance(v, float) and k != "dur"}
        self.bar_.set_postfix(terms, refresh=False)
        self.bar_.update()

    def close(self):
        if hasattr(self, "bar_"):
            self.bar_.close()


class ScikitLearnCallbacks(Observer):
    """Tell scikit-learn's own callbacks (1.9 and later) of every epoch.

    Parameters
    ----------
    estimator : estimator
    context : sklearn.callback.CallbackContext
        Of the whole fit.
    X : array-like of shape (n_samples, ...)
    y : array-like of shape (n_samples, ...)
        As the user gave them.
    index : ndarray of shape (n_train,)
        The samples that the callbacks see, those trained on.
    fitted : callable
        Takes the net, returns the attributes of the estimator if it was fitted now.
    """

    def __init__(self, estimator, context, X, y, index, fitted):
        self.estimator = estimator
        self.context = context
        self.X = X
        self.y = y
        self.index = index
        self.fitted = fitted

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.epoch_ = self.context.subcontext(task_name="epoch")
        self.epoch_.call_on_fit_task_begin(estimator=self.estimator, **self._data())

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        stop = self.epoch_.call_on_fit_task_end(
            estimator=self.estimator,
            reconstruction_attributes=lambda: self.fitted(net),
            **self._data(),
        )
        if stop:
            raise KeyboardInterrupt

    def _data(self):
        """Return functions, which are called only if a callback asks for the data."""
        return {"X": lambda: self._seen(self.X), "y": lambda: self._seen(self.y)}

    def _seen(self, data):
        n_samples = data.shape[0] if hasattr(data, "shape") else len(data)
        if len(self.index) == n_samples:
            return data
        return safe_indexing(data, self.index)

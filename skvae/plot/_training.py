"""Displays of trainings."""

import math

from sklearn.utils.validation import check_is_fitted

_ADVERSARIES = ("discriminator_loss", "generator_loss")


class LossCurveDisplay:
    """The terms of the loss over the epochs.

    The losses of adversaries, which neither fall nor rise where they keep the balance,
    have an axis of their own, to the right, and so have `metrics` of held-out samples.

    Parameters
    ----------
    history : list of dict
        As in `history_` of an estimator.
    name : str or None, default=None
        Title of the plot.

    Attributes
    ----------
    ax_ : matplotlib Axes
    adversary_ax_ : matplotlib Axes or None
        The axis to the right, if there are adversaries.
    metric_ax_ : matplotlib Axes or None
        The axis to the right, if there are metrics.
    figure_ : matplotlib Figure
    lines_ : dict of str to matplotlib Line2D
        The curve of each term.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import AAE
    >>> from skvae.plot import LossCurveDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> aae = AAE(max_iter=3, random_state=0).fit(X)
    >>> display = LossCurveDisplay.from_estimator(aae)
    >>> sorted(display.lines_)
    ['discriminator_loss', 'generator_loss', 'reconstruction_loss']
    """

    def __init__(self, history, *, name=None):
        self.history = history
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Plot the history of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : LossCurveDisplay
        """
        check_is_fitted(estimator)
        return cls(estimator.history_, name=type(estimator).__name__).plot(ax)

    def plot(self, ax=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : LossCurveDisplay
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        terms, metrics = self._terms(), self._metrics()
        adversaries = [name for name in terms if name.endswith(_ADVERSARIES)]
        self.adversary_ax_ = ax.twinx() if adversaries else None
        self.metric_ax_ = ax.twinx() if metrics else None
        axes = dict.fromkeys(terms, (ax, "-"))
        axes |= dict.fromkeys(adversaries, (self.adversary_ax_, "--"))
        axes |= dict.fromkeys(metrics, (self.metric_ax_, ":"))
        epochs = [row["epoch"] for row in self.history]
        self.lines_ = {}
        for i, (name, (axis, style)) in enumerate(axes.items()):
            values = [row.get(name, math.nan) for row in self.history]
            label = name.removesuffix("_loss").replace("_", " ")
            (self.lines_[name],) = axis.plot(
                epochs, values, color=f"C{i}", linestyle=style, label=label
            )
        ax.set(xlabel="epoch", ylabel="loss, nats per sample", title=self.name)
        ax.xaxis.get_major_locator().set_params(integer=True)
        if adversaries:
            self.adversary_ax_.set(ylabel="losses of the adversaries (dashed), nats")
            self.adversary_ax_.set_ylim(bottom=0)
        if metrics:
            self.metric_ax_.set(ylabel="metrics of held-out samples (dotted)")
            if adversaries:  # one axis beside the other
                self.metric_ax_.spines.right.set_position(("outward", 50))
        place = {}
        if (adversaries or metrics) and self.figure_.get_layout_engine():
            # Below the axes: within, it would hide lines of the axes to the right.
            place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.15), "ncols": 3}
        ax.legend(handles=list(self.lines_.values()), **place)
        return self

    def _terms(self):
        """List the terms to draw; their sum would only repeat a single one."""
        names = [
            name
            for name in dict.fromkeys(key for row in self.history for key in row)
            if name.endswith(("_loss", "_divergence"))
        ]
        return [name for name in names if name != "train_loss"]

    def _metrics(self):
        """List the metrics of held-out samples."""
        names = dict.fromkeys(key for row in self.history for key in row)
        others = ("_loss", "_best")
        return [
            name
            for name in names
            if name.startswith("valid_") and not name.endswith(others)
        ]

"""Displays of searches."""

from numbers import Real

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

_MEAN, _STD = "mean_test_score", "std_test_score"
_WIDE = 30  # ratio of numbers from which on their axis is logarithmic


class SearchDisplay:
    """Scores of a search against one or two parameters, with their spread over folds.

    Lines are means over the folds, bands reach one standard deviation to both sides. Of
    candidates that differ in other parameters only, the best one is drawn.

    Parameters
    ----------
    table : DataFrame of shape (n_points, n_params + 2)
        A column for each parameter, "mean_test_score" and "std_test_score".
    metric : str, default="score"
        What the scores are.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of object to matplotlib Line2D
        Of each value of the second parameter. With one parameter, the key is None.
    bands_ : dict of object to matplotlib PolyCollection

    See Also
    --------
    skvae.model_selection.StackedGridSearchCV : Trains its networks together.
    sklearn.model_selection.ValidationCurveDisplay : One parameter, without a search.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import MLP, VAE
    >>> from skvae.model_selection import StackedGridSearchCV
    >>> from skvae.plot import SearchDisplay
    >>> X, _ = load_digits(n_class=4, return_X_y=True)
    >>> vae = VAE(architecture=MLP((16,)), max_iter=5, random_state=0)
    >>> grid = {"learning_rate": [1e-3, 1e-2, 1e-1], "n_components": [2, 4]}
    >>> search = StackedGridSearchCV(vae, grid, cv=3).fit(X)
    >>> sorted(SearchDisplay.from_search(search).lines_)
    [2, 4]
    """

    def __init__(self, table, *, metric="score"):
        self.table = table
        self.metric = metric

    @classmethod
    def from_search(cls, search, params=None, *, metric=None, ax=None):
        """Plot the scores of a fitted search.

        Parameters
        ----------
        search : GridSearchCV, RandomizedSearchCV or one that is stacked
        params : str or list of one or two str, default=None
            Parameters for the axis and, if there are two, for the lines. None takes
            those with the most values.
        metric : str, default=None
            Which score, where the search has several. None takes that of `refit`, or
            the first where `refit` names none.
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : SearchDisplay

        Raises
        ------
        ValueError
            If the search has no such parameter or metric.
        """
        check_is_fitted(search, "cv_results_")
        results = search.cv_results_
        metric = _metric_of(search, metric)
        candidates = _table_of(results["params"])
        names = _chosen(candidates, params)
        scores = {
            column: np.asarray(results[f"{part}_{metric}"], dtype=float)
            for column, part in ((_MEAN, "mean_test"), (_STD, "std_test"))
        }
        table = candidates[names].assign(**scores)
        best = table.sort_values(_MEAN, ascending=False, kind="stable")
        best = best.drop_duplicates(names).sort_index()
        return cls(best.reset_index(drop=True), metric=metric).plot(ax)

    def plot(self, ax=None):
        """Draw the scores.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : SearchDisplay
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_, self.bands_ = {}, {}
        name, *others = [n for n in self.table if n not in (_MEAN, _STD)]
        values = self._begin_axis(name)
        parts = {None: self.table}
        if others:
            parts = dict(list(self.table.groupby(others[0], sort=False)))
        for i, (value, part) in enumerate(parts.items()):
            points = part.assign(x=part[name].map(values)).sort_values("x")
            x, mean, std = points["x"], points[_MEAN], points[_STD]
            label = None if value is None else str(value)
            (self.lines_[value],) = ax.plot(x, mean, ".-", color=f"C{i}", label=label)
            self.bands_[value] = ax.fill_between(
                x, mean - std, mean + std, color=f"C{i}", alpha=0.12, linewidth=0
            )
        ax.set(ylabel=f"{self.metric}, mean and standard deviation over folds")
        if others:
            ax.legend(title=_short(others[0]))
        return self

    def _begin_axis(self, name):
        """Label the horizontal axis; return the place of each value on it."""
        self.ax_.set(xlabel=_short(name))
        found = list(dict.fromkeys(self.table[name]))
        if not all(isinstance(value, Real) for value in found):
            self.ax_.set_xticks(range(len(found)), found)
            return {value: i for i, value in enumerate(found)}
        if min(found) > 0 and max(found) >= _WIDE * min(found):
            self.ax_.set_xscale("log")
        return {value: value for value in found}


def _metric_of(search, metric):
    """Return the name that a score has in the table of a search."""
    start = "mean_test_"
    metrics = [n.removeprefix(start) for n in search.cv_results_ if n.startswith(start)]
    if metric is None:
        metric = search.refit if isinstance(search.refit, str) else metrics[0]
    if metric not in metrics:
        raise ValueError(f"`metric` must be one of {metrics}, got {metric!r}.")
    return metric


def _chosen(candidates, params):
    """Return the names of one or two parameters of a search."""
    counts = {name: candidates[name].nunique(dropna=False) for name in candidates}
    if params is None:
        first, *others = sorted(counts, key=counts.get, reverse=True)
        return [first, *(name for name in others[:1] if counts[name] > 1)]
    names = [params] if isinstance(params, str) else list(params)
    if not 1 <= len(set(names)) == len(names) <= 2 or not set(names) <= set(counts):
        raise ValueError(
            f"`params` must be one or two of {list(counts)}, got {params!r}."
        )
    return names


def _table_of(candidates):
    """Return a column for each parameter; some candidates may lack one."""
    names = dict.fromkeys(name for params in candidates for name in params)
    columns = {
        name: [_plain(params.get(name, "default")) for params in candidates]
        for name in names
    }
    return pd.DataFrame(columns, dtype=object)


def _plain(value):
    """Take numbers as they are, and all else by what is printed of it."""
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    return value if is_number and value == value else str(value)


def _short(name):
    """Leave out which step of a pipeline a parameter is of."""
    return name.rpartition("__")[2]

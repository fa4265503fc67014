"""Displays of codes: where samples lie, what components hold, which layer is best."""

import numpy as np
from scipy.stats import gaussian_kde
from sklearn.decomposition import PCA

from .._validation import to_numpy
from ..inspection import compare_layers, component_summary, latent_correlation
from ..inspection._codes import code_of
from ._tiles import CLASS_COLORS, MARKERS, new_axes, new_figure

_MOST_CLASSES = len(CLASS_COLORS)


class LatentSpaceDisplay:
    """Where the codes of samples lie, in two dimensions.

    Parameters
    ----------
    points : ndarray of shape (n_samples, 2)
    values : array-like of shape (n_samples,) or None, default=None
        Classes or numbers, shown by colours; classes by markers, too.
    axis_names : tuple of (str, str), default=("mu_0", "mu_1")
    value_name : str or None, default=None
        What the colours stand for.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAE
    >>> from skvae.plot import LatentSpaceDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> vae = VAE(2, max_iter=5, random_state=0).fit(X)
    >>> display = LatentSpaceDisplay.from_estimator(vae, X, y.astype(str))
    >>> display.ax_.get_xlabel()
    'mu_0'
    """

    def __init__(
        self, points, values=None, *, axis_names=("mu_0", "mu_1"), value_name=None
    ):
        self.points = points
        self.values = values
        self.axis_names = axis_names
        self.value_name = value_name

    @classmethod
    def from_estimator(
        cls, estimator, X, values=None, *, projection="pca", value_name=None, ax=None
    ):
        """Plot the codes of samples.

        Parameters
        ----------
        estimator : estimator
            A fitted autoencoder, or a Pipeline that ends in one.
        X : array-like of shape (n_samples, ...)
        values : array-like of shape (n_samples,), default=None
            Strings, booleans and at most ten different ints are classes; other numbers
            are shown on a scale.
        projection : {"pca", "umap"} or tuple of (int, int), default="pca"
            How codes of more than two components are shown: their principal axes, UMAP
            (McInnes et al. 2018; needs the package umap-learn), or two components.
        value_name : str, default=None
            What the colours stand for.
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : LatentSpaceDisplay
        """
        mu = code_of(estimator, X)[0]["mu"]
        if values is not None and len(values) != len(mu):
            raise ValueError(
                f"`values` must have one for each of the {len(mu)} samples, got "
                f"{len(values)}."
            )
        points, names = _in_two_dimensions(mu, projection)
        if value_name is None:
            value_name = getattr(values, "name", None)
        return cls(points, values, axis_names=names, value_name=value_name).plot(ax)

    def plot(self, ax=None):
        """Draw the points, above contours of their density.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : LatentSpaceDisplay
        """
        self.ax_, self.figure_ = new_axes(ax, figsize=(6, 5))
        ax, points = self.ax_, np.asarray(self.points, dtype=np.float64)
        _draw_density(ax, points)
        size = float(np.clip(12_000 / len(points), 9, 40))
        options = {"s": size, "alpha": 0.8, "linewidths": 0}
        if self.values is None:
            ax.scatter(*points.T, color=CLASS_COLORS[0], **options)
        else:
            values = to_numpy(self.values)
            is_number = values.dtype.kind == "f"
            classes = [] if is_number else np.unique(values)
            if is_number or (
                values.dtype.kind in "iu" and len(classes) > _MOST_CLASSES
            ):
                drawn = ax.scatter(*points.T, c=values, cmap="viridis", **options)
                self.figure_.colorbar(drawn, ax=ax, label=self.value_name)
            else:
                for i, name in enumerate(classes):
                    ax.scatter(
                        *points[values == name].T,
                        color=CLASS_COLORS[i % _MOST_CLASSES],
                        marker=MARKERS[i % len(MARKERS)],
                        label=str(name),
                        **options,
                    )
                ax.legend(
                    title=self.value_name,
                    loc="upper left",
                    bbox_to_anchor=(1, 1),
                    markerscale=1.5,
                )
        ax.set(xlabel=self.axis_names[0], ylabel=self.axis_names[1])
        return self


class LatentCorrelationDisplay:
    """How components go with known values, and the clearest pair in full.

    A map of all components and targets, with a dot where the correlation is more than
    chance among all of them, beside a histogram of the clearest pair.

    Parameters
    ----------
    found : DataFrame
        As from `skvae.inspection.latent_correlation`.
    measure : {"pearson", "spearman", "mutual_information"}, default="spearman"
    codes : ndarray of shape (n_samples, n_components) or None, default=None
    targets : DataFrame of shape (n_samples, n_targets) or None, default=None
        What was compared, for the histogram. None leaves it out.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (1,) or (2,)
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAE
    >>> from skvae.plot import LatentCorrelationDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> vae = VAE(3, max_iter=5, random_state=0).fit(X[:1000])
    >>> ink = pd.DataFrame({"upper": X[:, :32].sum(1), "lower": X[:, 32:].sum(1)})
    >>> display = LatentCorrelationDisplay.from_estimator(vae, X[1000:], ink[1000:])
    >>> len(display.axes_)
    2
    """

    def __init__(self, found, *, measure="spearman", codes=None, targets=None):
        self.found = found
        self.measure = measure
        self.codes = codes
        self.targets = targets

    @classmethod
    def from_estimator(
        cls, estimator, X, targets, *, measure="spearman", figure=None, **options
    ):
        """Measure correlations, and plot them.

        Parameters
        ----------
        estimator : estimator
            A fitted autoencoder, or a Pipeline that ends in one.
        X : array-like of shape (n_samples, ...)
        targets : DataFrame, Series or array-like of shape (n_samples, ...)
            As in `skvae.inspection.latent_correlation`.
        measure : {"pearson", "spearman", "mutual_information"}, default="spearman"
        figure : matplotlib Figure or SubFigure, default=None
            None makes a new one.
        **options : dict
            Further arguments of `skvae.inspection.latent_correlation`.

        Returns
        -------
        display : LatentCorrelationDisplay
        """
        from ..inspection._correlation import as_table

        found = latent_correlation(estimator, X, targets, measures=[measure], **options)
        codes = code_of(estimator, X)[0]["mu"]
        table = as_table(targets, len(codes))
        return cls(found, measure=measure, codes=codes, targets=table).plot(figure)

    def plot(self, figure=None):
        """Draw the map, and the histogram.

        Parameters
        ----------
        figure : matplotlib Figure or SubFigure, default=None
            None makes a new one.

        Returns
        -------
        display : LatentCorrelationDisplay
        """
        found = self.found[self.found["measure"] == self.measure]
        table = found.pivot_table(
            index="component", columns="target", values="value", sort=False
        )
        surely = found[found["adjusted_p_value"] < 0.05]
        n_axes = 1 if self.codes is None else 2
        self.figure_ = new_figure(figure, 3.5 * n_axes, 3.2)
        self.axes_ = np.atleast_1d(self.figure_.subplots(1, n_axes))
        ax = self.axes_[0]
        is_signed = self.measure != "mutual_information"
        most = 1.0 if is_signed else max(table.to_numpy().max(), 1e-12)
        drawn = ax.imshow(
            table,
            cmap="RdBu_r" if is_signed else "viridis",
            vmin=-most if is_signed else 0,
            vmax=most,
            aspect="auto",
        )
        ax.set_xticks(range(table.shape[1]), table.columns, rotation=30, ha="right")
        ax.set_yticks(range(len(table)), table.index)
        for row in surely.itertuples():
            ax.plot(
                table.columns.get_loc(row.target),
                table.index.get_loc(row.component),
                "o",
                color="black",
                markeredgecolor="white",
            )
        unit = (
            "mutual information, nats" if not is_signed else self.measure.capitalize()
        )
        self.figure_.colorbar(drawn, ax=ax, label=unit)
        if n_axes == 2:
            clearest = found.loc[found["value"].abs().idxmax()]
            self._draw_pair(self.axes_[1], clearest)
        return self

    def _draw_pair(self, ax, row):
        target = self.targets[row["target"]]
        codes = self.codes[:, int(row["component"].removeprefix("mu_"))]
        known = target.notna().to_numpy()
        y = target[known]
        if y.dtype.kind == "f" or y.nunique() > 10:
            ax.hist2d(codes[known], y.to_numpy(float), bins=25, cmap="Blues")
            ax.set_ylabel(row["target"])
        else:
            groups = {name: codes[known][(y == name).to_numpy()] for name in y.unique()}
            names = sorted(groups, key=str)
            ax.violinplot(
                [groups[name] for name in names],
                orientation="horizontal",
                showmedians=True,
            )
            ax.set_yticks(range(1, len(names) + 1), names)
            ax.set_ylabel(row["target"])
        ax.set_xlabel(row["component"])
        ax.set_title(f"{self.measure.replace('_', ' ')} {row['value']:.2f}")


class ComponentDisplay:
    """How much each component holds.

    Parameters
    ----------
    summary : DataFrame
        As from `skvae.inspection.component_summary`.
    name : str or None, default=None
        Title of the plot.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAE
    >>> from skvae.plot import ComponentDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> vae = VAE(4, max_iter=5, random_state=0).fit(X)
    >>> display = ComponentDisplay.from_estimator(vae, X)
    >>> len(display.ax_.patches)
    4
    """

    def __init__(self, summary, *, name=None):
        self.summary = summary
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, *, ax=None):
        """Measure the components, and plot them.

        Parameters
        ----------
        estimator : estimator
            A fitted autoencoder, or a Pipeline that ends in one.
        X : array-like of shape (n_samples, ...)
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : ComponentDisplay
        """
        return cls(component_summary(estimator, X)).plot(ax)

    def plot(self, ax=None):
        """Draw a bar for each component: its information, else its share of variance.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : ComponentDisplay
        """
        self.ax_, self.figure_ = new_axes(ax, figsize=(6, 3.2))
        summary = self.summary
        has_posterior = summary["information"].notna().all()
        values = summary["information" if has_posterior else "variance_share"]
        colors = np.where(summary["is_active"], CLASS_COLORS[0], "0.75")
        self.ax_.bar(range(len(summary)), values, color=colors)
        labels = [name.removeprefix("mu_") for name in summary.index]
        step = -(-len(labels) // 20)
        self.ax_.set_xticks(range(0, len(labels), step), labels[::step])
        total = summary.attrs.get("total_correlation")
        unit = "information, nats" if has_posterior else "share of variance"
        title = f"{int(summary['is_active'].sum())} of {len(summary)} components in use"
        if total is not None:
            title += f", overlap of all {total:.2f} nats"
        self.ax_.set(xlabel="component", ylabel=unit, title=self.name or title)
        return self


class LayerComparisonDisplay:
    """Scores of layers as features, with intervals, beside raw input and PCA.

    Parameters
    ----------
    comparison : LayerComparison
        As from `skvae.inspection.compare_layers`.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import AE
    >>> from skvae.plot import LayerComparisonDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> ae = AE(4, max_iter=3, random_state=0)
    >>> display = LayerComparisonDisplay.from_estimator(
    ...     ae, X, y, layers=["mu", "encoder.2"], cv=2
    ... )
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['mu (4)', 'encoder.2 (256)', 'raw input (64)']
    """

    def __init__(self, comparison):
        self.comparison = comparison

    @classmethod
    def from_estimator(cls, estimator, X, y, *, ax=None, **options):
        """Compare the layers of an autoencoder, and plot the scores.

        Parameters
        ----------
        estimator : estimator
            An autoencoder, or a Pipeline that ends in one; copies of it are fitted.
        X : array-like of shape (n_samples, ...)
        y : array-like of shape (n_samples,)
        ax : matplotlib Axes, default=None
            None makes a new figure.
        **options : dict
            Further arguments of `skvae.inspection.compare_layers`.

        Returns
        -------
        display : LayerComparisonDisplay
        """
        return cls(compare_layers(estimator, X, y, **options)).plot(ax)

    def plot(self, ax=None):
        """Draw a row for each layer.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : LayerComparisonDisplay
        """
        table = self.comparison.table
        chance = table.loc["chance", "score"]
        table = table.drop(index="chance")
        height = 0.3 * len(table) + 1.4
        self.ax_, self.figure_ = new_axes(ax, figsize=(6.5, height))
        ax, rows = self.ax_, np.arange(len(table))
        errors = [table["score"] - table["low"], table["high"] - table["score"]]
        ax.errorbar(
            table["score"],
            rows,
            xerr=errors,
            fmt="o",
            color=CLASS_COLORS[0],
            capsize=3,
            label="layer",
        )
        ax.plot(
            table["pca"],
            rows,
            "D",
            markerfacecolor="none",
            color=CLASS_COLORS[1],
            label="PCA of that width",
        )
        if "raw input" in table.index:
            ax.axvline(table["score"]["raw input"], color="0.4", label="raw input")
        ax.axvline(chance, color="0.4", linestyle=":", label="chance")
        labels = [f"{name} ({width})" for name, width in table["width"].items()]
        ax.set_yticks(rows, labels)
        ax.invert_yaxis()
        ax.set_xlabel(self.comparison.metric.replace("_", " "))
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
        return self


def _in_two_dimensions(mu, projection):
    """Return points, and the names of the axes."""
    if mu.shape[1] == 1:
        return np.column_stack([mu, np.zeros(len(mu))]), ("mu_0", "")
    if isinstance(projection, tuple):
        first, second = projection
        return mu[:, [first, second]], (f"mu_{first}", f"mu_{second}")
    if mu.shape[1] == 2:
        return mu, ("mu_0", "mu_1")
    if projection == "pca":
        pca = PCA(2).fit(mu)
        shares = pca.explained_variance_ratio_
        names = [f"axis {i + 1} of mu ({100 * shares[i]:.0f} %)" for i in range(2)]
        return pca.transform(mu), tuple(names)
    if projection == "umap":
        from umap import UMAP

        return UMAP(n_jobs=1, random_state=0).fit_transform(mu), ("UMAP 1", "UMAP 2")
    raise ValueError(
        "`projection` must be 'pca', 'umap' or a pair of components, got "
        f"{projection!r}."
    )


def _draw_density(ax, points):
    """Draw contours of the density, where there is one in two dimensions."""
    if len(points) < 10 or np.linalg.matrix_rank(points - points.mean(axis=0)) < 2:
        return
    some = points[np.linspace(0, len(points) - 1, min(len(points), 1000)).astype(int)]
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.05 * (high - low)
    x, y = np.meshgrid(*np.linspace(low - margin, high + margin, 60).T)
    density = gaussian_kde(some.T)(np.stack([x.ravel(), y.ravel()])).reshape(x.shape)
    ax.contour(x, y, density, levels=6, colors="0.6", linewidths=0.6, zorder=0)

"""Displays of samples: reconstructed, decoded, drawn, explained."""

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.utils.validation import check_is_fitted

from .._pipelines import (
    autoencoder_in,
    back_from_autoencoder,
    before_autoencoder,
)
from .._validation import to_numpy
from ..inspection import attribution, latent_traversal
from ._tiles import (
    as_tile,
    draw_bars,
    draw_tile,
    is_table,
    name_size,
    names_of,
    new_figure,
    numbered,
    shaped,
    spacing_of,
    table_axes,
    tile_width,
)

_ALMOST_ALL = 0.995  # of the contributions are within the scale of colours
_FEW_PIXELS = 16  # a contour of fewer would only show their corners


class ReconstructionDisplay:
    """Samples, what an autoencoder makes of them, and the difference.

    Images and the middle slices of volumes stand above each other; input and output
    share one scale, and so do all differences. Samples of a table get the features that
    differ most.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, ...)
        A few.
    reconstructions : ndarray of the shape of samples
    spacing : tuple of (float, float, float), default=None
        Of the slices, rows and columns of volumes in millimetres, which draws them in
        proportion and names their size. None takes cubes.
    feature_names : list of str, default=None
        Of the columns of a table.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Of shape (3, n_samples), or in rows of two for tables.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import AE
    >>> from skvae.plot import ReconstructionDisplay
    >>> X = load_digits().images
    >>> ae = AE(4, max_iter=5, random_state=0).fit(X[:1000])
    >>> display = ReconstructionDisplay.from_estimator(ae, X[1000:1006])
    >>> display.axes_.shape
    (3, 6)
    """

    def __init__(self, samples, reconstructions, *, spacing=None, feature_names=None):
        self.samples = samples
        self.reconstructions = reconstructions
        self.spacing = spacing
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls, estimator, X, *, image_shape=None, spacing=None, figure=None
    ):
        """Plot samples and their reconstructions.

        Parameters
        ----------
        estimator : estimator
            A fitted autoencoder, or a Pipeline that ends in one. Rows of a table are
            shown as the autoencoder gets them, such as scaled, and so are images behind
            steps without an `inverse_transform`.
        X : array-like of shape (n_samples, ...)
            A few samples.
        image_shape : tuple of int, default=None
            Of one sample, for images that are flat.
        spacing : tuple of (float, float, float), default=None
            As in the constructor. None takes that of a `VolumeLoader` in a Pipeline.
        figure : matplotlib Figure or SubFigure, default=None
            None makes a new one.

        Returns
        -------
        display : ReconstructionDisplay
        """
        check_is_fitted(estimator)
        given, model = before_autoencoder(estimator, X)
        samples, made = to_numpy(given), to_numpy(model.reconstruct(given))
        made = made.reshape(samples.shape)
        if samples.ndim > 2 and hasattr(estimator, "inverse_transform"):
            samples, made = (
                to_numpy(back_from_autoencoder(estimator, part))
                for part in (samples, made)
            )
        image_shape = image_shape or model.image_shape
        samples, made = (shaped(part, image_shape) for part in (samples, made))
        names = names_of(estimator, samples.shape[1])
        spacing = spacing_of(estimator, spacing)
        display = cls(samples, made, spacing=spacing, feature_names=names)
        return display.plot(figure)

    def plot(self, figure=None):
        """Draw all samples.

        Parameters
        ----------
        figure : matplotlib Figure or SubFigure, default=None
            None makes a new one.

        Returns
        -------
        display : ReconstructionDisplay
        """
        samples, made = np.asarray(self.samples), np.asarray(self.reconstructions)
        n_samples = len(samples)
        if is_table(samples):
            self.figure_, self.axes_ = table_axes(figure, n_samples)
            for i, (ax, *both) in enumerate(
                zip(self.axes_.flat, samples, made, strict=False)
            ):
                self._draw_row(ax, *both)
                ax.set_title(f"sample {i}")
            lines = self.axes_[0, 0].get_lines()
            self.figure_.legend(handles=lines, loc="outside lower center", ncols=2)
            return self
        width = tile_width(samples[0])
        self.figure_ = new_figure(figure, 1.15 * width * n_samples + 1.5, 3.9)
        self.axes_ = self.figure_.subplots(3, n_samples, squeeze=False)
        low, high = (f([f(samples), f(made)]) for f in (np.nanmin, np.nanmax))
        most = np.nanmax(np.abs(samples - made)) or 1.0
        options = {"cmap": "gray", "vmin": low, "vmax": high, "spacing": self.spacing}
        for column, sample, one in zip(self.axes_.T, samples, made, strict=True):
            shown = draw_tile(column[0], sample, **options)
            draw_tile(column[1], one, **options)
            change = draw_tile(
                column[2],
                one - sample,
                cmap="RdBu_r",
                vmin=-most,
                vmax=most,
                spacing=self.spacing,
            )
        for ax, label in zip(
            self.axes_[:, 0], ("input", "output", "difference"), strict=True
        ):
            ax.set_ylabel(label, rotation=0, ha="right", va="center")
        name_size(self.axes_[-1, 0], samples[0], self.spacing)
        self.figure_.colorbar(shown, ax=list(self.axes_[:2].flat), aspect=30)
        self.figure_.colorbar(change, ax=list(self.axes_[2]), aspect=15)
        return self

    def _draw_row(self, ax, sample, made):
        names = self.feature_names or numbered(len(sample))
        largest = np.argsort(np.abs(made - sample))[-12:]
        rows = np.arange(len(largest))
        ax.hlines(rows, sample[largest], made[largest], color="0.7")
        ax.plot(sample[largest], rows, "ko", label="input")
        ax.plot(made[largest], rows, "s", color="#D55E00", label="output")
        ax.set_yticks(rows, [names[i] for i in largest])
        ax.set_xlabel("value")


class LatentTraversalDisplay:
    """What changes along each component of the code.

    One row per component. Samples of a table get a line for each of the features that
    change most, in standard deviations.

    Parameters
    ----------
    values : ndarray of shape (n_chosen, n_steps)
    decoded : ndarray of shape (n_chosen, n_steps, ...)
        As from `skvae.inspection.latent_traversal`; rows of a table on one scale.
    names : list of str
        Of the components.
    spacing : tuple of (float, float, float), default=None
        Of the slices, rows and columns of volumes in millimetres.
    feature_names : list of str, default=None
        Of the columns of a table.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Of shape (n_chosen, n_steps), or in rows of two for tables.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAE
    >>> from skvae.plot import LatentTraversalDisplay
    >>> X = load_digits().images
    >>> vae = VAE(3, max_iter=5, random_state=0).fit(X)
    >>> display = LatentTraversalDisplay.from_estimator(vae, X, n_steps=7)
    >>> display.axes_.shape
    (3, 7)
    """

    def __init__(self, values, decoded, names, *, spacing=None, feature_names=None):
        self.values = values
        self.decoded = decoded
        self.names = names
        self.spacing = spacing
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        components=None,
        *,
        n_steps=9,
        image_shape=None,
        spacing=None,
        figure=None,
    ):
        """Plot traversals of a fitted model.

        Parameters
        ----------
        estimator : estimator
            A fitted autoencoder, or a Pipeline that ends in one; steps before it must
            have an `inverse_transform`.
        X : array-like of shape (n_samples, ...)
            Samples that say how far a component reaches.
        components : list of int, default=None
            None takes all.
        n_steps : int, default=9
        image_shape : tuple of int, default=None
            Of one sample, for images that are flat.
        spacing : tuple of (float, float, float), default=None
            As in the constructor. None takes that of a `VolumeLoader` in a Pipeline.
        figure : matplotlib Figure or SubFigure, default=None
            None makes a new one.

        Returns
        -------
        display : LatentTraversalDisplay
        """
        values, decoded = latent_traversal(estimator, X, components, n_steps=n_steps)
        chosen = range(len(values)) if components is None else components
        image_shape = image_shape or autoencoder_in(estimator).image_shape
        if image_shape is not None:
            decoded = decoded.reshape(*decoded.shape[:2], *image_shape)
        elif decoded.ndim == 3:
            rows = to_numpy(X).astype(np.float64)
            spread = np.nanstd(rows, axis=0)
            decoded = (decoded - np.nanmean(rows, axis=0)) / np.where(spread, spread, 1)
        return cls(
            values,
            decoded,
            [f"mu_{j}" for j in chosen],
            spacing=spacing_of(estimator, spacing),
            feature_names=names_of(estimator, decoded.shape[-1]),
        ).plot(figure)

    def plot(self, figure=None):
        """Draw all traversals.

        Parameters
        ----------
        figure : matplotlib Figure or SubFigure, default=None
            None makes a new one.

        Returns
        -------
        display : LatentTraversalDisplay
        """
        decoded = np.asarray(self.decoded)
        n_chosen, n_steps = decoded.shape[:2]
        if decoded.ndim == 3:
            self.figure_, self.axes_ = table_axes(figure, n_chosen)
            parts = self.axes_.flat, self.names, self.values, decoded
            for ax, name, values, rows_of_table in zip(*parts, strict=False):
                self._draw_lines(ax, values, rows_of_table)
                ax.set(xlabel=name, ylabel="standard deviations")
            return self
        width = tile_width(decoded[0, 0])
        self.figure_ = new_figure(figure, 0.9 * n_steps * width + 0.6, 1.05 * n_chosen)
        self.axes_ = self.figure_.subplots(n_chosen, n_steps, squeeze=False)
        low, high = np.nanmin(decoded), np.nanmax(decoded)
        for row, name, values, images in zip(
            self.axes_, self.names, self.values, decoded, strict=True
        ):
            for ax, value, image in zip(row, values, images, strict=True):
                draw_tile(
                    ax, image, cmap="gray", vmin=low, vmax=high, spacing=self.spacing
                )
                ax.set_title(f"{value:.1f}", fontsize="small", pad=2)
            row[0].set_ylabel(name, rotation=0, ha="right", va="center")
        name_size(self.axes_[-1, 0], decoded[0, 0], self.spacing)
        return self

    def _draw_lines(self, ax, values, table):
        names = self.feature_names or numbered(table.shape[1])
        most = np.argsort(np.ptp(table, axis=0))[::-1][:5]
        for i, style in zip(most, ("-", "--", "-.", ":", "-"), strict=False):
            ax.plot(values, table[:, i], style, label=names[i])
        ax.legend(fontsize="small")


class SampleDisplay:
    """New samples, drawn from a model.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, ...)
        Images or volumes.
    labels : sequence or None, default=None
        What was asked for, written above each.
    spacing : tuple of (float, float, float), default=None
        Of the slices, rows and columns of volumes in millimetres.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_rows, n_columns)
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import SupervisedAAE
    >>> from skvae.plot import SampleDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> aae = SupervisedAAE(4, max_iter=5, random_state=0).fit(X, y)
    >>> display = SampleDisplay.from_estimator(
    ...     aae, y=list(range(10)) * 2, image_shape=(8, 8)
    ... )
    >>> display.axes_.shape
    (2, 10)
    """

    def __init__(self, samples, labels=None, *, spacing=None):
        self.samples = samples
        self.labels = labels
        self.spacing = spacing

    @classmethod
    def from_estimator(
        cls,
        estimator,
        n_samples=20,
        *,
        y=None,
        image_shape=None,
        spacing=None,
        random_state=None,
        figure=None,
    ):
        """Draw samples from a fitted model, and plot them.

        Parameters
        ----------
        estimator : estimator
            A fitted autoencoder, or a Pipeline that ends in one; steps before it must
            have an `inverse_transform`.
        n_samples : int, default=20
            As many as `y` has, if it is given.
        y : array-like of shape (n_samples,), default=None
            Classes to ask for, of a model that knows them.
        image_shape : tuple of int, default=None
            Of one sample, for images that are flat.
        spacing : tuple of (float, float, float), default=None
            As in the constructor. None takes that of a `VolumeLoader` in a Pipeline.
        random_state : int, RandomState instance or None, default=None
        figure : matplotlib Figure or SubFigure, default=None
            None makes a new one.

        Returns
        -------
        display : SampleDisplay
        """
        check_is_fitted(estimator)
        model = autoencoder_in(estimator)
        options = {} if y is None else {"y": np.asarray(y)}
        n_samples = n_samples if y is None else len(y)
        drawn = model.sample(n_samples, random_state=random_state, **options)
        drawn = to_numpy(back_from_autoencoder(estimator, drawn))
        drawn = shaped(drawn, image_shape or model.image_shape)
        return cls(drawn, y, spacing=spacing_of(estimator, spacing)).plot(figure)

    def plot(self, figure=None):
        """Draw all samples.

        Parameters
        ----------
        figure : matplotlib Figure or SubFigure, default=None
            None makes a new one.

        Returns
        -------
        display : SampleDisplay

        Raises
        ------
        ValueError
            If samples are rows of a table.
        """
        samples = np.asarray(self.samples)
        if is_table(samples):
            raise ValueError(
                "Samples must be images or volumes, got rows of a table. Set "
                "`image_shape` if they are flat images."
            )
        n_columns = min(10, len(samples))
        n_rows = -(-len(samples) // n_columns)
        width = tile_width(samples[0])
        self.figure_ = new_figure(
            figure,
            0.8 * n_columns * width,
            (0.8 + 0.2 * (self.labels is not None)) * n_rows,
        )
        self.axes_ = self.figure_.subplots(n_rows, n_columns, squeeze=False)
        low, high = np.nanmin(samples), np.nanmax(samples)
        for i, ax in enumerate(self.axes_.flat):
            if i >= len(samples):
                ax.set_axis_off()
                continue
            draw_tile(
                ax, samples[i], cmap="gray", vmin=low, vmax=high, spacing=self.spacing
            )
            if self.labels is not None:
                ax.set_title(str(self.labels[i]), fontsize="small", pad=2)
        name_size(self.axes_[-1, 0], samples[0], self.spacing)
        return self


class AttributionDisplay:
    """Which input values move a component of the code.

    Images stand below their contributions: red where a value raises the component, blue
    where it lowers it, with a contour around the strongest twentieth, smoothed, of
    images of 16 x 16 pixels or more. Samples of a table get a bar for each of the
    features with the largest contributions.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, ...)
        What the autoencoder got.
    contributions : ndarray of the shape of samples
        As from `skvae.inspection.attribution`.
    name : str
        Of the component.
    spacing : tuple of (float, float, float), default=None
        Of the slices, rows and columns of volumes in millimetres.
    feature_names : list of str, default=None
        Of the columns of a table.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Of shape (2, n_samples), or in rows of two for tables.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAE
    >>> from skvae.plot import AttributionDisplay
    >>> X = load_digits().images
    >>> vae = VAE(3, max_iter=5, random_state=0).fit(X)
    >>> display = AttributionDisplay.from_estimator(vae, X[:4], component=0)
    >>> display.axes_.shape
    (2, 4)
    """

    def __init__(
        self, samples, contributions, name, *, spacing=None, feature_names=None
    ):
        self.samples = samples
        self.contributions = contributions
        self.name = name
        self.spacing = spacing
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        component,
        *,
        layer="mu",
        baseline=None,
        image_shape=None,
        spacing=None,
        figure=None,
    ):
        """Compute contributions, and plot them.

        Parameters
        ----------
        estimator : estimator
            A fitted autoencoder, or a Pipeline that ends in one.
        X : array-like of shape (n_samples, ...)
            A few samples.
        component : int
        layer : str, default="mu"
        baseline : array-like, default=None
            As in `skvae.inspection.attribution`.
        image_shape : tuple of int, default=None
            Of one sample, for images that are flat.
        spacing : tuple of (float, float, float), default=None
            As in the constructor. None takes that of a `VolumeLoader` in a Pipeline.
        figure : matplotlib Figure or SubFigure, default=None
            None makes a new one.

        Returns
        -------
        display : AttributionDisplay
        """
        given = attribution(estimator, X, component, layer=layer, baseline=baseline)
        samples, model = before_autoencoder(estimator, X)
        samples = to_numpy(samples).reshape(given.shape)
        names = names_of(estimator, given.shape[1])
        image_shape = image_shape or model.image_shape
        samples, given = (shaped(part, image_shape) for part in (samples, given))
        display = cls(
            samples,
            given,
            f"{layer}_{component}",
            spacing=spacing_of(estimator, spacing),
            feature_names=names,
        )
        return display.plot(figure)

    def plot(self, figure=None):
        """Draw all samples.

        Parameters
        ----------
        figure : matplotlib Figure or SubFigure, default=None
            None makes a new one.

        Returns
        -------
        display : AttributionDisplay
        """
        samples, given = np.asarray(self.samples), np.asarray(self.contributions)
        n_samples = len(samples)
        if is_table(samples):
            self.figure_, self.axes_ = table_axes(figure, n_samples)
            names = self.feature_names or numbered(samples.shape[1])
            for i, (ax, row) in enumerate(zip(self.axes_.flat, given, strict=False)):
                draw_bars(ax, row, names, color="#0072B2")
                ax.axvline(0, color="black", linewidth=0.8)
                ax.set(title=f"sample {i}", xlabel=f"contribution to {self.name}")
            return self
        width = tile_width(samples[0])
        self.figure_ = new_figure(figure, 1.3 * width * n_samples + 1, 2.9)
        self.axes_ = self.figure_.subplots(2, n_samples, squeeze=False)
        most = np.nanquantile(np.abs(given), _ALMOST_ALL) or 1.0
        for column, sample, parts in zip(self.axes_.T, samples, given, strict=True):
            drawn = draw_tile(
                column[0],
                parts,
                cmap="RdBu_r",
                vmin=-most,
                vmax=most,
                spacing=self.spacing,
            )
            draw_tile(column[1], sample, cmap="gray", spacing=self.spacing)
            strength = np.abs(np.nan_to_num(as_tile(parts, self.spacing)))
            strength = gaussian_filter(strength, 1.0)
            level = np.quantile(strength, 0.95)
            if min(strength.shape) >= _FEW_PIXELS and 0 < level < strength.max():
                column[1].contour(strength, [level], colors="#E69F00", linewidths=1.2)
        self.axes_[0, 0].set_ylabel("contribution")
        self.axes_[1, 0].set_ylabel("sample")
        name_size(self.axes_[-1, 0], samples[0], self.spacing)
        bar = self.figure_.colorbar(drawn, ax=list(self.axes_.flat), aspect=30)
        bar.set_label(f"to {self.name}")
        return self

"""Samples of any shape as pictures, and figures to draw them in."""

import io

import numpy as np
from sklearn.pipeline import Pipeline

from .._pipelines import autoencoder_in

# Okabe and Ito (2008): told apart with colour blindness, and in grey with the markers.
CLASS_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
CLASS_COLORS += ("#000000", "#F0E442", "#7F3C8D", "#999999")
MARKERS = "os^Dv<>PX*"
MOST_FEATURES = 12
MOST_INCHES = 9


def new_axes(ax, **options):
    """Return axes to draw in, and their figure."""
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(layout="constrained", **options)
    return ax, ax.figure


def new_figure(figure, width, height):
    """Return the figure that is given, or one of that size if it is not too wide."""
    import matplotlib.pyplot as plt

    if figure is None:
        shrink = min(1, MOST_INCHES / width)
        size = shrink * width, max(shrink * height, 1.8)
        figure = plt.figure(figsize=size, layout="constrained")
    return figure


def table_axes(figure, n_panels):
    """Return a figure and axes for panels of tables, in rows of two."""
    n_columns = min(n_panels, 2)
    n_rows = -(-n_panels // n_columns)
    figure = new_figure(figure, 4.2 * n_columns, 3.2 * n_rows)
    axes = figure.subplots(n_rows, n_columns, squeeze=False)
    for ax in axes.flat[n_panels:]:
        ax.set_axis_off()
    return figure, axes


def shaped(samples, image_shape):
    """Give flat samples the shape of images, if one is named."""
    samples = np.asarray(samples)
    if image_shape is None:
        return samples
    return samples.reshape(len(samples), *image_shape)


def is_table(samples):
    return samples.ndim == 2


def names_of(estimator, n_features):
    """Return names of the columns that an autoencoder gets, or numbers."""
    names = getattr(autoencoder_in(estimator), "feature_names_in_", None)
    if isinstance(estimator, Pipeline) and len(estimator.steps) > 1:
        try:
            names = estimator[:-1].get_feature_names_out()
        except (AttributeError, ValueError):
            names = None
    if names is None or len(names) != n_features:
        names = numbered(n_features)
    return [str(name) for name in names]


def numbered(n_features):
    return [f"feature {i}" for i in range(n_features)]


def as_tile(sample, spacing=None):
    """Return an image of one sample, of shape (height, width) or (height, width, 3).

    Three channels are colours, others are averaged. Of a volume with channels, of shape
    (c, d, h, w), these are the middle slices along its three axes side by side.
    """
    if sample.ndim == 2:
        return sample
    if sample.ndim == 3:
        if len(sample) == 3:
            return np.moveaxis(sample, 0, -1)
        return sample.mean(axis=0)
    if sample.ndim != 4:
        raise ValueError(
            "A sample must be an image of shape (h, w) or (c, h, w), or a volume of "
            f"shape (c, d, h, w), got {sample.shape}. Set `image_shape` if it is flat."
        )
    volume = sample.mean(axis=0)
    steps = np.ones(3) if spacing is None else np.asarray(spacing) / np.min(spacing)
    for axis, times in enumerate(np.rint(steps).astype(int)):
        volume = np.repeat(volume, times, axis=axis)
    planes = [np.take(volume, n // 2, axis=i) for i, n in enumerate(volume.shape)]
    height = max(len(plane) for plane in planes)
    padded = [
        np.pad(
            plane.astype(float),
            ((0, height - len(plane)), (0, 1)),
            constant_values=np.nan,
        )
        for plane in planes
    ]
    return np.concatenate(padded, axis=1)[:, :-1]


def draw_tile(ax, sample, *, spacing=None, **options):
    """Draw one sample without ticks, and return what was drawn."""
    tile = as_tile(sample, spacing)
    if tile.ndim == 3:
        low, high = np.nanmin(tile), np.nanmax(tile)
        tile, options = (tile - low) / max(high - low, 1e-12), {}
    drawn = ax.imshow(tile, **options)
    ax.set(xticks=[], yticks=[])
    return drawn


def name_size(ax, sample, spacing):
    """Write below an axis how large a volume is, if that is known."""
    if spacing is None or sample.ndim != 4:
        return
    sizes = np.multiply(sample.shape[1:], spacing)
    ax.set_xlabel(" x ".join(f"{size:.0f}" for size in sizes) + " mm", fontsize="small")


def spacing_of(estimator, spacing):
    """Return the spacing of volumes: as given, or as a loader in a pipeline sets it."""
    if spacing is None and isinstance(estimator, Pipeline):
        found = [getattr(step, "spacing", None) for _, step in estimator.steps[:-1]]
        found = [each for each in found if not isinstance(each, str | None)]
        spacing = found[0] if found else None  # "fit" is another one for each case
    if spacing is None:
        return None
    return tuple(np.broadcast_to(np.asarray(spacing, dtype=float), 3))


def draw_bars(ax, values, names, **options):
    """Draw a bar for each of the features with the largest absolute values."""
    largest = np.argsort(np.abs(values))[-MOST_FEATURES:]
    ax.barh([names[i] for i in largest], values[largest], **options)


def tile_width(sample):
    """Return the width of a tile in inches, for one an inch high."""
    tile = as_tile(sample)
    return tile.shape[1] / tile.shape[0]


def as_png(figure):
    """Return a figure as the bytes of a PNG, and close it."""
    import matplotlib.pyplot as plt

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90)
    plt.close(figure)
    return file.getvalue()

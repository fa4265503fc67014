"""Displays of what is unusual about samples."""

import numpy as np

_MOST = 12  # features of a table that are named


class FeatureScoreDisplay:
    """What each feature of a sample adds to its error: where it is unusual.

    Images stand above their heat maps, which share one scale. Samples of a table get a
    bar for each of the features with the largest errors.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_features) or (n_samples, height, width)
        What the autoencoder got.
    errors : ndarray of the shape of samples
        Squared errors.
    feature_names : sequence of str or None, default=None
        Names of the columns of a table.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Of shape (2, n_samples) for images, (1, n_samples) for tables.
    figure_ : matplotlib Figure

    See Also
    --------
    skvae.outlier.ReconstructionOutlierDetector : Its `score_features` are drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import AE
    >>> from skvae.outlier import ReconstructionOutlierDetector
    >>> from skvae.plot import FeatureScoreDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> ae = AE(4, max_iter=5, random_state=0)
    >>> detector = ReconstructionOutlierDetector(ae, random_state=0).fit(X[y == 0])
    >>> display = FeatureScoreDisplay.from_estimator(
    ...     detector, X[y != 0][:4], image_shape=(8, 8)
    ... )
    >>> display.axes_.shape
    (2, 4)
    """

    def __init__(self, samples, errors, *, feature_names=None):
        self.samples = samples
        self.errors = errors
        self.feature_names = feature_names

    @classmethod
    def from_estimator(cls, detector, X, *, image_shape=None, figure=None):
        """Plot what a fitted detector says of samples.

        Parameters
        ----------
        detector : ReconstructionOutlierDetector
        X : array-like of shape (n_samples, ...)
            A few samples.
        image_shape : tuple of int or None, default=None
            (height, width) or (channels, height, width), for images that are flat. None
            takes the shape of `X`.
        figure : matplotlib Figure or SubFigure, default=None
            None makes a new one.

        Returns
        -------
        display : FeatureScoreDisplay

        Raises
        ------
        ValueError
            If samples are neither rows of a table nor images.
        """
        errors = detector.score_features(X)
        names = getattr(detector, "feature_names_in_", None)
        samples = np.asarray(X, dtype=np.float64).reshape(errors.shape)
        if image_shape is not None:
            samples, errors = (
                part.reshape(-1, *image_shape) for part in (samples, errors)
            )
        if samples.ndim == 4:  # channels
            samples, errors = samples.mean(axis=1), errors.sum(axis=1)
        return cls(samples, errors, feature_names=names).plot(figure)

    def plot(self, figure=None):
        """Draw images above heat maps, or bars.

        Parameters
        ----------
        figure : matplotlib Figure or SubFigure, default=None
            None makes a new one.

        Returns
        -------
        display : FeatureScoreDisplay
        """
        import matplotlib.pyplot as plt

        rank = np.ndim(self.samples)
        if rank not in (2, 3):
            raise ValueError(
                "Samples must be rows of a table, or images of shape (height, width) "
                f"or (channels, height, width), got an array of {rank} axes. Show "
                "slices of volumes."
            )
        n_samples, is_table = len(self.samples), rank == 2
        if figure is None:
            size = (3.2 * n_samples, 3) if is_table else (1.5 * n_samples, 3.4)
            figure = plt.figure(figsize=size, layout="constrained")
        self.figure_ = figure
        self.axes_ = figure.subplots(1 if is_table else 2, n_samples, squeeze=False)
        if is_table:
            for i, (ax, errors) in enumerate(
                zip(self.axes_[0], self.errors, strict=True)
            ):
                self._draw_bars(ax, errors)
                ax.set(title=f"sample {i}", xlabel="squared error")
        else:
            self._draw_maps()
        return self

    def _draw_bars(self, ax, errors):
        largest = np.argsort(errors)[::-1][:_MOST][::-1]
        names = self.feature_names
        if names is None or len(names) != len(errors):
            names = [f"feature {i}" for i in range(len(errors))]
        ax.barh([str(names[i]) for i in largest], errors[largest], color="C1")

    def _draw_maps(self):
        for ax, image in zip(self.axes_[0], self.samples, strict=True):
            ax.imshow(image, cmap="gray")
        for ax, errors in zip(self.axes_[1], self.errors, strict=True):
            drawn = ax.imshow(errors, cmap="magma", vmin=0, vmax=np.max(self.errors))
        for ax in self.axes_.flat:
            ax.set(xticks=[], yticks=[])
        self.axes_[0, 0].set_ylabel("sample")
        self.axes_[1, 0].set_ylabel("squared error")
        self.figure_.colorbar(drawn, ax=list(self.axes_[1]), shrink=0.9)

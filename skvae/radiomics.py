"""Hand-crafted features of a region in an image, as a step of a pipeline."""

from collections.abc import Mapping

import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ._documentation import DocumentedMixin
from ._validation import HasMethods, StrOptions, fit_context

__all__ = ["RegionFeatures", "first_order", "shape"]


def first_order(image, mask, spacing):
    """Return statistics of the intensities in a region.

    They are the intensity-based statistics of the Image Biomarker Standardisation
    Initiative (IBSI) [1]_, under its names and held to its digital phantom. Variance,
    skewness and kurtosis are those of the voxels as a whole population; kurtosis is
    that in excess of a normal distribution (pyradiomics: 3 more); percentiles are
    interpolated linearly; `median_absolute_deviation` is the mean distance from the
    median.

    Parameters
    ----------
    image : ndarray of shape (n_slices, n_rows, n_columns)
        Intensities.
    mask : ndarray of shape (n_slices, n_rows, n_columns), bool
        True in the region.
    spacing : tuple of 3 floats
        Millimetres between slices, rows and columns. It changes nothing here: all
        functions of a region take the same arguments.

    Returns
    -------
    features : dict of str to float
        In units of the intensities or their powers; ratios have none. Skewness and
        kurtosis of a constant region are 0. `coefficient_of_variation` is NaN where the
        mean is 0, `quartile_coefficient_of_dispersion` where the quartiles add to 0.

    Raises
    ------
    TypeError
        If `mask` is not of dtype bool.
    ValueError
        If shapes differ, `spacing` is not three positive numbers, the mask is empty, or
        an intensity in it is NaN or infinite.

    See Also
    --------
    shape : The form of a region.
    RegionFeatures : Such functions as a transformer.

    References
    ----------
    .. [1] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative:
       Standardized Quantitative Radiomics for High-Throughput Image-based
       Phenotyping", Radiology 295, 2020, https://doi.org/10.1148/radiol.2020191145;
       reference manual: https://arxiv.org/abs/1612.07003.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae.radiomics import first_order
    >>> image = np.arange(8.0).reshape(2, 2, 2)
    >>> features = first_order(image, image > 3, spacing=(1, 1, 1))
    >>> features["mean"], features["range"]
    (5.5, 3.0)
    """
    values, _, _ = _check_region(image, mask, spacing)
    low, p10, p25, median, p75, p90, high = np.percentile(
        values, [0, 10, 25, 50, 75, 90, 100]
    )
    mean, variance, skewness, kurtosis = _moments(values)
    energy = np.square(values).sum()
    features = {
        "mean": mean,
        "variance": variance,
        "skewness": skewness,
        "kurtosis": kurtosis,
        "median": median,
        "minimum": low,
        "percentile_10": p10,
        "percentile_90": p90,
        "maximum": high,
        "interquartile_range": p75 - p25,
        "range": high - low,
        "mean_absolute_deviation": _mean_deviation(values),
        "robust_mean_absolute_deviation": _mean_deviation(
            values[(values >= p10) & (values <= p90)]
        ),
        "median_absolute_deviation": np.abs(values - median).mean(),
        "coefficient_of_variation": _ratio(np.sqrt(variance), mean),
        "quartile_coefficient_of_dispersion": _ratio(p75 - p25, p75 + p25),
        "energy": energy,
        "root_mean_square": np.sqrt(energy / values.size),
    }
    return {name: float(value) for name, value in features.items()}


def shape(image, mask, spacing):
    """Return measures of the form and size of a region.

    They are morphological features of the Image Biomarker Standardisation Initiative
    (IBSI) [1]_, under its names and held to its digital phantom. Volume, surface and
    diameter are those of a mesh around the region (marching cubes [2]_), so that they
    exist for a single voxel or slice too; `volume_voxel` counts voxels, which IBSI
    calls the approximate volume. Densities compare the mesh with its axis-aligned
    bounding box ("aabb") and its convex hull. Axes are 4 standard deviations long, by
    the sample covariance (pyradiomics: that of the population).

    Parameters
    ----------
    image : ndarray of shape (n_slices, n_rows, n_columns)
        Intensities. Only `centre_of_mass_shift` and `integrated_intensity` depend on
        them.
    mask : ndarray of shape (n_slices, n_rows, n_columns), bool
        True in the region.
    spacing : tuple of 3 floats
        Millimetres between slices, rows and columns.

    Returns
    -------
    features : dict of str to float
        In millimetres and their powers; ratios have no unit. Axes that the region has
        no extent along are of length 0. For a single voxel, `elongation` and
        `flatness` are NaN. `centre_of_mass_shift` is NaN where intensities add to 0,
        and means little where some are negative, as in Hounsfield units.

    Raises
    ------
    ImportError
        If scikit-image is not installed.
    TypeError
        If `mask` is not of dtype bool.
    ValueError
        If shapes differ, `spacing` is not three positive numbers, the mask is empty, or
        an intensity in it is NaN or infinite.

    See Also
    --------
    first_order : The intensities of a region.
    RegionFeatures : Such functions as a transformer.

    References
    ----------
    .. [1] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative:
       Standardized Quantitative Radiomics for High-Throughput Image-based
       Phenotyping", Radiology 295, 2020, https://doi.org/10.1148/radiol.2020191145;
       reference manual: https://arxiv.org/abs/1612.07003.
    .. [2] T. Lewiner et al., "Efficient implementation of Marching Cubes' cases with
       topological guarantees", Journal of Graphics Tools 8, 2003,
       https://doi.org/10.1080/10867651.2003.10487582.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae.radiomics import shape
    >>> mask = np.ones((2, 10, 20), dtype=bool)
    >>> features = shape(mask, mask, spacing=(5, 1, 1))
    >>> features["volume_voxel"]
    2000.0
    >>> features["volume"] < 2000  # the mesh cuts edges and corners
    True
    """
    values, mask, spacing = _check_region(image, mask, spacing)
    vertices, faces = _mesh(mask, spacing)
    volume, area = _volume_and_area(vertices, faces)
    sphericity = np.cbrt(36 * np.pi * volume**2) / area
    hull = ConvexHull(vertices)
    box = np.ptp(vertices, axis=0)
    positions = np.argwhere(mask) * spacing
    positions -= positions.mean(axis=0)
    least, minor, major = _axis_lengths(positions)
    features = {
        "volume": volume,
        "volume_voxel": values.size * spacing.prod(),
        "surface_area": area,
        "surface_to_volume_ratio": area / volume,
        "compactness_1": volume / np.sqrt(np.pi * area**3),
        "compactness_2": sphericity**3,
        "spherical_disproportion": 1 / sphericity,
        "sphericity": sphericity,
        "asphericity": 1 / sphericity - 1,
        "centre_of_mass_shift": np.linalg.norm(
            _ratio(values @ positions, values.sum())
        ),
        "maximum_3d_diameter": pdist(vertices[hull.vertices]).max(),
        "major_axis_length": major,
        "minor_axis_length": minor,
        "least_axis_length": least,
        "elongation": _ratio(minor, major),
        "flatness": _ratio(least, major),
        "volume_density_aabb": volume / box.prod(),
        "area_density_aabb": area / (2 * box.prod() * (1 / box).sum()),
        "volume_density_convex_hull": volume / hull.volume,
        "area_density_convex_hull": area / hull.area,
        "integrated_intensity": volume * values.mean(),
    }
    return {name: float(value) for name, value in features.items()}


_FUNCTIONS = {"first_order": first_order, "shape": shape}


class RegionFeatures(DocumentedMixin, TransformerMixin, BaseEstimator):
    """Describe the region of each case by hand-crafted features.

    A case is an image of one or more channels with the mask of a region, a tumour say.
    Functions turn it into numbers: those of this module, or your own.

    Parameters
    ----------
    features : {"first_order", "shape"}, callable, list of these, or dict, \
            default=("first_order", "shape")
        What to compute. A callable takes `(image, mask, spacing)`, as `first_order`
        does, and returns a dict of names to numbers, with the same names for every
        case. It is known by its `__name__`; a dict of names to callables gives
        others.
    loader : VolumeLoader or None, default=None
        What reads the cases: an object with a method `load_cases(X)` that yields them
        in order, and None for a case that it could not load. A case has attributes
        `image` of shape (n_channels, n_slices, n_rows, n_columns), `mask` of shape
        (n_slices, n_rows, n_columns), bool, and `spacing` in mm along slices, rows and
        columns. None takes `X` for a sequence of cases.

    Attributes
    ----------
    feature_names_ : list of str
        "<function>__<feature>"; of images with several channels,
        "channel<number>__<function>__<feature>".

    See Also
    --------
    first_order : The intensities of a region.
    shape : The form of a region.

    Notes
    -----
    Parameters of the loader can be searched: `loader__spacing`. Intensities should
    reach the features in their own units, so a loader that normalises each volume
    takes away from `first_order` what it measures.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> from skvae.radiomics import RegionFeatures
    >>> def millilitres(image, mask, spacing):
    ...     return {"volume": mask.sum() * np.prod(spacing) / 1000}
    >>> image = np.ones((1, 10, 20, 20))
    >>> case = SimpleNamespace(image=image, mask=image[0] > 0, spacing=(5, 1, 1))
    >>> features = RegionFeatures(["first_order", millilitres])
    >>> X = features.fit_transform([case])
    >>> X.shape
    (1, 19)
    >>> features.get_feature_names_out()[-1], X[0, -1].item()
    ('millilitres__volume', 20.0)
    """

    _parameter_constraints = {
        "features": [StrOptions(set(_FUNCTIONS)), callable, list, tuple, dict],
        "loader": [HasMethods("load_cases"), None],
    }

    def __init__(self, features=("first_order", "shape"), loader=None):
        self.features = features
        self.loader = loader

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the names of the features from the first case that can be loaded.

        Parameters
        ----------
        X : sequence or DataFrame of length n_cases
            What the loader reads.
        y : object, default=None
            Not used.

        Returns
        -------
        self : RegionFeatures

        Raises
        ------
        TypeError
            If a function returns anything but a dict of numbers.
        ValueError
            If no case can be loaded, the first has no mask, a feature is infinite, or
            `features` names a function that there is not, or one name twice.
        """
        functions = _functions(self.features)
        rows = getattr(X, "iloc", X)
        for number in range(len(X)):
            (case,) = self._cases(rows[number : number + 1])
            if case is not None:
                self.feature_names_ = list(_describe(case, number, functions))
                return self
        raise ValueError(f"None of the n_cases={len(X)} of `X` could be loaded.")

    def transform(self, X):
        """Compute the features of each case.

        Parameters
        ----------
        X : sequence or DataFrame of length n_cases
            What the loader reads.

        Returns
        -------
        features : ndarray of shape (n_cases, n_features), float64
            The row of a case that could not be loaded is NaN.

        Raises
        ------
        TypeError
            If a function returns anything but a dict of numbers.
        ValueError
            If a case has no mask, a feature is infinite, or the names of the features
            of a case differ from `feature_names_`.
        """
        check_is_fitted(self)
        functions = _functions(self.features)
        rows = [
            self._row(case, number, functions)
            for number, case in enumerate(self._cases(X))
        ]
        return np.array(rows, dtype=float).reshape(-1, len(self.feature_names_))

    def get_feature_names_out(self, input_features=None):
        """Return the names of the features.

        Parameters
        ----------
        input_features : object, default=None
            Not used.

        Returns
        -------
        names : ndarray of shape (n_features,), object
        """
        check_is_fitted(self)
        return np.array(self.feature_names_, dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        return tags

    def _cases(self, X):
        return X if self.loader is None else self.loader.load_cases(X)

    def _row(self, case, number, functions):
        if case is None:
            return [np.nan] * len(self.feature_names_)
        features = _describe(case, number, functions)
        known, found = set(self.feature_names_), set(features)
        if known != found:
            raise ValueError(
                f"Case {number} lacks the features {sorted(known - found)} that "
                "RegionFeatures was fitted on, and has the features "
                f"{sorted(found - known)} beyond them. Every function must return the "
                "same names for every case; cases must have one number of channels."
            )
        return [features[name] for name in self.feature_names_]


def _functions(features):
    """Return the functions to call, by name."""
    if isinstance(features, str) or callable(features):
        features = [features]
    if not isinstance(features, Mapping):
        names = [_name(function) for function in features]
        if len(set(names)) < len(names):
            raise ValueError(
                f"`features` must have one name each, got {names}. Name them by a dict."
            )
        features = dict(zip(names, features, strict=True))
    return {name: _function(function) for name, function in features.items()}


def _name(function):
    if isinstance(function, str):
        return function
    return getattr(function, "__name__", type(function).__name__)


def _function(function):
    if callable(function):
        return function
    if function not in list(_FUNCTIONS):
        raise ValueError(
            "`features` must hold callables or names among "
            f"{sorted(_FUNCTIONS)}, got {function!r}."
        )
    return _FUNCTIONS[function]


def _describe(case, number, functions):
    """Return the features of a case by their full names."""
    if case.mask is None:
        raise ValueError(
            f"RegionFeatures needs a mask for every case, but case {number} has none."
        )
    features = {}
    for channel, image in enumerate(case.image):
        prefix = f"channel{channel}__" if len(case.image) > 1 else ""
        for name, function in functions.items():
            try:
                found = _numbers(function(image, case.mask, case.spacing))
            except Exception as error:
                error.add_note(f"Raised by `{name}` for case {number}.")
                raise
            features |= {f"{prefix}{name}__{key}": found[key] for key in found}
    return features


def _numbers(features):
    """Check what a function returned."""
    if not isinstance(features, Mapping):
        raise TypeError(
            f"A function must return a dict, got {type(features).__name__}."
        )
    for name, value in features.items():
        value = np.asarray(value)
        if value.ndim or value.dtype.kind not in "biuf":
            raise TypeError(f"The feature {name!r} must be a number, got {value!r}.")
        if np.isinf(value):
            raise ValueError(f"The feature {name!r} must be finite or NaN.")
    return features


def _check_region(image, mask, spacing):
    """Return the intensities in a region as float64, its mask and its spacing."""
    image, mask = np.asarray(image), np.asarray(mask)
    spacing = np.asarray(spacing, dtype=float)
    if image.ndim != 3 or image.shape != mask.shape:
        raise ValueError(
            "`image` and `mask` must be of one shape (n_slices, n_rows, n_columns), "
            f"got {image.shape} and {mask.shape}."
        )
    if mask.dtype != bool:
        raise TypeError(
            f"`mask` must be of dtype bool, got {mask.dtype}; pass mask == label."
        )
    if spacing.shape != (3,) or not np.all((spacing > 0) & (spacing < np.inf)):
        raise ValueError(f"`spacing` must be 3 positive numbers, got {spacing}.")
    if not mask.any():
        raise ValueError("`mask` must hold one voxel at least, got an empty one.")
    values = image[mask].astype(float)
    if not np.isfinite(values).all():
        raise ValueError(
            f"`image` has {np.sum(~np.isfinite(values))} voxels in the mask that are "
            "NaN or infinite. Fill them, or leave them out of the mask."
        )
    return values, mask, spacing


def _moments(values):
    """Return mean, variance, skewness and excess kurtosis."""
    centred = values - values[0]  # all 0 in a constant region, whatever the rounding
    centred -= centred.mean()
    variance = np.square(centred).mean()
    if variance == 0:
        return values[0], 0, 0, 0
    skewness = (centred**3).mean() / variance**1.5
    kurtosis = (centred**4).mean() / variance**2 - 3
    return values.mean(), variance, skewness, kurtosis


def _mean_deviation(values):
    return np.abs(values - values.mean()).mean()


def _ratio(numerator, denominator):
    return numerator / denominator if denominator else np.nan


def _mesh(mask, spacing):
    """Return vertices in mm and triangles of the surface of a region."""
    try:
        from skimage.measure import marching_cubes
    except ImportError as error:
        raise ImportError(
            "Features of shape need scikit-image: pip install 'skvae[radiomics]'"
        ) from error

    box = tuple(slice(index.min(), index.max() + 1) for index in np.nonzero(mask))
    padded = np.pad(mask[box], 1).astype(np.float32)
    vertices, faces, _, _ = marching_cubes(padded, 0.5)
    return vertices * spacing, faces


def _volume_and_area(vertices, faces):
    """Add up the tetrahedra below the triangles of a closed mesh, and the triangles."""
    first, second, third = np.moveaxis(vertices[faces], 1, 0)
    normals = np.cross(second - first, third - first)
    volume = abs(np.sum(first * normals)) / 6
    return volume, np.linalg.norm(normals, axis=1).sum() / 2


def _axis_lengths(positions):
    """Return 4 standard deviations of centred positions along their principal axes.

    With the sample covariance, whose denominator is n - 1: that gives IBSI's values.
    """
    covariance = positions.T @ positions / max(len(positions) - 1, 1)
    return 4 * np.sqrt(np.linalg.eigvalsh(covariance).clip(min=0))

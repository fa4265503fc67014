"""Hand-crafted features of a region in an image, as a step of a pipeline."""

from collections.abc import Mapping
from functools import partial
from numbers import Real

import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from . import _texture
from ._mixin import EstimatorMixin
from ._validation import HasMethods, StrOptions, fit_context

__all__ = [
    "RegionFeatures",
    "first_order",
    "glcm",
    "gldm",
    "glrlm",
    "glszm",
    "intensity_histogram",
    "ngtdm",
    "shape",
]


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
    return _floats(features)


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
    return _floats(features)


def intensity_histogram(image, mask, spacing, *, bin_width=25, bin_number=None):
    """Return entropy and uniformity of the grey levels in a region.

    They are the two intensity histogram features of the Image Biomarker Standardisation
    Initiative (IBSI) [1]_ that `first_order` has no counterpart of.

    Parameters
    ----------
    image : ndarray of shape (n_slices, n_rows, n_columns)
        Intensities.
    mask : ndarray of shape (n_slices, n_rows, n_columns), bool
        True in the region.
    spacing : tuple of 3 floats
        Millimetres between slices, rows and columns. It changes nothing here: all
        functions of a region take the same arguments.
    bin_width : float, default=25
        Width of a grey level in units of the intensities. Levels start at a multiple
        of it. Not used if `bin_number` is given.
    bin_number : int or None, default=None
        Number of grey levels between the smallest and largest intensity of the region.

    Returns
    -------
    features : dict of str to float
        `entropy` in bits, and `uniformity`, which is 1 in a region of one level.

    Raises
    ------
    TypeError
        If `mask` is not of dtype bool.
    ValueError
        If shapes differ, `spacing` is not three positive numbers, the mask is empty, an
        intensity in it is NaN or infinite, `bin_width` or `bin_number` is not positive,
        or there are more than 65536 levels.

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

    Examples
    --------
    >>> import numpy as np
    >>> from skvae.radiomics import intensity_histogram
    >>> image = np.array([[[0, 10, 30, 60]]])
    >>> intensity_histogram(image, image >= 0, spacing=(1, 1, 1))
    {'entropy': 1.5, 'uniformity': 0.375}
    """
    grid = _levels(image, mask, spacing, bin_width, bin_number)
    return _floats(_texture.intensity_histogram(grid))


def glcm(
    image,
    mask,
    spacing,
    *,
    bin_width=25,
    bin_number=None,
    merge=False,
    in_plane=False,
):
    """Return features of the grey level co-occurrence matrix.

    It counts which grey levels are neighbours [1]_, in 13 directions at a distance of
    one voxel, symmetrically. The features are those of IBSI [2]_, under its names,
    and the maximal correlation coefficient.

    Parameters
    ----------
    image : ndarray of shape (n_slices, n_rows, n_columns)
        Intensities.
    mask : ndarray of shape (n_slices, n_rows, n_columns), bool
        True in the region.
    spacing : tuple of 3 floats
        Millimetres between slices, rows and columns. It changes nothing here, so bring
        all images to one spacing first: texture depends on the size of voxels.
    bin_width : float, default=25
        Width of a grey level in units of the intensities. Levels start at a multiple
        of it. Not used if `bin_number` is given.
    bin_number : int or None, default=None
        Number of grey levels between the smallest and largest intensity of the region.
    merge : bool, default=False
        True counts all directions together (IBSI: 3D merged). False averages the
        features of each direction (IBSI: 3D averaged), as pyradiomics does.
    in_plane : bool, default=False
        True takes only neighbours within a slice (4 directions in place of 13), for
        slices that are much thicker than their pixels.

    Returns
    -------
    features : dict of str to float
        NaN if no two voxels of the region are neighbours.

    Raises
    ------
    TypeError
        If `mask` is not of dtype bool.
    ValueError
        If shapes differ, `spacing` is not three positive numbers, the mask is empty, an
        intensity in it is NaN or infinite, `bin_width` or `bin_number` is not positive,
        or more than 2047 levels are in use.

    See Also
    --------
    glrlm : Runs of one grey level.
    glszm : Zones of one grey level.
    gldm : Numbers of neighbours of one grey level.
    ngtdm : Differences between a voxel and its neighbours.
    RegionFeatures : Such functions as a transformer.

    Notes
    -----
    IBSI's dissimilarity is `difference_average`, its sum variance is
    `cluster_tendency`; they are not repeated. In a region of one level, `correlation`
    and `maximal_correlation_coefficient` are 1 and `information_correlation_1` is 0, as
    in pyradiomics.

    References
    ----------
    .. [1] R. M. Haralick et al., "Textural Features for Image Classification", IEEE
       Transactions on Systems, Man, and Cybernetics 3, 1973,
       https://doi.org/10.1109/TSMC.1973.4309314.
    .. [2] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative:
       Standardized Quantitative Radiomics for High-Throughput Image-based
       Phenotyping", Radiology 295, 2020, https://doi.org/10.1148/radiol.2020191145;
       reference manual: https://arxiv.org/abs/1612.07003.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae.radiomics import glcm
    >>> image = np.array([[[0, 0, 30, 30], [0, 60, 60, 30], [0, 0, 0, 30]]])
    >>> features = glcm(image, image >= 0, spacing=(1, 1, 1))
    >>> round(features["contrast"], 3), round(features["joint_entropy"], 3)
    (1.601, 2.62)
    """
    grid = _levels(image, mask, spacing, bin_width, bin_number)
    offsets = _texture.offsets_between(in_plane)
    return _floats(_texture.glcm(grid, offsets, merge))


def glrlm(
    image,
    mask,
    spacing,
    *,
    bin_width=25,
    bin_number=None,
    merge=False,
    in_plane=False,
):
    """Return features of the grey level run length matrix.

    It counts how many voxels of one grey level follow each other [1]_, in 13
    directions. The features are those of IBSI [2]_, under its names.

    Parameters
    ----------
    image : ndarray of shape (n_slices, n_rows, n_columns)
        Intensities.
    mask : ndarray of shape (n_slices, n_rows, n_columns), bool
        True in the region.
    spacing : tuple of 3 floats
        Millimetres between slices, rows and columns. It changes nothing here, so bring
        all images to one spacing first: texture depends on the size of voxels.
    bin_width : float, default=25
        Width of a grey level in units of the intensities. Levels start at a multiple
        of it. Not used if `bin_number` is given.
    bin_number : int or None, default=None
        Number of grey levels between the smallest and largest intensity of the region.
    merge : bool, default=False
        True counts all directions together (IBSI: 3D merged). False averages the
        features of each direction (IBSI: 3D averaged), as pyradiomics does.
    in_plane : bool, default=False
        True takes only neighbours within a slice (4 directions in place of 13), for
        slices that are much thicker than their pixels.

    Returns
    -------
    features : dict of str to float
        Numbers without a unit.

    Raises
    ------
    TypeError
        If `mask` is not of dtype bool.
    ValueError
        If shapes differ, `spacing` is not three positive numbers, the mask is empty, an
        intensity in it is NaN or infinite, `bin_width` or `bin_number` is not positive,
        or there are more than 65536 levels.

    See Also
    --------
    glszm : Zones of one grey level, of any form.
    RegionFeatures : Such functions as a transformer.

    References
    ----------
    .. [1] M. M. Galloway, "Texture analysis using gray level run lengths", Computer
       Graphics and Image Processing 4, 1975,
       https://doi.org/10.1016/S0146-664X(75)80008-6.
    .. [2] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative:
       Standardized Quantitative Radiomics for High-Throughput Image-based
       Phenotyping", Radiology 295, 2020, https://doi.org/10.1148/radiol.2020191145;
       reference manual: https://arxiv.org/abs/1612.07003.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae.radiomics import glrlm
    >>> image = np.array([[[0, 0, 30, 30], [0, 60, 60, 30], [0, 0, 0, 30]]])
    >>> features = glrlm(image, image >= 0, spacing=(1, 1, 1))
    >>> round(features["long_run_emphasis"], 3), round(features["run_percentage"], 3)
    (1.408, 0.923)
    """
    grid = _levels(image, mask, spacing, bin_width, bin_number)
    offsets = _texture.offsets_between(in_plane)
    return _floats(_texture.glrlm(grid, offsets, merge))


def glszm(
    image,
    mask,
    spacing,
    *,
    bin_width=25,
    bin_number=None,
    in_plane=False,
):
    """Return features of the grey level size zone matrix.

    It counts the voxels of each zone of one grey level [1]_: voxels that touch at a
    face, edge or corner. The features are those of IBSI [2]_, under its names.

    Parameters
    ----------
    image : ndarray of shape (n_slices, n_rows, n_columns)
        Intensities.
    mask : ndarray of shape (n_slices, n_rows, n_columns), bool
        True in the region.
    spacing : tuple of 3 floats
        Millimetres between slices, rows and columns. It changes nothing here, so bring
        all images to one spacing first: texture depends on the size of voxels.
    bin_width : float, default=25
        Width of a grey level in units of the intensities. Levels start at a multiple
        of it. Not used if `bin_number` is given.
    bin_number : int or None, default=None
        Number of grey levels between the smallest and largest intensity of the region.
    in_plane : bool, default=False
        True takes only neighbours within a slice (8 in place of 26), for slices
        that are much thicker than their pixels.

    Returns
    -------
    features : dict of str to float
        Numbers without a unit.

    Raises
    ------
    TypeError
        If `mask` is not of dtype bool.
    ValueError
        If shapes differ, `spacing` is not three positive numbers, the mask is empty, an
        intensity in it is NaN or infinite, `bin_width` or `bin_number` is not positive,
        or there are more than 65536 levels.

    See Also
    --------
    glrlm : Runs of one grey level along a line.
    RegionFeatures : Such functions as a transformer.

    References
    ----------
    .. [1] G. Thibault et al., "Advanced Statistical Matrices for Texture
       Characterization: Application to Cell Classification", IEEE Transactions on
       Biomedical Engineering 61, 2014, https://doi.org/10.1109/TBME.2013.2284600.
    .. [2] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative:
       Standardized Quantitative Radiomics for High-Throughput Image-based
       Phenotyping", Radiology 295, 2020, https://doi.org/10.1148/radiol.2020191145;
       reference manual: https://arxiv.org/abs/1612.07003.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae.radiomics import glszm
    >>> image = np.array([[[0, 0, 30, 30], [0, 60, 60, 30], [0, 0, 0, 30]]])
    >>> features = glszm(image, image >= 0, spacing=(1, 1, 1))
    >>> round(features["large_zone_emphasis"], 3), round(features["zone_percentage"], 3)
    (18.667, 0.25)
    """
    grid = _levels(image, mask, spacing, bin_width, bin_number)
    offsets = _texture.offsets_between(in_plane)
    return _floats(_texture.glszm(grid, offsets))


def gldm(
    image,
    mask,
    spacing,
    *,
    bin_width=25,
    bin_number=None,
    in_plane=False,
):
    """Return features of the grey level dependence matrix.

    It counts how many of the 26 neighbours of a voxel have its grey level, and the
    voxel itself [1]_. IBSI [2]_ calls it the neighbouring grey level dependence matrix;
    the features are those of IBSI, under its names.

    Parameters
    ----------
    image : ndarray of shape (n_slices, n_rows, n_columns)
        Intensities.
    mask : ndarray of shape (n_slices, n_rows, n_columns), bool
        True in the region.
    spacing : tuple of 3 floats
        Millimetres between slices, rows and columns. It changes nothing here, so bring
        all images to one spacing first: texture depends on the size of voxels.
    bin_width : float, default=25
        Width of a grey level in units of the intensities. Levels start at a multiple
        of it. Not used if `bin_number` is given.
    bin_number : int or None, default=None
        Number of grey levels between the smallest and largest intensity of the region.
    in_plane : bool, default=False
        True takes only neighbours within a slice (8 in place of 26), for slices
        that are much thicker than their pixels.

    Returns
    -------
    features : dict of str to float
        Numbers without a unit.

    Raises
    ------
    TypeError
        If `mask` is not of dtype bool.
    ValueError
        If shapes differ, `spacing` is not three positive numbers, the mask is empty, an
        intensity in it is NaN or infinite, `bin_width` or `bin_number` is not positive,
        or there are more than 65536 levels.

    See Also
    --------
    ngtdm : Differences between a voxel and its neighbours.
    RegionFeatures : Such functions as a transformer.

    References
    ----------
    .. [1] C. Sun and W. G. Wee, "Neighboring gray level dependence matrix for texture
       classification", Computer Vision, Graphics, and Image Processing 23, 1983,
       https://doi.org/10.1016/0734-189X(83)90032-4.
    .. [2] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative:
       Standardized Quantitative Radiomics for High-Throughput Image-based
       Phenotyping", Radiology 295, 2020, https://doi.org/10.1148/radiol.2020191145;
       reference manual: https://arxiv.org/abs/1612.07003.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae.radiomics import gldm
    >>> image = np.array([[[0, 0, 30, 30], [0, 60, 60, 30], [0, 0, 0, 30]]])
    >>> features = gldm(image, image >= 0, spacing=(1, 1, 1))
    >>> round(features["low_dependence_emphasis"], 3)
    0.143
    """
    grid = _levels(image, mask, spacing, bin_width, bin_number)
    offsets = _texture.offsets_between(in_plane)
    return _floats(_texture.gldm(grid, offsets))


def ngtdm(
    image,
    mask,
    spacing,
    *,
    bin_width=25,
    bin_number=None,
    in_plane=False,
):
    """Return features of the neighbourhood grey tone difference matrix.

    It adds up, by grey level, how far voxels are from the mean of their 26 neighbours
    in the region [1]_. The features are those of IBSI [2]_, under its names.

    Parameters
    ----------
    image : ndarray of shape (n_slices, n_rows, n_columns)
        Intensities.
    mask : ndarray of shape (n_slices, n_rows, n_columns), bool
        True in the region.
    spacing : tuple of 3 floats
        Millimetres between slices, rows and columns. It changes nothing here, so bring
        all images to one spacing first: texture depends on the size of voxels.
    bin_width : float, default=25
        Width of a grey level in units of the intensities. Levels start at a multiple
        of it. Not used if `bin_number` is given.
    bin_number : int or None, default=None
        Number of grey levels between the smallest and largest intensity of the region.
    in_plane : bool, default=False
        True takes only neighbours within a slice (8 in place of 26), for slices
        that are much thicker than their pixels.

    Returns
    -------
    features : dict of str to float
        NaN if no two voxels of the region are neighbours. Where no voxel differs from
        its neighbours, `coarseness` is 1e6 and the others are 0.

    Raises
    ------
    TypeError
        If `mask` is not of dtype bool.
    ValueError
        If shapes differ, `spacing` is not three positive numbers, the mask is empty, an
        intensity in it is NaN or infinite, `bin_width` or `bin_number` is not positive,
        or there are more than 65536 levels.

    See Also
    --------
    gldm : Numbers of neighbours of one grey level.
    RegionFeatures : Such functions as a transformer.

    References
    ----------
    .. [1] M. Amadasun and R. King, "Textural features corresponding to textural
       properties", IEEE Transactions on Systems, Man, and Cybernetics 19, 1989,
       https://doi.org/10.1109/21.44046.
    .. [2] A. Zwanenburg et al., "The Image Biomarker Standardization Initiative:
       Standardized Quantitative Radiomics for High-Throughput Image-based
       Phenotyping", Radiology 295, 2020, https://doi.org/10.1148/radiol.2020191145;
       reference manual: https://arxiv.org/abs/1612.07003.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae.radiomics import ngtdm
    >>> image = np.array([[[0, 0, 30, 30], [0, 60, 60, 30], [0, 0, 0, 30]]])
    >>> features = ngtdm(image, image >= 0, spacing=(1, 1, 1))
    >>> round(features["coarseness"], 3), round(features["busyness"], 3)
    (0.331, 4.535)
    """
    grid = _levels(image, mask, spacing, bin_width, bin_number)
    offsets = _texture.offsets_between(in_plane)
    return _floats(_texture.ngtdm(grid, offsets))


_FUNCTIONS = {
    function.__name__: function
    for function in (
        first_order,
        shape,
        intensity_histogram,
        glcm,
        glrlm,
        glszm,
        gldm,
        ngtdm,
    )
}


class RegionFeatures(EstimatorMixin, TransformerMixin, BaseEstimator):
    """Describe the region of each case by hand-crafted features.

    A case is an image of one or more channels with the mask of a region, a tumour say.
    Functions turn it into numbers: those of this module, or your own.

    Parameters
    ----------
    features : {"first_order", "shape", "intensity_histogram", "glcm", "glrlm", \
            "glszm", "gldm", "ngtdm"}, callable, extractor, list of these, or dict, \
            default=("first_order", "shape")
        What to compute. A callable takes `(image, mask, spacing)`, as `first_order`
        does, and returns a dict of names to numbers, with the same names for every
        case. It is known by its `__name__`; a dict of names to callables gives
        others. Settings of a function are set by `functools.partial`:
        ``partial(glcm, bin_width=0.5)``.

        An extractor has a method `execute(image, mask)`, as pyradiomics' has. It gets
        images of SimpleITK and a mask of 0 and 1, and returns a dict too, of which
        names that start with ``diagnostics_`` are left out.
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
    glcm : The texture of a region; others are named there.

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
        "features": [
            StrOptions(set(_FUNCTIONS)),
            HasMethods("execute"),
            callable,
            list,
            tuple,
            dict,
        ],
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
            If a function returns anything but a dict of numbers, or `X` is a table and
            `loader` is None.
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
            If a function returns anything but a dict of numbers, or `X` is a table and
            `loader` is None.
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
        if self.loader is not None:
            return self.loader.load_cases(X)
        if hasattr(X, "iloc"):
            raise TypeError(
                "`loader` must be given where `X` is a table: "
                "RegionFeatures(loader=VolumeLoader())."
            )
        return X

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
    if not isinstance(features, list | tuple | Mapping):
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
    if isinstance(function, partial):
        return _name(function.func)
    return getattr(function, "__name__", type(function).__name__)


def _function(function):
    if hasattr(function, "execute"):
        return partial(_execute, function)
    if callable(function):
        return function
    if function not in list(_FUNCTIONS):
        raise ValueError(
            "`features` must hold callables, extractors or names among "
            f"{sorted(_FUNCTIONS)}, got {function!r}."
        )
    return _FUNCTIONS[function]


def _execute(extractor, image, mask, spacing):
    """Call an extractor that takes images of SimpleITK."""
    try:
        import SimpleITK
    except ImportError as error:
        raise ImportError(
            "An extractor with `execute` needs SimpleITK: pip install "
            "'skvae[radiomics]'"
        ) from error

    images = []
    for array in (np.asarray(image), np.asarray(mask, dtype=np.uint8)):
        images.append(SimpleITK.GetImageFromArray(array))
        images[-1].SetSpacing([float(length) for length in reversed(spacing)])
    features = extractor.execute(*images)
    return {
        name: features[name] for name in features if not name.startswith("diagnostics_")
    }


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


def _levels(image, mask, spacing, bin_width, bin_number):
    """Return the grey levels of a region in their box, checked."""
    if not (isinstance(bin_width, Real) and 0 < bin_width < np.inf):
        raise ValueError(f"`bin_width` must be a positive number, got {bin_width!r}.")
    if bin_number is not None and bin_number not in range(1, _texture.MAX_LEVELS + 1):
        raise ValueError(
            f"`bin_number` must be an int from 1 to {_texture.MAX_LEVELS} or None, got "
            f"{bin_number}."
        )
    _, mask, _ = _check_region(image, mask, spacing)
    return _texture.discretise(np.asarray(image), mask, bin_width, bin_number)


def _floats(features):
    return {name: float(value) for name, value in features.items()}


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

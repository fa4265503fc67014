"""Features of regions: against IBSI's phantom and pyradiomics, and in pipelines."""

import pickle
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from skvae.radiomics import RegionFeatures, first_order, shape

# The digital phantom of IBSI (A. Zwanenburg, CC BY 4.0,
# https://github.com/theibsi/data_sets), of 2 mm voxels; 0 is outside of the mask here.
PHANTOM = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ]
)
# Consensus values from the reference manual, https://arxiv.org/abs/1612.07003.
IBSI = {
    first_order: {
        "mean": 2.15,
        "variance": 3.05,
        "skewness": 1.08,
        "kurtosis": -0.355,
        "median": 1,
        "minimum": 1,
        "percentile_10": 1,
        "percentile_90": 4,
        "maximum": 6,
        "interquartile_range": 3,
        "range": 5,
        "mean_absolute_deviation": 1.55,
        "robust_mean_absolute_deviation": 1.11,
        "median_absolute_deviation": 1.15,
        "coefficient_of_variation": 0.812,
        "quartile_coefficient_of_dispersion": 0.6,
        "energy": 567,
        "root_mean_square": 2.77,
    },
    shape: {
        "volume": 556,
        "volume_voxel": 592,
        "surface_area": 388,
        "surface_to_volume_ratio": 0.698,
        "compactness_1": 0.0411,
        "compactness_2": 0.599,
        "spherical_disproportion": 1.19,
        "sphericity": 0.843,
        "asphericity": 0.186,
        "centre_of_mass_shift": 0.672,
        "maximum_3d_diameter": 13.1,
        "major_axis_length": 11.4,
        "minor_axis_length": 9.31,
        "least_axis_length": 8.54,
        "elongation": 0.816,
        "flatness": 0.749,
        "volume_density_aabb": 0.869,
        "area_density_aabb": 0.866,
        "volume_density_convex_hull": 0.961,
        "area_density_convex_hull": 1.03,
        "integrated_intensity": 1.20e3,
    },
}
BOTH = pytest.mark.parametrize("function", [first_order, shape])


@BOTH
def test_ibsi_phantom(function):
    features = function(PHANTOM, PHANTOM > 0, (2, 2, 2))
    assert {name: float(f"{x:.3g}") for name, x in features.items()} == IBSI[function]


def test_phantom_is_that_of_the_published_file(shared_data):
    nibabel = pytest.importorskip("nibabel")
    image, mask = (
        np.asarray(nibabel.load(shared_data / "ibsi_digital_phantom" / name).dataobj).T
        for name in ("phantom.nii.gz", "mask.nii.gz")
    )
    np.testing.assert_array_equal(np.where(mask, image, 0), PHANTOM)


PYRADIOMICS = {
    "firstorder": {
        "10Percentile": "percentile_10",
        "90Percentile": "percentile_90",
        "Energy": "energy",
        "InterquartileRange": "interquartile_range",
        "Kurtosis": "kurtosis",
        "Maximum": "maximum",
        "Mean": "mean",
        "MeanAbsoluteDeviation": "mean_absolute_deviation",
        "Median": "median",
        "Minimum": "minimum",
        "Range": "range",
        "RobustMeanAbsoluteDeviation": "robust_mean_absolute_deviation",
        "RootMeanSquared": "root_mean_square",
        "Skewness": "skewness",
        "Variance": "variance",
    },
    "shape": {
        "Elongation": "elongation",
        "Flatness": "flatness",
        "LeastAxisLength": "least_axis_length",
        "MajorAxisLength": "major_axis_length",
        "Maximum3DDiameter": "maximum_3d_diameter",
        "MeshVolume": "volume",
        "MinorAxisLength": "minor_axis_length",
        "Sphericity": "sphericity",
        "SurfaceArea": "surface_area",
        "SurfaceVolumeRatio": "surface_to_volume_ratio",
        "VoxelVolume": "volume_voxel",
    },
}
# Where voxels of a face touch at a corner only, there is more than one way to mesh it.
# The mask of brain1 has 7 such faces, that of brain2 one: surfaces differ by 0.5 %
# there, volumes by 0.02 %. breast1 has none, and agrees.
MESH = {"volume": 1e-3, "surface_area": 6e-3}
MESH |= dict.fromkeys(["sphericity", "surface_to_volume_ratio"], 6e-3)


def pyradiomics(folder, family, case):
    """Return its baseline values, under our names."""
    path = folder / "baseline" / f"baseline_{family}.csv"
    table = pd.read_csv(path, index_col="featureName")[case]
    names = PYRADIOMICS[family]
    return {names[old]: float(table[f"original_{family}_{old}"]) for old in names}


def read_region(folder, case):
    sitk = pytest.importorskip("SimpleITK")
    image, label = (
        sitk.ReadImage(folder / f"{case}_{kind}.nrrd") for kind in ("image", "label")
    )
    arrays = map(sitk.GetArrayFromImage, (image, label))
    return next(arrays), next(arrays) == 1, image.GetSpacing()[::-1]


@pytest.mark.parametrize("case", ["brain1", "brain2", "breast1"])
def test_first_order_agrees_with_pyradiomics(shared_data, case):
    folder = shared_data / "pyradiomics_cases"
    image, mask, spacing = read_region(folder, case)
    features = first_order(image, mask, spacing)
    features["kurtosis"] += 3
    # The baseline was made with voxelArrayShift=2000, which these two see.
    shifted = first_order(image + 2000, mask, spacing)
    features |= {name: shifted[name] for name in ("energy", "root_mean_square")}
    expected = pyradiomics(folder, "firstorder", case)
    assert {name: features[name] for name in expected} == pytest.approx(
        expected, rel=1e-9
    )


@pytest.mark.parametrize("case", ["brain1", "brain2", "breast1"])
def test_shape_agrees_with_pyradiomics(shared_data, case):
    folder = shared_data / "pyradiomics_cases"
    region = read_region(folder, case)
    features = shape(*region)
    n_voxels = region[1].sum()
    for name in ("major_axis_length", "minor_axis_length", "least_axis_length"):
        # pyradiomics divides the covariance by n, IBSI's values by n - 1.
        features[name] *= np.sqrt((n_voxels - 1) / n_voxels)
    for name, value in pyradiomics(folder, "shape", case).items():
        tolerance = 1e-9 if case == "breast1" else MESH.get(name, 1e-9)
        assert features[name] == pytest.approx(value, rel=tolerance), name


@pytest.fixture
def region():
    """An image, the mask of a lopsided ball in it, and a spacing of three values."""
    grid = np.indices((9, 12, 14)) - np.array([4, 5, 7]).reshape(3, 1, 1, 1)
    mask = np.square(grid / np.array([3, 4, 5]).reshape(3, 1, 1, 1)).sum(axis=0) <= 1
    mask[4, 5:9, 7] = True
    image = np.random.RandomState(0).gamma(2, size=mask.shape)
    return image, mask, (3.0, 0.5, 1.0)


@BOTH
def test_features_do_not_depend_on_the_order_of_axes(function, region):
    image, mask, spacing = region
    turned = function(image.T[::-1], mask.T[::-1], spacing[::-1])
    assert turned == pytest.approx(function(*region))


def test_shape_scales_with_the_spacing(region):
    image, mask, spacing = region
    once, twice = (shape(image, mask, np.multiply(spacing, k)) for k in (1, 2))
    powers = {
        name: np.log2(twice[name] / once[name])
        for name in ("volume", "surface_area", "major_axis_length", "sphericity")
    }
    assert list(powers.values()) == pytest.approx([3, 2, 1, 0])


@pytest.mark.parametrize("extent", [(1, 1, 1), (1, 1, 5), (1, 4, 5), (3, 1, 4)])
def test_shape_of_a_region_without_depth(extent):
    mask = np.ones(extent, dtype=bool)
    features = shape(mask, mask, (5, 0.5, 1))
    undefined = {name for name, value in features.items() if np.isnan(value)}
    assert undefined == ({"elongation", "flatness"} if mask.size == 1 else set())
    assert features["least_axis_length"] == pytest.approx(0, abs=1e-6)
    assert features["area_density_convex_hull"] == pytest.approx(1)
    assert 0 < features["volume"] < features["volume_voxel"]


def test_first_order_of_a_constant_region():
    image = np.full((3, 3, 3), np.float32(0.1))
    features = first_order(image, image > 0, (1, 1, 1))
    zero = ["variance", "skewness", "kurtosis", "range", "coefficient_of_variation"]
    assert [features[name] for name in zero] == [0] * 5
    features = first_order(0 * image, image > 0, (1, 1, 1))
    ratios = {"coefficient_of_variation", "quartile_coefficient_of_dispersion"}
    assert {name for name, value in features.items() if np.isnan(value)} == ratios


def test_shift_of_intensities_that_add_to_zero():
    image = np.array([[[-1.0, 1.0]]])
    features = shape(image, image < 2, (1, 1, 1))
    assert np.isnan(features["centre_of_mass_shift"])
    assert features["integrated_intensity"] == 0


IMAGE = np.ones((2, 2, 2))
MASK = IMAGE > 0


@BOTH
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((IMAGE, ~MASK, (1, 1, 1)), ValueError, "one voxel at least, got an empty"),
        ((IMAGE, MASK[1:], (1, 1, 1)), ValueError, r"one shape .* got \(2, 2, 2\) and"),
        ((IMAGE[0], MASK[0], (1, 1)), ValueError, r"one shape \(n_slices, n_rows, "),
        ((IMAGE, IMAGE, (1, 1, 1)), TypeError, "dtype bool, got float64; pass mask =="),
        ((IMAGE, MASK, (1, 1)), ValueError, "`spacing` must be 3 positive numbers"),
        ((IMAGE, MASK, (0, 1, 1)), ValueError, "`spacing` must be 3 positive numbers"),
        ((IMAGE * np.nan, MASK, (1, 1, 1)), ValueError, "8 voxels in the mask that"),
    ],
)
def test_invalid_regions(function, arguments, error, message):
    with pytest.raises(error, match=message):
        function(*arguments)


@BOTH
def test_values_outside_of_the_mask_do_not_matter(function, region):
    image, mask, spacing = region
    empty = np.where(mask, image, np.nan)
    assert function(empty, mask, spacing) == function(*region)


def test_shape_tells_how_to_install_scikit_image(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.measure", None)
    with pytest.raises(ImportError, match=r"pip install 'skvae\[radiomics\]'"):
        shape(IMAGE, MASK, (1, 1, 1))


def make_case(seed, n_channels=1):
    rng = np.random.RandomState(seed)
    image = rng.gamma(2, size=(n_channels, 5, 6, 7)).astype(np.float32)
    return SimpleNamespace(image=image, mask=image[0] > 1, spacing=(2.0, 1.0, 1.0))


class Loader:
    """Loads cases by their seeds; those below 0 fail."""

    def __init__(self, n_channels=1):
        self.n_channels = n_channels
        self.n_loaded = 0

    def load_cases(self, X):
        for seed in X["seed"] if isinstance(X, pd.DataFrame) else X:
            self.n_loaded += 1
            yield None if seed < 0 else make_case(seed, self.n_channels)


def quartiles(image, mask, spacing):
    """Return numbers of the kinds that functions may return."""
    low, high = np.percentile(image[mask], [25, 75]).astype(np.float32)
    return {"low": low, "high": np.asarray(high), "n": int(mask.sum()), "none": np.nan}


def test_rows_are_what_the_functions_return():
    features = RegionFeatures(loader=Loader())
    X = features.fit_transform([0, 1, 2])
    assert X.dtype == np.float64
    names = features.get_feature_names_out()
    assert X.shape == (3, len(names)) == (3, 18 + 21)
    case = make_case(1)
    for function in (first_order, shape):
        expected = function(case.image[0], case.mask, case.spacing)
        own = [names.tolist().index(f"{function.__name__}__{key}") for key in expected]
        np.testing.assert_array_equal(X[1, own], list(expected.values()))


@pytest.mark.parametrize(
    ("features", "first_name"),
    [
        ("shape", "shape__volume"),
        (quartiles, "quartiles__low"),
        ([quartiles, "shape"], "quartiles__low"),
        (partial(quartiles), "quartiles__low"),
        ({"a": quartiles, "b": quartiles}, "a__low"),
        ({"a": "first_order"}, "a__mean"),
    ],
)
def test_names_of_features(features, first_name):
    fitted = RegionFeatures(features, loader=Loader()).fit([0])
    assert fitted.get_feature_names_out()[0] == first_name == fitted.feature_names_[0]


def test_cases_without_a_loader():
    cases = [make_case(seed) for seed in (0, 1)]
    expected = RegionFeatures(quartiles, loader=Loader()).fit_transform([0, 1])
    X = RegionFeatures(quartiles).fit_transform(cases)
    np.testing.assert_array_equal(X, expected)


def test_a_table_needs_a_loader():
    with pytest.raises(TypeError, match="`loader` must be given where `X` is a table"):
        RegionFeatures().fit(pd.DataFrame({"seed": [0, 1]}))


def test_channels_have_features_each():
    features = RegionFeatures(quartiles, loader=Loader(n_channels=2)).fit([0])
    names = features.get_feature_names_out()
    assert names[[0, 4]].tolist() == [
        "channel0__quartiles__low",
        "channel1__quartiles__low",
    ]
    case = make_case(0, n_channels=2)
    expected = np.percentile(case.image[1][case.mask], 25)
    assert features.transform([0])[0, 4] == pytest.approx(expected)


def test_a_case_that_fails_to_load_is_nan():
    features = RegionFeatures(quartiles, loader=Loader())
    X = features.fit_transform([-1, 0, -2])
    assert np.isnan(X).all(axis=1).tolist() == [True, False, True]
    with pytest.raises(ValueError, match="None of the n_cases=2 of `X` could be load"):
        features.fit([-1, -2])
    assert features.transform([]).shape == (0, 4)


def test_fit_loads_no_more_than_it_needs():
    loader = Loader()
    features = RegionFeatures(quartiles, loader=loader).fit([-1, 0, 1, 2])
    assert loader.n_loaded == 2
    features.transform([-1, 0, 1, 2])
    assert loader.n_loaded == 6


def test_pandas_output_keeps_the_index():
    X = pd.DataFrame({"seed": [3, 4]}, index=[2.5, 0.5])
    features = RegionFeatures(quartiles, loader=Loader()).set_output(transform="pandas")
    frame = features.fit_transform(X)
    assert frame.columns.tolist() == [
        f"quartiles__{name}" for name in ("low", "high", "n", "none")
    ]
    assert frame.index.tolist() == [2.5, 0.5]
    np.testing.assert_array_equal(
        frame, RegionFeatures(quartiles).fit_transform([make_case(3), make_case(4)])
    )


def test_clones_and_pickles_compute_the_same():
    features = RegionFeatures([quartiles, "first_order"], loader=Loader()).fit([0])
    X = features.transform([0, 1])
    np.testing.assert_array_equal(clone(features).fit_transform([0, 1]), X)
    loaded = pickle.loads(pickle.dumps(features))
    np.testing.assert_array_equal(loaded.transform([0, 1]), X)


def test_features_are_searched_in_a_pipeline():
    X, y = np.arange(12).tolist(), np.tile([0, 1], 6)
    pipeline = make_pipeline(
        RegionFeatures(loader=Loader()), StandardScaler(), LogisticRegression()
    )
    grid = {
        "regionfeatures__features": ["first_order", "shape", ["first_order", "shape"]]
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert search.predict(X).shape == (12,)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_features_stand_next_to_others():
    union = make_union(
        RegionFeatures("first_order", loader=Loader()),
        RegionFeatures("shape", loader=Loader()),
    )
    X = pd.DataFrame({"seed": [0, -1, 2]})
    pipeline = make_pipeline(union, SimpleImputer(), DummyClassifier()).fit(
        X, [0, 1, 0]
    )
    assert pipeline.predict(X).tolist() == [0, 0, 0]
    assert union.transform(X).shape == (3, 39)


def test_a_case_without_mask():
    cases = [make_case(0), make_case(1)]
    cases[1].mask = None
    features = RegionFeatures(quartiles).fit(cases)
    with pytest.raises(ValueError, match="a mask for every case, but case 1 has none"):
        features.transform(cases)


def test_transform_needs_fit():
    for method in ("transform", "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            getattr(RegionFeatures(), method)([])


def test_names_that_change_between_cases():
    def labels(image, mask, spacing):
        return {f"n{mask.sum()}": 1.0}

    cases = [make_case(0), make_case(1)]
    features = RegionFeatures(labels).fit(cases)
    with pytest.raises(ValueError, match=r"Case 1 lacks the features \['labels__n"):
        features.transform(cases)


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        ([1.0], TypeError, "A function must return a dict, got list"),
        ({"a": "1"}, TypeError, "The feature 'a' must be a number, got "),
        ({"a": [1.0]}, TypeError, "The feature 'a' must be a number, got "),
        ({"a": None}, TypeError, "The feature 'a' must be a number, got "),
        ({"a": np.inf}, ValueError, "The feature 'a' must be finite or NaN"),
    ],
)
def test_what_functions_must_not_return(returned, error, message):
    def wrong(image, mask, spacing):
        return returned

    with pytest.raises(error, match=message) as raised:
        RegionFeatures(wrong).fit([make_case(0)])
    assert raised.value.__notes__ == ["Raised by `wrong` for case 0."]


def test_errors_of_functions_name_the_case():
    cases = [make_case(0), make_case(1)]
    cases[1].mask = np.zeros_like(cases[1].mask)
    features = RegionFeatures("first_order").fit(cases)
    with pytest.raises(ValueError, match="one voxel at least") as raised:
        features.transform(cases)
    assert raised.value.__notes__ == ["Raised by `first_order` for case 1."]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"features": "texture"}, "The 'features' parameter of RegionFeatures must be"),
        ({"features": ["texture"]}, r"'ngtdm', 'shape'\], got 'texture'"),
        ({"features": [["shape"]]}, r"extractors or names .* got \['shape'\]"),
        ({"features": [shape, "shape"]}, r"one name each, got \['shape', 'shape'\]"),
        ({"loader": 1}, "The 'loader' parameter of RegionFeatures must be"),
    ],
)
def test_invalid_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        RegionFeatures(**parameters).fit([make_case(0)])

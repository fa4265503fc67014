"""Texture of regions: against IBSI's phantom and pyradiomics' published values."""

import runpy
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_radiomics import PHANTOM

from skvae.dicom import VolumeLoader
from skvae.radiomics import (
    RegionFeatures,
    glcm,
    gldm,
    glrlm,
    glszm,
    intensity_histogram,
    ngtdm,
)
from skvae.report import methods_text

TEXTURES = [intensity_histogram, glcm, glrlm, glszm, gldm, ngtdm]
EACH = pytest.mark.parametrize("function", TEXTURES)

# Consensus values from the reference manual, https://arxiv.org/abs/1612.07003; of
# matrices with directions those that are averaged, and those that are merged.
IBSI = {
    intensity_histogram: {"entropy": 1.27, "uniformity": 0.512},
    glcm: {
        "joint_maximum": (0.503, 0.509),
        "joint_average": (2.14, 2.15),
        "joint_variance": (3.1, 3.13),
        "joint_entropy": (2.4, 2.57),
        "difference_average": (1.43, 1.38),
        "difference_variance": (3.06, 3.21),
        "difference_entropy": (1.56, 1.64),
        "sum_average": (4.29, 4.3),
        "sum_entropy": (1.92, 2.11),
        "angular_second_moment": (0.303, 0.291),
        "contrast": (5.32, 5.12),
        "inverse_difference": (0.677, 0.688),
        "normalised_inverse_difference": (0.851, 0.856),
        "inverse_difference_moment": (0.618, 0.631),
        "normalised_inverse_difference_moment": (0.898, 0.902),
        "inverse_variance": (0.0604, 0.0574),
        "correlation": (0.157, 0.183),
        "autocorrelation": (5.06, 5.19),
        "cluster_tendency": (7.07, 7.41),
        "cluster_shade": (16.6, 17.4),
        "cluster_prominence": (145, 147),
        "information_correlation_1": (-0.157, -0.0288),
        "information_correlation_2": (0.52, 0.269),
    },
    glrlm: {
        "short_run_emphasis": (0.705, 0.729),
        "long_run_emphasis": (3.06, 2.76),
        "low_grey_level_run_emphasis": (0.603, 0.607),
        "high_grey_level_run_emphasis": (9.7, 9.64),
        "short_run_low_grey_level_emphasis": (0.352, 0.372),
        "short_run_high_grey_level_emphasis": (8.54, 8.67),
        "long_run_low_grey_level_emphasis": (2.39, 2.16),
        "long_run_high_grey_level_emphasis": (17.6, 15.6),
        "grey_level_non_uniformity": (21.8, 281),
        "normalised_grey_level_non_uniformity": (0.43, 0.43),
        "run_length_non_uniformity": (26.9, 328),
        "normalised_run_length_non_uniformity": (0.513, 0.501),
        "run_percentage": (0.68, 0.68),
        "grey_level_variance": (3.46, 3.48),
        "run_length_variance": (0.574, 0.598),
        "run_entropy": (2.43, 2.62),
    },
    glszm: {
        "small_zone_emphasis": 0.255,
        "large_zone_emphasis": 550,
        "low_grey_level_zone_emphasis": 0.253,
        "high_grey_level_zone_emphasis": 15.6,
        "small_zone_low_grey_level_emphasis": 0.0256,
        "small_zone_high_grey_level_emphasis": 2.76,
        "large_zone_low_grey_level_emphasis": 503,
        "large_zone_high_grey_level_emphasis": 1490,
        "grey_level_non_uniformity": 1.4,
        "normalised_grey_level_non_uniformity": 0.28,
        "zone_size_non_uniformity": 1,
        "normalised_zone_size_non_uniformity": 0.2,
        "zone_percentage": 0.0676,
        "grey_level_variance": 2.64,
        "zone_size_variance": 331,
        "zone_size_entropy": 2.32,
    },
    gldm: {
        "low_dependence_emphasis": 0.045,
        "high_dependence_emphasis": 109,
        "low_grey_level_count_emphasis": 0.693,
        "high_grey_level_count_emphasis": 7.66,
        "low_dependence_low_grey_level_emphasis": 0.00963,
        "low_dependence_high_grey_level_emphasis": 0.736,
        "high_dependence_low_grey_level_emphasis": 102,
        "high_dependence_high_grey_level_emphasis": 235,
        "grey_level_non_uniformity": 37.9,
        "normalised_grey_level_non_uniformity": 0.512,
        "dependence_count_non_uniformity": 4.86,
        "normalised_dependence_count_non_uniformity": 0.0657,
        "grey_level_variance": 3.05,
        "dependence_count_variance": 22.1,
        "dependence_count_entropy": 4.4,
    },
    ngtdm: {
        "coarseness": 0.0296,
        "contrast": 0.584,
        "busyness": 6.54,
        "complexity": 13.5,
        "strength": 0.763,
    },
}


def rounded(features):
    return {name: float(f"{value:.3g}") for name, value in features.items()}


@EACH
def test_ibsi_phantom(function):
    region = (PHANTOM, PHANTOM > 0, (2, 2, 2))
    merges = [{"merge": False}, {"merge": True}] if function in (glcm, glrlm) else [{}]
    for column, merge in enumerate(merges):
        features = function(*region, bin_width=1, **merge)
        features.pop("maximal_correlation_coefficient", None)  # IBSI has none
        expected = IBSI[function]
        if merge:
            expected = {name: values[column] for name, values in expected.items()}
        assert rounded(features) == expected


@pytest.fixture(scope="module")
def benchmark():
    pytest.importorskip("SimpleITK")
    path = Path(__file__).parents[1] / "examples" / "benchmarks" / "texture.py"
    return SimpleNamespace(**runpy.run_path(str(path)))


@pytest.mark.parametrize("case", ["brain1", "brain2", "breast1"])
@pytest.mark.parametrize(
    "suffix",
    [
        "",
        "_2d",
        "_FBN",
        "_combined",
        "_flatRegion",
        "_normalization",
        "_resegmentation",
    ],
)
def test_agreement_with_pyradiomics(shared_data, benchmark, case, suffix):
    folder = shared_data / "pyradiomics_cases"
    region = benchmark.read(folder, case, suffix)
    for family in ("glcm", "glrlm", "glszm", "gldm", "ngtdm"):
        expected = benchmark.published(folder, family, case + suffix)
        if expected:  # some settings have no values of some families
            found = benchmark.ours(family, region, suffix)
            own = {name: found[name] for name in expected}
            assert own == pytest.approx(expected, rel=1e-6, abs=1e-12), family


def test_histogram_agrees_with_pyradiomics(shared_data, benchmark):
    folder = shared_data / "pyradiomics_cases"
    features = intensity_histogram(*benchmark.read(folder, "brain2"))
    expected = benchmark.published(folder, "firstorder", "brain2")
    own = {name: expected[name] for name in features}
    assert features == pytest.approx(own, rel=1e-9)


@pytest.fixture
def region():
    """Smooth noise in three levels or so, with a mask that has holes and loose ends."""
    rng = np.random.RandomState(0)
    return rng.gamma(2, 20, size=(5, 6, 7)), rng.rand(5, 6, 7) > 0.3, (3.0, 0.5, 1.0)


@EACH
def test_features_do_not_depend_on_the_order_of_axes(function, region):
    image, mask, spacing = region
    turned = function(image.T[::-1], mask.T[::-1], spacing[::-1])
    assert turned == pytest.approx(function(*region))


@EACH
def test_values_outside_of_the_mask_do_not_matter(function, region):
    image, mask, spacing = region
    padded = np.pad(np.where(mask, image, np.nan), 2), np.pad(mask, 2)
    assert function(*padded, spacing) == function(image, mask, spacing)


@EACH
def test_number_of_bins_ignores_the_unit_of_intensities(function, region):
    image, mask, spacing = region
    scaled = function(4 * image - 64, mask, spacing, bin_number=8)
    assert scaled == pytest.approx(function(image, mask, spacing, bin_number=8))
    assert scaled != pytest.approx(function(image, mask, spacing, bin_number=9))


@pytest.mark.parametrize("function", [glcm, glrlm, glszm, gldm, ngtdm])
def test_neighbours_in_plane_are_those_of_single_slices(function, region):
    image, mask, spacing = region
    far = np.zeros((9, 6, 7))
    far[::2] = image
    apart = np.zeros(far.shape, dtype=bool)
    apart[::2] = mask
    features = function(far, apart, spacing, in_plane=True)
    assert features == pytest.approx(function(*region, in_plane=True))
    assert features != pytest.approx(function(*region))


def test_zones_and_runs_of_a_bent_line():
    image = np.array([[[0, 30, 30, 60], [0, 30, 60, 60], [30, 0, 0, 0]]])
    zones = glszm(image, image >= 0, (1, 1, 1))  # sizes 2 + 3, 4 and 3
    assert zones["zone_percentage"] == 3 / 12
    assert zones["large_zone_emphasis"] == pytest.approx((25 + 16 + 9) / 3)


@EACH
def test_a_single_voxel(function):
    image = np.full((1, 1, 1), 3.0)
    values = set(function(image, image > 0, (1, 1, 1)).values())
    if function in (glcm, ngtdm):
        assert np.isnan(list(values)).all()
    else:
        assert values <= {0, 1}


@EACH
def test_a_constant_region_is_finite(function):
    image = np.full((3, 3, 3), 7.0)
    for setting in ({}, {"bin_number": 4}):
        features = function(image, image > 0, (1, 1, 1), **setting)
        assert np.isfinite(list(features.values())).all()


def test_bins_of_intensities_that_hardly_differ():
    image = np.full((2, 2, 2), 1000.0)
    image[0, 0, 0] = np.nextafter(1000, 2000)
    features = intensity_histogram(image, image > 0, (1, 1, 1), bin_number=64)
    assert features["uniformity"] == (1 + 7**2) / 8**2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"bin_width": 0}, "`bin_width` must be a positive number, got 0"),
        ({"bin_width": "25"}, "`bin_width` must be a positive number, got '25'"),
        ({"bin_width": np.inf}, "`bin_width` must be a positive number, got inf"),
        ({"bin_number": 0}, "`bin_number` must be an int from 1 to 65536 or None, got"),
        ({"bin_number": 2.5}, "`bin_number` must be an int from 1 to 65536 or None"),
        ({"bin_width": 1e-9}, "more than 65536 levels. Choose a larger one, or"),
    ],
)
@EACH
def test_invalid_settings(function, region, setting, message):
    with pytest.raises(ValueError, match=message):
        function(*region, **setting)


def test_pairs_of_too_many_levels():
    image = np.arange(4000.0).reshape(10, 20, 20)
    with pytest.raises(ValueError, match="4000 grey levels, which is too many"):
        glcm(image, image >= 0, (1, 1, 1), bin_width=1)


def make_case(region):
    image, mask, spacing = region
    return SimpleNamespace(image=image[np.newaxis], mask=mask, spacing=spacing)


def test_texture_by_name_and_with_settings(region):
    texture = ["glcm", partial(glszm, bin_number=8), "ngtdm"]
    features = RegionFeatures(texture)
    X = features.fit_transform([make_case(region)])
    expected = glcm(*region), glszm(*region, bin_number=8), ngtdm(*region)
    np.testing.assert_array_equal(X[0], [x for each in expected for x in each.values()])
    names = features.get_feature_names_out()
    assert names[[0, 24, -1]].tolist() == [
        "glcm__joint_maximum",
        "glszm__small_zone_emphasis",
        "ngtdm__strength",
    ]


class Extractor:
    """Measures what SimpleITK's own filters do, with the method of pyradiomics."""

    def __init__(self, label=1):
        self.label = label

    def execute(self, image, mask):
        from SimpleITK import LabelIntensityStatisticsImageFilter

        statistics = LabelIntensityStatisticsImageFilter()
        statistics.Execute(mask, image)
        return {
            "diagnostics_Spacing": image.GetSpacing(),
            "original_mean": np.array(statistics.GetMean(self.label)),
            "original_volume": statistics.GetPhysicalSize(self.label),
            "original_centre_x": statistics.GetCentroid(self.label)[0],
        }


@pytest.mark.parametrize("named", [False, True])
def test_an_extractor_of_simpleitk_images(region, named):
    pytest.importorskip("SimpleITK")
    image, mask, _ = region
    extractor = {"mine": Extractor()} if named else Extractor()
    features = RegionFeatures(extractor).fit([make_case(region)])
    name = "mine" if named else "Extractor"
    assert features.feature_names_ == [
        f"{name}__original_{key}" for key in ("mean", "volume", "centre_x")
    ]
    expected = image[mask].mean(), mask.sum() * 1.5, np.nonzero(mask)[2].mean()
    (row,) = features.transform([make_case(region)])
    assert row == pytest.approx(expected)


def test_reports_name_an_extractor():
    text = methods_text(RegionFeatures(Extractor(), loader=VolumeLoader()), [])
    assert "features of the region in 3D: Extractor." in text


def test_an_extractor_needs_simpleitk(monkeypatch, region):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(ImportError, match=r"needs SimpleITK: pip install 'skvae\[rad"):
        RegionFeatures(Extractor()).fit([make_case(region)])

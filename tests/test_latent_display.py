"""Displays of codes and of samples."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import AE, VAE, Conv, SupervisedAAE
from skvae.datasets import make_dicom_cohort
from skvae.dicom import VolumeLoader, scan
from skvae.inspection import attribution, compare_layers, component_summary
from skvae.plot import (
    AttributionDisplay,
    ComponentDisplay,
    LatentCorrelationDisplay,
    LatentSpaceDisplay,
    LatentTraversalDisplay,
    LayerComparisonDisplay,
    ReconstructionDisplay,
    SampleDisplay,
)

QUICK = {"max_iter": 2, "random_state": 0}


@pytest.fixture(autouse=True)
def _no_figures_left():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def vae(digits):
    return VAE(3, **QUICK).fit(digits[0])


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2)) @ rng.normal(size=(2, 15)) + rng.normal(size=(60, 15))
    return pd.DataFrame(1000 + X).add_prefix("column ")


@pytest.fixture(scope="module")
def scaled(table):
    return make_pipeline(StandardScaler(), VAE(2, **QUICK)).fit(table)


def image_of(ax):
    (image,) = ax.get_images()
    return image


# --- samples --------------------------------------------------------------------------


def test_input_output_and_difference(digits, vae):
    X = digits[0][:4]
    display = ReconstructionDisplay.from_estimator(vae, X)
    made = vae.reconstruct(X)
    for i in range(4):
        given, output, change = (image_of(ax) for ax in display.axes_[:, i])
        assert_array_equal(given.get_array(), X[i])
        assert_array_equal(output.get_array(), made[i])
        assert_allclose(change.get_array(), made[i] - X[i], atol=1e-6)
        assert given.get_clim() == output.get_clim()
        low, high = change.get_clim()
        assert -low == high == pytest.approx(np.abs(made - X).max())


def test_images_behind_a_scaler_are_shown_in_their_own_units(digits):
    X = digits[0].reshape(-1, 64)
    pipeline = make_pipeline(StandardScaler(), AE(2, image_shape=(1, 8, 8), **QUICK))
    pipeline.fit(X)
    display = ReconstructionDisplay.from_estimator(pipeline, X[:2])
    shown = image_of(display.axes_[0, 0]).get_array()
    assert shown.shape == (8, 8)


def test_rows_of_a_table_show_what_differs_most(table, scaled):
    display = ReconstructionDisplay.from_estimator(scaled, table[:2])
    Z = scaled[0].transform(table[:2])
    gap = np.abs(scaled[1].reconstruct(Z) - Z)
    for ax, row in zip(display.axes_[0], gap, strict=True):
        names = [label.get_text() for label in ax.get_yticklabels()]
        assert names == [f"column {i}" for i in np.argsort(row)[-12:]]


def test_volumes_are_three_slices_in_proportion():
    X = np.random.default_rng(0).random((6, 1, 4, 8, 10)).astype(np.float32)
    ae = AE(2, architecture=Conv((4,), dense=8), **QUICK).fit(X)
    display = ReconstructionDisplay.from_estimator(ae, X[:2], spacing=(3, 1, 1))
    tile = image_of(display.axes_[0, 0]).get_array()
    # Slices of 8 x 10, 12 x 10 and 12 x 8 pixels, with a column between them.
    assert tile.shape == (12, 10 + 1 + 10 + 1 + 8)
    assert_array_equal(tile[:8, :10], X[0, 0, 2])
    assert display.axes_[-1, 0].get_xlabel() == "12 x 8 x 10 mm"


def test_a_loader_in_the_pipeline_knows_the_spacing(tmp_path):
    make_dicom_cohort(tmp_path, 3, random_state=0)
    volumes = scan(tmp_path)
    loader = VolumeLoader(spacing=(16, 8, 8), shape=(3, 10, 10))
    ae = AE(2, architecture=Conv((4,), dense=8), **QUICK)
    pipeline = make_pipeline(loader, ae).fit(volumes)
    for display in (
        ReconstructionDisplay.from_estimator(pipeline, volumes),
        AttributionDisplay.from_estimator(pipeline, volumes, 0),
    ):
        assert display.spacing == (16, 8, 8)
        assert display.axes_[-1, 0].get_xlabel() == "48 x 80 x 80 mm"


def test_traversals_of_images_and_tables(digits, vae, table, scaled):
    display = LatentTraversalDisplay.from_estimator(vae, digits[0], [2, 0], n_steps=4)
    assert display.axes_.shape == (2, 4)
    assert [ax.get_ylabel() for ax in display.axes_[:, 0]] == ["mu_2", "mu_0"]
    lines = LatentTraversalDisplay.from_estimator(scaled, table).axes_[0, 0].get_lines()
    assert len(lines) == 5
    assert all(line.get_label().startswith("column") for line in lines)
    assert max(np.abs(line.get_ydata()).max() for line in lines) < 5


def test_samples_have_the_labels_that_were_asked_for(digits):
    X, y = digits
    aae = SupervisedAAE(2, **QUICK).fit(X, y)
    display = SampleDisplay.from_estimator(aae, y=[3, 1, 2], random_state=0)
    assert [ax.get_title() for ax in display.axes_.flat] == ["3", "1", "2"]
    expected = aae.sample(3, y=np.array([3, 1, 2]), random_state=0)
    assert_array_equal(image_of(display.axes_[0, 1]).get_array(), expected[1])


def test_samples_of_a_table_are_no_pictures(scaled):
    with pytest.raises(ValueError, match="got rows of a table"):
        SampleDisplay.from_estimator(scaled)


def test_attributions_on_images_and_tables(digits, vae, table, scaled):
    X = digits[0][:3]
    display = AttributionDisplay.from_estimator(vae, X, 1)
    given = attribution(vae, X, 1)
    shown = image_of(display.axes_[0, 2])
    assert_allclose(shown.get_array(), given[2])
    assert shown.get_clim()[1] == pytest.approx(np.quantile(np.abs(given), 0.995))
    (ax,) = AttributionDisplay.from_estimator(scaled, table[:1], 0).axes_[0]
    row = attribution(scaled, table[:1], 0)[0]
    order = np.argsort(np.abs(row))[-12:]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        f"column {i}" for i in order
    ]
    assert_allclose([bar.get_width() for bar in ax.patches], row[order])


def test_strong_pixels_of_large_images_have_a_contour():
    rng = np.random.default_rng(0)
    samples, given = rng.random((2, 1, 16, 16))
    display = AttributionDisplay(samples, given, "mu_0").plot()
    assert len(display.axes_[1, 0].collections) == 1


# --- codes ----------------------------------------------------------------------------


def test_classes_have_colours_and_numbers_a_scale(digits, vae):
    X, y = digits
    display = LatentSpaceDisplay.from_estimator(vae, X, y, value_name="digit")
    legend = display.ax_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == list("0123456789")
    assert display.ax_.get_xlabel().startswith("axis 1 of mu")
    ink = LatentSpaceDisplay.from_estimator(vae, X, X.sum(axis=(1, 2)))
    assert len(ink.figure_.axes) == 2  # with a colour bar


def test_two_components_can_be_chosen(digits, vae):
    display = LatentSpaceDisplay.from_estimator(vae, digits[0], projection=(2, 0))
    assert display.ax_.get_xlabel() == "mu_2"
    points = display.ax_.collections[-1].get_offsets()
    assert_allclose(points, vae.transform(digits[0])[:, [2, 0]])
    with pytest.raises(ValueError, match="`projection` must be"):
        LatentSpaceDisplay.from_estimator(vae, digits[0], projection="tsne")
    with pytest.raises(ValueError, match="`values` must have one for each"):
        LatentSpaceDisplay.from_estimator(vae, digits[0], [1, 2])


def test_codes_by_umap(digits, vae):
    pytest.importorskip("umap", reason="needs umap-learn")
    display = LatentSpaceDisplay.from_estimator(vae, digits[0], projection="umap")
    assert display.ax_.get_xlabel() == "UMAP 1"
    assert np.ptp(display.points, axis=0).min() > 1


def test_one_component_is_a_line(digits):
    ae = AE(1, **QUICK).fit(digits[0])
    display = LatentSpaceDisplay.from_estimator(ae, digits[0])
    assert display.ax_.get_xlabel() == "mu_0"


def test_a_map_of_correlations_beside_the_clearest_pair(digits, vae):
    X, y = digits
    ink = X.sum(axis=(1, 2))
    targets = pd.DataFrame({"ink": ink, "digit": y.astype(str)})
    display = LatentCorrelationDisplay.from_estimator(
        vae, X, targets, n_permutations=50
    )
    table, pair = display.axes_
    assert image_of(table).get_array().shape == (3, 2)
    assert len(table.get_lines()) == (display.found["adjusted_p_value"] < 0.05).sum()
    assert pair.get_ylabel() in ("ink", "digit")
    alone = LatentCorrelationDisplay(display.found).plot()
    assert len(alone.axes_) == 1


def test_bars_are_the_information_of_components(digits, vae):
    summary = component_summary(vae, digits[0])
    display = ComponentDisplay(summary).plot()
    heights = [bar.get_height() for bar in display.ax_.patches]
    assert heights == summary["information"].to_list()
    ae = AE(2, **QUICK).fit(digits[0])
    shares = ComponentDisplay.from_estimator(ae, digits[0])
    assert shares.ax_.get_ylabel() == "share of variance"


def test_layers_are_rows_from_top_to_bottom(digits):
    X, y = digits
    comparison = compare_layers(AE(2, **QUICK), X, y, layers=["mu"], cv=2)
    ax = LayerComparisonDisplay(comparison).plot().ax_
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["mu (2)", "raw input (64)"]
    assert ax.get_xlabel() == "accuracy"
    assert ax.yaxis_inverted()

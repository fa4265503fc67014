"""Pictures of volumes: where a voxel is drawn, whatever the order it is stored in."""

from itertools import permutations, product

import matplotlib.pyplot as plt
import numpy as np
import pytest

from skvae.datasets import make_dicom_cohort, write_dicom_series, write_rtstruct
from skvae.dicom import Volume, VolumeLoader, load_mask, load_series, scan
from skvae.plot import CohortDisplay, VolumeDisplay

# Slices to the head, rows to the back, columns to the left.
AXES = np.eye(3)[::-1].T
SHAPE, SPACING = (8, 10, 12), (3.0, 1.0, 2.0)
ORDERS = list(product(permutations(range(3)), product([1, -1], repeat=3)))


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def stored(array, order, signs):
    """Store an array of axes (z, y, x) in another order, some of them backwards."""
    affine = np.eye(4)
    affine[:3, :3] = AXES * SPACING
    affine[:3, 3] = [-20, 30, 100]
    turned = np.eye(4)[[*order, 3]].T
    for axis, sign in enumerate(signs):
        if sign < 0:
            turned[:3, 3] += turned[:3, axis] * (array.shape[order[axis]] - 1)
            turned[:3, axis] *= -1
    return array.transpose(order)[tuple(slice(None, None, s) for s in signs)], (
        affine @ turned
    )


def spot(ax):
    """Return where the brightest pixel is drawn: in mm, and on the screen from 0 to 1.

    On the screen, (0, 0) is the lower left corner of the picture.
    """
    (image,) = ax.images
    values = image.get_array()
    row, column = np.unravel_index(values.argmax(), values.shape)
    left, right, bottom, top = image.get_extent()
    x = left + (column + 0.5) / values.shape[1] * (right - left)
    from_first = (row + 0.5) / values.shape[0]
    first, last = (top, bottom) if image.origin == "upper" else (bottom, top)
    y = first + from_first * (last - first)
    return (x, y), ax.transAxes.inverted().transform(ax.transData.transform((x, y)))


@pytest.fixture(scope="module")
def axes():
    return plt.figure().subplots(1, 3)


@pytest.mark.parametrize(("order", "signs"), ORDERS)
def test_a_voxel_is_drawn_on_its_side_whatever_the_stored_order(order, signs, axes):
    array = np.zeros(SHAPE, np.float32)
    array[6, 8, 10] = 1  # of the head, the back and the left
    array, affine = stored(array, order, signs)
    for ax in axes:
        ax.clear()
    display = VolumeDisplay.from_series(Volume(array, affine), array > 0, axes=axes)
    axial, coronal, sagittal = map(spot, display.axes_[0])
    z, y, x = 100 + 18, 30 + 8, -20 + 20
    np.testing.assert_allclose(axial[0], (x, y), atol=1e-6)
    np.testing.assert_allclose(coronal[0], (x, z), atol=1e-6)
    np.testing.assert_allclose(sagittal[0], (y, z), atol=1e-6)
    assert (axial[1] > 0.5).tolist() == [True, False]  # left: right; back: down
    assert (coronal[1] > 0.5).tolist() == [True, True]  # left: right; head: up
    assert (sagittal[1] > 0.5).tolist() == [True, True]  # back: right; head: up


def test_letters_name_the_sides_of_the_patient():
    volume = Volume(np.zeros(SHAPE, np.float32), np.diag([3.0, 1, 2, 1])[[2, 1, 0, 3]])
    display = VolumeDisplay.from_series(volume)
    letters = [[text.get_text() for text in ax.texts] for ax in display.axes_[0]]
    assert letters == [list("RLPA"), list("RLFH"), list("APFH")]
    places = [text.get_position() for text in display.axes_[0, 0].texts]
    assert places == [(0.02, 0.5), (0.98, 0.5), (0.5, 0.02), (0.5, 0.98)]


def test_pixels_have_their_size_in_millimetres():
    array, affine = stored(np.zeros(SHAPE, np.float32), (0, 1, 2), (1, 1, 1))
    for ax in VolumeDisplay.from_series(Volume(array, affine)).axes_[0]:
        assert ax.get_aspect() == 1
    extents = [
        ax.images[0].get_extent()
        for ax in VolumeDisplay.from_series(Volume(array, affine)).axes_[0]
    ]
    x, y, z = (-21, 3), (29.5, 39.5), (98.5, 122.5)
    assert extents == [[*x, *y[::-1]], [*x, *z], [*y, *z]]


def test_the_contour_runs_around_the_region():
    mask = np.zeros(SHAPE, bool)
    mask[2:5, :4, 3:9] = True  # it touches the rim of the image
    array, affine = stored(np.zeros(SHAPE, np.float32), (0, 1, 2), (1, 1, 1))
    display = VolumeDisplay.from_series(Volume(array, affine), mask)
    low, high = [106 - 1.5, 30 - 0.5, -14 - 1], [112 + 1.5, 33 + 0.5, -4 + 1]
    for ax, (down, across) in zip(
        display.axes_[0], [(1, 2), (0, 2), (0, 1)], strict=True
    ):
        (contour,) = (c for c in ax.collections if len(c.get_paths()))
        vertices = contour.get_paths()[0].vertices
        expected = [[low[across], low[down]], [high[across], high[down]]]
        np.testing.assert_allclose([vertices.min(0), vertices.max(0)], expected)


def test_slices_are_those_with_the_largest_part_of_the_mask_or_in_the_middle():
    mask = np.zeros(SHAPE, bool)
    mask[1, 2, 3] = mask[5, 2:5, 7] = True
    array, affine = stored(np.zeros(SHAPE, np.float32), (2, 0, 1), (1, -1, 1))
    turned, _ = stored(mask, (2, 0, 1), (1, -1, 1))
    volume = Volume(array, affine)
    largest = VolumeDisplay.from_series(volume, turned)
    titles = [ax.get_title() for ax in largest.axes_[0]]
    assert titles == ["axial, z = 115 mm", "coronal, y = 32 mm", "sagittal, x = -6 mm"]
    middle = VolumeDisplay.from_series(volume, turned, slices="middle")
    titles = [ax.get_title() for ax in middle.axes_[0]]
    assert titles == ["axial, z = 112 mm", "coronal, y = 35 mm", "sagittal, x = -8 mm"]


def test_oblique_volumes_are_cut_along_their_axes_and_say_so():
    turn = np.radians(20)
    about_x = np.eye(4)
    about_x[1:3, 1:3] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    array, affine = stored(np.arange(960, dtype=np.float32).reshape(SHAPE), *ORDERS[0])
    display = VolumeDisplay.from_series(Volume(array, about_x @ affine))
    axial, coronal, sagittal = display.axes_[0]
    assert axial.get_title().endswith("turned by 20°")
    assert coronal.get_title().endswith("turned by 20°")
    assert sagittal.get_title() == "sagittal, x = -8 mm"
    np.testing.assert_array_equal(axial.images[0].get_array(), array[4])


def test_a_tilted_gantry_is_straightened():
    _, affine = stored(np.zeros(SHAPE, np.float32), *ORDERS[0])
    mask = np.zeros(SHAPE, bool)
    mask[:, 4, 5] = True
    affine[1, 0] = 1.5  # each slice lies 1.5 mm further back
    display = VolumeDisplay.from_series(Volume(mask.astype(np.float32), affine), mask)
    image = display.axes_[0, 2].images[0].get_array()
    assert image.shape[1] > SHAPE[1]
    assert np.all(np.diff(image.argmax(axis=1)) >= 1)


@pytest.mark.parametrize(
    ("units", "modality", "window", "expected"),
    [
        ("HU", "CT", None, (-160, 240, "gray")),
        ("HU", "CT", "lung", (-1350, 150, "gray")),
        ("arbitrary", "MR", (50, 20), (40, 60, "gray")),
        ("BQML", "PT", (50, 20), (40, 60, "gray")),
    ],
)
def test_windows(units, modality, window, expected):
    array, affine = stored(np.zeros(SHAPE, np.float32), *ORDERS[0])
    volume = Volume(array, affine, units, provenance={"modality": modality})
    image = VolumeDisplay.from_series(volume, window=window).axes_[0, 0].images[0]
    assert (*image.get_clim(), image.get_cmap().name) == expected


def test_other_values_are_shown_by_percentiles_and_pet_dark_on_white():
    ramp, affine = stored(np.arange(960, dtype=np.float32).reshape(SHAPE), *ORDERS[0])
    mr = VolumeDisplay.from_series(Volume(ramp, affine)).axes_[0, 0].images[0]
    low, high = mr.get_clim()
    assert 0 < low < 100 < 800 < high < 960
    pet = Volume(ramp, affine, "SUVbw", provenance={"modality": "PT"})
    image = VolumeDisplay.from_series(pet).axes_[0, 0].images[0]
    assert image.get_clim()[0] == 0
    assert image.get_cmap().name == "gray_r"


def test_a_single_slice_is_drawn():
    array, affine = stored(np.zeros((1, 10, 12), np.float32), *ORDERS[0])
    display = VolumeDisplay.from_series(Volume(array, affine), array == 0)
    assert [ax.images[0].get_array().shape for ax in display.axes_[0]] == [
        (10, 12),
        (1, 12),
        (1, 10),
    ]


@pytest.mark.parametrize(
    ("mask", "options", "error", "message"),
    [
        (np.ones((2, 2, 2), bool), {}, ValueError, r"shape \(8, 10, 12\)"),
        (np.ones(SHAPE, int), {}, TypeError, "dtype bool, got int64"),
        (np.zeros(SHAPE, bool), {}, ValueError, "one voxel at least"),
        (None, {"slices": "first"}, ValueError, "'largest' or 'middle', got 'first'"),
        (None, {"window": "liver"}, ValueError, r"one of \['bone', .*got 'liver'"),
        (None, {"window": (40, 0)}, ValueError, r"positive width, got \(40, 0\)"),
        (None, {"window": 40}, ValueError, r"\(centre, width\) .* got 40"),
    ],
)
def test_errors_name_the_parameter(mask, options, error, message):
    array, affine = stored(np.zeros(SHAPE, np.float32), *ORDERS[0])
    with pytest.raises(error, match=message):
        VolumeDisplay.from_series(Volume(array, affine), mask, **options)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    make_dicom_cohort(root, 5, random_state=0)
    next((root / "phantom-001" / "MR").glob("005.dcm")).unlink()
    (root / "phantom-002" / "tumour.dcm").unlink()
    again = root / "phantom-003" / "again.dcm"
    again.write_bytes((root / "phantom-003" / "tumour.dcm").read_bytes())
    return scan(root)


def test_a_case_is_drawn_as_its_series(cohort):
    (case,) = VolumeLoader().load_cases(cohort[:1])
    volume = load_series(cohort.iloc[0])
    mask = load_mask(cohort["masks"][0][0], volume)
    for one, other in zip(
        VolumeDisplay.from_case(case).axes_[0],
        VolumeDisplay.from_series(volume, mask).axes_[0],
        strict=True,
    ):
        assert one.get_title() == other.get_title()
        images = one.images[0], other.images[0]
        np.testing.assert_array_equal(*(image.get_array() for image in images))
        assert images[0].get_clim() == images[1].get_clim()


def test_a_case_has_a_row_for_each_channel(tmp_path):
    array, affine = stored(np.arange(960).reshape(SHAPE).astype(np.int16), *ORDERS[0])
    shared = {"FrameOfReferenceUID": "1.2.3", "RescaleSlope": 1, "RescaleIntercept": 0}
    modalities = {"ct": "CT", "pt": "PT"}
    for name, modality in modalities.items():
        folder = tmp_path / name
        write_dicom_series(folder, array, affine, modality=modality, **shared)
    loader = VolumeLoader(channels=("ct", "pt"))
    (case,) = loader.load_cases([{name: tmp_path / name for name in modalities}])
    figure, axes = plt.subplots(2, 3)
    display = VolumeDisplay.from_case(case, window=[(500, 100), None], axes=axes)
    assert display.figure_ is figure
    assert display.axes_.shape == (2, 3)
    assert [row[0].get_ylabel() for row in display.axes_] == ["ct\ny, mm", "pt\ny, mm"]
    images = [row[0].images[0] for row in display.axes_]
    assert images[0].get_clim() == (450, 550)
    assert images[1].get_cmap().name == "gray_r"


def test_a_sheet_shows_each_case_or_says_why_not(cohort):
    display = CohortDisplay.from_volumes(cohort, n_columns=3)
    assert display.axes_.shape == (2, 3)
    shown = list(display.axes_.flat)
    assert [ax.get_title() for ax in shown] == ["0", "1", "2", "3", "4", ""]
    assert [len(ax.images) for ax in shown] == [1, 0, 1, 0, 1, 0]
    words = [" ".join(ax.texts[-1].get_text().split()) for ax in shown[:5]]
    assert words[0].endswith(" ml")
    assert words[1].startswith("MissingSlicesError: ")
    assert words[2] == "no mask"
    assert words[3].startswith("MaskError: This case has 2 files in")


def test_the_millilitres_are_those_of_the_mask(cohort):
    (case,) = VolumeLoader().load_cases(cohort[:1])
    display = CohortDisplay.from_cases([case, None], titles=["first", "second"])
    millilitres = case.mask.sum() * 3 * 1.5 * 1.5 / 1000
    assert display.axes_[0, 0].texts[-1].get_text() == f"{millilitres:.3g} ml"
    assert display.axes_[0, 1].get_title() == "second"
    (text,) = display.axes_[0, 1].texts
    assert text.get_text() == "This case could not be\nread."


def test_a_sheet_tells_what_the_crop_cut_off(cohort):
    loader = VolumeLoader(spacing=1.0, shape=(8, 8, 8), crop="mask")
    display = CohortDisplay.from_volumes(cohort[:1], loader=loader)
    assert display.axes_[0, 0].texts[-1].get_text().endswith("% cut off")


def test_a_sheet_shows_sagittal_series_in_their_own_plane(tmp_path):
    array, affine = stored(
        np.zeros((30, 30, 6), np.int16), (2, 0, 1), (1, -1, 1)
    )  # slices to the left
    affine[:3, 0] *= 3
    write_dicom_series(tmp_path / "a", array, affine)
    display = CohortDisplay.from_volumes([tmp_path / "a"])
    assert display.axes_[0, 0].images[0].get_array().shape == (30, 30)
    assert [t.get_text() for t in display.axes_[0, 0].texts[:4]] == list("APFH")


def test_nothing_on_a_sheet_tells_who_a_patient_is(tmp_path):
    name = "ZZPLANTED"
    array, affine = stored(np.zeros(SHAPE, np.int16), *ORDERS[0])
    shared = {"PatientID": name, "FrameOfReferenceUID": "1.2.3.4.5.6"}
    write_dicom_series(tmp_path / name / "whole", array, affine, **shared)
    cut = write_dicom_series(tmp_path / name / "cut", array, affine, **shared)
    broken = cut[3].rename(cut[3].with_name(f"{name}.dcm"))
    broken.write_bytes(broken.read_bytes()[:-30])
    write_rtstruct(
        tmp_path / name / f"{name}.dcm", [[[0, 0, 0]] * 3], name=name, **shared
    )
    volumes = scan(tmp_path)
    volumes.index = [name] * len(volumes)
    display = CohortDisplay.from_volumes(volumes)
    texts = [text.get_text() for ax in display.axes_.flat for text in ax.texts]
    titles = [ax.get_title() for ax in display.axes_.flat]
    assert titles[: len(volumes)] == list(map(str, range(len(volumes))))
    display = CohortDisplay.from_volumes(volumes.set_axis([3, 5]))
    assert [ax.get_title() for ax in display.axes_.flat] == ["3", "5"]
    display = CohortDisplay.from_volumes(volumes.set_axis([f"{name}-1", "b"]))
    assert [ax.get_title() for ax in display.axes_.flat] == ["0", "1"]
    assert any("Error" in text for text in texts)
    assert name not in " ".join(texts).replace("\n", "")


def test_a_sheet_without_cases_is_an_error():
    with pytest.raises(ValueError, match="one case at least"):
        CohortDisplay.from_cases([])

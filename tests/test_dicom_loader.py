import json
import multiprocessing
import os
import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skvae import AE, CacheWarning
from skvae._cache import key_of
from skvae.datasets import make_dicom_cohort, write_dicom_series, write_rtstruct
from skvae.dicom import (
    DicomError,
    DicomWarning,
    GeometryError,
    MaskError,
    VolumeLoader,
    _case,
    load_series,
    scan,
)
from skvae.dicom._cases import Channel, Source, digest_of
from skvae.dicom._resample import Grid, resample
from skvae.model_selection import groups_from
from skvae.radiomics import RegionFeatures

NAME = "ZZPLANTED"
AFFINE = np.diag([2.0, 1, 1, 1])[[2, 1, 0, 3]]  # z, y, x with slices of 2 mm
SPACE = {"FrameOfReferenceUID": "1.2.3.4"}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    labels = make_dicom_cohort(root, 6, random_state=0)["label"].to_numpy()
    return scan(root), labels


@pytest.fixture
def ramp(tmp_path):
    """A CT whose values are the sum of its coordinates in mm, and a mask in it."""
    z, y, x = np.indices((6, 8, 10))
    array = (100 * z + 10 * y + x).astype(np.int16)
    write_dicom_series(
        tmp_path / "ct", array, AFFINE, modality="CT", RescaleIntercept=0, **SPACE
    )
    square = np.array([[2.6, 1.6], [5.4, 1.6], [5.4, 4.4], [2.6, 4.4]])
    contours = [np.column_stack([square, [z] * 4]) for z in (4.0, 6.0)]
    write_rtstruct(tmp_path / "mask.dcm", contours, **SPACE)
    case = {"image": tmp_path / "ct", "mask": str(tmp_path / "mask.dcm")}
    return case, array.astype(np.float32)


def load(case, **parameters):
    (loaded,) = VolumeLoader(**parameters).load_cases([case])
    return loaded


def test_defaults_give_the_volume_as_it_is(ramp):
    case, array = ramp
    loaded = load(case)
    np.testing.assert_array_equal(loaded.image, array[None])
    np.testing.assert_allclose(loaded.affine, AFFINE)
    assert loaded.spacing == (2.0, 1.0, 1.0)
    assert loaded.mask.sum() == 2 * 3 * 3
    assert loaded.mask[2:4, 2:5, 3:6].all()


def test_linear_interpolation_of_a_linear_image_is_exact(ramp):
    case, _ = ramp
    loaded = load(case, spacing=(1, 0.5, 0.8))
    indices = np.indices(loaded.mask.shape).reshape(3, -1)
    x, y, z = (loaded.affine @ np.vstack([indices, np.ones(indices.shape[1])]))[:3]
    is_within = (z >= 0) & (z <= 10) & (y >= 0) & (y <= 7) & (x >= 0) & (x <= 9)
    expected = 50 * z + 10 * y + x
    values = loaded.image.ravel()
    np.testing.assert_allclose(values[is_within], expected[is_within], atol=1e-3)


@pytest.mark.parametrize("spacing", [0.7, 1.5, (3, 1, 2)])
def test_grid_is_aligned_with_the_centre_of_the_volume(ramp, spacing):
    case, array = ramp
    loaded = load(case, spacing=spacing)
    steps = np.broadcast_to(spacing, 3)
    shape = np.ceil(np.round(np.array(array.shape) * [2, 1, 1] / steps, 6))
    assert loaded.mask.shape == tuple(shape)
    middle = loaded.affine @ [*(shape - 1) / 2, 1]
    np.testing.assert_allclose(middle[:3], AFFINE[:3] @ [2.5, 3.5, 4.5, 1])


@pytest.mark.parametrize("turn", ["flipped", "sagittal"])
def test_axes_come_out_along_those_of_the_patient(tmp_path, turn):
    """The same body scanned another way gives the same array."""
    body = np.random.default_rng(0).integers(0, 99, (4, 5, 6)).astype(np.int16)
    affine = np.eye(4)[[2, 1, 0, 3]]
    if turn == "flipped":
        stored, other = body[:, ::-1, ::-1], affine.copy()
        other[:3, 1:3] *= -1
        other[:3, 3] = [5, 4, 0]
    else:
        stored = body.transpose(2, 0, 1)[::-1, ::-1]
        other = np.eye(4)
        other[:3] = [[-1, 0, 0, 5], [0, 0, 1, 0], [0, -1, 0, 3]]
    write_dicom_series(tmp_path / "a", body, affine)
    write_dicom_series(tmp_path / "b", stored, other)
    one, two = VolumeLoader().load_cases([tmp_path / "a", tmp_path / "b"])
    np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_allclose(one.affine, two.affine, atol=1e-6)


def test_voxels_of_an_aligned_grid_are_taken_as_they_are():
    rng = np.random.default_rng(0)
    array = rng.random((4, 5, 6), dtype=np.float32)
    for _ in range(20):
        to_array = np.eye(4, dtype=int)
        steps = np.diag(rng.choice([-2, -1, 1, 2], 3))
        to_array[:3, :3] = steps[rng.permutation(3)]
        to_array[:3, 3] = rng.integers(-2, 6, 3)
        grid = Grid((5, 3, 7), AFFINE @ to_array)
        values, is_inside = resample(array, AFFINE, grid, 1, -7.0)
        for index in np.ndindex(grid.shape):
            place = tuple(to_array[:3] @ [*index, 1])
            is_there = all(0 <= i < n for i, n in zip(place, array.shape, strict=True))
            assert values[index] == (array[place] if is_there else -7)
            assert is_inside[index] == is_there


def test_crop_to_the_mask_with_a_margin(ramp):
    case, array = ramp
    loaded = load(case, crop="mask")
    np.testing.assert_array_equal(loaded.image[0], array[2:4, 2:5, 3:6])
    assert loaded.mask.all()
    wider = load(case, crop="mask", margin=2.0)
    np.testing.assert_array_equal(wider.image[0], array[1:5, 0:7, 1:8])
    np.testing.assert_allclose(wider.affine[:3, 3], AFFINE[:3] @ [1, 0, 1, 1])


def test_shape_is_laid_around_the_mask_and_filled(ramp):
    case, array = ramp
    loaded = load(case, crop="mask", shape=(4, 9, 5), fill=-7.0)
    assert loaded.image.shape == (1, 4, 9, 5)
    np.testing.assert_array_equal(loaded.image[0, :, 1:], array[1:5, :8, 2:7])
    assert (loaded.image[0, :, 0] == -7).all()
    assert loaded.report["channels"][0]["filled"] == pytest.approx(1 / 9)


def test_crop_to_the_centre(ramp):
    case, array = ramp
    loaded = load(case, crop="center", shape=(2, 4, 4))
    np.testing.assert_array_equal(loaded.image[0], array[2:4, 2:6, 3:7])


def test_spacing_that_fits_the_mask(ramp):
    case, _ = ramp
    loaded = load(case, spacing="fit", crop="mask", shape=(4, 4, 4), margin=1.0)
    np.testing.assert_allclose(loaded.spacing, [1.5] * 3)  # 4 mm and 2 of margin
    middle = loaded.affine @ [1.5, 1.5, 1.5, 1]
    np.testing.assert_allclose(middle[:3], [4, 3, 5])


def test_outside_of_the_mask(ramp):
    case, array = ramp
    loaded = load(case, mask_outside=True, fill=-1.0)
    assert (loaded.image[0][~loaded.mask] == -1).all()
    np.testing.assert_array_equal(loaded.image[0][loaded.mask], array[loaded.mask])


@pytest.mark.parametrize(
    ("window", "low", "high"),
    [("soft_tissue", -160, 240), ("lung", -1350, 150), ((300, 100), 250, 350)],
)
def test_window(ramp, window, low, high):
    case, array = ramp
    np.testing.assert_array_equal(
        load(case, window=window).image[0], array.clip(low, high)
    )
    scaled = load(case, window=window, normalize="window").image[0]
    expected = (array.clip(low, high) - low) / (high - low)
    np.testing.assert_allclose(scaled, expected, atol=1e-6)


def test_window_by_name_needs_hounsfield_units(tmp_path):
    write_dicom_series(tmp_path, np.zeros((2, 3, 4), np.int16), AFFINE)
    with pytest.raises(DicomError, match="is in HU, but"):
        load(tmp_path, window="lung")


def test_normalized_within_the_mask(ramp):
    case, _ = ramp
    loaded = load(case, normalize="standard")
    inside = loaded.image[0][loaded.mask]
    np.testing.assert_allclose([inside.mean(), inside.std()], [0, 1], atol=1e-5)
    ranks = load(case, normalize="percentile").image[0][loaded.mask]
    assert (ranks.min(), ranks.max()) == (0, 1)


def test_normalized_within_the_body_without_a_mask(tmp_path):
    array = np.zeros((4, 8, 8), np.int16)
    array[:, 2:6, 2:6] = np.random.default_rng(0).integers(800, 1200, (4, 4, 4))
    write_dicom_series(tmp_path, array, AFFINE)
    image = load(tmp_path, normalize="standard").image[0]
    body = image[:, 2:6, 2:6]
    np.testing.assert_allclose([body.mean(), body.std()], [0, 1], atol=1e-5)


def test_constant_image_is_normalized_to_zero(tmp_path):
    write_dicom_series(tmp_path, np.full((2, 3, 4), 5, np.int16), AFFINE)
    assert not load(tmp_path, normalize="standard").image.any()


def test_ibsi_rounds_hounsfield_units_and_cuts_the_mask_at_one_half(ramp):
    case, _ = ramp
    loaded = load(case, ibsi=True, spacing=0.8)
    plain = load(case, spacing=0.8)
    np.testing.assert_array_equal(loaded.image, np.rint(plain.image))
    assert not np.array_equal(loaded.image, plain.image)
    volume = loaded.mask.sum() * 0.8**3
    assert volume == pytest.approx(2 * 2 * 3 * 3, rel=0.3)


def test_channels_share_the_grid_of_the_first(tmp_path, ramp):
    case, array = ramp
    finer = np.diag([1.0, 0.5, 0.5, 1])[[2, 1, 0, 3]]
    z, y, _ = np.indices((12, 16, 20))
    stored = (50 * z + 5 * y).astype(np.int16)
    write_dicom_series(tmp_path / "mr", stored, finer, **SPACE)
    both = case | {"mr": tmp_path / "mr"}
    loaded = load(both, channels=("image", "mr"), window={"image": (300, 100)})
    np.testing.assert_array_equal(loaded.image[0], array.clip(250, 350))
    np.testing.assert_allclose(loaded.image[1], stored[::2, ::2, ::2])
    assert len(loaded.report["series"]) == 2


def test_channels_of_two_spaces_are_refused(tmp_path, ramp):
    case, _ = ramp
    write_dicom_series(tmp_path / "mr", np.zeros((2, 3, 4), np.int16), AFFINE)
    with pytest.raises(GeometryError, match="FrameOfReferenceUID differs"):
        load(case | {"mr": tmp_path / "mr"}, channels=("image", "mr"))


def test_channels_that_lie_apart_are_refused(tmp_path, ramp):
    case, _ = ramp
    away = AFFINE.copy()
    away[2, 3] = 500
    write_dicom_series(tmp_path / "mr", np.ones((2, 3, 4), np.int16), away, **SPACE)
    with pytest.raises(GeometryError, match="'mr' lies elsewhere"):
        load(case | {"mr": tmp_path / "mr"}, channels=("image", "mr"))


def test_tilted_gantry_comes_out_straight(tmp_path):
    tilted = AFFINE.copy()
    tilted[1, 0] = 0.5
    z, y, x = np.indices((5, 9, 4))
    at = np.einsum("ij,jzyx->izyx", tilted[:3, :3], np.stack([z, y, x]))
    stored = (10 * at[1] + 50 * at[2]).astype(np.int16)
    write_dicom_series(tmp_path, stored, tilted)
    with pytest.warns(DicomWarning, match="sheared"):
        loaded = load(tmp_path, fill=-1000.0)
    step = loaded.affine[:3, :3]
    np.testing.assert_allclose(step, AFFINE[:3, :3], atol=1e-9)
    indices = np.indices(loaded.image.shape[1:])
    mm = (
        np.einsum("ij,jzyx->izyx", step, indices)
        + loaded.affine[:3, 3, None, None, None]
    )
    expected = 10 * mm[1] + 50 * mm[2]
    image = loaded.image[0]
    is_deep = np.abs(image - expected) < 1e-3
    assert is_deep.mean() > 0.6
    assert (image == -1000).any()


def test_transform_stacks_cases_in_order(cohort):
    volumes, _ = cohort
    loader = VolumeLoader(spacing=5, shape=(8, 12, 12), crop="mask")
    images = loader.fit_transform(volumes)
    assert images.shape == (6, 1, 8, 12, 12)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(loader.transform(volumes.iloc[[4]])[0], images[4])
    flat = clone(loader).set_params(flatten=True).transform(volumes)
    np.testing.assert_array_equal(flat, images.reshape(6, -1))


def test_several_processes_give_the_same(cohort):
    volumes, _ = cohort
    loader = VolumeLoader(spacing=5, shape=(8, 12, 12), crop="mask")
    one = loader.transform(volumes)
    np.testing.assert_array_equal(loader.set_params(n_jobs=2).transform(volumes), one)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"spacing": -1}, "'spacing' parameter"),
        ({"spacing": (1, 2)}, "`spacing` must be 3 positive numbers"),
        ({"shape": (1, 0, 2)}, "`shape` must be 3 whole"),
        ({"crop": "centre"}, "'crop' parameter"),
        ({"crop": "center"}, "need a `shape`"),
        ({"normalize": "window"}, "needs a `window`"),
        ({"ibsi": True, "normalize": "standard"}, "no room for `normalize`"),
        ({"shape": (2, 2, 2)}, "smaller than a volume"),
        ({"margin": 2.0}, "`margin` needs crop='mask'"),
        ({"shape": 16}, "`shape` must be 3 whole numbers.*, got 16"),
        ({"channels": ()}, "`channels` must name one"),
        ({"shape": (2.5, 4, 4)}, "`shape` must be 3 whole"),
        ({"window": (40, 0)}, "with a positive width"),
        ({"window": {"pet": (0, 1)}}, r"must be for the `channels` \['image'\]"),
        ({"channels": ("image", "pet")}, r"lacks the `channels` \['pet'\]"),
    ],
)
def test_invalid_parameters(ramp, parameters, match):
    case, _ = ramp
    with pytest.raises(ValueError, match=match):
        VolumeLoader(**parameters).transform([case])


def test_different_shapes_are_refused_with_the_way_out(cohort):
    with pytest.raises(ValueError, match="Set `shape`"):
        VolumeLoader(crop="mask").transform(cohort[0])


def test_mask_that_is_needed(cohort):
    volumes = cohort[0].assign(mask=None)
    with pytest.raises(MaskError, match="There is no mask"):
        VolumeLoader(crop="mask", shape=(4, 4, 4)).transform(volumes)


@pytest.mark.parametrize("mask", [["a.dcm", None], (1, 2), 3])
def test_mask_must_be_a_path(cohort, mask):
    case = {"image": cohort[0].iloc[0], "mask": mask}
    with pytest.raises(TypeError, match='"mask" of case 0'):
        VolumeLoader().transform([case])


def test_cases_must_be_a_list_or_a_table(cohort):
    for single in ("folder", cohort[0].iloc[0]):
        with pytest.raises(TypeError, match="not a single case"):
            VolumeLoader().transform(single)


@pytest.mark.parametrize("kind", ["parquet", "pickle"])
def test_saved_table(cohort, tmp_path, kind):
    volumes = cohort[0].iloc[:2]
    getattr(volumes, f"to_{kind}")(tmp_path / "table")
    again = getattr(pd, f"read_{kind}")(tmp_path / "table")
    loader = VolumeLoader(spacing=5, shape=(8, 8, 8), crop="mask", cache=tmp_path)
    expected = loader.transform(volumes)
    np.testing.assert_array_equal(loader.transform(again), expected)
    again["mask"] = again["masks"]
    np.testing.assert_array_equal(loader.transform(again), expected)


def test_table_saved_as_csv(cohort, tmp_path):
    cohort[0].to_csv(tmp_path / "table.csv")
    again = pd.read_csv(tmp_path / "table.csv")
    with pytest.raises(TypeError, match='"files" of case 0 of `X` is text'):
        VolumeLoader().transform(again)
    row = {"image": again.iloc[1]}
    with pytest.raises(TypeError, match='"files" of case 0 of `X` is text'):
        VolumeLoader().transform([row])


@pytest.mark.parametrize("kind", ["table", "list"])
def test_no_case(cohort, kind):
    X = cohort[0].iloc[:0] if kind == "table" else []
    with pytest.raises(ValueError, match="`X` holds no case"):
        VolumeLoader().transform(X)


def test_report_tells_what_is_cut_from_the_mask(ramp):
    case, _ = ramp
    whole = load(case, crop="mask", shape=(2, 3, 3))
    with pytest.warns(DicomWarning, match="50 % of that of case 0"):
        part = load(case, crop="mask", shape=(1, 3, 3))
    assert (whole.report["mask_cut"], part.report["mask_cut"]) == (0, 0.5)


def test_masks_that_can_t_be_told_apart(cohort):
    row = cohort[0].iloc[[0]].copy()
    row["masks"] = [row["masks"].iloc[0] * 2]
    with pytest.raises(MaskError, match='2 files in "masks"'):
        VolumeLoader().transform(row)


def test_case_that_can_t_be_read(cohort, tmp_path):
    (tmp_path / "empty").mkdir()
    cases = [cohort[0].iloc[0], {"image": tmp_path / "empty"}]
    loader = VolumeLoader()
    with pytest.raises(DicomError) as error:
        loader.transform(cases)
    assert error.value.__notes__ == ["This was case 1."]
    with pytest.warns(DicomWarning, match=r"1 of 2 cases.*case 1, NoImagesError"):
        images = loader.set_params(on_error="nan").transform(cases)
    assert np.isnan(images[1]).all()
    assert not np.isnan(images[0]).any()


def test_case_that_is_larger_than_shape(cohort, ramp):
    cases = [ramp[0], cohort[0].iloc[0]]
    loader = VolumeLoader(shape=(6, 8, 10))
    with pytest.raises(GeometryError, match="smaller than a volume") as error:
        loader.transform(cases)
    assert error.value.__notes__ == ["This was case 1."]
    with pytest.warns(DicomWarning, match="case 1, GeometryError"):
        images = loader.set_params(on_error="nan").transform(cases)
    assert np.isnan(images).all(axis=(1, 2, 3, 4)).tolist() == [False, True]


def counted(monkeypatch):
    """Count how often each series is decoded."""
    decoded = []

    def load_and_count(source, **options):
        decoded.append(source["files"][0])
        return load_series(source, **options)

    monkeypatch.setattr(_case, "load_series", load_and_count)
    return decoded


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_search_decodes_each_volume_once(tmp_path, monkeypatch):
    """20 patients, from DICOM to a score, over settings of loader and network."""
    labels = make_dicom_cohort(tmp_path / "in", 20, random_state=0)["label"]
    volumes = scan(tmp_path / "in")
    decoded = counted(monkeypatch)
    cache = tmp_path / "cache"
    images = VolumeLoader(shape=(6, 8, 8), crop="mask", flatten=True, cache=cache)
    latents = make_pipeline(
        images.set_params(normalize="standard"), AE(2, max_iter=2, random_state=0)
    )
    regions = RegionFeatures(loader=VolumeLoader(cache=cache))
    pipeline = make_pipeline(
        FeatureUnion([("latents", latents), ("regions", regions)]),
        FunctionTransformer(np.nan_to_num),
        StandardScaler(),
        LogisticRegression(),
    )
    grid = {
        "featureunion__latents__volumeloader__spacing": [7, 8],
        "featureunion__latents__ae__n_components": [2, 3],
    }
    search = GridSearchCV(pipeline, grid, cv=GroupKFold(3), error_score="raise")
    search.fit(volumes, labels, groups=groups_from(volumes))
    assert sorted(decoded) == sorted(files[0] for files in volumes["files"])
    assert search.best_score_ > 0.6


def test_cache_gives_the_same_and_follows_content_and_settings(ramp, tmp_path):
    case, _ = ramp
    cache = tmp_path / "cache"
    plain = load(case, spacing=1.5)
    for _ in range(2):
        cached = load(case, spacing=1.5, cache=cache)
        np.testing.assert_array_equal(cached.image, plain.image)
        np.testing.assert_array_equal(cached.mask, plain.mask)
        assert cached.report == plain.report
    other = load(case, spacing=2.5, cache=cache)
    assert other.image.shape != plain.image.shape
    path = case["image"] / "003.dcm"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    changed = load(case, spacing=1.5, cache=cache)
    assert not np.array_equal(changed.image, plain.image)


@pytest.mark.parametrize(
    ("name", "text", "files"),
    [
        ("a.nhdr", "NRRD0004\n# x\ndata file: ./b c.raw\n", ["b c.raw"]),
        ("a.nrrd", "NRRD0004\nencoding: raw\n\ndata file: b.raw\n", []),
        ("a.mhd", "NDims = 3\nElementDataFile = b.raw\n", ["b.raw"]),
        ("a.MHD", "ElementDataFile = b c.raw\n", ["b c.raw"]),
        ("a.mha", "NDims = 3\nElementDataFile = LOCAL\n\0", []),
    ],
)
def test_digest_follows_the_files_that_a_header_names(tmp_path, name, text, files):
    (tmp_path / name).write_bytes(text.encode())
    for file in files:
        (tmp_path / file).write_bytes(b"before")
    digests = {digest_of(tmp_path / name)}
    for file in files:
        (tmp_path / file).write_bytes(b"after it")
        digests.add(digest_of(tmp_path / name))
    assert len(digests) == 1 + len(files)


def test_cache_follows_the_voxels_of_a_detached_mask(ramp, tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    case, array = ramp
    mask = sitk.GetImageFromArray((array > 300).astype(np.uint8))
    mask.SetSpacing((1.0, 1.0, 2.0))
    sitk.WriteImage(mask, tmp_path / "mask.nhdr")
    case = case | {"mask": tmp_path / "mask.nhdr"}
    before = load(case, cache=tmp_path / "cache").mask.sum()
    sitk.WriteImage(mask == 0, tmp_path / "mask.nhdr")
    after = load(case, cache=tmp_path / "cache").mask.sum()
    assert (before, after) == ((array > 300).sum(), (array <= 300).sum())


def test_digests_tell_which_file_is_in_which_channel(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text(path.name)
    parts = [(paths[:cut], paths[cut:]) for cut in (1, 2)]
    one, two = (Source(list(map(Channel, part)), None).digests() for part in parts)
    assert key_of(one) != key_of(two)
    masked = Source([Channel(paths[:2])], paths[2]).digests()
    assert key_of(masked) != key_of(two)


def test_cache_takes_settings_of_numpy(ramp, tmp_path):
    case, _ = ramp
    settings = {"spacing": np.float32(1.5), "shape": np.array([2, 3, 4])}
    settings |= {"crop": "center", "window": {"image": np.array([300, 100])}}
    loaded = load(case, cache=tmp_path / "cache", **settings)
    assert loaded.report["settings"]["shape"] == [2, 3, 4]


def test_file_that_was_cut_off_is_made_anew(ramp, tmp_path):
    case, _ = ramp
    cache = tmp_path / "cache"
    before = load(case, cache=cache)
    for kept in cache.rglob("*.npz"):
        kept.write_bytes(kept.read_bytes()[:100])
    after = load(case, cache=cache)
    np.testing.assert_array_equal(after.image, before.image)
    assert not list(cache.rglob("*.tmp"))


def test_failed_write_leaves_nothing_behind(ramp, tmp_path, monkeypatch):
    case, _ = ramp
    cache = tmp_path / "cache"

    def fail(file, **arrays):
        file.write(b"half of it")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.warns(CacheWarning, match="could not be kept"):
        loaded = load(case, cache=cache)
    np.testing.assert_array_equal(loaded.image, load(case).image)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def load_in_process(case, cache, log):
    original = _case.load_series

    def load_and_log(source, **options):
        with open(log, "a") as file:
            file.write("decoded\n")
        return original(source, **options)

    _case.load_series = load_and_log
    load(case, spacing=1.5, cache=cache)


def test_two_processes_on_one_cache(ramp, tmp_path):
    case, _ = ramp
    cache, log = tmp_path / "cache", tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=load_in_process, args=(case, cache, log))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert log.read_text() == "decoded\n"
    assert load(case, spacing=1.5, cache=cache).image.any()


def test_no_name_in_cache_report_or_pickle(tmp_path, caplog):
    affine, names = AFFINE, {"PatientName": NAME, "PatientID": NAME}
    array = np.random.default_rng(0).integers(0, 99, (3, 4, 5)).astype(np.int16)
    folder = tmp_path / NAME
    write_dicom_series(folder, array, affine, **names, **SPACE)
    cache = tmp_path / "cache"
    loader = VolumeLoader(cache=cache, normalize="standard").fit()
    (case,) = loader.load_cases([folder])
    report = json.dumps(case.report) + loader.report([folder]).to_json()
    kept = b"".join(path.read_bytes() for path in cache.rglob("*") if path.is_file())
    names = " ".join(map(os.fspath, (p.relative_to(cache) for p in cache.rglob("*"))))
    everything = kept + pickle.dumps((case, loader)) + (report + names).encode()
    assert NAME.encode() not in everything
    assert NAME not in caplog.text


def test_report_is_plain_and_traces_each_case(cohort):
    volumes, _ = cohort
    report = VolumeLoader(spacing=2, crop="mask").report(volumes)
    assert len(report) == 6
    assert report["series"].map(tuple).nunique() == 6
    again = json.loads(report.to_json(orient="records"))
    assert again[0]["settings"]["spacing"] == 2
    assert "versions" in again[0]["channels"][0]
    assert again[0]["mask_voxels"] > 0


def test_loader_behaves_like_scikit_learn(cohort):
    loader = VolumeLoader(spacing=5, shape=(8, 8, 8), crop="mask")
    copy = pickle.loads(pickle.dumps(clone(loader)))
    np.testing.assert_array_equal(
        copy.transform(cohort[0].iloc[:2]), loader.transform(cohort[0].iloc[:2])
    )
    assert loader.fit() is loader
    assert set(vars(loader)) == set(loader.get_params())


def test_table_of_sources(cohort):
    volumes, _ = cohort
    table = pd.DataFrame(
        {
            "image": [os.path.dirname(files[0]) for files in volumes["files"]],
            "mask": [masks[0] for masks in volumes["masks"]],
        }
    )
    loader = VolumeLoader(spacing=5, shape=(8, 8, 8), crop="mask")
    np.testing.assert_array_equal(loader.transform(table), loader.transform(volumes))


def warned(function, *args):
    """List what a call warns of, and the files that the warnings point at."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args)
    return [(str(w.message), os.path.basename(w.filename)) for w in caught]


def in_folder(folder, way):
    return way | {name: folder / way[name] for name in way if name == "cache"}


WAYS = [{}, {"n_jobs": 2}, {"cache": "cache"}, {"cache": "cache"}]


def test_warns_of_cut_masks_with_the_spacing_that_holds_them(ramp, tmp_path):
    case, _ = ramp
    small = tmp_path / "small.dcm"
    square = np.array([[2.6, 1.6], [4.4, 1.6], [4.4, 3.4], [2.6, 3.4]])
    contours = [np.column_stack([square, [z] * 4]) for z in (4.0, 6.0)]
    write_rtstruct(small, contours, **SPACE)
    cases = [case | {"mask": small}, case]
    for way in WAYS:
        loader = VolumeLoader(crop="mask", shape=(2, 2, 2), **in_folder(tmp_path, way))
        ((text, place),) = warned(loader.fit_transform, cases)
        assert re.search("masks of 1 of 2 cases: 55.6 % of that of case 1,", text)
        assert place == os.path.basename(__file__)
    spacing = float(re.search("spacing=([0-9.]+) would hold all", text)[1])
    assert warned(loader.set_params(spacing=spacing).transform, cases) == []
    assert warned(loader.set_params(spacing=0.7 * spacing).transform, cases)


def sheared(folder):
    affine = AFFINE.copy()
    affine[1, 0] = 0.5
    array = np.ones((5, 9, 4), np.int16)
    write_dicom_series(folder, array, affine, modality="CT", RescaleIntercept=0)


@pytest.mark.parametrize("on_error", ["raise", "nan"])
def test_warnings_come_in_every_way_once_for_each_call(ramp, tmp_path, on_error):
    """Of a series, and of a mask, each in two cases."""
    sheared(tmp_path / "sheared")
    gap = tmp_path / "gap.dcm"
    square = np.array([[2.6, 1.6], [4.4, 1.6], [4.4, 3.4], [2.6, 3.4]])
    contours = [np.column_stack([square, [z] * 4]) for z in (4.0, 8.0)]
    write_rtstruct(gap, contours, **SPACE)
    cases = [tmp_path / "sheared", ramp[0] | {"mask": gap}] * 2
    for way in WAYS:
        loader = VolumeLoader(on_error=on_error, **in_folder(tmp_path, way))
        (first, place), (second, _) = warned(loader.load_cases, cases)
        assert "sheared" in first
        assert "leave out 1 slices" in second
        assert place == os.path.basename(__file__)
    settings = in_folder(tmp_path, WAYS[-1]) | {"spacing": 1.5}
    assert len(warned(VolumeLoader(**settings).load_cases, cases)) == 2


def test_an_error_does_not_hide_the_warnings_before_it(tmp_path):
    sheared(tmp_path)
    texts = [text for text, _ in warned(lambda: attempt(tmp_path, crop="mask"))]
    assert len(texts) == 1
    assert "sheared" in texts[0]


def attempt(case, **parameters):
    with pytest.raises(DicomError):
        load(case, **parameters)


def test_a_full_disk_is_told_of_from_other_processes(ramp, tmp_path):
    (tmp_path / "file").touch()
    loader = VolumeLoader(cache=tmp_path / "file", n_jobs=2)
    (note,) = warned(loader.load_cases, [ramp[0]] * 2)
    assert "could not be kept" in note[0]
    assert note[1] == os.path.basename(__file__)


def test_warns_of_different_modalities_in_a_channel(ramp, tmp_path):
    case, array = ramp
    write_dicom_series(tmp_path / "mr", array.astype(np.int16), AFFINE, **SPACE)
    cases = [case["image"], case["image"], tmp_path / "mr"]
    for way in WAYS:
        loader = VolumeLoader(**in_folder(tmp_path, way))
        ((text, _),) = warned(loader.load_cases, cases)
        assert "'image' holds different modalities: 2 of CT, 1 of MR." in text
    pair = {"ct": case["image"], "mr": tmp_path / "mr"}
    assert warned(VolumeLoader(channels=("ct", "mr")).load_cases, [pair, pair]) == []


LAZY = {"spacing": "fit", "shape": (4, 8, 8), "crop": "mask"}


def test_lazy_gives_the_same(cohort, tmp_path):
    volumes, labels = cohort
    expected = VolumeLoader(**LAZY).transform(volumes)
    lazy = VolumeLoader(**LAZY, cache=tmp_path, lazy=True, n_jobs=2).transform(volumes)
    assert (lazy.shape, lazy.dtype) == (expected.shape, expected.dtype)
    for key in (3, -1, slice(1, 4), [5, 0], labels == 1):
        np.testing.assert_array_equal(lazy[key], expected[key])
    np.testing.assert_array_equal(lazy, expected)
    ae = AE(2, architecture="conv", max_iter=2, batch_size=4, random_state=0)
    latents = ae.fit_transform(lazy)
    np.testing.assert_array_equal(latents, ae.fit_transform(expected))
    for file in (tmp_path / "cases").iterdir():
        file.unlink()
    np.testing.assert_array_equal(lazy[::2], expected[::2])


def test_lazy_holds_no_image(cohort, tmp_path):
    settings = LAZY | {"shape": (8, 64, 64), "cache": tmp_path, "lazy": True}
    images = VolumeLoader(**settings).transform(cohort[0])
    assert len(pickle.dumps(images)) < np.asarray(images).nbytes / 10


def test_lazy_refuses_files_that_changed_since(ramp, tmp_path):
    (case, _), cache = ramp, tmp_path / "cache"
    settings = {"shape": (2, 2, 2), "crop": "center", "cache": cache, "lazy": True}
    folder = case["image"]
    images = VolumeLoader(**settings).transform([folder])
    before = images[0]
    file = next(folder.iterdir())
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    np.testing.assert_array_equal(images[0], before)
    for kept in (cache / "cases").iterdir():
        kept.unlink()
    with pytest.raises(DicomError, match="have changed since"):
        images[0]
    assert not list((cache / "cases").glob("*.npz"))


def test_lazy_in_a_search(cohort, tmp_path):
    volumes, labels = cohort
    ae = AE(2, max_iter=2, architecture="conv", random_state=0)
    loaders = [VolumeLoader(**LAZY), VolumeLoader(**LAZY, cache=tmp_path, lazy=True)]
    pipeline = make_pipeline(loaders[0], ae, LogisticRegression())
    grid = {"volumeloader": loaders, "ae__layer": ["mu", "encoder.1"]}
    options = {"cv": GroupKFold(2), "n_jobs": 2, "scoring": "neg_log_loss"}
    search = GridSearchCV(pipeline, grid, **options)
    search.fit(volumes, labels, groups=volumes["patient_id"])
    scores = {}
    for params, score in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        scores.setdefault(params["ae__layer"], set()).add(score)
    assert len(scores) == 2
    assert all(len(found) == 1 for found in scores.values())


def test_lazy_warns_once_and_gives_nan(ramp, tmp_path):
    case, _ = ramp
    loader = VolumeLoader(
        shape=(2, 2, 2), crop="mask", on_error="nan", cache=tmp_path / "c", lazy=True
    )
    with pytest.warns(DicomWarning) as caught:
        images = loader.transform([case, tmp_path / "none"])
    texts = " ".join(str(warning.message) for warning in caught)
    assert "1 of 2 cases can't be read" in texts
    assert "cuts the masks of 1 of 1 cases" in texts
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(images[0]).all()
        assert np.isnan(images[1]).all()


@pytest.mark.parametrize("missing", [{"cache": None}, {"shape": None}])
def test_lazy_needs_a_cache_and_a_shape(missing, ramp, tmp_path):
    options = {"shape": (2, 2, 2), "crop": "mask", "cache": tmp_path} | missing
    with pytest.raises(ValueError, match="needs a `cache` and a `shape`"):
        VolumeLoader(lazy=True, **options).transform([ramp[0]])

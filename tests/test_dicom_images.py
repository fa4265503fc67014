"""NIfTI, NRRD and MetaImage: the same volumes as from DICOM, or a clear error."""

import sys
import traceback
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydicom.data import get_testdata_file
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skvae.dicom as sd
from skvae.datasets import make_dicom_cohort, write_dicom_series
from skvae.dicom import Volume, VolumeLoader, load_mask, load_series
from skvae.model_selection import groups_from
from skvae.radiomics import RegionFeatures
from skvae.report import features_table, methods_text

nibabel = pytest.importorskip("nibabel")
sitk = pytest.importorskip("SimpleITK")

PATIENT = "ZZPLANTED"
COSINES = np.linalg.qr(np.random.RandomState(0).randn(3, 3))[0]
AXIAL = np.array([[0, 0, 0.5, -10], [0, 0.8, 0, 20], [3, 0, 0, -30], [0, 0, 0, 1.0]])
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = COSINES * [2.5, 0.7, 1.1]
OBLIQUE[:3, 3] = 12.5, -80, 3
SHEARED = AXIAL.copy()
SHEARED[1, 0] = 1.25
AFFINES = {"axial": AXIAL, "oblique": OBLIQUE, "sheared": SHEARED}
NAMES = ["a.nii", "a.nii.gz", "a.NII.GZ", "a.nrrd", "a.nhdr", "a.mha", "a.mhd"]
KINDS = ["a.nii.gz", "a.nrrd", "a.mha"]


@pytest.fixture
def folder(tmp_path):
    """A folder whose name no message may give away."""
    path = tmp_path / PATIENT
    path.mkdir()
    return path


def write_nifti(path, array, affine, edit=None, kind=nibabel.Nifti1Image):
    """Write an array of shape (z, y, x) in nibabel's way: transposed, RAS."""
    image = kind(array.T, np.diag([-1, -1, 1, 1]) @ affine[:, [2, 1, 0, 3]])
    image.header["descrip"] = PATIENT
    if edit is not None:
        edit(image)
    nibabel.save(image, path)
    return path


def write_itk(path, array, affine, **options):
    """Write an array of shape (z, y, x) in SimpleITK's way."""
    image = sitk.GetImageFromArray(array)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing[::-1])
    image.SetDirection((affine[:3, :3] / spacing)[:, ::-1].ravel())
    image.SetOrigin(affine[:3, 3])
    image.SetMetaData("Patient", PATIENT)
    sitk.WriteImage(image, path, **options)
    return path


def write_twin(path, array, affine):
    is_nifti = ".nii" in path.name.lower()
    return (write_nifti if is_nifti else write_itk)(path, array, affine)


def assert_twins(volume, other):
    np.testing.assert_array_equal(volume.array, other.array)
    np.testing.assert_allclose(volume.affine, other.affine, rtol=0, atol=2e-5)
    assert volume.array.dtype == np.float32
    assert volume.array.flags.c_contiguous


def refused(path, error, **options):
    """Message of an error, which says nothing about the patient in any of its parts."""
    with pytest.raises(error) as caught:
        load_series(path, **options)
    assert type(caught.value) is error
    assert PATIENT not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


@pytest.fixture(autouse=True)
def silent(caplog, capfd):
    """Nothing that is logged or printed tells about the patient either."""
    yield
    assert PATIENT not in caplog.text + "".join(capfd.readouterr())


def stored(seed=0, shape=(5, 12, 9)):
    return np.random.RandomState(seed).randint(-1000, 3000, shape).astype(np.int16)


# Twins of DICOM series


@pytest.mark.filterwarnings("ignore:.*sheared:skvae.dicom.DicomWarning")
@pytest.mark.parametrize("affine", AFFINES)
def test_twin_of_a_series_is_equal(affine, folder):
    write_dicom_series(folder / "ct", stored(), AFFINES[affine], RescaleIntercept=-24)
    volume = load_series(folder / "ct")
    for name in NAMES:
        values = volume.array.astype(np.int16)
        path = write_twin(folder / name, values, volume.affine)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            twin = load_series(path)
        assert_twins(twin, volume)
        assert twin.units == "arbitrary"
        assert twin.frame_of_reference is None
        np.testing.assert_array_equal(
            load_mask(path, volume, int(values[0, 0, 0])), values == values[0, 0, 0]
        )


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm"])
def test_twin_of_a_bundled_file_is_equal(name, folder):
    volume = load_series(get_testdata_file(name))
    for kind in KINDS:
        assert_twins(
            load_series(write_twin(folder / kind, volume.array, volume.affine)), volume
        )


def test_contours_of_a_series_lie_on_its_twin(folder):
    make_dicom_cohort(folder, 1, random_state=0)
    row = sd.select_regions(sd.scan(folder)).iloc[0]
    volume = load_series(row)
    mask = load_mask(row, volume)
    for kind in KINDS:
        twin = load_series(write_twin(folder / kind, volume.array, volume.affine))
        np.testing.assert_array_equal(load_mask(row, twin), mask)
        write_twin(folder / kind, mask.astype(np.uint8), volume.affine)
        np.testing.assert_array_equal(load_mask(folder / kind, twin), mask)


REAL = {"torchio_ct_17slices": 1, "siemens_xa10_enhanced_mr": 4, "dcmqi_ct_seg": 2}


@pytest.mark.filterwarnings("ignore::skvae.dicom.DicomWarning")
@pytest.mark.parametrize("archive", REAL)
def test_twin_of_a_real_series_is_equal(archive, shared_data, folder):
    path = shared_data / "dicom_series" / f"{archive}.zip"
    with zipfile.ZipFile(path) as file:
        file.extractall(folder)
    table = sd.scan(folder)
    rows = [row for _, row in table[table["problem"].isna()].iterrows()]
    assert len(rows) >= REAL[archive]
    for row in rows:
        volume = load_series(row)
        for kind in ("a.nii", "a.nrrd", "a.mha"):
            twin = write_twin(folder / kind, volume.array, volume.affine)
            assert_twins(load_series(twin), volume)
        for path in row["masks"]:
            mask = load_mask(path, volume, 1)
            np.testing.assert_array_equal(load_mask(path, load_series(twin), 1), mask)
            for kind in ("m.nii.gz", "m.nrrd", "m.mha"):
                twin = write_twin(folder / kind, mask.astype(np.uint8), volume.affine)
                np.testing.assert_array_equal(load_mask(twin, load_series(row)), mask)


@pytest.mark.parametrize(("slope", "inter"), [(2, -1024), (0.1, 0.3), (1, 7), (0.5, 0)])
def test_slope_and_intercept_are_those_of_dicom(slope, inter, folder):
    options = {"RescaleSlope": slope, "RescaleIntercept": inter}
    write_dicom_series(folder / "mr", stored(), AXIAL, **options)

    def rescale(image):
        image.header.set_slope_inter(slope, inter)

    path = write_nifti(folder / "a.nii.gz", stored(), AXIAL, rescale)
    assert_twins(load_series(path), load_series(folder / "mr"))


@pytest.mark.parametrize("unit", [("mm", 1), ("meter", 1e-3), ("micron", 1e3)])
def test_nifti_in_other_units_of_length(unit, folder):
    name, factor = unit
    affine = AXIAL * [[factor], [factor], [factor], [1]]
    path = write_nifti(
        folder / "a.nii", stored(), affine, lambda i: i.header.set_xyzt_units(name)
    )
    np.testing.assert_allclose(load_series(path).affine, AXIAL, rtol=1e-6)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha"])
def test_a_single_fourth_dimension_is_left_out(name, folder):
    if ".nii" in name.lower():
        image = nibabel.Nifti1Image(stored().T[..., None, None], np.eye(4))
        nibabel.save(image, folder / name)
    else:
        image = sitk.JoinSeries([sitk.GetImageFromArray(stored())])
        sitk.WriteImage(image, folder / name)
    np.testing.assert_array_equal(load_series(folder / name).array, stored())


def test_nifti_2_and_qform_are_read(folder):
    def only_qform(image):
        image.set_qform(image.affine, 1)
        image.set_sform(None, 0)

    path = write_nifti(
        folder / "a.nii", stored(), OBLIQUE, only_qform, nibabel.Nifti2Image
    )
    np.testing.assert_allclose(load_series(path).affine, OBLIQUE, atol=1e-5)


def test_provenance_says_what_was_read(folder):
    path = write_itk(folder / "a.mhd", stored(), AXIAL)
    about = load_series(path).provenance
    assert about["format"] == "MHA"
    assert about["n_files"] == 2
    assert set(about["versions"]) == {"skvae", "SimpleITK", "numpy"}
    (folder / "a.raw").write_bytes((stored() + 1).astype(np.int16).tobytes())
    assert load_series(path).provenance["series"] != about["series"]


# Units


def test_units_are_those_of_the_row_or_as_told(folder):
    path = write_nifti(folder / "a.nii", stored(), AXIAL)
    row = {"files": (str(path),), "frames": (0,), "modality": "CT"}
    assert load_series(row).units == "HU"
    assert load_series(row | {"modality": "MR"}).units == "arbitrary"
    assert load_series(row, units="SUVbw").units == "SUVbw"
    assert load_series(path, units="HU").units == "HU"
    with pytest.raises(ValueError, match="DICOM says"):
        load_series(get_testdata_file("CT_small.dcm"), units="HU")


def test_suv_of_an_image_file_is_refused(folder):
    path = write_nifti(folder / "a.nii", stored(), AXIAL)
    assert "dose, time and weight" in refused(path, sd.SUVError, suv=True)
    row = {"files": (str(path),), "frames": (0,), "modality": "PT"}
    refused(row, sd.SUVError, suv=True)
    assert load_series(row | {"modality": "CT"}, suv=True).units == "HU"


# What is refused


def no_forms(image):
    image.set_sform(None, 0)
    image.set_qform(None, 0)


def test_nifti_without_position_is_refused(folder):
    path = write_nifti(folder / "a.nii", stored(), AXIAL, no_forms)
    assert "states no position" in refused(path, sd.GeometryError)
    path = write_nifti(folder / "a.nii", stored(), AXIAL)
    damaged_header(path, "srow_x", 0)
    with pytest.warns(sd.DicomWarning, match="the affine 0 x"):
        assert "span no space" in refused(path, sd.GeometryError)


MHA = """ObjectType = Image
NDims = 3
Offset = 1 2 3
TransformMatrix = 1 0 0 0 1 0 0 0 1
ElementSpacing = 1 1 2
DimSize = 9 12 5
ElementType = MET_SHORT
ElementDataFile = LOCAL
"""
NRRD = """NRRD0004
type: int16
dimension: 3
space: left-posterior-superior
sizes: 9 12 5
space directions: (1,0,0) (0,1,0) (0,0,2)
space origin: (1,2,3)
encoding: raw
endian: little

"""


@pytest.mark.parametrize("key", ["Offset", "TransformMatrix", "ElementSpacing"])
def test_metaimage_without_position_is_refused(key, folder):
    path = folder / "a.mha"
    path.write_bytes(MHA.encode() + stored().tobytes())
    assert load_series(path).spacing == (2, 1, 1)
    lines = [line for line in MHA.splitlines(True) if not line.startswith(key)]
    for text in ("".join(lines), MHA.replace(key, key.swapcase())):
        path.write_bytes(text.encode() + stored().tobytes())
        assert "states no position" in refused(path, sd.GeometryError)


@pytest.mark.parametrize(
    ("old", "new", "error", "said"),
    [
        ("space origin: (1,2,3)\n", "", sd.GeometryError, "states no position"),
        ("left-posterior-superior", "scanner-xyz", sd.GeometryError, "no position"),
        (
            "encoding",
            'space units: "cm" "cm" "cm"\nencoding',
            sd.GeometryError,
            "in mm",
        ),
        ("endian", "data file: LIST\nendian", sd.CorruptFileError, "a.nrrd"),
        ("endian", "data file: b.raw\nendian", sd.CorruptFileError, "a.nrrd"),
    ],
)
def test_nrrd_that_can_not_be_placed_is_refused(old, new, error, said, folder):
    path = folder / "a.nrrd"
    path.write_bytes(NRRD.encode() + stored().tobytes())
    assert load_series(path).spacing == (2, 1, 1)
    path.write_bytes(NRRD.replace(old, new).encode() + stored().tobytes())
    assert said in refused(path, error)


def test_metaimage_that_states_two_values_is_refused(folder):
    path = folder / "a.mha"
    text = MHA.replace("DimSize", "Offset = 1 2 4\nDimSize")
    path.write_bytes(text.encode() + stored().tobytes())
    assert "two values of one key" in refused(path, sd.CorruptFileError)


@pytest.mark.parametrize("name", KINDS)
def test_several_volumes_are_refused(name, folder):
    if name == "a.nii.gz":
        image = nibabel.Nifti1Image(np.stack([stored().T] * 3, axis=3), np.eye(4))
        nibabel.save(image, folder / name)
    else:
        image = sitk.JoinSeries([sitk.GetImageFromArray(stored())] * 3)
        sitk.WriteImage(image, folder / name)
    assert "holds 3 volumes" in refused(folder / name, sd.AmbiguousSeriesError)


@pytest.mark.parametrize("name", KINDS)
def test_colour_is_refused(name, folder):
    if name == "a.nii.gz":
        kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
        write_nifti(folder / name, np.zeros((5, 12, 9), kind), AXIAL)
    else:
        image = sitk.GetImageFromArray(np.zeros((5, 12, 9, 3), np.uint8), isVector=True)
        sitk.WriteImage(image, folder / name)
    assert "3 values per voxel" in refused(folder / name, sd.ColorImageError)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e300])
def test_voxels_that_are_no_numbers_are_refused(name, value, folder):
    values = stored().astype(np.float64)
    values[1, 2, 3] = value
    path = write_twin(folder / name, values, AXIAL)
    assert "1 voxels that are NaN or infinite" in refused(path, sd.CorruptFileError)


def test_complex_and_flat_images_are_refused(folder):
    path = write_nifti(folder / "a.nii", stored().astype(np.complex64), AXIAL)
    assert "real numbers" in refused(path, sd.DicomError)
    nibabel.save(nibabel.Nifti1Image(stored()[0], np.eye(4)), path)
    assert "is flat" in refused(path, sd.GeometryError)


def test_several_files_are_refused(folder):
    paths = [write_twin(folder / name, stored(), AXIAL) for name in KINDS]
    assert "names 3 files" in refused(paths, sd.AmbiguousSeriesError)
    assert_twins(load_series(paths[:1]), load_series(paths[2]))
    assert "no file 'b.nii'" in refused(folder / "b.nii", FileNotFoundError)
    refused(paths[0], sd.NoImagesError, series_uid="1.2")


# Damage


@pytest.mark.filterwarnings("ignore:a.nii.gz. bytes follow")
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
def test_a_flipped_bit_in_compressed_values_is_seen(name, folder):
    """ITK verifies no checksum, and nibabel doesn't read as far as there."""
    if name == "a.nii.gz":
        path = data = write_nifti(folder / name, stored(), AXIAL)
        start = 10
    else:
        path = write_itk(folder / name, stored(), AXIAL, useCompression=True)
        data = next(folder.glob("*raw*"), path)
        head = b"\n\n" if name == "a.nrrd" else b"LOCAL\n"
        start = 16 + (data.read_bytes().index(head) if data == path else 0)
    whole = load_series(path)
    content = data.read_bytes()
    rng = np.random.RandomState(0)
    for place in [*rng.randint(start, len(content), 20), -1, -5]:
        mutant = bytearray(content)
        mutant[place] ^= 4
        data.write_bytes(mutant)
        with suppress(sd.CorruptFileError):
            assert_twins(load_series(path), whole)
    data.write_bytes(content[:-3])
    assert "is damaged" in refused(path, sd.CorruptFileError)


def damaged_header(path, name, value, place=...):
    """Change a field of a NIfTI header on disk."""
    content = bytearray(path.read_bytes())
    kind, start = nibabel.Nifti1Header.template_dtype.fields[name][:2]
    np.frombuffer(content, kind.base, kind.itemsize // kind.base.itemsize, start)[
        place
    ] = value
    path.write_bytes(content)


def test_header_of_nifti_that_contradicts_itself_is_told(folder):
    path = write_nifti(folder / "a.nii", stored(), AXIAL)
    whole = path.read_bytes()
    damaged_header(path, "pixdim", 0.7, 1)
    with pytest.warns(sd.DicomWarning, match=r"a\.nii: pixdim says 0\.7 x 0\.8 x 3"):
        assert_twins(load_series(path), Volume(stored().astype(np.float32), AXIAL))
    path.write_bytes(whole + b"12")
    with pytest.warns(sd.DicomWarning, match="bytes follow its values"):
        load_series(path)
    path.write_bytes(whole)
    damaged_header(path, "bitpix", 8)
    assert "is damaged" in refused(path, sd.CorruptFileError)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Offset = 1 2 3", "Offset = 1 2"),
        ("Offset = 1 2 3", "Offset = 1 2 p3"),
        ("ElementSpacing = 1 1 2", "ElementSpacing = 1 1 2 2"),
        ("Matrix = 1 0", "Matrix = 7 0"),
        ("ElementType", "CompressedData = Tr\nElementType"),
        ("ElementType", "AnatomicalOrien\nElementType"),
    ],
)
def test_metaimage_with_a_damaged_position_is_refused(old, new, folder):
    """ITK takes what it can of these."""
    path = folder / "a.mha"
    path.write_bytes(MHA.replace(old, new).encode() + stored().tobytes())
    assert "is damaged" in refused(path, sd.CorruptFileError)


@pytest.mark.parametrize("size", ["CompressedDataSize = 7", "CompressedDataSi = "])
def test_metaimage_with_a_damaged_size_is_refused(size, folder):
    path = write_itk(folder / "a.mha", stored(), AXIAL, useCompression=True)
    content = path.read_bytes().replace(b"CompressedDataSize = ", size.encode())
    path.write_bytes(content)
    assert "CompressedDataSize is not that" in refused(path, sd.CorruptFileError)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
def test_values_that_are_too_many_are_told(name, compressed, folder):
    path = write_itk(folder / name, stored(), AXIAL, useCompression=compressed)
    size = b"9 12 5"
    content = path.read_bytes()
    assert content.count(size) == 1
    path.write_bytes(content.replace(size, b"9 12 4"))
    with pytest.warns(sd.DicomWarning, match=rf"{name}: bytes follow its values"):
        assert load_series(path).shape == (4, 12, 9)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_header_that_is_no_text_is_read(name, folder):
    text = {"a.nrrd": b"name:=\xff\n\n", "a.mha": b"Name = \xff\n"}[name]
    head = NRRD[:-1].encode() + text if name == "a.nrrd" else text + MHA.encode()
    (folder / name).write_bytes(head + stored().tobytes())
    np.testing.assert_array_equal(load_series(folder / name).array, stored())


def test_forms_of_nifti_that_differ_are_told(folder):
    def both(image):
        image.set_sform(image.affine, 1)
        image.set_qform(np.diag([-0.5, -0.8, 3, 1]), 1)

    path = write_nifti(folder / "a.nii", stored(), AXIAL, both)
    with pytest.warns(sd.DicomWarning, match="qform and sform place it differently"):
        assert_twins(load_series(path), Volume(stored().astype(np.float32), AXIAL))


# Volumes from arrays


def test_volume_from_an_array():
    volume = Volume.from_array(stored(), (3, 0.8, 0.5), origin=(-10, 20, -30))
    assert_twins(volume, Volume(stored().astype(np.float32), AXIAL))
    assert volume.units == "arbitrary"
    assert volume.frame_of_reference is None
    steps = np.linalg.norm(OBLIQUE[:3, :3], axis=0)
    turned = Volume.from_array(
        stored().tolist(),
        steps,
        origin=OBLIQUE[:3, 3],
        direction=OBLIQUE[:3, :3] / steps,
        units="HU",
    )
    assert_twins(turned, Volume(stored().astype(np.float32), OBLIQUE))
    assert turned.spacing == pytest.approx(tuple(steps))
    assert turned.units == "HU"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"array": np.zeros((3, 4))}, "`array` must hold real numbers of shape"),
        ({"array": np.zeros((0, 3, 4))}, "`array` must hold real numbers of shape"),
        ({"array": np.zeros((2, 3, 4), complex)}, "got complex128 of shape"),
        ({"array": np.full((2, 3, 4), np.nan)}, "`array` must be finite"),
        ({"array": np.full((2, 3, 4), 1e300)}, "`array` must be finite"),
        ({"spacing": 1}, "`spacing` must be 3 finite numbers"),
        ({"spacing": (1, 1, 0)}, "`spacing` must be 3 numbers above 0"),
        ({"spacing": (1, 1, np.inf)}, "`spacing` must be 3 finite numbers"),
        ({"origin": (1, 2)}, "`origin` must be 3 finite numbers"),
        ({"direction": np.ones((3, 3))}, "`direction` must have 3 columns of length 1"),
        ({"direction": np.eye(4)}, "`direction` must be 3 x 3 finite numbers"),
        ({"direction": np.eye(3)[:, [0, 0, 1]]}, "don't lie in one plane"),
    ],
)
def test_arrays_that_make_no_volume_are_refused(change, said):
    options = {"array": np.zeros((2, 3, 4)), "spacing": (1, 1, 1)} | change
    with pytest.raises(ValueError, match=said):
        Volume.from_array(**options)


def test_numpy_takes_a_volume_for_its_array():
    volume = Volume.from_array(stored(), (1, 1, 1))
    assert np.asarray(volume) is volume.array
    assert np.asarray(volume, np.float64).dtype == np.float64
    copied = np.array(volume)
    assert not np.shares_memory(copied, volume.array)
    np.testing.assert_array_equal(copied, volume.array)
    assert np.mean(volume) == volume.array.mean()
    assert volume.__array__(copy=False) is volume.array
    with pytest.raises(ValueError, match="`copy`=False"):
        volume.__array__(np.int16, copy=False)


# Cohorts


@pytest.fixture
def cohort(folder):
    """A table, made by hand, of six patients with a CT and a mask."""
    grid, rows = np.indices((8, 16, 16)), []
    for number in range(6):
        place = folder / f"P{number}"
        place.mkdir()
        centre = np.reshape([4, 8, 8], (3, 1, 1, 1))
        region = np.square(grid - centre).sum(axis=0) < 9 + 3 * (number % 3)
        noise = np.random.RandomState(number).randint(-20, 20, region.shape)
        ct = write_nifti(
            place / "ct.nii.gz", (100 * region + noise).astype("i2"), AXIAL
        )
        gtv = write_nifti(place / "gtv.nii.gz", region.astype("u1"), AXIAL)
        rows.append((f"P{number}", "CT", (str(ct),), (0,), str(gtv)))
    return pd.DataFrame(
        rows, columns=["patient_id", "modality", "files", "frames", "mask"]
    )


def test_a_table_made_by_hand_is_loaded(cohort, folder):
    loader = VolumeLoader(
        window="soft_tissue", shape=(8, 12, 12), crop="mask", cache=folder / "cache"
    )
    images = loader.transform(cohort)
    assert images.shape == (6, 1, 8, 12, 12)
    np.testing.assert_array_equal(loader.transform(cohort), images)
    report = loader.report(cohort)
    assert [about[0]["units"] for about in report["channels"]] == ["HU"] * 6
    with pytest.raises(sd.DicomError, match="in units 'arbitrary'"):
        loader.transform(cohort.assign(modality="MR"))
    paths = [{"image": row.files[0], "mask": row.mask} for row in cohort.itertuples()]
    plain = VolumeLoader(window=(40, 400), shape=(8, 12, 12), crop="mask")
    np.testing.assert_array_equal(plain.transform(paths), images)


def test_channels_without_a_frame_of_reference(folder):
    first = write_nifti(folder / "a.nii", stored(), AXIAL)
    same = write_itk(folder / "b.nrrd", stored(1), AXIAL)
    other = write_itk(folder / "c.mha", stored(2), AXIAL * [1, 2, 1, 1])
    loader = VolumeLoader(channels=("ct", "pet"))
    assert loader.transform([{"ct": first, "pet": same}]).shape == (1, 2, 5, 12, 9)
    with pytest.warns(sd.DicomWarning, match="no frame of reference"):
        loader.transform([{"ct": first, "pet": other}])
    beyond = AXIAL.copy()
    beyond[2, 3] += 1000
    write_itk(other, stored(), beyond)
    with (
        pytest.warns(sd.DicomWarning, match="no frame of reference"),
        pytest.raises(sd.GeometryError, match="lies elsewhere"),
    ):
        loader.transform([{"ct": first, "pet": other}])


def test_regions_of_image_files_are_picked(cohort):
    assert sd.regions(cohort.assign(label_images=[()] * 6)).empty
    masks = [(path,) for path in cohort["mask"]]
    volumes = cohort.drop(columns="mask").assign(label_images=masks)
    found = sd.regions(volumes)
    assert found["region"].tolist() == ["gtv"] * 6
    assert found[["is_drawn_here", "is_on_grid"]].all(axis=None)
    assert found["problem"].isna().all()
    volumes.at[2, "label_images"] = ()
    with pytest.warns(sd.DicomWarning, match="1 of 6 volumes"):
        picked = sd.select_regions(volumes, "GTV*")
    assert picked["mask"].tolist() == [*cohort["mask"].drop(2)]
    like = load_series(picked.iloc[0])
    np.testing.assert_array_equal(load_mask(picked.iloc[0], like), like.array > 50)
    write_nifti(Path(cohort["files"][0][0]), stored(), AXIAL)
    problem = sd.regions(volumes)["problem"][0]
    assert "outside the volume" in problem
    Path(cohort["files"][0][0]).write_bytes(b"")
    assert sd.regions(volumes)["problem"][0].startswith("CorruptFileError: ct.nii.gz")


def test_the_whole_way_from_image_files(cohort, tmp_path):
    loader = VolumeLoader(cache=tmp_path / "cache")
    pipeline = make_pipeline(
        RegionFeatures(["first_order", "shape"], loader=loader),
        StandardScaler(),
        LogisticRegression(),
    )
    volumes = sd.label_volumes(
        cohort, {f"P{number}": number % 2 for number in range(6)}
    )
    y, groups = volumes["label"], groups_from(volumes)
    scores = cross_val_score(pipeline, volumes, y, groups=groups, cv=GroupKFold(2))
    assert np.isfinite(scores).all()
    pipeline.fit(volumes, y)
    row = {"image": volumes["files"][0][0], "mask": volumes["mask"][0]}
    np.testing.assert_array_equal(
        pipeline.predict_proba([row]), pipeline.predict_proba(volumes[:1])
    )
    table = features_table(pipeline, volumes)
    assert table["series"].nunique() == 6
    series = load_series(volumes.iloc[0]).provenance["series"]
    assert table["series"].iloc[0] == series
    text = methods_text(pipeline, volumes, y)
    assert "6 CT" in text
    assert PATIENT not in text + table.to_csv()


def test_a_case_that_can_not_be_read_costs_itself_only(cohort):
    path = Path(cohort["files"][3][0])
    path.write_bytes(path.read_bytes()[:-9])
    loader = VolumeLoader(shape=(8, 12, 12), crop="mask", on_error="nan")
    with pytest.warns(sd.DicomWarning, match=r"case 3, CorruptFileError: ct\.nii\.gz"):
        images = loader.transform(cohort)
    assert np.isnan(images).any(axis=(1, 2, 3, 4)).tolist() == [
        i == 3 for i in range(6)
    ]


@pytest.mark.parametrize(
    ("name", "package"), [("a.nii", "nibabel"), ("a.mha", "SimpleITK")]
)
def test_missing_package_is_named(name, package, folder, monkeypatch):
    path = write_twin(folder / name, stored(), AXIAL)
    monkeypatch.setitem(sys.modules, package, None)
    assert refused(path, ImportError) == (
        f"Reading {name} takes {package}: pip install 'skvae[radiomics]'."
    )


@pytest.mark.usefixtures("cohort")
def test_scan_lists_images_that_are_named(folder):
    with pytest.warns(sd.DicomWarning, match="12 files, none of them an image"):
        assert sd.scan(folder).empty
    (folder / "P5" / "ct.nii.gz").write_bytes(b"")
    write_dicom_series(folder / "P0" / "mr", stored(), AXIAL, PatientID="P0")
    write_nifti(folder / "ct.nii.gz", stored(), AXIAL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volumes = sd.scan(folder, images={"CT": "*ct.nii.gz", "PT": "*/pet.nii"})
    assert volumes["modality"].tolist() == ["MR", *["CT"] * 7]
    assert volumes["label_images"][0] == (str(folder / "P0" / "gtv.nii.gz"),)
    volumes = volumes[volumes["modality"] == "CT"].set_index("patient_id", drop=False)
    assert volumes.index.fillna("").tolist() == ["", *(f"P{i}" for i in range(6))]
    assert volumes["problem"].dropna().index.tolist() == ["P5"]
    assert volumes.loc["P2", "label_images"] == (str(folder / "P2" / "gtv.nii.gz"),)
    like = load_series(volumes.loc["P2"])
    assert like.units == "HU"
    assert volumes.loc["P2", "shape"] == like.shape
    assert volumes.loc["P2", "spacing"] == pytest.approx(like.spacing)
    assert volumes.loc["P2", "orientation"] == pytest.approx((1, 0, 0, 0, 1, 0))
    with pytest.warns(sd.DicomWarning, match="no mask. 1 of 7 .* make no volume"):
        picked = sd.select_regions(volumes.reset_index(drop=True), "gtv")
    assert VolumeLoader(shape=(8, 12, 12), crop="mask").transform(picked).shape[0] == 5
    with pytest.warns(sd.DicomWarning, match="1 of 2 files are not DICOM"):
        alone = sd.scan(folder / "P1", images="ct*")
    assert alone["modality"].isna().all()
    assert alone["patient_id"].isna().all()


def test_folder_of_image_files_is_refused_with_the_way_out(folder):
    image = write_nifti(folder / "ct.nii.gz", stored(), AXIAL)
    mask = write_nifti(folder / "gtv.nii.gz", (stored() > 50).astype(np.uint8), AXIAL)
    with pytest.raises(sd.NoImagesError, match=r"2 files of NIfTI.*name the one"):
        VolumeLoader().transform([folder])
    case = {"image": image, "mask": mask}
    assert len(VolumeLoader(crop="mask").transform([case])) == 1

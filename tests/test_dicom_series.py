"""Series of every kind that is read, and of every kind that is refused."""

import shutil
import warnings
import zipfile

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
)

import skvae.dicom as sd
from skvae.datasets import write_dicom_series
from skvae.dicom import _headers, _pixels, load_series

NAME, CODE = "ZZPLANTED^PATIENT", "ZZPLANTED"
AXIAL = np.array(
    [[0, 0, 0.5, -20], [0, 0.75, 0, -30], [2.5, 0, 0, 100], [0, 0, 0, 1]], dtype=float
)


def oblique():
    """Turn the axial grid about two axes."""
    a, b = 0.4, -0.7
    about_x = [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    about_z = [[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]]
    affine = AXIAL.copy()
    affine[:3] = np.array(about_z) @ about_x @ AXIAL[:3]
    return affine


def sagittal():
    affine = np.eye(4)
    affine[:3, :3] = [[-2.5, 0, 0], [0, 0, 0.5], [0, -0.75, 0]]
    return affine


@pytest.fixture
def stored():
    rng = np.random.default_rng(0)
    return rng.integers(-900, 900, (5, 6, 8)).astype(np.int16)


@pytest.fixture
def write(tmp_path, stored):
    """Write a series with a planted name into a folder."""

    def write(edit=None, array=stored, affine=AXIAL, modality="MR", **attributes):
        named = {"PatientName": NAME, "PatientID": NAME} | attributes
        write_dicom_series(
            tmp_path, array, affine, modality=modality, edit=edit, **named
        )
        return tmp_path

    return write


def set_each(**values):
    """Set attributes of each slice, from one value or one for each."""

    def edit(dataset, number):
        for keyword, value in values.items():
            is_each = isinstance(value, list) and len(value) == 5
            setattr(dataset, keyword, value[number] if is_each else value)

    return edit


def only(*numbers):
    return lambda dataset, number: number in numbers


@pytest.mark.parametrize(
    "affine", [AXIAL, oblique(), sagittal()], ids=["axial", "oblique", "sagittal"]
)
def test_values_and_places_are_those_written(write, stored, affine):
    volume = load_series(write(affine=affine))
    np.testing.assert_array_equal(volume.array, stored)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)
    np.testing.assert_allclose(volume.spacing, (2.5, 0.75, 0.5))
    assert volume.array.dtype == np.float32


def test_slices_are_ordered_by_position_whatever_their_names(write, stored, tmp_path):
    folder = write(set_each(InstanceNumber=[1, 5, 2, 4, 3], SliceLocation=0))
    for number, name in enumerate("cbdae"):
        (folder / f"{number:03d}.dcm").rename(folder / name)
    np.testing.assert_array_equal(load_series(folder).array, stored)


def test_slices_grow_along_the_normal(write, stored):
    downwards = AXIAL.copy()
    downwards[:3, 0] *= -1
    volume = load_series(write(affine=downwards))
    np.testing.assert_array_equal(volume.array, stored[::-1])
    assert volume.affine[2, 0] == 2.5
    assert volume.affine[2, 3] == 90


@pytest.mark.parametrize("spacing", [None, -2.5, 77.0])
def test_distance_comes_from_positions(write, spacing):
    edit = None if spacing is None else set_each(SpacingBetweenSlices=spacing)
    assert load_series(write(edit)).spacing[0] == 2.5


def test_each_slice_has_its_own_slope_and_intercept(write, stored):
    slopes, intercepts = [1, 2, 0.5, 1e-3, 3], [0, -1024, 10, 5, 1]
    folder = write(set_each(RescaleSlope=slopes, RescaleIntercept=intercepts))
    expected = stored * np.reshape(slopes, (5, 1, 1)) + np.reshape(
        intercepts, (5, 1, 1)
    )
    np.testing.assert_allclose(load_series(folder).array, expected, rtol=1e-6)


def test_intercept_without_slope_is_added(write, stored):
    volume = load_series(write(set_each(RescaleIntercept=-1024), modality="CT"))
    np.testing.assert_array_equal(volume.array, stored - 1024.0)
    assert volume.units == "HU"


def test_ct_with_an_intercept_in_some_slices_is_refused(write):
    def edit(dataset, number):
        if number != 2:
            dataset.RescaleIntercept = -1024

    with pytest.raises(sd.InconsistentSeriesError, match=r"002\.dcm and 000\.dcm"):
        load_series(write(edit, modality="CT"))


def test_ct_of_another_quantity_is_not_in_hounsfield_units(write):
    edit = set_each(RescaleIntercept=0, RescaleType="Z_EFF")
    with pytest.warns(sd.DicomWarning, match="no RescaleIntercept"):
        assert load_series(write(edit, modality="CT")).units == "arbitrary"


def test_ct_without_intercept_warns(write):
    with pytest.warns(sd.DicomWarning, match="no RescaleIntercept"):
        volume = load_series(write(modality="CT"))
    assert volume.units == "arbitrary"


def test_modality_lut_is_applied(write):
    def edit(dataset, number):
        lut = Dataset()
        lut.LUTDescriptor = [4, 0, 16]
        lut.ModalityLUTType = "US"
        lut.LUTData = np.array([0, 10, 100, 1000], "<u2").tobytes()
        dataset.ModalityLUTSequence = [lut]

    array = np.arange(4, dtype=np.uint16).reshape(1, 2, 2).repeat(2, 0)
    volume = load_series(write(edit, array))
    assert volume.array[0].ravel().tolist() == [0, 10, 100, 1000]


@pytest.mark.parametrize(("kind", "padding"), [("SS", -2000), ("US", 63536)])
def test_padding_takes_the_lowest_of_the_other_values(write, stored, kind, padding):
    def edit(dataset, number):
        dataset.RescaleIntercept = -1024
        dataset.add_new("PixelPaddingValue", kind, padding)

    stored[:, 0] = -2000
    volume = load_series(write(edit, modality="CT"))
    assert (volume.array[:, 0] == stored[:, 1:].min() - 1024).all()
    np.testing.assert_array_equal(volume.array[:, 1:], stored[:, 1:] - 1024.0)


def test_padding_beyond_the_stored_bits(write):
    array = np.arange(48, dtype=np.uint16).reshape(2, 4, 6) + 100
    array[:, 0] = 63536

    def edit(dataset, number):
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.add_new("PixelPaddingValue", "US", 63536)

    volume = load_series(write(edit, array))
    assert volume.array.max() == array[:, 1:].max()
    assert (volume.array[:, 0] == array[:, 1:].min()).all()


def test_padding_that_no_pixel_can_have(write):
    array = np.full((2, 3, 4), 255, np.uint8)
    array[:, 0] = 7
    edit = set_each(PixelPaddingValue=65535)
    np.testing.assert_array_equal(load_series(write(edit, array)).array, array)


def test_range_of_padding(write, stored):
    stored[:, 0], stored[:, 1] = -2000, -1995
    edit = set_each(PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1990)
    volume = load_series(write(edit))
    assert volume.array.min() == stored[:, 2:].min()


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [(np.uint8, 8), (np.int8, 8), (np.uint16, 12), (np.int16, 12), (np.uint16, 16)],
)
def test_bits_beyond_those_stored_don_t_count(write, dtype, bits):
    signed = np.dtype(dtype).kind == "i"
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    array = np.random.default_rng(0).integers(low, high, (3, 4, 6)).astype(dtype)
    edit = set_each(BitsStored=bits, HighBit=bits - 1)
    overlay = array
    if bits == 12:
        overlay = array & dtype(2**12 - 1) | dtype(2**13)
    np.testing.assert_array_equal(load_series(write(edit, overlay)).array, array)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_monochrome1_is_inverted_where_values_have_no_units(write, dtype):
    array = np.array([[[0, 5, 4095]]] * 2, dtype) - dtype(
        0 if dtype is np.uint16 else 7
    )
    edit = set_each(PhotometricInterpretation="MONOCHROME1")
    values = load_series(write(edit, array)).array[0, 0]
    np.testing.assert_array_equal(np.diff(values), [-5, -4090])
    assert values.min() >= np.iinfo(dtype).min


def test_monochrome1_leaves_hounsfield_units_as_they_are(write, stored):
    edit = set_each(PhotometricInterpretation="MONOCHROME1", RescaleIntercept=-1024)
    volume = load_series(write(edit, modality="CT"))
    np.testing.assert_array_equal(volume.array, stored - 1024.0)


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda syntax: syntax.name,
)
def test_uncompressed_syntaxes(write, stored, syntax):
    folder = write()
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = syntax
        if not syntax.is_little_endian:
            swapped = np.frombuffer(dataset.PixelData, np.int16).byteswap()
            dataset.PixelData = swapped.tobytes()
        pydicom.dcmwrite(
            path,
            dataset,
            implicit_vr=syntax.is_implicit_VR,
            little_endian=syntax.is_little_endian,
            force_encoding=True,
        )
    np.testing.assert_array_equal(load_series(folder).array, stored)


@pytest.mark.parametrize(
    ("syntax", "package"),
    [
        (RLELossless, "pydicom"),
        (JPEG2000Lossless, "openjpeg"),
        (JPEGLSLossless, "jpeg_ls"),
    ],
)
def test_compressed_syntaxes(write, stored, syntax, package):
    pytest.importorskip(package)
    stored = stored.repeat(10, 1).repeat(10, 2)
    folder = write(array=stored)
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(path)
    np.testing.assert_array_equal(load_series(folder).array, stored)


def test_file_without_preamble(write, stored):
    folder = write()
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.file_meta
        with open(path, "wb") as file:
            pydicom.dcmwrite(
                file, dataset, implicit_vr=True, little_endian=True, force_encoding=True
            )
    np.testing.assert_array_equal(load_series(folder).array, stored)


def test_implicit_file_that_says_it_is_explicit(write, stored):
    """A fault of some archives, which pydicom reads too."""
    folder = write()
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        meta = path.read_bytes()
        meta = meta[: meta.index(b"\x08\0\x16\0UI")]
        with open(path, "wb") as file:
            file.write(meta)
            dataset.preamble = None
            del dataset.file_meta
            pydicom.dcmwrite(
                file, dataset, implicit_vr=True, little_endian=True, force_encoding=True
            )
    np.testing.assert_array_equal(load_series(folder).array, stored)


@pytest.mark.parametrize("syntax", [None, ExplicitVRBigEndian])
def test_empty_and_odd_values_that_nothing_depends_on(write, stored, syntax):
    """An empty part of a text, a fraction where a whole number belongs."""
    folder = write(set_each(ImageType=["ORIGINAL", "", "M"], AcquisitionNumber=7))
    for path in folder.iterdir():
        if syntax:
            dataset = pydicom.dcmread(path)
            swapped = np.frombuffer(dataset.PixelData, np.int16).byteswap()
            dataset.PixelData = swapped.tobytes()
            dataset.file_meta.TransferSyntaxUID = syntax
            pydicom.dcmwrite(path, dataset, little_endian=False, implicit_vr=False)
        length = b"\0\x02" if syntax else b"\x02\0"
        spoil(path, b"IS" + length + b"7 ", b"IS" + length + b".5")
    np.testing.assert_array_equal(load_series(folder).array, stored)


def enhanced(folder, array, affine, *, order, **attributes):
    """Write a volume as one enhanced multi-frame file, frames in some order."""
    (first, *_) = write_dicom_series(folder, array[:1], affine, modality="CT")
    dataset = pydicom.dcmread(first)
    first.unlink()
    positions = [affine[:3] @ [number, 0, 0, 1] for number in order]
    cosines, spacing = dataset.ImageOrientationPatient, dataset.PixelSpacing
    for keyword in ("ImageOrientationPatient", "PixelSpacing", "ImagePositionPatient"):
        delattr(dataset, keyword)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    dataset.NumberOfFrames = len(order)
    dataset.PixelData = array[list(order)].tobytes()
    shared, per_frame = Dataset(), []
    shared.PlaneOrientationSequence = [of(ImageOrientationPatient=cosines)]
    shared.PixelMeasuresSequence = [of(PixelSpacing=spacing)]
    for place, position in enumerate(positions):
        groups = Dataset()
        groups.PlanePositionSequence = [
            of(ImagePositionPatient=[f"{value:.8g}" for value in position])
        ]
        groups.PixelValueTransformationSequence = [
            of(RescaleSlope=place + 1, RescaleIntercept=-place)
        ]
        per_frame.append(groups)
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = per_frame
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(folder / "enhanced.dcm")


def of(**values):
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def test_enhanced_multiframe(tmp_path, stored):
    order = [3, 0, 4, 1, 2]
    enhanced(tmp_path, stored, oblique(), order=order)
    volume = load_series(tmp_path)
    expected = np.empty(stored.shape)
    for place, number in enumerate(order):
        expected[number] = stored[number] * (place + 1.0) - place
    np.testing.assert_array_equal(volume.array, expected)
    np.testing.assert_allclose(volume.affine, oblique(), atol=1e-6)
    assert volume.units == "HU"


def test_frames_without_positions_of_their_own_are_refused(tmp_path, stored):
    """As in RT dose and nuclear medicine: the position is that of the first frame."""
    (path,) = write_dicom_series(tmp_path, stored[:1], AXIAL)
    dataset = pydicom.dcmread(path)
    dataset.NumberOfFrames, dataset.PixelData = 5, stored.tobytes()
    dataset.save_as(path)
    with pytest.raises(sd.GeometryError, match="ImagePositionPatient must be"):
        load_series(path)


def test_private_groups_of_a_frame_are_left_alone(tmp_path, stored):
    """Philips repeats a classic header there, with other values."""
    enhanced(tmp_path, stored, AXIAL, order=range(5))
    path = tmp_path / "enhanced.dcm"
    plain = load_series(path)
    dataset = pydicom.dcmread(path)
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        block = groups.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
        other = of(RescaleSlope=7, ImagePositionPatient=[0, 0, 9])
        block.add_new(0x0F, "SQ", [other])
    dataset.save_as(path)
    again = load_series(path)
    np.testing.assert_array_equal(again.array, plain.array)
    np.testing.assert_array_equal(again.affine, plain.affine)


def test_frames_that_are_not_all_described_are_refused(tmp_path, stored):
    enhanced(tmp_path, stored, AXIAL, order=range(5))
    path = tmp_path / "enhanced.dcm"
    dataset = pydicom.dcmread(path)
    dataset.PerFrameFunctionalGroupsSequence.pop()
    dataset.save_as(path)
    with pytest.raises(sd.CorruptFileError, match="NumberOfFrames is 5, but"):
        load_series(path)


def test_gantry_tilt_gives_the_sheared_affine_and_warns(write, stored):
    tilted = AXIAL.copy()
    tilted[1, 0] = 0.8
    with pytest.warns(sd.DicomWarning, match=r"sheared by 17\.7 degrees"):
        volume = load_series(write(affine=tilted))
    np.testing.assert_allclose(volume.affine, tilted, atol=1e-6)
    np.testing.assert_allclose(volume.spacing, (2.5, 0.75, 0.5))


def test_scout_is_left_out_with_a_warning(write, stored):
    def edit(dataset, number):
        if number == 0:
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
            dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]

    with pytest.warns(sd.DicomWarning, match="LOCALIZER"):
        volume = load_series(write(edit))
    np.testing.assert_array_equal(volume.array, stored[1:])


def test_copy_of_a_file_is_left_out_with_a_warning(write, stored):
    folder = write()
    shutil.copy(folder / "002.dcm", folder / "copy.dcm")
    with pytest.warns(sd.DicomWarning, match="1 of 6 images"):
        np.testing.assert_array_equal(load_series(folder).array, stored)


def test_a_single_slice_takes_its_thickness(write):
    assert load_series(write(only(2))).spacing[0] == 2.5


def test_missing_slice_can_be_interpolated(write, stored):
    with pytest.warns(sd.DicomWarning, match="1 of 5 slices were interpolated"):
        volume = load_series(write(only(0, 1, 3, 4)), irregular="interpolate")
    np.testing.assert_array_equal(volume.array[[0, 1, 3, 4]], stored[[0, 1, 3, 4]])
    np.testing.assert_allclose(volume.array[2], (stored[1] + stored[3]) / 2.0)
    np.testing.assert_allclose(volume.affine, AXIAL)
    assert volume.provenance["interpolated_slices"] == 1


def test_uneven_slices_can_be_interpolated(write, stored):
    heights = [100, 102.5, 104, 107.5, 110]
    positions = [[-20, -30, height] for height in heights]
    folder = write(set_each(ImagePositionPatient=positions))
    with pytest.warns(sd.DicomWarning, match=r"1 of 5 slices .* from 000\.dcm"):
        volume = load_series(folder, irregular="interpolate")
    assert volume.shape == (5, 6, 8)
    at = volume.affine[2, 3] + volume.affine[2, 0] * np.arange(5)
    expected = [np.interp(at, heights, column) for column in stored.reshape(5, -1).T]
    np.testing.assert_allclose(volume.array.reshape(5, -1).T, expected, rtol=1e-5)


def pet(dataset, number, **changes):
    drug = of(
        RadionuclideTotalDose="4e8",
        RadionuclideHalfLife="6586.2",
        RadiopharmaceuticalStartTime="100000",
    )
    values = {
        "Units": "BQML",
        "CorrectedImage": ["DECY", "ATTN"],
        "DecayCorrection": "START",
        "SeriesDate": "20200101",
        "AcquisitionDate": "20200101",
        "SeriesTime": "110000.00",
        "AcquisitionTime": f"1100{number:02d}",
        "PatientWeight": "70",
        "RescaleSlope": 2,
        "RescaleIntercept": 0,
        "RadiopharmaceuticalInformationSequence": [drug],
        **changes,
    }
    for keyword, value in values.items():
        setattr(dataset, keyword, value)


def test_suv_by_body_weight(write, stored):
    volume = load_series(write(pet, modality="PT"), suv=True)
    dose = 4e8 * 0.5 ** (3600 / 6586.2)
    np.testing.assert_allclose(volume.array, stored * 2.0 * 70_000 / dose, rtol=1e-6)
    assert volume.units == "SUVbw"


def test_suv_with_the_date_of_the_injection(write, stored):
    drug = of(
        RadionuclideTotalDose="4e8",
        RadionuclideHalfLife="282240",
        RadiopharmaceuticalStartDateTime="20191230110000",
    )
    edit = lambda d, number: pet(  # noqa: E731
        d, number, RadiopharmaceuticalInformationSequence=[drug]
    )
    volume = load_series(write(edit, modality="PT"), suv=True)
    dose = 4e8 * 0.5 ** (2 * 86400 / 282240)
    np.testing.assert_allclose(volume.array, stored * 2.0 * 70_000 / dose, rtol=1e-6)


def test_suv_of_a_scan_across_midnight(write, stored):
    times = ["235900", "235930", "000000", "000030", "000100"]

    def edit(dataset, number):
        date = "20200101" if number < 2 else "20200102"
        later = {"AcquisitionTime": times[number], "AcquisitionDate": date}
        pet(dataset, number, SeriesTime="235900", **later)

    volume = load_series(write(edit, modality="PT"), suv=True)
    dose = 4e8 * 0.5 ** ((13 * 3600 + 59 * 60) / 6586.2)
    np.testing.assert_allclose(volume.array, stored * 2.0 * 70_000 / dose, rtol=1e-6)


def test_suv_leaves_other_images_as_they_are(write, stored):
    volume = load_series(write(), suv=True)
    np.testing.assert_array_equal(volume.array, stored)
    assert volume.units == "arbitrary"


def test_pet_keeps_its_units_unless_asked(write, stored):
    volume = load_series(write(pet, modality="PT"))
    np.testing.assert_array_equal(volume.array, stored * 2.0)
    assert volume.units == "BQML"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"Units": "CNTS"}, "Units must be"),
        ({"CorrectedImage": ["DECY"]}, "CorrectedImage must list ATTN and DECY"),
        ({"PatientWeight": None}, "PatientWeight, which is missing"),
        ({"DecayCorrection": "NONE"}, "DecayCorrection must be .*, got NONE"),
        ({"DecayCorrection": CODE}, "DecayCorrection must be .*, got an unknown value"),
        ({"CorrectedImage": [CODE]}, r"got \['an unknown value'\]"),
        ({"Units": CODE}, "Units must be BQML or GML for SUVbw, got an unknown value"),
        ({"PatientWeight": "70000"}, "PatientWeight must be 0.1 to 500 kg"),
        ({"SeriesTime": "095900"}, "hours before the scan"),
        ({"RadiopharmaceuticalInformationSequence": []}, "RadionuclideTotalDose"),
    ],
)
def test_suv_is_refused_where_it_can_t_be_told(write, changes, match):
    folder = write(lambda d, number: pet(d, number, **changes), modality="PT")
    with pytest.raises(sd.SUVError, match=match) as error:
        load_series(folder, suv=True)
    assert "ZZPLANTED" not in str(error.value)


def turn_one(dataset, number):
    if number == 3:
        dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]


def widen_one(dataset, number):
    if number == 3:
        dataset.Columns, dataset.Rows = dataset.Rows, dataset.Columns


def other_patient(dataset, number):
    if number == 3:
        dataset.PatientID = "ZZPLANTED2"


def other_series(dataset, number):
    if number == 3:
        dataset.SeriesInstanceUID = "1.2.3"


def shift_one(dataset, number):
    if number == 3:
        dataset.ImagePositionPatient = [-25, -30, 107.5]


REFUSED = {
    "several series": (other_series, sd.AmbiguousSeriesError, r"1\.2\.3"),
    "two patients": (other_patient, sd.ConflictingPatientsError, "of 2 patients"),
    "orientation": (turn_one, sd.MixedOrientationError, "in 003.dcm"),
    "matrix": (widen_one, sd.MixedMatrixError, "Rows and Columns differ"),
    "spacing": (
        set_each(PixelSpacing=[[1, 1], [1, 1], [1, 1], [1, 1.2], [1, 1]]),
        sd.MixedSpacingError,
        "PixelSpacing differ",
    ),
    "missing": (only(0, 1, 4), sd.MissingSlicesError, "2 slices are missing.*105, 107"),
    "uneven": (
        set_each(ImagePositionPatient=[[0, 0, z] for z in (0, 2.5, 4, 7.5, 10)]),
        sd.NonUniformSpacingError,
        r"from 1\.5 to 3\.5 mm, it is 1\.5 mm before 002\.dcm",
    ),
    "beside": (shift_one, sd.NonUniformSpacingError, "003.dcm is .* beside"),
    "one place": (
        set_each(ImagePositionPatient=[[0, 0, z] for z in (0, 1, 1, 2, 3)]),
        sd.DuplicatePositionError,
        "in 001.dcm and 002.dcm",
    ),
    "no position": (
        set_each(ImagePositionPatient=None),
        sd.GeometryError,
        "ImagePositionPatient must be 3 numbers, got None",
    ),
    "no orientation": (
        set_each(ImageOrientationPatient=None),
        sd.GeometryError,
        "ImageOrientationPatient must be 6 numbers",
    ),
    "senseless orientation": (
        set_each(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]),
        sd.GeometryError,
        "two unit vectors",
    ),
    "no spacing": (set_each(PixelSpacing=None), sd.GeometryError, "PixelSpacing"),
    "spacing 0": (set_each(PixelSpacing=[0, 1]), sd.GeometryError, "positive"),
    "colour": (
        set_each(PhotometricInterpretation="RGB", SamplesPerPixel=3),
        sd.ColorImageError,
        "got RGB",
    ),
    "palette": (
        set_each(PhotometricInterpretation="PALETTE COLOR"),
        sd.ColorImageError,
        "PALETTE COLOR",
    ),
    "declared size": (
        set_each(Rows=60_000, Columns=60_000),
        sd.DeclaredSizeError,
        "declare 7200000000 bytes",
    ),
    "modality": (
        set_each(Modality=["MR", "MR", "CT", "MR", "MR"]),
        sd.InconsistentSeriesError,
        "Modality differ",
    ),
    "frame of reference": (
        set_each(FrameOfReferenceUID=["1.2", "1.2", "1.2", "1.2", "1.3"]),
        sd.InconsistentSeriesError,
        "FrameOfReferenceUID differ",
    ),
    "echo times": (
        set_each(EchoTime=[10, 10, 80, 80, 80]),
        sd.InconsistentSeriesError,
        "EchoTime differ",
    ),
    "almost one place": (
        set_each(ImagePositionPatient=[[0, 0, z] for z in (0, 2.5, 2.505, 5, 7.5)]),
        sd.DuplicatePositionError,
        "in 001.dcm and 002.dcm",
    ),
    "high bit": (
        set_each(BitsStored=12, HighBit=15),
        sd.CorruptFileError,
        "BitsStored must be at most BitsAllocated, and 1 more than HighBit",
    ),
    "neither signed nor unsigned": (
        set_each(PixelRepresentation=2),
        sd.CorruptFileError,
        r"PixelRepresentation must be 0 \(unsigned\) or 1 \(signed\), got 2",
    ),
    "a name as the kind of colour": (
        set_each(PhotometricInterpretation=CODE),
        sd.ColorImageError,
        "got an unknown value",
    ),
    "a name as the modality": (
        set_each(Modality=["MR", "MR", CODE, "MR", "MR"]),
        sd.InconsistentSeriesError,
        "Modality differ within one series: MR in 000.dcm, an unknown value",
    ),
    "diffusion weightings": (
        set_each(DiffusionBValue=[0.0, 0.0, 800.0, 800.0, 800.0]),
        sd.InconsistentSeriesError,
        r"DiffusionBValue differ within one series: 0\.0 in 000\.dcm, 800\.0",
    ),
    "diffusion directions": (
        set_each(DiffusionGradientOrientation=[[1, 0, 0]] * 4 + [[0, 1, 0]]),
        sd.InconsistentSeriesError,
        "DiffusionGradientOrientation differ",
    ),
    "more bits than there are": (
        set_each(BitsStored=17, HighBit=16),
        sd.CorruptFileError,
        "BitsStored must be at most",
    ),
    "slope 0": (
        set_each(RescaleSlope=0, RescaleIntercept=5),
        sd.CorruptFileError,
        "RescaleSlope must not be 0",
    ),
    "senseless number": (
        set_each(SliceThickness=[2.5, 3.0]),
        sd.CorruptFileError,
        "SliceThickness must be finite, one number",
    ),
    "bytes of twice the size": (
        lambda dataset, number: setattr(dataset, "PixelData", dataset.PixelData * 2),
        sd.DeclaredSizeError,
        "don't fit",
    ),
    "no pixels": (
        lambda dataset, number: delattr(dataset, "PixelData"),
        sd.CorruptFileError,
        "no PixelData",
    ),
}


@pytest.mark.parametrize("defect", REFUSED)
def test_refused(write, defect):
    edit, error, match = REFUSED[defect]
    folder = write(edit)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(error, match=match) as refusal:
            load_series(folder)
    said = [str(refusal.value), *(str(warning.message) for warning in caught)]
    assert "ZZPLANTED" not in "".join(said)
    assert str(folder) not in "".join(said)
    row = sd.scan(folder)
    is_told_apart = {"several series", "orientation"}
    assert row.problem.notna().any() or defect in is_told_apart


def test_refused_single_slice_without_thickness(write):
    edit = set_each(SliceThickness=None)
    with pytest.raises(sd.GeometryError, match="SliceThickness"):
        load_series(write(edit, np.zeros((1, 4, 4), np.int16)))


def test_refused_empty_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(sd.NoImagesError, match="no DICOM image"):
        load_series(tmp_path)


def test_refused_missing_path(tmp_path):
    with pytest.raises(FileNotFoundError, match="'nowhere'"):
        load_series(tmp_path / "nowhere")


def test_refused_unknown_series(write):
    with pytest.raises(sd.NoImagesError, match=r"`series_uid`=9\.9"):
        load_series(write(), series_uid="9.9")


def test_series_can_be_chosen(write, stored):
    folder = write(other_series)
    assert load_series(folder, series_uid="1.2.3").shape == (1, 6, 8)


def test_invalid_option(write):
    with pytest.raises(ValueError, match="`irregular` must be"):
        load_series(write(), irregular="guess")


@pytest.mark.parametrize("kept", [140, 200, 330, 0.5, 0.99])
def test_cut_off_file_is_refused(write, kept):
    folder = write()
    path = folder / "002.dcm"
    content = path.read_bytes()
    n_bytes = int(kept * len(content)) if kept < 1 else kept
    path.write_bytes(content[:n_bytes])
    with pytest.raises(sd.DicomError, match=r"002\.dcm") as error:
        load_series(folder)
    assert "ZZPLANTED" not in str(error.value)


@pytest.mark.parametrize("kept", [0, 50, 100, 130, 350])
def test_cut_off_last_file_is_not_lost(write, kept):
    folder = write()
    path = folder / "004.dcm"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(sd.CorruptFileError, match=r"004\.dcm"):
        load_series(folder)
    assert sd.scan(folder)["problem"].str.startswith("CorruptFileError: 004").any()


@pytest.mark.parametrize("kept", [0.6, 0.9, 0.97])
def test_cut_off_compressed_file_is_refused(write, kept):
    rng = np.random.default_rng(0)
    folder = write(array=rng.integers(0, 4000, (2, 64, 64)).astype(np.int16))
    path = folder / "001.dcm"
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(sd.CorruptFileError, match=r"001\.dcm"):
        load_series(folder)


def test_garbage_is_refused(write):
    folder = write()
    path = folder / "002.dcm"
    noise = np.random.default_rng(0).bytes(2000)
    path.write_bytes(path.read_bytes()[:132] + noise)
    with pytest.raises(sd.DicomError) as error:
        load_series(folder)
    assert "ZZPLANTED" not in str(error.value)


def spoil(path, old, new):
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))


SPOILT_HEADERS = {
    "class": (b"\x08\0\x16\0UI", b"\x08\0\x16\0SQ"),
    "rows": (b"(\0\x10\0US\x02\0\x06\0", b"(\0\x10\0FL\x04\0\0\0\0?"),
    "pixels": (b"\xe0\x7f\x10\0OW", b"\xe0\x7f\x10\0\xcfW"),
}


@pytest.mark.parametrize("fault", SPOILT_HEADERS)
def test_attribute_of_another_type_is_one_problem(write, fault):
    folder = write()
    spoil(folder / "002.dcm", *SPOILT_HEADERS[fault])
    with pytest.raises(sd.CorruptFileError, match=r"002\.dcm") as said:
        load_series(folder)
    problems = sd.scan(folder)["problem"].dropna()
    assert problems.str.startswith("CorruptFileError: 002.dcm").any()
    assert "ZZPLANTED" not in str(said.value) + problems.str.cat()


@pytest.mark.parametrize("n_times", [1, 2])
def test_class_that_is_no_text_is_one_problem(write, n_times):
    """Read by pydicom, as no other reader takes such a file."""
    folder = write()
    path = folder / "002.dcm"
    dataset = pydicom.dcmread(path)
    dataset.add_new("NumberOfFrames", "IS", 1)
    dataset.save_as(path)
    uid = b"1.2.840.10008.5.1.4.1.1.4\0"
    content = path.read_bytes()
    element = b"\x08\0\x16\0UI" + len(uid).to_bytes(2, "little") + uid
    numbers = b"\x08\0\x16\0FL" + (4 * n_times).to_bytes(2, "little")
    path.write_bytes(content.replace(element, numbers + bytes(4 * n_times)))
    with pytest.raises(sd.CorruptFileError, match=r"002\.dcm"):
        load_series(folder)
    assert sd.scan(folder)["problem"].str.startswith("CorruptFileError: 002").any()


def test_whatever_a_parser_raises_is_one_problem(write, monkeypatch):
    folder = write()
    read = _headers._read_plain

    def stumble(file):
        if file.name.endswith("002.dcm"):
            raise RecursionError(NAME)
        return read(file)

    monkeypatch.setattr(_headers, "_read_plain", stumble)
    with pytest.raises(
        sd.CorruptFileError, match=r"002\.dcm .* RecursionError"
    ) as said:
        load_series(folder)
    assert "ZZPLANTED" not in str(said.value)
    assert sd.scan(folder)["problem"].str.startswith("CorruptFileError: 002").any()


@pytest.mark.parametrize("kept", [185, 190, 200])
def test_file_cut_off_in_its_class_is_not_lost(write, kept):
    folder = write()
    path = folder / "002.dcm"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(sd.CorruptFileError, match=r"002\.dcm"):
        load_series(folder)
    assert sd.scan(folder)["problem"].str.startswith("CorruptFileError: 002").any()


def element_of(path, keyword):
    """The bytes of an element of a file that ends where the next one begins."""
    content = path.read_bytes()
    tag = pydicom.tag.Tag(keyword)
    start = content.index(
        tag.group.to_bytes(2, "little") + tag.elem.to_bytes(2, "little")
    )
    return content[start : start + 8 + content[start + 6]]


def insert(path, element, before):
    content = path.read_bytes()
    start = content.index(element_of(path, before))
    path.write_bytes(content[:start] + element + content[start:])


@pytest.mark.parametrize("is_plain", [True, False])
def test_attribute_that_is_stated_twice(write, stored, is_plain):
    folder = write(set_each(RescaleSlope=2, RescaleIntercept=0))
    path = folder / "002.dcm"
    if not is_plain:
        content = path.read_bytes()
        path.write_bytes(content[content.index(b"\x08\0\x16\0UI") :])
    again = element_of(path, "RescaleSlope")
    insert(path, again, "RescaleSlope")
    with pytest.warns(sd.DicomWarning, match=r"002\.dcm: RescaleSlope is out of order"):
        np.testing.assert_array_equal(load_series(folder).array, 2.0 * stored)
    path.write_bytes(path.read_bytes().replace(again, again.replace(b"2", b"3"), 1))
    if is_plain:
        with pytest.raises(sd.CorruptFileError, match="RescaleSlope is stated twice"):
            load_series(folder)
    else:
        with pytest.warns(sd.DicomWarning, match=r"002\.dcm: RescaleSlope is out of"):
            load_series(folder)


@pytest.mark.parametrize("is_plain", [True, False])
def test_bytes_inserted_into_pixels_are_warned_of(write, is_plain):
    folder = write()
    path = folder / "002.dcm"
    content = path.read_bytes()
    if not is_plain:
        content = content[content.index(b"\x08\0\x16\0UI") :]
    path.write_bytes(content[:-50] + b"1234" + content[-50:])
    with pytest.warns(sd.DicomWarning, match=r"002\.dcm: bytes follow PixelData"):
        load_series(folder)


@pytest.mark.parametrize(
    "rest", [bytes(8), bytes(3), b"\xfc\xff\xfc\xffOB\0\0\2\0\0\0\0\0"]
)
def test_padding_of_a_file_is_no_pixels(write, stored, rest):
    folder = write()
    path = folder / "002.dcm"
    path.write_bytes(path.read_bytes() + rest)
    np.testing.assert_array_equal(load_series(folder).array, stored)


def test_elements_out_of_order_are_warned_of(write, stored):
    folder = write()
    insert(folder / "002.dcm", element_of(folder / "002.dcm", "Modality"), "Rows")
    with pytest.warns(sd.DicomWarning, match=r"002\.dcm: Modality is out of order"):
        np.testing.assert_array_equal(load_series(folder).array, stored)


ODD_ONES = {
    "RescaleSlope": set_each(RescaleSlope=[1, 1, 3, 1, 1], RescaleIntercept=0),
    "RescaleIntercept": set_each(RescaleIntercept=[0, 0, 10, 0, 0]),
    "PixelPaddingValue": set_each(PixelPaddingValue=[-900, -900, -800, -900, -900]),
    "PixelRepresentation": set_each(PixelRepresentation=[1, 1, 0, 1, 1]),
    "BitsStored": set_each(
        BitsStored=[16, 16, 12, 16, 16], HighBit=[15, 15, 11, 15, 15]
    ),
}


@pytest.mark.parametrize("keyword", ODD_ONES)
def test_one_header_unlike_the_others_is_warned_of(write, keyword):
    folder = write(ODD_ONES[keyword])
    match = rf"002\.dcm: {keyword} differs from that of the other images"
    with pytest.warns(sd.DicomWarning, match=match):
        load_series(folder)


def test_two_images_of_different_slopes_are_not_odd(write):
    edit = set_each(RescaleSlope=[1, 2, 3, 4, 5], RescaleIntercept=0)
    load_series(write(edit))


DOUBTFUL = {
    "Modality is not that of SOPClassUID": set_each(Modality="OT"),
    "PixelRepresentation is missing": lambda dataset, number: delattr(
        dataset, "PixelRepresentation"
    ),
}


@pytest.mark.parametrize("doubt", DOUBTFUL)
def test_header_that_contradicts_itself_is_warned_of(write, doubt):
    with pytest.warns(sd.DicomWarning, match=rf"000\.dcm and 4 more: {doubt}"):
        load_series(write(DOUBTFUL[doubt]))


def test_class_that_its_file_meta_contradicts_is_warned_of(write):
    folder = write()
    old = b"\x08\0\x16\0UI\x1a\x001.2.840.10008.5.1.4.1.1.4"
    spoil(folder / "001.dcm", old, old[:-3] + b"7.4")
    with pytest.warns(sd.DicomWarning, match=r"001\.dcm: SOPClassUID and Media"):
        load_series(folder)


def test_pet_without_slope_is_warned_of(write):
    folder = write(lambda d, n: pet(d, n, RescaleSlope=None), modality="PT")
    with pytest.warns(sd.DicomWarning, match="RescaleSlope is missing"):
        load_series(folder)


def test_name_in_the_place_of_units_is_not_passed_on(write):
    folder = write(lambda d, n: pet(d, n, Units=CODE), modality="PT")
    volume = load_series(folder)
    assert volume.units == "arbitrary"
    assert "ZZPLANTED" not in repr(volume.provenance)


@pytest.mark.parametrize("n_rows", [3, 2])
def test_padding_of_most_voxels_is_warned_of(write, stored, n_rows):
    stored[:, :] = np.arange(6)[:, None]
    stored[:, n_rows:] = 7
    folder = write(set_each(PixelPaddingValue=7))
    if n_rows == 3:
        load_series(folder)
    else:
        with pytest.warns(sd.DicomWarning, match="67% of the voxels are padding"):
            load_series(folder)


@pytest.mark.parametrize(
    ("syntax", "package"), [(JPEG2000Lossless, "openjpeg"), (JPEGLSLossless, "jpeg_ls")]
)
@pytest.mark.parametrize("fault", ["matrix", "end"])
def test_compressed_pixels_that_contradict_the_header(write, syntax, package, fault):
    """gdcm would end the process on some of them."""
    pytest.importorskip(package)
    rng = np.random.default_rng(0)
    folder = write(array=rng.integers(0, 900, (2, 60, 80)).astype(np.int16))
    path = folder / "001.dcm"
    dataset = pydicom.dcmread(path)
    dataset.compress(syntax, generate_instance_uid=False)
    if fault == "matrix":
        dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows
        match = r"001\.dcm: Rows and Columns are \(80, 60\), but .* say \(60, 80\)"
    else:
        (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
        dataset.PixelData = encapsulate([stream[:-40]])
        match = r"001\.dcm: its compressed pixels are cut off"
    dataset.save_as(path)
    with pytest.raises(sd.CorruptFileError, match=match):
        load_series(path)


def test_small_compressed_file_that_declares_much_is_refused(write):
    def edit(dataset, number):
        dataset.Rows = dataset.Columns = 65_000
        dataset.file_meta.TransferSyntaxUID = RLELossless
        dataset.PixelData = encapsulate([b"\0" * 64])

    with pytest.raises(sd.DeclaredSizeError, match="can't hold"):
        load_series(write(edit))


def test_unknown_transfer_syntax_is_refused(write):
    folder = write()
    path = folder / "002.dcm"
    known, private = b"1.2.840.10008.1.2.1\0", b"1.2.840.113619.5.2\0\0"
    path.write_bytes(path.read_bytes().replace(known, private))
    with pytest.raises(sd.DecoderMissingError, match=r"002\.dcm: TransferSyntaxUID"):
        load_series(folder)


def test_missing_decoder_names_the_package(write, monkeypatch):
    def edit(dataset, number):
        dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
        dataset.PixelData = encapsulate([b"\0" * 64])

    class Unavailable:
        is_available = False

    monkeypatch.setattr(_pixels, "get_decoder", lambda syntax: Unavailable())
    with pytest.raises(sd.DecoderMissingError, match="pip install pylibjpeg "):
        load_series(write(edit))


def test_jpeg_of_twelve_bits_names_the_package(tmp_path):
    dataset = pydicom.dcmread(get_testdata_file("JPGExtended.dcm"))
    dataset.ImagePositionPatient = [0, 0, 0]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness = [1, 1], 1
    path = tmp_path / "deep.dcm"
    dataset.save_as(path)
    if "pylibjpeg" in _pixels.get_decoder(JPEGExtended12Bit).available_plugins:
        pytest.skip("a decoder of 12 bits is installed")
    with pytest.raises(
        sd.DecoderMissingError, match="pip install pylibjpeg pylibjpeg-"
    ):
        load_series(path)


def test_errors_name_no_folder_and_quote_no_value(tmp_path, write):
    folder = tmp_path / "ZZPLANTED"
    with pytest.raises(OSError, match="nowhere") as error:
        load_series([folder / "nowhere.dcm"])
    assert "ZZPLANTED" not in str(error.value)
    assert error.value.__context__ is None
    with pytest.raises(NotADirectoryError) as error:
        sd.scan(folder / "nowhere")
    assert "ZZPLANTED" not in str(error.value)


def test_row_that_names_what_is_not_there(write):
    folder = write()
    row = sd.scan(folder).iloc[0]
    with pytest.raises(sd.NoImagesError, match=r"004\.dcm has no image in frame 7"):
        load_series(dict(row) | {"frames": (0, 0, 0, 0, 7)})
    with pytest.raises(TypeError, match="one row of a table"):
        load_series(sd.scan(folder))


def test_nothing_read_names_the_patient(write, capsys, caplog):
    folder = write(set_each(RescaleIntercept=0), modality="CT")
    volume = load_series(folder)
    said = (
        repr(volume) + repr(volume.provenance) + caplog.text + capsys.readouterr().err
    )
    assert "ZZPLANTED" not in said
    uid = pydicom.dcmread(folder / "000.dcm").SeriesInstanceUID
    assert uid not in said


def test_plain_headers_are_read_as_pydicom_reads_them():
    names = ["CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "JPEG2000.dcm"]
    for name in names:
        path = get_testdata_file(name)
        with open(path, "rb") as file:
            plain = _headers._read_plain(file)
        (full,) = _headers._read_by_pydicom(_headers.Path(path))
        del plain["PixelStart"]
        ours = {key: value for key, value in plain.items() if value is not None}
        theirs = {key: full[key] for key in ours}
        if "PixelPaddingValue" in ours:
            assert (
                ours.pop("PixelPaddingValue") - theirs.pop("PixelPaddingValue")
            ) in (
                0,
                2**16,
            )
        assert ours == theirs


def in_simple_itk(folder):
    sitk = pytest.importorskip("SimpleITK")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    n = 3
    affine = np.eye(4)
    affine[:n, :n] = np.reshape(image.GetDirection(), (n, n)) * image.GetSpacing()
    affine[:n, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image), affine[:, [2, 1, 0, 3]]


@pytest.mark.parametrize(
    "affine", [AXIAL, oblique(), sagittal()], ids=["axial", "oblique", "sagittal"]
)
def test_geometry_is_that_of_simple_itk(write, affine):
    folder = write(set_each(RescaleSlope=2, RescaleIntercept=-100), affine=affine)
    array, theirs = in_simple_itk(folder)
    volume = load_series(folder)
    np.testing.assert_allclose(volume.array, array)
    np.testing.assert_allclose(volume.affine, theirs, atol=1e-5)


REAL = {
    "breast_mr_ucsf_br_06": [((60, 256, 256), None), ((60, 256, 256), None)],
    "crlm_ct_1004": [((30, 512, 512), None)],
    "dcmqi_ct_seg": [((3, 38, 23), None), ((3, 38, 23), None), ((3, 512, 512), None)],
    "dicom2nifti_vendors": [
        ((2, 288, 288), None),
        ((2, 288, 288), None),
        ((4, 28, 64), None),
        *[((4, 256, 256), None)] * 4,
        ((4, 64, 64), None),
        ((8, 138, 112), None),
        ((8, 256, 256), None),
        ((8, 256, 256), None),
    ],
    "ge_head_ct_gantry_tilt": [(None, "NonUniformSpacingError")],
    "prostate_mr_t2": [((60, 256, 256), None)],
    "pydicom_enhanced_multiframe": [((2, 512, 512), None), (None, "GeometryError")],
    "qin_prostate_adc_seg": [((20, 256, 256), None)],
    "rtutils_ct_phantom_rtstruct": [((2, 512, 512), None), ((3, 50, 100), None)],
    "siemens_xa10_enhanced_mr": [((6, 64, 64), None)] * 4,
    "sts_raw_001_mr_t2_rtstruct": [((40, 384, 384), None)],
    "torchio_ct_17slices": [((17, 128, 88), None)],
}


@pytest.mark.parametrize("name", REAL)
@pytest.mark.filterwarnings("ignore::skvae.dicom.DicomWarning")
def test_real_series(shared_data, tmp_path, name):
    """Each loads, or is refused for what its description says of it."""
    with zipfile.ZipFile(shared_data / "dicom_series" / f"{name}.zip") as archive:
        archive.extractall(tmp_path)
    volumes = sd.scan(tmp_path)
    found = [
        (None, problem.split(":")[0]) if isinstance(problem, str) else (shape, None)
        for shape, problem in zip(
            volumes["shape"], volumes["problem"].astype(object), strict=True
        )
    ]
    assert found == REAL[name]
    for _, row in volumes[volumes.problem.isna()].iterrows():
        try:
            volume = load_series(row)
        except sd.DecoderMissingError:
            continue
        assert volume.shape == row["shape"]
        assert np.ptp(volume.array) > 0
        assert np.isfinite(volume.array).all()

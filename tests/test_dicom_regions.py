"""Regions: listed, picked, read by their rows, and labelled by patient."""

import warnings
import zipfile

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.uid import generate_uid
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae.datasets import make_dicom_cohort, write_dicom_series, write_rtstruct
from skvae.dicom import (
    DicomWarning,
    MaskError,
    VolumeLoader,
    label_volumes,
    load_mask,
    load_series,
    regions,
    scan,
    select_regions,
)
from skvae.radiomics import RegionFeatures

AFFINE = np.diag([2.0, 1, 1, 1])[[2, 1, 0, 3]]  # z, y, x with slices of 2 mm
CORNERS = np.array([[1.5, 1.5], [4.5, 1.5], [4.5, 4.5], [1.5, 4.5]])
NAME = "ZZPLANTED"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Three patients with CT and MR in one space, and two regions on each."""
    root = tmp_path_factory.mktemp("archive")
    options = {"modalities": ("CT", "MR"), "regions": ("GTV", "Edema")}
    patients = make_dicom_cohort(root, 3, **options, random_state=0)
    return scan(root), patients


@pytest.fixture
def series(tmp_path):
    """Write one series of 4 slices of 6 x 7 pixels; return its UIDs and its row."""
    uids = {
        "PatientID": NAME,
        "FrameOfReferenceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
    }
    write_dicom_series(tmp_path / "mr", np.ones((4, 6, 7), np.int16), AFFINE, **uids)
    return uids


def square_at(height):
    return np.column_stack([CORNERS, [height] * 4])


def write_square(path, uids, height=2.0):
    """Write a square of 3 x 3 pixels that says nothing of its series."""
    space = {name: uids[name] for name in ("PatientID", "FrameOfReferenceUID")}
    return write_rtstruct(path, [square_at(height)], name="GTV", **space)


def write_label_image(path, values, affine=AFFINE):
    """Write values of shape (z, y, x) as NIfTI, which is RAS."""
    nibabel = pytest.importorskip("nibabel")
    to_ras = np.diag([-1, -1, 1, 1]) @ affine
    path.parent.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, to_ras), path)
    return path


def two_labels():
    values = np.zeros((4, 6, 7), np.uint8)
    values[1:3, 2:4, 2:5] = 1
    values[1, 0, 0] = 7
    return values


def test_one_row_for_each_volume_and_region(archive):
    volumes, _ = archive
    found = regions(volumes)
    assert len(found) == 3 * 2 * 4
    assert found["volume"].tolist() == np.repeat(volumes.index, 4).tolist()
    assert found["region"].tolist() == ["GTV", "Edema"] * 12
    assert found["mask_label"].tolist() == [1, 2] * 12
    assert set(found["kind"]) == {"RTSTRUCT"}
    own = volumes["series_uid"].loc[found["volume"]].to_numpy()
    assert (found["is_drawn_here"] == (found["drawn_on"] == own)).all()
    assert found["is_drawn_here"].sum() == 12


def test_is_on_grid_says_what_load_mask_does(archive):
    volumes, _ = archive
    for _, region in regions(volumes.iloc[:2]).iterrows():
        like = load_series(volumes.loc[region["volume"]])
        assert region["is_on_grid"] == takes(region, like)


def takes(region, like):
    try:
        return load_mask(region, like).any()
    except MaskError:
        return False


def test_cohort_says_what_it_can_write(tmp_path):
    with pytest.raises(ValueError, match="`modalities` must be of"):
        make_dicom_cohort(tmp_path, 1, modalities=("US",))
    for wrong in ("GTV", (), ("a", "b", "c")):
        with pytest.raises(ValueError, match="`regions` must be one or two names"):
            make_dicom_cohort(tmp_path, 1, regions=wrong)


def test_each_file_is_opened_once(archive, monkeypatch):
    opened = []
    read = pydicom.dcmread

    def counted(path, *args, **kwargs):
        opened.append(path)
        return read(path, *args, **kwargs)

    monkeypatch.setattr(pydicom, "dcmread", counted)
    regions(archive[0])
    assert len(opened) == len(set(opened)) == 6


def test_contours_off_the_slices_and_damaged_files_have_a_problem(tmp_path, series):
    write_square(tmp_path / "a.dcm", series, height=3)
    write_square(tmp_path / "b.dcm", series)
    path = write_square(tmp_path / "c.dcm", series)
    path.write_bytes(path.read_bytes()[:-30])
    volumes = scan(tmp_path)
    (tmp_path / "b.dcm").unlink()
    found = regions(volumes)
    assert not found["is_on_grid"].any()
    off, gone, cut = found["problem"]
    assert off.startswith("MaskError: ContourData lies off the grid")
    assert gone == "FileNotFoundError: No such file or directory"
    assert "Error: " in cut
    assert str(tmp_path) not in off + gone + cut
    assert NAME not in off + gone + cut


def test_series_is_told_by_its_images_where_no_series_is_named(tmp_path, series):
    other = series | {"SeriesInstanceUID": generate_uid()}
    array = np.ones((4, 6, 7), np.int16)
    files = write_dicom_series(tmp_path / "other", array, AFFINE, **other)
    path = write_square(tmp_path / "mask.dcm", series)
    structures = pydicom.dcmread(path)
    image = pydicom.Dataset()
    image.ReferencedSOPInstanceUID = pydicom.dcmread(files[1]).SOPInstanceUID
    contour = structures.ROIContourSequence[0].ContourSequence[0]
    contour.ContourImageSequence = [image]
    structures.save_as(path)
    volumes = scan(tmp_path)
    found = regions(volumes)
    assert found["drawn_on"].tolist() == [other["SeriesInstanceUID"]] * 2
    assert found["is_drawn_here"].tolist() == [False, True]
    with pytest.warns(DicomWarning, match="drawn on another series only"):
        assert select_regions(volumes).index.tolist() == [1]
    assert len(select_regions(volumes, drawn_on="any")) == 2


def test_region_of_an_unknown_series_is_taken_on_the_grid(tmp_path, series):
    write_square(tmp_path / "mask.dcm", series)
    found = regions(scan(tmp_path))
    assert found["drawn_on"].isna().all()
    assert not found["is_drawn_here"].any()
    assert select_regions(scan(tmp_path))["region"].tolist() == ["GTV"]


def test_segments_are_regions(tmp_path, series):
    highdicom = pytest.importorskip("highdicom")
    from pydicom.sr.codedict import codes

    images = [pydicom.dcmread(path) for path in sorted((tmp_path / "mr").iterdir())]
    for image in images:
        image.PatientName = image.PatientBirthDate = image.PatientSex = ""
        image.AccessionNumber = image.StudyID = image.StudyDate = image.StudyTime = ""
    segments = [
        highdicom.seg.SegmentDescription(
            number, name, codes.SCT.Organ, codes.SCT.Liver, "MANUAL"
        )
        for number, name in ((1, "GTV"), (2, "Edema"))
    ]
    masks = np.stack([two_labels() == 1, two_labels() > 0], axis=-1)
    uids = generate_uid(), 1, generate_uid(), 1
    highdicom.seg.Segmentation(
        images, masks, "BINARY", segments, *uids, "skvae", "skvae", "1", "1"
    ).save_as(tmp_path / "seg.dcm")
    found = regions(scan(tmp_path))
    assert found["region"].tolist() == ["GTV", "Edema"]
    assert set(found["kind"]) == {"SEG"}
    assert found["is_drawn_here"].all()
    assert found["is_on_grid"].all()
    (row,) = (row for _, row in select_regions(scan(tmp_path), "edema").iterrows())
    mask = load_mask(row, load_series(row))
    np.testing.assert_array_equal(mask, two_labels() > 0)


def test_labels_of_label_images_are_regions_by_file_or_value(tmp_path, series):
    write_label_image(
        tmp_path / "mr" / "v1.2_GTV.nii.gz", (two_labels() == 1) * np.uint8(3)
    )
    write_label_image(tmp_path / "x" / "both.nii", two_labels())
    found = regions(scan(tmp_path))
    assert found["region"].tolist() == ["v1.2_GTV", "1", "7"]
    assert found["mask_label"].tolist() == [3, 1, 7]
    assert found["kind"].tolist() == ["NIfTI"] * 3
    assert found["is_drawn_here"].tolist() == [True, False, False]
    assert found["is_on_grid"].all()
    (row,) = (row for _, row in select_regions(scan(tmp_path)).iterrows())
    np.testing.assert_array_equal(load_mask(row, load_series(row)), two_labels() == 1)


def test_label_images_off_the_grid_and_images_have_a_problem(tmp_path, series):
    shifted = AFFINE.copy()
    shifted[0, 3] += 0.4
    write_label_image(tmp_path / "mr" / "off.nii", two_labels(), shifted)
    image = np.arange(210, dtype=np.int16).reshape(5, 6, 7)
    write_label_image(tmp_path / "mr" / "t1.nii", image)
    found = regions(scan(tmp_path))
    assert found["region"].tolist()[:2] == ["1", "7"]
    assert found["problem"][:2].str.contains("off the grid").all()
    assert "t1.nii holds 209 values" in found["problem"][2]


def test_nrrd_regions_have_the_names_of_slicer(tmp_path, series):
    sitk = pytest.importorskip("SimpleITK")
    image = sitk.GetImageFromArray(two_labels())
    image.SetSpacing((1.0, 1.0, 2.0))
    for number, (name, value) in enumerate((("tumour", 1), ("node", 7))):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", str(value))
    sitk.WriteImage(image, str(tmp_path / "a.seg.nrrd"))
    found = regions(scan(tmp_path))
    assert found["region"].tolist() == ["tumour", "node"]
    assert found["kind"].tolist() == ["NRRD", "NRRD"]
    assert select_regions(scan(tmp_path), "node")["mask_label"].tolist() == [7]


def test_regions_takes_a_table_of_volumes(archive):
    for wrong in (archive[0].iloc[0], archive[1], ["folder"]):
        with pytest.raises(TypeError, match="must be a table from `scan`"):
            regions(wrong)
    with pytest.raises(ValueError, match="must name each row once"):
        regions(pd.concat([archive[0], archive[0]]))


def test_selection_keeps_order_and_index_and_the_own_region(archive):
    volumes, _ = archive
    shuffled = volumes.sample(frac=1, random_state=0).set_axis(list("fedcba"))
    selected = select_regions(shuffled, "gt?")
    pd.testing.assert_frame_equal(selected[volumes.columns], shuffled)
    assert set(selected["region"]) == {"GTV"}
    assert set(selected["mask_label"]) == {1}
    for modality, mask in selected[["modality", "mask"]].itertuples(index=False):
        assert mask.endswith(f"regions_{modality}.dcm")


def test_load_mask_takes_a_row(archive):
    _, row = next(select_regions(archive[0], "Edema").iterrows())
    like = load_series(row)
    expected = load_mask(row["mask"], like, "Edema")
    np.testing.assert_array_equal(load_mask(row, like), expected)
    np.testing.assert_array_equal(load_mask(row, like, 2), expected)
    with pytest.raises(ValueError, match="`label`=1 contradicts"):
        load_mask(row, like, 1)
    with pytest.raises(MaskError, match="No mask is named"):
        load_mask(archive[0].iloc[0], like)


def test_several_regions_are_united_on_request(tmp_path, series):
    both = {"GTV": [square_at(2)], "node": [square_at(4)]}
    write_rtstruct(tmp_path / "a.dcm", both, **series)
    write_square(tmp_path / "b.dcm", series, height=0)
    volumes = scan(tmp_path)
    (row,) = (row for _, row in select_regions(volumes, unite=True).iterrows())
    assert row["region"] == ("GTV", "node", "GTV")
    assert row["mask_label"] == (1, 2, 1)
    like = load_series(row)
    mask = load_mask(row, like)
    assert mask.any(axis=(1, 2)).tolist() == [True, True, True, False]
    path = str(tmp_path / "a.dcm")
    np.testing.assert_array_equal(load_mask(path, like, ["GTV", 2])[1:], mask[1:])
    files = [path, str(tmp_path / "b.dcm")]
    parts = load_mask(files, like, ("node", 1))
    np.testing.assert_array_equal(parts[[0, 2]], mask[[0, 2]])
    with pytest.raises(ValueError, match="one for each of 2 files, got 3"):
        load_mask(files, like, [1, 2, 3])
    (case,) = VolumeLoader(crop="mask").load_cases(pd.DataFrame([row]))
    assert case.report["mask_voxels"] == mask.sum()
    assert case.report["mask_label"] == [1, 2, 1]


def test_several_are_told_by_their_names(archive):
    with pytest.raises(MaskError, match="several regions fit") as caught:
        select_regions(archive[0])
    assert "6 of 6 volumes (3 patients; rows 0, 1, 2, 3, 4, 5)" in str(caught.value)
    assert "These are GTV (6), Edema (6). Give a closer" in str(caught.value)


def test_volumes_without_a_region_are_left_out_and_told(tmp_path):
    options = {"modalities": ("CT", "MR"), "regions": ("GTV",)}
    make_dicom_cohort(tmp_path, 2, **options, random_state=0)
    (tmp_path / "phantom-001" / "regions_CT.dcm").unlink()
    volumes = scan(tmp_path)
    with pytest.warns(DicomWarning, match="another series only") as caught:
        selected = select_regions(volumes, ["GTV", "CTV"])
    assert selected.index.tolist() == [0, 1, 3]
    (message,) = (str(one.message) for one in caught)
    assert message.startswith("1 of 4 volumes (1 patient; row 2) are left out")
    assert "phantom" not in message
    with pytest.raises(MaskError, match=r"there are GTV \(6\)"):
        select_regions(volumes, "liver")
    with pytest.raises(MaskError, match=r"4 of 4 volumes .* no region has that name"):
        select_regions(volumes, kind="SEG")
    with pytest.raises(ValueError, match="`kind` must be one of"):
        select_regions(volumes, kind="seg")


def test_region_of_a_chosen_series_or_table(archive):
    volumes, _ = archive
    of_mr = volumes.loc[volumes["modality"] == "MR", "series_uid"]
    selected = select_regions(volumes, "GTV", drawn_on=of_mr)
    assert selected["mask"].str.endswith("regions_MR.dcm").all()
    found = regions(volumes)
    found = found[found["region"] == "Edema"]
    assert set(select_regions(volumes, among=found)["region"]) == {"Edema"}


def test_volumes_with_a_problem_are_told(tmp_path, series):
    write_square(tmp_path / "mask.dcm", series)
    write_dicom_series(tmp_path / "b", np.ones((2, 4, 4), np.int16), AFFINE)
    (tmp_path / "mr" / "damaged.dcm").write_bytes(bytes(128) + b"DICM" + bytes(10))
    volumes = scan(tmp_path)
    with pytest.warns(DicomWarning) as caught:
        assert len(select_regions(volumes)) == 1
    (message,) = (str(one.message) for one in caught)
    assert "row 0) are left out: there is no mask" in message
    assert "row 2) are left out: the images make no volume" in message


@pytest.mark.filterwarnings("ignore:ImagePositionPatient")
def test_irregular_volumes_are_kept_on_request(tmp_path, series):
    write_square(tmp_path / "mask.dcm", series)
    (tmp_path / "mr" / "002.dcm").unlink()
    volumes = scan(tmp_path)
    with pytest.raises(MaskError, match="the images make no volume"):
        select_regions(volumes)
    (row,) = (r for _, r in select_regions(volumes, irregular="interpolate").iterrows())
    assert load_mask(row, load_series(row, irregular="interpolate")).sum() == 9
    with pytest.raises(ValueError, match="`irregular` must be"):
        select_regions(volumes, irregular="skip")


def test_rows_are_named_without_ids(archive):
    volumes, patients = archive
    volumes = volumes.set_index(volumes["patient_id"] + volumes["modality"])
    with pytest.raises(MaskError, match=r"rows 0, 1, 2, 3, 4, 5 \(counted") as caught:
        select_regions(volumes)
    assert "phantom" not in str(caught.value)
    with pytest.warns(DicomWarning, match=r"rows 0, 1 \(counted from 0\)"):
        label_volumes(volumes, patients[1:])


def test_channels_take_the_region_of_the_first(archive):
    selected = select_regions(archive[0], "GTV")
    (_, ct), (_, mr) = selected[:2].iterrows()
    loader = VolumeLoader(crop="mask", channels=("mr", "ct"))
    (case,) = loader.load_cases([{"mr": mr, "ct": ct}])
    (alone,) = VolumeLoader(crop="mask").load_cases([mr])
    np.testing.assert_array_equal(case.mask, alone.mask)


def test_loader_takes_the_region_of_the_row(archive, tmp_path):
    volumes, patients = archive
    mr = volumes[volumes["modality"] == "MR"]
    loader = VolumeLoader(crop="mask", cache=tmp_path)
    n_voxels = {}
    for name in ("GTV", "Edema", "GTV"):
        # Outcomes are called "label" in many tables, and don't choose the region.
        table = label_volumes(select_regions(mr, name), patients)
        n_voxels[name] = [case.mask.sum() for case in loader.load_cases(table)]
    assert all(a < b for a, b in zip(*n_voxels.values(), strict=True))
    plain = VolumeLoader(label="Edema", crop="mask").load_cases(
        select_regions(mr, "GTV").drop(columns="mask_label")
    )
    assert [case.mask.sum() for case in plain] == n_voxels["Edema"]
    loader.set_params(label="GTV").transform(select_regions(mr[:1], "GTV"))
    with pytest.raises(ValueError, match="contradicts the column"):
        loader.set_params(label="Edema").transform(select_regions(mr, "GTV"))


def test_folder_with_one_series_and_one_mask_is_a_case(archive, tmp_path, series):
    write_square(tmp_path / "mask.dcm", series)
    loader = VolumeLoader(crop="mask", shape=(4, 6, 6))
    table = loader.transform(select_regions(scan(tmp_path)))
    np.testing.assert_array_equal(loader.transform([tmp_path]), table)
    write_label_image(tmp_path / "mr" / "node.nii", two_labels())
    with pytest.raises(MaskError, match=r"2 regions, 1 \(1\), 7 \(1\)") as caught:
        loader.transform([tmp_path])
    assert str(tmp_path) not in str(caught.value)
    loader.set_params(label="GTV")
    np.testing.assert_array_equal(loader.transform([str(tmp_path)]), table)


def test_pipeline_predicts_from_a_folder(archive, tmp_path):
    table = label_volumes(select_regions(archive[0], "GTV"), archive[1])
    table = table[table["modality"] == "MR"]
    features = RegionFeatures(loader=VolumeLoader())
    pipeline = make_pipeline(features, StandardScaler(), LogisticRegression())
    pipeline.fit(table, table["label"])
    make_dicom_cohort(tmp_path, 1, random_state=0)
    prediction = pipeline.predict_proba([tmp_path])
    expected = pipeline.predict_proba(scan(tmp_path))
    np.testing.assert_array_equal(prediction, expected)


def test_folder_without_a_mask_is_a_case(tmp_path, series):
    assert VolumeLoader().load_cases([tmp_path])[0].mask is None
    with pytest.raises(MaskError, match="There is no mask"):
        VolumeLoader(crop="mask").load_cases([tmp_path])


VOLUMES = pd.DataFrame(
    {"patient_id": ["P2", "P1", "P2", "P3"], "n_slices": range(4)}, index=[7, 3, 5, 1]
)
KINDS = {
    "table": pd.DataFrame({"patient_id": ["P1", "P2", "P3"], "label": [0, 1, 0]}),
    "series": pd.Series([0, 1, 0], index=["P1", "P2", "P3"]),
    "mapping": {"P1": 0, "P2": 1, "P3": 0},
    "indexed": pd.DataFrame({"label": [0, 1, 0]}, index=["P1", "P2", "P3"]),
    "twice": pd.DataFrame(
        {"patient_id": ["P1", "P2", "P3", "P2"], "label": [0, 1, 0, 1]}
    ),
}


@pytest.mark.parametrize("labels", KINDS.values(), ids=KINDS)
def test_labels_come_by_patient_and_keep_order_index_and_type(labels):
    labelled = label_volumes(VOLUMES, labels)
    pd.testing.assert_frame_equal(labelled, VOLUMES.assign(label=[1, 0, 1, 0]))


def test_volumes_without_labels_and_labels_without_volumes_are_told():
    labels = pd.DataFrame(
        {"patient_id": ["P2", "P4", "P5", "P3"], "y": [1.0, 0, 1, np.nan], "age": 9}
    ).astype({"age": object})
    labels.loc[3, "age"] = None
    with pytest.warns(DicomWarning) as caught:
        labelled = label_volumes(VOLUMES, labels)
    (message,) = (str(one.message) for one in caught)
    assert labelled.index.tolist() == [7, 5]
    assert message == (
        "2 of 4 volumes (2 of 3 different 'patient_id') have no label and are left "
        "out: rows 3, 1. 2 of 3 labels have no volume."
    )


def test_ids_that_differ_in_writing_are_told():
    volumes = pd.DataFrame({"patient_id": ["007", "12", "Pat3 ", "40", None]})
    labels = {7: 0, 12: 1, "PAT3": 0, 40.0: 1}
    with pytest.warns(DicomWarning, match="3 of these IDs are the same but for") as w:
        labelled = label_volumes(volumes, labels)
    assert labelled["label"].tolist() == [1]
    assert "rows 0, 2, 3, 4" in str(w[0].message)
    assert "007" not in str(w[0].message)


def test_contradictions_are_refused():
    labels = pd.DataFrame({"patient_id": ["P1", "P2", "P1"], "label": [0, 1, 1]})
    with pytest.raises(ValueError, match=r"counted from 0 in its rows 0, 2\."):
        label_volumes(VOLUMES, labels)
    with pytest.raises(ValueError, match="No volume has a label"):
        label_volumes(VOLUMES, {"P9": 1})
    with pytest.raises(ValueError, match=r"\['n_slices'\] are columns of"):
        label_volumes(VOLUMES, KINDS["series"].rename("n_slices"))
    with pytest.raises(ValueError, match="`on` must be a column of `volumes`"):
        label_volumes(VOLUMES, {"P1": 1}, on="patient")
    with pytest.raises(ValueError, match="`labels` must have the column 'patient_id'"):
        label_volumes(VOLUMES, KINDS["table"].rename(columns={"patient_id": "ID"}))
    with pytest.raises(TypeError, match="must be a DataFrame, a Series or a mapping"):
        label_volumes(VOLUMES, [0, 1])


@pytest.fixture(scope="module")
def sarcomas(shared_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("sts")
    for number in (2, 3, 8):
        name = shared_data / "sts" / "dicom" / f"STS_{number:03d}.zip"
        zipfile.ZipFile(name).extractall(root)
    return scan(root), pd.read_csv(shared_data / "sts" / "labels.csv")


def test_sarcomas_of_all_modalities_have_one_tumour_each(sarcomas):
    volumes, labels = sarcomas
    found = regions(volumes)
    assert len(found) == 9 + 1 + 4
    assert found["is_drawn_here"].sum() == len(volumes) == 6
    with pytest.warns(DicomWarning, match="48 of 51 labels have no volume"):
        table = label_volumes(select_regions(volumes, "GTV*"), labels)
    assert len(table) == 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cases = VolumeLoader(crop="mask").load_cases(table[table["modality"] == "MR"])
    assert min(case.mask.sum() for case in cases) > 1000


@pytest.mark.parametrize("name", ["qin_prostate_adc_seg", "prostate_mr_t2"])
def test_real_regions_are_on_the_grid_that_load_mask_takes(name, shared_data, tmp_path):
    archive = zipfile.ZipFile(shared_data / "dicom_series" / f"{name}.zip")
    archive.extractall(tmp_path)
    volumes = scan(tmp_path)
    like = load_series(volumes.iloc[0])
    found = regions(volumes)
    assert len(found)
    for _, region in found.iterrows():
        assert region["is_on_grid"] == takes(region, like)

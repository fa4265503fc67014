import contextlib
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from skvae.datasets import make_dicom_cohort, write_dicom_series, write_rtstruct
from skvae.dicom import DicomError, DicomWarning, _headers, load_series, scan
from skvae.dicom._remarks import remarks_on

AFFINE = np.diag([2.0, 1, 1, 1])[[2, 1, 0, 3]]


def write(folder, n_slices=3, **options):
    array = np.random.default_rng(0).integers(0, 900, (n_slices, 4, 5))
    return write_dicom_series(folder, array.astype(np.int16), AFFINE, **options)


def test_one_row_per_volume_with_what_its_headers_say(tmp_path):
    write(tmp_path / "a", PatientID="P1", SeriesDescription="T1")
    write(tmp_path / "b" / "c", 4, modality="CT", edit=hounsfield, PatientID="P2")
    volumes = scan(tmp_path)
    assert volumes["patient_id"].tolist() == ["P1", "P2"]
    assert volumes["modality"].tolist() == ["MR", "CT"]
    assert volumes["description"].tolist()[0] == "T1"
    assert volumes["n_slices"].tolist() == [3, 4]
    assert volumes["shape"].tolist() == [(3, 4, 5), (4, 4, 5)]
    assert volumes["spacing"].tolist() == [(2.0, 1.0, 1.0)] * 2
    assert volumes["orientation"].tolist() == [(1.0, 0, 0, 0, 1.0, 0)] * 2
    assert volumes["problem"].isna().all()
    assert [load_series(row).shape for _, row in volumes.iterrows()] == [
        (3, 4, 5),
        (4, 4, 5),
    ]


def hounsfield(dataset, number):
    dataset.RescaleIntercept = -1024


def test_several_processes_find_the_same(tmp_path):
    make_dicom_cohort(tmp_path, 20, random_state=0)
    one, two = scan(tmp_path), scan(tmp_path, n_jobs=2)
    pd.testing.assert_frame_equal(one, two)
    assert len(one) == 20


def test_other_files_are_counted_in_one_warning(tmp_path):
    write(tmp_path)
    for name in ("notes.txt", "empty", "picture.png"):
        (tmp_path / name).write_bytes(b"" if name == "empty" else b"x" * 300)
    with pytest.warns(DicomWarning, match="3 of 6 files are not DICOM") as caught:
        assert len(scan(tmp_path)) == 1
    assert len(caught) == 1


def test_empty_folder_gives_an_empty_table_and_a_warning(tmp_path):
    with pytest.warns(DicomWarning, match="`root` holds no files"):
        volumes = scan(tmp_path)
    assert len(volumes) == 0
    assert "problem" in volumes


def test_root_must_be_a_folder(tmp_path):
    with pytest.raises(NotADirectoryError, match="`root` must be a folder"):
        scan(tmp_path / "nowhere")


def test_damaged_file_has_a_row_with_the_problem(tmp_path):
    paths = write(tmp_path, PatientName="ZZPLANTED", PatientID="ZZPLANTED")
    paths[2].write_bytes(paths[2].read_bytes()[:300])
    volumes = scan(tmp_path)
    (problem,) = volumes["problem"].dropna()
    assert problem.startswith("CorruptFileError: 002.dcm")
    assert "ZZPLANTED" not in problem
    assert volumes["n_slices"].tolist()[0] == 2


@pytest.mark.filterwarnings("ignore::skvae.dicom.DicomWarning")
def test_no_damage_stops_a_scan(tmp_path):
    """A few of the mutants that examples/benchmarks/fuzz.py makes by the thousand."""
    path = write(tmp_path, modality="CT", edit=hounsfield)[1]
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for number in range(150):
        mutant = bytearray(whole)
        for place in rng.integers(len(whole) - 40, size=3):
            mutant[place] ^= 1 << int(rng.integers(8))
        end = int(rng.integers(len(whole))) if number % 3 == 0 else len(whole)
        path.write_bytes(mutant[:end])
        assert len(scan(tmp_path)) > 0
        with contextlib.suppress(DicomError):
            load_series(tmp_path)


def test_links_are_followed_on_request_and_loops_visited_once(tmp_path):
    write(tmp_path / "elsewhere")
    (tmp_path / "root").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "root" / "link")
    os.symlink(tmp_path / "root", tmp_path / "elsewhere" / "loop")
    with pytest.warns(DicomWarning, match="`root` holds no files"):
        assert len(scan(tmp_path / "root")) == 0
    volumes = scan(tmp_path / "root", follow_links=True)
    assert volumes["n_slices"].tolist() == [3]


def test_one_series_is_split_by_orientation_and_matrix(tmp_path):
    uid = generate_uid()
    for name, size in (("a", 5), ("b", 6)):
        array = np.zeros((3, 4, size), np.int16)
        write_dicom_series(tmp_path / name, array, AFFINE, SeriesInstanceUID=uid)
    sagittal = np.diag([-2.0, 1, 1, 1])
    array = np.zeros((2, 4, 5), np.int16)
    write_dicom_series(tmp_path / "c", array, sagittal, SeriesInstanceUID=uid)
    volumes = scan(tmp_path)
    assert volumes["problem"].isna().all()
    assert sorted(volumes["shape"]) == [(2, 4, 5), (3, 4, 5), (3, 4, 6)]


def moved(z, turn=0.0):
    """The grid at another height, turned about the axis of its rows (degrees)."""
    affine = AFFINE.copy()
    affine[2, 3] = z
    about = np.deg2rad(turn)
    affine[1:3, :2] = [
        [np.sin(about) * -2, np.cos(about)],
        [np.cos(about) * 2, np.sin(about)],
    ]
    return affine


def write_parts(folder, *parts):
    """Write parts of one series: affine, number of slices, of rows, first value."""
    uids = {"SeriesInstanceUID": generate_uid(), "FrameOfReferenceUID": generate_uid()}
    for number, (affine, n_slices, n_rows) in enumerate(parts):
        array = np.full((n_slices, n_rows, 5), number, np.int16)
        write_dicom_series(folder / str(number), array, affine, **uids)


CUT = {
    "matrix": [(moved(0), 4, 4), (moved(8), 3, 8)],
    "matrix in between": [(moved(0), 4, 4), (moved(8), 1, 8), (moved(10), 3, 4)],
    "matrix and step": [(moved(0), 4, 4), (moved(9) * [2, 1, 1, 1], 3, 8)],
    "three matrices": [(moved(0), 4, 4), (moved(8), 3, 8), (moved(14), 3, 6)],
    "last slice": [(moved(0), 4, 4), (moved(8), 1, 8)],
    "last slice turned": [(moved(0), 4, 4), (moved(8, 0.5), 1, 4)],
    "half of them turned": [(moved(0), 4, 4), (moved(8, 0.5), 4, 4)],
}


@pytest.mark.parametrize("cut", CUT)
def test_parts_of_one_stack_that_differ_are_one_problem(tmp_path, cut):
    write_parts(tmp_path, *CUT[cut])
    volumes = scan(tmp_path)
    assert volumes["n_slices"].tolist() == [sum(part[1] for part in CUT[cut])]
    error = "MixedOrientation" if "turned" in cut else "MixedMatrix"
    (problem,) = volumes["problem"]
    assert problem.startswith(f"{error}Error")
    assert "a row of `scan`" not in problem


APART = {
    "same place, other matrix": [(moved(0), 4, 4), (moved(0), 4, 8)],
    "half a slice apart": [(moved(0), 4, 4), (moved(1), 4, 8)],
    "overlap": [(moved(0), 4, 4), (moved(4), 4, 8)],
    "fewer slices in between": [(moved(0.5), 8, 4), (moved(0) * [4, 1, 1, 1], 2, 8)],
    "discs": [(moved(0), 3, 4), (moved(30, 8), 3, 4), (moved(60, 15), 3, 4)],
    "planes of a scout": [(moved(0), 3, 4), (moved(0, 90), 3, 4)],
}


@pytest.mark.parametrize("parts", APART)
def test_stacks_of_one_series_stay_apart(tmp_path, parts):
    write_parts(tmp_path, *APART[parts])
    volumes = scan(tmp_path)
    assert volumes["problem"].isna().all()
    assert volumes["n_slices"].tolist() == [part[1] for part in APART[parts]]


def test_diffusion_is_split_by_weighting_and_direction(tmp_path):
    x, y = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    volumes = [(0.0, None), (500.0, x), (500.0, y), (1000.0, x), (1000.0, y)]
    uid = generate_uid()
    for number, (b_value, direction) in enumerate(volumes):
        attributes = {"SeriesInstanceUID": uid, "DiffusionBValue": b_value}
        if direction:
            attributes["DiffusionGradientOrientation"] = direction
        array = np.full((3, 4, 5), number, np.int16)
        write_dicom_series(tmp_path / str(number), array, AFFINE, **attributes)
        for path in (tmp_path / str(number)).iterdir():
            path.rename(tmp_path / f"{number}-{path.name}")
    rows = scan(tmp_path)
    assert rows["problem"].isna().all()
    means = [load_series(row).array.mean() for _, row in rows.iterrows()]
    assert means == [0, 1, 2, 3, 4]


def test_directions_of_frames_are_read(tmp_path):
    """As in an enhanced multi-frame image, where they lie in a sequence deeper."""
    frame, direction, groups = Dataset(), Dataset(), Dataset()
    direction.DiffusionGradientOrientation = [0.0, 0.6, 0.8]
    frame.DiffusionBValue = 500.0
    frame.DiffusionGradientDirectionSequence = [direction]
    groups.MRDiffusionSequence = [frame]
    values = _headers._values_of_groups(groups)
    assert values["DiffusionBValue"] == 500
    assert values["DiffusionGradientOrientation"] == (0.0, 0.6, 0.8)


def test_series_is_split_by_two_attributes_where_none_alone_tells(tmp_path):
    uid = generate_uid()
    for number, (echo, time) in enumerate([(5, 1), (5, 2), (9, 1), (9, 2)]):
        attributes = {"SeriesInstanceUID": uid, "EchoTime": echo}
        attributes["AcquisitionNumber"] = time
        array = np.full((3, 4, 5), number, np.int16)
        write_dicom_series(tmp_path / str(number), array, AFFINE, **attributes)
        for path in (tmp_path / str(number)).iterdir():
            path.rename(tmp_path / f"{number}-{path.name}")
    rows = scan(tmp_path)
    means = [load_series(row).array.mean() for _, row in rows.iterrows()]
    assert means == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "keyword", ["TemporalPositionIdentifier", "EchoTime", "AcquisitionNumber"]
)
def test_one_series_is_split_by_time(tmp_path, keyword):
    uid = generate_uid()
    for number in (1, 2):
        array = np.full((3, 4, 5), number, np.int16)
        attributes = {"SeriesInstanceUID": uid, keyword: number}
        write_dicom_series(tmp_path / str(number), array, AFFINE, **attributes)
        for path in (tmp_path / str(number)).iterdir():
            path.rename(tmp_path / f"{number}-{path.name}")
    volumes = scan(tmp_path)
    means = [load_series(row).array.mean() for _, row in volumes.iterrows()]
    assert means == [1, 2]


def test_copies_in_two_folders_are_two_volumes(tmp_path):
    write(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert scan(tmp_path)["n_slices"].tolist() == [3, 3]


def test_masks_are_tied_by_patient_and_frame_of_reference(tmp_path):
    space = generate_uid()
    for name, patient in (("a", "P1"), ("b", "P2")):
        uids = {"PatientID": patient, "FrameOfReferenceUID": space}
        write(tmp_path / name, **uids)
        contour = [[1, 1, 0], [3, 1, 0], [3, 3, 0]]
        write_rtstruct(tmp_path / name / "mask.dcm", [contour], **uids)
    volumes = scan(tmp_path)
    assert len(volumes) == 2
    for name, masks in zip("ab", volumes["masks"], strict=True):
        assert masks == (str(tmp_path / name / "mask.dcm"),)


def test_reports_are_no_volumes(tmp_path):
    paths = write(tmp_path / "in")
    report = pydicom.dcmread(paths[0])
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    report.file_meta.MediaStorageSOPClassUID = report.SOPClassUID
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(report, keyword)
    report.save_as(tmp_path / "in" / "report.dcm")
    with pytest.warns(DicomWarning, match="1 of 4 files are DICOM without images"):
        assert scan(tmp_path)["n_slices"].tolist() == [3]
    for path in paths:
        path.unlink()
    with pytest.warns(DicomWarning, match="holds 1 files, none of them an image"):
        assert len(scan(tmp_path)) == 0


def test_masks_are_not_tied_by_what_is_missing(tmp_path):
    nobody = {"PatientID": "", "FrameOfReferenceUID": ""}
    write(tmp_path / "a", **nobody)
    contour = [[1, 1, 0], [3, 1, 0], [3, 3, 0]]
    write_rtstruct(tmp_path / "mask.dcm", [contour], **nobody)
    assert scan(tmp_path)["masks"].tolist() == [()]


def scan_of_parts(root, parts):
    """Write volumes of one series that lie on each other, one for each dict."""
    uid = generate_uid()
    for number, part in enumerate(parts):
        write(root / f"{number}", SeriesInstanceUID=uid, **part)
    return scan(root)


@pytest.mark.parametrize(
    ("parts", "remarks"),
    [
        ([{"EchoTime": 4.9}, {"EchoTime": 2.4}], ["echo 2", "echo 1"]),
        ([{"DiffusionBValue": b} for b in (0.0, 800.0)], ["b 0", "b 800"]),
        (
            [{"TemporalPositionIdentifier": n, "AcquisitionNumber": n} for n in (1, 2)],
            ["time 1", "time 2"],
        ),
        (
            [{"AcquisitionNumber": n} for n in (7, 9)],
            ["acquisition 1", "acquisition 2"],
        ),
        (
            [{"ImageType": ["ORIGINAL", "PRIMARY", kind]} for kind in ("M", "B0 MAP")],
            ["magnitude", "field map"],
        ),
        (
            [{"ImageType": ["DERIVED", "PRIMARY", kind]} for kind in ("ODD", "RARE")],
            ["image type 1", "image type 2"],
        ),
        (
            [{"DiffusionBValue": 0.0, "EchoTime": e} for e in (1.0, 2.0)],
            ["echo 1", "echo 2"],
        ),
        ([{}, {}], ["folder 1", "folder 2"]),
    ],
)
def test_remark_says_how_volumes_of_a_series_differ(tmp_path, parts, remarks):
    assert scan_of_parts(tmp_path, parts)["remark"].tolist() == remarks


def test_remark_takes_as_many_words_as_it_needs(tmp_path):
    frames = [
        {"SeriesInstanceUID": "1", "DiffusionBValue": b, "EchoTime": echo}
        for b, echo in ((0.0, 1.0), (800.0, 1.0), (800.0, 2.0))
    ]
    assert remarks_on([[frame | {"folder": "x"}] for frame in frames]) == [
        "b 0, echo 1",
        "b 800, echo 1",
        "b 800, echo 2",
    ]
    alike = [[{"SeriesInstanceUID": "1", "folder": "x"}]] * 2
    assert remarks_on(alike) == ["part 1", "part 2"]


def test_remark_marks_scouts_and_names_their_planes(tmp_path):
    uid = generate_uid()
    planes = {"axial": AFFINE, "sagittal": np.diag([-2.0, 1, 1, 1])}
    for name, affine in planes.items():
        write_dicom_series(
            tmp_path / name,
            np.zeros((2, 4, 5), np.int16),
            affine,
            SeriesInstanceUID=uid,
            ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        )
    write(tmp_path / "other")
    assert sorted(scan(tmp_path)["remark"].fillna("")) == [
        "",
        "scout, axial",
        "scout, sagittal",
    ]


def test_label_images_belong_to_the_patient_in_whose_folder_they_lie(tmp_path):
    for name in ("P1", "P2"):
        for series in ("a", "b"):
            write(tmp_path / name / series, PatientID=name)
    (tmp_path / "P2" / "a" / "000.dcm").rename(tmp_path / "P2" / "a" / "dicom.nii")
    own = [Path(tmp_path, *p) for p in (("P1", "GTV.nii.gz"), ("P1", "x", "b.nrrd"))]
    own[1].parent.mkdir()
    for path in (*own, tmp_path / "whose.nii"):
        path.touch()
    with pytest.warns(DicomWarning, match=r"^1 of 15 files are not DICOM"):
        volumes = scan(tmp_path)
    found = tuple(map(str, own))
    assert volumes["label_images"].tolist() == [found, found, (), ()]
    assert volumes["masks"].tolist() == [()] * 4


@pytest.mark.parametrize("progress", [None, True, False])
def test_progress_is_shown_on_request_and_not_where_nobody_watches(
    tmp_path, capsys, progress
):
    write(tmp_path)
    scan(tmp_path, progress=progress)
    shown = capsys.readouterr().err
    assert ("3/3" in shown and "file" in shown) == (progress is True)
    assert progress or not shown

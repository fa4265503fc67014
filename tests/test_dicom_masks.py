"""Masks: every kind of file lands on the grid of its volume, or says why not."""

import dataclasses
import sys
import traceback
import warnings
import zipfile
from itertools import permutations, product

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.pixels import pixel_array
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    RLELossless,
    RTStructureSetStorage,
    generate_uid,
)

from skvae.dicom._errors import (
    CorruptFileError,
    DeclaredSizeError,
    DicomWarning,
    MaskError,
)
from skvae.dicom._masks import load_mask
from skvae.dicom._series import load_series
from skvae.dicom._volume import Volume, hashed

SHAPE = 5, 12, 9
SPACE = "1.2.3.4"
PATIENT = "ZZPLANTED"
COSINES = np.linalg.qr(np.random.RandomState(0).randn(3, 3))[0]
STRAIGHT = np.array([[0, 0, 0.5, -10], [0, 0.8, 0, 20], [3, 0, 0, -30], [0, 0, 0, 1.0]])
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = COSINES * [2.5, 0.7, 1.1]
OBLIQUE[:3, 3] = 12.5, -80, 3
SHEARED = STRAIGHT.copy()
SHEARED[1, 0] = 1.25
AFFINES = {"straight": STRAIGHT, "oblique": OBLIQUE, "sheared": SHEARED}
TURNS = [*product(permutations(range(3)), 1 - 2 * np.eye(4, 3, dtype=int))]


@pytest.fixture(params=AFFINES)
def like(request):
    return volume(AFFINES[request.param])


@pytest.fixture
def straight():
    return volume(STRAIGHT)


@pytest.fixture
def folder(tmp_path):
    """A folder whose name no message may give away."""
    path = tmp_path / PATIENT
    path.mkdir()
    return path


def volume(affine, shape=SHAPE):
    return Volume(np.zeros(shape, np.float32), affine, frame_of_reference=hashed(SPACE))


def blob(seed=0, shape=SHAPE):
    return np.random.RandomState(seed).rand(*shape) < 0.3


def turned(values, affine, axes, signs):
    """The same voxels in the same places, stored along other axes."""
    affine = affine.copy()
    for axis, sign in enumerate(signs):
        if sign < 0:
            affine[:, 3] += affine[:, axis] * (values.shape[axis] - 1)
            affine[:, axis] *= -1
    steps = tuple(slice(None, None, sign) for sign in signs)
    return values[steps].transpose(axes), affine[:, [*axes, 3]]


def refused(path, like, label=None, error=MaskError):
    """Message of an error, which says nothing about the patient in any of its parts."""
    with pytest.raises(error) as caught:
        load_mask(path, like, label)
    assert type(caught.value) is error
    assert PATIENT not in "".join(traceback.format_exception(caught.value))
    assert path.name in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def silent(caplog, capfd):
    """Nothing that is logged or printed tells about the patient either."""
    yield
    assert PATIENT not in caplog.text + "".join(capfd.readouterr())


# Segmentations


def images_of(affine, shape=SHAPE):
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    study, series = generate_uid(), generate_uid()
    for index in range(shape[0]):
        image = Dataset()
        image.file_meta = Dataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID = study, series
        image.PatientName = image.PatientID = ""
        image.PatientBirthDate = image.PatientSex = image.AccessionNumber = ""
        image.StudyID = image.StudyDate = image.StudyTime = ""
        image.Modality, image.FrameOfReferenceUID = "CT", SPACE
        image.SliceThickness = 1
        image.Rows, image.Columns = shape[1:]
        image.PixelSpacing = list(lengths[1:].round(10))
        along = affine[:3, [2, 1]] / lengths[[2, 1]]
        image.ImageOrientationPatient = list(along.T.ravel().round(10))
        image.ImagePositionPatient = list((affine @ [index, 0, 0, 1])[:3].round(8))
        yield image


def seg_of(masks, affine, kind="BINARY", slices=None, names=("liver", "tumour"), **kw):
    """A segmentation as highdicom writes it, of masks (..., n_masks)."""
    highdicom = pytest.importorskip("highdicom")
    from pydicom.sr.codedict import codes

    images = list(images_of(affine, masks.shape[:3]))
    slices = range(len(images)) if slices is None else slices
    segments = [
        highdicom.seg.SegmentDescription(
            number,
            name,
            codes.SCT.Organ,
            codes.SCT.Liver,
            "MANUAL",
        )
        for number, name in enumerate(names[: masks.shape[3]], 1)
    ]
    return highdicom.seg.Segmentation(
        [images[i] for i in slices],
        masks[list(slices)],
        kind,
        segments,
        generate_uid(),
        1,
        generate_uid(),
        1,
        "skvae",
        "skvae",
        "1",
        "1",
        **kw,
    )


def save(dataset, path):
    dataset.PatientName = dataset.PatientID = f"{PATIENT}^A"
    dataset.save_as(path, enforce_file_format=True)
    return path


def two_masks(shape=SHAPE):
    """Two masks that overlap, as highdicom takes them."""
    return np.stack([blob(0, shape), blob(1, shape)], axis=-1)


def test_seg_lands_on_the_grid(like, folder):
    masks = two_masks()
    path = save(seg_of(masks, like.affine), folder / "mask.dcm")
    for label, mask in [(1, masks[..., 0]), ("tumour", masks[..., 1])]:
        loaded = load_mask(path, like, label)
        assert loaded.dtype == bool
        np.testing.assert_array_equal(loaded, mask)
    loaded = load_mask(str(path), like, np.int64(1))
    np.testing.assert_array_equal(loaded, masks[..., 0])


@pytest.mark.parametrize(("axes", "signs"), TURNS)
def test_seg_is_turned_back(axes, signs, folder):
    mask = blob()
    values, affine = turned(mask, OBLIQUE, axes, signs)
    path = save(seg_of(values[..., None], affine), folder / "mask.dcm")
    np.testing.assert_array_equal(load_mask(path, volume(OBLIQUE)), mask)


@pytest.mark.parametrize("slices", [[2], [4, 1], [1, 4, 2]])
def test_seg_holds_some_slices_in_any_order(slices, like, folder):
    masks = two_masks()
    path = save(seg_of(masks, like.affine, slices=slices), folder / "mask.dcm")
    loaded = load_mask(path, like, 2)
    np.testing.assert_array_equal(loaded[slices], masks[slices, ..., 1])
    assert not np.delete(loaded, slices, axis=0).any()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_fractional_seg_is_set_from_a_half_on(syntax, straight, folder):
    shares = np.random.RandomState(0).choice([0.0, 0.2, 0.49, 0.5, 1.0], SHAPE)
    how = {"max_fractional_value": 100, "transfer_syntax_uid": syntax}
    seg = seg_of(shares[..., None], STRAIGHT, "FRACTIONAL", **how)
    path = save(seg, folder / "mask.dcm")
    np.testing.assert_array_equal(load_mask(path, straight), shares >= 0.5)


def test_fractional_seg_beyond_its_maximum_is_refused(straight, folder):
    shares = np.random.RandomState(0).choice([0.0, 0.4, 1.0], SHAPE)
    seg = seg_of(shares[..., None], STRAIGHT, "FRACTIONAL", max_fractional_value=200)
    seg.MaximumFractionalValue = 72
    message = refused(save(seg, folder / "mask.dcm"), straight)
    assert "MaximumFractionalValue is 72, but voxels hold 200" in message


def test_fractional_seg_half_a_pixel_off_says_so(straight, folder):
    shares = np.random.RandomState(0).choice([0.0, 0.4, 1.0], SHAPE)
    seg = seg_of(shares[..., None], STRAIGHT, "FRACTIONAL")
    _shift(seg, 0.25)
    message = refused(save(seg, folder / "mask.dcm"), straight)
    assert "or its affine): it is 0.5 voxels off" in message


def test_label_map_seg(like, folder):
    masks = two_masks()
    masks[..., 1] &= ~masks[..., 0]
    path = save(seg_of(masks, like.affine, "LABELMAP"), folder / "mask.dcm")
    for index, label in enumerate(["liver", "tumour"]):
        np.testing.assert_array_equal(load_mask(path, like, label), masks[..., index])
    assert "1 (liver), 2 (tumour), got 0." in refused(path, like, 0)


def test_seg_agrees_with_the_volume_that_highdicom_makes(folder):
    highdicom = pytest.importorskip("highdicom")
    path = save(seg_of(two_masks(), OBLIQUE), folder / "mask.dcm")
    whole = highdicom.seg.segread(path).get_volume(combine_segments=False)
    like = volume(whole.affine)
    for index in range(2):
        loaded = load_mask(path, like, index + 1)
        np.testing.assert_array_equal(loaded, whole.array[..., index])


def test_choices_are_listed(straight, folder):
    path = save(seg_of(two_masks(), STRAIGHT), folder / "mask.dcm")
    for label in (None, 3, "kidney", "1"):
        assert refused(path, straight, label) == (
            f"mask.dcm: `label` must be one of 1 (liver), 2 (tumour), got {label!r}."
        )
    path = save(seg_of(two_masks(), STRAIGHT, names=["a", "a"]), folder / "mask.dcm")
    assert "one of 1 (a), 2 (a), got 'a'" in refused(path, straight, "a")


@pytest.mark.parametrize("label", [1.0, True, [1.0], {"liver"}])
def test_label_has_a_type(label, straight, folder):
    with pytest.raises(TypeError, match="`label` must be an int, a str or None"):
        load_mask(folder / "mask.dcm", straight, label)


def _shift(seg, by=0.1):
    for frame in seg.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence[0].ImagePositionPatient[0] += by


def _repeat(seg):
    frames = seg.PerFrameFunctionalGroupsSequence
    frames[1].PlanePositionSequence = frames[0].PlanePositionSequence


def _claim_more(seg):
    groups = *seg.SharedFunctionalGroupsSequence, *seg.PerFrameFunctionalGroupsSequence
    for group in groups:  # where they are depends on the version of highdicom
        for segment in group.get("SegmentIdentificationSequence", []):
            segment.ReferencedSegmentNumber = 3


SPOILT_SEGS = {
    "half a pixel off": (
        lambda seg: _shift(seg, 0.25),
        "or its affine): it is 0.5 voxels off",
    ),
    "turned": (
        lambda seg: setattr(
            seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0],
            "ImageOrientationPatient",
            [0.8, 0.6, 0, -0.6, 0.8, 0],
        ),
        "or its affine): it is turned or scaled",
    ),
    "a segment that isn't listed": (
        _claim_more,
        "ReferencedSegmentNumber 3 is not listed in SegmentSequence",
    ),
    "unknown kind": (
        lambda seg: setattr(seg, "SegmentationType", PATIENT),
        "SegmentationType must be one of BINARY, FRACTIONAL, LABELMAP",
    ),
    "another space": (
        lambda seg: setattr(seg, "FrameOfReferenceUID", "1.2.9"),
        "FrameOfReferenceUID differs from the volume's",
    ),
    "shifted": (_shift, "lies off the grid of the volume (by ImagePositionPatient"),
    "two frames in one place": (_repeat, "has several frames at one ImagePositionPa"),
    "no frames": (
        lambda seg: delattr(seg, "PerFrameFunctionalGroupsSequence"),
        "PerFrameFunctionalGroupsSequence is missing",
    ),
    "no position": (
        lambda seg: delattr(
            seg.PerFrameFunctionalGroupsSequence[0], "PlanePositionSequence"
        ),
        "PlanePositionSequence is missing",
    ),
    "empty": (
        lambda seg: setattr(seg, "PixelData", bytes(len(seg.PixelData))),
        "the mask is empty",
    ),
    "no segments": (
        lambda seg: setattr(seg, "SegmentSequence", []),
        "holds no mask: nothing is drawn in it",
    ),
    "no mask": (
        lambda seg: setattr(seg, "SOPClassUID", CTImageStorage),
        "SOPClassUID must be that of a segmentation (SEG) or structure set (RTSTRUCT)",
    ),
}


@pytest.mark.parametrize("fault", SPOILT_SEGS)
def test_spoilt_seg_is_refused(fault, straight, folder):
    spoil, message = SPOILT_SEGS[fault]
    seg = seg_of(blob()[..., None], STRAIGHT)
    spoil(seg)
    assert message in refused(save(seg, folder / "mask.dcm"), straight)


def test_seg_of_another_grid_is_refused(straight, folder):
    for factors in ([1, 2, 2, 1], [1, 1.02, 1, 1]):
        path = save(seg_of(blob()[..., None], STRAIGHT * factors), folder / "mask.dcm")
        assert "lies off the grid of the volume" in refused(path, straight)


def test_seg_with_a_small_shift_is_accepted(straight, folder):
    affine = STRAIGHT.copy()
    affine[:3, 3] += 0.02
    path = save(seg_of(blob()[..., None], affine), folder / "mask.dcm")
    np.testing.assert_array_equal(load_mask(path, straight), blob())


def test_seg_may_reach_beyond_the_volume_where_it_is_empty(folder):
    mask = blob()
    mask[:, :2] = mask[:, -1] = 0
    path = save(seg_of(mask[..., None], STRAIGHT), folder / "mask.dcm")
    affine = STRAIGHT.copy()
    affine[:3, 3] = (STRAIGHT @ [0, 2, 0, 1])[:3]
    like = volume(affine, (5, 9, 9))
    np.testing.assert_array_equal(load_mask(path, like), mask[:, 2:-1])
    assert "partly outside the volume" in refused(path, volume(affine, (5, 8, 9)))
    assert "partly outside the volume" in refused(path, volume(affine, (4, 9, 9)))
    affine[:3, 3] = (STRAIGHT @ [0, 3, 0, 1])[:3]
    assert "partly outside the volume" in refused(path, volume(affine, (5, 9, 9)))


def test_unknown_space_is_accepted(folder):
    path = save(seg_of(blob()[..., None], STRAIGHT), folder / "mask.dcm")
    like = Volume(np.zeros(SHAPE, np.float32), STRAIGHT)
    np.testing.assert_array_equal(load_mask(path, like), blob())


def test_cut_off_seg_is_refused(straight, folder):
    path = save(seg_of(two_masks(), STRAIGHT), folder / "mask.dcm")
    whole = path.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises((CorruptFileError, MaskError), match=r"mask\.dcm"):
            load_mask(path, straight, 1)
    path.write_bytes(whole[:-20])
    assert "cut off" in refused(path, straight, 1, CorruptFileError)


def test_seg_that_declares_more_than_it_holds_is_refused(straight, folder):
    seg = seg_of(two_masks(), STRAIGHT)
    seg.Rows = 60000
    path = save(seg, folder / "mask.dcm")
    assert "Rows" in refused(path, straight, 1, DeclaredSizeError)


# Contours


def contour(points, kind="CLOSED_PLANAR"):
    item = Dataset()
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{value:.10g}" for value in np.ravel(points)]
    return item


def in_mm(polygon, index, affine):
    """Corners (row, column) in a slice, in millimetres."""
    ones = np.ones(len(polygon))
    return (np.column_stack([index * ones, polygon, ones]) @ affine.T)[:, :3]


def rtstruct_of(rois, space=SPACE):
    """A structure set of lists of contours by name."""
    structures = Dataset()
    structures.SOPClassUID, structures.SOPInstanceUID = (
        RTStructureSetStorage,
        generate_uid(),
    )
    structures.file_meta = Dataset()
    structures.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    structures.Modality = "RTSTRUCT"
    structures.StructureSetROISequence, structures.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois.items(), 1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        roi.ReferencedFrameOfReferenceUID = space
        drawn.ReferencedROINumber, drawn.ContourSequence = number, contours
        structures.StructureSetROISequence.append(roi)
        structures.ROIContourSequence.append(drawn)
    return structures


def star(rng, centre, radius, n_corners=15):
    """A polygon that doesn't cross itself, around a centre (row, column)."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, n_corners))
    radii = rng.uniform(0.3, 1, n_corners) * radius
    return np.stack([np.sin(angles), np.cos(angles)], 1) * radii[:, None] + centre


def inside(polygon, shape):
    """What matplotlib takes to be inside."""
    path = pytest.importorskip("matplotlib.path")
    centres = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    is_inside = path.Path(polygon[:, ::-1]).contains_points(
        centres.reshape(-1, 2)[:, ::-1]
    )
    return is_inside.reshape(shape)


def test_contours_agree_with_matplotlib(like, folder):
    rng = np.random.RandomState(0)
    like = volume(like.affine, (5, 40, 30))
    expected = np.zeros((2, *like.shape), bool)
    drawn = [[], []]
    for roi, index, _ in product(range(2), range(5), range(4)):
        polygon = star(rng, rng.uniform(0, [40, 30]), 20)
        expected[roi, index] ^= inside(polygon, (40, 30))
        drawn[roi].append(contour(in_mm(polygon, index, like.affine)))
    rois = dict(zip(["GTV", "edema"], drawn, strict=True))
    path = save(rtstruct_of(rois), folder / "mask.dcm")
    np.testing.assert_array_equal(load_mask(path, like, "GTV"), expected[0])
    np.testing.assert_array_equal(load_mask(path, like, 2), expected[1])
    assert expected.mean() > 0.1


BOX = np.array([[2, 1], [2, 6], [8, 6], [8, 1.0]]) + 0.5
HOLE = np.array([[4, 3], [4, 5], [6, 5], [6, 3.0]]) + 0.5
KEYHOLE = np.concatenate([BOX, BOX[:1], HOLE, HOLE[:1]])


@pytest.mark.parametrize("polygons", [[BOX, HOLE], [HOLE, BOX[::-1]], [KEYHOLE]])
@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_hole_in_a_contour(polygons, kind, like, folder):
    expected = np.zeros(SHAPE, bool)
    expected[3, 3:9, 2:7] = True
    expected[3, 5:7, 4:6] = False
    drawn = [contour(in_mm(polygon, 3, like.affine), kind) for polygon in polygons]
    path = save(rtstruct_of({"GTV": drawn}), folder / "mask.dcm")
    np.testing.assert_array_equal(load_mask(path, like), expected)


SQUARE = np.array([[2.5, 1.5], [2.5, 6.5], [8.5, 6.5], [8.5, 1.5]])


def test_repeated_contour_is_refused(straight, folder):
    """By the even-odd rule the two would leave nothing."""
    drawn = [contour(in_mm(SQUARE, 3, straight.affine))] * 2
    path = save(rtstruct_of({"GTV": drawn}), folder / "mask.dcm")
    assert "repeats a contour in slice 3" in refused(path, straight)


def test_contours_that_leave_out_slices_warn(straight, folder):
    drawn = [contour(in_mm(SQUARE, index, straight.affine)) for index in (0, 1, 4)]
    path = save(rtstruct_of({"GTV": drawn}), folder / "mask.dcm")
    with pytest.warns(DicomWarning, match="leave out 2 slices"):
        mask = load_mask(path, straight)
    assert mask.any(axis=(1, 2)).tolist() == [True, True, False, False, True]


def test_seg_that_does_not_describe_all_its_frames_is_refused(straight, folder):
    pytest.importorskip("highdicom")
    seg = seg_of(two_masks(), straight.affine)
    seg.PerFrameFunctionalGroupsSequence.pop()
    path = save(seg, folder / "mask.dcm")
    message = refused(path, straight, 1, CorruptFileError)
    assert "PerFrameFunctionalGroupsSequence has 9 items" in message


def test_keyhole_along_centres_of_pixels(like, folder):
    """Its channel, drawn there and back, leaves no trace."""
    expected = np.zeros(SHAPE, bool)
    expected[0, 2:8, 1:6] = True
    expected[0, 4:6, 3:5] = False
    drawn = [contour(in_mm(KEYHOLE - 0.5, 0, like.affine))]
    path = save(rtstruct_of({"GTV": drawn}), folder / "mask.dcm")
    np.testing.assert_array_equal(load_mask(path, like), expected)


def test_polygons_that_share_an_edge_share_no_pixel(like, folder):
    rng = np.random.RandomState(0)
    centre = rng.uniform(3, 6, 2)
    ring = np.array([[0, 0], [0, 4], [0, 8], [5, 8], [11, 8], [11, 3], [11, 0], [4, 0]])
    parts = [
        np.array([centre, one, other])
        for one, other in zip(ring, np.roll(ring, -1, axis=0), strict=True)
    ]
    rois = {
        f"part {i}": [contour(in_mm(part, 1, like.affine))]
        for i, part in enumerate(parts)
    }
    path = save(rtstruct_of(rois), folder / "mask.dcm")
    masks = [load_mask(path, like, name) for name in rois]
    count = np.sum(masks, axis=0)
    expected = np.zeros(SHAPE, int)
    expected[1, :11, :8] = 1
    np.testing.assert_array_equal(count, expected)


def test_contours_are_clipped_in_their_plane_only(straight, folder):
    polygon = np.array([[-9, -9], [-9, 4.5], [6.5, 4.5], [6.5, -9]])
    inner = contour(in_mm(polygon, 4, STRAIGHT))
    path = save(rtstruct_of({"GTV": [inner]}), folder / "mask.dcm")
    mask = load_mask(path, straight)
    assert mask[4, :7, :5].all()
    assert mask.sum() == 35
    for index in (-1, 5):
        outer = contour(in_mm(polygon, index, STRAIGHT))
        save(rtstruct_of({"GTV": [inner, outer]}), path)
        message = refused(path, straight)
        assert f"ContourData lies outside the volume, in slice {index} of" in message


def test_points_are_left_out(straight, folder):
    drawn = [contour(in_mm(BOX, 1, STRAIGHT)), contour([[0, 0, 0]], "POINT")]
    path = save(rtstruct_of({"GTV": drawn}), folder / "mask.dcm")
    assert load_mask(path, straight).sum() == 30
    path = save(rtstruct_of({"GTV": drawn[1:]}), folder / "mask.dcm")
    assert "the mask is empty" in refused(path, straight)


def test_contours_near_a_slice_are_taken_to_lie_in_it(straight, folder):
    for off, is_near in [(0.2, True), (-0.2, True), (0.3, False), (-0.4, False)]:
        drawn = [contour(in_mm(BOX, 2 + off, STRAIGHT))]
        path = save(rtstruct_of({"GTV": drawn}), folder / "mask.dcm")
        if is_near:
            assert load_mask(path, straight)[2].sum() == 30
        else:
            message = refused(path, straight)
            assert "ContourData lies off the grid of the volume" in message
            assert f"give or take 0.25, got {abs(off)}" in message


def spoilt_contour(**values):
    item = contour(in_mm(BOX, 2, STRAIGHT))
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


SPOILT_CONTOURS = [
    (
        {"ContourGeometricType": "OPEN_PLANAR"},
        "ContourGeometricType must be one of CLOSED_PLANAR, CLOSEDPLANAR_XOR, POINT, "
        "got OPEN_PLANAR",
    ),
    (
        {"ContourGeometricType": PATIENT},
        "POINT, got an unknown value. Draw closed contours.",
    ),
    ({"ContourData": [1, 2, 3, 4]}, "ContourData must hold three numbers for each"),
    ({"ContourData": 1}, "ContourData must hold three numbers for each"),
    ({"ContourData": None}, "ContourData must hold three numbers for each"),
]


@pytest.mark.parametrize(("values", "message"), SPOILT_CONTOURS)
def test_spoilt_contour_is_refused(values, message, straight, folder):
    structures = rtstruct_of({"GTV": [spoilt_contour(**values)]})
    assert message in refused(save(structures, folder / "mask.dcm"), straight)


def test_contour_across_slices_is_refused(straight, folder):
    points = in_mm(BOX, 2, STRAIGHT)
    points[0, 2] += 3
    path = save(rtstruct_of({"GTV": [contour(points)]}), folder / "mask.dcm")
    assert "each contour must lie in one slice" in refused(path, straight)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (b"ZZPLANTED", CorruptFileError, "mask.dcm is damaged"),
        (b"nan      ", MaskError, "ContourData lies off the grid"),
    ],
)
def test_contour_without_numbers_is_refused(text, error, message, straight, folder):
    drawn = [contour([[1.2345678, 0, 0]] * 3)]
    path = save(rtstruct_of({"GTV": drawn}), folder / "mask.dcm")
    path.write_bytes(path.read_bytes().replace(b"1.2345678", text))
    assert message in refused(path, straight, error=error)


def test_choices_and_space_of_rois(straight, folder):
    drawn = [contour(in_mm(BOX, 2, STRAIGHT))]
    rois = {"GTV": drawn, "nothing": []}
    path = save(rtstruct_of(rois), folder / "mask.dcm")
    assert "one of 1 (GTV), 2 (nothing), got None" in refused(path, straight)
    assert "the mask is empty" in refused(path, straight, "nothing")
    path = save(rtstruct_of(rois, "1.2.9"), folder / "mask.dcm")
    assert "ReferencedFrameOfReferenceUID differs" in refused(path, straight, "GTV")
    path = save(rtstruct_of({}), folder / "mask.dcm")
    assert "holds no mask" in refused(path, straight)


def test_contours_that_contradict_themselves_are_warned_of(straight, folder):
    drawn = [contour(in_mm(BOX, index, STRAIGHT)) for index in (1, 2)]
    drawn[1].NumberOfContourPoints = 9
    structures = rtstruct_of({"GTV": drawn, "nodes": drawn[:1]})
    path = save(structures, folder / "mask.dcm")
    assert load_mask(path, straight, "nodes").sum() == 30
    match = r"mask\.dcm: NumberOfContourPoints is not .* in 1 of 2 contours"
    with pytest.warns(DicomWarning, match=match):
        assert load_mask(path, straight, "GTV").sum() == 60
    structures.ROIContourSequence[0].ReferencedROINumber = 7
    path = save(structures, folder / "mask.dcm")
    with pytest.warns(DicomWarning, match="StructureSetROISequence doesn't list"):
        load_mask(path, straight, "nodes")


@pytest.mark.parametrize("fault", ["item", "data"])
def test_contour_that_swallows_the_next_is_refused(fault, straight, folder):
    drawn = [contour(in_mm(BOX, index, STRAIGHT)) for index in (1, 2)]
    path = save(rtstruct_of({"GTV": drawn}), folder / "mask.dcm")
    content = bytearray(path.read_bytes())
    if fault == "item":
        start = content.index(b"\x06\x30B\0CS") - 8
        content[start + 6 : start + 8] = b"\xfe\xff"
    else:
        content[content.index(b"\x06\x30P\0DS") + 6] -= 2
    path.write_bytes(content)
    assert "ContourSequence has an item with" in refused(path, straight)


def test_mask_with_elements_out_of_order_is_warned_of(straight, folder):
    path = save(seg_of(blob()[..., None], STRAIGHT), folder / "mask.dcm")
    content = path.read_bytes()
    start = content.index(b"\x08\0\x60\0CS\x04\0SEG ")
    path.write_bytes(
        content[:start] + 2 * content[start : start + 12] + content[start + 12 :]
    )
    with pytest.warns(DicomWarning, match=r"mask\.dcm: Modality is out of order"):
        np.testing.assert_array_equal(load_mask(path, straight), blob())


# Label images


def write_nifti(values, affine, path):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(values, np.diag([-1, -1, 1, 1]) @ affine)
    image.header["descrip"] = PATIENT
    nibabel.save(image, path)
    return path


def write_nrrd(values, affine, path):
    sitk = pytest.importorskip("SimpleITK")
    image = sitk.GetImageFromArray(values.T)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing)
    image.SetDirection((affine[:3, :3] / spacing).ravel())
    image.SetOrigin(affine[:3, 3])
    image.SetMetaData("Patient", PATIENT)
    sitk.WriteImage(image, path)
    return path


WRITERS = {
    "mask.nii": write_nifti,
    "mask.nii.gz": write_nifti,
    "mask.NII.GZ": write_nifti,
    "mask.nrrd": write_nrrd,
    "mask.nhdr": write_nrrd,
}


@pytest.mark.parametrize("name", WRITERS)
def test_label_image_lands_on_the_grid(name, folder):
    labels = (blob(0) + 4 * blob(1)).astype(np.uint8)
    for axes in permutations(range(3)):
        values, affine = turned(labels, OBLIQUE, list(axes), [1, -1, 1])
        path = WRITERS[name](values, affine, folder / name)
        np.testing.assert_array_equal(load_mask(path, volume(OBLIQUE), 4), labels == 4)
    assert refused(path, volume(OBLIQUE)).startswith(
        f"{name}: `label` must be one of 1, 4, 5, got None"
    )
    assert "one of 1, 4, 5, got 'liver'" in refused(path, volume(OBLIQUE), "liver")
    assert "one of 1, 4, 5, got 0" in refused(path, volume(OBLIQUE), 0)


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nrrd"])
def test_label_image_of_one_value_needs_no_label(name, straight, folder):
    path = WRITERS[name](blob().astype(np.float32) * 255, STRAIGHT, folder / name)
    np.testing.assert_array_equal(load_mask(path, straight), blob())


def test_sheared_nifti(folder):
    path = write_nifti(blob().astype(np.int16), SHEARED, folder / "mask.nii")
    np.testing.assert_array_equal(load_mask(path, volume(SHEARED)), blob())
    assert "off the grid" in refused(path, volume(STRAIGHT))


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nrrd"])
def test_spoilt_label_image_is_refused(name, straight, folder):
    write, path = WRITERS[name], folder / name
    values = blob().astype(np.float32)
    affine = STRAIGHT.copy()
    affine[0, 3] += 0.2
    assert "off the grid" in refused(write(values, affine, path), straight)
    affine = STRAIGHT * [1, 0.5, 1, 1]
    assert "off the grid" in refused(write(values, affine, path), straight)
    affine = STRAIGHT.copy()
    affine[2, 3] += 3
    assert "partly outside" in refused(write(values, affine, path), straight)
    assert "holds no mask" in refused(write(0 * values, STRAIGHT, path), straight)
    for value in (np.nan, np.inf, 0.5):
        values[0, 0, 0] = value
        message = refused(write(values, STRAIGHT, path), straight)
        assert "must hold whole numbers in 3 dimensions, got float32 in 3" in message
    values = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.int16)
    message = refused(write(values, STRAIGHT, path), straight)
    assert "19, 20 and 519 more, got None." in message


def test_label_image_of_more_dimensions_is_refused(straight, folder):
    values = np.ones((*SHAPE, 2), np.int16)
    path = write_nifti(values, STRAIGHT, folder / "mask.nii")
    assert "3 dimensions, got int16 in 4" in refused(path, straight)


def test_nifti_without_position_is_refused(straight, folder):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(blob().astype(np.int16), np.eye(4))
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nibabel.save(image, folder / "mask.nii")
    assert "states no position: sform_code and qform_code" in refused(
        folder / "mask.nii", straight
    )


@pytest.mark.parametrize("space", ["", "space: scanner-xyz\n"])
def test_nrrd_without_position_is_refused(space, straight, folder):
    pytest.importorskip("SimpleITK")
    (folder / "mask.nrrd").write_bytes(
        f"NRRD0004\ntype: uint8\ndimension: 3\n{space}sizes: 5 12 9\n"
        f"{'space directions: (1,0,0) (0,1,0) (0,0,1)' if space else 'spacings: 1 1 1'}"
        "\nencoding: raw\n\n".encode()
        + bytes(540)
    )
    assert "states no position" in refused(folder / "mask.nrrd", straight)


@pytest.mark.parametrize("name", WRITERS)
def test_cut_off_label_image_is_refused(name, straight, folder):
    values = np.random.RandomState(0).randint(0, 9, SHAPE).astype(np.int16)
    path = WRITERS[name](values, STRAIGHT, folder / name)
    path.write_bytes(path.read_bytes()[:-100])
    assert "is damaged" in refused(path, straight, 1, CorruptFileError)


# Any file


@pytest.mark.parametrize("name", [*WRITERS, "mask.dcm"])
def test_garbage_is_refused(name, straight, folder):
    if name in WRITERS:
        module = "nibabel" if "nii" in name.lower() else "SimpleITK"
        pytest.importorskip(module)
    (folder / name).write_bytes(PATIENT.encode() * 100)
    assert f"{name} is damaged" in refused(folder / name, straight, 1, CorruptFileError)


def test_unknown_kind_is_refused(straight, folder):
    (folder / "mask.png").write_bytes(b"\x89PNG")
    message = refused(folder / "mask.png", straight)
    assert "must be DICOM (SEG or RTSTRUCT), NIfTI (.nii, .nii.gz), NRRD" in message


def test_dicom_needs_no_suffix(straight, folder):
    drawn = [contour(in_mm(BOX, 2, STRAIGHT))]
    path = save(rtstruct_of({"GTV": drawn}), folder / "1.2.345")
    assert load_mask(path, straight).sum() == 30


def test_missing_file_is_named_without_its_folder(straight, folder):
    message = refused(folder / "mask.dcm", straight, error=FileNotFoundError)
    assert message == "`source` must be a file, mask.dcm is none."


@pytest.mark.parametrize(
    ("name", "package"), [("mask.nii", "nibabel"), ("mask.nrrd", "SimpleITK")]
)
def test_missing_package_is_named(name, package, straight, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    (folder / name).touch()
    assert refused(folder / name, straight, error=ImportError) == (
        f"Reading {name} takes {package}: pip install 'skvae[radiomics]'."
    )


# Real files


@pytest.fixture
def unzipped(shared_data, tmp_path):
    def unzip(name):
        with zipfile.ZipFile(shared_data / f"{name}.zip") as archive:
            archive.extractall(tmp_path)
        return tmp_path

    return unzip


def centre(mask, affine):
    """Centre of a mask in millimetres."""
    return (affine @ [*np.argwhere(mask).mean(axis=0), 1])[:3]


SEGS = [
    ("dcmqi_ct_seg", "ct_3slice/CT", "ct_3slice/SEG/liver.dcm", [107098]),
    (
        "dcmqi_ct_seg",
        "ct_3slice/CT",
        "ct_3slice/SEG/partial_overlaps.dcm",
        [9602, 11888, 10743, 6693, 4713],
    ),
    ("dcmqi_ct_seg", "23x38x3/CT", "23x38x3/SEG/label.dcm", [322]),
    (
        "qin_prostate_adc_seg",
        "PCAMPMRI-00001/MR_ADC",
        "PCAMPMRI-00001/SEG/1-1.dcm",
        [140, 2158, 118, 15306],
    ),
]


@pytest.mark.parametrize(("archive", "series", "seg", "sizes"), SEGS)
def test_real_segs_lie_where_highdicom_puts_them(archive, series, seg, sizes, unzipped):
    highdicom = pytest.importorskip("highdicom")
    root = unzipped(f"dicom_series/{archive}")
    like = load_series(root / series)
    with warnings.catch_warnings():  # on identifiers that the files lack
        warnings.simplefilter("ignore")
        whole = highdicom.seg.segread(root / seg).get_volume(combine_segments=False)
    for number, size in enumerate(sizes, 1):
        mask = load_mask(root / seg, like, number)
        expected = whole.array[..., number - 1]
        assert mask.sum() == expected.sum() == size
        np.testing.assert_allclose(
            centre(mask, like.affine), centre(expected, whole.affine), atol=0.01
        )


def test_real_fractional_seg(unzipped):
    root = unzipped("dicom_series/breast_mr_ucsf_br_06") / "UCSF-BR-06"
    stored = pixel_array(root / "SEG/1-1.dcm")
    for series in ("MR_PE1", "MR_SER"):
        like = load_series(root / series)
        mask = load_mask(root / "SEG/1-1.dcm", like)
        assert mask.sum() == (stored >= 128).sum() == 82527
        assert mask.any(axis=(1, 2)).sum() == len(stored) == 42


def drawn_by_matplotlib(path, number, like):
    expected = np.zeros(like.shape, bool)
    rois = dcmread(path).ROIContourSequence
    (roi,) = (roi for roi in rois if roi.ReferencedROINumber == number)
    for item in roi.ContourSequence:
        points = np.reshape(item.ContourData, (-1, 3)).astype(float)
        indices = np.linalg.inv(like.affine) @ np.c_[points, np.ones(len(points))].T
        index = round(indices[0].mean())
        expected[index] ^= inside(indices[1:3].T, like.shape[1:])
    return expected


RTSTRUCTS = [
    ("sts/dicom/STS_002", "STS_002/MR_T1/image", "STS_002/MR_T1/rtstruct/rtstruct.dcm"),
    ("sts/dicom/STS_002", "STS_002/CT/image", "STS_002/CT/rtstruct/rtstruct.dcm"),
    ("sts/dicom/STS_002", "STS_002/PET/image", "STS_002/PET/rtstruct/rtstruct.dcm"),
    (
        "dicom_series/sts_raw_001_mr_t2_rtstruct",
        "STS_001/MR_T2",
        "STS_001/RTSTRUCT/1-1.dcm",
    ),
]


@pytest.mark.parametrize(("archive", "series", "structures"), RTSTRUCTS)
def test_real_contours_agree_with_matplotlib(archive, series, structures, unzipped):
    root = unzipped(archive)
    like = load_series(root / series)
    mask = load_mask(root / structures, like, 1)
    expected = drawn_by_matplotlib(root / structures, 1, like)
    np.testing.assert_array_equal(mask, expected)
    assert mask.any()


@pytest.mark.parametrize("patient", ["STS_002", "STS_019"])
def test_real_contours_have_the_volume_of_the_source(patient, unzipped, shared_data):
    root = unzipped(f"sts/dicom/{patient}") / patient / "MR_T1"
    like = load_series(root / "image")
    size = load_mask(root / "rtstruct/rtstruct.dcm", like).sum() * np.prod(like.spacing)
    source = np.load(shared_data / "sts/sts_rois_32.npz")
    (row,) = np.flatnonzero(source["patient_id"] == patient)
    expected = source["mask"][row].sum() * source["voxel_mm"][row] ** 3
    assert size == pytest.approx(expected, rel=0.03)  # resampled, hence not the same


def test_real_contours_of_another_space(unzipped):
    root = unzipped("dicom_series/rtutils_ct_phantom_rtstruct") / "mock_data"
    like = load_series([root / "ct_1.dcm", root / "ct_2.dcm"])
    assert "ReferencedFrameOfReferenceUID differs" in refused(root / "rt.dcm", like)
    assert "slice 2 of 0 to 1" in refused(root / "invalid_reference_rt.dcm", like, 1)
    like = dataclasses.replace(like, frame_of_reference=None)
    mask = load_mask(root / "rt.dcm", like)
    expected = drawn_by_matplotlib(root / "rt.dcm", 1, like)
    np.testing.assert_array_equal(mask, expected)
    assert mask.any()


def test_contours_on_a_real_oblique_series(unzipped, folder):
    root = unzipped("dicom_series/rtutils_ct_phantom_rtstruct")
    like = load_series(root / "oriented_data")
    assert like.shape == (3, 50, 100)
    polygon = star(np.random.RandomState(0), [20, 60], 25)
    drawn = [contour(in_mm(polygon, 2, like.affine))]
    path = save(rtstruct_of({"GTV": drawn}), folder / "mask.dcm")
    mask = load_mask(path, like)
    np.testing.assert_array_equal(mask[2], inside(polygon, (50, 100)))
    assert not mask[:2].any()


def test_real_nifti_lies_where_simpleitk_puts_it(unzipped):
    sitk = pytest.importorskip("SimpleITK")
    pytest.importorskip("nibabel")
    root = unzipped("dicom_series/prostate_mr_t2") / "Prostate-MRI-US-Biopsy-0001"
    like = load_series(root / "MR_T2")
    mask = load_mask(root / "seg.nii.gz", like)
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(sitk.ReadImage(root / "seg.nii.gz"))
    assert mask.sum() == shapes.GetNumberOfPixels(1) == 74253
    np.testing.assert_allclose(
        centre(mask, like.affine), shapes.GetCentroid(1), atol=1e-3
    )

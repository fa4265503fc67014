"""Synthetic data for examples and tests: DICOM series on disk."""

from pathlib import Path

import numpy as np
import pandas as pd
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from scipy.ndimage import gaussian_filter
from sklearn.utils import check_random_state

_STORAGE = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
}


def write_dicom_series(
    folder, array, affine, *, modality="MR", edit=None, **attributes
):
    """Write a volume as a DICOM series, one file per slice.

    Parameters
    ----------
    folder : path
        Made if it isn't there. Files are named by the number of their slice.
    array : array-like of shape (n_slices, n_rows, n_columns), int16 or uint16
        Stored values.
    affine : array-like of shape (4, 4)
        Takes indices (slice, row, column, 1) to millimetres (x, y, z, 1), as in
        `skvae.dicom.Volume`.
    modality : {"CT", "MR", "PT"}, default="MR"
    edit : callable, default=None
        Called as ``edit(dataset, number)`` before each slice is written, with its
        ``pydicom.Dataset``. Returns nothing, or False to leave the slice out.
    **attributes
        DICOM attributes by keyword, the same for all slices: ``PatientID="P1"``.

    Returns
    -------
    files : list of Path
    """
    affine, array = np.asarray(affine, dtype=float), np.asarray(array)
    if array.dtype.kind not in "iu" or array.itemsize > 4:
        raise TypeError(f"`array` must hold integers to store, got {array.dtype}.")
    shared = {
        "PatientID": "phantom",
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "FrameOfReferenceUID": generate_uid(),
        **attributes,
    }
    files = []
    for number, values in enumerate(array):
        dataset = _new_dataset(modality, shared)
        _set_geometry(dataset, affine, number)
        _set_pixels(dataset, values)
        if edit is None or edit(dataset, number) is not False:
            files.append(_save(dataset, Path(folder, f"{number:03d}.dcm")))
    return files


def write_rtstruct(path, contours, *, name="tumour", drawn_on=None, **attributes):
    """Write contours of one or several regions as an RT structure set.

    Parameters
    ----------
    path : path
    contours : list of array-like of shape (n_points, 3), or dict of such lists
        Closed polygons, each in one slice, in millimetres. A dict holds those of
        several regions by their names.
    name : str, default="tumour"
        Of the region, if `contours` is a list.
    drawn_on : str, default=None
        SeriesInstanceUID of the images that the regions were drawn on.
    **attributes
        DICOM attributes by keyword; "FrameOfReferenceUID" is that of the images.

    Returns
    -------
    path : Path
    """
    regions = contours if isinstance(contours, dict) else {name: contours}
    dataset = _new_dataset("RTSTRUCT", attributes)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, (name, polygons) in enumerate(regions.items(), 1):
        region = Dataset()
        region.ROINumber = number
        region.ROIName = name
        region.ReferencedFrameOfReferenceUID = attributes["FrameOfReferenceUID"]
        dataset.StructureSetROISequence.append(region)
        outlines = Dataset()
        outlines.ReferencedROINumber = number
        outlines.ContourSequence = list(map(_contour, polygons))
        dataset.ROIContourSequence.append(outlines)
    if drawn_on is not None:
        series, study, space = Dataset(), Dataset(), Dataset()
        series.SeriesInstanceUID = drawn_on
        study.RTReferencedSeriesSequence = [series]
        space.FrameOfReferenceUID = attributes["FrameOfReferenceUID"]
        space.RTReferencedStudySequence = [study]
        dataset.ReferencedFrameOfReferenceSequence = [space]
    return _save(dataset, Path(path))


def make_dicom_cohort(
    root, n_patients=40, *, modalities=("MR",), regions=("tumour",), random_state=None
):
    """Write synthetic patients to disk: a tumour of one of two kinds, and its contours.

    Each patient is a folder with an MR series of 16 slices of 48 x 48 pixels (3 mm
    apart, pixels of 1.5 mm) and an RT structure set. Tumours of class 1 are coarser in
    texture, darker in their core and more lobed than those of class 0; both vary in
    size and place, and overlap in every single trait.

    Parameters
    ----------
    root : path
        Folder to write to, made if it isn't there.
    n_patients : int, default=40
    modalities : tuple of {"MR", "CT"}, default=("MR",)
        Series of each patient, in one frame of reference, each with a structure set of
        its own. CT has 36 x 36 pixels of 2 mm.
    regions : tuple of one or two str, default=("tumour",)
        Names of the regions in each structure set: the tumour and, if there are two,
        the tumour with the oedema around it.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    patients : DataFrame of shape (n_patients, 2)
        Columns "patient_id" and "label", 0 or 1.

    Raises
    ------
    ValueError
        If `modalities` or `regions` is not valid.
    """
    if not {*modalities} <= {*_IMAGES}:
        raise ValueError(f"`modalities` must be of {[*_IMAGES]}, got {modalities!r}.")
    if isinstance(regions, str) or len(regions) not in (1, 2):
        raise ValueError(f"`regions` must be one or two names, got {regions!r}.")
    rng = check_random_state(random_state)
    labels = rng.permutation(np.arange(n_patients) % 2)
    names = [f"phantom-{number:03d}" for number in range(n_patients)]
    for name, label in zip(names, labels, strict=True):
        _write_patient(Path(root, name), name, label, modalities, regions, rng)
    return pd.DataFrame({"patient_id": names, "label": labels})


_PIXELS = {"MR": (48, 1.5), "CT": (36, 2.0)}  # number along a side, mm
_OEDEMA = 1.3  # reach of the oedema, as a multiple of that of the tumour


def _write_patient(folder, name, label, modalities, regions, rng):
    uids = {
        "PatientID": name,
        "StudyInstanceUID": generate_uid(),
        "FrameOfReferenceUID": generate_uid(),
    }
    centre = (np.array([16, 48, 48]) - 1) / 2 + rng.uniform(-3, 3, 3)
    outline = _lobed_outline(label, centre[0], rng)
    reaches = dict(zip(regions, (1, _OEDEMA), strict=False))
    for modality in modalities:
        n_pixels, spacing = _PIXELS[modality]
        affine = np.eye(4)
        affine[:3, :3] = np.diag([3.0, spacing, spacing])[::-1]
        middle = centre[1:] * (_PIXELS["MR"][1] / spacing)
        image, more = _IMAGES[modality](
            *_distances(n_pixels, spacing, middle, outline), label, len(reaches), rng
        )
        series = generate_uid()
        write_dicom_series(
            folder / modality,
            image,
            affine,
            modality=modality,
            SeriesInstanceUID=series,
            **more,
            **uids,
        )
        contours = {
            region: _outlines(outline, reach, middle, spacing, affine)
            for region, reach in reaches.items()
        }
        file = "tumour.dcm" if len(modalities) == 1 else f"regions_{modality}.dcm"
        write_rtstruct(folder / file, contours, drawn_on=series, **uids)


def _distances(n_pixels, spacing, middle, outline):
    """Return the distance of each voxel from the axis of a tumour, and its outline's.

    Both are in mm, each of shape (16, n_pixels, n_pixels).
    """
    slices, rows, columns = np.indices((16, n_pixels, n_pixels))
    across = (np.stack([rows, columns]) - middle[:, None, None, None]) * spacing
    radius, angle = np.hypot(*across), np.arctan2(*across)
    return radius, outline(slices, angle)


def _mr_image(radius, limit, label, n_regions, rng):
    shape = radius.shape
    image = 300 + 60 * _smooth_noise(shape, 3.0, rng) + 15 * rng.standard_normal(shape)
    texture = _smooth_noise(shape, 0.9 + 0.2 * label + rng.uniform(-0.4, 0.4), rng)
    core = (0.1 * label + rng.uniform(0, 0.3)) * np.exp(-((radius / 8) ** 2))
    tumour = 600 * (1 - core) + 70 * texture + 15 * rng.standard_normal(shape)
    if n_regions > 1:
        image[radius < _OEDEMA * limit] += 150
    image = np.where(radius < limit, tumour, image)
    return image.clip(0, 2000).astype(np.uint16), {}


def _ct_image(radius, limit, label, n_regions, rng):
    shape = radius.shape
    image = -90 + 15 * _smooth_noise(shape, 3.0, rng) + 8 * rng.standard_normal(shape)
    texture = _smooth_noise(shape, 0.9 + 0.2 * label + rng.uniform(-0.4, 0.4), rng)
    tumour = 45 + 12 * texture + 8 * rng.standard_normal(shape)
    if n_regions > 1:
        image[radius < _OEDEMA * limit] += 60
    image = np.where(radius < limit, tumour, image)
    return image.astype(np.int16), {"RescaleSlope": 1, "RescaleIntercept": 0}


_IMAGES = {"CT": _ct_image, "MR": _mr_image}


def _outlines(outline, scale, middle, spacing, affine):
    """Return polygons of shape (90, 3) in mm, one for each slice of a region."""
    turn = np.linspace(-np.pi, np.pi, 90, endpoint=False)
    polygons = []
    for number in range(16):
        reach = scale * outline(number, turn)
        if reach.min() > 0:
            rows = middle[0] + reach * np.sin(turn) / spacing
            columns = middle[1] + reach * np.cos(turn) / spacing
            indices = np.stack([np.full(90, number), rows, columns, np.ones(90)])
            polygons.append((affine @ indices)[:3].T)
    return polygons


def _lobed_outline(label, middle, rng):
    """Return the radius of a tumour in mm as a function of slice and angle."""
    size = rng.uniform(11, 17)
    phases = rng.uniform(0, 2 * np.pi, 4)
    depths = (0.03 + 0.03 * label + rng.uniform(0, 0.05)) * rng.uniform(0.5, 1, 4)

    def outline(number, angle):
        height = 3.0 * (number - middle) / size
        round_part = np.sqrt(np.clip(1 - height**2, 0, None))
        lobes = sum(
            depth * np.cos((k + 2) * angle + phase + height)
            for k, (depth, phase) in enumerate(zip(depths, phases, strict=True))
        )
        return size * round_part * (1 + lobes)

    return outline


def _smooth_noise(shape, width, rng):
    noise = gaussian_filter(rng.standard_normal(shape), width)
    return noise / noise.std()


def _new_dataset(modality, attributes):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = _STORAGE[modality]
    dataset.SOPInstanceUID = generate_uid()
    dataset.Modality = modality
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def _set_geometry(dataset, affine, number):
    rows, columns = affine[:3, 1], affine[:3, 2]
    spacing = np.linalg.norm([rows, columns], axis=1)
    cosines = np.concatenate([columns / spacing[1], rows / spacing[0]])
    position = affine[:3] @ [number, 0, 0, 1]
    dataset.ImageOrientationPatient = _decimals(cosines)
    dataset.ImagePositionPatient = _decimals(position)
    dataset.PixelSpacing = _decimals(spacing)
    dataset.SliceThickness = _decimals([np.linalg.norm(affine[:3, 0])])[0]


def _set_pixels(dataset, values):
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * values.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = values.astype(values.dtype.newbyteorder("<")).tobytes()


def _contour(points):
    contour = Dataset()
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = _decimals(np.ravel(points))
    return contour


def _decimals(values):
    return [f"{value:.10g}"[:16] for value in values]


def _save(dataset, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path

"""Damage files in thousands of ways, and count what the reader makes of each.

Usage::

    [SKVAE_DATA=...] python examples/benchmarks/fuzz.py [--n 10000] [--seed 0] [--list]

Each mutant is one file of a small folder. The folder is scanned, its volumes are loaded
by row and by folder, and its mask is read. A mutant ends as one of

- crash: an exception but DicomError and OSError, or the end of the process
- hang: no answer within 20 seconds
- told: an error, a problem in the table of `scan`, or a warning
- same: all values, affines and units are those of the original
- near: as "same", but an affine moved within the tolerance of 1 % of a spacing
- rows: `scan` lists other volumes (a file has the UID of another series, say)
- silent: values, affine or units changed, and nothing was said
- pixels: as "silent", where stored pixels, points of contours or a deflated data set
  were touched, whose bytes carry no redundancy that a check could use
"""

import argparse
import os
import resource
import struct
import sys
import tempfile
import traceback
import warnings
import zipfile
from collections import Counter
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import gdcm
import nibabel
import numpy as np
import pydicom
import SimpleITK
from pydicom.data import get_testdata_file
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from skvae.datasets import write_dicom_series, write_rtstruct
from skvae.dicom import DicomError, load_mask, load_series, scan

PATIENCE = 20  # seconds
MEMORY = 8 << 30  # bytes of address space
AFFINE = np.array([[0, 0, 0.5, -20], [0, 0.75, 0, -30], [2.5, 0, 0, 100], [0, 0, 0, 1]])
SHAPE = 4, 36, 40
UIDS = {
    keyword: f"1.2.826.0.1.3680043.8.498.{number}"
    for number, keyword in enumerate(
        ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"), 1001
    )
}
OUTCOMES = ("crash", "hang", "told", "same", "near", "rows", "silent", "pixels")
RANK = ("crash", "silent", "rows", "near", "told", "same")  # of the ways to read


# What is damaged: folders of a few small files.


def hounsfield(dataset, number):
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
    dataset.SeriesDescription, dataset.InstanceNumber = "chest", number
    dataset.KVP, dataset.WindowCenter, dataset.WindowWidth = 120, 40, 400
    dataset.SOPInstanceUID = f"{UIDS['SeriesInstanceUID']}.{number}"


def series(folder, syntax=ExplicitVRLittleEndian):
    rng = np.random.default_rng(0)
    array = rng.integers(900, 1200, SHAPE).astype(np.uint16)
    for path in write_dicom_series(
        folder, array, AFFINE, modality="CT", edit=hounsfield, **UIDS
    ):
        dataset = pydicom.dcmread(path)
        if syntax.is_encapsulated:
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = syntax
        implicit = syntax.is_implicit_VR
        pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=True)
    return folder / "001.dcm"


def becquerels(dataset, number):
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
        "RescaleSlope": 2 + number,
        "RescaleIntercept": 0,
        "RadiopharmaceuticalInformationSequence": [drug],
    }
    for keyword, value in values.items():
        setattr(dataset, keyword, value)


def pet(folder):
    array = np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16)
    files = write_dicom_series(
        folder, array, AFFINE, modality="PT", edit=becquerels, **UIDS
    )
    return files[0]


def lossless_jpeg(folder):
    """As pydicom can't write it, gdcm does."""
    victim = series(folder)
    for path in folder.iterdir():
        reader, change = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(
            gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1)
        )
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    return victim


def bundled(name):
    def make(folder):
        content = Path(get_testdata_file(name)).read_bytes()
        return write(folder / "a.dcm", content)

    return make


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def encoded(syntax):
    return lambda folder: series(folder, syntax)


def of(**values):
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def framed(folder, n_frames, name):
    """Return a multi-frame data set at the places of the series, without pixels."""
    series(folder)
    dataset = pydicom.dcmread(folder / "000.dcm")
    for keyword in ("ImageOrientationPatient", "PixelSpacing", "ImagePositionPatient"):
        delattr(dataset, keyword)
    cosines, spacing = [1, 0, 0, 0, 1, 0], [0.75, 0.5]
    dataset.NumberOfFrames = n_frames
    dataset.SOPInstanceUID = f"{UIDS['SeriesInstanceUID']}.{name}"
    shared = of(
        PlaneOrientationSequence=[of(ImageOrientationPatient=cosines)],
        PixelMeasuresSequence=[of(PixelSpacing=spacing, SliceThickness=2.5)],
    )
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [
        of(
            PlanePositionSequence=[
                of(ImagePositionPatient=list(AFFINE[:3] @ [index, 0, 0, 1]))
            ]
        )
        for index in range(n_frames)
    ]
    return dataset


def multiframe(folder):
    dataset = framed(folder, SHAPE[0], 90)
    for path in folder.iterdir():
        path.unlink()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    del dataset.RescaleSlope, dataset.RescaleIntercept
    rescaling = of(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
    dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [
        rescaling
    ]
    array = np.random.default_rng(0).integers(900, 1200, SHAPE).astype(np.uint16)
    dataset.PixelData = array.tobytes()
    dataset.save_as(folder / "frames.dcm", enforce_file_format=True)
    return folder / "frames.dcm"


def segmentation(kind):
    def make(folder):
        dataset = framed(folder, 3, 91)
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.Modality, dataset.SegmentationType = "SEG", kind
        dataset.SeriesInstanceUID = f"{dataset.SeriesInstanceUID}.9"
        dataset.SegmentSequence = [of(SegmentNumber=1, SegmentLabel="tumour")]
        for groups in dataset.PerFrameFunctionalGroupsSequence:
            groups.SegmentIdentificationSequence = [of(ReferencedSegmentNumber=1)]
        mask = np.random.default_rng(1).random((3, *SHAPE[1:])) < 0.4
        bits = 1 if kind == "BINARY" else 8
        dataset.BitsAllocated = dataset.BitsStored = bits
        dataset.HighBit = bits - 1
        packed = np.packbits(mask.ravel(), bitorder="little")
        dataset.PixelData = (
            packed if kind == "BINARY" else mask.astype(np.uint8) * 200
        ).tobytes()
        if kind == "FRACTIONAL":
            dataset.MaximumFractionalValue = 200
            dataset.SegmentationFractionalType = "PROBABILITY"
        dataset.save_as(folder / "mask.dcm", enforce_file_format=True)
        return folder / "mask.dcm"

    return make


def contours(folder):
    series(folder)
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    rings = [
        (
            AFFINE
            @ [
                np.full(12, index),
                17.4 + 9 * np.sin(turn),
                18.6 + 11 * np.cos(turn),
                np.ones(12),
            ]
        )[:3].T.round(3)
        for index in range(3)
    ]
    return write_rtstruct(folder / "mask.dcm", rings, **UIDS)


def label_image(name, **options):
    def make(folder):
        series(folder)
        mask = (np.random.default_rng(1).random(SHAPE) < 0.4).astype(np.uint8)
        return write_image(folder / name, mask, **options)

    return make


def image(name, **options):
    def make(folder):
        values = np.random.default_rng(0).integers(-100, 200, SHAPE).astype(np.int16)
        return write_image(folder / name, values, **options)

    return make


def write_image(path, values, **options):
    if "nii" in path.name:
        to_ras = np.diag([-1.0, -1, 1, 1]) @ AFFINE[:, [2, 1, 0, 3]]
        nibabel.save(nibabel.Nifti1Image(values.T, to_ras), path)
    else:
        written = SimpleITK.GetImageFromArray(values)
        written.SetSpacing([0.5, 0.75, 2.5])
        written.SetOrigin(AFFINE[:3, 3])
        SimpleITK.WriteImage(written, path, **options)
    return path


def shared(archive, names, victim):
    """Some files of the real data that SKVAE_DATA names."""

    def make(folder):
        path = Path(os.environ["SKVAE_DATA"], "dicom_series", f"{archive}.zip")
        with zipfile.ZipFile(path) as file:
            for name in sorted(file.namelist()):
                if any(part in name for part in names):
                    write(folder / Path(name).name, file.read(name))
        return folder / victim

    return make


CASES = {
    "explicit": encoded(ExplicitVRLittleEndian),
    "implicit": encoded(ImplicitVRLittleEndian),
    "RLE": encoded(RLELossless),
    "JPEG 2000": encoded(JPEG2000Lossless),
    "JPEG-LS": encoded(JPEGLSLossless),
    "JPEG lossless": lossless_jpeg,
    "PET": pet,
    "CT_small": bundled("CT_small.dcm"),
    "MR_small implicit": bundled("MR_small_implicit.dcm"),
    "MR_small RLE": bundled("MR_small_RLE.dcm"),
    "MR_small big endian": bundled("MR_small_bigendian.dcm"),
    "deflated": encoded(DeflatedExplicitVRLittleEndian),
    "multi-frame": multiframe,
    "SEG binary": segmentation("BINARY"),
    "SEG fractional": segmentation("FRACTIONAL"),
    "RTSTRUCT": contours,
    "NIfTI": label_image("mask.nii"),
    "NIfTI gz": label_image("mask.nii.gz"),
    "NRRD": label_image("mask.nrrd"),
    "NRRD gz": label_image("mask.nrrd", useCompression=True),
    "MetaImage": label_image("mask.mha"),
    "MetaImage compressed": label_image("mask.mha", useCompression=True),
    "image NIfTI": image("image.nii"),
    "image NIfTI gz": image("image.nii.gz"),
    "image NRRD": image("image.nrrd"),
    "image NRRD gz": image("image.nrrd", useCompression=True),
    "image MetaImage": image("image.mha", useCompression=True),
}
if "SKVAE_DATA" in os.environ:
    small = ["23x38x3/CT/", "23x38x3/SEG"]
    CASES |= {
        "real CT": shared("dcmqi_ct_seg", small, "IMG0002.dcm"),
        "real SEG": shared("dcmqi_ct_seg", small, "label.dcm"),
        "real multi-frame CT": shared("dcmqi_ct_seg", ["CT_multiframe"], "mf.dcm"),
        "real multi-frame MR": shared("siemens_xa10_enhanced_mr", ["6_1"], "6_1.dcm"),
    }


# How it is damaged.


def elements(data):
    """List the elements of a little-endian file: start, start of value, end, keyword.

    Elements in sequences follow their sequence.
    """
    syntax = pydicom.dcmread(pydicom.filebase.DicomBytesIO(data), force=True)
    implicit, _ = syntax.original_encoding
    found, offset = [], 132
    while offset + 8 <= len(data):
        group, number, length = struct.unpack_from("<HHI", data, offset)
        tag, start = group << 16 | number, offset + 8
        kind = data[offset + 4 : offset + 6]
        if group != 0xFFFE and (group == 2 or not implicit):
            if kind in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"UC", b"UR"):
                (length,) = struct.unpack_from("<I", data, start)
                start += 4
            else:
                length >>= 16
            is_nested = kind == b"SQ"
        else:
            is_nested = group == 0xFFFE or vr_of(tag) == "SQ"
        name = "file meta" if group == 2 else keyword_for_tag(tag) or f"{tag:08X}"
        if tag == 0x7FE00010:
            return [*found, (offset, start, len(data), name)]
        end = start if is_nested or length == 0xFFFFFFFF else start + length
        found.append((offset, start, min(end, len(data)), name))
        offset = end
    return found


def vr_of(tag):
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None


def places(path, data):
    """List the elements of a file, or header and pixels where it isn't plain DICOM."""
    if path.suffix == ".dcm":
        syntax = pydicom.dcmread(path).file_meta.TransferSyntaxUID
        if syntax.is_deflated:
            meta = pydicom.filereader.read_file_meta_info(path)
            start = 144 + meta.FileMetaInformationGroupLength
            return split_at(start, data, "deflate stream")
        if syntax.is_little_endian:
            return elements(data)
        return split_at(data.index(b"\x7f\xe0\x00\x10") + 12, data)
    if path.suffix == ".gz":
        return split_at(1, data, "compressed")
    if path.suffix == ".nii":
        return split_at(352, data)
    last = b"LOCAL\n" if path.suffix == ".mha" else b"\n\n"
    start = data.index(last) + len(last)
    is_compressed = b"encoding: gzip" in data or b"CompressedData = True" in data
    return split_at(start, data, "compressed" if is_compressed else "PixelData")


def split_at(start, data, name="PixelData"):
    return [(0, 0, start, "header"), (start, start, len(data), name)]


def somewhere(rng, data, parts, size=None):
    """Return places in the header or, one time in five, in the pixels."""
    start = parts[-1][1]
    if rng.random() < 0.8 or start == len(data):
        return rng.integers(start, size=size)
    return rng.integers(start, len(data), size=size)


def flip(rng, data, parts):
    mutant = bytearray(data)
    for place in somewhere(rng, data, parts, rng.integers(1, 4)):
        mutant[place] ^= 1 << int(rng.integers(8))
    return mutant


def cut(rng, data, parts):
    return data[: somewhere(rng, data, parts)]


def drop(rng, data, parts):
    start = somewhere(rng, data, parts)
    return data[:start] + data[start + int(rng.integers(1, 20)) :]


def repeat_bytes(rng, data, parts):
    start = somewhere(rng, data, parts)
    end = start + int(rng.integers(1, 40))
    return data[:end] + data[start:]


def overwrite(rng, data, parts):
    start = somewhere(rng, data, parts)
    noise = rng.bytes(int(rng.integers(1, 8)))
    return data[:start] + noise + data[start + len(noise) :]


def other_length(rng, data, parts):
    start, value, _, _ = parts[rng.integers(len(parts))]
    mutant = bytearray(data)
    place = value - int(rng.choice([2, 4])) if value > start else start
    old = int.from_bytes(data[place : place + 2], "little")
    new = int(rng.choice([old + 2, old - 2, old + 8, 2 * old, rng.integers(1 << 16)]))
    mutant[place : place + 2] = (new % (1 << 16)).to_bytes(2, "little")
    return mutant


def swap_elements(rng, data, parts):
    one, other = sorted(rng.integers(len(parts), size=2))
    if rng.random() < 0.5:
        one = max(other - 1, 0)
    (a, _, b, _), (c, _, d, _) = parts[one], parts[other]
    return data if c < b else data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def repeat_element(rng, data, parts):
    """Insert a copy of an element, sometimes with another value, at another element."""
    start, value, end, _ = parts[rng.integers(max(1, len(parts) - 1))]
    copy = bytearray(data[start:end])
    if end > value and rng.random() < 0.7:
        copy[-1 - int(rng.integers(end - value))] ^= 1 << int(rng.integers(4))
    at = end if rng.random() < 0.5 else parts[rng.integers(len(parts))][0]
    return data[:at] + copy + data[at:]


DAMAGES = (
    flip,
    flip,
    cut,
    drop,
    repeat_bytes,
    overwrite,
    other_length,
    swap_elements,
    repeat_element,
)


def where(original, mutant, parts):
    """Name the element that was damaged; of several, the one that bears values."""
    n = min(len(original), len(mutant))
    one, other = (np.frombuffer(data[:n], np.uint8) for data in (original, mutant))
    changed = np.flatnonzero(one != other)
    if len(original) != len(mutant):
        changed = np.append(changed, n)[:1]
    names = [
        name if place >= value else f"{name} (tag, type or length)"
        for place in changed[:20]
        for start, value, end, name in parts
        if start <= place < max(end, value)
    ]
    bearing = [name for name in BEARING if name in names]
    return [*bearing, *names, "preamble"][0]


BARE = ("PixelData", "ContourData", "deflate stream")
BEARING = (
    *BARE,
    "SeriesInstanceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "RescaleSlope",
    "PatientWeight",
    "RadiopharmaceuticalStartTime",
)


# What the reader makes of it.


class ToldError(Exception):
    """The reader said that something is wrong."""


def as_told(job):
    """Return what a job returns; raise `ToldError` for its errors and warnings."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            value = job()
        except (DicomError, OSError) as error:
            raise ToldError(str(error)) from None
    return value, {str(warning.message) for warning in said}


def of_rows(folder, mask, like):
    table = scan(folder)
    for problem in table["problem"].dropna():
        warnings.warn(problem, stacklevel=2)
    rows = [row for _, row in table[table["problem"].isna()].iterrows()]
    return sorted(map(load_series, rows), key=lambda v: (v.array.shape, v.units))


def of_folder(folder, mask, like):
    return [load_series(folder, suv=True)]


def of_mask(folder, mask, like):
    return [load_mask(mask, like)]


def of_file(folder, mask, like):
    if mask.suffix == ".dcm":
        raise ToldError  # one slice of a series
    return [load_series(mask)]


def outcome(read, before):
    """Compare what is read now with what was read before."""
    try:
        values, said = as_told(read)
    except ToldError:
        return "told"
    except Exception:
        traceback.print_exc(file=sys.stdout)
        return "crash"
    if said - before[1]:
        return "told"
    if len(values) != len(before[0]):
        return "rows"
    same = [agree(*pair) for pair in zip(values, before[0], strict=True)]
    return next((end for end in ("silent", "rows", "near") if end in same), "same")


def agree(new, old):
    if isinstance(new, np.ndarray):
        return "same" if np.array_equal(new, old) else "silent"
    if new.array.shape != old.array.shape:
        return "rows"
    if new.units != old.units or not np.array_equal(new.array, old.array):
        return "silent"
    moved = np.abs(new.affine - old.affine).max()
    if moved > 0.01 * min(old.spacing):
        return "silent"
    return "near" if moved else "same"


def attempts(folder, victim):
    """Return the ways to read a folder, and what each gives before the damage."""
    like, before = None, []
    for way in (of_rows, of_folder, of_mask, of_file):
        read = partial(way, folder, victim, like)
        try:
            before.append((read, as_told(read)))
        except ToldError:
            continue
        if way is of_rows and before[0][1][0]:
            like = before[0][1][0][-1]
    return before


def damage(case, number, seed, data, parts):
    rng = np.random.default_rng([seed, number, *case.encode()])
    how = DAMAGES[rng.integers(len(DAMAGES))]
    return how, bytes(how(rng, data, parts))


def work(case, numbers, seed, connection):
    """Read the mutants of one case, and report each."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where decoders write
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        victim = CASES[case](folder)
        data = victim.read_bytes()
        parts = places(victim, data)
        before = attempts(folder, victim)
        for number in numbers:
            how, mutant = damage(case, number, seed, data, parts)
            victim.write_bytes(mutant)
            ends = [outcome(read, known) for read, known in before]
            place = where(data, mutant, parts)
            end = min(ends, key=RANK.index)
            end = "pixels" if end == "silent" and place in BARE else end
            connection.send((number, how.__name__, end, place))


def answers(case, numbers, seed):
    """Yield what a process reports, until all is done or the process ends or hangs."""
    context = get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    worker = context.Process(target=work, args=(case, numbers, seed, theirs))
    worker.start()
    theirs.close()
    end = None
    for number in numbers:
        try:
            end = None if ours.poll(PATIENCE) else "hang"
            yield (number, "?", end, "?") if end else ours.recv()
        except EOFError:
            end = "crash"
            yield number, "?", end, "?"
        if end:
            break
    worker.kill()
    worker.join()


def watched(case, n_mutants, seed):
    """Yield what becomes of each mutant, also where the process ends or hangs."""
    numbers = list(range(n_mutants))
    while numbers:
        for result in answers(case, numbers, seed):
            yield result
            numbers = numbers[1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=10_000, help="mutants in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", choices=CASES, help="one kind of file only")
    parser.add_argument("--list", action="store_true", help="name each silent one")
    options = parser.parse_args()
    cases = [options.case] if options.case else list(CASES)
    n_each = -(-options.n // len(cases))
    totals, traced = Counter(), Counter()
    print(f"{'':20}" + "".join(f"{name:>8}" for name in OUTCOMES))
    for case in cases:
        ends = Counter()
        for number, how, end, place in watched(case, n_each, options.seed):
            ends[end] += 1
            if end in ("silent", "pixels", "near", "rows"):
                traced[end, place] += 1
            if options.list and end in ("silent", "rows", "crash", "hang"):
                print(f"  {case} {number}: {end} after {how} in {place}")
        totals += ends
        print(
            f"{case:20}" + "".join(f"{ends[name]:8}" for name in OUTCOMES), flush=True
        )
    print(f"{'all':20}" + "".join(f"{totals[name]:8}" for name in OUTCOMES))
    print("\nWhere the damage lay that nothing was said of")
    for (end, place), count in sorted(traced.items(), key=lambda item: -item[1]):
        print(f"{count:6}  {end:8}{place}")


if __name__ == "__main__":
    main()

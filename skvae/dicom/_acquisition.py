"""How series were acquired, by what their headers say."""

import re
from contextlib import suppress
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd
import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from ._errors import DicomError
from ._headers import is_dicom, quiet_pydicom
from ._images import hash_of_image
from ._series import Source, files_of, image_file_in, modality_of
from ._volume import hashed

_NUMBERS = {
    "field_strength": ("MagneticFieldStrength",),
    "kvp": ("KVP",),
    "pixel_spacing": ("PixelSpacing",),
    "slice_thickness": ("SliceThickness",),
    "echo_time": ("EchoTime", "EffectiveEchoTime"),
    "repetition_time": ("RepetitionTime",),
    "inversion_time": ("InversionTime",),
    "flip_angle": ("FlipAngle",),
}
_TEXTS = {"model": "ManufacturerModelName", "kernel": "ConvolutionKernel"}
_MODALITIES = {"CR", "CT", "DX", "MG", "MR", "NM", "OPT", "PT", "US", "XA"}
_COLUMNS = (
    "series",
    "modality",
    "manufacturer",
    "model",
    *_NUMBERS,
    "kernel",
    "contrast",
)
# How the names of vendors are written varies from one of their scanners to the next.
_VENDORS = {
    "GE": r"\bge\b|general electric",
    "Siemens": "siemens",
    "Philips": "philips|marconi|picker",
    "Canon (Toshiba)": "canon|toshiba",
    "Fujifilm (Hitachi)": "fuji|hitachi",
    "United Imaging": r"united imaging|\buih\b",
    "Neusoft": "neusoft",
    "Hyperfine": "hyperfine",
    "Esaote": "esaote",
    "Mediso": "mediso",
    "Bruker": "bruker",
    "Hologic": "hologic",
    "Samsung": "samsung",
    "Elekta": "elekta",
    "Varian": "varian",
    "Accuray": "accuray|tomotherapy",
}
_PLAIN = re.compile(r"[\w .,+*/()-]{1,48}", re.ASCII)
_IDENTIFYING = (
    *("PatientID", "OtherPatientIDs", "AccessionNumber", "StudyID"),
    *("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName"),
)
_NOTHING = {"n", "n/a", "na", "no", "none", "unknown"}  # written in words
_GAUSS = 1e4  # per tesla


def acquisition(volumes: Any) -> pd.DataFrame:
    """Tell how series were acquired, by the header of one image of each.

    The columns are what a paper states of its images, and what features may depend on
    without anyone's intention. Nothing that tells who a patient is, or where and when
    the images were made, is read.

    Parameters
    ----------
    volumes : DataFrame or list
        A table from `scan`, or a list of what `load_series` takes.

    Returns
    -------
    acquisition : DataFrame of shape (n_volumes, 14)
        One row per volume, with the index of `volumes`. What a header doesn't say is
        missing; all is for files that can't be read. Of NIfTI, NRRD and MetaImage there
        are the hash of the file and the modality that a row states.

        - series: hash of the series UID, as in `Volume.provenance`
        - modality: "CT", "MR", "PT" and others; "other" for one that is not common
        - manufacturer: one name for all that a vendor calls itself; "other" if it is
          none of the known ones
        - model, kernel (of the CT reconstruction): as in the header, left out where the
          text repeats a name, an ID or an institution of the same header
        - field_strength in T, kvp, pixel_spacing (between rows) and slice_thickness in
          mm, echo_time, repetition_time and inversion_time in ms, flip_angle in degrees
        - contrast: whether a contrast agent is named

    See Also
    --------
    scan : Makes the table of volumes.

    Examples
    --------
    >>> from pydicom.data import get_testdata_file
    >>> from skvae.dicom import acquisition
    >>> acquisition([get_testdata_file("CT_small.dcm")])[["model", "kvp"]]
          model    kvp
    0  RHAPSODE  120.0
    """
    rows = [row for _, row in volumes.iterrows()] if _is_table(volumes) else volumes
    index = volumes.index if _is_table(volumes) else None
    return pd.DataFrame(map(_describe, rows), index=index, columns=list(_COLUMNS))


def _is_table(volumes: Any) -> bool:
    return hasattr(volumes, "iterrows")


def _describe(source: Source) -> dict[str, Any]:
    """Describe one series; by nothing, where no header can be read."""
    with suppress(DicomError, OSError):
        image = image_file_in(source)
        if image is not None:
            return {"series": hash_of_image(image), "modality": modality_of(source)}
        for path in filter(is_dicom, files_of(source)):
            with quiet_pydicom(path):
                dataset = pydicom.dcmread(path, force=True, stop_before_pixels=True)
                if "Rows" in dataset:
                    return _values(dataset)
    return {}


def _values(dataset: Dataset) -> dict[str, Any]:
    """Take what is of interest from a header."""
    modality = _plain(dataset, "Modality")
    numbers = {name: _number(dataset, *keys) for name, keys in _NUMBERS.items()}
    strength = numbers["field_strength"]
    if strength is not None and strength > 100:  # some write gauss
        numbers["field_strength"] = strength / _GAUSS
    texts = {name: _text(dataset, keyword) for name, keyword in _TEXTS.items()}
    return {
        "series": hashed(dataset.get("SeriesInstanceUID")),
        "modality": modality if modality in _MODALITIES else "other",
        "manufacturer": _vendor(_plain(dataset, "Manufacturer")),
        "contrast": _has_contrast(dataset),
        **numbers,
        **texts,
    }


def _find(dataset: Dataset, keyword: str) -> Any:
    """Look an attribute up, also in the functional groups of a multi-frame image."""
    if keyword in dataset:
        return dataset[keyword].value
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for groups in (dataset.get(name) or [])[:1]:
            for element in groups:
                if element.VR == "SQ" and element.value and keyword in element.value[0]:
                    return element.value[0][keyword].value
    return None


def _number(dataset: Dataset, *keywords: str) -> float | None:
    for keyword in keywords:
        try:
            value = float(np.ravel(_find(dataset, keyword))[0])
        except (IndexError, TypeError, ValueError):
            continue
        if isfinite(value) and value > 0:
            return value
    return None


def _plain(dataset: Dataset, keyword: str) -> str:
    value = _find(dataset, keyword)
    if isinstance(value, MultiValue):
        value = "\\".join(map(str, value))
    text = str(value or "").strip("\0 ")
    return "" if text.lower() in _NOTHING else text


def _vendor(text: str) -> str | None:
    for name, pattern in _VENDORS.items():
        if re.search(pattern, text.lower()):
            return name
    return "other" if text else None


def _text(dataset: Dataset, keyword: str) -> str | None:
    """Return a text, unless it repeats what tells who a patient is."""
    text = " ".join(_plain(dataset, keyword).replace("\\", "/").split())
    known = [str(element.value) for element in dataset if element.VR == "PN"]
    known += [_plain(dataset, name) for name in _IDENTIFYING]
    is_telling = _words(text) & set().union(*map(_words, known))
    return text if _PLAIN.fullmatch(text) and not is_telling else None


def _words(text: str) -> set[str]:
    return {word for word in re.split(r"[\W_]+", text.lower()) if len(word) > 2}


def _has_contrast(dataset: Dataset) -> bool:
    return _plain(dataset, "ContrastBolusAgent") != ""

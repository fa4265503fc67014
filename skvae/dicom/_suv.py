"""Standardized uptake values of PET."""

from datetime import datetime, timedelta
from typing import Any

from pydicom.dataset import Dataset

from ._errors import SUVError


def suv_factor(dataset: Dataset, name: str) -> float:
    """Return what turns the values of a PET series into SUVbw, in g/ml.

    Activity concentrations in Bq/ml are divided by the dose that was left when the
    scan began, and multiplied by the weight of the patient.

    References
    ----------
    QIBA, "FDG-PET/CT technical committee: SUV vendor-neutral pseudo-code", 2012,
    https://qibawiki.rsna.org/index.php/Standardized_Uptake_Value_(SUV).
    """
    units = _required(dataset, "Units", name)
    if units == "GML" and dataset.get("SUVType", "BW") == "BW":
        return 1.0
    if units != "BQML":
        raise SUVError(f"{name}: Units must be BQML or GML for SUVbw, got {units}.")
    corrections = set(dataset.get("CorrectedImage") or ())
    if not {"ATTN", "DECY"} <= corrections:
        raise SUVError(
            f"{name}: CorrectedImage must list ATTN and DECY for SUVbw, got "
            f"{sorted(corrections)}."
        )
    weight = float(_required(dataset, "PatientWeight", name))
    dose = _dose_at_start(dataset, name)
    return 1000 * weight / dose


def _dose_at_start(dataset: Dataset, name: str) -> float:
    drugs = dataset.get("RadiopharmaceuticalInformationSequence") or [Dataset()]
    dose = float(_required(drugs[0], "RadionuclideTotalDose", name))
    decay = _required(dataset, "DecayCorrection", name)
    if decay == "ADMIN":
        return dose
    if decay != "START":
        raise SUVError(
            f"{name}: DecayCorrection must be START or ADMIN for SUVbw, got {decay}."
        )
    half_life = float(_required(drugs[0], "RadionuclideHalfLife", name))
    elapsed = (_scan_start(dataset, name) - _injection(drugs[0], dataset, name)) % (
        timedelta(days=1)
    )
    return dose * 2 ** (-elapsed.total_seconds() / half_life)


def _scan_start(dataset: Dataset, name: str) -> datetime:
    """Return the time of the series, unless that was written after the scan."""
    series = _time(_required(dataset, "SeriesTime", name))
    acquisition = _time(_required(dataset, "AcquisitionTime", name))
    same_day = dataset.get("SeriesDate") == dataset.get("AcquisitionDate")
    return series if not same_day or series <= acquisition else acquisition


def _injection(drug: Dataset, dataset: Dataset, name: str) -> datetime:
    moment = drug.get("RadiopharmaceuticalStartDateTime")
    if moment:
        return _time(str(moment)[8:])
    return _time(_required(drug, "RadiopharmaceuticalStartTime", name))


def _time(text: object) -> datetime:
    digits = str(text).split(".")[0][:6]
    return datetime.strptime(digits.ljust(6, "0"), "%H%M%S")


def _required(dataset: Dataset, keyword: str, name: str) -> Any:
    value = dataset.get(keyword)
    if value in (None, "", 0):
        raise SUVError(
            f"{name}: SUVbw needs {keyword}, which is missing. suv=False reads the "
            "values as they are."
        )
    return value

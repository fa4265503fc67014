"""Standardized uptake values of PET."""

from datetime import datetime, timedelta
from typing import Any

from pydicom.dataset import Dataset

from ._errors import SUVError
from ._terms import CORRECTIONS, UNITS, shown


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
    if units == "GML" and (dataset.get("SUVType") or "BW") == "BW":
        return 1.0
    if units != "BQML":
        raise SUVError(
            f"{name}: Units must be BQML or GML for SUVbw, got {shown(units, UNITS)}."
        )
    stated = dataset.get("CorrectedImage") or ()
    corrections = {stated} if isinstance(stated, str) else set(stated)
    if not {"ATTN", "DECY"} <= corrections:
        raise SUVError(
            f"{name}: CorrectedImage must list ATTN and DECY for SUVbw, got "
            f"{sorted(shown(value, CORRECTIONS) for value in corrections)}."
        )
    weight = _within(dataset, "PatientWeight", name, 0.1, 500, "kg")
    return 1000 * weight / _dose_at_start(dataset, name)


def _dose_at_start(dataset: Dataset, name: str) -> float:
    drugs = dataset.get("RadiopharmaceuticalInformationSequence") or [Dataset()]
    if len(drugs) > 1:
        raise SUVError(
            f"{name}: RadiopharmaceuticalInformationSequence must have one item for "
            f"SUVbw, got {len(drugs)}."
        )
    dose = _within(drugs[0], "RadionuclideTotalDose", name, 1e5, 1e11, "Bq")
    decay = _required(dataset, "DecayCorrection", name)
    if decay == "ADMIN":
        return dose
    if decay != "START":
        raise SUVError(
            f"{name}: DecayCorrection must be START or ADMIN for SUVbw, got "
            f"{shown(decay, {'NONE'})}."
        )
    half_life = _within(drugs[0], "RadionuclideHalfLife", name, 1, 1e7, "s")
    elapsed = _elapsed(dataset, drugs[0], half_life, name)
    return dose * 2 ** (-elapsed / half_life)


def _elapsed(dataset: Dataset, drug: Dataset, half_life: float, name: str) -> float:
    """Return the seconds from the injection to the start of the scan.

    A time of injection without its date is the last one before the scan.
    """
    start = _scan_start(dataset, name)
    stated = drug.get("RadiopharmaceuticalStartDateTime")
    if stated:
        injection = _moment(str(stated)[:8], str(stated)[8:], name)
    else:
        time = _required(drug, "RadiopharmaceuticalStartTime", name)
        injection = _moment(start.strftime("%Y%m%d"), time, name)
        if injection > start:
            injection -= timedelta(days=1)
    elapsed = (start - injection).total_seconds()
    if not 0 <= elapsed <= 10 * half_life:
        raise SUVError(
            f"{name}: RadiopharmaceuticalStartTime lies {elapsed / 3600:.1f} hours "
            "before the scan, which can't be: SUVbw needs the time of the injection."
        )
    return elapsed


def _scan_start(dataset: Dataset, name: str) -> datetime:
    """Return the time of the series, unless that was written after the scan."""
    acquisition_date = dataset.get("AcquisitionDate") or dataset.get("SeriesDate")
    series_date = dataset.get("SeriesDate") or acquisition_date
    acquisition = _moment(
        acquisition_date, _required(dataset, "AcquisitionTime", name), name
    )
    series = _moment(series_date, _required(dataset, "SeriesTime", name), name)
    return min(series, acquisition)


def _moment(date: object, time: object, name: str) -> datetime:
    digits = str(time).replace(":", "").split(".")[0][:6].ljust(6, "0")
    try:
        return datetime.strptime(f"{date or '20000101'}{digits}", "%Y%m%d%H%M%S")
    except ValueError:
        raise SUVError(
            f"{name}: SUVbw needs SeriesTime, AcquisitionTime and "
            "RadiopharmaceuticalStartTime as HHMMSS, and dates as YYYYMMDD."
        ) from None


def _within(
    dataset: Dataset, keyword: str, name: str, low: float, high: float, unit: str
) -> float:
    value = float(_required(dataset, keyword, name))
    if not low <= value <= high:
        raise SUVError(
            f"{name}: {keyword} must be {low:g} to {high:g} {unit} for SUVbw, got "
            f"{value:g}."
        )
    return value


def _required(dataset: Dataset, keyword: str, name: str) -> Any:
    value = dataset.get(keyword)
    if value in (None, "", 0):
        raise SUVError(
            f"{name}: SUVbw needs {keyword}, which is missing. suv=False reads the "
            "values as they are."
        )
    return value

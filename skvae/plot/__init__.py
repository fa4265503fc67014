"""Displays of trainings, searches, volumes and scores; alone in using matplotlib."""

from ._anomalies import FeatureScoreDisplay
from ._evaluation import CalibrationBandDisplay, ROCBandDisplay
from ._search import SearchDisplay
from ._training import LossCurveDisplay
from ._volumes import CohortDisplay, VolumeDisplay

__all__ = [
    "CalibrationBandDisplay",
    "CohortDisplay",
    "FeatureScoreDisplay",
    "LossCurveDisplay",
    "ROCBandDisplay",
    "SearchDisplay",
    "VolumeDisplay",
]

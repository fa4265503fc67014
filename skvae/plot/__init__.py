"""Displays of models, trainings, searches and volumes; alone in using matplotlib."""

from ._anomalies import FeatureScoreDisplay
from ._codes import (
    ComponentDisplay,
    LatentCorrelationDisplay,
    LatentSpaceDisplay,
    LayerComparisonDisplay,
)
from ._evaluation import CalibrationBandDisplay, ROCBandDisplay
from ._samples import (
    AttributionDisplay,
    LatentTraversalDisplay,
    ReconstructionDisplay,
    SampleDisplay,
)
from ._search import SearchDisplay
from ._training import LossCurveDisplay
from ._volumes import CohortDisplay, VolumeDisplay

__all__ = [
    "AttributionDisplay",
    "CalibrationBandDisplay",
    "CohortDisplay",
    "ComponentDisplay",
    "FeatureScoreDisplay",
    "LatentCorrelationDisplay",
    "LatentSpaceDisplay",
    "LatentTraversalDisplay",
    "LayerComparisonDisplay",
    "LossCurveDisplay",
    "ROCBandDisplay",
    "ReconstructionDisplay",
    "SampleDisplay",
    "SearchDisplay",
    "VolumeDisplay",
]

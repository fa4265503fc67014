"""What a study hands in: its table of features, its methods, a report on its model."""

from ._features_table import features_table
from ._methods_text import methods_text
from ._model_report import model_report

__all__ = ["features_table", "methods_text", "model_report"]

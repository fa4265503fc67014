"""What a study hands in: its table of features, and the text on its methods."""

from ._features_table import features_table
from ._methods_text import methods_text

__all__ = ["features_table", "methods_text"]

"""What all estimators have in common."""

from inspect import signature

from ._documentation import DocumentedMixin


class EstimatorMixin(DocumentedMixin):
    """Describe parameters in notebooks, and read files of earlier versions.

    It stands before `BaseEstimator`.
    """

    def __setstate__(self, state):
        """Take over a state; parameters that it lacks were added since."""
        parameters = signature(type(self)).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        super().__setstate__(defaults | state)

"""What a pipeline is made of."""

import platform
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version

from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer

from ..dicom import VolumeLoader

# Parameters that change no result, or that may hold a folder's name.
SILENT = {"cache", "callbacks", "copy", "memory", "n_jobs", "verbose"}
_AS_IT_IS = FunctionTransformer()  # that of a "passthrough"
_CONTAINERS = Pipeline | FeatureUnion | ColumnTransformer


def is_search(estimator):
    """Tell a search over parameters from what it searches."""
    return hasattr(estimator, "param_grid") or hasattr(estimator, "param_distributions")


def described(estimator):
    """Return the pipeline that a search has chosen, or is to set."""
    if not is_search(estimator):
        return estimator
    return getattr(estimator, "best_estimator_", estimator.estimator)


def steps_of(estimator, branch=""):
    """List the steps of a pipeline in order, each with the branch that it is in."""
    estimator = described(estimator)
    for name, part in _inner(estimator):
        yield from steps_of(part, "/".join(filter(None, [branch, name])))
    if hasattr(estimator, "get_params") and not isinstance(estimator, _CONTAINERS):
        yield branch, estimator


def _inner(estimator):
    """List the parts of an estimator; those of a pipeline are no branches."""
    if isinstance(estimator, Pipeline):
        return [("", part) for _, part in estimator.steps]
    if isinstance(estimator, FeatureUnion):
        return estimator.transformer_list
    if isinstance(estimator, ColumnTransformer):
        parts = getattr(estimator, "transformers_", estimator.transformers)
        return [(name, _AS_IT_IS if p == "passthrough" else p) for name, p, _ in parts]
    loader = getattr(estimator, "loader", None)
    return [] if loader is None else [("", loader)]


def parts_of(estimator):
    """List an estimator and all that it is made of, each once."""
    parts = [estimator]
    if hasattr(estimator, "get_params"):
        parts += [
            value
            for value in estimator.get_params().values()
            if isinstance(value, BaseEstimator)
        ]
    return list({id(part): part for part in parts}.values())


def params_of(estimator):
    """Return the parameters that decide a result."""
    params = estimator.get_params(deep=False)
    return {name: value for name, value in params.items() if name not in SILENT}


def predictor_of(estimator):
    """Return the last step of a pipeline if it predicts."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    return last if hasattr(last, "predict") else None


def channels_of(estimator):
    """List the columns of series that any loader of a pipeline reads."""
    loaders = [p for p in parts_of(estimator) if isinstance(p, VolumeLoader)]
    return list(dict.fromkeys(name for part in loaders for name in part.channels))


def versions_of(estimator):
    """Return the versions of all packages that a pipeline is made from."""
    modules = {type(part).__module__.split(".")[0] for part in parts_of(estimator)}
    modules |= {"skvae", "sklearn", "numpy", "scipy", "pandas", "pydicom"}
    for module, mark in {"torch": "architecture", "skimage": "loader"}.items():
        if any(hasattr(part, mark) for part in parts_of(estimator)):
            modules.add(module)
    known = _distributions()
    names = {known.get(module, [module])[0] for module in modules}
    versions = {"Python": platform.python_version()}
    for name in sorted(names, key=str.lower):
        with suppress(PackageNotFoundError):  # of functions in a notebook
            versions[name] = version(name)
    return versions


@cache
def _distributions():
    """Return the packages that modules come from, which takes a while to find out."""
    return packages_distributions()

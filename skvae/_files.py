"""Fitted estimators as files that are safe to open."""

import hashlib
import io
import json
import os
import platform
import sys
import uuid
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.metadata import version
from inspect import isclass
from pathlib import Path
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import numpy as np

from ._base import without_optimizers

_FORMAT = 1  # of files; a later one may not be read by this version
_MANIFEST = "skvae.json"
_PACKAGES = ("skvae", "scikit-learn", "skops", "torch", "numpy")
# Where the types are that estimators are made of, beside those that skops knows:
# all with parameters or splits there, and a few others.
_MODULES = [
    "skvae",
    "skvae.architectures",
    "skvae.dicom",
    "skvae.hashing",
    "skvae.impute",
    "skvae.model_selection",
    "skvae.nn",
    "skvae.outlier",
    "skvae.preprocessing",
    "skvae.radiomics",
    "sklearn.model_selection",
]
_TREE = "sklearn.tree._tree.Tree"  # which `_check_trees` looks into
_OTHER_TYPES = [
    "sklearn.metrics._scorer._MultimetricScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "skvae.metrics._ReconstructionScorer",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
    "numpy.ma.MaskedArray",  # newer versions of skops know it
    _TREE,
]


def save(estimator, path, *, optimizer=False):
    """Write a fitted estimator to a file that is safe to open.

    The file is a zip archive of arrays and JSON, in the format of skops: nothing in it
    is code, and `load` refuses what it does not know. It holds the estimator, the
    versions it was made with, and checksums.

    Parameters
    ----------
    estimator : estimator
        Any of this package or of scikit-learn, also a `Pipeline`, a `FeatureUnion` or a
        search.
    path : str or path
        The file to write. One that is there is replaced, once the new one is complete.
    optimizer : bool, default=False
        Whether to keep what optimizers remember, which takes twice the room of the
        weights. Only ``partial_fit`` and ``warm_start=True`` need it.

    Raises
    ------
    ImportError
        If skops is not installed: ``pip install 'skvae[files]'``.
    ValueError
        If a part of the estimator can't be written without a pickle, such as a torch
        module given as `architecture`. Nothing is written then.

    See Also
    --------
    load : Reads it.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import load_digits
    >>> import skvae
    >>> X = load_digits().data
    >>> vae = skvae.VAE(4, max_iter=2, random_state=0).fit(X)
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "vae.skvae")
    ...     skvae.save(vae, path)
    ...     same = skvae.load(path)
    >>> bool((same.transform(X) == vae.transform(X)).all())
    True
    """
    sio = _skops()
    try:
        with without_optimizers(not optimizer):
            content = sio.dumps(estimator, compression=ZIP_DEFLATED)
        for name in sio.get_untrusted_types(data=content):
            _check_can_be_found(name)
    except Exception as error:  # of skops, and of the parts that it takes apart
        raise ValueError(
            f"{type(estimator).__name__} holds a part that can't be written without a "
            f"pickle ({_in_short(error)}). Instead of torch modules, `architecture` "
            "may be an object of your own with the methods encoder and decoder. "
            "Classes and functions must be defined in a module, by a name."
        ) from error
    buffer = io.BytesIO(content)
    with ZipFile(buffer, "a", compression=ZIP_DEFLATED) as archive:
        manifest = {
            "format": _FORMAT,
            "versions": {name: version(name) for name in _PACKAGES}
            | {"python": platform.python_version()},
            "sha256": _checksums(archive),
        }
        archive.writestr(_MANIFEST, json.dumps(manifest, indent=1))
    _write(Path(path), buffer.getvalue())


def load(path, *, trusted=()):
    """Read an estimator that `save` has written.

    Checksums are compared before anything is made of the content, and so are the types
    it asks for. Those of scikit-learn, NumPy and this package are known; others, such
    as an architecture of your own, must be named in `trusted`. Checksums guard against
    damage, the list of types against code; neither proves who wrote the file.

    Parameters
    ----------
    path : str or path
    trusted : list of str or type, default=()
        Further types that the file may make, ``["my_module.MyArchitecture"]``. Loading
        such a type can run its code: trust only what you know.

    Returns
    -------
    estimator : estimator
        What was saved. Networks that were trained on a device which is not available
        here come to the CPU, with a warning.

    Raises
    ------
    ImportError
        If skops is not installed: ``pip install 'skvae[files]'``.
    ValueError
        If the file is damaged, was not written by `save`, comes from a newer version
        that writes another format, or asks for types that are not trusted.

    Examples
    --------
    See `save`.
    """
    sio, path = _skops(), Path(path)
    content = path.read_bytes()  # once: what is checked is what is loaded
    _check(content, path)
    trusted = [*_known_types(), *trusted]
    names = {t if isinstance(t, str) else _name_of(t) for t in trusted}
    try:
        foreign = set(sio.get_untrusted_types(data=content)) - names
        if not foreign:
            estimator = sio.loads(content, trusted=trusted)
            _check_trees(estimator)
            return estimator
    except Exception as error:  # of whatever the parts of an estimator raise
        raise ValueError(
            f"{path} can't be made into an estimator: {_in_short(error)}"
        ) from error
    raise ValueError(
        f"{path} asks for types that are not known to be safe: "
        f"{', '.join(sorted(foreign))}. If you know them, and who wrote the file, name "
        f"them: trusted={sorted(foreign)}."
    )


def _skops():
    try:
        return import_module("skops.io")
    except ImportError as error:
        raise ImportError(
            "Files of fitted estimators need skops: pip install 'skvae[files]'."
        ) from error


def _in_short(error):
    """Return the first line of an error."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _check_can_be_found(name):
    """Raise if a class or function has no name by which `load` could find it."""
    module, _, short = name.rpartition(".")
    if not hasattr(sys.modules.get(module), short):
        raise ValueError(f"{name} is not at the top of a module")


def _write(path, content):
    """Put a file into its place in one step, whole."""
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _checksums(archive):
    """Hash all members of an archive but its manifest."""
    members = [info for info in archive.infolist() if info.filename != _MANIFEST]
    if len({info.filename for info in members}) < len(members):
        raise BadZipFile("two members have one name")
    return {
        info.filename: hashlib.sha256(archive.read(info)).hexdigest()
        for info in members
    }


def _check(content, path):
    """Raise if a file is damaged, or of a format that is not known."""
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            manifest = json.loads(archive.read(_MANIFEST))
            known, checksums = manifest["sha256"], _checksums(archive)
            is_newer = manifest["format"] > _FORMAT
            writer = manifest["versions"]["skvae"]
    except Exception as error:  # of zip, zlib or JSON, whatever the damage
        raise ValueError(
            f"{path} is damaged, or was not written by skvae.save: {_in_short(error)}"
        ) from error
    if is_newer:
        raise ValueError(
            f"{path} was written by skvae {writer} in a format that this version does "
            f"not know. Install skvae {writer} or later."
        )
    if known != checksums:
        raise ValueError(
            f"{path} is damaged: this is not what skvae.save wrote. Copy it again."
        )


@cache
def _known_types():
    """Return the names of all types and functions that a file may ask for."""
    from sklearn.metrics import get_scorer, get_scorer_names  # slow to import

    parts = [part for m in _MODULES for part in vars(import_module(m)).values()]
    scorers = [get_scorer(name) for name in get_scorer_names()]
    known = {part for part in parts if isclass(part) and _is_part(part)}
    known |= {scorer._score_func for scorer in scorers} | set(map(type, scorers))
    return sorted(map(_name_of, known)) + _OTHER_TYPES


def _is_part(cls):
    """Tell whether a class is one that estimators are made of."""
    return hasattr(cls, "get_params") or hasattr(cls, "get_n_splits")


def _name_of(thing):
    return f"{thing.__module__}.{thing.__qualname__}"


def _check_trees(part, seen=None):
    """Raise if a decision tree points outside of its arrays, which would crash Python.

    skops knows of what types the parts of an estimator are, not what is in them.
    """
    seen = set() if seen is None else seen
    if id(part) in seen:
        return
    seen.add(id(part))
    if _name_of(type(part)) == _TREE:
        _check_tree(part)
    for tree, n_features in _trees_of(part):
        if tree.n_features != n_features:
            raise ValueError("a tree asks for other features than its estimator.")
    for inner in _parts_of(part):
        _check_trees(inner, seen)


def _parts_of(part):
    """Return what is in a container or an object."""
    if isinstance(part, dict):
        return part.values()
    if isinstance(part, np.ndarray):
        return part.flat if part.dtype.hasobject else ()
    if isinstance(part, list | tuple | set):
        return part
    return getattr(part, "__dict__", {}).values()


def _trees_of(estimator):
    """Yield the trees that take samples without a check, and the features of these."""
    own = getattr(estimator, "__dict__", {})
    n_features = own.get("n_features_in_")
    if n_features is None:
        return
    if "tree_" in own:
        yield own["tree_"], n_features
    members = list(_parts_of(own.get("estimators_", [])))
    subsets = own.get("estimators_features_")  # of bagging
    widths = [n_features] * len(members) if subsets is None else map(len, subsets)
    for member, width in zip(members, widths, strict=True):
        if hasattr(member, "tree_"):
            yield member.tree_, width


def _check_tree(tree):
    left, right = tree.children_left, tree.children_right
    inner = np.flatnonzero(left >= 0)  # a leaf has none
    for children in (left[inner], right[inner]):  # they come later, so paths end
        if not ((children > inner) & (children < tree.node_count)).all():
            raise ValueError("a tree points to nodes that it doesn't have.")
    features = tree.feature[inner]
    if not ((features >= 0) & (features < tree.n_features)).all():
        raise ValueError("a tree asks for features that it doesn't have.")

"""The text on the methods of a study."""

import inspect
import warnings
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.model_selection import ParameterGrid, check_cv
from sklearn.utils.multiclass import type_of_target

from .. import dicom
from ..model_selection import groups_from
from ._cases import cases_of, patients_of, problem_of, sources_of
from ._checklists import checklists, references
from ._estimators import (
    channels_of,
    described,
    is_search,
    params_of,
    predictor_of,
    steps_of,
    versions_of,
)
from ._steps import GRIDS, network, processing, step_text
from ._words import (
    as_list,
    counted,
    in_branch,
    many,
    named,
    range_of,
    value_of,
)

_FEW = 4  # values that are counted one by one
_MANY = 10  # classes that are too many to list


def methods_text(estimator, volumes, y=None, *, cv=None, groups=None):
    """Write the methods of a study, from its volumes, its settings and its splits.

    The text is in Markdown, and the same whenever all of these are. It states only what
    they show, and lists what the checklists CLEAR [1]_ and METRICS [2]_ ask for: what
    is stated, and what is open. Read it before you use it. No name, ID, date or
    institution is in it. Models of scanners, which are free text in the headers, are
    given if two patients at least have them; so are names of regions.

    Parameters
    ----------
    estimator : estimator
        The pipeline, or a search over it, fitted or not. A search is described with its
        grid and its folds; numbers of features need a fitted one.
    volumes : DataFrame or list of length n_volumes
        The whole table from `skvae.dicom.scan`, with the volumes that can't be read, so
        that the text can count these; or any list that the estimator takes.
    y : array-like of shape (n_volumes,) or (n_readable,), default=None
        The outcome of all volumes, or of those that can be read.
    cv : int, splitter or iterable of (train, test), default=None
        The splits that test the estimator.
    groups : array-like of shape (n_volumes,) or (n_readable,), default=None
        What the splits keep together. None takes the patients of `volumes`.

    Returns
    -------
    text : str

    Raises
    ------
    TypeError
        If `cv` is an iterator.
    ValueError
        If `y` or `groups` is not as long as `volumes`.

    See Also
    --------
    features_table : The table that goes with it.
    skvae.dicom.acquisition : What the text takes from headers.

    References
    ----------
    .. [1] B. Kocak et al., "CheckList for EvaluAtion of Radiomics research (CLEAR): a
       step-by-step reporting guideline for authors and reviewers endorsed by ESR and
       EuSoMII", Insights into Imaging 14:75, 2023,
       https://doi.org/10.1186/s13244-023-01415-8.
    .. [2] B. Kocak et al., "METhodological RadiomICs Score (METRICS): a quality scoring
       tool for radiomics research endorsed by EuSoMII", Insights into Imaging 15:8,
       2024, https://doi.org/10.1186/s13244-023-01572-w.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from skvae.datasets import make_dicom_cohort
    >>> from skvae.dicom import VolumeLoader, scan
    >>> from skvae.radiomics import RegionFeatures
    >>> from skvae.report import methods_text
    >>> features = RegionFeatures(loader=VolumeLoader(spacing=2))
    >>> with TemporaryDirectory() as folder:
    ...     patients = make_dicom_cohort(folder, 2, random_state=0)
    ...     text = methods_text(features, scan(folder))
    >>> print(text[:74])
    ### Images
    <BLANKLINE>
    2 volumes of 2 patients were analysed (2 MR). Each has a mask.
    """
    if isinstance(cv, Iterator):
        raise TypeError(
            "`cv` is an iterator, which the text would use up: pass a list."
        )
    study = _Study(estimator, volumes, y, cv, groups)
    sections = {title: write(study) for title, write in _SECTIONS.items()}
    sections = {title: text for title, text in sections.items() if text}
    stated = study.stated | set(sections)
    sections |= {"Checklists": checklists(stated), "References": references(stated)}
    return "\n".join(f"### {title}\n\n{text}\n" for title, text in sections.items())


class _Study:
    """What the text is about; volumes that can't be read are set apart.

    What the text answers of the checklists is noted in `stated`.
    """

    def __init__(self, estimator, volumes, y, cv, groups):
        self.search = estimator if is_search(estimator) else None
        self.estimator = described(estimator)
        self.steps = list(steps_of(self.estimator))
        self.cv = cv
        self.stated = set()
        problems = [problem_of(case) for case in cases_of(volumes)]
        is_read = np.array([problem is None for problem in problems], dtype=bool)
        self.problems = [problem for problem in problems if problem]
        self.volumes = volumes[is_read] if hasattr(volumes, "iloc") else volumes
        self.cases = cases_of(self.volumes)
        owners = patients_of(self.cases)
        is_known = owners["patient_id"].notna().all() and len(owners)
        self.patients = groups_from(owners) if is_known else None
        # Cases of nobody known count as those of one patient.
        self.owners = list(owners["patient_id"].fillna("").astype(str))
        self.y = _of_those(is_read, "y", y)
        self.groups = _of_those(is_read, "groups", groups)
        if self.groups is None:
            self.groups = self.patients

    def series(self):
        """Return what headers say of each series, with its patient and case."""
        channels = channels_of(self.estimator)
        pairs = [
            (source, owner, number)
            for number, (case, owner) in enumerate(
                zip(self.cases, self.owners, strict=True)
            )
            for source in sources_of(case, channels)
        ]
        sources, owners, numbers = zip(*pairs, strict=True) if pairs else ((), (), ())
        table = dicom.acquisition(list(sources)).assign(patient=owners, case=numbers)
        return table.fillna({"modality": "not DICOM"})

    def of(self, kind):
        """List the steps of a kind, with their branches."""
        return [(branch, step) for branch, step in self.steps if isinstance(step, kind)]


def _of_those(is_read, name, values):
    """Return the values of the volumes that can be read."""
    if values is None:
        return None
    values = np.asarray(values)
    if len(values) == len(is_read):
        return values[is_read]
    if len(values) == is_read.sum():
        return values
    raise ValueError(
        f"`{name}` must have one value for each of the {len(is_read)} `volumes`, or of "
        f"the {is_read.sum()} that can be read, got {len(values)}."
    )


def _images(study):
    series = study.series()
    text = f"{many(len(study.cases), 'volume')}{_of_patients(study.patients)} were "
    text += f"analysed ({counted(series['modality'], '{n} {value}') or 'none'})."
    text += _masks(study) + _refusals(study.problems)
    if study.of(dicom.VolumeLoader):
        text += _READING
    if series["modality"].nunique() == 1 and series["case"].is_unique:
        study.stated.add("uni-parametric")
    protocols = [_protocol(name, part) for name, part in series.groupby("modality")]
    protocols = list(filter(None, protocols))
    if protocols:
        study.stated.add("protocol")
        text += " Headers state:\n\n" + "\n".join(protocols)
    return text


_READING = (
    " Slices were ordered by their position along their normal, and rescaled by their "
    "own slope and intercept."
)


def _of_patients(patients):
    if patients is None:
        return ""
    counts = np.unique(patients, return_counts=True)[1]
    each = f" ({range_of(counts)} each)" if max(counts) > 1 else ""
    return f" of {many(len(counts), 'patient')}{each}"


def _masks(study):
    """Count the masks, and the names of regions."""
    rows = [case for case in study.cases if hasattr(case, "keys")]
    n_masks = sum(map(_has_mask, rows))
    text = f" {n_masks} of them have a mask." if n_masks else ""
    if rows and n_masks == len(study.cases):
        text = " Each has a mask."
    names = [_region(row.get("region")) for row in rows]
    owners = study.owners if rows else []
    regions = pd.DataFrame({"region": names, "patient": owners}).dropna()
    if len(regions):
        text += f" Regions are named {_shared_texts(regions['region'], regions)}."
    return text


def _region(region):
    """Write the name of a region, or the names of those that are united."""
    names = [region] if isinstance(region, str) else region
    is_named = isinstance(names, list | tuple) and all(
        isinstance(n, str) for n in names
    )
    return " + ".join(names) if is_named else None


def _has_mask(row):
    mask = row["mask"] if "mask" in row else row.get("masks")
    return bool(np.size(mask)) and not np.all(pd.isna(mask))


def _refusals(problems):
    """Count what was refused by the kind of error, whose words say why."""
    if not problems:
        return ""
    kinds = Counter(problem.split(":")[0] for problem in problems)
    known = {name: kinds[name] for name in sorted(kinds) if name in dicom.__all__}
    reasons = [f"{_reason(name)} ({name}, {n})" for name, n in known.items()]
    n_others = len(problems) - sum(known.values())
    reasons += [f"for other reasons ({n_others})"] if n_others else []
    verb = "was" if len(problems) == 1 else "were"
    text = f" {many(len(problems), 'more volume')} {verb} refused by the reader: "
    return text + "; ".join(reasons) + "."


def _reason(name):
    """Take the reason from the docstring of an error."""
    text = inspect.getdoc(getattr(dicom, name)).splitlines()[0].rstrip(".")
    return text[0].lower() + text[1:]


_HEADERS = {  # what it is called, and in which unit
    "manufacturer": ("manufacturer", ""),
    "model": ("model", ""),
    "field_strength": ("field strength", " T"),
    "kvp": ("tube voltage", " kV"),
    "kernel": ("reconstruction kernel", ""),
    "pixel_spacing": ("pixel spacing", " mm"),
    "slice_thickness": ("slice thickness", " mm"),
    "echo_time": ("echo time", " ms"),
    "repetition_time": ("repetition time", " ms"),
    "inversion_time": ("inversion time", " ms"),
    "flip_angle": ("flip angle", "°"),
}


def _protocol(modality, series):
    """List what the headers of one modality state."""
    facts = [_fact(column, series) for column in _HEADERS]
    n_agents = series["contrast"].eq(True).sum()
    facts.append(f"a contrast agent is named in {n_agents}" if n_agents else "")
    text = "; ".join(filter(None, facts))
    return f"- {modality} ({len(series)} series): {text}." if text else ""


def _fact(column, series):
    """Say what the headers state of one thing, in how many series."""
    name, unit = _HEADERS[column]
    values = series[column].dropna()
    if values.empty:
        return ""
    if unit:
        text = _values(values.astype(float), unit)
    else:
        is_free = column != "manufacturer"
        text = _shared_texts(values, series) if is_free else _short(values)
    n_missing = len(series) - len(values)
    return f"{name} {text}" + (f", not stated in {n_missing}" if n_missing else "")


def _short(values):
    """Count values, or give the only one."""
    return str(values.iloc[0]) if values.nunique() == 1 else counted(values)


def _values(values, unit):
    """Count few numbers, give the range of many."""
    texts = values.map(lambda value: f"{_rounded(value)}{unit}")
    if texts.nunique() <= _FEW:
        return _short(texts)
    low, middle, high = map(_rounded, np.percentile(values, [0, 50, 100]))
    return f"{low} to {high}{unit}, median {middle}{unit}"


def _rounded(value):
    return f"{float(f'{value:.3g}'):g}"


def _shared_texts(texts, series):
    """Count texts; one that a single patient has, who could be told by it, as other."""
    owners = series["patient"].groupby(texts).nunique()
    return _short(texts.where(texts.map(owners) > 1, "other"))


def _image_processing(study):
    loaders = study.of(dicom.VolumeLoader)
    if any(loader.on_error == "nan" for _, loader in loaders):
        study.stated.add("missing data")
    lines = [in_branch(n, loaders) + " ".join(processing(part)) for n, part in loaders]
    gap = "\n\n" if len(lines) > 1 else " "
    return f"{GRIDS}{gap}{as_list(lines)}" if lines else ""


def _features(study):
    last = predictor_of(study.estimator)
    steps = [
        (branch, step)
        for branch, step in study.steps
        if step is not last and not isinstance(step, dicom.VolumeLoader)
    ]
    lines = [
        in_branch(branch, steps) + step_text(step, study.stated)
        for branch, step in steps
    ]
    n_features = getattr(last, "n_features_in_", None)
    if n_features is not None:
        study.stated.add("number of features")
        lines.append(f"{many(n_features, 'feature')} per case enter the last step.")
    return as_list(lines)


def _outcome(study):
    if study.y is None:
        return ""
    kind = type_of_target(study.y)
    if kind not in ("binary", "multiclass"):
        return f"The outcome is {kind.replace('-', ' ')}."
    classes, counts = np.unique(study.y, return_counts=True)
    if len(classes) > _MANY:
        return f"The outcome has {len(classes)} classes."
    pairs = zip(classes, counts, strict=True)
    text = ", ".join(f"{n} of class {value_of(name)}" for name, n in pairs)
    weights = {params_of(step).get("class_weight") for _, step in study.steps}
    unweighted = " No step weighs the classes." if weights == {None} else ""
    return f"The volumes are {text}.{unweighted}"


def _model(study):
    last = predictor_of(study.estimator)
    if last is None:
        return ""
    return network(last) if hasattr(last, "architecture") else f"{named(last)}."


def _search(study):
    search = study.search
    if search is None:
        return ""
    grid = getattr(search, "param_grid", None) or search.param_distributions
    grids = [grid] if isinstance(grid, dict) else grid
    lines = [f"- `{name}`: {_choices(part[name])}" for part in grids for name in part]
    n_settings = getattr(search, "n_iter", None) or len(ParameterGrid(grid))
    scoring = "the score of the estimator"
    scoring = scoring if search.scoring is None else value_of(search.scoring)
    text = f"{type(search).__name__} compared {n_settings} settings by {scoring}, in "
    text += f"{_splits(study, search.cv)} It chose among:\n\n" + "\n".join(lines)
    best = getattr(search, "best_params_", {})
    chosen = ", ".join(f"`{name}`: {value_of(best[name])}" for name in sorted(best))
    return text + (f"\n\nOn all that it was fitted on, it chose {chosen}." * bool(best))


def _choices(values):
    if isinstance(values, list | tuple | np.ndarray):
        return ", ".join(map(value_of, values))
    return value_of(values)


def _validation(study):
    if study.cv is None:
        return ""
    search = ", the search included," if study.search is not None else ""
    return (
        f"The pipeline was tested in {_splits(study, study.cv, 'partition')} All its "
        f"steps{search} are fitted on the training set of each split alone."
    )


def _splits(study, cv, note=None):
    """Describe a cross-validator, and what it does to these volumes."""
    cv = deepcopy(check_cv(cv, study.y, classifier=is_classifier(study.estimator)))
    name = _name_of_splitter(cv)
    X = study.volumes if hasattr(study.volumes, "iloc") else np.zeros(len(study.cases))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of groups that a splitter has no use for
            splits = list(cv.split(X, study.y, study.groups))
    except (TypeError, ValueError):  # without `y`, or with too few volumes
        return f"the splits of {name}."
    train, test = ([len(part) for part in side] for side in zip(*splits, strict=True))
    text = f"{many(len(splits), 'split')} of {name}, with {range_of(train)} volumes to "
    return text + f"train and {range_of(test)} to test. {_leaks(study, splits, note)}"


def _name_of_splitter(cv):
    inner = getattr(cv, "cv", cv)  # of a GuardedSplit
    if isinstance(inner, list):
        return "a given list"
    is_shuffled = getattr(inner, "shuffle", True)
    is_random = is_shuffled and getattr(inner, "random_state", 0) is None
    unseeded = ", which shuffles without a fixed seed" if is_random else ""
    return f"`{' '.join(repr(cv).split())}`{unseeded}"


def _leaks(study, splits, note):
    """Say whether patients are on both sides of a split."""
    name = "patient" if study.patients is not None else "group"
    groups = study.groups if study.patients is None else study.patients
    if groups is None:
        return "Whether a patient is in both sets of a split is not known."
    n = sum(bool(np.intersect1d(groups[a], groups[b]).size) for a, b in splits)
    if n:
        return f"In {n} of them, a {name} is in both sets."
    study.stated |= {note} if note else set()
    return f"No {name} is in both sets of a split."


def _software(study):
    versions = ", ".join(f"{k} {v}" for k, v in versions_of(study.estimator).items())
    seeds = []
    for _, step in study.steps:
        if "random_state" in params_of(step):
            seed = step.random_state
            seed = "no fixed seed" if seed is None else f"seed {value_of(seed)}"
            seeds.append(f"{type(step).__name__}: {seed}")
    seeds = f" {'; '.join(dict.fromkeys(seeds))}." if seeds else ""
    return f"{versions}.{seeds} Parameters that are not named are at their defaults."


_SECTIONS = {
    "Images": _images,
    "Image processing": _image_processing,
    "Features": _features,
    "Outcome": _outcome,
    "Model": _model,
    "Search": _search,
    "Validation": _validation,
    "Software": _software,
}

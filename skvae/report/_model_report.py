"""One HTML file about a fitted model."""

import base64
import html
import inspect
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from .._pipelines import autoencoder_in, before_autoencoder, split_at_autoencoder
from .._validation import check_rows, safe_indexing, to_numpy
from ..inspection import compare_layers, component_summary
from ..plot import (
    ComponentDisplay,
    LatentSpaceDisplay,
    LatentTraversalDisplay,
    LayerComparisonDisplay,
    LossCurveDisplay,
    ReconstructionDisplay,
)
from ..plot._tiles import as_png
from ._estimators import (
    SILENT,
    described,
    is_search,
    params_of,
    steps_of,
    versions_of,
)

_SHOWN = 6  # samples
_MOST_LAYERS = 4
_BEST = 10  # candidates of a search
_FEW_PER_COMPONENT = 10

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 56rem;
  margin: 2rem auto; padding: 0 1rem; }}
h1, h2 {{ line-height: 1.2; }}
h2 {{ border-top: 1px solid #ccc; padding-top: 1rem; }}
img {{ max-width: 100%; }}
table {{ border-collapse: collapse; font-size: 0.9rem; display: block;
  overflow-x: auto; }}
th, td {{ padding: 0.2rem 0.6rem; text-align: right; border-bottom: 1px solid #ddd; }}
th:first-child, td:first-child {{ text-align: left; }}
.warning {{ background: #fff3cd; border-left: 4px solid #E69F00;
  padding: 0.4rem 0.8rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def model_report(
    estimator, X, y=None, *, groups=None, layers=None, cv=3, path="report.html"
):
    """Write one HTML file about a fitted model: settings, pictures, numbers, doubts.

    The file holds its pictures, and needs no network. Nothing in it identifies anybody:
    samples are numbered, and of a table of volumes only their number is given.

    Parameters
    ----------
    estimator : estimator
        Fitted: an autoencoder, a Pipeline with one, or a search over either, whose best
        estimator is described. What comes behind the autoencoder is named only.
    X : array-like of shape (n_samples, ...)
        What the estimator takes; better not the training data.
    y : array-like of shape (n_samples,), default=None
        Classes or numbers, to compare layers by. Copies of the model are trained for
        that, once per fold, on `X`.
    groups : array-like of shape (n_samples,), default=None
        Patients, for example, that must not be on both sides of a split. None takes
        those of `X`, if it has a column "patient_id".
    layers : list of str, default=None
        To compare. None takes the code and up to three layers of the encoder.
    cv : int, splitter or iterable, default=3
        Splits of this comparison.
    path : str or Path, default="report.html"
        An existing file is overwritten, once the report is whole.

    Returns
    -------
    path : Path

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    FileNotFoundError
        If the folder of `path` does not exist.
    ValueError
        If there is no autoencoder.

    See Also
    --------
    methods_text : The text on the methods of a study.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAE
    >>> from skvae.report import model_report
    >>> X = load_digits().images
    >>> vae = VAE(4, max_iter=5, random_state=0).fit(X[:1000])
    >>> with TemporaryDirectory() as folder:
    ...     path = model_report(vae, X[1000:], path=f"{folder}/report.html")
    ...     "Reconstructions" in path.read_text()
    True
    """
    check_is_fitted(estimator)
    path = Path(path)
    if not path.absolute().parent.is_dir():  # before the work is done
        raise FileNotFoundError(
            f"`path`={str(path)!r} names a folder that isn't there."
        )
    whole = described(estimator)
    model = _until_autoencoder(whole)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        study = _Study(estimator, whole, model, X, y, groups, layers, cv)
        sections = {title: write(study) for title, write in _SECTIONS.items()}
    doubts = [*study.doubts, *dict.fromkeys(str(one.message) for one in caught)]
    body = "".join(
        f"<h2>{title}</h2>\n{text}\n"
        for title, text in {"Doubts": _list_of(doubts), **sections}.items()
        if text
    )
    name = type(autoencoder_in(model)).__name__
    page = _PAGE.format(title=f"Report on a {name}", body=body)
    path.write_text(page, encoding="utf-8")
    return path


class _Study:
    """What the report is about, and what there is to doubt."""

    def __init__(self, given, whole, estimator, X, y, groups, layers, cv):
        self.search = given if is_search(given) else None
        self.whole, self.estimator = whole, estimator
        self.X, self.groups, self.layers, self.cv = X, groups, layers, cv
        self.y = None if y is None else to_numpy(y)
        self.given, self.model = before_autoencoder(estimator, X)
        rows, self.shape = check_rows(self.model, self.given, reset=False)
        self.rows = to_numpy(rows).astype(np.float64)
        self.doubts = []
        n_samples, size = len(self.rows), self.model.n_components_
        if n_samples < _FEW_PER_COMPONENT * size:
            self.doubts.append(
                f"There are {n_samples} samples for {size} components. With fewer than "
                f"{_FEW_PER_COMPONENT} for each, much depends on which ones these are."
            )

    @property
    def is_flat(self):
        """Tell whether samples are rows of a table."""
        return len(self.shape) == 1 and self.model.image_shape is None


def _data(study):
    values = study.rows
    facts = {
        "samples": len(values),
        "shape of a sample": " x ".join(map(str, study.shape)),
        "smallest value": f"{np.nanmin(values):.4g}",
        "largest value": f"{np.nanmax(values):.4g}",
        "missing values": f"{np.isnan(values).mean():.1%}",
    }
    if study.y is not None and type_of_target(study.y) in ("binary", "multiclass"):
        names, counts = np.unique(study.y, return_counts=True)
        pairs = zip(names[:10], counts[:10], strict=True)
        facts["classes"] = ", ".join(f"{name}: {count}" for name, count in pairs)
    if study.groups is not None:
        facts["groups"] = len(np.unique(to_numpy(study.groups)))
    return "<p>As the autoencoder gets them.</p>" + _facts(facts)


def _settings(study):
    module = study.model.module_
    facts = {
        "weights": f"{sum(p.numel() for p in module.parameters()):,}",
        "epochs": study.model.n_iter_,
    }
    parts = [_facts(facts)]
    for _, step in steps_of(study.whole):
        values = {name: repr(value) for name, value in params_of(step).items()}
        parts.append(
            f"<details open><summary>{html.escape(type(step).__name__)}</summary>"
            f"{_facts(values)}</details>"
        )
    return "".join(parts)


def _search(study):
    if study.search is None:
        return ""
    results = pd.DataFrame(study.search.cv_results_)
    names = [
        name
        for name in results
        if name.startswith("param_") and name.split("__")[-1] not in SILENT
    ]
    scores = [name for name in results if name.startswith(("mean_test", "std_test"))]
    rank = next(name for name in results if name.startswith("rank_test"))
    best = results.sort_values(rank, kind="stable").head(_BEST)[[*names, *scores]]
    text = (
        f"<p>The best of {len(results)} candidates. Their scores chose among them, so "
        "the first one is too good; a cross-validation around the search is not.</p>"
    )
    return text + best.to_html(border=0, float_format="{:.3f}".format, index=False)


def _training(study):
    last = study.model.history_[-1]
    text = f"<p>Loss after the last epoch: {last['train_loss']:.4g}"
    if "valid_loss" in last:
        text += f", of held-out samples {last['valid_loss']:.4g}"
        best = min(row["valid_loss"] for row in study.model.history_)
        if last["valid_loss"] > best + 0.05 * abs(best):
            study.doubts.append(
                "The loss of held-out samples rose again before the end of the "
                "training: the networks learnt samples by heart. Set "
                "early_stopping=True, or stop earlier."
            )
    return text + ".</p>" + _picture(LossCurveDisplay.from_estimator(study.model))


def _reconstructions(study):
    some = safe_indexing(study.X, np.arange(min(_SHOWN, len(study.rows))))
    some = safe_indexing(some, np.arange(3)) if study.is_flat else some
    display = ReconstructionDisplay.from_estimator(study.estimator, some)
    made = to_numpy(study.model.reconstruct(study.given)).reshape(study.rows.shape)
    left = np.nanmean(np.square(made - study.rows))
    variance = np.nanvar(study.rows, axis=0).mean()
    share = 1 - left / variance if variance else 0.0
    if share < 0.1:
        study.doubts.append(
            f"Reconstructions explain {share:.0%} of the variance: the code is hardly "
            "used. Train longer, lower `beta`, or check the data."
        )
    text = f"<p>{share:.1%} of the variance of these samples is reconstructed.</p>"
    return text + _picture(display)


def _components(study):
    summary = component_summary(study.estimator, study.X)
    unused = int((~summary["is_active"]).sum())
    if unused:
        study.doubts.append(
            f"{unused} of {len(summary)} components are not in use (collapse). Lower "
            "`beta`, set `free_bits`, or ask for fewer."
        )
    total = summary.attrs["total_correlation"]
    text = f"<p>The components tell {total:.2f} nats about each other.</p>"
    parts = [text, _table(summary), _picture(ComponentDisplay(summary).plot())]
    before, _, _ = split_at_autoencoder(_as_pipeline(study.estimator))
    if before is None or hasattr(before, "inverse_transform"):
        chosen = summary["variance_share"].nlargest(_SHOWN).index
        numbers = sorted(int(name.removeprefix("mu_")) for name in chosen)
        display = LatentTraversalDisplay.from_estimator(
            study.estimator, study.X, numbers
        )
        parts.append(_picture(display))
    return "".join(parts)


def _space(study):
    display = LatentSpaceDisplay.from_estimator(study.estimator, study.X, study.y)
    return _picture(display)


def _layers(study):
    if study.y is None:
        return ""
    names = study.layers
    if names is None:
        inner = [name for name in study.model.layer_names_ if "encoder." in name]
        picked = np.unique(np.linspace(1, len(inner) - 1, _MOST_LAYERS - 1).astype(int))
        names = ["mu", *(inner[i] for i in picked if 0 < i < len(inner))]
    comparison = compare_layers(
        study.estimator,
        study.X,
        study.y,
        layers=names,
        cv=study.cv,
        groups=study.groups,
    )
    text = f"<p>{html.escape(comparison.verdict)}</p>"
    picture = _picture(LayerComparisonDisplay(comparison).plot())
    return text + _table(comparison.table) + picture


def _citation(study):
    """Return the references in the documentation of the model."""
    text = inspect.getdoc(type(study.model))
    match = re.search(
        r"^References\n-+\n(.*?)(?:\n\n\S[^\n]*\n-{3,}|\Z)", text, re.M | re.S
    )
    references = match[1].split("\n\n") if match else []
    items = "".join(f"<li>{html.escape(' '.join(r.split()))}</li>" for r in references)
    return f"<p>The model, and skvae in the version below:</p><ul>{items}</ul>"


def _versions(study):
    return _facts(versions_of(study.whole))


_SECTIONS = {
    "Data": _data,
    "Settings": _settings,
    "Search": _search,
    "Training": _training,
    "Reconstructions": _reconstructions,
    "Components": _components,
    "Codes": _space,
    "Layers": _layers,
    "How to cite": _citation,
    "Versions": _versions,
}


def _until_autoencoder(estimator):
    """Return an autoencoder with the steps before it, or alone."""
    if not isinstance(estimator, Pipeline):
        return estimator
    before, _, _ = split_at_autoencoder(estimator)
    return estimator[: 1 + (0 if before is None else len(before))]


def _as_pipeline(estimator):
    is_one = isinstance(estimator, Pipeline)
    return estimator if is_one else Pipeline([("model", estimator)])


def _picture(display):
    data = base64.b64encode(as_png(display.figure_)).decode()
    name = type(display).__name__.removesuffix("Display")
    return f'<p><img alt="{name}" src="data:image/png;base64,{data}"></p>'


def _facts(facts):
    rows = "".join(
        f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table>{rows}</table>"


def _table(frame):
    return frame.to_html(border=0, float_format="{:.3f}".format, na_rep="")


def _list_of(doubts):
    if not doubts:
        return "<p>None that this report looks for.</p>"
    return "".join(f'<p class="warning">{html.escape(text)}</p>' for text in doubts)

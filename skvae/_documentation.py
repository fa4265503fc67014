"""What docstrings and notebooks say of an estimator."""

import inspect
import re
from ast import literal_eval
from functools import cache
from importlib.metadata import metadata

_TITLE = re.compile(r"^(\w[\w ]*)\n-+\n", re.M)
_LISTS = ["Parameters", "Attributes", "Returns", "Raises", "Warns"]  # in this order
_OF_CLASSES = {"Parameters", "Attributes", "Warns"}
_OF_METHODS = {"Parameters", "Returns", "Raises"}


@cache
def documentation_url():
    """Return the address of the hosted docs, "" if there is none.

    It is the entry "Documentation" of ``[project.urls]`` in ``pyproject.toml``.
    """
    urls = metadata("skvae").get_all("Project-URL", [])
    named = dict(url.split(", ", maxsplit=1) for url in urls)
    return named.get("Documentation", "").rstrip("/")


class DocumentedMixin:
    """Describe parameters and attributes in notebooks, as scikit-learn's own do.

    It stands before `BaseEstimator`.
    """

    _doc_link_module = "skvae"

    @property
    def _doc_link_template(self):
        url = documentation_url()
        return url and f"{url}/api/{{estimator_module}}.{{estimator_name}}.html"

    def _get_params_html(self, *args, **kwargs):
        return _described(super()._get_params_html(*args, **kwargs))

    def _get_fitted_attr_html(self, *args, **kwargs):
        return _described(super()._get_fitted_attr_html(*args, **kwargs))


def _described(table):
    """Let scikit-learn show descriptions, which hang on links, where there are none."""
    table.doc_link = getattr(table, "doc_link", "") or "#"
    return table


def inherit_documentation(cls):
    """Complete the docstrings of a class and of its methods by those of its bases.

    What several estimators share is then described once, in the class that defines it.
    A docstring holds only what is new or different. Parameters that it lacks, in the
    order of the signature and with its defaults, attributes, and what is returned,
    raised and warned of come from the nearest base that describes them.
    """
    bases = cls.__mro__[1:]
    general = [vars(base).get("__doc__") for base in bases]
    cls.__doc__ = _completed(cls.__doc__, general, _OF_CLASSES, cls)
    for name, attribute in vars(cls).items():
        method = getattr(attribute, "fn", attribute)  # within `available_if`
        if callable(method) and not name.startswith("_"):
            overridden = [vars(base)[name] for base in bases if name in vars(base)]
            general = [function.__doc__ for function in overridden]
            method.__doc__ = _completed(method.__doc__, general, _OF_METHODS, method)
    return cls


def _completed(doc, general, titles, described):
    """Add entries of the sections `titles` of other docstrings, the nearest first."""
    if doc is None:  # as with python -OO
        return None
    text, own = _sections_of(doc)
    others = {}
    for other in filter(None, reversed(general)):
        for title, entries in _sections_of(other)[1].items():
            if title in titles:
                others[title] = others.get(title, {}) | entries
    sections = others | own
    for title, join in (("Parameters", _parameters), ("Attributes", _attributes)):
        if title in sections:
            pair = own.get(title, {}), others.get(title, {})
            sections[title] = join(*pair, inspect.signature(described).parameters)
    order = sorted(sections, key=lambda title: (*_LISTS, title).index(title))
    parts = [f"{t}\n{'-' * len(t)}\n{''.join(sections[t].values())}" for t in order]
    return "\n\n".join(part.strip() for part in (text, *parts)) + "\n"


def _parameters(own, others, signature):
    """Take of others what is in the signature, in its order and with its defaults."""
    taken = {
        name: _with_default(entry, signature[name].default)
        for name, entry in others.items()
        if name in signature
    }
    entries = taken | own
    names = sorted(entries, key=lambda name: (*signature, name).index(name))
    return {name: entries[name] for name in names}


def _with_default(entry, default):
    """Let the description of a parameter name the default of the signature."""
    documented = re.search(r"default=(.*)$", entry, re.M)
    if documented is None or literal_eval(documented[1]) == default:
        return entry
    return entry.replace(documented[0], f"default={default!r}", 1)


def _attributes(own, others, signature):
    """Put new attributes first."""
    return {name: own[name] for name in own if name not in others} | others | own


@cache
def _sections_of(doc):
    """Split a docstring into the text before its sections, and their entries."""
    text, *parts = _TITLE.split(inspect.cleandoc(doc))
    sections = {}
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        entries = re.split(r"^(?=\S)", body, flags=re.M) if title in _LISTS else [body]
        sections[title] = {
            re.match(r"\S*", entry)[0]: entry.rstrip() + "\n"
            for entry in entries
            if entry.strip()
        }
    return text, sections

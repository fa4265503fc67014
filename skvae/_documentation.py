"""Where notebooks find the documentation of an estimator."""

from functools import cache
from importlib.metadata import metadata


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

"""Sphinx configuration."""

import sys
import warnings
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for the extensions here

project = "skvae"
author = "The skvae developers"
release = version = installed_version("skvae")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "board",
    "folded",
    "formulas",
    "names",
]
exclude_patterns = ["_build", "_includes", "works_with"]
templates_path = ["_templates"]
default_role = "py:obj"  # names.py finds what is meant
html_math_renderer = "mathml"
autosummary_generate = True
# The class template lists the methods; numpydoc would list those of scikit-learn too.
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["skvae.css"]
html_title = "skvae"
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "collapse_navigation": True,
}
html_sidebars = {"index": []}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "backreferences_dir": "gallery/backreferences",  # classes link to their examples
    "doc_module": ("skvae",),
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "capture_repr": (),
    "abort_on_example_error": True,
    "parallel": 2,  # examples at a time; most of them use one core
}
warnings.filterwarnings("ignore", message=".*non-interactive")


def escape_star(app, what, name, obj, options, lines):
    """Shapes such as (n_samples, *sample_shape) are no emphasis."""
    lines[:] = [line.replace("*sample_shape", r"\*sample_shape") for line in lines]


def skip_inherited(app, what, name, obj, skip, options):
    """Leave what comes from scikit-learn to its own documentation."""
    function = getattr(obj, "fget", obj)  # of a property
    return skip or (getattr(function, "__module__", None) or "").startswith("sklearn")


def setup(app):
    app.connect("autodoc-process-docstring", escape_star)
    app.connect("autodoc-skip-member", skip_inherited)

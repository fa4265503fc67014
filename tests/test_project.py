"""The code as a whole: levels, import time, documented defaults."""

import ast
import inspect
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cases import MODELS

import skvae
import skvae.dicom
import skvae.hashing
import skvae.impute
import skvae.metrics
import skvae.model_selection
import skvae.nn
import skvae.outlier
import skvae.plot
import skvae.preprocessing
import skvae.radiomics
import skvae.report

ROOT = Path(skvae.__file__).parent

# A file imports only from levels below its own.
LEVELS = [
    {
        "_blocks",
        "_cache",
        "_documentation",
        "_fingerprint",
        "_metrics",
        "_mixin",
        "_random",
        "_trees",
    }
    | {"_texture", "_validation", "datasets"},
    {"_class_prior", "dicom", "nn", "radiomics"},
    {"architectures", "_engine"},
    {"_base", "_ae", "_vae", "_adversarial", "_aae", "_supervised_aae"}
    | {
        "_aae_classifier",
        "_aae_clusterer",
        "_evaluation",
        "_pipelines",
        "_watermark_ae",
    },
    {"inspection", "model_selection", "outlier", "plot", "report", "_search"}
    | {"_files", "_onnx", "hashing", "impute", "metrics", "preprocessing"},
]
PACKAGES = {"_engine", "dicom", "inspection", "nn", "plot", "report"}
# Who alone may import what.
OWNERS = {
    "torch": {"nn", "_engine"},
    "skorch": {"_engine"},
    "tqdm": {"_engine", "_search", "dicom"},
    "matplotlib": {"plot"},
    "pydicom": {"datasets", "dicom"},
    "skimage": {"radiomics"},
}
SIDE_BY_SIDE = {
    ("_mixin", "_documentation"),
    ("_validation", "_blocks"),
    ("_ae", "_base"),
    ("_vae", "_base"),
    ("_adversarial", "_base"),
    ("_aae", "_adversarial"),
    ("_supervised_aae", "_adversarial"),
    ("_aae_classifier", "_adversarial"),
    ("_aae_clusterer", "_adversarial"),
    ("model_selection", "_search"),
    ("report", "inspection"),
    ("report", "model_selection"),
    ("report", "plot"),
    ("outlier", "_search"),
    ("_onnx", "hashing"),
    ("_onnx", "outlier"),
    ("_onnx", "preprocessing"),
    ("inspection", "_search"),
    ("inspection", "model_selection"),
    ("plot", "inspection"),
    ("_pipelines", "_base"),
    ("_watermark_ae", "_ae"),
    ("_watermark_ae", "_base"),
}


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts != ("__init__",):
            yield path, parts[0]


def imports_of(path):
    """Yield (level, module, names) of every import, also of those in functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", [alias.name for alias in node.names]


def level_of(name):
    (level,) = (i for i, names in enumerate(LEVELS) if name in names)
    return level


def test_every_file_has_a_level():
    assert {name for _, name in modules()} == set().union(*LEVELS)


@pytest.mark.parametrize(
    ("path", "name"), list(modules()), ids=lambda x: x if isinstance(x, str) else x.stem
)
def test_imports_go_down(path, name):
    for level, module, names in imports_of(path):
        if level == 0:
            package = module.split(".")[0]
            assert name in OWNERS.get(package, {name}), f"{path}: {module}"
            assert not (name == "nn" and package == "sklearn"), path
        elif not (name in PACKAGES and level == 1):
            for target in [module.split(".")[0]] if module else names:
                down = level_of(target) < level_of(name)
                assert down or (name, target) in SIDE_BY_SIDE, f"{path}: {target}"


def test_private_helpers_of_scikit_learn_come_through_validation():
    private = re.compile(r"^\s*from sklearn[\w.]*\._|^\s*from sklearn.* import _", re.M)
    importers = {name for path, name in modules() if private.search(path.read_text())}
    assert importers == {"_validation"}


def test_importing_the_package_loads_nothing_that_is_slow():
    slow = {
        "torch",
        "skorch",
        "matplotlib",
        "sklearn.metrics",
        "sklearn.model_selection",
    }
    code = f"import sys, skvae; print(sorted({slow} & set(sys.modules)))"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"


PUBLIC = [skvae, skvae.dicom, skvae.model_selection, skvae.nn, skvae.radiomics]
PUBLIC += [
    skvae.preprocessing,
    skvae.hashing,
    skvae.impute,
    skvae.outlier,
    skvae.plot,
    skvae.report,
]


def public_classes():
    names = [getattr(module, name) for module in PUBLIC for name in module.__all__]
    classes = [cls for cls in names if inspect.isclass(cls)]
    return [cls for cls in classes if not issubclass(cls, Exception)]


@pytest.mark.parametrize("cls", public_classes(), ids=lambda cls: cls.__name__)
def test_documented_parameters_and_defaults_are_those_of_the_signature(cls):
    section = re.search(
        r"Parameters\n\s*-+\n(.*?)(?=\n\n\s*\w[\w ]*\n\s*---|\Z)", cls.__doc__, re.S
    )
    text = re.sub(r"\\\n\s*", "", section.group(1)) if section else ""
    documented = dict(
        re.findall(r"^(\w+) : (.*)$", inspect.cleandoc("\n" + text), re.M)
    )
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    if section is None and "__init__" not in vars(cls):
        return  # documented by the class that it is made from
    assert list(documented) == list(parameters)
    for name, parameter in parameters.items():
        default = re.search(r"default=(.*)$", documented[name])
        if parameter.default is inspect.Parameter.empty:
            assert default is None, name
        else:
            written = default.group(1)
            assert written == repr(parameter.default) or (
                ast.literal_eval(written) == parameter.default
            ), name


def test_all_is_sorted_and_complete():
    for module in PUBLIC:
        assert all(hasattr(module, name) for name in module.__all__)
        assert all(
            getattr(module, name).__doc__
            for name in module.__all__
            if inspect.isclass(getattr(module, name))
        )


def test_estimators_share_one_order_of_parameters():
    orders = [list(inspect.signature(model).parameters) for model, _ in MODELS.values()]
    for one, other in itertools.combinations(orders, 2):
        assert one[0] == other[0] == "n_components"
        assert [n for n in one if n in other] == [n for n in other if n in one]

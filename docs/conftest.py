"""Examples with other tools run where the tool is installed."""

from importlib.util import find_spec
from pathlib import Path

import pytest

MODULES = {"dask": "distributed"}  # where the name of the file is not that of a module

collect_ignore = [
    str(path)
    for path in (Path(__file__).parent / "works_with").glob("*.rst")
    if find_spec(MODULES.get(path.stem, path.stem)) is None
]


def pytest_collection_modifyitems(items):
    """Leave the warnings of these tools to their own tests."""
    for item in items:
        if item.path.parent.name == "works_with":
            item.add_marker(pytest.mark.filterwarnings("ignore"))

"""The scripts of the page "First steps" run as they stand."""

import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from sklearn.utils.validation import check_is_fitted

import skvae

FOLDER = Path(__file__).parents[1] / "examples" / "first_steps"


@pytest.mark.parametrize("name", ["table", "images", "dicom"])
def test_a_script_ends_with_a_figure_and_a_saved_model(name, tmp_path, monkeypatch):
    script = FOLDER / f"from_{name}.py"
    lines = script.read_text().splitlines()
    assert sum(bool(line) and not line.startswith("#") for line in lines) <= 25
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script))
    plt.close("all")
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    check_is_fitted(skvae.load(tmp_path / f"{name}.skvae"))

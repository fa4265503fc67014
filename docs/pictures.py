"""Draw the pictures of the README and the front page: figures of the examples.

Usage, with the folder of benchmark data for the styles of MNIST::

    SKVAE_DATA=... python docs/pictures.py
"""

import os
import runpy
import shutil
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt

DOCS = Path(__file__).parent
# Example, whether it takes the benchmark data, and the names of its figures by number.
PICTURES = [
    ("plot_pipeline_digits", False, {2: "digits"}),
    ("plot_sampled_table", False, {1: "table"}),
    ("plot_radiomics_pipeline", False, {1: "cohort", 2: "roc", 3: "code"}),
    ("plot_style_content", True, {1: "styles"}),
]

if __name__ == "__main__":
    data = os.environ.pop("SKVAE_DATA")
    for example, takes_data, names in PICTURES:
        if takes_data:
            os.environ["SKVAE_DATA"] = data
        runpy.run_path(str(DOCS.parent / "examples" / f"{example}.py"))
        for number, name in names.items():
            plt.figure(number).savefig(DOCS / "_static" / f"{name}.png")
        plt.close("all")
    with TemporaryDirectory() as folder, chdir(folder):
        for name in ("table", "images", "dicom"):
            runpy.run_path(
                str(DOCS.parent / "examples" / "first_steps" / f"from_{name}.py")
            )
            shutil.move(f"{name}.png", DOCS / "_static" / f"first_{name}.png")

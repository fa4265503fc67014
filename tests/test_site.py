"""The documentation as a site: its demonstration, and links of the README."""

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import skvae

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def decoded(demo, code):
    """Decode a code by the weights of the demonstration, in NumPy."""
    values = np.array(code)
    for number, layer in enumerate(demo["layers"]):
        weight, scale, bias = (
            np.frombuffer(base64.b64decode(layer[name]), dtype)
            for name, dtype in (("weight", "i1"), ("scale", "<f4"), ("bias", "<f4"))
        )
        values = scale * (weight.reshape(len(bias), -1) @ values) + bias
        if number < len(demo["layers"]) - 1:
            values = np.maximum(values, 0)
    return 1 / (1 + np.exp(-values))


def test_the_demonstration_decodes_in_a_browser(tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs Chromium")
    place = (DOCS / "_includes" / "demo.html").read_text()
    page = tmp_path / "index.html"
    page.write_text(f"<!doctype html><meta charset='utf-8'>{place}")
    (tmp_path / "_static").symlink_to(DOCS / "_static")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    options += ["--allow-file-access-from-files", "--virtual-time-budget=5000"]
    dom = subprocess.run(
        [browser, *options, page.as_uri()], capture_output=True, text=True, check=True
    )
    found = np.array(re.search(r'data-values="([^"]+)"', dom.stdout)[1].split(), float)
    text = (DOCS / "_static" / "demo_weights.js").read_text()
    demo = json.loads(text.removeprefix("const DEMO = ").rstrip(";\n"))
    np.testing.assert_allclose(found, decoded(demo, demo["digits"][3]), atol=1e-3)


def test_the_demonstration_is_small():
    scripts = [DOCS / "_static" / name for name in ("demo.js", "demo_weights.js")]
    assert sum(script.stat().st_size for script in scripts) < 200_000


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_to_files_lead_somewhere(page):
    text = (ROOT / page).read_text()
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("CHANGELOG.md", "## [{}]"),
        ("CITATION.cff", "version: {}"),
        ("docs/cite.rst", "version = {{{}}}"),
    ],
)
def test_pages_name_the_current_version(page, line):
    assert line.format(skvae.__version__) in (ROOT / page).read_text()


def linkcheck(folder):
    check = [sys.executable, DOCS / "linkcheck.py", folder]
    return subprocess.run(check, capture_output=True, text=True, check=False)


def test_the_check_of_links_finds_what_leads_nowhere(tmp_path):
    reference = tmp_path / "api.html"
    reference.write_text('<dt id="skvae.VAE">VAE</dt><dt id="skvae.VAE.fit">fit</dt>')
    name = '<code class="py-obj">{}</code>'
    sound = "<a href='api.html#skvae.VAE'>{}</a> <a href='https://a.org/b'>b</a>{}"
    page = tmp_path / "index.html"
    page.write_text(sound.format(name.format("VAE"), name.format("layer")))
    assert linkcheck(tmp_path).returncode == 0
    page.write_text(
        f"<img src='a.png'><a href='api.html#AE'>AE</a>{name.format('VAE')}"
    )
    found = linkcheck(tmp_path)
    assert found.returncode == 1
    assert found.stdout.splitlines()[:-1] == [
        "index.html: no such file: a.png",
        "index.html: no such place: api.html#AE",
        "index.html: name without a link: VAE",
    ]

"""The report on a fitted model, as one HTML file."""

import base64
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import AAE, AE, VAE, AAEClassifier, Conv, SupervisedAAE
from skvae.datasets import make_dicom_cohort
from skvae.dicom import VolumeLoader, scan
from skvae.report import model_report

QUICK = {"max_iter": 2, "random_state": 0}
SECTIONS = ["Doubts", "Data", "Settings", "Training", "Reconstructions", "Components"]
SECTIONS += ["Codes", "Layers", "How to cite", "Versions"]


def sections(page):
    return re.findall("<h2>(.*?)</h2>", page)


@pytest.fixture(scope="module")
def page(digits, tmp_path_factory):
    X, y = digits
    path = tmp_path_factory.mktemp("report") / "report.html"
    vae = VAE(3, early_stopping=True, **QUICK).fit(X[:200])
    return model_report(vae, X[200:], y[200:], cv=2, path=path)


def test_a_report_is_whole_and_needs_no_network(page):
    text = page.read_text()
    assert sections(text) == SECTIONS
    sources = re.findall(r'src="([^"]*)"', text)
    assert len(sources) == 6
    for source in sources:
        kind, data = source.split(",", 1)
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")
    assert not re.search("href=|src=.http|<script|<link", text)
    assert "Auto-encoding variational Bayes" in text
    assert len(text) < 3e6


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_a_browser_shows_all_pictures(page, tmp_path):
    probe = tmp_path / "probe.html"
    script = "<script>document.title = [...document.images].map(i => i.width)</script>"
    probe.write_text(page.read_text().replace("</body>", f"{script}</body>"))
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    run = subprocess.run(
        [*browser, f"--user-data-dir={tmp_path}", probe.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    (widths,) = re.findall("<title>(.*?)</title>", run.stdout)
    assert len(widths.split(",")) == 6
    assert min(map(int, widths.split(","))) > 200


@pytest.mark.parametrize("model", [AE, AAE, SupervisedAAE, AAEClassifier])
def test_every_model_has_a_report(model, digits, tmp_path):
    X, y = digits
    path = model_report(model(2, **QUICK).fit(X, y), X, path=tmp_path / "report.html")
    assert sections(path.read_text()) == [name for name in SECTIONS if name != "Layers"]


def test_the_best_pipeline_of_a_search_is_described(digits, tmp_path):
    X, y = digits
    table = pd.DataFrame(X.reshape(-1, 64)).add_prefix("pixel ")
    pipeline = make_pipeline(StandardScaler(), AE(2, **QUICK), LogisticRegression())
    grid = {"ae__n_components": [3]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(table, y)
    text = model_report(search, table, path=tmp_path / "report.html").read_text()
    assert "<th>n_components</th><td>3</td>" in text
    assert "LogisticRegression" in text
    assert "The best of 1 candidates" in text
    assert f"{search.best_score_:.3f}" in text


@pytest.mark.filterwarnings("ignore:Posterior collapse")
def test_a_report_on_series_names_no_patient_and_no_folder(tmp_path):
    make_dicom_cohort(tmp_path / "archive", 4, random_state=0)
    volumes = scan(tmp_path / "archive")
    loader = VolumeLoader(spacing=8, shape=(6, 10, 10), cache=tmp_path / "cache")
    network = Conv((4,), dense=8)
    pipeline = make_pipeline(loader, AE(2, architecture=network, **QUICK)).fit(volumes)
    text = model_report(pipeline, volumes, path=tmp_path / "report.html").read_text()
    assert "VolumeLoader" in text
    assert str(tmp_path) not in text
    assert not [name for name in volumes["patient_id"] if str(name) in text]


@pytest.mark.filterwarnings("ignore:Posterior collapse")
def test_doubts_are_told(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(60, 20))
    collapsed = VAE(8, beta=100.0, max_iter=60, random_state=0).fit(noise)
    text = model_report(collapsed, noise, path=tmp_path / "report.html").read_text()
    assert "60 samples for 8 components" in text
    assert "8 of 8 components are not in use (collapse)" in text
    assert "the code is hardly used" in text


def test_what_was_there_stays_if_a_report_fails(digits, tmp_path):
    X, _ = digits
    path = tmp_path / "report.html"
    path.write_text("an older report")
    with pytest.raises(NotFittedError):
        model_report(VAE(), X, path=path)
    with pytest.raises(ValueError, match="100 features, but VAE is expecting 64"):
        model_report(VAE(2, **QUICK).fit(X), np.zeros((30, 100)), path=path)
    assert path.read_text() == "an older report"
    with pytest.raises(FileNotFoundError, match="a folder that isn't there"):
        model_report(AE(2, **QUICK).fit(X), X, path=tmp_path / "none" / "report.html")

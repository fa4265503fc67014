"""Graphs of ONNX: they agree with Python, or say why they can't."""

import re
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skvae import (
    AAE,
    AE,
    MLP,
    VAE,
    AAEClassifier,
    AAEClusterer,
    Conv,
    SupervisedAAE,
    WatermarkAE,
    to_onnx,
)
from skvae._engine import graphs
from skvae.hashing import SemanticHasher
from skvae.outlier import ReconstructionOutlierDetector
from skvae.preprocessing import SquashingScaler

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("skl2onnx")
pytest.importorskip("onnxscript")

pytestmark = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
    reason="torch < 2.13 has no graphs of some networks",
)
TINY = {"architecture": MLP((8,)), "max_iter": 2, "random_state": 0}
CONV = TINY | {"architecture": Conv((4,), dense=4)}
PAGE = Path(__file__).parents[1] / "examples" / "browser"
LETTERS = np.array(list("abcdefghij"))


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def run(graph, inputs):
    """Return the outputs of a graph by name."""
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


def agree(found, expected):
    assert found.shape == expected.shape
    if expected.dtype.kind == "f":
        assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    else:
        assert_array_equal(found, expected)


def classifiers():
    scaled = StandardScaler(), VAE(4, **TINY)
    yield "logistic", make_pipeline(*scaled, LogisticRegression()), None
    union = make_union("passthrough", PCA(3), AAE(4, layer=["mu", "encoder.1"], **TINY))
    forest = RandomForestClassifier(3, random_state=0)
    steps = SquashingScaler(), "passthrough", union, forest
    yield "squashed-union-forest", make_pipeline(*steps), None
    yield "labels", make_pipeline(StandardScaler(), AAEClassifier(4, **TINY)), LETTERS
    yield "clusters", AAEClusterer(n_clusters=3, **TINY), None
    search = {"vae__n_components": [2, 3]}
    pipeline = make_pipeline(*scaled, LogisticRegression())
    yield "search", GridSearchCV(pipeline, search, cv=2), None


def transformers():
    yield "conv-reconstruct", AE(4, **CONV), (8, 8), "reconstruct"
    yield "volumes", AE(4, layer=["z", "encoder.1"], **CONV), (4, 4, 4), None
    yield "scores", AE(4, likelihood="bernoulli", **TINY), (64,), "score_samples"
    yield "by-class", SupervisedAAE(4, **TINY), (64,), "reconstruct"
    yield "scores-by-class", SupervisedAAE(4, **TINY), (64,), "score_samples"
    yield "ordered", VAE(4, ordered=True, layer="mu[:2]", **TINY), (64,), None
    yield "gaps", VAE(4, missing_values="mask", **TINY), (64,), "reconstruct"
    yield "hashes", SemanticHasher(AE(8, **TINY), 4), (64,), None


@pytest.mark.parametrize(("name", "estimator", "letters"), [*classifiers()])
def test_classes_and_probabilities_agree(name, estimator, letters, digits):
    X, y = digits[0].reshape(300, 64), digits[1]
    estimator.fit(X, y if letters is None else letters[y])
    outputs = run(to_onnx(estimator, X[:2]), {"X": X})
    assert list(outputs) == ["label", "probabilities"]
    agree(outputs["label"], estimator.predict(X))
    agree(outputs["probabilities"], estimator.predict_proba(X).astype(np.float32))


@pytest.mark.parametrize(("name", "estimator", "shape", "method"), [*transformers()])
def test_other_outputs_agree(name, estimator, shape, method, digits):
    X, y = digits[0].reshape(300, *shape), digits[1] % 2
    estimator.fit(X, y)
    if name == "gaps":
        X = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
        X = X.astype(np.float32)
    outputs = run(to_onnx(estimator, X[:2], method=method), {"X": X[:100]})
    expected = getattr(estimator, method or "transform")(X[:100])
    agree(outputs["output"].astype(expected.dtype), expected)


def test_a_decoder_alone_agrees(digits):
    X, y = digits
    estimator = SupervisedAAE(3, **TINY).fit(X, y % 2)
    codes = estimator.transform(X)
    graph = to_onnx(estimator, X[:2], method="inverse_transform")
    agree(run(graph, {"X": codes})["output"], estimator.inverse_transform(codes))


def test_marks_agree(digits):
    X = digits[0].reshape(300, 64)
    bits = np.arange(4) < (np.arange(300) % 5)[:, None]
    estimator = WatermarkAE(3, **TINY).fit(X, bits)
    outputs = run(to_onnx(estimator, X[:2], method="predict_proba"), {"X": X})
    agree(outputs["output"], estimator.predict_proba(X))


@pytest.mark.parametrize("criterion", ["combined", "elbo"])
def test_an_outlier_detector_agrees(criterion, digits):
    X = digits[0].reshape(300, 64)
    model = AE(3, **TINY)
    estimator = model if criterion == "combined" else make_pipeline(PCA(9), model)
    options = {"criterion": criterion, "cv": 2, "random_state": 0}
    detector = ReconstructionOutlierDetector(estimator, **options).fit(X)
    strange = np.concatenate([X, X[:, ::-1]])
    outputs = run(to_onnx(detector, X[:2]), {"X": strange})
    agree(outputs["scores"], detector.decision_function(strange))
    clear = np.abs(detector.decision_function(strange)) > 1e-4
    agree(outputs["label"][clear], detector.predict(strange)[clear])


def test_a_table_of_numbers_and_categories_agrees():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(80, 3)), columns=["a", "b", "c"])
    table["kind"] = LETTERS[rng.integers(3, size=80)]
    columns = make_column_transformer(
        (make_pipeline(StandardScaler(), VAE(2, **TINY)), ["a", "b", "c"]),
        (OneHotEncoder(sparse_output=False), ["kind"]),
    )
    pipeline = make_pipeline(columns, LogisticRegression())
    pipeline.fit(table, rng.integers(2, size=80))
    inputs = {name: table[[name]].to_numpy() for name in table}
    inputs |= {name: inputs[name].astype(np.float32) for name in "abc"}
    outputs = run(to_onnx(pipeline, table[:2]), inputs)
    expected = pipeline.predict_proba(table)
    assert_allclose(outputs["probabilities"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("estimator", "method", "message"),
    [
        (VAE(3, layer="z", **TINY), None, "layer='z' draws random numbers"),
        (VAE(3, **TINY), "score_samples", "score_samples of a VAE draws"),
        (AE(3, **TINY), "predict_proba", "AE has no method='predict_proba'"),
        (SquashingScaler(), "reconstruct", "SquashingScaler has no method="),
        (
            make_pipeline(PCA(4), AE(3, **TINY)),
            "inverse_transform",
            "needs an autoencoder alone",
        ),
        (
            make_pipeline(AE(3, **TINY), LogisticRegression()),
            "transform",
            "`method` is for steps of skvae",
        ),
        (
            make_pipeline(AE(3, **TINY), KernelDensity()),
            None,
            "a step without a conversion",
        ),
    ],
)
def test_what_has_no_graph_says_so(estimator, method, message, digits):
    X = digits[0].reshape(300, 64)
    estimator.fit(X, digits[1])
    with pytest.raises(ValueError, match=message):
        to_onnx(estimator, X[:2], method=method)


def test_an_old_torch_is_named_where_a_graph_fails(digits, monkeypatch):
    X, y = digits[0].reshape(300, 64), digits[1]
    pipeline = make_pipeline(AE(3, **TINY), KernelDensity()).fit(X, y)
    monkeypatch.setattr(graphs, "version", lambda name: "2.5.1")
    with pytest.raises(ValueError, match=r"Perhaps torch 2\.5\.1 is too old .* 2\.13"):
        to_onnx(pipeline, X[:2])


def test_samples_of_another_width_are_an_error(digits):
    ae = AE(3, **TINY).fit(digits[0])
    with pytest.raises(ValueError, match="X has 5 features, but AE was fitted on 64"):
        to_onnx(ae, np.zeros((2, 5)))


class Counting:
    """An architecture that takes the number of samples for a constant."""

    def encoder(self, sample_shape):
        class Encoder(torch.nn.Module):
            def forward(self, X):
                return X.flatten(1) + torch.zeros(len(X), 1)

        return Encoder()

    def decoder(self, n_inputs, sample_shape):
        layers = torch.nn.Linear(n_inputs, 64), torch.nn.Unflatten(1, sample_shape)
        return torch.nn.Sequential(*layers)


def test_networks_that_fix_the_number_of_samples_are_an_error(digits):
    ae = AE(3, architecture=Counting(), max_iter=1, random_state=0).fit(digits[0])
    with pytest.raises(ValueError, match="takes the number of samples for a constant"):
        to_onnx(ae, digits[0][:2])


def test_the_page_decodes_in_a_browser(digits, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    modules = PAGE / "node_modules"
    if browser is None or not modules.exists():
        pytest.skip("needs Chromium, and `npm install` in examples/browser")
    vae = VAE(4, likelihood="bernoulli", max_iter=2, random_state=0).fit(digits[0])
    graph = to_onnx(vae, digits[0][:2], method="inverse_transform")
    (tmp_path / "decoder.onnx").write_bytes(graph.SerializeToString())
    (tmp_path / "index.html").write_bytes((PAGE / "index.html").read_bytes())
    (tmp_path / "node_modules").symlink_to(modules)
    handler = partial(QuietHandler, directory=tmp_path)
    with ThreadingHTTPServer(("localhost", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        options += ["--virtual-time-budget=20000"]
        address = f"http://localhost:{server.server_port}/"
        page = subprocess.run(
            [browser, *options, address], capture_output=True, text=True, check=True
        )
        server.shutdown()
    found = np.array(re.search(r'data-values="([^"]+)"', page.stdout)[1].split(), float)
    expected = vae.inverse_transform(np.zeros((1, 4)))
    assert_allclose(found, expected.ravel(), atol=1e-5)

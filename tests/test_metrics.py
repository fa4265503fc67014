import numpy as np
import pytest
from cases import MODELS
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import AAE, AE, WatermarkAE
from skvae.metrics import binarize, dice_score, otsu_threshold, reconstruction_scorer
from skvae.model_selection import StackedGridSearchCV
from skvae.plot import LossCurveDisplay

FIT = {"max_iter": 3, "random_state": 0, "likelihood": "bernoulli"}


@pytest.fixture(scope="module")
def binary(digits):
    X, y = digits
    return (X.mean() < X).astype(float), y


@pytest.mark.parametrize("seed", range(5))
def test_threshold_of_otsu_is_that_of_scikit_image(seed):
    filters = pytest.importorskip("skimage.filters")
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(0, 1, 300), rng.normal(seed, 2, 200)])
    assert otsu_threshold(values) == filters.threshold_otsu(values)
    assert otsu_threshold(values, 32) == filters.threshold_otsu(values, nbins=32)
    assert otsu_threshold([3, 3]) == 3


def test_binary_values():
    rng = np.random.default_rng(0)
    y_true = rng.random((40, 30)) < 0.3
    values = np.clip(0.2 * y_true + 0.2 * rng.random(y_true.shape), 0, 1)
    assert not binarize(values).any()
    assert_array_equal(binarize(values, 0.3), values >= 0.3)
    assert_array_equal(binarize(values, "otsu"), values > otsu_threshold(values))
    by_truth = binarize(values, "youden", y_true)
    best = max(
        (values >= level)[y_true].mean() - (values >= level)[~y_true].mean()
        for level in np.unique(values)
    )
    found = by_truth[y_true].mean() - by_truth[~y_true].mean()
    assert found == pytest.approx(best)
    assert by_truth.dtype == values.dtype


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: binarize([0.1], "youden"), "needs the true values"),
        (lambda: binarize([0.1], "youden", [1]), "needs both 0 and 1"),
        (lambda: binarize([0.1], "best"), "'otsu' or 'youden', got 'best'"),
        (lambda: otsu_threshold([np.nan]), "must be finite"),
        (lambda: dice_score([0.5], [1]), "`y_true` must hold 0 and 1"),
        (lambda: dice_score([1], [1, 0]), "must have the shape"),
        (lambda: dice_score([1], [1], "macro"), "'micro' or 'samples'"),
        (lambda: reconstruction_scorer("auc"), r"\['accuracy', 'dice', "),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_dice_is_the_f1_score():
    rng = np.random.default_rng(0)
    A, B = rng.random((2, 20, 9)) < 0.4
    A[3] = B[3] = False
    assert dice_score(A, B) == pytest.approx(f1_score(A.ravel(), B.ravel()))
    of_rows = [f1_score(a, b, zero_division=1.0) for a, b in zip(A, B, strict=True)]
    assert dice_score(A, B, "samples") == pytest.approx(np.mean(of_rows))


@pytest.mark.parametrize("name", MODELS)
def test_reconstructions_of_0_and_1(binary, name):
    X, y = binary
    model = MODELS[name][0](**FIT).fit(X, y)
    means = model.reconstruct(X)
    for threshold in (0.3, "otsu", "youden"):
        expected = binarize(means, threshold, X)
        assert_array_equal(model.reconstruct(X, threshold=threshold), expected)


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_the_means(binary, name):
    X, y = binary
    model = MODELS[name][0](**FIT).fit(X, y)
    codes = model.transform(X[:9])
    options = {"y": 0} if hasattr(model, "class_prior_") else {}
    means = model.inverse_transform(codes, **options)
    logits = model.inverse_transform(codes, logits=True, **options)
    assert logits.shape == means.shape
    assert_allclose(1 / (1 + np.exp(-logits)), means, rtol=1e-5)
    model.set_params(likelihood="gaussian").fit(X, y)
    with pytest.raises(ValueError, match="logits=True needs likelihood"):
        model.inverse_transform(codes, logits=True, **options)


@pytest.mark.parametrize("name", [*MODELS, "WatermarkAE"])
def test_metrics_are_measured_and_change_nothing(binary, name):
    X, y = binary
    model = MODELS[name][0] if name in MODELS else WatermarkAE
    options = {"X_val": X[:100]}
    if name == "WatermarkAE":
        y = np.random.default_rng(0).integers(2, size=(len(X), 3))
    if name in ("SupervisedAAE", "AAEClassifier", "WatermarkAE"):
        options["y_val"] = y[:100]

    def darkest(X, X_hat):
        assert X.shape == X_hat.shape == (100, X.shape[1])
        return X_hat.min()

    metrics = ["dice", "accuracy", "mean_squared_error", darkest]
    watched = model(metrics=metrics, **FIT).fit(X, y, **options)
    alone = model(**FIT).fit(X, y, **options)
    assert watched.loss_curve_ == alone.loss_curve_
    assert_array_equal(watched.transform(X), alone.transform(X))
    last = watched.history_[-1]
    if name in ("AAEClusterer", "AE", "VAE", "AAE"):
        X_hat = watched.reconstruct(X[:100])
    else:
        X_hat = watched.reconstruct(X[:100], y[:100])
        if name == "AAEClassifier":  # decodes its own probabilities
            X_hat = None
    if X_hat is not None:
        assert last["valid_darkest"] == pytest.approx(X_hat.min(), rel=1e-4)
        dice = dice_score(X[:100], binarize(X_hat))
        assert last["valid_dice"] == pytest.approx(dice, abs=1e-3)
        error = np.square(X_hat - X[:100]).mean()
        assert last["valid_mean_squared_error"] == pytest.approx(error, rel=1e-3)


def test_metrics_need_held_out_samples(binary, tmp_path):
    X, _ = binary
    with pytest.raises(ValueError, match="measured on held-out samples"):
        AE(metrics=["dice"], **FIT).fit(X)
    with pytest.raises(ValueError, match="`metrics` must hold"):
        AE(metrics=["auc"], **FIT).fit(X)
    options = {"early_stopping": True, "memory": tmp_path, **FIT}
    first = AE(metrics=["dice"], **options).fit(X)
    assert len(first.history_) == sum("valid_dice" in row for row in first.history_)
    again = AE(metrics=["accuracy"], **options).fit(X)  # no entry of the other one
    assert "valid_accuracy" in again.history_[-1]


def test_metrics_are_watched_within_a_stacked_search(binary):
    X, _ = binary
    ae = AE(2, metrics=["dice"], early_stopping=True, **FIT)
    search = StackedGridSearchCV(ae, {"learning_rate": [1e-3, 3e-3]}, cv=2).fit(X)
    assert "valid_dice" in search.best_estimator_.history_[-1]


def test_searches_score_by_metrics(binary):
    X, _ = binary
    X = X.reshape(len(X), -1)
    pipeline = make_pipeline(StandardScaler(), AE(2, max_iter=3, random_state=0))
    scorer = reconstruction_scorer("mean_squared_error")
    grid = {"ae__n_components": [1, 4]}
    search = GridSearchCV(pipeline, grid, scoring=scorer, cv=2).fit(X)
    model = search.best_estimator_
    Z = model[0].transform(X)
    error = np.square(model[-1].reconstruct(Z) - Z).mean()
    assert scorer(model, X) == pytest.approx(-error)
    assert_allclose(scorer(model[-1], Z), -error)


def test_metrics_have_an_axis_of_their_own(binary):
    X, _ = binary
    aae = AAE(metrics=["dice", "accuracy"], **FIT).fit(X, X_val=X[:50])
    display = LossCurveDisplay.from_estimator(aae)
    assert display.metric_ax_ is not display.adversary_ax_
    lines = {line.get_label(): line for line in display.metric_ax_.get_lines()}
    assert set(lines) == {"valid dice", "valid accuracy"}
    values = [row["valid_dice"] for row in aae.history_]
    assert_array_equal(lines["valid dice"].get_ydata(), values)


def test_missing_values_have_no_part_in_metrics(binary):
    X, _ = binary
    gaps = np.random.default_rng(0).random(X.shape) < 0.3
    X = np.where(gaps, np.nan, X)
    ae = AE(missing_values="mask", metrics=["dice", "mean_squared_error"], **FIT)
    ae.fit(X, X_val=X)
    X_hat = ae.reconstruct(X)
    dice = dice_score(X[~gaps], binarize(X_hat[~gaps]))
    assert ae.history_[-1]["valid_dice"] == pytest.approx(dice, abs=1e-3)
    error = np.square(X_hat - X)[~gaps].mean()
    assert ae.history_[-1]["valid_mean_squared_error"] == pytest.approx(error, rel=1e-3)
    scorer = reconstruction_scorer("mean_squared_error")
    assert scorer(ae, X) == pytest.approx(-error, rel=1e-3)

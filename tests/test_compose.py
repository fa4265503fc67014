"""Together with the rest of scikit-learn."""

import copy

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skvae import AAE, AE, MLP, VAE, Conv, nn
from skvae._engine.plan import Plan

FIT = {"max_iter": 10, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore::skvae.PosteriorCollapseWarning")


@pytest.fixture(scope="module")
def table(digits):
    images, y = digits
    return images.reshape(len(images), 64), y


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def classifier(model):
    return Pipeline(
        [
            ("scale", MinMaxScaler()),
            ("reduce", model),
            ("classify", LogisticRegression(max_iter=2000)),
        ]
    )


def test_stands_where_pca_stands(table):
    X, y = table
    grid = {
        "reduce": [PCA(), AE(**FIT), VAE(**FIT)],
        "reduce__n_components": [2, 8],
    }
    search = GridSearchCV(classifier(PCA()), grid, cv=3, n_jobs=2).fit(X, y)
    scores = search.cv_results_["mean_test_score"].reshape(3, 2)
    assert np.all(scores > 0.4)
    assert np.all(scores[:, 1] > scores[:, 0])


def test_search_gives_the_same_in_any_number_of_processes(table):
    X, y = table
    grid = {"reduce__n_components": [2, 4], "reduce__layer": ["mu", "z"]}
    searches = [
        GridSearchCV(classifier(VAE(**FIT)), grid, cv=2, n_jobs=n_jobs).fit(X, y)
        for n_jobs in (1, 2)
    ]
    assert_array_equal(*(s.cv_results_["mean_test_score"] for s in searches))


def test_search_without_a_scorer_maximizes_the_likelihood(table):
    X, _ = table
    search = GridSearchCV(AE(**FIT), {"max_iter": [1, 20]}, cv=2).fit(X)
    assert search.best_params_ == {"max_iter": 20}
    assert search.score(X) == pytest.approx(search.best_estimator_.score(X))


def test_nested_search_over_the_architecture(digits):
    X, y = digits
    model = make_pipeline(
        VAE(4, architecture=Conv(dense=16), batch_size=16, **FIT),
        LogisticRegression(max_iter=2000),
    )
    grid = {"vae__architecture__channels": [(2,), (4, 8)]}
    search = GridSearchCV(model, grid, cv=2)
    scores = cross_val_score(search, X, y, cv=2)
    assert np.all(scores > 0.3)
    swap = {"vae__architecture": [MLP((32,)), Conv(channels=(4,))]}
    assert len(GridSearchCV(model, swap, cv=2).fit(X, y).cv_results_["params"]) == 2


@pytest.mark.parametrize(
    ("name", "value", "example"),
    [
        ("architecture__dropout", 0.1, "MLP"),
        ("likelihood__scale", 2.0, "Gaussian"),
        ("prior__scale", 2.0, "Normal"),
    ],
)
def test_names_of_parts_have_no_parameters(name, value, example, table):
    part, _ = name.split("__")
    message = (
        f"`{name}` sets a parameter of the object `{part}`, which is a str. Give an "
        rf"object as `{part}` first, such as {example}\(\)"
    )
    model = AAE(**FIT)
    with pytest.raises(ValueError, match=message):
        model.set_params(**{name: value})
    with pytest.raises(ValueError, match=message):
        make_pipeline(model).set_params(**{f"aae__{name}": value})
    with pytest.raises(ValueError, match=message):
        GridSearchCV(model, {name: [value]}, cv=2).fit(table[0])
    objects = {
        "architecture": MLP(),
        "likelihood": nn.Gaussian(),
        "prior": nn.Normal(),
    }
    model.set_params(**{part: objects[part], name: value})
    assert getattr(getattr(model, part), name.split("__")[1]) == value


def test_cross_val_score_with_groups(table):
    X, y = table
    groups = np.arange(len(X)) // 10
    scores = cross_val_score(
        classifier(VAE(**FIT)), X, y, cv=GroupKFold(3), groups=groups
    )
    assert len(scores) == 3
    assert np.all(scores > 0.5)


@pytest.mark.usefixtures("routing")
def test_groups_are_routed_to_splitter_and_fit(table, monkeypatch):
    X, y = table
    groups = np.arange(len(X)) // 10
    seen = []
    split = Plan._split
    monkeypatch.setattr(
        Plan, "_split", lambda plan, rows: seen.append(plan.groups) or split(plan, rows)
    )
    pipeline = classifier(VAE(early_stopping=True, **FIT))
    search = GridSearchCV(pipeline, {"reduce__n_components": [2]}, cv=GroupKFold(3))
    search.fit(X, y, groups=groups)
    assert len(seen) == 4
    assert all(part is not None for part in seen)
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()


@pytest.mark.usefixtures("routing")
def test_pipeline_transforms_validation_data(table):
    X, _ = table
    scaler = StandardScaler().fit(X[:200])
    model = AE(early_stopping=True, **FIT)
    pipeline = Pipeline(
        [("scale", StandardScaler()), ("reduce", model)], transform_input=["X_val"]
    )
    pipeline.fit(X[:200], X_val=X[200:])
    direct = clone(model).fit(
        scaler.transform(X[:200]), X_val=scaler.transform(X[200:])
    )
    assert pipeline[-1].history_[-1]["valid_loss"] == pytest.approx(
        direct.history_[-1]["valid_loss"], rel=1e-5
    )


@pytest.mark.parametrize(
    ("kind", "frame"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)]
)
def test_set_output(kind, frame, table):
    X, _ = table
    X = frame(
        X, **({"columns": [f"pixel{i}" for i in range(64)]} if kind == "pandas" else {})
    )
    model = VAE(2, **FIT).set_output(transform=kind)
    out = model.fit(X).set_params(layer=["mu", "logvar"]).transform(X)
    assert isinstance(out, frame)
    assert list(out.columns) == ["mu_0", "mu_1", "logvar_0", "logvar_1"]
    assert list(model.feature_names_in_) == list(X.columns)
    if kind == "pandas":
        assert out.index.equals(X.index)
        with pytest.raises(ValueError, match="feature names should match"):
            model.transform(X.iloc[:, ::-1])


def test_feature_union_with_pca(table):
    X, _ = table
    union = FeatureUnion([("pca", PCA(3)), ("vae", VAE(2, **FIT))])
    union.set_output(transform="pandas")
    out = union.fit_transform(pd.DataFrame(X).rename(columns=str))
    assert list(out.columns) == [
        *("pca__pca0", "pca__pca1", "pca__pca2", "vae__mu_0", "vae__mu_1")
    ]
    vae = VAE(2, **FIT).fit_transform(X)
    assert_array_equal(out.iloc[:, 3:].to_numpy(), vae)


def test_column_transformer(table):
    X, _ = table
    columns = ColumnTransformer(
        [("left", VAE(2, **FIT), slice(0, 32)), ("right", AE(3, **FIT), slice(32, 64))]
    )
    out = columns.fit_transform(X)
    assert out.shape == (300, 5)
    assert_array_equal(out[:, :2], VAE(2, **FIT).fit_transform(X[:, :32]))
    assert list(columns.get_feature_names_out())[2] == "right__mu_0"


def test_pipeline_decodes(table):
    X, _ = table
    pipeline = make_pipeline(StandardScaler(), AE(8, max_iter=60, random_state=0))
    back = pipeline.fit(X).inverse_transform(pipeline.transform(X))
    error = np.square(back - X).mean()
    assert error < 0.5 * X.var(axis=0).mean()


@pytest.mark.parametrize("model", [AE, VAE])
def test_joblib_dump_and_load(model, digits, tmp_path):
    X, y = digits
    pipeline = make_pipeline(
        model(4, architecture="conv", **FIT), LogisticRegression(max_iter=2000)
    ).fit(X, y)
    joblib.dump(pipeline, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert_array_equal(loaded.predict_proba(X), pipeline.predict_proba(X))
    loaded[0].partial_fit(X)


def test_read_only_memmaps_are_left_alone(table, tmp_path):
    X, _ = table
    joblib.dump(X, tmp_path / "X.joblib")
    mapped = joblib.load(tmp_path / "X.joblib", mmap_mode="r")
    assert_array_equal(
        VAE(2, **FIT).fit_transform(mapped), VAE(2, **FIT).fit_transform(X)
    )
    assert_array_equal(mapped, X)


class Small(VAE):
    """A subclass with a constructor of its own."""

    def __init__(self, n_components=2, *, max_iter=3):
        super().__init__(n_components, max_iter=max_iter, random_state=0)


def test_subclasses_with_fewer_arguments_can_be_copied(table):
    X, _ = table
    model = Small().fit(X)
    assert_array_equal(copy.deepcopy(model).transform(X), model.transform(X))


def test_clone_gives_an_unfitted_equal(table):
    X, _ = table
    model = VAE(2, architecture=MLP((16,)), likelihood="laplace", **FIT)
    twin = clone(model.fit(X))
    assert repr(twin) == repr(model)
    assert not hasattr(twin, "module_")
    assert_array_equal(twin.fit_transform(X), model.transform(X))

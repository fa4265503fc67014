"""SearchDisplay: what is drawn is what the search found."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae.plot import SearchDisplay

KNN = make_pipeline(StandardScaler(), KNeighborsClassifier())
GRID = {
    "kneighborsclassifier__n_neighbors": [40, 1, 5],
    "kneighborsclassifier__weights": ["uniform", "distance"],
    "kneighborsclassifier__p": [1, 2],
}
NEIGHBORS, WEIGHTS, P = GRID


@pytest.fixture(scope="module")
def search():
    return GridSearchCV(KNN, GRID, cv=4).fit(*load_iris(return_X_y=True))


def test_lines_are_the_scores_of_the_best_candidates(search):
    display = SearchDisplay.from_search(search, [NEIGHBORS, WEIGHTS])
    assert set(display.lines_) == {"uniform", "distance"}
    results = search.cv_results_
    for weights, line in display.lines_.items():
        x, y = line.get_data()
        assert list(x) == [1, 5, 40]
        for number, score in zip(x, y, strict=True):
            scores = [
                mean
                for params, mean in zip(
                    results["params"], results["mean_test_score"], strict=True
                )
                if (params[NEIGHBORS], params[WEIGHTS]) == (number, weights)
            ]
            assert len(scores) == 2
            assert score == max(scores)
    assert display.ax_.get_xlabel() == "n_neighbors"
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_legend().get_title().get_text() == "weights"


def test_bands_are_the_spread_over_folds():
    grid = {NEIGHBORS: [1, 5, 10]}
    search = GridSearchCV(KNN, grid, cv=4).fit(*load_iris(return_X_y=True))
    display = SearchDisplay.from_search(search)
    ((key, band),) = display.bands_.items()
    assert key is None
    (path,) = band.get_paths()
    mean, std = (search.cv_results_[f"{n}_test_score"] for n in ("mean", "std"))
    assert_allclose(path.vertices[:, 1].max(), (mean + std).max())
    assert_allclose(path.vertices[:, 1].min(), (mean - std).min())
    assert display.ax_.get_xscale() == "linear"
    assert display.ax_.get_legend() is None


def test_parameters_with_the_most_values_are_drawn(search):
    display = SearchDisplay.from_search(search)
    assert list(display.table.columns) == [
        NEIGHBORS,
        P,
        "mean_test_score",
        "std_test_score",
    ]


def test_values_that_are_no_numbers_stand_in_their_order():
    grid = {"standardscaler": [StandardScaler(), "passthrough", None]}
    search = GridSearchCV(KNN, grid, cv=3).fit(*load_iris(return_X_y=True))
    display = SearchDisplay.from_search(search)
    labels = [label.get_text() for label in display.ax_.get_xticklabels()]
    assert labels == ["StandardScaler()", "passthrough", "None"]
    (line,) = display.lines_.values()
    assert_allclose(line.get_ydata(), search.cv_results_["mean_test_score"])


@pytest.mark.filterwarnings("ignore:.*scores are non-finite")
def test_candidates_that_failed_are_gaps():
    grid = {NEIGHBORS: [-1, 1, 5]}
    search = GridSearchCV(KNN, grid, cv=3)
    with pytest.warns(FitFailedWarning):
        search.fit(*load_iris(return_X_y=True))
    (line,) = SearchDisplay.from_search(search).lines_.values()
    assert np.isnan(line.get_ydata()[0])
    assert np.isfinite(line.get_ydata()[1:]).all()


def test_a_parameter_that_some_candidates_lack_is_at_its_default():
    grids = [{NEIGHBORS: [1, 5]}, {WEIGHTS: ["distance"]}]
    search = GridSearchCV(KNN, grids, cv=3).fit(*load_iris(return_X_y=True))
    display = SearchDisplay.from_search(search, NEIGHBORS)
    labels = [label.get_text() for label in display.ax_.get_xticklabels()]
    assert labels == ["1", "5", "default"]


def test_metric_of_several():
    options = {"scoring": ["accuracy", "f1_macro"], "refit": "f1_macro", "cv": 3}
    search = RandomizedSearchCV(KNN, GRID, n_iter=4, random_state=0, **options)
    search.fit(*load_iris(return_X_y=True))
    assert SearchDisplay.from_search(search).metric == "f1_macro"
    display = SearchDisplay.from_search(search, NEIGHBORS, metric="accuracy")
    assert (
        display.table["mean_test_score"].max()
        == search.cv_results_["mean_test_accuracy"].max()
    )
    with pytest.raises(ValueError, match=r"`metric` must be one of \['accuracy'"):
        SearchDisplay.from_search(search, metric="auc")


@pytest.mark.parametrize(
    "params", ["n_neighbors", [], [NEIGHBORS, NEIGHBORS], [NEIGHBORS, WEIGHTS, P]]
)
def test_parameters_must_be_in_the_search(search, params):
    with pytest.raises(ValueError, match="`params` must be one or two of"):
        SearchDisplay.from_search(search, params)


def test_the_search_must_be_fitted():
    with pytest.raises(NotFittedError):
        SearchDisplay.from_search(GridSearchCV(KNN, GRID))

"""Scores out of fold, with intervals over patients."""

import re

import numpy as np
import pandas as pd
import pytest
import sklearn
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import calibration_curve
from sklearn.exceptions import FitFailedWarning
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import auc, brier_score_loss, get_scorer, make_scorer, roc_curve
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    RepeatedKFold,
    StratifiedGroupKFold,
    cross_val_predict,
)
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from skvae.model_selection import evaluate
from skvae.plot import CalibrationBandDisplay, ROCBandDisplay

N_PATIENTS = 60
GROUPS = np.repeat(np.arange(N_PATIENTS), 2)
ROWS = np.arange(2 * N_PATIENTS).reshape(N_PATIENTS, 2)
Y = np.repeat(np.arange(N_PATIENTS) % 2, 2)
X = np.random.RandomState(0).normal(size=(len(Y), 4)) + Y[:, None] * [0.8, 0.5, 0, 0]
MODELS = {"Bayes": GaussianNB(), "logistic": LogisticRegression()}
QUICK = {"n_repeats": 2, "n_draws": 100, "random_state": 0}


class Given(ClassifierMixin, BaseEstimator):
    """Returns the first column as the probability, whatever it was fitted on."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.column_stack([1 - X[:, 0], X[:, 0]])

    def predict(self, X):
        return self.classes_[(X[:, 0] > 0.5).astype(int)]


def test_equals_a_bootstrap_written_by_hand():
    cv = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    probas = {
        name: cross_val_predict(
            model, X, Y, groups=GROUPS, cv=cv, method="predict_proba"
        )[:, 1]
        for name, model in MODELS.items()
    }
    at = np.linspace(0, 1, 101)

    def roc(proba, rows):
        false, true, _ = roc_curve(Y[rows], proba[rows])
        return np.interp(at, false, true), auc(false, true)

    rng = np.random.default_rng(0)
    cohorts = []
    for _ in range(200):
        drawn = rng.integers(N_PATIENTS, size=N_PATIENTS)
        cohorts.append(np.concatenate([ROWS[patient] for patient in drawn]))
    areas = {
        name: np.array([roc(proba, rows)[1] for rows in cohorts])
        for name, proba in probas.items()
    }
    tpr = [roc(probas["Bayes"], rows)[0] for rows in cohorts]

    evaluation = evaluate(
        MODELS,
        X,
        Y,
        groups=GROUPS,
        n_repeats=1,
        baseline="Bayes",
        n_draws=200,
        random_state=0,
    )
    for row in evaluation.table.itertuples():
        curve, area = roc(probas[row.method], slice(None))
        assert row.score == pytest.approx(area)
        ends = np.percentile(areas[row.method], [2.5, 97.5])
        assert_allclose((row.low, row.high), ends)
        gain = np.percentile(areas[row.method] - areas["Bayes"], [2.5, 97.5])
        assert_allclose((row.difference_low, row.difference_high), gain, atol=1e-12)
        assert (row.n_patients, row.n_cases) == (N_PATIENTS, len(Y))
    curve = evaluation.roc_curve("Bayes", n_points=101)
    assert_allclose(curve["tpr"], roc(probas["Bayes"], slice(None))[0])
    assert_allclose(curve[["low", "high"]].T, np.percentile(tpr, [2.5, 97.5], axis=0))
    given = evaluate(
        MODELS,
        X,
        Y,
        groups=GROUPS,
        cv=cv,
        baseline="Bayes",
        n_draws=200,
        random_state=0,
    )
    pd.testing.assert_frame_equal(given.table, evaluation.table)


@pytest.mark.parametrize("name", ["roc_auc", "accuracy", "neg_brier_score"])
def test_quick_scores_are_those_of_the_scorer(name):
    rough = np.round(X / 2)  # ties
    scoring = {"quick": name, "called": get_scorer(name)}
    evaluation = evaluate(MODELS, rough, Y, groups=GROUPS, scoring=scoring, **QUICK)
    for table in evaluation.scores_, evaluation.draws_:
        for method in MODELS:
            assert_allclose(table[method, "quick"], table[method, "called"])


def test_score_is_the_mean_of_the_repeats_and_draws_are_too():
    evaluation = evaluate(MODELS, X, Y, groups=GROUPS, **QUICK)
    weights = evaluation.counts_[:, evaluation.groups_]
    for name, predictions in evaluation.predictions_.items():
        assert predictions.shape == (2, len(Y))
        assert not np.array_equal(*predictions)
        by_hand = [
            sklearn.metrics.roc_auc_score(Y, repeat, sample_weight=weights[7])
            for repeat in predictions
        ]
        assert evaluation.draws_[name, "roc_auc"][7] == pytest.approx(np.mean(by_hand))
        score = evaluation.table.set_index("method")["score"][name]
        assert score == evaluation.scores_[name, "roc_auc"].mean()


def test_interval_is_close_to_that_of_hanley_and_mcneil():
    rng = np.random.RandomState(0)
    y = np.arange(300) % 2
    given = 1 / (1 + np.exp(-rng.normal(size=300) - y))[:, None]
    row = evaluate(Given(), given, y, n_repeats=1, random_state=0).table.iloc[0]
    area, n = row["score"], 150
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (n - 1) * (q1 + q2 - 2 * area**2)
    width = 2 * 1.96 * np.sqrt(variance) / n
    assert row["high"] - row["low"] == pytest.approx(width, rel=0.15)
    assert (row["high"] + row["low"]) / 2 == pytest.approx(area, abs=0.01)


def test_copies_of_a_case_make_no_interval_narrower():
    given = 1 / (1 + np.exp(-X[:, :1]))
    once = evaluate(Given(), given[::2], Y[::2], **QUICK)
    copies = np.repeat(np.arange(0, len(Y), 2), 5)
    five = evaluate(Given(), given[copies], Y[copies], groups=copies, **QUICK)
    columns = ["score", "low", "high", "n_patients"]
    assert_allclose(once.table[columns], five.table[columns])
    assert five.table["n_cases"].item() == 5 * once.table["n_cases"].item()


def test_differences_are_paired():
    models = MODELS | {"same": GaussianNB(), "near": GaussianNB(var_smoothing=0.01)}
    options = QUICK | {"baseline": "Bayes"}
    table = evaluate(models, X, Y, groups=GROUPS, **options).table
    table = table.set_index("method")
    columns = ["difference", "difference_low", "difference_high"]
    assert_array_equal(table.loc["same", columns], 0)
    narrow = table["difference_high"] - table["difference_low"]
    wide = table["high"] - table["low"]
    assert 0 < narrow["near"] < wide["near"] / 4


def test_cohorts_that_lack_a_class_are_left_out_and_counted():
    rows = np.r_[0:40, 1, 3, 5] * 2 % len(Y)
    y = np.r_[np.zeros(40, int), 1, 1, 1]
    evaluation = evaluate(GaussianNB(), X[rows], y, cv=3, **QUICK)
    rng = np.random.default_rng(0)
    lacking = [(y[rng.integers(43, size=43)] == 0).all() for _ in range(100)]
    assert evaluation.n_left_out_ == sum(lacking) > 0
    assert len(evaluation.draws_) == 100 - sum(lacking)
    assert not evaluation.table.isna().any(axis=None)


def test_an_interval_needs_a_cohort_with_all_classes():
    def lacks(seed):
        return np.random.default_rng(seed).integers(60, size=60).min() > 1

    seed = next(filter(lacks, range(100)))
    options = {"cv": 2, "n_draws": 1, "random_state": seed}
    y = np.repeat(np.arange(N_PATIENTS) < 2, 2).astype(int)
    with pytest.raises(ValueError, match="All 1 drawn cohorts lack a class"):
        evaluate(GaussianNB(), X, y, groups=GROUPS, **options)


def test_repeats_with_the_same_random_state_and_in_any_number_of_jobs():
    def table(random_state, **options):
        options = QUICK | {"random_state": random_state} | options
        return evaluate(MODELS, X, Y, groups=GROUPS, **options).table

    first = table(0)
    pd.testing.assert_frame_equal(first, table(0))
    with parallel_config(backend="threading"):
        pd.testing.assert_frame_equal(first, table(0, n_jobs=2))
    assert not first.equals(table(1))
    pd.testing.assert_frame_equal(
        table(np.random.RandomState(3)), table(np.random.RandomState(3))
    )
    assert not table(None).equals(table(None))


def test_leaves_the_estimators():
    model = GaussianNB()
    evaluate(model, X, Y, groups=GROUPS, **QUICK)
    assert not hasattr(model, "classes_")


def test_patients_of_a_table():
    volumes = pd.DataFrame(X, columns=list("abcd"))
    names = [f"patient {number:02d}" for number in GROUPS]
    volumes.insert(0, "patient_id", names)
    volumes.index = volumes.index[::-1]
    columns = sklearn.compose.make_column_transformer(("passthrough", list("abcd")))
    model = make_pipeline(columns, GaussianNB())
    y = pd.Series(np.where(Y, "yes", "no"))
    evaluation = evaluate({"model": model}, volumes, y, **QUICK)
    assert evaluation.table["n_patients"].item() == N_PATIENTS
    assert_array_equal(evaluation.classes_, ["no", "yes"])
    with pytest.raises(ValueError, match="have patients on both sides"):
        evaluate(model, volumes, y, groups=np.arange(len(y)), **QUICK)


def test_texts():
    texts = np.where(Y, "round mass", "spiculated mass").tolist()
    model = make_pipeline(CountVectorizer(), MultinomialNB())
    assert evaluate(model, texts, Y, groups=GROUPS, **QUICK).table["score"].item() == 1


def search(cv):
    return GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=cv)


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("cv", [GroupKFold(2), 2])
def test_a_search_gets_groups(routing, cv):
    with sklearn.config_context(enable_metadata_routing=routing):
        evaluate(search(cv), X, Y, groups=GROUPS, **QUICK)


def test_a_search_in_a_pipeline_gets_groups_by_routing():
    models = {"nested": make_pipeline(search(GroupKFold(2)))}
    with sklearn.config_context(enable_metadata_routing=True):
        evaluate(models, X, Y, groups=GROUPS, **QUICK)
    message = r"A search in 'nested' .*set_config\(enable_metadata_routing=True\)"
    with pytest.raises(ValueError, match=message):
        evaluate(models, X, Y, groups=GROUPS, **QUICK)


def test_decision_functions_where_there_are_no_probabilities():
    evaluation = evaluate(LinearSVC(), X, Y, groups=GROUPS, **QUICK)
    assert evaluation.responses_ == {"LinearSVC": "decision_function"}
    assert evaluation.predictions_["LinearSVC"].min() < 0
    assert evaluation.table["score"].item() > 0.6
    with pytest.raises(ValueError, match="'LinearSVC' has no predict_proba"):
        evaluation.calibration_curve("LinearSVC")


def test_more_than_two_classes():
    y = GROUPS % 3
    scoring = ["roc_auc_ovr", "balanced_accuracy"]
    evaluation = evaluate(
        MODELS, X, y, groups=GROUPS, scoring=scoring, **QUICK | {"n_draws": 10}
    )
    assert evaluation.table["metric"].tolist() == scoring * 2
    assert evaluation.predictions_["Bayes"].shape == (2, len(y), 3)
    with pytest.raises(ValueError, match="need classes, two of them"):
        evaluation.roc_curve("Bayes")
    with pytest.raises(ValueError, match="`scoring` 'roc_auc' can't be computed"):
        evaluate(MODELS, X, y, groups=GROUPS, scoring="roc_auc", **QUICK)


def test_regressors():
    scoring = {
        "r2": "r2",
        "quick": "neg_mean_squared_error",
        "called": get_scorer("neg_mean_squared_error"),
    }
    y = X[:, 0] * 3 + X[:, 1]
    evaluation = evaluate(
        LinearRegression(), X, y, groups=GROUPS, scoring=scoring, **QUICK
    )
    assert evaluation.classes_ is None
    assert evaluation.table["score"][0] == pytest.approx(1)
    draws = evaluation.draws_["LinearRegression"]
    assert_allclose(draws["quick"], draws["called"])
    table = evaluate(LinearRegression(), X, y, **QUICK | {"n_draws": 5}).table
    assert table[["metric", "n_patients"]].iloc[0].tolist() == ["r2", len(y)]


def test_scorers_of_your_own():
    def sensitivity(y, predicted):
        return np.mean(predicted[y == 1] == 1)

    scorer = make_scorer(sensitivity)
    evaluation = evaluate(
        MODELS, X, Y, groups=GROUPS, scoring=scorer, **QUICK | {"n_draws": 10}
    )
    assert evaluation.table["metric"].unique().tolist() == ["score"]
    by_hand = (evaluation.predictions_["Bayes"][:, Y == 1] > 0.5).mean()
    assert evaluation.table["score"][0] == pytest.approx(by_hand)


def test_a_failed_fit_costs_its_own_row_only():
    models = MODELS | {"broken": LogisticRegression(C=-1)}
    with pytest.raises(ValueError, match="C"):
        evaluate(models, X, Y, groups=GROUPS, **QUICK)
    with pytest.warns(
        FitFailedWarning, match="10 fits of 'broken' failed; .* NaN. The first"
    ):
        evaluation = evaluate(
            models, X, Y, groups=GROUPS, error_score=np.nan, baseline="Bayes", **QUICK
        )
    table = evaluation.table.set_index("method")
    assert table.loc["broken"].drop(["metric", "n_patients", "n_cases"]).isna().all()
    assert not table.drop("broken").isna().any(axis=None)
    with pytest.raises(ValueError, match="'broken' could not be fitted"):
        evaluation.roc_curve("broken")


def test_answers_that_are_not_finite_are_errors():
    given = np.full((len(Y), 1), np.nan)
    with pytest.raises(ValueError, match="What predict_proba returned contains NaN"):
        evaluate(Given(), given, Y, groups=GROUPS, **QUICK)


def test_repeats_of_a_splitter():
    cv = RepeatedKFold(n_splits=3, n_repeats=4, random_state=0)
    assert len(evaluate(GaussianNB(), X, Y, cv=cv, n_draws=5).scores_) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cv": KFold(3, shuffle=True)}, "have groups on both sides"),
        ({"cv": GroupShuffleSplit(3)}, "`cv` must test each case once"),
        (
            {"cv": [(np.arange(60), np.arange(60, 120))]},
            "`cv` must test each case once",
        ),
        ({"n_draws": 0}, "`n_draws` must be an int >= 1, got 0"),
        ({"n_repeats": 2.0}, "`n_repeats` must be an int >= 1, got 2.0"),
        (
            {"confidence_level": 95},
            "`confidence_level` must be between 0 and 1, got 95",
        ),
        ({"baseline": "age"}, "`baseline` must be one of ['Bayes', 'logistic']"),
        ({"error_score": 0}, "`error_score` must be 'raise' or nan, got 0"),
        ({"scoring": "area"}, "'area' is not a valid scoring value"),
        ({"y": np.zeros(120)}, "`y` must hold 2 classes at least"),
        ({"y": X[:, 0]}, "`y` must hold classes for classifiers, got numbers"),
        ({"y": np.r_[1, 1, np.zeros(118)]}, "A training side lacks a class"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value,
)
@pytest.mark.filterwarnings("ignore:The least populated class")
def test_what_is_refused(options, message):
    arguments = {"estimators": MODELS, "X": X, "y": Y, "groups": GROUPS}
    arguments |= QUICK | options
    with pytest.raises(ValueError, match=re.escape(message)):
        evaluate(**arguments)


def test_kinds_of_estimators():
    with pytest.raises(TypeError, match="`estimators` must be an estimator or a dict"):
        evaluate([GaussianNB()], X, Y)
    mixed = {"a": GaussianNB(), "b": LinearRegression()}
    with pytest.raises(TypeError, match="must be classifiers, or regressors, all"):
        evaluate(mixed, X, Y)


def test_calibration_agrees_with_scikit_learn():
    evaluation = evaluate(MODELS, X, Y, groups=GROUPS, **QUICK | {"n_repeats": 1})
    proba = evaluation.predictions_["Bayes"][0]
    curve = evaluation.calibration_curve("Bayes", n_bins=4)
    observed, predicted = calibration_curve(Y, proba, n_bins=4, strategy="quantile")
    assert_allclose(curve["observed"], observed)
    assert_allclose(curve["predicted"], predicted)
    assert curve["n_cases"].sum() == len(Y)
    assert curve["observed"].between(curve["low"], curve["high"]).all()
    assert evaluation.brier_score("Bayes") == brier_score_loss(Y, proba)


def test_calibration_of_one_probability():
    half = np.full((len(Y), 1), 0.5)
    evaluation = evaluate(Given(), half, Y, groups=GROUPS, **QUICK)
    curve = evaluation.calibration_curve("Given")
    assert curve[["predicted", "observed", "n_cases"]].to_numpy().tolist() == [
        [0.5, 0.5, 120]
    ]


def test_representations():
    evaluation = evaluate(MODELS, X, Y, groups=GROUPS, **QUICK)
    assert repr(evaluation) == (
        "Evaluation(methods=['Bayes', 'logistic'], n_patients=60, n_cases=120, "
        "n_repeats=2, n_draws=100, n_left_out=0)"
    )
    assert "<table" in evaluation._repr_html_()
    with pytest.raises(ValueError, match=r"one of \['Bayes', 'logistic'\], got 'SVC'"):
        evaluation.roc_curve("SVC")


@pytest.mark.parametrize("display", [ROCBandDisplay, CalibrationBandDisplay])
def test_displays(display):
    from matplotlib.figure import Figure

    evaluation = evaluate(MODELS, X, Y, groups=GROUPS, **QUICK)
    ax = Figure().subplots()
    drawn = display.from_evaluation(evaluation, ax=ax)
    assert drawn.ax_ is ax
    assert drawn.figure_ is ax.figure
    assert list(drawn.lines_) == list(drawn.bands_) == list(MODELS)
    assert "120 cases of 60 patients\n95 % intervals over patients" in ax.get_title()
    assert ax.get_xlabel().endswith("(class 1)")
    assert ax.get_aspect() == 1
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend[:2] == list(drawn.labels.values())
    one = display.from_evaluation(evaluation, "Bayes", ax=Figure().subplots())
    assert list(one.lines_) == ["Bayes"]

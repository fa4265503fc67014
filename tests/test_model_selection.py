"""Patients and the two sides of a split."""

import pickle
import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
    cross_validate,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from skvae import AE
from skvae._engine.plan import Plan
from skvae.model_selection import (
    GuardedSplit,
    LeakageWarning,
    check_groups,
    groups_from,
)

N_PATIENTS, N_VISITS = 12, 4
N = N_PATIENTS * N_VISITS
PATIENT = np.tile(np.arange(N_PATIENTS), N_VISITS)
Y = PATIENT % 2
INDEX = np.arange(N)
SECRET = "ZZPLANTED"

CLEAN = [
    GroupKFold(3),
    StratifiedGroupKFold(3),
    StratifiedGroupKFold(3, shuffle=True, random_state=0),
    GroupShuffleSplit(3, random_state=0),
    LeaveOneGroupOut(),
    [(INDEX[PATIENT > 3], INDEX[PATIENT <= 3])],
    [(PATIENT > 3, PATIENT <= 3)],
]
LEAKING = [
    KFold(3),
    KFold(3, shuffle=True, random_state=0),
    StratifiedKFold(3),
    ShuffleSplit(3, random_state=0),
    RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
    LeaveOneOut(),
    [(INDEX[:30], INDEX[30:])],
]


def name_of(cv):
    return type(cv).__name__


@pytest.fixture
def volumes():
    """A table like that of a scan, where one visit of all patients follows another."""
    rng = np.random.RandomState(0)
    return pd.DataFrame(
        {
            "patient_id": [f"{SECRET}^{number}" for number in PATIENT],
            "study_uid": [f"1.2.{number}" for number in INDEX],
            "a": Y + rng.normal(size=N),
            "b": rng.normal(size=N),
        },
        index=[f"{SECRET}-{number}" for number in INDEX],
    )


@pytest.fixture
def features(volumes):
    return volumes[["a", "b"]].to_numpy()


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def pipeline(*steps):
    numbers = make_column_transformer(("passthrough", ["a", "b"]))
    return make_pipeline(numbers, *steps, LogisticRegression())


def test_rows_of_a_patient_share_a_group(volumes):
    groups = groups_from(volumes)
    assert groups.shape == (N,)
    assert sorted(set(groups)) == list(range(N_PATIENTS))
    assert pd.crosstab(groups, PATIENT).astype(bool).sum().eq(1).all()


def test_groups_do_not_depend_on_the_order_of_rows(volumes):
    order = np.random.RandomState(0).permutation(N)
    assert_array_equal(groups_from(volumes.iloc[order]), groups_from(volumes)[order])


def test_groups_are_not_in_the_order_of_names():
    ids = [f"{number:03d}" for number in range(50)]
    groups = groups_from(pd.DataFrame({"patient_id": ids}))
    assert abs(np.corrcoef(groups, range(50))[0, 1]) < 0.5


@pytest.mark.parametrize(
    "convert",
    [
        lambda volumes: [row for _, row in volumes.iterrows()],
        lambda volumes: pl.DataFrame({"patient_id": volumes["patient_id"].tolist()}),
        lambda volumes: volumes.astype({"patient_id": "category"}),
        lambda volumes: volumes.assign(patient_id=" " + volumes["patient_id"] + "  "),
    ],
    ids=["rows", "polars", "category", "blanks"],
)
def test_groups_of_other_tables(volumes, convert):
    assert_array_equal(groups_from(convert(volumes)), groups_from(volumes))


@pytest.mark.parametrize("dtype", [int, float])
def test_groups_of_numbered_patients(dtype):
    groups = groups_from(pd.DataFrame({"patient_id": np.array([7, 3, 7], dtype)}))
    assert groups[0] == groups[2] != groups[1]


def test_groups_of_no_rows(volumes):
    assert groups_from(volumes[:0]).shape == (0,)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, "", "  "])
def test_a_missing_patient_is_named_by_its_row(volumes, missing):
    volumes["patient_id"] = volumes["patient_id"].astype(object)
    volumes.iloc[[2, 5], 0] = missing
    message = f"`patient_id` is missing in 2 of {N} rows, counted from 0: 2, 5. Fill"
    with pytest.raises(ValueError, match=message) as error:
        groups_from(volumes)
    assert SECRET not in str(error.value)


def test_many_missing_patients_are_not_all_listed():
    with pytest.raises(
        ValueError, match=re.escape("0: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...")
    ):
        groups_from(pd.DataFrame({"patient_id": [None] * 20}))


@pytest.mark.parametrize("ids", [[SECRET, 1], [1, 1.0], [(SECRET, "b"), "a"]])
def test_kinds_of_identifiers_do_not_mix(ids):
    volumes = pd.DataFrame({"patient_id": pd.Series(ids, dtype=object)})
    with pytest.raises(TypeError, match="strings only or numbers only") as error:
        groups_from(volumes)
    assert SECRET not in str(error.value)


def test_groups_need_a_column():
    with pytest.raises(ValueError, match="must have a column 'patient_id'"):
        groups_from(pd.DataFrame({"patient": ["a"]}))


@pytest.mark.parametrize("cv", CLEAN, ids=name_of)
def test_clean_splits_pass(cv, volumes, features):
    check_groups(cv, volumes, Y)
    check_groups(cv, features, Y, PATIENT)
    splits = list(GuardedSplit(cv).split(volumes, Y))
    expected = list(check_cv(cv).split(features, Y, groups_from(volumes)))
    assert GuardedSplit(cv).get_n_splits(volumes, Y) == len(splits) == len(expected)
    for split, other in zip(splits, expected, strict=True):
        assert_array_equal(split[0], other[0])
        assert_array_equal(split[1], other[1])


@pytest.mark.parametrize("cv", LEAKING, ids=name_of)
def test_leaking_splits_do_not_pass(cv, volumes, features):
    with pytest.raises(ValueError, match="folds have patients on both sides") as error:
        check_groups(cv, volumes, Y)
    assert SECRET not in str(error.value)
    with pytest.raises(ValueError, match="folds have groups on both sides"):
        check_groups(cv, features, Y, PATIENT)
    with pytest.warns(LeakageWarning, match="have patients on both") as record:
        splits = GuardedSplit(cv).split(volumes, Y)
    assert str(record[0].message) == str(error.value)
    assert len(record) == 1
    assert len(list(splits)) == GuardedSplit(cv).get_n_splits(volumes, Y)


def test_leaks_are_counted(features):
    apart = INDEX[PATIENT > 3], INDEX[PATIENT <= 3]
    cv = [apart, (np.append(apart[0], [0, 1, 12]), apart[1])]
    message = re.escape(
        "1 of 2 folds have groups on both sides of the split (fold 1: 2 of them). Take "
        "a splitter that keeps groups together, such as GroupKFold"
    )
    with pytest.raises(ValueError, match=message):
        check_groups(cv, features, groups=PATIENT)


def test_groups_finer_than_patients_leak(volumes):
    with pytest.raises(ValueError, match="3 of 3 folds have patients on both sides"):
        check_groups(GroupKFold(3), volumes, groups=volumes["study_uid"])


def test_given_groups_do_without_some_patients(volumes):
    volumes["patient_id"] = volumes["patient_id"].where(PATIENT > 3, None)
    check_groups(GroupKFold(3), volumes, groups=PATIENT)
    with pytest.raises(ValueError, match="`patient_id` is missing in 16 of 48 rows"):
        check_groups(GroupKFold(3), volumes)


def test_an_int_is_stratified_for_a_classifier(features):
    groups, y = np.repeat([0, 1], N // 2), np.repeat([0, 1], N // 2)
    check_groups(2, features, y, groups)
    with pytest.raises(ValueError, match="2 of 2 folds"):
        check_groups(2, features, y, groups, estimator=LogisticRegression())


def test_messages_about_groups(features):
    with pytest.raises(
        ValueError, match="`groups` must be given, as `X` has no column"
    ):
        check_groups(3, features)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[48, 2\]"):
        check_groups(3, features, groups=[1, 2])
    with pytest.raises(ValueError, match="`groups` lacks 2 of 48 values"):
        check_groups(3, features, groups=["a", "b"] * 23 + [None, np.nan])
    with pytest.raises(TypeError, match="`groups` mixes strings with other values"):
        check_groups(3, features, groups=["1", 1] * 24)


@pytest.mark.parametrize(
    "check", [check_groups, lambda cv, X: GuardedSplit(cv).split(X)]
)
def test_an_iterator_is_not_used_up(check, volumes):
    with pytest.raises(TypeError, match=r"`cv` is an iterator.* Pass list\(cv\)"):
        check(KFold(3).split(volumes), volumes)


@pytest.mark.parametrize(
    ("cv", "way_out"), [(5, "GroupKFold(5)"), (None, "GroupKFold()")]
)
def test_guard_takes_no_int(cv, way_out, volumes):
    message = f"must be a splitter or an iterable of splits, got {cv}. Take {way_out}."
    with pytest.raises(TypeError, match=re.escape(message)):
        GuardedSplit(cv).split(volumes)


def test_guard_behaves_like_a_splitter():
    cv = GuardedSplit(GroupKFold(3))
    copies = [pickle.loads(pickle.dumps(cv)), clone(cv, safe=False)]
    assert {repr(copy) for copy in copies} == {repr(cv)}
    assert repr(cv).startswith("GuardedSplit(cv=GroupKFold(")
    assert cv.get_n_splits() == 3


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored by KFold")
@pytest.mark.parametrize(
    ("cv", "n_warnings"), [(KFold(3), 1), (GroupKFold(3), 0), (LeaveOneGroupOut(), 0)]
)
def test_guard_in_a_search(cv, n_warnings, volumes):
    search = GridSearchCV(
        pipeline(), {"logisticregression__C": [0.1, 1]}, cv=GuardedSplit(cv)
    )
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        search.fit(volumes, Y)
    assert [w.category for w in record] == [LeakageWarning] * n_warnings
    plain = clone(search).set_params(cv=cv).fit(volumes, Y, groups=groups_from(volumes))
    expected = plain.cv_results_["mean_test_score"]
    assert_array_equal(search.cv_results_["mean_test_score"], expected)
    assert SECRET not in repr(search.cv_results_) + "".join(str(w) for w in record)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("with_groups", [True, False])
def test_patients_stay_on_one_side_of_early_stopping(with_groups, volumes, monkeypatch):
    model = pipeline(AE(2, early_stopping=True, max_iter=2, random_state=0))
    cv, groups = GuardedSplit(GroupKFold(3)), groups_from(volumes)
    check_groups(cv, volumes, Y, estimator=model)
    inner, split = [], Plan._split
    monkeypatch.setattr(
        Plan, "_split", lambda *args: inner.append(split(*args)) or inner[-1]
    )
    params = {"groups": groups} if with_groups else {}
    results = cross_validate(
        model,
        volumes,
        Y,
        cv=cv,
        params=params,
        return_indices=True,
        error_score="raise",
    )
    trained_on = results["indices"]["train"]
    apart = [
        set(groups[rows][train]).isdisjoint(groups[rows][held_out])
        for rows, (train, held_out) in zip(trained_on, inner, strict=True)
    ]
    assert apart == [with_groups] * 3


def test_early_stopping_without_routing_is_told(volumes):
    model = pipeline(AE(early_stopping=True))
    search = GridSearchCV(model, {"ae__n_components": [2]})
    cv = GroupKFold(3)
    for estimator, name in [(model, "ae"), (search, "estimator__ae")]:
        message = f"AE (`{name}`) holds out samples for early stopping whatever their"
        with pytest.warns(LeakageWarning, match=re.escape(message)) as record:
            check_groups(cv, volumes, Y, estimator=estimator)
        assert "sklearn.set_config(enable_metadata_routing=True)" in str(record[0])
        assert record[0].filename == __file__
    check_groups(cv, volumes, Y, estimator=pipeline(AE()))


@pytest.mark.usefixtures("routing")
def test_early_stopping_that_takes_no_groups_is_told(volumes):
    cv = GroupKFold(3)
    with pytest.warns(
        LeakageWarning, match=r"MLPClassifier .* Set early_stopping=False"
    ):
        check_groups(cv, volumes, Y, estimator=MLPClassifier(early_stopping=True))
    refuses = AE(early_stopping=True).set_fit_request(groups=False)
    with pytest.warns(LeakageWarning, match="AE .* whatever their groups"):
        check_groups(cv, volumes, Y, estimator=refuses)
    check_groups(cv, volumes, Y, estimator=HistGradientBoostingClassifier())


@pytest.mark.parametrize(
    ("estimator", "n_samples", "warns"),
    [
        (HistGradientBoostingClassifier(), 10_000, False),
        (HistGradientBoostingClassifier(), 10_001, True),
        (HistGradientBoostingClassifier(early_stopping=False), 10_001, False),
        (GradientBoostingClassifier(), 6, False),
        (GradientBoostingClassifier(n_iter_no_change=5), 6, True),
    ],
)
def test_hold_outs_of_boosting_are_seen(estimator, n_samples, warns):
    X, groups = np.zeros((n_samples, 2)), np.arange(n_samples) % 3
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_groups(GroupKFold(3), X, groups % 2, groups, estimator=estimator)
    assert [w.category for w in caught] == [LeakageWarning] * warns

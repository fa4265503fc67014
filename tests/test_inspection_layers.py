"""Which layer, and how many components?"""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import AE, MLP, VAE, Conv
from skvae.datasets import make_dicom_cohort
from skvae.dicom import VolumeLoader, scan
from skvae.inspection import choose_n_components, compare_layers

SMALL = {"architecture": MLP((16,)), "max_iter": 5, "random_state": 0}


@pytest.fixture(scope="module")
def bent():
    """A table on whose second source, squared, two classes depend."""
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(160, 2))
    X = sources @ rng.normal(size=(2, 8)) + 0.1 * rng.normal(size=(160, 8))
    return X.astype(np.float32), (sources[:, 1] ** 2 > 0.5).astype(int)


def test_scores_are_those_of_the_same_by_hand(bent):
    X, y = bent
    folds = StratifiedKFold(3)
    pipeline = make_pipeline(StandardScaler(), AE(2, **SMALL))
    comparison = compare_layers(pipeline, X, y, layers=["mu", "encoder.2"], cv=folds)
    expected = {"mu": [], "raw input": [], "pca": []}
    for train, test in folds.split(X, y):
        fitted = make_pipeline(StandardScaler(), AE(2, **SMALL)).fit(X[train])
        scaled = fitted[0].transform(X)
        axes = PCA(2, random_state=0).fit(scaled[train])
        features = fitted.transform(X), scaled, axes.transform(scaled)
        for scores, Z in zip(expected.values(), features, strict=True):
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            decision = model.fit(Z[train], y[train]).decision_function(Z[test])
            scores.append(roc_auc_score(y[test], decision))
    table = comparison.table
    assert comparison.metric == "roc_auc"
    assert_allclose(comparison.scores_["mu"], expected["mu"], atol=1e-6)
    assert_allclose(comparison.scores_["raw input"], expected["raw input"], atol=1e-6)
    assert table["pca"]["mu"] == pytest.approx(np.mean(expected["pca"]))
    assert table["difference"]["mu"] == pytest.approx(
        np.mean(expected["mu"]) - np.mean(expected["raw input"])
    )
    assert table["width"].to_list() == [2, 16, 8, 0]
    assert table["score"]["chance"] == 0.5


def test_a_hidden_layer_is_found_where_classes_are_bent(bent):
    X, y = bent
    ae = AE(2, architecture=MLP((64,)), max_iter=60, learning_rate=3e-3, random_state=0)
    comparison = compare_layers(ae, X, y, cv=4)
    best = comparison.table["score"].idxmax()
    assert best.startswith(("encoder", "decoder"))
    assert comparison.table["difference_low"][best] > 0
    assert f"Best is {best!r}" in comparison.verdict
    assert "beats raw input" in repr(comparison)


def test_nothing_is_found_in_shuffled_classes(bent):
    X, y = bent
    shuffled = np.random.default_rng(0).permutation(y)
    comparison = compare_layers(AE(2, **SMALL), X, shuffled, pairs=True, cv=4)
    assert "No layer is surely better than chance" in comparison.verdict
    assert "mu + encoder.2" in comparison.table.index
    assert "encoder.0" not in comparison.table.index  # the input, rescaled


@pytest.mark.parametrize("seed", range(10))
def test_a_layer_is_found_only_where_there_is_something(seed):
    rng = np.random.default_rng(seed)
    sources = rng.normal(size=(120, 3))
    X = sources @ rng.normal(size=(3, 10)) + 0.1 * rng.normal(size=(120, 10))
    ae = AE(3, architecture=MLP((), init="pca"), max_iter=1, random_state=0)
    is_high = sources[:, 1] > 0
    found = compare_layers(ae, X, is_high, layers=["mu"]).verdict
    assert "surely" not in found
    shuffled = compare_layers(ae, X, rng.permutation(is_high), layers=["mu"]).verdict
    assert "No layer is surely better than chance" in shuffled


def test_groups_stay_on_one_side(bent):
    X, y = bent
    groups = np.repeat(np.arange(40), 4)
    options = {"layers": ["mu"], "predictor": LogisticRegression()}
    given = compare_layers(
        AE(2, **SMALL), X, y, cv=list(GroupKFold(3).split(X, y, groups)), **options
    )
    assert len(given.scores_) == 3
    by_groups = compare_layers(AE(2, **SMALL), X, y, cv=3, groups=groups, **options)
    assert by_groups.table.shape == given.table.shape
    assert not by_groups.scores_.equals(given.scores_)
    with pytest.raises(ValueError, match="folds have groups on both sides"):
        compare_layers(
            AE(2, **SMALL), X, y, cv=StratifiedKFold(3), groups=groups, **options
        )


def test_patients_of_a_table_stay_on_one_side(tmp_path):
    make_dicom_cohort(tmp_path, 6, random_state=0)
    volumes = scan(tmp_path)
    volumes = pd.concat([volumes, volumes], ignore_index=True)
    loader = VolumeLoader(spacing=8, shape=(6, 10, 10))
    network = Conv((4,), dense=8)
    ae = AE(2, architecture=network, max_iter=1, random_state=0)
    y = np.arange(6) % 2
    comparison = compare_layers(
        make_pipeline(loader, ae), volumes, np.tile(y, 2), layers=["mu"], cv=3
    )
    assert comparison.table["width"]["raw input"] == 600
    with pytest.raises(ValueError, match="folds have patients on both sides"):
        compare_layers(
            make_pipeline(loader, ae), volumes, np.tile(y, 2), cv=StratifiedKFold(3)
        )


def test_wide_layers_are_left_out(digits):
    X, y = digits
    ae = AE(2, architecture="conv", max_iter=1, random_state=0)
    table = compare_layers(ae, X, y, cv=2, max_width=100).table
    assert "mu" in table.index
    assert table["width"].max() <= 100


@pytest.mark.filterwarnings("ignore:The least populated class", "ignore:Only one class")
def test_what_can_not_be_compared_is_told(bent):
    X, y = bent
    ae = AE(2, **SMALL)
    assert "mu" in compare_layers(ae, X, y, layers="mu", cv=2).table.index
    with pytest.raises(ValueError, match="more than max_width=1 values"):
        compare_layers(ae, X, y, layers=["mu"], cv=2, max_width=1)
    few = np.zeros(len(X), dtype=int)
    few[-2:] = 1
    with pytest.raises(ValueError, match="roc_auc is not defined in some of the 3"):
        compare_layers(ae, X, few, layers=["mu"], cv=3)
    with pytest.raises(ValueError, match="roc_auc is not defined in some of the 3"):
        choose_n_components(ae, X, few, n_components=[2], cv=3)


def test_more_components_reconstruct_better(bent):
    X, y = bent
    table = choose_n_components(
        AE(max_iter=60, learning_rate=3e-3, random_state=0),
        X,
        y,
        n_components=[4, 1, 2],
        cv=2,
    )
    assert table.index.to_list() == [1, 2, 4]
    assert table["error"][2] < 0.5 * table["error"][1]
    assert table["is_enough"].iloc[-1]
    assert {"score", "score_se", "log_likelihood_se"} <= set(table.columns)


def test_one_ordered_fit_serves_all_sizes(bent):
    X, _ = bent
    vae = VAE(ordered=True, **SMALL | {"max_iter": 60, "learning_rate": 3e-3})
    table = choose_n_components(vae, X, n_components=[1, 2, 4], cv=2)
    assert table["log_likelihood"].isna().to_list() == [True, True, False]
    assert table["error"][4] < 0.95 * table["error"][1]
    with pytest.raises(ValueError, match="`n_components` must be ints >= 1"):
        choose_n_components(vae, X, n_components=[0])

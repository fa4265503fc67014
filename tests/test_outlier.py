import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from skvae import AE, MLP, VAE, Conv, SupervisedAAE
from skvae.outlier import ReconstructionOutlierDetector

LIGHT = {"architecture": MLP((32,)), "max_iter": 30, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def zeros_and_others():
    X, y = load_digits(return_X_y=True)
    X = X / 16
    return X[y == 0], X[y != 0]


def normal_samples(n_samples, seed):
    """Draw samples near a bent plane in ten dimensions."""
    rng = np.random.default_rng(seed)
    codes = rng.normal(size=(n_samples, 2))
    axes = np.random.default_rng(0).normal(size=(4, 10))
    bent = np.hstack([codes, np.sin(codes)])
    return bent @ axes + 0.3 * rng.normal(size=(n_samples, 10))


def detector(estimator=None, **options):
    estimator = AE(4, random_state=0, **LIGHT) if estimator is None else estimator
    return ReconstructionOutlierDetector(estimator, random_state=0, **options)


def test_check_estimator():
    of_unseen = "rows that were trained on are scored too well to judge by"
    ae = AE(2, architecture=MLP((16,)), max_iter=3, random_state=0)
    results = check_estimator(
        detector(ae, criterion="combined", cv=2),
        on_skip=None,
        expected_failed_checks={
            "check_outliers_train": of_unseen,
            "check_outliers_fit_predict": of_unseen,
        },
    )
    assert len(results) > 40
    assert {r["status"] for r in results} <= {"passed", "xfail", "skipped"}


def test_outliers_are_found_as_well_as_by_pca(zeros_and_others):
    zeros, others = zeros_and_others
    train, test = zeros[:120], np.vstack([zeros[120:], others])
    is_outlier = np.arange(len(test)) >= len(zeros) - 120
    pca = PCA(8).fit(train)
    error = np.square(pca.inverse_transform(pca.transform(test)) - test).mean(axis=1)
    model = detector(AE(8, max_iter=60, random_state=0)).fit(train)
    found = roc_auc_score(is_outlier, -model.score_samples(test))
    assert found > 0.999
    assert found >= roc_auc_score(is_outlier, error) - 0.001
    assert (model.predict(others) == -1).mean() > 0.9
    worst = model.score_features(others).argmax(axis=1)
    assert worst.shape == (len(others),)
    errors = model.score_features(test).mean(axis=1)
    assert np.corrcoef(-np.log(errors), model.score_samples(test))[0, 1] > 0.99


def test_a_threshold_holds_for_new_samples():
    X, new = normal_samples(600, seed=1), normal_samples(4000, seed=2)
    model = detector(contamination=0.05).fit(X)
    assert 0.03 < (model.predict(new) == -1).mean() < 0.07
    assert_array_equal(model.predict(new) == -1, model.decision_function(new) < 0)
    in_training = detector(contamination=0.05).fit_predict(X)
    assert (in_training == -1).sum() == 30
    p_values = model.p_values(new)
    for share in (0.05, 0.2, 0.5):
        assert (p_values <= share).mean() == pytest.approx(share, abs=0.04)
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(model.score_samples(new)[order]) >= 0).mean() > 0.5
    far = 10 * np.ones((1, 10))
    assert model.p_values(far) == pytest.approx(1 / 601)


def test_probabilities_rank_as_scores_do():
    X, new = normal_samples(300, seed=1), normal_samples(200, seed=2)
    model = detector().fit(X)
    proba = model.predict_proba(np.vstack([new, 20 * new]))
    assert_allclose(proba.sum(axis=1), 1)
    assert proba[200:, 0].min() > 0.99
    assert np.median(proba[:200, 0]) < 0.2
    scores = model.score_samples(new)
    better = scores > np.median(model.calibration_scores_)
    assert_array_equal(proba[:200, 0] == 0, better)


def test_samples_are_scored_by_models_that_have_not_seen_them():
    X = normal_samples(60, seed=1)
    overfitted = AE(8, max_iter=300, learning_rate=1e-2, random_state=0)
    model = detector(overfitted).fit(X)
    new = normal_samples(300, seed=2)
    scores = model.score_samples(X), model.calibration_scores_, model.score_samples(new)
    of_seen, found, of_new = map(np.median, scores)
    assert abs(found - of_new) < (of_seen - found) / 2


def test_groups_stay_together():
    X = normal_samples(60, seed=1)
    groups = np.repeat(np.arange(10), 6)
    by_number = detector(cv=5).fit(X, groups=groups)
    by_splitter = detector(cv=GroupKFold(5)).fit(X, groups=groups)
    assert by_number.calibration_scores_.shape == (60,)
    assert by_splitter.calibration_scores_.shape == (60,)
    with pytest.raises(ValueError, match="groups"):
        detector(cv=20).fit(X, groups=groups)


def test_smooth_images_among_detailed_ones():
    """They are reconstructed better than the normal ones."""
    rng = np.random.default_rng(0)
    detailed = rng.normal(size=(500, 8, 8))
    smooth = 0.2 * rng.normal(size=(100, 8, 8)) + rng.normal(size=(100, 1, 1))
    detailed += rng.normal(size=(500, 1, 1))
    ae = AE(4, architecture=MLP((64,)), max_iter=60, random_state=0)
    test = np.vstack([detailed[400:], smooth])
    is_outlier = np.arange(200) >= 100
    areas = {}
    for criterion in ("reconstruction", "combined"):
        model = detector(ae, criterion=criterion).fit(detailed[:400])
        areas[criterion] = roc_auc_score(is_outlier, -model.score_samples(test))
    assert areas["reconstruction"] < 0.5
    assert areas["combined"] > 0.6


@pytest.mark.parametrize("criterion", ["elbo", "prior"])
def test_criteria_are_those_of_the_model(criterion):
    X = normal_samples(200, seed=1)
    model = detector(VAE(2, random_state=0, **LIGHT), criterion=criterion).fit(X)
    scores = model.score_samples(X)
    if criterion == "elbo":
        expected = np.mean([m.score_samples(X) for m in model.estimators_], axis=0)
        assert_allclose(scores, expected, rtol=1e-6)
    else:
        codes = [estimator.transform(X) for estimator in model.estimators_]
        distances = [LedoitWolf().fit(mu).mahalanobis(mu) for mu in codes]
        assert np.corrcoef(scores, np.mean(distances, axis=0))[0, 1] < -0.99


def test_works_in_and_around_pipelines():
    X = pd.DataFrame(normal_samples(200, seed=1) * 1000)
    X.columns = [f"feature {i}" for i in range(10)]
    pipeline = make_pipeline(StandardScaler(), AE(4, random_state=0, **LIGHT))
    model = detector(pipeline).fit(X)
    assert list(model.feature_names_in_) == list(X.columns)
    assert not hasattr(clone(model).fit(X).fit(X.to_numpy()), "feature_names_in_")
    outer = make_pipeline(StandardScaler(), detector()).fit(X)
    pair = outer.score_samples(X), model.score_samples(X)
    assert np.corrcoef(pair)[0, 1] > 0.99  # one scaler per fold, and one for all
    grid = {"estimator__ae__n_components": [2, 4]}

    def share_of_inliers(model, X):
        return (model.predict(X) == 1).mean()

    search = GridSearchCV(model, grid, cv=2, scoring=share_of_inliers).fit(X)
    assert search.best_score_ > 0.8


def test_images_and_classes(digits):
    X, y = digits
    conv = AE(4, architecture=Conv((4,), dense=16), max_iter=3, random_state=0)
    assert detector(conv, cv=2).fit(X).score_features(X[:5]).shape == (5, 8, 8)
    model = detector(SupervisedAAE(4, max_iter=3, random_state=0), cv=2).fit(X, y)
    assert model.score_samples(X).shape == (300,)


def test_equal_samples():
    with pytest.raises(ValueError, match="All samples of X are equal"):
        detector(criterion="combined").fit(np.ones((30, 5)))
    X = normal_samples(100, seed=1)
    X[:60] = X[0]  # so that the median deviation is 0
    model = detector(criterion="combined").fit(X)
    scores = model.score_samples(normal_samples(50, seed=2))
    assert np.isfinite(scores).all()
    assert len(set(scores)) == 50
    assert np.isfinite(model.predict_proba(X)).all()


def test_only_autoencoders_are_taken():
    X = normal_samples(30, seed=1)
    for estimator in (PCA(2), make_pipeline(AE(2), StandardScaler())):
        with pytest.raises(ValueError, match="must be an autoencoder of skvae"):
            detector(estimator).fit(X)
    with pytest.raises(ValueError, match="each sample into one test fold"):
        detector(cv=ShuffleSplit(5, random_state=0)).fit(X)
    with pytest.raises(ValueError, match="contamination"):
        detector(contamination=0.6).fit(X)

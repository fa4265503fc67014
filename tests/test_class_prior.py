"""Shares of the classes, where the labels have others than the rest."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression

from skvae import MLP, AAEClassifier, ClassPriorWarning
from skvae._class_prior import distance_by_chance, estimate_shares, shares_by_em

FIT = {"architecture": MLP((16,)), "max_iter": 3, "random_state": 0}


def pool(n_of_class, seed=0):
    """Draw overlapping blobs of given sizes, in random order."""
    centers = np.random.default_rng(1).normal(size=(len(n_of_class), 5)) * 2.5
    X, y = make_blobs(list(n_of_class), 5, centers=centers, random_state=seed)
    order = np.random.default_rng(seed).permutation(len(y))
    return X[order], y[order]


def with_labels(y, n_of_class):
    """Hide all labels but so many of each class."""
    some = np.full(len(y), -1)
    for label, n in enumerate(n_of_class):
        known = np.flatnonzero(y == label)[:n]
        some[known] = label
    return some


def test_the_shares_are_those_of_largest_likelihood():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet([0.5, 0.5, 0.5], 200)
    label_shares = np.array([0.6, 0.3, 0.1])

    def loss(raw):
        shares = np.exp(raw) / np.exp(raw).sum()
        return -np.log(proba @ (shares / label_shares)).mean()

    best = minimize(loss, np.zeros(3), tol=1e-10).x
    found = shares_by_em(proba, label_shares)
    assert_allclose(found, np.exp(best) / np.exp(best).sum(), atol=1e-3)
    assert found.sum() == pytest.approx(1)


def test_shares_of_the_pool_are_found():
    X, y = pool([500, 500, 500])
    some = with_labels(y, [100, 30, 10])
    label_shares = np.array([100, 30, 10]) / 140
    shares = estimate_shares(X, some, label_shares)
    assert np.abs(shares - 1 / 3).max() < 0.06 < np.abs(label_shares - 1 / 3).max()
    assert_allclose(estimate_shares(1e3 * X - 7, some, label_shares), shares, atol=1e-3)


def test_constant_data_tell_nothing():
    some = with_labels(np.repeat([0, 1], 20), [5, 5])
    half = np.array([0.5, 0.5])
    assert_allclose(estimate_shares(np.ones((40, 3)), some, half), half, atol=1e-6)


def test_of_large_samples_some_values_are_enough():
    X, y = pool([500, 500, 500])
    some = with_labels(y, [100, 30, 10])
    label_shares = np.array([100, 30, 10]) / 140
    shares = estimate_shares(np.repeat(X, 1000, axis=1), some, label_shares)
    assert_allclose(shares, 1 / 3, atol=0.06)


@pytest.mark.parametrize("n_classes", [2, 10])
def test_what_chance_explains(n_classes):
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(200, np.full(n_classes, 1 / n_classes), size=2000) / 200
    distances = np.abs(drawn - 1 / n_classes).sum(axis=1) / 2
    assert distances.mean() == pytest.approx(
        distance_by_chance(200, n_classes), rel=0.05
    )


def test_uneven_labels_of_an_even_pool_are_told():
    X, y = pool([400, 400])
    some = with_labels(y, [100, 10])
    with pytest.warns(
        ClassPriorWarning, match="among the 110 labels than among all"
    ) as warned:
        model = AAEClassifier(2, **FIT).fit(X, some)
    assert warned[0].filename == __file__
    assert_allclose(model.class_prior_, 0.5, atol=0.15)
    assert_allclose(model.label_prior_, [100 / 110, 10 / 110])
    assert_allclose(model.module_.class_prior, model.class_prior_, rtol=1e-6)
    model.set_params(class_prior=[0.5, 0.5], max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_array_equal(model.fit(X, some).class_prior_, [0.5, 0.5])


@pytest.mark.parametrize("sizes", [[400, 400], [700, 100]])
def test_labels_that_are_like_the_pool_give_the_shares(sizes):
    X, y = pool(sizes)
    labels = [size // 10 for size in sizes]
    model = AAEClassifier(2, **FIT).fit(X, with_labels(y, labels))
    assert_array_equal(model.class_prior_, model.label_prior_)
    assert_allclose(model.class_prior_, np.array(sizes) / sum(sizes))


def test_the_head_learns_the_probabilities_among_all_samples():
    X, y = pool([500, 500])
    X[:, 1:] = 0  # one feature, in which the classes overlap
    some = with_labels(y, [300, 30])
    options = FIT | {"max_iter": 20, "learning_rate": 5e-3, "corruption": 0.0}
    options |= {"adversarial_weight": 0, "label_smoothing": 0.0}
    adjusted, copied = (
        AAEClassifier(2, class_prior=shares, **options).fit(X, some)
        for shares in ([0.5, 0.5], [300 / 330, 30 / 330])
    )
    truth = LogisticRegression().fit(X, y).predict_proba(X)[:, 1]
    error, error_of_copied = (
        np.abs(model.predict_proba(X)[:, 1] - truth).mean()
        for model in (adjusted, copied)
    )
    assert error < 0.4 * error_of_copied


def test_smoothed_labels_keep_the_head_from_the_extremes():
    X, y = pool([50, 50, 50])
    some = with_labels(y, [10, 10, 10])
    options = FIT | {"max_iter": 100, "learning_rate": 1e-2, "corruption": 0.0}
    sharp, smooth = (
        AAEClassifier(2, label_smoothing=s, **options).fit(X, some) for s in (0.0, 0.3)
    )
    confidence, confidence_if_smooth = (
        model.extract(X[some >= 0], "proba.1")["proba.1"].max(axis=1).mean()
        for model in (sharp, smooth)
    )
    assert confidence_if_smooth < 0.9 < confidence
    loss = smooth.history_[-1]["classification_loss"]
    assert loss == pytest.approx(0, abs=0.1)  # not the entropy of the smoothed labels
    assert loss > -1e-4

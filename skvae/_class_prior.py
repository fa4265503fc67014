"""Shares of the classes among samples of which few have a label."""

import math
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ._validation import to_numpy

_MOST_ROWS = 10_000
_MOST_FEATURES = 4096
_N_COMPONENTS = 50


def estimate_shares(rows, numbers, label_shares):
    """Estimate the shares of the classes among samples without a label.

    A logistic regression on principal components learns the labels. What it finds in
    the other samples tells their shares (`shares_by_em`).

    Parameters
    ----------
    rows : ndarray or Tensor of shape (n_samples, n_features)
        Of many samples without a label some are looked at, and of many features too.
    numbers : ndarray of shape (n_samples,)
        Classes, -1 where they are not known.
    label_shares : ndarray of shape (n_classes,)
        Shares among the labels, none of them 0.

    Returns
    -------
    shares : ndarray of shape (n_classes,)
    """
    known = _evenly(np.flatnonzero(numbers >= 0))
    others = _evenly(np.flatnonzero(numbers < 0))
    step = math.ceil(rows.shape[1] / _MOST_FEATURES)
    X = to_numpy(rows[np.append(known, others)][:, ::step]).astype(np.float64)
    from sklearn.decomposition import PCA  # slow to import, and rarely needed
    from sklearn.linear_model import LogisticRegression

    pca = PCA(min(_N_COMPONENTS, *X.shape), svd_solver="randomized", random_state=0)
    with np.errstate(invalid="ignore"):  # of constant data
        Z = pca.fit_transform(X)
    Z /= Z.std() or 1.0
    n_known = len(known)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier = LogisticRegression(max_iter=500).fit(Z[:n_known], numbers[known])
    return shares_by_em(classifier.predict_proba(Z[n_known:]), label_shares)


def shares_by_em(proba, label_shares, max_iter=1000, tol=1e-6):
    """Find the shares of classes that fit what a classifier says of samples.

    The likelihood of the samples is maximized over the shares, while the densities of
    the classes stay those that the classifier implies. Each step weighs its
    probabilities by the ratio of the shares to those it was trained with, and takes
    the means as new shares (Saerens, Latinne and Decaestecker 2002,
    https://doi.org/10.1162/089976602753284446).

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_classes)
    label_shares : ndarray of shape (n_classes,)
        Shares among the samples that the classifier was trained with.
    max_iter : int, default=1000
    tol : float, default=1e-6
        Change of all shares together at which to stop.

    Returns
    -------
    shares : ndarray of shape (n_classes,)
    """
    evidence = proba / label_shares
    shares = label_shares
    for _ in range(max_iter):
        before, joint = shares, evidence * shares
        shares = (joint / joint.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(shares - before).sum() < tol:
            break
    return shares


def distance_of_shares(one, other):
    """Return the share of samples that would have to change their class."""
    return float(np.abs(one - other).sum() / 2)


def distance_by_chance(n_labels, n_classes):
    """Return how far shares of labels are from the truth on average, at most.

    That is the mean of `distance_of_shares` for so many labels drawn at random, by the
    normal approximation, where all classes are equally frequent.
    """
    return math.sqrt((n_classes - 1) / (2 * math.pi * n_labels))


def _evenly(index):
    """Pick at most so many as are looked at, evenly."""
    n_picked = min(len(index), _MOST_ROWS)
    return index[np.linspace(0, len(index) - 1, n_picked).astype(int)]

"""How often 95 % intervals of `evaluate` hold the true area. Usage::

    python examples/benchmarks/coverage.py [n_studies]

Each study draws synthetic patients with two correlated cases each and two scores of
each case, which are normal in both classes, so that the true areas are known. Nothing
is learnt: what is tested is the bootstrap, for one score and for the difference of two.
"""

import sys

import numpy as np
from scipy.stats import norm
from sklearn.base import BaseEstimator, ClassifierMixin

from skvae.model_selection import evaluate

SHIFTS = np.array([1.2, 0.8])  # between the classes, in standard deviations
WITHIN = 0.6  # correlation of the two cases of a patient
BETWEEN = 0.5  # correlation of the two scores of a case


class Score(ClassifierMixin, BaseEstimator):
    """Ranks cases by one column."""

    def __init__(self, column=0):
        self.column = column

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X):
        return X[:, self.column]

    def predict(self, X):
        return self.classes_[(X[:, self.column] > 0).astype(int)]


def study(n_patients, share, rng):
    """Return scores of shape (n_cases, 2), classes and patients."""
    y = (np.arange(n_patients) < share * n_patients).astype(int)
    scores = np.kron([[1, BETWEEN], [BETWEEN, 1]], [[1, WITHIN], [WITHIN, 1]])
    noise = rng.multivariate_normal(np.zeros(4), scores, size=n_patients)
    X = noise.reshape(-1, 2, 2).transpose(0, 2, 1) + (y[:, None] * SHIFTS)[:, None]
    return X.reshape(-1, 2), np.repeat(y, 2), np.repeat(np.arange(n_patients), 2)


def covered(n_patients, share, seed):
    """Tell whether the intervals hold the truth: of a score and of a difference."""
    X, y, groups = study(n_patients, share, np.random.default_rng(seed))
    areas = norm.cdf(SHIFTS / np.sqrt(2))
    models = {"first": Score(0), "second": Score(1)}
    options = {"n_repeats": 1, "cv": 2, "baseline": "first", "random_state": seed}
    table = evaluate(models, X, y, groups=groups, n_draws=1000, **options).table
    second = table.iloc[1]
    gain = areas[1] - areas[0]
    return (
        second["low"] <= areas[1] <= second["high"],
        second["difference_low"] <= gain <= second["difference_high"],
    )


if __name__ == "__main__":
    n_studies = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    for n_patients in (30, 60, 200):
        for share in (0.5, 0.2):
            held = [covered(n_patients, share, seed) for seed in range(n_studies)]
            area, gain = np.mean(held, axis=0)
            print(
                f"{n_patients} patients, {share:.0%} positive, {n_studies} studies: "
                f"area {area:.1%}, difference {gain:.1%}",
                flush=True,
            )

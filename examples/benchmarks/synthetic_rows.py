"""Judge rows sampled by a VAE: do they stand in for real ones? Usage::

    python examples/benchmarks/synthetic_rows.py

The class is a 0/1 column of the table. Areas under the ROC curve, means of five splits:
of a random forest trained on real rows, of one trained on as many sampled rows, both
tested on held-out real rows; and of one that tells held-out rows from sampled ones.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

from skvae import VAE
from skvae.nn import Mixed


def people(n_samples=4000, seed=0):
    """Return a table like that of the census: ages, hours, trades, schools, income."""
    rng = np.random.default_rng(seed)
    school = rng.choice(4, n_samples, p=[0.3, 0.4, 0.2, 0.1])
    odds = np.array(
        [[4, 3, 1, 1, 1], [2, 3, 2, 1, 1], [1, 1, 3, 2, 2], [0, 1, 2, 3, 4]]
    )
    odds = odds / odds.sum(axis=1, keepdims=True)
    trade = np.array([rng.choice(5, p=odds[level]) for level in school])
    age = rng.gamma(9, 4.2, n_samples) + 3 * school
    married = rng.random(n_samples) < 1 / (1 + np.exp(-(age - 35) / 8))
    hours = 38 + 3 * school + 4 * rng.normal(size=n_samples) - 6 * (trade == 4)
    score = 0.8 * school + 0.04 * (age - 40) + married + 0.08 * (hours - 40)
    income = score + rng.logistic(size=n_samples) > 2
    return np.column_stack(
        [age, hours, married, np.eye(4)[school], np.eye(5)[trade], income]
    ), Mixed(bernoulli=[2, 12], categorical=[[3, 4, 5, 6], [7, 8, 9, 10, 11]])


def patients():
    X, y = load_breast_cancer(return_X_y=True)
    return np.column_stack([X, y]), Mixed(bernoulli=[30])


def judge(name, rows, likelihood, **parameters):
    numbers = np.setdiff1d(np.arange(rows.shape[1]), likelihood.unscaled)
    y, areas = rows[:, -1], []
    splits = StratifiedShuffleSplit(5, test_size=0.3, random_state=0).split(rows, y)
    for seed, (train, test) in enumerate(splits):
        mean, scale = rows[train].mean(axis=0), rows[train].std(axis=0)
        real = rows.copy()
        real[:, numbers] = ((rows - mean) / scale)[:, numbers]
        vae = VAE(likelihood=likelihood, random_state=seed, **parameters)
        drawn = vae.fit(real[train]).sample(len(train), noise=True)
        forest = RandomForestClassifier(300, min_samples_leaf=3, random_state=0)
        on_test = [
            roc_auc_score(
                y[test],
                forest.fit(some[:, :-1], some[:, -1]).predict_proba(real[test, :-1])[
                    :, 1
                ],
            )
            for some in (real[train], drawn)
        ]
        both = np.concatenate([real[test], drawn[: len(test)]])
        told = cross_val_score(
            forest, both, np.arange(len(both)) < len(test), cv=5, scoring="roc_auc"
        ).mean()
        areas.append([*on_test, told])
    print(name, *np.mean(areas, axis=0).round(3), flush=True)


if __name__ == "__main__":
    print("data, trained on real rows, on sampled rows, real from sampled")
    judge("people", *people(), n_components=8, max_iter=100)
    judge("breast_cancer", *patients(), n_components=10, max_iter=600)

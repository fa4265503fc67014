"""Are probabilities that are averaged over the posterior better calibrated? Usage::

    python examples/benchmarks/posterior_predict.py

Ten splits in halves; a `VAE` of 8 components with defaults, logistic regression on its
`mu`. Prints the expected calibration error of the probability of the class that is
named (ten bins of equal counts) and the logarithmic loss, with and without averaging
over 100 draws of the code.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAE
from skvae.inspection import posterior_predict


def calibration_error(proba, y):
    sure, is_right = proba.max(axis=1), proba.argmax(axis=1) == y
    bins = np.array_split(np.argsort(sure), 10)
    gaps = [abs(sure[part].mean() - is_right[part].mean()) for part in bins]
    return np.average(gaps, weights=[len(part) for part in bins])


if __name__ == "__main__":
    for load in (load_digits, load_breast_cancer):
        X, y = load(return_X_y=True)
        rows = []
        splits = StratifiedShuffleSplit(10, test_size=0.5, random_state=0)
        for seed, (train, test) in enumerate(splits.split(X, y)):
            vae = VAE(8, random_state=seed)
            classifier = LogisticRegression(max_iter=2000)
            pipeline = make_pipeline(StandardScaler(), vae, classifier)
            pipeline.fit(X[train], y[train])
            plain = pipeline.predict_proba(X[test])
            mean, _ = posterior_predict(pipeline, X[test])
            rows.append(
                [
                    *(calibration_error(proba, y[test]) for proba in (plain, mean)),
                    *(log_loss(y[test], proba) for proba in (plain, mean)),
                ]
            )
        means = np.mean(rows, axis=0)
        better = np.sum(np.array(rows)[:, 1] < np.array(rows)[:, 0])
        print(
            f"{load.__name__}: calibration error {means[0]:.4f} plain, {means[1]:.4f} "
            f"averaged (lower in {better} of 10); log loss {means[2]:.4f}, "
            f"{means[3]:.4f}",
            flush=True,
        )

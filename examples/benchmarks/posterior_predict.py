"""Are probabilities that are averaged over the posterior better calibrated? Usage::

    python examples/benchmarks/posterior_predict.py

Ten splits in halves; a `VAE` of 8 components with defaults, logistic regression or a
network on its `mu` or on its draws `z`. Prints the expected calibration error of the
probability of the class that is named (ten bins of equal counts) and the logarithmic
loss, with and without averaging over 100 draws of the code.
"""

from itertools import product

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAE
from skvae.inspection import posterior_predict


def calibration_error(proba, y):
    sure, is_right = proba.max(axis=1), proba.argmax(axis=1) == y
    bins = np.array_split(np.argsort(sure), 10)
    gaps = [abs(sure[part].mean() - is_right[part].mean()) for part in bins]
    return np.average(gaps, weights=[len(part) for part in bins])


CLASSIFIERS = {
    "logistic regression": LogisticRegression(max_iter=2000),
    "network": MLPClassifier((64,), max_iter=500, random_state=0),
}


def compare(X, y, classifier, layer, seed):
    """Return calibration errors and losses, plain and averaged, of one split."""
    X, X_test, y, y_test = train_test_split(
        X, y, test_size=0.5, stratify=y, random_state=seed
    )
    vae = VAE(8, layer=layer, random_state=seed)
    pipeline = make_pipeline(StandardScaler(), vae, classifier).fit(X, y)
    both = pipeline.predict_proba(X_test), posterior_predict(pipeline, X_test)[0]
    errors = [calibration_error(proba, y_test) for proba in both]
    return [*errors, *(log_loss(y_test, proba) for proba in both)]


if __name__ == "__main__":
    for load in (load_digits, load_breast_cancer):
        X, y = load(return_X_y=True)
        for (name, classifier), layer in product(CLASSIFIERS.items(), ("mu", "z")):
            rows = [compare(X, y, classifier, layer, seed) for seed in range(10)]
            rows = np.array(rows)
            means, n_lower = rows.mean(axis=0), (rows[:, 1] < rows[:, 0]).sum()
            print(
                f"{load.__name__}, {name} on {layer}: calibration error {means[0]:.4f} "
                f"plain, {means[1]:.4f} averaged (lower in {n_lower} of 10); log loss "
                f"{means[2]:.4f}, {means[3]:.4f}",
                flush=True,
            )

"""Are probabilities that are averaged over the posterior better calibrated? Usage::

    python examples/benchmarks/posterior_predict.py

Ten splits in halves; a `VAE` of 8 components with defaults, logistic regression on its
`mu` or on its draws `z`. Prints the expected calibration error of the probability of
the class that is named (ten bins of equal counts) and the logarithmic loss, with and
without averaging over 100 draws of the code.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAE
from skvae.inspection import posterior_predict


def calibration_error(proba, y):
    sure, is_right = proba.max(axis=1), proba.argmax(axis=1) == y
    bins = np.array_split(np.argsort(sure), 10)
    gaps = [abs(sure[part].mean() - is_right[part].mean()) for part in bins]
    return np.average(gaps, weights=[len(part) for part in bins])


def compare(X, y, layer, seed):
    """Return calibration errors and losses, plain and averaged, of one split."""
    X, X_test, y, y_test = train_test_split(
        X, y, test_size=0.5, stratify=y, random_state=seed
    )
    vae = VAE(8, layer=layer, random_state=seed)
    classifier = LogisticRegression(max_iter=2000)
    pipeline = make_pipeline(StandardScaler(), vae, classifier).fit(X, y)
    both = pipeline.predict_proba(X_test), posterior_predict(pipeline, X_test)[0]
    errors = [calibration_error(proba, y_test) for proba in both]
    return [*errors, *(log_loss(y_test, proba) for proba in both)]


if __name__ == "__main__":
    for load in (load_digits, load_breast_cancer):
        X, y = load(return_X_y=True)
        for layer in ("mu", "z"):
            rows = np.array([compare(X, y, layer, seed) for seed in range(10)])
            means, n_lower = rows.mean(axis=0), (rows[:, 1] < rows[:, 0]).sum()
            print(
                f"{load.__name__}, classifier trained on {layer}: calibration error "
                f"{means[0]:.4f} plain, {means[1]:.4f} averaged (lower in {n_lower} of "
                f"10); log loss {means[2]:.4f}, {means[3]:.4f}",
                flush=True,
            )

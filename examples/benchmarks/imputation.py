"""Compare imputation by a VAE with scikit-learn's imputers. Usage::

    python examples/benchmarks/imputation.py

Prints root mean squared errors of what was missing, and how much of it lies in the 90 %
intervals of 20 imputations. Settings were chosen on other data: MNIST at 8 x 8 pixels,
and five tables.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.preprocessing import scale

from skvae import MLP, VAE
from skvae.impute import AutoencoderImputer


def compare(name, X, gaps, ours):
    with_gaps = np.where(gaps, np.nan, X)
    imputers = [ours, KNNImputer(), IterativeImputer(max_iter=50, random_state=0)]
    filled = [imputer.fit_transform(with_gaps) for imputer in imputers]
    errors = [np.sqrt(np.square(each - X)[gaps].mean()) for each in filled]
    low, high = np.quantile(ours.draw(with_gaps, 20), [0.05, 0.95], axis=0)
    covered = ((low <= X) & (high >= X))[gaps].mean()
    print(name, *(f"{error:.3f}" for error in errors), f"covered {covered:.3f}")


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    vae = VAE(
        20,
        architecture=MLP((128,)),
        learning_rate=3e-3,
        max_iter=600,
        random_state=0,
    )
    digits = AutoencoderImputer(vae, random_state=0)
    print("data, errors of VAE, KNNImputer, IterativeImputer")
    X = load_digits().data
    compare("digits, 30 %", X, rng.random(X.shape) < 0.3, digits)
    below = np.zeros((len(X), 8, 8), dtype=bool)
    below[::2, 4:] = True  # of every second image, the lower half
    compare("digits, halves", X, below.reshape(X.shape), digits)
    X = scale(load_breast_cancer().data)
    tables = AutoencoderImputer(random_state=0)
    compare("breast_cancer, 30 %", X, rng.random(X.shape) < 0.3, tables)

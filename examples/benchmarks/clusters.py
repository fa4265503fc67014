"""Spread searches over the workers of a local cluster, next to one process. Usage::

    python examples/benchmarks/clusters.py dask|ray...

needs ``distributed`` and ``ray``. Prints the largest difference of scores, and times
without the start of the workers.
"""

import os
import sys
import time
from contextlib import contextmanager

import numpy as np
from joblib import parallel_config
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

from skvae import MLP, VAE
from skvae.model_selection import StackedGridSearchCV

N_WORKERS = 2


@contextmanager
def dask():
    from distributed import Client, LocalCluster

    options = {"threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(n_workers=N_WORKERS, **options) as cluster, Client(cluster):
        yield


@contextmanager
def ray():
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray
    from ray.util.joblib import register_ray

    ray.init(num_cpus=N_WORKERS, include_dashboard=False, log_to_driver=False)
    register_ray()
    try:
        yield
    finally:
        ray.shutdown()


def scores_and_seconds(n_jobs):
    """Search by scikit-learn, and cross-validate a stacked search."""
    X, y = load_digits(return_X_y=True)
    vae = VAE(8, architecture=MLP((64,)), max_iter=20, random_state=0)
    pipeline = make_pipeline(vae, LogisticRegression(max_iter=1000))
    grid = {"vae__learning_rate": np.geomspace(3e-4, 1e-2, 4)}
    start = time.perf_counter()
    single = GridSearchCV(pipeline, grid, cv=3, n_jobs=n_jobs).fit(X / 16, y)
    between = time.perf_counter()
    stacked = StackedGridSearchCV(pipeline, grid, cv=3)
    nested = cross_validate(stacked, X / 16, y, cv=4, n_jobs=n_jobs)
    seconds = between - start, time.perf_counter() - between
    return single.cv_results_["mean_test_score"], nested["test_score"], seconds


if __name__ == "__main__":
    *expected, seconds = scores_and_seconds(None)
    print("one process: search {:.1f} s, nested {:.1f} s".format(*seconds))
    for name in sys.argv[1:] or ("dask", "ray"):
        with {"dask": dask, "ray": ray}[name](), parallel_config(backend=name):
            scores_and_seconds(N_WORKERS)  # workers import on first use
            *found, seconds = scores_and_seconds(N_WORKERS)
        apart = max(
            np.abs(one - other).max()
            for one, other in zip(found, expected, strict=True)
        )
        print(
            f"{name}: search {seconds[0]:.1f} s, nested {seconds[1]:.1f} s, "
            f"scores differ by {apart:.1e} at most"
        )

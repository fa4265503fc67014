"""Searches whose fits are spread over the workers of a cluster."""

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

from skvae import MLP, VAE
from skvae.model_selection import StackedGridSearchCV

distributed = pytest.importorskip("distributed")
VAE_4 = VAE(2, architecture=MLP((16,)), max_iter=2, random_state=0)
PIPELINE = make_pipeline(VAE_4, LogisticRegression())
GRID = {"vae__learning_rate": [1e-3, 1e-2]}


@pytest.fixture
def cluster():
    """Start two worker processes, and send there what joblib runs in parallel."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster) as client,
        parallel_config(backend="dask"),
    ):
        yield client


@pytest.mark.filterwarnings("default")  # those of the cluster's own
def test_workers_give_the_scores_of_one_process(cluster):
    X, y = load_digits(n_class=4, return_X_y=True)
    X, y = X[:200] / 16, y[:200]
    single = GridSearchCV(PIPELINE, GRID, cv=2)
    nested = StackedGridSearchCV(PIPELINE, GRID, cv=2)

    def scores(n_jobs):
        search = single.set_params(n_jobs=n_jobs).fit(X, y)
        outer = cross_validate(nested, X, y, cv=2, n_jobs=n_jobs)
        return np.append(search.cv_results_["mean_test_score"], outer["test_score"])

    assert sum(map(len, cluster.has_what().values())) == 0
    spread = scores(2)
    with parallel_config(backend="sequential"):
        assert_allclose(spread, scores(None), rtol=1e-4)

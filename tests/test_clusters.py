"""Searches and cases on real local clusters: equal results, and a worker that dies."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

from skvae import AE, MLP, VAE
from skvae.datasets import make_dicom_cohort
from skvae.dicom import VolumeLoader, scan
from skvae.model_selection import StackedGridSearchCV

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the clusters


class DiesOnce(TransformerMixin, BaseEstimator):
    """End the process of the first worker that fits it, as a lack of memory would."""

    def __init__(self, folder=None):
        self.folder = folder

    def fit(self, X, y=None):
        if self.folder is not None:
            try:
                Path(self.folder, "died").touch(exist_ok=False)
            except FileExistsError:
                return self
            os.kill(os.getpid(), signal.SIGKILL)
        return self

    def transform(self, X):
        return X


@pytest.fixture(scope="module")
def dask():
    distributed = pytest.importorskip("distributed")
    options = {"threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(n_workers=2, **options) as cluster,
        distributed.Client(cluster),
        parallel_config(backend="dask", n_jobs=2),
    ):
        yield


@pytest.fixture(scope="module")
def ray():
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    path = os.pathsep.join(
        [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    )
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )
    register_ray()
    with parallel_config(backend="ray", n_jobs=2):
        yield ray
    ray.shutdown()


def search(folder=None, memory=None):
    vae = VAE(architecture=MLP((16,)), max_iter=3, memory=memory, random_state=0)
    pipeline = make_pipeline(DiesOnce(folder), vae, LogisticRegression())
    grid = {"vae__n_components": [2, 4]}
    return GridSearchCV(pipeline, grid, cv=2, error_score="raise")


def scores(fitted):
    return fitted.cv_results_["mean_test_score"]


@pytest.fixture(scope="module")
def expected(digits):
    X, y = digits
    with parallel_config(backend="threading", n_jobs=1):
        return scores(search().fit(X.reshape(300, 64), y))


def test_a_killed_worker_of_dask_costs_its_task_only(dask, digits, expected, tmp_path):
    X, y = digits
    found = search(tmp_path).fit(X.reshape(300, 64), y)
    assert (tmp_path / "died").exists()
    assert_array_equal(scores(found), expected)


def test_nested_stacked_searches_on_dask(dask, digits):
    X, y = digits[0].reshape(300, 64), digits[1]
    vae = VAE(architecture=MLP((16,)), max_iter=3, random_state=0)
    grid = {"vae__learning_rate": [1e-3, 1e-2]}
    pipeline = make_pipeline(vae, LogisticRegression())
    stacked = StackedGridSearchCV(pipeline, grid, cv=2)
    found = cross_validate(stacked, X, y, cv=2, error_score="raise")
    with parallel_config(backend="threading", n_jobs=1):
        alone = cross_validate(stacked, X, y, cv=2)
    np.testing.assert_allclose(found["test_score"], alone["test_score"], atol=0.02)


def test_workers_of_dask_share_a_cache_of_volumes(dask, tmp_path):
    make_dicom_cohort(tmp_path / "dicom", 6, random_state=0)
    volumes, labels = scan(tmp_path / "dicom"), [0, 1] * 3
    settings = {"spacing": "fit", "shape": (4, 8, 8), "crop": "mask"}
    ae = AE(2, architecture=MLP((8,)), max_iter=2, random_state=0)

    def found(**options):
        loader = VolumeLoader(**settings, **options)
        pipeline = make_pipeline(loader, ae, LogisticRegression())
        options = {"cv": 3, "scoring": "neg_log_loss", "error_score": "raise"}
        return cross_validate(pipeline, volumes, labels, **options)["test_score"]

    shared = found(cache=tmp_path / "cache", lazy=True)
    assert len(list((tmp_path / "cache" / "volumes").glob("*.npz"))) == 6
    assert len(list((tmp_path / "cache" / "cases").glob("*.npz"))) == 6
    with parallel_config(backend="threading", n_jobs=1):
        assert_array_equal(found(), shared)


def test_a_killed_worker_of_ray_is_an_error_and_memory_goes_on(
    ray, digits, expected, tmp_path
):
    X, y = digits[0].reshape(300, 64), digits[1]
    memory = tmp_path / "memory"
    with pytest.raises(ray.exceptions.RayActorError):
        search(tmp_path, memory).fit(X, y)
    assert_array_equal(scores(search(tmp_path, memory).fit(X, y)), expected)

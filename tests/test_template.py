"""The template for models of one's own."""

import pickle
import runpy
from pathlib import Path

import pytest
from numpy.testing import assert_array_equal
from sklearn.utils.estimator_checks import check_estimator
from test_common import NOT_FOR_RANDOM_STEPS

TEMPLATE = Path(__file__).parents[1] / "examples" / "template" / "sparse_ae.py"


@pytest.fixture
def sparse(monkeypatch):
    monkeypatch.syspath_prepend(TEMPLATE.parent)
    from sparse_ae import SparseAE

    return SparseAE


def test_it_runs_as_it_stands(capsys):
    runpy.run_path(str(TEMPLATE), run_name="__main__")
    free, priced = (line.split()[-1] for line in capsys.readouterr().out.splitlines())
    assert float(priced) < float(free)


def test_it_behaves_like_scikit_learn(sparse):
    estimator = sparse(max_iter=3, random_state=0)
    check_estimator(
        estimator, on_skip=None, expected_failed_checks=NOT_FOR_RANDOM_STEPS
    )


def test_it_comes_back_from_a_pickle(sparse, digits):
    model = sparse(3, max_iter=2, random_state=0).fit(digits[0])
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.transform(digits[0]), model.transform(digits[0]))

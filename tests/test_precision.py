"""Training whose networks multiply in bfloat16."""

import pickle

import numpy as np
import pytest
import torch
from cases import MODELS
from numpy.testing import assert_allclose, assert_array_equal

from skvae import AE, MLP, VAE, WatermarkAE

LOW = {"precision": "bfloat16", "random_state": 0}


@pytest.mark.parametrize("model", [model for model, _ in MODELS.values()])
def test_losses_are_those_of_single_precision(model, digits):
    X, y = digits
    options = {"architecture": MLP((32,)), "max_iter": 2, "batch_size": 32}
    expected = model(**options, random_state=0).fit(X, y)
    found = model(**options, **LOW).fit(X, y)
    for row, other in zip(found.history_, expected.history_, strict=True):
        losses = [name for name in row if name.endswith("loss")]
        assert_allclose([row[n] for n in losses], [other[n] for n in losses], rtol=0.02)
    assert {tensor.dtype for tensor in found.module_.parameters()} == {torch.float32}


@pytest.mark.parametrize("options", [{}, {"ordered": True}, {"architecture": "conv"}])
def test_codes_are_those_of_single_precision(options, digits):
    X, _ = digits
    expected = VAE(4, max_iter=30, random_state=0, **options).fit(X)
    found = VAE(4, max_iter=30, **LOW, **options).fit(X)
    codes, others = found.transform(X), expected.transform(X)
    assert codes.dtype == np.float32
    for code, other in zip(codes.T, others.T, strict=True):
        assert np.corrcoef(code, other)[0, 1] > 0.99
    assert np.abs(codes - others).max() > 1e-5


def test_networks_multiply_in_the_precision_in_training_only(digits):
    X, y = digits
    seen = {True: set(), False: set()}

    class Watched(torch.nn.Linear):
        def forward(self, X):
            output = super().forward(X)
            seen[self.training].add(output.dtype)
            return output

    def network(n_inputs, n_outputs):
        return torch.nn.Sequential(torch.nn.Flatten(), Watched(n_inputs, n_outputs))

    class Networks:
        def encoder(self, sample_shape):
            return network(64, 8)

        def decoder(self, n_inputs, sample_shape):
            return network(n_inputs, 64).append(torch.nn.Unflatten(1, (8, 8)))

    ae = AE(4, architecture=Networks(), max_iter=1, **LOW).fit(X)
    ae.transform(X)
    assert seen == {True: {torch.bfloat16}, False: {torch.float32}}
    seen[True].clear()
    WatermarkAE(4, architecture=Networks(), max_iter=1, **LOW).fit(X, np.eye(4)[y % 4])
    assert seen[True] == {torch.bfloat16}


def test_training_goes_on_after_a_pickle_and_in_another_precision(digits):
    X, _ = digits
    one = AE(4, architecture=MLP((8,)), **LOW).partial_fit(X).partial_fit(X)
    other = AE(4, architecture=MLP((8,)), **LOW).partial_fit(X)
    other = pickle.loads(pickle.dumps(other)).partial_fit(X)
    assert_array_equal(other.transform(X), one.transform(X))
    before = other.history_[-1]["train_loss"]
    other.set_params(precision="float32").partial_fit(X)
    assert other.history_[-1]["train_loss"] < before


def test_files_without_a_precision_are_of_single_precision(digits):
    X, _ = digits
    ae = AE(4, architecture=MLP((8,)), max_iter=1, random_state=0).fit(X)
    state = ae.__getstate__()
    del state["precision"], state["_built_with"]["precision"]
    old = AE.__new__(AE)
    old.__setstate__(state)
    assert old.precision == "float32"
    assert_array_equal(old.transform(X), ae.transform(X))
    old.partial_fit(X)


def test_an_unknown_precision_is_an_error(digits):
    with pytest.raises(ValueError, match="'precision' parameter of AE"):
        AE(precision="float16").fit(digits[0])

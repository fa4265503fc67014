"""The engine with a module of several phases, as adversarial models have."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from skvae import MLP
from skvae._engine.build import build_module
from skvae._engine.net import Net
from skvae.nn import AEModule, Gaussian


class TwoPhases(AEModule):
    """Adds a phase that trains a head to read the label from a fixed code."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.head = torch.nn.Linear(self.n_components, 1)
        self.seen = []

    def phases(self):
        return {
            "reconstruction": [self.encoder, self.mu, self.decoder, self.likelihood],
            "labels": [self.head],
        }

    def losses(self, phase, X, y=None, *, noise=None, epoch=np.inf):
        self.seen.append((phase, X.clone(), y.clone()))
        if phase == "reconstruction":
            return super().losses(phase, X, y, noise=noise, epoch=epoch)
        error = self.head(self.encode(X)["mu"])[:, 0] - y
        loss = error.square().mean()
        return {"loss": loss, "label_loss": loss}


def net(module=TwoPhases):
    torch.manual_seed(0)
    architecture = MLP((16,))
    shift = np.zeros(6, dtype=np.float32)
    built = build_module(module, architecture, Gaussian(), 3, shift, 1.0)
    return Net(
        built, seed=0, architecture=architecture, lr=1e-2, batch_size=32
    ).initialize()


@pytest.fixture
def data():
    X = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    return X, X.sum(axis=1)


def test_phases_take_turns_on_each_batch_with_its_labels(data):
    X, y = data
    trained = net().train(X, np.arange(100), y, epochs=2)
    phases = [phase for phase, *_ in trained.module_.seen]
    assert phases == ["reconstruction", "labels"] * (4 * 2)
    for _, batch, labels in trained.module_.seen:
        torch.testing.assert_close(batch.sum(1), labels)
    last = trained.history[-1]
    total = last["reconstruction_loss"] + last["label_loss"]
    assert last["train_loss"] == pytest.approx(total, rel=1e-5)


def test_each_phase_trains_its_own_modules(data):
    X, y = data
    before = {k: v.clone() for k, v in net().module_.state_dict().items()}
    trained = net()
    reference = net(AEModule).train(X, np.arange(100), epochs=5)
    trained.train(X, np.arange(100), y, epochs=5)
    assert set(trained.optimizers_) == {"reconstruction", "labels"}
    weights = trained.module_.state_dict()
    # What the labels would do to the code is not done: the head alone follows them.
    for name, expected in reference.module_.state_dict().items():
        assert_array_equal(weights[name], expected)
    assert not torch.equal(weights["head.weight"], before["head.weight"])
    losses = [row["label_loss"] for row in trained.history]
    assert losses[-1] < losses[0]


def test_every_phase_is_part_of_the_state(data):
    X, y = data
    whole = net().train(X, np.arange(100), y, epochs=3)
    first = net().train(X, np.arange(100), y, epochs=2)
    resumed = net().set_state(first.get_state()).train(X, np.arange(100), y, epochs=1)
    for name, expected in whole.module_.state_dict().items():
        assert_array_equal(resumed.module_.state_dict()[name], expected)

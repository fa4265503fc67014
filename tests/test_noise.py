"""Sources of random numbers, and the dropout that draws from them."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skvae import AE, MLP
from skvae._engine.program import Drawn, Recorder
from skvae.nn import Dropout, Noise


def noise(seed=0):
    return Noise(torch.Generator().manual_seed(seed))


def test_normal_and_uniform_numbers_are_those_of_the_generator():
    generator = torch.Generator().manual_seed(0)
    source = noise()
    for actual, draw in [
        (source.normal(4, 3), torch.randn),
        (source.uniform(4, 3), torch.rand),
        (source.normal(2), torch.randn),
    ]:
        expected = draw(actual.shape, generator=generator)
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 1.0], [0.0, 3.0, 1.0, 0.0, 4.0]])
def test_choices_come_as_often_as_their_weights_say(weights):
    numbers = noise().choice(torch.tensor(weights), 20000)
    counts = np.bincount(numbers, minlength=len(weights))
    expected = 20000 * np.array(weights) / sum(weights)
    assert numbers.dtype == torch.int64
    assert_array_equal(counts[expected == 0], 0)
    assert_allclose(counts, expected, atol=300)  # four standard deviations


def test_numbers_go_to_the_device():
    source = Noise(torch.Generator().manual_seed(0), "meta")
    assert source.uniform(3).device.type == source.normal(3).device.type == "meta"


def test_stacked_networks_draw_what_they_draw_alone():
    generators = [torch.Generator().manual_seed(seed) for seed in range(3)]
    shares = torch.tensor([0.2, 0.5, 0.8])
    weights = torch.tensor([[1.0, 1.0], [0.0, 1.0], [3.0, 1.0]])

    def draws(source, share, weights):
        return [
            source.normal(4, 2),
            source.keep(share, 50),
            source.choice(weights, 50),
            source.draw(lambda generator: torch.rand(3, generator=generator)),
        ]

    def draws_of(drawn, *arguments):
        return draws(Drawn(drawn, "cpu"), *arguments)

    recorder = Recorder("cpu")
    draws(recorder, shares[0], weights[0])
    drawn = [torch.stack([draw(g) for g in generators]) for draw in recorder.draws]
    stacked = torch.vmap(draws_of)(drawn, shares, weights)
    for i in range(3):
        for one, alone in zip(
            stacked, draws(noise(i), shares[i], weights[i]), strict=True
        ):
            torch.testing.assert_close(one[i], alone, rtol=0, atol=0)


def test_dropout_keeps_the_mean():
    layer = Dropout(0.3)
    torch.manual_seed(0)
    dropped = layer(torch.ones(100_000))
    assert set(dropped.tolist()) == {0.0, dropped.max().item()}
    assert dropped.max().item() == pytest.approx(1 / 0.7)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    assert torch.equal(layer.eval()(dropped), dropped)
    assert repr(layer) == "Dropout(p=0.3)"


def test_losses_draw_dropout_from_their_noise_alone():
    X = np.random.default_rng(0).normal(size=(30, 4))
    model = AE(2, architecture=MLP((16,), dropout=0.5), random_state=0)
    module = model.partial_fit(X).module_.train()

    def loss(**options):
        return module.losses("reconstruction", torch.from_numpy(X), **options)["loss"]

    state = torch.get_rng_state()
    assert loss(noise=noise(0)) == loss(noise=noise(0)) != loss(noise=noise(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert loss() != loss()  # from the global state, as torch.nn.Dropout does

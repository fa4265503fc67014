import copy
import threading
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skvae import MLP
from skvae._fingerprint import fingerprint
from skvae.nn import Gaussian


def scaled(factor):
    return lambda x: factor * x


def linear(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh())


VALUES = [
    *(1, 2, "a", None, (1, 2), {"a": 1}, np.arange(3), np.zeros(3)),
    *(MLP(), MLP((3,)), MLP, Gaussian(), Gaussian(scale=1.0)),
    *(scaled(1), scaled(2), partial(max, 1), partial(max, 2), partial(min, 1)),
    *(linear(0), linear(1), np.random.RandomState(0), np.random.RandomState(1)),
]


def test_fingerprints_tell_values_apart_and_know_copies():
    prints = [fingerprint(value) for value in VALUES]
    assert len(set(prints)) == len(VALUES)
    assert [fingerprint(copy.deepcopy(value)) for value in VALUES] == prints


def test_equals_of_other_types_are_the_same():
    assert fingerprint(np.int64(3)) == fingerprint(3)
    assert fingerprint([8, 8]) == fingerprint((8, 8))


def test_a_function_defined_anew_is_another():
    def double(x):
        return 2 * x

    one = fingerprint(double)

    def double(x):
        return 3 * x

    assert fingerprint(double) != one


def test_functions_on_one_line_are_told_apart():
    functions = [lambda x: x.real, lambda x: x.imag, lambda x: 1 * x, lambda x: 2 * x]
    functions += [lambda *, a=1: a, lambda *, a=2: a, lambda: SCALE, lambda: OTHER]
    assert len({fingerprint(function) for function in functions}) == len(functions)


SCALE = 1
OTHER = [lambda: SCALE]


def test_what_a_function_reads_belongs_to_it(monkeypatch):
    functions = [lambda: SCALE, lambda: [SCALE for _ in "ab"], lambda: OTHER[0]()]
    before = [fingerprint(function) for function in functions]
    monkeypatch.setitem(globals(), "SCALE", 2)
    for function, old in zip(functions, before, strict=True):
        assert fingerprint(function) != old


def test_classes_without_a_source_are_known_by_their_code():
    def define(body):
        namespace = {"__name__": "session", "MLP": MLP}
        exec(f"class Made(MLP):\n    def decoder(self): return {body}", namespace)
        return namespace["Made"]

    one, same, other = map(define, ("1", "1", "2"))
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)
    assert fingerprint(one()) == fingerprint(same()) != fingerprint(other())


def test_values_may_hold_themselves():
    loop = MLP()
    loop.activation = [loop]
    assert fingerprint(loop) == fingerprint(copy.deepcopy(loop))


def built(slope):
    class Own(MLP):
        def decoder(self, *args):
            return slope

    return Own


def frozen(module):
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


NAMESPACE, TENSOR = SimpleNamespace(scale=1), torch.ones(2)


def noted(note):
    def prior():
        return prior.note

    prior.note = note
    return prior


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (built(1), built(2)),
        (linear(0), frozen(linear(0))),
        (noted(1), noted(2)),
    ],
)
def test_what_surrounds_a_value_belongs_to_it(one, other):
    assert fingerprint(one) != fingerprint(other)


def test_values_set_later_belong_to_a_class_or_function(monkeypatch):
    own, reads = built(1), [lambda: NAMESPACE.scale, lambda: TENSOR.sum()]
    before = [fingerprint(value) for value in (own, own(), *reads)]
    own.slope = 2
    monkeypatch.setitem(globals(), "NAMESPACE", SimpleNamespace(scale=2))
    monkeypatch.setitem(globals(), "TENSOR", torch.zeros(2))
    after = [fingerprint(value) for value in (own, own(), *reads)]
    assert not set(before) & set(after)


def test_equal_numbers_are_the_same():
    assert fingerprint(Gaussian(1)) == fingerprint(Gaussian(1.0))
    assert fingerprint(MLP((8,))) == fingerprint(MLP(np.array([8])))


def test_what_can_not_be_hashed_is_an_error_at_any_depth():
    lock = threading.Lock()
    for value in (lock, {"a": lock}, {"a": {"b": [lock]}}, np.array([{"a": lock}, 1])):
        with pytest.raises(TypeError, match="lock"):
            fingerprint(value)

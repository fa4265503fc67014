"""Many networks of one structure, trained as one batch.

Each takes the steps that it takes alone, with its own data, random numbers, rates and
end. What differs is the order of sums within matrix products.
"""

import copy
import math
import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .._fingerprint import fingerprint
from .._random import child_seed
from ..nn import Noise

_LARGE = 2**24  # multiply-adds of a step from which on a stack gains nothing
_MOST_WEIGHTS = 2**21  # in a stack: with more, they no longer stay in the cache
_FEWEST = 8  # networks in a stack, if there are so many
_FEW = 0.75  # share of a stack that is left when it is worth making a smaller one
_OFTEN = 50  # steps from which on it is worth tracing what they do
_VALIDATION = 2**32 - 1
_OF_TORCH = frozenset(vars(nn.Module()))


@dataclass(eq=False)
class Training:
    """A net, what it is to be trained with, and what came of it.

    Attributes
    ----------
    net : Net
    X : Tensor of shape (n_samples, *sample_shape)
    y : Tensor of shape (n_samples,) or None
    index : dict of str or None to Tensor
        Rows to train on, of phases that have rows of their own and, under None, of all
        others.
    held_out : tuple (X, y) or None
    epochs : int
    stopping : EarlyStopping or None
    error : Exception or None
    is_done : bool
        False if the net is to be trained alone.
    """

    net: Any
    X: Any
    y: Any
    index: Any
    held_out: Any
    epochs: int
    stopping: Any
    error: Any = None
    is_done: bool = False

    def begin(self):
        self.net.interrupted_ = False
        self.net.max_epochs = self.epochs
        self.last_epoch = len(self.net.history) + self.epochs
        self.is_done = True


def can_stack(net):
    """Tell whether a net can be trained in a stack, and gains from it."""
    return (
        net.self_contained
        and not net.callbacks_
        and not net.observers
        and torch.device(net.device).type in ("cpu", "cuda")
        and all(parameter.requires_grad for parameter in net.module_.parameters())
        and net.batch_size * net.multiply_adds <= _LARGE
    )


class StackedTrainer:
    """Trains nets in stacks, on as many threads as its maker may use.

    Attributes
    ----------
    sizes : list of int
        Networks of each stack, 1 for those that were left to be trained alone.
    """

    def __init__(self):
        self.sizes = []
        self._n_threads = torch.get_num_threads()

    def train(self, trainings, go_on):
        """Train nets, and note in each training what came of it.

        Parameters
        ----------
        trainings : list of Training
        go_on : callable
            Called before each epoch. What it raises ends all.
        """
        alike = defaultdict(list)
        for training in trainings:
            alike[structure_of(training)].append(training)
        before = torch.get_num_threads()
        torch.set_num_threads(self._n_threads)
        try:
            for group in alike.values():
                self._train_alike(group, go_on)
        finally:
            torch.set_num_threads(before)

    def _train_alike(self, trainings, go_on):
        stacks = _divided(trainings)
        self.sizes += map(len, stacks)
        if len(trainings) == 1:
            return
        net, template = trainings[0].net, _Template(trainings)
        with net.threads(len(stacks[0]) * net.batch_size):
            for stack in stacks:
                _try_to_train(stack, template, go_on)


def _divided(trainings):
    """Divide trainings of one structure into stacks of about one size."""
    n_weights = sum(p.numel() for p in trainings[0].net.module_.parameters())
    most = max(_FEWEST, _MOST_WEIGHTS // n_weights)
    size = math.ceil(len(trainings) / math.ceil(len(trainings) / most))
    return [trainings[i : i + size] for i in range(0, len(trainings), size)]


def _try_to_train(trainings, template, go_on):
    """Train nets, or leave them as they are if they can't be stacked."""
    before = [len(training.net.history) for training in trainings]
    try:
        _train(trainings, template, go_on)
    except Exception as error:
        for training, n_epochs in zip(trainings, before, strict=True):
            training.is_done = False
            if len(training.net.history) > n_epochs:
                training.error = error


def structure_of(training):
    """Return all in which the networks of a stack must agree."""
    net, index = training.net, training.index
    tensors = [*net.module_.named_parameters(), *net.module_.named_buffers()]
    return (
        tuple((name, *_plain(part)) for name, part in net.module_.named_modules()),
        tuple((name, tensor.shape, tensor.dtype) for name, tensor in tensors),
        tuple(net.module_.phases()),
        (net.batch_size, str(net.device), len(net.history)),
        (math.ceil(len(index[None]) / net.batch_size), *map(str, index)),
        (training.y is None, training.held_out is None),
    )


def _plain(part):
    """Return the class of a module and what it keeps beside tensors and modules.

    Numbers that modules of this package keep are buffers, too.
    """
    is_ours = type(part).__module__.startswith("skvae.")
    yield type(part)
    for name, value in vars(part).items():
        if name not in _OF_TORCH and not (is_ours and isinstance(value, float)):
            simple = value is None or isinstance(value, bool | int | str)
            yield name, value if simple else fingerprint(value)


@torch.inference_mode(False)
@torch.no_grad()
def _train(trainings, template, go_on):
    for training in trainings:
        training.begin()
    stack = Stack(trainings, template)
    at_work = range(
        len(trainings)
    )  # the others have ended, and are trained for nothing
    while at_work:
        go_on()
        if len(at_work) < _FEW * len(stack.trainings):
            stack = stack.part(at_work)
            at_work = range(len(at_work))
        started = time.perf_counter()
        epoch = 1 + len(stack.nets[at_work[0]].history)
        means = stack.run_epoch(epoch)
        means["dur"] = [(time.perf_counter() - started) / len(stack.nets)] * len(
            stack.nets
        )
        at_work = [
            i
            for i in at_work
            if not _ends(stack, i, {name: values[i] for name, values in means.items()})
        ]


def _ends(stack, i, means):
    """Write down an epoch of a network; end its training if it was the last one."""
    training = stack.trainings[i]
    net, stopping = training.net, training.stopping
    try:
        _record(net, **means)
    except ValueError as error:
        training.error = error
        return True
    is_last = len(net.history) == training.last_epoch
    if stopping is not None:
        stack.write_back(i)
        weights = list(net.module_.state_dict().values())
        is_last |= stopping.reached(means["valid_loss"], weights)
    if is_last:
        stack.write_back(i)
        if stopping is not None:
            stopping.restore_best(weights)
        net.module_.eval()
    return is_last


def _record(net, loss, dur, **means):
    """Write down an epoch of a net as if it had been trained alone."""
    net.notify("on_epoch_begin", dataset_train=None, dataset_valid=None)
    for name, value in {"train_loss": loss, **means}.items():
        net._record(name, value)
    net.history.record("dur", dur)


class Stack:
    """Networks of one structure."""

    def __init__(self, trainings, template):
        self.trainings = trainings
        self.template = template
        self.nets = [training.net for training in trainings]
        self.device = template.device
        tensors = [_tensors(net.module_) for net in self.nets]
        self.tensors = {
            name: torch.stack([each[name].detach() for each in tensors])
            for name in tensors[0]
        }
        self.phases = {
            phase: _Phase(phase, self.nets, self.tensors)
            for phase in self.nets[0].optimizers_
        }

    def run_epoch(self, epoch):
        """Train for an epoch; return the mean of each term over samples, by network."""
        self.template.module.train()
        self._seed(epoch)
        batches = [
            training.net._batches(training.index, generator, training.X.device)
            for training, generator in zip(self.trainings, self.generators, strict=True)
        ]
        table, sizes = [], []
        for step in zip(*batches, strict=True):
            sizes.append([len(batch[None]) for batch in step])
            terms = self._step(step, _alike(sizes[-1]), epoch)
            table.append(torch.stack(list(terms.values())))
        values = torch.stack(table).double().cpu().numpy()
        weights = np.broadcast_to(np.array(sizes)[:, None], values.shape)
        means = np.average(values, axis=0, weights=weights)
        means = dict(zip(terms, means.tolist(), strict=True))
        if self.trainings[0].held_out is not None:
            means["valid_loss"] = self._validation_losses()
        return means

    def _validation_losses(self):
        """Return the loss of each network on its held-out samples."""
        self.template.module.eval()
        self._seed(_VALIDATION)
        sizes = [len(training.held_out[0]) for training in self.trainings]
        losses = np.zeros(len(self.nets))
        for members in _alike(sizes):
            n_samples = sizes[members[0]]
            for rows in torch.arange(n_samples).split(self.nets[0].batch_size):
                data = [self.trainings[i].held_out for i in members]
                X, y = self._picked(data, [rows] * len(data))
                terms, _ = self._run(None, members, X, y, 1)
                losses[members] += terms["loss"].double().cpu().numpy() * len(rows)
            losses[members] /= n_samples
        return losses.tolist()

    def part(self, members):
        """Return a stack of some of the networks, as they are now."""
        for i in members:
            self.write_back(i)
        return Stack([self.trainings[i] for i in members], self.template)

    def write_back(self, i):
        """Give a network what it has become: weights and the state of its Adams."""
        own = _tensors(self.nets[i].module_)
        for name, tensor in own.items():
            tensor.copy_(self.tensors[name][i])
        for phase in self.phases.values():
            phase.write_back(i, self.nets[i], own)

    def _seed(self, stream):
        self.generators = [
            torch.Generator(self.device).manual_seed(child_seed(net.seed, stream))
            for net in self.nets
        ]

    def _step(self, step, groups, epoch):
        """Update what each phase trains; return all terms, losses added up."""
        log = {}
        for name, phase in self.phases.items():
            found = {}
            for members in groups:
                data = [(self.trainings[i].X, self.trainings[i].y) for i in members]
                rows = [step[i].get(name, step[i][None]) for i in members]
                terms, gradients = self._run(
                    name, members, *self._picked(data, rows), epoch
                )
                phase.collect(members, gradients)
                if len(groups) == 1:
                    found = terms
                    continue
                for term, value in terms.items():
                    whole = found.setdefault(term, value.new_empty(len(self.nets)))
                    whole[members] = value
            phase.step()
            if "loss" in log:
                found["loss"] = log["loss"] + found["loss"]
            log |= found
        return log

    def _picked(self, data, rows):
        """Stack the rows of the samples of several networks, and of their classes."""
        X, y = zip(*data, strict=True)
        labels = None if y[0] is None else _take(y, rows).to(self.device)
        return _take(X, rows).to(self.device), labels

    def _run(self, phase, members, X, y, epoch):
        """Return the terms of some networks, given by number, and their gradients."""
        is_whole = len(members) == len(self.nets)
        tensors = self.tensors
        if not is_whole:
            tensors = {name: tensor[members] for name, tensor in tensors.items()}
        program = self.template.program(phase, X)
        generators = [self.generators[i] for i in members]
        results = program(generators, tensors, X, y, epoch)
        if not is_whole:  # what the losses change in place, as spectral norms do
            for name in self.template.buffers:
                self.tensors[name][members] = tensors[name]
        return results


class _Phase:
    """What a phase trains, and how.

    One Adam of rate 1 steps for all networks, from zero, and each network takes its
    own rate of that step.
    """

    def __init__(self, name, nets, tensors):
        self.name = name
        trained = _names_of(nets[0].module_, nets[0].optimizers_[name])
        self._tensors = {key: tensors[key] for key in trained}
        self._steps = {key: torch.zeros_like(tensors[key]) for key in trained}
        fused = torch.device(nets[0].device).type in ("cpu", "cuda")
        betas = nets[0].optimizers_[name].param_groups[0]["betas"]
        self._adam = torch.optim.Adam(
            self._steps.values(), lr=1.0, betas=betas, fused=fused
        )
        for key, step in self._steps.items():
            states = [
                net.optimizers_[name].state.get(net.module_.get_parameter(key))
                for net in nets
            ]
            if states[0]:
                self._adam.state[step] = {
                    part: value
                    if part == "step"
                    else torch.stack([s[part] for s in states])
                    for part, value in states[0].items()
                }
        device = torch.device(nets[0].device)
        self._rates = torch.tensor([net._rate(name) for net in nets], device=device)
        decay = torch.tensor([net.weight_decay for net in nets], device=device)
        self._kept = 1 - self._rates * decay if decay.any() else None

    def collect(self, members, gradients):
        """Keep the gradients of some networks, or of all."""
        for step, gradient in zip(self._steps.values(), gradients, strict=True):
            if len(gradient) == len(step):
                step.grad = gradient
            else:
                step.grad = torch.zeros_like(step) if step.grad is None else step.grad
                step.grad[members] = gradient

    def step(self):
        for step in self._steps.values():
            step.zero_()
        self._adam.step()
        for name, step in self._steps.items():
            tensor = self._tensors[name]
            shape = -1, *[1] * (tensor.dim() - 1)
            decays = tensor.dim() > 2 and not name.startswith("likelihood.")
            if self._kept is not None and decays:
                tensor.mul_(self._kept.view(shape))
            tensor.addcmul_(step, self._rates.view(shape))

    def write_back(self, i, net, own):
        for name, step in self._steps.items():
            net.optimizers_[self.name].state[own[name]] = {
                part: (value if part == "step" else value[i]).clone()
                for part, value in self._adam.state[step].items()
            }


class _Template:
    """A module that takes the tensors of any network of a structure in turn."""

    def __init__(self, trainings):
        net = trainings[0].net
        self.module = copy.deepcopy(net.module_)
        self.device = torch.device(net.device)
        self.buffers = [name for name, _ in self.module.named_buffers()]
        self._batch_size = net.batch_size
        self._n_epochs = sum(training.epochs for training in trainings)
        self._n_samples = len(trainings[0].index[None])
        self._programs = {}
        self._trained = {
            phase: _names_of(net.module_, optimizer)
            for phase, optimizer in net.optimizers_.items()
        }
        self._places = {}
        for name, tensor in _tensors(self.module).items():
            path, _, leaf = name.rpartition(".")
            part = self.module.get_submodule(path)
            delattr(part, leaf)
            setattr(part, leaf, tensor.detach())  # no parameter or buffer any more
            self._places[name] = part, leaf

    def program(self, phase, X):
        """Return what computes a phase for as many networks and samples as X has."""
        key = phase, X.shape
        if key not in self._programs:
            n_networks, n_samples = X.shape[:2]
            n_steps = self._n_epochs // n_networks
            if n_samples == self._batch_size:
                n_steps *= self._n_samples // n_samples
            trained = self._trained.get(phase, [])
            self._programs[key] = _Program(self, phase, trained, n_steps >= _OFTEN)
        return self._programs[key]

    def losses(self, tensors, phase, *data, **options):
        for name, tensor in tensors.items():
            setattr(*self._places[name], tensor)
        if phase is None:
            del options["epoch"]
            return {"loss": self.module.held_out_loss(*data, **options)}
        terms = self.module.losses(phase, *data, **options)
        scale = self.module.gradient_scale(phase)
        return terms | {"": terms["loss"] if scale is None else terms["loss"] * scale}


class _Program:
    """Computes terms and gradients of a phase, for networks and batches of one size.

    The first call finds out what random numbers the losses draw. Where it is worth the
    time, the whole computation is traced: what runs then are the products and sums of
    forward and backward pass one after the other, without autograd, `vmap` and modules.
    """

    def __init__(self, template, phase, trained, is_traced):
        self._template = template
        self._phase = phase
        self._trained = trained
        self._is_traced = is_traced
        self._device = template.device
        self._draws = None
        self._compute = self._terms_and_gradients

    def __call__(self, generators, tensors, X, y, epoch):
        epoch = torch.tensor(float(epoch), device=self._device)
        if self._draws is None:
            self._draws = self._draws_for(tensors, X, y, epoch)
        drawn = [
            torch.stack([draw(generator) for generator in generators]).to(self._device)
            for draw in self._draws
        ]
        arguments = tensors, X, y, drawn, epoch
        if self._is_traced:
            self._compute = self._traced(*arguments)
            self._is_traced = False
        terms, gradients = self._compute(*arguments)
        return terms, gradients

    def _traced(self, tensors, *arguments):
        def compute(tensors, X, y, drawn, epoch):
            return self._terms_and_gradients(tensors, X, y, drawn, epoch)

        changed = {name: tensors[name].clone() for name in self._template.buffers}
        return make_fx(compute)(tensors | changed, *arguments)

    def _draws_for(self, tensors, X, y, epoch):
        """Return functions that draw from a generator, in the order of their calls."""
        recorder = _Recorder(self._device)
        first = {name: tensor[0].clone() for name, tensor in tensors.items()}
        y = None if y is None else y[0]
        self._template.losses(first, self._phase, X[0], y, noise=recorder, epoch=epoch)
        return recorder.draws

    def _terms_and_gradients(self, tensors, X, y, drawn, epoch):
        def losses(tensors, X, y, drawn):
            noise = _Drawn(drawn, self._device)
            return self._template.losses(
                tensors, self._phase, X, y, noise=noise, epoch=epoch
            )

        trained = {
            name: tensors[name].detach().requires_grad_() for name in self._trained
        }
        with torch.enable_grad(), _FastLinear():
            dims = 0, 0, None if y is None else 0, 0
            terms = torch.vmap(losses, in_dims=dims)(tensors | trained, X, y, drawn)
            gradients = []
            if trained:
                total = terms.pop("").sum()
                gradients = torch.autograd.grad(total, list(trained.values()))
        return {name: value.detach() for name, value in terms.items()}, gradients


class _Recorder(Noise):
    """Notes which functions draw."""

    def __init__(self, device):
        super().__init__(torch.Generator(device))
        self.draws = []

    def draw(self, function):
        self.draws.append(function)
        return super().draw(function)


class _Drawn(Noise):
    """Gives numbers that were drawn before."""

    def __init__(self, drawn, device):
        self._drawn = iter(drawn)
        self.device = device

    def draw(self, function):
        return next(self._drawn)


class _FastLinear(TorchFunctionMode):
    """Computes `linear` of many networks in fewer passes than `vmap` does."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is functional.linear and len(args) == 3 and args[0].dim() == 2:
            return _Linear.apply(*args)
        return func(*args, **(kwargs or {}))


class _Linear(torch.autograd.Function):
    """A linear map, of which PyTorch calls `vmap` for all networks at once."""

    @staticmethod
    def forward(X, weight, bias):
        return functional.linear(X, weight, bias)

    @staticmethod
    def setup_context(ctx, inputs, output):
        raise NotImplementedError

    @staticmethod
    def vmap(info, in_dims, *tensors):
        stacked = [
            tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor
            for tensor, dim in zip(tensors, in_dims, strict=True)
        ]
        return _StackedLinear.apply(*stacked), 0


class _StackedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, X, weight, bias):
        ctx.save_for_backward(X, weight)
        return torch.baddbmm(bias.unsqueeze(1), X, weight.mT)

    @staticmethod
    def backward(ctx, gradient):
        X, weight = ctx.saved_tensors
        of_X, of_weight, of_bias = None, None, None
        if ctx.needs_input_grad[0]:
            of_X = torch.bmm(gradient, weight)
        if ctx.needs_input_grad[1]:
            of_weight, of_bias = torch.bmm(gradient.mT, X), gradient.sum(1)
        return of_X, of_weight, of_bias


def _take(tensors, rows):
    """Stack the rows of several tensors."""
    shape = len(tensors), len(rows[0]), *tensors[0].shape[1:]
    taken = tensors[0].new_empty(shape)
    for tensor, part, out in zip(tensors, rows, taken, strict=True):
        torch.index_select(tensor, 0, part, out=out)
    return taken


def _alike(sizes):
    """Group numbers of networks by the size of something."""
    order = np.argsort(sizes, kind="stable").tolist()
    return [list(group) for _, group in groupby(order, key=sizes.__getitem__)]


def _tensors(module):
    return dict([*module.named_parameters(), *module.named_buffers()])


def _names_of(module, optimizer):
    """Name the parameters that an optimizer steps."""
    names = {id(tensor): name for name, tensor in module.named_parameters()}
    (group,) = optimizer.param_groups
    return [names[id(parameter)] for parameter in group["params"]]

"""Many networks of one structure, trained as one batch.

Each takes the steps that it takes alone, with its own data, random numbers, rates and
end. What differs is the order of sums within matrix products.
"""

import math
import threading
import time
from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, repeat
from typing import Any

import numpy as np
import torch
from torch import nn

from .._fingerprint import fingerprint
from .._random import child_seed
from .crew import Abandoned
from .program import Template, names_of, tensors_of
from .threads import use_threads

_LARGE = 2**27  # multiply-adds of a step from which on a stack gains little
_MOST_WEIGHTS = 2**21  # in a stack: with more, they no longer stay in the cache
_FEWEST = 8  # networks in a stack, if there are so many
_FEW = 0.75  # share of a stack that is left when it is worth making a smaller one
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
        Why the training failed, if it did.
    is_done : bool
        Whether it came to its end. If not, the net is to be trained alone.
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

    def fail(self, error):
        """Note why the training failed; one error may be that of many trainings."""
        self.error, self._traceback = error, error.__traceback__

    def raise_error(self):
        """Raise the error, if there is one, as it was when it was noted."""
        if self.error is not None:
            raise self.error.with_traceback(self._traceback)

    def begin(self):
        self.net.interrupted_ = False
        self.net.max_epochs = self.epochs
        self.last_epoch = len(self.net.history) + self.epochs


def can_stack(net):
    """Tell whether a net can be trained in a stack, and gains from it."""
    return (
        net.self_contained
        and not net.callbacks_
        and not net.observers
        and net.precision == "float32"
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

        Stacks are trained side by side, which uses several threads better than the
        products of one stack do.

        Parameters
        ----------
        trainings : list of Training
        go_on : callable
            Called before each epoch, by any thread. What it raises ends all.
        """
        alike = defaultdict(list)
        for training in trainings:
            alike[structure_of(training)].append(training)
        parts = [
            part for group in alike.values() for part in self._parts_to_train(group)
        ]
        if not parts:
            return
        n_workers = min(len(parts), self._n_threads)
        n_each = self._n_threads // n_workers
        is_over = threading.Event()

        def go_on_unless_over():
            if is_over.is_set():
                raise Abandoned
            go_on()

        with ThreadPoolExecutor(n_workers, "stack", use_threads, (n_each,)) as pool:
            try:
                deque(pool.map(_train_part, parts, repeat(go_on_unless_over)), maxlen=0)
            finally:
                is_over.set()

    def _parts_to_train(self, trainings):
        """Divide trainings of one structure into lists of stacks, one per thread."""
        stacks = _divided(trainings, self._n_threads)
        self.sizes += map(len, stacks)
        if len(trainings) == 1:
            return []
        n_parts = min(len(stacks), self._n_threads)
        return [stacks[i::n_parts] for i in range(n_parts)]


def _divided(trainings, n_threads):
    """Divide trainings of one structure into stacks of about one size."""
    n_weights = sum(p.numel() for p in trainings[0].net.module_.parameters())
    most = max(_FEWEST, _MOST_WEIGHTS // n_weights)
    for_all = min(n_threads, len(trainings) // _FEWEST)
    size = math.ceil(len(trainings) / max(for_all, math.ceil(len(trainings) / most)))
    return [trainings[i : i + size] for i in range(0, len(trainings), size)]


def _train_part(stacks, go_on):
    """Train stacks of one structure, one after the other."""
    net = stacks[0][0].net
    template = Template(net)
    with net.threads(len(stacks[0]) * net.batch_size):
        for stack in stacks:
            _try_to_train(stack, template, go_on)


def _try_to_train(trainings, template, go_on):
    """Train nets, or leave them as they are if they can't be stacked."""
    before = [len(training.net.history) for training in trainings]
    try:
        _train(trainings, template, go_on)
    except Exception as error:
        for training, n_epochs in zip(trainings, before, strict=True):
            training.is_done = False
            if len(training.net.history) > n_epochs:
                training.fail(error)


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
        (training.X.dim(), training.y is None, training.held_out is None),
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
    at_work = range(len(trainings))  # others have ended, and are trained for nothing
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
        training.fail(error)
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
        training.is_done = True
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
        tensors = [tensors_of(net.module_) for net in self.nets]
        self.tensors = {
            name: torch.stack([each[name].detach() for each in tensors])
            for name in tensors[0]
        }
        self.phases = {
            phase: _Phase(phase, self.nets, self.tensors)
            for phase in self.nets[0].optimizers_
        }
        data = [(training.X, training.y) for training in trainings]
        self.samples = _Samples(self.nets, data)
        self.held_out = None
        if trainings[0].held_out is not None:
            held_out = [training.held_out for training in trainings]
            self.held_out = _Samples(self.nets, held_out)

    def run_epoch(self, epoch):
        """Train for an epoch; return the mean of each term over samples, by network."""
        self.template.module.train()
        self._seed(epoch)
        batches = [
            training.net._batches(training.X, training.index, generator)
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
        if self.held_out is not None:
            means["valid_loss"] = self._validation_losses()
        return means

    def _validation_losses(self):
        """Return the loss of each network on its held-out samples."""
        self.template.module.eval()
        self._seed(_VALIDATION)
        sizes = self.held_out.sizes
        losses = np.zeros(len(self.nets))
        for members in _alike(sizes):
            n_samples = sizes[members[0]]
            for rows in torch.arange(n_samples).split(self.nets[0].batch_size):
                X, y = self.held_out.take(members, rows.expand(len(members), -1))
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
        own = tensors_of(self.nets[i].module_)
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
                rows = [step[i].get(name, step[i][None]) for i in members]
                X, y = self.samples.take(members, torch.stack(rows))
                terms, gradients = self._run(name, members, X, y, epoch)
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


class _Samples:
    """Standardized samples of several networks, and their classes.

    What networks have in common is there once.
    """

    def __init__(self, nets, data):
        self._device = torch.device(nets[0].device)
        blocks, starts = [], []
        for net, (X, y) in zip(nets, data, strict=True):
            standardized = net.module_.standardized(X.to(self._device))
            block = standardized.to(X.device), y
            same = next((i for i, old in enumerate(blocks) if _equal(old, block)), None)
            if same is None:
                same = len(blocks)
                blocks.append(block)
            starts.append(sum(len(X) for X, _ in blocks[:same]))
        X, y = zip(*blocks, strict=True)
        self._X = torch.cat(X)
        self._y = None if y[0] is None else torch.cat(y)
        self._starts = torch.tensor(starts, device=self._X.device)
        self.sizes = [len(X) for X, _ in data]

    def take(self, members, rows):
        """Return samples and classes of some networks, given by number.

        Parameters
        ----------
        members : list of int
        rows : Tensor of shape (n_members, n_samples), int64
        """
        places = (self._starts[members].unsqueeze(1) + rows).flatten()
        X = self._X.index_select(0, places).unflatten(0, rows.shape)
        y = None if self._y is None else self._y[places].unflatten(0, rows.shape)
        return X.to(self._device), None if y is None else y.to(self._device)


class _Phase:
    """What a phase trains, and how.

    One Adam of rate 1 steps for all networks, from zero, and each network takes its
    own rate of that step.
    """

    def __init__(self, name, nets, tensors):
        self.name = name
        trained = names_of(nets[0].module_, nets[0].optimizers_[name])
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
        options = {"dtype": torch.float32, "device": torch.device(nets[0].device)}
        self._rates = torch.tensor([net._rate(name) for net in nets], **options)
        decay = torch.tensor([net.weight_decay for net in nets], **options)
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
            decays = tensor.dim() > 2 and ".likelihood." not in f".{name}"
            if self._kept is not None and decays:
                tensor.mul_(self._kept.view(shape))
            tensor.addcmul_(step, self._rates.view(shape))

    def write_back(self, i, net, own):
        for name, step in self._steps.items():
            net.optimizers_[self.name].state[own[name]] = {
                part: (value if part == "step" else value[i]).clone()
                for part, value in self._adam.state[step].items()
            }


def _equal(some, others):
    return all(
        a is b or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(some, others, strict=True)
    )


def _alike(sizes):
    """Group numbers of networks by the size of something."""
    order = np.argsort(sizes, kind="stable").tolist()
    return [list(group) for _, group in groupby(order, key=sizes.__getitem__)]

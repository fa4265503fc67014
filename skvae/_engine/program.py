"""What a stack of networks computes in a step, written down once and run often."""

import copy
import operator

import torch
from torch import Tensor, fx
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from ..nn import Noise

_FEW_COLUMNS = 16


class Template:
    """A module that takes the tensors of any network of a structure in turn.

    Parameters
    ----------
    net : Net
        One of the networks.
    """

    def __init__(self, net):
        self.module = copy.deepcopy(net.module_)
        self.module.is_standardized = True
        self.device = torch.device(net.device)
        self.buffers = [name for name, _ in self.module.named_buffers()]
        self._programs = {}
        self._trained = {
            phase: names_of(net.module_, optimizer)
            for phase, optimizer in net.optimizers_.items()
        }
        self._places = {}  # more than one for tensors that are shared
        names = {id(tensor): name for name, tensor in tensors_of(self.module).items()}
        for part in self.module.modules():
            for own in (part._parameters, part._buffers):
                for leaf in [leaf for leaf in own if own[leaf] is not None]:
                    name = names[id(own.pop(leaf))]  # an attribute like any other now
                    self._places.setdefault(name, []).append((part, leaf))

    def program(self, phase, X):
        """Return what computes a phase for as many networks and samples as X has."""
        key = phase, X.shape
        if key not in self._programs:
            self._programs[key] = _Program(self, phase, self._trained.get(phase, []))
        return self._programs[key]

    def losses(self, tensors, phase, *data, **options):
        for name, tensor in tensors.items():
            for place in self._places[name]:
                setattr(*place, tensor)
        if phase is None:
            del options["epoch"]
            return {"loss": self.module.held_out_loss(*data, **options)}
        terms = self.module.losses(phase, *data, **options)
        scale = self.module.gradient_scale(phase)
        return terms | {"": terms["loss"] if scale is None else terms["loss"] * scale}


class _Program:
    """Computes terms and gradients of a phase, for networks and batches of one size.

    The first call finds out what random numbers the losses draw, and writes down all
    that it computes. What runs then are the products and sums of forward and backward
    pass one after the other, without autograd, `vmap` and modules.
    """

    def __init__(self, template, phase, trained):
        self._template = template
        self._phase = phase
        self._trained = trained
        self._draws = None
        self._written = None

    def __call__(self, generators, tensors, X, y, epoch):
        device = self._template.device
        epoch = torch.tensor(float(epoch), device=device)
        if self._draws is None:
            self._draws = self._draws_for(tensors, X, y, epoch)
        drawn = [
            torch.stack([draw(generator) for generator in generators]).to(device)
            for draw in self._draws
        ]
        data = X, y, drawn, epoch
        inputs = [*tensors.values(), *filter(torch.is_tensor, tree_leaves(data))]
        if self._written is not None:
            terms, gradients = self._written(*inputs)
        else:
            with _Writer(inputs) as writer:
                terms, gradients = self._terms_and_gradients(tensors, *data)
            self._written = writer.written((terms, gradients))
        return terms, gradients

    def _draws_for(self, tensors, X, y, epoch):
        """Return functions that draw from a generator, in the order of their calls.

        Losses that differ from call to call, since something beside tensors has
        changed, can't be written down.
        """
        y = None if y is None else y[0]
        runs = []
        for _ in range(2):
            recorder = Recorder(self._template.device)  # of the same seed
            first = {name: tensor[0].clone() for name, tensor in tensors.items()}
            options = {"noise": recorder, "epoch": epoch}
            terms = self._template.losses(first, self._phase, X[0], y, **options)
            runs.append(torch.stack(list(terms.values())).double())
        if not torch.allclose(*runs, equal_nan=True):
            raise RuntimeError("The losses have a state that is no tensor.")
        return recorder.draws

    def _terms_and_gradients(self, tensors, X, y, drawn, epoch):
        def losses(tensors, X, y, drawn):
            noise = Drawn(drawn, self._template.device)
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


class _Writer(TorchDispatchMode):
    """Writes down each operation on tensors, also those of a backward pass.

    Parameters
    ----------
    inputs : list of Tensor
        What the function that is written gets in their place.
    """

    def __init__(self, inputs):
        super().__init__()
        self._graph = fx.Graph()
        self._nodes = {}
        self._met = []  # keeps ids from being given again
        self._constants = {}
        for number, tensor in enumerate(inputs):
            self._note(tensor, self._graph.placeholder(f"input_{number}"))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        node = self._graph.call_function(func, *self._as_nodes((args, kwargs)))
        if isinstance(result, Tensor):
            self._note(result, node)
        elif isinstance(result, tuple | list):
            for i, part in enumerate(result):
                part_of = self._graph.call_function(operator.getitem, (node, i))
                self._note(part, part_of)
        return result

    def written(self, results):
        """Return a function that does all this again and gives the same results."""
        self._graph.output(self._as_nodes(results))
        self._graph.eliminate_dead_code()
        return fx.GraphModule(self._constants, self._graph)

    def _as_nodes(self, values):
        return tree_map_only(Tensor, self._node_of, values)

    def _node_of(self, tensor):
        if id(tensor) not in self._nodes:
            name = f"constant_{len(self._constants)}"
            self._constants[name] = tensor
            self._note(tensor, self._graph.get_attr(name))
        return self._nodes[id(tensor)]

    def _note(self, tensor, node):
        self._met.append(tensor)
        self._nodes[id(tensor)] = node


class Recorder(Noise):
    """Notes which functions draw."""

    def __init__(self, device):
        super().__init__(torch.Generator(device))
        self.draws = []

    def draw(self, function):
        self.draws.append(function)
        return super().draw(function)


class Drawn(Noise):
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
        return _product(X, weight.mT).add_(bias.unsqueeze(1))

    @staticmethod
    def backward(ctx, gradient):
        X, weight = ctx.saved_tensors
        of_X, of_weight, of_bias = None, None, None
        if ctx.needs_input_grad[0]:
            of_X = _product(gradient, weight)
        if ctx.needs_input_grad[1]:
            of_weight, of_bias = _product(gradient.mT, X), gradient.sum(1)
        return of_X, of_weight, of_bias


def _product(A, B):
    """Multiply stacked matrices; BLAS is slow where the result has few columns."""
    if B.shape[-1] < min(_FEW_COLUMNS, A.shape[-2]):
        return torch.bmm(B.mT, A.mT).mT.contiguous()
    return torch.bmm(A, B)


def tensors_of(module):
    """Map names to parameters and buffers."""
    return dict([*module.named_parameters(), *module.named_buffers()])


def names_of(module, optimizer):
    """Name the parameters that an optimizer steps."""
    names = {id(tensor): name for name, tensor in module.named_parameters()}
    (group,) = optimizer.param_groups
    return [names[id(parameter)] for parameter in group["params"]]

"""What estimators compute, as graphs of ONNX."""

import io
import logging
import warnings
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version

import torch
from torch import nn

_TORCH = 2, 13  # whose exporter knows all of the networks


class Graph(nn.Module):
    """A function of samples, with the modules whose weights it uses.

    Parameters
    ----------
    function : callable
        Takes tensors of shape (n_samples, ...), returns one.
    modules : sequence of nn.Module
    """

    def __init__(self, function, modules=()):
        super().__init__()
        self.function = function
        self.used = nn.ModuleList(modules)

    def forward(self, *X):
        return self.function(*X).to(torch.float32)


def exported(graph, shapes, opset):
    """Turn a graph into a model of ONNX whose number of samples is free.

    Parameters
    ----------
    graph : Graph
    shapes : list of tuple
        Of one sample, for each input.
    opset : int
        Version of ONNX.

    Returns
    -------
    model : onnx.ModelProto
        Inputs "X0", "X1" and so on, and one output, of single precision.
    """
    samples = tuple(torch.zeros(3, *shape) for shape in shapes)
    free = {0: torch.export.Dim("n_samples")}
    with _quiet():
        program = torch.onnx.export(
            graph.eval(),
            samples,
            input_names=[f"X{i}" for i in range(len(shapes))],
            output_names=["output"],
            dynamic_shapes=[(free,) * len(shapes)],
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    model = program.model_proto
    if not model.graph.output[0].type.tensor_type.shape.dim[0].dim_param:
        raise ValueError(
            "A part of the networks, perhaps of an `architecture` of your own, takes "
            "the number of samples for a constant. Write X.shape[0] for len(X)."
            f"{doubt_of_torch()}"
        )
    return model


def doubt_of_torch():
    """Tell that an old torch may be why a network has no graph, "" for a new one."""
    found = version("torch")
    if tuple(map(int, found.split(".")[:2])) >= _TORCH:
        return ""
    needed = ".".join(map(str, _TORCH))
    return f" Perhaps torch {found} is too old for it: to_onnx was made for {needed}."


@contextmanager
def _quiet():
    """Hold back what the exporter says of its own working."""
    disabled = logging.root.manager.disable
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable()
        try:
            yield
        finally:
            logging.disable(disabled)


def columns_of(net, names):
    """Return a function that gives layers of samples, flat and side by side."""
    layers = net.layers(names)
    return lambda X: torch.cat([part.flatten(1) for part in layers(X).values()], 1)


def decoded_by_class(module, shares):
    """Return a function that decodes codes, averaged over the classes."""

    def decode(Z):
        return sum(
            share * module.decode(torch.cat([Z, _one_hot(Z, number, len(shares))], 1))
            for number, share in enumerate(shares)
        )

    return decode


def scored_by_class(module, shares):
    """Return a function that gives the log-likelihood over all classes."""

    def score(X):
        numbers = X.new_zeros(X.shape[0], dtype=torch.long)
        by_class = torch.stack(
            [module.log_likelihood(X, numbers + i) for i in range(len(shares))]
        )
        weights = torch.tensor(shares, dtype=torch.float64)[:, None]
        if not module.likelihood.is_density:
            return (weights * by_class).sum(0)
        return (weights.log() + by_class).logsumexp(0)

    return score


def _one_hot(Z, number, n_classes):
    one_hot = torch.eye(n_classes, dtype=Z.dtype)[number]
    return one_hot.expand(Z.shape[0], n_classes)  # len(Z) would be a constant


def measured(net, reconstruct, bound, codes):
    """Return a function that gives log error, score and distance of samples.

    These are what `skvae.outlier` measures: `codes` are the location and the precision
    of those of the training data. There is no score without a `bound`.
    """
    has_gaps = net.module_.has_gaps
    location, precision = (torch.from_numpy(part).double() for part in codes)

    def measure(X):
        samples = net.as_samples(X.flatten(1))
        errors = (samples - reconstruct(samples)).flatten(1).double().square()
        error = errors.nanmean(1) if has_gaps else errors.mean(1)
        mu = net.module_.encode(samples)["mu"].double() - location
        distance = ((mu @ precision) * mu).sum(1) / 2
        tiny = torch.finfo(torch.float64).tiny
        score = None if bound is None else bound(samples)
        return error.clamp(min=tiny).log(), score, distance

    return measure


def mean_score(measures, criterion, center, scale, offset):
    """Return a function that does what `score_samples` of the detector does."""

    def score(error, bound, distance):
        if criterion == "reconstruction":
            return -error
        if criterion == "elbo":
            return bound
        if criterion == "prior":
            return -distance
        unusual = (error - float(center[0])) / float(scale[0])
        far = ((distance - float(center[2])) / float(scale[2])).clamp(min=0)
        return -torch.sqrt(unusual.square() + far.square())

    def mean(*X):
        scores = [
            score(*measure(each)) for measure, each in zip(measures, X, strict=True)
        ]
        return torch.stack(scores).mean(0) - offset

    return mean


def squashed(center, scale, bound):
    """Return a function that does what `SquashingScaler.transform` does."""
    center, scale = (torch.from_numpy(part) for part in (center, scale))

    def squash(X):
        unit = (X - center) / scale
        return unit / torch.sqrt(1 + (unit / bound).square())

    return squash


def cut_into_bits(columns, shift, axes):
    """Return a function that does what `SemanticHasher.transform` does with codes."""
    shift, axes = (torch.from_numpy(part) for part in (shift, axes))
    return lambda X: ((columns(X).double() - shift) @ axes > 0).to(torch.float32)

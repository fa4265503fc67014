"""From a plan to a trained net."""

import copy
import warnings

import numpy as np
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from .. import nn
from .._cache import CacheWarning, remember
from .._random import child_seed
from .._trees import pack, unpack
from .._validation import check_layers, location_and_spread
from .build import build_module, lent_globals
from .crew import current_crew
from .net import Net
from .rows import as_tensor
from .stopping import EarlyStopping

_ENOUGH_FOR_PCA = 20_000  # samples


def trained(plan, folder, observers):
    """Train as planned, or take what the same training gave before.

    Parameters
    ----------
    plan : Plan
    folder : Path or None
        Where trained networks are kept.
    observers : callable
        Takes the rows that are trained on, returns those who look on.

    Returns
    -------
    net : Net
    """
    crew, nets = current_crew(), []
    if crew is None:
        return _kept(plan, folder, observers)

    def make():
        nets.append(_kept(plan, folder, observers))
        crew.go_on()
        return nets[0].get_state()

    state = crew.once(plan.key, make)
    return nets[0] if nets else _again(plan, state)


def restored(recipe, state, callbacks=None):
    """Make a net in the state of another."""
    shift, spread = state["module"]["shift"], float(state["module"]["spread"])
    return _built(recipe, state["seed"], shift, spread, callbacks).set_state(state)


def _kept(plan, folder, observers):
    """Train, or take from a folder what the same training gave before."""
    return remember(
        folder,
        plan.key,
        lambda: _train(plan, observers),
        pack=_packed,
        unpack=lambda kept: _again(plan, unpack(kept)),
    )


def _again(plan, state):
    """Make a net of what the same training gave before."""
    net = restored(plan.recipe, state)
    check_layers(plan.layers, net.layer_names)
    return net


def _train(plan, observers):
    index, held_out = plan.hold_out()
    if plan.earlier is None:
        net = _new(plan, index)
    else:
        net = restored(plan.recipe, plan.earlier.get_state(), plan.callbacks)
        net.resume_callbacks(plan.earlier)
    check_layers(plan.layers, net.layer_names)
    stopping = None if plan.stopping is None else EarlyStopping(*plan.stopping)
    batch_size = min(plan.recipe.batch_size, len(index))
    with net.observed_by(observers(index)), net.threads(batch_size):
        return net.train(
            plan.rows,
            index,
            plan.numbers,
            epochs=plan.n_epochs,
            held_out=held_out,
            stopping=stopping,
            metrics=plan.metrics,
            weights=plan.relative_weights,
        )


def _new(plan, index):
    """Build a net for the scale of the samples that it is trained on."""
    shift, spread = np.zeros(plan.rows.shape[-1]), 1.0
    if plan.recipe.standardizes:
        unscaled = plan.recipe.arguments["likelihood"].unscaled
        weights = plan.relative_weights(index)
        shift, spread = location_and_spread(plan.targets, index, unscaled, weights)
    shift = shift.reshape(plan.recipe.sample_shape)
    net = _built(plan.recipe, plan.seed, shift, spread, plan.callbacks)
    if getattr(plan.recipe.architecture, "begins_as_pca", False):
        _begin_as_pca(net, plan.targets, index)
    return net


def _begin_as_pca(net, rows, index):
    """Set the networks to the principal axes of what is to be reconstructed."""
    module = net.module_
    if len(index) > _ENOUGH_FOR_PCA:
        index = index[np.linspace(0, len(index) - 1, _ENOUGH_FOR_PCA).astype(int)]
    device = module.shift.device
    samples = net.as_samples(as_tensor(rows[index])).to(device)
    X = module.standardized(samples).flatten(1).cpu().numpy().astype(np.float64)
    mean = np.nanmean(X, axis=0)
    X = np.where(np.isnan(X), 0, X - mean)
    n_axes = min(module.n_components, *X.shape)
    with threadpool_limits(1), np.errstate(invalid="ignore"):  # of constant data
        pca = PCA(n_axes, random_state=net.seed % 2**32).fit(X)
    codes = pca.transform(X)
    residuals = np.square(X - pca.inverse_transform(codes)).mean(axis=0)
    parts = mean, pca.components_, codes.var(axis=0), residuals
    tensors = (as_tensor(part.astype(np.float32)).to(device) for part in parts)
    module.begin_as_pca(*tensors)


def _built(recipe, seed, shift, spread, callbacks):
    recipe = copy.deepcopy(recipe)  # modules are trained, architectures may keep them
    if recipe.device.startswith("mps"):  # which has no double precision
        shift = shift.astype(np.float32)
    by_name = isinstance(recipe.module, str)
    with lent_globals(child_seed(seed, 0)):
        module = build_module(
            getattr(nn, recipe.module) if by_name else recipe.module,
            recipe.architecture,
            shift=shift,
            spread=spread,
            **recipe.arguments,
        )
    net = Net(
        module,
        seed=seed,
        architecture=recipe.architecture,
        lr=recipe.learning_rate,
        rates=recipe.rates,
        weight_decay=recipe.weight_decay,
        batch_size=recipe.batch_size,
        precision=recipe.precision,
        device=recipe.device,
        callbacks=callbacks,
    )
    return net.initialize()


def _packed(net):
    """Turn a net into arrays to keep, unless its training was cut off."""
    if net.interrupted_:
        return None
    try:
        return pack(net.get_state())
    except TypeError as error:
        warnings.warn(
            f"`memory` keeps no network whose callbacks write this to the history: "
            f"{error} Write numbers, text or arrays.",
            CacheWarning,
            stacklevel=9,
        )
        return None

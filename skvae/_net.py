"""The engine: one training step for all models, and inference in batches.

An estimator owns a `Net`; it never is one.
"""

import math
import operator
import threading
import time
import warnings
from contextlib import contextmanager, nullcontext
from functools import partial, wraps
from itertools import islice

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNet
from skorch.dataset import Dataset
from skorch.history import History
from skorch.utils import data_from_dataset, is_skorch_dataset
from torch.nn import functional
from torch.utils.data import Subset

from ._callbacks import copies_of, explaining, wants_predictions, watches_batches
from ._crew import current_crew
from ._random import child_seed, row_noise
from ._stacked import Training, can_stack
from ._threads import threads_for
from ._validation import to_numpy
from .nn import Noise, layer_function, layer_shapes, multiply_adds

_VALIDATION = 2**32 - 1  # no epoch has this number


def in_single_precision(method):
    """Run a method of a net as if it were called outside of ``torch.autocast``."""

    @wraps(method)
    def run(net, *args, **kwargs):
        with torch.autocast(torch.device(net.device).type, enabled=False):
            return method(net, *args, **kwargs)

    return run


class Net(NeuralNet):
    """Train a module phase by phase on data that stay in memory.

    Parameters
    ----------
    module : torch.nn.Module
        Answers ``phases()`` and ``losses(phase, X, y, noise=..., epoch=...)``.
    seed : int
        Source of all randomness. Every epoch has its own generator, seeded by `seed`
        and the number of the epoch, so training can be resumed anywhere.
    architecture : object
        What built the networks. If its `self_contained` is not true, the networks get
        copies of the data, and in each epoch PyTorch's global random state, which is
        put back.
    rates : dict of str to float
        Learning rates of phases that differ from `lr`.
    weight_decay : float
        Share of the weights, times the learning rate, that each step takes away.
    callbacks : list of skorch callbacks or None
        The net works with copies of them, its `callbacks_`.
    **kwargs
        Arguments of `skorch.NeuralNet`: lr, batch_size, device.
    """

    def __init__(
        self,
        module,
        *,
        seed,
        architecture,
        rates=None,
        weight_decay=0.0,
        callbacks=None,
        **kwargs,
    ):
        self.seed = seed
        self.weight_decay = weight_decay
        self.given_callbacks = list(callbacks or [])
        self.observers = ()
        self.rates = rates or {}
        self.self_contained = getattr(architecture, "self_contained", False)
        shape = tuple(module.shift.shape)
        plan = getattr(architecture, "inference_batch", inference_batch)
        self.inference_batch_size, self.row_multiple = plan(shape)
        self.layer_names = _layer_names(module, shape)
        self.multiply_adds = multiply_adds(
            module, torch.zeros(2, *shape, dtype=torch.float32)
        )
        super().__init__(
            module,
            criterion=torch.nn.Identity,
            train_split=None,
            callbacks=copies_of(self.given_callbacks),
            use_caching=False,  # callbacks that score ask the net to predict
            **kwargs,
        )

    @property
    def _default_callbacks(self):
        return []

    def initialize_optimizer(self, triggered_directly=None):
        """Make one Adam per phase; `optimizer_`, known to callbacks, is the first."""
        fused = torch.device(self.device).type in ("cpu", "cuda")
        self.optimizers_ = {
            phase: torch.optim.Adam(
                _parameters_of(modules),
                lr=self._rate(phase),
                betas=(self.module_.momentum(phase), 0.999),
                fused=fused,
            )
            for phase, modules in self.module_.phases().items()
        }
        self.optimizer_ = next(iter(self.optimizers_.values()))
        return self

    def _get_module(self, name, msg):
        """Return what checkpoints save and load under a name."""
        if name == "optimizer_" and len(self.optimizers_) > 1:
            return Optimizers(self.optimizers_)
        return super()._get_module(name, msg)

    def set_params(self, **kwargs):
        """Set parameters of the net, but not those of the networks."""
        for name in kwargs:
            if name.startswith("module"):
                raise ValueError(
                    f"InputShapeSetter, or another callback, sets {name!r}, but "
                    "`architecture` builds the networks for the shape of X. Leave that "
                    "callback out."
                )
        return super().set_params(**kwargs)

    def resume_callbacks(self, net):
        """Let callbacks go on as those of an earlier net, if they are the same."""
        given, earlier = self.given_callbacks, net.given_callbacks
        if len(given) == len(earlier) and all(map(operator.is_, given, earlier)):
            for (_, new), (_, old) in zip(self.callbacks_, net.callbacks_, strict=True):
                vars(new).update(vars(old))

    @contextmanager
    def observed_by(self, observers):
        """Tell further callbacks, after those of the user, of what happens within."""
        self.observers = observers
        try:
            yield
        finally:
            for observer in observers:
                observer.close()
            self.observers = ()

    def __getstate__(self):
        return super().__getstate__() | {"observers": ()}  # bars, and open contexts

    def notify(self, method_name, **cb_kwargs):
        """Call a method of the net, of the callbacks and of the observers."""
        getattr(self, method_name)(self, **cb_kwargs)
        for _, callback in self.callbacks_:
            with explaining(callback, self.history):
                getattr(callback, method_name)(self, **cb_kwargs)
        for observer in self.observers:
            getattr(observer, method_name)(self, **cb_kwargs)

    @torch.inference_mode(False)
    @torch.enable_grad()
    @in_single_precision
    def train(
        self,
        rows,
        index,
        y=None,
        *,
        epochs,
        own_rows=None,
        X_val=None,
        y_val=None,
        stopping=None,
    ):
        """Train for at most `epochs` epochs.

        Parameters
        ----------
        rows : ndarray or Tensor of shape (n_samples, n_features)
        index : ndarray of shape (n_train,)
            Rows to train on.
        y : ndarray of shape (n_samples,) or None
        epochs : int
        own_rows : dict of str to ndarray, default=None
            Rows of phases that train on some rows only, over and over, as many in each
            step as the other phases.
        X_val : ndarray of shape (n_validation, n_features) or None
        y_val : ndarray of shape (n_validation,) or None
        stopping : EarlyStopping or None

        Returns
        -------
        self : Net
        """
        X = self._resident(self.as_samples(rows))
        y = None if y is None else self._resident(y)
        target = _target(X, y)
        datasets = {"dataset_train": _dataset(X, target, index), "dataset_valid": None}
        index = {None: index, **(own_rows or {})}  # None: of all other phases
        index = {phase: torch.from_numpy(part) for phase, part in index.items()}
        held_out = None
        if X_val is not None:
            X_val = as_tensor(self.as_samples(X_val))
            held_out = X_val, None if y_val is None else as_tensor(y_val)
            datasets["dataset_valid"] = Dataset(X_val, _target(*held_out))
        crew = current_crew()
        if crew is not None and can_stack(self):
            training = Training(self, X, y, index, held_out, epochs, stopping)
            crew.train(training)
            if training.error is not None:
                raise training.error
            if training.is_done:
                return self
        weights = list(self.module_.state_dict().values())
        last_epoch = Snapshot()
        rates = self._learning_rates()
        self.interrupted_ = False
        self.max_epochs = epochs
        self.notify("on_train_begin", X=X, y=target)
        if self.history:  # a schedule made anew takes the step again that it took last
            self._set_learning_rates(rates)
            if stopping is not None:
                stopping.reached(self._validation_loss(*held_out), weights)
        for _ in range(epochs):
            try:
                self.notify("on_epoch_begin", **datasets)
                self._run_epoch(X, y, index, held_out)
            except KeyboardInterrupt:
                if not last_epoch.taken:
                    raise
                self.interrupted_ = True
                self._fall_back(last_epoch)
                break
            try:
                self.notify("on_epoch_end", **datasets)
            except KeyboardInterrupt:  # how skorch's callbacks stop a training
                self.interrupted_ = True
                break
            try:
                last_epoch.take(self._tensors())
                if stopping is not None:
                    loss = self.history[-1]["valid_loss"]
                    if stopping.reached(loss, weights):
                        break
            except KeyboardInterrupt:
                self.interrupted_ = True
                stopping = None  # whose copy of the best weights may be half made
                self._warn_of_interruption(len(self.history))
                break
        if stopping is not None:
            stopping.restore_best(weights)
        self.notify("on_train_end", X=X, y=target)
        self.module_.eval()
        return self

    def threads(self, batch_size):
        """Choose torch's threads for passes of so many samples, on a CPU."""
        if torch.device(self.device).type != "cpu":
            return nullcontext()
        return threads_for(batch_size * self.multiply_adds)

    def _resident(self, data):
        """Move data to the device for good if they take less than half of its room."""
        tensor = as_tensor(data)
        if torch.device(self.device).type != "cuda":
            return tensor
        free, _ = torch.cuda.mem_get_info(self.device)
        return tensor.to(self.device) if 2 * tensor.nbytes < free else tensor

    def _run_epoch(self, X, y, index, held_out):
        started = time.perf_counter()
        epoch = len(self.history)
        seed = child_seed(self.seed, epoch)
        generator = torch.Generator(self.device).manual_seed(seed)
        self.module_.train()
        batches = self._batches(index, generator, X.device)
        rng = nullcontext() if self.self_contained else lent_globals(seed, self.device)
        with rng:
            means = self._run_batches(X, y, batches, Noise(generator), epoch)
        for name, value in means.items():
            self._record("train_loss" if name == "loss" else name, value)
        if held_out is not None:
            loss = self._validation_loss(*held_out, watched=bool(self.callbacks_))
            self._record("valid_loss", loss)
        self.history.record("dur", time.perf_counter() - started)

    def _batches(self, index, generator, device):
        """Shuffle rows into batches: for each step, which rows each phase takes."""
        order = _shuffled(index[None], len(index[None]), generator)
        batches = list(order.to(device).split(self.batch_size))
        if not self.self_contained and len(batches) > 1 and len(batches[-1]) == 1:
            batches[-2:] = [torch.cat(batches[-2:])]  # for batch normalization
        sizes = [len(rows) for rows in batches]
        own = {
            phase: _shuffled(rows, sum(sizes), generator).to(device).split(sizes)
            for phase, rows in index.items()
            if phase is not None
        }
        return [
            {None: rows, **{phase: parts[i] for phase, parts in own.items()}}
            for i, rows in enumerate(batches)
        ]

    def _run_batches(self, X, y, batches, noise, epoch):
        """Take a step per batch; return the mean of each term over the samples."""
        watched = any(watches_batches(callback) for _, callback in self.callbacks_)
        step = self._watched_step if watched else self._step
        table = None
        for i, batch in enumerate(batches):
            data = {k: (self._fetch(X, r), self._fetch(y, r)) for k, r in batch.items()}
            terms = step(data, noise=noise, epoch=epoch)
            if table is None:  # one block: small ones would fragment the heap
                shape = len(batches), len(terms)
                table = torch.empty(shape, dtype=torch.float32, device=self.device)
            torch.stack(list(terms.values()), out=table[i])
        sizes = [len(batch[None]) for batch in batches]
        values = table.double().cpu().numpy()
        if self.callbacks_ and not watched:
            losses = values[:, list(terms).index("loss")].tolist()
            for loss, size in zip(losses, sizes, strict=True):
                self.history.new_batch()
                self._record_batch("train", loss, size)
        means = np.average(values, axis=0, weights=sizes)
        return dict(zip(terms, means.tolist(), strict=True))

    def _fetch(self, tensor, rows):
        if tensor is None:
            return None
        batch = tensor.index_select(0, rows.to(tensor.device))
        return self._move(batch, non_blocking=True)

    def _step(self, data, on_gradient=None, **kwargs):
        """Update the submodules of each phase; return all terms, losses added up."""
        self._follow_schedule()
        log = {}
        for phase, optimizer in self.optimizers_.items():
            X, y = data.get(phase, data[None])
            terms = self.module_.losses(phase, X, y, **kwargs)
            trained = _trained_by(optimizer)
            if trained:  # not all frozen; of what others train no gradient is computed
                scale = self.module_.gradient_scale(phase)
                terms["loss"].backward(scale, inputs=trained)
                if on_gradient is not None:
                    on_gradient()
                if self.weight_decay:
                    self._decay(trained, optimizer.param_groups[0]["lr"])
                optimizer.step()
                for parameter in trained:  # faster than zero_grad
                    parameter.grad = None
            terms = {name: value.detach() for name, value in terms.items()}
            if "loss" in log:
                terms["loss"] = log["loss"] + terms["loss"]
            log |= terms
        return log

    @torch.no_grad()
    def _decay(self, parameters, rate):
        """Pull weights towards zero, as AdamW does.

        That of PyTorch would need a group of parameters that don't decay, hence a
        second kernel in each step, and a state that changes with `weight_decay`.
        """
        spared = set(map(id, self.module_.likelihood.parameters()))
        for parameter in parameters:
            if parameter.dim() > 1 and id(parameter) not in spared:
                parameter.mul_(1 - rate * self.weight_decay)

    def _follow_schedule(self):
        """Scale the rates of all phases as a callback scaled that of the first."""
        rate = self.optimizer_.param_groups[0]["lr"]
        for phase, optimizer in self.optimizers_.items():
            if optimizer is not self.optimizer_:
                optimizer.param_groups[0]["lr"] = self._rate(phase) * (rate / self.lr)

    def _rate(self, phase):
        return self.rates.get(phase, self.lr)

    def _watched_step(self, data, **kwargs):
        """Take a step before the eyes of skorch's callbacks."""
        X, y = data[None]
        batch = X, _target(X, y)

        def on_gradient():
            self.notify(
                "on_grad_computed",
                named_parameters=list(self.module_.named_parameters()),
                batch=batch,
                training=True,
            )

        self.notify("on_batch_begin", batch=batch, training=True)
        self.module_.train()  # callbacks may have predicted
        log = self._step(data, on_gradient, **kwargs)
        self._end_batch(batch, log["loss"], training=True)
        return log

    def _end_batch(self, batch, loss, *, training):
        """Record a batch, and show it to the callbacks."""
        X, _ = batch
        self._record_batch("train" if training else "valid", loss.item(), len(X))
        y_pred = None
        if any(wants_predictions(callback) for _, callback in self.callbacks_):
            y_pred = self.evaluation_step(batch)
        self.notify(
            "on_batch_end", batch=batch, training=training, loss=loss, y_pred=y_pred
        )

    def _record_batch(self, kind, loss, size):
        self.history.record_batch(f"{kind}_loss", loss)
        self.history.record_batch(f"{kind}_batch_size", size)

    @torch.no_grad()
    def _validation_loss(self, X, y, *, watched=False):
        """Return the loss on held-out data, with the same noise in every epoch."""
        self.module_.eval()
        seed = child_seed(self.seed, _VALIDATION)
        noise = Noise(torch.Generator(self.device).manual_seed(seed))
        total = 0.0
        for start in range(0, len(X), self.batch_size):
            rows = slice(start, start + self.batch_size)
            samples = self._move(X[rows], copy=not self.self_contained)
            labels = None if y is None else self._move(y[rows])
            batch = samples, _target(samples, labels)
            if watched:
                self.notify("on_batch_begin", batch=batch, training=False)
            loss = self.module_.held_out_loss(samples, labels, noise=noise)
            if watched:
                self._end_batch(batch, loss, training=False)
            total += loss.item() * len(samples)
        return total / len(X)

    def forward_iter(self, X, training=False, device="cpu"):
        """Yield reconstructions, which are the predictions that callbacks score.

        skorch's own way makes a DataLoader, which draws from PyTorch's global random
        state.
        """
        samples = data_from_dataset(X)[0] if is_skorch_dataset(X) else X
        yield self.apply(self.module_, as_tensor(samples)).to(device)

    def _record(self, name, value):
        """Write a value of this epoch, and whether a loss is the best so far."""
        if not math.isfinite(value):
            raise ValueError(
                f"`{name}` became {value} in epoch {len(self.history)}. Scale the "
                "features (StandardScaler, MinMaxScaler) or lower `learning_rate` "
                f"(now {self.lr:g})."
            )
        self.history.record(name, value)
        if name.endswith("_loss") and name.split("_")[0] in ("train", "valid"):
            is_best = f"{name}_best"
            before = islice(reversed(self.history), 1, None)
            best = next((row[name] for row in before if row.get(is_best)), math.inf)
            self.history.record(is_best, value < best)

    def _tensors(self):
        """List all that training changes: weights and what the optimizers keep."""
        tensors = list(self.module_.state_dict().values())
        for optimizer in self.optimizers_.values():
            for state in optimizer.state.values():
                tensors += [v for v in state.values() if isinstance(v, torch.Tensor)]
        return tensors

    def _fall_back(self, last_epoch):
        epoch = len(self.history)
        del self.history[-1]
        last_epoch.restore(self._tensors())
        self._warn_of_interruption(epoch - 1)

    def _warn_of_interruption(self, last_epoch):
        warnings.warn(
            f"Training was interrupted in epoch {last_epoch + 1}: the model keeps the "
            f"weights of epoch {last_epoch}.",
            ConvergenceWarning,
            stacklevel=4,
        )

    def as_samples(self, rows):
        """Give flat rows the shape that the networks expect."""
        return rows.reshape(-1, *self.module_.shift.shape)

    def extract(self, rows, names):
        """Return the named layers of flat rows, as a dict of arrays."""
        module = self.module_
        wanted = set(names) - {"z"}
        noise = []
        if "z" in names:
            wanted |= set(module.code_sizes)
            noise = [row_noise(to_numpy(rows), self.seed, module.n_components)]

        if wanted <= set(module.code_sizes):
            run = partial(module.encode, names=wanted)
        else:
            run = layer_function(module, wanted)

        def layers(X, *noise):
            outputs = run(X)
            if noise:
                outputs["z"] = module.draw(outputs, *noise)
            return {name: outputs[name] for name in names}

        return self.apply_many(layers, self.as_samples(rows), *noise)

    def draw_codes(self, n_samples, y, seed):
        """Draw codes from the prior of the module, of given classes if any."""
        noise = Noise(torch.Generator().manual_seed(seed), self.device)
        y = None if y is None else as_tensor(y).to(self.device)
        return self.module_.prior.sample(n_samples, y, noise).cpu().numpy()

    def apply(self, function, *arrays, dtype="float32"):
        """Apply a function from tensors to one tensor, batch by batch."""
        outputs = self.apply_many(
            lambda *batch: {"": function(*batch)}, *arrays, dtype=dtype
        )
        return outputs[""]

    @torch.inference_mode()
    @in_single_precision
    def apply_many(self, function, *arrays, dtype="float32"):
        """Apply a function from tensors to a dict of tensors, batch by batch.

        Parameters
        ----------
        function : callable
            Takes a tensor per array; returns tensors with as many rows.
        *arrays : ndarray or Tensor of shape (n_samples, ...)
        dtype : {"float32", "float64"}
            Precision of the outputs.

        Returns
        -------
        outputs : dict of ndarray or Tensor of shape (n_samples, ...)
            Tensors, on the same device, if the first of `arrays` is one.
        """
        self.module_.eval()
        n_samples, size = len(arrays[0]), self.inference_batch_size
        outputs = {}
        with self.threads(self.row_multiple):  # the same, however many samples come
            for start in range(0, n_samples, size):
                stop = min(start + size, n_samples)
                batch = (self._batch(array[start:stop]) for array in arrays)
                for name, tensor in function(*batch).items():
                    if name not in outputs:
                        shape = (n_samples, *tensor.shape[1:])
                        outputs[name] = _empty_beside(arrays[0], shape, dtype)
                    outputs[name][start:stop] = tensor[: stop - start]
        if isinstance(arrays[0], torch.Tensor):
            return outputs
        return {name: values.numpy() for name, values in outputs.items()}

    def _batch(self, array):
        batch = as_tensor(array)
        missing = -len(batch) % self.row_multiple
        if missing:
            batch = functional.pad(batch, [0, 0] * (batch.dim() - 1) + [0, missing])
        return self._move(batch, copy=not self.self_contained)

    def _move(self, tensor, **kwargs):
        """Move a batch to the device; on MPS there is no double precision."""
        device = torch.device(self.device)
        if device.type == "mps" and tensor.dtype == torch.float64:
            tensor = tensor.float()
        return tensor.to(device, **kwargs)

    def _learning_rates(self):
        return [
            [group["lr"] for group in optimizer.param_groups]
            for optimizer in self.optimizers_.values()
        ]

    def _set_learning_rates(self, rates):
        for optimizer, values in zip(self.optimizers_.values(), rates, strict=True):
            for group, value in zip(optimizer.param_groups, values, strict=True):
                group["lr"] = value

    def get_state(self):
        """Return weights, optimizers and history as arrays and plain values."""
        return {
            "module": _to_numpy(self.module_.state_dict()),
            "optimizers": {
                phase: _to_numpy(optimizer.state_dict())
                for phase, optimizer in self.optimizers_.items()
            },
            "frozen": [
                name
                for name, parameter in self.module_.named_parameters()
                if not parameter.requires_grad
            ],
            "history": self.rows_of_history(),
            "seed": self.seed,
            "device": str(self.device),
            "lr": self.lr,
            "rates": self.rates,
        }

    def rows_of_history(self):
        """Return one dict of plain values per epoch."""
        return [
            {k: v for k, v in row.items() if k != "batches"} for row in self.history
        ]

    def set_state(self, state):
        """Take over what `get_state` gave, but no learning rate that was changed."""
        self.module_.load_state_dict(_to_torch(state["module"]))
        for name, parameter in self.module_.named_parameters():
            parameter.requires_grad_(name not in state["frozen"])
        for phase, optimizer in self.optimizers_.items():
            optimizer.load_state_dict(_to_torch(state["optimizers"][phase]))
            if self._rate(phase) != state["rates"].get(phase, state["lr"]):
                for group in optimizer.param_groups:
                    group["lr"] = self._rate(phase)
        # Checkpoint looks at the last batch of any epoch.
        self.history = History([{"batches": [{}], **row} for row in state["history"]])
        self.module_.eval()
        return self


class Optimizers:
    """The optimizers of all phases, to save and to load as one."""

    def __init__(self, optimizers):
        self._optimizers = optimizers

    def state_dict(self):
        return {name: part.state_dict() for name, part in self._optimizers.items()}

    def load_state_dict(self, states):
        for name, part in self._optimizers.items():
            part.load_state_dict(states[name])


class Snapshot:
    """A copy of tensors, refreshed in place; they may become more."""

    def __init__(self):
        self._copies = {}  # by the address of the original

    @property
    def taken(self):
        return bool(self._copies)

    @torch.no_grad()
    def take(self, tensors):
        for tensor in tensors:
            copy = self._copies.get(tensor.data_ptr())
            if copy is None or copy.shape != tensor.shape:
                self._copies[tensor.data_ptr()] = tensor.clone()
            else:
                copy.copy_(tensor)

    @torch.no_grad()
    def restore(self, tensors):
        for tensor in tensors:
            tensor.copy_(self._copies.get(tensor.data_ptr(), tensor))


class EarlyStopping:
    """Stop when the validation loss has not fallen by `tol` for some epochs."""

    def __init__(self, patience, tol):
        self.patience = patience
        self.tol = tol
        self._threshold = math.inf
        self._best_loss = math.inf
        self._n_waited = 0
        self._best = Snapshot()

    def reached(self, loss, weights):
        """Look at the validation loss of an epoch; return whether to stop after it."""
        if loss < self._best_loss:
            self._best_loss = loss
            self._best.take(weights)
        if loss < self._threshold - self.tol:
            self._threshold = loss
            self._n_waited = 0
        else:
            self._n_waited += 1
        return self._n_waited >= self.patience

    def restore_best(self, weights):
        if self._best.taken:
            self._best.restore(weights)


_lending = threading.RLock()


@contextmanager
def lent_globals(seed, device="cpu"):
    """Seed PyTorch's generators and set its precision, and put all back in the end."""
    device = torch.device(device)
    devices = [device] if device.type == "cuda" else []
    precision = torch.get_default_dtype()
    with _lending, torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(seed)
        for cuda in devices:
            with torch.cuda.device(cuda):
                torch.cuda.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(precision)


def inference_batch(sample_shape):
    """Return how many samples one forward pass takes outside of training.

    Products of few rows run on kernels of their own, and activations end in a scalar
    loop where a thread's share is no multiple of the vector length; both change the
    last bit. Batches are therefore padded, as long as that is cheap.

    Returns
    -------
    size : int
        128 at most, and fewer if their input alone would take more than 16 MiB.
    multiple : int
        What batches are padded to a multiple of: 64, and fewer for large samples.
    """
    n_values = math.prod(sample_shape)
    return max(1, min(128, 2**22 // n_values)), max(1, min(64, 2**18 // n_values))


@threads_for(0)  # passes of two samples
@torch.inference_mode(False)
def build_module(
    module, architecture, likelihood, n_components, shift, spread, **options
):
    """Build the networks for samples of the shape of `shift`, and join them.

    Parameters
    ----------
    module : type
        Such as `skvae.nn.AEModule`.
    architecture : object
        With `encoder` and `decoder`.
    likelihood : Likelihood
    n_components : int
    shift : ndarray of shape sample_shape
    spread : float
    **options
        Further arguments of `module`.

    Returns
    -------
    module : torch.nn.Module
    """
    sample_shape = shift.shape
    encoder = architecture.encoder(sample_shape).float()
    n_inputs = n_components
    if module.decodes_classes:
        n_inputs += len(options["class_prior"])
    decoder = architecture.decoder(n_inputs, sample_shape).float()
    n_hidden = _flat_width(encoder, sample_shape)
    note = f", the code{' and the class, one-hot' * module.decodes_classes}"
    shape = tuple(_try("decoder", decoder, "inputs", (n_inputs,), note).shape[1:])
    if shape != sample_shape:
        raise ValueError(
            f"The decoder of `architecture` must return samples of shape "
            f"{sample_shape}, got {shape} from inputs of shape ({n_inputs},)."
        )
    return module(
        encoder,
        decoder,
        likelihood,
        n_hidden=n_hidden,
        n_components=n_components,
        shift=torch.from_numpy(shift.copy()),
        spread=spread,
        **options,
    ).eval()


@torch.no_grad()
def _try(part, network, inputs, shape, note=""):
    """Run a part of an architecture on two inputs of zeros."""
    try:
        return network.eval()(torch.zeros(2, *shape, dtype=torch.float32))
    except (IndexError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"The {part} of `architecture` must take {inputs} of shape {shape}{note}: "
            f"{error}"
        ) from error


def _flat_width(encoder, sample_shape):
    hidden = _try("encoder", encoder, "samples", sample_shape)
    if not isinstance(hidden, torch.Tensor) or len(hidden) != 2:
        raise ValueError(
            "The encoder of `architecture` must return one tensor of shape "
            f"(n_samples, ...), got {type(hidden).__name__} from samples of shape "
            f"{sample_shape}. Wrap a module that returns a tuple in one of your own."
        )
    return hidden.flatten(1).shape[1]


def _layer_names(module, sample_shape):
    """Map every name that `layer` may take to the shape of one sample's output."""
    sizes = module.code_sizes | {"z": module.n_components}
    codes = {name: (size,) for name, size in sizes.items()}
    return codes | layer_shapes(
        module, torch.zeros(2, *sample_shape, dtype=torch.float32)
    )


def resolve_device(device):
    """Return the torch device for what the user asked."""
    if not isinstance(device, str | torch.device):
        raise TypeError(f"`device` must be a str or a torch.device, got {device!r}.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"`device`={device!r} is not available here ({error}). Take device='auto'."
        ) from error
    return torch.device(device)


def _target(X, y):
    """Return what callbacks compare predictions with: X, if no labels come in."""
    return X if y is None else y


def _dataset(X, y, index):
    """Show callbacks the samples of `index`, which are copied only on demand."""
    dataset = Dataset(X, y)
    return dataset if len(index) == len(X) else Subset(dataset, index)


def as_tensor(array):
    """Share memory with an array. The tensor must not be written to."""
    if isinstance(array, torch.Tensor):
        return array
    if array.flags.writeable:
        return torch.from_numpy(array)
    with warnings.catch_warnings():  # PyTorch knows no tensors that are read-only
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)


@torch.inference_mode(False)
def _empty_beside(data, shape, dtype):
    """Make room for results on the device of a tensor, else on the CPU."""
    device = data.device if isinstance(data, torch.Tensor) else "cpu"
    return torch.empty(shape, dtype=getattr(torch, dtype), device=device)


def _shuffled(rows, n_rows, generator):
    """Repeat rows in ever new orders until there are `n_rows` of them."""
    orders = [
        torch.randperm(len(rows), generator=generator, device=generator.device)
        for _ in range(math.ceil(n_rows / len(rows)))
    ]
    return rows[torch.cat(orders)[:n_rows].to(rows.device)]


def _trained_by(optimizer):
    (group,) = optimizer.param_groups
    return [parameter for parameter in group["params"] if parameter.requires_grad]


def _parameters_of(modules):
    return [parameter for module in modules for parameter in module.parameters()]


def _to_numpy(tree):
    return _map_leaves(
        tree, torch.Tensor, lambda tensor: tensor.detach().cpu().numpy().copy()
    )


def _to_torch(tree):
    return _map_leaves(tree, np.ndarray, lambda array: torch.from_numpy(array.copy()))


def _map_leaves(tree, kind, function):
    if isinstance(tree, kind):
        return function(tree)
    if isinstance(tree, dict):
        return {k: _map_leaves(v, kind, function) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_map_leaves(v, kind, function) for v in tree)
    return tree

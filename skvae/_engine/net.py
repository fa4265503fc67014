"""A net: a module, its optimizers, and one training step for all models.

An estimator owns a `Net`; it never is one.
"""

import math
import operator
import time
import warnings
from contextlib import contextmanager, nullcontext
from itertools import islice

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNet
from skorch.dataset import Dataset
from skorch.history import History
from skorch.utils import data_from_dataset, is_skorch_dataset

from .._blocks import BlockRows, Stream
from .._random import child_seed
from .._validation import to_numpy
from ..nn import Likelihood, Noise, layer_shapes, multiply_adds
from .build import inference_batch, lent_globals
from .callbacks import copies_of, explaining, wants_predictions, watches_batches
from .crew import current_crew
from .inference import Inference, in_single_precision
from .rows import as_tensor, dataset_of, shuffled, shuffled_in_blocks, target_of
from .stacked import Training, can_stack
from .state import Optimizers, to_arrays, to_tensors
from .stopping import Snapshot
from .threads import threads_for

_VALIDATION = 2**32 - 1  # no epoch has this number


class Net(Inference, NeuralNet):
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
    precision : str
        In which the networks multiply, in training. All else is of single precision.
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
        precision="float32",
        callbacks=None,
        **kwargs,
    ):
        self.seed = seed
        self.weight_decay = weight_decay
        self.given_callbacks = list(callbacks or [])
        self.observers = ()
        self.rates = rates or {}
        self.self_contained = getattr(architecture, "self_contained", False)
        self.precision = precision
        if precision != "float32":
            module.training_dtype = getattr(torch, precision)
        shape = tuple(module.shift.shape)
        plan = getattr(architecture, "inference_batch", inference_batch)
        self.inference_batch_size, self.row_multiple = plan(shape)
        samples = torch.zeros(2, *shape, dtype=torch.float32)
        self.layer_shapes = layer_shapes(module, samples)
        self.multiply_adds = multiply_adds(module, samples)
        super().__init__(
            module,
            criterion=torch.nn.Identity,
            train_split=None,
            callbacks=copies_of(self.given_callbacks),
            use_caching=False,  # callbacks that score ask the net to predict
            **kwargs,
        )

    @property
    def layer_names(self):
        """Map every name that `layer` may take to the shape of one sample's output."""
        sizes = self.module.code_sizes
        codes = {name: (size,) for name, size in (sizes | {"z": sizes["mu"]}).items()}
        return codes | self.layer_shapes | codes

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
        held_out=None,
        stopping=None,
        metrics=None,
        weights=None,
    ):
        """Train for at most `epochs` epochs.

        Parameters
        ----------
        rows : ndarray or Tensor of shape (n_samples, n_features)
        index : ndarray of shape (n_train,)
            Rows to train on.
        y : ndarray of shape (n_samples,) or None
        epochs : int
        held_out : tuple (rows, y or None, weights or None) or None
            What to validate on.
        stopping : EarlyStopping or None
        metrics : dict of str to callable, or None
            What else to measure on held-out samples, by name.
        weights : callable or None
            Takes rows and whether they are those of a phase that needs labels; returns
            what each counts, or None for all the same.

        Returns
        -------
        self : Net
        """
        X, on_disk = self.as_samples(rows), isinstance(rows, BlockRows)
        X = X if on_disk else self._resident(X)
        y = None if y is None else self._resident(y)
        target = target_of(X if on_disk else self.module_.wanted(X), y)
        datasets = {
            "dataset_train": dataset_of(X, target, index),
            "dataset_valid": None,
        }
        index = self._rows_of_phases(index, y)
        counts = self._counts_of_phases(index, weights, len(X))
        if held_out is not None:
            X_val, y_val, weights_val = held_out
            X_val = as_tensor(self.as_samples(X_val))
            y_val = None if y_val is None else as_tensor(y_val)
            if weights_val is not None:
                weights_val = as_tensor(weights_val).float()
            held_out = X_val, y_val, weights_val
            datasets["dataset_valid"] = Dataset(
                X_val, target_of(self.module_.wanted(X_val), held_out[1])
            )
        crew = current_crew()
        is_plain = not (metrics or counts or on_disk)
        if crew is not None and can_stack(self) and is_plain:
            held_out_pair = held_out and held_out[:2]
            training = Training(self, X, y, index, held_out_pair, epochs, stopping)
            crew.train(training)
            training.raise_error()
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
                self._run_epoch(X, y, index, counts, held_out, metrics or {})
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

    def _rows_of_phases(self, index, y):
        """Return the rows of phases that need labels and, under None, of the others.

        Those with labels come over and over, as many in each step as the others.
        """
        index = torch.from_numpy(index)
        labelled = self.module_.labelled_phases
        known = {phase: index[y.cpu()[index] >= 0] for phase in labelled}
        return {None: index, **known}

    def _counts_of_phases(self, index, weights, n_samples):
        """Map phases, as rows of them come, to what each sample counts there."""
        counts = {}
        for phase, rows in index.items():
            relative = weights and weights(rows.numpy(), phase is not None)
            if relative is not None:
                counts[phase] = torch.zeros(n_samples, dtype=torch.float32)
                counts[phase][rows] = as_tensor(relative).float()
        return counts

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

    def _run_epoch(self, X, y, index, counts, held_out, metrics):
        started = time.perf_counter()
        epoch = len(self.history)
        seed = child_seed(self.seed, epoch)
        generator = torch.Generator(self.device).manual_seed(seed)
        self.module_.train()
        batches = self._batches(X, index, generator)
        rng = nullcontext() if self.self_contained else lent_globals(seed, self.device)
        stream = nullcontext(X)
        if isinstance(X, BlockRows):
            order = torch.cat([batch[None] for batch in batches])
            stream = Stream(X, order.numpy(), self.batch_size)
        with rng, stream as in_order:
            data = {None: in_order}, X, y, counts
            means = self._run_batches(data, batches, Noise(generator), epoch)
        for name, value in means.items():
            self._record("train_loss" if name == "loss" else name, value)
        if held_out is not None:
            loss = self._validation_loss(*held_out, watched=bool(self.callbacks_))
            self._record("valid_loss", loss)
        if metrics:
            self._measure(*held_out, metrics)
        self.history.record("dur", time.perf_counter() - started)

    def _batches(self, X, index, generator):
        """Shuffle rows into batches: for each step, which rows each phase takes."""
        if isinstance(X, BlockRows):
            order, device = shuffled_in_blocks(X, index[None], generator), "cpu"
        else:
            order = shuffled(index[None], len(index[None]), generator)
            device = X.device
        batches = list(order.to(device).split(self.batch_size))
        if not self.self_contained and len(batches) > 1 and len(batches[-1]) == 1:
            batches[-2:] = [torch.cat(batches[-2:])]  # for batch normalization
        sizes = [len(rows) for rows in batches]
        own = {
            phase: shuffled(rows, sum(sizes), generator).to(device).split(sizes)
            for phase, rows in index.items()
            if phase is not None
        }
        return [
            {None: rows, **{phase: parts[i] for phase, parts in own.items()}}
            for i, rows in enumerate(batches)
        ]

    def _run_batches(self, data, batches, noise, epoch):
        """Take a step per batch; return the mean of each term over the samples."""
        in_order, X, y, counts = data
        watched = any(watches_batches(callback) for _, callback in self.callbacks_)
        step = self._watched_step if watched else self._step
        table = None
        for i, batch in enumerate(batches):
            parts = {
                phase: [
                    self._fetch(part, rows)
                    for part in (in_order.get(phase, X), y, counts.get(phase))
                ]
                for phase, rows in batch.items()
            }
            terms = step(parts, noise=noise, epoch=epoch)
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
        if isinstance(tensor, Stream):
            return self._move(as_tensor(tensor.take(len(rows))))
        if isinstance(tensor, BlockRows):
            return self._move(as_tensor(tensor[rows.cpu().numpy()]))
        batch = tensor.index_select(0, rows.to(tensor.device))
        return self._move(batch, non_blocking=True)

    def _step(self, data, on_gradient=None, **kwargs):
        """Update the submodules of each phase; return all terms, losses added up."""
        self._follow_schedule()
        log = {}
        for phase, optimizer in self.optimizers_.items():
            X, y, weight = data.get(phase, data[None])
            counts = {} if weight is None else {"weight": weight}
            terms = self.module_.losses(phase, X, y, **counts, **kwargs)
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
        parts = self.module_.modules()
        likelihoods = [part for part in parts if isinstance(part, Likelihood)]
        spared = set(map(id, _parameters_of(likelihoods)))
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
        X, y, _ = data[None]
        batch = X, target_of(self.module_.wanted(X), y)

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
    def _validation_loss(self, X, y, weights=None, *, watched=False):
        """Return the loss on held-out data, with the same noise in every epoch."""
        self.module_.eval()
        seed = child_seed(self.seed, _VALIDATION)
        noise = Noise(torch.Generator(self.device).manual_seed(seed))
        total = 0.0
        for start in range(0, len(X), self.batch_size):
            rows = slice(start, start + self.batch_size)
            samples = self._move(X[rows], copy=not self.self_contained)
            labels = None if y is None else self._move(y[rows])
            counts = {} if weights is None else {"weight": self._move(weights[rows])}
            batch = samples, target_of(self.module_.wanted(samples), labels)
            if watched:
                self.notify("on_batch_begin", batch=batch, training=False)
            loss = self.module_.held_out_loss(samples, labels, noise=noise, **counts)
            if watched:
                self._end_batch(batch, loss, training=False)
            total += loss.item() * len(samples)
        return total / len(X)

    def _measure(self, X, y, _, metrics):
        """Record what metrics say of held-out samples and their reconstructions."""
        data = [X] if y is None else [X, y]
        X_hat = self.apply(self.module_.reconstructed, *data)
        wanted = self.module_.wanted(X)
        X, X_hat = (to_numpy(part).reshape(len(X), -1) for part in (wanted, X_hat))
        for name, metric in metrics.items():
            self.history.record(f"valid_{name}", float(metric(X, X_hat)))

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
            "module": to_arrays(self.module_.state_dict()),
            "optimizers": self.optimizers_
            and {
                phase: to_arrays(optimizer.state_dict())
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
        """Take over what `get_state` gave, but no learning rate that was changed.

        Without a state of the optimizers there are none, and training can't go on.
        """
        self.module_.load_state_dict(to_tensors(state["module"]))
        for name, parameter in self.module_.named_parameters():
            parameter.requires_grad_(name not in state["frozen"])
        if state["optimizers"] is None:
            self.optimizers_ = self.optimizer_ = None
        for phase, optimizer in (self.optimizers_ or {}).items():
            optimizer.load_state_dict(to_tensors(state["optimizers"][phase]))
            if self._rate(phase) != state["rates"].get(phase, state["lr"]):
                for group in optimizer.param_groups:
                    group["lr"] = self._rate(phase)
        # Checkpoint looks at the last batch of any epoch.
        self.history = History([{"batches": [{}], **row} for row in state["history"]])
        self.module_.eval()
        return self


def _trained_by(optimizer):
    (group,) = optimizer.param_groups
    return [parameter for parameter in group["params"] if parameter.requires_grad]


def _parameters_of(modules):
    return [parameter for module in modules for parameter in module.parameters()]

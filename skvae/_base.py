"""The base class of all autoencoders."""

import math
import os
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from types import FunctionType

import numpy as np
from joblib import Memory
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
)

from ._engine.plan import Labels, Plan, Recipe
from ._fingerprint import fingerprint
from ._metrics import binarize, resolve_metrics
from ._mixin import EstimatorMixin
from ._random import draw_seed
from ._validation import (
    HasMethods,
    StrOptions,
    as_list,
    at_least,
    check_codes,
    check_feature_names_in,
    check_image_shape,
    check_layers,
    check_rows,
    check_support,
    check_weights,
    fit_context,
    fraction,
    in_memory,
    is_count,
    named_after,
    number_groups,
    positive,
    prefix_of,
    side_by_side,
    takes,
    to_numpy,
    warn_of_target,
)
from .architectures import ARCHITECTURES, resolve

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:
        """Stands in where scikit-learn has no callbacks yet."""


_leaves_out_optimizers = ContextVar("leaves_out_optimizers", default=False)
_GENEROUS = 32  # components, of which n_components="auto" keeps some
_AT_A_TIME = 8192  # samples of which a result is written in one step
_MUCH_WORSE = 1.05  # the error of a fit that learnt nothing is near 1


@contextmanager
def without_optimizers(is_so=True):
    """Leave the state of optimizers out of all states that are asked for within."""
    token = _leaves_out_optimizers.set(is_so)
    try:
        yield
    finally:
        _leaves_out_optimizers.reset(token)


def transforms_to_codes(estimator):
    """Tell whether `inverse_transform` can decode what `transform` returns."""
    layers = as_list(estimator.layer)
    if layers in (["mu"], ["z"]):
        return True
    if len(layers) == 1 and prefix_of(layers[0])[0] in ("mu", "z"):
        if estimator._is_ordered():
            return True
        raise AttributeError(
            f"inverse_transform decodes whole codes, but layer={estimator.layer!r} "
            "makes transform return prefixes, which only ordered=True can decode."
        )
    raise AttributeError(
        f"inverse_transform decodes codes, but layer={estimator.layer!r} makes "
        "transform return something else. Use set_params(layer='mu')."
    )


class BaseAutoencoder(
    EstimatorMixin, CallbackSupportMixin, TransformerMixin, BaseEstimator
):
    """Everything that autoencoders share: training, layers, decoding, persistence.

    A subclass names its torch module in `_module_name`, or gives the class, and names
    those of its parameters that the module takes in `_objective`. It defines
    `_draw_codes(n_samples, rng)`, which returns codes of shape (n_samples,
    n_components), float32.

    A subclass has the decorator `inherit_documentation`: its docstring describes what
    it adds, and the rest comes from here.

    Parameters
    ----------
    n_components : int or "auto", default=10
        Size of the code. A larger one keeps more detail. "auto" trains an ordered code
        of at most 32 components, holds out `validation_fraction` of the samples (or
        takes `X_val`), and keeps the first 2, 4, 8, 16 or all: the fewest whose
        `score_samples` on them is within one standard error of the best (Breiman et
        al. 1984). The score of a `VAE` charges for components that carry nothing;
        with others, more nearly always score better.
    ordered : bool, default=False
        Whether each prefix of the code is a code of its own, the most important
        component first, as with PCA (nested dropout; Rippel, Gelbart and Adams 2014,
        https://arxiv.org/abs/1402.0915). One fit then serves every number of
        components: ``layer="mu[:4]"`` and ``reconstruct(X, n_components=4)`` take four.
    architecture : {"mlp", "conv", "resnet"}, object or tuple, default="mlp"
        The networks: a name for the defaults of `MLP`, `Conv` or `ResNet`; such an
        object; any object with the methods ``encoder(sample_shape)`` and
        ``decoder(n_inputs, sample_shape)``; a pair (encoder, decoder) of
        ``torch.nn.Module``, or one that has both as parts, which are copied and trained
        from the weights they hold.
    image_shape : tuple of int, default=None
        Shape of one sample, such as (c, h, w) or (c, d, h, w), for a flat `X` whose
        axes the networks need. None takes the shape of `X`.
    likelihood : str or object, default="gaussian"
        How data are distributed around what the decoder says: "gaussian", "laplace",
        "bernoulli" (values in [0, 1]), "squared_error", or an object such as
        ``skvae.nn.Gaussian(scale=1.0)``; of tables with categories, `skvae.nn.Mixed`.
    corruption : float, object, callable or None, default=None
        What is done to the encoder's input in training, for the decoder to undo
        (denoising autoencoder; Vincent et al. 2008,
        https://doi.org/10.1145/1390156.1390294): a number adds Gaussian noise of so
        many times the spread of the data; an object such as ``skvae.nn.Masking(0.3)``,
        or a function ``corruption(X, rng)`` that returns a changed batch. It makes
        codes robust. Held-out samples and `transform` see no corruption.
    missing_values : {"error", "mask"}, default="error"
        What NaN in `X` means: an error, or a missing value. Those of "mask" are left
        out of the loss and of all scores. The encoder gets 0 in their place (the mean
        of the feature, where data are standardized), and beside the data which values
        there are (of images, as further channels). `reconstruct` fills them.
        ``corruption=skvae.nn.Masking()`` hides more values in training, which teaches
        the model to fill them; `skvae.impute.AutoencoderImputer` does that.
    layer : str or list of str, default="mu"
        What `transform` returns: "mu", "z" (where the code has no variance, the same)
        or any other key of `layer_names_`. "mu[:4]" is the first four values of a
        layer, along its first axis. It may be changed after `fit`.
    learning_rate : float, default=1e-3
        Step size of Adam. A larger one learns faster, until the loss diverges.
    weight_decay : float, default=0.0
        How strongly each step also pulls weights towards zero: by the share
        ``learning_rate * weight_decay`` (AdamW; Loshchilov and Hutter 2019,
        https://arxiv.org/abs/1711.05101). More of it keeps the networks simpler.
        Biases, gains of normalization and the parameters of the likelihood are left
        alone.
    batch_size : int, default=128
        Samples per training step.
    max_iter : int, default=100
        Number of epochs, or the most of them with `early_stopping`.
    early_stopping : bool, default=False
        Whether to stop when the loss on held-out samples stops falling, and to keep the
        weights of the best epoch. Those samples are `X_val` of `fit`, or a share of X.
    validation_fraction : float, default=0.1
        Share of the samples (or of their groups) held out for `early_stopping`.
    n_iter_no_change : int, default=10
        Epochs without an improvement of at least `tol` before training stops.
    tol : float, default=1e-4
        Improvement of the held-out loss that counts, in nats per sample.
    warm_start : bool, default=False
        Whether `fit` goes on from the last solution instead of starting anew.
    memory : str, path or joblib.Memory, default=None
        Folder where trained networks are kept (of a Memory, its location), so that a
        search over `layer` or over anything downstream trains each network once per
        fold. A fit found there runs no callbacks, and ``random_state=None`` then means
        the draw of the first time. A training that was cut off is not kept.
    callbacks : list of skorch callbacks, default=None
        Called during training, as in ``skorch.NeuralNet``. Those given stay as they
        are: `fit` runs copies of them, which are `callbacks_` afterwards.
    metrics : list of str or callable, default=None
        What else to measure on the held-out samples after each epoch: "accuracy" or
        "dice" of values at least 0.5, "mean_squared_error", or a function
        ``metric(X, X_hat)`` of rows and reconstructions. They are in `history_` as
        "valid_accuracy" and so on, and have no influence on the training.
    precision : {"float32", "bfloat16"}, default="float32"
        In which the networks multiply while they are trained. "bfloat16" is meant for
        processors that have it: GPUs since 2020, and CPUs with AMX or AVX512-BF16. On
        others it is much slower. Weights, losses, `transform` and scores are of single
        precision with both.
    device : str or torch.device, default="auto"
        "auto" takes a CUDA device if there is one, else "cpu".
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, batches and noise. The global states of NumPy and
        PyTorch are never read or written.
    verbose : int, default=0
        Whether to show a progress bar with the terms of the loss.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained networks.
    n_components_ : int
        Size of the code: `n_components`, or what "auto" has chosen.
    explained_variance_ratio_ : ndarray of shape (n_components,)
        Only of an ordered code: what share of the variance of the training data (of
        some 2 million values of them) each component adds to what those before it
        reconstruct. As with PCA, the sum is what all of them reconstruct.
    layer_names_ : dict of str to tuple of int
        Every valid name for `layer`, with the shape of its output for one sample.
    sample_shape_ : tuple of int
        Shape of one sample as the networks see it.
    n_iter_ : int
        Number of epochs trained.
    callbacks_ : list of tuple
        Name and callback of each that ran in the last training. Empty if the networks
        came from `memory` or from a pickle.
    history_ : list of dict
        Per epoch: "train_loss", its terms ("reconstruction_loss"), "valid_loss" if
        there are held-out samples, and the duration "dur" in seconds.
    loss_curve_ : list of float
        Training loss after each epoch, in nats per sample.
    n_features_in_ : int
        Number of values per sample.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of `X`, where it had any.
    """

    _parameter_constraints = {
        "n_components": [at_least(1, Integral), StrOptions({"auto"})],
        "ordered": ["boolean"],
        "architecture": [
            StrOptions(set(ARCHITECTURES)),
            HasMethods(["encoder", "decoder"]),
            tuple,
        ],
        "image_shape": ["array-like", None],
        "likelihood": [
            StrOptions({"bernoulli", "gaussian", "laplace", "squared_error"}),
            HasMethods(["build", "nll", "mean"]),
        ],
        "corruption": [
            at_least(0),
            HasMethods(["build", "forward"]),
            callable,
            None,
        ],
        "missing_values": [StrOptions({"error", "mask"})],
        "layer": [str, "array-like"],
        "learning_rate": [positive],
        "weight_decay": [at_least(0)],
        "batch_size": [at_least(1, Integral)],
        "max_iter": [at_least(1, Integral)],
        "early_stopping": ["boolean"],
        "validation_fraction": [fraction],
        "n_iter_no_change": [at_least(1, Integral)],
        "tol": [at_least(0)],
        "warm_start": ["boolean"],
        "memory": [str, os.PathLike, Memory, None],
        "callbacks": [list, None],
        "metrics": [list, None],
        "precision": [StrOptions({"bfloat16", "float32"})],
        "device": "no_validation",  # the engine does, which knows torch.device
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    __metadata_request__fit = {
        "X_target": True,
        "X_val": True,
        "X_val_target": True,
        "groups": True,
    }

    # Parameters that may be names or objects, whose parameters can be set.
    _examples = {
        "architecture": "MLP()",
        "likelihood": "Gaussian()",
        "corruption": "GaussianNoise()",
    }
    # Parameters that fix the shape of the networks.
    _structure = (
        "n_components",
        "ordered",
        "architecture",
        "image_shape",
        "likelihood",
        "missing_values",
    )
    _objective = ("corruption",)
    _standardizes_input = False  # whatever the likelihood
    _engine = ("learning_rate", "weight_decay", "batch_size", "precision")

    def __init__(
        self,
        n_components=10,
        *,
        ordered=False,
        architecture="mlp",
        image_shape=None,
        likelihood="gaussian",
        corruption=None,
        missing_values="error",
        layer="mu",
        learning_rate=1e-3,
        weight_decay=0.0,
        batch_size=128,
        max_iter=100,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        memory=None,
        callbacks=None,
        metrics=None,
        precision="float32",
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.ordered = ordered
        self.architecture = architecture
        self.image_shape = image_shape
        self.likelihood = likelihood
        self.corruption = corruption
        self.missing_values = missing_values
        self.layer = layer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.memory = memory
        self.callbacks = callbacks
        self.metrics = metrics
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __init_subclass__(cls, **kwargs):
        """Let errors name the class, not where its methods come from.

        Parameters
        ----------
        **kwargs
            Defaults that differ from those of the inherited constructor, as in
            ``class AAE(BaseAdversarial, adversarial_weight=0.25)``.
        """
        if "__init__" not in vars(cls) and isinstance(cls.__init__, FunctionType):
            own = named_after(cls, cls.__init__)
            for name in kwargs.keys() & own.__kwdefaults__.keys():
                own.__kwdefaults__[name] = kwargs.pop(name)
            cls.__init__ = own
        super().__init_subclass__(**kwargs)
        for name in ("fit", "partial_fit"):
            method, general = getattr(cls, name), getattr(BaseAutoencoder, name)
            inner = getattr(method, "__wrapped__", method)
            if getattr(inner, "__code__", None) is general.__wrapped__.__code__:
                own = named_after(cls, general.__wrapped__)
                setattr(cls, name, fit_context(prefer_skip_nested_validation=True)(own))

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y=None,
        *,
        sample_weight=None,
        X_target=None,
        X_val=None,
        X_val_target=None,
        groups=None,
    ):
        """Train the networks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            A table, or images or volumes in their own shape.
        y : None
            Ignored, with a warning if it looks like images to reconstruct.
        sample_weight : array-like of shape (n_samples,), default=None
            What each sample counts in the loss, and in the mean and the spread that the
            networks are told. A weight of 2 is a sample that is there twice; one of 0
            leaves it out. `X_val` has no weights. None gives all the same.
        X_target : array-like of the shape of X, default=None
            What to make of each sample, in place of the sample itself: clean images of
            noisy ones, say. Both are standardized by the scale of the targets.
        X_val : array-like of shape (n_validation, ...), default=None
            Held-out samples for `early_stopping`, instead of a share of `X`. Their loss
            is in `history_` in any case.
        X_val_target : array-like of the shape of X_val, default=None
            As `X_target`, of `X_val`.
        groups : array-like of shape (n_samples,), default=None
            Samples of one group (one patient, say) stay on one side of the split that
            `early_stopping` makes.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter, the shape or the values of the input are not valid, or if a
            loss stops being finite. The estimator is then as it was before.
        """
        targets = X_target, X_val_target
        return self._fit(X, y, sample_weight, X_val, groups=groups, targets=targets)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Train for one more epoch, or for the first.

        The first call takes the mean and the spread of the features from its samples,
        for good; they should be many enough for that. Nothing is held out.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples of the shape seen before.
        y : None
            Ignored.

        Returns
        -------
        self : object
        """
        return self._fit_one_epoch(X, y)

    def transform(self, X, *, out=None):
        """Return the layers named by `layer`, one row per sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
        out : array-like of shape (n_samples, n_features_out), default=None
            Where to write the result, block by block: an ``np.memmap``, say, for one
            that is larger than memory. None makes an array.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out), float32
            By default `mu`, of shape (n_samples, n_components). Layers are flattened
            and stand side by side. `out`, if it is given.
        """
        if out is None:
            return _side_by_side(self.extract(X, self.layer))
        check_is_fitted(self)
        names = check_layers(self.layer, self.layer_names_)
        rows, _ = check_rows(self, X, reset=False)
        shape = len(rows), sum(map(math.prod, names.values()))
        found = getattr(out, "shape", None), getattr(out, "dtype", None)
        if found[0] != shape or np.dtype(found[1]).kind != "f":
            raise ValueError(
                f"`out` must be an array of floats of shape {shape}, got "
                f"{type(out).__name__} of dtype {found[1]} and shape {found[0]}."
            )
        for chunk in gen_batches(len(rows), _AT_A_TIME):
            layers = self._net.extract(rows[chunk], list(names))
            out[chunk] = to_numpy(_side_by_side(layers))
        return out

    def extract(self, X, layers):
        """Return layers in their own shapes.

        The forward pass stops at the deepest layer asked for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
        layers : str or list of str
            Keys of `layer_names_`.

        Returns
        -------
        outputs : dict of ndarray of shape (n_samples, ...), float32
        """
        check_is_fitted(self)
        names = check_layers(layers, self.layer_names_)
        rows, _ = check_rows(self, X, reset=False)
        return self._net.extract(rows, names)

    @available_if(transforms_to_codes)
    def inverse_transform(self, X, *, logits=False):
        """Decode latent codes; only there if `layer` is "mu" or "z".

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes, as `transform` returns them: prefixes if `layer` names a prefix.
        logits : bool, default=False
            Whether to return log-odds, before the sigmoid that makes probabilities of
            them. Only with ``likelihood="bernoulli"``.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features) or (n_samples, ...)
            Means of the likelihood, of the rank and precision that `fit` saw.
        """
        check_is_fitted(self)
        codes = self._check_codes(X)
        return self._decode(codes, logits=self._check_logits(logits))

    def reconstruct(self, X, n_components=None, *, threshold=None):
        """Encode samples and decode their `mu`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
        n_components : int or None, default=None
            How many components of an ordered code to decode, None for all.
        threshold : float, "otsu", "youden" or None, default=None
            Turns probabilities into 0 and 1 as `skvae.metrics.binarize` does, for
            values in [0, 1]; "youden" takes `X` for the truth. None leaves them.

        Returns
        -------
        X_hat : ndarray of the shape of X
            Of the precision that `fit` saw.
        """
        check_is_fitted(self)
        self._check_prefix(n_components)
        rows, shape = check_rows(self, X, reset=False)
        means = self._means(rows, None, n_components, self._input_dtype)
        return self._binarized(means.reshape(-1, *shape), threshold, X)

    def sample_codes(self, n_samples=1, *, random_state=None):
        """Draw codes from the prior; `sample` decodes them.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState instance or None, default=None
            None repeats the same draws in each call on one fitted model.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components), float32
        """
        rng = self._check_sampling(n_samples, random_state)
        return self._draw_codes(n_samples, rng)

    def sample(self, n_samples=1, *, noise=False, random_state=None):
        """Decode draws from the prior.

        Parameters
        ----------
        n_samples : int, default=1
        noise : bool, default=False
            Whether to draw the data from the likelihood around what the decoder says,
            as real data are. Without, samples are its means, which vary less: they
            show what the model knows, and are no substitute for data.
        random_state : int, RandomState instance or None, default=None
            None repeats the same draws in each call on one fitted model.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features) or (n_samples, ...)
            Of the rank and precision that `fit` saw.
        """
        rng = self._check_sampling(n_samples, random_state)
        codes = self._draw_codes(n_samples, rng)
        return self._decode(codes, draw_seed(rng) if noise else None)

    def score_samples(self, X):
        """Return the log-likelihood of each sample around its reconstruction.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)

        Returns
        -------
        scores : ndarray of shape (n_samples,), float32
            In nats, summed over the features (for ``likelihood="squared_error"``: minus
            the squared error). Low ones are anomalies.
        """
        check_is_fitted(self)
        rows, _ = check_rows(self, X, reset=False)
        return self._scores(rows)

    def score(self, X, y=None):
        """Return the mean of `score_samples`, which a grid search maximizes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
        y : None
            Ignored.

        Returns
        -------
        score : float
            In nats per sample.
        """
        return float(to_numpy(self.score_samples(X)).mean(dtype=np.float64))

    def get_feature_names_out(self, input_features=None):
        """Name the columns of `transform` by their layer and a number.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only checked against the names seen in `fit`.

        Returns
        -------
        feature_names_out : ndarray of str objects
        """
        check_is_fitted(self)
        check_feature_names_in(self, input_features)
        shapes = check_layers(self.layer, self.layer_names_)
        names = [
            f"{prefix_of(layer)[0]}_{i}"
            for layer, shape in shapes.items()
            for i in range(math.prod(shape))
        ]
        return np.asarray(names, dtype=object)

    def set_params(self, **params):
        """Set parameters, also of their parts (``architecture__dropout``).

        Parameters
        ----------
        **params : dict
            Names of `get_params`, or of the parts' own joined to them by two
            underscores. A part must be an object for that: "mlp" has no parameters,
            `MLP()` has.

        Returns
        -------
        self : object
        """
        for name in params:
            part, nested, _ = name.partition("__")
            value = params.get(part, getattr(self, part, None))
            if nested and part in self._examples and not hasattr(value, "set_params"):
                raise ValueError(
                    f"`{name}` sets a parameter of the object `{part}`, which is a "
                    f"{type(value).__name__}. Give an object as `{part}` first, such "
                    f"as {self._examples[part]}."
                )
        return super().set_params(**params)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.missing_values == "mask"
        return tags

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "_net" in state:
            state["_net"] = state["_net"].get_state()
            if _leaves_out_optimizers.get():
                state["_net"]["optimizers"] = None
            # Callbacks hold on to what they have seen, optimizers and the like.
            del state["module_"], state["callbacks_"]
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if "_net" in state:
            self._net = self._unpickled_net(state["_net"])
            self.module_ = self._net.module_
            self.callbacks_ = self._net.callbacks_

    def _fit(
        self,
        X,
        y,
        sample_weight=None,
        X_val=None,
        y_val=None,
        groups=None,
        targets=(None, None),
    ):
        """Train; what the model learns from `y`, `_labels` says."""
        with self._as_task(X, y, "fit", self.max_iter) as observers:
            plan = self._plan(
                (X, y),
                (X_val, y_val),
                groups,
                sample_weight=sample_weight,
                targets=targets,
                n_epochs=self.max_iter,
                early_stopping=self.early_stopping,
                resume=self.warm_start,
            )
            self._carry_out(plan, observers)
            some = _some_rows(*plan.targets.shape)
            numbers = None if plan.numbers is None else plan.numbers[some]
            self._compare_with_mean(plan.rows[some], plan.targets[some], numbers)
            self._diagnose(plan.rows[some])
        return self

    def _fit_one_epoch(self, X, y, classes=None):
        if self.n_components == "auto":
            raise ValueError(
                "n_components='auto' chooses by held-out samples, and partial_fit "
                "holds none out. Use fit, or give a number with ordered=True."
            )
        with self._as_task(X, y, "partial_fit", 1) as observers:
            plan = self._plan((X, y), classes=classes)
            self._carry_out(plan, observers)
        return self

    @contextmanager
    def _as_task(self, X, y, method, n_epochs):
        """Tell scikit-learn's callbacks of a method; on an error, change nothing.

        Yields a function that takes a plan and the rows trained on, and returns those
        who look on beside the user's callbacks.
        """
        context, data = None, {"X": X, "y": X if y is None else y}
        if hasattr(self, "_init_callback_context"):  # scikit-learn >= 1.9
            context = self._init_callback_context(method, max_subtasks=n_epochs)
            context.call_on_fit_task_begin(estimator=self, **data)

        def observers(plan, index):
            return self._observers(plan, index, context, data)

        before = vars(self).copy()
        try:
            yield observers
            if context is not None:
                context.call_on_fit_task_end(estimator=self, **data)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _observers(self, plan, index, context, data):
        from ._engine.callbacks import ScikitLearnCallbacks, TrainingBar

        observers = []
        if self.verbose:
            observers.append(TrainingBar(type(self).__name__, plan.n_epochs))
        if context is not None and getattr(self, "_skl_callbacks", None):
            observers.append(
                ScikitLearnCallbacks(
                    self,
                    context,
                    **data,
                    index=self._scored_rows(plan.numbers, index),
                    fitted=partial(self._fitted_now, plan),
                )
            )
        return observers

    def _scored_rows(self, numbers, index):
        """Return the rows that scikit-learn's callbacks see, of those trained on."""
        return index

    def _plan(
        self,
        data,
        held_out=(None, None),
        groups=None,
        *,
        sample_weight=None,
        targets=(None, None),
        n_epochs=1,
        early_stopping=False,
        resume=True,
        classes=None,
    ):
        """Validate what comes into a training, and settle what it does."""
        (X, y), (X_val, y_val) = data, held_out
        earlier = getattr(self, "_net", None) if resume else None
        if earlier is not None and earlier.optimizers_ is None:
            raise ValueError(
                f"This {type(self).__name__} was saved without what its optimizers "
                "remember, so its training can't go on. Save it with "
                "skvae.save(..., optimizer=True), or start anew: use fit with "
                "warm_start=False."
            )
        rows, shape = check_rows(self, X, reset=earlier is None)
        if earlier is None:
            self._input_shape = shape
            self._input_dtype = "float32"
            self.sample_shape_ = check_image_shape(self.image_shape, shape)
        else:
            self._check_structure()
        if rows.dtype.itemsize == 8:
            self._input_dtype = "float64"
        likelihood = self._new_likelihood()
        pairs, pairs_val = (target is not None for target in targets)
        if pairs:
            rows = self._paired(rows, targets[0], likelihood, "X_target")
        else:
            check_support(rows, likelihood)
        weights = check_weights(sample_weight, rows)
        known = None if earlier is None else self._known_labels()
        labels = self._labels(y, rows, classes, known, weights)
        validation = None
        if X_val is not None:
            X_val, _ = check_rows(self, X_val, reset=False, name="X_val")
            X_val = in_memory(X_val)
            if pairs != pairs_val:
                raise ValueError("Pass `X_val_target` with `X_target` and `X_val`.")
            if pairs:
                X_val = self._paired(X_val, targets[1], likelihood, "X_val_target")
            else:
                check_support(X_val, likelihood, name="X_val")
            validation = X_val, self._held_out_numbers(y_val, X_val, labels)
        elif y_val is not None or pairs_val:
            name = "X_val_target" if pairs_val else "y_val"
            raise ValueError(f"`{name}` was given without `X_val`.")
        if groups is not None:
            check_consistent_length(rows, groups)
            groups = number_groups(groups)
        chooses = self.n_components == "auto"
        splits = (early_stopping or chooses) and validation is None
        return Plan(
            recipe=self._recipe(labels, self.device),
            layers=as_list(self.layer),
            rows=rows,
            labels=labels,
            weights=weights,
            class_weights=self._weights_of_classes(labels),
            held_out=validation,
            share=self.validation_fraction if splits else None,
            groups=groups,
            stopping=(self.n_iter_no_change, self.tol) if early_stopping else None,
            n_epochs=n_epochs,
            seed=draw_seed(self.random_state) if earlier is None else earlier.seed,
            repeats=self.random_state is not None,
            callbacks=self.callbacks or [],
            metrics=self._metrics_of(validation is not None or splits),
            earlier=earlier,
        )

    def _paired(self, rows, target, likelihood, name):
        """Put what shall come out beside what goes in: (n_samples, 2, n_features)."""
        target, _ = check_rows(self, target, reset=False, name=name)
        check_consistent_length(rows, target)
        check_support(target, likelihood, name)
        return np.stack([to_numpy(rows), to_numpy(target)], axis=1)

    def _metrics_of(self, is_validated):
        """Return functions by name, if there is something to measure."""
        metrics = resolve_metrics(self.metrics)
        if metrics and not is_validated:
            raise ValueError(
                "`metrics` are measured on held-out samples, but there are none. Pass "
                "`X_val` to fit, set early_stopping=True, or leave them out."
            )
        return metrics

    def _labels(self, y, rows, classes, known, weights):
        """Return what the model takes from `y` as `Labels`, or None.

        `known` is what it took before, if the training goes on.
        """
        warn_of_target(self, y, rows)

    def _weights_of_classes(self, labels):
        """Return what the labels of each class count, where the user says so."""

    def _held_out_numbers(self, y, rows, labels):
        """Return the numbers of the classes of held-out samples, if the model asks."""

    def _known_labels(self):
        """Return what the last training took from `y`, without its numbers."""
        if not hasattr(self, "classes_"):
            return None
        label_prior = getattr(self, "label_prior_", None)
        return Labels(None, self.classes_, self.class_prior_, label_prior)

    def _recipe(self, labels, device):
        """Return what nets of the current parameters are made from."""
        from ._engine.build import resolve_device

        likelihood = self._new_likelihood()
        own = {
            "likelihood": likelihood,
            "n_components": self._n_trained(),
            "ordered": self._is_ordered(),
            "has_gaps": self.missing_values == "mask",
        }
        return Recipe(
            module=self._module_name,
            sample_shape=self.sample_shape_,
            architecture=resolve(self.architecture),
            arguments=own | self._module_options(labels),
            standardizes=(
                self._standardizes_input
                or likelihood.standardize
                or self.corruption is not None
            ),
            learning_rate=self.learning_rate,
            rates=self._phase_rates(),
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            precision=self.precision,
            device=str(resolve_device(device)),
        )

    def _module_options(self, labels):
        """Return arguments of the module that not every model has."""
        options = {name: getattr(self, name) for name in self._objective}
        return options | {"corruption": self._new_corruption()}

    def _phase_rates(self):
        """Return the learning rates of phases that have one of their own."""
        return {}

    def _new_corruption(self, name="corruption"):
        from .nn import Corruption, Function, GaussianNoise

        value = getattr(self, name)
        if value is None or isinstance(value, Real):
            return GaussianNoise(float(value)) if value else None
        if isinstance(value, type | Corruption):
            return self._resolve(name)
        if not takes(value, "X", "rng"):
            raise ValueError(
                f"`{name}`={value!r} must be a function of two arguments, a batch "
                "X and a NumPy generator rng, or an object such as skvae.nn.Masking()."
            )
        return Function(value)

    def _new_likelihood(self):
        return self._resolve("likelihood")

    def _resolve(self, parameter):
        """Return a fresh object for a parameter that is a name or an instance."""
        value = getattr(self, parameter)
        if isinstance(value, str):
            return self._tables()[parameter][value]()
        if isinstance(value, type):
            raise ValueError(
                f"`{parameter}` must be an instance, got the class {value.__name__}. "
                f"Write {value.__name__}()."
            )
        return clone(value, safe=False)

    def _carry_out(self, plan, observers):
        """Train as planned, and take over what came of it."""
        from ._engine.trainer import trained

        net = trained(plan, _folder_of(self.memory), partial(observers, plan))
        self._take_over(net, plan)
        if self.n_components == "auto":
            self._choose_n_components(plan)
            self._take_over(net, plan)
        if self._is_ordered():
            self._find_shares_of_components(plan)

    def _take_over(self, net, plan):
        fitted = self._fitted(net, plan)
        vars(self).clear()
        vars(self).update(fitted)

    def _is_ordered(self):
        return self.ordered or self.n_components == "auto"

    def _n_trained(self):
        """Return the size of the code in training."""
        if self.n_components == "auto":
            return min(_GENEROUS, self.n_features_in_)
        return self.n_components

    def _choose_n_components(self, plan):
        """Keep the prefix of the code that held-out samples justify."""
        _, (rows, *_) = plan.hold_out()
        prefixes = self.module_.prefixes
        scores = []
        for length in prefixes.sizes:
            prefixes.n_used.fill_(length)
            scores.append(to_numpy(self._scores(rows)).astype(np.float64))
        best = np.argmax(np.mean(scores, axis=1))
        worse = scores[best] - np.array(scores)
        error = worse.std(axis=1) / math.sqrt(len(rows))
        first = int(np.argmax(worse.mean(axis=1) <= error))
        prefixes.n_used.fill_(prefixes.sizes[first])

    def _scores(self, rows):
        """Return the score of each sample, given as flat rows."""
        return self._net.apply(self.module_.log_likelihood, self._net.as_samples(rows))

    def _find_shares_of_components(self, plan):
        """Measure what share of the variance each component of a code explains."""
        some = _some_rows(*plan.targets.shape, n_values=2_000_000)
        rows = plan.rows[some]
        numbers = None if plan.numbers is None else plan.numbers[some]
        X = to_numpy(plan.targets[some]).astype(np.float64)
        left = [np.nanmean(np.square(X - np.nanmean(X, axis=0)))]
        for length in range(1, self.n_components_ + 1):
            means = to_numpy(self._means(rows, numbers, length))
            left.append(np.nanmean(np.square(X - means.reshape(X.shape))))
        self.explained_variance_ratio_ = -np.diff(left) / (left[0] or 1.0)

    def _fitted_now(self, plan, net):
        """Return the attributes of an estimator whose training ended now."""
        from ._engine.trainer import restored

        return self._fitted(restored(plan.recipe, net.get_state()), plan)

    def _fitted(self, net, plan):
        """Return the attributes of this estimator once it holds what a plan gave."""
        stale = {f"{name}_" for name in Labels._fields} | {"explained_variance_ratio_"}
        names = (*self._structure, *self._objective, *self._engine)
        labels = {} if plan.labels is None else plan.labels._asdict()
        labels.pop("numbers", None)
        return {
            **{name: value for name, value in vars(self).items() if name not in stale},
            "_net": net,
            "_built_with": {n: clone(getattr(self, n), safe=False) for n in names},
            "module_": net.module_,
            "n_components_": net.module_.code_sizes["mu"],
            "callbacks_": net.callbacks_,
            "layer_names_": net.layer_names,
            "history_": net.rows_of_history(),
            "loss_curve_": [row["train_loss"] for row in net.history],
            "n_iter_": len(net.history),
            **{f"{name}_": part for name, part in labels.items() if part is not None},
            **self._learnt_from_codes(net, plan.rows),
        }

    def _learnt_from_codes(self, net, rows):
        """Return what is learnt once more from the trained networks, as attributes."""
        return {}

    def _unpickled_net(self, state):
        """Rebuild the net from arrays, on the CPU where its device is missing."""
        from ._engine.build import resolve_device
        from ._engine.trainer import restored

        device = state["device"]
        try:
            resolve_device(device)
        except ValueError:
            warnings.warn(
                f"This {type(self).__name__} was fitted on {device!r}, which is not "
                "available here: it is loaded on the CPU.",
                UserWarning,
                stacklevel=2,
            )
            device = "cpu"
        builder = type(self).__new__(type(self))  # subclasses may take other arguments
        vars(builder).update(vars(self), **self._built_with)
        return restored(builder._recipe(self._known_labels(), device), state)

    def _check_structure(self):
        """Raise if a parameter that fixes the networks changed since they were made."""
        for name in self._structure:
            old, new = self._built_with[name], getattr(self, name)
            before, now = self._plain(name, old), self._plain(name, new)
            if fingerprint(before) != fingerprint(now):
                raise ValueError(
                    f"`{name}` was {old!r} when the networks were made and is now "
                    f"{new!r}. To go on training keep it; to start anew use fit with "
                    "warm_start=False."
                )

    def _plain(self, name, value):
        """Return the object or list that the value of a parameter stands for."""
        if hasattr(value, "tolist"):
            return value.tolist()
        table = self._tables().get(name, {})
        return table[value]() if isinstance(value, str) and value in table else value

    def _tables(self):
        """Map parameters that may be names to what the names stand for."""
        from .nn import LIKELIHOODS

        return {"architecture": ARCHITECTURES, "likelihood": LIKELIHOODS}

    def _check_sampling(self, n_samples, random_state):
        check_is_fitted(self)
        if not is_count(n_samples):
            raise ValueError(f"`n_samples` must be an int >= 1, got {n_samples!r}.")
        seed = self._net.seed if random_state is None else random_state
        return check_random_state(seed)

    def _check_codes(self, X):
        """Validate codes, which have as many columns as `transform` gives."""
        ((n_components,),) = check_layers(self.layer, self.layer_names_).values()
        if n_components < self.n_components_:
            self._check_prefix(n_components)
        return check_codes(X, n_components)

    def _check_logits(self, logits):
        if logits and not self.module_.likelihood.has_logits:
            raise ValueError(
                f"logits=True needs likelihood='bernoulli'; the model was fitted with "
                f"{self.module_.likelihood}."
            )
        return logits

    def _check_prefix(self, n_components):
        if n_components is None:
            return
        if self.module_.prefixes is None:
            raise ValueError(
                f"n_components={n_components!r} decodes a prefix of the code, which "
                f"only makes sense if it is ordered. Fit {type(self).__name__} with "
                "ordered=True."
            )
        if not (is_count(n_components) and n_components <= self.n_components_):
            raise ValueError(
                f"`n_components` must be an int from 1 to {self.n_components_}, the "
                f"size of the code, got {n_components!r}."
            )

    def _diagnose(self, rows):
        """Warn if a whole fit went wrong, as some rows of the training data show."""

    def _binarized(self, means, threshold, X):
        if threshold is None:
            return means
        return binarize(to_numpy(means), threshold, to_numpy(X))

    def _compare_with_mean(self, rows, targets, y):
        """Warn if a whole fit is worse than no model at all on some rows."""
        X = to_numpy(targets).astype(np.float64)
        X_hat = to_numpy(self._means(rows, y))
        power = self.module_.likelihood.power
        error = np.nanmean(np.abs(X - X_hat.reshape(X.shape)) ** power)
        of_mean = np.nanmean(np.abs(X - np.nanmean(X, axis=0)) ** power)
        negligible = (0.1 * float(self.module_.spread)) ** power
        if error > max(_MUCH_WORSE * of_mean, negligible):
            kind = {1: "absolute", 2: "squared"}[power]
            warnings.warn(
                f"After training, {type(self).__name__} reconstructs the training data "
                f"worse than their mean does: mean {kind} error {error:.3g} against "
                f"{of_mean:.3g}. Raise `max_iter` (now {self.max_iter}) if it is low, "
                f"or lower `learning_rate` (now {self.learning_rate:g}). A decoder of "
                "your own must not end in an activation such as Sigmoid.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _means(self, rows, y, n_components=None, dtype="float64"):
        """Reconstruct rows, given the numbers of their classes if there are any."""
        reconstruct = partial(self.module_, n_components=n_components)
        return self._net.apply(reconstruct, self._net.as_samples(rows), dtype=dtype)

    def _conditional_means(self, rows, n_draws):
        """Return the mean of all values of rows, given those that there are."""
        return to_numpy(self.reconstruct(rows))

    def _conditional_draws(self, rows, n_draws, seeds):
        """Draw all values of rows, given those that there are, once for each seed."""
        raise ValueError(
            f"{type(self).__name__} has no posterior to draw missing values from. "
            "Take a VAE, or sample_posterior=False."
        )

    def _graph(self, method):
        """Return a function of tensors that computes a method, and where it ends.

        Returns
        -------
        function : callable
            Takes samples in the shape of the networks, or codes.
        shape : tuple of int
            Of what it gives for one sample.
        """
        from ._engine.graphs import columns_of

        if method == "transform":
            names = [self._without_draws(name) for name in as_list(self.layer)]
            shapes = check_layers(names, self.layer_names_)
            width = sum(math.prod(shape) for shape in shapes.values())
            return columns_of(self._net, names), (width,)
        if method == "reconstruct":
            return self.module_, self._input_shape
        if method == "score_samples":
            return self.module_.log_likelihood, ()
        if method == "inverse_transform":
            return self.module_.decode, self._input_shape
        raise ValueError(
            f"{type(self).__name__} has no method={method!r} that ONNX could compute."
        )

    def _without_draws(self, name):
        """Return the name of a layer that is computed without random numbers."""
        layer, length = prefix_of(name)
        if layer != "z":
            return name
        if "logvar" in self.layer_names_:
            raise ValueError(
                "layer='z' draws random numbers, which a graph of ONNX doesn't repeat. "
                "Use set_params(layer='mu')."
            )
        return "mu" if length is None else f"mu[:{length}]"

    def _decode(self, codes, seed=None, logits=False):
        """Return means of the likelihood, draws if there is a seed, or logits."""
        data = self._net.decode(codes, self._input_dtype, seed, logits)
        return data.reshape(-1, *self._input_shape)


def _side_by_side(outputs):
    """Flatten layers, and put them side by side."""
    columns = [values.reshape(len(values), -1) for values in outputs.values()]
    return columns[0] if len(columns) == 1 else side_by_side(*columns)


def _some_rows(n_samples, n_features, n_values=20_000):
    """Pick rows, evenly, that hold about so many values."""
    n_picked = min(n_samples, max(16, n_values // n_features))
    return np.linspace(0, n_samples - 1, n_picked).astype(int)


def _folder_of(memory):
    """Return where trained networks are kept, None for nowhere."""
    location = memory.location if isinstance(memory, Memory) else memory
    return None if location is None else Path(location, "networks")

"""Fitted estimators as graphs of ONNX."""

import math
from functools import cache
from importlib import import_module

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from ._adversarial import ClassEncoder
from ._base import BaseAutoencoder
from ._pipelines import autoencoder_in
from .hashing import SemanticHasher
from .outlier import ReconstructionOutlierDetector
from .preprocessing import SquashingScaler

_OURS = BaseAutoencoder, ReconstructionOutlierDetector, SemanticHasher, SquashingScaler
_OPSET = 18


def to_onnx(estimator, X, *, method=None):
    """Convert a fitted estimator to ONNX, to run it without Python or torch.

    Networks are exported by torch, and what scikit-learn does before or behind them by
    skl2onnx. All numbers are of single precision, and the number of samples is free.

    Parameters
    ----------
    estimator : estimator
        An autoencoder, a `ReconstructionOutlierDetector`, `SemanticHasher` or
        `SquashingScaler`; a `Pipeline`, `FeatureUnion` or `ColumnTransformer` with some
        of these; or a search, of which the best estimator is taken.
    X : array-like of shape (n_samples, n_features) or (n_samples, ...)
        A few samples, for their shape. A DataFrame gives a graph with one input of
        shape (n_samples, 1) per column; all else gives one input "X".
    method : str, default=None
        What the graph computes, where the last step is of this package: "transform",
        "reconstruct", "score_samples", "predict_proba" or, of an autoencoder alone,
        "inverse_transform". None takes what the step is for: the class and its
        probability for an `AAEClassifier` or `AAEClusterer`, the decision for an
        outlier detector, and else `transform`.

    Returns
    -------
    model : onnx.ModelProto
        ``model.SerializeToString()`` is the content of a file. Classifiers have the
        outputs "label" and "probabilities", outlier detectors "label" and "scores" (of
        `decision_function`), and all else of this package has "output".

    Raises
    ------
    ImportError
        If the converters are missing: ``pip install 'skvae[onnx]'``. Some networks need
        torch 2.13 or later.
    ValueError
        If a step has no conversion, or draws random numbers: ``layer="z"`` of a
        Gaussian posterior, and `score_samples` of a `VAE`.

    See Also
    --------
    save : Keeps the estimator itself.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skvae import VAE, to_onnx
    >>> X, y = load_digits(return_X_y=True)
    >>> vae = VAE(4, max_iter=2, random_state=0)
    >>> pipeline = make_pipeline(vae, LogisticRegression()).fit(X, y)
    >>> model = to_onnx(pipeline, X)
    >>> [output.name for output in model.graph.output]
    ['label', 'probabilities']
    """
    convert = _converter()
    check_is_fitted(estimator)
    for part in (estimator, *estimator.get_params().values()):
        if isinstance(part, _OURS):
            _register(type(part))
    estimator = getattr(estimator, "best_estimator_", estimator)
    if method == "inverse_transform" and not isinstance(estimator, BaseAutoencoder):
        raise ValueError(
            "method='inverse_transform' needs an autoencoder alone, got "
            f"{type(estimator).__name__}. Pass the step of the Pipeline."
        )
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    of_tables = is_classifier(last) and not isinstance(last, _OURS)
    n_features = getattr(estimator, "n_features_in_", None)
    if method != "inverse_transform" and n_features not in (None, _width(X)):
        raise ValueError(
            f"X has {_width(X)} features, but {type(estimator).__name__} was fitted on "
            f"{n_features}."
        )
    try:
        return convert(
            _with_output(estimator, method),
            initial_types=_types_of(estimator, X, method),
            target_opset={"": _OPSET, "ai.onnx.ml": 3},
            options={id(last): {"zipmap": False}} if of_tables else None,
        )
    except (NotImplementedError, RuntimeError) as error:
        from ._engine.graphs import doubt_of_torch

        raise ValueError(
            f"{type(estimator).__name__} holds a step without a conversion to ONNX: "
            f"{str(error).splitlines()[0]}{doubt_of_torch()}"
        ) from error


def _width(X):
    return math.prod(np.shape(X)[1:])


class _Output(BaseEstimator):
    """A fitted estimator of this package, and what a graph computes of it."""

    def __init__(self, estimator=None, method="transform"):
        self.estimator = estimator
        self.method = method


def _with_output(estimator, method):
    """Mark the last step of a pipeline with what is computed of it."""
    if isinstance(estimator, Pipeline):
        *before, (name, last) = _plain(estimator).steps
        return Pipeline([*before, (name, _with_output(last, method))])
    if isinstance(estimator, _OURS):
        return _Output(estimator, method or _purpose(estimator))
    if method is not None:
        raise ValueError(
            f"`method` is for steps of skvae, but the last one is "
            f"{type(estimator).__name__}, which has the outputs that skl2onnx gives "
            "it. Leave `method` out."
        )
    return _plain(estimator)


def _plain(estimator):
    """Return an estimator with estimators in place of "passthrough" and "drop"."""
    if isinstance(estimator, Pipeline):
        steps = [(name, _plain(step)) for name, step in estimator.steps]
        kept = [(name, step) for name, step in steps if not _is_identity(step)]
        return Pipeline(kept or steps[-1:])
    if isinstance(estimator, FeatureUnion):
        parts = [(n, _plain(part)) for n, part in estimator.transformer_list]
        parts = [(name, part) for name, part in parts if part != "drop"]
        return FeatureUnion(parts, transformer_weights=estimator.transformer_weights)
    return FunctionTransformer() if _is_identity(estimator) else estimator


def _is_identity(step):
    is_function = isinstance(step, FunctionTransformer) and step.func is None
    return step in (None, "passthrough") or is_function


def _purpose(estimator):
    """Return what the last step of a pipeline is for."""
    if isinstance(estimator, ClassEncoder | ReconstructionOutlierDetector):
        return "predict"
    return "transform"


def _types_of(estimator, X, method):
    """Return the names and types of the inputs of a graph."""
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    if method == "inverse_transform":
        return [("X", FloatTensorType([None, estimator.n_components_]))]
    if hasattr(X, "dtypes"):
        from pandas.api.types import is_numeric_dtype

        kinds = {True: FloatTensorType, False: StringTensorType}
        return [
            (name, kinds[is_numeric_dtype(dtype)]([None, 1]))
            for name, dtype in X.dtypes.items()
        ]
    return [("X", FloatTensorType([None, *np.shape(X)[1:]]))]


@cache
def _converter():
    """Return the converter of skl2onnx, which knows the steps of this package."""
    try:
        import_module("onnxscript")  # torch asks for it
        skl2onnx = import_module("skl2onnx")
    except ImportError as error:
        raise ImportError(
            f"Conversion to ONNX needs {error.name}: pip install 'skvae[onnx]'."
        ) from error
    _register(_Output)
    return skl2onnx.convert_sklearn


@cache
def _register(cls):
    from skl2onnx import update_registered_converter

    update_registered_converter(
        cls, "SkvaeStep", lambda operator: None, _add_graph, parser=_declare
    )


def _declare(scope, model, inputs, custom_parsers=None):
    """Declare a step of this package, what it needs before it, and its outputs."""
    from skl2onnx._parse import _parse_sklearn
    from skl2onnx.common.data_types import (
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
    )

    step = model if isinstance(model, _Output) else _Output(model)
    inputs = _side_by_side(scope, inputs)
    given = []
    for before in _pipelines_before(step.estimator):
        given += inputs if before is None else _parse_sklearn(scope, before, inputs)
    operator = scope.declare_local_operator("SkvaeStep", step)
    operator.inputs = given
    outputs = [("output", FloatTensorType([None, *_graph_of(step)[2]]))]
    if step.method == "predict":
        classes, values = _labels_and_values(step.estimator)
        kinds = {"O": StringTensorType, "f": FloatTensorType, "i": Int64TensorType}
        kind = kinds[classes.dtype.kind]
        outputs = [("label", kind([None])), (values, outputs[0][1])]
    operator.outputs = [
        scope.declare_local_variable(name, kind) for name, kind in outputs
    ]
    return operator.outputs


def _side_by_side(scope, inputs):
    """Join the inputs of a step, if there are several."""
    from skl2onnx.common.data_types import FloatTensorType

    if len(inputs) == 1:
        return inputs
    operator = scope.declare_local_operator("SklearnConcat")
    operator.inputs = inputs
    operator.outputs = [scope.declare_local_variable("columns", FloatTensorType())]
    return operator.outputs


def _pipelines_before(estimator):
    """Return what each model of a step gets its samples from, None for its input."""
    if isinstance(estimator, ReconstructionOutlierDetector):
        models = estimator.estimators_
    elif isinstance(estimator, SemanticHasher):
        models = [estimator.estimator_]
    else:
        return [None]
    return [
        model[:-1] if isinstance(model, Pipeline) and len(model) > 1 else None
        for model in models
    ]


def _graph_of(step):
    """Return the graph of a step, and the shapes of its inputs and its output."""
    from ._engine.graphs import Graph, cut_into_bits, squashed

    estimator, method = step.estimator, step.method
    if isinstance(estimator, BaseAutoencoder):
        method = "predict_proba" if method == "predict" else method
        return _graph_of_autoencoder(estimator, method)
    if isinstance(estimator, ReconstructionOutlierDetector):
        return _graph_of_detector(estimator, method)
    if method != "transform":
        raise ValueError(
            f"{type(estimator).__name__} has no method={method!r} that ONNX could "
            "compute, only 'transform'."
        )
    if isinstance(estimator, SquashingScaler):
        bound = estimator.max_absolute_value
        shape = estimator.center_.shape
        function = squashed(estimator.center_, estimator.scale_, bound)
        return Graph(function), [shape], shape
    codes, shapes, _ = _graph_of_autoencoder(
        autoencoder_in(estimator.estimator_), "transform"
    )
    function = cut_into_bits(codes, estimator._shift, estimator._axes)
    return Graph(function, [codes]), shapes, (estimator.n_bits,)


def _graph_of_autoencoder(model, method):
    from ._engine.graphs import Graph

    model = _on_cpu(model)
    function, shape = model._graph(method)
    given, wanted = model._input_shape, model.sample_shape_
    if method == "inverse_transform":
        given = wanted = (model.n_components_,)

    def run(X):
        return function(X.reshape(-1, *wanted)).reshape(-1, *shape)

    return Graph(run, [model.module_]), [given], shape


def _graph_of_detector(detector, method):
    from ._engine.graphs import Graph, mean_score, measured

    if method not in ("predict", "score_samples"):
        raise ValueError(
            f"{type(detector).__name__} has no method={method!r} that ONNX could "
            "compute, only 'predict' and 'score_samples'."
        )
    measures, modules, shapes = [], [], []
    for estimator, codes in detector._models:
        model = _on_cpu(autoencoder_in(estimator))
        bound = None
        if detector.criterion == "elbo":
            bound, _ = model._graph("score_samples")
        reconstruct, _ = model._graph("reconstruct")
        of_codes = codes.location_, codes.get_precision()
        function = measured(model._net, reconstruct, bound, of_codes)
        measures.append(function)
        modules.append(model.module_)
        shapes.append(model._input_shape)
    offset = detector.offset_ if method == "predict" else 0.0
    scale = detector._center, detector._scale
    function = mean_score(measures, detector.criterion, *scale, offset)
    return Graph(function, modules), shapes, ()


def _on_cpu(model):
    """Return a fitted autoencoder, copied if it is on another device."""
    state = model.__getstate__()
    if state["_net"]["device"] == "cpu":
        return model
    state["_net"]["device"] = "cpu"
    copy = object.__new__(type(model))
    copy.__setstate__(state)
    return copy


def _add_graph(scope, operator, container):
    """Join the graph of a step to that of its pipeline."""
    from onnx.helper import get_attribute_value

    from ._engine.graphs import exported

    step = operator.raw_operator
    graph, shapes, _ = _graph_of(step)
    part = exported(graph, shapes, _OPSET).graph
    given = [_as_floats(scope, variable, container) for variable in operator.inputs]
    *_, result = (variable.onnx_name for variable in operator.outputs)
    names = dict(zip((value.name for value in part.input), given, strict=True))
    names |= {part.output[0].name: result, "": ""}  # of an input that is left out
    for node in part.node:
        for name in {*node.input, *node.output} - names.keys():
            names[name] = scope.get_unique_variable_name(f"skvae_{name}")
    for tensor in part.initializer:
        if tensor.name in names:
            tensor.name = names[tensor.name]
            container.initializers.append(tensor)
    for node in part.node:
        container.add_node(
            node.op_type,
            [names[name] for name in node.input],
            [names[name] for name in node.output],
            op_domain=node.domain,
            name=scope.get_unique_operator_name("skvae"),
            **{each.name: get_attribute_value(each) for each in node.attribute},
        )
    if step.method == "predict":
        _add_labels(scope, operator, container)


def _labels_and_values(estimator):
    """Return the labels that a step chooses from, and the name of what it goes by."""
    if isinstance(estimator, ReconstructionOutlierDetector):
        return np.array([1, -1]), "scores"
    kinds = {"f": np.float32, "b": np.int64, "i": np.int64, "u": np.int64}
    kind = kinds.get(estimator.classes_.dtype.kind, object)
    return estimator.classes_.astype(kind), "probabilities"


def _as_floats(scope, variable, container):
    """Return the name of an input of single precision."""
    from onnx import TensorProto
    from skl2onnx.common.data_types import FloatTensorType

    if isinstance(variable.type, FloatTensorType):
        return variable.onnx_name
    name = scope.get_unique_variable_name("as_floats")
    container.add_node("Cast", variable.onnx_name, name, to=TensorProto.FLOAT)
    return name


def _add_labels(scope, operator, container):
    """Choose the labels of samples by their scores, or by their probabilities."""
    from onnx import TensorProto, numpy_helper

    labels, scores = (variable.onnx_name for variable in operator.outputs)
    estimator = operator.raw_operator.estimator

    def constant(name, values):
        name = scope.get_unique_variable_name(name)
        container.initializers.append(numpy_helper.from_array(values, name))
        return name

    chosen = scope.get_unique_variable_name("chosen")
    classes, values = _labels_and_values(estimator)
    if values == "scores":
        bound = constant("bound", np.float32(0))
        is_low = scope.get_unique_variable_name("is_low")
        container.add_node("Less", [scores, bound], is_low)
        container.add_node("Cast", is_low, chosen, to=TensorProto.INT64)
    else:
        container.add_node("ArgMax", scores, chosen, axis=1, keepdims=0)
    container.add_node("Gather", [constant("classes", classes), chosen], labels)

"""Autoencoders, alone or at the end of a Pipeline, as other tools take them."""

from sklearn.pipeline import Pipeline

from ._base import BaseAutoencoder


def autoencoder_in(estimator):
    """Return the autoencoder that an estimator is, or ends in.

    Raises
    ------
    ValueError
        If there is none.
    """
    model = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(model, BaseAutoencoder):
        raise ValueError(
            "`estimator` must be an autoencoder of skvae, or a Pipeline that ends in "
            f"one, got {type(model).__name__}."
        )
    return model


def before_autoencoder(estimator, X):
    """Return what the autoencoder of a fitted pipeline gets, and the autoencoder."""
    if isinstance(estimator, Pipeline) and len(estimator.steps) > 1:
        X = estimator[:-1].transform(X)
    return X, autoencoder_in(estimator)


def back_from_autoencoder(estimator, X):
    """Undo what a fitted pipeline does before its autoencoder."""
    if isinstance(estimator, Pipeline) and len(estimator.steps) > 1:
        X = estimator[:-1].inverse_transform(X)
    return X


def split_at_autoencoder(pipeline):
    """Return a Pipeline's steps before its autoencoder, that, and the steps behind it.

    Returns
    -------
    before, behind : Pipeline or None
        None where there are no steps.
    model : estimator

    Raises
    ------
    ValueError
        If there is no autoencoder among the steps, or more than one.
    """
    steps = pipeline.steps if isinstance(pipeline, Pipeline) else []
    found = [
        i for i, (_, step) in enumerate(steps) if isinstance(step, BaseAutoencoder)
    ]
    if len(found) != 1:
        raise ValueError(
            "`pipeline` must be a Pipeline with one autoencoder of skvae among its "
            f"steps, got {type(pipeline).__name__} with {len(found)}."
        )
    (i,) = found
    before = pipeline[:i] if i else None
    behind = pipeline[i + 1 :] if i + 1 < len(steps) else None
    return before, steps[i][1], behind


def with_layer(model, layer):
    """Return a fitted autoencoder that shares all with another one but `layer`."""
    other = object.__new__(type(model))
    vars(other).update(vars(model), layer=layer)
    return other


def adopt_features(tool, estimator):
    """Let a tool know the features that its fitted estimator knows, and no others."""
    for name in ("n_features_in_", "feature_names_in_"):
        vars(tool).pop(name, None)
        if hasattr(estimator, name):
            setattr(tool, name, getattr(estimator, name))

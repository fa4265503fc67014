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


def adopt_features(tool, estimator):
    """Let a tool know the features that its fitted estimator knows, and no others."""
    for name in ("n_features_in_", "feature_names_in_"):
        vars(tool).pop(name, None)
        if hasattr(estimator, name):
            setattr(tool, name, getattr(estimator, name))

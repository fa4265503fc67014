"""What a classifier behind an autoencoder knows, and what would change its mind."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._pipelines import split_at_autoencoder
from .._validation import is_count, prefix_of, to_numpy
from ._codes import code_of
from ._decoding import decode

_N_STEPS = 20  # on the way to a sample of the other class
_N_HALVINGS = 8
_N_NEIGHBORS = 5


def posterior_predict(pipeline, X, *, n_draws=100, random_state=None):
    r"""Average predictions over draws of the code, and say how far they spread.

    .. math:: p(y|x) \approx \frac1K \sum_{k=1}^K p(y|z_k), \qquad z_k \sim q(z|x)

    A sample that the encoder is unsure about gets probabilities that are less sure. Let
    the classifier learn from draws, too (``layer="z"``): one that was trained on `mu`
    has not seen how codes vary, and averaging makes its probabilities too unsure.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted: an autoencoder with a posterior, such as a `VAE`, among its steps, and a
        classifier or a regressor in the end.
    X : array-like of shape (n_samples, ...)
        What the pipeline takes.
    n_draws : int, default=100
    random_state : int, RandomState instance or None, default=None
        Of the draws. None gives the same result in each call.

    Returns
    -------
    mean : ndarray of shape (n_samples, n_classes) or (n_samples,)
        Probabilities of the classes, or predicted numbers.
    spread : ndarray of the same shape
        Standard deviations over the draws.

    Raises
    ------
    ValueError
        If there is no such pipeline, or if what goes on to the classifier is not `mu`
        or `z`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skvae import VAE
    >>> from skvae.inspection import posterior_predict
    >>> X, y = load_digits(return_X_y=True)
    >>> vae = VAE(4, max_iter=10, random_state=0)
    >>> pipeline = make_pipeline(vae, LogisticRegression(max_iter=1000)).fit(X, y)
    >>> mean, spread = posterior_predict(pipeline, X[:3])
    >>> mean.shape
    (3, 10)
    """
    if not is_count(n_draws):
        raise ValueError(f"`n_draws` must be an int >= 1, got {n_draws!r}.")
    rng = check_random_state(0 if random_state is None else random_state)
    code, behind, n_used = _code_and_rest(pipeline, X)
    if "logvar" not in code:
        raise ValueError(
            "The autoencoder of `pipeline` has no posterior to draw from. Take a VAE."
        )
    predict = getattr(behind, "predict_proba", behind.predict)
    mu, scale = code["mu"], np.exp(0.5 * code["logvar"])
    mean, square = 0.0, 0.0
    for k in range(n_draws):
        z = mu + scale * rng.standard_normal(mu.shape).astype(np.float32)
        predicted = predict(z[:, :n_used])
        change = predicted - mean
        mean = mean + change / (k + 1)
        square = square + change * (predicted - mean)
    return mean, np.sqrt(square / n_draws)


@dataclass
class Counterfactuals:
    """What `counterfactual` found; NaN where it found nothing.

    Attributes
    ----------
    codes : ndarray of shape (n_samples, n_components)
        Where the classifier says the other class.
    decoded : ndarray of shape (n_samples, ...)
        The same in the units of the data.
    start : ndarray of shape (n_samples, ...)
        The reconstruction of each sample, to compare `decoded` with.
    distances : ndarray of shape (n_samples,)
        From the code of the sample; 0 if it is of that class already.
    """

    codes: Any
    decoded: Any
    start: Any
    distances: Any


def counterfactual(pipeline, X, to, X_known, *, support=0.95, n_candidates=50):
    """Find the smallest move in the code that makes a classifier say another class.

    Moves lead from the code of a sample straight towards codes of known samples for
    which the classifier says that class, and end where its mind changes. They stay
    where the data are: the distance to the fifth nearest known code must not exceed
    what is usual among these.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted, with an autoencoder among its steps, whose `layer` is "mu", and a
        classifier in the end. Steps before it must have an `inverse_transform`.
    X : array-like of shape (n_samples, ...)
        What the pipeline takes.
    to : label
        The class that is asked for.
    X_known : array-like of shape (n_known, ...)
        Samples that show where the data are, such as the training data.
    support : float, default=0.95
        Share of the known codes that keep to that distance. Less of it keeps
        counterfactuals closer to the data.
    n_candidates : int, default=50
        Known codes, the nearest of that class, towards which moves are tried.

    Returns
    -------
    found : Counterfactuals
        With `codes`, `decoded`, `start` and `distances`.

    Warns
    -----
    UserWarning
        If nothing was found for some samples.

    Notes
    -----
    A counterfactual shows what the classifier goes by. It does not say what would
    happen to a patient whose image changed that way.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skvae import VAE
    >>> from skvae.inspection import counterfactual
    >>> X, y = load_digits(return_X_y=True)
    >>> vae = VAE(8, max_iter=20, random_state=0)
    >>> pipeline = make_pipeline(vae, LogisticRegression(max_iter=1000)).fit(X, y)
    >>> found = counterfactual(pipeline, X[:2], 8, X)
    >>> pipeline[-1].predict(found.codes)
    array([8, 8])
    """
    if not 0 < support <= 1:
        raise ValueError(f"`support` must be in (0, 1], got {support!r}.")
    if not is_count(n_candidates):
        raise ValueError(f"`n_candidates` must be an int >= 1, got {n_candidates!r}.")
    check_is_fitted(pipeline)
    classes = getattr(pipeline, "classes_", None)
    if classes is None or to not in list(classes):
        known = "no classifier" if classes is None else classes.tolist()
        raise ValueError(f"`to` must be a class of the pipeline ({known}), got {to!r}.")
    code, behind, n_used = _code_and_rest(pipeline, X)
    mu = code["mu"].astype(np.float64)
    if n_used != mu.shape[1]:
        raise ValueError("The classifier must get all of `mu`, not a prefix.")
    known = _code_and_rest(pipeline, X_known)[0]["mu"].astype(np.float64)

    if len(known) < 2:
        raise ValueError("`X_known` must hold 2 samples at least, got 1.")

    def says_so(codes):
        return behind.predict(codes.astype(np.float32)) == to

    n_neighbors = min(_N_NEIGHBORS, len(known) - 1)
    neighbors = NearestNeighbors(n_neighbors=n_neighbors).fit(known)
    bound = np.quantile(neighbors.kneighbors()[0][:, -1], support)

    def is_supported(codes):
        return neighbors.kneighbors(codes)[0][:, -1] <= bound

    targets = known[says_so(known)]
    if not len(targets):
        raise ValueError(f"The pipeline says {to!r} for none of `X_known`.")
    ends = NearestNeighbors(n_neighbors=min(n_candidates, len(targets))).fit(targets)
    reached = np.full_like(mu, np.nan)
    is_there = says_so(mu)
    reached[is_there] = mu[is_there]
    for i in np.flatnonzero(~is_there):
        candidates = targets[ends.kneighbors(mu[[i]], return_distance=False)[0]]
        reached[i] = _nearest_change(mu[i], candidates, says_so, is_supported)
    missed = np.isnan(reached[:, 0])
    if missed.any():
        warnings.warn(
            f"For {missed.sum()} of {len(mu)} samples no supported code was found that "
            f"is called {to!r}. Raise `support` or `n_candidates`.",
            stacklevel=2,
        )
    until = _until_autoencoder(pipeline)
    decoded = decode(until, np.where(np.isnan(reached), 0, reached)).astype(np.float64)
    decoded[missed] = np.nan
    distances = np.linalg.norm(reached - mu, axis=1)
    return Counterfactuals(reached, decoded, decode(until, mu), distances)


def _nearest_change(code, candidates, says_so, is_supported):
    """Return the nearest code towards candidates where a classifier says so, or NaN."""
    t = np.arange(1, _N_STEPS + 1) / _N_STEPS
    ways = candidates - code
    points = code + t[:, None, None] * ways
    flat = points.reshape(-1, len(code))
    fits = (says_so(flat) & is_supported(flat)).reshape(points.shape[:2])
    step = np.where(fits.any(axis=0), fits.argmax(axis=0), _N_STEPS)
    lengths = np.linalg.norm(ways, axis=1) * (step + 1)
    lengths[step == _N_STEPS] = np.inf
    best = lengths.argmin()
    if not np.isfinite(lengths[best]):
        return np.full_like(code, np.nan)
    far, near = t[step[best]], t[step[best]] - 1 / _N_STEPS
    for _ in range(_N_HALVINGS):
        middle = (far + near) / 2
        point = (code + middle * ways[best])[None]
        if says_so(point)[0] and is_supported(point)[0]:
            far = middle
        else:
            near = middle
    return code + far * ways[best]


def _until_autoencoder(pipeline):
    before, _, _ = split_at_autoencoder(pipeline)
    return pipeline[: 1 + (0 if before is None else len(before))]


def _code_and_rest(pipeline, X):
    """Return the code of samples, what comes behind, and how much of `mu` it gets."""
    _, model, behind = split_at_autoencoder(pipeline)
    if behind is None or not hasattr(behind, "predict"):
        raise ValueError("`pipeline` must end in a classifier or a regressor.")
    layer = model.layer if isinstance(model.layer, str) else tuple(model.layer)
    name, length = prefix_of(layer) if isinstance(layer, str) else (None, None)
    if name not in ("mu", "z"):
        raise ValueError(
            "The autoencoder of `pipeline` must hand on 'mu' or 'z', but its `layer` "
            f"is {model.layer!r}."
        )
    code, _ = code_of(_until_autoencoder(pipeline), X)
    code = {name: to_numpy(values) for name, values in code.items()}
    return code, behind, code["mu"].shape[1] if length is None else length

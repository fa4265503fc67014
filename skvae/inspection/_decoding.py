"""What codes stand for: decoded along a component, or between two samples."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._pipelines import autoencoder_in, back_from_autoencoder, with_layer
from .._validation import is_count, to_numpy
from ._codes import code_of


def latent_traversal(
    estimator, X, components=None, *, n_steps=9, quantiles=(0.02, 0.98), start=None
):
    """Decode codes that differ from one code in one component only.

    Parameters
    ----------
    estimator : estimator
        A fitted autoencoder, or a Pipeline that ends in one; steps before it must have
        an `inverse_transform`.
    X : array-like of shape (n_samples, ...)
        Samples whose codes say how far a component reaches, such as the training data.
    components : list of int, default=None
        Which ones. None takes all.
    n_steps : int, default=9
        Values of a component, evenly spaced.
    quantiles : tuple of (float, float), default=(0.02, 0.98)
        Of the component among `X`: the first and the last value.
    start : array-like of shape (n_components,), default=None
        The code that is changed. None takes the median of each component.

    Returns
    -------
    values : ndarray of shape (n_chosen, n_steps)
        What each component was set to.
    decoded : ndarray of shape (n_chosen, n_steps, ...)
        In the units of `X`.

    See Also
    --------
    interpolate : From one sample to another.
    skvae.plot.LatentTraversalDisplay : Draws it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAE
    >>> from skvae.inspection import latent_traversal
    >>> X = load_digits().images
    >>> vae = VAE(4, max_iter=20, random_state=0).fit(X)
    >>> values, images = latent_traversal(vae, X, [0, 1], n_steps=5)
    >>> images.shape
    (2, 5, 8, 8)
    """
    if not is_count(n_steps) or n_steps < 2:
        raise ValueError(f"`n_steps` must be an int >= 2, got {n_steps!r}.")
    mu = code_of(estimator, X)[0]["mu"]
    chosen = check_components(components, mu.shape[1])
    code = np.median(mu, axis=0) if start is None else np.asarray(to_numpy(start))
    if code.shape != mu.shape[1:]:
        raise ValueError(
            f"`start` must be a code of shape {mu.shape[1:]}, got {code.shape}."
        )
    ends = np.quantile(mu[:, chosen], quantiles, axis=0)
    values = np.linspace(*ends, n_steps, axis=1)
    codes = np.tile(code, (len(chosen), n_steps, 1))
    for row, component in enumerate(chosen):
        codes[row, :, component] = values[row]
    decoded = decode(estimator, codes.reshape(-1, mu.shape[1]))
    return values, decoded.reshape(len(chosen), n_steps, *decoded.shape[1:])


def interpolate(estimator, X_from, X_to, *, n_steps=9, method="linear"):
    r"""Decode codes on the way from samples to others.

    Parameters
    ----------
    estimator : estimator
        A fitted autoencoder, or a Pipeline that ends in one; steps before it must have
        an `inverse_transform`.
    X_from, X_to : array-like of shape (n_samples, ...)
        Where to start and to end, row by row.
    n_steps : int, default=9
        Codes on the way, with both ends.
    method : {"linear", "spherical"}, default="linear"
        The straight line; or the arc about the mean of the prior that keeps to the
        distance at which codes of many components lie (White 2016,
        https://arxiv.org/abs/1609.04468):
        :math:`(\sin((1 - t)\theta) z_0 + \sin(t\theta) z_1) / \sin\theta`.

    Returns
    -------
    decoded : ndarray of shape (n_samples, n_steps, ...)
        In the units of `X`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAE
    >>> from skvae.inspection import interpolate
    >>> X = load_digits().images
    >>> vae = VAE(4, max_iter=20, random_state=0).fit(X)
    >>> interpolate(vae, X[:3], X[3:6], n_steps=5).shape
    (3, 5, 8, 8)
    """
    if not is_count(n_steps) or n_steps < 2:
        raise ValueError(f"`n_steps` must be an int >= 2, got {n_steps!r}.")
    if method not in ("linear", "spherical"):
        raise ValueError(f"`method` must be 'linear' or 'spherical', got {method!r}.")
    first, last = (code_of(estimator, X)[0]["mu"] for X in (X_from, X_to))
    if first.shape != last.shape:
        raise ValueError(
            "`X_from` and `X_to` must have the same number of samples, got "
            f"{len(first)} and {len(last)}."
        )
    t = np.linspace(0, 1, n_steps)[:, None]
    first, last = first[:, None].astype(np.float64), last[:, None].astype(np.float64)
    if method == "linear":
        codes = (1 - t) * first + t * last
    else:
        codes = _on_arc(first, last, t)
    decoded = decode(estimator, codes.reshape(-1, codes.shape[-1]))
    return decoded.reshape(*codes.shape[:2], *decoded.shape[1:])


def decode(estimator, codes):
    """Return samples, in the units of the estimator, of values of `mu`."""
    check_is_fitted(estimator)
    model = with_layer(autoencoder_in(estimator), "mu")
    decoded = model.inverse_transform(np.asarray(codes, dtype=np.float32))
    return to_numpy(back_from_autoencoder(estimator, decoded))


def check_components(components, n_components):
    """Validate numbers of components, counted from 0; None means all."""
    if components is None:
        return list(range(n_components))
    chosen = list(np.atleast_1d(components))
    is_valid = [
        isinstance(j, int | np.integer) and 0 <= j < n_components for j in chosen
    ]
    if not chosen or not all(is_valid):
        raise ValueError(
            f"`components` must be ints from 0 to {n_components - 1}, got "
            f"{components!r}."
        )
    return [int(j) for j in chosen]


def _on_arc(first, last, t):
    norms = np.linalg.norm(first, axis=-1) * np.linalg.norm(last, axis=-1)
    cosine = (first * last).sum(axis=-1) / np.where(norms > 0, norms, 1)
    angle = np.arccos(np.clip(cosine, -1, 1))[..., None]
    sine = np.sin(angle)
    straight = (1 - t) * first + t * last
    with np.errstate(divide="ignore", invalid="ignore"):
        arc = (np.sin((1 - t) * angle) * first + np.sin(t * angle) * last) / sine
    return np.where(sine > 1e-6, arc, straight)

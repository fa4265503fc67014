"""The codes of samples: how they are distributed, and what each component holds."""

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist, pdist
from scipy.special import logsumexp
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_random_state, resample
from sklearn.utils.validation import check_is_fitted

from .._pipelines import before_autoencoder
from .._validation import is_count, to_numpy

_ACTIVE = 0.01  # variance of the mean, of a prior of variance 1
_AT_A_TIME = 2**22  # densities in memory


def prior_distance(estimator, X, *, max_samples=2000, random_state=None):
    r"""Return how far the codes of samples are from draws of the prior.

    The energy coefficient, with codes :math:`Z` and draws :math:`P`,

    .. math:: H = \frac{2 E|Z - P| - E|Z - Z'| - E|P - P'|}{2 E|Z - P|}

    is 0 where both have the same distribution and comes close to 1 where they lie far
    apart, whatever their scale. On samples it stays slightly above 0.

    Parameters
    ----------
    estimator : estimator
        A fitted autoencoder, or a Pipeline that ends in one.
    X : array-like of shape (n_samples, ...)
        What the estimator takes.
    max_samples : int, default=2000
        No more samples than these are drawn from `X`; time and memory grow with the
        square.
    random_state : int, RandomState instance or None, default=None
        Picks samples and draws. None gives the same result in each call.

    Returns
    -------
    distance : float
        Between 0 and 1.

    References
    ----------
    G. J. Székely and M. L. Rizzo, "Energy statistics: a class of statistics based on
    distances", Journal of Statistical Planning and Inference 143, 2013,
    https://doi.org/10.1016/j.jspi.2013.03.018.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import AAE
    >>> from skvae.inspection import prior_distance
    >>> X, _ = load_digits(return_X_y=True)
    >>> before = AAE(max_iter=1, random_state=0).fit(X)
    >>> after = AAE(max_iter=30, random_state=0).fit(X)
    >>> prior_distance(after, X) < prior_distance(before, X)
    True
    """
    if not is_count(max_samples) or max_samples < 2:
        raise ValueError(f"`max_samples` must be an int >= 2, got {max_samples!r}.")
    rng = check_random_state(0 if random_state is None else random_state)
    code, model = code_of(estimator, X)
    codes = code["z"]
    if len(codes) < 2:
        raise ValueError("`X` must hold 2 samples at least, got n_samples = 1.")
    if len(codes) > max_samples:
        codes = resample(codes, replace=False, n_samples=max_samples, random_state=rng)
    draws = model.sample_codes(len(codes), random_state=rng)
    return energy_coefficient(codes, draws)


def component_summary(estimator, X, *, max_samples=1000, random_state=None):
    r"""Say of each component of the code how much it holds.

    Parameters
    ----------
    estimator : estimator
        A fitted autoencoder, or a Pipeline that ends in one.
    X : array-like of shape (n_samples, ...)
        What the estimator takes.
    max_samples : int, default=1000
        No more samples than these are drawn from `X`; time grows with the square.
    random_state : int, RandomState instance or None, default=None
        Picks samples and draws. None gives the same result in each call.

    Returns
    -------
    summary : DataFrame of shape (n_components, 6)
        One row per component, with the columns

        - "variance_share": its share in the variance of `mu`;
        - "is_active": whether the variance of its `mu` is above .01 of the variance of
          the code, that of the prior in a `VAE` (Burda et al. 2016);
        - "information": the information about the sample in nats,
          :math:`E \, KL(q(z_j|x) \| q(z_j))`, which is at most the logarithm of the
          number of samples. NaN for a model without a posterior;
        - "kl_divergence": :math:`E \, KL(q(z_j|x) \| p(z_j))` in nats, for a model
          that holds its code to a standard normal prior, else NaN. It is the
          information and what `prior_distance` tells in another unit (Hoffman and
          Johnson 2016);
        - "prior_distance": of this component alone, from 0 to 1;
        - "overlap": what the other components tell about its `mu` in nats, if all were
          Gaussian: :math:`-\tfrac12 \log(1 - R^2)`. NaN if there are no more samples
          than components.

        ``summary.attrs["total_correlation"]`` is the overlap of all of them, in nats
        and as if Gaussian: 0 if no component tells anything about another one.

    See Also
    --------
    latent_correlation : What a component has to do with something known.
    prior_distance : Of the whole code.

    References
    ----------
    Y. Burda, R. Grosse and R. Salakhutdinov, "Importance weighted autoencoders", ICLR
    2016, https://arxiv.org/abs/1509.00519.

    M. Hoffman and M. Johnson, "ELBO surgery: yet another way to carve up the
    variational evidence lower bound", NIPS workshop 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAE
    >>> from skvae.inspection import component_summary
    >>> X, _ = load_digits(return_X_y=True)
    >>> vae = VAE(4, max_iter=20, random_state=0).fit(X)
    >>> summary = component_summary(vae, X)
    >>> summary.index.to_list()
    ['mu_0', 'mu_1', 'mu_2', 'mu_3']
    >>> bool(summary["is_active"].all())
    True
    """
    if not is_count(max_samples) or max_samples < 2:
        raise ValueError(f"`max_samples` must be an int >= 2, got {max_samples!r}.")
    rng = check_random_state(0 if random_state is None else random_state)
    code, model = code_of(estimator, X)
    draws = code["z"]
    n_samples, n_components = draws.shape
    if n_samples < 2:
        raise ValueError("`X` must hold 2 samples at least, got n_samples = 1.")
    if n_samples > max_samples:
        picked = rng.choice(n_samples, max_samples, replace=False)
        code = {name: values[picked] for name, values in code.items()}
    mu, logvar = code["mu"].astype(np.float64), code.get("logvar")
    from_prior = model.sample_codes(len(mu), random_state=rng)
    variance = mu.var(axis=0)
    is_normal = logvar is not None and "kl_divergence" in model.history_[-1]
    unit = np.ones(n_components) if is_normal else _variances(code)
    overlap, total = _overlap(mu)
    summary = pd.DataFrame(
        {
            "variance_share": variance / variance.sum() if variance.any() else 0.0,
            "is_active": variance > _ACTIVE * unit,
            "information": np.nan if logvar is None else _information(mu, logvar),
            "kl_divergence": _divergence(mu, logvar) if is_normal else np.nan,
            "prior_distance": [
                energy_coefficient(code["z"][:, [j]], from_prior[:, [j]])
                for j in range(n_components)
            ],
            "overlap": overlap,
        },
        index=component_names(n_components),
    )
    summary.attrs["total_correlation"] = float(total)
    return summary


def nearest(estimator, X, codes, *, n_neighbors=5):
    """Return the samples whose codes are most like given ones.

    Parameters
    ----------
    estimator : estimator
        A fitted autoencoder, or a Pipeline that ends in one.
    X : array-like of shape (n_samples, ...)
        Where to look, such as the training data.
    codes : array-like of shape (n_codes, n_components)
        Values of `mu`.
    n_neighbors : int, default=5

    Returns
    -------
    distances : ndarray of shape (n_codes, n_neighbors)
        Euclidean, the nearest first.
    indices : ndarray of shape (n_codes, n_neighbors), int64
        Rows of `X`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAE
    >>> from skvae.inspection import nearest
    >>> X, _ = load_digits(return_X_y=True)
    >>> vae = VAE(4, max_iter=20, random_state=0).fit(X)
    >>> distances, indices = nearest(vae, X, vae.transform(X[:2]), n_neighbors=3)
    >>> indices[:, 0]
    array([0, 1])
    """
    mu = code_of(estimator, X)[0]["mu"]
    search = NearestNeighbors(n_neighbors=n_neighbors).fit(mu)
    return search.kneighbors(to_numpy(codes))


def code_of(estimator, X):
    """Return what the code of samples consists of, and the autoencoder.

    Returns
    -------
    code : dict of str to ndarray of shape (n_samples, n_components)
        "mu", "z" and, if there is one, "logvar".
    model : estimator
    """
    check_is_fitted(estimator)
    X, model = before_autoencoder(estimator, X)
    names = [name for name in ("mu", "z", "logvar") if name in model.layer_names_]
    code = model.extract(X, names)
    return {name: to_numpy(values) for name, values in code.items()}, model


def component_names(n_components):
    """Return the names that `get_feature_names_out` gives to components."""
    return [f"mu_{j}" for j in range(n_components)]


def energy_coefficient(codes, draws):
    """Return how far two samples of points are apart, from 0 to 1."""
    between = 2 * cdist(codes, draws).mean()
    within = _mean_distance(codes) + _mean_distance(draws)
    return float((between - within) / between) if between else 0.0


def _variances(code):
    return np.maximum(code["z"].var(axis=0).mean(), np.finfo(np.float32).tiny)


def _overlap(mu):
    """Return what others tell about each component, and what all share, if Gaussian."""
    if len(mu) <= mu.shape[1] + 1:
        return np.nan, np.nan
    scale = mu.std(axis=0)
    Z = (mu - mu.mean(axis=0)) / np.where(scale > 0, scale, 1)
    correlation = Z.T @ Z / len(Z)
    np.fill_diagonal(correlation, 1 + 1e-9)  # to be inverted where two are the same
    each = 0.5 * np.log(np.diag(np.linalg.inv(correlation)))
    return each, -0.5 * np.linalg.slogdet(correlation)[1]


def _divergence(mu, logvar):
    each = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar)
    return each.mean(axis=0)


def _information(mu, logvar):
    """Return E KL(q(z_j|x) || q(z_j)), the latter of these samples, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    weights = weights / weights.sum()
    scale = np.exp(0.5 * logvar)
    block = max(1, _AT_A_TIME // (len(mu) * len(nodes)))
    information = np.empty(mu.shape[1])
    for j, (m, s) in enumerate(zip(mu.T, scale.T, strict=True)):
        gains = []
        for start in range(0, len(m), block):
            own = slice(start, start + block)
            z = m[own, None] + s[own, None] * nodes
            log_density = -0.5 * ((z[..., None] - m) / s) ** 2 - np.log(s)
            of_all = logsumexp(log_density, axis=-1) - np.log(len(m))
            of_own = -0.5 * nodes**2 - np.log(s[own, None])
            gains.append((of_own - of_all) @ weights)
        information[j] = np.concatenate(gains).mean()
    return information


def _mean_distance(codes):
    return 2 * pdist(codes).sum() / len(codes) ** 2

"""Numbers that say what a fitted autoencoder has learnt."""

from numbers import Integral

from scipy.spatial.distance import cdist, pdist
from sklearn.utils import check_random_state, resample


def prior_distance(estimator, X, *, max_samples=2000, random_state=None):
    r"""Return how far the codes of samples are from draws of the prior.

    The energy coefficient, with codes :math:`Z` and draws :math:`P`,

    .. math:: H = \frac{2 E|Z - P| - E|Z - Z'| - E|P - P'|}{2 E|Z - P|}

    is 0 where both have the same distribution and comes close to 1 where they lie far
    apart, whatever their scale. On samples it stays slightly above 0.

    Parameters
    ----------
    estimator : estimator
        Fitted, such as a `VAE` or an `AAE`.
    X : array-like of shape (n_samples, n_features) or (n_samples, ...)
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
    if not isinstance(max_samples, Integral) or max_samples < 2:
        raise ValueError(f"`max_samples` must be an int >= 2, got {max_samples!r}.")
    rng = check_random_state(0 if random_state is None else random_state)
    codes = estimator.extract(X, "z")["z"]
    if len(codes) < 2:
        raise ValueError("`X` must hold 2 samples at least, got n_samples = 1.")
    if len(codes) > max_samples:
        codes = resample(codes, replace=False, n_samples=max_samples, random_state=rng)
    draws = estimator.sample_codes(len(codes), random_state=rng)
    between = 2 * cdist(codes, draws).mean()
    within = _mean_distance(codes) + _mean_distance(draws)
    return float((between - within) / between)


def _mean_distance(codes):
    return 2 * pdist(codes).sum() / len(codes) ** 2

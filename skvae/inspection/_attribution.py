import math
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from .._pipelines import before_autoencoder
from .._validation import check_layers, check_rows, to_numpy

_TOLERANCE = 1e-3  # of what a component changes by
_MOST_POINTS = 1024


def attribution(estimator, X, component, *, layer="mu", baseline=None):
    r"""Say which input values move a component of the code, and by how much.

    Integrated gradients from a baseline :math:`x'` to the sample, of a component
    :math:`f`:

    .. math:: a_i = (x_i - x'_i) \int_0^1
              \frac{\partial f(x' + t (x - x'))}{\partial x_i} \, dt

    They add up to :math:`f(x) - f(x')`. The integral is refined until they do, to one
    in a thousand.

    Parameters
    ----------
    estimator : estimator
        A fitted autoencoder, or a Pipeline that ends in one.
    X : array-like of shape (n_samples, ...)
        What the estimator takes.
    component : int
        Number of the component, counted from 0.
    layer : str, default="mu"
        Any other key of `layer_names_`, whose output is flattened; but "z" is random.
    baseline : array-like of the shape of one sample of the autoencoder, default=None
        Where to start from. None takes the mean of the training data.

    Returns
    -------
    contributions : ndarray of shape (n_samples, ...)
        One for each value that the autoencoder gets, in the units of the component. For
        scaled columns these are the columns, behind a PCA they are its components.

    Warns
    -----
    ConvergenceWarning
        If the sum is off by more than one in a thousand.

    See Also
    --------
    skvae.plot.AttributionDisplay : Draws it on images and volumes.

    References
    ----------
    M. Sundararajan, A. Taly and Q. Yan, "Axiomatic attribution for deep networks", ICML
    2017, https://arxiv.org/abs/1703.01365.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAE
    >>> from skvae.inspection import attribution
    >>> X = load_digits().images
    >>> vae = VAE(4, max_iter=20, random_state=0).fit(X)
    >>> contributions = attribution(vae, X[:3], component=0)
    >>> contributions.shape
    (3, 8, 8)
    >>> mean = X.mean(axis=0, keepdims=True)
    >>> change = vae.transform(X[:3])[:, 0] - vae.transform(mean)[:, 0]
    >>> bool(abs(contributions.sum(axis=(1, 2)) - change).max() < 0.01)
    True
    """
    check_is_fitted(estimator)
    X, model = before_autoencoder(estimator, X)
    if layer == "z":
        raise ValueError("`layer` can't be 'z', which is random. Take 'mu'.")
    size = math.prod(*check_layers(layer, model.layer_names_).values())
    if not isinstance(component, int | np.integer) or not 0 <= component < size:
        raise ValueError(
            f"`component` must be an int from 0 to {size - 1}, got {component!r}."
        )
    rows, shape = check_rows(model, X, reset=False)
    rows = to_numpy(rows)
    start = _start(model, baseline)
    net = model._net
    ends = np.concatenate([rows, np.where(np.isnan(rows), np.nan, start.ravel())])
    values = to_numpy(net.extract(ends.astype(rows.dtype), [layer])[layer])
    of_rows, of_start = values.reshape(2, len(rows), -1)[..., component]
    change = of_rows.astype(np.float64) - of_start
    allowed = _TOLERANCE * max(np.abs(change).max(), 1e-6)
    n_points = 16
    while True:
        nodes, weights = np.polynomial.legendre.leggauss(n_points)
        nodes, weights = ((nodes + 1) / 2).tolist(), (weights / 2).tolist()
        given = net.path_gradients(rows, start, layer, component, nodes, weights)
        error = np.abs(to_numpy(given).reshape(len(rows), -1).sum(axis=1) - change)
        if error.max() <= allowed or n_points >= _MOST_POINTS:
            break
        n_points *= 4
    if error.max() > allowed:
        warnings.warn(
            f"The contributions add up to the change of component {component} but for "
            f"{error.max():.2g}, more than {allowed:.2g}. Networks with jumps can't be "
            "integrated exactly.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return to_numpy(given).reshape(-1, *shape)


def _start(model, baseline):
    start = to_numpy(model.module_.shift.cpu()).astype(np.float64)
    if baseline is None:
        return start
    baseline = np.asarray(to_numpy(baseline), dtype=np.float64)
    if baseline.size != start.size:
        raise ValueError(
            f"`baseline` must have the shape of one sample, {start.shape}, got "
            f"{baseline.shape}."
        )
    return baseline.reshape(start.shape)

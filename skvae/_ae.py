import numpy as np

from ._base import BaseAutoencoder
from ._documentation import inherit_documentation
from ._validation import to_numpy


@inherit_documentation
class AE(BaseAutoencoder):
    r"""Autoencoder: a nonlinear PCA by two neural networks.

    An encoder maps a sample :math:`x` to a code :math:`\mu(x)` and a decoder maps it
    back, so that the likelihood of the data around their reconstruction is largest:

    .. math:: \min \; \frac1n \sum_{i=1}^n -\log p\left(x_i \mid \mu(x_i)\right)

    The default Gaussian likelihood learns its scale; ``likelihood="squared_error"``
    gives the plain squared error. As with PCA, neither a common scale nor offsets of
    the features matter, but features of larger variance weigh more: standardize tables
    of unlike columns.

    See Also
    --------
    VAE : Adds a prior on the code, for sampling and for a bound on the likelihood.
    sklearn.decomposition.PCA : The linear counterpart.

    References
    ----------
    G. E. Hinton and R. R. Salakhutdinov, "Reducing the dimensionality of data with
    neural networks", Science 313, 2006, https://doi.org/10.1126/science.1127647.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import AE
    >>> X, _ = load_digits(return_X_y=True)
    >>> ae = AE(n_components=2, max_iter=5, random_state=0).fit(X)
    >>> ae.transform(X).shape
    (1797, 2)
    """

    _module_name = "AEModule"

    def sample(self, n_samples=1, *, noise=False, random_state=None):
        """Decode draws from a Gaussian fitted to the training codes.

        An autoencoder has no prior of its own; the Gaussian with the mean and the
        covariance of the codes of the last data seen takes its place (Ghosh et al.
        2020, https://arxiv.org/abs/1903.12436).
        """
        return super().sample(n_samples, noise=noise, random_state=random_state)

    def _draw_codes(self, n_samples, rng):
        codes = rng.multivariate_normal(
            self._code_mean, self._code_covariance, size=n_samples
        )
        return codes.astype(np.float32)

    def _learnt_from_codes(self, net, rows):
        codes = to_numpy(net.extract(rows, ["mu"])["mu"]).astype(np.float64)
        mean = codes.mean(axis=0)
        covariance = (codes - mean).T @ (codes - mean) / len(codes)
        return {"_code_mean": mean, "_code_covariance": covariance}

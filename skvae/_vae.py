import math
import warnings
from numbers import Integral

import numpy as np
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from ._base import BaseAutoencoder
from ._documentation import inherit_documentation
from ._random import child_seed, row_noise
from ._validation import (
    arguments_of,
    at_least,
    check_rows,
    get_namespace,
    is_count,
    to_numpy,
)

_COLLAPSED = 0.01


class PosteriorCollapseWarning(UserWarning):
    """The code of a VAE carries no information about the data."""


@inherit_documentation
class VAE(BaseAutoencoder):
    r"""Variational autoencoder: codes with a prior, and a bound on the likelihood.

    An encoder gives each sample a Gaussian posterior :math:`q(z|x)` of mean ``mu`` and
    log-variance ``logvar``; a decoder gives the likelihood :math:`p(x|z)`. Training
    minimizes, with the prior :math:`p(z) = N(0, I)`,

    .. math:: \frac1n \sum_{i=1}^n -E_{q(z|x_i)} \log p(x_i|z)
              + \beta \, KL\left(q(z|x_i) \,\|\, p(z)\right)

    in nats, summed over features and over components. The default Gaussian likelihood
    learns its scale (sigma-VAE), which balances the two terms for features in [0, 1],
    standardized features and Hounsfield units alike. As with PCA, features of larger
    variance weigh more: standardize tables of unlike columns.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of the Kullback-Leibler term. More than 1 smooths the code and blurs the
        reconstruction (beta-VAE).
    beta_warmup : int, default=0
        Epochs over which the weight rises from 0 to `beta`, linearly.
    free_bits : float, default=0.0
        Nats per component below which the Kullback-Leibler term costs the same, so that
        every component may carry that much for free.
    layer : str or list of str, default="mu"
        What `transform` returns: "mu", "logvar", "z" (a draw from the posterior, the
        same for equal samples) or any other key of `layer_names_`. It may be changed
        after `fit`.

    Attributes
    ----------
    history_ : list of dict
        Per epoch: "train_loss", its terms ("reconstruction_loss", "kl_divergence"),
        "valid_loss" if there are held-out samples, and the duration "dur" in seconds.

    Warns
    -----
    PosteriorCollapseWarning
        If after training all components carry less than 0.01 nats on the training data.

    See Also
    --------
    AE : No prior; sharper reconstructions.
    sklearn.decomposition.PCA : The linear counterpart.

    References
    ----------
    D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", 2014,
    https://arxiv.org/abs/1312.6114.

    I. Higgins et al., "beta-VAE", 2017, https://openreview.net/forum?id=Sy2fzU9gl.

    D. P. Kingma et al., "Improving variational inference with inverse autoregressive
    flow" (free bits), 2016, https://arxiv.org/abs/1606.04934.

    O. Rybkin, K. Daniilidis and S. Levine, "Simple and effective VAE training with
    calibrated decoders" (sigma-VAE), 2021, https://arxiv.org/abs/2006.13202.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAE
    >>> X, _ = load_digits(return_X_y=True)
    >>> vae = VAE(n_components=2, max_iter=5, random_state=0).fit(X)
    >>> vae.transform(X).shape
    (1797, 2)
    >>> vae.set_params(layer=["mu", "logvar"]).get_feature_names_out()
    array(['mu_0', 'mu_1', 'logvar_0', 'logvar_1'], dtype=object)
    """

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "beta": [at_least(0)],
        "beta_warmup": [at_least(0, Integral)],
        "free_bits": [at_least(0)],
    }
    _module_name = "VAEModule"
    _objective = (*BaseAutoencoder._objective, "beta", "beta_warmup", "free_bits")

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
        beta=1.0,
        beta_warmup=0,
        free_bits=0.0,
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
        super().__init__(**arguments_of(BaseAutoencoder, locals()))
        self.beta = beta
        self.beta_warmup = beta_warmup
        self.free_bits = free_bits

    def score_samples(self, X, n_draws=None):
        """Return a lower bound on the log-likelihood of each sample.

        Parameters
        ----------
        n_draws : int or None, default=None
            None gives the evidence lower bound (whatever `beta` was in training). An
            int gives the importance-weighted bound of that many draws, which is tighter
            the more there are (Burda, Grosse and Salakhutdinov 2016,
            https://arxiv.org/abs/1509.00519).

        Returns
        -------
        scores : ndarray of shape (n_samples,), float32
            In nats, summed over the features. Low ones are anomalies. The draws depend
            on the sample only, so that equal samples get equal scores.
        """
        check_is_fitted(self)
        if not (n_draws is None or is_count(n_draws)):
            raise ValueError(f"`n_draws` must be an int >= 1 or None, got {n_draws!r}.")
        rows, _ = check_rows(self, X, reset=False)
        return self._scores(rows, n_draws)

    def _scores(self, rows, n_draws=None):
        chunks = gen_batches(len(rows), 1024)  # the noise of all rows would be large
        scores = [self._bound(rows[chunk], n_draws) for chunk in chunks]
        return get_namespace(scores[0])[0].concat(scores)

    def _conditional_means(self, rows, n_draws):
        noise = self._noise_of(rows, n_draws)
        samples = self._net.as_samples(rows)
        means = self._net.apply(self.module_.imputed, samples, noise, dtype="float64")
        return to_numpy(means).reshape(len(rows), -1)

    def _conditional_draws(self, rows, n_draws, seeds):
        uniform = [np.random.default_rng(seed).random(len(rows)) for seed in seeds]
        codes = self._net.apply(
            self.module_.resampled,
            self._net.as_samples(rows),
            self._noise_of(rows, n_draws),
            np.stack(uniform, axis=1).astype(np.float32),
        )
        drawn = [
            self._net.decode(codes[:, i], "float64", child_seed(seed, 1))
            for i, seed in enumerate(seeds)
        ]
        return np.stack([to_numpy(each).reshape(len(rows), -1) for each in drawn])

    def _noise_of(self, rows, n_draws):
        shape = (n_draws, *self._net.layer_names["mu"])
        noise = row_noise(to_numpy(rows), self._net.seed, math.prod(shape))
        return noise.reshape(-1, *shape)

    def _bound(self, rows, n_draws):
        noise = self._noise_of(rows, n_draws or 1)
        if n_draws is None:
            bound, noise = self.module_.elbo, noise[:, 0]
        else:
            bound = self.module_.importance_weighted_bound
        return self._net.apply(bound, self._net.as_samples(rows), noise)

    def _graph(self, method):
        if method == "score_samples":
            raise ValueError(
                "score_samples of a VAE draws random numbers, which a graph of ONNX "
                "doesn't repeat. Take method='reconstruct', and measure the error."
            )
        return super()._graph(method)

    def _draw_codes(self, n_samples, rng):
        shape = n_samples, *self.layer_names_["mu"]
        return rng.standard_normal(shape).astype(np.float32)

    def _diagnose(self, rows):
        if self._is_collapsed(rows):
            warnings.warn(
                f"Posterior collapse: each component carries less than {_COLLAPSED} "
                "nats, so `mu` says nothing about X. Raise `max_iter` if it is small, "
                "use likelihood='gaussian', which learns its scale, lower `beta`, or "
                "set `beta_warmup` or `free_bits`.",
                PosteriorCollapseWarning,
                stacklevel=5,
            )

    def _is_collapsed(self, rows):
        from .nn import kl_divergence

        nats = self._net.apply(
            lambda X: kl_divergence(self.module_.encode(X)), self._net.as_samples(rows)
        )
        return to_numpy(nats).mean(axis=0).max() < _COLLAPSED

import math
import warnings
from numbers import Integral

import numpy as np
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from ._base import BaseAutoencoder
from ._random import row_noise
from ._validation import at_least, check_rows, get_namespace, is_count, to_numpy

_COLLAPSED = 0.01


class PosteriorCollapseWarning(UserWarning):
    """The code of a VAE carries no information about the data."""


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
    n_components : int, default=10
        Size of the code. A larger one keeps more detail.
    architecture : {"mlp", "conv", "resnet"}, object or tuple, default="mlp"
        The networks: a name for the defaults of `MLP`, `Conv` or `ResNet`; such an
        object; any object with the methods ``encoder(sample_shape)`` and
        ``decoder(n_inputs, sample_shape)``; a pair (encoder, decoder) of
        ``torch.nn.Module``, or one that has both as parts, which are copied and trained
        from the weights they hold.
    image_shape : tuple of int, default=None
        Shape of one sample, such as (c, h, w) or (c, d, h, w), for a flat `X` whose
        axes the networks need. None takes the shape of `X`.
    likelihood : str or object, default="gaussian"
        How data are distributed around what the decoder says: "gaussian", "laplace",
        "bernoulli" (values in [0, 1]), "squared_error", or an object such as
        ``skvae.nn.Gaussian(scale=1.0)``.
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
    learning_rate : float, default=1e-3
        Step size of Adam. A larger one learns faster, until the loss diverges.
    batch_size : int, default=128
        Samples per training step.
    max_iter : int, default=100
        Number of epochs, or the most of them with `early_stopping`.
    early_stopping : bool, default=False
        Whether to stop when the loss on held-out samples stops falling, and to keep the
        weights of the best epoch. Those samples are `X_val` of `fit`, or a share of X.
    validation_fraction : float, default=0.1
        Share of the samples (or of their groups) held out for `early_stopping`.
    n_iter_no_change : int, default=10
        Epochs without an improvement of at least `tol` before training stops.
    tol : float, default=1e-4
        Improvement of the held-out loss that counts, in nats per sample.
    warm_start : bool, default=False
        Whether `fit` goes on from the last solution instead of starting anew.
    memory : str, path or joblib.Memory, default=None
        Folder where trained networks are kept (of a Memory, its location), so that a
        search over `layer` or over anything downstream trains each network once per
        fold. A fit found there runs no callbacks, and ``random_state=None`` then means
        the draw of the first time. A training that was cut off is not kept.
    callbacks : list of skorch callbacks, default=None
        Called during training, as in ``skorch.NeuralNet``. Those given stay as they
        are: `fit` runs copies of them, which are `callbacks_` afterwards.
    device : str or torch.device, default="auto"
        "auto" takes a CUDA device if there is one, else "cpu".
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, batches and noise. The global states of NumPy and
        PyTorch are never read or written.
    verbose : int, default=0
        Whether to show a progress bar with the terms of the loss.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained networks.
    layer_names_ : dict of str to tuple of int
        Every valid name for `layer`, with the shape of its output for one sample.
    sample_shape_ : tuple of int
        Shape of one sample as the networks see it.
    n_iter_ : int
        Number of epochs trained.
    callbacks_ : list of tuple
        Name and callback of each that ran in the last training. Empty if the networks
        came from `memory` or from a pickle.
    history_ : list of dict
        Per epoch: "train_loss", its terms ("reconstruction_loss", "kl_divergence"),
        "valid_loss" if there are held-out samples, and the duration "dur" in seconds.
    loss_curve_ : list of float
        Training loss after each epoch, in nats per sample.
    n_features_in_ : int
        Number of values per sample.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of `X`, where it had any.

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
    _objective = ("beta", "beta_warmup", "free_bits")

    def __init__(
        self,
        n_components=10,
        *,
        architecture="mlp",
        image_shape=None,
        likelihood="gaussian",
        beta=1.0,
        beta_warmup=0,
        free_bits=0.0,
        layer="mu",
        learning_rate=1e-3,
        batch_size=128,
        max_iter=100,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        memory=None,
        callbacks=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            n_components,
            architecture=architecture,
            image_shape=image_shape,
            likelihood=likelihood,
            layer=layer,
            learning_rate=learning_rate,
            batch_size=batch_size,
            max_iter=max_iter,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            warm_start=warm_start,
            memory=memory,
            callbacks=callbacks,
            device=device,
            random_state=random_state,
            verbose=verbose,
        )
        self.beta = beta
        self.beta_warmup = beta_warmup
        self.free_bits = free_bits

    def score_samples(self, X, n_samples=None):
        """Return a lower bound on the log-likelihood of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
        n_samples : int or None, default=None
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
        if not (n_samples is None or is_count(n_samples)):
            raise ValueError(
                f"`n_samples` must be an int >= 1 or None, got {n_samples!r}."
            )
        rows, _ = check_rows(self, X, reset=False)
        chunks = gen_batches(len(rows), 1024)  # the noise of all rows would be large
        scores = [self._bound(rows[chunk], n_samples) for chunk in chunks]
        return get_namespace(scores[0])[0].concat(scores)

    def _bound(self, rows, n_draws):
        shape = (n_draws or 1, *self.layer_names_["mu"])
        noise = row_noise(to_numpy(rows), self._net.seed, math.prod(shape))
        noise = noise.reshape(-1, *shape)
        if n_draws is None:
            bound, noise = self.module_.elbo, noise[:, 0]
        else:
            bound = self.module_.importance_weighted_bound
        return self._net.apply(bound, self._net.as_samples(rows), noise)

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

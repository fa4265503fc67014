import numpy as np

from ._base import BaseAutoencoder
from ._validation import to_numpy


class AE(BaseAutoencoder):
    r"""Autoencoder: a nonlinear PCA by two neural networks.

    An encoder maps a sample :math:`x` to a code :math:`\mu(x)` and a decoder maps it
    back, so that the likelihood of the data around their reconstruction is largest:

    .. math:: \min \; \frac1n \sum_{i=1}^n -\log p\left(x_i \mid \mu(x_i)\right)

    The default Gaussian likelihood learns its scale; ``likelihood="squared_error"``
    gives the plain squared error. As with PCA, neither a common scale nor offsets of
    the features matter, but features of larger variance weigh more: standardize tables
    of unlike columns.

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
        How data are distributed around their reconstruction: "gaussian", "laplace",
        "bernoulli" (values in [0, 1]), "squared_error", or an object such as
        ``skvae.nn.Gaussian(scale=1.0)``.
    layer : str or list of str, default="mu"
        What `transform` returns: "mu", "z" (the same for an AE) or any other key of
        `layer_names_`. It may be changed after `fit`.
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
        Per epoch: "train_loss", its terms ("reconstruction_loss"), "valid_loss" if
        there are held-out samples, and the duration "dur" in seconds.
    loss_curve_ : list of float
        Training loss after each epoch, in nats per sample.
    n_features_in_ : int
        Number of values per sample.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of `X`, where it had any.

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

    def sample(self, n_samples=1, *, random_state=None):
        """Decode draws from a Gaussian fitted to the training codes.

        An autoencoder has no prior of its own; the Gaussian with the mean and the
        covariance of the codes of the last data seen takes its place (Ghosh et al.
        2020, https://arxiv.org/abs/1903.12436).

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState instance or None, default=None
            None repeats the same draws in each call on one fitted model.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features) or (n_samples, ...)
            Means of the likelihood, of the rank and precision that `fit` saw.
        """
        return super().sample(n_samples, random_state=random_state)

    def _draw_codes(self, n_samples, rng):
        codes = rng.multivariate_normal(
            self._code_mean, self._code_covariance, size=n_samples
        )
        return codes.astype(np.float32)

    def _after_training(self, rows):
        codes = to_numpy(self._net.extract(rows, ["mu"])["mu"]).astype(np.float64)
        self._code_mean = codes.mean(axis=0)
        centred = codes - self._code_mean
        self._code_covariance = centred.T @ centred / len(codes)

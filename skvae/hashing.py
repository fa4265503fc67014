"""Semantic hashing: codes of bits, by which similar samples are found fast."""

from numbers import Integral

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils.validation import check_is_fitted

from ._ae import AE
from ._mixin import EstimatorMixin
from ._pipelines import adopt_features, autoencoder_in
from ._random import draw_seed
from ._validation import HasMethods, StrOptions, at_least, fit_context, is_count

__all__ = ["SemanticHasher"]

_AT_A_TIME = 2**24  # distances in memory
_N_BITS = np.array([number.bit_count() for number in range(256)])


class SemanticHasher(
    EstimatorMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    r"""Turn samples into short codes of bits, alike for similar samples.

    An autoencoder is trained, and what its `transform` returns is cut into bits. "itq"
    first turns the `n_bits` principal axes :math:`V` of the codes such that cutting
    them at zero loses least (iterative quantization):

    .. math:: \min_{R, B} \|B - V R\|^2, \qquad R^\top R = I,\; B \in \{-1, 1\}

    A neighbour is then a sample that differs in few bits, which a computer counts in a
    few nanoseconds: 32 bits of a million samples take 4 MB.

    Parameters
    ----------
    estimator : estimator or None, default=None
        An autoencoder, or a Pipeline that ends in one, whose code has at least `n_bits`
        values. None takes ``AE(max(n_bits, 32), corruption=3.0)``: much noise makes
        similar samples share bits, since the code has to be robust.
    n_bits : int, default=32
        Length of a code. More bits tell more samples apart.
    method : {"itq", "threshold"}, default="itq"
        How bits are made: see above, or by comparing each component with its median
        (then the code must have `n_bits` components).
    random_state : int, RandomState instance or None, default=None
        Seed of the first rotation, and of the networks where there is no `estimator`.

    Attributes
    ----------
    estimator_ : estimator
        The fitted autoencoder or Pipeline.
    packed_ : ndarray of shape (n_samples, ceil(n_bits / 8)), uint8
        Bits of the training samples, eight per byte, as ``pack`` gives them.
    n_features_in_ : int
        Number of features, where the estimator knows it.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of `X`, likewise.

    See Also
    --------
    sklearn.neighbors.NearestNeighbors : Neighbours by distances of whole codes.

    References
    ----------
    R. Salakhutdinov and G. Hinton, "Semantic hashing", International Journal of
    Approximate Reasoning 50, 2009, https://doi.org/10.1016/j.ijar.2008.11.006.

    Y. Gong and S. Lazebnik, "Iterative quantization: a procrustean approach to learning
    binary codes", CVPR 2011, https://doi.org/10.1109/CVPR.2011.5995432.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import AE
    >>> from skvae.hashing import SemanticHasher
    >>> X, y = load_digits(return_X_y=True)
    >>> ae = AE(16, corruption=1.0, max_iter=20, random_state=0)
    >>> hasher = SemanticHasher(ae, n_bits=16, random_state=0).fit(X[:1500])
    >>> distances, numbers = hasher.kneighbors(X[1500:], n_neighbors=5)
    >>> bool((y[numbers] == y[1500:, None]).mean() > 0.7)
    True
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "transform"]), None],
        "n_bits": [at_least(1, Integral)],
        "method": [StrOptions({"itq", "threshold"})],
        "random_state": ["random_state"],
    }

    def __init__(self, estimator=None, n_bits=32, *, method="itq", random_state=None):
        self.estimator = estimator
        self.n_bits = n_bits
        self.method = method
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Train the autoencoder, and find where to cut its codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            What the estimator takes.
        y : array-like of shape (n_samples,), default=None
            Passed on to the estimator: classes, for a model that is told them.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the code is too small for so many bits or the same for all samples, or if
            the estimator is no autoencoder and no Pipeline that ends in one.
        """
        seed = draw_seed(self.random_state)
        if self.estimator is None:
            size = max(self.n_bits, 32)
            estimator = AE(size, corruption=3.0, random_state=seed)
        else:
            autoencoder_in(self.estimator)
            estimator = clone(self.estimator)
        codes = _as_numpy(estimator.fit(X, y).transform(X))
        self._check_size(codes)
        self.estimator_ = estimator
        adopt_features(self, estimator)
        if self.method == "threshold":
            self._shift = np.median(codes, axis=0)
            self._axes = np.eye(codes.shape[1])
        else:
            pca = PCA(self.n_bits, svd_solver="full").fit(codes)
            self._shift = pca.mean_
            rotation = _least_loss_rotation(pca.transform(codes), seed)
            self._axes = pca.components_.T @ rotation
        self._n_features_out = self.n_bits
        self.packed_ = self.pack(self._bits(codes))
        return self

    def transform(self, X):
        """Return the bits of samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)

        Returns
        -------
        bits : ndarray of shape (n_samples, n_bits), uint8
            0 or 1.
        """
        check_is_fitted(self)
        return self._bits(_as_numpy(self.estimator_.transform(X)))

    def pack(self, bits):
        """Pack eight bits into a byte, as indexes for many samples take them.

        Parameters
        ----------
        bits : array-like of shape (n_samples, n_bits)
            0 or 1.

        Returns
        -------
        packed : ndarray of shape (n_samples, ceil(n_bits / 8)), uint8
        """
        bits = np.asarray(bits)
        if bits.ndim != 2 or bits.shape[1] != self.n_bits:
            raise ValueError(
                f"`bits` must have shape (n_samples, {self.n_bits}), got {bits.shape}."
            )
        return np.packbits(bits.astype(bool), axis=1)

    def kneighbors(self, X, n_neighbors=5, return_distance=True):
        """Find the training samples whose codes differ in the fewest bits.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        n_neighbors : int, default=5
        return_distance : bool, default=True

        Returns
        -------
        distances : ndarray of shape (n_samples, n_neighbors), int64
            Numbers of bits; only if `return_distance`.
        numbers : ndarray of shape (n_samples, n_neighbors), int64
            Of training samples, the nearest first; of equally near ones, the first.
        """
        packed = self.pack(self.transform(X))
        n_train = len(self.packed_)
        if not (is_count(n_neighbors) and n_neighbors <= n_train):
            raise ValueError(
                f"`n_neighbors` must be an int from 1 to {n_train}, the number of "
                f"training samples, got {n_neighbors!r}."
            )
        ranks = np.empty((len(packed), n_neighbors), dtype=np.int64)
        for batch in gen_batches(len(packed), max(1, _AT_A_TIME // n_train)):
            # Distance and number in one integer, so that ties come in order.
            both = _hamming(packed[batch], self.packed_) * n_train + np.arange(n_train)
            part = np.partition(both, n_neighbors - 1, axis=1)[:, :n_neighbors]
            ranks[batch] = np.sort(part, axis=1)
        distances, numbers = np.divmod(ranks, n_train)
        return (distances, numbers) if return_distance else numbers

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _check_size(self, codes):
        size = codes.shape[1]
        if self.method == "threshold" and size != self.n_bits:
            raise ValueError(
                f"method='threshold' makes one bit of each component: n_bits="
                f"{self.n_bits}, but the code has {size}. Make them equal."
            )
        if min(codes.shape) < self.n_bits:
            raise ValueError(
                f"n_bits={self.n_bits} needs at least as many samples, and codes of at "
                f"least as many values; got {len(codes)} samples and codes of {size}."
            )
        if not np.ptp(codes, axis=0).any():
            raise ValueError(
                "All samples have the same code, so no bit can tell them apart. Check "
                "that they differ, and that the training went well."
            )

    def _bits(self, codes):
        return ((codes - self._shift) @ self._axes > 0).astype(np.uint8)


def _as_numpy(codes):
    return np.asarray(codes, dtype=np.float64)


def _least_loss_rotation(Z, seed, n_iter=50):
    """Turn axes such that the signs of `Z` are as near to it as they can be."""
    start = check_random_state(seed).normal(size=(Z.shape[1],) * 2)
    rotation = np.linalg.qr(start)[0]
    for _ in range(n_iter):
        left, _, right = np.linalg.svd(Z.T @ np.sign(Z @ rotation))
        rotation = left @ right
    return rotation


def _hamming(packed, others):
    """Count the bits in which codes differ: (n_samples, n_others), int64."""
    distances = np.zeros((len(packed), len(others)), dtype=np.int64)
    for byte, other in zip(packed.T, others.T, strict=True):
        distances += _N_BITS[byte[:, None] ^ other]
    return distances

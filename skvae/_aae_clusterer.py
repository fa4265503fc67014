from numbers import Integral

import numpy as np
from sklearn.base import ClusterMixin

from ._adversarial import BaseAdversarial, ClassEncoder
from ._documentation import inherit_documentation
from ._engine.plan import Labels
from ._validation import arguments_of, at_least, to_numpy


@inherit_documentation
class AAEClusterer(ClusterMixin, ClassEncoder):
    r"""Adversarial autoencoder that finds clusters, and the style within them.

    One encoder has two heads: cluster probabilities :math:`q(y|x)` and a code :math:`z`
    of the style. The decoder gets both. One discriminator holds the codes to a prior
    :math:`p(z)`, another the probabilities to one-hot draws of equal shares, so that
    each sample is given to one cluster. Every training step has three phases:
    reconstruction, both discriminators and both generators, as in `AAE`.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters. Classes of varied looks need several clusters each. Some
        may stay empty, above all with few samples.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,), int64
        Cluster of each sample of the last training.
    classes_ : ndarray of shape (n_clusters,)
        Numbers of the clusters.
    class_prior_ : ndarray of shape (n_clusters,)
        Their shares that training assumed, all equal.

    See Also
    --------
    AAEClassifier : Learns classes, where some labels are known.
    sklearn.mixture.GaussianMixture : Clusters of simple shapes.

    References
    ----------
    A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow and B. Frey, "Adversarial
    autoencoders", 2015, https://arxiv.org/abs/1511.05644.

    C. K. Sønderby et al., "Amortised MAP inference for image super-resolution" (noise
    on the input of discriminators), 2017, https://arxiv.org/abs/1610.04490.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import AAEClusterer
    >>> X, _ = load_digits(return_X_y=True)
    >>> clusterer = AAEClusterer(n_clusters=20, max_iter=10, random_state=0)
    >>> clusterer.fit_predict(X).shape
    (1797,)
    >>> of_first_cluster = clusterer.sample(3, y=0)
    """

    _parameter_constraints = {
        **ClassEncoder._parameter_constraints,
        "n_clusters": [at_least(1, Integral)],
    }
    _module_name = "AAEClustererModule"
    _structure = ("n_clusters", *BaseAdversarial._structure)

    def __init__(
        self,
        *,
        n_components=10,
        ordered=False,
        n_clusters=8,
        architecture="mlp",
        image_shape=None,
        likelihood="gaussian",
        corruption=0.5,
        missing_values="error",
        prior="normal",
        posterior="deterministic",
        adversarial_weight=0.5,
        discriminator=None,
        class_noise=0.3,
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
        super().__init__(**arguments_of(BaseAdversarial, locals()))
        self.n_clusters = n_clusters
        self.class_noise = class_noise

    def _labels(self, y, rows, classes, known, weights):
        if self._new_prior().by_class:
            raise ValueError(
                f"prior={self.prior!r} ties codes to classes, but AAEClusterer knows "
                "of none. Take by_class=False."
            )
        clusters = np.arange(self.n_clusters)
        return Labels(None, clusters, np.full(self.n_clusters, 1 / self.n_clusters))

    def _learnt_from_codes(self, net, rows):
        proba = net.extract(rows, ["proba"])["proba"]
        return {"labels_": to_numpy(proba).argmax(axis=1)}

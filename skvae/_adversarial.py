"""What adversarial autoencoders share: parameters, priors, labels."""

import warnings

import numpy as np
from sklearn.base import clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ._base import BaseAutoencoder, transforms_to_codes
from ._documentation import inherit_documentation
from ._engine.plan import Labels
from ._random import draw_seed
from ._validation import (
    HasMethods,
    StrOptions,
    arguments_of,
    at_least,
    check_labels,
    check_rows,
    known_labels,
    side_by_side,
    to_numpy,
    type_in,
)
from .architectures import Discriminator

_WON = 0.1  # nats, of the 1.39 of a discriminator that has to guess
_MANY_EPOCHS = 10


class DiscriminatorWarning(UserWarning):
    """The discriminator tells codes from the prior, and the encoder can't follow."""


@inherit_documentation
class BaseAdversarial(BaseAutoencoder):
    """Parameters and methods of all models whose codes are held to a prior.

    Parameters
    ----------
    prior : str, object or callable, default="normal"
        What the codes are held to: "normal", "uniform", "gaussian_mixture",
        "swiss_roll", an object such as ``skvae.nn.Normal(scale=5.0)``, or a function
        ``prior(n_samples, rng)`` that draws codes of shape (n_samples, n_components)
        from a ``numpy.random.Generator``. Those with ``by_class=True`` give each class
        in `y` a place of its own; `AAEClusterer` knows of none and refuses them.
    posterior : {"deterministic", "gaussian"}, default="deterministic"
        Whether a sample has one code, or a Gaussian of codes of mean ``mu`` and
        log-variance ``logvar``.
    adversarial_weight : float, default=0.5
        How strongly the codes are drawn to the prior, next to the reconstruction: the
        adversaries take steps of ``adversarial_weight * learning_rate``. 0 leaves the
        codes free.
    discriminator : Discriminator or None, default=None
        Layers, dropout, learning rate and spectral norm of each discriminator; None
        takes the defaults of `Discriminator`.
    layer : str or list of str, default="mu"
        What `transform` returns: "mu", "logvar" (of a Gaussian posterior), "z" (a draw
        from it, the same for equal samples; else `mu` itself) or any other key of
        `layer_names_`. It may be changed after `fit`.

    Attributes
    ----------
    history_ : list of dict
        Per epoch: "train_loss", its terms for each phase ("reconstruction_loss",
        "discriminator_loss", "generator_loss"), "valid_loss" (without the
        adversaries) if there are held-out samples, and the duration "dur" in seconds.
    loss_curve_ : list of float
        Sum of the losses of all phases after each epoch, in nats per sample.

    Warns
    -----
    DiscriminatorWarning
        If the discriminator tells codes from the prior without error for many epochs.
    """

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "prior": [
            StrOptions({"gaussian_mixture", "normal", "swiss_roll", "uniform"}),
            HasMethods(["build", "sample"]),
            callable,
        ],
        "posterior": [StrOptions({"deterministic", "gaussian"})],
        "adversarial_weight": [at_least(0)],
        "discriminator": [Discriminator, None],
    }
    _examples = BaseAutoencoder._examples | {
        "prior": "Normal()",
        "discriminator": "Discriminator()",
    }
    _structure = (*BaseAutoencoder._structure, "prior", "posterior", "discriminator")
    _objective = (*BaseAutoencoder._objective, "posterior")
    _standardizes_input = True
    _engine = (*BaseAutoencoder._engine, "adversarial_weight")

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
        prior="normal",
        posterior="deterministic",
        adversarial_weight=0.5,
        discriminator=None,
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
        self.prior = prior
        self.posterior = posterior
        self.adversarial_weight = adversarial_weight
        self.discriminator = discriminator

    def sample_codes(self, n_samples=1, y=None, *, random_state=None):
        """Draw codes from the prior; `sample` decodes them.

        Parameters
        ----------
        y : scalar, array-like of shape (n_samples,) or None, default=None
            Class of each code, or of all, if the prior is tied to classes. None draws
            classes by `class_prior_`.
        """
        rng = self._check_sampling(n_samples, random_state)
        return self._draw_as(y, n_samples, rng)

    def _draw_as(self, y, n_samples, rng):
        """Draw codes of given classes, or of any if `y` is None."""
        if y is None:
            return self._draw_codes(n_samples, rng)
        prior = self.module_.prior
        if not prior.by_class:
            raise ValueError(
                f"`y` needs a prior with by_class=True; the model was fitted with "
                f"{prior!r}."
            )
        return self._draw_codes(n_samples, rng, self._numbers_of(y, n_samples))

    def _module_options(self, labels):
        class_prior = [] if labels is None else labels.class_prior.tolist()
        return super()._module_options(labels) | {
            "discriminator": _resolved(self.discriminator).network_options(),
            "prior": self._new_prior(),
            "class_prior": class_prior,
        }

    def _new_prior(self):
        from .nn import Prior, Sampler

        is_function = callable(self.prior) and not isinstance(self.prior, type | Prior)
        prior = Sampler(self.prior) if is_function else self._resolve("prior")
        if not isinstance(prior, Prior):
            raise ValueError(
                "`prior` must be a name, a function or an instance of a subclass of "
                f"skvae.nn.Prior, got {self.prior!r}."
            )
        return prior

    def _tables(self):
        from .nn import PRIORS

        return super()._tables() | {"prior": PRIORS}

    def _plain(self, name, value):
        if name == "discriminator":  # whose learning rate may change
            return clone(_resolved(value)).set_params(learning_rate=None)
        return super()._plain(name, value)

    def _phase_rates(self):
        # Adam divides constant factors out of a gradient: a weight on a loss would
        # change nothing, one on the steps does.
        generator = self.adversarial_weight * self.learning_rate
        discriminator = _resolved(self.discriminator).learning_rate
        return {
            "discriminator": generator if discriminator is None else discriminator,
            "generator": generator,
        }

    def _labels_of(self, y, rows, classes, known, weights, **unlabelled):
        """Return the labels in `y`, of the classes that are known if any are."""
        if classes is not None:
            classes = np.unique(_labels_in(classes, **unlabelled))
        if known is None:
            numbers, classes = check_labels(
                self, y, rows, classes=classes, **unlabelled
            )
            return Labels(numbers, classes, _shares(numbers, len(classes), weights))
        if classes is not None and not np.array_equal(classes, known.classes):
            raise ValueError(
                f"`classes` holds {len(classes)} classes ({type_in(classes)}), "
                f"which are not the {len(known.classes)} classes "
                f"({type_in(known.classes)}) of the first call. See `classes_`."
            )
        return known._replace(
            numbers=self._numbered(y, rows, known.classes, **unlabelled)
        )

    def _numbered(self, y, rows, classes, **options):
        """Return the number of each sample's class, among those given."""
        return check_labels(self, y, rows, classes=classes, **options)[0]

    def _numbers_of(self, y, n_samples):
        """Return the numbers of the classes that a user asks for."""
        if np.ndim(y) == 0:
            y = np.full(n_samples, y)
        return self._numbered(y, range(n_samples), self.classes_)

    def _draw_codes(self, n_samples, rng, y=None):
        return self._net.draw_codes(n_samples, y, draw_seed(rng))

    def _diagnose(self, rows):
        last = self.history_[-max(_MANY_EPOCHS, self.n_iter_ // 4) :]
        won = [
            name
            for name in last[0]
            if name.endswith("discriminator_loss")
            and max(row[name] for row in last) < _WON
        ]
        if won and len(last) >= _MANY_EPOCHS:
            class_noise = " or raise `class_noise`" if "class" in won[0] else ""
            warnings.warn(
                f"The discriminator has won: {won[0]} was below {_WON} nats for the "
                f"last {len(last)} epochs (it is 1.39 where samples look like draws "
                "from the prior). Raise `adversarial_weight`, or give a "
                "Discriminator of lower `learning_rate` or with spectral_norm=True"
                f"{class_noise}.",
                DiscriminatorWarning,
                stacklevel=5,
            )


@inherit_documentation
class ClassDecoder(BaseAdversarial):
    """Methods of models whose decoder is told the class beside the code.

    The model has `classes_` and `class_prior_`, both of shape (n_classes,).
    """

    __metadata_request__inverse_transform = {"y": True}

    @available_if(transforms_to_codes)
    def inverse_transform(self, X, y=None, *, logits=False):
        """Decode latent codes as samples of given classes.

        Only there if `layer` is "mu" or "z".

        Parameters
        ----------
        y : scalar, array-like of shape (n_samples,) or None, default=None
            Class of each sample, or of all. None averages over the classes, weighted by
            `class_prior_`.
        """
        check_is_fitted(self)
        codes = self._check_codes(X)
        if logits and y is None:
            raise ValueError("logits=True needs `y`: logits of classes have no mean.")
        return self._decode_as(codes, y, self._check_logits(logits))

    def reconstruct(self, X, y=None, n_components=None, *, threshold=None):
        """Encode samples, and decode their `mu` as samples of given classes.

        Parameters
        ----------
        y : scalar, array-like of shape (n_samples,) or None, default=None
            Class of each sample, or of all. None averages over the classes, weighted by
            `class_prior_`.
        """
        check_is_fitted(self)
        self._check_prefix(n_components)
        rows, shape = check_rows(self, X, reset=False)
        codes = self._net.extract(rows, ["mu"])["mu"][:, :n_components]
        means = self._decode_as(codes, y).reshape(-1, *shape)
        return self._binarized(means, threshold, X)

    def sample(self, n_samples=1, y=None, *, noise=False, random_state=None):
        """Decode draws from the prior as samples of given classes.

        Parameters
        ----------
        y : scalar, array-like of shape (n_samples,) or None, default=None
            Class of each sample, or of all. None draws classes by `class_prior_`.
        """
        rng = self._check_sampling(n_samples, random_state)
        numbers = None if y is None else self._numbers_of(y, n_samples)
        codes = self._beside(*self._draw_both(n_samples, rng, numbers))
        return self._decode(codes, draw_seed(rng) if noise else None)

    def _graph(self, method):
        from ._engine.graphs import decoded_by_class

        if method == "inverse_transform":
            shares = self.class_prior_.tolist()
            return decoded_by_class(self.module_, shares), self._input_shape
        return super()._graph(method)

    def _draw_codes(self, n_samples, rng, y=None):
        return self._draw_both(n_samples, rng, y)[0]

    def _draw_both(self, n_samples, rng, y=None):
        """Draw codes, and the numbers of their classes unless these are given."""
        seed = draw_seed(rng)
        if y is None:
            y = rng.choice(len(self.classes_), size=n_samples, p=self.class_prior_)
        return self._net.draw_codes(n_samples, y, seed), y

    def _decode_as(self, codes, y, logits=False):
        """Decode codes with their classes, or averaged over all classes."""
        if y is not None:
            codes = self._beside(codes, self._numbers_of(y, len(codes)))
            return self._decode(codes, logits=logits)
        return sum(
            weight * self._decode(self._beside(codes, np.full(len(codes), number)))
            for number, weight in enumerate(self.class_prior_.tolist())
        )

    def _beside(self, codes, numbers):
        """Append classes to codes, one-hot."""
        one_hot = np.eye(len(self.classes_), dtype=np.float32)
        return side_by_side(codes, one_hot[numbers])


@inherit_documentation
class ClassEncoder(ClassDecoder):
    """What models share that find the classes of samples beside their codes.

    Parameters
    ----------
    n_components : int, default=10
        Size of the style. A larger one keeps more detail.
    class_noise : float, default=0.3
        Standard deviation of noise on the probabilities of the classes before their
        discriminator sees them in training. Without it, that none of them is exactly 0
        or 1 would give them away.
    layer : str or list of str, default="mu"
        What `transform` returns: "mu" (the style), "proba" (the probabilities of the
        classes or clusters), both as a list, "logvar" (of a Gaussian posterior), "z" (a
        draw from it, the same for equal samples; else `mu` itself) or any other key of
        `layer_names_`. It may be changed after `fit`.

    Attributes
    ----------
    history_ : list of dict
        Per epoch: "train_loss", its terms for each phase ("reconstruction_loss",
        "discriminator_loss", "generator_loss", "class_discriminator_loss",
        "class_generator_loss", in `AAEClassifier` "classification_loss"), "valid_loss"
        (without the adversaries) if there are held-out samples, and the duration "dur"
        in seconds.
    """

    _parameter_constraints = {
        **BaseAdversarial._parameter_constraints,
        "class_noise": [at_least(0)],
    }
    _objective = (*BaseAdversarial._objective, "class_noise")

    def predict_proba(self, X):
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes), float32
            Columns in the order of `classes_`.
        """
        return self.extract(X, "proba")["proba"]

    def predict(self, X):
        """Return the most probable class of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        proba = self.predict_proba(X)
        return self.classes_[to_numpy(proba).argmax(axis=1)]

    def reconstruct(self, X, y=None, n_components=None, *, threshold=None):
        """Encode samples, and decode their `mu` as samples of some class.

        Parameters
        ----------
        y : scalar, array-like of shape (n_samples,) or None, default=None
            Class of each sample, or of all. None takes the probabilities of the classes
            that the model finds.
        """
        if y is None:
            return BaseAdversarial.reconstruct(
                self, X, n_components, threshold=threshold
            )
        return super().reconstruct(X, y, n_components, threshold=threshold)

    def _graph(self, method):
        if method == "predict_proba":
            shape = (len(self.classes_),)
            return lambda X: self.module_.encode(X, ["proba"])["proba"], shape
        return super()._graph(method)


def _shares(numbers, n_classes, weights):
    """Return the frequency of each class; one that is still to come counts once."""
    known = numbers >= 0
    weights = None if weights is None else weights[known]
    counts = np.bincount(numbers[known], weights, minlength=n_classes)
    counts = np.where(counts > 0, counts, 1)
    return counts / counts.sum()


def _resolved(discriminator):
    return Discriminator() if discriminator is None else discriminator


def _labels_in(classes, unlabelled=None):
    """Drop from a list of classes what marks samples without one."""
    classes = np.asarray(classes)
    if classes.dtype == object or classes.dtype.kind == "f":
        from pandas import isna

        classes = np.asarray(classes[~isna(classes)].tolist())
    return classes[known_labels(classes, unlabelled)]

import warnings
from numbers import Real

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight

from ._adversarial import BaseAdversarial, ClassEncoder
from ._class_prior import distance_by_chance, distance_of_shares, estimate_shares
from ._documentation import inherit_documentation
from ._validation import StrOptions, arguments_of, fit_context, share

_CLEARLY = 2  # times the distance that chance explains
_NEGLIGIBLE = 0.1


class ClassPriorWarning(UserWarning):
    """The labelled samples have other shares of the classes than all samples."""


@inherit_documentation
class AAEClassifier(ClassifierMixin, ClassEncoder):
    r"""Adversarial autoencoder that learns classes from few labels and many samples.

    One encoder has two heads: class probabilities :math:`q(y|x)` and a code :math:`z`
    of the style. The decoder gets both. One discriminator holds the codes to a prior
    :math:`p(z)`, another the class probabilities to one-hot draws from a categorical
    prior :math:`p(y)`, so that each sample, with a label or without, is given to one
    class. Every training step has four phases: reconstruction, both discriminators,
    both generators (as in `AAE`), and the cross-entropy :math:`-\log q(y|x)` of as
    many labelled samples, which are taken over and over.

    Parameters
    ----------
    label_smoothing : float, default=0.03
        Share of each label that is spread over all classes when the head learns it
        (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567), so that few labels are
        not learnt by heart. "proba" and `predict_proba` are without it: the share is
        taken out of what the head has learnt.
    class_prior : array-like of shape (n_classes,) or None, default=None
        Shares of the classes among all samples. None takes those among the labels, or,
        if the samples without a label clearly have others, an estimate of these. With
        `sample_weight` it always takes those among the labels, weighted.
    class_weight : dict, "balanced" or None, default=None
        What the labels of each class count when the head learns them: a dict of class
        to weight, or "balanced" for n_labels / (n_classes * n_labels_of_the_class). It
        moves the probabilities towards the classes that count more. None gives all the
        same.
    unlabelled : str, number or None, default="auto"
        What marks a sample without a label in `y`, beside None and NaN, which always
        do. "auto" is -1, except where the `y` of the first fit holds -1 and 1 only:
        that is read as two classes, with a warning. None marks nothing.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels in `y`.
    class_prior_ : ndarray of shape (n_classes,)
        Shares of the classes among all samples that training assumed: those given,
        those among the labels, or an estimate.
    label_prior_ : ndarray of shape (n_classes,)
        Shares of the classes among the labels.

    Warns
    -----
    ClassPriorWarning
        If the shares among the labels clearly are not those of the other samples, so
        that an estimate is taken.

    See Also
    --------
    AAEClusterer : Needs no labels.
    sklearn.semi_supervised.LabelSpreading : Spreads labels to neighbours.

    References
    ----------
    A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow and B. Frey, "Adversarial
    autoencoders", 2015, https://arxiv.org/abs/1511.05644.

    C. K. Sønderby et al., "Amortised MAP inference for image super-resolution" (noise
    on the input of discriminators), 2017, https://arxiv.org/abs/1610.04490.

    M. Saerens, P. Latinne and C. Decaestecker, "Adjusting the outputs of a classifier
    to new a priori probabilities: a simple procedure", 2002,
    https://doi.org/10.1162/089976602753284446.

    A. K. Menon et al., "Long-tail learning via logit adjustment", 2021,
    https://arxiv.org/abs/2007.07314.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skvae import AAEClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> known = np.where(np.arange(len(y)) < 100, y, -1)
    >>> classifier = AAEClassifier(max_iter=10, random_state=0).fit(X, known)
    >>> bool(classifier.score(X[100:], y[100:]) > 0.5)
    True
    >>> sevens = classifier.sample(3, y=7)
    """

    _parameter_constraints = {
        **ClassEncoder._parameter_constraints,
        "label_smoothing": [share],
        "class_prior": ["array-like", None],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "unlabelled": [str, Real, None],
    }
    __metadata_request__fit = {"X_val": True, "y_val": True, "groups": True}
    _module_name = "AAEClassifierModule"
    _structure = ("class_prior", *BaseAdversarial._structure)
    _objective = (*ClassEncoder._objective, "label_smoothing")

    def __init__(
        self,
        n_components=10,
        *,
        ordered=False,
        architecture="mlp",
        image_shape=None,
        likelihood="gaussian",
        corruption=0.75,
        missing_values="error",
        prior="normal",
        posterior="deterministic",
        adversarial_weight=0.5,
        discriminator=None,
        class_noise=0.3,
        label_smoothing=0.03,
        class_prior=None,
        class_weight=None,
        unlabelled="auto",
        layer="mu",
        learning_rate=1e-3,
        weight_decay=0.0,
        batch_size=64,
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
        self.class_noise = class_noise
        self.label_smoothing = label_smoothing
        self.class_prior = class_prior
        self.class_weight = class_weight
        self.unlabelled = unlabelled

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        *,
        sample_weight=None,
        X_target=None,
        X_val=None,
        X_val_target=None,
        y_val=None,
        groups=None,
    ):
        """Train the networks.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            Class of each sample, or what `unlabelled` says where it is not known.
        y_val : array-like of shape (n_validation,), default=None
            Their classes, as far as they are known.
        """
        targets = X_target, X_val_target
        return self._fit(X, y, sample_weight, X_val, y_val, groups, targets)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None):
        """Train for one more epoch, or for the first.

        The first call takes the mean and the spread of the features and the shares of
        the classes from its samples, for good; they should be many enough for that.
        Nothing is held out.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            As in `fit`; some labels are needed in each call.
        classes : array-like of shape (n_classes,), default=None
            All classes that will come, if those of the first call are not all. Each
            that the first call lacks counts once in `class_prior_`.
        """
        return self._fit_one_epoch(X, y, classes)

    def _labels(self, y, rows, classes, known, weights):
        labels = self._labels_of(
            y, rows, classes, known, weights, unlabelled=self.unlabelled
        )
        if not (labels.numbers >= 0).any():
            raise ValueError(
                "`y` holds no label: AAEClassifier needs some samples of each class. "
                "AAEClusterer works without labels."
            )
        if len(labels.classes) < 2:
            raise ValueError(
                "AAEClassifier needs labels of at least two classes, got one class."
            )
        if known is not None:
            return labels
        labels = labels._replace(label_prior=labels.class_prior)
        if self.class_prior is None and weights is not None:
            return labels
        if self.class_prior is None:
            return labels._replace(class_prior=self._estimate_class_prior(rows, labels))
        return labels._replace(class_prior=self._check_class_prior(labels.classes))

    def _weights_of_classes(self, labels):
        if self.class_weight is None:
            return None
        y = labels.classes[labels.numbers[labels.numbers >= 0]]
        weights = compute_class_weight(self.class_weight, classes=labels.classes, y=y)
        if not (np.isfinite(weights).all() and weights.min() >= 0 and weights.any()):
            raise ValueError(
                "`class_weight` must hold numbers >= 0 that are not all 0, got "
                f"{self.class_weight!r}."
            )
        return weights

    def _held_out_numbers(self, y, rows, labels):
        if y is None:
            return None
        return self._numbered(
            y, rows, labels.classes, name="y_val", unlabelled=self.unlabelled
        )

    def _check_class_prior(self, classes):
        try:
            class_prior = np.asarray(self.class_prior, dtype=np.float64)
        except (TypeError, ValueError):
            class_prior = np.empty(0)
        valid = class_prior.shape == classes.shape and np.all(class_prior >= 0)
        if not (valid and np.isclose(class_prior.sum(), 1)):
            raise ValueError(
                f"`class_prior` must hold {len(classes)} numbers >= 0 that sum "
                "up to 1, one for each class in sorted order; got "
                f"{self.class_prior!r}."
            )
        return class_prior / class_prior.sum()

    def _estimate_class_prior(self, rows, labels):
        """Take the shares among the labels, unless the other samples speak against."""
        numbers, label_prior = labels.numbers, labels.label_prior
        counts = np.bincount(numbers[numbers >= 0], minlength=len(labels.classes))
        if not counts.all() or counts.sum() == len(numbers):
            return label_prior
        shares = estimate_shares(rows, numbers, label_prior)
        distance = distance_of_shares(shares, label_prior)
        by_chance = distance_by_chance(counts.sum(), len(counts))
        if distance < max(_CLEARLY * by_chance, _NEGLIGIBLE):
            return label_prior
        warnings.warn(
            f"The classes have other shares among the {counts.sum()} labels than among "
            f"all samples, as far as these can be told: {distance:.0%} of the labels "
            f"would have to change, and {by_chance:.0%} is what chance explains. "
            "Training assumes the estimate, `class_prior_`. Give `class_prior` if you "
            "know better.",
            ClassPriorWarning,
            stacklevel=7,
        )
        return shares

    def _module_options(self, labels):
        label_prior = {"label_prior": labels.label_prior.tolist()}
        return super()._module_options(labels) | label_prior

    def _scored_rows(self, numbers, index):
        return index[numbers[index] >= 0]  # an accuracy needs labels

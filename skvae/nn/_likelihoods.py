import itertools
import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._noise import Noise
from ._parameters import Parameterized, is_positive, register_numbers

# Adam moves a parameter by about the learning rate per step; ten times that lets a
# scale settle within a few epochs of a small data set.
_SCALE_SPEED = 10.0
# In units of the spread of the data. A perfect fit would run to a scale of zero.
_LOG_MIN_SCALE = math.log(1e-3)
# A scale that begins lower than what new samples show would hold back the training.
_SMALLEST_BEGIN = 0.05


class Likelihood(Parameterized, nn.Module):
    """How the data are distributed around what the decoder says.

    A subclass implements `nll`, or `nll_per_value`, which also serves data with missing
    values; `mean` where the decoder's output is not the mean; and `draw` if samples can
    be drawn. It stores the arguments of its constructor under their own names, as
    scikit-learn's estimators do, and makes trained parameters in `build`.

    Attributes
    ----------
    support : tuple of (float, float)
        Smallest and largest value that the data may have.
    standardize : bool
        Whether the networks work on ``(X - shift) / spread``: the mean of each feature
        and one spread for all, taken from the training data. `nll` then receives
        standardized data, and answers for the data as they came.
    unscaled : sequence of int
        Columns of a table that are not centred where the others are standardized, and
        that have no part in the spread.
    has_logits : bool
        Whether the decoder's outputs are log-odds of 1.
    unit : Tensor, float or None
        What `nll` grows with where it is no logarithm but has a unit, once built.
    power : int
        What errors are raised to when reconstructions are compared: 2 if the decoder
        aims at means, 1 if it aims at medians.
    is_density : bool
        Whether ``exp(-nll)`` is a density or probability, so that those of several
        classes may be added.
    """

    support: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    unscaled: Sequence[int] = ()
    standardize: ClassVar[bool] = False
    power: ClassVar[int] = 2
    is_density: ClassVar[bool] = True
    has_logits: ClassVar[bool] = False
    unit: Tensor | float | None = None

    def __init__(self) -> None:
        super().__init__()  # nn.Module's own signature would hide that there are none

    @property
    def is_linear(self) -> bool:
        """Whether the decoder's output is the mean itself."""
        return type(self).mean is Likelihood.mean

    def build(self, sample_shape: Sequence[int], spread: float) -> None:
        """Make trained parameters, now that the shape and spread of X are known."""

    def begin_at(self, variances: Tensor) -> None:
        """Set a trained scale to what is known of it before the training.

        Parameters
        ----------
        variances : Tensor of shape (n_features,)
            Of what the decoder leaves, in units of the standardized data.
        """

    def check(self, rows: np.ndarray) -> None:
        """Raise a ValueError if data, as they came, can't be of this likelihood.

        Parameters
        ----------
        rows : ndarray of shape (n_samples, n_features)
        """

    def nll(self, X: Tensor, raw: Tensor) -> Tensor:
        """Return the negative log-likelihood of each sample in nats.

        Parameters
        ----------
        X : Tensor of shape (n_samples, *sample_shape)
        raw : Tensor of shape (n_samples, *sample_shape)
            Output of the decoder.

        Returns
        -------
        nll : Tensor of shape (n_samples,)
            Summed over the features.
        """
        return self.nll_per_value(X, raw).flatten(1).sum(1)

    def nll_per_value(self, X: Tensor, raw: Tensor) -> Tensor:
        """Return the negative log-likelihood of each value in nats.

        Parameters
        ----------
        X : Tensor of shape (n_samples, *sample_shape)
        raw : Tensor of shape (n_samples, *sample_shape)
            Output of the decoder.

        Returns
        -------
        nll : Tensor of shape (n_samples, *sample_shape)
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define nll(X, raw), or nll_per_value(X, raw), "
            "which missing values need."
        )

    def draw(self, raw: Tensor, noise: Noise) -> Tensor:
        """Draw data around what the decoder says.

        Parameters
        ----------
        raw : Tensor of shape (n_samples, *sample_shape)
            Output of the decoder.
        noise : Noise
            Source of all random numbers.

        Returns
        -------
        X : Tensor of shape (n_samples, *sample_shape)
            Standardized data, if the networks work on them.
        """
        raise ValueError(
            f"likelihood={self} says nothing of how data spread, so that none can be "
            "drawn. Take likelihood='gaussian', or noise=False."
        )

    def mean(self, raw: Tensor) -> Tensor:
        """Return the mean of the data, given the output of the decoder."""
        return raw


class _LocationScale(Likelihood):
    """Densities of ``|X - raw| / scale`` whose scale is learnt or fixed."""

    standardize = True
    _log_normalizer: ClassVar[float]
    _constant: Tensor
    _fixed_log_scale: Tensor

    def __init__(self, scale: float | Literal["shared", "feature"] = "shared") -> None:
        super().__init__()
        self.scale = scale

    def build(self, sample_shape: Sequence[int], spread: float) -> None:
        self._n_features = math.prod(sample_shape)
        log_unit = math.log(spread) + self._log_normalizer
        register_numbers(self, _constant=self._n_features * log_unit)
        if self.scale == "shared":
            self.slow_log_scale = nn.Parameter(torch.zeros((), dtype=torch.float32))
        elif self.scale == "feature":
            zeros = torch.zeros(tuple(sample_shape), dtype=torch.float32)
            self.slow_log_scale = nn.Parameter(zeros)
        elif is_positive(self.scale):
            log_scale = math.log(self.scale) - math.log(spread)
            register_numbers(self, _fixed_log_scale=log_scale)
        else:
            raise ValueError(
                f"`scale` of {type(self).__name__} must be 'shared', 'feature' or a "
                f"finite number > 0, got {self.scale!r}."
            )

    @property
    def _log_scale(self) -> Tensor:
        """Logarithm of the scale of standardized data."""
        if not isinstance(self.scale, str):
            return self._fixed_log_scale
        # A smooth floor: below a clamp, no gradient would lead the scale up again.
        above = _SCALE_SPEED * self.slow_log_scale - _LOG_MIN_SCALE
        return _LOG_MIN_SCALE + F.softplus(above, beta=2)

    def begin_at(self, variances: Tensor) -> None:
        if not isinstance(self.scale, str):
            return
        if self.scale == "shared":
            variances = variances.mean()
        log_scale = 0.5 * variances.clamp(min=_SMALLEST_BEGIN**2).log()
        above = torch.expm1(2 * (log_scale - _LOG_MIN_SCALE)).log() / 2
        begin = (above + _LOG_MIN_SCALE) / _SCALE_SPEED
        self.slow_log_scale.data.copy_(begin.view_as(self.slow_log_scale))

    def nll(self, X: Tensor, raw: Tensor) -> Tensor:
        distance, weight, log_scale = self._parts(X, raw)
        if log_scale.dim():
            energy = (distance * weight).flatten(1).sum(1)
            log_scale = log_scale.mean()
        else:
            energy = distance.flatten(1).sum(1) * weight
        return energy + torch.add(self._constant, log_scale, alpha=self._n_features)

    def nll_per_value(self, X: Tensor, raw: Tensor) -> Tensor:
        distance, weight, log_scale = self._parts(X, raw)
        return distance * weight + (log_scale + self._constant / self._n_features)

    def draw(self, raw: Tensor, noise: Noise) -> Tensor:
        return raw + torch.exp(self._log_scale) * self._deviates(noise, *raw.shape)

    def _parts(self, X: Tensor, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return distances, what they are multiplied by, and the log of the scale."""
        log_scale = self._log_scale
        distance_to = F.l1_loss if self.power == 1 else F.mse_loss
        distance = distance_to(raw, X, reduction="none")
        weight = torch.exp(-self.power * log_scale - math.log(self.power))
        return distance, weight, log_scale

    def _deviates(self, noise: Noise, *shape: int) -> Tensor:
        """Draw deviations from the mean, for a scale of 1."""
        raise NotImplementedError


class Gaussian(_LocationScale):
    r"""Gaussian likelihood, by default of one learnt scale for all features.

    .. math:: -\log p(x|z) = \sum_j \frac{(x_j - \hat x_j)^2}{2 \sigma_j^2}
              + \log \sigma_j + \tfrac12 \log 2\pi

    A learnt scale weighs the reconstruction against the Kullback-Leibler term by itself
    (sigma-VAE; Rybkin, Daniilidis and Levine 2021, https://arxiv.org/abs/2006.13202).

    Parameters
    ----------
    scale : {"shared", "feature"} or float, default="shared"
        Standard deviation in units of the data: learnt, one for all features; learnt,
        one per feature; or fixed. A larger one lets reconstructions be coarser. A
        learnt scale stays above 0.001 of the spread of the data.
    """

    _log_normalizer = 0.5 * math.log(2 * math.pi)

    def _deviates(self, noise: Noise, *shape: int) -> Tensor:
        return noise.normal(*shape)


class Laplace(_LocationScale):
    r"""Laplace likelihood: absolute instead of squared errors, for data with outliers.

    .. math:: -\log p(x|z) = \sum_j \frac{|x_j - \hat x_j|}{b_j} + \log 2 b_j

    Parameters
    ----------
    scale : {"shared", "feature"} or float, default="shared"
        The parameter :math:`b` in units of the data: learnt, one for all features;
        learnt, one per feature; or fixed. A learnt scale stays above 0.001 of the
        spread of the data.
    """

    power = 1
    _log_normalizer = math.log(2)

    def _deviates(self, noise: Noise, *shape: int) -> Tensor:
        centred = noise.uniform(*shape) - 0.5
        near_1 = 1 - torch.finfo(torch.float32).eps  # for a finite logarithm
        return -centred.sign() * torch.log1p(-2 * near_1 * centred.abs())


class Bernoulli(Likelihood):
    r"""Bernoulli likelihood for values in [0, 1]; the decoder's output is the logit.

    .. math:: -\log p(x|z) = -\sum_j x_j \log p_j + (1 - x_j) \log(1 - p_j)

    This is the summed binary cross-entropy of the first VAEs (Kingma and Welling 2014,
    https://arxiv.org/abs/1312.6114). `mean` gives probabilities.
    """

    support = (0.0, 1.0)
    has_logits = True

    def nll_per_value(self, X: Tensor, raw: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(raw, X, reduction="none")

    def mean(self, raw: Tensor) -> Tensor:
        return torch.sigmoid(raw)

    def draw(self, raw: Tensor, noise: Noise) -> Tensor:
        return (noise.uniform(*raw.shape) < torch.sigmoid(raw)).to(raw.dtype)


class SquaredError(Likelihood):
    """Plain squared error, summed over the features: no density, no nats.

    For an `AE` that minimizes the mean squared error as such. In a `VAE` its weight
    against the Kullback-Leibler term changes with the scale of the data, which can
    collapse the posterior; prefer `Gaussian` there.
    """

    standardize = True
    is_density = False
    _squared_spread: Tensor

    @property
    def unit(self) -> Tensor:  # type: ignore[override]
        return self._squared_spread

    def build(self, sample_shape: Sequence[int], spread: float) -> None:
        register_numbers(self, _squared_spread=spread**2)

    def nll_per_value(self, X: Tensor, raw: Tensor) -> Tensor:
        return (X - raw).square() * self._squared_spread


class Mixed(Likelihood):
    r"""Likelihood of tables with numbers, 0/1 columns and categories.

    .. math:: -\log p(x|z) = \sum_{j \in G} -\log N(x_j; \hat x_j, \sigma_j^2)
              - \sum_{j \in B} x_j \log p_j + (1 - x_j) \log(1 - p_j)
              - \sum_{k} \sum_{j \in C_k} x_j \log p_j

    Numbers, all columns that are not named, are Gaussian, each with a learnt scale.
    Standardize them: they share one spread, and those of large variance weigh more.
    `mean` gives probabilities for the others, which `draw` makes 0 or 1.

    Parameters
    ----------
    bernoulli : sequence of int, default=()
        Numbers of columns of values in [0, 1].
    categorical : sequence of sequences of int, default=()
        Numbers of the one-hot columns of each category.
    """

    standardize = True
    _order: Tensor
    _spread: Tensor

    def __init__(
        self,
        bernoulli: Sequence[int] = (),
        categorical: Sequence[Sequence[int]] = (),
    ) -> None:
        super().__init__()
        self.bernoulli = bernoulli
        self.categorical = categorical

    @property
    def _groups(self) -> list[list[int]]:
        return [list(group) for group in self.categorical]

    @property
    def unscaled(self) -> list[int]:  # type: ignore[override]
        return [*self.bernoulli, *itertools.chain(*self._groups)]

    def build(self, sample_shape: Sequence[int], spread: float) -> None:
        if len(sample_shape) != 1:
            raise ValueError(
                f"likelihood={self} is for tables, got samples of shape "
                f"{tuple(sample_shape)}."
            )
        named, n_features = self.unscaled, sample_shape[0]
        self._check_columns(n_features)
        numbers = [i for i in range(n_features) if i not in set(named)]
        self._parts = [numbers, list(self.bernoulli), *self._groups]
        order = torch.tensor([*numbers, *named], dtype=torch.int64).argsort()
        self.register_buffer("_order", order, persistent=False)
        register_numbers(self, _spread=spread)
        self.numbers = Gaussian("feature")
        self.numbers.build((len(numbers),), spread)

    def check(self, rows: np.ndarray) -> None:
        self._check_columns(rows.shape[1])
        shares = rows[:, self.unscaled]
        if (shares < 0).any() or (shares > 1).any():
            raise ValueError(
                f"likelihood={self} needs values in [0, 1] in its columns, but X has "
                f"others there, from {np.nanmin(shares):g} to {np.nanmax(shares):g}."
            )
        for group in self._groups:
            sums = rows[:, group].sum(axis=1)
            if (np.abs(sums - 1) > 1e-3).any():
                raise ValueError(
                    f"The columns {group} of likelihood={self} must be one-hot, but "
                    f"there are rows of sum {sums[np.abs(sums - 1) > 1e-3][0]:g}."
                )

    def nll_per_value(self, X: Tensor, raw: Tensor) -> Tensor:
        (x, *binary), (mean, *logits) = self._split(X), self._split(raw)
        parts = [self.numbers.nll_per_value(x, mean)]
        yes, *groups = (values * self._spread for values in binary)
        logit, *others = logits
        parts.append(F.binary_cross_entropy_with_logits(logit, yes, reduction="none"))
        for one_hot, values in zip(groups, others, strict=True):
            parts.append(-one_hot * values.log_softmax(1))
        return self._joined(parts)

    def mean(self, raw: Tensor) -> Tensor:
        mean, *shares = self._means(raw)
        return self._joined([mean, *(part / self._spread for part in shares)])

    def draw(self, raw: Tensor, noise: Noise) -> Tensor:
        mean, yes, *groups = self._means(raw)
        parts = [self.numbers.draw(mean, noise)]
        drawn = [noise.uniform(*yes.shape) < yes]
        for shares in groups:
            bounds = shares.cumsum(1)
            number = (noise.uniform(len(shares), 1) >= bounds[:, :-1]).sum(1)
            drawn.append(F.one_hot(number, shares.shape[1]).bool())
        return self._joined([*parts, *(part / self._spread for part in drawn)])

    def _check_columns(self, n_features: int) -> None:
        named = self.unscaled
        if sorted(set(named) & set(range(n_features))) != sorted(named):
            raise ValueError(
                f"Columns of likelihood={self} must be different numbers from 0 to "
                f"{n_features - 1}."
            )

    def _means(self, raw: Tensor) -> list[Tensor]:
        mean, logit, *groups = self._split(raw)
        return [mean, torch.sigmoid(logit), *(part.softmax(1) for part in groups)]

    def _split(self, values: Tensor) -> list[Tensor]:
        """Return the columns of numbers, of 0/1 values and of each category."""
        return [values[:, columns] for columns in self._parts]

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts), 1)[:, self._order]


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "laplace": Laplace,
    "squared_error": SquaredError,
}

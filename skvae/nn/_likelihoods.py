import math
from collections.abc import Sequence
from typing import ClassVar, Literal

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
    standardize: ClassVar[bool] = False
    power: ClassVar[int] = 2
    is_density: ClassVar[bool] = True
    unit: Tensor | float | None = None

    def __init__(self) -> None:
        super().__init__()  # nn.Module's own signature would hide that there are none

    def build(self, sample_shape: Sequence[int], spread: float) -> None:
        """Make trained parameters, now that the shape and spread of X are known."""

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


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "laplace": Laplace,
    "squared_error": SquaredError,
}

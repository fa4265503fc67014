import math
from collections.abc import Collection, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._likelihoods import Likelihood
from ._noise import Noise, drawing_from
from ._parameters import register_numbers


class AEModule(nn.Module):
    """Autoencoder: encoder, head of the code, decoder, likelihood.

    Every model answers `phases` and `losses`; the engine asks for nothing else. A
    module keeps no state but its parameters and buffers. In numbers that are buffers,
    modules that are stacked may differ; all else says which terms and layers there are,
    and is the same in all of them.

    Parameters
    ----------
    encoder : nn.Module
        (n_samples, *sample_shape) to (n_samples, ...); its output is flattened.
    decoder : nn.Module
        (n_samples, n_components) to (n_samples, *sample_shape).
    likelihood : Likelihood
    n_hidden : int
        Number of values per sample that the encoder gives.
    n_components : int
    shift : Tensor of shape sample_shape
    spread : float
        The networks work on ``(X - shift) / spread`` if the likelihood standardizes.
        `X` and `shift` may be of double precision, the networks are of single.
    """

    decodes_classes: ClassVar[bool] = False  # whether the decoder gets them one-hot
    labelled_phases: ClassVar[tuple[str, ...]] = ()  # train on samples with a label
    is_standardized: bool = False  # whether data come as `standardized` gives them
    shift: Tensor
    spread: Tensor
    _inverse_unit: Tensor | None

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        *,
        n_hidden: int,
        n_components: int,
        shift: Tensor,
        spread: float,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.code_sizes: dict[str, int] = {}
        self._add_head("mu", nn.Linear(n_hidden, n_components), n_components)
        self.decoder = decoder
        self.likelihood = likelihood
        self.n_components = n_components
        likelihood.build(shift.shape, spread)
        unit = likelihood.unit
        inverse_unit = None if unit is None else 1 / float(unit)
        register_numbers(self, _inverse_unit=inverse_unit)
        self.register_buffer("shift", shift)
        self.register_buffer("spread", torch.tensor(spread, dtype=torch.float32))

    def forward(self, X: Tensor) -> Tensor:
        """Reconstruct X from `mu`."""
        return self.decode(self.encode(X)["mu"]).to(X.dtype)

    def encode(
        self, X: Tensor, names: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        """Return the parameters of the code, each of its size in `code_sizes`.

        Parameters
        ----------
        X : Tensor of shape (n_samples, *sample_shape)
        names : collection of str or None
            Those of `code_sizes` that are wanted; None takes all.
        """
        return self._codes(self.standardized(X), names)

    def standardized(self, X: Tensor) -> Tensor:
        """Return what the networks work on, of single precision.

        The mean is taken away in the precision of `shift`, so that large offsets are
        not lost.
        """
        precision = self.spread.dtype
        if self.likelihood.standardize and not self.is_standardized:
            return (X - self.shift).to(precision) / self.spread
        return X.to(precision)

    def decode(self, Z: Tensor) -> Tensor:
        """Return the mean of the data for the decoder's input (n_samples, n_inputs).

        It has the precision of `shift`, in which the networks' part is added to it.
        """
        mean = self.likelihood.mean(self.decoder(Z))
        return self.shift + mean * self.spread if self.likelihood.standardize else mean

    def draw(self, codes: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        """Turn standard normal noise into codes `z`, `mu` itself without a `logvar`."""
        if "logvar" not in codes:
            return codes["mu"]
        return codes["mu"] + torch.exp(0.5 * codes["logvar"]) * noise

    def gradient_scale(self, phase: str) -> Tensor | None:
        """Factor of gradients that keeps those of a likelihood with a unit near 1.

        Otherwise they could come close to the epsilon of Adam.
        """
        return self._inverse_unit if phase == "reconstruction" else None

    def momentum(self, phase: str) -> float:
        """Share of the past in the mean of gradients that Adam follows."""
        return 0.9

    def phases(self) -> dict[str, list[nn.Module]]:
        """Map each phase of a training step to the submodules that it trains."""
        return {"reconstruction": [self]}

    def losses(
        self,
        phase: str,
        X: Tensor,
        y: Tensor | None = None,
        *,
        noise: Noise | None = None,
        epoch: Tensor | float = math.inf,
    ) -> dict[str, Tensor]:
        """Return the terms of the loss, means over the samples; "loss" is minimized.

        Parameters
        ----------
        phase : str
            A key of `phases`.
        X : Tensor of shape (n_samples, *sample_shape)
        y : Tensor of shape (n_samples,), int64, or None
            Numbers of the classes, -1 where they are not known.
        noise : Noise or None
            Source of all random numbers, those of dropout too. None takes PyTorch's
            global state.
        epoch : float
            Number of the epoch from 1, for terms that are warmed up.
        """
        noise = noise or Noise(device=self.spread.device)
        with drawing_from(noise):
            return self._losses(phase, self.standardized(X), y, noise, epoch)

    def held_out_loss(
        self,
        X: Tensor,
        y: Tensor | None = None,
        *,
        noise: Noise | None = None,
    ) -> Tensor:
        """Return the loss by which `early_stopping` judges held-out samples."""
        return self.losses("reconstruction", X, y, noise=noise)["loss"]

    def log_likelihood(self, X: Tensor) -> Tensor:
        """Return log p(x | mu(x)) per sample in nats, of shape (n_samples,)."""
        X = self.standardized(X)
        codes = self._codes(X)
        return -self.likelihood.nll(X, self.decoder(codes["mu"]))

    def _losses(
        self,
        phase: str,
        X: Tensor,
        y: Tensor | None,
        noise: Noise,
        epoch: Tensor | float,
    ) -> dict[str, Tensor]:
        """Return the terms of the loss for standardized data."""
        raw = self.decoder(self._codes(X)["mu"])
        loss = self.likelihood.nll(X, raw).mean()
        return {"loss": loss, "reconstruction_loss": loss}

    def _add_head(self, name: str, head: nn.Module, size: int) -> None:
        """Add a part of the code, computed from what the encoder gives."""
        self.add_module(name, head)
        self.code_sizes[name] = size

    def _codes(
        self, X: Tensor, names: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        """Encode standardized data."""
        hidden = self.encoder(X).flatten(1)
        names = self.code_sizes if names is None else names
        return {name: getattr(self, name)(hidden) for name in names}


class VAEModule(AEModule):
    """Variational autoencoder with a diagonal Gaussian posterior and prior N(0, I).

    Parameters
    ----------
    encoder : nn.Module
    decoder : nn.Module
    likelihood : Likelihood
    n_hidden : int
    n_components : int
    shift : Tensor of shape sample_shape
    spread : float
        As in `AEModule`.
    beta : float
    beta_warmup : int
    free_bits : float
        As in `skvae.VAE`.
    """

    beta: Tensor
    beta_per_epoch: Tensor
    free_bits: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        *,
        n_hidden: int,
        n_components: int,
        shift: Tensor,
        spread: float,
        beta: float,
        beta_warmup: int,
        free_bits: float,
    ) -> None:
        super().__init__(
            encoder,
            decoder,
            likelihood,
            n_hidden=n_hidden,
            n_components=n_components,
            shift=shift,
            spread=spread,
        )
        self._add_head("logvar", LogVariance(n_hidden, n_components), n_components)
        warms_up = beta > 0 and beta_warmup > 0
        beta_per_epoch = beta / beta_warmup if warms_up else math.inf  # at most beta
        register_numbers(
            self, beta=beta, beta_per_epoch=beta_per_epoch, free_bits=free_bits
        )

    def elbo(self, X: Tensor, noise: Tensor) -> Tensor:
        """Return the evidence lower bound per sample in nats, of shape (n_samples,).

        Parameters
        ----------
        X : Tensor of shape (n_samples, *sample_shape)
        noise : Tensor of shape (n_samples, n_components)
            Standard normal.
        """
        X = self.standardized(X)
        codes = self._codes(X)
        nll = self.likelihood.nll(X, self.decoder(self.draw(codes, noise)))
        return -nll - kl_divergence(codes).sum(1)

    def importance_weighted_bound(self, X: Tensor, noise: Tensor) -> Tensor:
        """Return the bound of Burda et al. (2016) per sample in nats.

        Parameters
        ----------
        X : Tensor of shape (n_samples, *sample_shape)
        noise : Tensor of shape (n_samples, n_draws, n_components)
            Standard normal.
        """
        X = self.standardized(X)
        codes = self._codes(X)
        total = X.new_full(X.shape[:1], -math.inf)
        for draw in noise.unbind(1):
            z = self.draw(codes, draw)
            # log p(z) - log q(z|x): the constants of the two Gaussians cancel.
            log_ratio = 0.5 * (draw.square() + codes["logvar"] - z.square()).sum(1)
            log_weight = log_ratio - self.likelihood.nll(X, self.decoder(z))
            total = torch.logaddexp(total, log_weight)
        return total - math.log(noise.shape[1])

    def _losses(
        self,
        phase: str,
        X: Tensor,
        y: Tensor | None,
        noise: Noise,
        epoch: Tensor | float,
    ) -> dict[str, Tensor]:
        codes = self._codes(X)
        z = self.draw(codes, noise.normal(*codes["mu"].shape))
        reconstruction = self.likelihood.nll(X, self.decoder(z)).mean()
        per_component = kl_divergence(codes).mean(0)
        penalty = per_component.clamp(min=self.free_bits).sum()
        beta = torch.minimum(self.beta_per_epoch * epoch, self.beta)
        loss = reconstruction + beta * penalty
        return {
            "loss": loss,
            "reconstruction_loss": reconstruction,
            "kl_divergence": per_component.detach().sum(),
        }


class LogVariance(nn.Linear):
    """A linear map to log-variances of codes that can't explode.

    One large step on one outlier would otherwise raise the variance, an exponential, by
    orders of magnitude, and the training would diverge. Priors are about as wide as 1,
    so that no posterior needs a variance beyond the bound. It is smooth, and below it
    the map is linear.
    """

    _largest: ClassVar[float] = 4.0

    def forward(self, input: Tensor) -> Tensor:
        return self._largest + F.logsigmoid(super().forward(input) - self._largest)


def kl_divergence(codes: Mapping[str, Tensor]) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)) in nats, of shape (n_samples, n_components)."""
    mu, logvar = codes["mu"], codes["logvar"]
    return 0.5 * torch.addcmul(logvar.expm1() - logvar, mu, mu)


def with_noise(X: Tensor, scale: Tensor | None, noise: Noise) -> Tensor:
    """Add normal noise of standard deviation `scale`, None for no noise."""
    return X if scale is None else X + scale * noise.normal(*X.shape)

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._corruptions import Corruption
from ._likelihoods import Likelihood
from ._mlp import begin_linear
from ._noise import Noise, drawing_from
from ._ordered import Prefixes
from ._parameters import register_numbers


def encoder_shape(sample_shape: Sequence[int], has_gaps: bool) -> tuple[int, ...]:
    """Return the shape of what an encoder gets of a sample.

    Of data with gaps, that is the data and, along the first axis, where there are any.
    """
    first, *others = sample_shape
    return first * (1 + has_gaps), *others


def weighed(values: Tensor, weight: Tensor | None) -> Tensor:
    """Multiply values of samples, of shape (n_samples, ...), by a weight of each."""
    if weight is None:
        return values
    return values * weight.view(-1, *[1] * (values.dim() - 1))


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
    prefix_decoders : sequence of nn.Module or None, default=None
        As in `Prefixes`, for a code that is ordered.
    corruption : Corruption or None, default=None
        Of the encoder's input in training.
    has_gaps : bool, default=False
        Whether values of the data may be NaN. The encoder then gets samples of
        `encoder_shape`: the data with zeros there, and ones where there are values.
    """

    decodes_classes: ClassVar[bool] = False  # or anything else beside the code
    n_classes: int = 0
    labelled_phases: ClassVar[tuple[str, ...]] = ()  # train on samples with a label
    is_standardized: bool = False  # whether data come as `standardized` gives them
    training_dtype: torch.dtype | None = None  # in which networks multiply, in training
    shift: Tensor
    spread: Tensor
    _inverse_unit: Tensor | None
    _weight: Tensor | None = None  # of the samples whose losses are computed now

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
        prefix_decoders: Sequence[nn.Module] | None = None,
        corruption: Corruption | None = None,
        has_gaps: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.has_gaps = has_gaps
        self.n_components = n_components
        self._code_sizes: dict[str, int] = {}
        self._add_head("mu", nn.Linear(n_hidden, n_components), n_components)
        self.decoder = decoder
        self.likelihood = likelihood
        self.prefixes: Prefixes | None = None
        if prefix_decoders is not None:
            self.prefixes = Prefixes(prefix_decoders, likelihood, n_components)
        for head in self._heads:
            head.likelihood.build(shift.shape, spread)
        self.corruption = corruption
        if corruption is not None:
            corruption.build()
            corruption.makes_gaps = has_gaps
        unit = likelihood.unit
        inverse_unit = None if unit is None else 1 / float(unit)
        register_numbers(self, _inverse_unit=inverse_unit)
        self.register_buffer("shift", shift)
        self.register_buffer("spread", torch.tensor(spread, dtype=torch.float32))

    def forward(self, X: Tensor, n_components: int | None = None) -> Tensor:
        """Reconstruct X from `mu`, or from a prefix of an ordered one."""
        return self.decode(self.encode(X)["mu"][:, :n_components]).to(X.dtype)

    def reconstructed(self, X: Tensor, y: Tensor | None = None) -> Tensor:
        """Reconstruct X, as of given classes where the decoder is told them."""
        whole: Tensor = self(X)
        return whole

    def given(self, X: Tensor) -> Tensor:
        """Return what is encoded: the first of each pair, if samples come in pairs."""
        return X[:, 0] if X.dim() > self.shift.dim() + 1 else X

    def wanted(self, X: Tensor) -> Tensor:
        """Return what is reconstructed: the second of each pair, if there are any."""
        return X[:, 1] if X.dim() > self.shift.dim() + 1 else X

    @property
    def code_sizes(self) -> dict[str, int]:
        """Map the names of the parameters of the code to their sizes."""
        if self.prefixes is None:
            return dict(self._code_sizes)
        used = dict.fromkeys(("mu", "logvar"), int(self.prefixes.n_used))
        return {name: used.get(name, n) for name, n in self._code_sizes.items()}

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
        return self.as_used(self._codes(self.standardized(X), names))

    def as_used(self, codes: dict[str, Tensor]) -> dict[str, Tensor]:
        """Turn parts of a code, as training has them, into what they are outside.

        Of an ordered code, "mu" and "logvar" are cut to the components that are used.
        """
        if self.prefixes is None:
            return codes
        sizes = self.code_sizes
        return {name: values[:, : sizes[name]] for name, values in codes.items()}

    def standardized(self, X: Tensor) -> Tensor:
        """Return what the networks work on, of single precision.

        The mean is taken away in the precision of `shift`, so that large offsets are
        not lost.
        """
        precision = self.spread.dtype
        if self.likelihood.standardize and not self.is_standardized:
            return (X - self.shift).to(precision) / self.spread
        return X.to(precision)

    def decode(self, Z: Tensor, noise: Noise | None = None) -> Tensor:
        """Return the mean of the data, or a draw from their likelihood.

        It has the precision of `shift`, in which the networks' part is added to it. Of
        an ordered code, a prefix will do.

        Parameters
        ----------
        Z : Tensor of shape (n_samples, n_inputs)
            Inputs of the decoder.
        noise : Noise or None, default=None
            Source of the draw; None gives the mean.
        """
        head, Z = self._head_for(Z)
        raw, likelihood = head.decoder(Z), head.likelihood
        data: Tensor
        data = likelihood.mean(raw) if noise is None else likelihood.draw(raw, noise)
        return self.shift + data * self.spread if likelihood.standardize else data

    def logits(self, Z: Tensor) -> Tensor:
        """Return what the decoder says before the likelihood makes a mean of it."""
        head, Z = self._head_for(Z)
        raw: Tensor = head.decoder(Z)
        return raw

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

    @torch.no_grad()
    def begin_as_pca(
        self, mean: Tensor, axes: Tensor, variances: Tensor, residuals: Tensor
    ) -> None:
        """Set the linear paths of encoder and decoder to principal axes.

        What the layers beside them give is set to zero, so that training begins from
        what PCA knows.

        Parameters
        ----------
        mean : Tensor of shape (n_features,)
            Of what the networks work on.
        axes : Tensor of shape (n_axes, n_features)
            At most as many as components; the others begin at zero.
        variances : Tensor of shape (n_axes,)
            Along the axes.
        residuals : Tensor of shape (n_features,)
            Variances of what the axes leave.
        """
        noise = self._noise_of_codes(residuals, len(axes))
        signal = (variances - noise).clamp(min=0).sqrt()
        into = axes * (signal / variances.clamp(min=1e-12))[:, None]
        n_axes, n_features = axes.shape
        for name in {"mu", "logvar"} & self._code_sizes.keys():
            part: nn.Linear = getattr(self, name)
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
        n_passed = n_features * (1 + self.has_gaps)
        path = slice(-n_passed, n_features - n_passed or None)
        mu: nn.Linear = getattr(self, "mu")  # noqa: B009
        mu.weight[:n_axes, path] = into
        mu.bias[:n_axes] = -into @ mean
        self._begin_posterior(variances, noise)
        for head, size in zip(self._heads, self._sizes_of_heads, strict=True):
            if head.likelihood.is_linear:
                out_of = axes * signal[:, None]
                begin_linear(head.decoder, out_of[:size].T, mean)
                of_codes = noise * axes[:size].square().sum(0)
                left_out = out_of[size:].square().sum(0)
                head.likelihood.begin_at(residuals + of_codes + left_out)

    def _noise_of_codes(self, residuals: Tensor, n_axes: int) -> Tensor:
        """Return the variance along an axis that codes leave to the likelihood."""
        return residuals.new_zeros(())

    def _begin_posterior(self, variances: Tensor, noise: Tensor) -> None:
        """Set how sure codes are in the beginning."""

    @property
    def _sizes_of_heads(self) -> list[int]:
        """List how many components each of the heads decodes."""
        return [self.n_components] if self.prefixes is None else self.prefixes.sizes

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
        weight: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the terms of the loss, means over the samples; "loss" is minimized.

        Parameters
        ----------
        phase : str
            A key of `phases`.
        X : Tensor of shape (n_samples, *sample_shape) or (n_samples, 2, *sample_shape)
            Samples, or pairs of what is encoded and what is to come out of it.
        y : Tensor of shape (n_samples,), int64, or None
            Numbers of the classes, -1 where they are not known.
        noise : Noise or None
            Source of all random numbers, those of dropout too. None takes PyTorch's
            global state.
        epoch : float
            Number of the epoch from 1, for terms that are warmed up.
        weight : Tensor of shape (n_samples,) or None
            What each sample counts, 1 on average over all.
        """
        noise = noise or Noise(device=self.spread.device)
        self._weight = weight
        try:
            with drawing_from(noise):
                return self._losses(phase, self.standardized(X), y, noise, epoch)
        finally:
            self._weight = None

    def held_out_loss(
        self,
        X: Tensor,
        y: Tensor | None = None,
        *,
        noise: Noise | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Return the loss by which `early_stopping` judges held-out samples."""
        return self.losses("reconstruction", X, y, noise=noise, weight=weight)["loss"]

    def log_likelihood(self, X: Tensor) -> Tensor:
        """Return log p(x | mu(x)) per sample in nats, of shape (n_samples,)."""
        X = self.standardized(X)
        return -self._nll(X, self.as_used(self._codes(X))["mu"])

    def _losses(
        self,
        phase: str,
        X: Tensor,
        y: Tensor | None,
        noise: Noise,
        epoch: Tensor | float,
    ) -> dict[str, Tensor]:
        """Return the terms of the loss for standardized data."""
        codes = self._codes(self._corrupted(X, noise))
        loss = self._decoding_loss(X, self._cut(codes["mu"], noise))
        return {"loss": loss, "reconstruction_loss": loss}

    def _add_head(self, name: str, head: nn.Module, size: int) -> None:
        """Add a part of the code, computed from what the encoder gives."""
        self.add_module(name, head)
        self._code_sizes[name] = size

    @property
    def _heads(self) -> list[Any]:
        """List what decodes, each with `decoder` and `likelihood`; the last is this."""
        return [self] if self.prefixes is None else [*self.prefixes.heads, self]

    def _head_for(self, Z: Tensor) -> tuple[Any, Tensor]:
        """Return what decodes codes of so many columns, and its input."""
        if self.prefixes is None:
            return self, Z
        n_others = self.n_classes if self.decodes_classes else 0
        n_missing = self.n_components + n_others - Z.shape[1]
        length = self.n_components - n_missing
        code, classes = Z.tensor_split([length], dim=1)
        padded = torch.cat([F.pad(code, (0, n_missing)), classes], 1)
        return self.prefixes.head_for(length) or self, padded

    def _nll(self, X: Tensor, Z: Tensor) -> Tensor:
        """Return the negative log-likelihood of each sample around its decoded code."""
        return self._nll_by(*self._head_for(Z), X)

    def _nll_by(self, head: Any, Z: Tensor, X: Tensor) -> Tensor:
        """Return the negative log-likelihood of the values that there are."""
        X, raw = self.wanted(X), self._through(head.decoder, Z)
        nll: Tensor
        if self.has_gaps:
            gaps = X.isnan()
            nll = head.likelihood.nll_per_value(X.masked_fill(gaps, 0), raw)
            nll = nll.masked_fill(gaps, 0).flatten(1).sum(1)
        else:
            nll = head.likelihood.nll(X, raw)
        return nll

    def _corrupted(self, X: Tensor, noise: Noise) -> Tensor:
        """Corrupt the encoder's input in training."""
        X = self.given(X)
        if self.corruption is None or not self.training:
            return X
        return self._changed(self.corruption, X, noise)

    def _changed(self, corruption: Corruption, X: Tensor, noise: Noise) -> Tensor:
        """Apply a corruption to what the networks work on."""
        shift, spread = self.shift.to(X.dtype), self.spread
        corrupted: Tensor
        if corruption.takes_standardized == self.likelihood.standardize:
            corrupted = corruption(X, noise)
        elif self.likelihood.standardize:
            corrupted = (corruption(X * spread + shift, noise) - shift) / spread
        else:
            corrupted = corruption((X - shift) / spread, noise) * spread + shift
        return corrupted

    def _to_encode(self, X: Tensor) -> Tensor:
        """Return what the encoder gets of standardized data."""
        if not self.has_gaps:
            return X
        gaps = X.isnan()
        return torch.cat([X.masked_fill(gaps, 0), (~gaps).to(X.dtype)], 1)

    def _cut(self, Z: Tensor, noise: Noise) -> Tensor:
        """Leave prefixes of codes that are ordered."""
        return Z if self.prefixes is None else self.prefixes.cut(Z, noise)

    def _decoding_loss(self, X: Tensor, Z: Tensor) -> Tensor:
        """Return the mean of the negative log-likelihood; heads take turns."""
        n = len(self._heads)
        if n == 1:
            return self._weighed(self._nll_by(self, Z, X)).mean()
        parts = [
            self._weighed(self._nll_by(head, Z[i::n], X[i::n]), slice(i, None, n))
            for i, head in enumerate(self._heads)
        ]
        return torch.cat(parts).mean()

    def _weighed(self, values: Tensor, samples: slice = slice(None)) -> Tensor:
        """Multiply values of samples by what these count."""
        return weighed(values, None if self._weight is None else self._weight[samples])

    def _codes(
        self, X: Tensor, names: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        """Encode standardized data."""
        hidden = self._hidden(X)
        names = self._code_sizes if names is None else names
        return {name: getattr(self, name)(hidden) for name in names}

    def _hidden(self, X: Tensor) -> Tensor:
        """Return what the encoder makes of standardized data, as flat rows."""
        return self._through(self.encoder, self._to_encode(self.given(X))).flatten(1)

    def _through(self, network: nn.Module, X: Tensor) -> Tensor:
        """Apply a network; its results are of single precision in any case."""
        result: Tensor
        if self.training and self.training_dtype is not None:
            kind, dtype = X.device.type, self.training_dtype
            with torch.autocast(kind, dtype, cache_enabled=False):  # it would be stale
                result = network(X).float()
        else:
            result = network(X)
        return result


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
    prefix_decoders : sequence of nn.Module or None, default=None
    corruption : Corruption or None, default=None
    has_gaps : bool, default=False
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
        prefix_decoders: Sequence[nn.Module] | None = None,
        corruption: Corruption | None = None,
        has_gaps: bool = False,
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
            prefix_decoders=prefix_decoders,
            corruption=corruption,
            has_gaps=has_gaps,
        )
        self._add_head("logvar", LogVariance(n_hidden, n_components), n_components)
        warms_up = beta > 0 and beta_warmup > 0
        beta_per_epoch = beta / beta_warmup if warms_up else math.inf  # at most beta
        register_numbers(
            self, beta=beta, beta_per_epoch=beta_per_epoch, free_bits=free_bits
        )

    def _noise_of_codes(self, residuals: Tensor, n_axes: int) -> Tensor:
        return residuals.sum() / max(len(residuals) - n_axes, 1)

    def _begin_posterior(self, variances: Tensor, noise: Tensor) -> None:
        """Begin as probabilistic PCA does (Tipping and Bishop 1999)."""
        posterior = (noise / variances.clamp(min=1e-12)).clamp(1e-6, 1)
        logvar: nn.Linear = getattr(self, "logvar")  # noqa: B009
        logvar.bias[: len(variances)] = posterior.log()

    def elbo(self, X: Tensor, noise: Tensor) -> Tensor:
        """Return the evidence lower bound per sample in nats, of shape (n_samples,).

        Parameters
        ----------
        X : Tensor of shape (n_samples, *sample_shape)
        noise : Tensor of shape (n_samples, n_components)
            Standard normal.
        """
        X = self.standardized(X)
        codes = self.as_used(self._codes(X))
        nll = self._nll(X, self.draw(codes, noise))
        return -nll - kl_divergence(codes).sum(1)

    def importance_weighted_bound(self, X: Tensor, noise: Tensor) -> Tensor:
        """Return the bound of Burda et al. (2016) per sample in nats.

        Parameters
        ----------
        X : Tensor of shape (n_samples, *sample_shape)
        noise : Tensor of shape (n_samples, n_draws, n_components)
            Standard normal.
        """
        total = self.spread.new_full(X.shape[:1], -math.inf)
        for _, log_weight in self._weighted_draws(X, noise):
            total = torch.logaddexp(total, log_weight)
        return total - math.log(noise.shape[1])

    def imputed(self, X: Tensor, noise: Tensor) -> Tensor:
        """Return the mean of the data given the values that there are.

        Draws from the posterior are weighted by importance (Mattei and Frellsen 2019,
        https://arxiv.org/abs/1812.02633).

        Parameters
        ----------
        X : Tensor of shape (n_samples, *sample_shape)
        noise : Tensor of shape (n_samples, n_draws, n_components)
            Standard normal.
        """
        total = self.spread.new_full(X.shape[:1], -math.inf)
        mean = torch.zeros_like(X, dtype=self.shift.dtype)
        for z, log_weight in self._weighted_draws(X, noise):
            total = torch.logaddexp(total, log_weight)
            share = torch.exp(log_weight - total).view(-1, *[1] * (X.dim() - 1))
            mean += share * (self.decode(z) - mean)
        return mean

    def resampled(self, X: Tensor, noise: Tensor, uniform: Tensor) -> Tensor:
        """Draw codes from the posterior, by importance resampling.

        Parameters
        ----------
        X : Tensor of shape (n_samples, *sample_shape)
        noise : Tensor of shape (n_samples, n_draws, n_components)
            Standard normal; codes are picked among these draws.
        uniform : Tensor of shape (n_samples, n_codes)
            Of values in [0, 1).

        Returns
        -------
        Z : Tensor of shape (n_samples, n_codes, n_components)
        """
        draws, log_weights = zip(*self._weighted_draws(X, noise), strict=True)
        bounds = torch.stack(log_weights, 1).softmax(1).cumsum(1)[:, :-1].contiguous()
        picked = torch.searchsorted(bounds, uniform.contiguous(), right=True)
        codes = torch.stack(draws, 1)
        return codes.gather(1, picked[..., None].expand(-1, -1, codes.shape[2]))

    def _weighted_draws(
        self, X: Tensor, noise: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield draws from the posterior, with log p(x, z) - log q(z|x) of each."""
        X = self.standardized(X)
        codes = self.as_used(self._codes(X))
        for draw in noise.unbind(1):
            z = self.draw(codes, draw)
            # log p(z) - log q(z|x): the constants of the two Gaussians cancel.
            log_ratio = 0.5 * (draw.square() + codes["logvar"] - z.square()).sum(1)
            yield z, log_ratio - self._nll(X, z)

    def _losses(
        self,
        phase: str,
        X: Tensor,
        y: Tensor | None,
        noise: Noise,
        epoch: Tensor | float,
    ) -> dict[str, Tensor]:
        codes = self._codes(self._corrupted(X, noise))
        z = self.draw(codes, noise.normal(*codes["mu"].shape))
        reconstruction = self._decoding_loss(X, self._cut(z, noise))
        per_component = self._weighed(kl_divergence(codes)).mean(0)
        penalty = self._share(per_component.clamp(min=self.free_bits)).sum()
        beta = torch.minimum(self.beta_per_epoch * epoch, self.beta)
        loss = reconstruction + beta * penalty
        return {
            "loss": loss,
            "reconstruction_loss": reconstruction,
            "kl_divergence": self._share(per_component.detach()).sum(),
        }

    def _share(self, per_component: Tensor) -> Tensor:
        """Weigh components by how often a code holds them, if it is ordered."""
        if self.prefixes is None:
            return per_component
        return per_component * self.prefixes.shares


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

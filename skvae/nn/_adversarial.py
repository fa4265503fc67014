from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._corruptions import Corruption
from ._likelihoods import Likelihood
from ._mlp import dense
from ._modules import AEModule, LogVariance, weighed
from ._noise import Noise
from ._parameters import register_numbers
from ._priors import Prior, check_draws
from ._spectral import SpectralLinear


class DiscriminatorModule(nn.Module):
    """A network that tells real codes, drawn from a prior, from those of samples.

    Parameters
    ----------
    n_inputs : int
    hidden_layer_sizes : sequence of int
    dropout : float
    spectral_norm : bool
        Whether no layer may stretch distances (Miyato et al. 2018,
        https://arxiv.org/abs/1802.05957).
    noise : float
        Standard deviation of noise on its input in training (Sønderby et al. 2017,
        https://arxiv.org/abs/1610.04490).
    """

    noise: Tensor | None

    def __init__(
        self,
        n_inputs: int,
        hidden_layer_sizes: Sequence[int],
        dropout: float,
        spectral_norm: bool,
        noise: float,
    ) -> None:
        super().__init__()
        sizes = [n_inputs, *hidden_layer_sizes]
        linear = SpectralLinear if spectral_norm else nn.Linear
        hidden = dense(sizes, "leaky_relu", dropout, linear)
        self.network = nn.Sequential(*hidden, linear(sizes[-1], 1))
        register_numbers(self, noise=noise or None)

    def forward(self, Z: Tensor, noise: Noise | None = None) -> Tensor:
        """Return the log-odds that codes are real, of shape (n_samples, 1)."""
        if self.training and self.noise is not None:
            noise = noise or Noise(device=Z.device)
            Z = Z + self.noise * noise.normal(*Z.shape)
        logits: Tensor = self.network(Z)
        return logits

    def loss(
        self,
        real: Tensor,
        fake: Tensor,
        noise: Noise | None = None,
        weights: tuple[Tensor | None, Tensor | None] = (None, None),
    ) -> Tensor:
        """Return the cross-entropy of its verdicts in nats.

        It is 2 log 2 where real and fake codes are alike, and 0 where it never errs.
        Real and fake codes may have weights.
        """
        logits = self(torch.cat([real, fake]), noise)
        on_real, on_fake = logits.split([len(real), len(fake)])
        of_real, of_fake = weights
        wrong = weighed(F.softplus(-on_real), of_real).mean()
        return wrong + weighed(F.softplus(on_fake), of_fake).mean()

    def loss_of_generator(
        self,
        fake: Tensor,
        noise: Noise | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Return what it costs the encoder that its codes are not taken for real."""
        return weighed(F.softplus(-self(fake, noise)), weight).mean()


class AAEModule(AEModule):
    """Adversarial autoencoder: a discriminator holds the codes to a prior.

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
    prior : Prior
    posterior : {"deterministic", "gaussian"}
    class_prior : sequence of float
        Shares of the classes; empty if labels play no part.
    discriminator : mapping of str to value
        The arguments `hidden_layer_sizes`, `dropout` and `spectral_norm` of each
        `DiscriminatorModule`.
    """

    # Share of the past in the gradients of adversaries. Where they have to do away with
    # all that tells classes apart, less of it keeps them from chasing each other
    # (Radford, Metz and Chintala 2016, https://arxiv.org/abs/1511.06434).
    _adversarial_momentum: ClassVar[float] = 0.9

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
        prior: Prior,
        posterior: str,
        class_prior: Sequence[float],
        discriminator: Mapping[str, Any],
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
        prior.build(n_components, class_prior)
        check_draws(prior)
        self.prior = prior
        self.n_classes = len(class_prior)
        self._discriminator_options = discriminator
        if posterior == "gaussian":
            self._add_head("logvar", LogVariance(n_hidden, n_components), n_components)
        self.discriminator = self._new_discriminator(n_components + self._n_marks)

    @property
    def _n_marks(self) -> int:
        """Number of values by which the discriminator learns the class of a code.

        The last one stands for "not known".
        """
        return self.n_classes + 1 if self.prior.by_class else 0

    def phases(self) -> dict[str, list[nn.Module]]:
        inference = [self.encoder, *map(self.get_submodule, self._code_sizes)]
        generative = [self.decoder, self.likelihood]
        if self.prefixes is not None:
            generative.append(self.prefixes)
        return {
            "reconstruction": [*inference, *generative],
            "discriminator": list(self._discriminators().values()),
            "generator": inference,
        }

    def momentum(self, phase: str) -> float:
        is_adversary = phase in ("discriminator", "generator")
        return self._adversarial_momentum if is_adversary else super().momentum(phase)

    def log_likelihood(self, X: Tensor, y: Tensor | None = None) -> Tensor:
        """Return log p(x | mu(x), y) per sample in nats, of shape (n_samples,).

        Parameters
        ----------
        X : Tensor of shape (n_samples, *sample_shape)
        y : Tensor of shape (n_samples,), int64, or None
            Classes, for decoders that are told them.
        """
        X = self.standardized(X)
        codes = self.as_used(self._codes(X))
        return -self._nll(X, self._to_decode(codes["mu"], codes, y))

    def _losses(
        self,
        phase: str,
        X: Tensor,
        y: Tensor | None,
        noise: Noise,
        epoch: Tensor | float,
    ) -> dict[str, Tensor]:
        terms_of: Callable[..., dict[str, Tensor]] = getattr(self, f"_{phase}_terms")
        terms = terms_of(X, y, noise)
        first, *others = terms.values()
        return {"loss": sum(others, first), **terms}

    def _reconstruction_terms(
        self, X: Tensor, y: Tensor | None, noise: Noise
    ) -> dict[str, Tensor]:
        codes = self._codes(self._corrupted(X, noise))
        z = self._cut(self._drawn(codes, noise), noise)
        loss = self._decoding_loss(X, self._to_decode(z, codes, y))
        return {"reconstruction_loss": loss}

    def _discriminator_terms(
        self, X: Tensor, y: Tensor | None, noise: Noise
    ) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = self._fake(X, y, noise)
        real = self._real(len(X), y, noise)
        return {
            f"{prefix}discriminator_loss": network.loss(
                real[prefix], fake[prefix], noise, self._weights_of(prefix)
            )
            for prefix, network in self._discriminators().items()
        }

    def _weights_of(self, prefix: str) -> tuple[Tensor | None, Tensor | None]:
        """Return what real and fake codes count; real ones where they have a class."""
        has_classes = prefix == "" and self._n_marks > 0
        return self._weight if has_classes else None, self._weight

    def _generator_terms(
        self, X: Tensor, y: Tensor | None, noise: Noise
    ) -> dict[str, Tensor]:
        fake = self._fake(X, y, noise)
        return {
            f"{prefix}generator_loss": network.loss_of_generator(
                fake[prefix], noise, self._weight
            )
            for prefix, network in self._discriminators().items()
        }

    def _discriminators(self) -> dict[str, DiscriminatorModule]:
        """Map a prefix of the terms of the loss to the discriminator they are of."""
        return {"": self.discriminator}

    def _fake(self, X: Tensor, y: Tensor | None, noise: Noise) -> dict[str, Tensor]:
        """Return what each discriminator sees of samples."""
        codes = self._codes(self._corrupted(X, noise))
        return self._seen(codes, self._drawn(codes, noise), y)

    def _seen(
        self, codes: Mapping[str, Tensor], z: Tensor, y: Tensor | None
    ) -> dict[str, Tensor]:
        return {"": self._marked(z, y)}

    def _real(
        self, n_samples: int, y: Tensor | None, noise: Noise
    ) -> dict[str, Tensor]:
        """Return what each discriminator sees of draws from the prior."""
        return {"": self._marked(self.prior.sample(n_samples, y, noise), y)}

    def _marked(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Append the class, where the discriminator knows it."""
        if not self._n_marks:
            return z
        if y is None:
            raise ValueError(f"{type(self).__name__} needs the classes y here.")
        marks = one_hot(y % self._n_marks, self._n_marks)  # -1 is the last one
        return torch.cat([z, marks], 1)

    def _to_decode(
        self, z: Tensor, codes: Mapping[str, Tensor], y: Tensor | None
    ) -> Tensor:
        """Return the input of the decoder."""
        return z

    def _to_encode(self, X: Tensor) -> Tensor:
        """Return what the encoder gets: standardized data with every likelihood.

        The first layer of an encoder that gets small values changes little from step to
        step, and the adversaries, which move nothing else, fall behind the decoder.
        """
        if not self.likelihood.standardize:
            X = (X - self.shift.to(X.dtype)) / self.spread
        return super()._to_encode(X)

    def _drawn(self, codes: Mapping[str, Tensor], noise: Noise) -> Tensor:
        if "logvar" not in codes:
            return codes["mu"]
        return self.draw(codes, noise.normal(*codes["mu"].shape))

    def _new_discriminator(
        self, n_inputs: int, noise: float = 0.0
    ) -> DiscriminatorModule:
        return DiscriminatorModule(n_inputs, noise=noise, **self._discriminator_options)


class SupervisedAAEModule(AAEModule):
    """Adversarial autoencoder whose decoder is told the class, one-hot.

    The discriminator is told it too, so that the codes of every single class are held
    to the prior and say nothing about the class.
    """

    decodes_classes = True
    _adversarial_momentum = 0.5

    @property
    def _n_marks(self) -> int:
        return self.n_classes

    def forward(self, X: Tensor, n_components: int | None = None) -> Tensor:
        """Return `mu`: without a class there is nothing to decode."""
        return self.encode(X)["mu"][:, :n_components]

    def reconstructed(self, X: Tensor, y: Tensor | None = None) -> Tensor:
        codes = self.encode(X)
        return self.decode(self._to_decode(codes["mu"], codes, y)).to(X.dtype)

    def _to_decode(
        self, z: Tensor, codes: Mapping[str, Tensor], y: Tensor | None
    ) -> Tensor:
        if y is None:
            raise ValueError(f"{type(self).__name__} needs the classes y here.")
        return torch.cat([z, one_hot(y, self.n_classes)], 1)


class AAEClustererModule(AAEModule):
    """Adversarial autoencoder with a second head, the probabilities of classes.

    The decoder gets them beside the code. A second discriminator holds them to one-hot
    draws from a categorical prior, so that each sample is given to one class.

    Parameters
    ----------
    *args
        As in `AAEModule`.
    class_noise : float
        Standard deviation of noise on what the second discriminator sees in training.
    **kwargs
        As in `AAEModule`.
    """

    decodes_classes = True
    class_prior: Tensor
    proba: nn.Sequential

    def __init__(
        self,
        *args: Any,
        class_noise: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        linear = nn.Linear(kwargs["n_hidden"], self.n_classes)
        head = nn.Sequential(linear, nn.Softmax(dim=1))
        self._add_head("proba", head, self.n_classes)
        self.class_discriminator = self._new_discriminator(self.n_classes, class_noise)
        register_numbers(self, class_prior=kwargs["class_prior"])

    def forward(self, X: Tensor, n_components: int | None = None) -> Tensor:
        """Reconstruct X from `mu` and the probabilities of the classes."""
        codes = self.encode(X)
        mu = codes["mu"][:, :n_components]
        return self.decode(self._to_decode(mu, codes, None)).to(X.dtype)

    def _discriminators(self) -> dict[str, DiscriminatorModule]:
        return {"": self.discriminator, "class_": self.class_discriminator}

    def _seen(
        self, codes: Mapping[str, Tensor], z: Tensor, y: Tensor | None
    ) -> dict[str, Tensor]:
        return super()._seen(codes, z, y) | {"class_": codes["proba"]}

    def _real(
        self, n_samples: int, y: Tensor | None, noise: Noise
    ) -> dict[str, Tensor]:
        drawn = noise.choice(self.class_prior, n_samples)
        classes = one_hot(drawn, self.n_classes)
        return super()._real(n_samples, y, noise) | {"class_": classes}

    def _to_decode(
        self, z: Tensor, codes: Mapping[str, Tensor], y: Tensor | None
    ) -> Tensor:
        return torch.cat([z, codes["proba"]], 1)


class AAEClassifierModule(AAEClustererModule):
    """The same with a phase that teaches the head the known classes.

    Parameters
    ----------
    *args
        As in `AAEClustererModule`.
    label_prior : sequence of float
        Shares of the classes among labelled samples. Where they are not `class_prior`,
        the head learns by adjusted logits, so that its probabilities are right for all
        samples (Menon et al. 2021, https://arxiv.org/abs/2007.07314).
    label_smoothing : float
        As in `skvae.AAEClassifier`.
    **kwargs
        As in `AAEClustererModule`.
    """

    labelled_phases = ("classification",)
    _adversarial_momentum = 0.5
    label_smoothing: Tensor
    _least_loss: Tensor  # entropy of a smoothed label
    _label_log_odds: Tensor
    _largest_log_odds: ClassVar[float] = 10.0  # of classes whose share is given as 0
    _floor: ClassVar[float] = 0.03  # of probabilities, in units of a smoothed zero

    def __init__(
        self,
        *args: Any,
        label_prior: Sequence[float],
        label_smoothing: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        others = label_smoothing / self.n_classes
        smoothed = torch.tensor([1 - label_smoothing, *[0.0] * (self.n_classes - 1)])
        entropy = torch.special.entr(smoothed + others).sum().item()
        register_numbers(self, label_smoothing=label_smoothing, _least_loss=entropy)
        shares = torch.tensor(label_prior, dtype=torch.float32)
        log_odds = shares.log() - self.class_prior.log()
        limit = self._largest_log_odds
        register_numbers(self, _label_log_odds=log_odds.clamp(-limit, limit).tolist())

    def as_used(self, codes: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take the smoothing of labels back out of the probabilities.

        The head learns smoothed labels, so that its probabilities are too near to each
        other, on average by as much as the labels were brought together.
        """
        codes = super().as_used(codes)
        if "proba" in codes:
            of_zero = self.label_smoothing / self.n_classes
            proba = (codes["proba"] - of_zero) / (1 - self.label_smoothing)
            proba = torch.maximum(proba, self._floor * of_zero)
            codes["proba"] = proba / proba.sum(1, keepdim=True)
        return codes

    def phases(self) -> dict[str, list[nn.Module]]:
        classification: list[nn.Module] = [self.encoder, self.proba]
        return super().phases() | {"classification": classification}

    def held_out_loss(
        self,
        X: Tensor,
        y: Tensor | None = None,
        *,
        noise: Noise | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        loss = super().held_out_loss(X, y, noise=noise, weight=weight)
        if y is None:
            return loss
        logits = self._logits_of_labelled(self.standardized(X))
        wrong = F.cross_entropy(logits, y, ignore_index=-1, reduction="none")
        return loss + weighed(wrong, weight).sum() / len(X)

    def _classification_terms(
        self, X: Tensor, y: Tensor, noise: Noise
    ) -> dict[str, Tensor]:
        log_proba = self._logits_of_labelled(self._corrupted(X, noise)).log_softmax(1)
        of_label = -self._weighed(log_proba.gather(1, y[:, None])).mean()
        of_others = -self._weighed(log_proba).mean()
        smoothed = torch.lerp(of_label, of_others, self.label_smoothing)
        return {"classification_loss": smoothed - self._least_loss}

    def _logits_of_labelled(self, X: Tensor) -> Tensor:
        """Return logits of the classes among samples as the labelled ones are."""
        logits: Tensor = self.proba[0](self._hidden(X))
        return logits + self._label_log_odds


def one_hot(y: Tensor, n_classes: int) -> Tensor:
    """Set a 1 in the column of each number, which PyTorch can't under `torch.vmap`."""
    return (y[:, None] == torch.arange(n_classes, device=y.device)).float()

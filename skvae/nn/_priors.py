import math
import warnings
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ._parameters import Parameterized, is_positive


class Prior(Parameterized):
    """What codes are matched to, and drawn from to make new samples.

    A subclass implements `sample` and stores the arguments of its constructor under
    their own names.

    Attributes
    ----------
    by_class : bool
        Whether samples of one class have a part of the prior of their own.
    """

    by_class: bool = False

    def build(self, n_components: int, class_prior: Sequence[float] = ()) -> None:
        """Note the size of the codes; raise a ValueError if it can't be.

        Parameters
        ----------
        n_components : int
        class_prior : sequence of float
            Shares of the classes, if labels are known.
        """
        self.n_components = n_components
        self.class_prior = class_prior

    def sample(
        self, n_samples: int, y: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Draw codes.

        Parameters
        ----------
        n_samples : int
        y : Tensor of shape (n_samples,), int64, or None
            Number of the class of each code, -1 where it is not known. Only looked at
            if `by_class`.
        generator : torch.Generator
            Source of all randomness; codes are drawn on its device.

        Returns
        -------
        Z : Tensor of shape (n_samples, n_components)
        """
        raise NotImplementedError(f"{type(self).__name__} must define sample(...).")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


class Normal(Prior):
    """Independent normal components of mean 0.

    Parameters
    ----------
    scale : float, default=1.0
        Standard deviation.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def build(self, n_components: int, class_prior: Sequence[float] = ()) -> None:
        super().build(n_components, class_prior)
        _check_positive(self, "scale")

    def sample(
        self, n_samples: int, y: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        return self.scale * _normal(n_samples, self.n_components, generator)


class Uniform(Prior):
    """Independent components, uniform between -scale and scale.

    Parameters
    ----------
    scale : float, default=1.0
        Half the width.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def build(self, n_components: int, class_prior: Sequence[float] = ()) -> None:
        super().build(n_components, class_prior)
        _check_positive(self, "scale")

    def sample(
        self, n_samples: int, y: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        return self.scale * (2 * _uniform(n_samples, self.n_components, generator) - 1)


class _Planar(Prior):
    """A shape in the plane of the first two components; the others are N(0, 1)."""

    def build(self, n_components: int, class_prior: Sequence[float] = ()) -> None:
        super().build(n_components, class_prior)
        if n_components < 2:
            raise ValueError(
                f"prior={self!r} lies in a plane: `n_components` must be >= 2, got "
                f"{n_components}."
            )

    def _modes(
        self,
        n_modes: int,
        n_samples: int,
        y: Tensor | None,
        generator: torch.Generator,
    ) -> tuple[int, Tensor]:
        """Draw the mode of each code, or take its class where that is known."""
        shares = self.class_prior if self.by_class else [1.0] * n_modes
        weights = torch.tensor(shares, dtype=torch.float32, device=generator.device)
        modes = torch.multinomial(
            weights, n_samples, replacement=True, generator=generator
        )
        if self.by_class and y is not None:
            modes = torch.where(y >= 0, y, modes)
        return len(shares), modes

    def _join(
        self, radius: Tensor, angle: Tensor, scatter: Tensor, across: float
    ) -> Tensor:
        """Set codes at polar coordinates, and turn their scatter along the radius."""
        outward = torch.stack([angle.cos(), angle.sin()], 1)
        tangent = torch.stack([-angle.sin(), angle.cos()], 1)
        plane = radius[:, None] * outward + across * scatter[:, 1:2] * tangent
        return torch.cat([plane, scatter[:, 2:]], 1)


class GaussianMixture(_Planar):
    """Gaussians around a circle, stretched along its radius like petals of a flower.

    The circle lies in the plane of the first two components; the others are N(0, 1).

    Parameters
    ----------
    n_modes : int, default=10
        Number of Gaussians. All have equal weight.
    by_class : bool, default=False
        Whether every class has a Gaussian of its own (`n_modes` is then the number of
        classes), so that the place of a code says its class. Codes of samples without
        a label may lie anywhere in the mixture.
    radius : float, default=4.0
        Distance of the Gaussians' centres from the origin.
    radial_scale : float, default=1.0
        Standard deviation along the radius.
    tangential_scale : float, default=0.4
        Standard deviation across it.

    References
    ----------
    A. Makhzani et al., "Adversarial autoencoders", 2015, section 2.3,
    https://arxiv.org/abs/1511.05644.
    """

    def __init__(
        self,
        n_modes: int = 10,
        by_class: bool = False,
        radius: float = 4.0,
        radial_scale: float = 1.0,
        tangential_scale: float = 0.4,
    ) -> None:
        self.n_modes = n_modes
        self.by_class = by_class
        self.radius = radius
        self.radial_scale = radial_scale
        self.tangential_scale = tangential_scale

    def build(self, n_components: int, class_prior: Sequence[float] = ()) -> None:
        super().build(n_components, class_prior)
        is_int = isinstance(self.n_modes, Integral)
        if not is_int or isinstance(self.n_modes, bool) or self.n_modes < 1:
            raise ValueError(
                f"`n_modes` of GaussianMixture must be an int >= 1, got "
                f"{self.n_modes!r}."
            )
        for name in ("radius", "radial_scale", "tangential_scale"):
            _check_positive(self, name)

    def sample(
        self, n_samples: int, y: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        n_modes, modes = self._modes(self.n_modes, n_samples, y, generator)
        scatter = _normal(n_samples, self.n_components, generator)
        return self._join(
            self.radius + self.radial_scale * scatter[:, 0],
            2 * math.pi * modes / n_modes,
            scatter,
            self.tangential_scale,
        )


class SwissRoll(_Planar):
    """A spiral of one and a half turns, rolled up from its centre.

    It lies in the plane of the first two components; the others are N(0, 1).

    Parameters
    ----------
    by_class : bool, default=False
        Whether every class has a stretch of the roll of its own, the first one at the
        centre. Codes of samples without a label may lie anywhere on it.
    radius : float, default=4.0
        Distance of its outer end from the origin.
    thickness : float, default=0.1
        Standard deviation along the radius.

    References
    ----------
    A. Makhzani et al., "Adversarial autoencoders", 2015, section 2.3,
    https://arxiv.org/abs/1511.05644.
    """

    _turns: ClassVar[float] = 1.5

    def __init__(
        self, by_class: bool = False, radius: float = 4.0, thickness: float = 0.1
    ) -> None:
        self.by_class = by_class
        self.radius = radius
        self.thickness = thickness

    def build(self, n_components: int, class_prior: Sequence[float] = ()) -> None:
        super().build(n_components, class_prior)
        _check_positive(self, "radius")
        _check_positive(self, "thickness")
        if n_components == 3:
            warnings.warn(
                "The swiss roll lies in the plane of the first two components and the "
                "third is N(0, 1): this is no sheet rolled up in space. Take "
                "n_components=2, or a function that draws what you want as `prior`.",
                UserWarning,
                stacklevel=2,
            )

    def sample(
        self, n_samples: int, y: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        n_parts, parts = self._modes(1, n_samples, y, generator)
        place = (parts + _uniform(n_samples, 1, generator)[:, 0]) / n_parts
        way = place.sqrt()  # uniform along the spiral, whose length grows as its square
        scatter = _normal(n_samples, self.n_components, generator)
        return self._join(
            self.radius * way + self.thickness * scatter[:, 0],
            2 * math.pi * self._turns * way,
            scatter,
            0.0,
        )


class Sampler(Prior):
    """A prior that the user draws from in NumPy.

    Parameters
    ----------
    function : callable
        ``function(n_samples, rng)`` returns an array of shape (n_samples,
        n_components); `rng` is a ``numpy.random.Generator``.
    """

    def __init__(self, function: Callable[..., np.ndarray]) -> None:
        self.function = function

    def sample(
        self, n_samples: int, y: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        device = generator.device
        seed = torch.randint(2**62, (1,), generator=generator, device=device).item()
        drawn = self.function(n_samples, np.random.default_rng(int(seed)))
        return torch.from_numpy(np.asarray(drawn, dtype=np.float32)).to(device)


def check_draws(prior: Prior) -> None:
    """Raise a ValueError if a prior does not draw codes that can be used."""
    codes = prior.sample(2, None, torch.Generator().manual_seed(0))
    expected = 2, prior.n_components
    if tuple(codes.shape) != expected or codes.dtype != torch.float32:
        raise ValueError(
            "`prior` must draw codes of shape (n_samples, n_components) = "
            f"{expected}, float32; got shape {tuple(codes.shape)}, {codes.dtype}."
        )
    if not codes.isfinite().all():
        raise ValueError("`prior` must draw finite codes, got NaN or infinity.")


PRIORS: dict[str, type[Prior]] = {
    "gaussian_mixture": GaussianMixture,
    "normal": Normal,
    "swiss_roll": SwissRoll,
    "uniform": Uniform,
}


def _normal(n_samples: int, n_columns: int, generator: torch.Generator) -> Tensor:
    shape, device = (n_samples, n_columns), generator.device
    return torch.randn(shape, generator=generator, device=device, dtype=torch.float32)


def _uniform(n_samples: int, n_columns: int, generator: torch.Generator) -> Tensor:
    shape, device = (n_samples, n_columns), generator.device
    return torch.rand(shape, generator=generator, device=device, dtype=torch.float32)


def _check_positive(prior: Prior, name: str) -> None:
    value = getattr(prior, name)
    if not is_positive(value):
        raise ValueError(
            f"`{name}` of {type(prior).__name__} must be a number > 0, got {value!r}."
        )

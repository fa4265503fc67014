import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ._parameters import Parameterized


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

    def build(self, n_components: int, n_classes: int = 0) -> None:
        """Note the size of the codes; raise a ValueError if it can't be.

        Parameters
        ----------
        n_components : int
        n_classes : int
            Number of classes, if labels are known.
        """
        self.n_components = n_components
        self.n_classes = n_classes

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

    def build(self, n_components: int, n_classes: int = 0) -> None:
        super().build(n_components, n_classes)
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

    def build(self, n_components: int, n_classes: int = 0) -> None:
        super().build(n_components, n_classes)
        _check_positive(self, "scale")

    def sample(
        self, n_samples: int, y: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        return self.scale * (2 * _uniform(n_samples, self.n_components, generator) - 1)


class _Planar(Prior):
    """A shape in the plane of the first two components; the others are N(0, 1)."""

    def build(self, n_components: int, n_classes: int = 0) -> None:
        super().build(n_components, n_classes)
        if n_components < 2:
            raise ValueError(
                f"prior={self!r} lies in a plane: `n_components` must be >= 2, got "
                f"{n_components}."
            )

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

    def build(self, n_components: int, n_classes: int = 0) -> None:
        super().build(n_components, n_classes)
        if not (isinstance(self.n_modes, int) and self.n_modes >= 1):
            raise ValueError(
                f"`n_modes` of GaussianMixture must be an int >= 1, got "
                f"{self.n_modes!r}."
            )
        for name in ("radius", "radial_scale", "tangential_scale"):
            _check_positive(self, name)

    def sample(
        self, n_samples: int, y: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        n_modes = self.n_classes if self.by_class else self.n_modes
        modes = _modes(n_samples, n_modes, y if self.by_class else None, generator)
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

    def build(self, n_components: int, n_classes: int = 0) -> None:
        super().build(n_components, n_classes)
        _check_positive(self, "radius")
        _check_positive(self, "thickness")

    def sample(
        self, n_samples: int, y: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        n_parts = self.n_classes if self.by_class else 1
        parts = _modes(n_samples, n_parts, y if self.by_class else None, generator)
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

    def build(self, n_components: int, n_classes: int = 0) -> None:
        super().build(n_components, n_classes)
        self.sample(2, None, torch.Generator().manual_seed(0))

    def sample(
        self, n_samples: int, y: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        device = generator.device
        seed = torch.randint(2**62, (1,), generator=generator, device=device).item()
        drawn = np.asarray(self.function(n_samples, np.random.default_rng(int(seed))))
        shape = n_samples, self.n_components
        if drawn.shape != shape or not np.isfinite(drawn).all():
            raise ValueError(
                "`prior` must return finite codes of shape (n_samples, n_components) "
                f"= {shape}, got shape {drawn.shape}."
            )
        return torch.from_numpy(drawn.astype(np.float32)).to(device)


PRIORS: dict[str, type[Prior]] = {
    "gaussian_mixture": GaussianMixture,
    "normal": Normal,
    "swiss_roll": SwissRoll,
    "uniform": Uniform,
}


def _normal(n_samples: int, n_columns: int, generator: torch.Generator) -> Tensor:
    shape = n_samples, n_columns
    return torch.randn(shape, generator=generator, device=generator.device)


def _uniform(n_samples: int, n_columns: int, generator: torch.Generator) -> Tensor:
    shape = n_samples, n_columns
    return torch.rand(shape, generator=generator, device=generator.device)


def _modes(
    n_samples: int, n_modes: int, y: Tensor | None, generator: torch.Generator
) -> Tensor:
    """Draw the mode of each code, but take its class where that is known."""
    drawn = torch.randint(
        n_modes, (n_samples,), generator=generator, device=generator.device
    )
    return drawn if y is None else torch.where(y >= 0, y, drawn)


def _check_positive(prior: Prior, name: str) -> None:
    value = getattr(prior, name)
    if not value > 0:
        raise ValueError(
            f"`{name}` of {type(prior).__name__} must be a number > 0, got {value!r}."
        )

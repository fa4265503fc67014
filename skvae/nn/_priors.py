import math
import warnings
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ._noise import Noise
from ._parameters import Parameterized, is_positive, register_numbers


class Prior(Parameterized, nn.Module):
    """What codes are matched to, and drawn from to make new samples.

    A subclass implements `sample` and stores the arguments of its constructor under
    their own names.

    Attributes
    ----------
    by_class : bool
        Whether samples of one class have a part of the prior of their own.
    n_components : int
        Size of the codes, once built.
    class_prior : Tensor of shape (n_classes,)
        Shares of the classes, once built; empty if labels play no part.
    """

    by_class: bool = False
    n_components: int
    class_prior: Tensor

    def __init__(self) -> None:
        super().__init__()  # nn.Module's own signature would hide that there are none

    def build(self, n_components: int, class_prior: Sequence[float] = ()) -> None:
        """Note the size of the codes; raise a ValueError if it can't be.

        Parameters
        ----------
        n_components : int
        class_prior : sequence of float
            Shares of the classes, if labels are known.
        """
        if "_buffers" not in vars(self):  # a subclass need not call __init__
            nn.Module.__init__(self)
        self.n_components = n_components
        register_numbers(self, class_prior=list(class_prior))

    def sample(self, n_samples: int, y: Tensor | None, noise: Noise) -> Tensor:
        """Draw codes.

        Parameters
        ----------
        n_samples : int
        y : Tensor of shape (n_samples,), int64, or None
            Number of the class of each code, -1 where it is not known. Only looked at
            if `by_class`.
        noise : Noise
            Source of all random numbers, on the device of the codes.

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

    _scale: Tensor

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def build(self, n_components: int, class_prior: Sequence[float] = ()) -> None:
        super().build(n_components, class_prior)
        _register_positive(self, "scale")

    def sample(self, n_samples: int, y: Tensor | None, noise: Noise) -> Tensor:
        return self._scale * noise.normal(n_samples, self.n_components)


class Uniform(Prior):
    """Independent components, uniform between -scale and scale.

    Parameters
    ----------
    scale : float, default=1.0
        Half the width.
    """

    _scale: Tensor

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def build(self, n_components: int, class_prior: Sequence[float] = ()) -> None:
        super().build(n_components, class_prior)
        _register_positive(self, "scale")

    def sample(self, n_samples: int, y: Tensor | None, noise: Noise) -> Tensor:
        return self._scale * (2 * noise.uniform(n_samples, self.n_components) - 1)


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
        self, n_modes: int, n_samples: int, y: Tensor | None, noise: Noise
    ) -> tuple[int, Tensor]:
        """Draw the mode of each code, or take its class where that is known."""
        equal = self.class_prior.new_ones(n_modes)
        shares = self.class_prior if self.by_class else equal
        modes = noise.choice(shares, n_samples)
        if self.by_class and y is not None:
            modes = torch.where(y >= 0, y, modes)
        return len(shares), modes

    def _join(
        self, radius: Tensor, angle: Tensor, scatter: Tensor, across: Tensor | float
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

    _radius: Tensor
    _radial_scale: Tensor
    _tangential_scale: Tensor

    def __init__(
        self,
        n_modes: int = 10,
        by_class: bool = False,
        radius: float = 4.0,
        radial_scale: float = 1.0,
        tangential_scale: float = 0.4,
    ) -> None:
        super().__init__()
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
            _register_positive(self, name)

    def sample(self, n_samples: int, y: Tensor | None, noise: Noise) -> Tensor:
        n_modes, modes = self._modes(self.n_modes, n_samples, y, noise)
        scatter = noise.normal(n_samples, self.n_components)
        return self._join(
            self._radius + self._radial_scale * scatter[:, 0],
            2 * math.pi * modes / n_modes,
            scatter,
            self._tangential_scale,
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
    _radius: Tensor
    _thickness: Tensor

    def __init__(
        self, by_class: bool = False, radius: float = 4.0, thickness: float = 0.1
    ) -> None:
        super().__init__()
        self.by_class = by_class
        self.radius = radius
        self.thickness = thickness

    def build(self, n_components: int, class_prior: Sequence[float] = ()) -> None:
        super().build(n_components, class_prior)
        _register_positive(self, "radius")
        _register_positive(self, "thickness")
        if n_components == 3:
            warnings.warn(
                "The swiss roll lies in the plane of the first two components and the "
                "third is N(0, 1): this is no sheet rolled up in space. Take "
                "n_components=2, or a function that draws what you want as `prior`.",
                UserWarning,
                stacklevel=2,
            )

    def sample(self, n_samples: int, y: Tensor | None, noise: Noise) -> Tensor:
        n_parts, parts = self._modes(1, n_samples, y, noise)
        place = (parts + noise.uniform(n_samples)) / n_parts
        way = place.sqrt()  # uniform along the spiral, whose length grows as its square
        scatter = noise.normal(n_samples, self.n_components)
        return self._join(
            self._radius * way + self._thickness * scatter[:, 0],
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
        super().__init__()
        self.function = function

    def sample(self, n_samples: int, y: Tensor | None, noise: Noise) -> Tensor:
        def draw(generator: torch.Generator) -> Tensor:
            device = generator.device
            seed = torch.randint(2**62, (1,), generator=generator, device=device).item()
            drawn = self.function(n_samples, np.random.default_rng(int(seed)))
            return torch.from_numpy(np.asarray(drawn, dtype=np.float32)).to(device)

        return noise.draw(draw)


def check_draws(prior: Prior) -> None:
    """Raise a ValueError if a prior does not draw codes that can be used."""
    codes = prior.sample(2, None, Noise(torch.Generator().manual_seed(0)))
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


def _register_positive(prior: Prior, name: str) -> None:
    """Keep a number > 0 as a buffer, beside the argument of the constructor."""
    value = getattr(prior, name)
    if not is_positive(value):
        raise ValueError(
            f"`{name}` of {type(prior).__name__} must be a number > 0, got {value!r}."
        )
    register_numbers(prior, **{f"_{name}": value})

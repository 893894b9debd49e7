"""The bars test: images that are superpositions of horizontal and vertical bars."""

from typing import Annotated, Any, Literal, cast

import numpy as np
from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from numpy.typing import NDArray

from prosper_ng.components import component, components_of
from prosper_ng.data.sources._generated import GeneratedDataset, GeneratedRows
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from prosper_ng.observables.interface import Observable

Floats = NDArray[np.float64]


@component
class Bars(GeneratedRows):
    """Square images of n_bars / 2 pixels a side: every bar is a latent, superimposed and seen through Gaussian noise.

    The true parameters are known: W (D, n_bars) with the horizontal bars first, sigma () and pi (); for discrete
    latents pi holds the probabilities of 0 and of each of `values`; for gaussian latents there are also mu and psi
    (n_bars,), mean and variance of the slab. Binary images (`observable: bernoulli`) have a leak (D,) instead of sigma.
    With superposition max and an observable other than gaussian they are those of `ef_mca`: also W0 (D,), V and V0.
    """

    n_bars: Annotated[int, Ge(4), MultipleOf(2)] = 10
    """Half of them horizontal, half vertical; D = (n_bars / 2)²."""
    n_rows: Annotated[int, Gt(0)] = 1000
    """Number of images."""
    amplitude: Annotated[float, Gt(0)] = 10.0
    """Value of a bar's pixels in W; with observable bernoulli the probability that a bar switches one of them on."""
    negative_bars: bool = False
    """Whether every second bar has the value -amplitude."""
    activity: Annotated[float, Gt(0), Le(1)] = 0.2
    """Probability that a bar is there."""
    noise: Annotated[float, Ge(0)] = 2.0
    """Standard deviation of the noise; with observable bernoulli the probability that a pixel is on without a bar."""
    missing: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Probability that a pixel is not observed."""
    superposition: Literal["sum", "max", "max_magnitude"] = "sum"
    """What a pixel shows where bars cross: their sum, the largest, or the one of largest magnitude."""
    latents: Literal["binary", "ternary", "discrete", "gaussian"] = "binary"
    """The strength of a bar that is there: 1; 1 or -1; one of `values`; or normally distributed (spike and slab)."""
    values: tuple[float, ...] | None = None
    """The strengths of a discrete latent that is there, without 0."""
    probabilities: tuple[Annotated[float, Ge(0), Le(1)], ...] | None = None
    """Probability of each of `values` in a bar that is there; equal where not given."""
    slab_mean: float | None = None
    """Mean strength of a gaussian latent, 0 where not given."""
    slab_std: Annotated[float, Gt(0)] | None = None
    """Standard deviation of the strength of a gaussian latent, 1 where not given."""
    observable: Literal["gaussian", "bernoulli", "normal", "poisson", "exponential", "gamma", "beta"] = "gaussian"
    """What a pixel is: a value in Gaussian noise; 0 or 1, on where any of its bars switches it on (noisy-OR); or, with
    superposition max, what is drawn from this distribution with the largest of the bars' amplitude and the background
    for its mean."""
    background: Annotated[float, Ge(0)] | None = None
    """Mean of a pixel without a bar, where one is drawn from a distribution; for bernoulli that is `noise`."""
    V: Annotated[float, Gt(0)] | None = None
    """Shape of a gamma distribution, concentration of a beta distribution."""

    def __post_init__(self) -> None:
        """Raise ValueError where fields contradict each other."""
        if self.superposition != "sum" and self.latents != "binary":
            raise ValueError(f"superposition {self.superposition} needs binary latents, not {self.latents}")
        if self.superposition == "max" and self.negative_bars:
            raise ValueError("negative bars never show under superposition max; use max_magnitude")
        if self.latents != "gaussian" and (self.slab_mean, self.slab_std) != (None, None):
            raise ValueError(f"slab_mean and slab_std belong to gaussian latents, not to {self.latents} ones")
        if self.latents != "discrete" and (self.values, self.probabilities) != (None, None):
            raise ValueError(f"values and probabilities belong to discrete latents, not to {self.latents} ones")
        if self.latents == "discrete":
            _check_alphabet(self.values, self.probabilities)
        if self.observable == "bernoulli":
            self._check_binary()
        self._check_means()

    @property
    def adds_noise(self) -> bool:
        """To values, not to what is on or off."""
        return self.observable in ("gaussian", "normal") and self.noise > 0

    def open(self, seed: int) -> GeneratedDataset:
        """The images; each is a function of the seed and its row."""
        side = self.n_bars // 2
        truth = self._truth()

        def generate(n_rows: int, rng: np.random.Generator) -> Floats:
            strengths = self._strengths(n_rows, rng)
            if "W0" in truth:
                mean = np.maximum(self._superposed(strengths, truth["W"]), truth["W0"])
                V = np.broadcast_to(truth["V0"], mean.shape) if "V0" in truth else None
                return self._drawn_from.draw(mean, V, rng)
            if self.observable == "bernoulli":
                on = self._probabilities(strengths, truth["W"])
                return (rng.random(on.shape) < on).astype(np.float64)
            clean = self._superposed(strengths, truth["W"])
            return clean + self.noise * rng.standard_normal(clean.shape)

        shape = (side, side, 1)
        return GeneratedDataset(generate, stream(seed, "bars"), self.n_rows, shape, truth, "bars", self.missing)

    @property
    def _drawn_from(self) -> Observable:
        """The distribution of a pixel given its mean."""
        kind: Any = components_of("prosper_ng.observables")[self.observable]
        return cast(Observable, kind())

    def _truth(self) -> NamedArrays:
        side = self.n_bars // 2
        elements = np.zeros((self.n_bars, side, side))
        for bar in range(side):
            elements[bar, bar, :] = self.amplitude
            elements[side + bar, :, bar] = self.amplitude
        if self.negative_bars:
            elements[1::2] *= -1
        weights = elements.reshape(self.n_bars, -1).T
        if self.observable != "gaussian" and self.superposition == "max":
            return self._truth_of_means(weights)
        if self.observable == "bernoulli":
            return NamedArrays.of(W=weights, pi=self.activity, leak=np.full(len(weights), self.noise))
        if self.latents == "discrete":
            return NamedArrays.of(W=weights, sigma=self.noise, pi=self._alphabet()[1])
        if self.latents == "gaussian":
            mean, std = self._slab()
            ones = np.ones(self.n_bars)
            return NamedArrays.of(W=weights, sigma=self.noise, pi=self.activity, mu=mean * ones, psi=std**2 * ones)
        return NamedArrays.of(W=weights, sigma=self.noise, pi=self.activity)

    def _truth_of_means(self, weights: Floats) -> NamedArrays:
        background = self.noise if self.observable == "bernoulli" else self.background or 0.0
        second = {"normal": self.noise**2}.get(self.observable, self.V)
        W0, V = np.full(len(weights), background), {} if second is None else {"V": np.full(weights.shape, second)}
        V0 = {} if second is None else {"V0": np.full(len(weights), second)}
        return NamedArrays.of(W=np.maximum(weights, background), W0=W0, pi=self.activity, **V, **V0)

    def _strengths(self, n_rows: int, rng: np.random.Generator) -> Floats:
        """(n, n_bars) the latents, 0 where a bar is not there."""
        if self.latents == "gaussian":
            mean, std = self._slab()
            there = rng.random((n_rows, self.n_bars)) < self.activity
            return np.where(there, mean + std * rng.standard_normal((n_rows, self.n_bars)), 0.0)
        values, probabilities = self._alphabet()
        return rng.choice(values, (n_rows, self.n_bars), p=probabilities)

    def _alphabet(self) -> tuple[Floats, Floats]:
        """The values of a latent, 0 first, and their probabilities."""
        there = {"binary": (1.0,), "ternary": (-1.0, 1.0)}.get(self.latents, self.values or ())
        weights = np.full(len(there), 1 / len(there)) if self.probabilities is None else np.array(self.probabilities)
        return np.array([0.0, *there]), np.append(1 - self.activity, self.activity * weights / weights.sum())

    def _slab(self) -> tuple[float, float]:
        return self.slab_mean or 0.0, 1.0 if self.slab_std is None else self.slab_std

    def _superposed(self, strengths: Floats, weights: Floats) -> Floats:
        """(n, D) the images before noise, bar by bar so that memory stays at that of the images."""
        clean = np.zeros((len(strengths), len(weights)))
        for strength, element in zip(strengths.T, weights.T, strict=True):
            bar = np.outer(strength, element)
            if self.superposition == "sum":
                clean += bar
            else:
                clean = np.where(np.abs(bar) > np.abs(clean), bar, clean)
        return clean

    def _probabilities(self, strengths: Floats, weights: Floats) -> Floats:
        """(n, D) probability of each pixel to be on."""
        on = np.full((len(strengths), len(weights)), self.noise)
        for strength, element in zip(strengths.T, weights.T, strict=True):
            on += (1 - on) * np.outer(strength, element)
        return on

    def _check_binary(self) -> None:
        """Raise ValueError where a field makes no sense for pixels that are 0 or 1."""
        for name, value in (("amplitude", self.amplitude), ("noise", self.noise)):
            if value > 1:
                raise ValueError(
                    f"with observable bernoulli {name} is a probability, at most 1, not {value:g} (amplitude: that a "
                    "bar switches a pixel on; noise: that a pixel is on without a bar)"
                )
        if self.latents != "binary" or self.negative_bars or self.superposition == "max_magnitude":
            raise ValueError(
                "observable bernoulli needs binary latents, no negative bars, and superposition sum (a pixel is on "
                "where any of its bars switches it on) or max"
            )

    def _check_means(self) -> None:
        """Raise ValueError where a pixel cannot be drawn from a distribution with these means."""
        if self.observable in ("gaussian", "bernoulli"):
            if (self.background, self.V) != (None, None):
                raise ValueError(f"background and V belong to other observables than {self.observable}")
            return
        if self.latents != "binary" or self.negative_bars or self.superposition != "max":
            raise ValueError(f"observable {self.observable} needs superposition max, binary latents, no negative bars")
        if (self.V is None) == (self.observable in ("gamma", "beta")):
            raise ValueError("V is the shape of a gamma distribution or the concentration of a beta distribution")
        legal = self._drawn_from.mean
        for name, mean in (("background", self.background or 0.0), ("amplitude", self.amplitude)):
            if legal.first_illegal(mean) is not None:
                raise ValueError(f"{name}: with observable {self.observable} it must be {legal.words}, not {mean:g}")
        if self.amplitude <= (self.background or 0.0):
            raise ValueError(f"amplitude {self.amplitude:g} never shows above a background of {self.background:g}")


def _check_alphabet(values: tuple[float, ...] | None, probabilities: tuple[float, ...] | None) -> None:
    """Raise ValueError unless these are distinct values other than 0, and probabilities that add up to 1."""
    if not values or 0 in values or len(set(values)) < len(values):
        raise ValueError(f"discrete latents need values: distinct numbers without 0, such as [-1, 1, 2], not {values}")
    if probabilities is not None and len(probabilities) != len(values):
        raise ValueError(f"there are {len(values)} values but {len(probabilities)} probabilities")
    if probabilities is not None and abs(sum(probabilities) - 1) > 1e-9:
        raise ValueError(f"the probabilities add up to {sum(probabilities):g}, not to 1")

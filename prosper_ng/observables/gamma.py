"""Positive values: y ~ Gamma with shape V and mean W. T = (y, log y), eta = (-V / W, V),
A = log Gamma(V) + V log(W / V), base -log y."""

from collections.abc import Set

import numpy as np
import scipy

from prosper_ng.components import component
from prosper_ng.numerics.constraints import POSITIVE, interval
from prosper_ng.numerics.roots import falling_root, log_scale
from prosper_ng.observables.interface import Floats


@component
class Gamma:
    """Positive values whose standard deviation is their mean over the root of the shape."""

    support = POSITIVE
    mean = interval(1e-100, np.inf)
    """Squares of values and of their quotients stay in double precision."""
    second = interval(1e-3, 1e6, typical=(0.6, 12.0))
    """Spreads of 30 times and of a thousandth of the mean."""
    meaning = "shape"
    statistics = ("y", "log_y")
    shifts = False

    def T(self, values: Floats) -> Floats:
        """(2, ...) y and log y."""
        return np.stack([values, np.log(values)])

    def base(self, values: Floats) -> Floats:
        """-log y."""
        return np.asarray(-np.log(values))

    def natural(self, W: Floats, V: Floats | None) -> tuple[Floats, Floats]:
        """-V / W and V, and what normalizes."""
        assert V is not None
        eta = np.stack([-V / W, np.broadcast_to(V, np.shape(W))])
        return eta, np.asarray(scipy.special.gammaln(V) + V * (np.log(W) - np.log(V)))

    def mean_T(self, W: Floats, V: Floats | None) -> Floats:
        """(2, ...) W and digamma(V) + log(W / V)."""
        assert V is not None
        return np.stack([W, scipy.special.digamma(V) + np.log(W) - np.log(V)])

    def solve(self, mean_T: Floats, W: Floats, V: Floats | None, learn: Set[str]) -> tuple[Floats, Floats | None]:
        """Mean; shape with log V - digamma(V) = E[y] / W - 1 - E[log y] + log W, which is 0 where all are equal."""
        assert V is not None
        mean, log_mean = mean_T
        new = np.clip(mean, self.mean.low, self.mean.high) if "W" in learn else W
        if "V" not in learn:
            return new, V
        excess = mean / new - 1.0 - log_mean + np.log(new)

        def slope(x: Floats) -> tuple[Floats, Floats]:
            k = np.exp(x)
            return x - scipy.special.digamma(k) - excess, 1.0 - k * scipy.special.polygamma(1, k)

        return new, falling_root(slope, self.second.low, self.second.high, V, log_scale())

    def pooling(self, V: Floats | None) -> Floats | None:
        """The shape."""
        return V

    def initial_V(self, variance: Floats) -> Floats:
        """1, as of an exponential."""
        return np.ones(np.shape(variance))

    def draw(self, W: Floats, V: Floats | None, rng: np.random.Generator) -> Floats:
        """Numbers above 0 also where the shape is small, and what is drawn rounds to 0."""
        assert V is not None
        return np.maximum(rng.standard_gamma(np.broadcast_to(V, np.shape(W))) * (W / V), self.support.low)

"""Real values: y ~ N(W, V) with variance V. T = (y, y²), eta = (W / V, -1 / 2V), A = W² / 2V + log(2 pi V) / 2,
base 0."""

from collections.abc import Set

import numpy as np

from prosper_ng.components import component
from prosper_ng.numerics.constraints import REAL, interval
from prosper_ng.observables.interface import Floats


@component
class Normal:
    """Values with Gaussian noise, whose variance is a parameter like the mean."""

    support = REAL
    mean = REAL
    second = interval(1e-200, np.inf)
    meaning = "variance"
    statistics = ("y", "y_y")
    shifts = True

    def T(self, values: Floats) -> Floats:
        """(2, ...) y and y²."""
        return np.stack([values, np.square(values)])

    def base(self, values: Floats) -> Floats:
        """0."""
        return np.zeros(np.shape(values))

    def natural(self, W: Floats, V: Floats | None) -> tuple[Floats, Floats]:
        """W / V and -1 / 2V, and what normalizes."""
        assert V is not None
        eta = np.stack([W / V, np.broadcast_to(-0.5 / V, np.shape(W))])
        return eta, np.asarray(0.5 * (W * eta[0] + np.log(2 * np.pi * V)))

    def mean_T(self, W: Floats, V: Floats | None) -> Floats:
        """(2, ...) W and W² + V."""
        return np.stack([W, np.square(W) + V])

    def solve(self, mean_T: Floats, W: Floats, V: Floats | None, learn: Set[str]) -> tuple[Floats, Floats | None]:
        """Mean, and mean squared distance from W."""
        assert V is not None
        mean, square = mean_T
        new = mean if "W" in learn else W
        if "V" not in learn:
            return new, V
        return new, np.maximum((square - np.square(mean)) + np.square(mean - new), self.second.low)

    def pooling(self, V: Floats | None) -> Floats | None:
        """The inverse of the variance."""
        assert V is not None
        return np.asarray(1.0 / V)

    def initial_V(self, variance: Floats) -> Floats:
        """That of the data."""
        return np.asarray(np.maximum(variance, self.second.low))

    def draw(self, W: Floats, V: Floats | None, rng: np.random.Generator) -> Floats:
        """Mean and standard deviation times a standard normal number."""
        assert V is not None
        return np.asarray(W + np.sqrt(V) * rng.standard_normal(np.shape(W)))

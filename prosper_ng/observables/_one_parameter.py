"""What observables with nothing but a mean have in common."""

from collections.abc import Set

import numpy as np

from prosper_ng.numerics.constraints import Interval
from prosper_ng.observables.interface import Floats


class OneParameter:
    """T is y itself, so the best mean is that of the values."""

    mean: Interval
    second = None
    meaning = ""
    statistics = ("y",)
    shifts = False

    def T(self, values: Floats) -> Floats:
        """(1, ...) the values."""
        return np.asarray(values)[None]

    def mean_T(self, W: Floats, V: Floats | None) -> Floats:
        """(1, ...) W."""
        return np.asarray(W)[None]

    def solve(self, mean_T: Floats, W: Floats, V: Floats | None, learn: Set[str]) -> tuple[Floats, Floats | None]:
        """The mean, where it is legal."""
        return (np.clip(mean_T[0], self.mean.low, self.mean.high) if "W" in learn else W), None

    def pooling(self, V: Floats | None) -> Floats | None:
        """Every value counts the same."""
        return np.asarray(1.0)

    def initial_V(self, variance: Floats) -> Floats:
        """Nothing to start from."""
        return np.empty(0)

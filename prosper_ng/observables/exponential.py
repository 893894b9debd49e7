"""Waiting times: y >= 0 with density exp(-y / W) / W. T = y, eta = -1 / W, A = log W, base 0."""

import numpy as np

from prosper_ng.components import component
from prosper_ng.numerics.constraints import NONNEGATIVE, interval
from prosper_ng.observables._one_parameter import OneParameter
from prosper_ng.observables.interface import Floats


@component
class Exponential(OneParameter):
    """Non-negative values, small ones the most probable."""

    support = NONNEGATIVE
    mean = interval(1e-100, np.inf)
    """Squares of values and of their quotients stay in double precision."""

    def base(self, values: Floats) -> Floats:
        """0."""
        return np.zeros(np.shape(values))

    def natural(self, W: Floats, V: Floats | None) -> tuple[Floats, Floats]:
        """-1 / W, and log W."""
        return (-1.0 / W)[None], np.log(W)

    def draw(self, W: Floats, V: Floats | None, rng: np.random.Generator) -> Floats:
        """W times standard exponential numbers."""
        return np.asarray(W * rng.standard_exponential(np.shape(W)))

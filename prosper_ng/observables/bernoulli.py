"""What is on or off: y ~ Bernoulli(W). T = y, eta = log(W / (1 - W)), A = -log(1 - W), base 0."""

import numpy as np

from prosper_ng.components import component
from prosper_ng.numerics.constraints import BINARY, interval
from prosper_ng.numerics.special import log_odds
from prosper_ng.observables._one_parameter import OneParameter
from prosper_ng.observables.interface import Floats


@component
class Bernoulli(OneParameter):
    """Values 0 and 1."""

    support = BINARY
    mean = interval(1e-9, 1 - 1e-9)
    """At its ends rows would be impossible."""

    def base(self, values: Floats) -> Floats:
        """0."""
        return np.zeros(np.shape(values))

    def natural(self, W: Floats, V: Floats | None) -> tuple[Floats, Floats]:
        """Log odds, and -log(1 - W)."""
        return log_odds(W)[None], -np.log1p(-W)

    def draw(self, W: Floats, V: Floats | None, rng: np.random.Generator) -> Floats:
        """1 with probability W."""
        return (rng.random(np.shape(W)) < W).astype(np.float64)

"""Counts: y ~ Poisson(W). T = y, eta = log W, A = W, base -log y!."""

import numpy as np
import scipy

from prosper_ng.components import component
from prosper_ng.numerics.constraints import COUNTS, interval
from prosper_ng.observables._one_parameter import OneParameter
from prosper_ng.observables.interface import Floats


@component
class Poisson(OneParameter):
    """Counts, such as photons or spikes."""

    support = COUNTS
    mean = interval(1e-9, np.inf)
    """At W = 0 no other count would be possible than 0."""

    def base(self, values: Floats) -> Floats:
        """-log y!"""
        return np.asarray(-scipy.special.gammaln(values + 1.0))

    def natural(self, W: Floats, V: Floats | None) -> tuple[Floats, Floats]:
        """log W, and W."""
        return np.log(W)[None], W

    def draw(self, W: Floats, V: Floats | None, rng: np.random.Generator) -> Floats:
        """Counts as numbers in double precision."""
        return rng.poisson(W).astype(np.float64)

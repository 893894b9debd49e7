"""Shares: y ~ Beta(a, b) with mean W = a / (a + b) and concentration V = a + b. T = (log y, log(1 - y)), eta = (a, b),
A = log B(a, b), base -log y - log(1 - y)."""

from collections.abc import Set

import numpy as np
import scipy

from prosper_ng.components import component
from prosper_ng.numerics.constraints import INSIDE_UNIT, interval
from prosper_ng.numerics.roots import falling_root, log_odds_scale, log_scale
from prosper_ng.observables.interface import Floats

_N_STEPS = 40
_LARGEST_FACTOR = 3.0
_RANGE = 1e-12, 3e6
"""Of a and b: wider than that of mean times concentration."""
_ROUNDING = 1e-13
_SETTLED = 1e-9
"""Of what a step changes: the next one would change its square."""


@component
class Beta:
    """Values between 0 and 1, the narrower about their mean the higher the concentration."""

    support = INSIDE_UNIT
    mean = interval(1e-6, 1 - 1e-6)
    second = interval(1e-3, 1e6, typical=(0.6, 12.0))
    """From nearly 0 or 1 to a standard deviation below a thousandth."""
    meaning = "concentration"
    statistics = ("log_y", "log_rest")
    shifts = False

    def T(self, values: Floats) -> Floats:
        """(2, ...) log y and log(1 - y)."""
        return np.stack([np.log(values), np.log1p(-values)])

    def base(self, values: Floats) -> Floats:
        """-log y - log(1 - y)."""
        return np.asarray(-np.log(values) - np.log1p(-values))

    def natural(self, W: Floats, V: Floats | None) -> tuple[Floats, Floats]:
        """a and b, and log B(a, b)."""
        assert V is not None
        a, b = W * V, (1.0 - W) * V
        return np.stack([a, b]), np.asarray(scipy.special.betaln(a, b))

    def mean_T(self, W: Floats, V: Floats | None) -> Floats:
        """(2, ...) digamma of a and of b, less that of a + b."""
        assert V is not None
        digamma = scipy.special.digamma
        return np.stack([digamma(W * V), digamma((1.0 - W) * V)]) - digamma(V)

    def solve(self, mean_T: Floats, W: Floats, V: Floats | None, learn: Set[str]) -> tuple[Floats, Floats | None]:
        """Both by Newton's method; one after the other where that leaves the bounds of V or W."""
        assert V is not None
        if {"W", "V"} <= learn:
            a, b = _best_pair(mean_T, W * V, (1.0 - W) * V)
            V, W = np.clip(a + b, self.second.low, self.second.high), a / (a + b)
            if (a + b == V).all() and self.mean.first_illegal(W) is None:
                return W, V
        W = self._best_mean(mean_T, W, V) if "W" in learn else W
        return W, self._best_concentration(mean_T, W, V) if "V" in learn else V

    def pooling(self, V: Floats | None) -> Floats | None:
        """The best mean of several is no mean of theirs."""
        return None

    def initial_V(self, variance: Floats) -> Floats:
        """2, as of evenly spread values."""
        return np.full(np.shape(variance), 2.0)

    def draw(self, W: Floats, V: Floats | None, rng: np.random.Generator) -> Floats:
        """Numbers inside the interval also where what is drawn rounds to its ends."""
        assert V is not None
        return np.clip(rng.beta(W * V, (1.0 - W) * V), self.support.low, self.support.high)

    def _best_mean(self, mean_T: Floats, W: Floats, V: Floats) -> Floats:
        """W of highest likelihood beside this V: E[log y] - E[log(1 - y)] = digamma(W V) - digamma((1 - W) V)."""
        digamma, trigamma = scipy.special.digamma, _trigamma

        def slope(x: Floats) -> tuple[Floats, Floats]:
            a, b = scipy.special.expit(x) * V, scipy.special.expit(-x) * V
            return mean_T[0] - mean_T[1] - digamma(a) + digamma(b), -(trigamma(a) + trigamma(b)) * a * b / V

        return falling_root(slope, self.mean.low, self.mean.high, W, log_odds_scale())

    def _best_concentration(self, mean_T: Floats, W: Floats, V: Floats) -> Floats:
        """V of highest likelihood beside this W."""
        digamma, trigamma = scipy.special.digamma, _trigamma
        given = W * mean_T[0] + (1.0 - W) * mean_T[1]

        def slope(x: Floats) -> tuple[Floats, Floats]:
            k = np.exp(x)
            a, b = W * k, (1.0 - W) * k
            curvature = trigamma(k) - np.square(W) * trigamma(a) - np.square(1.0 - W) * trigamma(b)
            return given - W * digamma(a) - (1.0 - W) * digamma(b) + digamma(k), k * curvature

        return falling_root(slope, self.second.low, self.second.high, V, log_scale())


def _trigamma(x: Floats) -> Floats:
    return np.asarray(scipy.special.polygamma(1, x))


def _best_pair(mean_T: Floats, a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """a and b of highest likelihood, which is concave in them, by Newton's method.

    A step changes neither by more than a factor of 3, and is halved while it lowers the likelihood.
    """
    digamma, share = scipy.special.digamma, np.ones(np.shape(a))
    likelihood = _likelihood(mean_T, a, b)
    for _ in range(_N_STEPS):
        of_a, of_b, of_both = _trigamma(a), _trigamma(b), _trigamma(a + b)
        slope_a, slope_b = mean_T[0] - digamma(a) + digamma(a + b), mean_T[1] - digamma(b) + digamma(a + b)
        determinant = of_a * of_b - of_both * (of_a + of_b)
        step_a = ((of_b - of_both) * slope_a + of_both * slope_b) / determinant
        step_b = (of_both * slope_a + (of_a - of_both) * slope_b) / determinant
        new_a, new_b = _stepped(a, share * step_a), _stepped(b, share * step_b)
        new = _likelihood(mean_T, new_a, new_b)
        fell = new < likelihood - _ROUNDING * (1 + np.abs(a * mean_T[0]) + np.abs(b * mean_T[1]))
        share = np.where(fell, share / 2, np.minimum(2 * share, 1.0))
        moved = np.maximum(np.abs(new_a / a - 1), np.abs(new_b / b - 1))
        a, b, likelihood = np.where(fell, a, new_a), np.where(fell, b, new_b), np.where(fell, likelihood, new)
        if (moved < _SETTLED).all():
            break
    return a, b


def _stepped(a: Floats, step: Floats) -> Floats:
    return np.clip(np.clip(a + step, a / _LARGEST_FACTOR, _LARGEST_FACTOR * a), *_RANGE)


def _likelihood(mean_T: Floats, a: Floats, b: Floats) -> Floats:
    return np.asarray(a * mean_T[0] + b * mean_T[1] - scipy.special.betaln(a, b))

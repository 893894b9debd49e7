"""Roots of falling functions, for whole arrays at once."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_N_STEPS = 60
_TOLERANCE = 1e-13


class Scale(NamedTuple):
    """Coordinates in which a number has no bounds."""

    to: Callable[[Floats], Floats]
    back: Callable[[Floats], Floats]


def log_scale() -> Scale:
    """For positive numbers."""
    return Scale(np.log, np.exp)


def log_odds_scale() -> Scale:
    """For numbers between 0 and 1."""
    return Scale(scipy.special.logit, scipy.special.expit)


def falling_root(
    f: Callable[[Floats], tuple[Floats, Floats]], low: float, high: float, start: Floats, scale: Scale
) -> Floats:
    """Numbers from `low` to `high` where f is 0, by Newton's method between bounds that close in on them.

    `f` takes x, the numbers on the scale, and gives values and slopes in x. Where it has one sign only the root is the
    bound that is nearer to one, exactly.
    """
    lows, highs = (scale.to(np.full(np.shape(start), bound)) for bound in (low, high))
    x = np.clip(scale.to(np.clip(start, low, high)), lows, highs)
    beyond = f(highs)[0] >= 0, f(lows)[0] <= 0
    is_settled = beyond[0] | beyond[1]
    for _ in range(_N_STEPS):
        value, slope = f(x)
        lows, highs = np.where(value > 0, x, lows), np.where(value < 0, x, highs)
        with np.errstate(divide="ignore", invalid="ignore"):
            new = np.where(value == 0, x, x - value / slope)
        new = np.where((lows <= new) & (new <= highs), new, 0.5 * (lows + highs))
        # What is settled stays, so that a root does not depend on those that are sought with it.
        new = np.where(is_settled, x, new)
        is_settled |= np.abs(new - x) <= _TOLERANCE * (1 + np.abs(x))
        x = new
        if is_settled.all():
            break
    return np.select(beyond, [np.float64(high), np.float64(low)], np.clip(scale.back(x), low, high))

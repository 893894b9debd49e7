"""How far the free energy that a model makes of its statistics may be off by rounding."""

from typing import Any

import numpy as np

from prosper_ng.models.capabilities import KnowsRounding, offers
from prosper_ng.models.interface import KnowsFreeEnergy
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream

_EPS = float(np.finfo(float).eps)
_ULPS = 64
_N_TRIALS = 3


def rounding_of(model: KnowsFreeEnergy, params: NamedArrays, sums: NamedArrays) -> float:
    """A bound on the rounding error of `expected_log_joint`, for telling a real decrease from noise.

    The model's own where it has one. Else it is measured: how much the number changes where every parameter and
    statistic is off by some last digits, which also shows what differences of large sums lose.
    """
    if offers(model, KnowsRounding):
        own: Any = model
        return float(own.rounding(params, sums))
    value, generator = model.expected_log_joint(params, sums), stream(0, "trials of rounding").generator()
    with np.errstate(all="ignore"):  # what is not finite is no bound
        changes = [
            abs(model.expected_log_joint(_off(params, generator), _off(sums, generator)) - value)
            for _ in range(_N_TRIALS)
        ]
    bound = 16.0 * max(changes) + 256 * _EPS * (abs(value) + float(sums["n"]))
    return bound if np.isfinite(bound) else np.inf


def _off(arrays: NamedArrays, generator: np.random.Generator) -> NamedArrays:
    """Copies of which each number is off by a random share of its last digits."""
    share = _ULPS * _EPS * generator.uniform(-1.0, 1.0, len(arrays.buffer))
    return NamedArrays(arrays.shapes, arrays.buffer * (1.0 + share))

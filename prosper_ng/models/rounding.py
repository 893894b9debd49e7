"""How far the free energy that a model makes of its statistics may be off by rounding."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prosper_ng.models.capabilities import KnowsRounding, offers
from prosper_ng.models.interface import KnowsFreeEnergy
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream

Floats = NDArray[np.float64]

SHARE = 1e-11
"""Two free energies that differ by less than this share of themselves are equal, whatever else rounding may do."""
_EPS = float(np.finfo(float).eps)
_ULPS = 64
_N_TRIALS = 3


def is_rounding(values: ArrayLike, scale: ArrayLike) -> NDArray[np.bool_]:
    """Whether numbers, or differences of them, are nothing but the rounding of what is as large as `scale`."""
    return np.asarray(np.abs(values) <= SHARE * np.abs(scale))


def without_rounding(gap: ArrayLike, free_energy: ArrayLike) -> Floats:
    """The entropy gap, a difference of two free energies, and 0 where it is nothing but their rounding."""
    is_nothing = is_rounding(gap, np.maximum(np.abs(free_energy), 1.0))
    return np.where(is_nothing, 0.0, np.asarray(gap, dtype=np.float64))


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

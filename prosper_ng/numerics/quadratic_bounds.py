"""Weights of layers that rise a quadratic bound as far as they may.

The bound of a row u (k + 1,) of weights and a bias is t·u / 4 - u S u / 8 (Böhning and Lindsay, 1988), with
pseudo-targets t of its own and the moment S of what comes in, a 1 last, which all rows share.
"""

import numpy as np
from numpy.typing import NDArray

from prosper_ng.numerics.linear import solve_least_change, unpacked

Floats = NDArray[np.float64]

_ROUNDS = 5
"""Through the weights of a row where one of them has reached its bound."""


def climb(
    old: Floats, targets: Floats, triangle: Floats, learned: tuple[bool, bool], relaxation: float, largest: float
) -> Floats:
    """Rows (D, k + 1) `relaxation` times as far from `old` as the maximum of their bound, weights within ±largest.

    `targets` (D, k + 1) are t, `triangle` is S (k + 1, k + 1), packed; `learned` says whether weights and biases may
    change. Up to a `relaxation` of 2 no bound is lower than at `old`: along a line a quadratic function is symmetric
    about its maximum.
    """
    moment, k = unpacked(triangle), old.shape[1] - 1
    free = np.repeat(learned, (k, 1))
    new, right = old.copy(), targets[:, free] - old[:, ~free] @ moment[np.ix_(~free, free)]
    best = solve_least_change(moment[np.ix_(free, free)], right, old[:, free])
    new[:, free] += relaxation * (best - old[:, free])
    beyond = (np.abs(new[:, :k]) > largest).any(axis=1)
    if beyond.any():
        new[beyond] = _climb_within(old[beyond], new[beyond], targets[beyond], moment, free, largest)
    return new


def _climb_within(
    old: Floats, new: Floats, targets: Floats, moment: Floats, free: NDArray[np.bool_], largest: float
) -> Floats:
    """Legal rows of no lower bound than `old`, from those that lead beyond.

    What is legal and near to those beyond may have a lower one; then it goes on from the old ones. One number after the
    other takes its best legal value, which lowers nothing.
    """
    limits = np.append(np.full(old.shape[1] - 1, largest), np.inf)
    new = np.clip(new, -limits, limits)
    gain = np.sum((2 * targets - (new + old) @ moment) * (new - old), axis=1)
    new = np.where((gain > 0)[:, None], new, old)
    for h in np.flatnonzero(free & (np.diagonal(moment) > 0)).tolist() * _ROUNDS:
        best = new[:, h] + (targets[:, h] - new @ moment[:, h]) / moment[h, h]
        new[:, h] = np.clip(best, -limits[h], limits[h])
    return new

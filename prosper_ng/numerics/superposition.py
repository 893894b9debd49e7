"""Maximum and power mean of the rows of an array: how causes superimpose that do not add up.

`fields` (H, D) holds what each latent contributes, `logs` its log magnitudes as `log_magnitudes` gives them, and the
first k entries of `latents` say which are active. All loops over entries compile to vector instructions: no branches,
and from one row of `scratch` (4, D) to another, since overwriting a row in place would take masked stores.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prosper_ng.numerics.elementary import fast_exp, fast_log

# Stands for 0 where logarithms are taken.
_SMALLEST = 1e-300
_LOG_SMALLEST = float(np.log(_SMALLEST))


def log_magnitudes(fields: NDArray[np.float64]) -> NDArray[np.float64]:
    """log |fields|, with a finite number in place of the logarithm of 0."""
    return np.log(np.maximum(np.abs(fields), _SMALLEST))


@njit(cache=True)
def maximum(fields: Any, latents: Any, k: int, scratch: Any) -> int:
    """The row of `scratch` that now holds the entries of largest magnitude of k latents; zeros where k is 0."""
    if k == 0:
        scratch[0] = 0.0
        return 0
    scratch[0] = fields[latents[0]]
    old = 0
    for i in range(1, k):
        h, new = latents[i], 1 - old
        for d in range(fields.shape[1]):
            best, entry = scratch[old, d], fields[h, d]
            scratch[new, d] = entry if abs(entry) > abs(best) else best
        old = new
    return old


@njit(cache=True)
def winners(fields: Any, latents: Any, k: int, scratch: Any) -> int:
    """The row of `scratch` that now holds whose entry is largest, the first of equals: 0 to k - 1."""
    scratch[2] = 0.0
    if k < 2:
        return 2
    scratch[0] = np.abs(fields[latents[0]])
    old = 0
    for i in range(1, k):
        h, new = latents[i], 1 - old
        for d in range(fields.shape[1]):
            best, entry = scratch[old, d], abs(fields[h, d])
            scratch[new, d] = entry if entry > best else best
            scratch[2 + new, d] = i if entry > best else scratch[2 + old, d]
        old = new
    return 2 + old


@njit(cache=True, error_model="numpy")
def power_mean(fields: Any, logs: Any, rho: float, latents: Any, k: int, scratch: Any) -> None:
    """Put sign(v) |v|^(1/rho), v = sum sign(w) |w|^rho over k entries w, into row 3, its log magnitude into row 2."""
    if k == 0:
        scratch[2], scratch[3] = _LOG_SMALLEST, 0.0
        return
    if k == 1:
        scratch[2], scratch[3] = logs[latents[0]], fields[latents[0]]
        return
    n_dimensions = fields.shape[1]
    scratch[0] = logs[latents[0]]
    old = 0
    for i in range(1, k):
        h, new = latents[i], 1 - old
        for d in range(n_dimensions):
            scratch[new, d] = logs[h, d] if logs[h, d] > scratch[old, d] else scratch[old, d]
        old = new
    scratch[3] = 0.0
    for i in range(k):
        h = latents[i]
        for d in range(n_dimensions):
            term = fast_exp(rho * (logs[h, d] - scratch[old, d]))
            scratch[3, d] += -term if fields[h, d] < 0.0 else term
    for d in range(n_dimensions):
        total = scratch[3, d]
        size = abs(total) if abs(total) > _SMALLEST else _SMALLEST
        log_mean = scratch[old, d] + fast_log(size) / rho
        scratch[2, d] = log_mean
        scratch[3, d] = -fast_exp(log_mean) if total < 0.0 else fast_exp(log_mean)


@njit(cache=True)
def superpose(fields: Any, logs: Any, rho: float, latents: Any, k: int, scratch: Any) -> int:
    """The row of `scratch` that now holds the power mean of k latents, which is the maximum where rho is infinite."""
    if rho == np.inf:
        return int(maximum(fields, latents, k, scratch))
    power_mean(fields, logs, rho, latents, k, scratch)
    return 3


@njit(cache=True)
def squared_distance(y: Any, observed: Any, mean: Any, squares: Any) -> float:
    """|y - mean|² over the observed entries, added up by folding so that the sums run side by side."""
    n = mean.shape[0]
    for d in range(n):
        difference = observed[d] * (y[d] - mean[d])
        squares[d] = difference * difference
    while n > 8:
        half = (n + 1) // 2
        for d in range(n - half):
            squares[d] = squares[d] + squares[half + d]
        n = half
    total = 0.0
    for d in range(n):
        total += squares[d]
    return total

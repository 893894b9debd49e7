"""Maximum and power mean of the rows of an array: how causes superimpose that do not add up.

`elements` (H, D) holds what each latent contributes, and the first k entries of `latents` which are active. All loops
over entries compile to vector instructions: no branches, and from one row of `scratch` (4, D) to another, since
overwriting a row in place would take masked stores.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel
from prosper_ng.numerics.elementary import SMALLEST_EXPONENT, fast_exp, fast_log

Floats = NDArray[np.float64]

# Stands for 0 where logarithms are taken.
_SMALLEST = 1e-305


class Powers(NamedTuple):
    """Powers of the dictionary elements relative to the largest of each dimension, so that none overflows.

    What is below exp(-700 / rho) of the largest counts as that: 3e-15 at an exponent of 21.
    """

    powers: Floats
    """(H, D) sign(w) |w / scale|^rho."""
    slopes: Floats
    """(H, D) |w / scale|^(rho - 1)."""
    scale: Floats
    """(D,) largest magnitude."""


def powers_of(elements: Floats, rho: float) -> Powers:
    """What the power mean of exponent rho needs of the dictionary elements; nothing where rho is infinite."""
    if rho == np.inf:
        return Powers(elements[:0], elements[:0], elements[0])
    magnitudes = np.maximum(np.abs(elements), _SMALLEST)
    scale = magnitudes.max(axis=0)
    logs = np.maximum(np.log(magnitudes) - np.log(scale), SMALLEST_EXPONENT / rho)
    return Powers(np.where(elements < 0, -1.0, 1.0) * np.exp(rho * logs), np.exp((rho - 1) * logs), scale)


@kernel
def room_for_superposition(elements: Any) -> Any:
    """`latents` (H,) and `scratch` (4, D) for the functions below."""
    return np.empty(elements.shape[0], np.int64), np.empty((4, elements.shape[1]))


@kernel
def maximum(elements: Any, latents: Any, k: int, scratch: Any) -> int:
    """The row of `scratch` that now holds the entries of largest magnitude of k latents; zeros where k is 0."""
    n_dimensions = elements.shape[1]
    first = latents[0] if k > 0 else 0
    for d in range(n_dimensions):
        scratch[0, d] = elements[first, d] if k > 0 else 0.0
    old = 0
    for i in range(1, k):
        h, new = latents[i], 1 - old
        for d in range(n_dimensions):
            best, entry = scratch[old, d], elements[h, d]
            scratch[new, d] = entry if abs(entry) > abs(best) else best
        old = new
    return old


@kernel
def winners(elements: Any, latents: Any, k: int, scratch: Any) -> int:
    """The row of `scratch` that now holds whose entry is largest, the first of equals: 0 to k - 1."""
    n_dimensions = elements.shape[1]
    first = latents[0] if k > 0 else 0
    for d in range(n_dimensions):
        scratch[0, d] = abs(elements[first, d])
        scratch[2, d] = 0.0
    old = 0
    for i in range(1, k):
        h, new = latents[i], 1 - old
        for d in range(n_dimensions):
            best, entry = scratch[old, d], abs(elements[h, d])
            scratch[new, d] = entry if entry > best else best
            scratch[2 + new, d] = i if entry > best else scratch[2 + old, d]
        old = new
    return 2 + old


@kernel(error_model="numpy")
def log_power_sum(powers: Any, latents: Any, k: int, scratch: Any) -> None:
    """Put v / scale^rho, v = sum sign(w) |w|^rho over k entries w, into row 0, and the logarithm of its magnitude into
    row 2.
    """
    n_dimensions = powers.shape[1]
    for d in range(n_dimensions):
        scratch[0, d] = 0.0
    for i in range(k):
        h = latents[i]
        for d in range(n_dimensions):
            scratch[0, d] += powers[h, d]
    for d in range(n_dimensions):
        magnitude = abs(scratch[0, d])
        scratch[2, d] = fast_log(magnitude if magnitude > _SMALLEST else _SMALLEST)


@kernel(error_model="numpy")
def power_mean(elements: Any, powers: Any, scale: Any, rho: float, latents: Any, k: int, scratch: Any) -> None:
    """Put sign(v) |v|^(1/rho), v = sum sign(w) |w|^rho over k entries w, into row 1; zeros where k is 0.

    Where k > 1, rows 0 and 2 are as `log_power_sum` leaves them.
    """
    n_dimensions = elements.shape[1]
    if k < 2:
        h = latents[0] if k == 1 else 0
        for d in range(n_dimensions):
            scratch[1, d] = elements[h, d] * k
        return
    log_power_sum(powers, latents, k, scratch)
    exponent = 1.0 / rho
    for d in range(n_dimensions):
        root = scale[d] * fast_exp(scratch[2, d] * exponent)
        scratch[1, d] = -root if scratch[0, d] < 0.0 else root


@kernel
def power_shares(slopes: Any, rho: float, latents: Any, k: int, scratch: Any, shares: Any) -> None:
    """Fill the first k rows of `shares` (H, D) with min(1, |w / mean|)^(rho - 1), after `log_power_sum`.

    Where k > 1, row 3 of `scratch` is |v / scale^rho|^(1/rho - 1).
    """
    if k == 1:
        shares[0] = 1.0
        return
    exponent = (1.0 - rho) / rho
    for d in range(shares.shape[1]):
        scratch[3, d] = fast_exp(scratch[2, d] * exponent)
    for i in range(k):
        h = latents[i]
        for d in range(shares.shape[1]):
            share = slopes[h, d] * scratch[3, d]
            shares[i, d] = share if share < 1.0 else 1.0


@kernel
def power_shares_and_mean(
    powers: Any, slopes: Any, scale: Any, rho: float, latents: Any, k: int, scratch: Any, shares: Any
) -> None:
    """Fill the first k >= 2 rows of `shares` (H, D) as `power_shares` does, and put the mean into row 1 of `scratch`.

    The mean is v |v|^(1/rho - 1), and the shares need the second factor anyway.
    """
    log_power_sum(powers, latents, k, scratch)
    power_shares(slopes, rho, latents, k, scratch, shares)
    for d in range(shares.shape[1]):
        scratch[1, d] = scale[d] * scratch[0, d] * scratch[3, d]


@kernel
def sum_of_shares(k: int, shares: Any, total: Any) -> None:
    """Fill (D,) with the sum of the first k rows of `shares`."""
    for d in range(total.shape[0]):
        total[d] = 0.0
    for i in range(k):
        for d in range(total.shape[0]):
            total[d] += shares[i, d]


@kernel
def superpose(elements: Any, powers: Any, scale: Any, rho: float, latents: Any, k: int, scratch: Any) -> int:
    """The row of `scratch` that now holds the power mean of k latents, which is the maximum where rho is infinite."""
    if rho == np.inf:
        return int(maximum(elements, latents, k, scratch))
    power_mean(elements, powers, scale, rho, latents, k, scratch)
    return 1


@kernel
def squared_distance(y: Any, observed: Any, mean: Any, squares: Any) -> float:
    """|y - mean|² over the observed entries, added up by folding so that the sums run side by side."""
    n = mean.shape[0]
    half = n // 2
    for d in range(half):
        first = observed[d] * (y[d] - mean[d])
        second = observed[half + d] * (y[half + d] - mean[half + d])
        squares[d] = first * first + second * second
    if n % 2 == 1:
        last = observed[n - 1] * (y[n - 1] - mean[n - 1])
        squares[half] = last * last
    n -= half
    while n > 8:
        half = n // 2
        for d in range(half):
            squares[d] = squares[d] + squares[n - half + d]
        n -= half
    total = 0.0
    for d in range(n):
        total += squares[d]
    return total

"""Maximum and power mean of the rows of an array: how causes superimpose that do not add up.

`elements` (H, D) holds what each latent contributes, and the first k entries of `latents` which are active. All loops
over entries are vector instructions: no branches, and from one row of `scratch` (4, D') to another, since overwriting a
row in place would take masked stores. D' is D rounded up to whole vectors.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.numerics.elementary import SMALLEST_EXPONENT
from prosper_ng.numerics.vectors import (
    LANES,
    all_lanes,
    load,
    load_row,
    look_up,
    mantissa,
    padded,
    plus,
    plus_product,
    smaller,
    store,
    times,
)

Floats = NDArray[np.float64]

# Stands for 0 where logarithms are taken.
_SMALLEST = 1e-305
# Mantissas are told apart by their first four digits, and what is left is a series to the ninth power, within 1e-15.
_N_MANTISSAS, _N_TERMS = 16, 10
_BELOW_SIGN, _DIGITS = 2048 * _N_MANTISSAS - 1, _N_MANTISSAS - 1


class Root(NamedTuple):
    """Tables for |x|^q, q = 1 / rho - 1, of x = ± m 2^n with 1 <= m < 2: (c 2^n)^q (m / c)^q, where c is near m."""

    factors: Floats
    """(2048 * 16,) (c 2^n)^q, by the first digits of m, for each n."""
    inverses: Floats
    """(16,) 1 / c."""
    series: Floats
    """(10,) of (1 + r)^q in r."""


class Powers(NamedTuple):
    """Powers of the dictionary elements relative to the largest of each dimension, so that none overflows.

    What is below exp(-700 / rho) of the largest counts as that: 3e-15 at an exponent of 21. All are padded with zeros.
    """

    powers: Floats
    """(H, D') sign(w) |w / scale|^rho; (0, D') where rho is infinite."""
    slopes: Floats
    """(H, D') |w / scale|^(rho - 1); (0, D') where rho is infinite."""
    scale: Floats
    """(D',) largest magnitude."""
    root: Root
    """How to come back from a sum of powers."""
    rho: float
    """Exponent of the power mean; infinite for the maximum."""


def powers_of(elements: Floats, rho: float) -> Powers:
    """What the power mean of exponent rho needs of the dictionary elements; nothing where rho is infinite."""
    n_dimensions = elements.shape[1]
    padding = [(0, 0), (0, -n_dimensions % LANES)]
    magnitudes = np.pad(np.maximum(np.abs(elements), _SMALLEST), padding)
    scale = magnitudes.max(axis=0)
    if rho == np.inf:
        return Powers(magnitudes[:0], magnitudes[:0], scale, Root(scale[:0], scale[:0], scale[:0]), rho)
    powers, slopes = np.zeros_like(magnitudes), np.zeros_like(magnitudes)
    seen = np.s_[:, :n_dimensions]
    logs = np.maximum(np.log(magnitudes[seen]) - np.log(scale[:n_dimensions]), SMALLEST_EXPONENT / rho)
    powers[seen], slopes[seen] = np.where(elements < 0, -1.0, 1.0) * np.exp(rho * logs), np.exp((rho - 1) * logs)
    return Powers(powers, slopes, scale, _root_of(rho), rho)


@lru_cache(maxsize=4)
def _root_of(rho: float) -> Root:
    q = 1.0 / rho - 1.0
    inverses = 1.0 / (1.0 + (np.arange(_N_MANTISSAS) + 0.5) / _N_MANTISSAS)
    # Zero has the factor of the smallest normal number: what it is multiplied with is 0.
    exponents = np.maximum(np.arange(2048.0), 1.0) - 1023.0
    terms = np.arange(1.0, _N_TERMS)
    series = np.append(1.0, np.cumprod((q + 1.0 - terms) / terms))
    return Root(np.outer(2.0 ** (q * exponents), inverses**-q).ravel(), inverses, series)


@kernel
def room_for_superposition(elements: Any) -> Any:
    """`latents` (H,) and `scratch` (4, D') for the functions below."""
    return np.empty(elements.shape[0], np.int64), np.empty((4, padded(elements.shape[1])))


@inner_kernel
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


@inner_kernel
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


@inner_kernel
def mean_of_sum(powers: Any, scratch: Any) -> None:
    """Put sign(v) |v|^(1/rho) into row 1 and |v / scale^rho|^(1/rho - 1) into row 2, where row 0 is v / scale^rho."""
    scale, root = powers.scale, powers.root
    factors, inverses, c = root.factors, root.inverses, root.series
    for d in range(0, scratch.shape[1], LANES):
        v = load(scratch, 0, d)
        r = plus_product(all_lanes(-1.0), mantissa(v), look_up(inverses, v, _DIGITS))
        r2 = times(r, r)
        r4 = times(r2, r2)
        low = plus_product(
            plus_product(all_lanes(c[0]), all_lanes(c[1]), r), plus_product(all_lanes(c[2]), all_lanes(c[3]), r), r2
        )
        middle = plus_product(
            plus_product(all_lanes(c[4]), all_lanes(c[5]), r), plus_product(all_lanes(c[6]), all_lanes(c[7]), r), r2
        )
        high = plus_product(all_lanes(c[8]), all_lanes(c[9]), r)
        series = plus_product(low, plus_product(middle, high, r4), r4)
        factor = times(series, look_up(factors, v, _BELOW_SIGN))
        store(scratch, 1, d, times(times(load_row(scale, d), v), factor))
        store(scratch, 2, d, factor)


@inner_kernel
def power_mean(elements: Any, powers: Any, latents: Any, k: int, scratch: Any) -> None:
    """Put sign(v) |v|^(1/rho), v = sum sign(w) |w|^rho over k entries w, into row 1; zeros where k is 0.

    Where k > 1, rows 0 and 2 are as for `mean_of_sum`.
    """
    if k < 2:
        h = latents[0] if k == 1 else 0
        for d in range(elements.shape[1]):
            scratch[1, d] = elements[h, d] * k
        return
    of_latents = powers.powers
    first, second = latents[0], latents[1]
    for d in range(0, scratch.shape[1], LANES):
        store(scratch, 0, d, plus(load(of_latents, first, d), load(of_latents, second, d)))
    for i in range(2, k):
        h = latents[i]
        for d in range(0, scratch.shape[1], LANES):
            store(scratch, 0, d, plus(load(scratch, 0, d), load(of_latents, h, d)))
    mean_of_sum(powers, scratch)


@inner_kernel
def power_shares(powers: Any, latents: Any, k: int, scratch: Any, shares: Any) -> None:
    """Fill the first k rows of `shares` (H, D') with min(1, |w / mean|)^(rho - 1), after `power_mean`."""
    slopes = powers.slopes
    if k == 1:
        for d in range(shares.shape[1]):
            shares[0, d] = 1.0
        return
    for i in range(k):
        h = latents[i]
        for d in range(0, shares.shape[1], LANES):
            share = times(load(slopes, h, d), load(scratch, 2, d))
            store(shares, i, d, smaller(share, all_lanes(1.0)))


@inner_kernel
def sum_of_shares(k: int, shares: Any, total: Any) -> None:
    """Fill (D,) with the sum of the first k rows of `shares`."""
    for d in range(total.shape[0]):
        total[d] = 0.0
    for i in range(k):
        for d in range(total.shape[0]):
            total[d] += shares[i, d]


@inner_kernel
def superpose(elements: Any, powers: Any, latents: Any, k: int, scratch: Any) -> int:
    """The row of `scratch` that now holds the power mean of k latents, which is the maximum where rho is infinite."""
    if powers.rho == np.inf:
        return maximum(elements, latents, k, scratch)
    power_mean(elements, powers, latents, k, scratch)
    return 1


@inner_kernel
def squared_distance(y: Any, observed: Any, mean: Any, squares: Any) -> float:
    """|y - mean|² over the observed entries, added up by folding so that the sums run side by side."""
    n = y.shape[0]
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

"""Smallest and largest of a few numbers, in four interleaved strands that a processor follows at the same time.

NaN is neither: where all numbers are NaN, or there is none, the smallest is infinity and the largest minus infinity.
"""

from typing import Any

import numpy as np

from prosper_ng.kernels import inner_kernel


@inner_kernel
def smallest(x: Any) -> float:
    """The smallest of the numbers (m,)."""
    a, b, c, d = np.inf, np.inf, np.inf, np.inf
    whole = x.shape[0] // 4 * 4
    for i in range(0, whole, 4):
        a = x[i] if x[i] < a else a
        b = x[i + 1] if x[i + 1] < b else b
        c = x[i + 2] if x[i + 2] < c else c
        d = x[i + 3] if x[i + 3] < d else d
    for i in range(whole, x.shape[0]):
        a = x[i] if x[i] < a else a
    return min(min(a, b), min(c, d))


@inner_kernel
def largest(x: Any) -> float:
    """The largest of the numbers (m,)."""
    a, b, c, d = -np.inf, -np.inf, -np.inf, -np.inf
    whole = x.shape[0] // 4 * 4
    for i in range(0, whole, 4):
        a = x[i] if x[i] > a else a
        b = x[i + 1] if x[i + 1] > b else b
        c = x[i + 2] if x[i + 2] > c else c
        d = x[i + 3] if x[i + 3] > d else d
    for i in range(whole, x.shape[0]):
        a = x[i] if x[i] > a else a
    return max(max(a, b), max(c, d))


@inner_kernel
def place_of_smallest(x: Any) -> int:
    """The first place of the smallest of the numbers (m,); 0 where all are NaN."""
    least = smallest(x)
    for i in range(x.shape[0]):
        if x[i] == least:
            return i
    return 0

"""Smallest and largest of a few numbers, in four interleaved strands that a processor follows at the same time.

NaN is neither: where all numbers are NaN, or there is none, the smallest is infinity and the largest minus infinity.
"""

from typing import Any

import numpy as np

from prosper_ng.kernels import inner_kernel, kernel


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


@kernel
def fill_largest(scores: Any, places: Any) -> None:
    """Fill (m, G) with where in each row the G largest of k scores (m, k) are, in order; of equal ones the first."""
    largest = np.empty(places.shape[1])
    for m in range(scores.shape[0]):
        largest[:] = -np.inf
        for k in range(scores.shape[1]):
            if k < len(largest) or scores[m, k] > largest[-1]:
                place = min(k, len(largest) - 1)
                while place > 0 and scores[m, k] > largest[place - 1]:
                    largest[place], places[m, place] = largest[place - 1], places[m, place - 1]
                    place -= 1
                largest[place], places[m, place] = scores[m, k], k

"""Logarithms of probabilities at and inside their bounds."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prosper_ng.numerics.scipy_parts import special

Floats = NDArray[np.float64]


def log_odds(pi: ArrayLike) -> Floats:
    """log(pi / (1 - pi)) for pi inside (0, 1)."""
    return np.log(pi) - np.log1p(-np.asarray(pi))


def bernoulli_entropy(pi: ArrayLike) -> Floats:
    """Entropy of a Bernoulli variable in nats."""
    xlogy, inactive = special("xlogy"), 1.0 - np.asarray(pi)
    return np.asarray(-xlogy(pi, pi) - xlogy(inactive, inactive))


def bernoulli_log(count: ArrayLike, n: ArrayLike, pi: ArrayLike) -> Floats:
    """count log pi + (n - count) log(1 - pi), with 0 log 0 = 0."""
    inactive = np.asarray(n) - np.asarray(count)
    return np.asarray(special("xlogy")(count, pi) + special("xlog1py")(inactive, -np.asarray(pi)))


def gaussian_entropy(sigma: float, n_dimensions: int) -> float:
    """Entropy of isotropic Gaussian noise in nats."""
    return 0.5 * n_dimensions * float(np.log(2 * np.pi * np.e * sigma**2))


def floored_shares(counts: Floats, low: float) -> Floats:
    """(C,) the probabilities p of highest sum_c counts_c log p_c among those of `low` or more that sum to 1."""
    shares = counts / counts.sum()
    is_low = shares <= low
    while True:
        free = np.where(is_low, 0.0, counts)
        found = np.where(is_low, low, free * ((1.0 - low * np.count_nonzero(is_low)) / free.sum()))
        more = found < low
        if not more.any():
            return np.asarray(found)
        is_low |= more

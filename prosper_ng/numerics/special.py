"""Logarithms of probabilities at and inside their bounds."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr, xlog1py, xlogy

Floats = NDArray[np.float64]


def log_odds(pi: ArrayLike) -> Floats:
    """log(pi / (1 - pi)) for pi inside (0, 1)."""
    return np.log(pi) - np.log1p(-np.asarray(pi))


def bernoulli_entropy(pi: ArrayLike) -> Floats:
    """Entropy of a Bernoulli variable in nats."""
    return entr(pi) + entr(1.0 - np.asarray(pi))


def bernoulli_log(count: ArrayLike, n: ArrayLike, pi: ArrayLike) -> Floats:
    """count log pi + (n - count) log(1 - pi), with 0 log 0 = 0."""
    return xlogy(count, pi) + xlog1py(np.asarray(n) - np.asarray(count), -np.asarray(pi))


def gaussian_entropy(sigma: float, n_dimensions: int) -> float:
    """Entropy of isotropic Gaussian noise in nats."""
    return 0.5 * n_dimensions * float(np.log(2 * np.pi * np.e * sigma**2))

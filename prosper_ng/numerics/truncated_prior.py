"""How much of a sparse prior at most gamma active latents cover."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def count_distribution(pi: Floats) -> Floats:
    """(H + 1,) probability of 0..H active latents among independent ones with activities pi (H,)."""
    distribution = np.ones(1)
    for probability in pi:
        distribution = np.convolve(distribution, [1.0 - probability, probability])
    return distribution


def covered(pi: Floats, max_active: int) -> tuple[float, float]:
    """A, the probability of at most gamma active latents, and B, their expected number times its indicator."""
    distribution = count_distribution(pi)[: max_active + 1]
    return float(distribution.sum()), float(distribution @ np.arange(len(distribution)))


def corrected_activity(mean: Floats, pi: Floats, max_active: int) -> Floats:
    """Activities for all rows, from the means over those that at most gamma active latents explain.

    mean * (sum of pi) A / B, with A and B at the activities pi (H,) of the parameters before the M-step
    (Lücke and Eggert, JMLR 2010).
    """
    mass, expected = covered(pi, max_active)
    return mean * (pi.sum() * mass / expected) if expected > 0 else mean

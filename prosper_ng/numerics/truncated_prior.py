"""How much of a sparse prior at most gamma active latents cover."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel

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


def room(pi: Floats, max_active: int) -> Floats:
    """(H,) R_h = P(at most gamma of the others active) / P(at most gamma - 1 of the others active), at least 1.

    Where gamma others are always active, so that h never is within gamma, it is 1.
    Found from products over the latents before and after each one: taking a latent out of the distribution of all, by
    division, loses every digit where its activity is large.
    """
    pi = np.ascontiguousarray(pi, np.float64)
    result = np.empty(len(pi))
    _fill_room(pi, min(max_active, len(pi)), result)
    return result


@kernel(error_model="numpy")
def _include(probability: float, counts: Any, result: Any) -> None:
    """The distribution of 0..gamma active latents with one more latent, up to a factor that keeps it in range."""
    total = 0.0
    for k in range(counts.shape[0]):
        result[k] = (1.0 - probability) * counts[k] + (probability * counts[k - 1] if k > 0 else 0.0)
        total += result[k]
    if total > 0.0:
        for k in range(counts.shape[0]):
            result[k] /= total


@kernel(error_model="numpy")
def _fill_room(pi: Any, max_active: int, result: Any) -> None:
    n_latents, n_counts = pi.shape[0], max_active + 1
    before = np.zeros((n_latents + 1, n_counts))
    after, longer = np.zeros(n_counts), np.zeros(n_counts)
    before[0, 0] = after[0] = 1.0
    for h in range(n_latents):
        _include(pi[h], before[h], before[h + 1])
    for h in range(n_latents - 1, -1, -1):
        within, edge, below = 0.0, 0.0, 0.0
        for k in range(n_counts):
            edge += before[h, max_active - k] * after[k]
            if k < max_active:
                below += after[k]
                within += before[h, max_active - 1 - k] * below
        result[h] = 1.0 + edge / within if within > 0.0 else 1.0
        _include(pi[h], after, longer)
        after[:] = longer


def corrected_activity(mean: Floats, pi: Floats, max_active: int) -> Floats:
    """Activities (H,) for all rows, from the means (H,) over those that at most gamma active latents explain.

    Of the rows with at most gamma active latents a share pi_h P(at most gamma - 1 others) / P(at most gamma) has h
    active, so pi_h = mean_h P(at most gamma) / P(at most gamma - 1 others) = mean_h (R_h - pi_h (R_h - 1)), R_h being
    the `room`. The probabilities are those of the activities pi (H,) before the M-step, so that the true activities are
    where this comes to rest. It is solved for pi_h, since with the old pi_h on the right side the steps of some
    activities above 1/2 grow; solved, they are a contraction in log odds, whatever the activities. Equal activities,
    as of a shared pi, need none of that: with the old one it is the correction of Lücke and Eggert (JMLR 2010).
    """
    R = room(pi, max_active)
    if np.all(pi == pi[0]):
        return mean * (R - pi * (R - 1.0))
    return np.where(mean > 0, 1.0 / (1.0 + (1.0 / np.where(mean > 0, mean, 1.0) - 1.0) / R), 0.0)

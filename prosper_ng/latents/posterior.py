"""Truncated posteriors: log joints of a state set, turned into weights, free energies and entropies."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prosper_ng.numerics.named_arrays import NamedArrays

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Tempering(NamedTuple):
    """How weights are made from log joints."""

    temperature: float = 1.0
    anneal_prior: bool = False
    """Whether the temperature acts on the prior as well as on the likelihood."""

    @property
    def needs_prior(self) -> bool:
        """Whether log priors are needed besides log joints."""
        return self.temperature != 1 and not self.anneal_prior

    def of(self, log_joint: Floats, log_prior: Floats | None) -> Floats | None:
        """What weights are proportional to the exponential of; None where that is the joint."""
        if self.temperature == 1:
            return None
        if log_prior is None:
            return log_joint / self.temperature
        return (log_joint - log_prior) / self.temperature + log_prior


UNTEMPERED = Tempering()


class Posterior(Protocol):
    """q_n over the state sets of some rows, in whatever form serves their model best."""

    free_energy: Floats
    """(n,) log of the sum over K_n of p(s, y_n), at temperature 1."""
    entropy: Floats
    """(n,) entropy of q_n in nats."""
    n_evaluated: int
    """States whose log joint was computed."""
    n_accepted: int
    """States that replaced others."""

    @property
    def n_bytes(self) -> int:
        """The memory it holds."""
        ...

    def accumulate(self, kept: Mask | None, sums: NamedArrays) -> None:
        """Add the model's statistics of the rows that are kept (n,), of all where None."""
        ...

    def reconstruct(self) -> Floats:
        """(n, D) posterior predictive mean."""
        ...


# Weights below exp(-46) = 1e-20 of the largest are set to zero: with a million states they add up to 1e-14.
_NEGLIGIBLE = -46.0


class TruncatedPosterior(NamedTuple):
    """q_n over the states of K_n."""

    weights: Floats
    """(n, S) q_n(s), rows sum to one."""
    free_energy: Floats
    """(n,) log of the sum over K_n of p(s, y_n), at temperature 1."""
    entropy: Floats
    """(n,) entropy of q_n in nats."""


def truncated_posterior(log_joint: Floats, tempered: Floats | None = None) -> TruncatedPosterior:
    """q_n proportional to exp(tempered), or to the joint where nothing is tempered; log joints are (n, S).

    Rows in which no state has a finite log joint come back as NaN, which the sums over rows then carry.
    """
    weights = np.empty_like(log_joint)
    total, entropy = np.empty(len(log_joint)), np.empty(len(log_joint))
    _normalize(log_joint if tempered is None else tempered, weights, total, entropy)
    if tempered is None:
        return TruncatedPosterior(weights, total, entropy)
    return TruncatedPosterior(weights, log_sum(log_joint), entropy)


def log_sum(log_joint: Floats) -> Floats:
    """(n,) log of the sum of exp over the states (n, S)."""
    total = np.empty(len(log_joint))
    _log_sum(log_joint, total)
    return total


@njit(cache=True)
def _normalize(log_joint: Any, weights: Any, total: Any, entropy: Any) -> None:
    for n in range(log_joint.shape[0]):
        best = np.max(log_joint[n])
        mass = 0.0
        moment = 0.0
        for s in range(log_joint.shape[1]):
            difference = log_joint[n, s] - best
            weight = 0.0 if difference < _NEGLIGIBLE else np.exp(difference)
            weights[n, s] = weight
            mass += weight
            if weight > 0.0:
                moment += weight * difference
        for s in range(log_joint.shape[1]):
            weights[n, s] /= mass
        total[n] = best + np.log(mass)
        entropy[n] = np.log(mass) - moment / mass


@njit(cache=True)
def _log_sum(log_joint: Any, total: Any) -> None:
    for n in range(log_joint.shape[0]):
        best = np.max(log_joint[n])
        mass = 0.0
        for s in range(log_joint.shape[1]):
            difference = log_joint[n, s] - best
            mass += 0.0 if difference < _NEGLIGIBLE else np.exp(difference)
        total[n] = best + np.log(mass)

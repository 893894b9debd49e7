"""Truncated posteriors: log joints of a state set, turned into weights, free energies and entropies."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.numerics.elementary import fast_exp
from prosper_ng.numerics.extremes import largest
from prosper_ng.numerics.named_arrays import NamedArrays

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Tempering(NamedTuple):
    """How weights are made from log joints."""

    temperature: float = 1.0
    anneal_prior: bool = False
    """Whether the temperature acts on the prior as well as on the likelihood."""
    prior_weight: float = 1.0
    """How often the log prior counts where q_n is a Gaussian, which no temperature changes."""
    noise_weight: float = 1.0
    """How often the log likelihood counts there."""

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


class GaussianPosterior(Posterior, Protocol):
    """q_n that are Gaussians over real-valued latents; the free energies are lower bounds."""

    @property
    def nu(self) -> Floats:
        """(n, H) means."""
        ...

    @property
    def tau(self) -> Floats:
        """(n, H) standard deviations."""
        ...


NEGLIGIBLE = 1e-15
"""Weights that together are below this share of the whole are set to zero: they would change no digit of it."""


class TruncatedPosterior(NamedTuple):
    """q_n over the states of K_n."""

    weights: Floats
    """(n, S) q_n(s), rows sum to one."""
    free_energy: Floats
    """(n,) log of the sum over K_n of p(s, y_n), at temperature 1."""
    entropy: Floats
    """(n,) entropy of q_n in nats."""


def truncated_posterior(
    log_joint: Floats, tempered: Floats | None = None, least: float = NEGLIGIBLE
) -> TruncatedPosterior:
    """q_n proportional to exp(tempered), or to the joint where nothing is tempered; log joints are (n, S).

    Weights that together come to less than `least` are set to zero.
    Rows in which no state has a finite log joint come back as NaN, which the sums over rows then carry.
    """
    weights = np.empty_like(log_joint)
    total, entropy = np.empty(len(log_joint)), np.empty(len(log_joint))
    _normalize(log_joint if tempered is None else tempered, float(np.log(least)), weights, total, entropy)
    if tempered is None:
        return TruncatedPosterior(weights, total, entropy)
    return TruncatedPosterior(weights, log_sum(log_joint), entropy)


def log_sum(log_joint: Floats) -> Floats:
    """(n,) log of the sum of exp over the states (n, S)."""
    total = np.empty(len(log_joint))
    _log_sum(log_joint, total)
    return total


@kernel(error_model="numpy")
def _normalize(log_joint: Any, log_least: float, weights: Any, total: Any, entropy: Any) -> None:
    differences = np.empty(log_joint.shape[1])
    for n in range(log_joint.shape[0]):
        best = _weigh(log_joint[n], log_least, differences, weights[n])
        mass = _sum(weights[n])
        scale = 1.0 / mass
        for s in range(weights.shape[1]):
            weights[n, s] *= scale
        log_mass = np.log(mass)
        total[n] = best + log_mass
        entropy[n] = log_mass - inner_product(weights[n], differences)


@kernel(error_model="numpy")
def _log_sum(log_joint: Any, total: Any) -> None:
    weights, differences, log_least = np.empty(log_joint.shape[1]), np.empty(log_joint.shape[1]), np.log(NEGLIGIBLE)
    for n in range(log_joint.shape[0]):
        best = _weigh(log_joint[n], log_least, differences, weights)
        total[n] = best + np.log(_sum(weights))


@inner_kernel(error_model="numpy")
def _weigh(log_joint: Any, log_least: float, differences: Any, weights: Any) -> float:
    """The largest log joint; what is left of the others and its exponentials go to the two arrays.

    Where there is no largest one, or a NaN, all weights become NaN.
    """
    best, n_states = largest(log_joint), log_joint.shape[0]
    negligible = log_least - np.log(n_states)
    n_lost = 0
    for s in range(n_states):
        difference = log_joint[s] - best
        n_lost += 0 if difference <= 0.0 else 1
        differences[s] = difference if difference >= negligible else 2.0 * negligible
    for s in range(n_states):
        weights[s] = fast_exp(differences[s]) if differences[s] >= negligible else 0.0
    if n_lost > 0:
        weights[:] = np.nan
    return best


# Partial sums of their own for each lane of a vector instruction; how many depends on nothing but the machine.
@inner_kernel(fastmath={"reassoc", "nsz"})
def _sum(x: Any) -> float:
    total = 0.0
    for i in range(x.shape[0]):
        total += x[i]
    return total


@inner_kernel(fastmath={"reassoc", "nsz"})
def inner_product(x: Any, y: Any) -> float:
    """The sum of the products of entries (n,)."""
    total = 0.0
    for i in range(x.shape[0]):
        total += x[i] * y[i]
    return total

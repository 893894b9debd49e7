"""What a posterior says of each row."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.estep.interface import Floats, Found, Target
from prosper_ng.latents.index_space import StateSpace
from prosper_ng.latents.moments import mean_states
from prosper_ng.latents.posterior import GaussianPosterior, TruncatedPosterior
from prosper_ng.latents.real_space import RealSpace
from prosper_ng.latents.space import LatentSpace
from prosper_ng.models.capabilities import PosteriorMeans, offers
from prosper_ng.numerics.extremes import fill_largest

UNKNOWN = ", NaN in columns of which no value was observed in training"
"""What is said of arrays (n, D) in files."""
Summary = dict[str, NDArray[Any]]


def best_states(log_joint: Floats, n_best: int) -> NDArray[np.int64]:
    """(n, n_best) positions of the states of highest log joint (n, S), best first; of equal ones the first."""
    best = np.empty((len(log_joint), n_best), np.int64)
    fill_largest(np.ascontiguousarray(log_joint), best)
    return best


def summarize(target: Target, found: Found, posterior: TruncatedPosterior, n_best: int) -> Summary:
    """Best states (packed) with probabilities and log joints, means of all that is hidden, and free energies.

    Of a latent that is an index there is no mean worth telling; the best index is the label of the row.
    """
    rows, best = np.arange(len(found.codes))[:, None], best_states(found.log_joint, n_best)
    summary = {
        "states": np.ascontiguousarray(found.codes[rows, best]),
        "probabilities": posterior.weights[rows, best],
        "log_joints": found.log_joint[rows, best],
        **_of_latents(target.model.space, found.codes, posterior.weights, best),
        "free_energy": posterior.free_energy,
    }
    model: Any = target.model
    if offers(model, PosteriorMeans):
        others = model.posterior_means(target.prepared, target.projected, found.codes, posterior.weights)
        summary |= {f"means_{name}": means for name, means in others.items()}
    return summary


def _of_latents(space: Any, codes: NDArray[np.uint64], weights: Floats, best: NDArray[np.int64]) -> Summary:
    if isinstance(space, LatentSpace):
        return {"means": mean_states(space, codes, weights)}
    labels = space.decode(codes[np.arange(len(codes)), best[:, 0]])[:, 0]
    return {"labels": labels.astype(space.state_type)}


def of_gaussians(posterior: GaussianPosterior) -> Summary:
    """Means and standard deviations of latents that are real numbers, and free energies."""
    return {"means": posterior.nu, "deviations": posterior.tau, "free_energy": posterior.free_energy}


def decoded(space: StateSpace, codes: NDArray[np.uint64]) -> NDArray[Any]:
    """The values (..., H) of packed states (..., words)."""
    return values_of(space, space.decode(codes))


def values_of(space: StateSpace | RealSpace, drawn: NDArray[Any]) -> NDArray[Any]:
    """The values (..., H) of latents, given by their indices in the alphabet where there is one."""
    return drawn if isinstance(space, RealSpace) else space.values.astype(space.state_type)[drawn]

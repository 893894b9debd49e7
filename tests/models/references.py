"""What each model must compute, written down as slowly and plainly as possible."""

from collections.abc import Callable

import numpy as np
from scipy import stats

from prosper_ng.components import kind_of
from prosper_ng.models.bsc import BSC
from prosper_ng.models.dsc import DSC
from prosper_ng.models.gsc import GSC
from prosper_ng.models.interface import Floats, Model
from prosper_ng.models.mca import MCA
from prosper_ng.models.mmca import MMCA
from prosper_ng.models.tsc import TSC
from prosper_ng.numerics.named_arrays import NamedArrays

Reference = Callable[..., Floats]
Mask = np.ndarray


def instances() -> dict[str, Callable[[int], Model]]:
    """Models to test, by a name; a function of the number of latents."""
    return {
        "bsc": lambda n_latents: BSC(n_latents=n_latents),
        "bsc-shared": lambda n_latents: BSC(n_latents=n_latents, shared_pi=True),
        "bsc-mean": lambda n_latents: BSC(n_latents=n_latents, data_mean=True),
        "tsc": lambda n_latents: TSC(n_latents=n_latents),
        "tsc-shared-mean": lambda n_latents: TSC(n_latents=n_latents, shared_pi=True, data_mean=True),
        "dsc": lambda n_latents: DSC(n_latents=n_latents, values=(-1.5, 0.0, 0.5, 2.0)),
        "dsc-own": lambda n_latents: DSC(n_latents=n_latents, values=(0.0, 1.0, 3.0), shared_pi=False),
        "mca": lambda n_latents: MCA(n_latents=n_latents),
        "mca-soft": lambda n_latents: MCA(n_latents=n_latents, superposition="soft", shared_pi=True),
        "mmca": lambda n_latents: MMCA(n_latents=n_latents, shared_pi=True),
        "mmca-soft": lambda n_latents: MMCA(n_latents=n_latents, superposition="soft"),
        **{
            f"gsc-{noise}-{slab}": lambda n_latents, noise=noise, slab=slab: GSC(
                n_latents=n_latents, noise=noise, slab=slab, shared_pi=(noise, slab) == ("diagonal", "full")
            )
            for noise in ("scalar", "diagonal", "full")
            for slab in ("diagonal", "full")
        },
    }


def random_parameters(model: Model, n_observed: int, rng: np.random.Generator) -> NamedArrays:
    """Legal parameters, far from anything special."""
    specs = model.parameters(n_observed)
    params = NamedArrays({name: spec.shape for name, spec in specs.items()})
    for name, spec in specs.items():
        params[name] = spec.constraint.feasible(spec.shape, rng)
    return params


def joint_of_linear(model: Model, params: NamedArrays, values: Floats, states: np.ndarray, observed: Mask) -> Floats:
    """(n, S) log p(s, y): Gaussian around W s + mu over the observed entries."""
    means = predicted_by_linear(model, params, states)
    densities = stats.norm.logpdf(values[:, None, :], means[None], params["sigma"])
    likelihood = np.where(observed[:, None, :], densities, 0.0).sum(axis=-1)
    return likelihood + reference_of(model, PRIORS)(model, params, states)


def prior_of_bsc(model: Model, params: NamedArrays, states: np.ndarray) -> Floats:
    """(S,) log p(s)."""
    return stats.bernoulli.logpmf(states, params["pi"]).sum(axis=-1)


def prior_of_tsc(model: Model, params: NamedArrays, states: np.ndarray) -> Floats:
    """(S,) log p(s)."""
    return stats.bernoulli.logpmf(states != 0, params["pi"]).sum(axis=-1) - (states != 0).sum(axis=-1) * np.log(2)


def prior_of_dsc(model: Model, params: NamedArrays, states: np.ndarray) -> Floats:
    """(S,) log p(s)."""
    pi = np.broadcast_to(params["pi"], (states.shape[1], model.space.n_values))
    pi = pi / pi.sum(axis=1, keepdims=True)
    chosen = (states[..., None] == model.space.values) * np.log(pi)
    return chosen.sum(axis=(-1, -2))


def predicted_by_linear(model: Model, params: NamedArrays, states: np.ndarray) -> Floats:
    """(S, D) mean of y given s."""
    return states @ params["W"].T + params.get("mu", 0.0)


def predicted_by_maximum(model: Model, params: NamedArrays, states: np.ndarray) -> Floats:
    """(S, D) entry of largest magnitude among the active latents, or the signed power mean at temperature 1."""
    shown = states[:, None, :] * params["W"]
    if model.superposition == "hard":
        return np.take_along_axis(shown, np.abs(shown).argmax(axis=-1)[..., None], axis=-1)[..., 0]
    least_temperature = {"mca": 1.05, "mmca": 1.2}[kind_of(model)]
    rho = 1 / (1 - 1 / least_temperature)
    total = (np.sign(shown) * np.abs(shown) ** rho).sum(axis=-1)
    return np.sign(total) * np.abs(total) ** (1 / rho)


def joint_of_maximum(model: Model, params: NamedArrays, values: Floats, states: np.ndarray, observed: Mask) -> Floats:
    """(n, S) log p(s, y): Gaussian around the maximum over the observed entries."""
    means = predicted_by_maximum(model, params, states)
    densities = stats.norm.logpdf(values[:, None, :], means[None], params["sigma"])
    return np.where(observed[:, None, :], densities, 0.0).sum(axis=-1) + prior_of_bsc(model, params, states)


def joint_of_gsc(model: Model, params: NamedArrays, values: Floats, states: np.ndarray, observed: Mask) -> Floats:
    """(n, S) log p(s, y): Gaussian around W_a mu_a, covariance W_a Psi_aa W_aᵀ + Sigma, over the observed entries."""
    n_observed = values.shape[1]
    Psi = params["Psi"] if "Psi" in params else np.diag(params["psi"])
    Sigma = params["Sigma"] if "Sigma" in params else np.eye(n_observed) * params["sigma"] ** 2
    likelihood = np.zeros((len(values), len(states)))
    for column, state in enumerate(states):
        W = params["W"] * state
        mean, covariance = W @ params["mu"], W @ Psi @ W.T + Sigma
        for shown in np.unique(observed, axis=0)[np.unique(observed, axis=0).any(axis=1)]:
            rows = np.flatnonzero((observed == shown).all(axis=1))
            density = stats.multivariate_normal(mean[shown], covariance[np.ix_(shown, shown)])
            likelihood[rows, column] = density.logpdf(values[np.ix_(rows, shown)])
    return likelihood + prior_of_bsc(model, params, states)


JOINTS: dict[str, Reference] = {
    "bsc": joint_of_linear,
    "tsc": joint_of_linear,
    "dsc": joint_of_linear,
    "mca": joint_of_maximum,
    "mmca": joint_of_maximum,
    "gsc": joint_of_gsc,
}
"""(model, params, values (n, D), states (S, H), observed (n, D)) -> (n, S) log p(s, y)."""
PRIORS: dict[str, Reference] = {
    "bsc": prior_of_bsc,
    "tsc": prior_of_tsc,
    "dsc": prior_of_dsc,
    "mca": prior_of_bsc,
    "mmca": prior_of_bsc,
    "gsc": prior_of_bsc,
}
"""(model, params, states (S, H)) -> (S,) log p(s)."""
PREDICTIONS: dict[str, Reference] = {
    "bsc": predicted_by_linear,
    "tsc": predicted_by_linear,
    "dsc": predicted_by_linear,
    "mca": predicted_by_maximum,
    "mmca": predicted_by_maximum,
}
"""(model, params, states (S, H)) -> (S, D) mean of y given s alone; models whose mean needs y are not in it."""


def reference_of(model: Model, table: dict[str, Reference]) -> Reference:
    """The reference for a model; a model without one fails its tests."""
    return table[kind_of(model)]

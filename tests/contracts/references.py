"""What each model must compute, written down as slowly and plainly as possible."""

from collections.abc import Callable

import numpy as np
from scipy import stats

from prosper_ng.components import kind_of
from prosper_ng.models.bsc import BSC
from prosper_ng.models.interface import Floats, Model
from prosper_ng.numerics.named_arrays import NamedArrays

Reference = Callable[[NamedArrays, Floats, np.ndarray], Floats]


def instances() -> dict[str, Callable[[int], Model]]:
    """Models to test, by a name; a function of the number of latents."""
    return {
        "bsc": lambda n_latents: BSC(n_latents=n_latents),
        "bsc-shared": lambda n_latents: BSC(n_latents=n_latents, shared_pi=True),
        "bsc-mean": lambda n_latents: BSC(n_latents=n_latents, data_mean=True),
    }


def random_parameters(model: Model, n_observed: int, rng: np.random.Generator) -> NamedArrays:
    """Legal parameters, far from anything special."""
    specs = model.parameters(n_observed)
    params = NamedArrays({name: spec.shape for name, spec in specs.items()})
    for name, spec in specs.items():
        if np.isfinite(spec.low) and np.isfinite(spec.high):
            params[name] = rng.uniform(0.15, 0.6, spec.shape)
        elif np.isfinite(spec.low):
            params[name] = rng.uniform(0.5, 1.5, spec.shape)
        else:
            params[name] = rng.normal(0, 1.5, spec.shape)
    return params


def joint_of_linear(params: NamedArrays, values: Floats, states: np.ndarray) -> Floats:
    """Gaussian around W s + mu."""
    means = states @ params["W"].T + (params["mu"] if "mu" in params else 0.0)
    return stats.norm.logpdf(values[:, None, :], means[None], params["sigma"]).sum(axis=-1)


def joint_of_bsc(params: NamedArrays, values: Floats, states: np.ndarray) -> Floats:
    """(n, S) log p(s, y)."""
    return joint_of_linear(params, values, states) + prior_of_bsc(params, states)


def prior_of_bsc(params: NamedArrays, states: np.ndarray) -> Floats:
    """(S,) log p(s)."""
    return stats.bernoulli.logpmf(states, params["pi"]).sum(axis=-1)


def predicted_by_linear(params: NamedArrays, states: np.ndarray) -> Floats:
    """(S, D) mean of y given s."""
    return states @ params["W"].T + (params["mu"] if "mu" in params else 0.0)


JOINTS = {"bsc": joint_of_bsc}
PRIORS = {"bsc": prior_of_bsc}
PREDICTIONS = {"bsc": predicted_by_linear}


def reference_of(model: Model, table: dict[str, Callable[..., Floats]]) -> Callable[..., Floats]:
    """The reference for a model; a model without one fails its tests."""
    return table[kind_of(model)]

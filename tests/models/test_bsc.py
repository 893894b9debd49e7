"""Binary sparse coding beside its plain definition."""

import numpy as np
from scipy import stats

from prosper_ng.models.bsc import BSC
from prosper_ng.testing import ModelCase, parametrize_with_checks


def prior(model, params, states):
    """(S,) log p(s)."""
    return stats.bernoulli.logpmf(states, params["pi"]).sum(axis=-1)


def mean_of_linear(model, params, states):
    """(S, D) W s + mu."""
    return states @ params["W"].T + params.get("mu", 0.0)


def variance(model, params, states):
    """Of independent noise, the same for all entries."""
    return np.broadcast_to(params["sigma"] ** 2, (len(states), len(params["W"])))


def log_density(params, values, means, observed):
    """(n, S) log of the Gaussian around means (S, D), over the observed entries."""
    densities = stats.norm.logpdf(values[:, None, :], means[None], params["sigma"])
    return np.where(observed[:, None, :], densities, 0.0).sum(axis=-1)


def log_joint(model, params, values, states, observed):
    """(n, S) log p(s, y)."""
    means = mean_of_linear(model, params, states)
    return log_density(params, values, means, observed) + prior(model, params, states)


def case(**options):
    return ModelCase(lambda n_latents: BSC(n_latents=n_latents, **options), log_joint, prior, mean_of_linear, variance)


CASES = {"bsc": case(), "bsc-shared": case(shared_pi=True), "bsc-mean": case(data_mean=True)}


@parametrize_with_checks(CASES)
def test_contract(check):
    check()

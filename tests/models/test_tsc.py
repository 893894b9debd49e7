"""Ternary sparse coding beside its plain definition."""

import numpy as np
from scipy import stats

from prosper_ng.models.tsc import TSC
from prosper_ng.testing import ModelCase, parametrize_with_checks
from tests.models.test_bsc import log_density, mean_of_linear, variance


def prior(model, params, states):
    """(S,) log p(s)."""
    return stats.bernoulli.logpmf(states != 0, params["pi"]).sum(axis=-1) - (states != 0).sum(axis=-1) * np.log(2)


def log_joint(model, params, values, states, observed):
    """(n, S) log p(s, y)."""
    means = mean_of_linear(model, params, states)
    return log_density(params, values, means, observed) + prior(model, params, states)


def case(**options):
    return ModelCase(lambda n_latents: TSC(n_latents=n_latents, **options), log_joint, prior, mean_of_linear, variance)


CASES = {"tsc": case(), "tsc-shared-mean": case(shared_pi=True, data_mean=True)}


@parametrize_with_checks(CASES)
def test_contract(check):
    check()

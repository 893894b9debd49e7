"""Autoencoders with binary latents beside their plain definition, differences, and what bars are made of."""

import numpy as np
from scipy import stats

from prosper_ng.models.bvae import BVAE
from prosper_ng.numerics.adam import Adam
from prosper_ng.testing import ModelCase, parametrize_with_checks


def mean(model, params, states):
    """(S, D) f(s), one state and one layer after the other."""
    found = []
    for s in states:
        x, n_layers = s.astype(float), len(model.hidden) + 1
        for layer in range(1, n_layers + 1):
            x = params[f"W{layer}"] @ x + params[f"b{layer}"]
            x = np.where((x > 0) | (layer == n_layers), x, 0.01 * x)
        found.append(x)
    return np.array(found)


def prior(model, params, states):
    """(S,) log p(s)."""
    return stats.bernoulli.logpmf(states, params["pi"]).sum(axis=-1)


def log_joint(model, params, values, states, observed):
    """(n, S) log p(s, y)."""
    logs = stats.norm.logpdf(values[:, None], mean(model, params, states), params["sigma"])
    return np.where(observed[:, None], logs, 0.0).sum(axis=-1) + prior(model, params, states)


def variance(model, params, states):
    """(S, D) of the noise."""
    return np.broadcast_to(params["sigma"] ** 2, mean(model, params, states).shape)


def make(n_latents, **options):
    return BVAE(n_latents=n_latents, optimizer=Adam(rate=0.05, cycle=0), **options)


def case(**options):
    quick = Adam(rate=0.05, cycle=0)
    return ModelCase(
        lambda n_latents: BVAE(n_latents=n_latents, optimizer=quick, **options), log_joint, prior, mean, variance
    )


CASES = {
    "bvae": case(hidden=(5,)),
    "bvae-deep": case(hidden=(7, 4), noise="diagonal"),
    "bvae-linear": case(hidden=(), shared_pi=True),
}


@parametrize_with_checks(CASES)
def test_contract(check):
    check()

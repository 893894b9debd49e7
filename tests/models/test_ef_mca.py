"""Maximal causes of every observable beside their plain definition, and what is known of them."""

import numpy as np
import pytest
from scipy import stats

from prosper_ng.components import components_of
from prosper_ng.models.ef_mca import EFMCA
from prosper_ng.testing import ModelCase, parametrize_with_checks
from tests.models.test_bsc import prior

OBSERVABLES = components_of("prosper_ng.observables")

DISTRIBUTIONS = {
    "bernoulli": lambda W, V: stats.bernoulli(W),
    "beta": lambda W, V: stats.beta(W * V, (1 - W) * V),
    "exponential": lambda W, V: stats.expon(scale=W),
    "gamma": lambda W, V: stats.gamma(V, scale=W / V),
    "normal": lambda W, V: stats.norm(W, np.sqrt(V)),
    "poisson": lambda W, V: stats.poisson(W),
}
"""SciPy's, by mean and second parameter."""


def distribution(model, params, states):
    """That of each entry (S, D) given states (S, H)."""
    means = np.concatenate([params["W0"][None], params["W"].T])
    shown = np.concatenate([np.ones((len(states), 1)), states], axis=1)
    winner = np.argmax(np.where(shown[:, :, None] > 0, means, -np.inf), axis=1)
    W = np.take_along_axis(means, winner, axis=0)
    V = None
    if "V" in params:
        V = np.take_along_axis(np.concatenate([params["V0"][None], params["V"].T]), winner, axis=0)
    return DISTRIBUTIONS[model.observable.kind](W, V)


def mean(model, params, states):
    """(S, D) the largest mean."""
    return distribution(model, params, states).mean()


def variance(model, params, states):
    """(S, D) that of SciPy."""
    return distribution(model, params, states).var()


def log_joint(model, params, values, states, observed):
    """(n, S) log p(s, y)."""
    found = distribution(model, params, states)
    log_p = found.logpmf if hasattr(found.dist, "pmf") else found.logpdf
    safe = np.where(observed, values, model.support.nearest(0.5))[:, None]
    return np.where(observed[:, None], log_p(safe), 0.0).sum(axis=-1) + prior(model, params, states)


def case(observable, **options):
    return ModelCase(
        lambda n_latents: EFMCA(n_latents=n_latents, observable=OBSERVABLES[observable](), **options),
        log_joint, prior, mean, variance,
    )  # fmt: skip


CASES = {"ef_mca-poisson": case("poisson"), "ef_mca-normal": case("normal", shared_pi=True)}
OTHERS = {f"ef_mca-{kind}": case(kind) for kind in ("bernoulli", "beta", "exponential", "gamma")}


@parametrize_with_checks(CASES | OTHERS)
def test_contract(check):
    check()

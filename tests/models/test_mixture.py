"""Mixtures of every observable beside their plain definition, and what is known of them."""

import numpy as np
import pytest

from prosper_ng.components import components_of
from prosper_ng.models.mixture import Mixture
from prosper_ng.testing import ModelCase, parametrize_with_checks
from tests.models.test_ef_mca import DISTRIBUTIONS

OBSERVABLES = components_of("prosper_ng.observables")


def distribution(model, params, states):
    """That of each entry (S, D) given the components (S, 1)."""
    c = states[:, 0].astype(int)
    W, V = params["W"].T[c], params["V"].T[c] if "V" in params else None
    if "sigma" in params:
        V = np.full(W.shape, params["sigma"] ** 2)
    return DISTRIBUTIONS[model.observable.kind](W, V)


def prior(model, params, states):
    """(S,) log p(c)."""
    pi = np.full(model.n_components, 1 / model.n_components) if model.equal_weights else params["pi"]
    return np.log(pi / pi.sum())[states[:, 0].astype(int)]


def mean(model, params, states):
    """(S, D) that of SciPy."""
    return distribution(model, params, states).mean()


def variance(model, params, states):
    """(S, D) that of SciPy."""
    return distribution(model, params, states).var()


def log_joint(model, params, values, states, observed):
    """(n, S) log p(c, y)."""
    found = distribution(model, params, states)
    log_p = found.logpmf if hasattr(found.dist, "pmf") else found.logpdf
    safe = np.where(observed, values, model.support.nearest(0.5))[:, None]
    return np.where(observed[:, None], log_p(safe), 0.0).sum(axis=-1) + prior(model, params, states)


def case(observable, **options):
    return ModelCase(
        lambda n: Mixture(n_components=n, observable=OBSERVABLES[observable](), **options),
        log_joint, prior, mean, variance,
    )  # fmt: skip


CASES = {
    "mixture-normal": case("normal"),
    "mixture-scalar": case("normal", noise="scalar", equal_weights=True),
    "mixture-poisson": case("poisson", unused="redraw"),
}
OTHERS = {f"mixture-{kind}": case(kind) for kind in ("bernoulli", "beta", "exponential", "gamma")}


@parametrize_with_checks(CASES)
def test_contract(check):
    check()


@pytest.mark.slow
@parametrize_with_checks(OTHERS)
def test_contract_of_other_observables(check):
    check()

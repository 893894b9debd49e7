"""Mixtures of every observable beside their plain definition, and what is known of them."""

import numpy as np
import pytest

from prosper_ng.components import components_of
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.latents.posterior import truncated_posterior
from prosper_ng.models.interface import Batch, MStep
from prosper_ng.models.mixture import Mixture
from prosper_ng.observables.poisson import Poisson
from prosper_ng.testing import ModelCase, parametrize_with_checks
from prosper_ng.testing.problems import random_parameters, statistics, target_of
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


def labeled(n_rows=60, n_known=25, seed=0, **options):
    """A model of classes, parameters, and a batch in which some classes are known."""
    rng = np.random.default_rng(seed)
    model = Mixture(n_components=4, n_classes=3, **options)
    params = random_parameters(model, 5, rng)
    values, _ = model.sample(params, n_rows, rng)
    labels = np.where(np.arange(n_rows) < n_known, rng.integers(0, 3, n_rows), -1)
    return model, params, Batch(np.arange(n_rows), values, labels=labels)


def test_labels_are_one_more_value_that_was_observed():
    model, params, batch = labeled()
    target = target_of(model, params, batch)
    found = Exhaustive().find(target)
    log_R = np.log(params["R"] / params["R"].sum(axis=1, keepdims=True))
    expected = log_joint(model, params, batch.values, np.arange(4.0)[:, None], np.ones(batch.values.shape, bool))
    expected[:25] += log_R[:, batch.labels[:25]].T
    assert found.log_joint == pytest.approx(expected, rel=1e-10, abs=1e-10)
    weights = np.exp(expected - np.logaddexp.reduce(expected, axis=1)[:, None])
    classes = model.posterior_means(target.prepared, target.projected, np.array(found.codes), weights)["classes"]
    assert classes == pytest.approx(weights @ np.exp(log_R))
    assert classes.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("options", [{}, {"noise": "scalar", "equal_weights": True}, {"observable": Poisson()}])
def test_em_with_labels_never_lowers_the_likelihood_and_keeps_the_identity(options):
    model, params, batch = labeled(**options)
    last = -np.inf
    for _ in range(8):
        target = target_of(model, params, batch)
        found = Exhaustive().find(target)
        posterior = truncated_posterior(found.log_joint)
        sums = statistics(target, np.array(found.codes), posterior.weights)
        assert sums["classes"].sum() == pytest.approx(25)
        free_energy = float(posterior.free_energy.sum())
        assert model.expected_log_joint(params, sums) + posterior.entropy.sum() == pytest.approx(free_energy, abs=1e-8)
        assert free_energy >= last - 1e-9
        last, params = free_energy, model.maximize(params, sums, MStep(frozenset(params)))
        mean = model.expected_log_joint(params, sums) / float(sums["n"])
        assert mean == pytest.approx(-model.entropy(params, sums), abs=1e-6)

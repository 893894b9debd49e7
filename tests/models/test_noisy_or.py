"""Noisy-OR beside its plain definition, and what is known of it."""

from itertools import product

import numpy as np
import pytest
from numpy import log1p

from prosper_ng.models.interface import MStep
from prosper_ng.models.noisy_or import NoisyOR
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.testing import ModelCase, parametrize_with_checks
from prosper_ng.testing.problems import exact, moments_of, random_parameters
from tests.helpers.all_commands import made_by_all_commands
from tests.models.test_bsc import prior


def log_off(params, states):
    """(S, D) log p(y_d = 0 | s), in terms that are all negative."""
    leak = params.get("leak", np.full(len(params["W"]), 1e-12))
    return log1p(-leak) + states @ log1p(-params["W"]).T


def mean(model, params, states):
    """(S, D) p(y_d = 1 | s)."""
    return -np.expm1(log_off(params, states))


def variance(model, params, states):
    """(S, D) of a Bernoulli variable."""
    on = mean(model, params, states)
    return on * (1 - on)


def log_joint(model, params, values, states, observed):
    """(n, S) log p(s, y)."""
    off = log_off(params, states)
    logs = np.where(values[:, None] == 1, np.log(-np.expm1(off)), off)
    return np.where(observed[:, None], logs, 0.0).sum(axis=-1) + prior(model, params, states)


def case(**options):
    return ModelCase(lambda n_latents: NoisyOR(n_latents=n_latents, **options), log_joint, prior, mean, variance)


CASES = {"noisy-or": case(), "noisy-or-leak": case(leak=True, shared_pi=True)}


@parametrize_with_checks(CASES)
def test_contract(check):
    check()


def brute_force(params, values, n_latents, leak):
    """Sums over all states and all ways in which latents and leak can have switched the entries on."""
    states = np.array(list(product((0, 1), repeat=n_latents)))
    joint = log_joint(None, params, values, states, np.ones(values.shape, bool))
    weights = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    hits, leaks = np.zeros(params["W"].shape), np.zeros(len(params["W"]))
    ways = np.array(list(product((0, 1), repeat=n_latents + 1)))
    for (n, row), (s, state) in product(enumerate(values), enumerate(states)):
        for d in np.flatnonzero(row == 1):
            chance = np.append(params["W"][d] * state, leak[d])
            p = np.prod(np.where(ways == 1, chance, 1 - chance), axis=1) * ways.any(axis=1)
            succeeded = weights[n, s] * (p / p.sum()) @ ways
            hits[d] += succeeded[:-1]
            leaks[d] += succeeded[-1]
    return weights @ states, hits, leaks


@pytest.mark.parametrize("leaks", [False, True])
def test_hits_are_what_all_ways_to_switch_entries_on_come_to(leaks):
    rng, model = np.random.default_rng(0), NoisyOR(n_latents=3, leak=leaks)
    params = random_parameters(model, 4, rng)
    values, _ = model.sample(params, 20, rng)
    sums = exact(model, params, values).sums
    leak = params["leak"] if leaks else np.full(4, 1e-12)
    states, hits, of_leak = brute_force(params, values, 3, leak)
    assert sums["counts"] == pytest.approx(states.sum(axis=0))
    assert sums["tries"] == pytest.approx(np.tile(states.sum(axis=0), (4, 1)))
    assert sums["hits"] == pytest.approx(hits)
    assert sums["leaks"] == pytest.approx(of_leak, rel=1e-9)
    new = model.maximize(params, sums, MStep(frozenset(params)))
    assert new["W"] == pytest.approx(hits / states.sum(axis=0))


def test_the_entropy_identity_holds_to_the_last_digits_also_at_the_bounds():
    rng, model = np.random.default_rng(1), NoisyOR(n_latents=4, leak=True)
    values, _ = model.sample(random_parameters(model, 7, rng), 60, rng)
    params = model.initial(moments_of(values), rng)
    values[:, 2], values[:, 3] = 0.0, 1.0  # so that W is 0 in one place and 1 in another, but for its bounds
    for _ in range(40):
        sums = exact(model, params, values).sums
        params = model.maximize(params, sums, MStep(frozenset(params)))
        gap = model.expected_log_joint(params, sums) / len(values) + model.entropy(params, sums)
        assert abs(gap) < 2e-14
    assert (params["W"][2] == 1e-9).all()
    assert params["leak"][2] == pytest.approx(1e-12)


def test_probabilities_far_below_rounding_are_right_to_the_last_digits():
    model = NoisyOR(n_latents=2)
    params = NamedArrays.of(W=[[1e-9, 3e-9], [1e-9, 1e-9]], pi=[0.5, 0.5])
    found = exact(model, params, np.ones((1, 2)))
    expected = 2 * np.log(0.5) + np.log([1e-24, 1.001e-9**2, 3.001e-9 * 1.001e-9, 4.001e-9 * 2.001e-9])
    assert found.target.log_joint(found.codes)[0] == pytest.approx(expected, rel=1e-10)


def test_products_of_many_small_probabilities_do_not_underflow():
    model = NoisyOR(n_latents=1)
    params = NamedArrays.of(W=np.full((1000, 1), 0.5), pi=[0.5])
    found = exact(model, params, np.ones((1, 1000)))
    expected = np.log(0.5) + 1000 * np.log([1e-12, 0.5 + 0.5e-12])
    assert found.target.log_joint(found.codes)[0] == pytest.approx(expected, rel=1e-12)


def test_what_no_state_uses_keeps_its_values_and_that_is_said():
    rng, model = np.random.default_rng(2), NoisyOR(n_latents=2)
    params = NamedArrays.of(W=rng.uniform(0.2, 0.8, (3, 2)), pi=[0.5, 1e-10])
    values = (rng.random((10, 3)) < 0.5).astype(float)
    sums = exact(model, params, values).sums
    sums["counts"][1] = sums["tries"][:, 1] = sums["hits"][:, 1] = 0.0
    step = MStep(frozenset(params))
    new = model.maximize(params, sums, step)
    assert (new["W"][:, 1] == params["W"][:, 1]).all()
    assert step.notes == ["1 latents that no state used keep their dictionary elements"]


CONFIG = """
name: small
seed: 3
data: {kind: bars, n_bars: 6, n_rows: 120, observable: bernoulli, amplitude: 0.9, noise: 0.05, missing: 0.1}
model: {kind: noisy_or, n_latents: 8, leak: true}
estep: {kind: search, n_states: 12}
training: {n_sweeps: 20, updates_per_sweep: 2}
"""


def test_all_commands_know_it(tmp_path):
    made = made_by_all_commands(CONFIG, tmp_path, NoisyOR(n_latents=8, leak=True), log_joint)
    known = ~np.isnan(made.values)
    assert made.results["means"] == pytest.approx(made.weights @ made.states, abs=1e-9)
    assert (made.results["filled"][known] == made.values[known]).all()
    assert ((made.results["prediction"] > 0) & (made.results["prediction"] < 1)).all()
    assert set(np.unique(made.results["data"])) == {0, 1}
    assert made.results["data"].mean() == pytest.approx(np.nanmean(made.values), abs=0.1)

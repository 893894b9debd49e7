"""Sigmoid belief nets beside their plain definition, and what is known of them."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import entr, expit

import prosper_ng
from prosper_ng.errors import UserError
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.search import Search
from prosper_ng.estep.variations.evolution import Evolution
from prosper_ng.estep.variations.sampling import Sampling
from prosper_ng.models.interface import MStep
from prosper_ng.models.rounding import rounding_of
from prosper_ng.models.sbn import SBN
from prosper_ng.numerics.linear import unpacked
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.testing import ModelCase, checks_of, parametrize_with_checks
from prosper_ng.testing.problems import exact, moments_of, random_parameters
from tests.helpers.all_commands import made_by_all_commands
from tests.helpers.em_problems import train
from tests.helpers.sigmoid_nets.problems import net_problem


def layers(model, states):
    """The lower latents (S, H1), which the data see, and those of the top layer (S, H2)."""
    H1 = model.n_latents - model.n_top
    return states[..., :H1], states[..., H1:]


def log_bernoulli(a, on):
    """log p of what is on or off, by its log odds."""
    return on * a - np.logaddexp(0.0, a)


def prior(model, params, states):
    """(S,) log p(s)."""
    lower, top = layers(model, states)
    roots = top if model.n_top else lower
    pi = params["pi"]
    found = (roots * np.log(pi) + (1 - roots) * np.log1p(-pi)).sum(axis=-1)
    return found + log_bernoulli(top @ params["M"].T + params["c"], lower).sum(axis=-1) if model.n_top else found


def mean(model, params, states):
    """(S, D) p(y_d = 1 | s)."""
    return expit(layers(model, states)[0] @ params["W"].T + params["b"])


def variance(model, params, states):
    """(S, D) of a Bernoulli variable."""
    on = mean(model, params, states)
    return on * (1 - on)


def log_joint(model, params, values, states, observed):
    """(n, S) log p(s, y)."""
    a = layers(model, states)[0] @ params["W"].T + params["b"]
    logs = np.where(observed[:, None], log_bernoulli(a, values[:, None]), 0.0)
    return logs.sum(axis=-1) + prior(model, params, states)


def one_layer(n_latents, **options):
    return SBN(n_latents=n_latents, **options)


def two_layers(n_latents, **options):
    """Half of the latents are the top layer; one alone has no other to decide on."""
    return SBN(n_latents=n_latents, n_top=n_latents // 2, **options)


def case(make, **options):
    return ModelCase(partial(make, **options), log_joint, prior, mean, variance)


CASES = {"sbn": case(one_layer, relaxation=1.0), "sbn-two-layers": case(two_layers, relaxation=1.0)}
RELAXED = case(two_layers)
IN_LEARNING = ("em ", "learning ", "a fit ")
BOTH = pytest.mark.parametrize("make", [one_layer, two_layers])


@parametrize_with_checks(CASES)
def test_contract(check):
    check()


@pytest.mark.parametrize(
    "check",
    [pytest.param(check, id=name) for name, check in checks_of(RELAXED) if name.startswith(IN_LEARNING)],
)
def test_contract_of_learning_with_longer_steps(check):
    check()


def test_a_longer_step_is_no_maximum_of_the_bound():
    check = dict(checks_of(RELAXED))["m step is a maximum of the expected log joint"]
    with pytest.raises(AssertionError, match="have a higher expected log joint"):
        check()


def small(make, seed=0, missing=0.3, n_rows=30, n_latents=4, **options):
    """A model, parameters, rows that others made, what was observed of them, and the exact posterior."""
    rng, model = np.random.default_rng(seed), make(n_latents=n_latents, **options)
    params = random_parameters(model, 5, rng)
    values, _ = model.sample(random_parameters(model, 5, rng), n_rows, rng)
    observed = rng.random(values.shape) >= missing
    observed[0] = False
    return model, params, values, observed, exact(model, params, values, observed)


def brute_force(a, on, observed, inputs, weights):
    """Linear and quadratic terms of the bound of one layer, its constant and its entropy, state by state.

    Log odds (S, D), what is on and observed (n, S, D), inputs (S, k) and weights (n, S).
    """
    x = np.column_stack([inputs, np.ones(len(inputs))])
    targets, moments = np.zeros((a.shape[1], x.shape[1])), np.zeros((x.shape[1], x.shape[1]))
    constant, entropy = 0.0, 0.0
    for (n, s), weight in np.ndenumerate(weights):
        p, seen = expit(a[s]), observed[n, s]
        t = a[s] + np.where(seen, 4 * (on[n, s] - p), 0.0)
        targets += weight * np.outer(t, x[s])
        moments += weight * np.outer(x[s], x[s])
        uncertainty = float(np.sum(np.where(seen, entr(p) + entr(1 - p), 0.0)))
        constant -= weight * (uncertainty + float(np.sum(a[s] ** 2)) / 8)
        entropy += weight * uncertainty
    return targets, moments, constant, entropy


@BOTH
def test_statistics_are_those_of_all_states(make):
    model, params, values, observed, found = small(make)
    states, weights = model.space.decode(found.codes[0]), found.posterior.weights
    lower, top = layers(model, states)
    wide = (len(values), len(states))
    on, seen = (np.broadcast_to(each[:, None], (*wide, 5)) for each in (values, observed))
    targets, moments, constant, entropy = brute_force(lower @ params["W"].T + params["b"], on, seen, lower, weights)
    assert found.sums["t_s"] == pytest.approx(targets)
    assert unpacked(found.sums["s_s"]) == pytest.approx(moments)
    if model.n_top:
        a, shape = top @ params["M"].T + params["c"], (*wide, lower.shape[1])
        of_top = brute_force(a, np.broadcast_to(lower, shape), np.ones(shape, bool), top, weights)
        assert found.sums["t_top"] == pytest.approx(of_top[0])
        assert unpacked(found.sums["s_top"]) == pytest.approx(of_top[1])
        constant, entropy = constant + of_top[2], entropy + of_top[3]
    assert found.sums["constant"] == pytest.approx(constant)
    assert found.sums["noise_entropy"] == pytest.approx(entropy)
    assert found.sums["hidden_entropy"] == 0


@BOTH
def test_a_step_is_a_least_squares_fit_of_the_pseudo_targets(make):
    model, params, values, observed, found = small(make, relaxation=1.0)
    states, weights = model.space.decode(found.codes[0]), found.posterior.weights
    lower, _ = layers(model, states)
    x = np.column_stack([lower, np.ones(len(lower))])
    a = lower @ params["W"].T + params["b"]
    t = a + np.where(observed[:, None], 4 * (values[:, None] - expit(a)), 0.0)
    root = np.sqrt(weights).ravel()[:, None]
    left, right = np.tile(x, (len(values), 1)) * root, t.reshape(-1, 5) * root
    best = np.linalg.lstsq(left, right, rcond=None)[0].T
    new = model.maximize(params, found.sums, MStep(frozenset(params)))
    assert np.column_stack([new["W"], new["b"]]) == pytest.approx(best)
    active = np.einsum("ns,sh->h", weights, states) / len(values)
    assert new["pi"] == pytest.approx(active[-len(params["pi"]) :])
    further = make(n_latents=4, relaxation=1.7).maximize(params, found.sums, MStep(frozenset(params)))
    for name in set(params) - {"pi"}:
        assert further[name] == pytest.approx(params[name] + 1.7 * (new[name] - params[name]))
    assert (further["pi"] == new["pi"]).all()


@BOTH
def test_what_is_learned_alone_has_a_maximum_of_its_own(make):
    model, params, _, _, found = small(make, relaxation=1.0)
    rng = np.random.default_rng(3)
    for name in params:
        best = model.maximize(params, found.sums, MStep(frozenset([name])))
        highest = model.expected_log_joint(best, found.sums)
        assert highest > model.expected_log_joint(params, found.sums)
        assert all((best[other] == params[other]).all() for other in set(params) - {name})
        for scale in (1e-3, 0.1):
            other = best.copy()
            other[name] = best[name] * (1 + scale * rng.standard_normal(best[name].shape))
            assert model.expected_log_joint(other, found.sums) <= highest + rounding_of(model, best, found.sums)


@BOTH
def test_the_statistics_tell_a_bound_of_the_free_energy_for_all_parameters(make):
    model, params, values, observed, found = small(make)
    weights, entropy = found.posterior.weights, float(found.posterior.entropy.sum())
    states, rng = model.space.decode(found.codes[0]), np.random.default_rng(4)
    for scale in (0.0, 0.01, 0.3, 2.0):
        other = random_parameters(model, 5, rng)
        other.buffer[:] = params.buffer + scale * (other.buffer - params.buffer)
        other["pi"] = np.clip(other["pi"], 0.01, 0.99)
        F = float(np.sum(weights * log_joint(model, other, values, states, observed))) + entropy
        bound = model.expected_log_joint(other, found.sums) + entropy
        if scale == 0.0:
            assert bound == pytest.approx(F, rel=1e-12)
        else:
            assert bound < F


@BOTH
@pytest.mark.parametrize("n_parts", [1, 3])
@pytest.mark.parametrize("estep", [Exhaustive(), Search(n_states=3)])
def test_the_free_energy_never_falls_whatever_is_learned(make, n_parts, estep):
    """The loop itself ends with an error where an M-step lowers the bound, or an E-step F."""
    rng, model = np.random.default_rng(5), make(n_latents=4)
    values, _ = model.sample(random_parameters(model, 6, rng), 60, rng)
    values[rng.random(values.shape) < 0.2] = np.nan
    names = list(model.parameters(6))
    for learn in (None, *((name,) for name in names)):
        problem, params = net_problem(model, values, n_parts, estep)
        state, reports = train(problem, params, 12, learn=learn)
        energies = [report.free_energy for report in reports]
        assert all(later >= earlier - 1e-12 for earlier, later in pairwise(energies))
        for name in names:
            assert (state.params[name] == params[name]).all() == (learn is not None and name not in learn)


def test_weights_that_grow_without_end_stop_at_their_bound_and_that_is_said():
    model = SBN(n_latents=1)
    params = NamedArrays.of(W=[[49.9]], b=[-20.0], pi=[0.5])
    sums = exact(model, params, np.repeat([[0.0], [1.0]], 10, axis=0)).sums
    sums["t_s"] += [[60.0, 0.0]]
    step = MStep(frozenset(params))
    new = model.maximize(params, sums, step)
    assert new["W"] == 50
    assert model.expected_log_joint(new, sums) > model.expected_log_joint(params, sums)
    assert step.notes == ["1 weights in W have reached 50 in magnitude, the most there is"]


def test_what_no_state_uses_keeps_its_weights_and_that_is_said():
    model = SBN(n_latents=2)
    params = NamedArrays.of(W=[[1.0, 2.0], [3.0, 4.0]], b=[0.0, 1.0], pi=[0.5, 0.5])
    found = exact(model, params, np.array([[1.0, 0.0], [1.0, 1.0]]))
    weights = found.posterior.weights * (model.space.decode(found.codes)[..., 1] == 0)
    sums = NamedArrays(model.statistics(2))
    model.accumulate(*found.target[1:4], found.codes, weights, sums)
    step = MStep(frozenset(params))
    new = model.maximize(params, sums, step)
    assert (new["W"][:, 1] == params["W"][:, 1]).all()
    assert (new["W"][:, 0] != params["W"][:, 0]).all()
    assert step.notes == ["1 latents that no state used keep their weights in W"]


def test_a_top_layer_that_says_nothing_leaves_a_single_layer():
    one, two = SBN(n_latents=3), SBN(n_latents=5, n_top=2)
    rng = np.random.default_rng(6)
    params = random_parameters(one, 4, rng)
    deep = NamedArrays.of(
        W=params["W"], b=params["b"], M=np.zeros((3, 2)), c=np.log(params["pi"] / (1 - params["pi"])), pi=[0.2, 0.9]
    )
    values, _ = one.sample(params, 20, rng)
    found, expected = exact(two, deep, values), exact(one, params, values)
    assert found.posterior.free_energy == pytest.approx(expected.posterior.free_energy)
    assert two.activity(deep) == pytest.approx([*params["pi"], 0.2, 0.9])
    assert (one.couples_latents, two.couples_latents) == (False, True)


def test_a_latent_can_stand_for_its_opposite():
    model, rng = SBN(n_latents=3), np.random.default_rng(7)
    params = random_parameters(model, 4, rng)
    values, _ = model.sample(params, 20, rng)
    other = params.copy()
    other["W"][:, 1] *= -1
    other["b"] += params["W"][:, 1]
    other["pi"][1] = 1 - params["pi"][1]
    found, same = (exact(model, each, values).posterior.free_energy for each in (params, other))
    assert same == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize("a", [0.0, 1e-9, 3.0, 40.0, 800.0, 1e5])
def test_probabilities_near_0_and_1_are_right_and_many_do_not_overflow(a):
    model = SBN(n_latents=1)
    params = NamedArrays.of(W=np.zeros((2000, 1)), b=np.full(2000, a), pi=[0.5])
    found = exact(model, params, np.stack([np.ones(2000), np.zeros(2000)]))
    expected = np.log(0.5) - 2000 * np.logaddexp(0.0, [[-a], [a]])
    assert found.target.log_joint(found.codes) == pytest.approx(np.broadcast_to(expected, (2, 2)), rel=1e-12)


@BOTH
def test_a_start_sees_in_what_is_off_what_another_sees_in_what_is_on(make):
    model, values = make(n_latents=4), (np.random.default_rng(8).random((50, 6)) < 0.2).astype(float)
    start, other = (model.initial(moments_of(each), np.random.default_rng(9)) for each in (values, 1 - values))
    assert (start["W"] > 0).all()
    for name in start:
        sign = -1 if name in ("W", "b") else 1
        assert other[name] == pytest.approx(sign * start[name], rel=1e-12)
    lower, _ = layers(model, model.activity(start)[None])
    assert lower @ start["W"].T + start["b"] == pytest.approx(
        np.log(values.mean(0) / (1 - values.mean(0)))[None], abs=0.3
    )


def test_a_second_layer_needs_a_first():
    with pytest.raises(UserError, match=r"n_top.*must be below n_latents, which is 3, not 3"):
        SBN(n_latents=3, n_top=3)


@pytest.mark.slow
@pytest.mark.parametrize("variation", [Evolution(), Sampling(source="prior")], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("seed", range(3))
def test_rows_of_its_own_come_to_be_likelier_than_under_what_made_them(variation, seed):
    """By the free energy of 12 of the 16 states; after 20 sweeps most of the way from the start is done."""
    rng, model = np.random.default_rng(seed), SBN(n_latents=4)
    truth = NamedArrays.of(W=rng.normal(0, 3, (10, 4)), b=rng.normal(-1, 0.5, 10), pi=np.full(4, 0.4))
    values, _ = model.sample(truth, 500, rng)
    at_truth = float(exact(model, truth, values).posterior.free_energy.mean())
    estep, training = Search(n_states=12, variations=(variation,)), {"n_sweeps": 100, "updates_per_sweep": 4}
    learned = prosper_ng.learn(values, model, estep=estep, training=training, seed=seed, progress=False)
    gains = learned.history["free_energy"] - at_truth
    assert gains[0] < -0.1
    assert gains[19] > -0.03
    assert gains[-1] > 0


CONFIG = """
name: small
seed: 3
data: {kind: bars, n_bars: 6, n_rows: 120, observable: bernoulli, amplitude: 0.9, noise: 0.05, missing: 0.1}
model: {kind: sbn, n_latents: 8, n_top: 2}
estep: {kind: search, n_states: 12}
training: {n_sweeps: 20, updates_per_sweep: 2}
"""


def test_all_commands_know_it(tmp_path):
    made = made_by_all_commands(CONFIG, tmp_path, SBN(n_latents=8, n_top=2), log_joint)
    known = ~np.isnan(made.values)
    assert made.results["means"] == pytest.approx(made.weights @ made.states, abs=1e-9)
    assert (made.results["filled"][known] == made.values[known]).all()
    assert ((made.results["prediction"] > 0) & (made.results["prediction"] < 1)).all()
    assert set(np.unique(made.results["data"])) == {0, 1}
    assert made.results["data"].mean() == pytest.approx(np.nanmean(made.values), abs=0.1)

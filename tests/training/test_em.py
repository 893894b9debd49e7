"""The EM loop against brute force, and what it guarantees."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from prosper_ng.estep.preselection import Preselection
from prosper_ng.estep.search import Search
from prosper_ng.models.bsc import BSC
from prosper_ng.models.interface import MStep
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.parallel.team import on_team
from prosper_ng.training.annealing import Annealing
from prosper_ng.training.em import TruncatedEM, start
from prosper_ng.training.settings import Training
from prosper_ng.training.visits import posteriors
from tests.helpers.em_problems import (
    ESTEPS,
    all_states,
    assert_statistics,
    dense_statistics,
    log_likelihood,
    log_prior,
    make,
    total_of,
    train,
)

CASES = settings(deadline=None, max_examples=25)


@pytest.mark.parametrize("block_rows", [1, 7, 100])
@pytest.mark.parametrize(("temperature", "anneal_prior"), [(1.0, False), (2.5, True), (2.5, False), (0.5, True)])
def test_one_sweep_is_what_brute_force_makes_of_it(block_rows, temperature, anneal_prior):
    problem, params = make(block_rows=block_rows)
    annealing = Annealing(temperature=temperature, anneal_prior=anneal_prior)
    state, (report,) = train(problem, params, 1, annealing=annealing)
    states = all_states(4)
    prior, likelihood = log_prior(params, states), log_likelihood(params, problem.values, states)
    tempered = (prior + likelihood) / temperature if anneal_prior else prior + likelihood / temperature
    weights = np.exp(tempered - logsumexp(tempered, axis=1, keepdims=True))
    expected = dense_statistics(problem.values, states, weights)
    assert_statistics(total_of(state), expected | {"free_energy": logsumexp(prior + likelihood, axis=1).sum()})
    new = problem.model.maximize(params, total_of(state), MStep(frozenset(params)))
    assert (state.params.buffer == new.buffer).all()
    # The free energy that is reported is that of these weights at the new parameters and temperature 1.
    joint = log_prior(new, states) + log_likelihood(new, problem.values, states)
    assert report.free_energy == pytest.approx(((weights * joint).sum() + expected["entropy"]) / 60, rel=1e-10)
    assert report.point.temperature == temperature
    assert (report.sweep, report.n_rows_used, report.interrupted, report.notes) == (1, 60, False, ())


@pytest.mark.parametrize("n_parts", [1, 3])
@pytest.mark.parametrize("pruning", [0.3, 1.0])
def test_data_pruning_keeps_the_rows_that_few_latents_explain_best(n_parts, pruning):
    problem, params = make(estep=Preselection(n_candidates=4, max_active=2), n_parts=n_parts, block_rows=5)
    params["pi"] = [0.3, 0.5, 0.2, 0.6]
    state, (report,) = train(problem, params, 1, annealing=Annealing(data_pruning=pruning), learn=())
    assert (state.params.buffer == params.buffer).all()
    states = all_states(4)
    few = states[states.sum(axis=1) <= 2]
    mass = np.exp(log_prior(params, few)).sum()
    joint = log_prior(params, few) + log_likelihood(params, problem.values, few)
    free_energies = logsumexp(joint, axis=1)
    weights, n_kept = np.exp(joint - free_energies[:, None]), 0
    for part in range(n_parts):
        rows = np.array([row for rows in problem.blocks.pieces(part, range(12)) for row in rows])
        n_best = int(len(rows) * (1 - (1 - mass) * pruning))
        worst_first = rows[np.argsort(free_energies[rows])]
        weights[worst_first[: len(rows) - n_best]] = 0.0
        n_kept += n_best
    assert 0 < n_kept < 60
    assert report.n_rows_used == n_kept
    expected = dense_statistics(problem.values, few, weights)
    assert_statistics(total_of(state), expected | {"free_energy": free_energies[weights.any(axis=1)].sum()})


def test_large_blocks_are_worked_on_in_pieces_that_one_summand_takes():
    smaller, params = make(n_rows=5000, block_rows=1000)
    expected = total_of(train(smaller, params, 1)[0])
    larger, params = make(n_rows=5000, block_rows=2500)
    pieces = [len(task.batch.rows) for task, _ in posteriors(larger, start(larger, params.copy()))]
    assert pieces == [1024, 1024, 452] * 2
    assert_statistics(total_of(train(larger, params, 1)[0]), expected)
    whole = train(larger, params, 2)[0].params.buffer

    def on_a_rank(comm):
        own = larger.values[slice(*larger.blocks.starts(2)[comm.rank : comm.rank + 2])]
        return train(larger._replace(values=own, comm=comm), params, 2)[0].params.buffer

    assert all((found == whole).all() for found in on_team(2, on_a_rank))


def test_a_sweep_learns_from_its_share_of_the_rows():
    problem, params = make(n_rows=300, block_rows=7)
    annealing = Annealing(row_fraction=((0, 0.3), (1, 0.3), (2, 1.0)))
    training = Training(n_sweeps=3, annealing=annealing)
    state, visits = start(problem, params.copy()), []
    before = state.params
    for sweep, report in enumerate(TruncatedEM(problem, training).sweeps(state)):
        # The state as it was at the beginning of the sweep tells which rows it visited.
        then = start(problem, before.copy())
        then.sweep = sweep
        rows = [task.batch.rows for task, *_ in posteriors(problem, then, 0, annealing.at(sweep, 3))]
        visits.append(set(np.concatenate(rows).tolist()))
        assert report.n_rows_used == len(visits[-1])
        states, values = all_states(4), problem.values[sorted(visits[-1])]
        joint = log_prior(before, states) + log_likelihood(before, values, states)
        weights = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        assert_statistics(total_of(state), dense_statistics(values, states, weights))
        before = state.params
    assert [60 < len(rows) < 120 for rows in visits] == [True, True, False]
    assert len(visits[2]) == 300
    assert 0 < len(visits[0] & visits[1]) < 60


def test_noise_on_the_data_is_drawn_anew_in_each_sweep_and_leaves_the_data_alone():
    problem, params = make(n_rows=300, block_rows=7, estep=Search(n_states=5))
    kept = problem.values.copy()
    state, _ = train(problem, params, 2, annealing=Annealing(data_noise=2.0))
    again, _ = train(problem, params, 2, annealing=Annealing(data_noise=2.0))
    assert (state.params.buffer == again.params.buffer).all()
    assert (problem.values == kept).all()
    seen = []
    for sweep in range(2):
        state.sweep = sweep
        point = Annealing(data_noise=2.0).at(sweep, 2)
        noisy_rows = [task.batch.values for task, *_ in posteriors(problem, state, 0, point, vary=False)]
        seen.append(np.concatenate(noisy_rows) - kept)
    for noise in seen:
        assert noise.std() == pytest.approx(2.0, rel=0.05)
        assert np.abs(np.corrcoef(noise, rowvar=False) - np.eye(6)).max() < 0.3
    assert abs(np.corrcoef(seen[0].ravel(), seen[1].ravel())[0, 1]) < 0.1
    assert total_of(state)["y_y"] == pytest.approx(((kept + seen[1]) ** 2).sum(), rel=1e-12)


def test_preselection_corrects_the_activities_it_learns():
    problem, params = make(estep=Preselection(n_candidates=4, max_active=2))
    corrected, (report,) = train(problem, params, 1)
    estep = Preselection(n_candidates=4, max_active=2, corrects_prior=False)
    plain, (other,) = train(problem._replace(estep=estep), params, 1)
    states = all_states(4)
    probability = np.exp(log_prior(params, states))
    few = states.sum(axis=1) <= 2
    mass, expected = probability[few].sum(), (probability * states.sum(axis=1))[few].sum()
    factor = params["pi"].sum() * mass / expected
    assert corrected.params["pi"] == pytest.approx(plain.params["pi"] * factor, rel=1e-10)
    assert (corrected.params["W"] == plain.params["W"]).all()
    assert report.entropy_gap is None
    assert abs(other.entropy_gap) < 1e-10


def test_more_sweeps_after_a_pause_are_those_of_one_go():
    problem, params = make(estep=Search(n_states=5), n_parts=3)
    whole, reports = train(problem, params, 6)
    state, training = start(problem, params.copy()), Training(n_sweeps=6, updates_per_sweep=3)
    next(TruncatedEM(problem, training).sweeps(state))
    later = list(TruncatedEM(problem, training).sweeps(state))
    assert [report.sweep for report in later] == [2, 3, 4, 5, 6]
    assert [report.free_energy for report in later] == [report.free_energy for report in reports[1:]]
    assert (state.params.buffer == whole.params.buffer).all()
    assert (state.rows["codes"] == whole.rows["codes"]).all()


def test_a_request_to_stop_shows_in_the_report_of_its_sweep():
    problem, params = make()
    asked = []
    em = TruncatedEM(problem, Training(n_sweeps=4), lambda: bool(asked))
    seen = []
    for report in em.sweeps(start(problem, params)):
        seen.append(report.interrupted)
        if report.sweep == 2:
            asked.append("stop")
    assert seen == [False, False, True, True]


@pytest.mark.parametrize("name", ESTEPS)
def test_the_size_of_the_blocks_changes_nothing_but_rounding(name):
    results = []
    for block_rows in (1, 7, 1000):
        problem, params = make(estep=ESTEPS[name], block_rows=block_rows)
        state, reports = train(problem, params, 4)
        results.append(np.append(state.params.buffer, [report.free_energy for report in reports]))
        assert [report.n_evaluated for report in reports] == [reports[0].n_evaluated] * 4
    assert results[1] == pytest.approx(results[0], rel=1e-8)
    assert results[2] == pytest.approx(results[0], rel=1e-8)


def test_learning_in_parts_visits_every_row_once_a_sweep():
    problem, params = make(n_rows=50, block_rows=3, n_parts=7)
    state, reports = train(problem, params, 3)
    kept = state.totals.arrays()
    n_rows = [NamedArrays(state.totals.shapes, part)["n"] for part in kept["parts"]]
    pieces = [problem.blocks.pieces(part, range(problem.blocks.n_blocks)) for part in range(7)]
    assert n_rows == [sum(map(len, rows)) for rows in pieces]
    assert sum(n_rows) == 50
    total = NamedArrays(state.totals.shapes, kept["high"])
    assert_statistics(total, dict(total_of(state)))
    assert [report.n_rows_used for report in reports] == [50] * 3


@CASES
@given(
    name=st.sampled_from(list(ESTEPS)),
    n_parts=st.sampled_from([1, 3, 7]),
    block_rows=st.integers(1, 9),
    n_rows=st.integers(30, 80),
    n_latents=st.integers(1, 5),
    n_observed=st.integers(4, 7),
    shared_pi=st.booleans(),
    data_mean=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_the_free_energy_of_all_rows_never_falls(
    name, n_parts, block_rows, n_rows, n_latents, n_observed, shared_pi, data_mean, seed
):
    if RowBlocks(n_rows, block_rows, n_parts).n_blocks < n_parts:
        return
    model = BSC(n_latents=n_latents, shared_pi=shared_pi, data_mean=data_mean)
    problem, params = make(model, ESTEPS[name], n_rows, n_observed, block_rows, n_parts, seed)
    state, reports = train(problem, params, 6)
    energies = [report.free_energy for report in reports]
    # In the first sweep of many parts the rows behind the free energy grow from update to update; then they are all.
    assert all(new >= old - 1e-10 * abs(old) for old, new in pairwise(energies))
    # An E-step at the last parameters can only be better than the posteriors that led to them.
    joint = np.concatenate([each.found.log_joint for _, each in posteriors(problem, state, vary=False)])
    assert logsumexp(joint, axis=1).mean() >= energies[-1] - 1e-10 * abs(energies[-1])


@pytest.mark.parametrize("n_parts", [1, 3, 7])
@pytest.mark.parametrize("name", ESTEPS)
def test_entropies_tell_the_free_energy_after_every_m_step(name, n_parts):
    problem, params = make(estep=ESTEPS[name], n_parts=n_parts)
    _, reports = train(problem, params, 8)
    assert max(abs(report.entropy_gap) for report in reports) < 1e-10


def test_entropies_tell_nothing_where_something_is_not_learned():
    problem, params = make()
    _, reports = train(problem, params, 2, learn=("W", "pi"))
    assert [report.entropy_gap for report in reports] == [None, None]


@pytest.mark.parametrize("n_parts", [1, 3])
@pytest.mark.parametrize("learn", [("W",), ("sigma",), ("pi", "sigma"), ("mu", "pi"), ()])
def test_what_is_not_learned_keeps_its_bits(learn, n_parts):
    noise = dict.fromkeys(("W", "sigma", "pi", "mu"), 0.1)
    for annealing in (Annealing(), Annealing(temperature=2.0, parameter_noise=noise)):
        problem, params = make(BSC(n_latents=4, data_mean=True), n_parts=n_parts)
        state, _ = train(problem, params, 3, learn=learn, annealing=annealing)
        for name in params:
            assert (state.params[name] == params[name]).all() == (name not in learn)


@pytest.mark.parametrize("n_parts", [1, 3])
def test_what_is_held_keeps_its_bits_until_its_sweep(n_parts):
    problem, params = make(n_parts=n_parts)
    noise = Annealing(parameter_noise={"sigma": 0.1})
    for annealing in (Annealing(), noise):
        held, _ = train(problem, params, 3, hold={"sigma": 3, "pi": 1}, annealing=annealing)
        assert (held.params["sigma"] == params["sigma"]).all()
        assert all((held.params[name] != params[name]).all() for name in ("W", "pi"))
    state, reports = train(problem, params, 5, hold={"sigma": 3, "pi": 1})
    assert state.params["sigma"] != params["sigma"]
    assert [report.settled for report in reports] == [False, False, False, True, True]
    assert [report.entropy_gap is None for report in reports] == [True, True, True, False, False]
    assert np.diff([report.free_energy for report in reports]).min() > -1e-9


def noisy(seed=0, n_parts=1, **noise):
    problem, params = make(n_observed=12, n_parts=n_parts, seed=seed)
    state, _ = train(problem, params, 1, annealing=Annealing(parameter_noise=noise))
    return state.params


@pytest.mark.parametrize("n_parts", [1, 3])
def test_noise_is_a_function_of_the_seed(n_parts):
    first, again, other = (noisy(seed, n_parts, W=0.5, pi=0.1) for seed in (0, 0, 1))
    assert (first.buffer == again.buffer).all()
    assert (first["W"] != other["W"]).all()


def test_noise_has_its_standard_deviation_and_differs_by_parameter_update_and_sweep():
    plain = noisy()
    drawn = [(noisy(W=scale)["W"] - plain["W"]) / scale for scale in (0.5, 2.0)]
    assert drawn[0] == pytest.approx(drawn[1], abs=1e-9)
    assert 0.7 < drawn[0].std() < 1.3
    assert abs(drawn[0].mean()) < 0.5
    assert (noisy(W=0.5)["pi"] == plain["pi"]).all()
    drawn_pi = (noisy(pi=1e-3)["pi"] - plain["pi"]) / 1e-3
    assert not np.isclose(drawn_pi, drawn[0].ravel()[:4]).any()
    problem, params = make()
    schedule = Annealing(parameter_noise={"W": 1e5})
    with_noise, _ = train(problem, params, 2, annealing=schedule, learn=("W",))
    once, _ = train(problem, params, 1, annealing=schedule, learn=("W",))
    assert not np.isclose(with_noise.params["W"], once.params["W"], rtol=0.1).all()


def test_noise_is_reflected_at_the_bounds_of_the_legal_interval():
    problem, params = make(n_parts=3)
    noise = {"pi": 30.0, "sigma": 30.0, "W": 0.1}
    state = start(problem, params)
    training = Training(n_sweeps=6, updates_per_sweep=3, annealing=Annealing(parameter_noise=noise))
    specs = problem.model.parameters(6)
    met = []
    for _ in TruncatedEM(problem, training).sweeps(state):
        for name, spec in specs.items():
            assert spec.constraint.first_illegal(state.params[name]) is None
        met += state.params["pi"].tolist()
    assert len(set(met)) == len(met)
    assert min(met) < 0.25
    assert max(met) > 0.75

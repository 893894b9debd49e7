"""Models that the EM loop knows less of than of the six, or that learn in other ways."""

import re

import numpy as np
import pytest

from prosper_ng.errors import NumericalError
from prosper_ng.estep.search import Search
from prosper_ng.models.bsc import BSC
from prosper_ng.models.sbn import SBN
from prosper_ng.numerics.linear import diagonal_of_packed
from prosper_ng.training.annealing import Annealing
from prosper_ng.training.em import TruncatedEM, start
from prosper_ng.training.settings import Training
from tests.helpers.em_problems import make, train
from tests.helpers.sigmoid_nets.problems import BLOCK_ROWS, binary_rows, exact, gradients, net_problem
from tests.helpers.sigmoid_nets.sbn_adam import SBNAdam


class AdamByHand:
    """Adam, one parameter, as its paper has it."""

    def __init__(self, rate):
        self.rate, self.t, self.m, self.v = rate, 0, 0.0, 0.0

    def step(self, value, gradient):
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.999 * self.v + 0.001 * gradient**2
        return value + self.rate * (self.m / (1 - 0.9**self.t)) / (np.sqrt(self.v / (1 - 0.999**self.t)) + 1e-8)


def parts_of(values, n_parts):
    """The rows of each part: block b belongs to part b mod `n_parts`."""
    return [values[np.arange(len(values)) // BLOCK_ROWS % n_parts == part] for part in range(n_parts)]


@pytest.mark.parametrize("learns_from", ["part", "total"])
@pytest.mark.parametrize(("n_parts", "missing"), [(1, 0.0), (3, 0.0), (3, 0.2)])
def test_gradients_are_those_of_the_part_visited_last_and_their_moments_are_carried(learns_from, n_parts, missing):
    values = binary_rows(missing=missing)
    problem, params = net_problem(SBNAdam(n_latents=2, learns_from=learns_from), values, n_parts)
    state, _ = train(problem, params, 4)
    expected, steps = params.copy(), {name: AdamByHand(0.05) for name in ("W", "b")}
    active = [None] * n_parts
    for _ in range(4):
        for part, rows in enumerate(parts_of(values, n_parts)):
            dW, db, active[part] = gradients(expected, rows)
            known = [each for each in active if each is not None] if learns_from == "total" else [active[part]]
            expected["W"], expected["b"] = (
                steps["W"].step(expected["W"].copy(), dW),
                steps["b"].step(expected["b"].copy(), db),
            )
            expected["pi"] = np.mean(known, axis=0)
    assert state.params.buffer == pytest.approx(expected.buffer, rel=1e-8, abs=1e-9)
    assert state.memory["n_steps"] == 4 * n_parts
    assert state.memory["mean_W"] == pytest.approx(steps["W"].m, rel=1e-8, abs=1e-11)
    assert state.memory["square_b"] == pytest.approx(steps["b"].v, rel=1e-8, abs=1e-13)


@pytest.mark.parametrize("learns_from", ["part", "total"])
@pytest.mark.parametrize("n_parts", [1, 3])
def test_the_free_energy_of_a_model_that_does_not_know_it_is_that_of_its_e_steps(learns_from, n_parts):
    values = binary_rows(missing=0.1)
    problem, params = net_problem(SBNAdam(n_latents=2, learns_from=learns_from), values, n_parts)
    state, before = start(problem, params.copy()), []
    em = TruncatedEM(problem, Training(n_sweeps=3, updates_per_sweep=n_parts))
    original = problem.model.maximize
    seen = []

    def maximize(params, sums, step):
        seen.append((params.copy(), float(sums["n"]), None if step.own is None else float(step.own["n"])))
        return original(params, sums, step)

    object.__setattr__(problem.model, "maximize", maximize)
    for report in em.sweeps(state):
        assert report.entropy_gap is None
        visits = zip(seen[-n_parts:], parts_of(values, n_parts), strict=True)
        energies = np.concatenate([exact(at, rows)[0] for (at, *_), rows in visits])
        assert report.free_energy == pytest.approx(energies.mean(), rel=1e-11)
        assert report.n_rows_used == len(values)
        before.append(report.free_energy)
    assert before == sorted(before)
    sizes = {len(rows) for rows in parts_of(values, n_parts)}
    if learns_from == "part":
        assert {(n, own) for _, n, own in seen} == {(size, None) for size in sizes}
        assert state.totals.shapes == {"n": (), "free_energy": ()}
    else:
        assert {own for *_, own in seen} == sizes
        assert seen[-1][1] == len(values)


def test_falls_of_a_model_without_guarantee_are_noted_and_end_nothing():
    values = binary_rows()
    for learns_from, words in (("part", "learns from one part of the data at a time"), ("total", "is approximate")):
        problem, params = net_problem(SBNAdam(n_latents=2, learns_from=learns_from, rate=2.0), values, 3)
        _, reports = train(problem, params, 20)
        notes = [note for report in reports for note in report.notes]
        assert len(notes) > 2
        assert all(re.fullmatch(rf"the free energy fell by .* the M-step of sbn_adam {words}", note) for note in notes)


def test_what_is_remembered_must_be_finite():
    class Overflows(SBNAdam):
        def maximize(self, params, sums, step):
            new = super().maximize(params, sums, step)
            if step.memory["n_steps"] == 5:
                step.memory["square_b"][2] = np.inf
            return new

    problem, params = net_problem(Overflows(n_latents=2), binary_rows(), 3)
    with pytest.raises(NumericalError) as caught:
        train(problem, params, 5)
    assert str(caught.value) == "sweep 2, update 2: remembered array square_b of model sbn_adam is not finite any more"


def test_a_part_alone_is_better_for_gradients_than_a_total_of_old_ones():
    """With eight updates a sweep, seven eighths of a total are gradients of earlier parameters."""

    class Stale(SBNAdam):
        def maximize(self, params, sums, step):
            return super().maximize(params, sums, type(step)(step.learn, memory=step.memory))

    values = binary_rows(n_rows=160, n_observed=8)
    finals = {}
    for name, model in {"own": SBNAdam(n_latents=2), "stale": Stale(n_latents=2, learns_from="total")}.items():
        problem, params = net_problem(model, values, 8)
        state, _ = train(problem, params, 12)
        finals[name] = exact(state.params, values)[0].mean()
    assert finals["own"] > finals["stale"]


@pytest.mark.heavy
@pytest.mark.parametrize("n_parts", [1, 3])
def test_an_identity_at_convergence_tells_how_far_learning_has_to_go(n_parts):
    values = binary_rows(missing=0.05)
    problem, params = net_problem(SBN(n_latents=2), values, n_parts)
    state, reports = train(problem, params, 600)
    gaps = np.abs([report.entropy_gap for report in reports])
    assert gaps[0] > 0.1
    assert gaps[-1] < 0.01 * gaps[0]
    assert not any(report.notes for report in reports)
    # The statistics tell a lower bound of F, which touches it where parameters do not move any more.
    evidence = exact(state.params, values)[0].mean()
    early, _ = train(problem, params, 3)
    assert reports[2].free_energy < exact(early.params, values)[0].mean()
    assert evidence - 1e-3 < reports[-1].free_energy <= evidence + 1e-9


@pytest.mark.parametrize("estep", [None, Search(n_states=2)])
def test_a_bound_that_a_broken_m_step_lowers_is_an_error(estep):
    class TooFar(SBN):
        """Goes 2.2 times as far as the maximum of the bound, which lowers it; up to 2 it would not."""

        def maximize(self, params, sums, step):
            new = super().maximize(params, sums, step)
            for name in ("W", "b"):
                new[name] = params[name] + 2.2 * (new[name] - params[name])
            return new

    problem, params = net_problem(TooFar(n_latents=2, relaxation=1.0), binary_rows(), 2, estep)
    with pytest.raises(NumericalError, match=r"^sweep \d+, update \d, M-step: the free energy fell by .* model sbn;"):
        train(problem, params, 50)


class PartBSC(BSC):
    """Takes each part for all there is."""

    learns_from = "part"


class WrongPartBSC(PartBSC):
    """Its M-step forgets that states overlap."""

    def maximize(self, params, sums, step):
        new = super().maximize(params, sums, step)
        new["W"] = sums["y_s"] / np.maximum(diagonal_of_packed(sums["s_s"]), 1e-9)
        return new


def test_m_steps_from_one_part_are_checked_against_that_part():
    """On the rows of all parts F may fall, which is no error; on its own part it may not."""
    problem, params = make(PartBSC(n_latents=4), n_parts=5)
    _, reports = train(problem, params, 40)
    notes = [note for report in reports for note in report.notes]
    assert notes
    assert all(note.endswith("the M-step of bsc learns from one part of the data at a time") for note in notes)
    assert max(abs(report.entropy_gap) for report in reports) < 1e-10
    problem, params = make(WrongPartBSC(n_latents=4), n_parts=5)
    with pytest.raises(NumericalError, match=r"^sweep \d+, update \d, M-step: the free energy fell by"):
        train(problem, params, 40)


def test_with_one_part_learning_from_it_is_learning_from_all():
    annealing = Annealing(temperature=((0, 3.0), (4, 1.0)), row_fraction=((0, 0.5), (4, 1.0)))
    (problem, params), (other, _) = make(PartBSC(n_latents=4)), make(BSC(n_latents=4))
    (state, reports), (same, others) = (train(each, params, 8, annealing=annealing) for each in (problem, other))
    assert state.params.buffer.tobytes() == same.params.buffer.tobytes()
    assert [report.entropy_gap for report in reports] == [report.entropy_gap for report in others]
    # The free energy of E-steps is that of statistics before the M-step.
    assert all(mine.free_energy <= theirs.free_energy for mine, theirs in zip(reports[5:], others[5:], strict=True))

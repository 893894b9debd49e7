"""What the EM loop says when a guarantee is broken, and that it says nothing where none is."""

import re
from itertools import pairwise

import numpy as np
import pytest

from prosper_ng.errors import NumericalError
from prosper_ng.estep.preselection import Preselection
from prosper_ng.estep.search import Search
from prosper_ng.models.bsc import BSC
from prosper_ng.models.interface import Moments
from prosper_ng.numerics.linear import diagonal_of_packed
from prosper_ng.numerics.random_streams import stream
from prosper_ng.training.annealing import Annealing
from prosper_ng.training.em import TruncatedEM, start
from prosper_ng.training.settings import Training
from tests.helpers.em_problems import ESTEPS, all_states, make, train


class WrongSigma(BSC):
    """Its M-step gives too large a standard deviation."""

    def maximize(self, params, sums, step):
        new = super().maximize(params, sums, step)
        new["sigma"] *= 1.05
        return new


class RestlessSigma(BSC):
    """Its M-step gives a standard deviation that is off by a random tenth."""

    def maximize(self, params, sums, step):
        new = super().maximize(params, sums, step)
        new["sigma"] *= np.exp(0.1 * step.rng.standard_normal())
        return new


class Approximate(RestlessSigma):
    """Says so."""

    is_monotone = False


class WrongFields(BSC):
    """Its M-step forgets that states overlap."""

    def maximize(self, params, sums, step):
        new = super().maximize(params, sums, step)
        new["W"] = sums["y_s"] / np.maximum(diagonal_of_packed(sums["s_s"]), 1e-9)
        return new


class Forgetful(Search):
    """From the third sweep on it loses the best state of each row."""

    def find(self, task, rows=None, vary=True):
        if task.stream.sweep >= 2 and rows is not None:
            codes = rows["codes"]
            best = np.argmax(task.log_joint(codes), axis=1)
            ours = set(map(bytes, all_states(task.model.n_latents).astype(np.uint8)))
            for row, code in enumerate(codes):
                held = {bytes(each) for each in task.model.space.decode(code).astype(np.uint8)}
                codes[row, best[row]] = task.model.space.encode(np.frombuffer(min(ours - held), np.uint8))
            return super().find(task, rows, vary=False)
        return super().find(task, rows, vary)


class Breaking(BSC):
    """Writes NaN where it is told to, in the third sweep of three updates."""

    n_calls = 0

    def break_at(self, call, name):
        object.__setattr__(self, "call", call)
        object.__setattr__(self, "broken", name)
        return self

    def maximize(self, params, sums, step):
        object.__setattr__(self, "n_calls", self.n_calls + 1)
        new = super().maximize(params, sums, step)
        if self.n_calls == self.call and self.broken in new:
            new[self.broken].reshape(-1)[-1] = np.inf
        return new

    def accumulate(self, prepared, projected, batch, codes, weights, sums):
        super().accumulate(prepared, projected, batch, codes, weights, sums)
        if self.n_calls == self.call - 1 and self.broken in sums:
            sums[self.broken].reshape(-1)[-1] = np.nan


@pytest.mark.parametrize("model", [RestlessSigma(n_latents=4), WrongFields(n_latents=4)])
@pytest.mark.parametrize("n_parts", [1, 3])
def test_an_m_step_that_lowers_the_free_energy_is_an_error_that_says_where(model, n_parts):
    problem, params = make(model, n_parts=n_parts)
    with pytest.raises(NumericalError) as caught:
        train(problem, params, 50)
    found = re.match(r"sweep (\d+), update (\d+), M-step: the free energy fell by [\d.e-]+ from", str(caught.value))
    assert found, caught.value
    assert int(found[1]) <= 50
    assert int(found[2]) <= n_parts
    assert "model bsc" in str(caught.value)


def test_falls_under_an_approximate_m_step_are_counted_and_noted():
    problem, params = make(Approximate(n_latents=4))
    _, reports = train(problem, params, 30)
    notes = [note for report in reports for note in report.notes]
    assert len(notes) > 3
    for number, note in enumerate(notes, 1):
        ordinal = {1: "1st", 2: "2nd", 3: "3rd"}.get(number, f"{number}th")
        assert re.fullmatch(
            rf"the free energy fell by [\d.e-]+ per row, for the {ordinal} time: the M-step of bsc is approximate", note
        )
    energies = [report.free_energy for report in reports]
    assert [bool(report.notes) for report in reports[1:]] == [new < old for old, new in pairwise(energies)]
    tempered, _ = make(Approximate(n_latents=4))
    _, reports = train(tempered, params, 10, annealing=Annealing(temperature=2.0))
    assert not any(report.notes for report in reports)


def test_an_m_step_that_is_always_wrong_alike_shows_in_the_entropies():
    """It climbs to a place of its own and stays there, so that nothing ever falls."""
    problem, params = make(WrongSigma(n_latents=4))
    _, reports = train(problem, params, 20)
    # F holds -D / (2 c^2) for a sigma too large by a factor c, where the entropies take it to be -D / 2.
    expected = 6 * (1 - 1.05**-2) / 2
    assert [report.entropy_gap for report in reports] == pytest.approx([expected] * 20, rel=1e-6)


@pytest.mark.parametrize("n_parts", [1, 3])
def test_an_e_step_that_loses_good_states_is_an_error_that_says_where(n_parts):
    problem, params = make(estep=Forgetful(n_states=5), n_parts=n_parts)
    state = start(problem, params)
    em = TruncatedEM(problem, Training(n_sweeps=9, updates_per_sweep=n_parts))
    with pytest.raises(NumericalError, match=r"^sweep 3, update 1, E-step: the free energy fell by"):
        list(em.sweeps(state))
    assert state.sweep == 2


@pytest.mark.parametrize("name", ["n", "y_s", "s_s", "counts", "entropy", "free_energy"])
def test_a_statistic_that_is_not_finite_is_named(name):
    problem, params = make(Breaking(n_latents=4).break_at(8, name), n_parts=3)
    with pytest.raises(NumericalError) as caught:
        train(problem, params, 9)
    assert str(caught.value) == f"sweep 3, update 2: statistic {name} of model bsc is not finite any more"


@pytest.mark.parametrize("name", ["W", "sigma", "pi"])
def test_a_parameter_that_is_not_finite_is_named(name):
    problem, params = make(Breaking(n_latents=4).break_at(8, name), n_parts=3)
    with pytest.raises(NumericalError) as caught:
        train(problem, params, 9)
    assert str(caught.value) == f"sweep 3, update 2: parameter {name} of model bsc is not finite any more"


def test_rows_that_cannot_be_ranked_are_an_error_that_says_where():
    class NoJoint(BSC):
        def project(self, prepared, batch):
            projected = super().project(prepared, batch)
            return projected._replace(zero=projected.zero * np.nan)

    problem, params = make(NoJoint(n_latents=4), Preselection(n_candidates=4, max_active=2))
    with pytest.raises(NumericalError) as caught:
        train(problem, params, annealing=Annealing(data_pruning=0.5))
    where = "sweep 1, update 1, data pruning by the free energies of model bsc"
    assert str(caught.value) == f"{where}: cannot rank 60 numbers: 60 of them are NaN"


@pytest.mark.parametrize("pruning", [0.0, 1.0])
@pytest.mark.parametrize("n_parts", [1, 3])
def test_every_update_learns_from_a_row_however_small_the_share(n_parts, pruning):
    problem, params = make(estep=Preselection(n_candidates=4, max_active=2), n_rows=9, block_rows=2, n_parts=n_parts)
    _, reports = train(problem, params, 60, annealing=Annealing(row_fraction=1e-9, data_pruning=pruning))
    assert {report.n_rows_used for report in reports[1:]} == {n_parts}


@pytest.mark.parametrize("name", ESTEPS)
@pytest.mark.parametrize("n_parts", [1, 2])
def test_a_few_rows_are_explained_to_the_last_bit(name, n_parts):
    """Fewer rows than latents: sigma may run down to rounding, which no check may take for a fall."""
    problem, params = make(estep=ESTEPS[name], n_rows=3, block_rows=1, n_parts=n_parts)
    params["W"][:, :3] = 0.9 * problem.values.T
    state, reports = train(problem, params, 60)
    assert np.isfinite(state.params.buffer).all()
    assert name == "search" or state.params["sigma"] < 1e-6
    assert reports[-1].free_energy > reports[0].free_energy


@pytest.mark.parametrize("level", [0.0, 7.5])
def test_rows_that_are_all_alike(level):
    problem, params = make()
    problem = problem._replace(values=np.full_like(problem.values, level))
    moments = Moments(60, problem.values.mean(axis=0), problem.values.var(axis=0))
    params = problem.model.initial(moments, stream(0, "initial parameters").generator())
    state, _ = train(problem, params, 20)
    assert np.isfinite(state.params.buffer).all()


def test_latents_that_no_state_uses_are_kept_or_drawn_anew_and_noted():
    problem, params = make(BSC(n_latents=4, unused="keep"))
    params["pi"] = [0.3, 0.3, 0.3, 1e-10]
    params["W"][:, 3] = 1e8
    state, reports = train(problem, params, 2)
    assert (state.params["W"][:, 3] == 1e8).all()
    assert reports[0].notes == ("1 latents that no state used keep their dictionary elements",)
    redrawn, _ = train(problem._replace(model=BSC(n_latents=4, unused="redraw")), params, 1)
    assert (np.abs(redrawn.params["W"][:, 3]) < 100).all()

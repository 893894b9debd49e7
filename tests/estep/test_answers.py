"""What E-steps and variations answer for themselves, and the sentence where one cannot serve a model."""

from dataclasses import replace

import numpy as np
import pytest

from prosper_ng.components import components_of, kind_of
from prosper_ng.data.memory_settings import Memory
from prosper_ng.data.sources.bars import Bars
from prosper_ng.errors import UserError
from prosper_ng.estep.auto import Auto
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.interface import Target
from prosper_ng.estep.kept_rows import row_bytes, row_state_of
from prosper_ng.estep.preselection import Preselection
from prosper_ng.estep.search import Search
from prosper_ng.estep.variations.evolution import Evolution
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.learning.memory import needs_of, sizes_of
from prosper_ng.models.bsc import BSC
from prosper_ng.models.interface import Batch
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.training.em import start
from tests.helpers.em_problems import make
from tests.helpers.walking import Walking

ALL = [Exhaustive(), Preselection(), Search(), Auto(), Walking()]
VARIATIONS = {kind: cls() for kind, cls in components_of("prosper_ng.estep.variations").items()}


class IndexSpace:
    """The states of one latent that is none of several values: no bit planes, and nothing is off."""

    n_latents, words = 1, 1

    def __init__(self, n_values):
        self.n_values = self.n_states = self.n_singletons = n_values

    def enumerate(self):
        return np.arange(self.n_states, dtype=np.uint64)[:, None]


class Clusters(BSC):
    """A model of such a latent, as far as E-steps look at it."""

    @property
    def space(self):
        return IndexSpace(self.n_latents)

    def log_joint(self, prepared, projected, codes):
        return -0.5 * (codes[..., 0] - 3.0) ** 2


class Continuous:
    """A model without discrete latents."""

    kind = "laplace"
    n_latents = 5


@pytest.mark.parametrize("estep", ALL, ids=kind_of)
def test_a_model_without_discrete_latents_is_refused_with_what_it_lacks(estep):
    with pytest.raises(UserError) as caught:
        estep.resolved(Continuous()).estep.check(Continuous())
    assert str(caught.value) == (
        f"estep {kind_of(estep)} cannot serve model laplace, which lacks support, parameters, statistics, initial, "
        "prepare, project, maximize, space, activity, log_joint, log_prior, accumulate (DiscreteLatents); no E-step of "
        "this version serves it"
    )


def test_esteps_that_would_do_are_named(monkeypatch):
    class Free(Walking):
        needs = object

    monkeypatch.setitem(components_of("prosper_ng.estep"), "gaussian", Free)
    Free().check(Continuous())
    with pytest.raises(UserError, match=r"; choose gaussian$"):
        Search().check(Continuous())


@pytest.mark.parametrize("estep", [Search(), Preselection()], ids=kind_of)
def test_esteps_over_bit_planes_refuse_other_spaces(estep):
    with pytest.raises(UserError) as caught:
        estep.check(Clusters(n_latents=7))
    assert str(caught.value) == (
        f"estep {kind_of(estep)} cannot work on the states of model bsc, which are those of IndexSpace; choose another "
        "E-step"
    )


@pytest.mark.parametrize("variation", list(VARIATIONS.values()), ids=list(VARIATIONS))
def test_variations_over_bit_planes_refuse_other_spaces(variation, monkeypatch):
    monkeypatch.setattr(Search, "serves", lambda self, space: True)
    assert variation.serves(BSC(n_latents=7).space)
    with pytest.raises(
        UserError, match=rf"^estep\.variations: {kind_of(variation)} cannot work on the states of model bsc"
    ):
        Search(variations=(variation,)).check(Clusters(n_latents=7))


def test_an_estep_that_only_lists_all_states_serves_any_space():
    model = Clusters(n_latents=7)
    assert Auto().resolved(model).estep == Exhaustive()
    Exhaustive().check(model)
    batch = Batch(np.arange(4), np.zeros((4, 2)))
    found = Exhaustive().find(Target(model, None, None, batch, np.empty(0), stream(0, "test")))
    assert (found.codes[:, :, 0] == np.arange(7)).all()
    assert (found.log_joint.argmax(axis=1) == 3).all()
    assert Exhaustive().n_listed(model.space) == 7


class Wrong(Walking):
    """Gives another type than it says."""

    def initial_rows(self, *arguments):
        rows = super().initial_rows(*arguments)
        return rows | {"index": rows["index"].astype(np.float64)}


class Unkept(Walking):
    """Wants to keep what no checkpoint could hold."""

    def row_state(self, model, n_observed):
        return {self.what[0]: ((), np.dtype(self.what[1]))}


def test_what_is_kept_is_what_was_announced():
    problem, params = make(estep=Wrong())
    with pytest.raises(UserError) as caught:
        start(problem, params)
    assert str(caught.value) == (
        "estep walking says that it keeps means (4, float64), index (one number, int32) for each row, and gives means "
        "(4, float64), index (one number, float64)"
    )


@pytest.mark.parametrize("what", [("a/b", "f8"), ("", "i4"), ("codes", "O"), ("codes", "U3"), ("x", ">f8")])
def test_what_no_checkpoint_could_hold_is_refused(what):
    estep = Unkept()
    object.__setattr__(estep, "what", what)
    with pytest.raises(UserError, match=rf"estep walking wants to keep '{what[0]}' of type .* for each row; legal are"):
        row_state_of(estep, BSC(n_latents=4), 6)


def test_the_plan_knows_what_rows_take_that_are_no_state_sets():
    config = RunConfig(name="test", data=Bars(n_bars=8), model=BSC(n_latents=9), estep=Walking())
    sizes = sizes_of(config.learning, 16)
    assert sizes.row_bytes == row_bytes(Walking().row_state(config.model, 16)) == 9 * 8 + 4
    assert sizes.working_bytes == 8 * (3 * 9 + 2 * 9) + 10 * (16 + 24)
    assert needs_of(sizes, Memory(), RowBlocks(1000, 100), 0, 1).states == 76_000
    assert needs_of(sizes, Memory(states_budget="1kB"), RowBlocks(1000, 100), 0, 1).states == 0
    assert Walking().ways_to_keep_less(config.model, 50.0) is None
    assert Search().ways_to_keep_less(config.model, 50.0) == "choose estep.n_states of 3 or less"
    assert Search().ways_to_keep_less(config.model, 15.0) is None


def test_what_a_search_takes_up_are_states_of_the_same_space():
    model, search = BSC(n_latents=70), Search(n_states=9)
    kept = search.row_state(model, 6)
    assert replace(search, n_states=5).can_take_up(kept, model, 6)
    assert not search.can_take_up(kept, BSC(n_latents=7), 6)
    assert not search.can_take_up(Walking().row_state(model, 6), model, 6)
    assert Walking().can_take_up(Walking().row_state(model, 6), model, 6)
    assert not Walking().can_take_up(Walking().row_state(BSC(n_latents=9), 6), model, 6)


def test_a_search_at_fixed_parameters_has_all_its_states_in_use():
    growing = Search(share=((0, 0.1), (9, 0.5)), variations=(Evolution(active=((3, False),)),))
    assert growing.turning_points == (0, 3, 9)
    assert growing.with_all_states() == replace(growing, share=1.0)
    assert Preselection().with_all_states() == Preselection()
    assert Walking().turning_points == ()

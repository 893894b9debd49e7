"""What every model promises of the states that E-steps choose, and of what it knows of preselected and near ones."""

from collections.abc import Callable, Iterator
from functools import wraps
from itertools import product
from typing import Any

import numpy as np

from prosper_ng.estep.auto import Auto
from prosper_ng.estep.clusters import Clusters
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.interface import EStep, Target
from prosper_ng.estep.listed import Listed
from prosper_ng.estep.preselection import Preselection
from prosper_ng.estep.search import Search
from prosper_ng.estep.variations.evolution import Evolution
from prosper_ng.estep.variations.neighborhood import NeighborSearch
from prosper_ng.estep.variations.preselection import PreselectedStates
from prosper_ng.latents.index_space import StateSpace
from prosper_ng.latents.neighbors import evaluated, neighborhoods
from prosper_ng.latents.posterior import Tempering
from prosper_ng.latents.space import LatentSpace
from prosper_ng.models.capabilities import Affinity, DrawsLatents, KnowsNeighbors, Preselects, offers
from prosper_ng.models.interface import Floats
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.testing.cases import Checks, ModelCase, Skipped, assert_close, assert_that
from prosper_ng.testing.estep_checks import (
    rows_for,
    sets_for,
    states_are_distinct_and_right,
    states_do_not_depend_on_company,
)
from prosper_ng.testing.problems import crowd, with_missing_entries

CHECKS = Checks()
ESTEPS: tuple[EStep, ...] = (
    Exhaustive(),
    Preselection(n_candidates=5, max_active=3),
    Preselection(n_candidates=5, max_active=3, selection="model"),
    Search(
        n_states=12,
        variations=(PreselectedStates(), NeighborSearch(active=((3, False), (5, True))), Evolution()),
        share=((2, 0.25), (9, 1.0)),
    ),
    Search(n_states=12, variations=(NeighborSearch(n_parents=20, n_candidates=5, n_steps=2),)),
    Clusters(n_states=3, n_near=3),
)
"""One of each way in which E-steps ask a model."""


def serving(space: StateSpace) -> Iterator[EStep]:
    """Those that can work on the states of this space."""
    return (estep for estep in ESTEPS if estep.serves(space))


def _storing(space: StateSpace, n_states: int) -> EStep:
    """The E-step that stores so many states of this space."""
    return Search(n_states=n_states) if isinstance(space, LatentSpace) else Clusters(n_states=n_states)


def _of_many_latents(check: Callable[[ModelCase], None]) -> Callable[[ModelCase], None]:
    """A check of states that differ in some latents from others."""

    @wraps(check)
    def checked(case: ModelCase) -> None:
        if not isinstance(case.make(1).space, LatentSpace):
            raise Skipped(f"the states of {case.kind} are values of a single latent")
        check(case)

    return checked


@CHECKS.add()
def esteps_find_distinct_states_with_their_log_joints(case: ModelCase) -> None:
    """Each way of asking a model."""
    for estep in serving(case.make(1).space):
        states_are_distinct_and_right(estep, case)


@CHECKS.add()
def a_row_finds_the_same_states_in_any_company(case: ModelCase) -> None:
    """Each way of asking a model."""
    for estep in serving(case.make(1).space):
        states_do_not_depend_on_company(estep, case)


@CHECKS.add()
def more_states_than_there_are_is_exhaustive(case: ModelCase) -> None:
    """A search that has room for all states finds all."""
    target, estep = crowd(case, n_latents=3), _storing(case.make(1).space, 1000)
    found, everything = estep.find(target, rows_for(estep, target)), Exhaustive().find(target, None)
    assert_that(found.codes.shape[1] == target.model.space.n_states, "a search with room for all states misses some")
    assert_close(np.sort(found.log_joint), np.sort(everything.log_joint), 1e-12, 1e-12, "log joints of (row, state)")


@CHECKS.add()
def left_open_few_states_are_all_weighed_and_many_are_searched(case: ModelCase) -> None:
    """What `auto` makes of the model."""
    if offers(case.make(3), DrawsLatents):
        raise Skipped(f"the real-valued latents of {case.kind} are drawn beside all states, however many")
    few, many = Auto().resolved(case.make(3)), Auto(n_states=7).resolved(case.make(300))
    kind = type(_storing(case.make(1).space, 1))
    assert_that(few.estep == Exhaustive(), f"three latents are not all weighed but {few.reason}")
    assert_that(isinstance(many.estep, kind), f"300 latents are not searched but {many.reason}")
    assert_that(case.kind in many.reason, f"no word of {case.kind} in: {many.reason}")


@CHECKS.add()
@_of_many_latents
def the_best_neighbors_are_proposed_and_no_other(case: ModelCase) -> None:
    """By neighborhood search, whether the model ranks neighbors itself or not."""
    target = crowd(case)
    space = target.model.space
    sets = sets_for(Search(n_states=7), target)
    sets.log_joint[...] = target.log_joint(sets.codes)
    proposed = NeighborSearch(n_parents=2, n_candidates=4).propose(target, sets)
    everything = space.enumerate()
    joints, values = target.log_joint(np.broadcast_to(everything, (30, *everything.shape))), space.decode(everything)
    for n in range(30):
        near = np.zeros(len(values), bool)
        for parent in space.decode(sets.codes[n, np.argsort(-sets.log_joint[n])[:2]]):
            changed, on, off = values != parent, (values != 0) & (parent == 0), (values == 0) & (parent != 0)
            swapped = (changed.sum(axis=1) == 2) & (on.sum(axis=1) == 1) & (off.sum(axis=1) == 1)
            near |= (changed.sum(axis=1) == 1) | swapped
        known = (everything[:, None] == sets.codes[n]).all(axis=-1).any(axis=1)
        legal = near & ~known & (joints[n] > sets.log_joint[n].min())
        got = (everything[:, None] == proposed[n]).all(axis=-1).any(axis=1) & ~known
        assert_that(legal[got], f"row {n}: a state is proposed that is no neighbor, or no better than the worst")
        assert_close(np.sort(joints[n, got]), np.sort(joints[n, legal])[-4:], 1e-6, 1e-12, f"best neighbors of row {n}")


@CHECKS.add(KnowsNeighbors)
def neighbors_have_the_log_joints_of_the_states_they_are(case: ModelCase) -> None:
    """In one piece, row by row, and in between."""
    for target, n_numbers in product((crowd(case), with_missing_entries(crowd(case))), (None, 1, 200)):
        space, rng = target.model.space, np.random.default_rng(5)
        is_on = rng.random((30, 1)) < np.linspace(0, 1.2, 30)[:, None]
        parents = space.encode(rng.integers(0, space.n_values, size=(30, 6)) * is_on)
        joints = target.log_joint(parents[:, None])[:, 0]
        listed = evaluated(space, neighborhoods(space, parents, joints, None)[0], target.log_joint)
        pieces = neighborhoods(space, parents, joints, n_numbers)
        model = target.model
        assert offers(model, KnowsNeighbors)
        found = [model.log_joint_of_neighbors(target.prepared, target.projected, piece) for piece in pieces]
        bases = np.concatenate([each.bases for each in found])
        switched = np.concatenate([each.switched for each in found])
        assert_close(bases, listed.bases, 1e-9, 1e-12, "log joint of (base,)")
        assert_close(switched, listed.switched, 1e-9, 1e-12, "log joint of (base, latent, value)")


@CHECKS.add()
@_of_many_latents
def singletons_are_ranked_by_their_log_joints(case: ModelCase) -> None:
    """As preselection asks for them, from the model or one by one."""
    for target in (crowd(case), with_missing_entries(crowd(case))):
        space = target.model.space
        alone = np.zeros((space.n_latents, space.n_values - 1, space.n_latents), np.int64)
        for h, index in product(range(space.n_latents), range(1, space.n_values)):
            alone[h, index - 1, h] = index
        codes = space.encode(alone.reshape(-1, space.n_latents))
        joints = target.log_joint(np.ascontiguousarray(np.broadcast_to(codes, (30, *codes.shape))))
        best = joints.reshape(30, space.n_latents, -1).max(axis=2)
        scores = Preselection(n_candidates=5, max_active=3).scores(target)
        assert_close(_relative(scores), _relative(best), 1e-9, 1e-9, "score of (row, latent), less that of the first")


@CHECKS.add(Affinity)
def the_selection_function_gives_a_number_for_each_latent(case: ModelCase) -> None:
    """Also where entries are missing."""
    for target in (crowd(case), with_missing_entries(crowd(case))):
        model: Any = target.model
        found = model.affinity(target.prepared, target.projected, target.batch)
        assert_that(found.shape == (30, 6), f"the affinity of 30 rows and 6 latents has the shape {found.shape}")
        assert_that(np.isfinite(found), "affinities are not finite")


@CHECKS.add(Preselects)
def preselected_states_weigh_what_listing_them_gives(case: ModelCase) -> None:
    """Tempered or not, with missing entries or without, for few and many candidates."""
    temperings = (Tempering(), Tempering(3.0), Tempering(3.0, anneal_prior=True))
    for target in (crowd(case), with_missing_entries(crowd(case))):
        for tempering, (n_candidates, max_active) in product(temperings, ((5, 3), (1, 1), (4, 4), (9, 2))):
            estep = Preselection(n_candidates=n_candidates, max_active=max_active)
            _compare_with_listed(estep, target._replace(tempering=tempering))


def _compare_with_listed(estep: Preselection, target: Target) -> None:
    quick, listed = estep.posterior(target, None), Listed(target, estep.find(target, None))
    where = f"{estep.n_candidates} candidates, gamma {estep.max_active}, {target.tempering}"
    assert_close(quick.free_energy, listed.free_energy, 1e-12, 1e-12, f"free energy ({where})")
    assert_close(quick.entropy, listed.entropy, 1e-10, 1e-11, f"entropy ({where})")
    assert_that(quick.n_evaluated == listed.n_evaluated, f"the number of states differs ({where})")
    assert_close(quick.reconstruct(), listed.reconstruct(), 1e-10, 1e-10, f"reconstruction ({where})")
    for kept in (None, np.arange(30) % 3 > 0):
        ours, theirs = (NamedArrays(target.model.statistics(target.batch.values.shape[1])) for _ in range(2))
        quick.accumulate(kept, ours)
        listed.accumulate(kept, theirs)
        for name in ours:
            assert_close(ours[name], theirs[name], 1e-10, 1e-10, f"statistic {name} ({where})")


def _relative(scores: Floats) -> Floats:
    """(n, H) less those of the first latent."""
    return scores - scores[:, :1]

"""What every E-step and every variation promises."""

import numpy as np
import pytest

from prosper_ng.components import components_of, kind_of
from prosper_ng.errors import UserError
from prosper_ng.estep.clusters import Clusters
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.preselection import Preselection
from prosper_ng.estep.search import Search
from prosper_ng.estep.variations.evolution import Evolution
from prosper_ng.estep.variations.neighborhood import NeighborSearch
from prosper_ng.estep.variations.preselection import PreselectedStates
from prosper_ng.estep.variations.sampling import Sampling
from prosper_ng.latents.posterior import log_sum
from prosper_ng.numerics.random_streams import stream
from prosper_ng.testing import EStepCase, parametrize_with_checks
from prosper_ng.testing.estep_checks import MIXTURES, MODELS, sets_for
from prosper_ng.testing.problems import crowd

BSC = MODELS[0]
VARIATIONS = {
    "flip": Evolution(mutation="flip"),
    "sparse": Evolution(mutation="sparse_flip", n_children=2),
    "cross": Evolution(mutation="none", crossover=True, n_generations=3),
    "cross-flip": Evolution(mutation="flip", crossover=True, selection="uniform"),
    "cross-sparse": Evolution(mutation="sparse_flip", crossover=True, parents="offspring"),
    "neighborhood": NeighborSearch(n_candidates=3),
    "prior samples": Sampling(source="prior", n_samples=20),
    "samples": Sampling(n_samples=10, n_draws=2),
    "preselected": PreselectedStates(n_candidates=5, active=True),
    "neighborhood of many": NeighborSearch(n_parents=20, n_candidates=5, n_steps=2),
}
# Crossover alone cannot make what no parent has, and not every good state is next to the best one.
GAPS = {"cross": 0.9, "neighborhood": 0.3, "prior samples": 0.2, "samples": 0.9, "preselected": 0.5}
CASES = {
    "exhaustive": EStepCase(Exhaustive()),
    "preselection": EStepCase(Preselection(n_candidates=5, max_active=3)),
    "preselection-model": EStepCase(Preselection(n_candidates=5, max_active=3, selection="model")),
    **{
        name: EStepCase(Search(n_states=12, variations=(variation,)), gap_left=GAPS.get(name, 0.1))
        for name, variation in VARIATIONS.items()
    },
    "clusters": EStepCase(Clusters(n_states=2, n_near=3, n_random=1), models=MIXTURES),
    "mix": EStepCase(
        Search(
            n_states=12,
            variations=(PreselectedStates(), NeighborSearch(active=((3, False), (5, True))), Evolution()),
            share=((2, 0.25), (9, 1.0)),
        )
    ),
}


FEW_MODELS = pytest.mark.parametrize("case", MODELS, ids=[case.kind for case in MODELS])


@parametrize_with_checks(CASES)
def test_contract(check):
    check()


def test_every_estep_and_variation_of_the_folders_is_tested():
    assert {case.kind for case in CASES.values()} | {"amortized", "auto", "gaussian"} == set(
        components_of("prosper_ng.estep")
    )
    assert {kind_of(each) for each in VARIATIONS.values()} == set(components_of("prosper_ng.estep.variations"))


@FEW_MODELS
@pytest.mark.parametrize(("n_candidates", "max_active"), [(1, 1), (3, 2), (6, 6), (99, 99), (4, 1)])
def test_preselection_holds_the_states_it_should(case, n_candidates, max_active):
    target = crowd(case)
    found = Preselection(n_candidates=n_candidates, max_active=max_active).find(target, None)
    space = target.model.space
    states = space.decode(found.codes)
    n_active = (states != 0).sum(axis=-1)
    assert n_active.max() == max(min(max_active, n_candidates, space.n_latents), 1)
    assert (n_active == 0).sum(axis=1).tolist() == [1] * len(states)
    assert ((n_active == 1).sum(axis=1) == space.n_latents * (space.n_values - 1)).all()
    combined = (states * (n_active > 1)[..., None] != 0).any(axis=1).sum(axis=1)
    assert combined.max(initial=0) <= n_candidates
    if n_candidates >= space.n_latents and max_active >= space.n_latents:
        exact = log_sum(Exhaustive().find(target, None).log_joint)
        assert log_sum(found.log_joint) == pytest.approx(exact, rel=1e-12)


def test_too_many_combinations_are_refused_before_they_are_made():
    target = crowd(BSC, n_latents=60)
    with pytest.raises(UserError, match="combinations"):
        Preselection(n_candidates=40, max_active=20).check(target.model)
    with pytest.raises(UserError, match="too many to enumerate"):
        Exhaustive().check(target.model)


def test_sparse_flips_lead_to_the_expected_activity():
    target = crowd(BSC, n_latents=64, n_rows=400)
    sets = sets_for(Search(n_states=20), target)
    indices = np.argsort(np.random.default_rng(0).random((*sets.codes.shape[:2], 64)), axis=-1) < 20
    sets.codes[...] = target.model.space.encode(indices)
    for wanted, mean_flips in ((12.0, 30.0), (40.0, 30.0), (1.0, 8.0)):
        sparse = target._replace(activity=np.full(64, wanted / 64))
        children = Evolution(mutation="sparse_flip", mean_flips=mean_flips, selection="uniform").propose(sparse, sets)
        n_active = target.model.space.decode(children).sum(axis=-1)
        switched_on, switched_off = max(mean_flips + wanted - 20, 0) / 2, max(mean_flips - wanted + 20, 0) / 2
        assert n_active.mean() == pytest.approx(20 + switched_on - switched_off, rel=0.03)


def test_fit_parents_are_drawn_more_often():
    target = crowd(BSC, n_latents=40, n_rows=3000)
    sets = sets_for(Search(n_states=8), target)
    sets.log_joint[...] = np.array([0.0, 1, 2, 3, 4, 5, 6, 7])
    sets.codes[...] = target.model.space.encode(np.eye(8, 40, dtype=int))[None]
    proposal = Evolution(n_parents=1, n_generations=1, mutation="flip", selection="fitness")
    children = target.model.space.decode(proposal.propose(target, sets))[:, 0, :8]
    drawn = children[children.sum(axis=1) == 1].sum(axis=0)
    assert drawn[0] < 30
    assert drawn[1:] / drawn.sum() == pytest.approx(np.arange(1, 8) / 28, abs=0.03)


def test_shares_that_fall_and_points_that_go_backwards_are_refused():
    for share in (0.0, 1.5, ((0, 1.0), (3, 0.5)), ((3, 0.5), (0, 1.0))):
        with pytest.raises(ValueError, match="share"):
            Search(share=share)
    with pytest.raises(ValueError, match=r"evolution\.active: position 2 comes after 3"):
        Search(variations=(Evolution(active=((3, True), (2, False))),))


@FEW_MODELS
def test_sets_grow_as_their_schedule_says(case):
    target, estep = crowd(case), Search(n_states=12, share=((2, 0.25), (5, 1.0)))
    sets = sets_for(estep, target)
    sizes = []
    for sweep in range(8):
        found = estep.find(target._replace(stream=stream(1, "test", sweep), sweep=sweep), sets._asdict())
        sizes.append(found.codes.shape[1])
        assert (sets.codes[:, : sizes[-1]] == found.codes).all()
        for codes in found.codes:
            assert len(np.unique(codes, axis=0)) == len(codes)
    assert sizes == [3, 3, 3, 6, 9, 12, 12, 12]


@FEW_MODELS
def test_a_warm_start_is_in_the_first_sweep_what_preselection_finds(case):
    target = crowd(case)
    warm = Search(n_states=200, variations=(PreselectedStates(n_candidates=4, max_active=2),))
    chosen = Preselection(n_candidates=4, max_active=2).choose(target).combinations(target.model.space)
    for sweep, share in ((0, 1.0), (1, 0.9)):
        sets = sets_for(Search(n_states=20), target)
        found = warm.find(target._replace(sweep=sweep), sets._asdict())
        joints = np.sort(target.log_joint(np.ascontiguousarray(chosen)), axis=1)[:, -4:]
        kept = np.array(
            [
                np.isin(np.round(row, 9), np.round(mine, 9)).all()
                for row, mine in zip(joints, found.log_joint, strict=True)
            ]
        )
        assert kept.mean() <= share if sweep else kept.all()

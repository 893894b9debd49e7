"""What every E-step and every variation promises."""

from collections.abc import Callable

import numpy as np
import pytest

from prosper_ng.components import components_of, kind_of
from prosper_ng.errors import UserError
from prosper_ng.estep.auto import Auto
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.interface import EStep, RowArrays, Target
from prosper_ng.estep.kept_rows import require_state, row_state_of
from prosper_ng.estep.listed import Listed
from prosper_ng.estep.preselection import Preselection
from prosper_ng.estep.search import Search
from prosper_ng.estep.variations.evolution import Evolution
from prosper_ng.estep.variations.neighborhood import NeighborSearch
from prosper_ng.estep.variations.preselection import PreselectedStates
from prosper_ng.estep.variations.sampling import Sampling
from prosper_ng.latents.neighbors import evaluated, neighborhoods
from prosper_ng.latents.posterior import Tempering, log_sum
from prosper_ng.latents.state_sets import StateSets
from prosper_ng.models.interface import Batch
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from tests.models.references import instances, random_parameters

MODELS = pytest.mark.parametrize("make", list(instances().values()), ids=list(instances()))
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
ESTEPS: dict[str, EStep] = {
    "exhaustive": Exhaustive(),
    "preselection": Preselection(n_candidates=5, max_active=3),
    "preselection-model": Preselection(n_candidates=5, max_active=3, selection="model"),
    **{name: Search(n_states=12, variations=(variation,)) for name, variation in VARIATIONS.items()},
    "mix": Search(
        n_states=12,
        variations=(PreselectedStates(), NeighborSearch(active=((3, False), (5, True))), Evolution()),
        share=((2, 0.25), (9, 1.0)),
    ),
}


def target_for(make: Callable, n_latents: int = 6, n_rows: int = 30, seed: int = 0, first_row: int = 0) -> Target:
    rng = np.random.default_rng(seed)
    model = make(n_latents)
    params = random_parameters(model, 5, rng)
    values, _ = model.sample(params, n_rows, rng)
    batch = Batch(np.arange(first_row, n_rows), values[first_row:])
    prepared = model.prepare(params)
    return Target(model, prepared, model.project(prepared, batch), batch, model.activity(params), stream(1, "test"))


def with_missing_entries(target: Target) -> Target:
    """One row complete, one without a value, the others in between."""
    observed = np.random.default_rng(4).random(target.batch.values.shape) < 0.6
    observed[:2] = [[True], [False]]
    batch = Batch(target.batch.rows, np.where(observed, target.batch.values, 0.0), observed)
    return target._replace(batch=batch, projected=target.model.project(target.prepared, batch))


def rows_for(estep: EStep, target: Target) -> RowArrays:
    n_observed = target.batch.values.shape[1]
    return estep.initial_rows(target.model, n_observed, target.batch.rows, target.activity, stream(1, "initial"))


def sets_for(estep: EStep, target: Target) -> StateSets:
    """The same memory, as those see it who keep states."""
    return StateSets(**rows_for(estep, target))


def test_every_estep_and_variation_of_the_folders_is_tested():
    assert {kind_of(estep) for estep in ESTEPS.values()} | {"auto"} == set(components_of("prosper_ng.estep"))
    assert {kind_of(each) for each in VARIATIONS.values()} == set(components_of("prosper_ng.estep.variations"))


@MODELS
@pytest.mark.parametrize("estep", list(ESTEPS.values()), ids=list(ESTEPS))
def test_states_are_distinct_and_their_log_joints_right(make, estep):
    target = target_for(make)
    found = estep.find(target, rows_for(estep, target))
    for codes in found.codes:
        assert len(np.unique(codes, axis=0)) == len(codes)
    again = target.log_joint(np.ascontiguousarray(found.codes))
    assert found.log_joint == pytest.approx(again, rel=1e-12)


@MODELS
@pytest.mark.parametrize("estep", list(ESTEPS.values()), ids=list(ESTEPS))
def test_as_many_states_are_listed_and_as_much_is_kept_as_was_announced(make, estep):
    target = target_for(make)
    model, n_observed = target.model, target.batch.values.shape[1]
    estep.check(model)
    rows = rows_for(estep, target)
    require_state(estep, row_state_of(estep, model, n_observed), rows)
    whole = estep.with_all_states()
    found = whole.take_up(target, rows, None) if rows else whole.find(target)
    assert found.codes.shape == (30, estep.n_listed(model.space), model.space.words)
    assert estep.resolved(model) == (estep, "as configured")
    assert estep.unsettled(target, found).shape == (30,)


@MODELS
@pytest.mark.parametrize("estep", list(ESTEPS.values()), ids=list(ESTEPS))
def test_a_row_finds_the_same_states_in_any_company(make, estep):
    whole, tail = target_for(make), target_for(make, first_row=17)
    of_whole, of_tail = (estep.find(target, rows_for(estep, target)) for target in (whole, tail))
    assert (of_whole.codes[17:] == of_tail.codes).all()


@MODELS
@pytest.mark.parametrize("name", [*VARIATIONS, "mix"])
def test_stored_sets_only_get_better_and_come_near_the_exact_posterior(make, name):
    estep = ESTEPS[name]
    target = target_for(make)
    everything = Exhaustive().find(target, None).log_joint
    exact = log_sum(everything)
    sets = sets_for(estep, target)
    best = log_sum(np.sort(everything, axis=1)[:, -sets.codes.shape[1] :])
    last = log_sum(target.log_joint(sets.codes))
    first_gap = (best - last).mean()
    if name == "mix":  # starts with a quarter of its states
        last = np.full(len(last), -np.inf)
    for sweep in range(25):
        found = estep.find(target._replace(stream=stream(1, "test", sweep), sweep=sweep), sets._asdict())
        now = log_sum(found.log_joint)
        assert (now >= last - 1e-9).all()
        assert (now <= exact + 1e-9).all()
        last = now
    # Crossover alone cannot make what no parent has, and not every good state is next to the best one.
    share = {"cross": 0.9, "neighborhood": 0.3, "prior samples": 0.2, "samples": 0.9, "preselected": 0.5}.get(name, 0.1)
    assert (best - last).mean() < share * first_gap + 1e-9
    kept = found.codes.copy()
    frozen = estep.find(target._replace(stream=stream(1, "test", 99)), sets._asdict(), vary=False)
    assert (frozen.codes == kept).all()


@MODELS
def test_more_states_than_there_are_is_exhaustive(make):
    target = target_for(make, n_latents=3)
    estep = Search(n_states=1000)
    found = estep.find(target, rows_for(estep, target))
    assert found.codes.shape[1] == target.model.space.n_states
    assert log_sum(found.log_joint) == pytest.approx(log_sum(Exhaustive().find(target, None).log_joint), rel=1e-12)


@MODELS
@pytest.mark.parametrize(("n_candidates", "max_active"), [(1, 1), (3, 2), (6, 6), (99, 99), (4, 1)])
def test_preselection_holds_the_states_it_should(make, n_candidates, max_active):
    target = target_for(make)
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
    target = target_for(instances()["bsc"], n_latents=60)
    with pytest.raises(UserError, match="combinations"):
        Preselection(n_candidates=40, max_active=20).check(target.model)
    with pytest.raises(UserError, match="too many to enumerate"):
        Exhaustive().check(target.model)


def test_sparse_flips_lead_to_the_expected_activity():
    make = instances()["bsc"]
    target = target_for(make, n_latents=64, n_rows=400)
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
    make = instances()["bsc"]
    target = target_for(make, n_latents=40, n_rows=3000)
    sets = sets_for(Search(n_states=8), target)
    sets.log_joint[...] = np.array([0.0, 1, 2, 3, 4, 5, 6, 7])
    sets.codes[...] = target.model.space.encode(np.eye(8, 40, dtype=int))[None]
    proposal = Evolution(n_parents=1, n_generations=1, mutation="flip", selection="fitness")
    children = target.model.space.decode(proposal.propose(target, sets))[:, 0, :8]
    drawn = children[children.sum(axis=1) == 1].sum(axis=0)
    assert drawn[0] < 30
    assert drawn[1:] / drawn.sum() == pytest.approx(np.arange(1, 8) / 28, abs=0.03)


@MODELS
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("tempering", [Tempering(), Tempering(3.0), Tempering(3.0, anneal_prior=True)])
@pytest.mark.parametrize(("n_candidates", "max_active"), [(5, 3), (1, 1), (4, 4), (9, 2)])
def test_what_a_model_makes_of_preselected_states_is_what_listing_them_gives(
    make, n_candidates, max_active, tempering, missing
):
    target = target_for(make)._replace(tempering=tempering)
    target = with_missing_entries(target) if missing else target
    estep = Preselection(n_candidates=n_candidates, max_active=max_active)
    quick, listed = estep.posterior(target, None), Listed(target, estep.find(target, None))
    assert quick.free_energy == pytest.approx(listed.free_energy, rel=1e-12, abs=1e-12)
    assert quick.entropy == pytest.approx(listed.entropy, rel=1e-10, abs=1e-11)
    assert quick.n_evaluated == listed.n_evaluated
    assert quick.reconstruct() == pytest.approx(listed.reconstruct(), rel=1e-10, abs=1e-10)
    n_observed = target.batch.values.shape[1]
    for kept in (None, np.arange(30) % 3 > 0):
        ours, theirs = (NamedArrays(target.model.statistics(n_observed)) for _ in range(2))
        quick.accumulate(kept, ours)
        listed.accumulate(kept, theirs)
        for name in ours:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-10, abs=1e-10), name


@MODELS
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("n_numbers", [None, 1, 200])
def test_neighbors_have_the_log_joints_of_the_states_they_are(make, missing, n_numbers):
    target = target_for(make)
    target = with_missing_entries(target) if missing else target
    space, rng = target.model.space, np.random.default_rng(5)
    indices = rng.integers(0, space.n_values, size=(30, 6)) * (rng.random((30, 1)) < np.linspace(0, 1.2, 30)[:, None])
    parents = space.encode(indices)
    joints = target.log_joint(parents[:, None])[:, 0]
    listed = evaluated(space, neighborhoods(space, parents, joints, None)[0], target.log_joint)
    found = [
        target.model.log_joint_of_neighbors(target.prepared, target.projected, neighborhood)
        for neighborhood in neighborhoods(space, parents, joints, n_numbers)
    ]
    assert len(found) in {None: {1}, 1: {30}, 200: set(range(2, 30))}[n_numbers]
    assert np.concatenate([each.bases for each in found]) == pytest.approx(listed.bases, rel=1e-9)
    assert np.concatenate([each.switched for each in found]) == pytest.approx(listed.switched, rel=1e-9)


@MODELS
def test_the_best_neighbors_are_proposed_and_no_other(make):
    target = target_for(make)
    space = target.model.space
    sets = sets_for(Search(n_states=7), target)
    sets.log_joint[...] = target.log_joint(sets.codes)
    proposed = NeighborSearch(n_parents=2, n_candidates=4).propose(target, sets)
    everything = space.enumerate()
    joints, values = target.log_joint(np.broadcast_to(everything, (30, *everything.shape))), space.decode(everything)
    for n in range(30):
        best = space.decode(sets.codes[n, np.argsort(-sets.log_joint[n])[:2]])
        near = np.zeros(len(values), bool)
        for parent in best:
            changed, active = (values != parent), (values != 0) & (parent == 0)
            off = (values == 0) & (parent != 0)
            swapped = (changed.sum(axis=1) == 2) & (active.sum(axis=1) == 1) & (off.sum(axis=1) == 1)
            near |= (changed.sum(axis=1) == 1) | swapped
        known = (everything[:, None] == sets.codes[n]).all(axis=-1).any(axis=1)
        legal = np.flatnonzero(near & ~known & (joints[n] > sets.log_joint[n].min()))
        got = (everything[:, None] == proposed[n]).all(axis=-1).any(axis=1) & ~known
        assert set(np.flatnonzero(got)) <= set(legal)
        assert np.sort(joints[n, got]) == pytest.approx(np.sort(joints[n, legal])[-4:])


def test_shares_that_fall_and_points_that_go_backwards_are_refused():
    for share in (0.0, 1.5, ((0, 1.0), (3, 0.5)), ((3, 0.5), (0, 1.0))):
        with pytest.raises(ValueError, match="share"):
            Search(share=share)
    with pytest.raises(ValueError, match=r"evolution\.active: position 2 comes after 3"):
        Search(variations=(Evolution(active=((3, True), (2, False))),))


@MODELS
def test_sets_grow_as_their_schedule_says(make):
    target, estep = target_for(make), Search(n_states=12, share=((2, 0.25), (5, 1.0)))
    sets = sets_for(estep, target)
    sizes = []
    for sweep in range(8):
        found = estep.find(target._replace(stream=stream(1, "test", sweep), sweep=sweep), sets._asdict())
        sizes.append(found.codes.shape[1])
        assert (sets.codes[:, : sizes[-1]] == found.codes).all()
        for codes in found.codes:
            assert len(np.unique(codes, axis=0)) == len(codes)
    assert sizes == [3, 3, 3, 6, 9, 12, 12, 12]


@MODELS
def test_a_warm_start_is_in_the_first_sweep_what_preselection_finds(make):
    target = target_for(make)
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


@MODELS
def test_left_open_few_states_are_all_weighed_and_many_are_searched(make):
    few, many = Auto().resolved(make(3)), Auto(n_states=7).resolved(make(300))
    assert few.estep == Exhaustive()
    assert f"only {make(3).space.n_states}" in few.reason
    assert isinstance(many.estep, Search)
    assert many.estep.n_states == 7
    assert many.estep.turning_points == (0, 1)
    assert kind_of(make(300)) in many.reason


@MODELS
@pytest.mark.parametrize("name", list(VARIATIONS))
def test_variations_propose_as_many_states_as_they_say(make, name):
    target = target_for(make)
    sets = sets_for(ESTEPS[name], target)
    sets.log_joint[...] = target.log_joint(sets.codes)
    said = VARIATIONS[name].n_proposed(target.model.space, sets.codes.shape[1])
    assert VARIATIONS[name].propose(target, sets).shape == (30, said, target.model.space.words)

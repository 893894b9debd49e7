"""Posteriors under a learned model: exact where they can be, better with more effort, the same in any pieces."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import logsumexp

from prosper_ng.components import kind_of
from prosper_ng.data.sources.bars import Bars
from prosper_ng.errors import NumericalError, UserError
from prosper_ng.estep.closure import close
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.preselection import Preselection
from prosper_ng.estep.row_by_row import keys_of, target_apart
from prosper_ng.estep.search import Search
from prosper_ng.estep.variations.evolution import Evolution
from prosper_ng.inference.answers import keeping
from prosper_ng.inference.effort import MOST_DOUBLINGS, MOST_STATES, Effort, harder
from prosper_ng.inference.inference import Inference, Options
from prosper_ng.inference.learned import Learned
from prosper_ng.inference.summary import best_states, decoded
from prosper_ng.latents.moments import mean_states
from prosper_ng.latents.space import LatentSpace
from prosper_ng.latents.state_sets import draw_sets
from prosper_ng.models.bsc import BSC
from prosper_ng.models.capabilities import DrawsLatents, LearnsClasses, PosteriorMeans, classes_of, offers
from prosper_ng.numerics.random_streams import stream
from prosper_ng.testing import random_parameters
from prosper_ng.training.data_selection import batch_of
from tests.helpers.model_cases import fitting, instances, log_joint_of, n_observed_of

# What is drawn is a function of the row, as test_rows sees, but no sum over states.
EXACT = {name: make for name, make in instances().items() if not offers(make(2), DrawsLatents)}
MODELS = pytest.mark.parametrize("make", list(EXACT.values()), ids=list(EXACT))
ONE_OF_EACH = {kind_of(make(2)): make for make in EXACT.values()}
KINDS = pytest.mark.parametrize("make", list(ONE_OF_EACH.values()), ids=list(ONE_OF_EACH))


def learned(model, estep, params) -> Learned:
    D = n_observed_of(model, params)
    return Learned(model=model, params=params, n_observed=D, estep=estep, seed=3, origin="runs/test")


def problem(make, estep, n_latents=4, n_rows=40, seed=0, n_observed=5):
    """A learned model with random parameters, and rows drawn from it."""
    rng = np.random.default_rng(seed)
    model = make(n_latents)
    params = random_parameters(model, n_observed, rng)
    return learned(model, fitting(estep, model), params), model.sample(params, n_rows, rng)[0]


def infer(known, values, n_best=5, **options):
    worker = Inference(known, Options(**options))
    return worker.of_rows(np.arange(len(values)), values, keeping(worker, n_best))


def crowded(n_rows=60, n_latents=9):
    """Rows in which more latents are active than a narrow preselection allows."""
    rng = np.random.default_rng(1)
    model = BSC(n_latents=n_latents)
    params = random_parameters(model, 12, rng)
    params["pi"], params["sigma"] = 0.4, 0.3
    return model, params, model.sample(params, n_rows, rng)[0]


def superimposed(n_rows=60):
    """Rows of ten bars, four of them on average; the parameters are those that made them."""
    source = Bars(activity=0.4, n_rows=n_rows)
    dataset = source.open(0)
    return BSC(n_latents=10, shared_pi=True), dataset.truth, dataset.read(0, n_rows)


# Exactness


@MODELS
@pytest.mark.parametrize("missing", [False, True])
def test_with_all_states_everything_equals_brute_force(make, missing):
    known, values = problem(make, Exhaustive(), n_latents=3)
    observed = np.random.default_rng(1).random(values.shape) < (0.6 if missing else 2.0)
    observed[0] &= not missing
    space = known.model.space
    states = space.values[space.decode(space.enumerate())]
    joint = log_joint_of(known.model)(known.model, known.params, values, states, observed)
    weights = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    found = infer(known, np.where(observed, values, np.nan), n_best=4)
    assert found["free_energy"] == pytest.approx(logsumexp(joint, axis=1), rel=1e-9, abs=1e-9)
    if "means" in found:
        assert found["means"] == pytest.approx(weights @ states, abs=1e-9)
    else:
        assert (found["labels"] == weights.argmax(axis=1)).all()
    assert found["log_joints"] == pytest.approx(-np.sort(-joint, axis=1)[:, :4], rel=1e-9, abs=1e-9)
    assert found["probabilities"] == pytest.approx(-np.sort(-weights, axis=1)[:, :4], abs=1e-9)
    of_best = log_joint_of(known.model)
    for n, best in enumerate(decoded(space, found["states"])):
        own = of_best(known.model, known.params, values[n : n + 1], best, observed[n : n + 1])
        assert own[0] == pytest.approx(found["log_joints"][n], rel=1e-9, abs=1e-9)
    assert not found["unsettled"].any()
    assert not found["n_widened"].any()


@KINDS
@pytest.mark.parametrize("estep", [Exhaustive(), Preselection(n_candidates=3, max_active=2), Search(n_states=7)])
def test_probabilities_sum_to_one_over_all_states_that_were_looked_at(make, estep):
    known, values = problem(make, estep)
    everything = infer(known, values, n_best=known.model.space.n_states)
    assert everything["probabilities"].sum(axis=1) == pytest.approx(1.0, abs=1e-12)
    few = infer(known, values, n_best=min(3, everything["states"].shape[1]))
    assert (few["probabilities"] == everything["probabilities"][:, :3]).all()
    assert (few["states"] == everything["states"][:, :3]).all()
    assert (np.diff(few["log_joints"]) <= 0).all()
    assert (few["probabilities"].sum(axis=1) <= 1 + 1e-12).all()


class Scaled(BSC):
    """A model in which a latent has a strength besides its state."""

    def posterior_means(self, prepared, projected, codes, weights):
        return {"s_z": 3.0 * mean_states(self.space, codes, weights), "total": np.ones(len(codes))}


def test_models_with_more_that_is_hidden_give_its_means():
    known, values = problem(lambda n_latents: Scaled(n_latents=n_latents), Exhaustive())
    found = infer(known, values)
    assert (found["means_s_z"] == 3.0 * found["means"]).all()
    assert found["means_total"].shape == (len(values),)


@KINDS
def test_models_without_have_the_means_of_the_latents_only(make):
    known, values = problem(make, Exhaustive())
    others = [name for name in infer(known, values) if name.startswith("means_")]
    learns_no_classes = offers(known.model, LearnsClasses) and classes_of(known.model) is None
    assert bool(others) == (offers(known.model, PosteriorMeans) and not learns_no_classes)


@pytest.mark.parametrize("n_best", [1, 3, 33, 50])
def test_best_states_come_in_order_and_the_first_of_equals_first(n_best):
    log_joint = np.random.default_rng(0).integers(0, 9, (30, 50)).astype(float)
    log_joint[0] = -np.inf
    expected = np.argsort(-log_joint, axis=1, kind="stable")[:, :n_best]
    kept = log_joint.copy()
    found = best_states(log_joint, n_best)
    assert (found[1:] == expected[1:]).all()
    assert (log_joint == kept).all()


def test_a_row_without_a_finite_log_joint_is_named():
    known, values = problem(instances()["bsc"], Exhaustive())
    values[17, 2] = 1e200
    with pytest.raises(NumericalError, match=r"row 17 .*bsc.*runs/test"):
        infer(known, values)


# More effort


STARTS = {
    "preselection": Preselection(n_candidates=4, max_active=2),
    "search": Search(n_states=10, variations=(Evolution(n_parents=5),)),
}
START = pytest.mark.parametrize("estep", list(STARTS.values()), ids=list(STARTS))


@START
@KINDS
def test_adaptive_inference_misses_no_best_state_of_few_latents(make, estep):
    known, values = problem(make, estep, n_latents=6, n_rows=200, seed=1)
    exact = infer(learned(known.model, Exhaustive(), known.params), values, n_best=1)
    plain, wide = infer(known, values, n_best=1), infer(known, values, n_best=1, adaptive=True)
    assert (plain["free_energy"] < exact["free_energy"] - 1e-6).any()
    assert wide["log_joints"] == pytest.approx(exact["log_joints"], rel=1e-9)
    assert wide["certain"].all()
    assert not wide["unsettled"].any()
    assert wide["free_energy"] == pytest.approx(exact["free_energy"], rel=1e-9)
    of_latents = "means" if "means" in exact else "labels"
    assert wide[of_latents] == pytest.approx(exact[of_latents], abs=1e-9)
    assert not plain["certain"].any()


@START
@pytest.mark.parametrize("name", ["bsc", "mca", "gsc-scalar-diagonal", "tsc"])
def test_where_all_states_are_too_many_those_around_the_best_are_looked_at(name, estep):
    n_latents = 9 if name == "tsc" else 14
    known, values = problem(instances()[name], estep, n_latents, n_rows=60, seed=2, n_observed=25)
    exact = infer(learned(known.model, Exhaustive(), known.params), values, n_best=1)
    plain, wide = infer(known, values, n_best=1), infer(known, values, n_best=1, adaptive=True)
    right = np.isclose(wide["log_joints"], exact["log_joints"], rtol=1e-9)[:, 0]
    assert right.all()
    assert np.isclose(plain["log_joints"], exact["log_joints"], rtol=1e-9).mean() < 0.9
    assert (wide["n_widened"] > 0).all()
    assert (wide["n_widened"][wide["certain"] == 1] > 1).all()
    assert (wide["unimproved"][(wide["certain"] == 0) & (wide["unsettled"] == 0)] > 0).all()
    assert (wide["free_energy"] >= plain["free_energy"] - 1e-12).all()
    assert (wide["log_joints"] >= plain["log_joints"]).all()


def test_looking_around_ends_when_the_best_states_have_no_better_neighbor():
    known, values = problem(instances()["bsc"], Exhaustive(), n_latents=7, n_rows=30)
    model, space, n_best = known.model, known.model.space, 5
    batch = batch_of(keys_of(values), values)
    target = target_apart(model, model.prepare(known.params), batch, model.activity(known.params))
    sets = draw_sets(space, batch.rows, 12, target.activity, stream(0, "test"))
    sets.log_joint[...] = target.log_joint(sets.codes)
    closed = close(target, sets, n_best, 50)
    assert closed.is_closed.all()
    assert (closed.n_looked >= n_best).all()
    assert (closed.improved_at < closed.n_looked).all()
    everything = space.decode(space.enumerate())
    joint = target.log_joint(np.broadcast_to(space.enumerate(), (len(values), space.n_states, space.words)))
    for n in range(len(values)):
        best = np.argsort(-sets.log_joint[n])[:n_best]
        known_states = {tuple(state) for state in space.decode(sets.codes[n, best])}
        for state in known_states:
            distance = np.abs(everything - state).sum(axis=1)
            swapped = (distance == 2) & (everything.sum(axis=1) == sum(state))
            better = ((distance == 1) | swapped) & (joint[n] > sets.log_joint[n, best[-1]] + 1e-9)
            assert {tuple(each) for each in everything[better]} <= known_states


def test_looking_around_that_is_cut_short_says_so():
    known, values = problem(instances()["bsc"], Search(n_states=16), n_latents=20, n_rows=10)
    model = known.model
    batch = batch_of(keys_of(values), values)
    target = target_apart(model, model.prepare(known.params), batch, model.activity(known.params))
    sets = draw_sets(model.space, batch.rows, 16, target.activity, stream(0, "test"))
    sets.log_joint[...] = target.log_joint(sets.codes)
    closed = close(target, sets, 8, 7)
    assert not closed.is_closed.any()
    assert (closed.n_looked == 7).all()


@pytest.mark.parametrize("selection", ["singleton", "model"])
def test_rows_on_the_edge_have_gamma_active_latents_or_the_last_candidate(selection):
    model, params, values = crowded()
    estep = Preselection(n_candidates=5, max_active=4, selection=selection)
    found = infer(learned(model, estep, params), values, n_best=1)
    active = decoded(model.space, found["states"])[:, 0] > 0
    prepared = model.prepare(params)
    scores = (values @ params["W"]) / params["sigma"] ** 2 - np.diagonal(prepared.gram) / 2 + prepared.log_odds[:, 0]
    if selection == "model":
        scores = values @ params["W"] / np.linalg.norm(params["W"], axis=0)
    last = np.argsort(-scores, axis=1)[:, 4]
    expected = (active.sum(axis=1) == 4) | active[np.arange(len(values)), last]
    assert found["unsettled"].tolist() == expected.tolist()
    assert 0 < expected.sum() < len(expected)
    assert (active.sum(axis=1) < 4)[expected].any()


def test_a_preselection_that_leaves_nothing_out_has_no_edge():
    model, params, values = crowded(n_latents=5)
    found = infer(learned(model, Preselection(n_candidates=5, max_active=5), params), values, adaptive=True)
    assert not found["unsettled"].any()
    assert not found["n_widened"].any()


def test_a_search_that_holds_all_states_is_settled_and_exact():
    known, values = problem(instances()["tsc"], Search(n_states=1000), n_latents=3)
    exact = infer(learned(known.model, Exhaustive(), known.params), values)
    found = infer(known, values, adaptive=True)
    assert found["free_energy"] == pytest.approx(exact["free_energy"], rel=1e-12)
    assert found["means"] == pytest.approx(exact["means"], abs=1e-12)
    assert not found["n_widened"].any()


def test_a_search_ends_early_where_nothing_improves(monkeypatch):
    known, values = problem(instances()["bsc"], Search(n_states=16), n_latents=4)
    sweeps = []
    find = Search.find
    monkeypatch.setattr(Search, "find", lambda *arguments: sweeps.append(0) or find(*arguments))
    infer(known, values, n_sweeps=11)
    assert len(sweeps) == 6


@pytest.mark.parametrize(
    ("estep", "n_latents"),
    [
        (Preselection(n_candidates=3, max_active=2), 6),
        (Preselection(n_candidates=3, max_active=2), 17),
        (Preselection(n_candidates=2, max_active=9), 300),
        (Search(n_states=5), 7),
        (Search(n_states=50), 300),
        (Search(n_states=MOST_STATES // 8), 300),
        (Exhaustive(), 4),
    ],
)
def test_effort_grows_to_an_end(estep, n_latents):
    space, efforts = LatentSpace(n_latents), [Effort(estep, 10)]
    while (more := harder(efforts[-1], space)) is not None:
        efforts.append(more)
        assert len(efforts) < 100
    kept = [effort.estep.n_listed(space) for effort in efforts]
    assert [effort.level for effort in efforts] == list(range(len(efforts)))
    # What was found before has room, so that no free energy falls.
    assert kept == sorted(kept)
    assert kept[-1] <= max(MOST_STATES, kept[0])
    assert all(2 * first.n_best == second.n_best for first, second in pairwise(efforts[1:]) if second.n_best)
    if n_latents < 20:
        assert kept[-1] == space.n_states or space.n_states > MOST_STATES
    else:
        assert kept[-1] * 2 > MOST_STATES or len(efforts) == MOST_DOUBLINGS + 2


def test_all_states_are_looked_at_where_they_are_not_many_more_than_would_be_kept():
    narrow = Effort(Preselection(n_candidates=4, max_active=2), 10)
    assert isinstance(harder(narrow, LatentSpace(12)).estep, Exhaustive)
    around = harder(narrow, LatentSpace(13))
    assert (around.estep.n_states, around.n_best) == (64, 16)
    assert isinstance(harder(around, LatentSpace(15)).estep, Exhaustive)
    assert harder(around, LatentSpace(40)).n_best == 32


def test_an_estep_that_cannot_serve_the_model_says_so():
    model, params, values = crowded(n_latents=40)
    for estep in (Exhaustive(), Preselection(n_candidates=40, max_active=20)):
        with pytest.raises(UserError, match=r"too many|combinations"):
            infer(learned(model, estep, params), values)

"""Posteriors under a learned model: exact where they can be, better with more effort, the same in any pieces."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import logsumexp

from prosper_ng.components import kind_of
from prosper_ng.errors import NumericalError, UserError
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.preselection import Preselection
from prosper_ng.estep.search import Search
from prosper_ng.estep.variations.evolution import Evolution
from prosper_ng.experiments import inference
from prosper_ng.experiments.inference import Inference, Options
from prosper_ng.experiments.inference_effort import MOST_DOUBLINGS, MOST_STATES, Effort, harder
from prosper_ng.experiments.inference_files import decoded, keeping
from prosper_ng.experiments.inference_learned import Learned
from prosper_ng.experiments.inference_summary import best_states, posterior_means
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.latents.space import LatentSpace
from prosper_ng.models.bsc import BSC
from prosper_ng.models.interface import PosteriorMeans
from prosper_ng.storage.sources.bars import Bars
from tests.contracts.references import JOINTS, instances, random_parameters, reference_of

MODELS = pytest.mark.parametrize("make", list(instances().values()), ids=list(instances()))
ONE_OF_EACH = {kind_of(make(2)): make for make in instances().values()}
KINDS = pytest.mark.parametrize("make", list(ONE_OF_EACH.values()), ids=list(ONE_OF_EACH))


def learned(model, estep, params) -> Learned:
    config = RunConfig(name="test", seed=3, data=Bars(), model=model, estep=estep)
    return Learned(Path("runs/test"), config, params, len(params["W"]))


def problem(make, estep, n_latents=4, n_rows=40, seed=0):
    """A learned model with random parameters, and rows drawn from it."""
    rng = np.random.default_rng(seed)
    model = make(n_latents)
    params = random_parameters(model, 5, rng)
    return learned(model, estep, params), model.sample(params, n_rows, rng)[0]


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
    joint = reference_of(known.model, JOINTS)(known.model, known.params, values, states, observed)
    weights = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    found = infer(known, np.where(observed, values, np.nan), n_best=4)
    assert found["free_energy"] == pytest.approx(logsumexp(joint, axis=1), rel=1e-9, abs=1e-9)
    assert found["means"] == pytest.approx(weights @ states, abs=1e-9)
    assert found["log_joints"] == pytest.approx(-np.sort(-joint, axis=1)[:, :4], rel=1e-9, abs=1e-9)
    assert found["probabilities"] == pytest.approx(-np.sort(-weights, axis=1)[:, :4], abs=1e-9)
    of_best = reference_of(known.model, JOINTS)
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
    few = infer(known, values, n_best=3)
    assert (few["probabilities"] == everything["probabilities"][:, :3]).all()
    assert (few["states"] == everything["states"][:, :3]).all()
    assert (np.diff(few["log_joints"]) <= 0).all()
    assert (few["probabilities"].sum(axis=1) <= 1 + 1e-12).all()


class Scaled(BSC):
    """A model in which a latent has a strength besides its state."""

    def posterior_means(self, prepared, projected, codes, weights):
        return {"s_z": 3.0 * posterior_means(self.space, codes, weights), "total": np.ones(len(codes))}


def test_models_with_more_that_is_hidden_give_its_means():
    known, values = problem(lambda n_latents: Scaled(n_latents=n_latents), Exhaustive())
    found = infer(known, values)
    assert (found["means_s_z"] == 3.0 * found["means"]).all()
    assert found["means_total"].shape == (len(values),)


@KINDS
def test_models_without_have_the_means_of_the_latents_only(make):
    known, values = problem(make, Exhaustive())
    others = [name for name in infer(known, values) if name.startswith("means_")]
    assert bool(others) == isinstance(known.model, PosteriorMeans)


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


def test_adaptive_preselection_finds_the_best_states_that_a_narrow_one_misses():
    model, params, values = superimposed()
    exact = infer(learned(model, Exhaustive(), params), values, n_best=1)
    known = learned(model, Preselection(n_candidates=4, max_active=3), params)
    narrow, wide = infer(known, values, n_best=1), infer(known, values, n_best=1, adaptive=True)
    missed = (narrow["states"] != exact["states"])[:, 0, 0]
    assert missed.mean() > 0.4
    assert narrow["unsettled"][missed].mean() > 0.9
    assert not wide["unsettled"].any()
    assert (wide["states"] == exact["states"]).mean() > 0.95
    assert (wide["n_widened"] == 0).tolist() == (narrow["unsettled"] == 0).tolist()
    assert (wide["free_energy"] >= narrow["free_energy"] - 1e-9).all()
    n_active = decoded(model.space, wide["states"])[:, 0].sum(axis=1)
    assert (n_active < 3 + wide["n_widened"])[wide["n_widened"] < 7].all()


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


def test_an_adaptive_search_goes_on_until_the_best_state_stays():
    model, params, values = superimposed(n_rows=40)
    exact = infer(learned(model, Exhaustive(), params), values, n_best=1)
    estep = Search(n_states=10, variations=(Evolution(n_parents=5),))
    known = learned(model, estep, params)
    short, long = infer(known, values, 1), infer(known, values, 1, adaptive=True)
    assert 10 < short["unsettled"].sum() < 40
    assert (short["n_widened"] == 0).all()
    assert (long["n_widened"] > 0).all()
    assert len(np.unique(long["n_widened"])) > 2
    assert not long["unsettled"].any()
    assert (long["log_joints"] >= short["log_joints"]).all()
    assert (long["free_energy"] >= short["free_energy"] - 1e-12).all()
    right = (long["states"] == exact["states"]).mean()
    assert right > 0.8
    assert right > (short["states"] == exact["states"]).mean() + 0.2


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
    last = efforts[-1].estep
    assert [effort.level for effort in efforts] == list(range(len(efforts)))
    if isinstance(last, Preselection):
        complete = min(last.n_candidates, last.max_active) >= n_latents
        assert complete == (n_latents == 6)
        assert last.n_candidates - estep.n_candidates == last.max_active - estep.max_active == len(efforts) - 1
    elif isinstance(last, Search):
        assert last.n_states <= MOST_STATES
        assert last.n_states >= space.n_states or len(efforts) == MOST_DOUBLINGS + 1 or last.n_states * 2 > MOST_STATES
        # No two sweeps draw the same random numbers.
        ends = [effort.n_before + effort.n_sweeps for effort in efforts]
        assert [effort.n_before for effort in efforts] == [0, *ends[:-1]]
    else:
        assert len(efforts) == 1


# Nothing but the rows counts


@pytest.mark.parametrize("estep", [Exhaustive(), Preselection(n_candidates=3, max_active=2), Search(n_states=9)])
def test_what_is_found_does_not_depend_on_the_memory_at_hand(estep, monkeypatch):
    model, params, values = crowded(n_rows=30)
    known = learned(model, estep, params)
    # A search ends early when the rows that it works on together no longer improve; a single sweep cannot.
    options = {"n_sweeps": 1} if isinstance(estep, Search) else {"adaptive": True}
    whole = infer(known, values, **options)
    monkeypatch.setattr(inference, "_PIECE_BYTES", 2_000)
    pieces = infer(known, values, **options)
    assert (whole["states"] == pieces["states"]).all()
    for name in set(whole) - {"states"}:
        assert pieces[name] == pytest.approx(whole[name], rel=1e-10, abs=1e-10), name


def test_random_draws_are_those_of_the_global_row():
    known, values = problem(instances()["bsc"], Search(n_states=4), n_latents=12, n_rows=20)

    def states(rows):
        worker = Inference(known, Options(n_sweeps=1))
        return worker.of_rows(rows, values[rows % 20], keeping(worker, 4))["states"]

    assert (states(np.arange(20))[7:] == states(np.arange(7, 20))).all()
    assert (states(np.arange(20)) != states(np.arange(20, 40))).any()


def test_an_estep_that_cannot_serve_the_model_says_so():
    model, params, values = crowded(n_latents=40)
    for estep in (Exhaustive(), Preselection(n_candidates=40, max_active=20)):
        with pytest.raises(UserError, match=r"too many|combinations"):
            infer(learned(model, estep, params), values)

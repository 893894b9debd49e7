"""What is found of a row is a function of what it holds: never of its place, other rows, or memory at hand."""

import numpy as np
import pytest

from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.preselection import Preselection
from prosper_ng.estep.search import Search
from prosper_ng.estep.variations import preselection
from prosper_ng.estep.variations.evolution import Evolution
from prosper_ng.estep.variations.neighborhood import NeighborSearch
from prosper_ng.estep.variations.sampling import Sampling
from prosper_ng.inference import inference
from prosper_ng.inference.answers import keeping, predicting
from prosper_ng.inference.inference import Inference, Options
from prosper_ng.testing import random_parameters
from tests.helpers.model_cases import fitting, instances
from tests.inference.test_inference import learned

N_ROWS = 43
ESTEPS = {
    "exhaustive": Exhaustive(),
    "singletons": Preselection(n_candidates=4, max_active=2),
    "affinity": Preselection(n_candidates=4, max_active=2, selection="model"),
    "search": Search(
        n_states=12,
        variations=(
            preselection.PreselectedStates(n_candidates=3, max_active=2),
            Evolution(n_parents=4, crossover=True),
            NeighborSearch(n_parents=2, n_candidates=4),
        ),
    ),
    "sampling": Search(
        n_states=9, share=((0, 0.4), (4, 0.8)), variations=(Sampling(), Evolution(n_parents=3, parents="offspring"))
    ),
}
ESTEP = pytest.mark.parametrize("estep", list(ESTEPS.values()), ids=list(ESTEPS))
MODEL = pytest.mark.parametrize("name", list(instances()))


def problem(name, estep, missing):
    """A learned model, and rows drawn from it, of which some appear again, miss values, or hold zeros of both signs."""
    rng = np.random.default_rng(5)
    model = instances()[name](6)
    params = random_parameters(model, 19, rng)
    values = model.sample(params, N_ROWS, rng)[0]
    values[3] = 0.0
    if missing:
        values[rng.random(values.shape) < 0.3] = np.nan
        values[::4] = model.sample(params, N_ROWS, rng)[0][::4]
        values[5] = np.nan
    values[20], values[21], values[22] = values[7], -values[3], values[6]
    return learned(model, fitting(estep, model), params), values


def found(known, values, summarize=None, **options):
    worker = Inference(known, Options(**{"n_sweeps": 6} | options))
    return worker.of_rows(np.arange(len(values)), values, summarize or keeping(worker, 4))


def same(one, other):
    for name, values in one.items():
        assert (values == other[name]).all(), name


def some(whole, rows):
    return {name: values[rows] for name, values in whole.items()}


@MODEL
@ESTEP
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
def test_the_answer_for_some_rows_is_that_part_of_the_answer_for_all(name, estep, missing, monkeypatch):
    known, values = problem(name, estep, missing)
    whole = found(known, values, adaptive=True)
    order = np.random.default_rng(0).permutation(N_ROWS)
    same(found(known, values[order], adaptive=True), some(whole, order))
    for rows in ([7], [11, 12], order[:33]):
        same(found(known, values[rows], adaptive=True), some(whole, rows))
    same(some(whole, [7, 3, 6]), some(whole, [20, 21, 22]))
    monkeypatch.setattr(inference, "_PIECE_BYTES", 2_000)
    same(found(known, values, adaptive=True), whole)


@MODEL
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
def test_a_prediction_is_that_of_the_row(name, missing):
    known, values = problem(name, ESTEPS["singletons"], missing)
    whole = found(known, values, predicting)
    order = np.random.default_rng(1).permutation(N_ROWS)
    same(found(known, values[order], predicting), some(whole, order))
    same(found(known, values[[9]], predicting), some(whole, [9]))


@pytest.mark.parametrize(("n_observed", "n_latents"), [(1, 3), (64, 65), (257, 30)])
@pytest.mark.parametrize("name", ["bsc", "gsc-full-diagonal", "mca"])
def test_every_place_in_a_product_gives_the_same_bits(name, n_observed, n_latents):
    rng = np.random.default_rng(2)
    model = instances()[name](n_latents)
    params = random_parameters(model, n_observed, rng)
    known = learned(model, Preselection(n_candidates=3, max_active=2), params)
    row = model.sample(params, 1, rng)[0]
    whole = found(known, np.concatenate([np.repeat(row, 70, axis=0), model.sample(params, 9, rng)[0]]))
    same(some(whole, np.arange(70)), some(found(known, row), np.zeros(70, int)))


def test_rows_that_differ_draw_other_states():
    model = instances()["bsc"](12)
    params = random_parameters(model, 5, np.random.default_rng(0))
    params["W"] = 0.0 * params["W"]
    known = learned(model, Search(n_states=4), params)
    states = found(known, np.arange(20.0)[:, None] * np.ones(5), n_sweeps=1)["states"]
    assert len({each.tobytes() for each in states}) > 10


def test_a_search_goes_on_for_each_row_as_long_as_this_one_improves():
    known, values = problem("bsc", Search(n_states=5, variations=(Evolution(n_parents=2, n_generations=1),)), False)
    whole = found(known, values, n_sweeps=30)
    assert len(np.unique(whole["unimproved"])) > 3
    assert (whole["unimproved"][whole["unsettled"] == 0] >= 15).all()

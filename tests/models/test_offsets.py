"""Where data lie is not what they are: an offset moves the data mean, and nothing else."""

import numpy as np
import pytest

from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.preselection import Preselection
from prosper_ng.estep.search import Search
from prosper_ng.models.bsc import BSC
from prosper_ng.models.dsc import DSC
from prosper_ng.models.interface import Moments
from prosper_ng.models.tsc import TSC
from prosper_ng.numerics.random_streams import stream
from tests.helpers.em_problems import make, train

MODELS = [
    BSC(n_latents=4, data_mean=True),
    TSC(n_latents=4, data_mean=True),
    DSC(n_latents=4, values=(-1.0, 0.0, 1.0, 2.0), data_mean=True),
]
ESTEPS = {
    "exhaustive": Exhaustive(),
    "preselection": Preselection(n_candidates=4, max_active=3),
    "search": Search(n_states=6),
}
OFFSETS = {
    "all": np.full(6, 2.0**24),
    "columns": np.array([2.0**24, -(2.0**22), 0.0, 3.0, 2.0**20, -7.0]),
}


def learned(model, estep, offset, missing=False):
    """The free energies of all sweeps and the last parameters, of multiples of 2^-10 that are moved by `offset`."""
    problem, _ = make(model, estep, n_rows=120, block_rows=16, n_parts=2)
    values = np.round(problem.values * 1024) / 1024 + offset
    assert (values - offset == np.round(problem.values * 1024) / 1024).all()
    moments = Moments(len(values), values.mean(axis=0), values.var(axis=0))
    params = model.initial(moments, stream(0, "initial parameters").generator())
    if missing:
        values[np.random.default_rng(1).random(values.shape) < 0.2] = np.nan
    state, reports = train(problem._replace(values=values), params, 12)
    return np.array([each.free_energy for each in reports]), state.params


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("estep", ESTEPS)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_an_offset_moves_the_data_mean_and_nothing_else(model, estep, offset):
    expected, known = learned(model, ESTEPS[estep], np.zeros(6))
    found, params = learned(model, ESTEPS[estep], OFFSETS[offset])
    assert found == pytest.approx(expected, abs=1e-6)
    assert params["mu"] - OFFSETS[offset] == pytest.approx(known["mu"], abs=1e-6)
    for name in set(known) - {"mu", "center"}:
        assert params[name] == pytest.approx(known[name], rel=1e-6, abs=1e-6), name


def test_an_offset_moves_the_data_mean_where_entries_are_missing():
    expected, known = learned(MODELS[0], ESTEPS["exhaustive"], np.zeros(6), missing=True)
    found, params = learned(MODELS[0], ESTEPS["exhaustive"], OFFSETS["all"], missing=True)
    assert found == pytest.approx(expected, abs=1e-6)
    assert params["W"] == pytest.approx(known["W"], abs=1e-6)


def test_data_that_lie_around_zero_are_measured_from_there():
    _, params = learned(MODELS[0], ESTEPS["exhaustive"], np.zeros(6))
    assert (params["center"] == 0).all()


@pytest.mark.parametrize("offset", [1e6, 1e8, 1e9])
def test_without_a_mean_no_offset_ends_a_run(offset):
    """Digits are lost, of which the census warns; the bound on rounding knows of them."""
    problem, _ = make(BSC(n_latents=4), n_rows=120, block_rows=16)
    values = problem.values + offset
    moments = Moments(len(values), values.mean(axis=0), values.var(axis=0))
    params = problem.model.initial(moments, stream(0, "initial parameters").generator())
    _, reports = train(problem._replace(values=values), params, 10)
    assert np.isfinite([each.free_energy for each in reports]).all()

"""Discrete sparse coding beside its plain definition, and with alphabets of any size."""

import numpy as np
import pytest

from prosper_ng.estep.preselection import Preselection
from prosper_ng.estep.search import Search
from prosper_ng.models.dsc import DSC
from prosper_ng.numerics.random_streams import stream
from prosper_ng.testing import ModelCase, parametrize_with_checks
from prosper_ng.testing.edge_checks import DATA, small_problem
from prosper_ng.testing.problems import moments_of
from prosper_ng.training.em import TruncatedEM, start
from prosper_ng.training.settings import Training
from tests.models.test_bsc import log_density, mean_of_linear, variance


def prior(model, params, states):
    """(S,) log p(s)."""
    pi = np.broadcast_to(params["pi"], (states.shape[1], model.space.n_values))
    pi = pi / pi.sum(axis=1, keepdims=True)
    return ((states[..., None] == model.space.values) * np.log(pi)).sum(axis=(-1, -2))


def log_joint(model, params, values, states, observed):
    """(n, S) log p(s, y)."""
    means = mean_of_linear(model, params, states)
    return log_density(params, values, means, observed) + prior(model, params, states)


def case(**options):
    return ModelCase(lambda n_latents: DSC(n_latents=n_latents, **options), log_joint, prior, mean_of_linear, variance)


CASES = {
    "dsc": case(values=(-1.5, 0.0, 0.5, 2.0)),
    "dsc-own": case(values=(0.0, 1.0, 3.0), shared_pi=False),
}


@parametrize_with_checks(CASES)
def test_contract(check):
    check()


@pytest.mark.parametrize("n_values", range(2, 10))
@pytest.mark.parametrize("n_latents", [1, 3])
def test_alphabets_of_any_size(n_values, n_latents):
    model = DSC(n_latents=n_latents, values=tuple(np.linspace(-1.0, 0.0, n_values)))
    for estep in (Preselection(n_candidates=4, max_active=5), Search(n_states=6)):
        problem = small_problem(model, estep, DATA["plain"])
        params = model.initial(moments_of(DATA["plain"]), stream(0, "initial parameters").generator())
        reports = list(TruncatedEM(problem, Training(n_sweeps=5)).sweeps(start(problem, params)))
        assert reports[-1].free_energy > reports[0].free_energy


def test_the_unit_of_large_values_is_that_of_the_first_dictionary():
    """Else the largest value explains nothing at first, and the smallest one takes what belongs to all of them."""
    moments = moments_of(DATA["plain"])

    def first(*values):
        return DSC(n_latents=3, values=values).initial(moments, stream(0, "initial parameters").generator())["W"]

    np.testing.assert_allclose(4 * first(0.0, 1.0, 6.0, 8.0), first(0.0, 0.25, 1.5, 2.0))
    np.testing.assert_allclose(40 * first(0.0, -80.0, 10.0), first(0.0, -2.0, 0.25))
    assert np.array_equal(first(0.0, 1.0, 2.0), first(0.0, 1.0))

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.estep.preselection import Preselection
from prosper_ng.models.bsc import BSC
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.truncated_prior import corrected_activity, count_distribution, covered, room
from prosper_ng.training.annealing import Annealing
from tests.helpers.em_problems import make, train

ACTIVITIES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8).map(np.array)
INNER = st.lists(st.floats(1e-6, 0.999), min_size=1, max_size=8).map(np.array)
CASES = settings(deadline=None, max_examples=60)


def all_states(pi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every state and its prior probability."""
    states = np.array(list(product((0, 1), repeat=len(pi))))
    return states, np.prod(np.where(states == 1, pi, 1 - pi), axis=1)


@CASES
@given(ACTIVITIES)
def test_the_distribution_of_the_number_of_active_latents(pi):
    states, probability = all_states(pi)
    expected = np.bincount(states.sum(axis=1), weights=probability, minlength=len(pi) + 1)
    assert count_distribution(pi) == pytest.approx(expected, rel=1e-12, abs=1e-15)


@CASES
@given(ACTIVITIES, st.integers(1, 10))
def test_mass_and_expected_number_within_gamma(pi, max_active):
    states, probability = all_states(pi)
    n_active = states.sum(axis=1)
    inside = n_active <= max_active
    mass, expected = covered(pi, max_active)
    assert mass == pytest.approx(probability[inside].sum(), rel=1e-12, abs=1e-15)
    assert expected == pytest.approx((probability * n_active)[inside].sum(), rel=1e-12, abs=1e-15)


def mean_within(pi: np.ndarray, max_active: int) -> np.ndarray:
    """The mean activity of rows with at most gamma active latents."""
    states, probability = all_states(pi)
    inside = states.sum(axis=1) <= max_active
    return probability[inside] @ states[inside] / probability[inside].sum()


@CASES
@given(ACTIVITIES, st.integers(1, 10))
def test_the_room_beside_the_others(pi, max_active):
    states, probability = all_states(pi)
    for h, found in enumerate(room(pi, max_active)):
        n_others = states.sum(axis=1) - states[:, h]
        below, within = (probability[n_others <= most].sum() for most in (max_active - 1, max_active))
        assert found == pytest.approx(within / below if below > 0 else 1.0, rel=1e-11)


@CASES
@given(INNER, st.integers(1, 10))
def test_rows_drawn_within_gamma_lead_back_to_the_activity_of_each_latent(pi, max_active):
    assert corrected_activity(mean_within(pi, max_active), pi, max_active) == pytest.approx(pi, rel=1e-8)


@CASES
@given(INNER, st.integers(1, 8))
def test_correcting_again_and_again_ends_at_the_activities_that_made_the_rows(pi, max_active):
    """Never farther from the truth in any latent's log odds, and there in the end unless nearly all rows are full."""
    mean, truth = mean_within(pi, max_active), np.log(pi) - np.log1p(-pi)
    found, distance = np.full(len(pi), 1 / max(len(pi), 2)), np.inf
    for _ in range(300):
        found = np.clip(corrected_activity(mean, found, max_active), 1e-10, 1 - 1e-10)
        before, distance = distance, np.abs(np.log(found) - np.log1p(-found) - truth).max()
        # The first step is that of equal activities.
        assert distance <= before + 1e-9 or before == np.inf
    if mean.sum() < 0.9 * max_active:
        assert found == pytest.approx(pi, rel=1e-6)


@CASES
@given(st.floats(1e-6, 0.999), st.integers(1, 8), st.integers(1, 8), st.floats(0.0, 1.0))
def test_equal_activities_are_corrected_as_by_lucke_and_eggert(pi, n_latents, max_active, mean):
    activity = np.full(n_latents, pi)
    mass, expected = covered(activity, max_active)
    factor = activity.sum() * mass / expected
    assert corrected_activity(mean * activity, activity, max_active) == pytest.approx(mean * activity * factor)
    within = mean_within(activity, max_active)
    assert corrected_activity(within, activity, max_active) == pytest.approx(activity, rel=1e-9)


def test_nothing_is_corrected_where_gamma_leaves_nothing_out():
    pi, mean = np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.3, 0.4])
    assert corrected_activity(mean, pi, 3) == pytest.approx(mean, rel=1e-12)
    assert corrected_activity(mean, np.zeros(3), 2) == pytest.approx(mean)


def test_a_thousand_latents():
    pi = np.full(1000, 0.002)
    mass, expected = covered(pi, 4)
    # A Poisson variable with mean 2, nearly.
    assert mass == pytest.approx(0.9473, abs=1e-3)
    assert expected == pytest.approx(2 * 0.8571, abs=2e-3)
    # The room of each latent, from the probabilities of at most 4 and 3 of a Poisson variable.
    assert room(pi, 4) == pytest.approx(np.full(1000, 0.9473 / 0.8571), abs=2e-3)


@pytest.mark.parametrize("often", [0.5, 0.999, 1 - 1e-10])
def test_frequent_latents_among_a_thousand(often):
    """Where a share of all sums would be less than the smallest number, and where digits would cancel."""
    pi = np.full(1200, 1e-4)
    pi[:3] = often
    rare = count_distribution(pi[3:])[:6]
    frequent = count_distribution(np.full(2, often))
    counts = np.convolve(frequent, rare)[:6]
    assert room(pi, 5)[0] == pytest.approx(counts.sum() / counts[:5].sum(), rel=1e-12)
    pi[:] = often
    assert np.isfinite(found := room(pi, 5)).all()
    assert (found > 100).all()


def test_activities_are_learned_from_the_rows_that_gamma_explains():
    """Also where latents differ in how often they are active, which a correction by one factor for all gets wrong."""
    truth, n_rows = np.array([0.7, 0.4, 0.2, 0.1, 0.1, 0.05]), 20_000
    rng = np.random.default_rng(0)
    W = 10 * np.eye(6)
    values = (rng.random((n_rows, 6)) < truth) @ W.T + rng.standard_normal((n_rows, 6))
    params = NamedArrays.of(W=W, sigma=1.0, pi=np.full(6, 1 / 6))
    estep = Preselection(n_candidates=6, max_active=2)
    problem, params = make(BSC(n_latents=6), estep, block_rows=1024, n_rows=n_rows, params=params)
    annealing = Annealing(data_pruning=1.0)
    state, _ = train(problem._replace(values=values), params, 25, learn=("pi",), annealing=annealing)
    within = (rng.random((10 * n_rows, 6)) < truth).sum(axis=1) <= 2
    assert state.params["pi"] == pytest.approx(truth, abs=4 * 0.5 / np.sqrt(n_rows * within.mean()))

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.numerics.truncated_prior import corrected_activity, count_distribution, covered

ACTIVITIES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8).map(np.array)
INNER = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=8).map(np.array)
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


@CASES
@given(INNER, st.integers(1, 10))
def test_rows_drawn_within_gamma_lead_back_to_the_sum_of_the_activities(pi, max_active):
    """The mean activity of rows with at most gamma active latents, corrected, adds up to that of all rows."""
    states, probability = all_states(pi)
    inside = states.sum(axis=1) <= max_active
    mass = probability[inside].sum()
    if mass < 1e-12 or not (states[inside] * probability[inside, None]).any():
        return
    mean = (states * probability[:, None])[inside].sum(axis=0) / mass
    assert corrected_activity(mean, pi, max_active).sum() == pytest.approx(pi.sum(), rel=1e-9)


@CASES
@given(st.floats(1e-6, 0.999), st.integers(1, 8), st.integers(1, 8))
def test_equal_activities_are_a_fixed_point(pi, n_latents, max_active):
    """Where all latents are alike, the true activity is what the correction makes of the mean within gamma."""
    activity = np.full(n_latents, pi)
    states, probability = all_states(activity)
    inside = states.sum(axis=1) <= max_active
    mean = (states * probability[:, None])[inside].sum(axis=0) / probability[inside].sum()
    assert corrected_activity(mean, activity, max_active) == pytest.approx(activity, rel=1e-9)


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

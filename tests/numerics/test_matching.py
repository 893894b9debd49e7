"""Learned fields against true ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

from prosper_ng.numerics.matching import _best_pairs, amari_index, cosines, recovered

FIELDS = np.random.default_rng(1).normal(size=(40, 6))


@given(order=st.permutations(range(6)), scale=st.floats(1e-160, 1e160))
def test_permuted_and_scaled_fields_are_all_found(order, scale):
    found, assignment, correlations = recovered(FIELDS, scale * FIELDS[:, order])
    assert found == 6
    np.testing.assert_array_equal(np.array(order)[assignment], np.arange(6))
    np.testing.assert_allclose(correlations, 1)


def test_a_learned_field_stands_for_one_true_field_only():
    """Three copies of field 0 are one field."""
    result = recovered(FIELDS[:, :3], FIELDS[:, [0, 0, 0]])
    assert result.found == 1
    assert sorted(result.assignment) == [0, 1, 2]


def test_the_threshold_is_on_the_cosine():
    true, learned = np.array([[1.0], [0.0]]), np.array([[np.cos(0.5)], [np.sin(0.5)]])
    assert recovered(true, learned, threshold=np.cos(0.5) - 1e-9).found == 1
    assert recovered(true, learned, threshold=np.cos(0.5) + 1e-9).found == 0
    assert recovered(true, learned).correlations[0] == pytest.approx(np.cos(0.5))


def test_means_are_part_of_a_field():
    """A constant shift changes the direction, unlike in Pearson's correlation."""
    assert recovered(FIELDS[:, :1], FIELDS[:, :1] + 3).found == 0


def test_signs_count_unless_ignored():
    flipped = FIELDS * np.array([1, -1, 1, -1, -1, 1])
    assert recovered(FIELDS, flipped).found == 3
    found, assignment, correlations = recovered(FIELDS, flipped, ignore_sign=True)
    assert found == 6
    np.testing.assert_array_equal(assignment, np.arange(6))
    np.testing.assert_allclose(correlations, [1, -1, 1, -1, -1, 1])


def test_the_matching_is_the_best_of_all():
    """Greedy pairs would take (0, 0) first and leave (1, 1) with nothing."""
    learned = np.array([[1.0, 0.9], [0.0, 0.1]])
    true = np.array([[1.0, 1.0], [0.0, -0.4]])
    similarity = cosines(true, learned)
    result = recovered(true, learned)
    best = max(similarity[0, 0] + similarity[1, 1], similarity[0, 1] + similarity[1, 0])
    assert result.correlations.sum() == pytest.approx(best)
    np.testing.assert_array_equal(result.assignment, [1, 0])


@pytest.mark.parametrize(("n_true", "n_learned"), [(6, 4), (4, 6), (6, 0), (0, 6)])
def test_the_numbers_of_fields_may_differ(n_true, n_learned):
    result = recovered(FIELDS[:, :n_true], FIELDS[:, :n_learned])
    assert result.found == min(n_true, n_learned)
    assert np.count_nonzero(result.assignment == -1) == max(n_true - n_learned, 0)
    assert len(result.correlations) == n_true


def test_a_field_of_zeros_is_like_nothing():
    learned = FIELDS.copy()
    learned[:, 2] = 0
    result = recovered(FIELDS, learned)
    assert result.found == 5
    assert result.correlations[2] == 0


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="same D"):
        recovered(FIELDS, FIELDS[:-1])
    with pytest.raises(ValueError, match="not finite"):
        recovered(FIELDS, np.where(FIELDS > 2, np.nan, FIELDS))


@given(order=st.permutations(range(6)), scale=st.floats(1e-150, 1e150), sign=st.sampled_from([-1, 1]))
def test_the_amari_index_does_not_see_order_scale_and_sign(order, scale, sign):
    scales = np.geomspace(1, 1e3, 6) * [sign, 1, sign, 1, 1, -1]
    assert amari_index(FIELDS, scale * FIELDS[:, order] * scales) == pytest.approx(0, abs=1e-12)


def test_the_amari_index_is_that_of_the_mixture_that_is_left():
    """W_learned P = W_true, so that P can be had by choice; the formula by loops. It lies in the 0.4s for random P."""
    rng = np.random.default_rng(2)
    P = rng.normal(size=(6, 6)) / np.sqrt(6)
    true = FIELDS @ np.linalg.inv(P) @ np.diag(1 / np.linalg.norm(FIELDS @ np.linalg.inv(P), axis=0))
    left = np.abs(np.linalg.pinv(true / np.linalg.norm(true, axis=0)) @ (FIELDS / np.linalg.norm(FIELDS, axis=0)))
    rows = sum(sum(left[i, j] for j in range(6)) / max(left[i]) - 1 for i in range(6))
    columns = sum(sum(left[i, j] for i in range(6)) / max(left[:, j]) - 1 for j in range(6))
    assert amari_index(FIELDS, true) == pytest.approx((rows + columns) / 60)
    at_random = [amari_index(FIELDS, rng.normal(size=(40, 6))) for _ in range(200)]
    assert 0.35 < np.mean(at_random) < 0.55
    # Wholly mixed: all entries of P alike.
    assert amari_index(np.eye(2), np.array([[1.0, 1.0], [1.0, -1.0]])) == pytest.approx(1)


def test_the_amari_index_of_elements_that_hold_nothing_is_high():
    learned = FIELDS.copy()
    learned[:, 2] = 0
    # The row of the element counts as 5 of the 60 there are.
    assert 5 / 60 < amari_index(FIELDS, learned) < 0.2
    assert amari_index(FIELDS, np.zeros_like(FIELDS)) == 1


@pytest.mark.parametrize("shape", [(40, 5), (40, 7)])
def test_the_amari_index_needs_as_many_elements(shape):
    assert amari_index(FIELDS, np.ones(shape)) is None


def test_the_amari_index_needs_a_mixing_that_can_be_undone():
    assert amari_index(FIELDS[:5], FIELDS[:5]) is None
    bars = np.concatenate([np.kron(np.eye(3), np.ones((1, 3))), np.kron(np.ones((1, 3)), np.eye(3))]).T
    assert amari_index(bars, bars) is None
    assert amari_index(FIELDS[:, :1], FIELDS[:, :1]) is None
    with pytest.raises(ValueError, match="expected as many rows"):
        amari_index(FIELDS, FIELDS[:39])


@given(scores=hnp.arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.integers(-3, 3)))
def test_the_pairs_are_those_of_the_assignment_problem(scores):
    """Where all have their best, which needs no search, as elsewhere; ties are left to the search."""
    elements, partners = _best_pairs(scores)
    expected = linear_sum_assignment(scores, maximize=True)
    np.testing.assert_array_equal(elements, expected[0])
    np.testing.assert_array_equal(partners, expected[1])

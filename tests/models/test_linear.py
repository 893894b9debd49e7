import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.numerics.linear import (
    diagonal_of_packed,
    packed,
    scale_packed,
    solve_least_change,
    symmetric,
    times_symmetric,
    unpacked,
)
from prosper_ng.numerics.named_arrays import packed_size

CASES = settings(deadline=None, max_examples=100)
SEEDS = st.integers(0, 2**32)


def second_moment(states: np.ndarray) -> np.ndarray:
    return states.T @ states


def objective(X: np.ndarray, moment: np.ndarray, right: np.ndarray) -> float:
    """What the M-step minimizes over W, up to a constant."""
    return float(np.vdot(X @ moment, X) - 2 * np.vdot(X, right))


@CASES
@given(n_observed=st.integers(1, 6), n_latents=st.integers(1, 12), seed=SEEDS, spread=st.floats(0, 4))
def test_a_regular_system_is_solved_whatever_the_old_values(n_observed, n_latents, seed, spread):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-spread, spread, n_latents)  # some latents are far less active than others
    states = rng.standard_normal((20 * n_latents, n_latents))
    moment = second_moment(states * scale)
    truth = rng.standard_normal((n_observed, n_latents)) / scale
    found = solve_least_change(moment, truth @ moment, rng.standard_normal((n_observed, n_latents)))
    assert (found - truth) * scale == pytest.approx(np.zeros_like(truth), abs=1e-9 * np.abs(truth * scale).max())


@CASES
@given(n_observed=st.integers(1, 5), n_latents=st.integers(1, 10), rank=st.integers(0, 10), seed=SEEDS)
def test_where_the_equations_leave_it_open_the_old_values_stay(n_observed, n_latents, rank, seed):
    rng = np.random.default_rng(seed)
    states = rng.standard_normal((30, min(rank, n_latents))) @ rng.standard_normal((min(rank, n_latents), n_latents))
    moment, old = second_moment(states), rng.standard_normal((n_observed, n_latents))
    right = rng.standard_normal((n_observed, 30)) @ states
    found = solve_least_change(moment, right, old)
    assert found @ moment == pytest.approx(right, abs=1e-7 * (1 + np.abs(right).max()))
    # Of all solutions the nearest: the change is in the row space of the moment, each latent measured at its own scale.
    scale = np.sqrt(np.diagonal(moment))
    change, basis = (found - old) * scale, np.linalg.svd(states / np.where(scale > 0, scale, 1.0))[2]
    null = basis[np.linalg.matrix_rank(states) :]
    assert change @ null.T == pytest.approx(np.zeros((n_observed, len(null))), abs=1e-7 * (1 + np.abs(change).max()))


def test_latents_that_no_state_used_keep_exactly_what_they_had():
    rng = np.random.default_rng(0)
    states = rng.standard_normal((50, 4))
    states[:, [1, 3]] = 0.0
    old, values = rng.standard_normal((6, 4)), rng.standard_normal((50, 6))
    found = solve_least_change(second_moment(states), values.T @ states, old)
    assert (found[:, [1, 3]] == old[:, [1, 3]]).all()
    used = np.linalg.lstsq(states[:, [0, 2]], values, rcond=None)[0].T
    assert found[:, [0, 2]] == pytest.approx(used, rel=1e-9)


@pytest.mark.parametrize("width", [1.0, 3.0, 10.0, 30.0])
def test_latents_that_all_nearly_depend_on_each_other_never_make_the_fit_worse(width):
    """Moments such as a Gaussian kernel have eigenvalues of all sizes, down to rounding errors."""
    places, rng = np.arange(60.0), np.random.default_rng(0)
    moment = np.exp(-0.5 * ((places[:, None] - places) / width) ** 2)
    right, old = rng.standard_normal((3, 60)) @ moment, rng.standard_normal((3, 60))
    found = solve_least_change(moment, right, old)
    assert objective(found, moment, right) <= objective(old, moment, right)
    assert found @ moment == pytest.approx(right, abs=1e-4)


@pytest.mark.parametrize("place", [(0, 0), (2, 1)])
def test_what_is_not_a_number_is_not_passed_over(place):
    moment = np.eye(4)
    moment[place] = moment[place[::-1]] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        solve_least_change(moment, np.ones((2, 4)), np.zeros((2, 4)))


def test_nothing_at_all_was_used():
    old = np.arange(6.0).reshape(2, 3)
    assert (solve_least_change(np.zeros((3, 3)), np.zeros((2, 3)), old) == old).all()


@CASES
@given(
    n_observed=st.integers(1, 4),
    signs=st.lists(st.sampled_from([-3.0, -1.0, 1.0, 2.0]), min_size=3, max_size=9),
    seed=SEEDS,
)
def test_equal_and_opposite_latents_share_evenly_in_units_of_their_own(n_observed, signs, seed):
    """Repeated with other signs and scales, of whatever unit, the change is that of the pseudo-inverse."""
    rng = np.random.default_rng(seed)
    sources = rng.integers(0, 3, len(signs))
    states = rng.standard_normal((40, 3))[:, sources] * np.array(signs)
    moment, old = second_moment(states), rng.standard_normal((n_observed, len(signs)))
    right, scale = rng.standard_normal((n_observed, 40)) @ states, np.sqrt(np.diagonal(moment))
    found = solve_least_change(moment, right, old)
    change = (right - old @ moment) / scale @ np.linalg.pinv(moment / np.outer(scale, scale), hermitian=True, rtol=1e-9)
    assert (found - old) * scale == pytest.approx(change, abs=1e-9 * (1 + np.abs(change).max()))


@pytest.mark.parametrize("n_copies", [2, 5])
def test_latents_that_are_only_ever_used_together_share_what_was_learned(n_copies):
    rng = np.random.default_rng(1)
    alone, together = rng.standard_normal(40), rng.standard_normal(40)
    states = np.column_stack([alone, *[together] * n_copies])
    old, values = rng.standard_normal((3, 1 + n_copies)), rng.standard_normal((40, 3))
    found = solve_least_change(second_moment(states), values.T @ states, old)
    best = np.linalg.lstsq(np.column_stack([alone, together]), values, rcond=None)[0].T
    assert found[:, 0] == pytest.approx(best[:, 0], rel=1e-7)
    assert found[:, 1:].sum(axis=1) == pytest.approx(best[:, 1], rel=1e-7)
    differences = found[:, 1:] - old[:, 1:]
    assert differences == pytest.approx(np.tile(differences[:, :1], n_copies), rel=1e-6)


@CASES
@given(n_latents=st.integers(2, 8), log_gap=st.floats(-14, 0), seed=SEEDS)
def test_nearly_dependent_latents_never_make_the_fit_worse(n_latents, log_gap, seed):
    """From regular over nearly singular to singular: whichever way is taken, the objective does not rise."""
    rng = np.random.default_rng(seed)
    states = rng.standard_normal((40, n_latents))
    states[:, 0] = states[:, 1] + 10.0**log_gap * states[:, 0]
    moment, old = second_moment(states), rng.standard_normal((3, n_latents))
    right = rng.standard_normal((3, 40)) @ states
    found = solve_least_change(moment, right, old)
    assert np.isfinite(found).all()
    before, after = objective(old, moment, right), objective(found, moment, right)
    sizes = [np.abs(X @ moment * X).sum() + np.abs(X * right).sum() for X in (old, found)]
    assert after <= before + 1e-12 * sum(sizes)


def test_tiny_and_huge_moments_are_no_reason_to_give_up():
    rng = np.random.default_rng(2)
    truth = rng.standard_normal((3, 4))
    for scale in (1e-140, 1e-20, 1e20, 1e140):
        states = scale * rng.standard_normal((50, 4))
        moment = second_moment(states)
        found = solve_least_change(moment, truth @ moment, np.zeros((3, 4)))
        assert found == pytest.approx(truth, rel=1e-8)


def test_the_old_values_are_not_touched():
    old = np.ones((2, 2))
    solve_least_change(np.eye(2), np.full((2, 2), 5.0), old)
    assert (old == 1.0).all()


@CASES
@given(n_observed=st.integers(1, 6), n_latents=st.integers(1, 70), seed=SEEDS)
def test_of_a_symmetric_matrix_only_the_lower_triangle_is_looked_at(n_observed, n_latents, seed):
    rng = np.random.default_rng(seed)
    left, lower = rng.standard_normal((n_observed, n_latents)), np.tril(rng.standard_normal((n_latents, n_latents)))
    whole = lower + np.tril(lower, -1).T
    lower[np.triu_indices(n_latents, 1)] = np.nan
    assert np.array_equal(symmetric(lower), whole)
    assert times_symmetric(left, packed(lower)) == pytest.approx(left @ whole, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_packed_triangle_is_its_matrix(n):
    values = np.random.default_rng(n).standard_normal((n + 3, n))
    matrix = values.T @ values
    triangle = packed(matrix)
    assert triangle.shape == (packed_size(n),)
    assert (unpacked(triangle) == np.tril(matrix) + np.tril(matrix, -1).T).all()
    assert (diagonal_of_packed(triangle) == np.diagonal(matrix)).all()
    scale = np.arange(1.0, n + 1)
    scale_packed(triangle, scale)
    assert (triangle == packed(matrix * np.outer(scale, scale))).all()
    triangle = packed(matrix)
    assert all(triangle[i * (i + 1) // 2 + j] == matrix[i, j] for i in range(n) for j in range(i + 1))

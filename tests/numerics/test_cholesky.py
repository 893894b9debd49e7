"""Covariances that may be singular; small matrices side by side."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.numerics.cholesky import (
    at_least,
    eliminate,
    factorize,
    inner_product,
    invert,
    invert_factor,
    outer_product,
    positive_definite,
)
from prosper_ng.numerics.vectors import LANES

MANY = settings(max_examples=30, deadline=None)
SHAPES = {"k": st.integers(0, 9), "seed": st.integers(0, 2**32)}


def covariances(k: int, n_lanes: int, seed: int) -> np.ndarray:
    """(n_lanes, k, k)."""
    roots = np.random.default_rng(seed).standard_normal((n_lanes, k, k + 1))
    return roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(k)


def in_lanes(matrices: np.ndarray) -> np.ndarray:
    """(k, k, lanes) with nothing but lower triangles."""
    return np.ascontiguousarray(np.where(np.tri(matrices.shape[1], dtype=bool), matrices, np.nan).transpose(1, 2, 0))


def lower(lanes: np.ndarray) -> np.ndarray:
    """(lanes, k, k) lower triangles."""
    return np.where(np.tri(len(lanes), dtype=bool), lanes.transpose(2, 0, 1), 0.0)


@MANY
@given(**SHAPES)
def test_factors_and_products_of_many_matrices(k, seed):
    matrices, others = covariances(k, LANES, seed), covariances(k, LANES, seed + 1)
    expected = np.linalg.cholesky(matrices)
    L, S = in_lanes(matrices), in_lanes(others)
    factorize(k, L)
    assert lower(L) == pytest.approx(expected, rel=1e-10, abs=1e-11)
    inverse, scratch, result = np.empty_like(L), np.empty_like(L), np.empty_like(L)
    invert_factor(k, L, inverse)
    assert lower(inverse) == pytest.approx(np.linalg.inv(expected), rel=1e-9, abs=1e-10)
    inner_product(k, L, S, scratch, result)
    inner = expected.transpose(0, 2, 1) @ others @ expected
    assert lower(result) == pytest.approx(np.tril(inner), rel=1e-10, abs=1e-10)
    outer_product(k, L, S, scratch, result)
    outer = expected @ others @ expected.transpose(0, 2, 1)
    assert lower(result) == pytest.approx(np.tril(outer), rel=1e-10, abs=1e-10)


@MANY
@given(**SHAPES)
def test_solutions_determinants_and_inverses_of_many_matrices(k, seed):
    matrices = covariances(k, LANES, seed) + np.eye(k)
    u = np.random.default_rng(seed).standard_normal((LANES, k))
    bordered = np.zeros((LANES, k + 1, k + 1))
    bordered[:, :k, :k], bordered[:, k, :k], bordered[:, k, k] = matrices, u, 3.0
    A, logs = in_lanes(bordered), np.empty((2, LANES))
    eliminate(k, A, logs)
    inverses = np.linalg.inv(matrices)
    solutions = np.einsum("lij,lj->li", inverses, u)
    assert A[k, k] == pytest.approx(3.0 - np.einsum("li,li->l", u, solutions), rel=1e-9, abs=1e-9)
    assert np.log(logs[0]) + logs[1] == pytest.approx(np.linalg.slogdet(matrices)[1], rel=1e-10, abs=1e-10)
    invert(k, A)
    solved = A[k, :k].T
    assert solved == pytest.approx(solutions, rel=1e-9, abs=1e-9)
    assert lower(A)[:, :k, :k] == pytest.approx(np.tril(inverses), rel=1e-9, abs=1e-9)


def test_determinants_larger_than_the_largest_number():
    k, pivots = 40, 1.0 + np.resize([0.0, 1e30, 1e90], LANES)
    A, logs = np.zeros((k + 1, k + 1, LANES)), np.empty((2, LANES))
    for i in range(k):
        A[i, i] = pivots
    eliminate(k, A, logs)
    assert np.all((logs[0] >= 1) & (logs[0] <= 1e100))
    assert np.log(logs[0]) + logs[1] == pytest.approx(k * np.log(pivots), rel=1e-12)


def test_what_is_no_number_stays_none():
    """Else a pivot would be raised to 1, and a wrong posterior come of it in silence."""
    A = np.zeros((3, 3, LANES))
    A[0, 0], A[1, 1], A[0, 0, 2] = 2.0, 3.0, np.nan
    A[1, 0], A[2, :2] = 0.1, 1.0
    eliminate(2, A, np.empty((2, LANES)))
    assert np.flatnonzero(np.isnan(A[2, 2])).tolist() == [2]


def test_stiff_directions_keep_their_precision():
    """B = I + 1e12 f fᵀ in twelve dimensions: fᵀ B⁻¹ f is 1e-12, of which substitution keeps ten digits."""
    k = 12
    f = np.random.default_rng(0).standard_normal(k)
    f /= np.linalg.norm(f)
    bordered = np.zeros((LANES, k + 1, k + 1))
    bordered[:, :k, :k], bordered[:, k, :k] = np.eye(k) + 1e12 * np.outer(f, f), 1e12 * f
    A = in_lanes(bordered)
    eliminate(k, A, np.empty((2, LANES)))
    invert(k, A)
    inverse = lower(A)[0, :k, :k]
    inverse = inverse + np.tril(inverse, -1).T
    assert A[k, :k, 0] == pytest.approx(f, abs=1e-3)
    assert 1e12 * (f @ (f - A[k, :k, 0])) == pytest.approx(1.0, abs=1e-2)
    assert 1e12 * (f @ inverse @ f) == pytest.approx(1.0, abs=1e-2)


@MANY
@given(k=st.integers(1, 6), seed=st.integers(0, 2**32))
def test_a_covariance_stays_as_it_is_whatever_its_units(k, seed):
    rng = np.random.default_rng(seed)
    units = 10.0 ** rng.uniform(-60, 60, k)
    matrix = covariances(k, 1, seed)[0] * units[:, None] * units
    assert positive_definite(matrix) == pytest.approx(matrix, rel=1e-15)
    assert positive_definite(np.tril(matrix) * 2 - np.diag(np.diagonal(matrix))) == pytest.approx(matrix, rel=1e-15)


@pytest.mark.parametrize(
    "matrix",
    [
        np.ones((3, 3)),
        np.zeros((2, 2)),
        np.diag([1.0, 0.0, 4.0]),
        np.diag([1e8, -1.0]),
        np.array([[1.0, 2.0], [2.0, 1.0]]),
        -np.eye(3),
    ],
)
def test_what_is_no_covariance_becomes_one_and_then_stays(matrix):
    found = positive_definite(matrix)
    np.linalg.cholesky(found)
    assert (found == found.T).all()
    assert np.abs(found - matrix).max() <= 1.1 * np.abs(np.minimum(np.linalg.eigvalsh(matrix), 0)).sum() + 1e-4
    assert positive_definite(found) == pytest.approx(found, rel=1e-12)


@MANY
@given(k=st.integers(1, 5), seed=st.integers(0, 2**32))
def test_raised_variances_are_the_best_of_all_that_are_large_enough(k, seed):
    rng = np.random.default_rng(seed)
    rank = rng.integers(0, k + 1)
    root = rng.standard_normal((k, rank))
    matrix, least = root @ root.T, rng.uniform(0.01, 0.5, k)

    def cost(covariance: np.ndarray) -> float:
        return float(np.linalg.slogdet(covariance)[1] + np.trace(np.linalg.solve(covariance, matrix)))

    best = at_least(matrix, least)
    assert np.linalg.eigvalsh((best - np.diag(least)) / np.sqrt(np.outer(least, least)))[0] > -1e-9
    for size in (1e-3, 0.1, 1.0):
        step = rng.standard_normal((k, k)) * size
        other = at_least(best + step + step.T, least)
        assert cost(other) >= cost(best) - 1e-9 * abs(cost(best)) - 1e-9
    large = matrix + np.eye(k)
    assert at_least(large, least) == pytest.approx(large, rel=1e-15)

"""Large symmetric matrices by tiles: the factor, solutions and products of LAPACK, whoever computes which part."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.numerics import tiles
from prosper_ng.numerics.linear import packed
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.team import on_team


def positive_definite(n, seed):
    root = np.random.default_rng(seed).standard_normal((n, n))
    return root @ root.T + np.eye(n)


def all_of(matrix, right, group):
    factor = matrix.copy()
    assert tiles.factorize(factor, group)
    return np.tril(factor), tiles.solutions(factor, right, group), tiles.products(right, packed(matrix), group)


@given(n=st.integers(1, 400), m=st.integers(1, 90), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_they_are_those_of_lapack(n, m, seed):
    matrix, right = positive_definite(n, seed), np.random.default_rng(seed).standard_normal((m, n))
    factor, solution, product = all_of(matrix, right, SerialCommunicator())
    # The size of a factor is the root of that of its matrix, so is what rounding does to it.
    scale = n * np.sqrt(np.abs(matrix).max())
    assert np.allclose(factor, np.linalg.cholesky(matrix), rtol=0, atol=1e-12 * scale)
    assert np.allclose(solution @ matrix, right, rtol=0, atol=1e-12 * n * np.linalg.cond(matrix))
    assert np.allclose(product, right @ matrix, rtol=1e-12, atol=1e-12 * np.abs(matrix).max() * n)


@given(n=st.integers(120, 700), m=st.integers(1, 200), size=st.integers(2, 6))
@settings(max_examples=12, deadline=None)
def test_no_bit_depends_on_who_computes_what(n, m, size):
    matrix, right = positive_definite(n, 1), np.random.default_rng(2).standard_normal((m, n))
    alone = all_of(matrix, right, SerialCommunicator())
    for together in on_team(size, lambda comm: all_of(matrix, right, comm)):
        for one, other in zip(alone, together, strict=True):
            assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("place", [0, 127, 128, 300, 499])
@pytest.mark.parametrize("value", [-1.0, np.nan])
def test_all_are_told_where_there_is_no_factor(place, value):
    matrix = positive_definite(500, 3)
    matrix[place, place] = value
    assert on_team(3, lambda comm: tiles.factorize(matrix.copy(), comm)) == [False] * 3

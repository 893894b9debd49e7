"""Quadratic bounds, climbed within limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.numerics.linear import packed
from prosper_ng.numerics.quadratic_bounds import climb


def bound_of(U, targets, moment):
    """(D,) of the rows of U."""
    return np.sum(targets * U, axis=1) / 4 - np.einsum("di,ij,dj->d", U, moment, U) / 8


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 4), st.integers(1, 12), st.sampled_from([1.0, 50.0, 500.0]),
    st.sampled_from([1.0, 1.9]), st.sampled_from([(True, True), (True, False), (False, True)]),
    st.integers(0, 2**32),
)  # fmt: skip
def test_steps_stay_legal_and_lower_no_bound(k, D, n_states, size, relaxation, learned, seed):
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.integers(0, 2, (n_states, k)), np.ones(n_states)]) * rng.random((n_states, 1))
    old = np.clip(size * rng.standard_normal((D, k + 1)), -50, 50)
    moment, targets = x.T @ x, (size * rng.standard_normal((D, n_states))) @ x
    new = climb(old, targets, packed(moment), learned, relaxation, 50.0)
    assert (np.abs(new[:, :-1]) <= 50).all()
    before, after = bound_of(old, targets, moment), bound_of(new, targets, moment)
    assert (after >= before - 1e-11 * (1 + size**2 * n_states)).all()
    assert (new[:, :-1] == old[:, :-1]).all() or learned[0]
    assert (new[:, -1] == old[:, -1]).all() or learned[1]


def test_a_bound_on_a_weight_holds_nothing_else_back():
    """Weights at their bounds leave again, and the others go where they would with these held there."""
    x = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 1], [0, 0, 1]], float)
    wanted = np.array([[80.0, 3.0, -2.0], [-20.0, 5.0, 1.0]])
    moment, targets = x.T @ x, wanted @ x.T @ x
    old = np.array([[0.0, 0.0, 0.0], [50.0, 0.0, 0.0]])
    for _ in range(30):
        old = climb(old, targets, packed(moment), (True, True), 1.0, 50.0)
    free = moment[1:, 1:]
    held = np.linalg.solve(free, targets[0, 1:] - 50 * moment[0, 1:])
    assert old[0] == pytest.approx([50, *held])
    assert old[1] == pytest.approx(wanted[1])

"""Constraints: what they let pass, what they make of what is illegal, and what they say of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prosper_ng.numerics.constraints import (
    BINARY,
    COUNTS,
    COVARIANCE,
    NONNEGATIVE,
    POSITIVE,
    REAL,
    SIMPLEX,
    UNIT,
    Simplex,
    interval,
)

SINGLE = {
    "real": REAL,
    "nonnegative": NONNEGATIVE,
    "positive": POSITIVE,
    "unit": UNIT,
    "below": interval(-np.inf, 3.0),
    "probability": interval(1e-10, 1 - 1e-10),
    "scale": interval(1e-100, np.inf),
    "binary": BINARY,
    "counts": COUNTS,
    "simplex": SIMPLEX,
    "inner simplex": Simplex(1e-3),
}
ALL = SINGLE | {"covariance": COVARIANCE}
NUMBERS = st.floats(-1e6, 1e6)


def is_legal(constraint, values) -> bool:
    return constraint.first_illegal(values) is None and constraint.fault(values) is None


@pytest.mark.parametrize("constraint", SINGLE.values(), ids=SINGLE)
@given(values=arrays(np.float64, (3, 4), elements=NUMBERS))
def test_the_nearest_values_are_legal_and_stay_as_they_are(constraint, values):
    near = constraint.nearest(values)
    assert is_legal(constraint, near)
    assert constraint.nearest(near) == pytest.approx(near, rel=1e-12, abs=1e-12)
    assert near.shape == values.shape


@given(
    size=st.integers(1, 5), seed=st.integers(0, 2**32), noise=st.sampled_from([1e-3, 0.5, 100.0]),
    unit=st.sampled_from([1e-30, 1.0, 1e20]),
)  # fmt: skip
def test_a_noisy_covariance_becomes_one_whatever_the_units_of_its_variables(size, seed, noise, unit):
    rng = np.random.default_rng(seed)
    units = np.where(np.arange(size) % 2, unit, 1.0)
    legal = COVARIANCE.feasible((2, size, size), rng) * np.outer(units, units)
    assert is_legal(COVARIANCE, legal)
    noisy = legal + noise * rng.standard_normal(legal.shape) * np.outer(units, units)
    near = COVARIANCE.nearest(noisy)
    assert is_legal(COVARIANCE, near)
    assert (near == np.swapaxes(near, 1, 2)).all()
    assert (COVARIANCE.nearest(near) == near).all()
    assert (COVARIANCE.nearest(legal) == legal).all()


def test_negative_variances_are_mirrored_in_every_direction():
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    matrix = (vectors * [2.0, 1.0, -0.5]) @ vectors.T
    diagonal = np.sqrt(np.abs(np.diagonal(matrix)))
    correlations = matrix / np.outer(diagonal, diagonal)
    near = COVARIANCE.nearest(matrix) / np.outer(diagonal, diagonal)
    expected = np.abs(np.linalg.eigvalsh(correlations))
    assert np.linalg.eigvalsh(near) == pytest.approx(np.sort(expected), rel=1e-9)
    assert is_legal(COVARIANCE, COVARIANCE.nearest(np.ones((3, 3))))
    assert is_legal(COVARIANCE, COVARIANCE.nearest(np.zeros((3, 3))))
    assert is_legal(COVARIANCE, COVARIANCE.nearest(-np.eye(3)))


@pytest.mark.parametrize("constraint", ALL.values(), ids=ALL)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 6))
def test_feasible_values_are_legal(constraint, seed, n):
    values = constraint.feasible((n, n), np.random.default_rng(seed))
    assert values.shape == (n, n)
    assert values.dtype == np.float64
    assert is_legal(constraint, values)


def reflected(values, low, high):
    """As noise on parameters was reflected before there were constraints."""
    if np.isfinite(low) and np.isfinite(high):
        width = high - low
        return np.asarray(low + width - np.abs((values - low) % (2 * width) - width))
    if np.isfinite(low):
        return np.asarray(low + np.abs(values - low))
    return np.asarray(high - np.abs(high - values)) if np.isfinite(high) else values


@pytest.mark.parametrize(
    ("low", "high"), [(-np.inf, np.inf), (0.0, np.inf), (1e-100, np.inf), (1e-10, 1 - 1e-10), (-np.inf, 2.0), (-3, 1)]
)
@given(values=arrays(np.float64, 8, elements=NUMBERS))
def test_an_interval_reflects_with_the_same_bits_as_ever(low, high, values):
    expected = np.clip(reflected(values, low, high), low, high)
    assert interval(low, high).nearest(values).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("constraint", "values", "index"),
    [
        (REAL, [[1.0, 2.0], [3.0, np.inf]], (1, 1)),
        (NONNEGATIVE, [0.0, -1e-300], (1,)),
        (POSITIVE, [1e-300, 0.0], (1,)),
        (UNIT, [[0.0, 1.0], [1.0000001, -1.0]], (1, 0)),
        (BINARY, [[0.0, 1.0], [1.0, 0.5]], (1, 1)),
        (BINARY, [2.0], (0,)),
        (COUNTS, [[0.0, 7.0, 1e15], [3.0, 2.5, -1.0]], (1, 1)),
        (COUNTS, [-1.0], (0,)),
        (COUNTS, [np.inf], (0,)),
        (SIMPLEX, [[0.5, 0.5], [0.5, 0.6]], (1, 0)),
        (SIMPLEX, [[0.5, 0.5], [1.5, -0.5]], (1, 1)),
        (COVARIANCE, [np.eye(2), np.ones((2, 2))], (1, 0, 0)),
        (COVARIANCE, [[1.0, 0.5], [0.4, 1.0]], (0, 0)),
        (COVARIANCE, [[1.0, np.nan], [0.4, 1.0]], (0, 1)),
        (REAL, 3.0, None),
        (BINARY, np.array([[True, False]]), None),
        (COUNTS, np.array([3, 4], np.uint8), None),
        (SIMPLEX, np.array([0.1, 0.2, 0.7], np.float32), None),
        (COVARIANCE, np.diag([1e-200, 1.0, 1e200]), None),
    ],
)
def test_the_first_illegal_value_is_named(constraint, values, index):
    assert constraint.first_illegal(values) == index
    assert (constraint.fault(values) is None) == (index is None)


@pytest.mark.parametrize("constraint", SINGLE.values(), ids=SINGLE)
def test_nan_is_legal_only_where_values_may_be_missing(constraint):
    values = constraint.feasible((3, 4), np.random.default_rng(0))
    values[1, 2] = np.nan
    assert constraint.first_illegal(values) == (1, 2)
    assert constraint.first_illegal(values, missing=True) is None
    values[2, 0] = -np.inf
    assert constraint.first_illegal(values, missing=True) == (2, 0)


@pytest.mark.parametrize(
    ("constraint", "values", "sentence"),
    [
        (REAL, [np.nan], "a finite number, not nan"),
        (interval(0.25, 0.75), [0.5, 2.5], "a number from 0.25 to 0.75, not 2.5"),
        (NONNEGATIVE, [-1.0], "a number of 0 or more, not -1"),
        (POSITIVE, [0.0], "a number above 0, not 0"),
        (BINARY, [0.5], "0 or 1, not 0.5"),
        (COUNTS, [2.5], "counts 0, 1, 2, ..., not 2.5"),
        (SIMPLEX, [0.5, 0.75], "probabilities of 0 or more that sum to 1, not numbers that sum to 1.25"),
        (SIMPLEX, [1.5, -0.5], "probabilities of 0 or more that sum to 1, not -0.5"),
        (COVARIANCE, np.diag([1.0, -2.0]), "a symmetric positive definite matrix, not one with an eigenvalue of -2"),
        (
            COVARIANCE, [[1.0, 0.5], [0.25, 1.0]],
            "a symmetric positive definite matrix, not one with 0.5 in row 0, column 1 and 0.25 in row 1, column 0",
        ),
        (COVARIANCE, np.full((2, 2), np.inf), "a symmetric positive definite matrix, not one that holds inf"),
        (COVARIANCE, np.ones((2, 3)), "a symmetric positive definite matrix, not an array of the shape (2, 3)"),
    ],
)  # fmt: skip
def test_what_is_legal_and_what_is_not_is_said(constraint, values, sentence):
    assert f"{constraint.words}, not {constraint.fault(values)}" == sentence


def test_a_number_means_an_array():
    assert (UNIT.given(0.5, (2, 3)) == np.full((2, 3), 0.5)).all()
    assert (COVARIANCE.given(2, (3, 3)) == 2 * np.eye(3)).all()
    assert (COVARIANCE.given(2.0, (2, 3, 3)) == 2 * np.stack([np.eye(3)] * 2)).all()
    assert SIMPLEX.given(0.7, (2, 4)) == pytest.approx(np.full((2, 4), 0.25))
    assert SIMPLEX.given([2.0, 1.0, 1.0], (3,)) == pytest.approx([0.5, 0.25, 0.25])
    assert not is_legal(SIMPLEX, SIMPLEX.given(-1.0, (4,)))
    assert not is_legal(SIMPLEX, SIMPLEX.given([3.0, -1.0], (2,)))
    assert not is_legal(SIMPLEX, SIMPLEX.given(0.0, (4,)))
    assert not is_legal(COVARIANCE, COVARIANCE.given(0.0, (3, 3)))
    kept = np.array([0.1, 0.2, 0.7000001])
    assert (SIMPLEX.given(kept, (3,)) == kept).all()


def test_an_empty_interval_is_an_error():
    with pytest.raises(ValueError, match="low < high"):
        interval(1.0, 1.0)

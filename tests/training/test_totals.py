import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.training.totals import PartTotals

SHAPES = {"n": (), "y_s": (3, 2)}
SIZE = 7
NUMBERS = st.floats(-1e12, 1e12, allow_subnormal=False)


def sums(values) -> NamedArrays:
    return NamedArrays(SHAPES, np.array(values, dtype=np.float64))


def filled(n_parts: int, n_replacements: int, seed: int = 0) -> tuple[PartTotals, NamedArrays, np.ndarray]:
    """Totals after many replacements, the last total, and what each part gave last."""
    rng = np.random.default_rng(seed)
    totals, last = PartTotals(SHAPES, n_parts), np.zeros((n_parts, SIZE))
    total = sums(np.zeros(SIZE))
    for _ in range(n_replacements):
        part = int(rng.integers(n_parts))
        last[part] = rng.standard_normal(SIZE) * 10.0 ** rng.integers(-8, 9, SIZE)
        total = totals.replace(part, sums(last[part]))
    return totals, total, last


def exact(parts: np.ndarray) -> np.ndarray:
    return np.array([math.fsum(column) for column in parts.T])


@pytest.mark.parametrize("n_parts", [1, 2, 7, 60])
def test_thousands_of_replacements_leave_no_trace(n_parts):
    _, total, last = filled(n_parts, 20_000)
    expected = exact(last)
    assert (np.abs(total.buffer - expected) <= np.spacing(np.abs(expected))).all()


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 3), st.lists(NUMBERS, min_size=SIZE, max_size=SIZE)), min_size=1))
def test_the_total_is_the_sum_of_what_the_parts_gave_last(visits):
    totals, last = PartTotals(SHAPES, 4), np.zeros((4, SIZE))
    largest = 0.0
    for part, values in visits:
        total = totals.replace(part, sums(values))
        last[part] = values
        largest = max(largest, *map(abs, values))
        assert (totals.part(part).buffer == values).all()
    expected = exact(last)
    # A number of 1e12 that came and went may leave 1e12 * 2^-104 behind, which is far below the last place of any sum
    # that does not cancel to nearly nothing.
    tolerance = np.spacing(np.abs(expected)) + 2.0**-100 * largest * len(visits)
    assert (np.abs(total.buffer - expected) <= tolerance).all()


def test_parts_are_unknown_until_they_are_visited():
    totals = PartTotals(SHAPES, 3)
    assert [totals.part(part) for part in range(3)] == [None] * 3
    totals.replace(1, sums(np.zeros(SIZE)))
    assert totals.part(1) is not None
    assert totals.part(0) is None
    assert totals.part(2) is None


def test_totals_are_copies():
    totals = PartTotals(SHAPES, 2)
    given_sums = sums(np.ones(SIZE))
    total = totals.replace(0, given_sums)
    total.buffer[:] = 99.0
    given_sums.buffer[:] = 99.0
    assert totals.replace(1, sums(np.ones(SIZE))).buffer.tolist() == [2.0] * SIZE


@pytest.mark.parametrize("n_parts", [1, 5])
def test_a_restored_object_goes_on_with_the_same_bits(n_parts):
    totals, _, _ = filled(n_parts, 300)
    kept = {name: values.copy() for name, values in totals.arrays().items()}
    other = PartTotals(SHAPES, n_parts)
    other.restore(kept)
    rng = np.random.default_rng(1)
    for part in rng.integers(n_parts, size=50):
        values = rng.standard_normal(SIZE)
        assert (totals.replace(part, sums(values)).buffer == other.replace(part, sums(values)).buffer).all()
    # What was kept is a copy by now, not a view of the totals that went on.
    assert any((kept[name] != values).any() for name, values in other.arrays().items())

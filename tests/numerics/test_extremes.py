import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prosper_ng.numerics.extremes import largest, place_of_smallest, smallest

NUMBERS = st.lists(st.floats(allow_nan=False, width=16), min_size=1, max_size=70)


@given(NUMBERS)
def test_extremes_are_those_of_the_numbers(numbers):
    x = np.array(numbers)
    assert (smallest(x), largest(x), place_of_smallest(x)) == (x.min(), x.max(), x.argmin())


@pytest.mark.parametrize("place", range(6))
def test_nan_is_neither_smallest_nor_largest(place):
    x = np.array([3.0, -2.0, 5.0, 5.0, 7.0, 1.0])
    x[place] = np.nan
    assert (smallest(x), largest(x), place_of_smallest(x)) == (np.nanmin(x), np.nanmax(x), np.nanargmin(x))


def test_nothing_but_nan():
    x = np.full(5, np.nan)
    assert (smallest(x), largest(x), place_of_smallest(x)) == (np.inf, -np.inf, 0)

"""Numbers at axes are round, few, and told apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.ticker import MaxNLocator

from prosper_ng.drawing.ticks import labels_of, ticks_in, whole_ticks_in


@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6), n_steps=st.integers(3, 8))
def test_ticks_are_those_of_matplotlib_and_labels_say_them(low, width, n_steps):
    ticks = ticks_in(low, low + width, n_steps)
    expected = MaxNLocator(n_steps, steps=[1, 2, 2.5, 5, 10]).tick_values(low, low + width)
    slack = 1e-6 * width
    inside = expected[(expected >= low - slack) & (expected <= low + width + slack)]
    # Where the limits are ticks themselves, rounding decides which of two steps it is.
    if len(inside) == len(ticks):
        np.testing.assert_allclose(ticks, inside, atol=slack)
    assert 2 <= len(ticks) <= n_steps + 2
    said = [float(label.replace("−", "-")) for label in labels_of(ticks)]
    np.testing.assert_allclose(said, ticks, atol=1e-5 * width)


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([-80.0, -70.0, -60.0], ["−80", "−70", "−60"]),
        ([0.1, 0.15, 0.2], ["0.10", "0.15", "0.20"]),
        ([-5e6, -2.5e6, 0.0], ["−5.0e6", "−2.5e6", "0"]),
        ([0.0, 2e-9, 4e-9], ["0", "2e−9", "4e−9"]),
        ([0.0], ["0"]),
    ],
)
def test_labels(ticks, labels):
    assert labels_of(ticks) == labels


def test_sweeps_are_whole_numbers_or_powers_of_ten():
    assert whole_ticks_in(0, 153) == [0, 50, 100, 150]
    assert whole_ticks_in(0, 1.5) == [0, 1]
    assert whole_ticks_in(0.9, 1100, is_log=True) == [1, 10, 100, 1000]

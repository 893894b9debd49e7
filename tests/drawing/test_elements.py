"""Elements in cells: those that are asked for, each where its cell is, whatever their number and length."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from prosper_ng.drawing.elements import chosen_of, curves_in, draw_elements, elements_named, grid_of, shown_of
from prosper_ng.errors import UserError

N = 5


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        (3, [3]), (np.int8(3), [3]), ([4, 0, -1], [4, 0, 4]), (range(2), [0, 1]), (slice(None, None, -2), [4, 2, 0]),
        (np.array([True, False, False, True, False]), [0, 3]), ((1,), [1]), ([True] + 4 * [False], [0]),
    ],
)  # fmt: skip
def test_elements_are_chosen_as_numpy_chooses(given, numbers):
    assert chosen_of(given, N).tolist() == numbers


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (5, "no element 5"), ([0, -6], "no element -6"), ([], "no elements are chosen"), (slice(9, 20), "no elements"),
        (5 * [False], "no elements"), ([1.5], r"not \[1.5\]"), ("most", "not 'most'"), ([[1]], "not"),
        ([[1], [2, 3]], "not"), ([True, False], r"a mask of 5, not a mask of \(2,\)"), (slice("a", "b"), "not slice"),
        ({1}, "not {1}"), (True, "mask"),
    ],
)  # fmt: skip
def test_what_chooses_no_elements_is_one_sentence(given, said):
    with pytest.raises(UserError, match=said) as caught:
        chosen_of(given, N)
    assert "numbers from 0 to 4, a slice of them, or a mask of 5" in str(caught.value)


def test_elements_are_named_in_a_text():
    assert elements_named("0-2, 4,1", N).tolist() == [0, 1, 2, 4, 1]
    for text in ("", "5", "3-5", "2-1", "a", "0-", "-1", "1,", "0-99999999999", "1.0"):
        with pytest.raises(UserError, match="numbers and ranges from 0 to 4, such as 0-4"):
            elements_named(text, N)


def test_the_title_says_how_many_of_how_many():
    use = np.array([0.1, 0.4, 0.2])
    assert shown_of(3, use).words == "3 elements, the most active first"
    assert shown_of(3, use).which.tolist() == [1, 2, 0]
    assert shown_of(3, None).words == "3 elements"
    assert shown_of(1, use[:1]).words == "1 element"
    assert shown_of(3, use, np.array([0, 2])).words == "2 of 3 elements"
    assert shown_of(3000, np.ones(3000)).words == "1,024 of 3,000 elements, the most active first"
    assert shown_of(3000, None, np.arange(2000)).words == "1,024 of 3,000 elements, the first of 2,000 chosen"


def test_few_elements_have_their_numbers():
    assert shown_of(100, None, numbered=True).numbered
    assert not shown_of(101, None, numbered=True).numbered
    axes = Figure().add_subplot()
    draw_elements(axes, np.ones((4, 3)), shown_of(3, None, np.array([2, 0]), numbered=True), (2, 2, 1))
    assert [text.get_text() for text in axes.texts] == ["2", "0"]


@pytest.mark.parametrize(
    ("n_values", "n_elements"), [(1, 1), (7, 6), (7, 1500), (33, 1), (200, 1500), (100_000, 6), (1, 1500)]
)
def test_curves_stay_in_their_cells_and_are_of_moderate_length(n_values, n_elements):
    W = np.random.default_rng(1).normal(size=(n_values, min(n_elements, 50)))[:, np.arange(n_elements) % 50]
    W[0] = -np.abs(W[0])
    shown = shown_of(n_elements, None)
    grid = grid_of(shown, None)
    assert max(grid.size) < 1500
    curves, zeros = curves_in(grid, W[:, shown.which])
    assert curves.shape[1] <= 2 * grid.width + 2
    for place, (curve, zero) in enumerate(zip(curves, zeros, strict=True)):
        top, left = grid.corner(place)
        assert (curve >= [left, top]).all()
        assert (curve <= [left + grid.width, top + grid.height]).all()
        # Each is as large as its cell allows.
        assert np.abs(curve[:, 1] - zero[0, 1]).max() == pytest.approx(grid.height / 2)


def test_heights_are_proportional_and_upwards_is_positive():
    W = np.tile([0.0, 1.0, -2.0, 0.5], 20)[:, None]
    grid = grid_of(shown_of(1, None), None)
    curves, zeros = curves_in(grid, W)
    assert (zeros[0, 0, 1] - curves[0, :, 1]) / grid.height * 4 == pytest.approx(W[:, 0])
    curves, zeros = curves_in(grid, np.abs(W))
    assert zeros[0, 0, 1] == grid.height  # nothing is below zero
    assert (grid.height - curves[0, :, 1]) / grid.height * 2 == pytest.approx(np.abs(W[:, 0]))
    assert np.isfinite(curves_in(grid, np.zeros((80, 1)))[0]).all()


def test_long_curves_keep_what_stands_out():
    W = np.zeros((100_000, 1))
    W[54_321], W[777] = 1.0, -0.5
    grid = grid_of(shown_of(1, None), None)
    curves, zeros = curves_in(grid, W)
    heights = (zeros[0, 0, 1] - curves[0, :, 1]) / grid.height * 2
    assert (heights.max(), heights.min()) == (1.0, -0.5)
    assert curves[0, heights.argmax(), 0] / grid.width == pytest.approx(0.54321, abs=0.005)

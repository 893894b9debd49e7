"""Centers that settle among rows, and move to where they are needed."""

import numpy as np
import pytest
from sklearn.cluster import KMeans

from prosper_ng.numerics import seeding, settling
from prosper_ng.numerics.seeding import settles, spread_centers


def error(rows, centers, counts=None):
    """The mean squared distance to the nearest center."""
    squares = np.min(np.sum((rows[:, None] - centers) ** 2, axis=2), axis=1)
    return np.average(squares, weights=counts)


def groups(n_groups, n_rows, n_observed=11, apart=20.0):
    rng = np.random.default_rng(0)
    centers = apart * rng.standard_normal((n_groups, n_observed))
    return centers[np.arange(n_rows) % n_groups] + rng.standard_normal((n_rows, n_observed)) + 1e3


def of(rows, n_centers, seed=1, counts=None):
    return spread_centers(rows, n_centers, np.random.default_rng(seed), counts)


@pytest.mark.parametrize("apart", [20.0, 2.0, 0.0])
def test_centers_are_no_worse_than_those_of_k_means(apart):
    rows = groups(40, 2000, apart=apart)
    theirs = np.mean([KMeans(40, n_init=1, random_state=seed).fit(rows).inertia_ / len(rows) for seed in range(3)])
    assert np.mean([error(rows, of(rows, 40, seed)) for seed in range(3)]) < 1.01 * theirs


def test_all_groups_that_are_apart_have_a_center():
    rows = groups(60, 3000)
    assert error(rows, of(rows, 60)) < 11.5


def test_the_same_seed_gives_the_same_bits():
    rows = groups(30, 900, apart=1.0)
    assert of(rows, 50).tobytes() == of(rows, 50).tobytes()


def test_a_row_that_counts_twice_is_two_rows_for_the_error():
    rows, counts = groups(30, 900, apart=1.0), np.repeat([1.0, 3.0], 450)
    weighted = error(rows, of(rows, 50, counts=counts), counts)
    assert weighted < 1.02 * error(rows, of(np.repeat(rows, counts.astype(int), axis=0), 50), counts)
    assert weighted < error(rows, of(rows, 50, counts=np.repeat([3.0, 1.0], 450)), counts)


@pytest.mark.parametrize(
    ("rows", "n_centers"),
    [
        (np.zeros((20, 3)), 20),
        (np.repeat(np.eye(4), 5, axis=0), 10),
        (1e100 * np.eye(6), 6),
        (np.full((30, 2), 1e9), 7),
        (np.ones((1, 1)), 1),
        (np.array([[0.0], [1e-3], [1.0], [1e3]]), 4),
    ],
)
def test_equal_few_and_huge_rows_have_centers_all_the_same(rows, n_centers):
    centers = of(rows, n_centers)
    assert centers.shape == (n_centers, rows.shape[1])
    assert np.isfinite(centers).all()
    assert np.max(np.min(np.abs(rows[:, None] - centers).max(axis=2), axis=1)) <= 1e-12 * np.abs(rows).max()


def test_the_two_nearest_are_those_of_all_where_all_are_near():
    rows = seeding._pieces(groups(20, 500, apart=1.0) - 1e3)
    centers = np.ascontiguousarray(rows[:, :20])
    near, gaps = settling._near(centers, 2)
    found = settling.Looked(np.zeros(500, np.int64), np.empty(500), np.zeros(500, np.int64), np.empty(500))
    settling.look(rows, centers, near, gaps, *found)
    squares = np.sum((rows[:, :, None] - centers[:, None]) ** 2, axis=(0, 3))
    assert (np.diff(gaps, axis=1) >= 0).all()
    assert (found.nearest == squares.argmin(axis=1)).all()
    assert np.allclose(found.squares, np.sort(squares)[:, 0], atol=1e-12)
    assert np.allclose(found.second_squares, np.sort(squares)[:, 1], atol=1e-12)


def test_few_centers_do_not_settle_and_neither_do_more_than_can_be_compared():
    assert [settles(n) for n in (1, 400, 1000, 5000, 100_000)] == [False, False, True, True, False]

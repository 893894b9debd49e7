"""Rows that are far from each other, as many and as far as greedy k-means++ finds them."""

import numpy as np
import pytest
from sklearn.cluster import kmeans_plusplus

from prosper_ng.numerics import seeding
from prosper_ng.numerics.seeding import spread_rows


def left(rows, chosen):
    """The mean squared distance to the nearest of the chosen rows."""
    return np.mean(np.min(np.sum((rows[:, None] - rows[chosen]) ** 2, axis=2), axis=1))


def groups(n_groups=30, n_rows=900, n_observed=11):
    rng = np.random.default_rng(0)
    centers = 20 * rng.standard_normal((n_groups, n_observed))
    return centers[np.arange(n_rows) % n_groups] + rng.standard_normal((n_rows, n_observed)) + 1e6


@pytest.mark.parametrize("most", [1 << 28, 0], ids=["whole", "cells"])
def test_each_group_gets_a_row(most, monkeypatch):
    monkeypatch.setattr(seeding, "_MOST_DISTANCES", most)
    rows = groups()
    chosen = spread_rows(rows, 30, np.random.default_rng(1))
    assert len(set(chosen % 30)) >= (30 if most else 25)
    assert (chosen == spread_rows(rows, 30, np.random.default_rng(1))).all()


def test_rows_without_groups_are_spread_as_by_scikit_learn():
    rows = np.random.default_rng(2).standard_normal((1500, 5))
    ours = np.mean([left(rows, spread_rows(rows, 60, np.random.default_rng(seed))) for seed in range(5)])
    theirs = np.mean([left(rows, kmeans_plusplus(rows, 60, random_state=seed)[1]) for seed in range(5)])
    assert ours < 1.01 * theirs


@pytest.mark.parametrize("most", [1 << 28, 0], ids=["whole", "cells"])
@pytest.mark.parametrize(
    ("rows", "n_seeds", "n_different"),
    [
        (np.zeros((20, 3)), 20, 1),
        (np.repeat(np.eye(4), 5, axis=0), 10, 4),
        (1e100 * np.eye(6), 6, 6),
        (np.array([[0.0], [1e-3], [1.0], [1e3]]), 4, 4),
        (np.ones((1, 1)), 1, 1),
    ],
)
def test_all_that_differ_are_chosen_before_any_comes_again(most, rows, n_seeds, n_different, monkeypatch):
    monkeypatch.setattr(seeding, "_MOST_DISTANCES", most)
    chosen = spread_rows(rows, n_seeds, np.random.default_rng(3))
    assert len(chosen) == n_seeds
    if most:
        assert len(np.unique(rows[chosen], axis=0)) == n_different

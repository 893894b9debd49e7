"""Which values of an index are near to which, beside brute force; and what a row is held against."""

import threading

import numpy as np
import pytest

from prosper_ng.estep.clusters import Clusters
from prosper_ng.latents import near_values as module
from prosper_ng.latents.index_space import NO_STATE, IndexSpace
from prosper_ng.latents.near_values import draw_values, fill_near, near_values
from prosper_ng.models.mixture import Mixture
from prosper_ng.numerics.random_streams import stream
from prosper_ng.numerics.sharing import Share
from prosper_ng.testing.estep_checks import rows_for
from prosper_ng.testing.problems import batch_of_observed, random_parameters, target_of


def likeness_of(points):
    def likeness(values, others):
        return -np.sum((points[values][:, None] - points[others]) ** 2, axis=2)

    return likeness


@pytest.mark.parametrize("n_values", [1, 2, 7, 200])
def test_few_values_have_their_nearest_around_them(n_values):
    points = np.random.default_rng(0).standard_normal((n_values, 3))
    found = near_values(n_values, 5, likeness_of(points))
    distances = -likeness_of(points)(np.arange(n_values), np.arange(n_values))
    for value, near in enumerate(found.near):
        assert value in near
        expected = np.sort(distances[value])[: min(5, n_values)]
        assert np.sort(distances[value, near]) == pytest.approx(expected)
    assert sorted(found.members) == list(range(n_values))
    assert found.starts[0] == 0
    assert found.starts[-1] == n_values


def test_among_many_values_most_of_the_nearest_are_found(monkeypatch):
    points = np.random.default_rng(1).standard_normal((600, 2))
    exact = near_values(600, 6, likeness_of(points)).near
    monkeypatch.setattr(module, "_FEW", 100)
    found = near_values(600, 6, likeness_of(points)).near
    shares = [len(set(one) & set(other)) / 6 for one, other in zip(exact, found, strict=True)]
    assert np.mean(shares) > 0.9
    assert all(value in near for value, near in enumerate(found))


def test_equal_values_are_near_to_themselves():
    assert (near_values(50, 1, likeness_of(np.zeros((50, 2)))).near[:, 0] == np.arange(50)).all()


@pytest.mark.parametrize(("n_values", "n_states"), [(1, 1), (5, 5), (1000, 3), (7, 6)])
def test_values_are_drawn_distinct_for_each_row_by_its_number(n_values, n_states):
    rows, words = np.arange(400), stream(3, "test").words()
    codes, again = (np.empty((400, n_states, 1), np.uint64) for _ in range(2))
    draw_values(rows, n_values, words, codes)
    draw_values(rows[::-1].copy(), n_values, words, again)
    assert (codes == again[::-1]).all()
    assert codes.max() < n_values
    assert all(len(set(row)) == n_states for row in codes[:, :, 0])
    counts = np.bincount(codes.ravel().astype(int), minlength=n_values)
    if n_values < 10:
        assert counts == pytest.approx(400 * n_states / n_values, rel=0.25)


def test_what_is_near_is_proposed_once_and_nothing_that_is_there():
    near = np.array([[0, 1, 2], [1, 0, 2], [2, 1, 3], [3, 2, 4], [4, 3, 2]])
    codes = np.array([[[0], [1]], [[3], [4]]], np.uint64)
    proposed = np.empty((2, 8, 1), np.uint64)
    n_proposed = fill_near(codes, near, np.arange(2), stream(0, "test").words(), 2, proposed)
    sets = [set(row[row != NO_STATE].astype(int)) for row in proposed[:, :, 0]]
    assert sets[0] >= {2}
    assert sets[1] >= {2}
    assert all(len(found) == np.count_nonzero(row != NO_STATE) for found, row in zip(sets, proposed, strict=True))
    assert not sets[0] & {0, 1}
    assert not sets[1] & {3, 4}
    assert n_proposed == sum(map(len, sets))


def test_no_more_is_looked_at_than_was_said():
    rng = np.random.default_rng(0)
    model = Mixture(n_components=200)
    params = random_parameters(model, 4, rng)
    target = target_of(model, params, batch_of_observed(model.sample(params, 50, rng)[0]))
    estep = Clusters(n_states=3, n_near=6, n_random=1)
    rows = rows_for(estep, target)
    first = estep.find(target, rows)
    assert first.n_evaluated < 50 * 100
    for sweep in range(3):
        found = estep.find(target._replace(stream=stream(1, "test", sweep)), rows)
        assert found.n_evaluated <= 50 * (3 * 6 + 1)


def test_an_index_needs_a_value_and_has_all_of_them():
    with pytest.raises(ValueError, match="at least one value"):
        IndexSpace(0)
    space = IndexSpace(3)
    assert space.enumerate().tolist() == [[0], [1], [2]]
    assert (space.encode(space.decode(space.enumerate())) == space.enumerate()).all()
    assert space.presence(np.array([[2]])).tolist() == [[False, False, True]]
    with pytest.raises(ValueError, match="too many"):
        IndexSpace(1 << 23).enumerate()


@pytest.mark.parametrize("n_values", [1500, 5000])
def test_several_find_together_what_one_finds_alone(n_values):
    points = np.random.default_rng(2).standard_normal((n_values, 3))
    alone, found = near_values(n_values, 6, likeness_of(points)), [None] * 3
    barrier, left = threading.Barrier(3), [None] * 3

    def find(number):
        def add_up(message):
            left[number] = message.copy()
            barrier.wait()
            message[:] = sum(left)
            barrier.wait()

        found[number] = near_values(n_values, 6, likeness_of(points), Share(number, 3, add_up))

    threads = [threading.Thread(target=find, args=(number,)) for number in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for each in found:
        for ours, expected in zip(each, alone, strict=True):
            np.testing.assert_array_equal(ours, expected)

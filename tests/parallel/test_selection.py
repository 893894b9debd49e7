import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.errors import NumericalError
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.selection import Foremost, largest
from prosper_ng.parallel.team import on_team

numbers = st.one_of(st.floats(allow_nan=False), st.sampled_from([0.0, -0.0, 1.0, np.inf, -np.inf, 5e-324]))


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=60), st.data())
def test_equals_a_full_sort(values, data):
    k = data.draw(st.integers(1, len(values)))
    assert largest(np.array(values), k, SerialCommunicator()) == np.sort(values)[-k]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(numbers, st.integers(-20, 20).map(float)), min_size=1, max_size=40), st.data())
def test_equals_a_full_sort_over_ranks_some_of_which_hold_nothing(values, data):
    k, size = data.draw(st.integers(1, len(values))), data.draw(st.integers(2, 4))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), min_size=size - 1, max_size=size - 1)))
    shares = np.split(np.array(values), cuts)
    assert on_team(size, lambda comm: largest(shares[comm.rank], k, comm)) == [np.partition(values, -k)[-k]] * size


def test_many_normal_numbers():
    values = np.random.default_rng(0).normal(size=100_000)
    for k in (1, 2, 50_000, 99_999, 100_000):
        assert largest(values, k, SerialCommunicator()) == np.partition(values, -k)[-k]


def test_nan_on_one_rank_is_refused_on_all():
    def select(comm):
        with pytest.raises(NumericalError, match="1 of them are NaN"):
            largest(np.array([np.nan if comm.rank == 1 else 1.0]), 1, comm)

    on_team(3, select)


@pytest.mark.parametrize("k", [0, 4, -1])
def test_impossible_places_are_refused(k):
    with pytest.raises(ValueError, match=f"the {k}-th largest of 3 numbers"):
        largest(np.arange(3.0), k, SerialCommunicator())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), max_size=60, unique=True), st.integers(0, 20), st.integers(1, 4), st.data())
def test_the_foremost_of_all_ranks_with_the_key_of_the_next(keys, k, size, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(keys)), min_size=size - 1, max_size=size - 1)))
    shares = np.split(np.arange(len(keys)), cuts)
    keys = np.array(keys)

    def select(comm):
        foremost = Foremost(k)
        for piece in np.array_split(shares[comm.rank], 3):
            foremost.add(keys[piece], piece, 2.0 * piece)
        return foremost.of_all(comm)

    order = np.argsort(-keys)
    chosen = np.sort(order[:k])
    for found, next_one in on_team(size, select):
        assert next_one == (keys[order[k]] if len(keys) > k else -np.inf)
        if len(chosen):
            assert (found == np.stack([keys[chosen], chosen, 2.0 * chosen], axis=1)).all()
        assert len(found) == len(chosen)


def test_no_more_than_a_few_times_as_many_are_held():
    foremost, keys = Foremost(10), np.random.default_rng(0).normal(size=200_000)
    for piece in np.array_split(np.arange(len(keys)), 100):
        foremost.add(keys[piece], piece)
        assert sum(map(len, foremost._pieces)) < 7000
    found, _ = foremost.of_all(SerialCommunicator())
    assert set(found[:, 1]) == set(np.argsort(-keys)[:10])

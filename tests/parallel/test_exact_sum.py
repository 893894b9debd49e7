import math
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prosper_ng.numerics.named_arrays import segments
from prosper_ng.parallel import exact_sum
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.exact_sum import HUGE, ExactSum, message_length
from prosper_ng.parallel.shares import Shares, Stripe, even_counts
from prosper_ng.parallel.team import on_team

NO_EXTRAS = np.empty(0)
moderate = st.floats(-1e6, 1e6)
any_finite = st.floats(-HUGE, HUGE)
anything = st.floats()


def bits(values):
    return np.asarray(values, dtype=np.float64).view(np.int64).tolist()


def serial_sum(summands, lengths):
    sums = ExactSum(lengths)
    for summand in summands:
        sums.add(summand)
    return sums.reduce(SerialCommunicator(), NO_EXTRAS)[0]


@st.composite
def grouped_summands(draw, elements):
    """Summands of a few segments of different scales, a permutation of them, and a rank for each."""
    lengths = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    some_scale = st.sampled_from([1e-300, 1e-9, 1.0, 1e5])
    scales = np.repeat([draw(some_scale) for _ in lengths], lengths)
    n_summands, size = draw(st.integers(0, 12)), draw(st.integers(1, 4))
    flat = draw(st.lists(elements, min_size=n_summands * sum(lengths), max_size=n_summands * sum(lengths)))
    with np.errstate(all="ignore"):
        summands = np.array(flat, dtype=np.float64).reshape(n_summands, sum(lengths)) * scales
    order = draw(st.permutations(range(n_summands)))
    ranks = draw(st.lists(st.integers(0, size - 1), min_size=n_summands, max_size=n_summands))
    return lengths, summands, order, ranks, size


def check_groups(case):
    lengths, summands, order, ranks, size = case
    expected = bits(serial_sum(summands, lengths))

    def grouped(comm):
        sums = ExactSum(lengths)
        for i, rank in zip(order, ranks, strict=True):
            if rank == comm.rank:
                sums.add(summands[i])
        return bits(sums.reduce(comm, NO_EXTRAS)[0])

    assert on_team(size, grouped) == [expected] * size

    def cut(comm):
        sums = ExactSum(lengths)
        for i, rank in zip(order, ranks, strict=True):
            if rank == comm.rank:
                sums.add(summands[i])
        first, _ = sums.reduce(comm, NO_EXTRAS, to_root=True)
        again, extras = sums.reduce(comm, np.ones(2), to_root=True)
        assert extras.tolist() == [comm.size] * 2
        return bits(first), bits(again)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_sum, "LEAST_CUT", 0)
        assert on_team(size, cut)[0] == (expected, expected)

    def in_stripes(comm):
        sums, n_entries = ExactSum(lengths), sum(lengths)
        for i, rank in zip(order, ranks, strict=True):
            if rank == comm.rank:
                sums.add(summands[i])
        middle = n_entries // 2
        stripes = [
            Stripe(0, even_counts(middle // 2, comm.size)),
            Stripe(middle, even_counts(n_entries - middle, comm.size)),
        ]
        shares = Shares(stripes, n_entries)
        own, _ = sums.reduce_shares(comm, NO_EXTRAS, shares)
        again, _ = sums.reduce_shares(comm, NO_EXTRAS, shares)
        whole = shares.gather(comm, own)
        assert bits(own) == bits(again) == np.array(expected)[shares.of(comm.rank)].tolist()
        return None if whole is None else bits(whole)

    assert on_team(size, in_stripes) == [expected] + [None] * (size - 1)


@settings(max_examples=150, deadline=None)
@given(grouped_summands(any_finite))
def test_bits_do_not_depend_on_order_or_grouping(case):
    check_groups(case)


@settings(max_examples=100, deadline=None)
@given(grouped_summands(anything))
def test_bits_do_not_depend_on_grouping_with_nan_and_infinity(case):
    check_groups(case)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(moderate, any_finite, st.floats(-1e-300, 1e-300)), min_size=1, max_size=40))
@example([1e200, 1.0, -1e200])
@example([5e-324, 5e-324, -5e-324])
@example([HUGE, HUGE, -HUGE])
@example([2.0**32 + 0.5, 0.5, -(2.0**32)])
def test_as_near_to_the_true_sum_as_the_largest_summand_allows(values):
    result = serial_sum(np.array(values)[:, None], [1])[0]
    truth = math.fsum(values)
    largest = max(abs(value) for value in values)
    # Half a unit in the last place of the result, and 2^-64 of the largest for each summand.
    assert abs(result - truth) <= math.ulp(truth) + len(values) * largest * 2.0**-64


def test_sums_that_plain_addition_gets_wrong_are_right():
    rng = np.random.default_rng(1)
    values = rng.normal(size=2000) * 10.0 ** rng.uniform(-6, 6, size=2000)
    values = np.concatenate([values, -values[::-1], [1e-3]])
    error, plain_error = abs(serial_sum(values[:, None], [1])[0] - 1e-3), abs(np.cumsum(values)[-1] - 1e-3)
    assert error < 1e-3 * plain_error


def test_many_entries_equal_fsum_entry_by_entry():
    summands = np.random.default_rng(2).normal(size=(50, 3000))
    lengths = [1, 1023, 0, 1024, 952]
    np.testing.assert_array_equal(serial_sum(summands, lengths), [math.fsum(column) for column in summands.T])


def test_small_segments_are_not_disturbed_by_large_ones():
    summands = np.array([[1e250, 1e-250], [1e250, 3e-250]])
    assert bits(serial_sum(summands, [1, 1])) == bits([2e250, 1e-250 + 3e-250])


def test_entries_of_other_units_keep_their_digits():
    shapes = {"vector": (2,), "matrix": (2, 2), "number": ()}
    summands = np.random.default_rng(4).random((1000, 7)) * [1e14, 1.0, 1e14, 1e14, 1.0, 1.0, 1e-20]
    result = serial_sum(summands, segments(shapes))
    np.testing.assert_array_equal(result, [math.fsum(column) for column in summands.T])


def test_each_row_and_each_entry_of_a_vector_is_a_segment():
    assert segments({"a": (), "b": (3,), "c": (2, 4), "d": (0,), "e": (2, 2, 3)}) == [1, 1, 1, 1, 4, 4, 3, 3, 3, 3]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, -sys.float_info.max])
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_not_finite_survives_in_its_entry_only(bad, place):
    summands = np.ones((4, 5))
    summands[place, 3] = bad
    result = serial_sum(summands, [2, 3])
    np.testing.assert_array_equal(result, [4, 4, 4, np.copysign(np.inf, bad) if not np.isnan(bad) else np.nan, 4])


def test_opposite_infinities_are_nan_with_one_bit_pattern():
    for values in ([np.inf, -np.inf], [-np.inf, 1.0, np.inf], [-np.nan, 1.0], [1.0, np.nan, -np.inf]):
        assert bits(serial_sum(np.array(values)[:, None], [1])) == bits([np.nan])


def test_clear_forgets_what_is_not_finite():
    sums = ExactSum([2])
    sums.add(np.array([np.nan, 1e300]))
    sums.clear()
    sums.add(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(sums.reduce(SerialCommunicator(), NO_EXTRAS)[0], [1, 2])


class CountingCommunicator(SerialCommunicator):
    def __init__(self):
        self.n_calls, self.sizes = 0, []

    def sum_in_place(self, values):
        self.n_calls += 1
        self.sizes.append(len(values))

    def max_in_place(self, values):
        self.n_calls += 1


def test_result_does_not_depend_on_the_tops_remembered_and_most_reductions_are_one_collective():
    comm, sums = CountingCommunicator(), ExactSum([2, 1])
    rng = np.random.default_rng(3)
    calls = []
    for scale in [1.0, 1.1, 1e30, 1e30, 1e-30, 1e-29, 0.0, 1.0]:
        summands = rng.normal(size=(7, 3)) * scale * np.array([1.0, 1e-12, 1.0])
        sums.clear()
        for summand in summands:
            sums.add(summand)
        before = comm.n_calls
        assert bits(sums.reduce(comm, NO_EXTRAS)[0]) == bits(serial_sum(summands, [2, 1]))
        calls.append(comm.n_calls - before)
    assert calls == [2, 1, 3, 1, 3, 1, 3, 3]


def test_only_segments_that_moved_are_sent_again():
    comm, sums = CountingCommunicator(), ExactSum([5, 1, 2])
    for values in (np.ones(8), np.array([1, 1, 1, 1, 1, 1e30, 1, 1])):
        sums.clear()
        sums.add(values)
        assert bits(sums.reduce(comm, NO_EXTRAS)[0]) == bits(values)
    assert comm.sizes == [message_length(8, 3, 0), message_length(8, 3, 0), 3]


def test_extras_are_summed_over_the_ranks():
    def reduce(comm):
        sums = ExactSum([1])
        sums.add(np.array([10.0**comm.rank * 1e20**comm.rank]))
        return sums.reduce(comm, np.array([1.0, comm.rank]))[1].tolist()

    assert on_team(3, reduce) == [[3.0, 3.0]] * 3


def test_too_many_summands_are_refused_on_a_rank_and_over_the_ranks(monkeypatch):
    monkeypatch.setattr(exact_sum, "MAX_SUMMANDS", 5)

    def reduce(comm):
        sums = ExactSum([1])
        for _ in range(3):
            sums.add(np.ones(1))
        with pytest.raises(OverflowError, match="at most 5 summands"):
            sums.reduce(comm, NO_EXTRAS)
        sums.add(np.ones(1))
        sums.add(np.ones(1))
        with pytest.raises(OverflowError, match="larger blocks"):
            sums.add(np.ones(1))

    on_team(2, reduce)


def test_the_promised_number_of_summands_is_exact():
    # The largest pieces there are: half a unit of the bin above, all of one sign.
    sums = ExactSum([1])
    largest_piece = exact_sum._REACH[40]
    sums.add(np.array([largest_piece]))
    for _ in range(22):
        exact_sum._add_to_folds(sums._folds[0].copy(), *sums._folds, *exact_sum._ROUNDERS[[40, 39, 38]])
    assert exact_sum.MAX_SUMMANDS == 2**22
    total = largest_piece * 2.0**22
    assert sums._folds[0, 0] == total
    assert total - exact_sum._UNITS[40] != total


@pytest.mark.parametrize("buffer", [np.zeros(2), np.zeros(3, dtype=np.float32), np.zeros(6)[::2], np.zeros((3, 1))])
def test_buffers_of_another_form_are_refused(buffer):
    with pytest.raises(ValueError, match="expected 3 contiguous float64 numbers"):
        ExactSum([1, 2]).add(buffer)

"""Sums of float64 buffers whose bits do not depend on the order or the grouping of the summands.

The idea is the pre-rounding of Demmel and Nguyen (Parallel Reproducible Summation, IEEE Trans. Computers 2015). An
absolute grid cuts the exponent range into bins of 32 bits: bin i counts in units of 2^(32 i - 1074). A number is cut
into one multiple of the unit for each bin, from the top down, always rounded to nearest, so that every piece is at most
half the unit of the bin above. Pieces of one bin add up without any rounding as long as there are at most 2^22 of them
(2^31 units each, and a double counts to 2^53), and what adds up without rounding does so in any order.

Only the 3 highest bins are kept, counted from the bin of the largest magnitude among *all* summands of a segment on
*all* ranks. A number's pieces do not depend on where the cutting starts, so bins below can be forgotten at any time:
the result is a function of the multiset of summands alone. What is forgotten of a summand is less than 2^-64 of that
largest magnitude; a plain addition forgets up to 2^-53 of the running total. So numbers of different units belong into
different segments, or the small ones are cut: `NamedArrays.segments` gives one to each row of a matrix and to each
entry of a vector.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.shares import Shares

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BIN_BITS = 32
N_FOLDS = 3
MAX_SUMMANDS = 1 << (54 - BIN_BITS)
HUGE = 2.0**973
"""Larger magnitudes (about 8e292) count as infinite: they fit no bin whose rounding constant is a finite double."""

LEAST_CUT = 1 << 16
"""Entries of a buffer that is summed in shares; below that it is the number of messages that counts."""

_SMALLEST_EXPONENT = -1074
_LOWEST_TOP = N_FOLDS - 1
_UNITS = np.ldexp(1.0, BIN_BITS * np.arange(64) + _SMALLEST_EXPONENT)
# x + 1.5 * 2^52 u has u as its last place, so adding and subtracting this rounds x to a multiple of u.
_ROUNDERS = np.where(_UNITS < 1.0, 1.5 * 2.0**52 * _UNITS, 1.5 * (2.0**52 * _UNITS))
_REACH = np.ldexp(0.5, BIN_BITS * np.arange(1, 65) + _SMALLEST_EXPONENT)  # bin i cuts magnitudes up to _REACH[i]
_REACH_BITS = _REACH.view(np.int64)
_HUGE_BITS = np.float64(HUGE).view(np.int64)
_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)
_CHUNK = 1024
_ABOVE = 2.0**26
"""The vote of a rank whose top is above the expected one; more than all ranks that vote 1 for a top that is level."""


class ExactSum:
    """A running order-free sum of float64 buffers, first over what a rank adds, then over the ranks.

    A buffer is a row of segments (rows and entries of some statistics), each with bins of its own, so that segments of
    different scales do not disturb each other. An entry with a NaN or an infinity among its summands ends as IEEE
    arithmetic would have it: NaN, or the infinity.
    """

    def __init__(self, lengths: Sequence[int] | Ints) -> None:
        """An empty sum of buffers with segments of the given numbers of entries."""
        self.starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        n_entries = int(self.starts[-1])
        self._folds = np.zeros((N_FOLDS, n_entries))
        self._special = np.zeros(n_entries)
        self._tops = np.full(len(lengths), _LOWEST_TOP, dtype=np.int64)
        self._every = np.arange(len(lengths))
        self._expected_tops: Ints | None = None
        self._message = np.empty(0)
        self._n_summands = 0
        self._is_special = False

    def clear(self) -> None:
        """Forget all summands."""
        self._folds[...] = 0.0
        self._tops[...] = _LOWEST_TOP
        self._n_summands = 0
        if self._is_special:
            self._special[...] = 0.0
            self._is_special = False

    def add(self, buffer: Floats, begin: int = 0, end: int | None = None, some: Ints | None = None) -> None:
        """Add one summand to every entry, to those outside of begin..end or of `some` segments nothing.

        Segments of zeros cost no more than a look, and others than `some` not even that.

        Raises ValueError for a buffer of the wrong form and OverflowError after `MAX_SUMMANDS` summands.
        """
        n_entries = self._special.size
        if buffer.shape != (n_entries,) or buffer.dtype != np.float64 or not buffer.flags.c_contiguous:
            raise ValueError(f"expected {n_entries} contiguous float64 numbers, got {buffer.dtype} {buffer.shape}")
        self._n_summands += 1
        _check_count(self._n_summands)
        end = n_entries if end is None else end
        some = self._every if some is None else some
        self._is_special |= _add(
            buffer, some, self.starts, self._tops, self._folds, self._special, _REACH_BITS, _ROUNDERS, begin, end
        )  # fmt: skip

    def reduce(self, comm: Communicator, extras: Floats, to_root: bool = False) -> tuple[Floats, Floats]:
        """The sum over all that all ranks added, and the plain sum of `extras` over the ranks, on every rank.

        One collective in the common case: the ranks send their bins aligned to the tops of the reduction before. Only
        of segments whose largest magnitude has since moved to another bin, which all learn from that same collective,
        the right tops are found and the bins sent again. The tops sent first never show in the result.
        Where the sum of a large buffer is for root alone (`to_root`), each rank adds and rounds a share of it, which
        takes two thirds of the bytes; the other ranks then have no sum that means anything.
        Raises OverflowError on all ranks where all together added more than `MAX_SUMMANDS` buffers.
        """
        n_entries = self._special.size
        if not (to_root and comm.size > 1 and n_entries >= LEAST_CUT):
            return self.reduce_shares(comm, extras, Shares([], n_entries))
        shares = Shares.even(n_entries, comm.size)
        own, extras = self.reduce_shares(comm, extras, shares)
        whole = shares.gather(comm, own)
        return np.zeros(n_entries) if whole is None else whole, extras

    def reduce_shares(self, comm: Communicator, extras: Floats, shares: Shares) -> tuple[Floats, Floats]:
        """The same where each rank gets its share of the entries, in order."""
        if self._expected_tops is None:
            self._expected_tops = self._agreed_tops(comm, self._every)
        folds, votes, rest = self._first_sum(comm, self._expected_tops, extras, shares)
        moved = np.flatnonzero((votes < 1) | (votes >= _ABOVE))
        if moved.size:
            self._expected_tops[moved] = self._agreed_tops(comm, moved)
            entries, again = self._entries(moved), self._second_sum(comm, self._expected_tops, moved)
            chosen, places = shares.places(comm.rank, entries)
            folds[:, places] = again[:, chosen]
        _check_count(int(rest[0]))
        return _rounded(folds), rest[1:]

    def _agreed_tops(self, comm: Communicator, segments: Ints) -> Ints:
        tops = self._tops[segments]
        comm.max_in_place(tops)
        return tops

    def _first_sum(
        self, comm: Communicator, tops: Ints, extras: Floats, shares: Shares
    ) -> tuple[Floats, Floats, Floats]:
        """Over the ranks: the bins below `tops` of the entries of this one, the votes on these tops, and the count of
        summands with the extras."""
        n_folded, n_segments = self._folds.size, tops.size
        self._message.resize(message_length(self._special.size, n_segments, extras.size), refcheck=False)
        folds = self._message[:n_folded].reshape(self._folds.shape)
        votes, rest = np.split(self._message[n_folded:], [n_segments])
        _align(self._folds, self.starts, self._tops, tops, self._every, folds)
        if self._is_special:
            folds[0] += self._special
        votes[...] = np.where(self._tops > tops, _ABOVE, self._tops == tops)
        rest[0], rest[1:] = self._n_summands, extras
        if shares.stripes:
            folds = shares.sum(comm, folds)
            comm.sum_in_place(self._message[n_folded:])
        else:
            comm.sum_in_place(self._message)
        return folds, votes, rest.copy()

    def _second_sum(self, comm: Communicator, tops: Ints, segments: Ints) -> Floats:
        """The bins of some segments below `tops`, one behind the other, over the ranks."""
        entries = self._entries(segments)
        folds = np.empty((N_FOLDS, entries.size))
        _align(self._folds, self.starts, self._tops, tops, segments, folds)
        if self._is_special:
            folds[0] += self._special[entries]
        comm.sum_in_place(folds.reshape(-1))
        return folds

    def _entries(self, segments: Ints) -> Ints:
        return np.concatenate([np.arange(self.starts[each], self.starts[each + 1]) for each in segments])


def message_length(n_entries: int, n_segments: int, n_extras: int) -> int:
    """How many numbers a rank sends in a reduction: bins, a vote for each segment, its summands, the extras."""
    return N_FOLDS * n_entries + n_segments + 1 + n_extras


def _check_count(n_summands: int) -> None:
    if n_summands > MAX_SUMMANDS:
        raise OverflowError(f"an exact sum holds at most {MAX_SUMMANDS} summands: use larger blocks of rows")


@kernel
def _align(folds: Floats, starts: Ints, own: Ints, tops: Ints, segments: Ints, into: Floats) -> None:
    """Copy the bins of segments to where they belong below `tops`; zeros where there are none."""
    place = 0
    for segment in segments:
        start, stop = starts[segment], starts[segment + 1]
        down = tops[segment] - own[segment]
        for fold in range(N_FOLDS):
            if 0 <= fold - down < N_FOLDS:
                _copy(folds[fold - down, start:stop], into[fold, place : place + stop - start])
            else:
                into[fold, place : place + stop - start] = 0.0
        place += stop - start


@kernel
def _copy(values: Floats, into: Floats) -> None:
    for i in range(values.size):
        into[i] = values[i]


def _rounded(folds: Floats) -> Floats:
    """(n,) what bins (3, n) stand for."""
    total = np.empty(folds.shape[1])
    _round(folds, total)
    return total


@kernel
def _round(folds: Floats, total: Floats) -> None:
    """The three bins of each entry as one double: their exact sum up to its last place."""
    for i in range(total.size):
        top, middle, bottom = folds[0, i], folds[1, i], folds[2, i]
        high = top + middle
        part = high - top
        low = (top - (high - part)) + (middle - part)
        total[i] = high + (low + bottom) + 0.0  # one zero, not two
        if not np.isfinite(top):
            total[i] = np.nan if np.isnan(top) else top  # one NaN, whatever its payload


@kernel
def _add(
    buffer: Floats, some: Ints, starts: Ints, tops: Ints, folds: Floats, special: Floats, reach: Ints, rounders: Floats,
    begin: int, end: int,
) -> bool:  # fmt: skip
    """Add entries begin..end of some segments to the bins; whether any of these entries was NaN, infinite or huge."""
    any_special = False
    chunk, bits = np.empty(_CHUNK), buffer.view(np.int64)
    for segment in some:
        first, last = starts[segment], min(starts[segment + 1], end)
        if last <= begin:
            continue
        if first < last and starts[segment + 1] - first == 1 and 0 < bits[first] & _MAGNITUDE <= reach[tops[segment]]:
            _add_one(buffer[first], folds, first, rounders, tops[segment])
            continue
        for start in range(max(first, begin), last, _CHUNK):
            stop = min(start + _CHUNK, last)
            largest = _largest_magnitude(bits[start:stop])
            if largest == 0:
                continue
            values = buffer[start:stop]
            if largest > _HUGE_BITS:
                any_special = True
                values = _without_special(values, chunk, special[start:stop])
                largest = _largest_magnitude(values.view(np.int64))
            if largest > reach[tops[segment]]:
                _raise_top(folds, first, starts[segment + 1], tops, segment, largest, reach)
            top = tops[segment]
            _add_to_folds(
                values,
                folds[0, start:stop],
                folds[1, start:stop],
                folds[2, start:stop],
                rounders[top],
                rounders[top - 1],
                rounders[top - 2],
            )
    return any_special


@kernel
def _add_one(value: float, folds: Floats, place: int, rounders: Floats, top: int) -> None:
    """`_add_to_folds` for a single value, which has not to be cut out of anything."""
    rest = value
    for fold in range(N_FOLDS - 1):
        piece = (rest + rounders[top - fold]) - rounders[top - fold]
        folds[fold, place] += piece
        rest -= piece
    folds[N_FOLDS - 1, place] += (rest + rounders[top - N_FOLDS + 1]) - rounders[top - N_FOLDS + 1]


@kernel
def _largest_magnitude(bits: Ints) -> Any:
    """The bits of the largest magnitude, which order as it does; a NaN comes after infinity."""
    largest = np.int64(0)
    for i in range(bits.size):
        largest = max(largest, bits[i] & _MAGNITUDE)
    return largest


@kernel
def _without_special(values: Floats, chunk: Floats, special: Floats) -> Floats:
    """The values with zeros for what no bin can hold, which goes to `special` instead."""
    for i in range(values.size):
        chunk[i] = values[i]
        if not abs(values[i]) <= HUGE:
            special[i] += np.nan if np.isnan(values[i]) else np.copysign(np.inf, values[i])
            chunk[i] = 0.0
    return chunk[: values.size]


@kernel
def _raise_top(folds: Floats, first: int, stop: int, tops: Ints, segment: int, largest: Any, reach: Ints) -> None:
    """Move the bins of a segment down to make room above for a larger magnitude; the lowest fall off."""
    old = tops[segment]
    while largest > reach[tops[segment]]:
        tops[segment] += 1
    down = tops[segment] - old
    for fold in range(N_FOLDS - 1, -1, -1):
        for i in range(first, stop):
            folds[fold, i] = folds[fold - down, i] if fold >= down else 0.0


@kernel
def _add_to_folds(
    values: Floats,
    high: Floats,
    middle: Floats,
    low: Floats,
    high_rounder: float,
    middle_rounder: float,
    low_rounder: float,
) -> None:
    """Cut every value into its pieces and add each to its bin."""
    for i in range(values.size):
        rest = values[i]
        piece = (rest + high_rounder) - high_rounder
        high[i] += piece
        rest -= piece
        piece = (rest + middle_rounder) - middle_rounder
        middle[i] += piece
        rest -= piece
        low[i] += (rest + low_rounder) - low_rounder

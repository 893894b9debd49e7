"""Sums of float64 buffers whose bits do not depend on the order or the grouping of the summands.

The idea is the pre-rounding of Demmel and Nguyen (Parallel Reproducible Summation, IEEE Trans. Computers 2015). An
absolute grid cuts the exponent range into bins of 32 bits: bin i counts in units of 2^(32 i - 1074). A number is cut
into one multiple of the unit for each bin, from the top down, always rounded to nearest, so that every piece is at most
half the unit of the bin above. Pieces of one bin add up without any rounding as long as there are at most 2^22 of them
(2^31 units each, and a double counts to 2^53), and what adds up without rounding does so in any order.

Only the 3 highest bins are kept, counted from the bin of the largest magnitude among *all* summands of a segment on
*all* ranks. A number's pieces do not depend on where the cutting starts, so bins below can be forgotten at any time:
the result is a function of the multiset of summands alone. What is forgotten of a summand is less than 2^-64 of that
largest magnitude; a plain addition forgets up to 2^-53 of the running total.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prosper_ng.parallel.communicator import Communicator

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BIN_BITS = 32
N_FOLDS = 3
MAX_SUMMANDS = 1 << (54 - BIN_BITS)
HUGE = 2.0**973
"""Larger magnitudes (about 8e292) count as infinite: they fit no bin whose rounding constant is a finite double."""

_SMALLEST_EXPONENT = -1074
_LOWEST_TOP = N_FOLDS - 1
_UNITS = np.ldexp(1.0, BIN_BITS * np.arange(64) + _SMALLEST_EXPONENT)
# x + 1.5 * 2^52 u has u as its last place, so adding and subtracting this rounds x to a multiple of u.
_ROUNDERS = np.where(_UNITS < 1.0, 1.5 * 2.0**52 * _UNITS, 1.5 * (2.0**52 * _UNITS))
_REACH = np.ldexp(0.5, BIN_BITS * np.arange(1, 65) + _SMALLEST_EXPONENT)  # bin i cuts magnitudes up to _REACH[i]
_CHUNK = 1024


class ExactSum:
    """A running order-free sum of float64 buffers, first over what a rank adds, then over the ranks.

    A buffer is a row of segments (the named arrays of some statistics), each with bins of its own, so that segments of
    different scales do not disturb each other. An entry with a NaN or an infinity among its summands ends as IEEE
    arithmetic would have it: NaN, or the infinity.
    """

    def __init__(self, lengths: list[int]) -> None:
        """An empty sum of buffers with segments of the given numbers of entries."""
        self.starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        n_entries = int(self.starts[-1])
        self._folds = np.zeros((N_FOLDS, n_entries))
        self._special = np.zeros(n_entries)
        self._tops = np.full(len(lengths), _LOWEST_TOP, dtype=np.int64)
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

    def add(self, buffer: Floats) -> None:
        """Add one summand to every entry.

        Raises ValueError for a buffer of the wrong form and OverflowError after `MAX_SUMMANDS` summands.
        """
        n_entries = self._special.size
        if buffer.shape != (n_entries,) or buffer.dtype != np.float64 or not buffer.flags.c_contiguous:
            raise ValueError(f"expected {n_entries} contiguous float64 numbers, got {buffer.dtype} {buffer.shape}")
        self._n_summands += 1
        _check_count(self._n_summands)
        self._is_special |= _add(buffer, self.starts, self._tops, self._folds, self._special, _REACH, _ROUNDERS)

    def reduce(self, comm: Communicator, extras: Floats) -> tuple[Floats, Floats]:
        """The sum over all that all ranks added, and the plain sum of `extras` over the ranks, on every rank.

        One collective in the common case: the ranks send their bins aligned to the tops of the reduction before. Only
        where a segment's largest magnitude has since moved to another bin, which all learn from that same collective,
        the right tops are found and the bins sent again. The tops sent first never show in the result.
        Raises OverflowError on all ranks where all together added more than `MAX_SUMMANDS` buffers.
        """
        if self._expected_tops is None:
            self._expected_tops = self._agreed_tops(comm)
        rest = self._sum_aligned(comm, self._expected_tops, extras)
        above, level = rest[: self._tops.size], rest[self._tops.size : -1 - extras.size]
        if above.any() or not level.all():
            self._expected_tops = self._agreed_tops(comm)
            rest = self._sum_aligned(comm, self._expected_tops, extras)
        _check_count(int(rest[-1 - extras.size]))
        total = np.empty(self._special.size)
        _round(self._message[: self._folds.size].reshape(self._folds.shape), total)
        return total, rest[rest.size - extras.size :]

    def _agreed_tops(self, comm: Communicator) -> Ints:
        tops = self._tops.copy()
        comm.max_in_place(tops)
        return tops

    def _sum_aligned(self, comm: Communicator, tops: Ints, extras: Floats) -> Floats:
        """Sum the bins below `tops` over the ranks into the message; the votes, the count and the extras, summed."""
        n_folded, n_segments = self._folds.size, tops.size
        self._message.resize(message_length(self._special.size, n_segments, extras.size), refcheck=False)
        folds = self._message[:n_folded].reshape(self._folds.shape)
        for segment in range(n_segments):
            entries = slice(self.starts[segment], self.starts[segment + 1])
            _align(self._folds[:, entries], int(tops[segment] - self._tops[segment]), folds[:, entries])
        if self._is_special:
            folds[0] += self._special
        rest = self._message[n_folded:]
        rest[:n_segments] = self._tops > tops
        rest[n_segments : 2 * n_segments] = self._tops == tops
        rest[2 * n_segments] = self._n_summands
        rest[2 * n_segments + 1 :] = extras
        comm.sum_in_place(self._message)
        return rest.copy()


def message_length(n_entries: int, n_segments: int, n_extras: int) -> int:
    """How many numbers a rank sends in a reduction: bins, two votes for each segment, its summands, the extras."""
    return N_FOLDS * n_entries + 2 * n_segments + 1 + n_extras


def _check_count(n_summands: int) -> None:
    if n_summands > MAX_SUMMANDS:
        raise OverflowError(f"an exact sum holds at most {MAX_SUMMANDS} summands: use larger blocks of rows")


def _align(folds: Floats, down: int, into: Floats) -> None:
    """Copy bins to where they belong below a top that is `down` bins higher; zeros where there are none."""
    for fold in range(N_FOLDS):
        into[fold] = folds[fold - down] if 0 <= fold - down < N_FOLDS else 0.0


@njit(cache=True)
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


@njit(cache=True)
def _add(
    buffer: Floats, starts: Ints, tops: Ints, folds: Floats, special: Floats, reach: Floats, rounders: Floats
) -> bool:
    """Add a buffer to the bins; whether any of its entries was NaN, infinite or huge."""
    any_special = False
    chunk = np.empty(_CHUNK)
    for segment in range(tops.size):
        for start in range(starts[segment], starts[segment + 1], _CHUNK):
            stop = min(start + _CHUNK, starts[segment + 1])
            values = buffer[start:stop]
            largest = _largest_magnitude(values)
            if not largest <= HUGE:
                any_special = True
                values = _without_special(values, chunk, special[start:stop])
                largest = _largest_magnitude(values)
            if largest > reach[tops[segment]]:
                _raise_top(folds[:, starts[segment] : starts[segment + 1]], tops, segment, largest, reach)
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


@njit(cache=True)
def _largest_magnitude(values: Floats) -> float:
    """The largest magnitude, NaN counting as larger than infinity: what the bits say as integers."""
    bits = values.view(np.int64)
    largest = np.int64(0)
    for i in range(bits.size):
        largest = max(largest, bits[i] & np.int64(0x7FFFFFFFFFFFFFFF))
    result = np.empty(1, np.int64)
    result[0] = largest
    return result.view(np.float64)[0]


@njit(cache=True)
def _without_special(values: Floats, chunk: Floats, special: Floats) -> Floats:
    """The values with zeros for what no bin can hold, which goes to `special` instead."""
    for i in range(values.size):
        chunk[i] = values[i]
        if not abs(values[i]) <= HUGE:
            special[i] += np.nan if np.isnan(values[i]) else np.copysign(np.inf, values[i])
            chunk[i] = 0.0
    return chunk[: values.size]


@njit(cache=True)
def _raise_top(folds: Floats, tops: Ints, segment: int, largest: float, reach: Floats) -> None:
    """Move the bins of a segment down to make room above for a larger magnitude; the lowest fall off."""
    old = tops[segment]
    while largest > reach[tops[segment]]:
        tops[segment] += 1
    down = tops[segment] - old
    for fold in range(N_FOLDS - 1, -1, -1):
        if fold >= down:
            folds[fold] = folds[fold - down]
        else:
            folds[fold] = 0.0


@njit(cache=True)
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

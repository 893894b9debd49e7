"""The largest of numbers that are spread over the ranks, without bringing all of them together."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.errors import NumericalError
from prosper_ng.parallel.communicator import Communicator

_DIGIT_BITS = 16
_N_DIGITS = 1 << _DIGIT_BITS
_SIGN = np.uint64(1 << 63)
_SPARE = 4096


def largest(values: NDArray[np.float64], k: int, comm: Communicator) -> float:
    """The k-th largest number over all ranks: at least k of all numbers are >= it, fewer than k are > it.

    `values` are this rank's numbers, maybe none. The ranks histogram one 16-bit digit after the other of the numbers'
    order-preserving integer images: four sums of 65,537 integers, however many numbers there are. One rank puts its
    numbers in order instead.
    Raises ValueError unless 1 <= k <= the number of values, NumericalError where any is NaN; both on all ranks.
    """
    images = _ordered_images(values)
    n_missing = int(np.count_nonzero(np.isnan(values)))
    if comm.size == 1:
        _require(images.size, n_missing, k)
        return _number(int(np.partition(images, images.size - k)[images.size - k]))
    prefix = 0
    for shift in range(64 - _DIGIT_BITS, -1, -_DIGIT_BITS):
        digits = ((images >> np.uint64(shift)) & np.uint64(_N_DIGITS - 1)).astype(np.intp)
        counts = np.empty(_N_DIGITS + 1, dtype=np.int64)
        counts[:-1] = np.bincount(digits, minlength=_N_DIGITS)
        counts[-1] = n_missing
        comm.sum_in_place(counts)
        from_above = np.cumsum(counts[-2::-1])
        _require(int(from_above[-1]), int(counts[-1]), k)
        place = int(np.searchsorted(from_above, k))
        digit = _N_DIGITS - 1 - place
        k -= int(from_above[place - 1]) if place else 0
        images = images[digits == digit]
        prefix |= digit << shift
    return _number(prefix)


def _require(n_values: int, n_missing: int, k: int) -> None:
    if n_missing > 0:
        raise NumericalError(f"cannot rank {n_values} numbers: {n_missing} of them are NaN")
    if not 1 <= k <= n_values:
        raise ValueError(f"cannot find the {k}-th largest of {n_values} numbers")


def _ordered_images(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Unsigned integers in the order of the numbers; both zeros are one."""
    bits = (np.asarray(values, dtype=np.float64).ravel() + 0.0).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _number(image: int) -> float:
    bits = np.array([image], dtype=np.uint64)
    return float(np.where(bits & _SIGN, bits ^ _SIGN, ~bits).view(np.float64)[0])


class Foremost:
    """Of things that come piece by piece, each rank its own, the k of the largest keys over all ranks.

    No rank holds more than about 2 k of them, however many there are.
    """

    def __init__(self, k: int) -> None:
        """Nothing has come yet."""
        self._k, self._n_seen, self._least = k, 0, -np.inf
        self._pieces: list[NDArray[np.float64]] = []

    def add(self, keys: NDArray[np.float64], *columns: NDArray[Any]) -> None:
        """Things with keys (n,) and numbers (n,) that tell of them; no key is -inf."""
        self._n_seen += len(keys)
        new = keys > self._least
        self._pieces.append(np.stack([keys[new], *(column[new] for column in columns)], axis=1))
        if sum(map(len, self._pieces)) > 2 * self._k + _SPARE:
            held = np.concatenate(self._pieces)
            first = np.argpartition(-held[:, 0], self._k)[: self._k + 1]
            self._pieces = [held[np.sort(first)]]
            self._least = np.nextafter(held[first, 0].min(), -np.inf)

    def of_all(self, comm: Communicator) -> tuple[NDArray[np.float64], float]:
        """(k, ...) keys and numbers of those of the largest keys, by rank as they came, and the largest key of others.

        -inf where there are no others; of several that share this key all are others. The same on all ranks, which
        call it together.
        """
        n_seen = np.array([self._n_seen])
        comm.sum_in_place(n_seen)
        held = np.concatenate(self._pieces) if self._pieces else np.empty((0, 0))
        next_one = -np.inf if n_seen[0] <= self._k else largest(held[:, :1].ravel(), self._k + 1, comm)
        return _joined(held[held[:, :1].ravel() > next_one], comm), next_one


def _joined(values: NDArray[np.float64], comm: Communicator) -> NDArray[np.float64]:
    """(n, m) what all ranks have (n_local, m), one after the other; a rank that has nothing may not know m."""
    shapes = np.zeros((comm.size, 2), np.int64)
    shapes[comm.rank] = values.shape
    comm.sum_in_place(shapes)
    found = np.zeros((shapes[:, 0].sum(), shapes[:, 1].max()))
    if len(values):
        first = shapes[: comm.rank, 0].sum()
        found[first : first + len(values)] = values
    comm.sum_in_place(found)
    return found

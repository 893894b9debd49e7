"""What rows of numbers are, in 128 bits: a function of their values, not of where they lie or how they are stored.

Each value enters by the bits of its float64, one zero for both signs and one NaN for all. Two lanes of 64 bits take
them in turn by xor, rotation and an odd multiplier, and end with the finalizer of MurmurHash3 (Appleby, 2011). Among
10^9 different rows two agree by chance with a probability of 10^-21; nothing here resists an adversary.
"""

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel

Words = NDArray[np.uint64]

_NAN = np.uint64(0x7FF8000000000000)
_SEED_0, _SEED_1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_ODD_0, _ODD_1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_MIX_0, _MIX_1 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_31, _33 = np.uint64(31), np.uint64(33)


def row_hashes(rows: NDArray[np.float64]) -> Words:
    """(n, 2) the 128 bits of each row (n, D)."""
    found = np.empty((len(rows), 2), np.uint64)
    _fill(np.ascontiguousarray(rows, dtype=np.float64), found)
    return found


def combined(hashes: Words, first_row: int) -> Words:
    """(2,) what the rows first_row.. with these hashes (n, 2) add to the hash of all rows of a table.

    The hash of a table is the sum, modulo 2^64, of what its rows add, each once, in any order and grouping; it changes
    with the values of any row and with the order of the rows.
    """
    total = np.zeros(2, np.uint64)
    _add(hashes, np.uint64(first_row), total)
    return total


@kernel
def _add(hashes: Words, first_row: np.uint64, total: Words) -> None:
    for n in range(hashes.shape[0]):
        row = mixed(first_row + np.uint64(n) + _SEED_0)
        total[0] += mixed(hashes[n, 0] ^ row)
        total[1] += mixed(hashes[n, 1] ^ row)


@kernel
def _fill(rows: NDArray[np.float64], found: Words) -> None:
    for n in range(rows.shape[0]):
        bits = rows[n].view(np.uint64)
        first, second = _SEED_0, _SEED_1
        for d in range(rows.shape[1]):
            value = rows[n, d]
            word = bits[d]
            if value == 0.0:
                word = np.uint64(0)
            elif np.isnan(value):
                word = _NAN
            first = _turned(first ^ word) * _ODD_0
            second = _turned(second + word) * _ODD_1
        found[n, 0] = mixed(first ^ _turned(second))
        found[n, 1] = mixed(second + np.uint64(rows.shape[1]) + first)


@kernel
def _turned(word: np.uint64) -> np.uint64:
    return (word << _31) | (word >> _33)


@kernel
def mixed(word: np.uint64) -> np.uint64:
    """A bijection of 64 bits by which each bit of the input changes half of the output's."""
    word = (word ^ (word >> _33)) * _MIX_0
    word = (word ^ (word >> _33)) * _MIX_1
    return word ^ (word >> _33)

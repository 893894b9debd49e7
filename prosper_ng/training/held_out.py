"""Rows that are left out of learning, so that what is learned can be held against rows that it has not seen."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from prosper_ng.errors import UserError
from prosper_ng.numerics.random_streams import stream

_LARGEST_DENOMINATOR = 10**6
_STRATA = 1024
"""That are drawn from together."""


def numbers_apart(is_held_out: bool, is_weighted: bool) -> int:
    """How many numbers a sweep adds up of rows that are held out: their free energies, and where they have any, their
    weights.
    """
    return is_held_out * (1 + is_weighted)


@dataclass(frozen=True)
class HeldOut:
    """One row of each 1 / share that follow one another, drawn by the seed; none of a rest that is shorter.

    So the share is that asked for in every part of the data, a row is held out whichever rank owns it, and rows that
    are appended change nothing for those that were there but the rest.
    """

    share: float
    seed: int
    n_rows: int

    @classmethod
    def of(cls, share: float, seed: int, n_rows: int) -> "HeldOut":
        """Raises UserError where there are too few rows for the share, or none would be left to learn from."""
        found = cls(share, seed, n_rows)
        if not 0 < len(found) < n_rows:
            lacking = "not one row" if len(found) == 0 else "all of them, and none to learn from"
            raise UserError(
                f"held_out: {share:g} of {n_rows} rows is {lacking}; legal are shares of one row or more that "
                "leave some to learn from"
            )
        return found

    def __len__(self) -> int:
        """How many rows are held out."""
        ratio = self._ratio
        return self.n_rows * ratio.numerator // ratio.denominator

    def among(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) which of these rows, in ascending order, are held out."""
        if len(rows) == 0:
            return np.zeros(0, bool)
        ratio = self._ratio
        first, last = (int(row) * ratio.numerator // ratio.denominator for row in (rows[0], rows[-1]))
        # Row numbers at which strata begin are rounded up: a row belongs to the last that does not begin after it.
        strata = np.arange(first, min(last + 1, len(self)))
        starts = -(-np.arange(first, first + len(strata) + 1) * ratio.denominator // ratio.numerator)
        chosen = starts[:-1] + (self._draws(strata) * np.diff(starts)).astype(np.int64)
        return np.isin(rows, chosen, assume_unique=True)

    def leaves_some(self, rows: range) -> bool:
        """Whether any of these rows is learned from."""
        return not self.among(np.arange(rows.start, rows.stop)).all()

    @property
    def _ratio(self) -> Fraction:
        return Fraction(self.share).limit_denominator(_LARGEST_DENOMINATOR)

    def _draws(self, strata: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n,) a number from [0, 1) for each of these strata, which follow one another."""
        if len(strata) == 0:
            return np.zeros(0)
        family, first = stream(self.seed, "held-out rows"), int(strata[0]) // _STRATA
        groups = range(first, int(strata[-1]) // _STRATA + 1)
        draws = np.concatenate([family.generator(group).random(_STRATA) for group in groups])
        return draws[strata - first * _STRATA]

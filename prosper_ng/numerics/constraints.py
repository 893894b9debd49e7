"""What values may be: those of a parameter, and those of the data.

Small frozen objects, which compare equal where they allow the same. `values` are arrays of any shape; what concerns
several numbers together, such as a covariance, lies in the last axes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.numerics.cholesky import is_positive_definite, positive_definite

Floats = NDArray[np.float64]
Index = tuple[int, ...]

LARGEST = 1e140
"""Squares of larger numbers, and sums of what they are multiplied with, leave double precision."""
_SUM_TOLERANCE = 1e-6
"""Probabilities kept in single precision sum to 1 that well."""
_SYMMETRY_TOLERANCE = 1e-6
"""Of a covariance, in units of the standard deviations."""


class Constraint(ABC):
    """A set of legal values."""

    low: float
    """No legal value is smaller."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What is legal, as in "it must be WORDS"."""

    @abstractmethod
    def first_illegal(self, values: Any, missing: bool = False) -> Index | None:
        """The index of the first value that is not legal, None where all are.

        NaN is never legal, unless it marks what is `missing`; infinity never is. Of values that are only legal together
        it is the index of the first of them.
        """

    @abstractmethod
    def nearest(self, values: Any) -> Floats:
        """Legal values near to these finite ones; legal ones stay as they are, but for rounding.

        What lies beyond a bound is mirrored at it, so that noise piles nothing up there.
        """

    @abstractmethod
    def feasible(self, shape: Index, rng: np.random.Generator) -> Floats:
        """Legal values, far from anything special."""

    def given(self, value: Any, shape: Index) -> Floats:
        """What a user's number or array means for an array of that shape: a single number fills it."""
        return np.array(np.broadcast_to(np.asarray(value, dtype=np.float64), shape))

    def fault(self, values: Any) -> str | None:
        """What is not legal about the values, as in "it must be WORDS, not FAULT"; None where all is."""
        index = self.first_illegal(values)
        return None if index is None else f"{np.asarray(values)[index]:.12g}"


@dataclass(frozen=True)
class Interval(Constraint):
    """Finite numbers from `low` to `high`, both included."""

    low: float
    high: float
    typical: tuple[float, float] | None = field(default=None, compare=False)
    """From where to where usual numbers lie, for bounds that are far from them."""

    def __post_init__(self) -> None:
        """Raise ValueError where nothing lies between the bounds."""
        if not self.low < self.high:
            raise ValueError(f"an interval needs low < high, not {self.low} and {self.high}")

    @property
    def words(self) -> str:
        """Such as "a number from 0 to 1"."""
        if self.low == _SMALLEST_POSITIVE and self.high == np.inf:
            return "a number above 0"
        if (self.low, self.high) == (_SMALLEST_POSITIVE, _LARGEST_BELOW_1):
            return "a number above 0 and below 1"
        if (self.low, self.high) == (-np.inf, np.inf):
            return "a finite number"
        if self.high == np.inf:
            return f"a number of {self.low:.12g} or more"
        return f"a number from {self.low:.12g} to {self.high:.12g}"

    def first_illegal(self, values: Any, missing: bool = False) -> Index | None:
        """The first value that lies outside or is not finite."""
        array = np.asarray(values)
        return _first(np.isfinite(array) & (array >= self.low) & (array <= self.high), array, missing)

    def nearest(self, values: Any) -> Floats:
        """Values outside mirrored into the interval, at one bound or between both."""
        array = np.asarray(values, dtype=np.float64)
        return np.asarray(np.clip(self._reflected(array), self.low, self.high))

    def _reflected(self, values: Floats) -> Floats:
        low, high = self.low, self.high
        if np.isfinite(low) and np.isfinite(high):
            width = high - low
            return np.asarray(low + width - np.abs((values - low) % (2 * width) - width))
        if np.isfinite(low):
            return np.asarray(low + np.abs(values - low))
        return np.asarray(high - np.abs(high - values)) if np.isfinite(high) else values

    def feasible(self, shape: Index, rng: np.random.Generator) -> Floats:
        """Inside, a unit or so from a single bound."""
        if self.typical is not None:
            return np.asarray(rng.uniform(*self.typical, shape))
        if np.isfinite(self.low) and np.isfinite(self.high):
            return np.asarray(self.low + (self.high - self.low) * rng.uniform(0.15, 0.6, shape))
        if np.isfinite(self.low):
            return np.asarray(self.low + rng.uniform(0.5, 1.5, shape))
        if np.isfinite(self.high):
            return np.asarray(self.high - rng.uniform(0.5, 1.5, shape))
        return np.asarray(rng.normal(0, 1.5, shape))


@dataclass(frozen=True)
class Whole(Constraint):
    """Whole numbers from `low` to `high`, both included."""

    low: float
    high: float

    @property
    def words(self) -> str:
        """Such as "0 or 1", or "counts 0, 1, 2, ..."."""
        if self.high == np.inf:
            return "counts 0, 1, 2, ..." if self.low == 0 else f"a whole number of {self.low:g} or more"
        return (
            f"{self.low:g} or {self.high:g}"
            if self.high == self.low + 1
            else f"a whole number from {self.low:g} to {self.high:g}"
        )

    def first_illegal(self, values: Any, missing: bool = False) -> Index | None:
        """The first value that is no whole number or lies outside."""
        array = np.asarray(values)
        legal = np.isfinite(array) & (array >= self.low) & (array <= self.high) & (array == np.floor(array))
        return _first(legal, array, missing)

    def nearest(self, values: Any) -> Floats:
        """Rounded, after values outside were mirrored into the interval."""
        return np.rint(Interval(self.low, self.high).nearest(values))

    def feasible(self, shape: Index, rng: np.random.Generator) -> Floats:
        """Each as likely as the others, or numbers of 3 on average."""
        if np.isfinite(self.high):
            return rng.integers(int(self.low), int(self.high) + 1, shape).astype(np.float64)
        return self.low + rng.poisson(3.0, shape).astype(np.float64)


@dataclass(frozen=True)
class Simplex(Constraint):
    """Numbers of `low` or more that sum to 1 over the last axis."""

    low: float = 0.0

    @property
    def words(self) -> str:
        """Of each and of all together."""
        return f"probabilities of {self.low:.12g} or more that sum to 1"

    def first_illegal(self, values: Any, missing: bool = False) -> Index | None:
        """The first value outside, else the first of those that do not sum to 1; of rows with gaps the sum is free."""
        array = np.asarray(values, dtype=np.float64)
        if array.ndim == 0:
            return ()
        single = _first(np.isfinite(array) & (array >= self.low), array, missing)
        if single is not None or array.size == 0:
            return single
        sums = array.sum(axis=-1)
        together = _first(np.abs(sums - 1) <= _SUM_TOLERANCE, sums, missing)
        return None if together is None else (*together, 0)

    def nearest(self, values: Any) -> Floats:
        """Mirrored at the lower bound, then divided by their sum; legal ones stay as they are."""
        array = np.asarray(values, dtype=np.float64)
        if self.first_illegal(array) is None:
            return array
        return self._normalized(np.abs(array - self.low))

    def _normalized(self, excess: Floats) -> Floats:
        """The shares by which numbers exceed the lower bound, in what it leaves; equal ones where none does."""
        n_values = excess.shape[-1]
        largest = excess.max(axis=-1, keepdims=True)
        excess = np.divide(excess, largest, out=np.ones_like(excess), where=largest > 0)
        shares = excess / excess.sum(axis=-1, keepdims=True)
        return np.asarray(np.maximum(self.low + (1 - n_values * self.low) * shares, self.low))

    def feasible(self, shape: Index, rng: np.random.Generator) -> Floats:
        """None near to a bound."""
        return self._normalized(rng.uniform(0.15, 0.6, shape))

    def given(self, value: Any, shape: Index) -> Floats:
        """Numbers count in proportion, and a single one makes all equal; what has no proportions stays as it is."""
        array = super().given(value, shape)
        sums = array.sum(axis=-1, keepdims=True)
        if self.first_illegal(array) is None or not (np.isfinite(sums) & (sums > 0)).all():
            return array
        return np.asarray(array / sums)

    def fault(self, values: Any) -> str | None:
        """The first value that is not legal, or the sum."""
        index, array = self.first_illegal(values), np.asarray(values, dtype=np.float64)
        if not index:
            return None if index is None else "a single number"
        if np.isfinite(array).all() and (array >= self.low).all():
            return f"numbers that sum to {array[index[:-1]].sum():.9g}"
        return f"{array[index]:.12g}"


@dataclass(frozen=True)
class Covariance(Constraint):
    """Symmetric positive definite matrices, in the last two axes."""

    low: float = -np.inf

    @property
    def words(self) -> str:
        """Of the matrix as a whole."""
        return "a symmetric positive definite matrix"

    def first_illegal(self, values: Any, missing: bool = False) -> Index | None:
        """The first value that is not finite, else the first of a matrix that is no covariance; none may be missing."""
        array = np.asarray(values, dtype=np.float64)
        if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
            return (0,) * array.ndim
        if not np.isfinite(array).all():
            return _first(np.isfinite(array), array, False)
        wrong = (place for place, matrix in _matrices(array) if _is_no_covariance(matrix))
        place = next(wrong, None)
        return None if place is None else (*place, 0, 0)

    def nearest(self, values: Any) -> Floats:
        """Symmetric, with negative variances mirrored at 0, in every direction; legal ones stay as they are."""
        array = np.array(values, dtype=np.float64)
        for place, matrix in _matrices(array):
            if _is_no_covariance(matrix):
                array[place] = _mirrored(matrix)
        return array

    def feasible(self, shape: Index, rng: np.random.Generator) -> Floats:
        """With eigenvalues of 0.3 and more."""
        root = rng.normal(0, 0.5, shape)
        return np.asarray(root @ np.swapaxes(root, -1, -2) + 0.3 * np.eye(shape[-1]))

    def given(self, value: Any, shape: Index) -> Floats:
        """A single number is that times the identity."""
        array = np.asarray(value, dtype=np.float64)
        identity = np.broadcast_to(np.eye(shape[-1]), shape)
        return np.asarray(array * identity) if array.ndim == 0 else super().given(array, shape)

    def fault(self, values: Any) -> str | None:
        """What is wrong with the first matrix that is no covariance."""
        index, array = self.first_illegal(values), np.asarray(values, dtype=np.float64)
        if index is None:
            return None
        if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
            return f"an array of the shape {array.shape}"
        if not np.isfinite(array[index]):
            return f"one that holds {array[index]:g}"
        matrix = array[index[:-2]]
        if not _is_symmetric(matrix):
            i, j = np.unravel_index(int(np.abs(matrix - matrix.T).argmax()), matrix.shape)
            return f"one with {matrix[i, j]:.6g} in row {i}, column {j} and {matrix[j, i]:.6g} in row {j}, column {i}"
        return f"one with an eigenvalue of {np.linalg.eigvalsh(0.5 * (matrix + matrix.T))[0]:.3g}"


_SMALLEST_POSITIVE = float(np.finfo(np.float64).tiny)
_LARGEST_BELOW_1 = float(np.nextafter(1.0, 0.0))


def interval(low: float, high: float, typical: tuple[float, float] | None = None) -> Interval:
    """Finite numbers from `low` to `high`, both included; usual ones lie within `typical`, where that is given."""
    return Interval(low, high, typical)


REAL = Interval(-np.inf, np.inf)
NONNEGATIVE = Interval(0.0, np.inf)
POSITIVE = Interval(_SMALLEST_POSITIVE, np.inf)
UNIT = Interval(0.0, 1.0)
INSIDE_UNIT = Interval(_SMALLEST_POSITIVE, _LARGEST_BELOW_1)
SIMPLEX = Simplex()
COVARIANCE = Covariance()
BINARY = Whole(0.0, 1.0)
COUNTS = Whole(0.0, np.inf)


def _first(legal: Any, values: Any, missing: bool) -> Index | None:
    """The index of the first value that is not legal."""
    legal = legal | np.isnan(values) if missing else legal
    if np.all(legal):
        return None
    return tuple(int(place) for place in np.unravel_index(int(np.argmin(legal)), np.shape(values)))


def _matrices(array: Floats) -> Iterator[tuple[Index, Floats]]:
    """Each matrix in the last two axes, with the index of it."""
    return ((place, array[place]) for place in np.ndindex(array.shape[:-2]))


def _is_symmetric(matrix: Floats) -> bool:
    scale = np.sqrt(np.abs(np.diagonal(matrix)))
    return bool((np.abs(matrix - matrix.T) <= _SYMMETRY_TOLERANCE * np.outer(scale, scale)).all())


def _is_no_covariance(matrix: Floats) -> bool:
    return not (_is_symmetric(matrix) and is_positive_definite(0.5 * (matrix + matrix.T)))


def _mirrored(matrix: Floats) -> Floats:
    """The symmetric part with its negative eigenvalues, in units of the deviations, mirrored at 0."""
    symmetric = 0.5 * (matrix + matrix.T)
    sizes = np.abs(np.diagonal(symmetric))
    scale = np.sqrt(np.where(sizes > 0, sizes, np.max(sizes, initial=0.0) or 1.0))
    eigenvalues, vectors = np.linalg.eigh(symmetric / scale[:, None] / scale)
    mirrored = (vectors * np.abs(eigenvalues)) @ vectors.T * scale[:, None] * scale
    return positive_definite(mirrored)

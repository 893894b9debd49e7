"""Linear algebra that root leads and the other ranks help with, for as long as root's M-step lasts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from prosper_ng.numerics import tiles
from prosper_ng.numerics.linear import packed, unpacked, using
from prosper_ng.numerics.named_arrays import Shape, Triangle, packed_size
from prosper_ng.numerics.tiles import LEAST_TILED
from prosper_ng.parallel.communicator import Communicator

Floats = NDArray[np.float64]

_END, _FACTORIZE, _SOLVE, _MULTIPLY = range(4)


_PRODUCTS = 4
"""Of an update with the second moment: for the change of W, the noise, and the free energy before and after."""


def is_joint(side: int, n_ranks: int) -> bool:
    """Whether all ranks take part in M-steps with second moments of so many rows."""
    return n_ranks > 1 and side >= LEAST_TILED


def numbers_of_an_update(statistics: Mapping[str, Shape], n_observed: int, n_ranks: int) -> int:
    """How many numbers a rank gets in one M-step besides the new parameters: those of all matrices, W among them."""
    n = side_of(statistics)
    if not is_joint(n, n_ranks):
        return 0
    # The second moment, its correlations and their factor; right sides go out to all, and results come back as sums.
    return 3 * packed_size(n) + 3 * (_PRODUCTS + 1) * n_observed * n


def side_of(statistics: Mapping[str, Shape]) -> int:
    """The rows of the largest second moment among some statistics; 0 where there is none."""
    return max((shape.n for shape in statistics.values() if isinstance(shape, Triangle)), default=0)


class JointAlgebra:
    """What `numerics.linear` does with large matrices, by all ranks: root calls, the others `serve`.

    Root alone knows what an M-step needs next, and decides; a matrix that it multiplies with again is not sent again.
    """

    def __init__(self, comm: Communicator, statistics: Mapping[str, Shape]) -> None:
        """All ranks have one; `statistics` are those of the model, which say how large its second moments are."""
        self._comm = comm
        self._is_worth_it = is_joint(side_of(statistics), comm.size)
        self._held: Floats | None = None
        self._mark: tuple[int, ...] = ()
        self._is_amid = False

    @contextmanager
    def shared(self) -> Iterator[bool]:
        """Whether this rank is root, which does in this block what there is to do; the others help until it has.

        Raises RuntimeError where root broke off amid something that the others wait for.
        """
        if self._is_worth_it and not self._comm.is_root:
            self._serve()
        if not (self._is_worth_it and self._comm.is_root):
            yield self._comm.is_root
            return
        with using(self):
            yield True
        self._forget()
        if self._is_amid:
            raise RuntimeError("root broke off amid linear algebra of all ranks")
        self._order(_END)

    def _serve(self) -> None:
        """Do what root says, until it is done."""
        factor = np.empty((0, 0))
        while True:
            what, n, n_rows, is_new = self._order()
            if what == _END:
                break
            if what == _FACTORIZE:
                factor = unpacked(self._of_root(np.empty(packed_size(n))))
                tiles.factorize(factor, self._comm)
            elif what == _SOLVE:
                tiles.solutions(factor, self._of_root(np.empty((n_rows, n))), self._comm)
                factor = np.empty((0, 0))
            else:
                if is_new:
                    self._held = self._of_root(np.empty(packed_size(n)))
                assert self._held is not None
                tiles.products(self._of_root(np.empty((n_rows, n))), self._held, self._comm)
        self._forget()

    def factorized(self, moment: Floats) -> Floats | None:
        """The Cholesky factor of a symmetric matrix (n, n), in the lower triangle; None where it has none."""
        with self._amid(_FACTORIZE, len(moment)):
            self._of_root(packed(moment))
            factor = moment.copy()
            return factor if tiles.factorize(factor, self._comm) else None

    def solved(self, factor: Floats, right: Floats) -> Floats:
        """X (m, n) with X L Lᵀ = right, for the factor that was made last."""
        with self._amid(_SOLVE, len(factor), len(right)):
            return tiles.solutions(factor, self._of_root(np.ascontiguousarray(right)), self._comm)

    def multiplied(self, left: Floats, triangle: Floats) -> Floats:
        """left (m, n) @ S, where `triangle` is the lower one of S (n, n), row by row."""
        mark = _mark_of(triangle)
        is_new, self._mark = mark != self._mark, mark
        with self._amid(_MULTIPLY, left.shape[1], len(left), is_new):
            if is_new:
                self._of_root(np.ascontiguousarray(triangle))
            return tiles.products(self._of_root(np.ascontiguousarray(left)), triangle, self._comm)

    @contextmanager
    def _amid(self, *order: int) -> Iterator[None]:
        """A block in which the others do what root orders; they wait for ever where root leaves it with an error."""
        self._is_amid = True
        self._order(*order)
        yield
        self._is_amid = False

    def _order(self, *numbers: int) -> list[int]:
        """What root says to do next, with sizes."""
        order = np.zeros(4, np.int64)
        order[: len(numbers)] = numbers
        self._comm.broadcast_in_place(order)
        return [int(number) for number in order]

    def _of_root(self, values: Floats) -> Floats:
        self._comm.broadcast_in_place(values)
        return values

    def _forget(self) -> None:
        self._held, self._mark = None, ()


def _mark_of(triangle: Floats) -> tuple[int, ...]:
    """What tells one matrix from another, and the same one after it was written to."""
    words = np.ascontiguousarray(triangle).view(np.uint64)
    return len(words), int(np.add.reduce(words)), int(np.bitwise_xor.reduce(words))

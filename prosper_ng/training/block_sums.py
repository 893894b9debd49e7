"""The statistics of one block of rows after another, of which only what its rows reached is added up."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel
from prosper_ng.models.capabilities import SumsByValue, offers
from prosper_ng.models.interface import Model
from prosper_ng.numerics.named_arrays import NamedArrays, Shape, segments
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.exact_sum import ExactSum
from prosper_ng.training.owners import Owners
from prosper_ng.training.totals import statistics_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class BlockSums:
    """Sums over the rows of a block, and the exact sum of all blocks.

    Where a model has sums of its own for each value of its latent, what a block costs grows with the values that its
    rows have, and not with all there are.
    """

    def __init__(self, model: Model, n_observed: int, n_apart: int = 0) -> None:
        """Nothing added yet; `n_apart` numbers are added up beside the statistics."""
        shapes = statistics_of(model, n_observed)
        lengths = segments(shapes)
        n_numbers = sum(lengths)
        self._summand = np.zeros(n_numbers + n_apart)
        self.statistics = NamedArrays(shapes, self._summand[:n_numbers])
        """Of the block that is worked on."""
        self.apart = self._summand[n_numbers:]
        """What is added up beside them."""
        self._total = ExactSum([*lengths, *n_apart * [1]])
        self._by_value = _ByValue(model, shapes, n_observed, n_apart) if offers(model, SumsByValue) else None

    def clear(self) -> None:
        """Forget all blocks."""
        self._summand[:] = 0.0
        self._total.clear()

    def end_block(self) -> None:
        """Add up what was found of a block; the next one begins with zeros."""
        reached = self._by_value.reached(self.statistics) if self._by_value else None
        self._total.add(self._summand, some=reached)
        if reached is None:
            self._summand[:] = 0.0
        else:
            _clear(self._summand, self._total.starts, reached)

    def reduce(self, comm: Communicator, extras: Floats) -> tuple[NamedArrays, Floats, Floats]:
        """On root the statistics over all blocks of all ranks, and what stands apart; on all the sum of `extras`."""
        return self._cut(self.statistics.shapes, *self._total.reduce(comm, extras, to_root=True))

    def reduce_shares(
        self, comm: Communicator, extras: Floats, owners: Owners
    ) -> tuple[NamedArrays, Floats, Floats]:  # fmt: skip
        """The same on all ranks, but of the statistics to each those of its values."""
        return self._cut(owners.statistics, *self._total.reduce_shares(comm, extras, owners.shares(len(self.apart))))

    def _cut(self, shapes: dict[str, Shape], total: Floats, extras: Floats) -> tuple[NamedArrays, Floats, Floats]:
        n_statistics = len(total) - len(self.apart)
        return NamedArrays(shapes, total[:n_statistics]), total[n_statistics:], extras


class _ByValue:
    """Where the sums of each value lie, in segments of a buffer."""

    def __init__(self, model: Any, shapes: dict[str, Shape], n_observed: int, n_apart: int) -> None:
        names = model.sums_by_value(n_observed)
        self._counts, first = names[0], 0
        self._own: list[tuple[int, Ints]] = []
        rest = []
        for name, shape in shapes.items():
            n_segments = len(segments({name: shape}))
            if name in names:
                self._own.append((first, np.arange(n_segments // shape[0])))
            else:
                rest.append(np.arange(first, first + n_segments))
            first += n_segments
        self._rest = np.concatenate([*rest, np.arange(first, first + n_apart)])

    def reached(self, sums: NamedArrays) -> Ints | None:
        """The segments that are not 0; None where these are most of them."""
        counts = sums[self._counts]
        values = np.flatnonzero(counts)
        if 2 * len(values) > len(counts):
            return None
        own = [(first + len(each) * values[:, None] + each).ravel() for first, each in self._own]
        return np.concatenate([self._rest, *own])


@kernel
def _clear(buffer: Floats, starts: Ints, some: Ints) -> None:
    """Set some segments to 0."""
    for segment in some:
        buffer[starts[segment] : starts[segment + 1]] = 0.0

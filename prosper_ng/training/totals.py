"""What root carries between M-steps: the statistics of all parts, each replaced when its part is visited again."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel
from prosper_ng.models.capabilities import Remembers, learns_from_part, offers
from prosper_ng.models.interface import Model
from prosper_ng.numerics.named_arrays import NamedArrays, Shape, n_numbers

Floats = NDArray[np.float64]

KEPT_BY_STATISTIC = ("parts", "high", "low")
"""The arrays of totals with an entry for each statistic, the last axis."""


def statistics_of(model: Model, n_observed: int) -> dict[str, Shape]:
    """The statistics of the model, and the two that every posterior gives."""
    return model.statistics(n_observed) | {"entropy": (), "free_energy": ()}


def kept_statistics_of(model: Model, n_observed: int) -> dict[str, Shape]:
    """Those that are kept of each part until it is visited again: all, or what tells the free energy of all rows."""
    found = statistics_of(model, n_observed)
    return {name: found[name] for name in ("n", "free_energy")} if learns_from_part(model) else found


def memory_of(model: Model, n_observed: int) -> dict[str, Shape]:
    """What the M-step of the model remembers, all of it 0 at first."""
    remembering: Any = model
    return dict(remembering.memory(n_observed)) if offers(model, Remembers) else {}


def shapes_of_totals(shapes: dict[str, Shape], n_parts: int) -> dict[str, Shape]:
    """The arrays that a checkpoint keeps of the totals of such statistics."""
    size = n_numbers(shapes)
    return {"parts": (n_parts, size), "seen": (n_parts,), "high": (size,), "low": (size,)}


class PartTotals:
    """The statistics each part gave last, and their running sum (incremental EM; Neal and Hinton, 1998).

    The sum is kept in twice the precision of a double, so that replacing a part any number of times leaves no trace.
    """

    def __init__(self, shapes: dict[str, Shape], n_parts: int) -> None:
        """Nothing seen yet; one part needs no running sum. `shapes` are the statistics to keep."""
        self.shapes = shapes
        arrays = {name: np.zeros(shape) for name, shape in shapes_of_totals(shapes, n_parts).items()}
        self._parts, self._seen, self._high, self._low = arrays.values()

    def part(self, part: int) -> NamedArrays | None:
        """What a part gave last; None where it was never visited."""
        return NamedArrays(self.shapes, self._parts[part]) if self._seen[part] else None

    def replace(self, part: int, sums: NamedArrays) -> NamedArrays:
        """The total after the statistics of one part were replaced; others than those to keep are passed over."""
        if sums.shapes != self.shapes:
            sums = NamedArrays.of(**{name: sums[name] for name in self.shapes})
        if len(self._parts) > 1:
            _exchange(self._high, self._low, self._parts[part], sums.buffer)
        else:
            self._high[...] = sums.buffer
        self._parts[part] = sums.buffer
        self._seen[part] = 1.0
        return NamedArrays(self.shapes, self._high.copy())

    def clear(self) -> None:
        """Forget all that was seen."""
        for values in self.arrays().values():
            values[...] = 0.0

    def arrays(self) -> dict[str, Floats]:
        """What a checkpoint must keep."""
        return {"parts": self._parts, "seen": self._seen, "high": self._high, "low": self._low}

    def restore(self, arrays: Mapping[str, Floats]) -> None:
        """Take up what a checkpoint kept."""
        for name, values in self.arrays().items():
            values[...] = arrays[name]


@kernel
def _exchange(high: Any, low: Any, old: Any, new: Any) -> None:
    """high + low += new - old, in double-double arithmetic (Knuth's two-sum)."""
    for i in range(high.shape[0]):
        for x in (-old[i], new[i]):
            total = high[i] + x
            back = total - high[i]
            error = (high[i] - (total - back)) + (x - back) + low[i]
            high[i] = total + error
            low[i] = error - (high[i] - total)

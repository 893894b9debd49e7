"""The history of a run: numbers by name, one entry for each sweep."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SWEEP = "sweep"
HELD_OUT = "held_out_free_energy"
"""Of the rows that are not learned from, per row."""
RESTART = "restart"
"""The number, from 1, of the start that was learned from, where there are several."""


class History:
    """Columns of equal length that grow by one entry at a time; `sweep` is always among them.

    A column may begin or pause at any time: it holds NaN where nothing was recorded.
    """

    def __init__(self, columns: Mapping[str, Floats] | None = None) -> None:
        """The history so far; empty without one. ValueError where the columns differ in length."""
        self._columns: dict[str, list[float]] = {SWEEP: []}
        for name, values in (columns or {}).items():
            self._columns[name] = [float(value) for value in values]
        if len({len(values) for values in self._columns.values()}) > 1:
            raise ValueError(
                f"columns of a history are of different length: { {k: len(v) for k, v in self._columns.items()} }"
            )

    def __len__(self) -> int:
        return len(self._columns[SWEEP])

    def append(self, sweep: int, values: Mapping[str, float]) -> None:
        """Add what is known after a sweep."""
        n_before = len(self)
        entry = {SWEEP: float(sweep), **values}
        for name in entry.keys() - self._columns.keys():
            self._columns[name] = [math.nan] * n_before
        for name, column in self._columns.items():
            column.append(float(entry.get(name, math.nan)))

    def columns(self, since: int = 0) -> dict[str, Floats]:
        """All columns by name, from the entry `since` on."""
        return {name: np.array(values[since:], dtype=np.float64) for name, values in self._columns.items()}

    def to_arrays(self) -> dict[str, Floats]:
        """The columns under names that tell them from other arrays of a checkpoint."""
        return {f"history/{name}": values for name, values in self.columns().items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, object]) -> "History":
        """The history among the arrays of a checkpoint."""
        found = {name: np.asarray(values, float) for name, values in arrays.items() if name.startswith("history/")}
        return cls({name.removeprefix("history/"): values for name, values in found.items()})

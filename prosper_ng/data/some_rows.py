"""Some of the rows of a dataset, in their order, as a dataset of its own."""

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import Dataset, require_rows
from prosper_ng.data.preprocessing import PreparedRows
from prosper_ng.numerics.named_arrays import NamedArrays

_NEAR = 16
"""Rows that lie so near to each other are read together with those between them."""


class SomeRows(PreparedRows):
    """The rows of some numbers, in ascending order."""

    truth: NamedArrays | None = None

    def __init__(self, dataset: Dataset, numbers: NDArray[np.int64]) -> None:
        """Nothing is read yet."""
        self.n_rows, self.n_observed = len(numbers), dataset.n_observed
        self.row_shape, self.where, self.preprocessing = dataset.row_shape, dataset.where, dataset.preprocessing
        self.numbers, self._dataset = numbers, dataset

    def raw(self, start: int, stop: int) -> NDArray[np.float64]:
        """Rows start..stop of these."""
        require_rows(start, stop, self.n_rows)
        numbers = self.numbers[start:stop]
        rows, ends = np.empty((len(numbers), self.n_observed)), np.flatnonzero(np.diff(numbers) > _NEAR) + 1
        for place in np.split(np.arange(len(numbers)), ends) if len(numbers) else ():
            first = int(numbers[place[0]])
            rows[place] = self._dataset.raw(first, int(numbers[place[-1]]) + 1)[numbers[place] - first]
        return rows

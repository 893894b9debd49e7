"""Sources and datasets whose rows are made when they are read."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import SourceDefaults, require_finite, require_memory, require_rows
from prosper_ng.data.preprocessing import PreparedRows
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import Stream

Floats = NDArray[np.float64]
Generate = Callable[[int, np.random.Generator], Floats]

BLOCK_ROWS = 256


class GeneratedRows(SourceDefaults):
    """A source whose rows are drawn, and some of their values hidden."""

    missing: float

    @property
    def depends_on_seed(self) -> bool:
        """Always: rows are drawn."""
        return True

    @property
    def may_lack_values(self) -> bool:
        """Where values are hidden."""
        return self.missing > 0


class GeneratedDataset(PreparedRows):
    """Rows that are a function of the seed and their index alone.

    Block b holds rows 256 b to 256 b + 255 and is always made as a whole, from the generator of block b; so any rank
    makes any row with the same bits, and a longer dataset begins with the rows of a shorter one.
    """

    def __init__(
        self,
        generate: Generate,
        stream: Stream,
        n_rows: int,
        row_shape: tuple[int, ...],
        truth: NamedArrays,
        where: str,
        missing: float = 0.0,
    ) -> None:
        """`generate(n, rng)` returns n rows (n, D) made with `truth`, of which each value is hidden with
        probability `missing`.
        """
        self.n_rows, self.n_observed = n_rows, int(np.prod(row_shape))
        self.row_shape = row_shape
        self.truth: NamedArrays | None = truth
        self.where = where
        self._generate, self._stream, self._missing = generate, stream, missing

    def raw(self, start: int, stop: int) -> Floats:
        """Rows start..stop, NaN where a value is hidden."""
        require_rows(start, stop, self.n_rows)
        require_memory(8 * (stop - start) * self.n_observed, f"{self.where}: rows {start} to {stop}")
        rows = np.empty((stop - start, self.n_observed))
        hidden = np.zeros(rows.shape, dtype=bool)
        for first in range(start - start % BLOCK_ROWS, stop, BLOCK_ROWS):
            begin, end = max(first, start), min(first + BLOCK_ROWS, stop)
            values, are_hidden = self._block(first // BLOCK_ROWS)
            rows[begin - start : end - start] = values[begin - first : end - first]
            hidden[begin - start : end - start] = are_hidden[begin - first : end - first]
        require_finite(rows, start, self.where)
        rows[hidden] = np.nan
        return rows

    def _block(self, block: int) -> tuple[Floats, NDArray[np.bool_]]:
        """All values of a block, and which of them are hidden: drawn apart, so that hiding changes no value."""
        values = self._generate(BLOCK_ROWS, self._stream.generator(block))
        return values, self._stream.staged(1).generator(block).random(values.shape) < self._missing

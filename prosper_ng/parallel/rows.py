"""Fixed global blocks of rows: the units of work, the same whatever the number of ranks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST_BLOCK = 32
MOST_TOGETHER = 1024
"""Rows that are worked on together; those of a larger block one after the other, into the same sums."""
_BLOCKS_PER_PART = 16
_FEWEST_BLOCKS, _SMALL_BLOCK = 4, 256


def default_block_rows(n_rows: int, n_parts: int, n_elements: int = 0) -> int:
    """Rows in a block: a power of two from 32 to 1024, or to H or C, that leaves every part about 16 blocks if it can.

    It depends on the data, the model and the number of updates in a sweep only, never on the ranks. Many blocks balance
    the ranks well; large ones spread what a block costs, which grows with H² or C, over more rows. Few rows that are
    one part make four blocks, since they are not worth more ranks than that.
    """
    wanted = n_rows / (_BLOCKS_PER_PART * n_parts)
    if n_parts == 1:
        wanted = max(wanted, min(n_rows / _FEWEST_BLOCKS, _SMALL_BLOCK))
    size = SMALLEST_BLOCK
    while size < max(MOST_TOGETHER, n_elements) and wanted >= 1.5 * size:
        size *= 2
    return size


def together(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """The rows of a block that are worked on together; of a block without any, none once."""
    for start in range(0, max(len(rows), 1), MOST_TOGETHER):
        yield rows[start : start + MOST_TOGETHER]


@dataclass(frozen=True)
class RowBlocks:
    """Rows 0..n_rows cut into blocks of `block_rows`; block b belongs to part b mod `n_parts`."""

    n_rows: int
    block_rows: int
    n_parts: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that make no sense."""
        if self.n_rows < 0 or self.block_rows < 1 or self.n_parts < 1:
            raise ValueError(f"n_rows must be >= 0, block_rows and n_parts >= 1, got {self}")

    @property
    def n_blocks(self) -> int:
        """The number of blocks; the last may hold fewer rows than the others."""
        return -(-self.n_rows // self.block_rows)

    def rows(self, block: int) -> range:
        """The global rows of a block."""
        return range(block * self.block_rows, min((block + 1) * self.block_rows, self.n_rows))

    def owned(self, rank: int, size: int) -> range:
        """The blocks of a rank: contiguous, and as near to an equal share of the rows as whole blocks allow.

        A rank may own none.
        """
        return range(self._first_block(rank, size), self._first_block(rank + 1, size))

    def blocks(self, part: int, owned: range) -> range:
        """The owned blocks that belong to a part, in order."""
        return range(owned.start + (part - owned.start) % self.n_parts, owned.stop, self.n_parts)

    def pieces(self, part: int, owned: range) -> Iterator[range]:
        """The global rows of each owned block of a part, in order."""
        for block in self.blocks(part, owned):
            yield self.rows(block)

    def owned_rows(self, rank: int, size: int) -> range:
        """The global rows of a rank."""
        owned = self.owned(rank, size)
        return range(min(owned.start * self.block_rows, self.n_rows), min(owned.stop * self.block_rows, self.n_rows))

    def local(self, rows: range, rank: int, size: int) -> slice:
        """Where global rows lie among those of the rank that owns them."""
        first = self.owned_rows(rank, size).start
        return slice(rows.start - first, rows.stop - first)

    def starts(self, size: int) -> list[int]:
        """The first global row of each rank, and `n_rows` at the end: size + 1 numbers."""
        return [self.owned_rows(rank, size).start for rank in range(size)] + [self.n_rows]

    def _first_block(self, rank: int, size: int) -> int:
        # The block boundary nearest to the rank's share of all rows before it, in whole numbers.
        if rank == size:
            return self.n_blocks
        nearest = (2 * rank * self.n_rows + size * self.block_rows) // (2 * size * self.block_rows)
        return min(nearest, self.n_blocks)


def small_blocks(blocks: RowBlocks) -> RowBlocks:
    """Blocks of two rows, and of one only where the data's have such: arrays of a single row are of another type."""
    if blocks.block_rows == 1 or blocks.n_rows == 1:
        return RowBlocks(2, 1, 2)
    return RowBlocks(3 if blocks.n_rows % blocks.block_rows == 1 else 4, 2, 2)

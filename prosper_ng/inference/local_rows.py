"""The rows of a rank that a learned model is applied to, block by block."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from prosper_ng.config.canonical import inline
from prosper_ng.data.dataset import DataError, Dataset
from prosper_ng.data.magnitudes import require_squares
from prosper_ng.data.memory_settings import Memory
from prosper_ng.data.preprocessing import Preprocessing
from prosper_ng.data.row_file import mapped_array
from prosper_ng.data.sources._arrays import ArrayDataset
from prosper_ng.data.support import require_support
from prosper_ng.errors import UserError
from prosper_ng.numerics.constraints import REAL
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.exact_sum import ExactSum
from prosper_ng.parallel.rows import RowBlocks, default_block_rows
from prosper_ng.training.data_selection import Rows

if TYPE_CHECKING:
    from prosper_ng.inference.learned import Learned

Floats = NDArray[np.float64]

TAKEN_BY_NAME = "the columns of {} are taken by their names, as {} has learned from them"


@dataclass
class LocalRows:
    """A dataset, and the rows of it that this rank works on, block by block."""

    dataset: Dataset
    missing: bool
    """Whether values may be missing."""
    blocks: RowBlocks
    raw: Rows
    """(n_local, D) in the units of the source, NaN where a value is missing; in memory, or read as they are needed."""
    preprocessing: Preprocessing
    """What was done to the rows that were learned from, and is done to these."""
    comm: Communicator
    memory: Memory
    """What is held in memory, of rows and of what is found out of them."""
    scratch: Path
    """The folder for what is not."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """What is to be said of the rows in a file of results."""
    doubts: tuple[str, ...] = ()
    """What the user should hear of them."""

    @property
    def starts(self) -> list[int]:
        """The first global row of each rank, and the number of all rows."""
        return self.blocks.starts(self.comm.size)

    def owned_blocks(self) -> list[range]:
        """The global rows of each block of this rank."""
        return [self.blocks.rows(block) for block in self.blocks.owned(self.comm.rank, self.comm.size)]

    def local(self, rows: range) -> slice:
        """Where global rows lie among those of this rank."""
        return self.blocks.local(rows, self.comm.rank, self.comm.size)

    def prepared(self, raw: Floats) -> Floats:
        """The values of a block, given in the units of the source, as the model knows them: an array of their own."""
        # Linear algebra sees the same alignment whoever owns the block.
        return self.preprocessing.apply(raw.copy())

    def raw_of_block(self, rows: range) -> Floats:
        """The values of a block in the units of the source."""
        return np.asarray(self.raw[self.local(rows)])

    def allocate(self, row_shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array (n_local, ...) to fill, in memory or beyond the budget in a scratch file."""
        shape = (len(self.raw), *row_shape)
        if self.memory.keeps_data(math.prod(shape) * np.dtype(dtype).itemsize):
            return np.empty(shape, dtype)
        return mapped_array(shape, dtype, self.scratch)

    def level(self) -> float:
        """The mean of all values that are not missing, which stands for that of a row without any; all ranks call it
        together.
        """
        if self.dataset.as_image is not None:
            return self.dataset.as_image.level
        total = ExactSum([1, 1])
        for block in self.owned_blocks():
            raw = self.raw_of_block(block)
            total.add(np.array([np.nansum(raw), np.count_nonzero(~np.isnan(raw))]))
        (summed, n_values), _ = total.reduce(self.comm, np.zeros(0))
        return float(summed / max(n_values, 1.0))


class _AsNeeded:
    """Some rows of a dataset, read when they are asked for; of those that whitening needs whole, none lacks a value."""

    def __init__(self, known: "Learned", dataset: Dataset, preprocessing: Preprocessing, owned: range) -> None:
        self._owned, self._read = owned, fitting_rows(dataset.raw, known, preprocessing, dataset.where)
        self.shape = (len(owned), dataset.n_observed)
        self.dtype = np.dtype(np.float64)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Floats:
        start, stop, _ = rows.indices(len(self))
        return self._read(self._owned.start + start, self._owned.start + stop)


def rows_in_hand(known: "Learned", dataset: Dataset, missing: bool, comm: Communicator) -> LocalRows:
    """The rows of a dataset that all ranks have at hand; UserError where they do not fit the model."""
    if known.preprocessing is None:
        raise UserError(unknown_whitening(known))
    dataset, doubts = _taken_by_name(known, dataset)
    check_shape(known, dataset, dataset.where)
    blocks = RowBlocks(dataset.n_rows, default_block_rows(dataset.n_rows, 1))
    raw = _AsNeeded(known, dataset, known.preprocessing, blocks.owned_rows(comm.rank, comm.size))
    return LocalRows(dataset, missing, blocks, raw, known.preprocessing, comm, Memory(), Path(), {}, doubts)


def _taken_by_name(known: "Learned", dataset: Dataset) -> tuple[Dataset, tuple[str, ...]]:
    """The dataset with its columns in the order in which the model has learned them, and what is doubtful.

    Raises UserError where columns have names, and some that the model knows are not among them.
    """
    names, theirs = known.column_names, dataset.column_names
    numbers = tuple(map(str, range(known.n_observed)))
    if names is None and theirs is not None and sorted(theirs) == sorted(numbers):
        names = numbers  # which a frame has by itself, and keeps where its columns change places
    if names is None or theirs in (None, names):
        return dataset, dataset.doubts
    try:
        if not isinstance(dataset, ArrayDataset) or not can_be_told_by(names):
            raise DataError(f"they are {inline(theirs)}, and not {inline(names)}")
        taken = dataset.of_columns(names)
    except DataError as error:
        advice = "give the numbers alone, as by to_numpy(), where only the names differ"
        raise UserError(other_columns(dataset, known.origin, error, advice)) from None
    return taken, (TAKEN_BY_NAME.format(dataset.where, known.origin), *dataset.doubts)


def can_be_told_by(names: tuple[str, ...]) -> bool:
    """Whether names tell columns apart: those that stand twice, or are none, do not."""
    return len(set(names)) == len(names) and "" not in names


def other_columns(dataset: Dataset, origin: str, error: DataError, advice: str) -> str:
    """The sentence that a dataset does not have the columns of the model."""
    return (
        f"the columns of {dataset.where} are not those that {origin} has learned from ({error}); name them alike, or "
        f"{advice}"
    )


def fitting_rows(
    read: Callable[[int, int], Floats], known: "Learned", preprocessing: Preprocessing, where: str
) -> Callable[[int, int], Floats]:
    """Reads rows start..stop, of which none lacks what whitening needs, is too large to be worked with, or is beyond
    what the model can have made.

    Else it raises DataError; columns of which the model knows nothing do not count.
    """

    def piece(start: int, stop: int) -> Floats:
        raw = read(start, stop)
        preprocessing.require_whole(raw, start, where)
        require_squares(raw, start, where)
        if known.model.support != REAL:
            rows = preprocessing.apply(raw)
            rows[:, known.never_observed] = np.nan
            require_support(rows, start, known.model, where, preprocessing)
        return raw

    return piece


def check_shape(known: "Learned", dataset: Dataset, what: str) -> None:
    """Raise UserError unless the dataset, called `what`, has rows of as many values as the model knows."""
    if dataset.n_observed != known.n_observed:
        raise UserError(
            f"the rows of {what} have {dataset.n_observed} values, and the model of {known.origin} has learned from "
            f"rows of {known.n_observed}"
        )
    if dataset.n_rows == 0:
        raise UserError(f"{what} has no rows")


def unknown_whitening(known: "Learned") -> str:
    """Why a whitened run of an earlier version cannot be used, and what to do."""
    return (
        f"{known.origin} has learned from whitened rows with an earlier version of prosper_ng, which did not keep the "
        "whitening; start the run once more with its own data, which keeps it, also where it is finished"
    )

"""Datasets over two-dimensional arrays in files: one row is one data point."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol, Self

import annotated_types
import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import settings
from prosper_ng.data.dataset import DataError, SourceDefaults, require_finite, require_rows
from prosper_ng.data.preprocessing import LEAVE_OUT, Kind, PreparedRows, Prepares, fit
from prosper_ng.data.row_file import StoredRows
from prosper_ng.data.sources import _table_views as views
from prosper_ng.data.sources._files import existing_file
from prosper_ng.data.sources._named_files import doubts_about, files_named
from prosper_ng.numerics.named_arrays import NamedArrays

Floats = NDArray[np.float64]


class ReadRows(Protocol):
    """Reads a slice of the rows of an array: (stop - start, D) of any real number type."""

    def __call__(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start..stop."""
        ...


class Table(NamedTuple):
    """A two-dimensional array of which slices of rows can be read."""

    where: str
    """What to call it in an error, such as "dataset 'patches' of data.h5"."""
    shape: tuple[int, int]
    rows: ReadRows
    stored: StoredRows | None = None
    """Where the array lies in the file, if as C has it and unpacked."""
    row_shape: tuple[int, ...] | None = None
    """The shape to look at a row in, where one is known; its values follow one another as in C."""
    gaps: str | None = None
    """What the file says marks missing values, which are NaN among the rows."""
    names: tuple[str, ...] | None = None
    """Of the columns, where they have any."""
    row_names: Callable[[], tuple[str, ...]] | None = None
    """Reads the names of the rows, where they have any; they are those of the columns once the table is transposed."""
    reader_of: Callable[[Sequence[int]], ReadRows] | None = None
    """Makes what reads some columns only, where that takes less than reading all."""
    parts: tuple[tuple[int, str], ...] = ()
    """Where rows come from several files: the first row of each, and what to call it in an error."""
    notes: tuple[str, ...] = ()
    """What was found out about the files, for the log."""
    doubts: tuple[str, ...] = ()
    """What is doubtful about the numbers though legal, each as a sentence."""

    @property
    def parts_or_whole(self) -> tuple[tuple[int, str], ...]:
        """The parts; of a single file the whole."""
        return self.parts or ((0, self.where),)


class ArrayDataset(PreparedRows):
    """The rows of a table, with their means removed and whitened where asked for."""

    truth: NamedArrays | None = None
    switch = "`missing: true`"
    """What to set where NaN marks missing values, in the words of whoever set it otherwise."""

    def __init__(
        self,
        table: Table,
        remove_mean: bool = False,
        whiten: Kind = "none",
        whiten_epsilon: float = 1e-4,
        missing: bool = False,
    ) -> None:
        """Read nothing yet, but for what whitening needs; `missing` says whether NaN marks missing values."""
        self.table, self.where = table, table.where
        self.n_rows, self.n_observed = table.shape
        self.row_shape: tuple[int, ...] = table.row_shape or (self.n_observed,)
        self.column_names, self.notes, self.doubts = table.names, table.notes, table.doubts
        self.missing = missing
        self._reading = Lock()  # files have one position each, and ranks may be threads
        self.preprocessing = fit(remove_mean, whiten, whiten_epsilon, self.raw, self.n_rows, table.where, missing)

    @property
    def stored(self) -> StoredRows | None:
        """Where the file holds the rows just as they are learned from; None where something is done to them."""
        return self.table.stored if self.preprocessing.is_identity else None

    def of_columns(self, names: Sequence[str]) -> "ArrayDataset":
        """The dataset of the columns of these names, nothing done to its rows; DataError where one is not there."""
        found = ArrayDataset(views.of_columns(self.table, names), missing=self.missing)
        found.switch, found._reading = self.switch, self._reading  # the file is the same
        return found

    def raw(self, start: int, stop: int) -> Floats:
        """Rows start..stop in the units of the file."""
        require_rows(start, stop, self.n_rows)
        with self._reading:
            found = self.table.rows(start, stop)
        if np.shape(found) != (stop - start, self.n_observed):
            raise DataError(
                f"{self.where} was changed while its rows were in use: rows {start} to {stop} have the shape "
                f"{np.shape(found)}, and not {(stop - start, self.n_observed)}"
            )
        if isinstance(found, np.ma.MaskedArray):
            found = np.ma.filled(found.astype(np.float64), np.nan)
        rows = np.array(found, dtype=np.float64, order="C")
        for first, begin, end, where in self._parts(start, stop):
            piece = rows[begin - start : end - start]
            first_row, gaps, names = begin - first, self.table.gaps, self.table.names
            require_finite(piece, first_row, where, self.missing, gaps, self.switch, names)
        return rows

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, int, int, str]]:
        """The files that rows start..stop come from: first row of each, which of its rows are asked for, its name."""
        parts = self.table.parts_or_whole
        for place in range(bisect_right(parts, start, key=itemgetter(0)) - 1, len(parts)):
            first, where = parts[place]
            if first >= stop:
                return
            end = parts[place + 1][0] if place + 1 < len(parts) else self.n_rows
            yield first, max(first, start), min(end, stop), where


@settings
class ArraySource(Prepares, SourceDefaults):
    """What all sources of arrays in files share; a subclass says which table, and which files it reads."""

    path: str | tuple[str, ...]
    """The file, relative to the working directory; or a pattern such as data/*.npy, or a list of both: tables of equal
    columns, one after another. The files of a pattern come by name, part2 before part10."""
    flatten: bool = False
    """Whether the data points of an array of three or more dimensions, which lie along the first, are made rows of."""
    missing: bool = False
    """Whether NaN marks values that were not observed; otherwise it is an error."""
    remove_mean: bool = False
    """Subtract from every row the mean of its entries, of those that were observed."""
    whiten: Kind = "none"
    """Make the entries of the rows uncorrelated: zca (stays closest to the rows) or pca (rotated, largest variance
    first). The covariance is that of all rows up to 49,152, of as many evenly spread ones beyond."""
    whiten_epsilon: Annotated[float, annotated_types.Ge(0)] = 1e-4
    """Raises all variances by this fraction of their mean before whitening, so that noise is not blown up."""
    transpose: bool = False
    """Whether the columns of the table are the data points, and not its rows. `columns` and `row_shape` are about the
    table once it is transposed."""
    columns: int | str | tuple[int | str, ...] | None = None
    """The columns to learn from, in this order: numbers counted from 0, slices such as "3:10" (without the last),
    names where the columns have them, or a list of these; all where not given. In text tables a column of names of
    rows counts. `row_shape` is about what is left."""
    row_shape: tuple[Annotated[int, annotated_types.Gt(0)], ...] | None = None
    """The shape to look at a row in, such as [10, 10] or [8, 8, 3]: height, width, and channels where there are any.
    The dictionary is drawn in it."""

    takes_vectors: ClassVar[bool] = False
    """Whether a vector is a table of one column, as it is where single numbers are read."""

    def __post_init__(self) -> None:
        """Raise ValueError where rows with missing values would be whitened, or data points could lie on two axes."""
        if self.missing and self.whiten != "none":
            raise ValueError(LEAVE_OUT)
        if self.flatten and self.transpose:
            raise ValueError("flatten takes the data points along the first axis, and transpose along the second")

    @property
    def depends_on_seed(self) -> bool:
        """Never: a file holds what it holds."""
        return False

    @property
    def may_lack_values(self) -> bool:
        """Where NaN marks them."""
        return self.missing

    def with_missing(self) -> Self | None:
        """With `missing: true`; raises ValueError where rows are whitened."""
        return replace(self, missing=True)

    def file(self, *formats: str) -> Path:
        """The file of `path` where it names a single one; DataError where it cannot be read or is of no such format."""
        assert isinstance(self.path, str)
        return existing_file(self.path, *formats)

    def table(self) -> Table:
        """The array in the `file`; raises DataError where it cannot be read or is no table of numbers."""
        raise NotImplementedError

    def column(self) -> Table:
        """The same where a vector is a table of one column; raises DataError as `table` does."""
        found = copy(self)
        object.__setattr__(found, "takes_vectors", True)
        return views.flat(found.table())

    def open(self, seed: int) -> ArrayDataset:
        """The dataset; nothing in it depends on the seed."""
        return ArrayDataset(self._whole_table(), self.remove_mean, self.whiten, self.whiten_epsilon, self.missing)

    def _whole_table(self) -> Table:
        """The tables of all files as one, transposed, then of the columns that are asked for."""
        files = files_named(self.path)
        table = self._table_of(files[0]) if len(files) == 1 else views.joined(files, self._table_of)
        table = table._replace(doubts=(*doubts_about(files), *table.doubts))
        return table if self.row_shape is None else views.of_shape(table, self.row_shape)

    def _table_of(self, file: str) -> Table:
        table = replace(self, path=file).table()
        if self.flatten:
            table = views.flat(table)
        if self.transpose:
            table = views.transposed(table)
        return table if self.columns is None else views.of_columns(table, self.columns)


def table_shape(
    where: str, shape: tuple[int, ...], dtype: np.dtype[Any], flatten: bool | None = None, takes_vectors: bool = False
) -> tuple[int, int]:
    """The shape as (N, D); raises DataError where it is not that of a table of real numbers.

    `flatten` is the switch that makes rows of data points of two or more dimensions, None where there is none to set. A
    vector is one where it `takes_vectors`.
    """
    if dtype.kind not in "biuf":
        raise DataError(f"{where} holds {_plainly(dtype)}; only real numbers can be learned from")
    if len(shape) != 2 and not (flatten and len(shape) > 2) and not (takes_vectors and len(shape) == 1):
        hint = (
            f"; save it as ({shape[0]}, 1) if every number is a data point, cut into windows if it is a trace"
            if len(shape) == 1
            else ""
        )
        if len(shape) > 2:
            how = "flatten each data point to one row" if flatten is None else "`flatten: true` makes a row of each"
            hint = f"; {how}, if the {shape[0]} entries of the first axis are the data points"
        raise DataError(f"{where} has {len(shape)} dimensions {tuple(shape)}, needed are 2 (rows, columns){hint}")
    if min(shape) == 0:
        raise DataError(f"{where} has no {'rows' if shape[0] == 0 else 'columns'}: its shape is {tuple(shape)}")
    return int(shape[0]), math.prod(int(length) for length in shape[1:])


def _plainly(dtype: np.dtype[Any]) -> str:
    """What a data type is called in an error."""
    if dtype.names is not None:
        return f"records with the fields {', '.join(dtype.names)}"
    named = {"c": "complex numbers", "S": "text", "U": "text", "O": "text or other objects", "M": "dates"}
    return named.get(dtype.kind, f"values of type {dtype}")

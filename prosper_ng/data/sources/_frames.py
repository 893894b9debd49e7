"""Data frames as tables of numbers: those of pandas, polars and pyarrow, and what else narwhals knows."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources._arrays import ReadRows, Table, table_shape
from prosper_ng.data.sources._objects import floats_of, shown
from prosper_ng.data.sources._text_form import FEWEST_COUNTED, counts_up

if TYPE_CHECKING:
    import narwhals as nw

_WORDS = {
    "String": "text", "Categorical": "categories", "Enum": "categories", "Datetime": "dates", "Date": "dates",
    "Time": "times of the day", "Duration": "durations", "List": "lists", "Array": "lists", "Struct": "records",
    "Binary": "bytes",
}  # fmt: skip
"""What columns hold that are no numbers, by the names of their types in narwhals."""


def frame_table(data: Any, where: str | None) -> Table | None:
    """A data frame as a table; None where it is none.

    Its index is no column. Raises DataError where it is a single column or lazy, or a column holds no numbers.
    """
    if hasattr(data, "npartitions") and hasattr(data, "columns"):  # of dask, which narwhals has given up
        raise DataError(_lazy(where))
    import narwhals as nw

    try:
        found = nw.from_native(data, pass_through=True, allow_series=True)
    except nw.exceptions.DuplicateError:
        names = [str(name) for name in data.columns]
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{where or 'the frame'} has {names.count(twice)} columns '{twice}'; rename them") from None
    if isinstance(found, nw.Series):
        raise DataError(
            f"{where or 'the data'} is a Series, which is a single column; give a frame, as by data.to_frame() if "
            "every number is a data point"
        )
    if isinstance(found, nw.LazyFrame):
        raise DataError(_lazy(where))
    return _Frame(found, where or "the frame").table() if isinstance(found, nw.DataFrame) else None


def _lazy(where: str | None) -> str:
    return (
        f"{where or 'the frame'} is lazy: its rows are not there yet; give what its method collect, compute or the "
        "like makes of it"
    )


class _Frame:
    """A frame whose columns are known to hold numbers, or objects that may be some."""

    def __init__(self, frame: "nw.DataFrame[Any]", where: str) -> None:
        """Raise DataError where a column holds anything else."""
        self._frame, self._where, self._is_of_pandas = frame, where, frame.implementation.is_pandas_like()
        self._kinds = list(frame.schema.values())
        self._objects = {place for place in range(len(self._kinds)) if self._may_be_numbers(place)}
        bad = [place for place in range(len(self._kinds)) if self._what(place) is not None]
        if bad:
            raise DataError(self._refusal(bad))

    def table(self) -> Table:
        """All of its columns."""
        shape = table_shape(self._where, self._frame.shape, np.dtype(np.float64))
        rows = self._reader(range(shape[1]))
        return Table(self._where, shape, rows, names=self._names(), reader_of=self._reader, doubts=self._doubts(rows))

    def _reader(self, columns: Sequence[int]) -> ReadRows:
        """What reads these columns of rows."""
        taken = self._frame if list(columns) == list(range(self._frame.shape[1])) else self._frame[:, list(columns)]
        objects = [place for place, column in enumerate(columns) if column in self._objects]
        plain = [place for place in range(len(columns)) if place not in objects]
        numbers = self._numbers(taken[:, plain] if objects else taken)

        def rows(start: int, stop: int) -> NDArray[Any]:
            if not objects:
                return numbers(start, stop)
            found = np.empty((stop - start, len(columns)))
            if plain:
                found[:, plain] = numbers(start, stop)
            for place in objects:
                things = np.array([*taken[start:stop, place].to_list(), None], object)[:-1, None]
                name = f"column {columns[place]} ('{self._frame.columns[columns[place]]}')"
                found[:, place] = floats_of(things, self._where, start, lambda _, name=name: name)[:, 0]  # type: ignore[misc]
            return found

        return rows

    def _numbers(self, frame: "nw.DataFrame[Any]") -> Callable[[int, int], NDArray[Any]]:
        """What reads rows of a frame that holds numbers only."""
        import narwhals as nw

        native: Any = frame.to_native()
        everything = nw.all().cast(nw.Float64)

        def rows(start: int, stop: int) -> NDArray[Any]:
            try:
                if self._is_of_pandas:  # interleaves the columns in one pass
                    return np.asarray(native.iloc[start:stop].to_numpy(dtype=np.float64, na_value=np.nan))
                return np.asarray(frame[start:stop].select(everything).to_numpy(), np.float64)
            except (ValueError, TypeError) as error:
                reason = str(error).split("\n")[0]
                raise DataError(f"{self._where}: rows {start} to {stop} cannot be made float64: {reason}") from error

        return rows

    def _may_be_numbers(self, place: int) -> bool:
        """Whether a column holds objects of which each may be a number, or all are missing."""
        kind = str(self._kinds[place])
        if kind != "String" or not self._is_of_pandas:
            return kind == "Object"
        column = self._frame[:, place]
        return str(column.to_native().dtype) == "object" and column.null_count() == len(column)

    def _what(self, place: int) -> str | None:
        """What a column holds, in words; None where it holds numbers."""
        kind = self._kinds[place]
        if kind.is_numeric() or str(kind) == "Boolean" or place in self._objects:
            return None
        native: Any = self._frame[:, place].to_native()
        own = native.dtype if hasattr(native, "dtype") else native.type
        if str(own).lower() == "null" or getattr(own, "kind", "O") in "biuf":
            return None
        return _WORDS.get(type(kind).__name__, f"values of type {own}")

    def _refusal(self, bad: Sequence[int]) -> str:
        """That columns hold no numbers: the first with a value, the names of others."""
        names = self._frame.columns
        place, values = bad[0], self._frame[:, bad[0]].to_list()
        legible = [(row, value) for row, value in enumerate(values) if value is not None and value == value]
        row, value = next((each for each in legible if not _is_number(each[1])), (legible or [(0, None)])[0])
        example = f" ({shown(value)} in row {row}, counted from 0)" if legible else ""
        others = ", ".join(f"'{names[other]}'" for other in bad[1:4])
        more = f" and {len(bad) - 4} more" if len(bad) > 4 else ""
        also = f"; so it is with {others}{more}" if others else ""
        return (
            f"{self._where}: column {place} ('{names[place]}') holds {self._what(place)}{example}, and only real "
            f"numbers can be learned from{also}; leave out what is no number, or make numbers of it"
        )

    def _names(self) -> tuple[str, ...] | None:
        """Those of the columns; None where a library made them up for columns without names."""
        names = self._frame.columns
        numbers = list(range(len(names)))
        made_up = (numbers, [f"column_{number}" for number in numbers])
        return None if list(names) in made_up else tuple(str(name) for name in names)

    def _doubts(self, rows: ReadRows) -> tuple[str, ...]:
        """Whether the first column seems to be what other programs wrote to number the rows."""
        kind, n_rows = self._kinds[0], min(self._frame.shape[0], 10 * FEWEST_COUNTED)
        if self._frame.shape[1] < 2 or n_rows < FEWEST_COUNTED or not kind.is_integer():
            return ()
        if not counts_up([f"{value:.0f}" for value in self._reader([0])(0, n_rows)[:, 0]]):
            return ()
        name = str(self._frame.columns[0])
        where = f"{self._where}: the first column{f' {name!r}' if name else ''} seems to count the rows"
        return (f"{where}; leave it out, in pandas by read_csv(..., index_col=0) or set_index",)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True

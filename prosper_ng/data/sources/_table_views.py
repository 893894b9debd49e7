"""Tables made of tables: turned, of some columns, of several files one after another."""

import difflib
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError
from prosper_ng.errors import listed

if TYPE_CHECKING:
    from prosper_ng.data.sources._arrays import ReadRows, Table

Wanted = int | str | Sequence[int | str]
"""Columns by number, by slice such as 3:10, by name, or a list of these."""

_SLICE = re.compile(r"\s*(-?\d+)?\s*:\s*(-?\d+)?\s*(?::\s*(-?\d+)?\s*)?")
_STRIP_BYTES = 1 << 28
_PIECE_BYTES = 1 << 22
_OPEN_FILES = 16
_SHOWN = 20


def flat(table: "Table") -> "Table":
    """The table whose rows are data points of two or more dimensions, made one row each."""

    def rows(start: int, stop: int) -> NDArray[Any]:
        return np.asarray(table.rows(start, stop)).reshape(stop - start, table.shape[1])

    return table._replace(rows=rows)


def transposed(table: "Table") -> "Table":
    """The table whose rows are the columns of this one.

    It is read strip by strip: as many columns as take 256 MiB in one pass over the file, and no others are held.
    """
    n_rows, n_columns = table.shape
    n_strip = max(1, _STRIP_BYTES // (8 * n_rows))
    n_piece = max(1, _PIECE_BYTES // (8 * n_columns))

    @lru_cache(maxsize=1)
    def strip(number: int) -> NDArray[np.float64]:
        columns = range(number * n_strip, min((number + 1) * n_strip, n_columns))
        found = np.empty((len(columns), n_rows))
        read = _some_columns(table, columns)
        for start in range(0, n_rows, n_piece):
            stop = min(start + n_piece, n_rows)
            found[:, start:stop] = read(start, stop).T
        return found

    def rows(start: int, stop: int) -> NDArray[Any]:
        if start >= stop:
            return np.empty((0, n_rows))
        found = []
        for number in range(start // n_strip, (stop - 1) // n_strip + 1):
            begin = number * n_strip
            found.append(strip(number)[max(start - begin, 0) : stop - begin])
        return np.concatenate(found)

    return table._replace(
        where=f"{table.where}, transposed", shape=(n_columns, n_rows), rows=rows, stored=None, row_shape=None,
        names=None if table.row_names is None else table.row_names(), row_names=None, reader_of=None,
    )  # fmt: skip


def of_columns(table: "Table", wanted: Wanted) -> "Table":
    """The table of some columns, in the order in which they are named; DataError where there are none such."""
    columns = _numbers(table, [wanted] if isinstance(wanted, int | str) else wanted)
    names = None if table.names is None else tuple(table.names[column] for column in columns)
    return table._replace(
        shape=(table.shape[0], len(columns)), rows=_some_columns(table, columns), stored=None, row_shape=None,
        names=names, reader_of=lambda chosen: _some_columns(table, [columns[place] for place in chosen]),
    )  # fmt: skip


def of_shape(table: "Table", row_shape: tuple[int, ...]) -> "Table":
    """The table whose rows are looked at in this shape; DataError where they have another number of values."""
    if math.prod(row_shape) != table.shape[1]:
        sides = " x ".join(map(str, row_shape))
        raise DataError(
            f"row_shape {list(row_shape)} needs rows of {sides} = {math.prod(row_shape)} values; those of "
            f"{table.where} have {table.shape[1]}"
        )
    return table._replace(row_shape=row_shape)


def joined(files: Sequence[str], table_of: Callable[[str], "Table"]) -> "Table":
    """The rows of the tables of several files, one after another; few of them are open at a time.

    Raises DataError where their columns are not the same, or a file is changed.
    """
    kept = lru_cache(maxsize=_OPEN_FILES)(table_of)
    first = table_of(files[0])
    shapes: list[tuple[int, int]] = []
    parts: list[tuple[int, str]] = []
    notes: list[str] = []
    doubts: list[str] = []
    for file in files:
        table = kept(file)
        _require_alike(first, table)
        parts += [(sum(rows for rows, _ in shapes) + start, where) for start, where in table.parts_or_whole]
        shapes.append(table.shape)
        for said, found in ((notes, table.notes), (doubts, table.doubts)):
            others = {each.partition(": ")[2] for each in said}
            said += [each for each in found if each.partition(": ")[2] not in others]  # once for files that are alike
    begins = [0, *np.cumsum([n_rows for n_rows, _ in shapes]).tolist()]

    def rows(start: int, stop: int) -> NDArray[Any]:
        found = [np.empty((0, first.shape[1]))]
        place = start
        while place < stop:
            number = bisect_right(begins, place) - 1
            table = kept(files[number])
            if table.shape != shapes[number]:
                raise DataError(f"{table.where} was changed while its rows were in use")
            end = min(stop, begins[number + 1])
            found.append(np.asarray(table.rows(place - begins[number], end - begins[number]), np.float64))
            place = end
        return np.concatenate(found)

    where = f"{len(files)} files, from {files[0]} to {files[-1]}"
    order = f"rows come from {len(files)} files in this order: {listed(files, _SHOWN)}"
    gaps = next((kept(file).gaps for file in files if kept(file).gaps is not None), None)
    return first._replace(
        where=where, shape=(begins[-1], first.shape[1]), rows=rows, stored=None, gaps=gaps, reader_of=None,
        parts=tuple(parts), notes=(order, *notes), doubts=tuple(doubts),
    )  # fmt: skip


def _some_columns(table: "Table", columns: Sequence[int]) -> "ReadRows":
    """What reads these columns of rows."""
    if table.reader_of is not None:
        return table.reader_of(columns)
    picked = np.asarray(columns, np.intp)
    is_run = len(picked) > 0 and (np.diff(picked) == 1).all()
    chosen = slice(int(picked[0]), int(picked[-1]) + 1) if is_run else picked

    def rows(start: int, stop: int) -> NDArray[Any]:
        return np.asarray(table.rows(start, stop))[:, chosen]

    return rows


def _numbers(table: "Table", wanted: Sequence[int | str]) -> list[int]:
    """The numbers of columns that are named in one way or another."""
    if not wanted:
        raise DataError("columns is an empty list; name at least one, or leave it out for all")
    found = reduce(lambda numbers, each: numbers + _numbers_of(table, each), wanted, list[int]())
    for place, column in enumerate(found):
        if column in found[:place]:
            raise DataError(f"columns names column {column} of {table.where} twice")
    return found


def _numbers_of(table: "Table", each: int | str) -> list[int]:
    n_columns = table.shape[1]
    if isinstance(each, int):
        if not -n_columns <= each < n_columns:
            raise DataError(
                f"columns: there is no column {each} in {table.where}; it has {n_columns}, counted from 0 to "
                f"{n_columns - 1}"
            )
        return [each % n_columns]
    if table.names is not None and each in table.names:
        if table.names.count(each) > 1:
            raise DataError(
                f"columns: {table.where} has {table.names.count(each)} columns '{each}'; give their numbers"
            )
        return [table.names.index(each)]
    match = _SLICE.fullmatch(each)
    if match is None:
        raise DataError(_unknown(table, each))
    bounds = [None if bound is None else int(bound) for bound in match.groups()]
    if bounds[2] == 0:
        raise DataError(f"columns: {each} has steps of 0")
    asked = range(n_columns)[slice(*bounds)]
    if len(asked) == 0 or any(bound is not None and not -n_columns <= bound <= n_columns for bound in bounds[:2]):
        raise DataError(f"columns: {each} goes beyond the {n_columns} columns of {table.where}, or names none")
    return list(asked)


def _unknown(table: "Table", name: str) -> str:
    """That there is no column of this name, with the nearest one."""
    if table.names is None:
        return (
            f"columns: '{name}' is a name, and the columns of {table.where} have none; give numbers, or slices as 3:10"
        )
    near = difflib.get_close_matches(name, table.names, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    shown = listed([f"'{one}'" for one in table.names], _SHOWN)
    return f"columns: {table.where} has no column '{name}'{hint} (it has {shown})"


def _require_alike(first: "Table", table: "Table") -> None:
    """Raise DataError unless two tables have the same columns."""
    if table.shape[1] != first.shape[1]:
        raise DataError(
            f"{table.where} has {table.shape[1]} columns, and {first.where} has {first.shape[1]}; the files of a path "
            "need equal columns"
        )
    if None in (first.names, table.names) or first.names == table.names:
        return
    assert first.names is not None
    assert table.names is not None
    column = next(
        place for place, (one, other) in enumerate(zip(first.names, table.names, strict=True)) if one != other
    )
    hint = ", so that they are taken by name" if sorted(first.names) == sorted(table.names) else ""
    raise DataError(
        f"column {column} (counted from 0) of {table.where} is '{table.names[column]}', and that of {first.where} is "
        f"'{first.names[column]}'; the files of a path need equal columns: name these in `columns`{hint}"
    )

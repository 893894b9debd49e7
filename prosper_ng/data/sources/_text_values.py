"""The numbers in rows of a text table: what Python's float() makes of each field."""

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.sources._text_form import WHITE_SPACE, Form, fields_of, is_gap

Floats = NDArray[np.float64]

_WORDS = {"true": 1.0, "false": 0.0}


class BadRow(Exception):
    """A row that has no values, or too many or too few."""

    def __init__(self, row: int, column: int | None, content: str) -> None:
        """The row among those asked for; the field that is no value and what it holds, or None and how many it has."""
        super().__init__(content)
        self.row, self.column, self.content = row, column, content


def values_of(lines: Sequence[str], form: Form, columns: Sequence[int], missing: bool) -> Floats:
    """(n, D) the chosen fields of rows; NaN where one holds no value and `missing` allows for it.

    Raises BadRow for the first row that is none.
    """
    is_whole = list(columns) == list(range(form.n_fields))
    found = _at_once(lines, form) if is_whole else None
    if found is None:
        found = _one_by_one(lines, form, columns, missing)
    bad = ~np.isfinite(found)
    if missing:
        bad &= ~np.isnan(found)
    if bad.any():
        row, place = np.unravel_index(int(bad.argmax()), bad.shape)
        column = columns[int(place)]
        raise BadRow(int(row), column, fields_of(lines[int(row)], form)[column])
    return found


def _at_once(lines: Sequence[str], form: Form) -> Floats | None:
    """All fields, read by NumPy; None where rows are not all as plain as it needs them."""
    if form.thousands is not None:
        return None
    if form.decimal == ",":
        if form.delimiter == "," or any("." in line for line in lines):
            return None
        lines = [line.replace(",", ".") for line in lines]
    delimiter = None if form.delimiter == WHITE_SPACE else form.delimiter
    try:
        found = np.loadtxt(lines, delimiter=delimiter, comments=None, quotechar='"', ndmin=2)
    except ValueError:
        return None
    return found if found.shape == (len(lines), form.n_fields) else None


def _one_by_one(lines: Sequence[str], form: Form, columns: Sequence[int], missing: bool) -> Floats:
    rows = [_whole(fields_of(line, form), form) for line in lines]
    for row, fields in enumerate(rows):
        if len(fields) != form.n_fields or (form.has_empty_end and fields[-1].strip()):
            raise BadRow(row, None, str(len(fields)))
    picked: Any = rows
    if list(columns) != list(range(form.n_fields)):
        pick = itemgetter(*columns)
        picked = map(pick, rows) if len(columns) > 1 else ((pick(row),) for row in rows)
    number = _reader(form, missing)
    try:
        found = np.fromiter(map(number, chain.from_iterable(picked)), np.float64, len(rows) * len(columns))
    except ValueError:
        raise _first_bad(rows, columns, number) from None
    return found.reshape(len(rows), len(columns))


def _whole(fields: list[str], form: Form) -> list[str]:
    """The fields without one behind a last delimiter that other rows do not have."""
    return fields[:-1] if len(fields) == form.n_fields + 1 and not fields[-1].strip() else fields


def _first_bad(rows: list[list[str]], columns: Sequence[int], number: Any) -> BadRow:
    for row, fields in enumerate(rows):
        for column in columns:
            try:
                number(fields[column])
            except ValueError:
                return BadRow(row, column, fields[column])
    raise AssertionError("every field is a number")


def _reader(form: Form, missing: bool) -> Any:
    """What makes a number of a field, or raises ValueError."""
    decimal, thousands = form.decimal, form.thousands

    def special(field: str) -> float:
        field = field.strip()
        if missing and is_gap(field):
            return float("nan")
        if field.lower() in _WORDS:
            return _WORDS[field.lower()]
        if "_" in field:  # legal in Python
            _refuse(field)
        if thousands is not None:
            field = _ungrouped(field, decimal, thousands)
        if decimal == ",":
            if "." in field:
                _refuse(field)
            field = field.replace(",", ".")
        field = field.replace("\u2212", "-").replace("D", "E").replace("d", "e")
        return float(field)

    def plain(field: str) -> float:
        if "_" in field:
            return special(field)
        try:
            return float(field)
        except ValueError:
            return special(field)

    return special if decimal == "," or thousands is not None else plain


def _ungrouped(field: str, decimal: str, thousands: str) -> str:
    """The number without the signs between its thousands, which must stand where these begin."""
    whole, sign, rest = field.partition(decimal)
    head, *groups = whole.split(thousands)
    if groups and not (1 <= len(head.lstrip("+-\u2212")) <= 3 and all(len(group) == 3 for group in groups)):
        _refuse(field)
    return head + "".join(groups) + sign + rest


def _refuse(field: str) -> NoReturn:
    raise ValueError(field)

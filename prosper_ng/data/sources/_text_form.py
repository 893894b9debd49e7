"""How a text table is written: its delimiter, decimal sign, header and names of rows, told or found."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from prosper_ng.data.dataset import DataError

WHITE_SPACE = "white space"
_DELIMITERS = ("\t", ";", "|", ",", WHITE_SPACE)
"""In the order in which they are preferred where several would do."""
_GAPS = frozenset(
    (
        "",
        "na",
        "n/a",
        "nan",
        "-nan",
        "<na>",
        "#n/a",
        "#na",
        "null",
        "none",
        "nil",
        "missing",
        ".",
        "?",
        "1.#qnan",
        "-1.#ind",
    )
)
_NUMBER = re.compile(
    r"[+\-\u2212]?(\d+([.,'\u2019\u00a0\u202f]\d+)*[.,]?|[.,]\d+)([eEdD][+-]?\d+)?|[+-]?inf(inity)?|true|false", re.I
)
_GROUPED = re.compile(r"[+\-\u2212]?[1-9]\d{0,2}(,\d{3})+")
_WORD = re.compile(r'"((?:[^"]|"")*)"|(\S+)')
FEWEST_COUNTED = 5
"""Rows that a column must have for its values to look like their numbers."""
_FEWEST_NAMES = 3


class Told(NamedTuple):
    """What the user has said of it; None where it is to be found."""

    delimiter: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    header: bool | None = None
    row_names: bool | None = None
    comment: str | None = "#"


class Form(NamedTuple):
    """How a table is written."""

    delimiter: str
    """A character, or WHITE_SPACE: any amount of it."""
    decimal: str
    thousands: str | None
    comment: str | None
    n_fields: int
    """Of each row."""
    names: tuple[str, ...]
    """Of these fields; nothing where there is no header."""
    has_row_names: bool
    """Whether the first field is the name of the row."""
    has_empty_end: bool
    """Whether every row ends in a delimiter, with nothing behind it."""

    @property
    def columns(self) -> range:
        """The fields that are values."""
        return range(int(self.has_row_names), self.n_fields - int(self.has_empty_end))

    def __str__(self) -> str:
        """For people: what was found."""
        shown = {"\t": "tab", ",": "comma", ";": "semicolon", " ": "space"}.get(self.delimiter, self.delimiter)
        said = [_many(self.n_fields, "field"), f"delimiter {shown}", "header" if self.names else "no header"]
        if self.decimal == ",":
            said.append("decimal comma")
        if self.has_row_names:
            said.append("the first field names the rows and is left out")
        if self.has_empty_end:
            said.append("the empty last field is left out")
        return ", ".join(said)


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def fields_of(line: str, form: Form | Told, delimiter: str | None = None) -> list[str]:
    """The fields of a row, without quotation marks, and without a comment behind it."""
    delimiter = delimiter or form.delimiter
    if form.comment and form.comment in line and '"' not in line:
        # Between delimiters it is part of a text, such as Sample #1.
        rest = "." if delimiter == WHITE_SPACE else f"[^{re.escape(str(delimiter))}]"
        line = re.sub(rf"\s{re.escape(form.comment)}{rest}*$", "", line)
    if delimiter == WHITE_SPACE:
        if '"' not in line:
            return line.split()
        return [match[1].replace('""', '"') if match[2] is None else match[2] for match in _WORD.finditer(line)]
    assert delimiter is not None
    if '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=delimiter != " "))
    except csv.Error:  # quotation marks that belong to no pair
        return [line]


def first_field(line: str, form: Form) -> str:
    """The first field of a row, such as its name."""
    if '"' in line:
        return fields_of(line, form)[0].strip()
    return line.split(None if form.delimiter == WHITE_SPACE else form.delimiter, 1)[0].strip()


def is_gap(field: str) -> bool:
    """Whether a field is empty, or what programs write where there is no value."""
    return field.strip().lower() in _GAPS


def is_number(field: str) -> bool:
    """Whether a field looks like a number in one notation or another."""
    return _NUMBER.fullmatch(field.strip()) is not None


def found_form(lines: Sequence[str], told: Told, where: str) -> tuple[Form, int]:
    """How the table is written that begins with these rows, and how many of them are no data.

    Raises DataError where that cannot be told.
    """
    n_before = 0
    if re.fullmatch(r'"?sep=.?"?', lines[0].strip(), re.I):  # a hint for Excel
        n_before, delimiter = 1, lines[0].strip().strip('"')[4:] or "\t"
        told, lines = told._replace(delimiter=told.delimiter or delimiter), lines[1:]
        if not lines:
            raise DataError(f"{where} has no rows")
    delimiter = told.delimiter or _delimiter(lines, told)
    rows = [fields_of(line, told, delimiter) for line in lines]
    # Names may hold the sign that comments begin with.
    named = told if delimiter == WHITE_SPACE else told._replace(comment=None)
    names = [name.strip() for name in fields_of(lines[0], named, delimiter)]
    if told.thousands is not None:
        rows = [[field.replace(told.thousands, "") for field in row] for row in rows]
    has_header = _has_header(rows, where) if told.header is None else told.header
    body = rows[1:] if has_header else rows
    if not body:
        raise DataError(f"{where} has a header and no rows; set `header: false` if the line is data")
    n_fields = Counter(map(len, body)).most_common(1)[0][0]
    body = [row for row in body if len(row) == n_fields]
    has_empty_end = _has_empty_end(names if has_header else None, body, n_fields, delimiter)
    names = _fitting(names, n_fields, has_empty_end, where) if has_header else []
    has_row_names = _has_row_names(names, body, n_fields) if told.row_names is None else told.row_names
    form = Form(
        delimiter, ".", told.thousands, told.comment, n_fields, tuple(names), has_row_names, has_empty_end,
    )  # fmt: skip
    if len(form.columns) == 0:
        raise DataError(
            f"{where} has no columns besides the names of its rows; set `row_names: false` if they are values"
        )
    return form._replace(decimal=told.decimal or _decimal(body, form, where)), n_before + has_header


def counts_rows(lines: Sequence[str], form: Form) -> bool:
    """Whether the first column of values says 0, 1, 2, ... or 1, 2, 3, ... in the first rows."""
    column = [fields_of(line, form)[form.columns[0] :][:1] for line in lines]
    numbers = [field[0].strip() for field in column if field]
    return len(numbers) == len(lines) and len(form.columns) > 1 and counts_up(numbers)


def counts_up(values: Sequence[str]) -> bool:
    """Whether the first values of a column say 0, 1, 2, ... or 1, 2, 3, ..."""
    begins = (list(map(str, range(first, first + len(values)))) for first in (0, 1))
    return len(values) >= FEWEST_COUNTED and list(values) in list(begins)


def _delimiter(lines: Sequence[str], told: Told) -> str:
    """The one by which most rows have the same number of fields, and most fields are numbers."""
    body = lines[1:] or lines
    best, best_score = "", 0.0
    for delimiter in _DELIMITERS:
        rows = [fields_of(line, told, delimiter) for line in body]
        n_fields, n_rows = Counter(map(len, rows)).most_common(1)[0]
        score = _score([row for row in rows if len(row) == n_fields]) * n_rows / len(rows)
        if n_fields > 1 and score > best_score:
            best, best_score = delimiter, score
    return best or WHITE_SPACE


def _score(rows: list[list[str]]) -> float:
    """The share of fields that may be values."""
    fields = [field for row in rows for field in row]
    return sum(is_number(field) or is_gap(field) for field in fields) / max(len(fields), 1)


def _has_header(rows: list[list[str]], where: str) -> bool:
    """Whether the first row is one of names; DataError where it might as well be data."""
    first, body = rows[0], rows[1:]
    texts = [not is_number(field) and not is_gap(field) for field in first]
    if all(text or not field.strip() for text, field in zip(texts, first, strict=True)):
        return any(texts)
    if not body:
        return False
    if any(texts) and len(first) == Counter(map(len, body)).most_common(1)[0][0] - 1:
        return True
    numbers = [field.strip() for field, is_text in zip(first, texts, strict=True) if not is_text]
    if numbers[0] == "" and len(numbers) > 1 and numbers[1:] == list(map(str, range(len(numbers) - 1))):
        return True  # how pandas writes a table without names
    stands_out = any(
        is_text and any(is_number(row[column]) for row in body if column < len(row))
        for column, is_text in enumerate(texts)
    )
    if stands_out and not any(map(is_number, first)):
        return True
    if stands_out or _may_be_names(numbers, body, any(texts)):
        raise DataError(
            f"{where}: whether the first line ({', '.join(first[:4])}{', ...' if len(first) > 4 else ''}) holds the "
            "names of the columns or data cannot be told; set `header: true` or `header: false`"
        )
    return False


def _may_be_names(numbers: list[str], body: list[list[str]], has_texts: bool) -> bool:
    """Whether the numbers of the first row may be names, such as 1, 2, 3 or years."""
    if not numbers or not all(map(str.isdecimal, numbers)):
        return False
    first = int(numbers[0])
    counts = numbers == list(map(str, range(first, first + len(numbers))))
    if not has_texts:
        goes_on = body[0][0].strip() == str(first + len(numbers))
        return counts and len(numbers) >= _FEWEST_NAMES and not goes_on
    return (counts and len(numbers) > 1) or any("." in field and is_number(field) for row in body for field in row)


def _has_empty_end(names: list[str] | None, body: list[list[str]], n_fields: int, delimiter: str) -> bool:
    if n_fields < 2 or delimiter == WHITE_SPACE or any(row[-1].strip() for row in body):
        return False
    return names is None or len(names) < n_fields or not names[-1]


def _fitting(names: list[str], n_fields: int, has_empty_end: bool, where: str) -> list[str]:
    """A name for each field; DataError where they are too many or too few."""
    if len(names) == n_fields + 1 and not names[-1]:
        return names[:-1]
    if len(names) == n_fields - 1:
        return [*names, ""] if has_empty_end else ["", *names]  # R names no column of names
    if len(names) != n_fields:
        raise DataError(
            f"{where}: the header has {_many(len(names), 'name')}, and the rows have {_many(n_fields, 'field')}; say "
            "how the table is written with `delimiter`, `header` or `skip`"
        )
    return names


def _has_row_names(names: list[str], body: list[list[str]], n_fields: int) -> bool:
    if n_fields < 2:
        return False
    if names and not names[0] and all(names[1:-1]):
        return True
    return all(not is_number(row[0]) and not is_gap(row[0]) for row in body)


def _decimal(body: list[list[str]], form: Form, where: str) -> str:
    """The sign before the decimals; DataError where 1,234 may be either a thousand or one."""
    numbers = [row[column].strip() for row in body for column in form.columns]
    commas = [number for number in numbers if "," in number and is_number(number)]
    if not commas or form.thousands == ",":
        return "."
    if not all(map(_GROUPED.fullmatch, commas)):
        mixed = next((number for number in commas if "." in number), None)
        return "." if mixed is not None and mixed.rindex(".") > mixed.rindex(",") else ","
    if any("." in number for number in numbers):
        return "."
    raise DataError(
        f"{where}: whether {commas[0]} is {commas[0].replace(',', '')} or {commas[0].replace(',', '.')} cannot be told"
        '; set `thousands: ","` or `decimal: ","`'
    )

"""Rows of a table in a text file."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import annotated_types
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources._arrays import ArraySource, ReadRows, Table
from prosper_ng.data.sources._text_file import TextFile
from prosper_ng.data.sources._text_form import WHITE_SPACE, Form, Told, counts_rows, first_field, found_form, is_gap
from prosper_ng.data.sources._text_rows import TextRows
from prosper_ng.data.sources._text_values import BadRow, values_of

_ENDINGS = (".csv", ".tsv", ".txt", ".dat")
_NAMED_TOGETHER = 256
"""Rows whose names are read at a time."""
_HEAD_ROWS = 100
"""What is looked at to find how a table is written."""
_SHOWN = 40
"""Letters of a field that is no number."""
_INFINITE = re.compile(r"[+-]?(inf|infinity|[\d.]+[eEdD]\+?\d+)", re.I)
_OTHER_SIGNS = re.compile(r"[+-]?\d+(\W\d{3})+([.,]\d*)?|[+-]?\d*,\d+(e[+-]?\d+)?", re.I)
_DELIMITERS = {"tab": "\t", "comma": ",", "semicolon": ";", "space": " ", WHITE_SPACE: WHITE_SPACE}


@component
class Csv(ArraySource):
    """A table of numbers in a text file, one line per data point, which may be packed with gzip, bzip2 or xz.

    How it is written is found in its first lines, as far as it is not told here. Blank lines do not count. Empty
    fields, NA, NaN and null are missing values. Numbers are read to the last bit, only those that are asked for; one
    fast pass finds where the rows lie.
    """

    suffixes: ClassVar[tuple[str, ...]] = tuple(
        ending + packed for packed in ("", ".gz", ".bz2", ".xz") for ending in _ENDINGS
    )

    delimiter: str | None = None
    """What stands between fields: a character, or tab, comma, semicolon, space, white space (any amount of it)."""
    header: bool | None = None
    """Whether the first line holds the names of the columns."""
    row_names: bool | None = None
    """Whether the first column holds the names of the rows, and is left out."""
    decimal: Literal[".", ","] | None = None
    """The sign before the decimals."""
    thousands: str | None = None
    """The sign between thousands, as in 1,234.5; none where not given."""
    comment: str | None = "#"
    """What a line begins with that does not count; null where there are no such lines."""
    skip: Annotated[int, annotated_types.Ge(0)] = 0
    """Lines at the top of the file that do not count."""

    def __post_init__(self) -> None:
        """Raise ValueError where signs are none or the same, or rows with missing values would be whitened."""
        super().__post_init__()
        delimiter = _DELIMITERS.get(self.delimiter or ",", self.delimiter)
        if delimiter is not None and delimiter != WHITE_SPACE and (len(delimiter) != 1 or delimiter in '"\r\n'):
            raise ValueError(
                f"delimiter {delimiter!r} is none; legal is a single character, or {', '.join(_DELIMITERS)}"
            )
        if self.thousands is not None and (len(self.thousands) != 1 or self.thousands.isalnum()):
            raise ValueError(f"thousands {self.thousands!r} is none; legal is a single sign such as ',' or '.'")
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise ValueError(f"thousands and decimal cannot both be {self.thousands!r}; set both")
        if self.comment is not None and not self.comment.strip():
            raise ValueError("comment must be a sign such as '#', or null where there are no comments")

    def table(self) -> Table:
        """The table; raises DataError where it cannot be read or how it is written cannot be told."""
        path = self.file()
        where = str(path)
        rows = TextRows(TextFile(path), self.comment, self.skip)
        if rows.n_rows == 0:
            raise DataError(f"{where} has no rows")
        head = rows.lines(0, min(rows.n_rows, _HEAD_ROWS))
        told = Told(
            _DELIMITERS.get(self.delimiter or "", self.delimiter), self.decimal, self.thousands, self.header,
            self.row_names, self.comment,
        )  # fmt: skip
        form, n_before = found_form(head, told, where)
        text = _TextTable(where, rows, n_before, form, self.missing)
        # Who names columns counts those of the file.
        columns = list(form.columns if self.columns is None or self.transpose else range(form.n_fields))
        names = tuple(form.names[column] for column in columns) if form.names else None
        return Table(
            where, (rows.n_rows - n_before, len(columns)), text.reader(columns), names=names,
            row_names=text.row_names if form.has_row_names else None,
            reader_of=lambda chosen: text.reader([columns[column] for column in chosen]),
            notes=(f"{where}: {form}",), doubts=self._doubts(where, form, head[n_before:]),
        )  # fmt: skip

    def _doubts(self, where: str, form: Form, head: Sequence[str]) -> tuple[str, ...]:
        """Whether a column was left out that has a name, or one was not that seems to count the rows."""
        if self.columns is not None:
            return ()
        name = f" '{form.names[0]}'" if form.names and form.names[0] else ""
        if form.has_row_names and name and self.row_names is None:
            return (f"{where}: the first column{name} holds texts and is left out; `row_names: true` if that is right",)
        if not form.has_row_names and self.row_names is None and not self.transpose and counts_rows(head, form):
            return (f"{where}: the first column{name} seems to count the rows; set `row_names: true` to leave it out",)
        return ()


class _TextTable:
    """Reads values of rows, and says in words what is none."""

    def __init__(self, where: str, rows: TextRows, n_before: int, form: Form, missing: bool) -> None:
        self._where, self._rows, self._n_before, self._form, self._missing = where, rows, n_before, form, missing

    def reader(self, columns: Sequence[int]) -> ReadRows:
        """What reads these fields of rows."""

        def read(start: int, stop: int) -> NDArray[Any]:
            lines = self._rows.lines(start + self._n_before, stop + self._n_before)
            try:
                return values_of(lines, self._form, columns, self._missing)
            except BadRow as bad:
                raise DataError(self._sentence(bad, start)) from None

        return read

    def row_names(self) -> tuple[str, ...]:
        """The first field of each row."""
        found: list[str] = []
        for start in range(self._n_before, self._rows.n_rows, _NAMED_TOGETHER):
            lines = self._rows.lines(start, min(start + _NAMED_TOGETHER, self._rows.n_rows))
            found += [first_field(line, self._form) for line in lines]
        return tuple(found)

    def _sentence(self, bad: BadRow, start: int) -> str:
        row, form = start + bad.row, self._form
        line = self._rows.line_number(row + self._n_before)
        place = f"{self._where}: row {row} (counted from 0; line {line} of the file)"
        if bad.column is None:
            return f"{place} has {bad.content} fields, and the table has {form.n_fields} ({form})"
        name = f" '{form.names[bad.column]}'" if form.names and form.names[bad.column] else ""
        shown = repr(bad.content if len(bad.content) <= _SHOWN else bad.content[: _SHOWN - 3] + "...")
        held = shown if bad.content.strip() else "empty"
        return f"{place}, column {bad.column}{name} is {held}{self._advice(bad.content.strip(), bad.column)}"

    def _advice(self, content: str, column: int) -> str:
        """What is wrong with a field, and what would help."""
        if is_gap(content):
            return "; set `missing: true` if that marks values that were not observed"
        if _INFINITE.fullmatch(content):
            return "; every value must be a finite number"
        if _OTHER_SIGNS.fullmatch(content):
            return (
                f", which is no number where the decimal sign is {self._form.decimal!r}; set `decimal` and `thousands` "
                "as the file has them"
            )
        columns = f"{column + 1}:" if column + 1 < self._form.n_fields else f":{column}"
        return f', which is no number; choose the columns that are with `columns`, such as `columns: "{columns}"`'

"""Places in a configuration, and errors that point at them the way a compiler does."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property

from prosper_ng.errors import UserError

_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # the breaks at which PyYAML counts a new line
_MAX_SHOWN = 20
_MAX_LINE = 140
_MAX_VALUE = 60


@dataclass(frozen=True)
class SourceText:
    """Text that settings are read from: a file, the argument of `--set`, or a stored mapping (without text)."""

    name: str
    text: str = ""
    numbered: bool = True
    """Whether places in it are told by line and column; an override is short enough to be its own place."""
    order: int = 0
    """Position among the sources of one configuration; errors are reported in this order."""

    @cached_property
    def lines(self) -> list[str]:
        """The lines without their ends."""
        return _LINE_BREAK.split(self.text)

    def place_at(self, index: int) -> "Place":
        """The place of the character at `index`."""
        before = _LINE_BREAK.split(self.text[:index])
        return Place(self, len(before) - 1, len(before[-1]))


@dataclass(frozen=True)
class Place:
    """A stretch of characters within one line; line and column count from 0, width 0 stands for the whole source."""

    source: SourceText = field(repr=False)
    line: int = 0
    column: int = 0
    width: int = 1
    written: "Place | None" = None
    """Where the value itself is written, if this place only refers to it by an alias."""

    def __str__(self) -> str:
        if not self.source.numbered or self.width == 0:
            return self.source.name
        return f"{self.source.name}:{self.line + 1}:{self.column + 1}"

    @property
    def sort_key(self) -> tuple[int, int, int]:
        """Sorts places into the order of reading."""
        return self.source.order, self.line, self.column

    def excerpt(self) -> list[str]:
        """The source line and the caret line below it, ready to print; nothing where there is no text."""
        if self.width == 0 or self.line >= len(self.source.lines) or not self.source.text:
            return []
        line = self.source.lines[self.line]
        start = max(0, min(self.column - _MAX_LINE // 2, len(line) - _MAX_LINE))
        shown = printable(line[start : start + _MAX_LINE])
        shown = "…" + shown[1:] if start > 0 else shown
        shown = shown[:-1] + "…" if start + _MAX_LINE < len(line) else shown
        before = "".join(_blank(char) for char in shown[: self.column - start])
        under = shown[self.column - start : self.column - start + self.width]
        carets = "^" * max(1, sum(len(_blank(char)) for char in under))
        gutter = f"{self.line + 1:>5} | " if self.source.numbered else "  --set "
        return [gutter + shown, (" " * 5 + " | " if self.source.numbered else " " * 8) + before + carets]


def _blank(char: str) -> str:
    """As many blanks as a terminal gives the character."""
    return "  " if unicodedata.east_asian_width(char) in "WF" else " "


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong, at one place."""

    place: Place
    message: str
    notes: tuple[str, ...] = ()
    """Further lines: what is legal, what chose the rule that was broken."""

    def __str__(self) -> str:
        notes = [f"        {note}" for note in self.notes]
        if self.place.written is not None:
            notes.append(f"        the value that the alias stands for is written at {self.place.written}")
        return "\n".join([f"{self.place}: error: {self.message}", *self.place.excerpt(), *notes])


class ConfigError(UserError):
    """A configuration that cannot be used: every mistake found in it, in the order of reading."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        """Keep the mistakes, sorted and without repetitions."""
        self.mistakes: tuple[Mistake, ...] = tuple(
            sorted(dict.fromkeys(mistakes), key=lambda mistake: mistake.place.sort_key)
        )
        super().__init__(self.mistakes)

    def __str__(self) -> str:
        shown = [str(mistake) for mistake in self.mistakes[:_MAX_SHOWN]]
        if len(self.mistakes) > _MAX_SHOWN:
            shown.append(f"and {len(self.mistakes) - _MAX_SHOWN} more errors")
        return "\n".join(shown)


def printable(text: str) -> str:
    """The text on one line, with a blank for each character that a terminal cannot show."""
    return "".join(char if char.isprintable() else " " for char in text)


def quoted(text: str) -> str:
    """The text between backquotes, on one line and shortened to what a person reads."""
    flat = printable(text)
    return f"`{flat}`" if len(flat) <= _MAX_VALUE else f"`{flat[: _MAX_VALUE - 1]}…`"


def listing(names: Iterable[str]) -> str:
    """The names separated by commas."""
    return ", ".join(names)


def did_you_mean(name: str, legal: Iterable[str]) -> str:
    """`; did you mean ...?` for the legal name nearest to `name`, else the empty string."""
    near = nearest(name, legal)
    return f"; did you mean `{near}`?" if near else ""


def nearest(name: str, legal: Iterable[str]) -> str | None:
    """The legal name nearest to `name`, if any is near at all; case and `-` for `_` count for nothing."""
    folded = {candidate.lower().replace("-", "_"): candidate for candidate in legal}
    near = get_close_matches(name.lower().replace("-", "_"), folded, n=1)
    return folded[near[0]] if near else None

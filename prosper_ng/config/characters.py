"""Characters that people take for those of YAML, and that are others: the spaces, quotes and dashes of web pages and
word processors.
"""

import re
import unicodedata
from collections.abc import Iterator

_QUOTES = "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a\u00ab\u00bb\uff02\uff07"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d"
_BULLETS = "\u2022\u2023\u2043\u2219\u25aa\u25cf\u25e6\u00b7"
_WIDE = {"\uff1a": ":", "\uff0c": ",", "\uff5b": "{", "\uff5d": "}", "\uff3b": "[", "\uff3d": "]", "\uff03": "#"}
"""Punctuation of texts in Chinese or Japanese, with what YAML has in its place."""


def is_stray_space(char: str) -> bool:
    """Whether a character is a blank, or takes no room at all, and is no space to YAML."""
    return char != " " and unicodedata.category(char) in ("Zs", "Cf")


def with_plain_signs(text: str) -> str:
    """The text with the digits, dashes and blanks of any script as those that numbers are written with."""
    plain = "".join("-" if char in _DASHES else char for char in text)
    return unicodedata.normalize("NFKC", "".join(" " if is_stray_space(char) else char for char in plain))


def strange_in_scalar(text: str, is_name: bool) -> tuple[int, str] | None:
    """The first character of unquoted text on one line that was meant to be another, and what to say of it.

    None where there is none. Blanks within a value may belong to it, as in the names of files, but not before a `#`.
    """
    for place, char in enumerate(text):
        is_at_edge = place in (0, len(text) - 1) or text[place + 1] == "#"
        if is_stray_space(char) and (is_name or is_at_edge):
            return place, _of_space(char)
    first = text[:1]
    if first and first in _QUOTES:
        return 0, f"{_named(first)} is none of the quotes of YAML; write \" or ', also around text that begins with it"
    if first and first in _DASHES + _BULLETS and (len(text) == 1 or text[1].isspace()):
        return 0, f"{_named(first)} begins no entry of a list; write `-`, or put text that begins with it in quotes"
    return None


def strange_in_line(line: str) -> tuple[int, str] | None:
    """The first character of a line that is no YAML which may be the reason; None where there is none."""
    return next(_strange(line), None)


def _strange(line: str) -> Iterator[tuple[int, str]]:
    code = re.split(r"(?:^|\s)#", line, maxsplit=1)[0]
    for place, char in enumerate(code):
        if is_stray_space(char):
            yield place, _of_space(char)
        elif char in _WIDE:
            yield (
                place,
                f"{_named(char)} means nothing in YAML; write `{_WIDE[char]}`, or put text that holds it in quotes",
            )
    begin = len(code) - len(code.lstrip(" "))
    found = strange_in_scalar(code[begin:].rstrip(" "), is_name=False)
    if found is not None:
        yield begin + found[0], found[1]


def _of_space(char: str) -> str:
    if unicodedata.category(char) == "Zs":
        way = "which is no space to YAML; put an ordinary space in its place, or quotes around text that it belongs to"
    else:
        way = "which cannot be seen; delete it, or put quotes around text that it belongs to"
    return f"{_named(char, shown=False)} stands here, {way}"


def _named(char: str, shown: bool = True) -> str:
    """`–` (en dash, U+2013), or a no-break space (U+00A0)."""
    name, number = unicodedata.name(char, "character").lower(), f"U+{ord(char):04X}"
    if shown:
        return f"`{char}` ({name}, {number})"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name} ({number})"

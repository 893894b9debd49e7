"""Docstrings, which are written to be read as they are, made what Sphinx reads: code, lists of names, plain text."""

import re
from collections.abc import Iterator

from sphinx.application import Sphinx

_UNDERLINE, _ITEM = re.compile(r"-{3,}$"), re.compile(r"(?P<names>[\w, ]+) : (?P<text>.*)")
_CODE, _MARKUP = re.compile(r"`([^`]+)`"), re.compile(r"(?<=\w)_(?!\w)|[*|]")


def setup(app: Sphinx) -> dict[str, bool]:
    """Have each docstring changed before it is read."""
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True}


def _process(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    lines[:] = list(_changed(lines))


def _changed(lines: list[str]) -> Iterator[str]:
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        item = _ITEM.match(line)
        if _UNDERLINE.match(line):
            yield ""
        elif _UNDERLINE.match(below):
            yield f".. rubric:: {line}"
        elif item:
            yield f"- **{_escaped(item['names'])}**: {_escaped(item['text'])}"
        else:
            yield _escaped(line).replace("    ", "  ", 1) if line.startswith("    ") else _escaped(line)


def _escaped(line: str) -> str:
    """The line with code as reStructuredText marks it, all else as plain text."""
    pieces = _CODE.split(line)
    return "".join(
        f"``{piece}``" if is_code else _MARKUP.sub(r"\\\g<0>", piece)
        for piece, is_code in zip(pieces, [False, True] * len(pieces), strict=False)
    )

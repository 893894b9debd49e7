"""What PyYAML's syntax errors mean, in words for the writer of the file."""

import yaml
from yaml.reader import ReaderError

from prosper_ng.config.characters import strange_in_line
from prosper_ng.config.mistakes import Mistake, Place, SourceText

# Part of PyYAML's own words -> what to tell; the first that fits is taken.
_MEANINGS = {
    r"found character '\t'": "a tab stands here; YAML wants spaces",
    "found a tab character": "a tab stands here; YAML wants spaces",
    "mapping values are not allowed": "this `:` makes no sense here; mind the indentation, and quote text with `: `",
    "sequence entries are not allowed": "a list entry (`- `) cannot start here; start it on a new line, indented",
    "could not find expected ':'": "`name: value` is expected, and the `:` is missing",
    "found unexpected end of stream": "this quote is never closed",
    "found unexpected document separator": "this quote is never closed",
    "found unknown escape character": "no such escape sequence; write a backslash as `\\\\`, or use single quotes",
    "expected ',' or ']'": "this list is not closed by `]`, or a `,` is missing",
    "expected ',' or '}'": "this mapping is not closed by `}`, or a `,` is missing",
    "expected <block end>": "this line does not fit the lines above; mind the indentation",
    "expected '<document start>'": "nothing is expected after the end of the value; is a bracket closed twice?",
    "expected chomping or indentation": "after `|` or `>` the text starts on the next line; put other text in quotes",
    "found incompatible YAML document": "this version of YAML is not known; leave the `%YAML` line out",
    "while scanning an alias": "`*` starts an alias; put text that starts with it in quotes",
    "while scanning an anchor": "`&` starts an anchor; put text that starts with it in quotes",
    "while scanning a tag": "`!` starts a tag; put text that starts with it in quotes",
    "while parsing a tag": "`!` starts a tag; put text that starts with it in quotes",
    "expected the node content": "a value is expected here",
    "that cannot start any token": "text cannot start with this character; put it in quotes",
}
# What is never ended is shown where it starts.
_AT_START = {
    "could not find expected ':'",
    "found unexpected end of stream",
    "found unexpected document separator",
    "expected ',' or ']'",
    "expected ',' or '}'",
}


def syntax_mistake(error: yaml.YAMLError, source: SourceText) -> Mistake:
    """The syntax error in words, at its place."""
    if isinstance(error, ReaderError):
        message = f"a character that cannot be printed (U+{error.character:04X}) stands here"
        return Mistake(source.place_at(error.position), message)
    mark = getattr(error, "problem_mark", None)
    if (strange := _strange_character(error, source)) is not None:
        return strange
    context, words = (getattr(error, name, None) or "" for name in ("context", "problem"))
    for part, meaning in _MEANINGS.items():
        if part in words or part in context:
            if part in _AT_START:
                mark = getattr(error, "context_mark", None) or mark
            return Mistake(_place(mark, source), meaning)
    return Mistake(_place(mark, source), f"this is not YAML: {' '.join((words or context).split())}")


def _strange_character(error: yaml.YAMLError, source: SourceText) -> Mistake | None:
    """The first character that may be the reason, in the lines that the error speaks of."""
    marks = [getattr(error, name, None) for name in ("context_mark", "problem_mark")]
    lines = [mark.line for mark in marks if mark is not None]
    for number in range(min(lines), min(max(lines) + 1, len(source.lines))) if lines else ():
        found = strange_in_line(source.lines[number])
        if found is not None:
            return Mistake(Place(source, number, found[0]), found[1])
    return None


def _place(mark: yaml.Mark | None, source: SourceText) -> Place:
    if mark is None:
        return Place(source, width=0)
    line = min(mark.line, len(source.lines) - 1)
    return Place(source, line, mark.column if line == mark.line else len(source.lines[line]))

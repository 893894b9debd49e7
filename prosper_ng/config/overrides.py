"""Overrides from the command line: `--set model.n_latents=64` changes the tree before it is checked."""

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce

from prosper_ng.config.canonical import dotted
from prosper_ng.config.mistakes import ConfigError, Mistake, Place, SourceText, printable, quoted
from prosper_ng.config.scalars import is_text
from prosper_ng.config.tree import ListNode, MappingNode, Node, ScalarNode
from prosper_ng.config.yaml_reader import comment_in, read_yaml

_STEP = re.compile(r'"(?P<double>[^"]*)"|\'(?P<single>[^\']*)\'|(?P<bare>[^.="\'\[\]{}\s]+)')
_FORM = "an override reads NAME=VALUE, such as model.n_latents=64 or 'data.crop=[0, 0, 8, 8]'"


@dataclass(frozen=True)
class Step:
    """One name, or position in a list, of a dotted path."""

    name: str
    place: Place
    is_position: bool


@dataclass(frozen=True)
class Override:
    """A value for one dotted path."""

    steps: list[Step]
    node: Node


def read_override(argument: str, order: int, mistakes: list[Mistake]) -> Override | None:
    """The override that a `--set` argument asks for; None, and a mistake more, where it cannot be read.

    Names that hold dots are put in quotes. Raises ConfigError where the value is not YAML.
    """
    source = SourceText(f"--set {printable(argument)}", argument, numbered=False, order=order)
    steps, end = _steps(argument, lambda start, stop: Place(source, 0, start, stop - start))
    if not steps or argument[end : end + 1] != "=":
        mistakes.append(Mistake(Place(source, 0, min(end, max(0, len(argument) - 1))), _FORM))
        return None
    position = end + 1
    before = len(mistakes)
    node = _value(source, position, mistakes)
    if node is None and len(mistakes) == before:
        message = "there is no value after the `=`; write null for none and '\"\"' for empty text"
        mistakes.append(Mistake(Place(source, 0, position - 1), message))
    return None if node is None else Override(steps, node)


def _value(source: SourceText, start: int, mistakes: list[Mistake]) -> Node | None:
    """The tree of the value, which begins at `start`; None, and a mistake more, where it would not be all of it."""
    value = source.text[start:]
    can_be_quoted = not value.lstrip().startswith(tuple("[{\"'")) and is_text(value)
    hint = f"to give it as text: {as_argument(Place(source, 0, start))}"
    in_quotes = (hint,) if can_be_quoted and value.strip() else ()
    comment = comment_in(value)
    if comment is not None:
        message = "a comment starts here, so that the value would end before it; put text that holds ` #` in quotes"
        mistakes.append(Mistake(source.place_at(start + comment), message, in_quotes))
        return None
    if can_be_quoted and len(value.strip().splitlines()) > 1 and value.lstrip()[:1] not in ("|", ">"):
        line_break = source.place_at(start + len(value.rstrip().splitlines()[0]))
        if not isinstance(node := read_yaml(source, mistakes, start), ScalarNode):
            return node
        mistakes.append(Mistake(line_break, "the text breaks off here, and YAML would make a blank of that", in_quotes))
        return None
    try:
        return read_yaml(source, mistakes, start)
    except ConfigError as error:
        *others, last = error.mistakes
        raise ConfigError([*others, replace(last, notes=(*last.notes, *in_quotes))]) from None


def given_whole(place: Place) -> bool:
    """Whether the value at a place is all that an override gives."""
    return place.source.order > 0 and place.written is None and place.source.text[: place.column].rstrip()[-1:] == "="


def as_argument(place: Place) -> str:
    """The override whose value begins at a place, with that as text: in quotes of YAML, these in quotes of a shell."""
    text = place.source.text
    value = json.dumps(text[place.column :].strip(), ensure_ascii=False)
    return f"--set {shlex.quote(text[: place.column] + value)}"


def read_name(name: str, place: Place) -> list[Step] | None:
    """The steps of a dotted name that is written at a place; None where it is no such name."""
    steps, end = _steps(name, lambda start, stop: place)
    return steps if steps and end == len(name) else None


def _steps(text: str, place: Callable[[int, int], Place]) -> tuple[list[Step], int]:
    """The steps that the text begins with, and where they end; no steps where a name is missing."""
    steps: list[Step] = []
    position = 0
    while match := _STEP.match(text, position):
        name = next(group for group in match.groups() if group is not None)
        is_position = match["bare"] is not None and name.isascii() and name.isdigit()
        steps.append(Step(name, place(position, match.end()), is_position))
        if text[match.end() : match.end() + 1] != ".":
            return steps, match.end()
        position = match.end() + 1
    return [], position


def apply(override: Override, root: MappingNode, mistakes: list[Mistake]) -> None:
    """Put the value into the tree, in place; what does not fit is added to `mistakes`."""
    node: Node = root
    walked: list[str] = []
    for number, step in enumerate(override.steps):
        last = number + 1 == len(override.steps)
        if isinstance(node, MappingNode):
            entry = node.items.get(step.name)
            if last:
                entry = override.node
            elif entry is None or (isinstance(entry, ScalarNode) and entry.value is None):
                if override.steps[number + 1].is_position:
                    mistakes.append(_no_entry(override.steps[number + 1], [*walked, step.name], None))
                    return
                entry = MappingNode(step.place)
            if entry is not node.items.get(step.name):
                node.items[step.name], node.keys[step.name] = entry, step.place
        elif isinstance(node, ListNode):
            if not step.is_position or int(step.name) >= len(node.items):
                mistakes.append(_no_entry(step, walked, len(node.items)))
                return
            if last:
                node.items[int(step.name)] = override.node
            entry = node.items[int(step.name)]
        else:
            name = quoted(reduce(dotted, walked, ""))
            mistakes.append(Mistake(step.place, f"{name} is a single value ({node.place}), so it has no fields to set"))
            return
        walked.append(step.name)
        node = entry


def _no_entry(step: Step, walked: list[str], n_entries: int | None) -> Mistake:
    name = reduce(dotted, walked, "")
    whole = f"to set the whole list: --set '{name}=[...]'"
    if not n_entries:
        state = "is an empty list" if n_entries == 0 else "is not given"
        return Mistake(step.place, f"`{name}` {state}, so it has no entry {step.name} to change", (whole,))
    if not step.is_position:
        return Mistake(step.place, f"`{name}` is a list; its entries are numbered from 0 to {n_entries - 1}", (whole,))
    message = f"`{name}` has no entry {step.name}; its entries are numbered from 0 to {n_entries - 1}"
    return Mistake(step.place, message, (whole,))

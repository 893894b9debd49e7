"""YAML text to a tree of nodes: YAML 1.2 scalars, no tags, no duplicate names, bounded in size and depth."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NoReturn

import yaml

from prosper_ng.config.characters import strange_in_scalar
from prosper_ng.config.mistakes import ConfigError, Mistake, Place, SourceText, quoted
from prosper_ng.config.scalars import Scalar, is_text, resolve
from prosper_ng.config.tree import MAX_DEPTH, MAX_NODES, ListNode, MappingNode, Node, ScalarNode, moved
from prosper_ng.config.yaml_syntax import syntax_mistake


def read_yaml(source: SourceText, mistakes: list[Mistake], start: int = 0) -> Node | None:
    """The tree of the one YAML document in `source`, None where it is empty.

    The characters before `start` are passed over. What does not keep the rest from being read is added to `mistakes`;
    anything else raises ConfigError together with those.
    """
    text = " " * start + source.text[start:]
    reader, before = _Reader(source, mistakes), tuple(mistakes)
    try:
        root = reader.document(yaml.parse(text, Loader=yaml.SafeLoader))
    except ConfigError:
        raise
    except yaml.YAMLError as error:
        mistake = syntax_mistake(error, source)
    except (ValueError, OverflowError):  # PyYAML looks up escaped characters and versions without a check
        mistake = Mistake(Place(source, width=0), "an escape sequence (`\\U...`) or a directive (`%`) makes no sense")
    else:
        if not reader.strange:
            return root
    if reader.strange:
        raise ConfigError([*before, _likewise(reader.strange)])
    raise ConfigError([*mistakes, mistake])


def comment_in(text: str) -> int | None:
    """Where the first comment in a text of YAML begins; None where there is none, or what comes before is no YAML."""
    end = 0
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            start = token.start_mark.index
            if (found := re.search(r"(?:^|(?<=\s))#", text[end:start])) is not None:
                return end + found.start()
            end = max(end, token.end_mark.index)
    except (yaml.YAMLError, ValueError, OverflowError):
        pass  # whoever reads the text says what is wrong
    return None


def _likewise(strange: list[Mistake]) -> Mistake:
    """The first of characters that make a file mean something else; what follows from them is no news."""
    lines = sorted({mistake.place.line + 1 for mistake in strange[1:]} - {strange[0].place.line + 1})
    if not lines:
        return strange[0]
    shown = [*map(str, lines[:_LINES_SHOWN]), *([f"{len(lines) - _LINES_SHOWN} more"] if lines[_LINES_SHOWN:] else [])]
    return replace(strange[0], notes=(f"there are such characters in more lines: {', '.join(shown)}",))


_LINES_SHOWN = 8
_MERGE_KEY = (
    "merge keys (`<<`) are not part of YAML 1.2; write the fields out, or refer to a whole section by an alias "
    "(`*name`)"
)


class _Reader:
    """Builds nodes from the events of PyYAML's parser, which gives the place of everything."""

    def __init__(self, source: SourceText, mistakes: list[Mistake]) -> None:
        self.source = source
        self.mistakes = mistakes
        self.strange: list[Mistake] = []
        """Characters that were meant to be others, so that the rest of the tree is none that anybody wrote."""
        self.anchors: dict[str, Node | None] = {}
        self.n_nodes = 0

    def document(self, events: Iterator[yaml.Event]) -> Node | None:
        """The root of the document."""
        self.events = events
        next(events)
        if isinstance(next(events), yaml.StreamEndEvent):
            return None
        root = self.node(next(events), 0)
        next(events)
        following = next(events)
        if not isinstance(following, yaml.StreamEndEvent):
            self.fail(following, "a second document starts here; a configuration is a single one")
        return None if isinstance(root, ScalarNode) and root.is_empty else root

    def node(self, event: yaml.Event, depth: int) -> Node:
        """The node that starts with the event."""
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, depth)
        self.count(event, 1)
        if depth > MAX_DEPTH:
            self.fail(event, f"this is nested more than {MAX_DEPTH} levels deep")
        assert isinstance(event, yaml.NodeEvent)
        anchor = event.anchor
        if anchor is not None:
            if anchor in self.anchors:
                self.add(event, f"the anchor `&{anchor}` is used a second time")
            self.anchors[anchor] = None
        node = self.content(event, depth)
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def content(self, event: yaml.NodeEvent, depth: int) -> Node:
        """The node without its anchor."""
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = quoted(tag.replace("tag:yaml.org,2002:", "!!"))
            self.add(event, f"tags such as {shown} are not used here; leave the tag out, and put text in quotes")
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(following := next(self.events), yaml.SequenceEndEvent):
                items.append(self.node(following, depth + 1))
            return ListNode(self.place(event), items)
        return self.mapping(event, depth)

    def mapping(self, event: yaml.Event, depth: int) -> MappingNode:
        """The mapping, with the first of several values of the same name."""
        node = MappingNode(self.place(event))
        while not isinstance(following := next(self.events), yaml.MappingEndEvent):
            key = self.node(following, depth + 1)
            self.note_strange(following, is_name=True)
            value = self.node(next(self.events), depth + 1)
            if not isinstance(key, ScalarNode):
                self.add(following, "a name must be plain text, not a list or a mapping")
            elif key.plain and key.text == "<<":
                self.add(following, _MERGE_KEY)
            elif key.is_empty:
                self.add(following, "the name before the `:` is missing")
            elif key.text in node.items:
                first = node.keys[key.text]
                self.add(following, f"{quoted(key.text)} is given twice; the first is at line {first.line + 1}")
            else:
                node.items[key.text] = value
                node.keys[key.text] = key.place
        return node

    def scalar(self, event: yaml.ScalarEvent) -> ScalarNode:
        """The scalar, plain ones resolved."""
        text, is_plain = event.value, event.style is None
        self.note_strange(event)
        value: Scalar = text
        if is_plain:
            try:
                value = resolve(text)
            except ValueError as error:
                self.add(event, f"{quoted(text)} is {error}")
        elif not is_text(text):
            self.add(event, "the text holds an escaped character that no text can hold (NUL or half a surrogate pair)")
            value = ""
        return ScalarNode(self.place(event), value, text, is_plain)

    def note_strange(self, event: yaml.Event, is_name: bool = False) -> None:
        """Note the first character of unquoted text that was meant to be another one."""
        if not isinstance(event, yaml.ScalarEvent) or event.style is not None or not event.value:
            return
        start, end = event.start_mark, event.end_mark
        assert start is not None
        assert end is not None
        place = start.index  # PyYAML leaves some characters out of its columns, but none out of this
        for line in self.source.text[start.index : end.index].splitlines(keepends=True):
            indented = place + len(line) - len(line.lstrip(" "))
            found = strange_in_scalar(line.strip(" \r\n"), is_name)
            if found is not None:
                self.strange.append(Mistake(self.source.place_at(indented + found[0]), found[1]))
                return
            place += len(line)

    def alias(self, event: yaml.AliasEvent, depth: int) -> Node:
        """A copy of what the alias stands for."""
        node = self.anchors.get(event.anchor or "")
        if node is None:
            known = event.anchor in self.anchors
            reason = "stands inside what it stands for" if known else f"has no anchor `&{event.anchor}` before it"
            self.add(event, f"the alias `*{event.anchor}` {reason}")
            return ScalarNode(self.place(event), None, f"*{event.anchor}")
        if depth + node.height > MAX_DEPTH:
            self.fail(event, f"with what this alias stands for, this is nested more than {MAX_DEPTH} levels deep")
        self.count(event, node.n_nodes)
        return moved(node, self.place(event))

    def count(self, event: yaml.Event, n_nodes: int) -> None:
        """Stop at trees that no configuration needs, before they are built."""
        self.n_nodes += n_nodes
        if self.n_nodes > MAX_NODES:
            self.fail(event, f"this configuration holds more than {MAX_NODES} values (aliases counted in full)")

    def place(self, event: yaml.Event) -> Place:
        """Where the event starts, and how far it goes on that line."""
        start, end = event.start_mark, event.end_mark
        assert start is not None
        assert end is not None
        line = self.source.lines[start.line] if start.line < len(self.source.lines) else ""
        width = (end.column if end.line == start.line else len(line)) - start.column
        return Place(self.source, start.line, start.column, max(1, width))

    def add(self, event: yaml.Event, message: str) -> None:
        """Note a mistake at the event and go on."""
        self.mistakes.append(Mistake(self.place(event), message))

    def fail(self, event: yaml.Event, message: str) -> NoReturn:
        """Stop at the event."""
        raise ConfigError([*self.mistakes, Mistake(self.place(event), message)])

"""YAML in, checked settings out, with the origin of every value."""

import codecs
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from prosper_ng import plugins
from prosper_ng.components import of_kinds
from prosper_ng.config import hints
from prosper_ng.config.canonical import dotted, entries_of
from prosper_ng.config.explain import explain, unusable_values
from prosper_ng.config.kinds import kinds_in, kinds_of_defaults, write_out_kinds
from prosper_ng.config.loaded import Loaded
from prosper_ng.config.mistakes import ConfigError, Mistake, Place, SourceText, listing, printable
from prosper_ng.config.overrides import apply, read_override
from prosper_ng.config.tree import ListNode, MappingNode, Node, child, copied, from_plain, plain, put
from prosper_ng.config.yaml_reader import read_yaml

T = TypeVar("T")

MAX_BYTES = 1 << 20
DEFAULT = "default"


def load(source: str | os.PathLike[str] | SourceText, schema: type[T], overrides: Sequence[str] = ()) -> Loaded[T]:
    """The configuration of a file (or of text in hand), changed by overrides such as `model.n_latents=64`.

    `schema` is a settings class. Raises ConfigError with everything that is wrong.
    """
    text = source if isinstance(source, SourceText) else read_file(source)
    mistakes: list[Mistake] = []
    return checked(read_tree(text, schema, overrides, mistakes), schema, mistakes, text.text)


def read_tree(
    text: SourceText, schema: type, overrides: Sequence[str] = (), mistakes: list[Mistake] | None = None
) -> MappingNode:
    """The tree of a configuration, changed by overrides, for `checked`; what is wrong so far is added to `mistakes`.

    Raises ConfigError where there is no tree, and without `mistakes` for anything that is wrong.
    """
    found: list[Mistake] = [] if mistakes is None else mistakes
    root = read_yaml(text, found)
    if not isinstance(root, MappingNode):
        found.append(_not_a_mapping(text, root, schema))
        raise ConfigError(found)
    _override(root, schema, overrides, found)
    if mistakes is None and found:
        raise ConfigError(found)
    return root


def _override(root: MappingNode, schema: type, overrides: Sequence[str], mistakes: list[Mistake]) -> None:
    """Change the tree in place; what is wrong is added to `mistakes`."""
    write_out_kinds(root, schema)
    for number, argument in enumerate(overrides):
        override = read_override(argument, number + 1, mistakes)
        if override is not None:
            apply(override, root, mistakes)


def from_mapping(
    mapping: Mapping[str, Any],
    schema: type[T],
    name: str = "the stored configuration",
    overrides: Sequence[str] = (),
) -> Loaded[T]:
    """The configuration that a mapping such as `Loaded.resolved` says; `name` tells errors where it came from."""
    root, mistakes = from_plain(mapping, SourceText(name)), list[Mistake]()
    assert isinstance(root, MappingNode)
    _override(root, schema, overrides, mistakes)
    return checked(root, schema, mistakes, "")


def read_file(path: str | os.PathLike[str]) -> SourceText:
    """The text of a configuration file. Raises ConfigError where it is missing, not readable, not UTF-8, too large."""
    name = printable(os.fsdecode(path))

    def refuse(message: str, place: Place | None = None) -> ConfigError:
        return ConfigError([Mistake(place or Place(SourceText(name), width=0), message)])

    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise refuse(f"there is no such file{_neighbor(Path(path))}") from None
    except IsADirectoryError:
        raise refuse("this is a folder; a configuration is a YAML file") from None
    except PermissionError:
        raise refuse("no permission to read this file") from None
    except (OSError, ValueError) as error:
        raise refuse(f"this file cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise refuse("this file is larger than 1 MiB; a configuration is small, and arrays belong in a data file")
    other = _other_than_text(content)
    if other is not None:
        raise refuse(other)
    try:
        return SourceText(name, content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = SourceText(name, content[: error.start].decode("utf-8-sig", errors="replace"))
        number = content[error.start]
        shown = bytes([number]).decode("cp1252", errors="replace")
        meant = f", `{shown}` on older systems" if shown.isprintable() and shown.isalnum() else ""
        message = f"this is not UTF-8 text (byte 0x{number:02x}{meant}); save the file as UTF-8"
        raise refuse(message, before.place_at(len(before.text))) from None


def _other_than_text(content: bytes) -> str | None:
    """What to say of bytes that hold no text, or one of two or four bytes a character; None where they may be text."""
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or content[:4] == codecs.BOM_UTF32_BE:
        return "this is UTF-16 or UTF-32 text, which some editors call Unicode; save the file as UTF-8"
    zeros = content[:200].count(0)
    if zeros and content[:200].translate(None, b"\0").isascii() and 3 * zeros >= len(content[:200]):
        return "every other byte is 0, as in UTF-16 text, which some editors call Unicode; save the file as UTF-8"
    if 0 in content or content[:2] == b"\x1f\x8b":
        return "this file holds no text; a configuration is YAML text"
    return None


def _neighbor(path: Path) -> str:
    """`; did you mean ...?` with the file of the most similar name beside it."""
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml")]
    except (OSError, ValueError):
        return ""
    near = get_close_matches(path.name, names, n=1)
    return f"; did you mean `{path.parent / near[0]}`?" if near else ""


def _not_a_mapping(text: SourceText, root: Node | None, schema: type) -> Mistake:
    fields = listing(hints.fields_of(schema))
    if root is None:
        return Mistake(Place(text, width=0), f"nothing is written here; a configuration has the fields {fields}")
    return Mistake(root.place, f"a configuration is a mapping (`name: value` lines) with the fields {fields}")


def checked(root: MappingNode, schema: type[T], mistakes: list[Mistake], text: str) -> Loaded[T]:
    """The settings in the tree. Raises ConfigError with `mistakes` and all that the schema finds."""
    write_out_kinds(root, schema)
    mistakes = _joined(mistakes, unusable_values(root, schema))
    value, filled, stand_ins = None, copied(root), _left_open(root, schema)
    for name, stand_in in stand_ins.items():
        put(filled, name, stand_in, SourceText(DEFAULT))
    given = plain(filled)
    kinds = kinds_in(given) | kinds_of_defaults(schema)
    adapter = adapter_of(schema, kinds)
    try:
        # JSON is pydantic's strict way in for plain data: lists become tuples, mappings become settings.
        value = adapter.validate_json(json.dumps(given))
        adapter = adapter_of(schema, kinds | kinds_in(asdict(value)))  # type: ignore[call-overload]
        # A second pass turns defaults into what the file would have given (1 into 1.0), so that a stored configuration
        # says the same as a written one.
        value = adapter.validate_json(json.dumps(adapter.dump_python(value, mode="json")))
    except ValidationError as error:
        mistakes = _joined(mistakes, explain(error, root, schema))
    if mistakes:
        raise ConfigError(mistakes)
    assert value is not None
    resolved = _without(adapter.dump_python(value, mode="json"), stand_ins)
    return Loaded(value, resolved, _origins(resolved, root), text, tuple(stand_ins))


def _left_open(root: MappingNode, schema: type) -> Mapping[str, Any]:
    """What the schema lets a configuration leave to be found from its data, each with what stands in for it so long."""
    names = getattr(schema, "left_open", None)
    return {} if names is None else names(plain(root))


def _without(resolved: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    for name in names:
        *sections, last = name.split(".")
        reduce(dict.__getitem__, sections, resolved).pop(last)
    return resolved


def prepare(schema: type) -> None:
    """Make what validates a schema now, rather than when it is needed first."""
    adapter_of(schema)


_adapters: dict[tuple[type, frozenset[str] | None], TypeAdapter[Any]] = {}
plugins.forget_on_change(_adapters.clear)


def adapter_of(schema: type[T], kinds: frozenset[str] | None = None) -> TypeAdapter[T]:
    """What validates a schema with components of some kinds, or all; it takes longer to make than to use."""
    asked = (schema, None if (schema, None) in _adapters else kinds)
    if asked not in _adapters:
        with of_kinds(kinds):
            _adapters[asked] = TypeAdapter(schema)
    return _adapters[asked]


def _joined(first: list[Mistake], second: list[Mistake]) -> list[Mistake]:
    """All mistakes of the first list, and those of the second at other places."""
    places = {mistake.place for mistake in first}
    return first + [mistake for mistake in second if mistake.place not in places]


def _origins(resolved: Mapping[str, Any], root: Node) -> dict[str, str]:
    """Where each value came from, by dotted name."""
    origins: dict[str, str] = {}

    def add(name: str, value: Any, node: Node | None) -> None:
        entries = entries_of(value)
        if entries is None:
            origins[name] = ", ".join(dict.fromkeys(_places(node))) if node else DEFAULT
            return
        for key, item in entries:
            below = child(node, int(key) if isinstance(node, ListNode) else key)
            add(dotted(name, key), item, below)

    add("", resolved, root)
    return origins


def _places(node: Node) -> list[str]:
    """The place of the node, and those of the overrides below it."""
    places = [str(node.place)]
    below = node.items if isinstance(node, ListNode) else node.items.values() if isinstance(node, MappingNode) else ()
    for item in below:
        places += [place for place in _places(item) if item.place.source is not node.place.source]
    return places

"""A configuration as a tree of nodes that know where they were written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from prosper_ng.config.mistakes import ConfigError, Mistake, Place, SourceText, quoted
from prosper_ng.config.scalars import MAX_DIGITS, Scalar, is_text

MAX_DEPTH = 32
MAX_NODES = 20_000


@dataclass(frozen=True)
class ScalarNode:
    """One value: null, a boolean, a number or text."""

    place: Place
    value: Scalar
    text: str = ""
    """As it is written, without quotes."""
    plain: bool = True
    """Whether it is written without quotes."""
    n_nodes: int = 1
    height: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is written, which is not the same as writing null."""
        return self.plain and self.value is None and not self.text


@dataclass(frozen=True)
class ListNode:
    """Entries in order."""

    place: Place
    items: list["Node"] = field(default_factory=list)

    @property
    def n_nodes(self) -> int:
        """The number of nodes in this subtree."""
        return 1 + sum(item.n_nodes for item in self.items)

    @property
    def height(self) -> int:
        """The number of levels below this node."""
        return 1 + max((item.height for item in self.items), default=0)


@dataclass(frozen=True)
class MappingNode:
    """Values by name; `keys` holds the place of each name."""

    place: Place
    items: dict[str, "Node"] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)

    @property
    def n_nodes(self) -> int:
        """The number of nodes in this subtree."""
        return 1 + sum(item.n_nodes for item in self.items.values())

    @property
    def height(self) -> int:
        """The number of levels below this node."""
        return 1 + max((item.height for item in self.items.values()), default=0)


Node = ScalarNode | ListNode | MappingNode


def plain(node: Node) -> Any:
    """The values alone: dicts, lists and scalars."""
    if isinstance(node, MappingNode):
        return {name: plain(item) for name, item in node.items.items()}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return node.value


def child(node: Node | None, name: str | int) -> Node | None:
    """The entry of a mapping or list, None where there is none."""
    if isinstance(node, MappingNode):
        return node.items.get(str(name))
    if isinstance(node, ListNode) and isinstance(name, int) and name < len(node.items):
        return node.items[name]
    return None


def walk(node: Node, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Node]]:
    """Every node with its path, parents first."""
    yield path, node
    if isinstance(node, MappingNode):
        for name, item in node.items.items():
            yield from walk(item, (*path, name))
    elif isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            yield from walk(item, (*path, index))


def moved(node: Node, use: Place) -> Node:
    """A copy of the subtree that stands at the place of its use and remembers where it is written."""
    place = replace(use, written=node.place.written or node.place)
    if isinstance(node, ScalarNode):
        return replace(node, place=place)
    if isinstance(node, ListNode):
        return ListNode(place, [moved(item, use) for item in node.items])
    keys = {name: replace(use, written=key.written or key) for name, key in node.keys.items()}
    return MappingNode(place, {name: moved(item, use) for name, item in node.items.items()}, keys)


def copied(node: Node) -> Node:
    """A copy of the subtree that can be changed by itself."""
    if isinstance(node, MappingNode):
        return MappingNode(node.place, {name: copied(item) for name, item in node.items.items()}, dict(node.keys))
    return ListNode(node.place, [copied(item) for item in node.items]) if isinstance(node, ListNode) else node


def put(root: Node, name: str, value: Any, source: SourceText) -> None:
    """Set a value by its dotted name in a tree of mappings; sections that are missing are added."""
    assert isinstance(root, MappingNode)
    first, _, rest = name.partition(".")
    if rest:
        put(root.items.setdefault(first, from_plain({}, source)), rest, value, source)
    else:
        root.items[first] = from_plain(value, source)
    root.keys.setdefault(first, Place(source, width=0))


def from_plain(value: Any, source: SourceText) -> Node:
    """The tree of a mapping that no text stands behind. Raises ConfigError for what YAML could not say."""
    return _from_plain(value, Place(source, width=0), ())


def _from_plain(value: Any, place: Place, path: tuple[str, ...]) -> Node:
    name = quoted(".".join(path) or "the mapping")
    if len(path) > MAX_DEPTH:
        raise ConfigError([Mistake(place, f"{name} is nested more than {MAX_DEPTH} levels deep")])
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            raise ConfigError([Mistake(place, f"a name in {name} is a {type(odd[0]).__name__}; names are text")])
        items = {key: _from_plain(item, place, (*path, key)) for key, item in value.items()}
        return MappingNode(place, items, dict.fromkeys(items, place))
    if isinstance(value, list | tuple):
        return ListNode(place, [_from_plain(item, place, (*path, str(i))) for i, item in enumerate(value)])
    if value is None:
        return ScalarNode(place, None, "null")
    if isinstance(value, str) and is_text(value):
        return ScalarNode(place, str(value), value, plain=False)
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**MAX_DIGITS):
        return ScalarNode(place, value, str(value).lower())
    raise ConfigError([Mistake(place, f"{name} is a value ({type(value).__name__}) that no configuration can hold")])

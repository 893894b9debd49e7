"""Places in the tree together with what the schema asks for there."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, NamedTuple, get_args

from prosper_ng.config import hints
from prosper_ng.config.canonical import dotted
from prosper_ng.config.mistakes import Place, quoted
from prosper_ng.config.tree import ListNode, MappingNode, Node, ScalarNode, child

Path = tuple[str | int, ...]


class Spot(NamedTuple):
    """A place in the tree together with what the schema asks for there."""

    hint: Any
    node: Node
    path: Path
    key: Place
    """Where its name is written, or the value itself where it has none (entries of lists)."""
    kinds: Mapping[str, Any] | None = None
    """The kinds to choose from, where `hint` is the class that was chosen by `kind`."""

    @property
    def name(self) -> str:
        """The dotted name between backquotes."""
        return quoted(reduce(dotted, self.path, "")) if self.path else "the configuration"

    @property
    def title(self) -> str:
        """The name with the kind that was chosen, if any."""
        kind = child(self.node, "kind") if self.kinds is not None else None
        return f"{self.name} ({kind.text})" if isinstance(kind, ScalarNode) else self.name

    def below(self, name: str | int, hint: Any) -> "Spot | None":
        """The spot one step further down, None where nothing is written there."""
        node = child(self.node, name)
        if node is None:
            return None
        key = self.node.keys[str(name)] if isinstance(self.node, MappingNode) else node.place
        return Spot(hint, node, (*self.path, name), key)

    def entry(self, step: str | int) -> "Spot | None":
        """The field or entry of that name, None where nothing is written or the schema knows no such thing."""
        hint = self.hint
        if hints.is_section(hint):
            field = hints.fields_of(hints.bare(hint)).get(str(step))
            return self.below(step, field.hint) if field else None
        if hints.is_list(hint) and isinstance(step, int):
            return self.below(step, hints.entry_hint(hint, step))
        if hints.is_mapping(hint) and get_args(hints.bare(hint)):
            return self.below(step, get_args(hints.bare(hint))[1])
        return None

    def narrowed(self) -> "Spot":
        """The same spot with the member of a union, or the component, that was evidently chosen."""
        members = hints.members_of(self.hint)
        if members is not None:
            fitting = [member for member in members if fits(member, self.node)]
            return self._replace(hint=fitting[0]).narrowed() if len(fitting) == 1 else self
        kinds = hints.kinds_of(self.hint)
        kind = child(self.node, "kind")
        if kinds is not None and isinstance(kind, ScalarNode) and kind.text in kinds:
            return self._replace(hint=kinds[kind.text], kinds=kinds)
        return self


def top(schema: type, root: Node) -> Spot:
    """The spot of the whole configuration; what is wrong with it as such is told without a line."""
    return Spot(schema, root, (), replace(root.place, width=0))


def fits(hint: Any, node: Node) -> bool:
    """Whether the hint asks for a mapping where there is one, a list where there is one, and neither for a scalar."""
    mapping = hints.kinds_of(hint) is not None or hints.is_section(hint) or hints.is_mapping(hint)
    if isinstance(node, MappingNode):
        return mapping
    return hints.is_list(hint) if isinstance(node, ListNode) else not mapping and not hints.is_list(hint)


def descend(spot: Spot, loc: Sequence[str | int]) -> tuple[Spot, Path]:
    """The deepest spot on pydantic's way `loc` that is written down, and what is left of the way.

    `loc` holds a tag behind every choice of components; at other unions, whose members it tells in words, the descent
    ends.
    """
    for done, step in enumerate(loc):
        members = hints.members_of(spot.hint)
        if members is not None and len(members) == 2 and members[1] is type(None):
            return descend(spot._replace(hint=members[0]), loc[done:])
        kinds = hints.kinds_of(spot.hint)
        following = spot.narrowed() if kinds is not None and step in kinds else spot.entry(step)
        if following is None:
            return spot, tuple(loc[done:])
        spot = following
    return spot, ()


def follow(spot: Spot, path: Path) -> Spot | None:
    """The spot at a path of names and positions, None where the schema knows no such place."""
    for step in path:
        following = spot.narrowed().entry(step)
        if following is None:
            return None
        spot = following
    return spot

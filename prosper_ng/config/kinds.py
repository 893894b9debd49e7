"""Components in a tree, brought to the one form that the schema validates: a mapping with a `kind` of today."""

import dataclasses
from dataclasses import replace
from functools import cache
from typing import Any

from prosper_ng.components import FORMER_KINDS
from prosper_ng.config import hints
from prosper_ng.config.mistakes import Place, SourceText
from prosper_ng.config.spots import Spot, top
from prosper_ng.config.tree import ListNode, MappingNode, Node, ScalarNode

_KIND = "kind"


def write_out_kinds(root: MappingNode, schema: type) -> None:
    """Write out, in place, what a person may leave to the reader.

    A kind as a plain word is a component with default settings. Settings without a kind are those of the component
    that is the field's default. Kinds that had another name in an earlier version get the name they have now.
    """
    _visit(top(schema, root), None)


def _visit(spot: Spot, default: str | None) -> Node:
    """The node of the spot, written out, with all below it."""
    spot = _of_component(spot, default)
    if hints.is_section(spot.hint) and isinstance(spot.node, MappingNode):
        defaults = _default_kinds(hints.bare(spot.hint))
        for name, node in spot.node.items.items():
            below = spot.entry(name) if _may_be_component(node) else None
            if below is not None:
                spot.node.items[name] = _visit(below, defaults.get(name))
    elif isinstance(spot.node, ListNode):
        for index, node in enumerate(spot.node.items):
            below = spot.entry(index) if _may_be_component(node) else None
            if below is not None:
                spot.node.items[index] = _visit(below, None)
    return spot.node


def _may_be_component(node: Node) -> bool:
    """Whether a component may stand there or below; most values of settings are numbers, and looked at no further."""
    return not isinstance(node, ScalarNode) or isinstance(node.value, str)


def _of_component(spot: Spot, default: str | None) -> Spot:
    """The spot as a mapping with a kind, where a component belongs and is meant."""
    if hints.kinds_of(spot.hint) is None:
        return spot.narrowed()
    node = spot.node
    if isinstance(node, ScalarNode) and isinstance(node.value, str):
        node = MappingNode(node.place, {_KIND: node}, {_KIND: node.place})
    if isinstance(node, MappingNode):
        if _KIND not in node.items and default is not None:
            place = Place(SourceText("default"), width=0)
            node = MappingNode(
                node.place, {_KIND: ScalarNode(place, default, default), **node.items}, {_KIND: place, **node.keys}
            )
        kind = node.items.get(_KIND)
        if isinstance(kind, ScalarNode) and kind.value in FORMER_KINDS:
            name = FORMER_KINDS[str(kind.value)]
            node.items[_KIND] = replace(kind, value=name, text=name)
    return spot._replace(node=node).narrowed()


def kinds_in(given: Any) -> frozenset[str]:
    """The kinds of all components in plain data."""
    if isinstance(given, dict):
        own = given.get(_KIND)
        return kinds_in(list(given.values())) | ({own} if isinstance(own, str) else frozenset())
    return frozenset().union(*map(kinds_in, given)) if isinstance(given, list | tuple) else frozenset()


def kinds_of_defaults(cls: type) -> frozenset[str]:
    """The kinds of the components that fields of a settings class hold where nothing is given."""
    return frozenset(_default_kinds(cls).values())


@cache
def _default_kinds(cls: Any) -> dict[str, str]:
    """By field, as far as the default is a component itself."""
    found: dict[str, str] = {}
    for field in dataclasses.fields(cls):
        make = field.default_factory
        if isinstance(make, type) and hasattr(make, _KIND):
            found[field.name] = str(make.kind)
    return found

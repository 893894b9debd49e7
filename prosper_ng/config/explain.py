"""pydantic's errors, told to the person who wrote the configuration."""

import json
import math
from collections.abc import Iterable
from functools import reduce
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from prosper_ng.config import hints
from prosper_ng.config.canonical import dotted
from prosper_ng.config.mistakes import Mistake, Place, did_you_mean, listing, nearest, quoted
from prosper_ng.config.overrides import as_argument, given_whole
from prosper_ng.config.scalars import means_no_number, means_nothing, meant_bool, meant_number
from prosper_ng.config.spots import Path, Spot, descend, fits, follow, top
from prosper_ng.config.tree import ListNode, MappingNode, Node, ScalarNode, child, plain, walk


def explain(error: ValidationError, root: Node, schema: type) -> list[Mistake]:
    """Every error as a mistake at its place, cascades left out."""
    explainer = _Explainer(root, schema)
    return explainer.mistakes(error, explainer.root)


def explain_given(
    errors: Iterable[ValidationError], missing: Iterable[str], root: MappingNode, schema: type
) -> list[Mistake]:
    """What is wrong with fields that were given one by one: with values that `errors` speak of, names that are no
    fields, and `missing` ones.
    """
    explainer, fields = _Explainer(root, schema), hints.fields_of(schema)
    start = explainer.root
    found = [explainer.unknown_field(start, name) for name in root.items if name not in fields]
    for error in errors:
        found += explainer.mistakes(error, start)
    for name in missing:
        if (start.path, name) not in explainer.guesses:
            message = f"the field {quoted(name)} is needed, {hints.describe(fields[name].hint)}"
            found.append(Mistake(start.key, message, tuple(filter(None, [fields[name].doc]))))
    return found


class _Explainer:
    def __init__(self, root: Node, schema: type) -> None:
        self.schema = schema
        self.root = top(schema, root)
        self.guesses: set[tuple[Path, str]] = set()
        """Fields that an unknown name probably stands for; that they are missing is no news."""

    def mistakes(self, error: ValidationError, start: Spot) -> list[Mistake]:
        """The mistakes of a subtree; `start` is what was validated."""
        details = sorted(error.errors(include_url=False), key=lambda detail: detail["type"] == "missing")
        found: dict[Mistake, None] = {}
        for detail in details:
            found.update(dict.fromkeys(self.mistake(detail, start)))
        return list(found)

    def mistake(self, detail: ErrorDetails, start: Spot) -> list[Mistake]:
        """The mistakes behind one error; an error in a union may stand for several."""
        spot, rest = descend(start, detail["loc"])
        kind = detail["type"]
        if hints.members_of(spot.hint) is not None and rest:
            return self.in_union(spot)
        if rest == ("[key]",):
            return [self.wrong_name(spot)]
        if kind == "unexpected_keyword_argument" and rest:
            return [self.unknown_field(spot, str(rest[0]))]
        if kind == "missing" and rest and hints.is_section(spot.hint):
            return self.missing_field(spot, str(rest[0]))
        if kind == "union_tag_not_found":
            return [Mistake(spot.key, f"{spot.name} needs a `kind`, one of {listing(hints.kinds_of(spot.hint) or ())}")]
        if kind == "union_tag_invalid":
            return [unknown_kind(spot)]
        if kind == "value_error":
            return [Mistake(spot.key, f"{spot.title}: {detail['ctx']['error']}", _choice_notes(spot))]
        if kind == "too_short" and len(plain(spot.node)) != detail["ctx"]["actual_length"]:
            return []  # pydantic counts only the entries that are right, and the wrong ones are reported themselves
        if kind in _SAID_BY_THE_HINT:
            return [must_be(spot)]
        return [Mistake(spot.node.place, f"{spot.name}: {detail['msg']}")]

    def in_union(self, spot: Spot) -> list[Mistake]:
        """What is wrong with the member that the writer evidently chose, else what all members together ask for."""
        members = hints.members_of(spot.hint) or []
        fitting = [member for member in members if not isinstance(spot.node, ScalarNode) and fits(member, spot.node)]
        if len(fitting) == 1:
            try:
                TypeAdapter(fitting[0]).validate_json(json.dumps(plain(spot.node)), strict=True)
            except ValidationError as error:
                return self.mistakes(error, spot._replace(hint=fitting[0]))
        return [must_be(spot)]

    def unknown_field(self, spot: Spot, name: str) -> Mistake:
        """A name that no field has."""
        legal = hints.fields_of(hints.bare(spot.hint))
        guess = nearest(name, legal)
        if guess:
            self.guesses.add((spot.path, guess))
        where = f" in {spot.title}" if spot.path else ""
        notes = [f"legal are {listing(legal)}", *_choice_notes(spot, name)]
        if not guess and name != "kind":
            owners = self.owners(spot, name)
            notes += [f"{quoted(name)} is a field of {listing(owners)}"] if owners else []
        message = f"unknown field {quoted(name)}{where}{did_you_mean(name, legal)}"
        return Mistake(_key(spot, name), message, tuple(notes))

    def missing_field(self, spot: Spot, name: str) -> list[Mistake]:
        """A field without a default that is not given."""
        if (spot.path, name) in self.guesses:
            return []
        field = hints.fields_of(hints.bare(spot.hint))[name]
        notes = [f"{name}: {field.doc}"] if field.doc else []
        message = f"{spot.title} needs the field `{name}`, {hints.describe(field.hint)}"
        return [Mistake(spot.key, message, (*notes, *_choice_notes(spot)))]

    def wrong_name(self, spot: Spot) -> Mistake:
        """A name in a mapping whose names are not free."""
        name = str(spot.path[-1])
        parent = follow(self.root, spot.path[:-1]) or self.root
        wanted = (get_args(hints.bare(parent.narrowed().hint)) or (str,))[0]
        suggestion = did_you_mean(name, hints.literals_of(wanted))
        message = f"a name in {parent.name} must be {hints.describe(wanted)}, not {quoted(name)}{suggestion}"
        return Mistake(spot.key, message)

    def owners(self, spot: Spot, name: str) -> list[str]:
        """Where else in the configuration a field of that name is legal, in words."""
        others = [f"kind {kind}" for kind, cls in (spot.kinds or {}).items() if name in hints.fields_of(cls)]
        if others:
            return others
        found = []
        for section, field in hints.fields_of(self.schema).items():
            classes = {section: hints.bare(field.hint)} if hints.is_section(field.hint) else {}
            for kind, cls in (hints.kinds_of(field.hint) or {}).items():
                classes[f"{section} ({kind})"] = cls
            found += [title for title, cls in classes.items() if name in hints.fields_of(cls)]
        return found


# What is legal follows from the hint alone, so one sentence serves for all of these.
_SAID_BY_THE_HINT = {
    "bool_type", "dataclass_type", "dict_type", "finite_number", "float_type", "frozen_set_type", "greater_than",
    "greater_than_equal", "int_from_float", "int_type", "less_than", "less_than_equal", "list_type", "literal_error",
    "missing", "multiple_of", "none_required", "set_type", "string_too_long", "string_too_short", "string_type",
    "too_long", "too_short", "tuple_type",
}  # fmt: skip


def must_be(spot: Spot) -> Mistake:
    """What is legal at the spot, and what stands there."""
    node = spot.node
    if isinstance(node, ScalarNode) and node.is_empty:
        return Mistake(spot.key, f"{spot.name} is empty; what belongs here is {hints.describe(spot.hint)}")
    message = f"{spot.name} must be {hints.describe(spot.hint)}, not {in_words(node)}{_advice(spot)}"
    place = node.place if isinstance(node, ScalarNode) else spot.key
    return Mistake(place, message)


def unknown_kind(spot: Spot) -> Mistake:
    """A kind that is no component."""
    kinds = hints.kinds_of(spot.hint) or {}
    node = child(spot.node, "kind")
    if not isinstance(node, ScalarNode) or not node.text:
        return Mistake(_key(spot, "kind"), f"the `kind` of {spot.name} must be one of {listing(kinds)}")
    message = f"unknown kind {quoted(node.text)} of {spot.name}{did_you_mean(node.text, kinds)}"
    how_to_add = ("kinds of your own come by --import FILE",) if hints.may_be_added_to(spot.hint) else ()
    return Mistake(node.place, message, (f"legal are {listing(kinds)}", *how_to_add))


def unusable_values(root: Node, schema: type) -> list[Mistake]:
    """A mistake for every value that is left empty, not finite, or a word for null, also where the schema would let it
    pass.

    Nothing is not the same as null: it is what remains when the lines of a section are commented out.
    """
    found: list[Mistake] = []
    for path, node in walk(root):
        if isinstance(node, ScalarNode):
            found += filter(None, [_unusable(path, node, follow(top(schema, root), path))])
    return found


def _unusable(path: Path, node: ScalarNode, spot: Spot | None) -> Mistake | None:
    wanted = _wanted(spot) if spot is not None else []
    if node.is_empty:
        return None if spot is None else must_be(spot)
    if isinstance(node.value, float) and not math.isfinite(node.value):
        if spot is not None and str in wanted and float not in wanted:
            return must_be(spot)  # such as 695e0514, the beginning of a hash
        name = quoted(reduce(dotted, path, ""))
        return Mistake(node.place, f"{name} must be a finite number, not the number {quoted(node.text)}")
    if spot is not None and node.plain and {str, type(None)} <= set(wanted) and means_nothing(node.text):
        message = f"{spot.name} is the text {quoted(node.text)}; write null for none, or put it in quotes"
        return Mistake(node.place, message)
    return None


def _wanted(spot: Spot) -> list[Any]:
    """What may stand there, without constraints."""
    return [hints.bare(member) for member in hints.members_of(spot.hint) or [spot.hint]]


def in_words(node: Node) -> str:
    """The value with its type as YAML sees it."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, ListNode):
        return f"a list of {len(node.items)} entries" if len(node.items) != 1 else "a list of 1 entry"
    if node.value is None:
        return "null"
    if isinstance(node.value, str):
        return f"the text {quoted(node.text) if node.plain else quoted(json.dumps(node.text, ensure_ascii=False))}"
    types = {bool: "the boolean", int: "the integer", float: "the number"}
    return f"{types[type(node.value)]} {quoted(node.text)}"


def _advice(spot: Spot) -> str:
    """How to write what was probably meant."""
    node = spot.node
    members, wanted = hints.members_of(spot.hint) or [spot.hint], _wanted(spot)
    if not isinstance(node, ScalarNode):
        return f"; {_as_text(node)}" if str in wanted and given_whole(node.place) else ""
    if (
        type(None) in wanted
        and isinstance(node.value, str)
        and (means_nothing(node.text) or means_no_number(node.text))
    ):
        return "; write null for none"
    entries = [hints.bare(hints.entry_hint(member, 0)) for member in members if hints.is_open_list(member)]
    if node.value is not None and type(node.value) in entries:
        return f"; write [{node.text}]"
    if isinstance(node.value, str):
        words = [meant_bool(node.text)] if bool in wanted else []
        words += [meant_number(node.text, integer=float not in wanted)] if {int, float} & set(wanted) else []
        for word in words:
            if word is not None:
                return f"; write {word} without quotes" if not node.plain else f"; write {word}"
        return did_you_mean(node.text, hints.literals_of(spot.hint))
    if isinstance(node.value, float) and int in wanted:
        number = meant_number(node.text, integer=True)
        return f"; write {number}" if number else ""
    if str in wanted or node.text in hints.literals_of(spot.hint):
        return f"; {_as_text(node)}"
    return ""


def _as_text(node: Node) -> str:
    """How to write what YAML takes for something else so that it is text: in quotes that no shell takes away."""
    place, text = node.place, node.text if isinstance(node, ScalarNode) else ""
    return f"write {as_argument(place) if given_whole(place) else json.dumps(text, ensure_ascii=False)}"


def _choice_notes(spot: Spot, name: str | None = None) -> tuple[str, ...]:
    """Says so where an override chose the kind of a section that is written elsewhere."""
    kind = child(spot.node, "kind") if spot.kinds is not None else None
    other = spot.key if name is None else _key(spot, name)
    if not isinstance(kind, ScalarNode) or kind.place.source is other.source or kind.place.source.numbered:
        return ()
    section = reduce(dotted, spot.path, "")
    return (
        f"the kind `{kind.text}` was chosen by {kind.place}, the other fields are those of the file;",
        f"to replace the whole section: --set '{section}={{kind: {kind.text}, ...}}'",
    )


def _key(spot: Spot, name: str) -> Place:
    return spot.node.keys.get(name, spot.key) if isinstance(spot.node, MappingNode) else spot.key

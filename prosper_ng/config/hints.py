"""What a type hint of a settings class asks for, in words and as parts."""

import ast
import dataclasses
import inspect
import textwrap
import types
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from annotated_types import GroupedMetadata

from prosper_ng import plugins
from prosper_ng.components import OneOf, components_of


class Field(NamedTuple):
    """One field of a settings class."""

    hint: Any
    required: bool
    name: str
    owner: type
    """The class whose field it is."""

    @property
    def doc(self) -> str:
        """What the class says of it."""
        return _docs_of(self.owner).get(self.name, "")


@cache
def fields_of(cls: type) -> dict[str, Field]:
    """The fields of a settings class by name, in the order of definition."""
    hints = get_type_hints(cls, include_extras=True)
    missing = dataclasses.MISSING
    return {
        field.name: Field(
            hints[field.name], field.default is missing and field.default_factory is missing, field.name, cls
        )
        for field in dataclasses.fields(cls)
        if field.init
    }


@cache
def _docs_of(cls: type) -> dict[str, str]:
    """The string literals that stand below the fields of a class and of its bases; most runs ask for none."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        except (OSError, TypeError, SyntaxError):
            continue  # classes made without a source file have no documented fields
        assert isinstance(body, ast.ClassDef)
        for statement, following in zip(body.body, body.body[1:], strict=False):
            match statement, following:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(doc))):
                    docs[name] = " ".join(doc.split())
    return docs


def bare(hint: Any) -> Any:
    """The hint without its metadata."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def metadata(hint: Any) -> Iterator[Any]:
    """The metadata of an annotated hint, groups such as `Interval` taken apart."""
    for item in hint.__metadata__ if get_origin(hint) is Annotated else ():
        if isinstance(item, GroupedMetadata):
            yield from item
        else:
            yield item


def kinds_of(hint: Any) -> Mapping[str, Any] | None:
    """The component classes by kind where the hint is a choice of components, else None."""
    packages = [item.package for item in metadata(hint) if isinstance(item, OneOf)]
    return components_of(packages[-1]) if packages else None


def may_be_added_to(hint: Any) -> bool:
    """Whether plug-ins may add to the components that the hint is a choice of."""
    packages = {group.package for group in plugins.GROUPS.values()}
    return any(isinstance(item, OneOf) and item.package in packages for item in metadata(hint))


def members_of(hint: Any) -> list[Any] | None:
    """The members of a union, `None` last, else None."""
    if kinds_of(hint) is not None or get_origin(bare(hint)) not in (Union, types.UnionType):
        return None
    members = get_args(bare(hint))
    return sorted(members, key=lambda member: member is type(None))


def is_section(hint: Any) -> bool:
    """Whether the hint is a settings class or a component class."""
    return kinds_of(hint) is None and isinstance(bare(hint), type) and dataclasses.is_dataclass(bare(hint))


def literals_of(hint: Any) -> list[str]:
    """The texts that stand as literals anywhere in a hint for a scalar."""
    members = members_of(hint)
    if members is not None:
        return [text for member in members for text in literals_of(member)]
    values = get_args(bare(hint)) if get_origin(bare(hint)) is Literal else ()
    return [value for value in values if isinstance(value, str)]


def entry_hint(hint: Any, index: int) -> Any:
    """The hint of an entry of a list, None where the hint asks for no list or the list can have no such entry."""
    arguments = get_args(bare(hint)) if is_list(hint) else ()
    if is_open_list(hint):
        return arguments[0]
    return arguments[index] if index < len(arguments) else None


def is_open_list(hint: Any) -> bool:
    """Whether the hint asks for a list of any length with entries of one sort."""
    arguments = get_args(bare(hint)) if is_list(hint) else ()
    return arguments[1:] == (Ellipsis,) or (len(arguments) == 1 and get_origin(bare(hint)) is not tuple)


def is_list(hint: Any) -> bool:
    """Whether the hint asks for a list."""
    return (get_origin(bare(hint)) or bare(hint)) in (tuple, list, set, frozenset)


def is_mapping(hint: Any) -> bool:
    """Whether the hint asks for a mapping with free names."""
    return (get_origin(bare(hint)) or bare(hint)) is dict


def describe(hint: Any) -> str:
    """What the hint asks for, as a noun with its constraints: `an integer greater than 0`."""
    kinds = kinds_of(hint)
    if kinds is not None:
        return f"a kind, one of {', '.join(kinds)}, or a mapping with a `kind` and its settings"
    members = members_of(hint)
    if members is not None:
        words = [describe(member) for member in members if not (member is int and float in members)]
        return (", or " if any("," in word or " with " in word for word in words) else " or ").join(words)
    inner = bare(hint)
    if get_origin(inner) is Literal:
        words = [f"`{str(value).lower() if isinstance(value, bool) else value}`" for value in get_args(inner)]
        return " or ".join(words) if len(words) < 3 else f"one of {', '.join(words)}"
    if is_section(hint):
        return f"a mapping with the fields {', '.join(fields_of(inner))}"
    if is_list(hint) or is_mapping(hint):
        return _container(hint)
    noun = _NOUNS.get(inner) or f"a {getattr(inner, '__name__', inner)}"
    return " ".join([noun, *_limits(hint, "characters")])


_NOUNS = {
    int: "an integer",
    float: "a number",
    str: "text",
    bool: "true or false",
    type(None): "null",
    None: "null",
    Any: "any value",
}

_LIMITS = {
    "gt": "greater than {}",
    "ge": "of at least {}",
    "lt": "less than {}",
    "le": "of at most {}",
    "multiple_of": "that is a multiple of {}",
    "min_length": "of at least {} {unit}",
    "max_length": "of at most {} {unit}",
}


def _limits(hint: Any, unit: str) -> list[str]:
    """The constraints of an annotated hint in words: nothing, or one phrase that follows a noun."""
    bounds = {name: getattr(item, name) for item in metadata(hint) for name in _LIMITS if hasattr(item, name)}
    words = {name: _LIMITS[name].format(bound, unit=unit) for name, bound in bounds.items()}
    if bounds.get("min_length") == 1:
        words["min_length"] = "that is not empty"
    if "ge" in bounds and "le" in bounds:
        words["ge"] = f"from {bounds['ge']} to {bounds['le']}"
        del words["le"]
    return [" and ".join(words.values()).replace(" and of ", " and ")] if words else []


def _container(hint: Any) -> str:
    arguments = get_args(bare(hint))
    noun = " ".join(["a mapping" if is_mapping(hint) else "a list", *_limits(hint, "entries")])
    if not arguments:
        return noun
    if is_mapping(hint):
        return f"{noun} of names ({describe(arguments[0])}) to values ({describe(arguments[1])})"
    if is_open_list(hint):
        return f"{noun}, each entry {describe(arguments[0])}"
    return f"{noun} of {len(arguments)} entries ({'; '.join(describe(entry) for entry in arguments)})"

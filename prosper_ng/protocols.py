"""What a protocol asks for, and what of it a class lacks."""

import inspect
from typing import Any, Protocol


def protocols_of(protocol: Any) -> list[type]:
    """The protocol and those that it extends, itself last."""
    return [
        each for each in reversed(protocol.__mro__) if getattr(each, "_is_protocol", False) and each is not Protocol
    ]


def members_of(protocol: Any) -> list[str]:
    """The names of all that a protocol asks for, in the order of definition."""
    named = [name for each in protocols_of(protocol) for name in (*inspect.get_annotations(each), *vars(each))]
    return [name for name in dict.fromkeys(named) if not name.startswith("_")]


def lacking(cls: Any, protocol: Any) -> list[str]:
    """The members of a protocol that instances of a class do not have, in the order of definition.

    A field without a default is declared, but is no attribute of the class: it counts.
    """
    own = {name for each in cls.__mro__ for name in (*vars(each), *inspect.get_annotations(each))}
    return [name for name in members_of(protocol) if name not in own]

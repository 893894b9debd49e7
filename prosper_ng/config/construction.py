"""Settings that are constructed in Python, held to what a configuration file would be held to, in the same words."""

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError

from prosper_ng import plugins
from prosper_ng.components import VALIDATION
from prosper_ng.config import hints
from prosper_ng.config.explain import explain_given
from prosper_ng.config.kinds import kinds_in, write_out_kinds
from prosper_ng.config.loader import adapter_of
from prosper_ng.config.mistakes import ConfigError, Mistake, Place, SourceText, quoted
from prosper_ng.config.tree import MappingNode, from_plain, plain

_PACKAGE = __name__.partition(".")[0]


def construct(cls: type, initialize: Callable[..., None], instance: object, given: Mapping[str, Any]) -> None:
    """Initialize an instance of a settings class with the values given, lists made tuples and mappings settings.

    Settings among the values are taken as they are: they were held to their own rules when they were constructed.
    Raises ConfigError with all that is wrong.
    """
    values = _legal(cls, given)
    try:
        initialize(instance, **values)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError([_mistake(cls, str(error))]) from None


def _legal(cls: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values as the fields hold them."""
    fields = hints.fields_of(cls)
    parts = {name: value for name, value in given.items() if name in fields and _is_of_parts(value)}
    root = from_plain({name: written(value) for name, value in given.items() if name not in parts}, _source(cls))
    assert isinstance(root, MappingNode)
    write_out_kinds(root, cls)
    found, errors = {name: tuple(value) if isinstance(value, list) else value for name, value in parts.items()}, []
    for name, value in plain(root).items():
        if name in fields:
            try:
                alone: Any = adapter_of(_field_alone(cls, name), kinds_in(value)).validate_json(
                    json.dumps({name: value})
                )
                found[name] = getattr(alone, name)
            except ValidationError as error:
                errors.append(error)
    mistakes = [
        _mistake(cls, sentence) for name in parts for sentence in _misplaced(name, parts[name], fields[name].hint)
    ]
    missing = [name for name, field in fields.items() if field.required and name not in given]
    mistakes += explain_given(errors, missing, root, cls)
    if mistakes:
        raise ConfigError(mistakes)
    return found


@cache
def _field_alone(cls: type, name: str) -> type:
    """A schema for one field, so that the others may hold what no file could say."""
    alone = dataclasses.make_dataclass(cls.__name__, [(name, hints.fields_of(cls)[name].hint)])
    alone.__pydantic_config__ = VALIDATION  # type: ignore[attr-defined]
    return alone


plugins.forget_on_change(_field_alone.cache_clear)


def _is_of_parts(value: object) -> bool:
    """Whether the value is an object with settings of its own, or a list of nothing else."""
    if isinstance(value, list | tuple):
        return bool(value) and all(map(_is_part, value))
    return _is_part(value)


def _is_part(value: object) -> bool:
    return not isinstance(value, type) and (dataclasses.is_dataclass(value) or hasattr(value, "kind"))


def _misplaced(name: str, value: Any, hint: Any) -> Iterator[str]:
    """What is wrong where objects do not belong into a field; those of classes elsewhere are their author's affair."""
    members = hints.members_of(hint) or [hint]
    entries = value if isinstance(value, list | tuple) else [value]
    if isinstance(value, list | tuple):
        members = [hints.entry_hint(member, 0) for member in members if hints.is_list(member)]
    members = [member for member in members if hints.kinds_of(member) is not None or hints.is_section(member)]
    for entry in entries:
        is_own = type(entry).__module__.partition(".")[0] == _PACKAGE
        if not members or (is_own and not any(_takes(member, entry) for member in members)):
            yield f"{quoted(name)} must be {hints.describe(hint)}, not {type(entry).__name__}(...)"


def _takes(hint: Any, entry: Any) -> bool:
    """Whether these settings may be where the hint asks for settings."""
    kinds = hints.kinds_of(hint)
    return isinstance(entry, hints.bare(hint) if kinds is None else kinds.get(getattr(entry, "kind", ""), ()))


def written(value: Any) -> Any:
    """A value as a configuration would say it: numbers of numpy as numbers, arrays as lists, paths as texts."""
    if _is_part(value) and dataclasses.is_dataclass(value):
        return {field.name: written(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, Mapping):
        return {key: written(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [written(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.tolist() if hasattr(value, "tolist") else value


def _source(cls: type) -> SourceText:
    return SourceText(f"{cls.__name__}(...)")


def _mistake(cls: type, message: str) -> Mistake:
    return Mistake(Place(_source(cls), width=0), message)

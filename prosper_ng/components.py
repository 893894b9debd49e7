"""Components: frozen dataclasses that are their own configuration, found by the file they live in.

`models/bsc.py` is `kind: bsc`. A folder of components is its own registry, so a new file is known to the
configuration, to the command line and to the contract tests the moment it exists. Those that live elsewhere are
registered by `plugin`.
"""

import importlib
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING, dataclass, fields
from functools import cache, wraps
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform

from annotated_types import Ge, Le

from prosper_ng import plugins
from prosper_ng.errors import UserError
from prosper_ng.paths import path_of, require_name

T = TypeVar("T")

LARGEST_SEED = (1 << 64) - 1
Seed = Annotated[int, Ge(0), Le(LARGEST_SEED)]
"""What random numbers are drawn from: one word of the key of their generator."""

FORMER_KINDS = {"neighbourhood": "neighborhood"}
"""Kinds by the names they had in earlier versions, which configurations may still say."""

# Read by pydantic when it validates these dataclasses; spelled as a plain mapping so that no layer imports pydantic.
VALIDATION = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

_CONSTRUCTION = "prosper_ng.config.construction"
"""What holds settings made in Python to their rules: above this layer, and imported by the first that have values."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(cls: type[T]) -> type[T]:
    """A frozen keyword-only dataclass whose fields are the fields of one mapping in the YAML file.

    Constructing it raises UserError in the words of the configuration where a value is not legal. What the
    configuration reads has been checked before, and does not pass through here.
    """
    cls.__pydantic_config__ = VALIDATION  # type: ignore[attr-defined]
    return _checked(dataclass(frozen=True, kw_only=True)(cls))


@dataclass_transform(frozen_default=True, kw_only_default=True)
def component(cls: type[T], kind: str | None = None) -> type[T]:
    """Settings that can be chosen by `kind`, which is the name of the file that defines the class."""
    kind = kind or cls.__module__.rpartition(".")[2].removeprefix(plugins.MODULE)
    cls.__annotations__ = {"kind": Literal[kind], **cls.__annotations__}
    cls.kind = kind  # type: ignore[attr-defined]
    cls.__component__ = True  # type: ignore[attr-defined]
    return settings(cls)


def _checked(cls: type[T]) -> type[T]:
    """The class, whose instances cannot be constructed with anything that is not legal."""
    initialize = cls.__init__
    needs_values = any(each.default is MISSING and each.default_factory is MISSING for each in fields(cls))  # type: ignore[arg-type]

    @wraps(initialize)
    def __init__(self: T, *args: Any, **given: Any) -> None:
        if args or not (given or needs_values):
            initialize(self, *args)
        else:
            importlib.import_module(_CONSTRUCTION).construct(cls, initialize, self, given)

    cls.__init__ = __init__  # type: ignore[assignment,method-assign]
    return cls


def legal(cls: type[T], **values: Any) -> T:
    """Settings of values that are known to be legal, made without what checks those that a person gives."""
    made = object.__new__(cls)
    cls.__init__.__wrapped__(made, **values)  # type: ignore[attr-defined]
    return made


def changed(settings: T, **values: Any) -> T:
    """The settings with other values, which are known to be legal; as `dataclasses.replace`, but for the check."""
    kept = {each.name: getattr(settings, each.name) for each in fields(settings)}  # type: ignore[arg-type]
    return legal(type(settings), **kept | values)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def plugin(group: str, kind: str | None = None) -> Callable[[type[T]], type[T]]:
    """Make a class that lives outside this package a component: `@plugin("models")`.

    `group` is models, sources, esteps, variations or tasks; `kind` is the name of the file where not given. The file is
    named to the command by `--import my_model.py`, or is part of an installed package that has an entry point of this
    kind in the group `prosper_ng.models`.
    Raises UserError where there is no such group, the kind exists already, or the class lacks a method.
    """
    if group not in plugins.GROUPS:
        raise UserError(f"plugin({group!r}): there is no such group; legal are {', '.join(plugins.GROUPS)}")

    def added(cls: type[T]) -> type[T]:
        made = component(cls, kind)
        if kind_of(made) in FORMER_KINDS:
            raise UserError(f"{cls.__module__}: kind `{kind_of(made)}` is a former name of another one; choose another")
        plugins.register(group, kind_of(made), made)
        return made

    return added


_wanted: ContextVar[Set[str] | None] = ContextVar("kinds that schemas are made for", default=None)


@contextmanager
def of_kinds(kinds: Set[str] | None) -> Iterator[None]:
    """Have schemas made for these kinds alone, None for all, which have to be imported for it."""
    token = _wanted.set(kinds)
    try:
        yield
    finally:
        _wanted.reset(token)


@dataclass(frozen=True)
class OneOf:
    """Marks a field, in `Annotated[Protocol, OneOf(package)]`: its value is a component of that package, by kind."""

    package: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        """The union of the components, tagged by `kind`; pydantic asks for it in place of the Protocol's schema."""
        known, wanted = components_of(self.package), _wanted.get()
        kinds = known if wanted is None else [kind for kind in sorted(wanted) if kind in known]
        choices = {kind: handler.generate_schema(known[kind]) for kind in kinds}
        choices |= {kind: _refusing(sentence) for kind, sentence in plugins.troubles(self.package).items()}
        return {"type": "tagged-union", "discriminator": "kind", "choices": choices or {"": _refusing("")}}


@dataclass(frozen=True)
class Checked:
    """Marks a field, in `Annotated[type, Checked(check)]`: its value is legal where `check` raises no ValueError."""

    check: Callable[[Any], object]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        """The schema of the type, with the check after it."""
        return {
            "type": "function-after",
            "function": {"type": "no-info", "function": self._checked},
            "schema": handler(source),
        }

    def _checked(self, value: Any) -> Any:
        self.check(value)
        return value


FilePath = Annotated[str, Checked(path_of)]
"""A file or folder as the user writes it; `paths.path_of` makes a path of it."""
Name = Annotated[str, Checked(require_name)]
"""What a run or campaign is called, and the name of its folder."""


@dataclass(frozen=True)
class NotComputedWith:
    """Marks a field, in `Annotated[type, NotComputedWith()]`, that says how far, how often, or where to.

    It may differ between a run and its continuation, and is no part of what a configuration computes.
    """

    unless: Callable[[Any], bool] = lambda _: False
    """Whether it is computed with after all, by the settings that it is a field of."""


def kind_of(part: object) -> str:
    """The kind of a component."""
    return str(part.kind)  # type: ignore[attr-defined]


def _refusing(sentence: str) -> dict[str, Any]:
    """The schema of a kind that cannot be used: who asks for it hears why, and nobody else."""

    def refuse(value: Any) -> Any:
        raise ValueError(sentence)

    return {"type": "function-plain", "function": {"type": "no-info", "function": refuse}}


@cache
def components_of(package: str) -> plugins.Kinds:
    """The component classes of a package by kind: its own in alphabetical order, then those from elsewhere."""
    return plugins.Kinds(package, plugins.added(package))


plugins.forget_on_change(components_of.cache_clear)

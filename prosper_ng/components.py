"""Components: frozen dataclasses that are their own configuration, found by the file they live in.

`models/bsc.py` is `kind: bsc`. A folder of components is its own registry, so a new file is known to the
configuration, to the command line and to the contract tests the moment it exists.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform

from annotated_types import Ge, Le

T = TypeVar("T")

LARGEST_SEED = (1 << 64) - 1
Seed = Annotated[int, Ge(0), Le(LARGEST_SEED)]
"""What random numbers are drawn from: one word of the key of their generator."""

FORMER_KINDS = {"neighbourhood": "neighborhood"}
"""Kinds by the names they had in earlier versions, which configurations may still say."""

# Read by pydantic when it validates these dataclasses; spelled as a plain mapping so that no layer imports pydantic.
_VALIDATION = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(cls: type[T]) -> type[T]:
    """A frozen keyword-only dataclass whose fields are the fields of one mapping in the YAML file."""
    cls.__pydantic_config__ = _VALIDATION  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def component(cls: type[T]) -> type[T]:
    """Settings that can be chosen by `kind`, which is the name of the file that defines the class."""
    kind = cls.__module__.rpartition(".")[2]
    cls.__annotations__ = {"kind": Literal[kind], **cls.__annotations__}
    cls.kind = kind  # type: ignore[attr-defined]
    cls.__component__ = True  # type: ignore[attr-defined]
    return settings(cls)


@dataclass(frozen=True)
class OneOf:
    """Marks a field, in `Annotated[Protocol, OneOf(package)]`: its value is a component of that package, by kind."""

    package: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        """The union of the components, tagged by `kind`; pydantic asks for it in place of the Protocol's schema."""
        choices = {kind: handler.generate_schema(cls) for kind, cls in components_of(self.package).items()}
        return {"type": "tagged-union", "discriminator": "kind", "choices": choices}


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


@cache
def components_of(package: str) -> dict[str, type[Any]]:
    """The component classes of a package by kind, in alphabetical order.

    Modules that start with an underscore, sub-packages, and modules without a component (`interface.py`) are skipped.
    """
    folder = importlib.import_module(package)
    found: dict[str, type[Any]] = {}
    for entry in sorted(pkgutil.iter_modules(folder.__path__), key=lambda entry: entry.name):
        if entry.name.startswith("_") or entry.ispkg:
            continue
        module = importlib.import_module(f"{package}.{entry.name}")
        for value in vars(module).values():
            if isinstance(value, type) and "__component__" in vars(value) and value.__module__ == module.__name__:
                found[entry.name] = value
    return found

"""Configurations that were read, for those who read none themselves, such as the ranks that root sends its own to."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from prosper_ng.config.first_fields import lasting

T = TypeVar("T")


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """A configuration that passed every check."""

    value: T
    """The settings themselves."""
    resolved: dict[str, Any]
    """All of it, defaults included, as plain dicts, lists and scalars; `from_mapping` takes it back."""
    origins: dict[str, str]
    """Where each value of `flatten(resolved)` came from: `run.yaml:12:3`, `--set model.n_latents=64` or `default`."""
    text: str
    """The text of the file."""
    left_open: tuple[str, ...] = ()
    """What is to be found from the data, by dotted name: it is not in `resolved`, and anything legal in `value`."""
    notes: tuple[str, ...] = ()
    """What the log says of how that was found."""

    @cached_property
    def lasting(self) -> dict[str, Any]:
        """What counts for the identity: `resolved` without the options that came later and are not used."""
        return dict(lasting(self.value, self.resolved))

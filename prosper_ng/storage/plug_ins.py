"""What a run keeps of the plug-ins that it uses, and whether they are here, and the same, when it is opened again."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from prosper_ng import plugins
from prosper_ng.components import kind_of
from prosper_ng.errors import UserError

Recorded = Mapping[str, Mapping[str, str]]
"""By name of the plug-in: `made_with`, `kinds`, `sha256`, and of a file its `text`."""


def used_by(settings: Any, texts: bool = False) -> dict[str, dict[str, str]]:
    """The plug-ins that settings use, by name (see `Recorded`); with the texts of files where they are wanted."""
    found: dict[str, dict[str, str]] = {}
    for part in _parts(settings):
        for cls in type(part).__mro__:
            origin = plugins.origin_of(cls)
            if origin is None:
                continue
            kept = found.setdefault(origin.name, {"made_with": origin.made_with, "kinds": "", "sha256": origin.sha256})
            if texts and origin.text:
                kept["text"] = origin.text
            if cls is type(part) and kind_of(part) not in kept["kinds"].split():
                kept["kinds"] = f"{kept['kinds']} {kind_of(part)}".strip()
    return found


def require_here(path: Path, recorded: Recorded) -> None:
    """Raise UserError where the run at `path` needs kinds that are not known here."""
    known = {kind for group in plugins.GROUPS.values() for kind in plugins.added(group.package)}
    for plug_in in recorded.values():
        unknown = [kind for kind in plug_in["kinds"].split() if kind not in known]
        if unknown:
            names = " and ".join(f"`{kind}`" for kind in unknown)
            word = "kind" if len(unknown) == 1 else "kinds"
            raise UserError(f"{path}: this run needs the {word} {names}; it was made with {plug_in['made_with']}")


def changed(recorded: Recorded, settings: Any) -> list[str]:
    """What is not as it was when a run was made, for each plug-in that it used."""
    now = used_by(settings)
    same = {plug_in["sha256"] for plug_in in now.values()}
    return [
        f"the kind {plug_in['kinds']} came from {_told(plug_in)}"
        + "".join(f", and comes from {_told(each)} now" for each in now.values() if each["kinds"] == plug_in["kinds"])
        for plug_in in recorded.values()
        if plug_in["sha256"] not in same
    ]


def _told(plug_in: Mapping[str, str]) -> str:
    return f"{plug_in['made_with'].removeprefix('--import ')} (SHA-256 {plug_in['sha256'][:12]})"


def _parts(value: Any) -> Iterator[Any]:
    """All settings and components within settings."""
    if is_dataclass(value) and not isinstance(value, type):
        yield value
        for field in fields(value):
            yield from _parts(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _parts(item)

"""Resolved configurations as flat names and values: what they are, and in what two of them differ."""

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from prosper_ng.config.scalars import resolve

_BARE_NAME = re.compile(r"[^.=\"'\[\]{}\s]+")
_BARE_TEXT = re.compile(r"[A-Za-z_./~][A-Za-z0-9_./+-]*(?: [A-Za-z0-9_./+-]+)*", re.ASCII)


def flatten(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The values by dotted name. A list is one value unless it holds mappings; so is an empty mapping."""
    flat: dict[str, Any] = {}

    def add(name: str, value: Any) -> None:
        entries = entries_of(value)
        if entries is None:
            flat[name] = value
        else:
            for key, item in entries:
                add(dotted(name, key), item)

    add("", resolved)
    return flat


def entries_of(value: Any) -> list[tuple[str, Any]] | None:
    """The named parts of a mapping or of a list that holds mappings, None for what counts as one value."""
    if isinstance(value, Mapping) and value:
        return list(value.items())
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        return [(str(index), item) for index, item in enumerate(value)]
    return None


def dotted(name: str, key: str | int) -> str:
    """The name of a part, as `--set` takes it: in quotes where the key itself holds dots and the like."""
    shown = str(key) if _BARE_NAME.fullmatch(str(key)) else json.dumps(key, ensure_ascii=False)
    return f"{name}.{shown}" if name else shown


def identity(resolved: Mapping[str, Any], ignore: Collection[str] = ()) -> str:
    """SHA-256, in hexadecimal, of what a resolved configuration says apart from the ignored fields and sections.

    It does not depend on the order of names; every float counts with all its bits.
    """
    kept = _without(resolved, frozenset(ignore), "")
    return hashlib.sha256(_canonical(kept).encode()).hexdigest()


def differences(a: Mapping[str, Any], b: Mapping[str, Any], ignore: Collection[str] = ()) -> list[str]:
    """One line, such as `model.n_latents: 64 -> 128`, for each value that differs; ignored as in `identity`."""
    before, after = (flatten(_without(side, frozenset(ignore), "")) for side in (a, b))
    lines = []
    for name in [*before, *(name for name in after if name not in before)]:
        shown = [inline(side[name]) if name in side else "absent" for side in (before, after)]
        same = name in before and name in after and _canonical(before[name]) == _canonical(after[name])
        if not same:
            lines.append(f"{name}: {shown[0]} -> {shown[1]}")
    return lines


def _without(value: Any, ignore: frozenset[str], name: str) -> Any:
    """The value without what is ignored below it."""
    if isinstance(value, Mapping):
        items = ((key, item, dotted(name, key)) for key, item in value.items())
        return {key: _without(item, ignore, full_name) for key, item, full_name in items if full_name not in ignore}
    if isinstance(value, list | tuple):
        return [_without(item, ignore, dotted(name, index)) for index, item in enumerate(value)]
    return value


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def inline(value: Any) -> str:
    """The value in YAML 1.2, on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{inline(key)}: {inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(inline(item) for item in value) + "]"
    if isinstance(value, str) and _BARE_TEXT.fullmatch(value) and isinstance(resolve(value), str):
        return value
    escaped = json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped)

"""A resolved configuration as YAML that tells where every value came from."""

from collections.abc import Mapping
from typing import Any

from prosper_ng.config.canonical import dotted, entries_of, inline
from prosper_ng.config.mistakes import printable
from prosper_ng.config.scalars import means_nothing


def annotated_yaml(resolved: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    """The configuration in YAML, each value followed by its origin as a comment; reading it gives the same again."""
    rows: list[tuple[str, str]] = []
    _add(rows, resolved, origins, "", 0)
    width = min(60, max((len(text) for text, origin in rows if origin), default=0))
    return "\n".join(f"{text:<{width}}  # {printable(origin)}" if origin else text for text, origin in rows)


def _add(rows: list[tuple[str, str]], value: Any, origins: Mapping[str, str], name: str, depth: int) -> None:
    """Append lines for the parts of a mapping or list, as pairs of text and origin."""
    indent = "  " * depth
    for key, item in entries_of(value) or ():
        full_name = dotted(name, key)
        label = f"{inline(key)}:" if isinstance(value, Mapping) else "-"
        if entries_of(item) is None:
            rows.append((f"{indent}{label} {_shown(item)}", origins.get(full_name, "")))
            continue
        start = len(rows)
        _add(rows, item, origins, full_name, depth + 1)
        if isinstance(value, Mapping):
            rows.insert(start, (indent + label, ""))
        else:
            first, origin = rows[start]
            rows[start] = (f"{indent}- {first[len(indent) + 2 :]}", origin)


def _shown(value: Any) -> str:
    """As `inline`, and in quotes where a reader may ask whether nothing is meant by a word."""
    return f'"{value}"' if isinstance(value, str) and means_nothing(value) else inline(value)

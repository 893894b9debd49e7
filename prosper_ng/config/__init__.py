"""Strict YAML to settings classes: errors that point, overrides, identity, and a schema for editors.

Knows no model and no field; what is legal is what the settings class says.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prosper_ng.config.canonical import differences, flatten, identity
    from prosper_ng.config.editor_schema import json_schema
    from prosper_ng.config.listing import annotated_yaml
    from prosper_ng.config.loaded import Loaded
    from prosper_ng.config.loader import from_mapping, load
    from prosper_ng.config.mistakes import ConfigError, SourceText

__all__ = [
    "ConfigError",
    "Loaded",
    "SourceText",
    "annotated_yaml",
    "differences",
    "flatten",
    "from_mapping",
    "identity",
    "json_schema",
    "load",
]
_MODULES = {
    "canonical": ("differences", "flatten", "identity"),
    "editor_schema": ("json_schema",),
    "listing": ("annotated_yaml",),
    "loaded": ("Loaded",),
    "loader": ("from_mapping", "load"),
    "mistakes": ("ConfigError", "SourceText"),
}
"""Where the names are defined; imported when they are used, for ranks that read no configuration need no pydantic."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

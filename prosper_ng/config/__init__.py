"""Strict YAML to settings classes: errors that point, overrides, identity, and a schema for editors.

Knows no model and no field; what is legal is what the settings class says.
"""

from prosper_ng.config.canonical import differences, flatten, identity
from prosper_ng.config.editor_schema import json_schema
from prosper_ng.config.listing import annotated_yaml
from prosper_ng.config.loader import Loaded, from_mapping, load
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

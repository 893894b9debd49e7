"""JSON Schema of a settings class, for editors that check and complete YAML while it is written."""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from prosper_ng.config.hints import fields_of


def json_schema(schema: type) -> dict[str, Any]:
    """JSON Schema (2020-12) of a settings class: fields, limits, defaults, descriptions, and what each `kind` takes."""
    found = TypeAdapter(schema).json_schema(schema_generator=_Generator) | {"$schema": _Generator.schema_dialect}
    if hasattr(schema, "schema_of_left_open"):
        _need_unless(found, *schema.schema_of_left_open())
    return found


def kind_is(kind: str) -> dict[str, Any]:
    """The schema of a component of that kind."""
    return {"properties": {"kind": {"const": kind}}, "required": ["kind"]}


def _need_unless(found: dict[str, Any], condition: dict[str, Any], names: Sequence[str]) -> None:
    """Have some fields, by dotted name, needed only where a configuration does not meet a condition."""
    otherwise: dict[str, Any] = {"required": [], "properties": {}}
    for name in names:
        section, _, field = name.rpartition(".")
        if not section:
            found["required"].remove(field)
            otherwise["required"].append(field)
            continue
        rules = otherwise["properties"].setdefault(section, {"allOf": []})["allOf"]
        choice = found["properties"][section]
        choice = choice if "discriminator" in choice else choice["anyOf"][-1]
        for kind, reference in choice["discriminator"]["mapping"].items():
            component = found["$defs"][reference.rpartition("/")[2]]
            if field in component.get("required", ()):
                component["required"].remove(field)
                rules.append({"if": kind_is(kind), "then": {"required": [field]}})
    found |= {"if": condition, "else": otherwise}


class _Generator(GenerateJsonSchema):
    """Adds what pydantic does not know of: the texts below the fields, and that a component is named by its kind."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never: a title derived from the name of the field says nothing new."""
        return False

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """A choice of components; those that need no settings may be a plain word."""
        result = super().tagged_union_schema(schema)
        words = [kind for kind, choice in schema["choices"].items() if _needs_nothing(choice)]
        return {"anyOf": [{"enum": words}, result]} if words else result

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        """The schema of one settings or component class."""
        cls: Any = schema["cls"]
        result = super().dataclass_schema(schema)
        for name, field in fields_of(cls).items():
            if field.doc:
                result["properties"][name]["description"] = field.doc
        result["description"] = _summary(cls)
        if "__component__" in vars(cls):
            result["properties"]["kind"].pop("default", None)
            result["properties"]["kind"]["description"] = result["description"]
            result["required"] = ["kind", *result.get("required", [])]
        return result


def _needs_nothing(choice: Any) -> bool:
    """Whether the component of a choice can do with its defaults."""
    while "cls" not in choice and "schema" in choice:
        choice = choice["schema"]
    return "cls" in choice and not any(field.required for field in fields_of(choice["cls"]).values())


def _summary(cls: type) -> str:
    """The first paragraph of the class's own docstring; a dataclass without one only gets its signature from Python."""
    doc = cls.__doc__ or ""
    return "" if doc.startswith(f"{cls.__name__}(") else " ".join(doc.split("\n\n")[0].split())

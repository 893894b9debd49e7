import json

import pytest
from config_example.drawing import Drawing
from jsonschema import Draft202012Validator

from prosper_ng.config import json_schema
from prosper_ng.config.hints import describe, fields_of
from prosper_ng.experiments.run_config import RunConfig

SCHEMA = json_schema(Drawing)


def definition(name):
    return SCHEMA["$defs"][name]


def test_it_is_plain_json_of_a_named_dialect():
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_fields_carry_limits_defaults_and_descriptions():
    assert definition("Circle")["properties"]["n_segments"] == {
        "type": "integer", "minimum": 3, "maximum": 360, "default": 36,
        "description": "Straight lines it is drawn with.",
    }  # fmt: skip
    assert definition("Circle")["properties"]["line"] == {
        "type": "string", "enum": ["solid", "dashed", "none"], "default": "solid",
    }  # fmt: skip
    assert definition("Circle")["properties"]["filled"] == {"type": "boolean", "default": False}
    assert SCHEMA["properties"]["canvas"]["description"] == "What it is drawn on."
    assert SCHEMA["required"] == ["title", "shape"]


def test_unknown_fields_are_refused_everywhere():
    assert all(section["additionalProperties"] is False for section in [SCHEMA, *SCHEMA["$defs"].values()])


def test_components_are_told_apart_by_kind():
    choice = SCHEMA["properties"]["shape"]
    assert choice["discriminator"]["propertyName"] == "kind"
    assert sorted(option["$ref"] for option in choice["oneOf"]) == [
        "#/$defs/Circle", "#/$defs/Group", "#/$defs/Polygon",
    ]  # fmt: skip
    for name in ("Circle", "Group", "Polygon"):
        assert definition(name)["properties"]["kind"]["const"] == name.lower()
        assert "default" not in definition(name)["properties"]["kind"]
        assert definition(name)["required"][0] == "kind"
    assert definition("Group")["properties"]["members"]["items"]["oneOf"] == choice["oneOf"]
    assert "kind" not in definition("Canvas")["properties"]


def test_classes_are_described_by_what_is_written_about_them():
    assert definition("Circle")["description"] == "All points at one distance."
    assert "Canvas(" not in definition("Canvas").get("description", "")


def test_fields_know_their_documentation_and_whether_they_must_be_given():
    fields = fields_of(Drawing)
    assert [name for name, field in fields.items() if field.required] == ["title", "shape"]
    assert fields["shape"].doc == "What is drawn."
    assert fields["note"].doc == ""


@pytest.mark.parametrize("name", fields_of(Drawing))
def test_every_hint_can_be_told_in_words(name):
    words = describe(fields_of(Drawing)[name].hint)
    assert words
    assert not any(sign in words for sign in ("typing", "Annotated", "<", "NoneType"))


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ({"task": "restore"}, []),
        ({"task": {"kind": "restore"}, "model": {"kind": "gsc"}}, []),
        ({}, ["model", "patch_size"]),
        ({"task": "restore", "data": {"kind": "bars"}}, ["model"]),
        ({"model": {"kind": "gsc"}}, ["n_latents", "patch_size"]),
        ({"model": {"kind": "gsc", "n_latents": 4}, "data": {"kind": "image", "image": "a", "patch_size": 4}}, []),
    ],
)
def test_what_a_picture_tells_is_needed_of_others_only(changes, lacking):
    config = {"name": "x", "data": {"kind": "image", "image": "a.png"}} | changes
    messages = [error.message for error in Draft202012Validator(json_schema(RunConfig)).iter_errors(config)]
    assert sorted(each.split("'")[1] for each in messages if "is a required property" in each) == lacking

"""Whatever a person may hand over gives either settings or a ConfigError that can be printed."""

import pytest
from config_example.drawing import Drawing
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prosper_ng.config import ConfigError, SourceText, from_mapping, load

TEXT = """\
title: &t A drawing  # of two shapes
shape:
  kind: group
  members:
    - {kind: circle, radius: 2, filled: true}
    - kind: polygon
      corners: [[0, 0], [0, 1.5], [1, 0]]
canvas: {size: [640, 480], margin: {left: 3}}
tracks: {speed: [[0, 1], ["start", 2.5e-1]]}
note: *t
"""
OVERRIDES = ["shape.members.0.radius=3", "canvas={size: [1, 2]}", "extra.a.b=[x, {y: null}]"]
SPICE = [
    *("\t", "\n", "  ", ":", ": ", "- ", "#", "'", '"', "[", "]", "{", "}", "*", "&a ", "!!str ", "<<: ", "---\n", "%"),
    *("|", ">", "?", "no", "012", "1e999", ".nan", "\\", "\0", "\ufeff", "\x85", "数", "=", ".", "null", "kind: "),
]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = [
    *("title", "copies", "shape", "canvas", "opacity", "note", "weights", "tracks", "fade", "limits", "tags", "extra"),
    *("kind", "radius", "members", "corners", "size", "margin", "left"),
]
VALUES = st.sampled_from([None, True, 0, -1, 1.5, float("inf"), 10**30, "", "circle", "group", "polygon", "x"])
nearly_right = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=30,
)


def settings_or_explanation(read):
    try:
        value = read().value
    except ConfigError as error:
        explained(error)
    else:
        assert isinstance(value, Drawing)


def explained(error):
    """Each mistake is one sentence, and the whole can be printed anywhere."""
    assert error.mistakes
    assert all(mistake.message and "\n" not in mistake.message for mistake in error.mistakes)
    assert ": error: " in str(error).encode().decode()


@st.composite
def spoiled(draw, text):
    """The text with a few pieces deleted, inserted, repeated or moved."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + draw(st.sampled_from([*SPICE, "", text[start:stop] * 2])) + text[stop:]
    return text


@settings(max_examples=200, deadline=None)
@given(spoiled(TEXT))
def test_spoiled_files(text):
    settings_or_explanation(lambda: load(SourceText("a.yaml", text), Drawing))


@settings(deadline=None)
@given(st.text())
@example("a: &x [*x]")
@example("? ? a")
@example("- - - -")
@example("{a: {b: }}")
@example('"\\x00": 1')
@example("!!binary x: 1")
@example("%TAG ! x\n---\n!y a: b")
@example("\u2028\ufeff- \x85: a")
def test_any_text(text):
    settings_or_explanation(lambda: load(SourceText("a.yaml", text), Drawing))


@settings(deadline=None)
@given(content=st.binary() | st.text().map(lambda text: text.encode("utf-16")))
def test_any_bytes(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(content)
    settings_or_explanation(lambda: load(path, Drawing))


@settings(deadline=None)
@given(st.dictionaries(st.text(), anything, max_size=5) | st.dictionaries(st.sampled_from(FIELDS), nearly_right))
def test_any_mapping(mapping):
    settings_or_explanation(lambda: from_mapping(mapping, Drawing))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text() | st.sampled_from(OVERRIDES).flatmap(spoiled), max_size=3))
def test_any_overrides(overrides):
    settings_or_explanation(lambda: load(SourceText("a.yaml", TEXT), Drawing, overrides))


@settings(deadline=None)
@given(st.lists(st.sampled_from(FIELDS) | st.integers(0, 3).map(str), min_size=1, max_size=5), VALUES)
def test_overrides_of_any_path(path, value):
    override = f"{'.'.join(path)}={value}"
    settings_or_explanation(lambda: load(SourceText("a.yaml", TEXT), Drawing, [override]))


@pytest.mark.parametrize("overrides", [[], OVERRIDES])
def test_what_is_spoiled_above_is_valid(overrides):
    assert load(SourceText("a.yaml", TEXT), Drawing, overrides).value.note == "A drawing"

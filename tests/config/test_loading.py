import dataclasses
import json
import os
import pickle

import pytest
from config_example.drawing import Canvas, Drawing, Margin
from config_example.shapes.circle import Circle
from config_example.shapes.group import Group
from config_example.shapes.polygon import Polygon

from prosper_ng.config import ConfigError, SourceText, from_mapping, load
from prosper_ng.errors import UserError

TEXT = """\
# A drawing
title: Two shapes
shape:
  kind: group
  members:
    - {kind: circle, radius: 2}
    - kind: polygon
      corners: [[0, 0], [0, 1.5], [1, 0]]
canvas:
  size: [0x10, 20]
  margin: {left: 3}
tracks:
  speed: [[0, 1], [start, 2.5]]
fade: [[0, 1], [0.0, 2], [1e0, 3]]
"""


def drawing(text=TEXT, *overrides):
    return load(SourceText("drawing.yaml", text), Drawing, overrides)


def minimal(*overrides, extra=""):
    return drawing("title: A\nshape: {kind: circle, radius: 2}\n" + extra, *overrides)


def message(text, *overrides):
    with pytest.raises(ConfigError) as caught:
        drawing(text, *overrides)
    return str(caught.value)


def test_values_become_settings():
    corners = ((0.0, 0.0), (0.0, 1.5), (1.0, 0.0))
    assert drawing().value == Drawing(
        title="Two shapes",
        shape=Group(members=(Circle(radius=2.0), Polygon(corners=corners))),
        canvas=Canvas(size=(16, 20), margin=Margin(left=3.0)),
        tracks={"speed": ((0.0, 1.0), ("start", 2.5))},
        fade=((0, 1.0), (0.0, 2.0), (1.0, 3.0)),
    )
    assert drawing().value.shape.area() == pytest.approx(3.141592653589793 * 4 + 0.75)


def test_integers_and_floats_stay_apart_where_both_are_legal():
    assert [type(position) for position, _ in drawing().value.fade] == [int, float, float]
    assert [position for position, _ in from_mapping(drawing().resolved, Drawing).value.fade] == [0, 0.0, 1.0]
    assert [type(position) for position, _ in from_mapping(drawing().resolved, Drawing).value.fade] == [
        int, float, float,
    ]  # fmt: skip


def test_settings_stay_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        drawing().value.title = "B"


def test_resolved_holds_everything_as_plain_data():
    resolved = minimal().resolved
    assert json.loads(json.dumps(resolved)) == resolved
    assert resolved["shape"] == {
        "kind": "circle", "radius": 2.0, "n_segments": 36, "filled": False, "line": "solid",
    }  # fmt: skip
    assert list(resolved) == [field.name for field in dataclasses.fields(Drawing)]


def test_defaults_are_resolved_as_if_they_were_written():
    assert json.dumps(minimal().resolved["opacity"]) == "1.0"
    assert minimal().resolved == minimal("opacity=1", "canvas={margin: null}", "copies=1").resolved


@pytest.mark.parametrize("text", [TEXT, TEXT + "opacity: 1e-3\nextra: {a: [1, {b: null}], c: x}\n"])
def test_a_resolved_mapping_reads_back_as_the_same(text):
    loaded = drawing(text)
    again = from_mapping(json.loads(json.dumps(loaded.resolved)), Drawing)
    assert again.value == loaded.value
    assert again.resolved == loaded.resolved


def test_origins_name_every_value():
    origins = drawing(TEXT, "shape.members.0.radius=7", "canvas.size.1=5", "note=hello").origins
    assert origins["title"] == "drawing.yaml:2:8"
    assert origins["shape.members.0.kind"] == "drawing.yaml:6:14"
    assert origins["shape.members.0.radius"] == "--set shape.members.0.radius=7"
    assert origins["shape.members.0.filled"] == "default"
    assert origins["shape.members.1.corners"] == "drawing.yaml:8:16"
    assert origins["canvas.size"] == "drawing.yaml:10:9, --set canvas.size.1=5"
    assert origins["canvas.margin.left"] == "drawing.yaml:11:18"
    assert origins["canvas.margin.right"] == "default"
    assert origins["note"] == "--set note=hello"
    assert origins["weights"] == "default"


def test_origin_of_an_alias_is_its_use():
    origins = minimal(extra="tags: &t [a]\nextra: {more: *t}\n").origins
    assert origins["tags"] == "drawing.yaml:3:7"
    assert origins["extra.more"] == "drawing.yaml:4:15"


def test_the_text_is_kept():
    assert drawing().text == TEXT


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("copies=7", "copies", 7),
        ("copies=0x10", "copies", 16),
        ("title='12'", "title", "12"),
        ('title="a=b"', "title", "a=b"),
        ("title=a=b", "title", "a=b"),
        ("title=no", "title", "no"),
        ("note=null", "note", None),
        ("note=''", "note", ""),
        ("opacity=1e-3", "opacity", 0.001),
        ("canvas.size=[1, 2]", "canvas.size", (1, 2)),
        ("canvas={size: [1, 2]}", "canvas.size", (1, 2)),
        ("canvas.margin.left=1", "canvas.margin", Margin(left=1.0)),
        ("weights.a=1", "weights", {"a": 1.0}),
        ('weights."a.b"=1', "weights", {"a.b": 1.0}),
        ("weights.'1'=2", "weights", {"1": 2.0}),
        ("shape.filled=true", "shape.filled", True),
        ("shape={kind: circle, radius: 9}", "shape.radius", 9.0),
    ],
)
def test_overrides(override, path, value):
    found = minimal(override).value
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value


def test_the_last_override_wins():
    assert minimal("copies=2", "copies=3").value.copies == 3
    assert minimal("canvas.size=[1, 2]", "canvas.size.0=5").value.canvas.size == (5, 2)


def test_an_override_fills_an_empty_section():
    assert minimal("canvas.size=[1, 2]", extra="canvas:\n").value.canvas.size == (1, 2)


def test_an_override_replaces_the_kind_with_the_section():
    shape = minimal("shape={kind: polygon, corners: [[0, 0], [0, 1], [1, 0]]}").value.shape
    assert isinstance(shape, Polygon)


def test_an_override_changes_one_use_of_an_alias_only():
    value = minimal("extra.b.x=2", extra="extra: {a: &a {x: 1}, b: *a}\n").value
    assert value.extra == {"a": {"x": 1}, "b": {"x": 2}}


def test_an_alias_bomb_is_refused():
    levels = "".join(f"  {chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(12))
    assert "more than 20000 values" in message(f"extra:\n  a: &a [x, x, x, x, x, x, x, x, x]\n{levels}")


@pytest.mark.parametrize("text", ["extra: " + "[" * 10**5, "extra: " + "{a: " * 10**4, "- " * 10**4])
def test_deep_nesting_is_refused(text):
    assert "nested more than 32 levels deep" in message(text)


def test_deep_nesting_through_aliases_is_refused():
    lines = ["extra:", "  a0: &a0 [x]", *(f"  a{i}: &a{i} [[[*a{i - 1}]]]" for i in range(1, 50))]
    assert "nested more than 32 levels deep" in message("\n".join(lines))


def test_many_values_are_refused():
    assert "more than 20000 values" in message("extra: {a: [" + "1," * 25_000 + "]}")


def test_all_errors_come_at_once_in_the_order_of_reading():
    places = [line.split(": error")[0] for line in message(
        "copies: x\ntitel: A\nshape: {kind: circle, radius: 0}\nopacity: 3\n", "note=3", "copies=y"
    ).splitlines() if ": error" in line]  # fmt: skip
    assert places == ["drawing.yaml:2:1", "drawing.yaml:3:31", "drawing.yaml:4:10", "--set note=3", "--set copies=y"]


def test_many_errors_are_cut_short():
    text = "title: A\nshape: {kind: circle, radius: 1}\n" + "".join(f"unknown_{i}: 1\n" for i in range(50))
    assert message(text).count(": error: ") == 20
    assert message(text).endswith("and 30 more errors")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x85", "\u2028"])
def test_lines_are_counted_whatever_ends_them(end):
    assert message(end.join(["# first", "title: A", "copies: x", "shape: {kind: circle, radius: 1}"])).startswith(
        "drawing.yaml:3:9: error: `copies` must be an integer of at least 0, not the text `x`\n    3 | copies: x\n"
    )


def test_config_errors_are_user_errors_that_travel_between_ranks():
    with pytest.raises(UserError) as caught:
        drawing("copies: x")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.exit_status == 2


def test_a_stored_mapping_is_checked_too():
    with pytest.raises(ConfigError, match=r"^runs/a/run\.h5: error: unknown field `copys`; did you mean `copies`\?"):
        from_mapping({**minimal().resolved, "copys": 2}, Drawing, "runs/a/run.h5")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"x", r"`extra\.a` is a value \(bytes\)"),
        (object(), "object"),
        ({1: 2}, "names are text"),
        ("\ud800", "str"),
        (10**5000, "int"),
        (float("nan"), "finite"),
    ],
    ids=["bytes", "object", "name", "surrogate", "huge", "nan"],
)
def test_a_mapping_holds_nothing_but_configuration(value, words):
    with pytest.raises(ConfigError, match=words):
        from_mapping({**minimal().resolved, "extra": {"a": value}}, Drawing)


def test_a_mapping_that_holds_itself_is_refused():
    endless = {"title": "A"}
    endless["extra"] = endless
    with pytest.raises(ConfigError, match="nested more than 32 levels"):
        from_mapping(endless, Drawing)


def test_files(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("title: Größe\nshape: {kind: circle, radius: 1}\n", encoding="utf-8-sig")
    assert load(path, Drawing).value.title == "Größe"
    assert load(str(path), Drawing).origins["title"] == f"{path}:1:8"


def file_error(path):
    with pytest.raises(ConfigError) as caught:
        load(path, Drawing)
    return str(caught.value)


def test_a_missing_file_names_its_neighbor(tmp_path):
    (tmp_path / "denoise.yaml").write_text("")
    wrong, right = tmp_path / "denoize.yaml", tmp_path / "denoise.yaml"
    assert file_error(wrong) == f"{wrong}: error: there is no such file; did you mean `{right}`?"
    assert file_error(tmp_path / "no" / "x.yaml") == f"{tmp_path}/no/x.yaml: error: there is no such file"


def test_a_folder_is_no_file(tmp_path):
    assert file_error(tmp_path) == f"{tmp_path}: error: this is a folder; a configuration is a YAML file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("title: A")
    path.chmod(0)
    assert file_error(path) == f"{path}: error: no permission to read this file"


@pytest.mark.parametrize("name", ["a\0b.yaml", "x" * 5000, "a/" * 3000])
def test_names_that_no_file_can_have(name):
    assert ": error: " in file_error(name)


def test_a_file_in_another_encoding(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes("title: A\nnote: für\n".encode("latin-1"))
    assert file_error(path).splitlines() == [
        f"{path}:2:8: error: this is not UTF-8 text (byte 0xfc, `ü` on older systems); save the file as UTF-8",
        "    2 | note: f",
        "      |        ^",
    ]


def test_a_huge_file(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"# " + b"x" * (1 << 20))
    assert "larger than 1 MiB" in file_error(path)


def test_a_character_that_cannot_be_printed():
    assert message("title: A\nnote: a\x07b\n").splitlines() == [
        "drawing.yaml:2:8: error: a character that cannot be printed (U+0007) stands here",
        "    2 | note: a b",
        "      |        ^",
    ]


@pytest.mark.parametrize("text", ['title: "\\U00110000"', "%YAML 1.a\n---\ntitle: A", '"\\UFFFFFFFF": 1'])
def test_escapes_and_directives_of_nothing(text):
    assert ": error: " in message(text)

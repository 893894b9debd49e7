import copy
import hashlib

import pytest
from config_example.drawing import Drawing
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prosper_ng.config import SourceText, annotated_yaml, differences, flatten, from_mapping, identity, load
from prosper_ng.experiments.run_config import RunConfig

BASE = {"title": "A", "shape": {"kind": "circle", "radius": 1}}

numbers = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(min_size=1).filter(lambda text: "\0" not in text and text.isprintable())
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
positive = st.floats(min_value=1e-300, allow_infinity=False)
circles = st.fixed_dictionaries(
    {"kind": st.just("circle"), "radius": positive},
    optional={"n_segments": st.integers(3, 360), "filled": st.booleans()},
)
shapes = st.recursive(
    circles,
    lambda inner: st.fixed_dictionaries({"kind": st.just("group"), "members": st.lists(inner, max_size=3)}),
    max_leaves=5,
)
drawings = st.fixed_dictionaries(
    {"title": texts.filter(bool), "shape": shapes},
    optional={
        "copies": st.integers(0, 10**20),
        "opacity": st.floats(0, 1),
        "note": st.none() | texts,
        "weights": st.dictionaries(texts, numbers, max_size=3),
        "tracks": st.dictionaries(texts, st.lists(st.tuples(numbers | texts, numbers), max_size=3), max_size=2),
        "fade": numbers | st.lists(st.tuples(st.integers(-100, 100) | numbers, numbers), max_size=3),
        "extra": st.none() | st.dictionaries(texts, anything, max_size=3),
    },
)


def resolved(**changes):
    return from_mapping({**BASE, **changes}, Drawing).resolved


@settings(deadline=None)
@given(drawings)
def test_any_valid_mapping_survives_storage(mapping):
    loaded = from_mapping(mapping, Drawing)
    again = from_mapping(loaded.resolved, Drawing)
    assert again.value == loaded.value
    assert identity(again.resolved) == identity(loaded.resolved)
    assert differences(loaded.resolved, again.resolved) == []


@settings(deadline=None)
@given(drawings)
@example({"title": "Nil", "shape": {"kind": "group", "members": []}, "note": "NONE"})
def test_the_listing_reads_back_as_the_same_configuration(mapping):
    loaded = from_mapping(mapping, Drawing)
    again = load(SourceText("again.yaml", annotated_yaml(loaded.resolved, loaded.origins)), Drawing)
    assert identity(again.resolved) == identity(loaded.resolved)


@settings(deadline=None)
@given(drawings)
def test_every_value_has_an_origin(mapping):
    loaded = from_mapping(mapping, Drawing)
    assert set(loaded.origins) == set(flatten(loaded.resolved))
    assert set(loaded.origins.values()) <= {"the stored configuration", "default"}


@settings(deadline=None)
@given(drawings, drawings)
def test_identities_are_equal_exactly_where_nothing_differs(a, b):
    a, b = (from_mapping(mapping, Drawing).resolved for mapping in (a, b))
    assert (identity(a) == identity(b)) == (differences(a, b) == [])


def test_the_listing_shows_values_and_origins():
    loaded = load(
        SourceText("d.yaml", "title: '12'\nshape:\n  kind: group\n  members: [{kind: circle, radius: 1}]\n"),
        Drawing,
        ["tags=[a, 'no', 'b: c', ok]", "weights={a.b: 1}"],
    )
    assert annotated_yaml(loaded.resolved, loaded.origins).splitlines() == [
        'title: "12"                # d.yaml:1:8',
        "copies: 1                  # default",
        "shape:",
        "  kind: group              # d.yaml:3:9",
        "  members:",
        "    - kind: circle         # d.yaml:4:20",
        "      radius: 1.0          # d.yaml:4:36",
        "      n_segments: 36       # default",
        "      filled: false        # default",
        "      line: solid          # default",
        "canvas:",
        "  size: [640, 480]         # default",
        "  background: white        # default",
        "  margin: null             # default",
        "opacity: 1.0               # default",
        "note: null                 # default",
        "weights:",
        "  a.b: 1.0                 # --set weights={a.b: 1}",
        "tracks: {}                 # default",
        "fade: 0.0                  # default",
        "limits: {}                 # default",
        "tags: [a, no, \"b: c\", ok]  # --set tags=[a, 'no', 'b: c', ok]",
        "extra: null                # default",
    ]


def test_identity_is_that_of_canonical_json():
    assert (
        identity({"b": [1, 0.1], "a": {"d": None, "c": "ü"}})
        == hashlib.sha256(b'{"a":{"c":"\\u00fc","d":null},"b":[1,0.1]}').hexdigest()
    )


def test_identity_forgets_the_order_and_what_is_ignored():
    a = {"x": 1, "out": {"folder": "f", "keep": 2}, "y": {"p": 1, "q": 2}}
    b = {"y": {"q": 2, "p": 5}, "out": {"folder": "g"}, "x": 1}
    assert identity(a) != identity(b)
    assert identity(a, ignore=("out", "y.p")) == identity(b, ignore=("out", "y.p"))
    assert identity(a, ignore=("out", "p")) != identity(b, ignore=("out", "p"))


@pytest.mark.parametrize(
    ("a", "b"), [(0.1, 0.1 + 2**-56), (1, 1.0), (1, True), (0.0, -0.0), (None, 0), ("1", 1), ([], {}), ([1], 1)]
)
def test_identity_tells_values_apart(a, b):
    assert identity({"x": a}) != identity({"x": b})
    assert len(differences({"x": a}, {"x": b})) == 1


def test_differences_are_one_line_for_each_value():
    a = resolved(opacity=0.5, tags=["a", "b"], weights={"u": 1})
    b = resolved(opacity=0.25, tags=["a", "c"], weights={"v": 1}, shape={"kind": "group"})
    assert differences(a, b) == [
        "shape.kind: circle -> group",
        "shape.radius: 1.0 -> absent",
        "shape.n_segments: 36 -> absent",
        "shape.filled: false -> absent",
        "shape.line: solid -> absent",
        "opacity: 0.5 -> 0.25",
        "weights.u: 1.0 -> absent",
        "tags: [a, b] -> [a, c]",
        "shape.members.0.kind: absent -> circle",
        "shape.members.0.radius: absent -> 1.0",
        "shape.members.0.n_segments: absent -> 36",
        "shape.members.0.filled: absent -> false",
        "shape.members.0.line: absent -> solid",
        "weights.v: absent -> 1.0",
    ]
    assert differences(a, b, ignore=("shape", "weights", "tags")) == ["opacity: 0.5 -> 0.25"]


def test_nothing_is_changed_by_asking():
    a = resolved()
    before = copy.deepcopy(a)
    identity(a, ("shape.radius",))
    differences(a, a, ("shape.radius",))
    assert a == before


def test_names_that_hold_dots_are_told_apart():
    a, b = {"x": {"a.b": 1, "a": {"b": 2}}}, {"x": {"a.b": 2, "a": {"b": 2}}}
    assert flatten(a) == {'x."a.b"': 1, "x.a.b": 2}
    assert differences(a, b) == ['x."a.b": 1 -> 2']


@pytest.mark.parametrize("kind", ["neighborhood", "neighbourhood"])
def test_a_kind_that_was_renamed_goes_by_both_names_and_keeps_its_identity(kind):
    variation = {"kind": kind, "n_candidates": 3}
    loaded = from_mapping(
        {
            "estep": {"kind": "search", "variations": [variation]},
            "name": "a",
            "data": {"kind": "bars"},
            "model": {"kind": "bsc", "n_latents": 4},
        },
        RunConfig,
    )
    assert loaded.resolved["estep"]["variations"][0]["kind"] == "neighborhood"
    assert loaded.lasting["estep"]["variations"][0]["kind"] == "neighbourhood"

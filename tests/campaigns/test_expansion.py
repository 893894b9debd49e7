"""The laws of products, zips, lists, draws and sums."""

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prosper_ng.campaigns.campaign_config import Block, CampaignConfig, Random, Range
from prosper_ng.campaigns.expansion import MOST_POINTS, canonical, expand, same

KEYS = [f"model.k{number}" for number in range(4)]
VALUES = st.lists(
    st.one_of(st.integers(-9, 9), st.text("abc", max_size=2), st.booleans()),
    min_size=1,
    max_size=4,
    unique_by=canonical,
)


def axes(keys):
    return st.dictionaries(st.sampled_from(keys), VALUES.map(tuple), min_size=1)


def points(**parts):
    """The points of a campaign as plain values, which must be without fault."""
    found = expand(CampaignConfig(name="x", **parts))
    assert not found.faults
    return [{key: cell.value for key, cell in point.items()} for point in found.points]


def faults(**parts):
    return [fault.message for fault in expand(CampaignConfig(name="x", **parts)).faults]


def as_set(found):
    return {canonical(point) for point in found}


@given(axes(KEYS))
def test_a_grid_is_all_combinations_each_once_and_the_last_axis_varies_fastest(grid):
    found = points(grid=grid)
    assert len(found) == len(as_set(found)) == prod(map(len, grid.values()))
    assert all(point.keys() == grid.keys() and all(point[key] in grid[key] for key in grid) for point in found)
    last = list(grid)[-1]
    assert [point[last] for point in found[: len(grid[last])]] == list(grid[last])


@given(st.integers(1, 5), st.integers(1, 3))
def test_a_zip_goes_along_its_axes_together(length, n_axes):
    columns = {KEYS[axis]: tuple(f"{axis}{row}" for row in range(length)) for axis in range(n_axes)}
    assert points(zip=columns) == [{key: values[row] for key, values in columns.items()} for row in range(length)]


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), st.integers(0, 3)), min_size=1, max_size=5))
def test_a_list_is_its_points(entries):
    assert points(list=tuple(entries)) == entries


@given(axes(KEYS[:2]), axes(KEYS[2:]), st.lists(st.fixed_dictionaries({"a.b": st.integers()}), min_size=1, max_size=3))
def test_parts_of_a_block_multiply(grid, other, entries):
    columns = {key: values[:1] * 2 for key, values in other.items()}
    found = points(grid=grid, zip=columns, list=tuple(entries))
    alone = [points(grid=grid), points(zip=columns), points(list=tuple(entries))]
    assert len(found) == prod(map(len, alone))
    assert found == [a | b | c for a in alone[0] for b in alone[1] for c in alone[2]]


@given(st.lists(axes(KEYS), min_size=1, max_size=3), axes(["a.b"]))
def test_blocks_of_a_sum_add_and_the_sum_multiplies(grids, outer):
    blocks = tuple(Block(grid=grid) for grid in grids)
    added = [point for grid in grids for point in points(grid=grid)]
    assert points(sum=blocks) == added
    assert points(sum=blocks, grid=outer) == [a | b for a in points(grid=outer) for b in added]


@given(axes(KEYS), st.data())
def test_exclude_removes_exactly_what_has_all_its_values(grid, data):
    everything = points(grid=grid)
    victim = data.draw(st.sampled_from(everything))
    keys = data.draw(st.lists(st.sampled_from(list(victim)), min_size=1, unique=True))
    partial = {key: victim[key] for key in keys}
    kept = [point for point in everything if not all(same(point[key], partial[key]) for key in keys)]
    if kept:
        assert points(grid=grid, exclude=(partial,)) == kept
    else:
        assert faults(grid=grid, exclude=(partial,)) == ["all points are excluded; there is nothing to run"]


RANGES = st.builds(
    lambda low, width, scale, integer: Range(low=float(low), high=float(low + width), scale=scale, integer=integer),
    st.integers(1, 50), st.integers(1, 1000), st.sampled_from(["linear", "log"]), st.booleans(),
)  # fmt: skip


@given(st.integers(0, 9), st.integers(1, 20), st.integers(0, 20), RANGES)
def test_more_draws_keep_the_first_ones_and_all_lie_in_their_range(seed, n_points, n_more, source):
    def drawn(n):
        return points(seed=seed, random=Random(n_points=n, axes={"a.b": source, "c.d": ("x", "y")}))

    found = drawn(n_points + n_more)
    assert found[:n_points] == drawn(n_points)
    assert all(source.low <= point["a.b"] <= source.high and point["c.d"] in ("x", "y") for point in found)
    assert all(isinstance(point["a.b"], int) == source.integer for point in found)


def test_draws_fill_their_range_evenly_on_their_scale():
    def share_below(middle, **source):
        found = points(random=Random(n_points=2000, axes={"a.b": Range(**source)}))
        return sum(point["a.b"] < middle for point in found) / len(found)

    assert share_below(50.5, low=1.0, high=100.0) == pytest.approx(0.5, abs=0.05)
    assert share_below(10.0, low=1.0, high=100.0, scale="log") == pytest.approx(0.5, abs=0.05)
    assert share_below(2, low=1.0, high=4.0, integer=True) == pytest.approx(0.25, abs=0.05)


def test_other_seeds_draw_others():
    random = Random(n_points=5, axes={"a.b": Range(low=0.0, high=1.0)})
    assert points(random=random, seed=1) != points(random=random, seed=2)


def test_a_campaign_without_blocks_is_one_point():
    assert points() == [{}]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"grid": {}}, "`grid` has no axes; give some keys with their values"),
        ({"zip": {"a": (1, 2), "b": (1,)}}, "the axes of a zip are of one length, but `a` has 2 and `b` 1"),
        ({"grid": {"a": (1,)}, "zip": {"a": (2,)}}, "the axis `a` is given twice in what is combined"),
        ({"grid": {"a": (1,)}, "sum": (Block(list=({"a": 2},)),)}, "the axis `a` is given twice in what is combined"),
        ({"grid": {"a": (2, 2.0)}}, "the axis `a` has the value 2.0 twice"),
        (
            {"grid": {"a": (1,), "a.b": (1,)}},
            "the axis `a.b` lies in the axis `a` of the same points; give one of them",
        ),
        ({"sum": (Block(),)}, "a block needs some of grid, zip, list, random"),
        ({"grid": {"a": (1,)}, "exclude": ({"a": 2},)}, "no point has these values, so this excludes nothing"),
        ({"grid": {"a": (1, 2)}, "exclude": ({"b": 2},)}, "`b` is no axis, so this excludes nothing; the axes are a"),
        ({"grid": {"a": (1,)}, "exclude": ({},)}, "this names no values to exclude"),
        ({"grid": {"a": tuple(range(400)), "b": tuple(range(400))}}, f"this makes more than {MOST_POINTS:,} points"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(parts, message):
    assert faults(**parts) == [message]


def test_one_is_not_true_but_two_is_two_point_zero():
    assert same(2, 2.0)
    assert same([1, "a"], [1, "a"])
    assert not same(1, True)
    assert not same("1", 1)


@pytest.mark.parametrize(
    "wrong",
    [{"low": 2.0, "high": 2.0}, {"low": 0.0, "high": 1.0, "scale": "log"}, {"low": 0.5, "high": 2.0, "integer": True}],
)
def test_an_empty_range_is_refused(wrong):
    with pytest.raises(ValueError, match=r"low|bounds"):
        Range(**wrong)

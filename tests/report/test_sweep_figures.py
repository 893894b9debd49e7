"""Figures over swept axes: the right runs, told apart in the right way, at the right places."""

import numpy as np
import pytest
from PIL import Image

from prosper_ng.campaigns.results import ResultTable
from prosper_ng.drawing.style import SERIES, drawn
from prosper_ng.errors import UserError
from prosper_ng.report.sweep_figures import draw, draw_sweep, labels_of, panels_of, shortened, sweep_of


def table(rows, axes, measures=("psnr",)):
    """A table of runs: mappings with the axes, the measures and, unless they have finished, the state."""
    columns = {"id": [f"{n:012x}" for n in range(len(rows))]}
    columns |= {axis: [row[axis] for row in rows] for axis in axes}
    columns["state"] = [row.get("state", "finished") for row in rows]
    columns |= {name: np.array([row.get(name, np.nan) for row in rows], dtype=float) for name in measures}
    return ResultTable(columns, tuple(axes), tuple(measures))


def product(**axes):
    """All combinations of the values, twice, each with a measure of its own."""
    rows = [{}]
    for name, values in axes.items():
        rows = [{**row, name: value} for row in rows for value in values]
    return [{**row, "psnr": float(n)} for n, row in enumerate(2 * rows)]


def test_runs_of_one_place_are_taken_together_and_unfinished_ones_left_out():
    rows = [{"S": S, "psnr": psnr} for S, psnr in ((20, 1.0), (10, 4.0), (20, 3.0), (10, np.nan))]
    rows += [{"S": 10, "psnr": 100.0, "state": state} for state in ("running", "failed", "stopped", "lost")]
    sweep = sweep_of(table(rows, ["S"]), "S", "psnr")
    (series,) = sweep.series
    assert [(x, y.tolist()) for x, y in sweep.groups(series)] == [(10.0, [4.0]), (20.0, [1.0, 3.0])]
    assert (sweep.names, sweep.by, sweep.pooled, series.label) == ((), (), (), "")
    assert sweep.is_telling


def test_what_rounding_tells_apart_is_not_drawn(tmp_path):
    rows = [{"S": S, "psnr": -300.0 + 1e-13 * S, "sigma": 1e-14 * S} for S in (1, 2, 3)]
    found = table(rows, ["S"], ["psnr", "sigma"])
    assert not sweep_of(found, "S", "psnr").is_telling
    assert [path.name for path in draw_sweep(found, tmp_path)] == ["S-sigma.png"]


@pytest.mark.parametrize("values", [[4, 6], ["a", "b"]])
def test_axes_have_units(values):
    rows = [{"data.patch_size": value, "psnr": float(n)} for n, value in enumerate(values)]
    with drawn(600, 400) as figure:
        axes = figure.add_subplot()
        draw(axes, sweep_of(table(rows, ["data.patch_size"]), "data.patch_size", "psnr"))
        assert {axes.get_xlabel(), axes.get_ylabel()} == {"psnr (dB)", "data.patch_size (pixels)"}


def test_other_axes_tell_series_apart_as_long_as_they_are_few():
    few = sweep_of(table(product(S=[1, 2], model=["a", "b"], noise=[5, 6, 7]), ["S", "model", "noise"]), "S", "psnr")
    assert few.by == ("model", "noise")
    assert [series.label for series in few.series] == ["a, 5", "a, 6", "a, 7", "b, 5", "b, 6", "b, 7"]
    many = product(S=[1, 2], noise=range(9), model=["a", "b"], constant=["c"])
    sweep = sweep_of(table(many, ["S", "noise", "model", "constant"]), "S", "psnr")
    assert (sweep.by, sweep.pooled) == (("model",), ("noise",))
    assert [len(series.y) for series in sweep.series] == [36, 36]
    alone = sweep_of(table(product(S=[1, 2], noise=range(9)), ["S", "noise"]), "S", "psnr")
    assert (alone.by, alone.pooled, len(alone.series)) == ((), ("noise",), 1)


def test_what_series_do_not_tell_apart_makes_panels():
    rows = product(S=[1, 2], noise=range(9), model=["a", "b"], image=["x", "y", "z"])
    for row in rows:
        row["psnr"] = row["S"] + 100.0 * "xyz".index(row["image"]) + 1000.0 * row["noise"]
    panels = panels_of(table(rows, ["S", "noise", "model", "image"]), "S", "psnr")
    assert [(panel.title, panel.by, panel.pooled) for panel in panels] == [
        (f"image: {image}", ("model",), ("noise",)) for image in "xyz"
    ]
    assert [panel.series[0].y.max() for panel in panels] == [8002.0, 8102.0, 8202.0]
    (single,) = panels_of(table(product(S=[1, 2], noise=range(9)), ["S", "noise"]), "S", "psnr")
    assert (single.title, single.pooled) == ("", ("noise",))


def test_a_series_that_a_panel_lacks_leaves_its_color_to_the_others(tmp_path):
    rows = [
        row for row in product(S=[1, 2], model=list("abc"), image=list("xyz")) if row["model"] + row["image"] != "az"
    ]
    found = table(rows, ["S", "model", "image"])
    panels = panels_of(found, "S", "psnr")
    labels = [series.label for panel in panels for series in panel.series]
    with drawn(600, 400) as figure:
        axes = figure.add_subplot()
        draw(axes, panels[-1], sorted(set(labels)))
        colors = {container.get_label(): container.lines[0].get_color() for container in axes.containers}
    assert colors == {"b": SERIES[1], "c": SERIES[2]}
    (path,) = draw_sweep(found, tmp_path, "S", "psnr")
    with Image.open(path) as picture:
        assert picture.width > 3 * 600


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([{"kind": "bsc", "n": 1}, {"kind": "tsc", "n": 1}, {"kind": "bsc", "n": 1}], ["bsc", "tsc", "bsc"]),
        ([{"kind": "bsc", "n": 1}, {"kind": "bsc", "n": 2}], ["{kind: bsc, n: 1}", "{kind: bsc, n: 2}"]),
        (["../runs/a.yaml", "b.yml"], ["a", "b"]),
        (["x/a.yaml", "y/a.yaml"], ["x/a.yaml", "y/a.yaml"]),
        ([True, None, [1, 2.5]], ["true", "null", "[1, 2.5]"]),
    ],
)
def test_names_are_short_where_that_tells_them_apart(values, labels):
    assert labels_of(values) == labels


def test_long_names_lose_their_middle():
    assert shortened("short", 9) == "short"
    assert shortened("a-rather-long-name", 9) == "a-r…-name"


def drawing(sweep, look):
    with drawn(600, 400) as figure:
        axes = figure.add_subplot()
        draw(axes, sweep)
        figure.draw_without_rendering()
        return look(axes)


def test_means_and_deviations_are_where_they_belong():
    rows = [{"S": S, "psnr": psnr} for S, psnr in ((10, 1.0), (10, 3.0), (40, 5.0), (20, 7.0), (20, 8.0), (20, 12.0))]

    def look(axes):
        (bars,) = axes.containers
        line, _, (lines,) = bars.lines
        return (
            line.get_xydata().tolist(),
            [np.ptp(path[:, 1]) / 2 for path in lines.get_segments() if len(path) == 2],
            axes.get_xscale(),
        )

    means, deviations, scale = drawing(sweep_of(table(rows, ["S"]), "S", "psnr"), look)
    assert means == [[10, 2], [20, 9], [40, 5]]
    assert deviations == pytest.approx([2**0.5, 7**0.5])
    assert scale == "linear"


@pytest.mark.parametrize(
    ("values", "scale"),
    [([1, 2, 4, 8, 16], "log"), (range(1, 11), "linear"), ([0, 1, 10, 100], "linear"), ([1e-3, 1e-2, 1], "log")],
)
def test_numbers_that_grow_by_factors_are_drawn_so(values, scale):
    sweep = sweep_of(table(product(S=values), ["S"]), "S", "psnr")
    assert drawing(sweep, lambda axes: axes.get_xscale()) == scale


@pytest.mark.parametrize(("n_runs", "n_lines"), [(400, 2), (401, 1)])
def test_dots_are_left_out_where_they_would_be_a_cloud(n_runs, n_lines):
    rows = [{"S": n % 2, "psnr": 1.0 + n} for n in range(n_runs)]

    def look(axes):
        return sum(line.get_marker() == "o" for line in axes.lines)

    assert drawing(sweep_of(table(rows, ["S"]), "S", "psnr"), look) == n_lines


def test_names_are_rows_in_their_order():
    sweep = sweep_of(table(product(kind=["b", "a", "$x^$ <i>"], S=[1, 2]), ["kind", "S"]), "kind", "psnr")
    assert sweep.names == ("b", "a", "$x^$ <i>")

    def look(axes):
        labels = [label.get_text() for label in axes.get_yticklabels()]
        return labels, axes.yaxis_inverted(), [bars.lines[0].get_color() for bars in axes.containers]

    assert drawing(sweep, look) == (["b", "a", "$x^$ <i>"], True, list(SERIES[:2]))


def test_a_picture_for_each_axis_and_measure_that_differ(tmp_path):
    rows = [
        {**row, "same": 1.0, "sigma": row["psnr"] ** 2} for row in product(**{"model.H": [1, 2], "a/b": ["x", "y"]})
    ]
    made = table([{**row, "one": 7} for row in rows], ["model.H", "a/b", "one"], ["psnr", "same", "sigma"])
    drawn_to = draw_sweep(made, tmp_path / "new")
    names = ["model.H-psnr.png", "model.H-sigma.png", "a_b-psnr.png", "a_b-sigma.png"]
    assert drawn_to == [tmp_path / "new" / name for name in names]
    assert all(Image.open(path).size == (1100, 700) for path in drawn_to)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(names)
    assert draw_sweep(made, tmp_path, "one", "same") == [tmp_path / "one-same.png"]


def test_what_cannot_be_drawn_is_said(tmp_path):
    made = table(product(S=[1, 2]), ["S"])
    with pytest.raises(UserError, match="the campaign has no axis 'H'; it has S"):
        draw_sweep(made, tmp_path, "H")
    with pytest.raises(UserError, match="the campaign has no measure 'ssim'; it has psnr"):
        draw_sweep(made, tmp_path, None, "ssim")
    unfinished = table([{"S": 1, "psnr": 1.0, "state": "running"}], ["S"])
    assert draw_sweep(unfinished, tmp_path) == []
    with pytest.raises(UserError, match="there is nothing to draw of any measure over S"):
        draw_sweep(unfinished, tmp_path, "S")
    assert list(tmp_path.iterdir()) == []

"""The page of a campaign: what was swept, what came out, what failed."""

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from prosper_ng.campaigns.plan import CampaignPlan, by_point
from prosper_ng.campaigns.results import ResultTable, summarise
from prosper_ng.campaigns.run_state import BROKEN, STATES, RunState
from prosper_ng.drawing.style import SERIES, THEME, drawn, svg
from prosper_ng.drawing.units import measure_in_full, setting_in_full
from prosper_ng.progress import duration_in_full
from prosper_ng.report.page import NAME, render, require_packages
from prosper_ng.report.sweep_figures import Sweep, draw, labels_of, labels_of_series, panels_of, shown

_N_MEASURES = 3
"""Plots of so many are shown for each axis; those of the others are folded away."""
_CHART = (600, 400)
_ROW = 46
"""Pixels that a name or a series of it takes on the vertical axis."""


class Cell(NamedTuple):
    """One entry of a table."""

    text: str
    number: float | None = None
    """What it is sorted by; None for texts and what is not known."""
    link: str | None = None
    state: str | None = None


class Grid(NamedTuple):
    """A table; the first cell of each row is its name."""

    columns: list[tuple[str, bool]]
    """Names, and whether they hold numbers."""
    rows: list[list[Cell]]


class Plot(NamedTuple):
    """A chart with its legend."""

    measure: str
    title: str
    """What it shows the measure for, where that is apart."""
    svg: str
    by: str
    legend: list[tuple[str, str]]
    """Variables of the style sheet, and texts."""
    note: str


class Trouble(NamedTuple):
    """A run that did not finish."""

    run: Cell
    title: str
    state: str
    done: str
    reason: str
    advice: str


def campaign_page(plan: CampaignPlan, run_states: Sequence[RunState], table: ResultTable, path: Path) -> str:
    """The page as HTML, to be written to `path`, from which its links lead; UserError where a package is missing."""
    require_packages()
    links = {run.id: _link(run.folder, path) for run in plan.runs}
    troubles = [
        Trouble(
            Cell(run.id, link=links[run.id]), run.title, each.state, _done(run.n_sweeps, each), each.reason, each.advice
        )
        for run, each in zip(plan.runs, run_states, strict=True)
        if each.state != "finished"
    ]
    counts = Counter[str](each.state for each in run_states)
    return render(
        "campaign.html",
        title=plan.name,
        kind="campaign",
        sentence=_sentence(plan),
        states=[(state, counts[state], 100 * counts[state] / len(plan.runs)) for state in STATES if counts[state]],
        runs=_runs(table, links),
        points=_points(table, links),
        plots=_plots(table),
        failed=[each for each in troubles if each.state in BROKEN],
        unfinished=[each for each in troubles if each.state not in BROKEN],
        text=_text_of(plan.path),
        file=str(plan.path),
    )


def _sentence(plan: CampaignPlan) -> str:
    n_runs, n_points = len(plan.runs), len(by_point(plan.runs))
    runs = "1 run" if n_runs == 1 else f"{n_runs:,} runs"
    points = "1 point" if n_points == 1 else f"{n_points:,} points"
    axes = f" that differ in {_listed(plan.axes)}" if plan.axes else ""
    return f"{runs} of {points}{axes}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _link(folder: Path, path: Path) -> str | None:
    """The way from the page at `path` to that of the run in a folder; None where there is none."""
    page = folder / NAME
    return quote(Path(os.path.relpath(page, path.parent)).as_posix()) if page.is_file() else None


def _done(n_sweeps: int, run_state: RunState) -> str:
    return f"{0 if run_state.status is None else run_state.status.iteration:,} of {n_sweeps:,}"


def _runs(table: ResultTable, links: dict[str, str | None]) -> Grid:
    """One row a run."""
    names = [*table.axes, "repeat", "state", *table.measures, "seed"]
    columns = [("run", False), *((name, _is_numeric(table.columns[name])) for name in names)]
    rows, values = [], _brief(table)
    for row, run in enumerate(table.columns["id"]):
        cells = [_cell(name, values[name][row]) for name in names]
        rows.append([Cell(str(run), link=links.get(str(run))), *cells])
    return Grid(columns, rows)


def _points(table: ResultTable, links: dict[str, str | None]) -> Grid | None:
    """One row a point, with mean and standard deviation; None where no point has several runs."""
    points, measures = summarise(table), table.measures
    if len(points.columns["n_runs"]) == 0 or max(points.columns["n_runs"]) < 2:
        return None
    columns = [(axis, _is_numeric(points.columns[axis])) for axis in points.axes] or [("point", False)]
    columns += [("finished", True), *((name, True) for name in measures)]
    columns += [(f"best by {measures[0]}", False)] if measures else []
    rows, values = [], _brief(points)
    for row, n_runs in enumerate(points.columns["n_runs"]):
        finished = int(points.columns["n_finished"][row])
        cells = [_cell(axis, values[axis][row]) for axis in points.axes] or [Cell("all")]
        cells.append(Cell(f"{finished} of {n_runs}", finished))
        for name in measures:
            mean, spread = (float(points.columns[f"{name}_{which}"][row]) for which in ("mean", "std"))
            cells.append(_spread(name, mean, spread))
        if measures:
            best = str(points.columns[f"{measures[0]}_best"][row])
            cells.append(Cell(best, link=links.get(best)))
        rows.append(cells)
    return Grid(columns, rows)


def _brief(table: ResultTable) -> dict[str, Any]:
    """The columns, with short names for values of axes that are no numbers."""
    columns = table.columns
    return columns | {axis: labels_of(columns[axis]) for axis in table.axes if not _is_numeric(columns[axis])}


def _is_numeric(values: Any) -> bool:
    return all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in values)


def _cell(name: str, value: Any) -> Cell:
    if name == "state":
        return Cell(str(value), state=str(value))
    if isinstance(value, float | np.floating):
        return Cell(_number(name, float(value)), float(value)) if np.isfinite(value) else Cell("")
    number = float(value) if isinstance(value, int | np.integer) and not isinstance(value, bool) else None
    return Cell(shown(value), number)


def _spread(name: str, mean: float, spread: float) -> Cell:
    if not np.isfinite(mean):
        return Cell("")
    deviation = f" ± {_number(name, spread, '.2g')}" if np.isfinite(spread) else ""
    return Cell(f"{_number(name, mean, '.5g')}{deviation}", mean)


def _number(name: str, value: float, digits: str = ".6g") -> str:
    if name == "elapsed":
        return duration_in_full(value)
    return f"{value:{digits}}".replace("-", "−")


def _plots(table: ResultTable) -> list[tuple[str, list[Plot], list[Plot]]]:
    """Axes with what is shown and what is folded away: the measures that differ from run to run, as the axis does."""
    found, count = [], itertools.count()
    for axis in table.axes:
        each = (panels_of(table, axis, measure) for measure in table.measures)
        telling = [panels for panels in each if any(panel.is_telling for panel in panels)]
        plots = [[_plot(panel, panels, next(count)) for panel in panels] for panels in telling]
        if plots:
            first, folded = (list(itertools.chain(*part)) for part in (plots[:_N_MEASURES], plots[_N_MEASURES:]))
            found.append((axis, first, folded))
    return found


def _plot(sweep: Sweep, panels: Sequence[Sweep], number: int) -> Plot:
    """A chart of one of the panels of a measure."""
    labels = labels_of_series(panels)
    with drawn(_CHART[0], max(_CHART[1], 120 + _ROW * sweep.n_rows), layout="constrained") as figure:
        axes = figure.add_subplot()
        draw(axes, sweep, labels)
        if not sweep.names:
            axes.set_ylabel("")  # the title of the chart says it
        picture = svg(figure, f"sweep-{number}", _alternative(sweep))
    by = ", ".join(sweep.by)
    legend = [(THEME[SERIES[labels.index(series.label)]], series.label) for series in sweep.series if by]
    note = f"Over all of {_listed(sweep.pooled)}." if sweep.pooled else ""
    return Plot(measure_in_full(sweep.measure), sweep.title, picture, by, legend, note)


def _alternative(sweep: Sweep) -> str:
    """The means in words."""
    parts = []
    for series in sweep.series:
        means = []
        for x, y in sweep.groups(series):
            place = sweep.names[int(x)] if sweep.names else f"{x:g}"
            means.append(f"{y.mean():.4g} at {place}")
        parts.append(f"{series.label}: {', '.join(means)}" if series.label else ", ".join(means))
    apart = f", {sweep.title}" if sweep.title else ""
    axis = setting_in_full(sweep.axis)
    return f"Mean of {measure_in_full(sweep.measure)} over {axis}{apart}. {'; '.join(parts)}"


def _text_of(path: Path) -> str:
    """The campaign's file; nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    except OSError:
        return ""

"""Figures of a campaign: a measure over a swept axis, from its collected table."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.config.canonical import inline
from prosper_ng.drawing.style import SERIES, drawn, save
from prosper_ng.drawing.units import measure_in_full, setting_in_full
from prosper_ng.errors import UserError
from prosper_ng.models.rounding import is_rounding

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from prosper_ng.campaigns.results import ResultTable

Floats = NDArray[np.float64]

_MOST_SERIES = len(SERIES)
_MOST_TICKS = 7
_MOST_DOTS = 400
_LONGEST_LABEL = 22
_MOST_PANELS = 6
_SIZE = (1100, 700)
_PANEL = 700
"""Pixels across a panel where there are several."""
_ROW = 56
"""Pixels that a name or a series of it takes on the vertical axis."""


class Series(NamedTuple):
    """Runs that differ in nothing but the axis and what is pooled."""

    label: str
    x: Floats
    """Values of the axis; of names their place in `Sweep.names`."""
    y: Floats


class Sweep(NamedTuple):
    """A measure over an axis."""

    axis: str
    measure: str
    names: tuple[str, ...]
    """The values of an axis that is not numeric; empty where it is."""
    by: tuple[str, ...]
    """The axes that tell the series apart."""
    series: tuple[Series, ...]
    pooled: tuple[str, ...]
    """Axes whose values are not told apart."""
    title: str = ""
    """The one value that another axis has in all runs, where that is asked for."""

    @property
    def n_rows(self) -> int:
        """How many rows of a chart the names of the axis take, with their series; 0 where it is numeric."""
        return len(self.names) * (1 + len(self.series) // 2)

    @property
    def is_telling(self) -> bool:
        """Whether both the axis and the measure differ from run to run, by more than rounding."""
        x, y = (np.concatenate([each[place] for each in self.series] or [np.zeros(1)]) for place in (1, 2))
        return bool(np.ptp(x) > 0 and not is_rounding(np.ptp(y), np.abs(y).max()))

    def groups(self, series: Series) -> list[tuple[float, Floats]]:
        """The values of a series, ascending, each with what was measured there."""
        return [(float(x), series.y[series.x == x]) for x in np.unique(series.x)]


def draw_sweep(table: "ResultTable", folder: Path, axis: str | None = None, measure: str | None = None) -> list[Path]:
    """Draw AXIS-MEASURE.png for each axis and each measure that differ from run to run, or for those that are named.

    The mean and the standard deviation over runs, and every run as a dot; comes back with the files written. Raises
    UserError where there is no such axis or measure, or nothing to draw of it, or matplotlib is missing.
    """
    axes = _chosen(axis, table.axes, "axis")
    measures = _chosen(measure, table.measures, "measure")
    written = []
    for each, name in product(axes, measures):
        panels = panels_of(table, each, name)
        if panels and ((axis and measure) or any(panel.is_telling for panel in panels)):
            path = folder / (re.sub(r"[^\w.+-]+", "_", f"{each}-{name}") + ".png")
            _draw_panels(panels, path)
            written.append(path)
    if not written and (axis or measure):
        raise UserError(
            f"there is nothing to draw of {measure or 'any measure'} over {axis or 'any axis'}: "
            "no runs have finished that differ in it"
        )
    return written


def panels_of(table: "ResultTable", axis: str, measure: str) -> list[Sweep]:
    """A measure over an axis; apart for each value of one more axis, where series do not tell all axes apart.

    That is the one with up to 6 values over which the measure varies most. Empty where there is nothing to draw.
    """
    whole = sweep_of(table, axis, measure)
    values = {name: list(dict.fromkeys(labels_of(table.columns[name]))) for name in whole.pooled}
    candidates = [name for name in whole.pooled if len(values[name]) <= _MOST_PANELS]
    if not candidates:
        return [whole] if whole.series else []
    apart = {name: [sweep_of(table, axis, measure, (name, value)) for value in values[name]] for name in candidates}
    panels = max(apart.values(), key=_spread_between)
    return [panel for panel in panels if panel.series]


def sweep_of(table: "ResultTable", axis: str, measure: str, only: tuple[str, str] | None = None) -> Sweep:
    """A measure over an axis, of the finished runs; those without the measure are left out.

    The other axes tell series apart, all of them where that makes 7 series or fewer, else the first one that does.
    `only` is an axis and the label of its value that runs must have.
    """
    y = np.asarray(table.columns[measure], dtype=np.float64)
    places = list(table.columns[axis])
    states = table.columns["state"]
    chosen = [True] * len(y) if only is None else [label == only[1] for label in labels_of(table.columns[only[0]])]
    kept = [row for row in range(len(y)) if chosen[row] and states[row] == "finished" and np.isfinite(y[row])]
    places, y = [places[row] for row in kept], y[kept]
    numeric = all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in places)
    labels = [] if numeric else labels_of(places)
    names = tuple(dict.fromkeys(labels))
    x = np.array(places if numeric else [names.index(label) for label in labels], dtype=np.float64)
    others = [name for name in table.axes if name != axis]
    texts = {name: labels_of([table.columns[name][row] for row in kept]) for name in others}
    others = [name for name in others if len(set(texts[name])) > 1]
    by = _told_apart(others, texts)
    keys = [tuple(texts[name][row] for name in by) for row in range(len(y))]
    series = []
    for key in dict.fromkeys(keys):
        rows = np.array([each == key for each in keys])
        series.append(Series(", ".join(key), x[rows], y[rows]))
    pooled = tuple(name for name in others if name not in by)
    return Sweep(axis, measure, names, by, tuple(series), pooled, "" if only is None else f"{only[0]}: {only[1]}")


def labels_of_series(panels: Sequence[Sweep]) -> list[str]:
    """Those of all panels, each once: a series has the same place, and the color of that, in all of them."""
    return list(dict.fromkeys(series.label for panel in panels for series in panel.series))


def _spread_between(panels: Sequence[Sweep]) -> float:
    """How much the mean of the measure varies from panel to panel."""
    means = [np.concatenate([series.y for series in panel.series]).mean() for panel in panels if panel.series]
    return float(np.std(means)) if means else 0.0


def _draw_panels(panels: Sequence[Sweep], path: Path) -> None:
    """Draw sweeps side by side, each with a scale of its own, under one legend."""
    n_rows = max(panel.n_rows for panel in panels)
    width = max(_SIZE[0], _PANEL * len(panels))
    labels = labels_of_series(panels)
    with drawn(width, max(_SIZE[1], 260 + _ROW * n_rows), layout="constrained") as figure:
        legend: dict[str, Artist] = {}
        for number, panel in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), number + 1)
            draw(axes, panel, labels)
            axes.set_title(shortened(panel.title, 2 * _LONGEST_LABEL), loc="left", fontsize="medium")
            if number:
                axes.set_ylabel("")
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                legend.setdefault(label, handle)
        if panels[0].by:
            figure.legend(
                legend.values(), list(legend), loc="outside lower left", ncols=3, frameon=False,
                title=", ".join(panels[0].by), alignment="left",
            )  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        save(figure, path)


def draw(axes: "Axes", sweep: Sweep, labels: Sequence[str] = ()) -> None:
    """Draw mean and standard deviation at each value, joined where the axis is numeric, and up to 400 runs as dots.

    `labels` are those of the series of all panels beside this one, which have the same colors there.
    """
    labels = list(labels or (series.label for series in sweep.series))
    has_dots = sum(len(series.y) for series in sweep.series) <= _MOST_DOTS
    for series in sweep.series:
        number = labels.index(series.label)
        color, label = SERIES[number], shortened(series.label, 2 * _LONGEST_LABEL)
        groups = sweep.groups(series)
        x, mean = np.array([place for place, _ in groups]), np.array([y.mean() for _, y in groups])
        # The mean of a yes or no says all; a deviation would leave its range.
        has_spread = not np.isin(series.y, (0, 1)).all()
        spread = np.array([y.std(ddof=1) if len(y) > 1 and has_spread else np.nan for _, y in groups])
        dots: dict[str, Any] = {"linestyle": "", "marker": "o", "color": color, "alpha": 0.35, "markersize": 3}
        means: dict[str, Any] = {"color": color, "marker": "o", "markersize": 4, "capsize": 2}
        if sweep.names:
            lift = 0.6 * (number - (len(labels) - 1) / 2) / len(labels)
            if has_dots:
                axes.plot(series.y, series.x + lift, **dots)
            axes.errorbar(mean, x + lift, xerr=spread, linestyle="", label=label, **means)
        else:
            if has_dots:
                axes.plot(series.x, series.y, **dots)
            axes.errorbar(x, mean, yerr=spread, label=label, **means)
    if sweep.names:
        _name_rows(axes, sweep)
    else:
        _number_columns(axes, sweep)


def shown(value: Any) -> str:
    """A value of an axis, as a configuration has it, but for quotes."""
    return value if isinstance(value, str) else inline(value.item() if isinstance(value, np.generic) else value)


def labels_of(values: Iterable[Any]) -> list[str]:
    """Short names for values: the kinds of components and the names of files where these tell them apart."""
    values = list(values)
    full = [shown(value) for value in values]
    for brief in (_kind, _file_name):
        labels = [brief(value) for value in values]
        if len(set(zip(labels, full, strict=True))) == len(set(labels)) and None not in labels:
            return [str(label) for label in labels]
    return full


def _kind(value: Any) -> str | None:
    return str(value["kind"]) if isinstance(value, Mapping) and "kind" in value else None


def _file_name(value: Any) -> str | None:
    return Path(value).stem if isinstance(value, str) and value.endswith((".yaml", ".yml")) else None


def shortened(text: str, length: int) -> str:
    """The text with dots in its middle where it is longer; names of files differ at their ends."""
    return text if len(text) <= length else f"{text[: length // 3]}…{text[len(text) - length + length // 3 + 1 :]}"


def _told_apart(others: Sequence[str], texts: dict[str, list[str]]) -> tuple[str, ...]:
    if len(set(zip(*(texts[name] for name in others), strict=True))) <= _MOST_SERIES:
        return tuple(others)
    return tuple(next(([name] for name in others if len(set(texts[name])) <= _MOST_SERIES), []))


def _name_rows(axes: "Axes", sweep: Sweep) -> None:
    """Names on the vertical axis, the first one on top."""
    axes.set_yticks(np.arange(len(sweep.names)), [shortened(name, _LONGEST_LABEL) for name in sweep.names])
    axes.set_ylim(len(sweep.names) - 0.4, -0.6)
    axes.grid(True, axis="x")
    axes.locator_params(axis="x", nbins=5)
    axes.ticklabel_format(axis="x", useOffset=False, scilimits=(-4, 6))
    axes.set_xlabel(measure_in_full(sweep.measure))
    axes.set_ylabel(setting_in_full(sweep.axis))


def _number_columns(axes: "Axes", sweep: Sweep) -> None:
    """Numbers on the horizontal axis: those that were tried, where they are few; logarithmic where they grow so."""
    from matplotlib.ticker import NullLocator

    x = np.unique(np.concatenate([series.x for series in sweep.series]))
    if _grows_by_factors(x):
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    if len(x) <= _MOST_TICKS:
        axes.set_xticks(x, [f"{value:g}" for value in x])
    axes.grid(True, axis="y")
    axes.margins(x=0.06, y=0.1)
    axes.locator_params(axis="y", nbins=5)
    axes.ticklabel_format(axis="y", useOffset=False, scilimits=(-4, 6))
    axes.set_xlabel(setting_in_full(sweep.axis))
    axes.set_ylabel(measure_in_full(sweep.measure))


def _grows_by_factors(x: Floats) -> bool:
    """Whether the steps between the logarithms are more even than those between the numbers."""
    if len(x) < 3 or x[0] <= 0:
        return False
    steps, factors = np.diff(x), np.diff(np.log(x))
    return bool(x[-1] / x[0] >= 8 and factors.std() / factors.mean() < steps.std() / steps.mean())


def _chosen(name: str | None, known: Sequence[str], what: str) -> tuple[str, ...]:
    if name is None:
        return tuple(known)
    if name not in known:
        raise UserError(f"the campaign has no {what} {name!r}; it has {', '.join(known) or 'none'}")
    return (name,)

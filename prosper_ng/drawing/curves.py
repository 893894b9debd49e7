"""How the curves of a run are drawn: its numbers over sweeps, with the sweeps of annealing shaded."""

from collections.abc import Mapping, Sequence
from itertools import cycle, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.drawing.style import BLUE, BROWN, GREEN, ORANGE, PALE, RED, SERIES, TEAL, VIOLET, count_on
from prosper_ng.drawing.units import unit_of
from prosper_ng.models.rounding import is_rounding
from prosper_ng.storage.history import HELD_OUT
from prosper_ng.storage.run_record import parameter_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

_N_SHADES = 16
_MOST_ON_LINEAR_AXIS = 200
_LONGEST_LABEL = 18


class Panel(NamedTuple):
    """One curve."""

    column: str
    label: str
    color: str
    digits: str
    unit: str = ""
    """Nothing where it only counts."""

    @property
    def title(self) -> str:
        """What it shows, with the unit, in a line."""
        return with_unit(" ".join(self.label.split()), self.unit)

    @property
    def label_in_lines(self) -> str:
        """What stands beside the axis, with the unit, in lines that are not too long for it."""
        last = self.label.rpartition("\n")[2]
        is_short = len(with_unit(last, self.unit)) <= _LONGEST_LABEL
        return with_unit(self.label, self.unit) if is_short else f"{self.label}\n({self.unit})"


_BY_ROLE = {"noise": ("noise level", RED), "activity": ("mean activity", GREEN)}
_PROBABILITY = "probability"
_OTHERS = (TEAL, BROWN, PALE)
_SYMBOLS = {"sigma": "σ", "pi": "π"}


def label_of(column: str, role: str) -> str:
    """What to call a column of the history: `noise level σ` for `sigma`, `n empty` for `n_empty`."""
    name = parameter_of(column)
    return f"{_BY_ROLE[role][0]} {_SYMBOLS.get(name, name)}" if role in _BY_ROLE else column.replace("_", " ")


def panels_of(headline: Mapping[str, str], unit_of_data: str = "units of the data") -> list[Panel]:
    """The curves of a run: the free energy, the columns people look at first, with their roles, and the PSNR."""
    others, units = cycle(_OTHERS), {"noise": unit_of_data, "activity": _PROBABILITY}
    named = [
        Panel(
            column, label_of(column, role), _BY_ROLE[role][1] if role in _BY_ROLE else next(others), ".4g",
            units.get(role, ""),
        )
        for column, role in headline.items()
    ]  # fmt: skip
    first = Panel("free_energy", "free energy\nper row", BLUE, ".4f", "nats")
    held_out = Panel(HELD_OUT, "free energy\nheld out", VIOLET, ".4f", "nats")
    return [first, held_out, *named, Panel("psnr", "PSNR", VIOLET, ".2f", "dB")]


def panel_of(column: str, place: int = 0) -> Panel:
    """The curve of any column, by its name; those at other places among several have other colors."""
    return Panel(column, label_of(column, ""), SERIES[place % len(SERIES)], ".4g", unit_of(column))


def with_unit(name: str, unit: str) -> str:
    """`PSNR (dB)`, or the name alone where there is no unit."""
    return f"{name} ({unit})" if unit else name


def column(history: Mapping[str, Floats], name: str) -> Floats:
    """A column of the history; empty where there is none."""
    return history.get(name, np.empty(0))


def known_panels(history: Mapping[str, Floats], panels: Sequence[Panel]) -> list[Panel]:
    """Those of the panels that the history has numbers for."""
    return [panel for panel in panels if np.isfinite(column(history, panel.column)).any()]


def draw_panel(axes: "Axes", history: Mapping[str, Floats], panel: Panel) -> None:
    """Draw one curve over the sweeps, shaded where the temperature is above 1."""
    sweeps, temperature = history["sweep"], history.get("temperature")
    hot = temperature is not None and bool((temperature > 1).any())
    _draw_curve(axes, sweeps, column(history, panel.column), panel)
    # What happens at the end of annealing would be lost on a logarithmic axis.
    _scale_sweeps(axes, sweeps, logarithmic=len(sweeps) > _MOST_ON_LINEAR_AXIS and not hot)
    if temperature is not None and hot:
        _shade(axes, sweeps, temperature)


def explain_shades(axes: "Axes", history: Mapping[str, Floats]) -> None:
    """Say above the axes what the shades mean, where there are any."""
    hottest = float(np.nanmax(history.get("temperature", np.ones(1)), initial=1.0))
    if hottest > 1:
        label = f"shaded: annealing, temperature {hottest:g} at most"
        axes.set_title(label, loc="left", color=ORANGE, y=1.0, pad=3, fontsize=7)


def _draw_curve(axes: "Axes", sweeps: Floats, values: Floats, panel: Panel) -> None:
    known = np.isfinite(values)
    x, y = sweeps[known], values[known]
    if is_rounding(np.ptp(y), np.abs(y).max()):
        y = np.full_like(y, y[-1])  # else the axis would be scaled to what is nothing but rounding
    axes.plot(x, y, color=panel.color, marker="o" if len(x) <= 30 else None, markersize=2.8)
    axes.set_ylabel(panel.label_in_lines)
    axes.grid(True, axis="y")
    axes.margins(y=0.12)
    axes.ticklabel_format(axis="y", useOffset=False, scilimits=(-4, 6))
    axes.locator_params(axis="y", nbins=5)
    last = f"{y[-1]:{panel.digits}} after sweep {x[-1]:,.0f}".replace("-", "−")
    axes.set_title(last, loc="right", color=panel.color, y=1.0, pad=3, fontsize=7)


def _scale_sweeps(axes: "Axes", sweeps: Floats, logarithmic: bool) -> None:
    last = float(sweeps[-1])
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(0.9, last * 1.1)
    else:
        axes.set_xlim(0, last + max(0.02 * last, 0.5))
    count_on(axes)


def _shade(axes: "Axes", sweeps: Floats, temperature: Floats) -> None:
    """Shade the sweeps above temperature 1, the hotter the darker."""
    from matplotlib.collections import PolyCollection

    hottest = float(np.nanmax(temperature))
    edges = np.concatenate([[0.0], (sweeps[1:] + sweeps[:-1]) / 2, [sweeps[-1] + 0.5]])
    heat = np.clip((np.nan_to_num(temperature, nan=1.0) - 1) / (hottest - 1), 0, 1)
    levels = np.ceil(heat * _N_SHADES) / _N_SHADES
    starts = _changes(levels)
    bounds = edges[[*starts, len(levels)]]
    spans = [[(left, 0), (left, 1), (right, 1), (right, 0)] for left, right in pairwise(bounds)]
    colors = [(ORANGE, 0.2 * levels[start]) for start in starts]
    # One artist, since each takes matplotlib a millisecond.
    shades = PolyCollection(spans, facecolors=colors, linewidth=0, zorder=0, transform=axes.get_xaxis_transform())
    axes.add_collection(shades, autolim=False)


def _changes(values: Floats) -> list[int]:
    """Where runs of equal values begin."""
    return [0, *(int(place) + 1 for place in np.flatnonzero(values[1:] != values[:-1]))]

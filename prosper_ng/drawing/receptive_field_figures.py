"""Receptive fields of a dictionary: the shapes of their envelopes, where their waves point, how many are globular."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prosper_ng.drawing.charts import Chart
from prosper_ng.drawing.style import BLUE, EDGE, ORANGE, PALE, drawn, svg
from prosper_ng.numerics.receptive_fields import GABOR, GLOBULAR, NEITHER, ReceptiveFields

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from prosper_ng.drawing.styled_figure import StyledFigure

_COLORS = {GABOR: BLUE, GLOBULAR: ORANGE, NEITHER: PALE}
_FARTHEST = 1.5
"""Of n_x and n_y; what lies beyond is drawn on the edge."""


def in_words(found: ReceptiveFields) -> str:
    """How many are of which kind: `300 receptive fields: 41 globular (14%), 250 Gabor-like, 9 neither`."""
    counts = {kind: int(np.count_nonzero(found.kind == kind)) for kind in _COLORS}
    n_fields = len(found.kind)
    return (
        f"{n_fields:,} receptive fields: {counts[GLOBULAR]:,} globular ({counts[GLOBULAR] / n_fields:.0%}), "
        f"{counts[GABOR]:,} Gabor-like, {counts[NEITHER]:,} neither"
    )


def fields(found: ReceptiveFields) -> "StyledFigure":
    """n_x against n_y of all fields that are of a kind, and orientation and frequency of the Gabor-like ones."""
    with drawn(1400, 720) as figure:
        draw_envelopes(figure.add_axes((0.08, 0.13, 0.4, 0.74)), found)
        draw_waves(figure.add_axes((0.56, 0.1, 0.4, 0.74), projection="polar"), found)
        figure.text(0.02, 0.94, in_words(found), weight="bold")
        return figure


def field_charts(found: ReceptiveFields) -> list[Chart]:
    """The same as drawings for a page; none where no field is of a kind."""
    charts: list[Chart] = []
    if (found.kind == NEITHER).all():
        return charts
    with drawn(600, 500, layout="constrained") as figure:
        draw_envelopes(figure.add_subplot(), found)
        n_x, n_y = (np.median(values[found.kind != NEITHER]) for values in (found.n_x, found.n_y))
        alternative = f"Envelopes of {in_words(found)}; n_x is {n_x:.2g} and n_y {n_y:.2g} in the median"
        charts.append(Chart("Envelopes in cycles of the wave", svg(figure, "fields-envelopes", alternative)))
    if not (found.kind == GABOR).any():
        return charts
    with drawn(600, 500, layout="constrained") as figure:
        draw_waves(figure.add_subplot(projection="polar"), found)
        frequency = np.median(found.frequency[found.kind == GABOR])
        alternative = (
            f"Orientation and frequency of the Gabor-like fields; {frequency:.2g} cycles a pixel in the median"
        )
        charts.append(Chart("Orientation, and cycles a pixel", svg(figure, "fields-waves", alternative)))
    return charts


def draw_envelopes(axes: "Axes", found: ReceptiveFields) -> None:
    """Draw n_x against n_y; on the line envelopes are circles."""
    axes.plot([0, _FARTHEST], [0, _FARTHEST], color=EDGE, linewidth=0.6)
    for kind in (GABOR, GLOBULAR):
        n_x, n_y = (np.minimum(values[found.kind == kind], _FARTHEST) for values in (found.n_x, found.n_y))
        label = "Gabor-like" if kind == GABOR else kind
        axes.scatter(n_x, n_y, s=7, color=_COLORS[kind], linewidths=0, alpha=0.7, label=label, clip_on=False)
    axes.set(xlim=(0, _FARTHEST), ylim=(0, _FARTHEST), aspect="equal")
    axes.set_xlabel("n_x, width along the wave times frequency")
    axes.set_ylabel("n_y, width along the stripes")
    axes.grid(True)
    axes.legend(loc="lower right", frameon=False, fontsize=7)


def draw_waves(axes: "Axes", found: ReceptiveFields) -> None:
    """Draw the orientation of stripes as the angle and the frequency as the radius, in polar axes of half a circle."""
    is_gabor = found.kind == GABOR
    frequency: NDArray[np.float64] = found.frequency[is_gabor]
    axes.scatter(np.radians(found.orientation[is_gabor]), frequency, s=7, color=BLUE, linewidths=0, alpha=0.7)
    axes.set_xlim(0, np.pi)
    axes.set_ylim(0, max(0.5, float(frequency.max(initial=0.0))))
    axes.set_yticks([0.1, 0.2, 0.3, 0.4, 0.5])
    axes.set_xticks(np.radians([0, 45, 90, 135, 180]))
    axes.tick_params(labelsize=7)

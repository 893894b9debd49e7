"""Curves show what changes, with units, and nothing of what rounding alone has made."""

import numpy as np
import pytest

from prosper_ng.drawing.charts import curve_charts
from prosper_ng.drawing.curves import Panel, draw_panel, panels_of
from prosper_ng.drawing.style import drawn

FREE_ENERGY = Panel("free_energy", "free energy\nper row", "#1f4e79", ".4f", "nats")


def history(**columns):
    sweeps = np.arange(1.0, 6.0)
    return {"sweep": sweeps, "free_energy": -300 + sweeps, "entropy_gap": np.full(5, -2e-13), **columns}


@pytest.mark.parametrize(
    ("gaps", "is_drawn"),
    [(np.full(5, -2e-13), False), (np.array([0.1, -0.01, 1e-3, 1e-13, 0]), True), (np.full(5, np.nan), False)],
)
def test_a_gap_that_is_rounding_is_not_drawn(gaps, is_drawn):
    titles = [chart.title for chart in curve_charts(history(entropy_gap=gaps), [FREE_ENERGY])]
    assert titles == ["free energy per row (nats)", *(["entropy gap per row (nats)"] if is_drawn else [])]


def test_a_column_that_rounding_alone_moves_is_drawn_flat():
    with drawn(600, 400) as figure:
        axes = figure.add_subplot()
        draw_panel(axes, history(free_energy=-300 + 1e-13 * np.arange(5.0)), FREE_ENERGY)
        low, high = axes.get_ylim()
        assert high - low > 1
        assert np.ptp(axes.get_lines()[0].get_ydata()) == 0
        small = figure.add_subplot()
        draw_panel(small, history(free_energy=1e-14 * np.arange(5.0)), FREE_ENERGY)
        assert np.ptp(small.get_lines()[0].get_ydata()) == 4e-14  # small, and all that there is


def test_every_curve_has_its_unit():
    labels = [panel.label_in_lines for panel in panels_of({"sigma": "noise", "pi": "activity", "n_kept": ""})]
    assert labels == [
        "free energy\nper row (nats)", "free energy\nheld out (nats)", "noise level σ\n(units of the data)",
        "mean activity π\n(probability)", "n kept", "PSNR (dB)",
    ]  # fmt: skip
    assert panels_of({"sigma": "noise"}, "8-bit scale")[2].title == "noise level σ (8-bit scale)"

"""Whole figures: a dictionary, learning curves, images before and after."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.drawing.curves import Panel, draw_panel, explain_shades, known_panels
from prosper_ng.drawing.elements import draw_elements, draw_tiles, grid_of, order_of_use, scale_in_words, shown_of
from prosper_ng.drawing.pixels import Pixels, eight_bit, enlarged, grid_of_tiles, with_channels
from prosper_ng.drawing.style import BLUE, ORANGE, PALE, axes_at, count_on, drawn, pixel_size
from prosper_ng.numerics.matching import recovered

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from prosper_ng.drawing.styled_figure import StyledFigure

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

_MOST_COMPARED = 20
_PANEL_SIDE = 512


def dictionary(
    W: Floats,
    patch_shape: Sequence[int] | None,
    use: Floats | None = None,
    chosen: Indices | None = None,
    numbered: bool = False,
    remark: str = "",
) -> "StyledFigure":
    """The columns of W (D, H) as tiles (height, width, 1 or 3 channels), or as curves where they have no such shape.

    Every element is scaled to its own largest magnitude. `use` (H,) is how often each is active: the most active come
    first. Without it they come in their order, or those that are `chosen` in that order. Of more than 1024, the first
    are drawn. Raises UserError without matplotlib.
    """
    shown = shown_of(W.shape[1], use, chosen, numbered)
    height, width = grid_of(shown, patch_shape).size
    with_use = use is not None and chosen is None
    head, foot, margin = 120, 330 if with_use else 40, 60
    wide, left = max(width, 900), margin
    with drawn(wide + 2 * margin, height + head + foot) as figure:
        draw_elements(axes_at(figure, left, foot, width, height), W, shown, patch_shape, exact=True)
        _say(figure, left, foot + height + 64, f"Dictionary: {shown.words}", weight="bold")
        _say(figure, left, foot + height + 22, scale_in_words(patch_shape) + remark, color=PALE)
        if use is not None and with_use:
            ordered = use[order_of_use(len(use), use)]
            draw_use(axes_at(figure, left + 120, 90, wide - 120, foot - 150), ordered, len(shown.which))
        return figure


def recovery(W_true: Floats, W_learned: Floats, patch_shape: Sequence[int]) -> "StyledFigure":
    """The true dictionary elements (D, H) and, below each, the learned one that stands for it, with their cosine.

    The sign of a learned dictionary element is that of the better match: (W_h, s_h) and (-W_h, -s_h) say the
    same. Of more than 20 true ones, the first are drawn.
    """
    pairs = matched(W_true, W_learned)
    n_shown = len(pairs.cosines)
    grid = grid_of_tiles(n_shown, patch_shape[0], patch_shape[1], n_columns=n_shown)
    height, width = grid.size
    margin, label = 60, 56
    with drawn(width + 2 * margin, 2 * (height + label) + 110) as figure:
        for elements, bottom in ((pairs.true, height + label + 70), (pairs.learned, 56)):
            axes = axes_at(figure, margin, bottom, width, height)
            draw_tiles(axes, elements, patch_shape, grid, exact=True)
        _say(figure, margin, 2 * height + label + 84, "True dictionary elements", weight="bold")
        title = f"Learned: {pairs.n_found} of {W_true.shape[1]} with a cosine of 0.9 or more"
        _say(figure, margin, height + 66, title, weight="bold")
        for place, cosine in enumerate(pairs.cosines):
            _say(figure, margin + place * width // n_shown, 22, f"{cosine:.3f}", color=PALE, size=6.5)
        return figure


class Pairs(NamedTuple):
    """True dictionary elements (D, at most 20) and the learned ones that stand for them, zero where there is none."""

    true: Floats
    learned: Floats
    cosines: Floats
    n_found: int
    """Of all true dictionary elements, those with a cosine of 0.9 or more."""


def matched(W_true: Floats, W_learned: Floats) -> Pairs:
    """The true elements (D, H) with the learned ones that stand for them, in the sign of the better match."""
    found = recovered(W_true, W_learned, ignore_sign=True)
    n_shown = min(W_true.shape[1], _MOST_COMPARED)
    partners, cosines = found.assignment[:n_shown], found.correlations[:n_shown]
    elements = np.where(partners >= 0, W_learned[:, partners] * np.where(cosines < 0, -1.0, 1.0), 0.0)
    return Pairs(W_true[:, :n_shown], elements, np.abs(cosines), found.found)


def curves(history: Mapping[str, Floats], panels: Sequence[Panel]) -> "StyledFigure":
    """Curves over sweeps, as far as the history has them.

    Sweeps at a temperature above 1 are shaded.
    """
    panels = known_panels(history, panels)
    height, head, foot, gap = 300, 20, 110, 60
    with drawn(1300, head + foot + len(panels) * (height + gap)) as figure:
        for place, panel in enumerate(reversed(panels)):
            axes = axes_at(figure, 190, foot + place * (height + gap), 1060, height)
            draw_panel(axes, history, panel)
            axes.yaxis.set_label_coords(-0.105, 0.5)
            if place == len(panels) - 1:
                explain_shades(axes, history)
            axes.set_xlabel("sweeps over the data" if place == 0 else "")
            axes.tick_params(labelbottom=place == 0)
        return figure


def comparison(images: Sequence[tuple[str, Floats]], notes: Sequence[str]) -> "StyledFigure":
    """Images (height, width[, channels]) of one size side by side, every pixel as whole pixels.

    They are on the 8-bit scale, clipped and rounded for display only; missing pixels are black. The note on each stands
    below its title.
    """
    rows, columns = np.shape(images[0][1])[:2]
    zoom = max(1, round(_PANEL_SIDE / max(rows, columns)))
    height, width = rows * zoom, columns * zoom
    cell, gap, head = max(width, 420), 28, 110
    with drawn(len(images) * (cell + gap) + gap, height + head + gap) as figure:
        for place, ((title, image), note) in enumerate(zip(images, notes, strict=True)):
            left = gap + place * (cell + gap) + (cell - width) // 2
            _place(figure, enlarged(eight_bit(with_channels(image)), zoom), left, gap)
            _say(figure, left, gap + height + 54, title, weight="bold")
            _say(figure, left, gap + height + 16, note, color=PALE)
        return figure


def draw_use(axes: "Axes", use: Floats, n_shown: int) -> None:
    """Draw how often elements are used, `use` (H,) in falling order, with a mark after the first `n_shown`."""
    axes.stairs(use, np.arange(len(use) + 1) + 0.5, fill=True, color=BLUE, linewidth=0)
    if n_shown < len(use):
        axes.axvline(n_shown + 0.5, color=ORANGE, linewidth=0.8)
        axes.text(n_shown, float(use.max()), "← drawn ", color=ORANGE, ha="right", va="top", fontsize=7)
    axes.set_xlim(0.5, len(use) + 0.5)
    axes.set_ylim(0, 1.1 * max(float(use.max()), 1e-12))
    axes.grid(True, axis="y")
    axes.locator_params(axis="y", nbins=4)
    count_on(axes)
    axes.set_xlabel("dictionary elements, the most active first")
    axes.set_ylabel("active in this\nshare of the rows")


def _place(figure: "Figure", pixels: Pixels, left: int, bottom: int) -> None:
    """Put pixels into the figure as they are."""
    axes = axes_at(figure, left, bottom, pixels.shape[1], pixels.shape[0])
    axes.imshow(pixels, interpolation="none", aspect="auto")
    axes.set_axis_off()


def _say(figure: "Figure", left: int, bottom: int, text: str, **style: Any) -> None:
    width, height = pixel_size(figure)
    figure.text(left / width, bottom / height, text, va="bottom", ha="left", **style)

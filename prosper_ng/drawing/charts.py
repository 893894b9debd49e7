"""Charts and pictures of a run for its page."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.drawing.curves import Panel, column, draw_panel, known_panels
from prosper_ng.drawing.elements import shown_of
from prosper_ng.drawing.figures import draw_use, matched
from prosper_ng.drawing.pixels import Pixels, eight_bit, enlarged, mosaic, tiles, with_channels
from prosper_ng.drawing.style import BLUE, BROWN, TEAL, count_on, drawn, svg
from prosper_ng.models.rounding import without_rounding
from prosper_ng.storage.run_record import parameter_of

Floats = NDArray[np.float64]

_CHART = (600, 370)
"""In pixels at 200 to the inch: letters are as large as those of the page where a chart is some 350 wide."""
_LEAST_SIDE = 512
_MOST_SIDE = 1400
_MORE_PANELS = (
    Panel("entropy_gap", "entropy gap\nper row", TEAL, ".3g", "nats"),
    Panel("n_accepted", "new states\nper row", BROWN, ".3g"),
)


class Chart(NamedTuple):
    """A drawing with its title."""

    title: str
    svg: str


class Picture(NamedTuple):
    """An image as a data address."""

    title: str
    source: str
    alternative: str
    note: str
    width: int
    """In pixels of the page, where there is room for them."""
    height: int


def curve_charts(history: Mapping[str, Floats], panels: Sequence[Panel]) -> list[Chart]:
    """One chart for each of these curves that the history has, and of what else shows; none before the first sweep."""
    if len(history.get("sweep", ())) == 0:
        return []
    if "entropy_gap" in history:
        gap = without_rounding(history["entropy_gap"], column(history, "free_energy"))
        history = {**history, "entropy_gap": gap}
    more = [p for p in known_panels(history, _MORE_PANELS) if np.nan_to_num(column(history, p.column)).any()]
    charts = []
    for panel in [*known_panels(history, panels), *more]:
        values = column(history, panel.column)
        sweeps, known = history["sweep"][np.isfinite(values)], values[np.isfinite(values)]
        alternative = (
            f"Curve of {panel.title} over {len(known):,} sweeps: {known[0]:.6g} after sweep {sweeps[0]:,.0f}, "
            f"{known[-1]:.6g} after sweep {sweeps[-1]:,.0f}; lowest {known.min():.6g}, highest {known.max():.6g}"
        )
        with drawn(*_CHART, layout="constrained") as figure:
            axes = figure.add_subplot()
            draw_panel(axes, history, panel)
            axes.set_ylabel(panel.unit)
            axes.set_xlabel("sweeps")
            charts.append(Chart(panel.title, svg(figure, f"curve-{parameter_of(panel.column)}", alternative)))
    return charts


def activity_chart(activity: Floats) -> Chart:
    """How probable it is that each latent is active, `activity` (H,), the most active first."""
    ordered = np.sort(activity)[::-1]
    alternative = (
        f"Probability of being active of {len(ordered):,} latents, in falling order: "
        f"from {ordered[0]:.3g} to {ordered[-1]:.3g}, median {np.median(ordered):.3g}"
    )
    with drawn(*_CHART, layout="constrained") as figure:
        axes = figure.add_subplot()
        draw_use(axes, ordered, len(ordered))
        axes.set_xlabel("latents, the most active first")
        axes.set_ylabel("probability")
        return Chart("How often each latent is active", svg(figure, "activity", alternative))


def count_chart(activity: Floats) -> Chart:
    """How many latents are active together by the learned prior, in which they are independent."""
    probabilities = number_of_active(activity)
    mean = float(activity.sum())
    last = int(np.flatnonzero(probabilities > 1e-4)[-1])
    likeliest = int(probabilities.argmax())
    alternative = (
        f"Distribution of the number of active latents: {mean:.3g} on average, most often {likeliest} "
        f"(probability {probabilities[likeliest]:.3g})"
    )
    with drawn(*_CHART, layout="constrained") as figure:
        axes = figure.add_subplot()
        axes.bar(np.arange(last + 1), probabilities[: last + 1], width=0.8, color=BLUE, linewidth=0)
        axes.grid(True, axis="y")
        axes.locator_params(axis="y", nbins=4)
        axes.set_xlim(-0.6, max(last, 5) + 0.6)
        count_on(axes)
        axes.set_xlabel("active latents per row")
        axes.set_ylabel("probability")
        axes.set_title(f"{mean:.3g} on average", loc="right", color=BLUE, y=1.0, pad=3, fontsize=7)
        return Chart("Active latents by the learned prior", svg(figure, "count", alternative))


def number_of_active(activity: Floats) -> Floats:
    """(H + 1,) P(n latents are active) of independent latents that are active with `activity` (H,)."""
    probabilities = np.ones(1)
    for p in activity:
        probabilities = np.convolve(probabilities, [1 - p, p])
    return probabilities


def dictionary_picture(W: Floats, patch_shape: Sequence[int], use: Floats | None) -> Picture:
    """The columns of W (D, H) as tiles (height, width, 1 or 3 channels), the most used first where `use` (H,) is."""
    shown = shown_of(W.shape[1], use)
    pixels = mosaic(tiles(W[:, shown.which], patch_shape), clear=True)
    note = f"{shown.words}; each scaled to its own largest magnitude, zero is gray."
    return _picture("", pixels, f"Dictionary: {note}", note, share=0.5)


def recovery_picture(W_true: Floats, W_learned: Floats, patch_shape: Sequence[int]) -> Picture:
    """True dictionary elements (D, H) above the learned ones that stand for them."""
    pairs = matched(W_true, W_learned)
    n_shown = len(pairs.cosines)
    both = np.concatenate([tiles(pairs.true, patch_shape), tiles(pairs.learned, patch_shape)])
    cosines = ", ".join(f"{cosine:.3f}" for cosine in pairs.cosines)
    note = (
        f"True elements above, the learned ones that stand for them below; {pairs.n_found} of {W_true.shape[1]} have "
        f"a cosine of 0.9 or more. The cosines of those shown: {cosines}."
    )
    return _picture("", mosaic(both, n_shown, clear=True), note, note, share=0.5)


def image_picture(title: str, image: Floats, note: str) -> Picture:
    """An image (height, width[, channels]) of 8-bit values, enlarged by whole pixels or shrunk."""
    pixels = eight_bit(with_channels(image))
    height, width = pixels.shape[:2]
    alternative = f"The {title} image, {height} x {width} pixels. {note}".strip()
    shrink = math.ceil(max(height, width) / _MOST_SIDE)
    if shrink > 1:
        cut = pixels[: height // shrink * shrink, : width // shrink * shrink].astype(np.float64)
        blocks = cut.reshape(height // shrink, shrink, width // shrink, shrink, 3)
        pixels = eight_bit(blocks.mean(axis=(1, 3)))
        note = f"{note} Shown at 1/{shrink} of its size.".strip()
    zoom = max(1, round(_LEAST_SIDE / max(pixels.shape[:2])))
    return _picture(title, enlarged(pixels, zoom), alternative, note)


def _picture(title: str, pixels: Pixels, alternative: str, note: str, share: float = 1.0) -> Picture:
    """Pixels (height, width, 3 or 4) as PNG; `share` is the size on the page."""
    from PIL import Image

    is_gray = pixels.shape[2] == 3 and bool((pixels == pixels[..., :1]).all())
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[..., 0] if is_gray else pixels)).save(stream, "PNG", optimize=True)
    source = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
    height, width = pixels.shape[:2]
    return Picture(title, source, alternative, note, round(share * width), round(share * height))

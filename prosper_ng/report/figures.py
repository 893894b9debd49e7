"""Pictures of a run: its dictionary, its learning curves, its images before and after."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.errors import UserError
from prosper_ng.numerics.matching import recovered
from prosper_ng.storage import atomic
from prosper_ng.storage.images import quality, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

_DPI = 200
_INK, _PALE, _ACCENT, _HEAT = "#222222", "#666666", "#1f4e79", "#c8690a"
_STYLE: Any = {
    "axes.axisbelow": True,
    "font.family": "sans-serif",
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "savefig.facecolor": "white",
}

_MOST_FIELDS = 1024
_MOST_COMPARED = 20
_MOSAIC_WIDTH = 1400
_LARGEST_TILE = 160
_FRAME = 80
_N_SHADES = 16
_PANEL_SIDE = 512
_MOST_ON_LINEAR_AXIS = 200


def dictionary(W: Floats, patch_shape: Sequence[int], use: Floats | None, path: Path) -> None:
    """Draw the columns of W (D, H) as tiles (height, width, 1 or 3 channels), the most used first.

    Every tile is scaled to its own largest magnitude, with zero in the middle. `use` (H,) is how often each field is
    active; without it they come in their order. Of more than 1024 fields, the first are drawn.
    """
    n_fields = W.shape[1]
    order = np.arange(n_fields) if use is None else np.argsort(-use, kind="stable")
    shown = order[:_MOST_FIELDS]
    mosaic = _mosaic(_tiles(W[:, shown], tuple(patch_shape)))
    height, width = mosaic.shape[:2]
    head, foot, margin = 120, 40 if use is None else 330, 60
    wide, left = max(width, 900), margin
    with _figure(wide + 2 * margin, height + head + foot) as figure:
        _place(figure, mosaic, left, foot)
        n_shown = f"{len(shown):,} of " if len(shown) < n_fields else ""
        title = f"Dictionary: {n_shown}{n_fields:,} field{'s' if n_fields > 1 else ''}"
        by_use = "" if use is None or n_fields == 1 else ", the most used first"
        _say(figure, left, foot + height + 64, title + by_use, weight="bold")
        _say(figure, left, foot + height + 22, "each scaled to its own largest magnitude; zero is gray", color=_PALE)
        if use is not None:
            _draw_use(_axes(figure, left + 90, 90, wide - 90, foot - 150), use[order], len(shown))
        _save(figure, path)


def recovery(W_true: Floats, W_learned: Floats, patch_shape: Sequence[int], path: Path) -> None:
    """Draw the true fields (D, H) and, below each, the learned one that stands for it, with their cosine.

    The sign of a learned field is that of the better match: (W_h, s_h) and (-W_h, -s_h) say the same. Of more than 20
    true fields, the first are drawn.
    """
    found = recovered(W_true, W_learned, ignore_sign=True)
    n_shown = min(W_true.shape[1], _MOST_COMPARED)
    partners, cosines = found.assignment[:n_shown], found.correlations[:n_shown]
    fields = np.where(partners >= 0, W_learned[:, partners] * np.where(cosines < 0, -1.0, 1.0), 0.0)
    mosaics = [_mosaic(_tiles(each, tuple(patch_shape)), n_shown) for each in (W_true[:, :n_shown], fields)]
    height, width = mosaics[0].shape[:2]
    margin, label = 60, 56
    with _figure(width + 2 * margin, 2 * (height + label) + 110) as figure:
        _place(figure, mosaics[0], margin, height + label + 70)
        _place(figure, mosaics[1], margin, 56)
        _say(figure, margin, 2 * height + label + 84, "True fields", weight="bold")
        title = f"Learned: {found.found} of {W_true.shape[1]} with a cosine of 0.9 or more"
        _say(figure, margin, height + 66, title, weight="bold")
        for place, cosine in enumerate(np.abs(cosines)):
            _say(figure, margin + place * width // n_shown, 22, f"{cosine:.3f}", color=_PALE, size=6.5)
        _save(figure, path)


def curves(history: Mapping[str, Floats], path: Path) -> None:
    """Draw free energy, sigma, pi and PSNR over sweeps, as far as the history has them.

    Sweeps at a temperature above 1 are shaded.
    """
    panels = [panel for panel in _PANELS if np.isfinite(_column(history, panel.column)).any()]
    sweeps, temperature = history["sweep"], history.get("temperature")
    hot = temperature is not None and bool((temperature > 1).any())
    height, head, foot, gap = 300, 20, 110, 60
    with _figure(1300, head + foot + len(panels) * (height + gap)) as figure:
        for place, panel in enumerate(reversed(panels)):
            axes = _axes(figure, 190, foot + place * (height + gap), 1060, height)
            _draw_curve(axes, sweeps, _column(history, panel.column), panel)
            # What happens at the end of annealing would be lost on a logarithmic axis.
            _scale_sweeps(axes, sweeps, logarithmic=len(sweeps) > _MOST_ON_LINEAR_AXIS and not hot)
            if temperature is not None and hot:
                _shade(axes, sweeps, temperature, with_legend=place == len(panels) - 1)
            axes.set_xlabel("sweeps over the data" if place == 0 else "")
            axes.tick_params(labelbottom=place == 0)
        _save(figure, path)


def comparison(images: Sequence[tuple[str, Floats]], path: Path) -> None:
    """Draw images (height, width[, channels]) on the 8-bit scale side by side, every pixel as whole pixels.

    The first one is the clean one: PSNR and SSIM of the others, neither clipped nor rounded, go into their titles.
    Values are clipped and rounded for display only.
    """
    clean = _with_channels(images[0][1])
    zoom = max(1, round(_PANEL_SIDE / max(clean.shape[:2])))
    height, width = clean.shape[0] * zoom, clean.shape[1] * zoom
    cell, gap, head = max(width, 420), 28, 110
    with _figure(len(images) * (cell + gap) + gap, height + head + gap) as figure:
        for place, (title, image) in enumerate(images):
            left = gap + place * (cell + gap) + (cell - width) // 2
            pixels = _with_channels(image)
            _place(figure, _enlarged(_eight_bit(pixels), zoom), left, gap)
            _say(figure, left, gap + height + 54, title, weight="bold")
            if place > 0:
                found = quality(clean, pixels)
                numbers = f"PSNR {found.psnr:.2f} dB   SSIM {found.ssim:.3f}"
                _say(figure, left, gap + height + 16, numbers, color=_PALE)
        _save(figure, path)


class _Panel(NamedTuple):
    """One curve."""

    column: str
    label: str
    color: str
    digits: str


_PANELS = (
    _Panel("free_energy", "free energy\nper row (nats)", "#1f4e79", ".4f"),
    _Panel("sigma", "noise level σ", "#9c2f2f", ".4g"),
    _Panel("pi", "mean activity π", "#2f6f3e", ".4g"),
    _Panel("psnr", "PSNR (dB)", "#6a3d9a", ".2f"),
)


def _column(history: Mapping[str, Floats], name: str) -> Floats:
    """A column of the history, or of the means where the parameter is an array; empty where there is none."""
    return history.get(name, history.get(f"{name}_mean", np.empty(0)))


def _draw_curve(axes: "Axes", sweeps: Floats, values: Floats, panel: _Panel) -> None:
    known = np.isfinite(values)
    x, y = sweeps[known], values[known]
    axes.plot(x, y, color=panel.color, marker="o" if len(x) <= 30 else None, markersize=2.8)
    axes.set_ylabel(panel.label)
    axes.yaxis.set_label_coords(-0.105, 0.5)
    axes.grid(True, axis="y")
    axes.margins(y=0.12)
    axes.ticklabel_format(axis="y", useOffset=False, scilimits=(-4, 6))
    axes.locator_params(axis="y", nbins=5)
    last = f"{y[-1]:{panel.digits}} after sweep {x[-1]:,.0f}".replace("-", "−")
    axes.set_title(last, loc="right", color=panel.color, pad=3, fontsize=7)


def _scale_sweeps(axes: "Axes", sweeps: Floats, logarithmic: bool) -> None:
    last = float(sweeps[-1])
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(0.9, last * 1.1)
    else:
        axes.set_xlim(0, last + max(0.02 * last, 0.5))
    _count_on(axes)


def _count_on(axes: "Axes") -> None:
    """Label the horizontal axis with whole numbers only."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _shade(axes: "Axes", sweeps: Floats, temperature: Floats, with_legend: bool) -> None:
    """Shade the sweeps above temperature 1, the hotter the darker."""
    hottest = float(np.nanmax(temperature))
    edges = np.concatenate([[0.0], (sweeps[1:] + sweeps[:-1]) / 2, [sweeps[-1] + 0.5]])
    shades = np.clip((np.nan_to_num(temperature, nan=1.0) - 1) / (hottest - 1), 0, 1)
    levels = np.ceil(shades * _N_SHADES) / _N_SHADES
    starts = _changes(levels)
    for start, stop in zip(starts, [*starts[1:], len(levels)], strict=True):
        alpha = 0.2 * levels[start]
        axes.axvspan(edges[start], edges[stop], color=_HEAT, alpha=alpha, linewidth=0, zorder=0)
    if with_legend:
        label = f"shaded: annealing, temperature {hottest:g} at most"
        axes.set_title(label, loc="left", color=_HEAT, pad=3, fontsize=7)


def _changes(values: Floats) -> list[int]:
    """Where runs of equal values begin."""
    return [0, *(int(place) + 1 for place in np.flatnonzero(values[1:] != values[:-1]))]


def _draw_use(axes: "Axes", use: Floats, n_shown: int) -> None:
    """How often the fields are used, in their order."""
    axes.stairs(use, np.arange(len(use) + 1) + 0.5, fill=True, color=_ACCENT, linewidth=0)
    if n_shown < len(use):
        axes.axvline(n_shown + 0.5, color=_HEAT, linewidth=0.8)
        axes.text(n_shown, float(use.max()), "← drawn ", color=_HEAT, ha="right", va="top", fontsize=7)
    axes.set_xlim(0.5, len(use) + 0.5)
    axes.set_ylim(0, 1.1 * max(float(use.max()), 1e-12))
    axes.grid(True, axis="y")
    axes.locator_params(axis="y", nbins=4)
    _count_on(axes)
    axes.set_xlabel("fields in order of use")
    axes.set_ylabel("use")


def _tiles(W: Floats, patch_shape: tuple[int, ...]) -> Pixels:
    """(H, height, width, 3) gray or color tiles, zero in the middle of the scale."""
    fields = W.T.reshape(-1, *patch_shape)
    largest = np.abs(fields).max(axis=(1, 2, 3), keepdims=True)
    return _eight_bit(127.5 + 127.5 * fields / np.where(largest > 0, largest, 1))


def _mosaic(tiles: Pixels, n_columns: int | None = None) -> Pixels:
    """All tiles on white, framed, in rows; enlarged by whole pixels."""
    n_tiles, height, width, _ = tiles.shape
    n_columns = n_columns or _n_columns(n_tiles, height / width)
    zoom = max(1, min(_MOSAIC_WIDTH // (n_columns * (width + 1)), _LARGEST_TILE // max(height, width)))
    gap = max(2, zoom // 2)
    framed_height, framed_width = height * zoom + 2, width * zoom + 2
    n_rows = math.ceil(n_tiles / n_columns)
    shape = (n_rows * (framed_height + gap) - gap, n_columns * (framed_width + gap) - gap, 3)
    canvas = np.full(shape, 255, dtype=np.uint8)
    for place, tile in enumerate(tiles):
        top, left = place // n_columns * (framed_height + gap), place % n_columns * (framed_width + gap)
        canvas[top : top + framed_height, left : left + framed_width] = _FRAME
        canvas[top + 1 : top + framed_height - 1, left + 1 : left + framed_width - 1] = _enlarged(tile, zoom)
    return canvas


def _n_columns(n_tiles: int, tile_shape: float) -> int:
    """Columns that make the mosaic a bit wider than high, and its last row as full as can be."""
    ideal = math.sqrt(n_tiles * 1.3 * tile_shape)
    candidates = range(max(1, math.ceil(0.8 * ideal)), min(n_tiles, math.ceil(1.4 * ideal)) + 1)
    return min(candidates, key=lambda n_columns: (-n_tiles % n_columns / n_columns, abs(n_columns - ideal)), default=1)


def _with_channels(image: Floats) -> Floats:
    return image[:, :, None] if image.ndim == 2 else image


def _eight_bit(image: Floats) -> Pixels:
    """Rounded and clipped to 0..255, with three channels."""
    pixels = np.clip(np.rint(shown(image)), 0, 255).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:-1], 3)) if pixels.shape[-1] == 1 else pixels


def _enlarged(pixels: Pixels, zoom: int) -> Pixels:
    return pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)


@contextlib.contextmanager
def _figure(width: int, height: int) -> "Iterator[Figure]":
    """A white figure of so many pixels, in one style whatever the user's own; UserError without matplotlib."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(
            f'pictures need the package {error.name or "matplotlib"}; install it with: pip install "prosper_ng[plot]"'
        ) from error
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)


def _pixel_size(figure: "Figure") -> tuple[int, int]:
    width, height = figure.get_size_inches() * figure.dpi
    return round(width), round(height)


def _place(figure: "Figure", pixels: Pixels, left: int, bottom: int) -> None:
    """Put pixels into the figure as they are."""
    figure.figimage(pixels, xo=left, yo=bottom, origin="upper")


def _say(figure: "Figure", left: int, bottom: int, text: str, **style: Any) -> None:
    width, height = _pixel_size(figure)
    figure.text(left / width, bottom / height, text, va="bottom", ha="left", **style)


def _axes(figure: "Figure", left: int, bottom: int, width: int, height: int) -> "Axes":
    total_width, total_height = _pixel_size(figure)
    axes: Axes = figure.add_axes(
        (left / total_width, bottom / total_height, width / total_width, height / total_height)
    )
    return axes


def _save(figure: "Figure", path: Path) -> None:
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": None})

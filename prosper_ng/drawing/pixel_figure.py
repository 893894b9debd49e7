"""Figures of pixels for the pictures that every run makes, for which matplotlib takes longer to import than to draw.

`PixelFigure` and `PixelAxes` have the methods of matplotlib's `Figure` and `Axes` that the pictures of a run are drawn
with, by the same names, so that one function draws for both. They know one style, that of this package, and one format.
"""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from prosper_ng.drawing.style import DPI, EDGE, GRID, INK, TICK
from prosper_ng.drawing.ticks import labels_of, ticks_in, whole_ticks_in

Floats = NDArray[np.float64]

_SMOOTH = 3
"""How many times finer curves are drawn than they are shown."""
_LABEL, _NUMBER = 8.0, 7.0
"""Sizes of text in points."""
_THIN, _TICK = 2, 9
"""Width and length of lines at axes, in pixels."""


def fonts() -> tuple[Path, Path] | None:
    """The files of the plain and the bold font of matplotlib, which is not loaded; None where they are not there."""
    package = find_spec("matplotlib")
    folders = (package.submodule_search_locations or []) if package else []
    for folder in folders:
        found = [Path(folder) / "mpl-data" / "fonts" / "ttf" / f"DejaVuSans{kind}.ttf" for kind in ("", "-Bold")]
        if all(file.is_file() for file in found):
            return found[0], found[1]
    return None


@cache
def _font(size: float, bold: bool) -> ImageFont.FreeTypeFont:
    files = fonts()
    assert files is not None
    return ImageFont.truetype(str(files[bold]), size * DPI / 72)


class _Curve(NamedTuple):
    x: Floats
    y: Floats
    color: str
    dots: float
    """Diameter of a dot at each point in pixels; 0 for none."""


class PixelFigure:
    """A white picture with axes and text at places in shares of its width and height, as matplotlib has them."""

    dpi = DPI

    def __init__(self, width: int, height: int) -> None:
        """One of so many pixels."""
        self.image = Image.new("RGB", (width, height), "white")
        self._axes: list[PixelAxes] = []

    def get_size_inches(self) -> Floats:
        """(2,) width and height."""
        return np.array(self.image.size) / DPI

    def add_axes(self, box: Sequence[float]) -> "PixelAxes":
        """New axes at left, bottom, width, height."""
        width, height = self.image.size
        left, bottom, wide, high = (round(part * side) for part, side in zip(box, (width, height) * 2, strict=True))
        self._axes.append(PixelAxes(self, left, height - bottom - high, wide, high))
        return self._axes[-1]

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Write, from the left and above y."""
        width, height = self.image.size
        bold = style.get("weight") == "bold"
        self.write(x * width, (1 - y) * height, text, "ld", style.get("color", INK), style.get("size", _LABEL), bold)

    def write(
        self, x: float, y: float, text: str, anchor: str, color: str, size: float = _NUMBER, bold: bool = False
    ) -> None:
        """Write at a pixel, counted from the top left; `anchor` as Pillow has it."""
        draw = ImageDraw.Draw(self.image)
        draw.multiline_text((x, y), text, color, _font(size, bold), anchor, align="center", spacing=6)

    def write_upwards(self, right: float, middle: float, text: str) -> None:
        """Write lines from below upwards, that end at a pixel from the left."""
        font = _font(_LABEL, False)
        draw = ImageDraw.Draw(self.image)
        left, top, end, below = draw.multiline_textbbox((0, 0), text, font, align="center", spacing=6)
        mask = Image.new("L", (int(end - left) + 2, int(below - top) + 2))
        ImageDraw.Draw(mask).multiline_text((1 - left, 1 - top), text, 255, font, align="center", spacing=6)
        mask = mask.rotate(90, expand=True)
        self.image.paste(INK, (round(right - mask.width), round(middle - mask.height / 2)), mask)

    def savefig(self, path: Any, **_: Any) -> None:
        """Draw, and write a PNG without date and program."""
        for axes in self._axes:
            axes.draw()
        self._axes.clear()
        self.image.save(path, "PNG", dpi=(DPI, DPI))


class PixelAxes:
    """Curves, steps or pixels in a frame; what they are told is drawn when the figure is saved."""

    of_pixels = True

    def __init__(self, figure: PixelFigure, left: int, top: int, width: int, height: int) -> None:
        """Those at these pixels of the figure, counted from its top left."""
        self._figure, self._left, self._top, self._width, self._height = figure, left, top, width, height
        self._curves: list[_Curve] = []
        self._steps: list[tuple[Floats, Floats, str]] = []
        self._spans: list[tuple[float, float, str, float]] = []
        self._texts: list[tuple[float, float, str, dict[str, Any]]] = []
        self._titles: list[tuple[str, dict[str, Any]]] = []
        self._pixels: NDArray[np.uint8] | None = None
        self._labels, self._label_at = {"x": "", "y": ""}, 0.0
        self._limits: dict[str, tuple[float, float]] = {}
        self._n_bins, self._margin, self._is_log, self._has_numbers_below = 5, 0.05, False, True
        self.yaxis = self

    # What is drawn, by the names of matplotlib.

    def plot(self, x: Floats, y: Floats, color: str, marker: str | None = None, markersize: float = 0.0) -> None:
        """A curve."""
        self._curves.append(_Curve(x, y, color, (markersize + 1) * DPI / 72 if marker else 0.0))

    def stairs(self, values: Floats, edges: Floats, color: str, **_: Any) -> None:
        """Steps (n,), filled down to zero, between edges (n + 1,)."""
        self._steps.append((values, edges, color))

    def axvspan(self, left: float, right: float, color: str, alpha: float, **_: Any) -> None:
        """Shade a stretch."""
        self._spans.append((left, right, color, alpha))

    def axvline(self, x: float, color: str, **_: Any) -> None:
        """A line from top to bottom."""
        self._curves.append(_Curve(np.array([x, x]), np.array([-np.inf, np.inf]), color, 0.0))

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Write at a point of the data."""
        self._texts.append((x, y, text, style))

    def imshow(self, pixels: NDArray[np.uint8], **_: Any) -> None:
        """Pixels, one for each of the figure."""
        self._pixels = pixels

    def set_title(self, text: str, **style: Any) -> None:
        """Write above, left or right."""
        self._titles.append((text, style))

    def set_xlabel(self, text: str) -> None:
        """Write below."""
        self._labels["x"] = text

    def set_ylabel(self, text: str) -> None:
        """Write beside, upwards."""
        self._labels["y"] = text

    def set_label_coords(self, x: float, _: float) -> None:
        """Where what stands beside ends, in widths of the axes."""
        self._label_at = x

    # How it is drawn.

    def set_xlim(self, left: float, right: float) -> None:
        """What is at the left and right."""
        self._limits["x"] = (left, right)

    def set_ylim(self, below: float, above: float) -> None:
        """What is below and above."""
        self._limits["y"] = (below, above)

    def set_xscale(self, _: str) -> None:
        """Logarithmic."""
        self._is_log = True

    def margins(self, y: float) -> None:
        """Leave room above and below curves."""
        self._margin = y

    def locator_params(self, axis: str, nbins: int) -> None:
        """How many steps between numbers beside there are at most."""
        self._n_bins = nbins

    def tick_params(self, labelbottom: bool) -> None:
        """Whether there are numbers below."""
        self._has_numbers_below = labelbottom

    def grid(self, *_: Any, **__: Any) -> None:
        """Lines at the numbers beside, which there always are."""

    def ticklabel_format(self, **_: Any) -> None:
        """Numbers without an offset, as they always are."""

    def set(self, **_: Any) -> None:
        """Limits of pixels, which are shown as they are."""

    def set_axis_off(self) -> None:
        """No frame, as pixels never have one."""

    def draw(self) -> None:
        """Draw it all."""
        if self._pixels is not None:
            self._figure.image.paste(Image.fromarray(np.ascontiguousarray(self._pixels)), (self._left, self._top))
            return
        low, high = self._limits.get("y") or self._room()
        self._limits["y"] = (low, high)
        for left, right, color, alpha in self._spans:
            start, stop = (round(float(each)) for each in self._across(np.array([left, right])))
            mask = Image.new("L", (max(stop - start, 0), self._height), round(255 * alpha))
            self._figure.image.paste(color, (self._left + start, self._top), mask)
        self._draw_numbers_beside(low, high)
        for values, edges, color in self._steps:
            points = np.concatenate([[edges[0]], edges.repeat(2)[1:-1], [edges[-1]]])
            self._fill(points, np.concatenate([[0.0], values.repeat(2), [0.0]]), color)
        for curve in self._curves:
            self._draw_curve(curve)
        self._draw_frame()
        self._write_around()

    def _room(self) -> tuple[float, float]:
        """The limits beside, with room around the curves."""
        values = np.concatenate([curve.y for curve in self._curves])
        low, high = float(values.min()), float(values.max())
        if low == high:
            low, high = low - (0.05 * abs(low) or 0.05), high + (0.05 * abs(high) or 0.05)
        room = self._margin * (high - low)
        return low - room, high + room

    def _across(self, x: Floats) -> Floats:
        """Pixels from the left of the axes."""
        left, right = self._limits["x"]
        if self._is_log:
            x, left, right = np.log(np.maximum(x, left)), float(np.log(left)), float(np.log(right))
        return np.asarray(np.clip((x - left) / (right - left), -1, 2) * self._width)

    def _down(self, y: Floats) -> Floats:
        """Pixels from the top of the axes."""
        low, high = self._limits["y"]
        return np.asarray(np.clip((high - y) / (high - low), -1, 2) * self._height)

    def _points(self, x: Floats, y: Floats) -> list[float]:
        """On the fine grid, x and y by turns."""
        across, down = self._across(np.asarray(x, dtype=float)), self._down(np.asarray(y, dtype=float))
        return [float(each) for each in (_SMOOTH * np.stack([across, down], axis=1)).ravel()]

    def _fine(self) -> Image.Image:
        return Image.new("L", (_SMOOTH * self._width, _SMOOTH * self._height))

    def _paste(self, fine: Image.Image, color: str) -> None:
        self._figure.image.paste(color, (self._left, self._top), fine.reduce(_SMOOTH))

    def _draw_curve(self, curve: _Curve) -> None:
        fine, points = self._fine(), self._points(curve.x, curve.y)
        draw, radius = ImageDraw.Draw(fine), _SMOOTH * curve.dots / 2
        if len(points) > 2:
            draw.line(points, 255, round(_SMOOTH * 1.3 * DPI / 72), joint="curve")
        for x, y in zip(points[::2], points[1::2], strict=True) if radius else ():
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), 255)
        self._paste(fine, curve.color)

    def _fill(self, x: Floats, y: Floats, color: str) -> None:
        fine = self._fine()
        ImageDraw.Draw(fine).polygon(self._points(x, y), 255)
        self._paste(fine, color)

    def _draw_numbers_beside(self, low: float, high: float) -> None:
        ticks = ticks_in(low, high, self._n_bins)
        draw = ImageDraw.Draw(self._figure.image)
        for tick, label in zip(ticks, labels_of(ticks), strict=True):
            y = self._top + round(float(self._down(np.array(tick))))
            draw.rectangle((self._left, y - 1, self._left + self._width - 1, y), GRID)
            draw.rectangle((self._left - _TICK, y - 1, self._left, y), TICK)
            self._figure.write(self._left - 2 * _TICK, y, label, "rm", TICK)

    def _draw_frame(self) -> None:
        draw, bottom = ImageDraw.Draw(self._figure.image), self._top + self._height
        draw.rectangle((self._left - 1, self._top, self._left - 2 + _THIN, bottom), EDGE)
        draw.rectangle((self._left - 1, bottom, self._left + self._width - 1, bottom + _THIN - 1), EDGE)
        for tick in whole_ticks_in(*self._limits["x"], is_log=self._is_log):
            x = self._left + round(float(self._across(np.array(tick))))
            draw.rectangle((x - 1, bottom, x, bottom + _TICK), TICK)
            if self._has_numbers_below:
                self._figure.write(x, bottom + 2 * _TICK, f"{tick:,.0f}", "ma", TICK)

    def _write_around(self) -> None:
        write, right, bottom = self._figure.write, self._left + self._width, self._top + self._height
        for text, style in self._titles:
            is_right = style["loc"] == "right"
            end, anchor = (right, "rd") if is_right else (self._left, "ld")
            write(end, self._top - style["pad"] * DPI / 72, text, anchor, style["color"], style["fontsize"])
        for x, y, text, style in self._texts:
            at = self._left + float(self._across(np.array(x))), self._top + float(self._down(np.array(y)))
            write(*at, text, {"right": "ra", "center": "ma"}[style["ha"]], style["color"], style["fontsize"])
        write(self._left + self._width / 2, bottom + 5 * _TICK, self._labels["x"], "ma", INK, _LABEL)
        if self._labels["y"]:
            at_left = self._left + (self._label_at or -0.085) * self._width
            self._figure.write_upwards(at_left, self._top + self._height / 2, self._labels["y"])

"""Dictionary elements in cells: tiles where they are patches of images, else curves, or bars where they are short."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.drawing.pixels import FRAME, MOSAIC_WIDTH, Grid, grid_of_tiles, mosaic_in, n_columns_of, tiles
from prosper_ng.drawing.style import BLUE, DPI, EDGE, PALE
from prosper_ng.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

MOST_ELEMENTS = 1024
_MOST_NUMBERED = 100
_MOST_BARS = 32
_WIDEST_CURVE, _CURVE_SHAPE = 300, 0.6
_FOOT = 26
"""Pixels below a cell for the number of its element."""


class Shown(NamedTuple):
    """What of a dictionary is drawn."""

    n_elements: int
    """H, of the whole dictionary."""
    which: Indices
    """The elements drawn, in their order."""
    n_asked: int
    """How many should have been."""
    chosen: bool
    """Whether they were named; else they are the first ones, the most used first where `by_use`."""
    by_use: bool
    numbered: bool
    """Whether each stands with its number."""

    @property
    def words(self) -> str:
        """How many of how many, and in which order."""
        n_shown = f"{len(self.which):,} of " if len(self.which) != self.n_elements else ""
        count = f"{n_shown}{self.n_elements:,} element{'s' if self.n_elements > 1 else ''}"
        if self.chosen:
            return count + (f", the first of {self.n_asked:,} chosen" if len(self.which) < self.n_asked else "")
        return count + (", the most active first" if self.by_use and self.n_elements > 1 else "")


def shown_of(n_elements: int, use: Floats | None, chosen: Indices | None = None, numbered: bool = False) -> Shown:
    """Those that are `chosen`, in that order, else all; of more than 1024 the first. Few enough can be `numbered`."""
    order = order_of_use(n_elements, use) if chosen is None else chosen
    which = order[:MOST_ELEMENTS]
    numbered = numbered and len(which) <= _MOST_NUMBERED
    return Shown(n_elements, which, len(order), chosen is not None, use is not None, numbered)


def chosen_of(elements: Any, n_elements: int) -> Indices:
    """The indices of elements that are named: a number, numbers, a slice, or a mask. UserError where they are none."""
    legal = f"elements are numbers from 0 to {n_elements - 1}, a slice of them, or a mask of {n_elements}"
    try:
        found = np.arange(n_elements)[elements] if isinstance(elements, slice) else np.atleast_1d(elements)
    except (TypeError, ValueError):
        raise UserError(f"{legal}, not {elements!r}") from None
    if found.dtype == np.bool_ and found.shape == (n_elements,):
        found = np.flatnonzero(found)
    elif found.size and (found.dtype.kind not in "iu" or found.ndim != 1):
        said = f"a mask of {found.shape}" if found.dtype == np.bool_ else repr(elements)
        raise UserError(f"{legal}, not {said}")
    if not found.size:
        raise UserError(f"no elements are chosen; {legal}")
    outside = found[(found < -n_elements) | (found >= n_elements)]
    if outside.size:
        raise UserError(f"there is no element {outside[0]}: {legal}")
    return found.astype(np.intp) % n_elements


def elements_named(text: str, n_elements: int) -> Indices:
    """The indices in a text such as `0-15,40`; UserError where they are none."""
    found: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part.strip(), re.ASCII)
        first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (1, 0)
        if not first <= last < n_elements:
            raise UserError(
                f"{part.strip()!r} in {text!r} names no dictionary elements: give numbers and ranges from 0 to "
                f"{n_elements - 1}, such as 0-{min(15, n_elements - 1)}"
            )
        found += range(first, last + 1)
    return np.array(found, dtype=np.intp)


def order_of_use(n_elements: int, use: Floats | None) -> Indices:
    """The dictionary elements, the most used first; in their own order where the use is not known."""
    return np.arange(n_elements) if use is None else np.argsort(-use, kind="stable")


def scale_in_words(patch_shape: Sequence[int] | None) -> str:
    """What gray levels and heights mean."""
    zero = "zero is gray" if patch_shape is not None else "zero is the gray line"
    return f"each scaled to its own largest magnitude; {zero}"


def grid_of(shown: Shown, patch_shape: Sequence[int] | None) -> Grid:
    """The cells of the elements, which are curves where they are no patches."""
    n_shown, foot = len(shown.which), _FOOT if shown.numbered else 0
    if patch_shape is not None:
        return grid_of_tiles(n_shown, patch_shape[0], patch_shape[1], foot=foot)
    n_columns = n_columns_of(n_shown, 1.0)  # wider than pictures, since curves are read across
    pitch = min(_WIDEST_CURVE, MOSAIC_WIDTH // n_columns)
    gap = max(4, pitch // 12)
    return Grid(n_shown, n_columns, round(_CURVE_SHAPE * (pitch - gap)), pitch - gap, gap, foot)


def draw_elements(
    axes: "Axes", W: Floats, shown: Shown, patch_shape: Sequence[int] | None, exact: bool = False
) -> None:
    """Draw columns of W (D, H) in cells; `exact` axes have a pixel for each of theirs, and are never resampled."""
    grid, elements = grid_of(shown, patch_shape), W[:, shown.which]
    if patch_shape is not None:
        draw_tiles(axes, elements, patch_shape, grid, exact)
    else:
        _draw_curves(axes, elements, grid)
    for place, number in enumerate(shown.which if shown.numbered else ()):
        top, left = grid.corner(place)
        below = top + grid.height + 3
        axes.text(left + grid.width / 2, below, f"{number}", ha="center", va="top", fontsize=6, color=PALE)


def draw_tiles(axes: "Axes", elements: Floats, patch_shape: Sequence[int], grid: Grid, exact: bool = False) -> None:
    """Draw elements (D, n) as tiles in the cells of a grid; see `draw_elements`."""
    height, width = grid.size
    pixels = mosaic_in(grid, tiles(elements, patch_shape))
    axes.imshow(pixels, extent=(0, width, height, 0), interpolation="none" if exact else "antialiased")
    if exact:
        _frame(axes, grid)
    _fit(axes, grid)


def _fit(axes: "Axes", grid: Grid) -> None:
    height, width = grid.size
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axes.set_axis_off()


def _frame(axes: "Axes", grid: Grid) -> None:
    """Lines where the pixels of frames are, which vanish where a page is shown smaller than it is."""
    from matplotlib.collections import PolyCollection

    corners = np.array([grid.corner(place)[::-1] for place in range(grid.n_cells)])
    right, below = grid.width - 0.5, grid.height - 0.5
    frames = corners[:, None] + np.array([[0.5, 0.5], [right, 0.5], [right, below], [0.5, below]])
    color = (FRAME / 255,) * 3
    axes.add_collection(
        PolyCollection(
            list(frames), facecolors="none", edgecolors=[color], linewidths=72 / DPI, antialiaseds=False, snap=False
        )
    )


def curves_in(grid: Grid, elements: Floats) -> tuple[Floats, Floats]:
    """Elements (D, n) over the columns of the data, upwards what is positive: (n, points, 2) pixels in their cells.

    Short ones go in steps, which begin and end at zero. Beside them (n, 2, 2), the lines where zero is.
    """
    heights, zero = _heights(elements, grid)
    n_values = heights.shape[1]
    x = np.linspace(0, grid.width, n_values)
    if n_values <= _MOST_BARS:
        x = np.linspace(0, grid.width, n_values + 1).repeat(2)
        heights = np.pad(heights.repeat(2, axis=1), ((0, 0), (1, 1)), constant_values=zero)
    corners = np.array([grid.corner(place) for place in range(grid.n_cells)])
    tops, lefts = corners[:, :1], corners[:, 1:]
    zeros = np.stack([lefts + np.array([0, grid.width]), tops + np.array([zero, zero])], axis=-1)
    return np.stack([lefts + x, tops + heights], axis=-1), zeros


def _draw_curves(axes: "Axes", elements: Floats, grid: Grid) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    curves, zeros = curves_in(grid, elements)
    axes.add_collection(LineCollection(list(zeros), colors=EDGE, linewidths=0.5, zorder=1))
    if len(elements) <= _MOST_BARS:
        axes.add_collection(PolyCollection(list(curves), facecolors=BLUE, linewidths=0, zorder=2))
    else:
        thin = 0.7 if grid.width > 80 else 0.4
        axes.add_collection(LineCollection(list(curves), colors=BLUE, linewidths=thin, zorder=2))
    _fit(axes, grid)


def _heights(elements: Floats, grid: Grid) -> tuple[Floats, float]:
    """(n, D or fewer) pixels below the top of a cell, and where zero is: at its foot if nothing is negative."""
    values = _outline(elements.T, 2 * grid.width)
    values = values / np.maximum(np.abs(values).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    # Zero is in the middle, unless there is nothing below it.
    scale, zero = (grid.height, float(grid.height)) if values.min() >= 0 else (grid.height / 2, grid.height / 2)
    return zero - scale * values, zero


def _outline(values: Floats, most: int) -> Floats:
    """Curves (n, D) as they are; of more than `most` values the lowest and the highest of each piece by turns."""
    n_values = values.shape[1]
    if n_values <= most:
        return values
    edges = np.linspace(0, n_values, most // 2, endpoint=False).astype(np.intp)
    pieces = [extreme.reduceat(values, edges, axis=1) for extreme in (np.minimum, np.maximum)]
    return np.stack(pieces, axis=-1).reshape(len(values), -1)

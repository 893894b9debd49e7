"""A page of characters in a font, and dirt on it: what the cleaning of documents is tried on."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError
from prosper_ng.data.picture_pages import extra

Floats = NDArray[np.float64]
Dirt = Literal["strokes", "stains", "blots", "speckles"]

WHITE = 255.0
_MARGIN = 8
_BLANK = 0.15
"""The share of places in a line that are blank."""
_PIXELS = 20_000.0
"""Of a page, for which there is one stroke, one stain and so on."""


class Type(NamedTuple):
    """How characters are set."""

    font: str
    size: int
    characters: str
    gap: int
    """Pixels between a character and the next, beyond what the font has, and between lines."""


def font_file(font: str) -> Path:
    """A file of a font, or one of the fonts that come with matplotlib: DejaVuSans, STIXGeneral, cmr10.

    Raises DataError where there is none.
    """
    if Path(font).suffix:
        path = Path(font)
    else:
        path = Path(extra("matplotlib").get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"
    if not path.is_file():
        raise DataError(f"there is no font {font}; name a file .ttf, or a font of matplotlib such as DejaVuSans")
    return path


def clean_page(height: int, width: int, kind: Type, rng: np.random.Generator) -> Floats:
    """(height, width) black characters on white, drawn at random."""
    font = extra("PIL.ImageFont").truetype(str(font_file(kind.font)), kind.size)
    image = extra("PIL.Image").new("L", (width, height), 255)
    drawing: Any = extra("PIL.ImageDraw").Draw(image)
    ascent, descent = font.getmetrics()
    for bottom in range(_MARGIN + ascent, height - _MARGIN - descent, ascent + descent + kind.gap):
        left = float(_MARGIN)
        while True:
            character = kind.characters[rng.integers(len(kind.characters))]
            advance = round(font.getlength(character)) + kind.gap
            if left + advance > width - _MARGIN:
                break
            if rng.random() >= _BLANK:
                drawing.text((left, bottom), character, fill=0, font=font, anchor="ls")
            left += advance
    return np.asarray(image, dtype=np.float64)


def dirty(page: Floats, dirt: tuple[Dirt, ...], amount: float, rng: np.random.Generator) -> Floats:
    """The page with `amount` times as much dirt of these kinds as usual; nothing becomes brighter."""
    number = max(1, round(amount * page.size / _PIXELS))
    for kind in dirt:
        for _ in range(number * (12 if kind == "speckles" else 2 if kind == "blots" else 1)):
            page = _DIRT[kind](page, rng)
    return page


def _stroke(page: Floats, rng: np.random.Generator) -> Floats:
    """A curved line of a pen."""
    (height, width), t = page.shape, np.linspace(0, 1, 400)
    ends = rng.random((3, 2)) * (height, width)
    reach = min(height, width) / 2.5
    ends[1:] = ends[0] + np.clip(ends[1:] - ends[0], -reach, reach)
    line = np.outer((1 - t) ** 2, ends[0]) + np.outer(2 * t * (1 - t), ends[1]) + np.outer(t**2, ends[2])
    return _darkened(page, line, rng.uniform(0.8, 2.0), rng.uniform(0, 60))


def _speckle(page: Floats, rng: np.random.Generator) -> Floats:
    return _darkened(page, rng.random((1, 2)) * page.shape, rng.uniform(0.6, 1.6), rng.uniform(0, 80))


def _blot(page: Floats, rng: np.random.Generator) -> Floats:
    """Several drops beside each other."""
    drops = rng.random(2) * page.shape + rng.normal(scale=3.0, size=(6, 2))
    for drop in drops:
        page = _darkened(page, drop[None], rng.uniform(1.5, 4.0), rng.uniform(0, 60))
    return page


def _stain(page: Floats, rng: np.random.Generator) -> Floats:
    """Something gray that lets ink through."""
    rows, columns = np.indices(page.shape)
    center, radii, turn = rng.random(2) * page.shape, rng.uniform(8, 26, 2), rng.uniform(0, np.pi)
    down, across = rows - center[0], columns - center[1]
    along, beside = np.cos(turn) * down + np.sin(turn) * across, np.cos(turn) * across - np.sin(turn) * down
    edge = np.clip((1 - np.hypot(along / radii[0], beside / radii[1])) * radii.min(), 0, 1)
    return page * (1 - edge * (1 - rng.uniform(0.35, 0.48)))


def _darkened(page: Floats, points: Floats, radius: float, value: float) -> Floats:
    """The page with a value within a radius of points (n, 2), with smooth edges."""
    page = page.copy()
    reach = int(np.ceil(radius)) + 1
    for down, across in points:
        top, left = max(0, round(down) - reach), max(0, round(across) - reach)
        part = page[top : round(down) + reach + 1, left : round(across) + reach + 1]
        rows, columns = np.indices(part.shape)
        cover = np.clip(radius + 0.5 - np.hypot(rows + top - down, columns + left - across), 0, 1)
        np.minimum(part, WHITE + cover * (value - WHITE), out=part)
    return page


_DIRT = {"strokes": _stroke, "stains": _stain, "blots": _blot, "speckles": _speckle}

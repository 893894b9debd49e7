"""A page cleaned by the glyphs that were learned from it: which are characters, where these are, and no more.

A glyph is a character by what was learned of it: its masks are sure where it has ink, which ends within the patch, and
is no more of the same a few pixels further, as that of strokes and stains is; and it is there as often as others.
Places are found one after the other, the best first; ink that one explains is seen by no other.
"""

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel
from prosper_ng.models._glyphs import UNSEEN, Layout, Prepared, gain, kinds_of
from prosper_ng.numerics.named_arrays import NamedArrays

Floats = NDArray[np.float64]

SURE = 0.7
"""The least mean probability of masks of a character, of its ink."""
ENDS = 4.0
"""The most pixels of its ink that lie at the border of the patch."""
ALIKE = 0.6
"""The largest share of its ink that meets ink where it is shifted."""
OFTEN = 0.2
"""How often it is there, in units of how often the others are in the middle."""
TELLS = 0.6
"""The least evidence of a pixel of its ink, in units of what that of the others is in the middle: that of dirt is low,
since the background knows dirt."""
_LEAST_INK = 4
_APART = 2
"""No character is nearer to another, in pixels."""
_CLEAR, _FAINT, _MASKED = 0.5, 0.1, 0.5
"""Ink differs from paper by more than this part of what it differs by at most."""


class Judged(NamedTuple):
    """What is told of each glyph (C,)."""

    sure: Floats
    """The mean probability of masks, of its ink."""
    border: Floats
    """How many pixels of its ink lie at the border of the patch."""
    alike: Floats
    """The largest share of its ink that meets ink where it is shifted by 4 or 5 pixels."""
    share: Floats
    """Of the patches."""
    ink: Floats
    """How many pixels of ink it has."""
    tells: Floats
    """The evidence of a pixel of its ink, where it is alone on paper."""
    is_character: NDArray[np.bool_]


class Place(NamedTuple):
    """A character on a page."""

    glyph: int
    top: int
    """Of the patch in which it is not shifted,"""
    left: int
    evidence: float
    """log p(y | glyph) over p(y | background)."""


def pictures(values: Floats, layout: Layout) -> Floats:
    """(C, height, width) what glyphs have (D, C); 0 where the last row is not complete."""
    found = np.zeros((values.shape[1], layout.height * layout.width))
    found[:, : len(values)] = values.T
    return found.reshape(-1, layout.height, layout.width)


def contrast(params: NamedArrays, layout: Layout) -> Floats:
    """(C, height, width) what glyphs differ from paper by where masks have them, 1 where that is most."""
    difference = params["W"] - params["B"][np.argmax(params["rho"])]
    shown = np.maximum(np.sign(np.sum(params["alpha"] * difference, axis=0)) * difference, 0.0)
    sure = shown[params["alpha"] > 0.5]
    most = float(np.quantile(sure, 0.98)) if len(sure) else 0.0
    return pictures(np.minimum(shown / max(most, 1e-300), 1.0), layout)


def judged(params: NamedArrays, prepared: Prepared) -> Judged:
    """Which glyphs are characters."""
    layout = prepared.layout
    clear = contrast(params, layout)
    alpha = pictures(params["alpha"], layout)
    weights = np.where((clear > _CLEAR) & (alpha > _MASKED), alpha, 0.0)
    ink = weights.sum(axis=(1, 2))
    sure = np.sum(weights * alpha, axis=(1, 2)) / np.maximum(ink, 1e-300)
    border = np.sum(weights * alpha, axis=(1, 2)) - np.sum((weights * alpha)[:, 1:-1, 1:-1], axis=(1, 2))
    alike = np.array([_alike(each) for each in np.where(alpha > _MASKED, clear * alpha, 0.0)])
    share = params["pi"][:-1] / params["pi"].sum()
    tells = np.array([_alone(prepared, c) for c in range(len(ink))]) / np.maximum(ink, 1.0)
    can_be = (sure >= SURE) & (border <= ENDS) & (alike <= ALIKE) & (ink >= _LEAST_INK)
    for what, least in ((tells, TELLS), (share, OFTEN)):
        can_be &= what >= least * (float(np.median(what[can_be])) if can_be.any() else 0.0)
    return Judged(sure, border, alike, share, ink, tells, can_be)


def _alike(ink: Floats) -> float:
    """The largest share of ink (height, width) that meets ink where it is shifted by 4 or 5 pixels."""
    ink = np.where(ink > 0.4, ink, 0.0)
    height, width = ink.shape
    wide = np.pad(ink, 5)
    shifts = [each for each in product(range(11), repeat=2) if max(abs(each[0] - 5), abs(each[1] - 5)) >= 4]
    met = max(float(np.sum(ink * wide[i : i + height, j : j + width])) for i, j in shifts)
    return met / max(float(np.sum(np.square(ink))), 1e-300)


def places(
    page: Floats, prepared: Prepared, ink: NDArray[np.bool_], characters: NDArray[np.int64], least: float
) -> list[Place]:  # fmt: skip
    """Where characters are on a page (height, width), those of most evidence first.

    `ink` (C, height, width) says which pixels of a glyph are ink; `least` is the evidence that is needed, as a share of
    that of the character by itself.
    """
    layout = prepared.layout
    rows, columns = layout.height, layout.width
    height, width = page.shape
    stride = width + 2 * columns + 8
    values = np.zeros((1, (height + 2 * rows) * stride))
    losses = np.full(values.shape, UNSEEN)
    at = (np.arange(height) + rows)[:, None] * stride + columns + np.arange(width)
    scaled = (page - prepared.center) / prepared.unit
    values[0, at], losses[0, at] = scaled, -kinds_of(prepared.background, scaled.reshape(1, -1))[0].reshape(page.shape)
    tables = prepared.means, prepared.halves, prepared.odds, prepared.logs
    numbers = np.array([rows, prepared.means.shape[1] // rows, stride], np.int64)
    usual = np.array([_alone(prepared, c) for c in range(len(prepared.means))])
    best = np.full((height + rows, width + columns), np.inf)
    which = np.zeros(best.shape, np.int64)
    is_free = np.ones(best.shape, bool)
    _fill_evidence(
        values, losses, numbers, *tables, characters, usual, 0, height + rows, 0, width + columns, is_free, best, which
    )
    found: list[Place] = []
    while True:
        top, left = divmod(int(np.argmax(best)), best.shape[1])
        if best[top, left] < least:
            return found
        c = int(which[top, left])
        found.append(Place(c, top - rows, left - columns, float(best[top, left] * usual[c])))
        own = ((top + np.arange(rows))[:, None] * stride + left + np.arange(columns))[ink[c]]
        losses[0, own] = UNSEEN
        is_free[max(0, top - _APART) : top + _APART + 1, max(0, left - _APART) : left + _APART + 1] = False
        ends = min(top + rows, height + rows), min(left + columns, width + columns)
        _fill_evidence(
            values, losses, numbers, *tables, characters, usual, max(0, top - rows), ends[0], max(0, left - columns),
            ends[1], is_free, best, which,
        )  # fmt: skip


def drawn(shape: tuple[int, int], found: list[Place], params: NamedArrays, layout: Layout) -> Floats:
    """(height, width) paper with the characters on it."""
    paper = float(params["B"][np.argmax(params["rho"])])
    clear = contrast(params, layout)
    whole = np.zeros((shape[0] + 2 * layout.height, shape[1] + 2 * layout.width))
    shown = pictures(params["W"] - paper, layout)
    shown *= (clear > _FAINT) & (pictures(params["alpha"], layout) > _MASKED)
    for place in found:
        top, left = place.top + layout.height, place.left + layout.width
        part = whole[top : top + layout.height, left : left + layout.width]
        own = shown[place.glyph]
        part[...] = np.where(np.abs(own) > np.abs(part), own, part)
    return paper + whole[layout.height : layout.height + shape[0], layout.width : layout.width + shape[1]]


def _alone(prepared: Prepared, c: int) -> float:
    """The evidence of a glyph where it is alone on paper."""
    paper = prepared.background[0][np.argmax(prepared.background[2] + 0.5 * np.log(0.5 / prepared.background[1]))]
    y = np.where(prepared.alphas[c] > 0.5, prepared.means[c], paper)[None]
    log_density = kinds_of(prepared.background, y)[0]
    losses = np.where(prepared.odds[c] > UNSEEN, -log_density, UNSEEN)
    score = prepared.odds[c] + losses - prepared.halves[c] * np.square(y - prepared.means[c])
    found = np.logaddexp(0.0, score) + np.where(prepared.odds[c] > UNSEEN, prepared.logs[c], 0.0)
    return max(float(found.sum() - 0.5 * np.sum(prepared.alphas[c] * (prepared.alphas[c] > 0.5))), 1e-300)


@kernel
def _fill_evidence(
    values: Any, losses: Any, numbers: Any, means: Any, halves: Any, odds: Any, logs: Any, characters: Any, usual: Any,
    first_top: int, end_top: int, first_left: int, end_left: int, is_free: Any, best: Any, which: Any,
) -> None:  # fmt: skip
    """Fill in the largest share of the usual evidence of characters at each place, and whose it is.

    Where there was no evidence ink that is explained elsewhere makes none.
    """
    for top in range(first_top, end_top):
        for left in range(first_left, end_left):
            if best[top, left] <= 0.0:
                continue
            best[top, left] = -np.inf
            for c in characters if is_free[top, left] else characters[:0]:
                found = gain(
                    values, losses, 0, top * numbers[2] + left, numbers[2], 0, numbers[0], c, means, halves, odds,
                    logs, numbers[1],
                ) / usual[c]  # fmt: skip
                if found > best[top, left]:
                    best[top, left], which[top, left] = found, c

"""Which values of a picture are black and white, told or found, and the way from there to the 8-bit scale, 0 to 255."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError

Floats = NDArray[np.float64]

WHITE = 255.0
_NOISE = 2.0
"""Times the scale: so far beyond black and white noise may take the values of a picture that is on a usual scale."""
_DARK = 0.25
"""Of the scale: where no value goes beyond, white may be another one."""
_USUAL_BITS = (8, 10, 12, 14, 16)


class Scale(NamedTuple):
    """The values of black and white."""

    low: float
    peak: float

    def to_eight_bits(self, values: NDArray[Any]) -> Floats:
        """The values as float64 in an array of their own, `low` as 0 and `peak` as 255."""
        found = np.array(values, dtype=np.float64, order="C")
        if self.low != 0:
            found -= self.low
        found *= WHITE / (self.peak - self.low)
        return found

    def from_eight_bits(self, values: Floats) -> Floats:
        """What `to_eight_bits` gave, in the values of the file again."""
        return values * ((self.peak - self.low) / WHITE) + self.low


def opacity_scale(opacity: NDArray[Any]) -> Scale:
    """From clear to opaque: that of the type, of other types 0..1 or 0..255."""
    own = of_type(opacity.dtype, 8 * opacity.dtype.itemsize)
    return own or Scale(0.0, 1.0 if opacity.size == 0 or np.fmax.reduce(opacity, axis=None) <= 1 else WHITE)


class Found(NamedTuple):
    """A scale, and what is to be said of it."""

    scale: Scale
    is_certain: bool
    """Whether it is told, or that of the type."""
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


class _Guess(NamedTuple):
    """A scale, where it comes from, and why it may be another."""

    scale: Scale
    how: str
    doubts: tuple[str, ...] = ()


def of_type(dtype: np.dtype[Any], bits: int) -> Scale | None:
    """The scale of bits, and of unsigned integers with up to 16 of them; None for other types, which have none."""
    if dtype == np.bool_:
        return Scale(0.0, 1.0)
    return Scale(0.0, float(2**bits - 1)) if dtype.kind == "u" and bits <= 16 else None


def found_scale(
    pixels: NDArray[Any], bits: int, where: str, low: float | None = None, peak: float | None = None
) -> Found:
    """The scale of the colors of a picture, as it is told, as its type has it, or as its values have it.

    Raises DataError where they give none: all are missing, or are equal.
    """
    own, (smallest, largest) = of_type(pixels.dtype, bits), _range(pixels, where)
    guess = _Guess(own or Scale(0.0, 1.0), "by its type")
    if peak is not None or (own is not None and low is not None):
        guess = _Guess(Scale(low or 0.0, guess.scale.peak if peak is None else peak), "as told")
    elif own is None:
        guess = _guessed(smallest, largest, where, low)
    scale = guess.scale
    if scale.peak <= scale.low:
        raise DataError(f"{where}: white ({scale.peak:g}) must lie above black ({scale.low:g}); name `peak` and `low`")
    name = f"{bits} bits" if pixels.dtype.kind in "bu" else str(pixels.dtype)
    said = (
        f"{where}: {name} from {smallest:g} to {largest:g}, black is {scale.low:g} and white {scale.peak:g} "
        f"({guess.how})"
    )
    is_plain = pixels.dtype.itemsize == 1 and guess.how == "by its type"
    doubts = guess.doubts or _doubts(scale, own, smallest, largest, where, is_told=guess.how == "as told")
    return Found(scale, guess.how in ("as told", "by its type"), () if is_plain else (said,), doubts)


def require_numbers(pixels: NDArray[Any], where: str, missing: bool) -> None:
    """Raise DataError that names the first pixel which is infinite, or is NaN though none is said to be missing."""
    if pixels.dtype.kind != "f":
        return
    legal = ~np.isinf(pixels) if missing else np.isfinite(pixels)
    if legal.all():
        return
    row, column, _ = np.unravel_index(int(legal.argmin()), legal.shape)
    hint = "; set `mask: nan` if NaN marks missing pixels" if np.isnan(pixels[row, column]).any() else ""
    raise DataError(f"{where}: the pixel at row {row}, column {column} (counted from 0) is not a finite number{hint}")


def _range(pixels: NDArray[Any], where: str) -> tuple[float, float]:
    """The smallest and the largest value, of those that are not missing."""
    smallest, largest = np.fmin.reduce(pixels, axis=None), np.fmax.reduce(pixels, axis=None)
    if np.isnan(smallest):
        raise DataError(f"{where} has no pixel that is not missing; at least one is needed")
    return float(smallest), float(largest)


def _guessed(smallest: float, largest: float, where: str, low: float | None) -> _Guess:
    """0..1 or 0..255 where the values lie there, or not farther from it than noise takes them; else what they span."""
    black = 0.0 if low is None else low
    for peak in (1.0, WHITE):
        if black <= smallest and largest <= peak and black < peak:
            return _Guess(Scale(black, peak), "by its values")
        if black - _NOISE * peak <= smallest and largest <= peak + _NOISE * peak and black < peak:
            doubt = (
                f"{where} has values from {smallest:g} to {largest:g}, which are taken for a picture from {black:g} to "
                f"{peak:g} with noise; if white is another value, name it as `peak` (and black as `low`)"
            )
            return _Guess(Scale(black, peak), "guessed", (doubt,))
    scale = Scale(smallest if low is None else low, largest)
    doubt = (
        f"{where} has values from {smallest:g} to {largest:g}, of which the smallest is taken for black and the "
        "largest for white; PSNR and `noise` are relative to these: name `low` and `peak` if others are meant"
    )
    return _Guess(scale, "the values that it spans", (doubt,))


def _doubts(
    scale: Scale, own: Scale | None, smallest: float, largest: float, where: str, is_told: bool
) -> tuple[str, ...]:
    """What is doubtful of a scale that was told, is that of the type, or that of the values."""
    extent = scale.peak - scale.low
    if largest > scale.peak + _NOISE * extent or smallest < scale.low - _NOISE * extent:
        return (
            f"{where} has values from {smallest:g} to {largest:g}, far beyond black at {scale.low:g} and white at "
            f"{scale.peak:g}; are these meant?",
        )
    darkest = 1.0 if own == Scale(0.0, WHITE) else scale.low + _DARK * extent
    if is_told or own == Scale(0.0, 1.0) or not smallest < largest <= darkest:
        return ()
    meant = 1.0 if largest <= 1 else next(2.0**bits - 1 for bits in _USUAL_BITS if 2.0**bits > largest)
    example = f", such as `peak: {meant:g}`" if meant < scale.peak else ""
    return (
        f"{where} is dark: no value exceeds {largest:g}, and white is {scale.peak:g}; if another value is white, say "
        f"so{example}",
    )

"""What an image lacks and what it is held against: noise that is added, hidden pixels, a mask, the clean image."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError
from prosper_ng.data.image_noise.interface import ImageNoise
from prosper_ng.data.images import Picture, Reading
from prosper_ng.data.picture_files import Page
from prosper_ng.data.picture_scale import require_numbers
from prosper_ng.numerics.random_streams import stream

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Shows = Literal["missing", "observed"]
Per = Literal["pixel", "value"]

NAN = "nan"
"""As the name of a mask: NaN in the image itself."""
_NEARLY_ALL = 0.9
_COMPARED = 1 << 20
"""Values of two images that are compared, at most."""
_FEWEST_COMPARED = 400


def with_noise(image: Floats, noise: float | ImageNoise, seed: int, number: int = 0) -> Floats:
    """The image with noise, which is a function of the seed, its number among all, and its shape.

    A number is the standard deviation of white Gaussian noise.
    """
    rng = stream(seed, "image noise").generator(number)
    if isinstance(noise, int | float):
        return image + noise * rng.standard_normal(image.shape)
    return noise.damaged(image, rng)


def with_gaps(image: Floats, missing: float, per: Per, seed: int, number: int = 0) -> Floats:
    """The image with NaN in the place of pixels, or of single values, each with the probability `missing`."""
    shape = (*image.shape[:2], 1) if per == "pixel" else image.shape
    hidden = stream(seed, "missing pixels").generator(number).random(shape) < missing
    return np.where(hidden, np.nan, image)


def hidden_by(page: Page, shows: Shows, reading: Reading, shape: tuple[int, int, int]) -> tuple[Bools, tuple[str, ...]]:
    """(height, width, 1 or 3) which values are missing by a mask for an image of `shape`, and what is doubtful of it.

    What is not black counts; a mask in color hides single values. Raises DataError where it does not fit.
    """
    if page.shape[:2] != shape[:2]:
        raise DataError(
            f"mask {page.where} has {page.shape[0]} x {page.shape[1]} pixels (height x width), and the image has "
            f"{shape[0]} x {shape[1]}; both need the same"
        )
    raw = page.read()
    require_numbers(raw, page.where, missing=False)
    if raw.shape[2] in (2, 4):
        if (raw[:, :, -1] != raw[:, :, -1].max()).any():
            raise DataError(f"mask {page.where} is transparent in places; save it in black and white")
        raw = raw[:, :, :-1]
    values = np.unique(raw)
    marked = reading.cut(raw, page.where) != 0
    if reading.channels == "gray" or (marked == marked[:, :, :1]).all():
        marked = marked.any(axis=2, keepdims=True)
    hidden = marked if shows == "missing" else ~marked
    doubts = []
    if len(values) > 2:
        doubts.append(
            f"mask {page.where} has {len(values)} values, and black and white were expected; whatever is not black "
            f"counts as {shows}"
        )
    share, other = float(hidden.mean()), "observed" if shows == "missing" else "missing"
    if share > _NEARLY_ALL:
        sentence = (
            f"mask {page.where} hides {share:.1%} of the pixels, since what is not black in it counts as {shows}; if "
            f"it shows what is {other}, say `mask_shows: {other}`"
        )
        if share == 1:
            raise DataError(sentence)
        doubts.append(sentence)
    elif share == 0:
        doubts.append(f"mask {page.where} hides no pixel")
    return hidden, tuple(doubts)


def doubts_on_clean(clean: Picture, image: Picture) -> tuple[str, ...]:
    """Why a clean image may not be that of an image: another scale, another picture, or the image itself."""
    if np.array_equal(clean.pixels, image.pixels):
        return (f"clean {clean.where} holds the values of the image itself, so there is nothing to compare",)
    step = max(1, image.pixels.size // _COMPARED)
    a, b = clean.pixels.reshape(-1)[::step], image.pixels.reshape(-1)[::step]
    a, b = a[~np.isnan(b)], b[~np.isnan(b)]
    if len(a) < _FEWEST_COMPARED or a.std() == 0:
        return ()
    slope = float(np.mean((a - a.mean()) * (b - b.mean())) / a.var())
    if 0.5 < slope < 2 and abs(a.mean() - b.mean()) < 64:
        return ()
    return (
        f"clean {clean.where} is another picture than {image.where}, or on another scale: where it changes by 1 the "
        f"image changes by {slope:.2g}, and their means are {a.mean():.4g} and {b.mean():.4g} on the scale 0 to 255; "
        "`low` and `peak` say which values are black and white",
    )

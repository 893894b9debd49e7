"""Pages of TIFF files: any type of pixels, stacks with axes, inverted grays, and what only Pillow can unpack."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError
from prosper_ng.data.picture_pages import (
    BITS_PER_SAMPLE,
    ORIENTATION,
    Stored,
    Wanted,
    as_stored,
    chosen,
    extra,
    other_colors,
)

_GRAY_OR_RGB = ("MINISBLACK", "MINISWHITE", "RGB")
_BY_PILLOW = ("PALETTE", "YCBCR")
"""Photometric interpretations whose colors Pillow works out."""
_INVERTED_BY_PILLOW = ("1", "L")
"""Modes in which it has turned black and white round where the file says that zero is white."""
_MOST_CHANNELS = 4


class _Frames(NamedTuple):
    """Pages of one size among those of a file."""

    series: int
    n_pages: int
    shape: tuple[int, int, int]
    planes_first: bool
    """Whether the file has whole channels one after another."""


def tiff_page(path: Path, wanted: Wanted) -> Stored:
    """A page of a TIFF; DataError where none can be chosen, or its colors are none of a screen."""
    with extra("tifffile").TiffFile(path) as file:
        groups = [_frames(path, number, series) for number, series in enumerate(file.series) if _is_picture(series)]
        n_pages = sum(each.n_pages for each in groups)
        if n_pages == 0:
            raise DataError(f"{path} holds no picture")
        number = chosen(path, wanted, n_pages)
        frames, left = _with_page(groups, number)
        series = file.series[frames.series]
        first, by_page = series.keyframe, len(series.pages) == frames.n_pages
        directory = series.pages[left].index if by_page else first.index
        photometric, tag = str(getattr(first.photometric, "name", first.photometric)), first.tags.get(ORIENTATION)
        bits, dtype = first.tags.get(BITS_PER_SAMPLE), np.dtype(series.dtype)
        # It marks bits as inverted, and writes True as 1 all the same.
        is_python = dtype == np.bool_ and str(first.software).startswith("tifffile")
    if photometric not in (*_GRAY_OR_RGB, *_BY_PILLOW):
        raise other_colors(path, photometric)
    orientation = int(tag.value) if tag is not None else 1
    if photometric in _BY_PILLOW:
        shape = (*frames.shape[:2], 3)
        return Stored(
            shape, np.dtype(np.uint8), 8, orientation, lambda: _by_pillow(path, directory, orientation, "RGB")[0],
            n_pages, number,
        )  # fmt: skip

    def read() -> NDArray[Any]:
        try:
            pixels = _by_tifffile(path, frames, left if by_page else None, left)
            is_inverted = photometric == "MINISWHITE" and not is_python
        except (ValueError, NotImplementedError) as error:
            if "imagecodecs" not in str(error):
                raise
            try:
                pixels, mode = _by_pillow(path, directory, orientation)
            except Exception:
                raise DataError(
                    f"{path} is packed in a way that takes another package ({error}): pip install imagecodecs"
                ) from error
            is_inverted = photometric == "MINISWHITE" and mode not in _INVERTED_BY_PILLOW
        pixels = pixels.astype(dtype, copy=False)
        return _turned_round(pixels, _bits_in_use(bits, dtype)) if is_inverted else pixels

    return Stored(frames.shape, dtype, _bits_in_use(bits, dtype), orientation, read, n_pages, number)


def _with_page(groups: list[_Frames], number: int) -> tuple[_Frames, int]:
    """The group that holds the page of a number, and the number in it."""
    for frames in groups:
        if number < frames.n_pages:
            return frames, number
        number -= frames.n_pages
    raise IndexError(number)


def _is_picture(series: Any) -> bool:
    """Whether it is none of the small copies and masks that come with a picture."""
    return not (series.keyframe.is_reduced or series.keyframe.is_mask)


def _frames(path: Path, number: int, series: Any) -> _Frames:
    """The pages of a series, which has axes such as TZCYXS."""
    axes, shape = str(series.axes), tuple(int(length) for length in series.shape)
    if axes == "QYX" and shape[2] <= _MOST_CHANNELS < shape[1]:
        # What is written without a word on its colors, such as floating point, has channels that look like a width.
        axes = "YXS"
    if axes.endswith("YXS"):
        return _Frames(number, math.prod(shape[:-3]), (shape[-3], shape[-2], shape[-1]), False)
    if axes.endswith("SYX"):
        return _Frames(number, math.prod(shape[:-3]), (shape[-2], shape[-1], shape[-3]), True)
    if axes.endswith("YX"):
        return _Frames(number, math.prod(shape[:-2]), (shape[-2], shape[-1], 1), False)
    raise DataError(f"{path} has the axes {axes} of the lengths {shape}; a picture ends in Y and X")


def _by_tifffile(path: Path, frames: _Frames, key: int | None, left: int) -> NDArray[Any]:
    """The pixels of page `key` of a series, or where None of frame `left` of all of them."""
    height, width, n_channels = frames.shape
    shape = (n_channels, height, width) if frames.planes_first else frames.shape
    with extra("tifffile").TiffFile(path) as file:
        series = file.series[frames.series]
        if key is not None:
            pixels = np.asarray(series.asarray(key=key)).reshape(shape)
        else:
            pixels = np.asarray(series.asarray()).reshape(frames.n_pages, *shape)[left]
    return np.moveaxis(pixels, 0, 2) if frames.planes_first else pixels


def _by_pillow(path: Path, directory: int, orientation: int, mode: str | None = None) -> tuple[NDArray[Any], str]:
    """The pixels of a directory of the file, in the mode that is asked for, and their mode in the file."""
    with extra("PIL.Image").open(path) as image:
        image.seek(directory)
        own = str(image.mode)
        pixels = np.asarray(image if mode is None else image.convert(mode))
    # Pillow has turned it already.
    return as_stored(pixels if pixels.ndim == 3 else pixels[:, :, None], orientation), own


def _bits_in_use(tag: Any, dtype: np.dtype[Any]) -> int:
    """Of an unsigned integer, as the file says."""
    values = () if tag is None else np.atleast_1d(tag.value)
    whole = 8 * dtype.itemsize
    told = max((int(each) for each in values), default=whole)
    return told if dtype.kind == "u" and 0 < told < whole else whole


def _turned_round(pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    """With zero, which is white in the file, as black."""
    if pixels.dtype == np.bool_:
        return ~pixels
    if pixels.dtype.kind == "u":
        return np.asarray(pixels.dtype.type(2**bits - 1) - pixels)
    return pixels

"""Pictures as files hold them: what a page of one is, and how it is turned, chosen and called in errors."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError
from prosper_ng.errors import UserError

ORIENTATION, BITS_PER_SAMPLE = 274, 258
"""Tags of TIFF and EXIF."""


class Wanted(NamedTuple):
    """Which of the pictures in a file is asked for."""

    page: int | None
    """Counted from 0; None where nothing is said."""
    is_alone: bool = False
    """Whether a file with a single picture needs no number, whatever `page` is."""


FIRST = Wanted(None)
"""Nothing is said."""


class Stored(NamedTuple):
    """What the header of a file says of a page, and what decodes its pixels."""

    shape: tuple[int, int, int]
    """(height, width, channels) before it is turned."""
    dtype: np.dtype[Any]
    bits: int
    """How many bits of an unsigned integer are in use."""
    orientation: int
    """As EXIF counts them, 1 to 8; anything else is 1."""
    read: Callable[[], NDArray[Any]]
    """Decodes the pixels, of this shape; raises whatever the damaged bytes lead it into."""
    n_pages: int
    page: int
    doubts: tuple[str, ...] = ()
    """What is legal but may be a mistake."""


def chosen(path: Path, wanted: Wanted, n_pages: int, needs_choice: bool = True) -> int:
    """The number of the page to read; raises DataError where there is none of that number, or none is given."""
    page = None if wanted.is_alone and n_pages == 1 else wanted.page
    legal = f"legal are 0 to {n_pages - 1}" if n_pages > 1 else "it holds a single picture, page 0"
    if page is None:
        if n_pages > 1 and needs_choice:
            raise DataError(f"{path} holds {n_pages} pictures; choose one by `page`, counted from 0: {legal}")
        return 0
    if not -n_pages <= page < n_pages:
        raise DataError(f"{path} has no page {page}; {legal}")
    return page % n_pages


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels (height, width, channels) as they were stored, the right way up by their EXIF orientation."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def as_stored(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels that are the right way up as they were stored; the inverse of `upright`."""
    return upright(pixels, {6: 8, 8: 6}.get(orientation, orientation))


def other_colors(path: Path, colors: str) -> DataError:
    """The error that a picture has colors that are none of a screen."""
    if colors in ("CMYK", "SEPARATED"):
        return DataError(f"{path} holds printing inks (CMYK); convert it to RGB")
    if colors in ("CFA", "LINEAR_RAW"):
        return DataError(f"{path} holds what a camera's sensor has seen; develop it to a TIFF or PNG")
    return DataError(f"{path} holds colors as {colors}; convert it to gray or RGB")


def extra(module: str) -> Any:
    """A module of the extra `image`; raises UserError that says how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(to_install(error.name or module)) from error
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"images need the package {module}, which does not work here ({reason})") from error


def to_install(package: str) -> str:
    """How to install what reads and writes pictures."""
    return f'images need the package {package}; install it with: pip install "prosper_ng[image]"'

"""Pictures in files as people have them: pages of stacks, turned cameras, palettes, any type of pixels."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError, require_memory
from prosper_ng.data.picture_pages import FIRST, ORIENTATION, Stored, Wanted, chosen, extra, other_colors, upright
from prosper_ng.data.picture_tiff import tiff_page
from prosper_ng.data.sources._files import existing_file, unreadable
from prosper_ng.errors import UserError

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", *_TIFF)
_HEIF = (b"ftyphei", b"ftyphev", b"ftypmif1")
_MOSTLY_ONE = ("MPO", "PSD")
"""Formats whose first page is the picture, and whose others are views, maps or layers."""
_PLAIN_MODES = ("1", "L", "LA", "RGB", "RGBA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_AS_RGB = ("YCbCr", "RGBX")
_MOST_CHANNELS = 4


class Page(NamedTuple):
    """A picture in a file, of which nothing but the header has been read."""

    where: str
    """What to call it in an error."""
    shape: tuple[int, int, int]
    """(height, width, 1 to 4 channels), the right way up; the second or fourth channel is opacity."""
    dtype: np.dtype[Any]
    """Of the pixels that `read` gives."""
    bits: int
    """How many bits of an unsigned integer are in use, as far as the file says."""
    read: Callable[[], NDArray[Any]]
    """Decodes the pixels, of that shape; raises DataError where they are damaged or too large for this machine."""
    notes: tuple[str, ...] = ()
    """What was found out, for the log."""
    doubts: tuple[str, ...] = ()
    """What is legal but may be a mistake."""


def open_page(name: str, wanted: Wanted = FIRST) -> Page:
    """A picture in a file, by its name; of a file that holds several the one that is wanted.

    Raises DataError where there is no such file or page, it holds none that can be read, or several and none
    is chosen; UserError where the packages that read pictures are not installed.
    """
    path = existing_file(name)
    extra("imageio.v3")  # first, so that what is missing is called the same wherever it is missed
    with path.open("rb") as stream:
        start = stream.read(16)
    if start[4:].startswith(_HEIF):
        raise DataError(f"{path} is in the format HEIF (HEIC) of phones; convert it to JPEG, PNG or TIFF")
    try:
        stored = tiff_page(path, wanted) if start.startswith(_TIFF) else _pillow_page(path, wanted)
    except UserError:
        raise
    except Exception as error:
        # The decoders raise whatever the damaged bytes lead them into.
        raise unreadable(path, "an image", error) from error
    return _upright_page(path, stored, wanted)


def is_picture(path: Path) -> bool:
    """Whether a file is called like a picture, or begins like one."""
    extra("PIL.Image").init()
    if path.suffix.lower() in extra("PIL.Image").registered_extensions():
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(4).startswith(_STARTS)
    except OSError:
        return False


def _upright_page(path: Path, stored: Stored, wanted: Wanted) -> Page:
    """The page as it is to be looked at, with a guard around its decoder."""
    where = f"{path}, page {stored.page}" if wanted.page is not None and stored.n_pages > 1 else str(path)
    height, width, n_channels = stored.shape
    if min(stored.shape) == 0 or n_channels > _MOST_CHANNELS:
        raise DataError(f"{where} has the shape {stored.shape}; needed is a single image with 1 to 4 channels")

    def read() -> NDArray[Any]:
        require_memory(8 * height * width * n_channels, f"{where} with its shape {stored.shape}")
        try:
            pixels = stored.read().reshape(stored.shape)
        except UserError:
            raise
        except Exception as error:
            raise unreadable(where, "an image", error) from error
        return upright(pixels, stored.orientation)

    notes = []
    if stored.orientation in range(2, 9):
        notes.append(f"{where} is turned the right way up, as its EXIF orientation {stored.orientation} says")
    if wanted.page is None and stored.n_pages > 1:
        notes.append(f"{where} holds {stored.n_pages} pictures, of which the first is taken")
    if stored.orientation in range(5, 9):
        height, width = width, height
    shape = (height, width, n_channels)
    return Page(where, shape, stored.dtype, stored.bits, read, tuple(notes), stored.doubts)


def _pillow_page(path: Path, wanted: Wanted) -> Stored:
    """A page of a file that Pillow reads."""
    pillow = extra("PIL.Image")
    with pillow.open(path) as image:
        n_pages = int(getattr(image, "n_frames", 1))
        number = chosen(path, wanted, n_pages, image.format not in _MOSTLY_ONE)
        if number:
            image.seek(number)
        mode, height, width, orientation = _mode_of(path, image), image.height, image.width, _exif_orientation(image)
    n_channels, dtype = _layout(mode)

    def read() -> NDArray[Any]:
        with pillow.open(path) as image:
            if number:
                image.seek(number)
            return np.asarray(image if image.mode == mode else image.convert(mode))

    return Stored(
        (height, width, n_channels), dtype, 8 * dtype.itemsize, orientation, read, n_pages, number,
        tuple(_lost_bits(path, dtype)),
    )  # fmt: skip


def _mode_of(path: Path, image: Any) -> str:
    """The mode in which Pillow is to give the pixels; DataError where their colors are none of a screen."""
    mode = str(image.mode)
    if mode == "P":
        return str(image.palette.mode)  # whose transparency is ignored
    if mode == "PA":
        return "RGBA"
    if image.format == "PNG" and mode == "I":
        return "I;16"
    if mode in _AS_RGB:
        return "RGB"
    if mode not in _PLAIN_MODES:
        raise other_colors(path, mode)
    return mode


def _layout(mode: str) -> tuple[int, np.dtype[Any]]:
    """Channels and type of Pillow's modes."""
    types = {"1": "bool", "I": "int32", "F": "float32"}
    dtype = np.dtype("uint16" if mode.startswith("I;16") else types.get(mode, "uint8"))
    return {"LA": 2, "RGB": 3, "RGBA": 4}.get(mode, 1), dtype


def _lost_bits(path: Path, dtype: np.dtype[Any]) -> Iterator[str]:
    """A doubt about colors of 16 bits in a PNG file, of which Pillow keeps 8."""
    with path.open("rb") as stream:
        header = stream.read(25)
    if header.startswith(b"\x89PNG") and header[24] == 16 and dtype == np.uint8:
        yield f"{path} has 16 bits a value, of which only the upper 8 are read from color PNG; a TIFF keeps all"


def _exif_orientation(image: Any) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:
        return 1  # EXIF may hold anything, and the picture is there all the same

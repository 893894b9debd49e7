"""Images in and out: loading on the 8-bit scale, quality of an estimate, PNG files."""

import importlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError, require_memory
from prosper_ng.data.sources._files import existing_file, missing, unreadable
from prosper_ng.errors import UserError

Floats = NDArray[np.float64]
Channels = Literal["gray", "color"]
Crop = tuple[int, int, int, int]

SHIPPED = (
    "astronaut", "brick", "camera", "cat", "cell", "checkerboard", "clock", "coffee", "coins", "colorwheel", "grass",
    "gravel", "horse", "hubble_deep_field", "immunohistochemistry", "logo", "microaneurysms", "moon", "page", "retina",
    "rocket", "shepp_logan_phantom", "text",
)  # fmt: skip
"""The images that come with scikit-image; it would download the others."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# Luminance of linear RGB, as in skimage.color.rgb2gray.
_LUMINANCE = np.array([0.2125, 0.7154, 0.0721])


class Quality(NamedTuple):
    """How close an image comes to another."""

    psnr: float
    """Peak signal-to-noise ratio in dB for a peak of 255; inf for equal images."""
    ssim: float
    """Mean structural similarity, 1 for equal images; nan for images below 3 x 3 pixels."""


def load(image: str, channels: Channels = "gray", crop: Crop | None = None) -> Floats:
    """The image (height, width, 1 or 3) at a path, or of that name in scikit-image, as float64 on the 8-bit scale.

    8-bit values are taken as they are, 16-bit values divided by 257, bits become 0 and 255. Floating point values
    that all lie in 0..1 are multiplied by 255, others must lie in 0..255. Palettes are expanded (their transparency is
    ignored), an alpha channel is blended over white, `gray` is the luminance of a color image. `crop` is (top, left,
    height, width) in pixels. Raises DataError where there is no such image or it cannot be understood, UserError
    where scikit-image is not installed.
    """
    if _is_name(image):
        pixels = _eight_bit(np.asarray(getattr(_extra("skimage.data"), image)()), f"image '{image}'")
    else:
        path = existing_file(image)
        pixels = _eight_bit(_decode(path), str(path))
    pixels = _with_channels(pixels, channels, image)
    return pixels if crop is None else _cropped(pixels, crop, image)


def quality(clean: Floats, estimate: Floats) -> Quality:
    """PSNR and SSIM of an estimate (height, width, channels), neither clipped nor rounded, on the 8-bit scale.

    Both are nan where the estimate lacks a pixel.
    """
    metrics = _extra("skimage.metrics")
    with np.errstate(divide="ignore"):
        psnr = float(metrics.peak_signal_noise_ratio(clean, estimate, data_range=255))
    side = min(*clean.shape[:2], 7)
    if side < 3:
        return Quality(psnr, float("nan"))
    window = side if side % 2 else side - 1
    ssim = metrics.structural_similarity(clean, estimate, data_range=255, channel_axis=2, win_size=window)
    return Quality(psnr, float(ssim))


def require_measures() -> None:
    """Raise UserError where a package is missing that `quality` and `save_png` need; nothing is loaded to find out."""
    for package in ("skimage", "imageio"):
        if find_spec(package) is None:
            raise UserError(_to_install(package))


def reference(clean: Floats, noisy: Floats) -> Floats | None:
    """The clean image (height, width, channels); None where it is the noisy one itself, so that nothing else is known.

    Missing pixels (NaN) of the noisy one are known in the clean one.
    """
    return None if noisy is clean or np.array_equal(clean, noisy) else clean


def shown(image: Floats, missing: float = 0.0) -> Floats:
    """The image with missing values (NaN) in the shade `missing`, black where not given."""
    return np.where(np.isnan(image), missing, image)


def save_png(path: Path, image: Floats) -> None:
    """Write an image (height, width), (height, width, 1) or (height, width, 3), rounded and clipped to 8 bits.

    Missing pixels (NaN) are black.
    """
    save_picture(path, image, ".png")


def save_picture(path: Path, image: Floats, ending: str) -> None:
    """As `save_png`, in the format of an ending such as `.jpg`, whatever the path ends in."""
    pixels = np.clip(np.rint(shown(image)), 0, 255).astype(np.uint8)
    quality = {"quality": 95} if ending in (".jpg", ".jpeg") else {}
    flat = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
    _extra("imageio.v3").imwrite(path, flat, extension=ending, **quality)


def _is_name(image: str) -> bool:
    """Whether this is a name in scikit-image; an existing file, or anything that looks like a path, is none."""
    if os.path.exists(image) or Path(image).suffix or len(Path(image).parts) != 1 or image.startswith("~"):
        return False
    if image not in SHIPPED:
        raise missing("image", image, Path("scikit-image"), SHIPPED)
    return True


def _decode(path: Path) -> NDArray[Any]:
    """The pixels as the file holds them."""
    readers, pillow = _extra("imageio.v3"), _extra("PIL.Image")
    with path.open("rb") as stream:
        plugin = "tifffile" if stream.read(4) in _TIFF else "pillow"
    try:
        shape = readers.improps(path, plugin=plugin).shape
        require_memory(8 * int(np.prod(shape, dtype=np.float64)), f"{path} with its shape {shape}")
        pixels = np.asarray(readers.imread(path, plugin=plugin))
    except DataError:
        raise
    except Exception as error:
        # The decoders raise whatever the damaged bytes lead them into.
        raise unreadable(path, "an image", error) from error
    if pixels.ndim == 3 and pixels.shape[2] == 4 and _mode(pillow, path) == "CMYK":
        raise DataError(f"{path} holds printing inks (CMYK); convert it to RGB")
    return pixels


def _mode(pillow: Any, path: Path) -> str | None:
    try:
        with pillow.open(path) as header:
            return str(header.mode)
    except Exception:
        return None


def _eight_bit(pixels: NDArray[Any], where: str) -> Floats:
    """(height, width, 1 to 4) on the 8-bit scale."""
    if pixels.ndim == 4 and len(pixels) == 1:
        pixels = pixels[0]
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] > 4 or pixels.size == 0:
        raise DataError(f"{where} has the shape {pixels.shape}; needed is a single image with 1 to 4 channels")
    scales = {"bool": 255.0, "uint8": 1.0, "uint16": 1 / 257}
    if pixels.dtype.name in scales:
        return pixels * scales[pixels.dtype.name]
    if pixels.dtype.kind != "f":
        raise DataError(f"{where} holds pixels of type {pixels.dtype}; legal are bits, 8, 16 bits and floating point")
    values = pixels.astype(np.float64)
    if not np.isfinite(values).all():
        row, column, _ = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"{where}: the pixel at row {row}, column {column} (counted from 0) is not a finite number")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 255:
        raise DataError(f"{where} has pixels from {low:g} to {high:g}; floating point must lie in 0..1 or 0..255")
    return values * 255 if high <= 1 else values


def _with_channels(pixels: Floats, channels: Channels, image: str) -> Floats:
    """(height, width, 1 or 3): alpha blended over white, color made gray where asked for."""
    if pixels.shape[2] in (2, 4):
        opacity = pixels[:, :, -1:] / 255
        pixels = pixels[:, :, :-1] * opacity + 255 * (1 - opacity)
    if channels == "color":
        if pixels.shape[2] != 3:
            raise DataError(f"image {image} has no color; use channels: gray")
        return pixels
    return pixels if pixels.shape[2] == 1 else (pixels @ _LUMINANCE)[:, :, None]


def _cropped(pixels: Floats, crop: Crop, image: str) -> Floats:
    top, left, height, width = crop
    positive = top >= 0 and left >= 0 and height > 0 and width > 0
    if not positive or top + height > pixels.shape[0] or left + width > pixels.shape[1]:
        raise DataError(
            f"crop {list(crop)} (top, left, height, width) does not lie in image {image} "
            f"of height {pixels.shape[0]} and width {pixels.shape[1]}"
        )
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _extra(module: str) -> Any:
    """A module of the extra `image`; raises UserError that says how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(_to_install(error.name or module)) from error
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"images need the package {module}, which does not work here ({reason})") from error


def _to_install(package: str) -> str:
    return f'images need the package {package}; install it with: pip install "prosper_ng[image]"'

"""Images in and out: loading on the 8-bit scale, quality of an estimate, PNG files."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError
from prosper_ng.data.picture_files import Page, open_page
from prosper_ng.data.picture_pages import FIRST, Wanted, chosen, extra, to_install
from prosper_ng.data.picture_scale import WHITE, Found, Scale, found_scale, opacity_scale, require_numbers
from prosper_ng.data.sources._files import missing
from prosper_ng.errors import UserError

Floats = NDArray[np.float64]
Channels = Literal["gray", "color"]
Crop = tuple[int, int, int, int]

SHIPPED = (
    "astronaut", "brick", "camera", "cat", "cell", "checkerboard", "chelsea", "clock", "coffee", "coins", "colorwheel",
    "grass", "gravel", "horse", "hubble_deep_field", "immunohistochemistry", "logo", "microaneurysms", "moon", "page",
    "retina", "rocket", "shepp_logan_phantom", "text",
)  # fmt: skip
"""The images that come with scikit-image; it would download the others."""
SHIPPED_PHOTOGRAPHS = ("china", "flower")
"""Those that come with scikit-learn."""

_BAND_VALUES = 1 << 20
"""So many are brought to the 8-bit scale at a time."""
# Luminance of linear RGB, as in skimage.color.rgb2gray.
_LUMINANCE = np.array([0.2125, 0.7154, 0.0721])


class Quality(NamedTuple):
    """How close an image comes to another."""

    psnr: float
    """Peak signal-to-noise ratio in dB for a peak of 255; inf for equal images."""
    ssim: float
    """Mean structural similarity, 1 for equal images; nan for images below 3 x 3 pixels."""


class Picture(NamedTuple):
    """An image on the 8-bit scale, and what was found out about it."""

    pixels: Floats
    """(height, width, 1 or 3), NaN where a pixel is missing."""
    where: str
    """What to call it in an error."""
    scale: Scale
    """The values that it has in its file for 0 and 255."""
    dtype: np.dtype[Any]
    """Of the pixels in the file."""
    is_certain: bool
    """Whether the scale is told, or that of the type."""
    notes: tuple[str, ...]
    doubts: tuple[str, ...]

    @property
    def is_eight_bit(self) -> bool:
        """Whether the file has the values 0 to 255, and no others."""
        return self.dtype == np.uint8 and self.scale == Scale(0.0, WHITE)


@dataclass(frozen=True)
class Reading:
    """How images are to be read."""

    channels: Channels = "gray"
    """`gray` is the luminance of a color image."""
    crop: Crop | None = None
    """(top, left, height, width) in pixels."""
    low: float | None = None
    """The value of black, where it is told."""
    peak: float | None = None
    """The value of white, where it is told."""
    missing: bool = False
    """Whether NaN marks missing pixels."""

    def picture(self, page: Page, scale: Scale | None = None) -> Picture:
        """The picture of a page, whose values are those of a `scale`, or where None of one that is told or found.

        Raises DataError where it cannot be understood.
        """
        raw = page.read()
        require_numbers(raw, page.where, self.missing)
        n_colors = raw.shape[2] - 1 if raw.shape[2] in (2, 4) else raw.shape[2]
        if self.channels == "color" and n_colors != 3:
            raise DataError(f"{page.where} has no color; use channels: gray")
        found = found_scale(raw[:, :, :n_colors], page.bits, page.where, self.low, self.peak)
        if scale is not None:
            found = Found(scale, True)
        opacity = opacity_scale(raw[:, :, n_colors:]) if n_colors < raw.shape[2] else None
        raw = self.cut(raw, page.where)
        pixels = np.empty((*raw.shape[:2], 3 if self.channels == "color" else 1))
        n_together = max(1, _BAND_VALUES // (raw.shape[1] * raw.shape[2]))
        for top in range(0, len(raw), n_together):
            band = raw[top : top + n_together]
            colors = found.scale.to_eight_bits(band[:, :, :n_colors])
            if opacity is not None:
                share = opacity.to_eight_bits(band[:, :, n_colors:]) / WHITE
                colors = colors * share + WHITE * (1 - share)
            gray = self.channels == "gray" and n_colors == 3
            pixels[top : top + n_together] = (colors @ _LUMINANCE)[:, :, None] if gray else colors
        notes, doubts = (*page.notes, *found.notes), (*page.doubts, *found.doubts)
        return Picture(pixels, page.where, found.scale, page.dtype, found.is_certain, notes, doubts)

    def cut(self, pixels: NDArray[Any], where: str) -> NDArray[Any]:
        """The part of an image (height, width, channels) to use; raises DataError where it does not lie in it."""
        if self.crop is None:
            return pixels
        self.require_crop(pixels.shape, where)
        top, left, height, width = self.crop
        return pixels[top : top + height, left : left + width]

    def require_crop(self, shape: tuple[int, ...], where: str) -> None:
        """Raise DataError where the part to use does not lie in an image of this shape."""
        if self.crop is None:
            return
        top, left, height, width = self.crop
        positive = top >= 0 and left >= 0 and height > 0 and width > 0
        if not positive or top + height > shape[0] or left + width > shape[1]:
            raise DataError(
                f"crop {list(self.crop)} (top, left, height, width) does not lie in {where} of height {shape[0]} and "
                f"width {shape[1]}"
            )


def page_of(image: str, wanted: Wanted = FIRST) -> Page:
    """The page of an image at a path, or the image of that name in scikit-image or scikit-learn.

    Raises DataError where there is no such image, UserError where the package that has it is not installed.
    """
    if not _is_name(image):
        return open_page(image, wanted)
    if image in SHIPPED_PHOTOGRAPHS:
        pixels = np.asarray(extra("sklearn.datasets").load_sample_image(f"{image}.jpg"))
    else:
        pixels = np.asarray(getattr(extra("skimage.data"), image)())
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    height, width, n_channels = pixels.shape
    chosen(Path(image), wanted, 1)
    bits = 8 * pixels.dtype.itemsize
    return Page(f"image {image}", (height, width, n_channels), pixels.dtype, bits, lambda: pixels)


def load(image: str, channels: Channels = "gray", crop: Crop | None = None) -> Floats:
    """The image (height, width, 1 or 3) at a path, or of that name in scikit-image, as float64 on the 8-bit scale.

    0 is black and 255 white, which are found as `picture_scale` says. Palettes are expanded (their transparency is
    ignored), an alpha channel is blended over white, `gray` is the luminance of a color image. `crop` is (top, left,
    height, width) in pixels. Raises DataError where there is no such image or it cannot be understood, UserError
    where scikit-image is not installed.
    """
    return Reading(channels, crop).picture(page_of(image)).pixels


def quality(clean: Floats, estimate: Floats) -> Quality:
    """PSNR and SSIM of an estimate (height, width, channels), neither clipped nor rounded, on the 8-bit scale.

    Both are nan where the estimate lacks a pixel.
    """
    side = min(*clean.shape[:2], 7)
    if side < 3:
        return Quality(psnr_of(clean, estimate), float("nan"))
    window = side if side % 2 else side - 1
    ssim = extra("skimage.metrics").structural_similarity(
        clean, estimate, data_range=255, channel_axis=2, win_size=window
    )
    return Quality(psnr_of(clean, estimate), float(ssim))


def psnr_of(clean: Floats, estimate: Floats) -> float:
    """The PSNR alone, which takes a small part of the time and memory of SSIM; otherwise as `quality`."""
    with np.errstate(divide="ignore"):
        return float(extra("skimage.metrics").peak_signal_noise_ratio(clean, estimate, data_range=255))


def require_measures() -> None:
    """Raise UserError where a package is missing that `quality` and `save_png` need; nothing is loaded to find out."""
    for package in ("skimage", "imageio"):
        if find_spec(package) is None:
            raise UserError(to_install(package))


def reference(clean: Floats, noisy: Floats) -> Floats | None:
    """The clean image (height, width, channels); None where it is the noisy one itself, so that nothing else is known.

    Missing pixels (NaN) of the noisy one are known in the clean one.
    """
    return None if noisy is clean or np.array_equal(clean, noisy) else clean


def missing_in_words(image: Floats) -> str:
    """How many pixels of (height, width, channels) are missing, or values where pixels lack only some; else nothing."""
    gaps = np.isnan(image)
    share, of_pixels = gaps.mean(), gaps.any(axis=2).mean()
    return "" if share == 0 else f"{share:.1%} of the {'pixels' if share == of_pixels else 'values'}"


def shown(image: Floats, missing: float = 0.0) -> Floats:
    """The image with missing values (NaN) in the shade `missing`, black where not given."""
    return np.where(np.isnan(image), missing, image)


def save_png(path: Path, image: Floats) -> None:
    """Write an image (height, width), (height, width, 1) or (height, width, 3), rounded and clipped to 8 bits.

    Missing pixels (NaN) are black.
    """
    save_picture(path, image, ".png")


def save_values(path: Path, image: Floats) -> None:
    """Write the values of an image (height, width, 1 or 3) as they are to a TIFF, in single precision, NaN included."""
    kind = "rgb" if image.shape[2] == 3 else "minisblack"
    flat = image if image.shape[2] == 3 else image[:, :, 0]
    extra("tifffile").imwrite(path, flat.astype(np.float32), photometric=kind)


def save_picture(path: Path, image: Floats, ending: str) -> None:
    """As `save_png`, in the format of an ending such as `.jpg`, whatever the path ends in."""
    pixels = np.clip(np.rint(shown(image)), 0, 255).astype(np.uint8)
    quality = {"quality": 95} if ending in (".jpg", ".jpeg") else {}
    flat = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
    extra("imageio.v3").imwrite(path, flat, extension=ending, **quality)


def _is_name(image: str) -> bool:
    """Whether this is a name in scikit-image or scikit-learn; what exists, or looks like a path, is none."""
    if (
        os.path.exists(image)
        or Path(image).suffix
        or len(Path(image).parts) != 1
        or image.startswith("~")
        or image.endswith("/")
    ):
        return False
    if image not in SHIPPED + SHIPPED_PHOTOGRAPHS:
        raise missing("image", image, Path("scikit-image"), SHIPPED)
    return True

"""Overlapping patches of one image."""

from typing import Annotated

import annotated_types
import numpy as np

from prosper_ng.components import component
from prosper_ng.data.dataset import SourceDefaults
from prosper_ng.data.images import Channels, load
from prosper_ng.data.patches import PatchDataset, PatchGrid
from prosper_ng.data.preprocessing import LEAVE_OUT, Kind, Prepares
from prosper_ng.numerics.random_streams import stream

Positive = Annotated[int, annotated_types.Gt(0)]
NonNegative = Annotated[int, annotated_types.Ge(0)]


@component
class Image(Prepares, SourceDefaults):
    """The patches of an image, with white Gaussian noise added where asked for; one row per patch in raster order.

    A row runs over the height, the width and the channels of its patch. Values are on the 8-bit scale, 0 to 255.
    """

    image: str
    """A file relative to the working directory, or an image that comes with scikit-image, such as camera."""
    crop: tuple[NonNegative, NonNegative, Positive, Positive] | None = None
    """The part of the image to use: top, left, height, width in pixels."""
    channels: Channels = "gray"
    """gray (luminance) or color (red, green, blue)."""
    noise: Annotated[float, annotated_types.Ge(0)] = 0.0
    """Standard deviation of the noise on the 8-bit scale; the sum is neither clipped nor rounded."""
    missing: Annotated[float, annotated_types.Ge(0), annotated_types.Lt(1)] = 0.0
    """Probability that a pixel is not observed, in none of its channels."""
    patch_size: Positive | tuple[Positive, Positive]
    """Side of a patch, or its height and width, in pixels."""
    stride: Positive = 1
    """Pixels from one patch to the next, down and across; the border of the image is always reached."""
    remove_mean: bool = True
    """Subtract from every patch the mean of its values, of those that were observed."""
    whiten: Kind = "none"
    """Make the values of the patches uncorrelated: zca (stays closest to the patches) or pca (rotated, largest
    variance first). The covariance is that of all patches up to 49,152, of as many evenly spread ones beyond."""
    whiten_epsilon: Annotated[float, annotated_types.Ge(0)] = 1e-4
    """Raises all variances by this fraction of their mean before whitening, so that noise is not blown up."""

    def __post_init__(self) -> None:
        """Raise ValueError where patches with missing pixels would be whitened."""
        if self.missing > 0 and self.whiten != "none":
            raise ValueError(LEAVE_OUT)

    @property
    def adds_noise(self) -> bool:
        """Where a standard deviation is given."""
        return self.noise > 0

    @property
    def depends_on_seed(self) -> bool:
        """Whether anything is drawn: noise, or which pixels are missing."""
        return self.noise > 0 or self.missing > 0

    @property
    def may_lack_values(self) -> bool:
        """Where pixels are hidden."""
        return self.missing > 0

    def open(self, seed: int) -> PatchDataset:
        """The patches; noise and missing pixels are a function of the seed and the shape of the image."""
        clean = load(self.image, self.channels, self.crop)
        size = (self.patch_size, self.patch_size) if isinstance(self.patch_size, int) else self.patch_size
        grid = PatchGrid((clean.shape[0], clean.shape[1], clean.shape[2]), size, self.stride)
        noisy = clean
        if self.noise > 0:
            noisy = clean + self.noise * stream(seed, "image noise").generator().standard_normal(clean.shape)
        if self.missing > 0:
            hidden = stream(seed, "missing pixels").generator().random(clean.shape[:2]) < self.missing
            noisy = np.where(hidden[:, :, None], np.nan, noisy)
        return PatchDataset(
            clean, noisy, grid, self.remove_mean, self.whiten, self.whiten_epsilon, self.missing > 0,
            f"image {self.image}",
        )  # fmt: skip

"""Overlapping patches of one image or of many."""

from dataclasses import replace
from typing import Annotated, Literal

import annotated_types
import numpy as np

from prosper_ng.components import OneOf, Seed, component
from prosper_ng.data.dataset import DataError, Dataset, SourceDefaults
from prosper_ng.data.image_noise.interface import ImageNoise
from prosper_ng.data.images import Channels, Picture, Reading, missing_in_words, page_of
from prosper_ng.data.patches import PatchDataset, PatchGrid
from prosper_ng.data.picture_files import Page
from prosper_ng.data.picture_pages import Wanted
from prosper_ng.data.picture_scale import of_type
from prosper_ng.data.preprocessing import LEAVE_OUT, Kind, Prepares
from prosper_ng.data.sources import _image_damage as damage
from prosper_ng.data.sources._image_files import Named, pictures_named
from prosper_ng.data.sources._image_set import patches_of

Positive = Annotated[int, annotated_types.Gt(0)]
NonNegative = Annotated[int, annotated_types.Ge(0)]


@component
class Image(Prepares, SourceDefaults):
    """The patches of an image or of several, with noise added where asked for; one row per patch in raster order.

    A row runs over the height, the width and the channels of its patch. Values are on the 8-bit scale, 0 to 255; with
    Poisson noise they are counts.
    """

    image: str | tuple[str, ...]
    """A file relative to the working directory, or an image that comes with scikit-image, such as camera, or with
    scikit-learn: china, flower; a folder, a pattern such as photos/*.jpg, or a list of all these, whose patches are one
    data set."""
    page: int | None = None
    """Which picture of a file that holds several, counted from 0; -1 is the last."""
    low: float | None = None
    """The value of black in the files; 0 where not given, but for pictures whose values tell nothing of it."""
    peak: float | None = None
    """The value of white in the files, such as 4095 of 12 bits in 16; where not given that of 8 or 16 bits, of other
    types 1 or 255 if their values fit, else the largest. The log tells."""
    crop: tuple[NonNegative, NonNegative, Positive, Positive] | None = None
    """The part of the image to use: top, left, height, width in pixels."""
    channels: Channels = "gray"
    """gray (luminance) or color (red, green, blue)."""
    clean: str | None = None
    """The same image without its noise and gaps, where there is one: results are held against it."""
    noise: Annotated[float, annotated_types.Ge(0)] | Annotated[ImageNoise, OneOf("prosper_ng.data.image_noise")] = 0.0
    """Standard deviation of Gaussian noise on the 8-bit scale, where the sum is neither clipped nor rounded; or noise
    of another kind: {kind: poisson, peak: 4} counts photons, {kind: salt_and_pepper, share: 0.1} loses pixels."""
    noise_seed: Seed | None = None
    """The seed of this noise and of `missing`; that of the run where not given."""
    missing: Annotated[float, annotated_types.Ge(0), annotated_types.Lt(1)] = 0.0
    """Probability that a pixel is not observed, in none of its channels."""
    missing_per: damage.Per = "pixel"
    """Whether `missing` hides pixels with all their channels, or each value for itself."""
    mask: str | None = None
    """An image of the same size that is not black where pixels are missing; or nan, where NaN marks them."""
    mask_shows: damage.Shows = "missing"
    """What is not black in the mask."""
    patch_size: Positive | tuple[Positive, Positive]
    """Side of a patch, or its height and width, in pixels."""
    stride: Positive = 1
    """Pixels from one patch to the next, down and across; the border of the image is always reached."""
    n_patches: Positive | None = None
    """How many patches to draw from all, each at most once; all where not given."""
    remove_mean: bool = True
    """Subtract from every patch the mean of its values, of those that were observed."""
    mean_per: Literal["patch", "channel"] = "patch"
    """Whether a patch in color has one mean, or one for each channel."""
    whiten: Kind = "none"
    """Make the values of the patches uncorrelated: zca (stays closest to the patches) or pca (rotated, largest
    variance first). The covariance is that of all patches up to 49,152, of as many evenly spread ones beyond."""
    whiten_epsilon: Annotated[float, annotated_types.Ge(0)] = 1e-4
    """Raises all variances by this fraction of their mean before whitening, so that noise is not blown up."""

    def __post_init__(self) -> None:
        """Raise ValueError where patches with missing pixels would be whitened, or fields contradict each other."""
        if self.may_lack_values and self.whiten != "none":
            raise ValueError(LEAVE_OUT)
        if self._kind is not None and self._kind.white is not None and (self.peak, self.low) != (None, None):
            raise ValueError("an image of counts has no other low and peak than 0 and that of its noise")
        if self.peak is not None and self.peak <= (self.low or 0.0):
            raise ValueError(f"peak, the value of white, must be above that of black, low: {self.low or 0.0:g}")
        if self.clean is not None and self.n_patches is not None:
            raise ValueError("clean is for an image that is put together again, and n_patches draws only some of it")

    @property
    def adds_noise(self) -> bool:
        """Where a standard deviation is given."""
        return isinstance(self.noise, int | float) and self.noise > 0

    @property
    def depends_on_seed(self) -> bool:
        """Whether anything is drawn by the seed of the run: noise, which pixels are missing, which patches."""
        return self.n_patches is not None or (self.noise_seed is None and (self._draws_noise or self.missing > 0))

    @property
    def may_lack_values(self) -> bool:
        """Where pixels are hidden."""
        return self.missing > 0 or self.mask is not None

    @property
    def preparation(self) -> dict[str, object]:
        """What is done to the patches, by field."""
        # Gray patches have one channel, and so one mean.
        return {**super().preparation, "mean_per": self.mean_per if self.channels == "color" else "patch"}

    def open(self, seed: int) -> Dataset:
        """The patches; noise, gaps and the choice of patches are a function of the seed and the shape of the image."""
        named = pictures_named(self.image)
        if len(named.names) > 1 or self.n_patches is not None:
            return patches_of(self, named, seed)
        return self._open_image(named, seed)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a patch."""
        return (self.patch_size, self.patch_size) if isinstance(self.patch_size, int) else self.patch_size

    @property
    def reading(self) -> Reading:
        """How the image is read."""
        peak = self.peak if self._kind is None or self._kind.white is None else self._kind.white
        return Reading(self.channels, self.crop, self.low, peak, self.mask == damage.NAN)

    @property
    def count(self) -> float | None:
        """What a photon is on the 8-bit scale, where rows are counts of photons."""
        return None if self._kind is None else self._kind.count

    @property
    def _kind(self) -> ImageNoise | None:
        return None if isinstance(self.noise, int | float) else self.noise

    @property
    def _draws_noise(self) -> bool:
        return self.adds_noise if self._kind is None else self._kind.draws

    def damaged(self, image: damage.Floats, hidden: damage.Bools | None, seed: int, number: int = 0) -> damage.Floats:
        """The image of a number (height, width, channels) with noise, NaN where it is hidden, in units of the rows."""
        seed = seed if self.noise_seed is None else self.noise_seed
        if self.noise != 0:
            image = damage.with_noise(image, self.noise, seed, number)
        if self.missing > 0:
            image = damage.with_gaps(image, self.missing, self.missing_per, seed, number)
        return image if hidden is None else np.where(hidden, np.nan, image)

    def hidden(self, shape: tuple[int, int, int]) -> tuple[damage.Bools | None, tuple[str, ...]]:
        """What a mask file hides of an image of that shape, and what is doubtful of it."""
        if self.mask is None or self.mask == damage.NAN:
            return None, ()
        page = page_of(self.mask, Wanted(self.page, is_alone=True))
        return damage.hidden_by(page, self.mask_shows, replace(self.reading, missing=False), shape)

    def _open_image(self, named: Named, seed: int) -> PatchDataset:
        (name,) = named.names
        page = page_of(name, Wanted(self.page))
        picture, clean, doubts = self._pictures(page)
        height, width, n_channels = picture.pixels.shape
        grid = PatchGrid((height, width, n_channels), self.size, self.stride)
        hidden, doubts_on_mask = self.hidden(page.shape)
        noisy = self.damaged(picture.pixels, hidden, seed) * (1.0 if self.count is None else self.count)
        if clean is None:
            # What a mask hides is nothing to compare with.
            clean = picture.pixels if self.mask is None else noisy
        notes = (*named.notes, *picture.notes)
        if self.mask is not None:
            notes = (*notes, f"{missing_in_words(noisy) or 'none of the pixels'} are missing")
        return PatchDataset(
            clean, noisy, grid, self.remove_mean, self.whiten, self.whiten_epsilon, self.may_lack_values,
            f"image {name}", self.mean_per == "channel", None if picture.is_eight_bit else picture.scale, notes,
            (*named.doubts, *picture.doubts, *doubts, *doubts_on_mask), self.count,
        )  # fmt: skip

    def _pictures(self, page: Page) -> tuple[Picture, damage.Floats | None, tuple[str, ...]]:
        """The image, the clean one where there is one, and what is doubtful of the pair."""
        if self.clean is None:
            return self.reading.picture(page), None, ()
        of_clean = page_of(self.clean, Wanted(self.page, is_alone=True))
        if of_clean.shape[:2] != page.shape[:2]:
            raise DataError(
                f"clean {of_clean.where} has {of_clean.shape[0]} x {of_clean.shape[1]} pixels (height x width), and "
                f"the image has {page.shape[0]} x {page.shape[1]}; both need the same"
            )
        reading = replace(self.reading, missing=False)
        if page.dtype != of_clean.dtype:
            reading = replace(reading, low=None, peak=None)  # these are of the values of the image
        clean = reading.picture(of_clean)
        shares = self.peak is None and of_type(page.dtype, page.bits) is None and not clean.is_certain
        picture = self.reading.picture(page, clean.scale if shares else None)
        found = damage.doubts_on_clean(clean, picture)
        if found == ():
            picture = picture._replace(doubts=page.doubts)  # they are on one scale, whatever was guessed
        return picture, clean.pixels, (*clean.doubts, *found)

"""The patches of several pictures, or drawn patches, as `kind: image` says them."""

from itertools import chain
from typing import TYPE_CHECKING

from prosper_ng.data.dataset import DataError
from prosper_ng.data.images import page_of
from prosper_ng.data.picture_files import Page
from prosper_ng.data.picture_pages import Wanted
from prosper_ng.data.picture_scale import of_type
from prosper_ng.data.picture_set import PicturePatches, PictureSet
from prosper_ng.data.sources import _image_damage as damage
from prosper_ng.data.sources._image_files import SHOWN, Named
from prosper_ng.errors import listed

if TYPE_CHECKING:
    from prosper_ng.data.sources.image import Image


def patches_of(source: "Image", named: Named, seed: int) -> PicturePatches:
    """The dataset over the pictures that are named; the first is decoded at once, the others as they are needed.

    Raises DataError where one cannot be opened, holds no patch that is asked for, or does not say what is white.
    """
    if source.clean is not None:
        raise DataError(f"clean is the reference of a single image, and image names {len(named.names)}")
    pages = [page_of(name, Wanted(source.page)) for name in named.names]
    if len(pages) > 1:
        _require_scales(source, pages)
    if source.mask not in (None, damage.NAN) and len({page.shape[:2] for page in pages}) > 1:
        raise DataError("a mask is for pictures of its own size, and these have several sizes")
    hidden, doubts = source.hidden(pages[0].shape)

    first = source.reading.picture(pages[0])
    where = f"image {named.names[0]}" if len(pages) == 1 else f"images {listed(named.names, SHOWN)}"
    pictures = PictureSet(
        [_cut_shape(source, page) for page in pages],
        lambda number: source.damaged(source.reading.picture(pages[number]).pixels, hidden, seed, number),
    )
    dataset = PicturePatches(
        pictures, source.size, source.stride, source.n_patches, seed, source.remove_mean, source.whiten,
        source.whiten_epsilon, source.may_lack_values, source.mean_per == "channel", where,
    )  # fmt: skip
    small = [page.where for page, n_places in zip(pages, dataset.n_places_of, strict=True) if n_places == 0]
    of_headers = [page.doubts for page in pages[1:]]
    dataset.notes = (
        *named.notes, *first.notes, f"{dataset.n_rows:,} of {dataset.n_places:,} patches"
    )  # fmt: skip
    dataset.doubts = (*named.doubts, *first.doubts, *doubts, *chain.from_iterable(of_headers))
    if small:
        dataset.doubts += (f"smaller than a patch, and left out: {listed(small, SHOWN)}",)
    return dataset


def _require_scales(source: "Image", pages: list[Page]) -> None:
    """Raise DataError that names the first of several pictures whose type does not say which value is white."""
    lost = next((page for page in pages if of_type(page.dtype, page.bits) is None), None)
    if lost is not None and source.peak is None:
        raise DataError(
            f"{lost.where} holds values of type {lost.dtype}, which have no white of their own; say by `peak` (and "
            "`low`) which values are white and black in all the pictures"
        )


def _cut_shape(source: "Image", page: Page) -> tuple[int, int, int]:
    """Height, width and channels of the part of a picture that is used; DataError where it does not have that."""
    height, width, _ = page.shape
    if source.crop is not None:
        source.reading.require_crop(page.shape, page.where)
        height, width = source.crop[2:]
    return height, width, 3 if source.channels == "color" else 1

"""The patches of a page of characters with dirt on it, made from a font."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt

from prosper_ng.components import Seed, component
from prosper_ng.data.dataset import SourceDefaults
from prosper_ng.data.document_page import Dirt, Type, clean_page, dirty, font_file
from prosper_ng.data.patches import PatchDataset, PatchGrid
from prosper_ng.numerics.random_streams import stream

Positive = Annotated[int, Gt(0)]


@component
class Page(SourceDefaults):
    """A page set in a font, to try how documents are cleaned; what is on it without dirt is known."""

    font: str = "DejaVuSans"
    """A font of matplotlib, or a file .ttf."""
    characters: str = "abdeknrs"
    """The characters on the page, drawn at random."""
    size: Positive = 18
    """Of the font, in pixels."""
    height: Positive = 300
    """Of the page, in pixels,"""
    width: Positive = 400
    """and its width."""
    gap: Annotated[int, Ge(0)] = 3
    """Pixels between characters, and between lines, beyond what the font has."""
    dirt: tuple[Dirt, ...] = ("strokes", "stains", "blots", "speckles")
    """What the page is dirty with."""
    amount: Annotated[float, Gt(0)] = 1.0
    """How much of it; 1 is a stroke, a stain, two blots and 12 speckles on 20,000 pixels."""
    noise: Annotated[float, Ge(0)] = 8.0
    """Standard deviation of the noise of the scan, where white is 255."""
    page_seed: Seed | None = None
    """The seed of all this; that of the run where not given."""
    patch_size: Positive = 24
    """Side of a patch in pixels."""
    stride: Positive = 8
    """Pixels from one patch to the next."""

    def __post_init__(self) -> None:
        """Raise ValueError where there is nothing to set."""
        if not self.characters.strip():
            raise ValueError("characters must hold at least one that is not blank")

    @property
    def depends_on_seed(self) -> bool:
        """Unless the page has its own."""
        return self.page_seed is None

    def open(self, seed: int) -> PatchDataset:
        """The patches; the page is a function of the seed and of what is said here."""
        font_file(self.font)
        draws = stream(seed if self.page_seed is None else self.page_seed, "page")
        clean = clean_page(
            self.height, self.width, Type(self.font, self.size, self.characters, self.gap), draws.generator(0)
        )
        noise = self.noise * draws.generator(2).standard_normal(clean.shape)
        scan = np.clip(np.rint(dirty(clean, self.dirt, self.amount, draws.generator(1)) + noise), 0, 255)
        grid = PatchGrid((self.height, self.width, 1), (self.patch_size, self.patch_size), self.stride)
        return PatchDataset(clean[:, :, None], scan[:, :, None], grid, remove_mean=False, where=f"page in {self.font}")

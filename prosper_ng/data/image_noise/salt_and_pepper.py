"""Pixels that are lost."""

from typing import Annotated

import numpy as np
from annotated_types import Gt, Le

from prosper_ng.components import component
from prosper_ng.data.image_noise.interface import Floats


@component
class SaltAndPepper:
    """Some pixels are white or black, whatever the image shows there."""

    share: Annotated[float, Gt(0), Le(1)]
    """Probability that a pixel is one of them, with all its channels; half of these are white."""

    @property
    def count(self) -> float | None:
        """The rows are on the 8-bit scale."""
        return None

    @property
    def draws(self) -> bool:
        """Which pixels these are."""
        return True

    @property
    def white(self) -> float | None:
        """As the file has it."""
        return None

    def damaged(self, image: Floats, rng: np.random.Generator) -> Floats:
        """The image with these pixels."""
        drawn = rng.random((*image.shape[:2], 1))
        return np.where(drawn < self.share, np.where(drawn < 0.5 * self.share, 0.0, 255.0), image)

"""What a kind of noise must say."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class ImageNoise(Protocol):
    """One kind of noise."""

    @property
    def count(self) -> float | None:
        """What a photon is on the 8-bit scale, where the rows are counts of photons."""
        ...

    @property
    def draws(self) -> bool:
        """Whether anything is drawn, and another seed makes another image."""
        ...

    @property
    def white(self) -> float | None:
        """What is white in the file, where the noise says it."""
        ...

    def damaged(self, image: Floats, rng: np.random.Generator) -> Floats:
        """An image (height, width, channels) on the 8-bit scale with noise, in the units of the rows."""
        ...

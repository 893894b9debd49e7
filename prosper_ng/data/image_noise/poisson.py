"""Photon noise."""

from typing import Annotated

import numpy as np
from annotated_types import Gt

from prosper_ng.components import component
from prosper_ng.data.dataset import DataError
from prosper_ng.data.image_noise.interface import Floats

_ROUNDING = 1e-6


@component
class Poisson:
    """Each value is a count of photons, in proportion to its brightness on average; rows hold these counts."""

    peak: Annotated[float, Gt(0)]
    """The mean count where the image is white."""
    added: bool = True
    """Whether counts are drawn for a clean image; else its file holds them already."""

    @property
    def count(self) -> float:
        """The brightness that a photon stands for."""
        return 255.0 / self.peak

    @property
    def draws(self) -> bool:
        """Where counts are drawn."""
        return self.added

    @property
    def white(self) -> float | None:
        """The count where the image is white, if the file holds counts."""
        return None if self.added else self.peak

    def damaged(self, image: Floats, rng: np.random.Generator) -> Floats:
        """The counts; black, and what is below it, has none. Raises DataError where the file holds no counts."""
        counts = image / self.count
        if self.added:
            return rng.poisson(np.maximum(counts, 0.0)).astype(np.float64)
        whole = np.rint(counts)
        wrong = np.isfinite(counts) & ((np.abs(counts - whole) > _ROUNDING * (1 + whole)) | (whole < 0))
        if wrong.any():
            row, column, channel = np.unravel_index(int(wrong.argmax()), wrong.shape)
            raise DataError(
                f"the image holds {counts[row, column, channel]:.6g} in row {row}, column {column} (counted from 0); "
                "noise of kind poisson that was not added needs counts 0, 1, 2, ..."
            )
        return whole

"""Rows of data, wherever they come from."""

from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from prosper_ng.errors import UserError
from prosper_ng.numerics.named_arrays import NamedArrays

Floats = NDArray[np.float64]


class DataError(UserError):
    """The data cannot be used as they are."""


class Dataset(Protocol):
    """N rows of D values, read in slices; every rank opens it and reads only the rows it owns."""

    n_rows: int
    n_observed: int
    truth: NamedArrays | None
    """The parameters that made the data, where they are known."""

    def read(self, start: int, stop: int) -> Floats:
        """Rows start..stop as a contiguous (stop - start, D) float64 array."""
        ...


class Source(Protocol):
    """A component that says where rows come from; a file of its own in `storage/sources`."""

    kind: ClassVar[str]

    def open(self, seed: int) -> Dataset:
        """The dataset; raises DataError with file, dataset and place where it cannot be read or makes no sense."""
        ...


class ImageDataset(Dataset, Protocol):
    """Patches of an image that can be put back together."""

    clean: Floats
    """(height, width, channels) the image before noise, 8-bit scale."""
    noisy: Floats
    """(height, width, channels) the image that the patches were cut from."""

    def add_patches(self, start: int, patches: Floats, into: Floats) -> None:
        """Add patches (n, D) of rows start.. to an image-shaped sum, their means put back."""
        ...

    def coverage(self) -> Any:
        """(height, width, channels) how many patches cover each pixel."""
        ...

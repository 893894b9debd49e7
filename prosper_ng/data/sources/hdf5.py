"""Rows of a dataset in an HDF5 file."""

from typing import ClassVar

from prosper_ng.components import component
from prosper_ng.data.sources._arrays import ArraySource, Table


@component
class Hdf5(ArraySource):
    """A two-dimensional dataset of numbers, one row per data point; only the rows asked for are read.

    A vector is refused, because it could be one data point as well as many of one value.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".h5", ".hdf5")
    name_field: ClassVar[str | None] = "dataset"

    dataset: str
    """The dataset by its path in the file, such as `patches` or `group/patches`."""

    def table(self) -> Table:
        """The dataset; raises DataError where it cannot be read or is no table of numbers."""
        from prosper_ng.data.sources._hdf5_dataset import hdf5_table

        return hdf5_table(self.file, self.dataset)

"""Rows of a dataset in an HDF5 file."""

from typing import ClassVar

from prosper_ng.components import component
from prosper_ng.data.sources._arrays import ArraySource, Table


@component
class Hdf5(ArraySource):
    """A two-dimensional dataset of numbers, one row per data point; only the rows asked for are read.

    A vector is refused, because it could be one data point as well as many of one value. Numbers that are packed by the
    conventions of netCDF are unpacked: `scale_factor` and `add_offset` are applied, and what `_FillValue`,
    `missing_value` or the valid range says is missing is NaN.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".h5", ".hdf5")
    name_field: ClassVar[str | None] = "dataset"

    dataset: str
    """The dataset by its path in the file, such as `patches` or `group/patches`."""

    def table(self) -> Table:
        """The dataset; raises DataError where it cannot be read or is no table of numbers."""
        from prosper_ng.data.sources._hdf5_dataset import hdf5_table

        return hdf5_table(self.file("hdf5", "mat 7.3"), self.dataset, self.flatten, takes_vectors=self.takes_vectors)

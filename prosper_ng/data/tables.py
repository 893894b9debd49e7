"""What a source of one's own is made of: a file that holds a table, of which slices of rows can be read."""

from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources._arrays import ArraySource, ReadRows, Table

__all__ = ["ArraySource", "DataError", "ReadRows", "Table"]

"""Rows of a variable in a MATLAB file."""

import math
import warnings
from pathlib import Path
from typing import Any, ClassVar

from prosper_ng.components import component
from prosper_ng.data.dataset import DataError, require_memory
from prosper_ng.data.sources._arrays import ArraySource, Table, table_shape
from prosper_ng.data.sources._files import missing, unreadable
from prosper_ng.data.sources._mat5_types import Variable, variables
from prosper_ng.data.sources._matlab_classes import NUMERIC, not_numbers

_HEADER_BYTES = 128
"""At the end of the header are the version, and the byte order by which it is written."""


@component
class Mat(ArraySource):
    """A matrix of numbers in a MATLAB file, one row per data point.

    Files up to version 7.2 are read as a whole by every rank; of version 7.3 only the rows asked for. With `flatten`
    the data points lie along the first axis as MATLAB shows it: `permute(X, [3 1 2])` brings the last one there.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".mat",)
    name_field: ClassVar[str | None] = "variable"

    variable: str
    """The name of the variable."""

    def table(self) -> Table:
        """The variable; raises DataError where it cannot be read or is no matrix of numbers."""
        path = self.file("mat", "mat 7.3", "hdf5")
        where = f"variable '{self.variable}' of {path}"
        if _is_hdf5(path):
            from prosper_ng.data.sources._hdf5_dataset import hdf5_table

            # MATLAB stores column by column, HDF5 row by row: the same bytes have their axes swapped.
            return hdf5_table(path, self.variable, self.flatten, transposed=True)
        values = _load(path, self.variable, where)
        shape = table_shape(where, values.shape, values.dtype, self.flatten)
        return Table(where, shape, lambda start, stop: values[start:stop], row_shape=values.shape[1:])


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as stream:
        start = stream.read(_HEADER_BYTES)
    version = start[-4:-2] if start.endswith(b"IM") else start[-3:-5:-1]
    return start.startswith((b"MATLAB 7.3", b"\x89HDF")) or (start[:6] == b"MATLAB" and version == b"\0\2")


def _load(path: Path, name: str, where: str) -> Any:
    from scipy.io import loadmat
    from scipy.io.matlab import matfile_version

    try:
        with warnings.catch_warnings():
            # scipy warns where a file may be corrupt, and goes on.
            warnings.simplefilter("error", UserWarning)
            is_version_4 = matfile_version(path)[0] == 0
            there = _of_version_4(path) if is_version_4 else variables(path)
            if name not in there:
                raise missing("variable", name, path, there)
            found = there[name]
            if found.matlab_class not in NUMERIC:
                raise DataError(not_numbers(where, name, found.matlab_class))
            if not found.has_known_type:
                raise ValueError(f"the numbers of variable '{name}' have an unknown type")
            require_memory(8 * math.prod(found.shape), where)
            return loadmat(path, variable_names=[name])[name]
    except DataError:
        raise
    except Exception as error:
        # scipy raises whatever the damaged bytes lead it into: TypeError, KeyError, zlib.error, MatReadError, ...
        raise unreadable(path, "a MATLAB file", error) from error


def _of_version_4(path: Path) -> dict[str, Variable]:
    from scipy.io import whosmat

    return {name: Variable(kind, shape) for name, shape, kind in whosmat(path)}

"""Rows of a variable in a MATLAB file."""

import math
import warnings
from pathlib import Path
from typing import Any, ClassVar

from prosper_ng.components import component
from prosper_ng.data.dataset import DataError, require_memory
from prosper_ng.data.sources._arrays import ArraySource, Table, table_shape
from prosper_ng.data.sources._files import missing, unreadable
from prosper_ng.data.sources._mat5_types import is_complex

_NOT_NUMBERS = {"cell", "struct", "object", "char", "function", "opaque", "sparse", "unknown"}


@component
class Mat(ArraySource):
    """A matrix of numbers in a MATLAB file, one row per data point.

    Files up to version 7.2 are read as a whole by every rank; of version 7.3 only the rows asked for.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".mat",)
    name_field: ClassVar[str | None] = "variable"

    variable: str
    """The name of the variable."""

    def table(self) -> Table:
        """The variable; raises DataError where it cannot be read or is no matrix of numbers."""
        path = self.file
        where = f"variable '{self.variable}' of {path}"
        if _is_hdf5(path):
            from prosper_ng.data.sources._hdf5_dataset import hdf5_table

            # MATLAB stores column by column, HDF5 row by row: the same bytes have their axes swapped.
            return hdf5_table(path, self.variable, transposed=True)
        values = _load(path, self.variable, where)
        shape = table_shape(where, values.shape, values.dtype)
        return Table(where, shape, lambda start, stop: values[start:stop])


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as stream:
        start = stream.read(10)
    return start == b"MATLAB 7.3" or start.startswith(b"\x89HDF")


def _load(path: Path, name: str, where: str) -> Any:
    from scipy.io import loadmat, whosmat

    try:
        with warnings.catch_warnings():
            # scipy warns where a file may be corrupt, and goes on.
            warnings.simplefilter("error", UserWarning)
            variables = {variable: (shape, kind) for variable, shape, kind in whosmat(path)}
            if name not in variables:
                raise missing("variable", name, path, variables)
            shape, kind = variables[name]
            if kind in _NOT_NUMBERS:
                raise DataError(f"{where} is of class {kind}; only a full matrix of real numbers can be learned from")
            require_memory(8 * math.prod(shape), where)
            if is_complex(path, name):
                raise DataError(f"{where} holds complex numbers; only real numbers can be learned from")
            return loadmat(path, variable_names=[name])[name]
    except DataError:
        raise
    except Exception as error:
        # scipy raises whatever the damaged bytes lead it into: TypeError, KeyError, zlib.error, MatReadError, ...
        raise unreadable(path, "a MATLAB file", error) from error

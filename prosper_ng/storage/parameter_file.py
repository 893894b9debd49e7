"""Parameters from a file: of an earlier run, or given by hand."""

import os
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import NO_COLUMNS, Columns, DataError
from prosper_ng.data.sources._files import existing_file, unreadable
from prosper_ng.data.sources._npz_array import npz_array
from prosper_ng.storage.run_record import read_run

Floats = NDArray[np.float64]


def read_parameters(path: Path) -> dict[str, Floats]:
    """Parameters by name: the last ones of a run (its folder or run.h5), or the arrays of an npz file.

    Raises UserError where there are none to be read.
    """
    if is_run(path):
        return dict(read_run(path).parameters)
    existing_file(str(path))
    try:
        names = [name.removesuffix(".npy") for name in zipfile.ZipFile(path).namelist()]
    except Exception as error:
        # A damaged archive leads zipfile into any exception.
        raise unreadable(path, "an npz file of parameters", error) from error
    return {name: _numbers(path, name) for name in names}


def unknown_columns(path: Path) -> Columns:
    """The columns of the data of which these parameters know nothing; none where the file is not that of a run.

    Raises UserError where it cannot be read.
    """
    return read_run(path).never_observed if is_run(path) else NO_COLUMNS


def is_run(path: Path) -> bool:
    """Whether parameters there are those of a run: its folder, or a file in HDF5 by its name."""
    return path.suffix.lower() in (".h5", ".hdf5") or os.path.isdir(path)


def _numbers(path: Path, name: str) -> Floats:
    """One array, once it is known to fit into memory and to hold numbers."""
    try:
        return np.asarray(npz_array(path, name).whole(), dtype=np.float64)
    except DataError:
        raise
    except Exception as error:
        raise unreadable(f"array '{name}' of {path}", "an array of numbers", error) from error

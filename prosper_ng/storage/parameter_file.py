"""Parameters from a file: of an earlier run, or given by hand."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prosper_ng.storage.dataset import DataError
from prosper_ng.storage.run_record import read_run
from prosper_ng.storage.sources._files import existing_file, unreadable

Floats = NDArray[np.float64]


def read_parameters(path: Path) -> dict[str, Floats]:
    """Parameters by name: the last ones of a run (its folder or run.h5), or the arrays of an npz file.

    Raises UserError where there are none to be read.
    """
    if path.is_dir() or path.suffix == ".h5":
        return dict(read_run(path).parameters)
    existing_file(str(path))
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name], dtype=np.float64) for name in archive.files}
    except DataError:
        raise
    except Exception as error:
        # A damaged archive leads zipfile and numpy into any exception.
        raise unreadable(path, "an npz file of parameters", error) from error

"""How large and how small the values of data may be: their squares, and those of what is left of them, are numbers."""

import numpy as np
from numpy.typing import DTypeLike, NDArray

from prosper_ng.data.dataset import DataError
from prosper_ng.errors import UserError
from prosper_ng.numerics.constraints import LARGEST
from prosper_ng.parallel.communicator import Communicator

Floats = NDArray[np.float64]

SMALLEST = {np.dtype(np.float64): 1e-90, np.dtype(np.float32): 1e-30}
"""Of the largest value among all data, or in a column that has a noise of its own."""
_LARGEST = {np.dtype(np.float64): LARGEST, np.dtype(np.float32): 1e38}


def in_precision(dtype: DTypeLike) -> str:
    """What the values are held in, in words."""
    return "double precision" if np.dtype(dtype) == np.float64 else "single precision (memory.precision)"


def require_squares(rows: Floats, first_row: int, where: str, dtype: DTypeLike = np.float64) -> float:
    """The largest magnitude in `rows` (n, D), rows first_row.., which will be held in a type; 0 where there is none.

    Raises DataError that names the first value which is too large for what is computed from it.
    """
    dtype = np.dtype(dtype)
    magnitudes = np.abs(rows)
    largest = float(np.fmax.reduce(magnitudes, axis=None, initial=0.0))
    if largest > _LARGEST[dtype]:
        row, column = np.unravel_index(int((magnitudes > _LARGEST[dtype]).argmax()), rows.shape)
        is_double = dtype == np.float64
        reason = "whose squares, added up, leave double precision" if is_double else f"beyond {in_precision(dtype)}"
        raise DataError(
            f"{where}: row {first_row + row}, column {column} (counted from 0) is {rows[row, column]:.3g}, {reason}; "
            f"data can be worked with up to {_LARGEST[dtype]:g} in magnitude: divide them by a power of 10"
        )
    return largest


def require_not_all_tiny(largest: float, dtype: DTypeLike, comm: Communicator) -> None:
    """Raise UserError on all ranks where the largest magnitude among all their rows is so small that squares vanish."""
    found, lowest = np.array([largest]), SMALLEST[np.dtype(dtype)]
    comm.max_in_place(found)
    if 0 < found[0] < lowest:
        raise UserError(
            f"no value of the data exceeds {found[0]:.3g} in magnitude, and squares of that vanish; in "
            f"{in_precision(dtype)} the largest one must be {lowest:g} or more to be learned from: multiply the data "
            "by a power of 10"
        )

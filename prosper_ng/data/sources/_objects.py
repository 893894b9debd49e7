"""Numbers among objects of Python: in lists with None, in columns of Decimal, in arrays of type object."""

from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError

Floats = NDArray[np.float64]

_SHOWN = 40
"""Letters of what is no number."""


def floats_of(objects: NDArray[Any], where: str, first_row: int, column: Callable[[int], str]) -> Floats:
    """The objects (n, m), rows first_row.., as numbers; None and pandas.NA are NaN.

    Raises DataError that names the first that is no number; `column(k)` is what to call column k.
    """
    found = np.empty(objects.shape)
    for (row, place), thing in np.ndenumerate(objects):
        if isinstance(thing, Real | Decimal | np.bool_):
            found[row, place] = thing
        elif thing is None or type(thing).__name__ == "NAType":
            found[row, place] = np.nan
        else:
            raise DataError(
                f"{where}: row {first_row + row}, {column(place)} is {shown(thing)}, which is no number; give a table "
                "of numbers, with NaN or None where a value is missing"
            )
    return found


def shown(thing: Any) -> str:
    """A value, short enough for a sentence."""
    text = " ".join(repr(thing).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."

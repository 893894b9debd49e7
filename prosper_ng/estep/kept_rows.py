"""What an E-step says it keeps of rows, held against what it then gives."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import kind_of
from prosper_ng.errors import UserError
from prosper_ng.estep.interface import EStep, RowArrays, RowState

_KINDS = "biuf"
"""Booleans, integers and numbers of floating point: what checkpoints and digests hold with the same bits anywhere."""


def row_state_of(estep: EStep, model: Any, n_observed: int) -> RowState:
    """What is kept of each row; raises UserError where it is nothing that a checkpoint could hold under these names."""
    state = {
        name: (tuple(int(size) for size in shape), np.dtype(dtype))
        for name, (shape, dtype) in estep.row_state(model, n_observed).items()
    }
    for name, (_, dtype) in state.items():
        if not name.isidentifier() or dtype.kind not in _KINDS or not dtype.isnative:
            raise UserError(
                f"estep {kind_of(estep)} wants to keep {name!r} of type {dtype} for each row; legal are names like "
                "those of variables, and booleans, integers and floats"
            )
    return state


def row_bytes(state: RowState) -> int:
    """Of what is kept of a row."""
    return sum(math.prod(shape) * dtype.itemsize for shape, dtype in state.values())


def state_of_rows(arrays: Mapping[str, NDArray[Any]]) -> RowState:
    """Shape and type of a row of each of these arrays (n, ...)."""
    return {name: (values.shape[1:], values.dtype) for name, values in arrays.items()}


def require_state(estep: EStep, state: RowState, arrays: RowArrays) -> None:
    """Raise UserError where arrays (n, ...) are not what the E-step has announced: they would be cast in silence."""
    found = state_of_rows(arrays)
    if found != state:
        raise UserError(
            f"estep {kind_of(estep)} says that it keeps {named(state)} for each row, and gives {named(found)}"
        )


def named(state: RowState) -> str:
    """`codes (60 x 2, uint64)` and the like."""
    words = [
        f"{name} ({' x '.join(map(str, shape)) or 'one number'}, {dtype})" for name, (shape, dtype) in state.items()
    ]
    return ", ".join(words) or "nothing"


def some_rows(arrays: RowArrays | None, rows: Any) -> RowArrays | None:
    """Those of some rows, given by their numbers, a mask or a slice, which shares their memory."""
    return None if arrays is None else {name: values[rows] for name, values in arrays.items()}

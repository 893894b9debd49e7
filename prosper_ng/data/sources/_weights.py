"""How many rows each row counts as: numbers in a file, or in the hands of a program."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import components_of
from prosper_ng.data.dataset import DataError, Dataset
from prosper_ng.data.sources import _table_views as views
from prosper_ng.data.sources._arrays import ArrayDataset, ArraySource
from prosper_ng.data.sources._in_hand import dataset_of
from prosper_ng.errors import listed
from prosper_ng.numerics.constraints import LARGEST
from prosper_ng.paths import path_of

Floats = NDArray[np.float64]

_SMALLEST = 1 / LARGEST


def weights_in_file(written: str) -> Dataset:
    """The dataset (N, 1) of a file of numbers, and behind its name which of its arrays or columns: `rows.h5/weights`.

    Raises DataError where there is none that can be read, or no single number for each row.
    """
    path = path_of(written)
    file = next((each for each in (path, *path.parents) if each.is_file()), path)
    name = None if file == path else str(path.relative_to(file))
    kind = _kind_of(file)
    given = {} if kind.name_field is None else {kind.name_field: name}
    if given and name is None:
        raise DataError(f"weights: say which {kind.name_field} of {file} they are, as in {file}/weights")
    table = kind(path=str(file), missing=True, **given).column()
    if not given and name is not None:
        table = views.of_columns(table, int(name) if name.isdecimal() else name)
    if table.shape[0] == 1:
        table = views.transposed(table)
    if table.shape[1] > 1:
        names = "" if table.names is None else f" ({listed(list(table.names), 5)})"
        advice = "save them as a vector" if given else f"say which column, as in {file}/NAME"
        raise DataError(
            f"weights: {table.where} has {table.shape[1]} columns{names}, and one number for each row is needed; "
            f"{advice}"
        )
    return ArrayDataset(table, missing=True)


def weights_in_hand(weights: Any) -> Dataset:
    """The dataset (N, 1) of numbers (N,) in whatever holds them; DataError where they are none."""
    try:
        numbers = np.ma.filled(np.ma.asarray(weights, np.float64), np.nan)
    except (TypeError, ValueError) as error:
        raise DataError(f"weights are no numbers: {str(error).splitlines()[0]}") from None
    if numbers.ndim != 1 and numbers.shape[1:] != (1,):
        raise DataError(f"weights have the shape {numbers.shape}; needed is one number for each row, (N,)")
    return dataset_of(numbers.reshape(-1, 1), "weights", missing=True)


def weights_of(given: Any, rows: Dataset) -> Dataset | None:
    """The dataset (N, 1) of the weights of these rows, out of the file of a name or in hand; None of None.

    Raises DataError where there is not one number for each.
    """
    if given is None:
        return None
    weights = weights_in_file(given) if isinstance(given, str) else weights_in_hand(given)
    if weights.n_rows != rows.n_rows:
        raise DataError(f"{weights.where}: {weights.n_rows} weights for the {rows.n_rows} rows of {rows.where}")
    return weights


def legal_weights(numbers: Floats, start: int, where: str) -> Floats:
    """(n,) the weights of rows start.. out of (n, 1); DataError where one is none."""
    found = np.ascontiguousarray(numbers[:, 0])
    legal = (found == 0) | ((found >= _SMALLEST) & (found <= LARGEST))
    if not legal.all():
        row = int(legal.argmin())
        raise DataError(
            f"{where}: the weight of row {start + row} (counted from 0) is {found[row]:g}; legal are 0 and numbers "
            f"from {_SMALLEST:g} to {LARGEST:g}"
        )
    return found


def _kind_of(file: Path) -> Any:
    """The kind of source that reads files of this name."""
    kinds = components_of("prosper_ng.data.sources").values()
    found = next((each for each in kinds if str(file).lower().endswith(tuple(each.suffixes))), None)
    if found is None or not issubclass(found, ArraySource):
        raise DataError(f"weights: {file} has no ending of a file of numbers, such as .npy, .csv or .h5")
    return found

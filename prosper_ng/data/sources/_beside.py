"""Numbers that stand beside rows, in a file or in the hands of a program: weights, labels."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import components_of
from prosper_ng.data.dataset import DataError, Dataset
from prosper_ng.data.some_rows import SomeRows
from prosper_ng.data.sources import _table_views as views
from prosper_ng.data.sources._arrays import ArrayDataset, ArraySource
from prosper_ng.data.sources._in_hand import dataset_of
from prosper_ng.errors import listed
from prosper_ng.numerics.constraints import LARGEST
from prosper_ng.paths import path_of

Floats = NDArray[np.float64]

_SMALLEST = 1 / LARGEST


class Beside(NamedTuple):
    """What stands beside the rows of a dataset."""

    weights: Dataset | None = None
    """(N, 1) as how many rows each counts; None where each is one."""
    labels: Dataset | None = None
    """(N, 1) the class of each, NaN or -1 where none is known; None where none is of any row."""

    @classmethod
    def of(cls, rows: Dataset, weights: Any = None, labels: Any = None) -> "Beside":
        """Out of files that are named, or in hand; DataError where there is not one number for each row."""
        return cls(_numbers_of(weights, rows, "weights"), _numbers_of(labels, rows, "labels"))

    def of_some(self, numbers: NDArray[np.int64]) -> "Beside":
        """Of the rows of some numbers, in ascending order."""
        return Beside(*(None if each is None else SomeRows(each, numbers) for each in self))


NOTHING_BESIDE = Beside()


def numbers_in_file(written: str, what: str) -> Dataset:
    """The dataset (N, 1) of a file of numbers, and behind its name which of its arrays or columns: `rows.h5/weights`.

    Raises DataError where there is none that can be read, or no single number for each row.
    """
    path = path_of(written)
    file = next((each for each in (path, *path.parents) if each.is_file()), path)
    name = None if file == path else str(path.relative_to(file))
    kind = _kind_of(file, what)
    given = {} if kind.name_field is None else {kind.name_field: name}
    if given and name is None:
        raise DataError(f"{what}: say which {kind.name_field} of {file} they are, as in {file}/{what}")
    table = kind(path=str(file), missing=True, **given).column()
    if not given and name is not None:
        table = views.of_columns(table, int(name) if name.isdecimal() else name)
    if table.shape[0] == 1:
        table = views.transposed(table)
    if table.shape[1] > 1:
        names = "" if table.names is None else f" ({listed(list(table.names), 5)})"
        advice = "save them as a vector" if given else f"say which column, as in {file}/NAME"
        raise DataError(
            f"{what}: {table.where} has {table.shape[1]} columns{names}, and one number for each row is needed; "
            f"{advice}"
        )
    return ArrayDataset(table, missing=True)


def numbers_in_hand(held: Any, what: str) -> Dataset:
    """The dataset (N, 1) of numbers (N,) in whatever holds them; DataError where they are none."""
    try:
        numbers = np.ma.filled(np.ma.asarray(held, np.float64), np.nan)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} are no numbers: {str(error).splitlines()[0]}") from None
    if numbers.ndim != 1 and numbers.shape[1:] != (1,):
        raise DataError(f"{what} have the shape {numbers.shape}; needed is one number for each row, (N,)")
    return dataset_of(numbers.reshape(-1, 1), what, missing=True)


def _numbers_of(given: Any, rows: Dataset, what: str) -> Dataset | None:
    if given is None:
        return None
    found = numbers_in_file(given, what) if isinstance(given, str) else numbers_in_hand(given, what)
    if found.n_rows != rows.n_rows:
        raise DataError(f"{found.where}: {found.n_rows} {what} for the {rows.n_rows} rows of {rows.where}")
    return found


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


def legal_labels(numbers: Floats, n_classes: int, start: int, where: str) -> NDArray[np.int64]:
    """(n,) the classes of rows start.. out of (n, 1), -1 where none is known; DataError where one is no class."""
    found = numbers[:, 0]
    is_known = ~np.isnan(found) & (found != -1)  # whole numbers know no NaN
    legal = ~is_known | ((found >= 0) & (found < n_classes) & (found == np.floor(found)))
    if not legal.all():
        row = int(legal.argmin())
        raise DataError(
            f"{where}: the label of row {start + row} (counted from 0) is {found[row]:.12g}; legal are the classes 0 "
            f"to {n_classes - 1} (model.n_classes), and NaN or -1 where none is known"
        )
    return np.where(is_known, found, -1.0).astype(np.int64)


def _kind_of(file: Path, what: str) -> Any:
    """The kind of source that reads files of this name."""
    kinds = components_of("prosper_ng.data.sources").values()
    found = next((each for each in kinds if str(file).lower().endswith(tuple(each.suffixes))), None)
    if found is None or not issubclass(found, ArraySource):
        raise DataError(f"{what}: {file} has no ending of a file of numbers, such as .npy, .csv or .h5")
    return found

"""Rows of data, wherever they come from."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol, Self

import numpy as np
from annotated_types import Gt, Lt
from numpy.typing import NDArray

from prosper_ng.components import FilePath, settings
from prosper_ng.errors import UserError
from prosper_ng.numerics.named_arrays import NamedArrays

if TYPE_CHECKING:
    from prosper_ng.data.picture_scale import Scale
    from prosper_ng.data.preprocessing import Preprocessing
    from prosper_ng.data.row_file import StoredRows

Floats = NDArray[np.float64]
Columns = NDArray[np.intp]

NO_COLUMNS: Columns = np.empty(0, np.intp)
_PIECE_ROWS = 4096


class DataError(UserError):
    """The data cannot be used as they are."""


class Dataset(Protocol):
    """N rows of D values, read in slices; every rank opens it and reads only the rows it owns.

    A row comes out with the same bits whatever slice it is read in.
    """

    n_rows: int
    n_observed: int
    row_shape: tuple[int, ...]
    """The shape to look at a row in: (height, width, channels) of a patch, (D,) where nothing is known."""
    truth: NamedArrays | None
    """The parameters that made the data, where they are known."""
    where: str
    """What to call the rows in an error: the file, or what makes them."""
    preprocessing: "Preprocessing"
    """What is done to raw rows before they are learned from."""
    column_names: tuple[str, ...] | None
    """Of the D columns, where the source names them."""
    notes: tuple[str, ...]
    """What was found out about the source, for the log."""
    doubts: tuple[str, ...]
    """What is legal about the source but may be a mistake: sentences for whoever uses the rows."""

    @property
    def stored(self) -> "StoredRows | None":
        """Where a file holds the rows just as they are learned from; None where none does."""
        ...

    @property
    def as_image(self) -> "ImageDataset | None":
        """The same as patches of an image; None where they are none."""
        ...

    @property
    def held_bytes(self) -> int:
        """What it holds in memory itself, with what is made of that at the end of a run."""
        ...

    @property
    def is_held(self) -> bool:
        """Whether its rows are cut out of what it holds, so that they need not be kept."""
        ...

    def raw(self, start: int, stop: int) -> Floats:
        """Rows start..stop as the source holds them: a (stop - start, D) float64 array of its own, NaN where a value
        was not observed.

        Raises DataError where a row cannot be read or holds a value that is not finite, and NaN too unless the source
        allows for missing values; IndexError where the rows do not exist.
        """
        ...

    def read(self, start: int, stop: int) -> Floats:
        """Rows start..stop as they are learned from, contiguous; raises what `raw` raises."""
        ...


class Source(Protocol):
    """A component that says where rows come from; a file of its own in `data/sources`.

    What is said of files, of missing values and of preprocessing has a default, for sources that know none of it:
    `SourceDefaults`.
    """

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Endings of the names of files that it reads, with their dots, where a `path` is all that it must be told."""
        ...

    @property
    def name_field(self) -> str | None:
        """The field that names an array in such a file; None where there is a single one."""
        ...

    @property
    def depends_on_seed(self) -> bool:
        """Whether another seed makes other rows."""
        ...

    @property
    def may_lack_values(self) -> bool:
        """Whether rows may have values that were not observed."""
        ...

    @property
    def adds_noise(self) -> bool:
        """Whether Gaussian noise is added to the rows."""
        ...

    @property
    def preparation(self) -> Mapping[str, Any]:
        """What it is told to do to its rows, by field: `remove_mean`, `whiten`, `whiten_epsilon`, as far as it can."""
        ...

    def unprepared(self) -> Self:
        """The same rows as they are, so that nothing is fitted to them."""
        ...

    def with_missing(self) -> Self | None:
        """The same with NaN allowed for what was not observed; None where nothing marks that.

        Raises ValueError where it is told to do what needs all values.
        """
        ...

    def open(self, seed: int) -> Dataset:
        """The dataset; raises DataError with file, dataset and place where it cannot be read or makes no sense."""
        ...


@settings
class SourceDefaults:
    """A source that reads no files of numbers, does nothing to its rows, and lacks none of their values."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    name_field: ClassVar[str | None] = None
    held_out: Annotated[float, Gt(0), Lt(1)] | None = None
    """The share of the rows that is not learned from, drawn by the seed: their free energy is told in every sweep."""
    weights: FilePath | None = None
    """A file with a number for each row, as how many rows it counts: weights.npy; behind the name of one that holds
    several, which: rows.h5/weights, table.csv/COLUMN. For mixtures."""
    labels: FilePath | None = None
    """A file with the class of each row, 0 to K - 1, NaN or -1 where unknown, named as weights are; for `n_classes`."""
    coreset: Annotated[int, Gt(0)] | None = None
    """Learn from as many rows, drawn and weighted so that they stand for all; for mixtures."""

    @property
    def may_lack_values(self) -> bool:
        """Never."""
        return False

    @property
    def adds_noise(self) -> bool:
        """Nothing is added."""
        return False

    @property
    def preparation(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def unprepared(self) -> Self:
        """Itself."""
        return self

    def with_missing(self) -> Self | None:
        """Nothing marks what was not observed."""
        return None


class ImageDataset(Dataset, Protocol):
    """Patches of an image that can be put back together."""

    clean: Floats
    """(height, width, channels) the image before noise, 8-bit scale."""
    noisy: Floats
    """(height, width, channels) the image that the patches were cut from, NaN where a pixel is missing."""
    level: float
    """The mean of all pixels that are not missing."""
    scale: "Scale | None"
    """The values that the image has in its file, where it has others than 0 to 255."""
    count: float | None
    """What a photon is on the 8-bit scale, where the rows are counts of photons."""

    def closed(self, numbers: NDArray[np.int64]) -> Floats:
        """The rows (n, D) of these numbers as they are learned from, after gaps in the image were closed crudely.

        NaN only in columns of which nothing can be known.
        """
        ...

    def rows_of_pixels(self, start: int, stop: int) -> range:
        """The rows of the image that raw rows start..stop lie in."""
        ...

    def add_patches(self, start: int, patches: Floats, into: Floats) -> None:
        """Add estimates (n, D) of raw rows start.. to an image-shaped sum.

        Estimates are numbers whatever the rows lack, or NaN in a column of which nothing is known, which adds nothing.
        """
        ...

    def coverage(self, unknown: Columns = NO_COLUMNS) -> Any:
        """(height, width, channels) how many patches estimate each pixel where `unknown` columns have no estimates."""
        ...

    def merge(self, sums: Floats, unknown: Columns = NO_COLUMNS) -> Floats:
        """The image (height, width, channels) that the sums of all patches average to.

        `unknown` columns were NaN in all estimates. Pixels without an estimate stay as they were cut from, missing ones
        included.
        """
        ...


def read_in_pieces(
    read: Callable[[int, int], Floats], start: int, stop: int, shape: tuple[int, int], where: str
) -> Floats:
    """Rows start..stop of a dataset of that shape; what `read` needs on the way is only needed for a piece at a time.

    Raises IndexError where they do not exist, DataError where they do not fit into memory.
    """
    require_rows(start, stop, shape[0])
    require_memory(8 * (stop - start) * shape[1], f"{where}: rows {start} to {stop}")
    rows = np.empty((stop - start, shape[1]))
    for first in range(start, stop, _PIECE_ROWS):
        last = min(first + _PIECE_ROWS, stop)
        rows[first - start : last - start] = read(first, last)
    return rows


def require_rows(start: int, stop: int, n_rows: int) -> None:
    """Raise IndexError unless start..stop are rows of the data."""
    if not 0 <= start <= stop <= n_rows:
        raise IndexError(f"rows {start} to {stop} were asked for; there are {n_rows}")


def require_finite(
    values: Floats,
    first_row: int,
    where: str,
    missing: bool | None = None,
    gaps: str | None = None,
    switch: str = "`missing: true`",
    names: Sequence[str] | None = None,
) -> None:
    """Raise DataError that names the first entry of `values` (n, D), rows first_row.., which is not a finite number.

    `missing` is the switch that lets NaN mark what was not observed, None where there is none to set; `switch` is how
    the user sets it, and `gaps` what was taken for NaN because the file says that it marks missing values; `names` are
    those of the columns.
    """
    legal = np.isfinite(values)
    if missing:
        legal |= np.isnan(values)
    if legal.all():
        return
    row, column = np.unravel_index(int(legal.argmin()), legal.shape)
    place = f"column {column} (" + (f"'{names[int(column)]}', " if names else "") + "counted from 0)"
    rule = "every value must be a finite number"
    if missing:
        rule += ", or NaN where it was not observed"
    elif missing is False and np.isnan(values[row, column]):
        rule += f"; set {switch} if NaN marks values that were not observed"
        if gaps is not None:
            n_missing = np.count_nonzero(np.isnan(values))
            raise DataError(
                f"{where}: row {first_row + row}, {place} is missing: it is NaN, or marked so "
                f"({gaps}), as {n_missing} of the {values.size} values of rows {first_row} to "
                f"{first_row + len(values)} are; set {switch} to learn from the others"
            )
    raise DataError(f"{where}: row {first_row + row}, {place} is {values[row, column]}; {rule}")


def observed_means(rows: Floats, otherwise: float | Floats = 0.0) -> Floats:
    """(n, 1) the mean of the values of each row (n, D) that are not missing; `otherwise`, a number or (n, 1), where all
    of them are.
    """
    observed = ~np.isnan(rows)
    n_values = np.count_nonzero(observed, axis=1, keepdims=True)
    sums = np.where(observed, rows, 0.0).sum(axis=1, keepdims=True)
    return np.where(n_values > 0, sums / np.maximum(n_values, 1), otherwise)


def require_memory(n_bytes: int, what: str) -> None:
    """Raise DataError where an allocation could not fit into the memory of this machine."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if n_bytes > available:
        raise DataError(
            f"{what} takes {n_bytes / 2**30:.3g} GiB; this machine has {available / 2**30:.3g} GiB of memory"
        )

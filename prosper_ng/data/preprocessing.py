"""What is done to rows before they are learned from, and how it is undone.

The mean of each row is removed, then rows are whitened, as far as either is asked for. Whitening is fitted once, to the
rows that are learned from, and belongs to the learned parameters from then on: `run.h5` keeps it, and other rows are
treated with it as it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError, ImageDataset, observed_means, read_in_pieces
from prosper_ng.data.magnitudes import SMALLEST, require_squares
from prosper_ng.kernels import kernel

if TYPE_CHECKING:
    from prosper_ng.data.row_file import StoredRows

Floats = NDArray[np.float64]
Kind = Literal["none", "zca", "pca"]

NEEDS_ALL = "a row is whitened from all its values, so none may be missing"
"""Said where both are asked for."""
LEAVE_OUT = f"{NEEDS_ALL}; leave out `whiten` or `missing`"
SETTINGS = ("remove_mean", "whiten", "whiten_epsilon")
"""The fields of a source that say what is done to its rows."""
_ARRAYS = ("mean", "matrix", "inverse")

BLOCK_ROWS = 1024
MAX_BLOCKS = 48


@dataclass(frozen=True)
class Whitening:
    """rows -> (rows - mean) @ matrix, a linear map that gives rows uncorrelated entries of equal variance.

    ZCA stays as close to the rows as whitening can; PCA gives coordinates in order of falling variance. Both keep D
    entries and can be undone. A row is transformed with the same bits whatever rows come along with it.
    """

    kind: Kind
    epsilon: float
    """The eigenvalues of the covariance were raised by this fraction of their mean."""
    mean: Floats
    """(D,) of the rows that were looked at."""
    matrix: Floats
    """(D, D)."""
    inverse: Floats
    """(D, D) of the matrix."""

    @classmethod
    def of_moments(cls, kind: Kind, mean: Floats, covariance: Floats, epsilon: float, where: str) -> "Whitening":
        """From the moments of the rows; raises DataError where the covariance cannot be inverted."""
        variances, axes = np.linalg.eigh(covariance)
        variances, axes = np.maximum(variances[::-1], 0.0), axes[:, ::-1]
        raised = variances + epsilon * variances.mean()
        if variances[0] == 0:
            raise DataError(f"{where} cannot be whitened: all its rows are equal")
        n_flat = int(np.count_nonzero(raised <= 1e-12 * raised.max()))
        if n_flat:
            raise DataError(
                f"{where} cannot be whitened: its rows do not vary in {n_flat} of {len(mean)} directions; "
                "leave those out, or set whiten_epsilon above 0"
            )
        axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(len(mean))] < 0, -1.0, 1.0)
        onward, back = axes / np.sqrt(raised), (axes * np.sqrt(raised)).T
        if kind == "zca":
            onward, back = onward @ axes.T, axes @ back
        return cls(kind, epsilon, mean, np.ascontiguousarray(onward), np.ascontiguousarray(back))

    def apply(self, rows: Floats) -> Floats:
        """The whitened rows (n, D)."""
        return times(rows - self.mean, self.matrix)

    def undo(self, rows: Floats) -> Floats:
        """The rows (n, D) that were whitened."""
        return self.undo_directions(rows) + self.mean

    def undo_directions(self, directions: Floats) -> Floats:
        """Differences of rows (n, D), such as the columns of a dictionary, before whitening."""
        return times(np.ascontiguousarray(directions, dtype=np.float64), self.inverse)

    def turned_back(self, directions: Floats) -> Floats:
        """Directions (D, n) among whitened rows as they would be after ZCA whitening, which keeps pictures pictures."""
        axes = self.inverse.T / np.linalg.norm(self.inverse, axis=1)
        return directions if self.kind == "zca" else np.asarray(axes @ directions)


@dataclass(frozen=True)
class Preprocessing:
    """The way from raw rows, in the units of their source, to the rows that are learned from, and back."""

    remove_mean: bool = False
    whitening: Whitening | None = None
    n_channels: int = 1
    """The values of a row belong to so many channels in turn, each of which has a mean of its own."""

    @property
    def is_identity(self) -> bool:
        """Whether rows are learned from as they are."""
        return not self.remove_mean and self.whitening is None

    @property
    def settings(self) -> dict[str, Any]:
        """`remove_mean`, `whiten`, and where it says more `mean_per` and `whiten_epsilon`, as a source has them."""
        means = {"remove_mean": self.remove_mean} | ({"mean_per": "channel"} if self.n_channels > 1 else {})
        if self.whitening is None:
            return {**means, "whiten": "none"}
        return {**means, "whiten": self.whitening.kind, "whiten_epsilon": self.whitening.epsilon}

    def apply(self, rows: Floats) -> Floats:
        """Raw rows (n, D) as they are learned from; the mean is that of the values that are not missing."""
        if self.remove_mean:
            rows = rows - self._means(rows)
        return rows if self.whitening is None else self.whitening.apply(rows)

    def undo(self, rows: Floats, raw: Floats | None = None, level: float = 0.0) -> Floats:
        """Rows (n, D) among those that are learned from, such as predictions, in the units of the source.

        `raw` are the raw rows (n, D) that they are predictions of: where the mean was removed, theirs are put back, and
        `level` where a row has no value that is not missing. Without `raw` nobody knows the means: they are left out.
        """
        if self.whitening is not None:
            rows = self.whitening.undo(rows)
        return rows + self._means(raw, level) if self.remove_mean and raw is not None else rows

    def _means(self, raw: Floats, level: float = 0.0) -> Floats:
        """(n, 1) or (n, D): what is removed from raw rows (n, D); of a channel without a value that of the others."""
        means = observed_means(raw, level)
        if self.n_channels == 1:
            return means
        n_rows, n_values = raw.shape
        channels = raw.reshape(n_rows, -1, self.n_channels).transpose(0, 2, 1).reshape(n_rows * self.n_channels, -1)
        of_channels = observed_means(channels, np.repeat(means, self.n_channels, axis=0))
        return np.tile(of_channels.reshape(n_rows, -1), n_values // self.n_channels)

    def undo_directions(self, directions: Floats) -> Floats:
        """Directions (n, D) among the rows, such as the columns of a dictionary, in the units of the source."""
        return directions if self.whitening is None else self.whitening.undo_directions(directions)

    def require_whole(self, raw: Floats, first_row: int, where: str) -> None:
        """Raise DataError that names the first of the raw rows (n, D), rows first_row.., which lacks a value that
        whitening needs.
        """
        lacking = np.isnan(raw).any(axis=1) if self.whitening is not None else np.zeros(0, bool)
        if lacking.any():
            row = first_row + int(lacking.argmax())
            raise DataError(f"{where}: row {row} (counted from 0) misses values; {NEEDS_ALL}")

    def arrays(self) -> dict[str, Any]:
        """Numbers, texts and arrays that `from_arrays` makes it of again."""
        found = self.settings | {"remove_mean": int(self.remove_mean)}
        if found.pop("mean_per", None):
            found["n_channels"] = self.n_channels
        if self.whitening is not None:
            found |= {name: getattr(self.whitening, name) for name in _ARRAYS}
        return found

    @classmethod
    def from_arrays(cls, found: Mapping[str, Any], n_observed: int) -> "Preprocessing":
        """What `arrays` gave; raises ValueError where these are none for rows of that many values."""
        try:
            kind, remove_mean, n_channels = found["whiten"], bool(found["remove_mean"]), int(found.get("n_channels", 1))
            if n_channels < 1 or n_observed % n_channels:
                raise ValueError(f"its rows of {n_observed} values have {n_channels} channels")
            if kind == "none":
                return cls(remove_mean, n_channels=n_channels)
            mean, matrix, inverse = (np.asarray(found[name], np.float64) for name in _ARRAYS)
            epsilon = float(found["whiten_epsilon"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"it lacks {error}, or holds what is no number") from error
        shapes = [mean.shape, matrix.shape, inverse.shape]
        if kind not in ("zca", "pca") or shapes != [(n_observed,), *2 * [(n_observed, n_observed)]]:
            raise ValueError(f"its whitening is `{kind}` with arrays of the shapes {shapes}")
        if not all(np.isfinite(array).all() for array in (mean, matrix, inverse)):
            raise ValueError("its whitening holds numbers that are not finite")
        return cls(remove_mean, Whitening(kind, epsilon, mean, matrix, inverse), n_channels)


NOTHING_DONE = Preprocessing()


class Prepares:
    """A source with the fields `remove_mean`, `whiten` and `whiten_epsilon`."""

    @property
    def preparation(self) -> Mapping[str, Any]:
        """These fields."""
        return {name: getattr(self, name) for name in SETTINGS}

    def unprepared(self) -> Self:
        """With means left in, and not whitened."""
        return replace(self, remove_mean=False, whiten="none")  # type: ignore[type-var]


class PreparedRows:
    """What all datasets share: rows are read raw, and prepared for learning."""

    n_rows: int
    n_observed: int
    where: str
    """What to call the rows in an error."""
    preprocessing: Preprocessing = NOTHING_DONE
    column_names: tuple[str, ...] | None = None
    """Of the D columns, where they have any."""
    notes: tuple[str, ...] = ()
    """What was found out about the source, for the log."""
    doubts: tuple[str, ...] = ()
    """What is legal about the source but may be a mistake."""

    @property
    def stored(self) -> "StoredRows | None":
        """In no file that could be read as it is."""
        return None

    @property
    def as_image(self) -> ImageDataset | None:
        """No patches of an image."""
        return None

    @property
    def held_bytes(self) -> int:
        """Nothing."""
        return 0

    @property
    def is_held(self) -> bool:
        """Not at all."""
        return False

    def raw(self, start: int, stop: int) -> Floats:
        """Rows start..stop as the source holds them; see `Dataset`."""
        raise NotImplementedError

    def read(self, start: int, stop: int) -> Floats:
        """Rows start..stop as they are learned from; see `Dataset`."""
        prepared = self.preprocessing.apply

        def piece(first: int, last: int) -> Floats:
            return prepared(self.raw(first, last))

        return read_in_pieces(piece, start, stop, (self.n_rows, self.n_observed), self.where)


def fit(
    remove_mean: bool,
    kind: Kind,
    epsilon: float,
    raw: Callable[[int, int], Floats],
    n_rows: int,
    where: str,
    missing: bool = False,
    n_channels: int = 1,
) -> Preprocessing:
    """The preprocessing for a dataset, whose rows start..stop are `raw(start, stop)`; the mean is that of each of
    `n_channels` channels.

    Every rank fits whitening to the same rows: all of them up to 49,152 (48 blocks of 1,024), beyond that 48 blocks
    evenly spread over the data. Raises DataError where rows cannot be whitened, or values may be `missing` that would
    be needed.
    """
    only_means = Preprocessing(remove_mean, n_channels=n_channels)
    if kind == "none":
        return only_means
    if missing:
        raise DataError(f"{where} cannot be whitened: {LEAVE_OUT}")
    n_blocks = -(-n_rows // BLOCK_ROWS)
    chosen = np.unique(np.linspace(0, n_blocks - 1, min(n_blocks, MAX_BLOCKS)).round().astype(int))
    shift: Floats = np.zeros(0)
    total, products, n_used, largest = np.zeros(0), np.zeros((0, 0)), 0, 0.0
    for block in chosen:
        start = int(block) * BLOCK_ROWS
        rows = only_means.apply(raw(start, min(start + BLOCK_ROWS, n_rows)))
        largest = max(largest, require_squares(rows, start, where))
        if n_used == 0:
            shift = rows.mean(axis=0)
            total, products = np.zeros(len(shift)), np.zeros((len(shift), len(shift)))
        centered = rows - shift
        total += centered.sum(axis=0)
        products += centered.T @ centered
        n_used += len(rows)
    if 0 < largest < SMALLEST[np.dtype(np.float64)]:
        raise DataError(
            f"{where} cannot be whitened: no value exceeds {largest:.3g} in magnitude, and squares of that vanish; "
            "multiply the data by a power of 10"
        )
    mean = total / n_used
    covariance = products / n_used - np.outer(mean, mean)
    return replace(only_means, whitening=Whitening.of_moments(kind, shift + mean, covariance, epsilon, where))


def times(rows: Floats, matrix: Floats) -> Floats:
    """rows @ matrix, where the bits of a row do not depend on the number of rows, as they do in BLAS.

    Raises ValueError where they do not fit together.
    """
    if rows.shape[1] != len(matrix):
        raise ValueError(f"rows of {rows.shape[1]} values do not fit a matrix of {len(matrix)} rows")
    product = np.zeros((len(rows), matrix.shape[1]))
    _add_product(np.ascontiguousarray(rows), matrix, product)
    return product


@kernel
def _add_product(rows: Any, matrix: Any, product: Any) -> None:
    for i in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            for j in range(matrix.shape[1]):
                product[i, j] += rows[i, k] * matrix[k, j]

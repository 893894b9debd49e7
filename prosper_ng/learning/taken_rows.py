"""The rows that are learned from, each rank its own: all that there are, or a coreset of them."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import kind_of
from prosper_ng.data.content import Content, local_rows
from prosper_ng.data.dataset import Dataset
from prosper_ng.data.magnitudes import require_not_all_tiny, require_squares
from prosper_ng.data.some_rows import SomeRows
from prosper_ng.data.sources._beside import Beside, legal_labels, legal_weights
from prosper_ng.data.support import require_support
from prosper_ng.errors import UserError, listed
from prosper_ng.learning.coreset import AllRows, drawn_coreset
from prosper_ng.learning.settings import LearningSettings
from prosper_ng.models.capabilities import classes_of
from prosper_ng.models.interface import Model
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import collectively
from prosper_ng.parallel.rows import RowBlocks, default_block_rows
from prosper_ng.training.data_selection import Rows

Floats = NDArray[np.float64]

_SHOWN = 5


class Taken(NamedTuple):
    """What is learned from."""

    dataset: Dataset
    """All rows, or those of the coreset."""
    values: Rows
    """(n_local, D)."""
    weights: Floats | None
    """(n_local,) how many rows each counts as; None where that is the same of all."""
    labels: NDArray[np.int64] | None
    """(n_local,) the class of each, -1 where none is known; None where rows have no labels."""
    blocks: RowBlocks
    digest: str
    """Of what the source holds; see `Content`. Those of weights and labels stand behind it, after a +."""
    everything: AllRows | None
    """All rows, where a coreset of them is learned from."""


def size_of_coreset(settings: LearningSettings, n_rows: int) -> int | None:
    """How many rows stand for all; None where all are learned from, which are no more than were asked for."""
    return settings.coreset if settings.coreset is not None and settings.coreset < n_rows else None


def require_labels(settings: LearningSettings, beside: Beside) -> None:
    """Raise UserError where there are labels and a model that learns no classes, or classes and no labels."""
    name, n_classes = kind_of(settings.model), classes_of(settings.model)
    if beside.labels is not None and n_classes is None:
        raise UserError(
            f"model {name} learns no classes, so labels of rows are not for it; set model.n_classes, or leave them out"
        )
    if beside.labels is None and n_classes is not None:
        raise UserError(
            f"model {name} has n_classes: {n_classes}, and rows have no labels; give labels, or leave it out"
        )
    if beside.labels is not None and settings.coreset is not None:
        raise UserError("a coreset leaves out most rows, those with labels as well; leave out either coreset or labels")


def classes_without_labels(labels: NDArray[np.int64] | None, model: Model, comm: Communicator) -> tuple[str, ...]:
    """A sentence where there are classes of which no row has the label; all ranks call it together."""
    n_classes = classes_of(model)
    if labels is None or n_classes is None:
        return ()
    counts = np.bincount(labels[labels >= 0], minlength=n_classes).astype(np.float64)
    comm.sum_in_place(counts)
    absent = np.flatnonzero(counts == 0)
    if len(absent) == 0:
        return ()
    named = listed([str(each) for each in absent], _SHOWN)
    return (f"no row has the label {named}: rows of such classes will be taken for others",)


def take_rows(
    settings: LearningSettings,
    dataset: Dataset,
    beside: Beside,
    comm: Communicator,
    scratch: Path,
    cut: Callable[[int], RowBlocks],
) -> Taken:
    """Read all rows and what stands beside them, and choose among them where that is asked for; all ranks together.

    `cut` makes blocks of a number of rows. Raises UserError on all ranks where a row, weight or label is not legal.
    """
    reading, n_wanted = _Reading(settings, dataset, beside), size_of_coreset(settings, dataset.n_rows)
    dtype, of_weights = np.dtype(settings.memory.dtype), None if beside.weights is None else reading.weigh
    everything = None
    if n_wanted is not None:
        every = RowBlocks(dataset.n_rows, default_block_rows(dataset.n_rows, 1))
        first = AllRows(reading.read, of_weights, dataset.n_observed, every, comm)
        everything = first._replace(read=dataset.read, weigh=of_weights and reading.weigh_again)
        chosen = drawn_coreset(n_wanted, first, everything, settings.model, settings.seed)
        dataset = SomeRows(dataset, chosen.numbers)
    blocks = cut(dataset.n_rows)
    owned = blocks.owned_rows(comm.rank, comm.size)
    with collectively(comm, "reading the data"):
        if everything is not None:
            own: Floats | None = chosen.weights[owned.start : owned.stop]
        else:
            own = None if of_weights is None else of_weights(owned.start, owned.stop)
        read = reading.read if everything is None else dataset.read
        labels = reading.label(owned.start, owned.stop)
        values = local_rows(read, dataset, owned, settings.memory, dtype, scratch, dataset.read)
    require_not_all_tiny(reading.largest, dtype, comm)
    own = own if everything is not None or own is None or _differ(own, comm) else None
    return Taken(dataset, values, own, labels, blocks, reading.digest(comm), everything)


def _differ(weights: Floats, comm: Communicator) -> bool:
    """Whether not all weights of all ranks are the same: then none are needed. Raises UserError where all are 0."""
    ends = np.array([np.max(weights, initial=-np.inf), np.max(-weights, initial=-np.inf)])
    comm.max_in_place(ends)
    if ends[0] == 0:
        raise UserError("the weights of all rows are 0; at least one must be above it")
    return bool(ends[0] != -ends[1])


class _Reading:
    """Reads rows and weights, which have to be legal; the first time they count into the digest."""

    def __init__(self, settings: LearningSettings, dataset: Dataset, beside: Beside) -> None:
        self._dataset, self._weights, self._model = dataset, beside.weights, settings.model
        self._dtype = np.dtype(settings.memory.dtype)
        self._content = Content(dataset)
        self._of_weights, self._of_labels = (None if each is None else Content(each) for each in beside)
        self.largest = 0.0
        """The largest magnitude."""

    def read(self, start: int, stop: int) -> Floats:
        """Rows start..stop, each of which is one that the model can have made, and can be squared."""
        dataset, rows = self._dataset, self._content.read(start, stop)
        self.largest = max(self.largest, require_squares(rows, start, dataset.where, self._dtype))
        require_support(rows, start, self._model, dataset.where, dataset.preprocessing)
        return rows

    def weigh(self, start: int, stop: int) -> Floats:
        """(n,) the weights of rows start..stop."""
        assert self._of_weights is not None
        return legal_weights(self._of_weights.raw(start, stop), start, self._of_weights.dataset.where)

    def weigh_again(self, start: int, stop: int) -> Floats:
        """The same, which count no more."""
        assert self._weights is not None
        return legal_weights(self._weights.raw(start, stop), start, self._weights.where)

    def label(self, start: int, stop: int) -> NDArray[np.int64] | None:
        """(n,) the classes of rows start..stop, -1 where none is known; None where rows have no labels."""
        n_classes = classes_of(self._model)
        if self._of_labels is None or n_classes is None:
            return None
        return legal_labels(self._of_labels.raw(start, stop), n_classes, start, self._of_labels.dataset.where)

    def digest(self, comm: Communicator) -> str:
        """Of rows, weights and labels; all ranks call it together."""
        contents = (self._content, self._of_weights, self._of_labels)
        return "+".join(each.digest(comm) for each in contents if each is not None)

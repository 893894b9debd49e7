"""Tasks in which what is said of a row depends on nothing but what the row holds.

Random streams are those of a row's content, wherever it lies. A matrix product rounds a row in ways that depend on how
many rows it has: products see always as many. Rows that miss values come one by one where the model treats those
together that miss the same.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.estep.interface import Floats, Target
from prosper_ng.models.capabilities import GroupsMissing, offers
from prosper_ng.models.interface import Batch, DiscreteLatents
from prosper_ng.numerics.random_streams import stream
from prosper_ng.numerics.row_hash import row_hashes

Ints = NDArray[np.int64]

_TOGETHER = 64
"""Rows in a product."""


def keys_of(values: Floats) -> Ints:
    """(n,) what the random streams of rows (n, D) are keyed by: 63 bits that equal rows share, and no others."""
    return (row_hashes(values)[:, 0] >> np.uint64(1)).astype(np.int64)


def target_apart(model: DiscreteLatents, prepared: Any, batch: Batch, activity: Floats) -> Target:
    """The task of finding states for rows that either all are complete or all miss values."""
    parts = [model.project(prepared, _some_of_batch(batch, rows)) for rows, _ in _pieces(model, batch)]
    columns = zip(*parts, strict=True)
    # The last piece may repeat rows, which are cut off; what has no rows in any piece stays without.
    projected = type(parts[0])(*(np.concatenate(column)[: len(batch.values)] for column in columns))
    return Target(model, prepared, projected, batch, activity, stream(0, "no draws"), apart=True)


def some(target: Target, rows: Any) -> Target:
    """The same for some of the rows, given by their numbers or a mask."""
    projected = type(target.projected)(*(each[rows] if len(each) else each for each in target.projected))
    return target._replace(batch=_some_of_batch(target.batch, rows), projected=projected)


def in_pieces(target: Target, of_some: Callable[[Target, Ints], Floats]) -> Floats:
    """(n, ...) what `of_some` says of rows of the target, by their numbers, as many at a time as a product sees."""
    found = []
    for rows, n_new in _pieces(target.model, target.batch):
        found.append(of_some(some(target, rows), rows)[:n_new])
    return np.concatenate(found)


def _pieces(model: Any, batch: Batch) -> Iterator[tuple[Ints, int]]:
    """Always as many row numbers, and how many of them are new: the last piece begins again with the first rows."""
    one_by_one = batch.observed is not None and offers(model, GroupsMissing) and model.groups_missing
    n_rows, n_together = len(batch.values), 1 if one_by_one else _TOGETHER
    for start in range(0, n_rows, n_together):
        yield np.arange(start, start + n_together) % n_rows, min(n_together, n_rows - start)


def _some_of_batch(batch: Batch, rows: Any) -> Batch:
    parts: list[Any] = [None if each is None else each[rows] for each in batch]
    return Batch(*parts)

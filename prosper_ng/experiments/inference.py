"""Posteriors of rows under a learned model, on any number of ranks with the same bits."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import kind_of
from prosper_ng.errors import NumericalError
from prosper_ng.estep.interface import Floats, Found, Task
from prosper_ng.experiments.inference_data import LocalRows
from prosper_ng.experiments.inference_effort import Effort, Explored, explore, harder, initial_sets
from prosper_ng.experiments.inference_learned import Learned, as_json
from prosper_ng.experiments.inference_summary import Summary
from prosper_ng.latents.posterior import TruncatedPosterior, truncated_posterior
from prosper_ng.latents.state_sets import StateSets
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.exact_sum import ExactSum
from prosper_ng.parallel.warm_up import warm_up
from prosper_ng.training.data_selection import batch_of

Rows = NDArray[np.int64]
Summarize = Callable[[Task, Found, TruncatedPosterior], Summary]
"""What is to be kept of some rows: arrays (n, ...) by name, with `free_energy` (n,) among them."""

_PIECE_BYTES = 1 << 27
"""Of the states, log joints and weights of the rows that are worked on together."""


class Options(NamedTuple):
    """How to infer."""

    n_sweeps: int = 20
    """Sweeps of an E-step that stores its states, at most."""
    adaptive: bool = False
    """Whether rows that may have missed their best state are looked at again, harder."""


class Inferred(NamedTuple):
    """What was found out of this rank's rows, and of all."""

    local: Summary
    """Arrays (n_local, ...) by name."""
    free_energy: float
    """F per row, over all ranks."""
    n_unsettled: int
    """Rows of all ranks that may have missed their best state."""
    n_empty: int
    """Rows of all ranks without any observed value of which the model knows something."""
    n_ignored: int
    """Values of all ranks in columns of which the model knows nothing."""


class Inference:
    """Finds the states of rows at fixed parameters; what it finds of rows is a function of these rows alone."""

    def __init__(self, known: Learned, options: Options) -> None:
        """Compute nothing yet, because that may compile kernels."""
        self.known, self.options, self.model = known, options, known.model
        self._efforts: list[Effort | None] = [Effort(known.config.chosen_estep.estep, options.n_sweeps)]
        self._n_states: dict[int, int] = {}

    @property
    def n_states(self) -> int:
        """S, the states kept for each row before any is looked at harder."""
        return self._states_of(0)

    @cached_property
    def _prepared(self) -> Any:
        return self.model.prepare(self.known.params)

    @cached_property
    def _activity(self) -> Floats:
        return self.model.activity(self.known.params)

    def of_rows(self, rows: Rows, values: Floats, summarize: Summarize) -> Summary:
        """What `summarize` says of global rows (n,) with values (n, D), NaN where missing.

        Besides `n_widened`, how many times the effort was raised for the row, and `unsettled`, whether even that may
        have missed its best state. Raises UserError where the E-step cannot serve the model, NumericalError where no
        state of a row has a finite log joint.
        """
        found: Summary = {}
        pending, before, level = np.arange(len(rows)), None, 0
        while len(pending) and self._effort(level) is not None:
            again, left = np.zeros(len(pending), bool), []
            for piece in self._pieces(len(pending), level):
                local = pending[piece]
                part, explored = self._at_level(level, rows[local], values[local], _some(before, piece), summarize)
                _put(found, local, len(rows), part)
                again[piece] = explored.needs_more
                left.append(_some(explored.sets, explored.needs_more))
            if not self.options.adaptive:
                break
            pending, level, before = pending[again], level + 1, _joined(left)
        return found

    def rehearse(self, summarize: Summarize, missing: bool) -> Summary:
        """The summary of two rows that are not the data's, so that every kernel is compiled, and the shapes known."""
        rows, values = np.arange(2), np.linspace(-1.0, 1.0, 2 * self.known.n_observed).reshape(2, -1)
        found = self._at_level(0, rows, values, None, summarize)[0]
        if missing:
            values[0, 0] = np.nan
        for level in range(2 if self.options.adaptive else 1):
            if self._effort(level) is not None:
                self._at_level(level, rows, values, None, summarize)
        return found

    def _at_level(
        self, level: int, rows: Rows, values: Floats, before: StateSets | None, summarize: Summarize
    ) -> tuple[Summary, Explored]:
        """What one effort makes of the rows."""
        effort = self._effort(level)
        assert effort is not None
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is an error below
            task = self._task(rows, values)
            explored = explore(effort, task, self.known.config.seed, before)
        return self._summary(task, explored, level, summarize), explored

    def _summary(self, task: Task, explored: Explored, level: int, summarize: Summarize) -> Summary:
        posterior = truncated_posterior(explored.found.log_joint)
        if not np.isfinite(posterior.free_energy).all():
            row = int(task.batch.rows[np.argmin(np.isfinite(posterior.free_energy))])
            raise NumericalError(
                f"row {row} (counted from 0) has no state with a finite log joint under model {kind_of(self.model)} "
                f"with the parameters of {self.known.path}"
            )
        efforts = {"n_widened": np.full(len(posterior.free_energy), level, np.int32)}
        return summarize(task, explored.found, posterior) | efforts | {"unsettled": explored.unsettled.astype(np.uint8)}

    def _effort(self, level: int) -> Effort | None:
        while len(self._efforts) <= level:
            last = self._efforts[-1]
            self._efforts.append(None if last is None else harder(last, self.model.space))
        return self._efforts[level]

    def _task(self, rows: Rows, values: Floats) -> Task:
        if len(self.known.never_observed):
            # What the model knows nothing of must not count in the choice of states.
            values = values.copy()
            values[:, self.known.never_observed] = np.nan
        batch = batch_of(rows, values)
        projected = self.model.project(self._prepared, batch)
        return Task(self.model, self._prepared, projected, batch, self._activity, stream(0, "no draws"))

    def _pieces(self, n_rows: int, level: int) -> Iterator[slice]:
        """Rows that are worked on together: as many as fit into the memory set aside for them."""
        state_bytes = 8 * (self.model.space.words + 3)
        n_together = max(1, _PIECE_BYTES // (self._states_of(level) * state_bytes))
        for start in range(0, n_rows, n_together):
            yield slice(start, min(start + n_together, n_rows))

    def _states_of(self, level: int) -> int:
        """S at a level, found by trying it on a row of zeros."""
        if level not in self._n_states:
            effort = self._effort(level)
            assert effort is not None
            task = self._task(np.zeros(1, np.int64), np.zeros((1, self.known.n_observed)))
            sets = initial_sets(effort, task, 0)
            codes = effort.estep.find(task, None).codes if sets is None else sets.codes
            self._n_states[level] = codes.shape[1]
        return self._n_states[level]


def infer(inference: Inference, rows: LocalRows, summarize: Summarize) -> Inferred:
    """What `summarize` says of all rows, each rank its own; all ranks call it together."""
    comm = rows.comm
    layout: list[Summary] = []
    missing = bool(getattr(rows.source, "missing", False))
    warm_up(comm, lambda: layout.append(inference.rehearse(summarize, missing)))
    parts = {name: [values[:0]] for name, values in layout[-1].items()}
    total, counts, never = ExactSum([1, 1]), np.zeros(2), inference.known.never_observed
    for block in rows.owned_blocks():
        observed = ~np.isnan(rows.of_block(block))
        counts[1] += np.count_nonzero(observed[:, never])
        observed[:, never] = False
        counts[0] += np.count_nonzero(~observed.any(axis=1))
        found = inference.of_rows(np.arange(block.start, block.stop), rows.of_block(block), summarize)
        for name, values in found.items():
            parts[name].append(values)
        total.add(np.array([found["free_energy"].sum(), float(found["unsettled"].sum())]))
    summed, counts = total.reduce(comm, counts)
    local = {name: np.concatenate(values) for name, values in parts.items()}
    return Inferred(local, float(summed[0]) / rows.blocks.n_rows, int(summed[1]), int(counts[0]), int(counts[1]))


def attributes_of(known: Learned, options: Options, rows: LocalRows, inferred: Inferred) -> dict[str, Any]:
    """What a file of results says of how they were made."""
    effort = {"n_sweeps": options.n_sweeps, "adaptive": int(options.adaptive), "seed": known.config.seed}
    outcome = {"mean_free_energy": inferred.free_energy, "n_unsettled": inferred.n_unsettled}
    return known.provenance() | rows.attributes | {"estep": as_json(known.config.estep)} | effort | outcome


def _put(found: Summary, places: Rows, n_rows: int, part: Summary) -> None:
    """Write the arrays of some rows into those of all."""
    for name, values in part.items():
        if name not in found:
            found[name] = np.empty((n_rows, *values.shape[1:]), values.dtype)
        found[name][places] = values


def _some(sets: StateSets | None, rows: Any) -> StateSets | None:
    """The state sets of some rows."""
    return None if sets is None else StateSets(sets.codes[rows], sets.log_joint[rows])


def _joined(parts: list[StateSets | None]) -> StateSets | None:
    """The state sets of the rows of all pieces."""
    present = [part for part in parts if part is not None]
    if not present:
        return None
    return StateSets(np.concatenate([part.codes for part in present]), np.concatenate([p.log_joint for p in present]))

"""Posteriors of rows under a learned model, on any number of ranks with the same bits."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import kind_of
from prosper_ng.errors import NumericalError, UserError
from prosper_ng.estep.interface import Floats, Found, RowArrays, RowState, Target
from prosper_ng.estep.kept_rows import row_state_of, some_rows
from prosper_ng.estep.row_by_row import keys_of, target_apart
from prosper_ng.inference.effort import MOST_DOUBLINGS, Effort, Explored, explore, harder
from prosper_ng.inference.local_rows import LocalRows
from prosper_ng.inference.summary import Summary
from prosper_ng.latents.posterior import truncated_posterior
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.exact_sum import ExactSum
from prosper_ng.parallel.failure import collectively
from prosper_ng.parallel.warm_up import warm_up
from prosper_ng.storage.provenance import as_json
from prosper_ng.training.data_selection import batch_of
from prosper_ng.training.visits import activity_of

if TYPE_CHECKING:
    from prosper_ng.inference.learned import Learned

Indices = NDArray[np.int64]
Summarize = Callable[[Target, Found | None, Any], Summary]
"""What is to be kept of some rows: arrays (n, ...) by name, with `free_energy` (n,) among them.

It sees the states that were found and their `TruncatedPosterior`; or none and another posterior, such as Gaussians.
"""

_PIECE_BYTES = 1 << 27
"""Of the states, log joints and weights of the rows that are worked on together."""


class Options(NamedTuple):
    """How to infer."""

    n_sweeps: int = 20
    """Sweeps of an E-step that stores its states, at most."""
    adaptive: bool = False
    """Whether rows are looked at again, harder, unless their best state is certain."""


class Start(NamedTuple):
    """What a search over the rows of a run starts from, besides fresh states."""

    kept: RowArrays | None = None
    """What the run has kept of this rank's rows; None where there is nothing."""
    sweeps: int | None = None
    """The sweeps of the run that they come after."""
    sentence: str | None = None
    """What the user should hear of it."""


class Inferred(NamedTuple):
    """What was found out of this rank's rows, and of all."""

    local: Summary
    """Arrays (n_local, ...) by name."""
    free_energy: float
    """F per row, over all ranks."""
    n_rows: int
    """Rows of all ranks."""
    n_unsettled: int
    """Rows of all ranks in which something hints at a better state than the best one found."""
    n_certain: int
    """Rows of all ranks of which all states were looked at."""
    unimproved: int | None
    """For how many sweeps, or neighborhoods looked at, the best states of all others have not improved, at least.

    None where there are no others.
    """
    n_empty: int
    """Rows of all ranks without any observed value of which the model knows something."""
    n_ignored: int
    """Values of all ranks in columns of which the model knows nothing."""
    start: Start
    doubts: tuple[str, ...] = ()
    """What the user should hear about the rows."""


class Inference:
    """Finds the states of rows at fixed parameters; what it finds of a row is a function of what that row holds."""

    def __init__(self, known: "Learned", options: Options) -> None:
        """Compute nothing yet, because that may compile kernels.

        Raises UserError where the E-step cannot serve the model, or has no effort to raise.
        """
        self.known, self.options, self.model = known, options, known.model
        self.estep = known.chosen_estep.estep
        self.estep.check(self.model)
        if options.adaptive and not self.estep.lists_states:
            raise UserError(
                f"an adaptive inference looks harder for better states, and estep {kind_of(self.estep)} lists none: "
                "what it finds of a row is its best at once; leave adaptive out"
            )
        self._efforts: list[Effort | None] = [Effort(self.estep, options.n_sweeps)]
        self._guides: dict[int, Any] = {}

    @property
    def row_state(self) -> RowState:
        """What the E-step keeps of each row and goes on from; nothing where that would change no more than rounding."""
        if not self.estep.lists_states:
            return {}
        return row_state_of(self.estep, self.model, self.known.n_observed)

    @property
    def n_states(self) -> int:
        """S, the states kept for each row before any is looked at harder."""
        return self._states_of(0)

    @cached_property
    def _prepared(self) -> Any:
        return self.model.prepare(self.known.params)

    @cached_property
    def _activity(self) -> Floats:
        return activity_of(self.model, self.known.params)

    def of_rows(self, rows: Indices, values: Floats, summarize: Summarize, before: RowArrays | None = None) -> Summary:
        """What `summarize` says of rows with values (n, D), NaN where missing; `rows` (n,) are their names in errors.

        Besides `n_widened`, how many times the effort was raised for the row, and what `Explored` says of how sure the
        best state is. The E-step goes on from what was kept of the rows `before`, where that is given. Raises
        NumericalError where no state of a row has a finite log joint.
        """
        found: Summary = {}
        if len(self.known.never_observed):
            # What the model knows nothing of must not count in the choice of states.
            values = values.copy()
            values[:, self.known.never_observed] = np.nan
        keys, incomplete = keys_of(values), np.asarray(np.isnan(values).any(axis=1))
        pending, level = np.arange(len(rows)), 0
        while len(pending) and self._effort(level) is not None:
            again, left = np.zeros(len(pending), bool), list[tuple[Indices, RowArrays | None]]()
            for piece in self._pieces(incomplete[pending], level):
                local = pending[piece]
                explored, summary = self._at_level(
                    level, rows[local], keys[local], values[local], some_rows(before, piece), summarize
                )
                _put(found, local, len(rows), summary)
                again[piece] = explored.needs_more
                if self.options.adaptive:
                    left.append((piece[explored.needs_more], some_rows(explored.states, explored.needs_more)))
            if not self.options.adaptive:
                break
            pending, level, before = pending[again], level + 1, _joined(left)
        return found

    def rehearse(self, summarize: Summarize, missing: bool) -> Summary:
        """The summary of two rows that are not the data's, so that every kernel is compiled, and the shapes known."""
        rows, values = np.arange(2), self._feasible_rows(2)
        gaps = np.where(np.arange(self.known.n_observed) == 0, np.nan, values)
        found, kinds = self._rehearsed(0, rows, values, summarize), set()
        for level in range(MOST_DOUBLINGS + 3 if self.options.adaptive else 1):
            effort = self._effort(level)
            if effort is None:
                break
            if level == 0 or type(effort.estep) not in kinds:
                self._rehearsed(level, rows, values, summarize)
                if missing:
                    self._rehearsed(level, rows, gaps, summarize)
            if level > 0:
                kinds.add(type(effort.estep))
        return found

    def _feasible_rows(self, n_rows: int) -> Floats:
        """(n, D) rows that are not the data's, of values that these may have."""
        shape = (n_rows, self.known.n_observed)
        return self.model.support.feasible(shape, stream(0, "rehearsal").generator())

    def _rehearsed(self, level: int, rows: Indices, values: Floats, summarize: Summarize) -> Summary:
        return self._at_level(level, rows, keys_of(values), values, None, summarize)[1]

    def _at_level(
        self, level: int, rows: Indices, keys: Indices, values: Floats, before: RowArrays | None, summarize: Summarize
    ) -> tuple[Explored, Summary]:
        """What one effort makes of rows that either all are complete or all miss values."""
        effort = self._effort(level)
        assert effort is not None
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is an error below
            target = target_apart(self.model, self._prepared, batch_of(keys, values), self._activity)
            posterior: Any
            if effort.estep.lists_states:
                explored = explore(effort, target._replace(guide=self._guide(level)), self.known.seed, before)
                posterior = truncated_posterior(explored.found.log_joint)
            else:
                explored, posterior = Explored.of_none(len(rows)), effort.estep.posterior(target)
        return explored, self._summary(rows, target, explored, posterior, level, summarize)

    def _summary(
        self, rows: Indices, target: Target, explored: Explored, posterior: Any, level: int, summarize: Summarize
    ) -> Summary:
        if not np.isfinite(posterior.free_energy).all():
            place = int(np.argmin(np.isfinite(posterior.free_energy)))
            row, largest = int(rows[place]), float(np.nanmax(np.abs(target.batch.values[place]), initial=0.0))
            raise NumericalError(
                f"row {row} (counted from 0) has no state with a finite log joint under model {kind_of(self.model)} "
                f"with the parameters of {self.known.origin}: its values reach {largest:.3g}, and the squares of what "
                "the model leaves of them, in units of its noise, leave double precision"
            )
        efforts: Summary = {
            "n_widened": np.full(len(posterior.free_energy), level, np.int32),
            "certain": explored.certain.astype(np.uint8),
            "unsettled": explored.unsettled.astype(np.uint8),
            "unimproved": explored.unimproved,
        }
        return summarize(target, explored.found, posterior) | efforts

    def _guide(self, level: int) -> Any:
        effort = self._effort(level)
        assert effort is not None
        if level not in self._guides:
            self._guides[level] = effort.estep.guide(self.model, self._prepared)
        return self._guides[level]

    def _effort(self, level: int) -> Effort | None:
        while len(self._efforts) <= level:
            last = self._efforts[-1]
            self._efforts.append(None if last is None else harder(last, self.model.space))
        return self._efforts[level]

    def _pieces(self, incomplete: NDArray[np.bool_], level: int) -> Iterator[Indices]:
        """Rows that are worked on together: as many as fit into the memory set aside for them."""
        if self.estep.lists_states:
            row_bytes = self._states_of(level) * 8 * (self.model.space.words + 3)
        else:
            row_bytes = self.estep.working_bytes(self.model)
        n_together = max(1, _PIECE_BYTES // row_bytes)
        for alike in (np.flatnonzero(~incomplete), np.flatnonzero(incomplete)):
            for start in range(0, len(alike), n_together):
                yield alike[start : start + n_together]

    def _states_of(self, level: int) -> int:
        """S at a level."""
        effort = self._effort(level)
        assert effort is not None
        return effort.estep.n_listed(self.model.space)


def infer(inference: Inference, rows: LocalRows, summarize: Summarize, start: Start | None = None) -> Inferred:
    """What `summarize` says of all rows, each rank its own; all ranks call it together."""
    comm, start = rows.comm, start or Start()
    layout: list[Summary] = []
    warm_up(comm, lambda: layout.append(inference.rehearse(summarize, rows.missing)))
    local = {name: rows.allocate(values.shape[1:], values.dtype) for name, values in layout[-1].items()}
    total, counts, never = ExactSum([1, 1, 1]), np.zeros(2), inference.known.never_observed
    with collectively(comm, "inferring" if comm.size > 1 else ""):
        for block in rows.owned_blocks():
            raw = rows.raw_of_block(block)
            observed = ~np.isnan(raw)
            counts[1] += np.count_nonzero(observed[:, never])
            observed[:, never] = False
            counts[0] += np.count_nonzero(~observed.any(axis=1))
            place = rows.local(block)
            before = some_rows(start.kept, place)
            found = inference.of_rows(np.arange(block.start, block.stop), rows.prepared(raw), summarize, before)
            for name, values in found.items():
                local[name][place] = values
            total.add(np.array([float(found[name].sum()) for name in ("free_energy", "unsettled", "certain")]))
    summed, counts = total.reduce(comm, counts)
    unimproved = _least(local["unimproved"][(local["certain"] == 0) & (local["unsettled"] == 0)], comm)
    n_rows = rows.blocks.n_rows
    return Inferred(
        local, float(summed[0]) / n_rows, n_rows, int(summed[1]), int(summed[2]), unimproved, int(counts[0]),
        int(counts[1]), start._replace(kept=None), rows.doubts,
    )  # fmt: skip


def _least(numbers: NDArray[np.int32], comm: Communicator) -> int | None:
    """The smallest number of all ranks; None where there is none."""
    largest = np.array([-float(numbers.min()) if len(numbers) else -np.inf])
    comm.max_in_place(largest)
    return None if largest[0] == -np.inf else int(-largest[0])


def attributes_of(known: "Learned", options: Options, rows: LocalRows, inferred: Inferred) -> dict[str, Any]:
    """What a file of results says of how they were made."""
    effort = {"n_sweeps": options.n_sweeps, "adaptive": int(options.adaptive), "seed": known.seed}
    outcome = {
        "mean_free_energy": inferred.free_energy,
        "n_unsettled": inferred.n_unsettled,
        "n_certain": inferred.n_certain,
        "states_of_sweep": inferred.start.sweeps,
    }
    return known.provenance() | rows.attributes | {"estep": as_json(known.estep)} | effort | outcome


def _put(found: Summary, places: Indices, n_rows: int, part: Summary) -> None:
    """Write the arrays of some rows into those of all."""
    for name, values in part.items():
        if name not in found:
            found[name] = np.empty((n_rows, *values.shape[1:]), values.dtype)
        found[name][places] = values


def _joined(parts: list[tuple[Indices, RowArrays | None]]) -> RowArrays | None:
    """What was found of the rows of all pieces, in the order of the rows' numbers."""
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    present = [found for _, found in parts if found is not None]
    if not present:
        return None
    return {name: np.concatenate([found[name] for found in present])[order] for name in present[0]}

"""Truncated variational EM, plain and incremental, on any number of ranks with the same bits."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import kind_of
from prosper_ng.errors import NumericalError
from prosper_ng.estep.interface import EStep, RowArrays, Target
from prosper_ng.estep.kept_rows import require_state, row_state_of
from prosper_ng.latents.posterior import UNTEMPERED, Posterior, Tempering
from prosper_ng.models.capabilities import offers, workspace_for
from prosper_ng.models.interface import DiscreteLatents
from prosper_ng.numerics.named_arrays import NamedArrays, segments
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.exact_sum import ExactSum
from prosper_ng.parallel.failure import agree, during
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.training.annealing import AnnealingPoint
from prosper_ng.training.data_selection import Rows, batch_of, best_explained, noisy_values, visited_rows
from prosper_ng.training.maximization import Carried, Maximization
from prosper_ng.training.requirements import check_model
from prosper_ng.training.settings import Training
from prosper_ng.training.totals import PartTotals, kept_statistics_of, memory_of, statistics_of

Floats = NDArray[np.float64]
Visit = tuple[Target, Posterior]

_KEPT_BYTES = 1 << 28
"""Posteriors of a part up to this size are kept until it is known which rows count; larger ones are made again."""


class Problem(NamedTuple):
    """What is learned, from which rows, by whom."""

    model: DiscreteLatents
    estep: EStep
    values: Rows
    """(n_local, D) the rows of this rank, in memory or in a file."""
    blocks: RowBlocks
    comm: Communicator
    seed: int

    @property
    def first_row(self) -> int:
        """The global index of this rank's first row."""
        return self.blocks.starts(self.comm.size)[self.comm.rank]

    @property
    def n_observed(self) -> int:
        """D."""
        return int(self.values.shape[1])

    def local(self, rows: range) -> slice:
        """Where some of this rank's global rows lie in its arrays."""
        return self.blocks.local(rows, self.comm.rank, self.comm.size)


@dataclass
class TrainingState:
    """What training carries from sweep to sweep, and a checkpoint keeps."""

    sweep: int
    """Sweeps done."""
    params: NamedArrays
    """Parameters, the same on all ranks."""
    rows: RowArrays
    """What the E-step keeps of this rank's rows, by name; nothing where it makes all of it anew."""
    totals: PartTotals
    """Statistics by part, on root."""
    memory: NamedArrays = field(default_factory=lambda: NamedArrays({}))
    """What the M-step remembers besides the parameters, on root."""


class SweepReport(NamedTuple):
    """What a sweep came to; the same on all ranks but for the numbers that only root has."""

    sweep: int
    """Sweeps done, this one included."""
    free_energy: float
    """F per row at temperature 1, after the last M-step of the sweep where statistics tell it, else before (root)."""
    entropy_gap: float | None
    """F per row minus what the entropy identity makes of it; None where it does not apply (root).

    `identity` of the model says whether it is an error of the M-step or the distance from convergence.
    """
    point: AnnealingPoint
    n_rows_used: int
    """Rows that the last M-step learned from (root)."""
    n_evaluated: float
    """States whose log joint was computed, per row."""
    n_accepted: float
    """States that entered a state set, per row."""
    seconds: dict[str, float]
    """Wall time of this sweep: e_step (mean over ranks), imbalance (longest minus mean), m_step, communication."""
    interrupted: bool
    """Whether some rank was asked to stop."""
    notes: tuple[str, ...]
    """What the M-steps had to say (root)."""

    @property
    def settled(self) -> bool:
        """Whether annealing is over."""
        return self.point.settled


class TruncatedEM:
    """The EM algorithm: `for report in em.sweeps(state)`."""

    def __init__(self, problem: Problem, training: Training, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Set up buffers; `interrupted` says whether this rank was asked to stop.

        Raises UserError where the model does not offer what E-step and training need.
        """
        check_model(problem.model, problem.estep, training)
        self.problem, self.training, self.interrupted = problem, training, interrupted
        shapes = statistics_of(problem.model, problem.n_observed)
        self._block_sums = NamedArrays(shapes)
        self._sum = ExactSum(segments(shapes))
        self._maximization = Maximization(problem.model, problem.estep, training, problem.n_observed, problem.seed)

    def sweeps(self, state: TrainingState) -> Iterator[SweepReport]:
        """Sweep over the data until the last sweep is done; `state` is brought up to date before each report."""
        comm = self.problem.comm
        for sweep in range(state.sweep, self.training.n_sweeps):
            point = self.training.annealing.at(sweep, self.training.n_sweeps)
            clock = _Clock()
            for part in range(self.problem.blocks.n_parts):
                where = f"of sweep {sweep + 1}, update {part + 1}"
                with during(f"in the E-step {where}"):
                    seconds = self._expect(state, part, point, clock)
                with during(f"in the reduction {where}"):
                    sums = self._reduce(clock, seconds)
                failure: Exception | None = None
                if comm.is_root:
                    try:
                        carried = Carried(state.params, state.totals, state.memory)
                        state.params = self._maximization.update(carried, sums, sweep, part, point)
                    except Exception as error:
                        failure = error
                    clock.lap("m_step")
                with during(f"in the broadcast {where}"):
                    failed = self._broadcast(state.params, failure)
                    clock.lap("communication")
                if failed:
                    with during(f"in the M-step {where}"):
                        agree(comm, failure, "updating the parameters" if comm.size > 1 else "")
            state.sweep = sweep + 1
            yield self._report(sweep, point, clock)

    def _broadcast(self, params: NamedArrays, failure: Exception | None) -> bool:
        """Bring the parameters of root to all ranks; whether it failed instead, which comes along.

        Without that an error of root alone would leave the others waiting for its parameters.
        """
        message = np.append(params.buffer, failure is not None)
        self.problem.comm.broadcast_in_place(message)
        params.buffer[:] = message[:-1]
        return bool(message[-1])

    def _expect(self, state: TrainingState, part: int, point: AnnealingPoint, clock: "_Clock") -> float:
        """The E-step over this rank's rows of one part, whose statistics are summed exactly; the seconds it took."""
        sums = self._block_sums
        self._sum.clear()
        visited, threshold = self._visit(state, part, point)
        for _, posterior in visited:
            kept = None if threshold is None else posterior.free_energy >= threshold
            sums.buffer[:] = 0.0
            posterior.accumulate(kept, sums)
            sums["entropy"] += np.sum(posterior.entropy, where=True if kept is None else kept)
            sums["free_energy"] += np.sum(posterior.free_energy, where=True if kept is None else kept)
            self._sum.add(sums.buffer)
            clock.counts[:2] += posterior.n_evaluated, posterior.n_accepted
        clock.counts[2] += self.interrupted()
        return clock.lap("e_step")

    def _reduce(self, clock: "_Clock", seconds: float) -> NamedArrays:
        """The statistics of a part over all ranks; this rank's counts and `seconds` of the E-step ride along."""
        extras = np.zeros(3 + self.problem.comm.size)
        extras[:3], extras[3 + self.problem.comm.rank] = clock.counts, seconds
        total, extras = self._sum.reduce(self.problem.comm, extras)
        clock.reduced(extras, seconds)
        return NamedArrays(self._block_sums.shapes, total)

    def _visit(self, state: TrainingState, part: int, point: AnnealingPoint) -> tuple[Iterable[Visit], float | None]:
        """The posteriors of a part, and the free energy above which a row counts; None where all rows do."""
        visited: Iterable[Visit] = posteriors(self.problem, state, part, point)
        if point.data_pruning == 0 or self.problem.estep.max_active is None:
            return visited, None
        found: list[Visit] = []
        free_energies, n_bytes = [np.empty(0)], 0
        for each in visited:
            free_energies.append(each[1].free_energy)
            n_bytes += each[1].n_bytes
            if n_bytes <= _KEPT_BYTES:
                found.append(each)
        threshold = self._pruning_threshold(state, part, point, np.concatenate(free_energies))
        again = n_bytes > _KEPT_BYTES
        return posteriors(self.problem, state, part, point, vary=False) if again else found, threshold

    def _pruning_threshold(
        self, state: TrainingState, part: int, point: AnnealingPoint, free_energies: Floats
    ) -> float:
        """The free energy of the last row that counts, over all ranks."""
        model, max_active = self.problem.model, self.problem.estep.max_active
        assert max_active is not None
        try:
            return best_explained(
                free_energies, point.data_pruning, model.activity(state.params), max_active, self.problem.comm
            )
        except NumericalError as error:
            where = f"sweep {state.sweep + 1}, update {part + 1}"
            raise NumericalError(
                f"{where}, data pruning by the free energies of model {kind_of(model)}: {error}"
            ) from None

    def _report(self, sweep: int, point: AnnealingPoint, clock: "_Clock") -> SweepReport:
        last, n_rows = self._maximization.last, self.problem.blocks.n_rows
        notes = tuple(dict.fromkeys(self._maximization.take_notes()))
        return SweepReport(
            sweep + 1, last.free_energy, last.entropy_gap, point, last.n_rows,
            clock.totals[0] / n_rows, clock.totals[1] / n_rows, clock.seconds, bool(clock.totals[2]), notes,
        )  # fmt: skip


def start(problem: Problem, params: NamedArrays, allocate: Callable[..., Any] = np.empty) -> TrainingState:
    """The state before the first sweep, with first values of what the E-step keeps of rows.

    They lie in arrays that `allocate(shape, dtype)` makes. Raises UserError where the E-step gives others than it says.
    """
    rows = initial_rows(problem, params, allocate)
    model, n_observed, is_root = problem.model, problem.n_observed, problem.comm.is_root
    totals = PartTotals(kept_statistics_of(model, n_observed), problem.blocks.n_parts if is_root else 1)
    return TrainingState(0, params, rows, totals, NamedArrays(memory_of(model, n_observed) if is_root else {}))


def initial_rows(problem: Problem, params: NamedArrays, allocate: Callable[..., Any] = np.empty) -> RowArrays:
    """First values of what is kept of this rank's rows, made block by block."""
    draws, activity = stream(problem.seed, "initial state sets"), _activity(problem.model, params)
    state = row_state_of(problem.estep, problem.model, problem.n_observed)
    kept = {name: allocate((len(problem.values), *shape), dtype=dtype) for name, (shape, dtype) in state.items()}
    blocks = map(problem.blocks.rows, problem.blocks.owned(problem.comm.rank, problem.comm.size))
    for rows in (range(problem.first_row, problem.first_row), *blocks) if state else ():
        numbers = np.array(rows, np.int64)
        first = problem.estep.initial_rows(problem.model, problem.n_observed, numbers, activity, draws)
        require_state(problem.estep, state, first)
        for name, values in first.items():
            kept[name][problem.local(rows)] = values
    return kept


def _activity(model: Any, params: NamedArrays) -> Floats:
    """(H,) prior probability that each latent is active; (0,) of a model without discrete latents."""
    return model.activity(params) if offers(model, DiscreteLatents) else np.empty(0)


def posteriors(
    problem: Problem,
    state: TrainingState,
    part: int | None = None,
    point: AnnealingPoint | None = None,
    vary: bool = True,
) -> Iterator[Visit]:
    """The truncated posteriors of this rank's blocks, of one part or of all, one block after the other.

    At temperature 1 where no point of the annealing is given.
    """
    model, blocks = problem.model, problem.blocks
    prepared = model.prepare(state.params, point.temperature if point else 1.0)
    activity, workspace = _activity(model, state.params), workspace_for(model, prepared)
    tempering = Tempering(point.temperature, point.anneal_prior) if point else UNTEMPERED
    streams = stream(problem.seed, "variation", state.sweep)
    mine = _pieces(blocks, part, blocks.owned(problem.comm.rank, problem.comm.size))
    everyone = _pieces(blocks, part, range(blocks.n_blocks))
    for rows in visited_rows(problem.seed, state.sweep, mine, everyone, point):
        # Fancy indexing copies, so that linear algebra sees the same alignment whoever owns the block.
        values = noisy_values(problem.seed, state.sweep, rows, problem.values[rows - problem.first_row], point)
        batch = batch_of(rows, values)
        target = Target(
            model, prepared, model.project(prepared, batch), batch, activity, streams, tempering, state.sweep,
            workspace=workspace,
        )  # fmt: skip
        places = _places(rows, problem.first_row)
        own = {name: np.asarray(values[places]) for name, values in state.rows.items()}
        posterior = problem.estep.posterior(target, own, vary)
        if not isinstance(places, slice):
            for name, values in own.items():
                state.rows[name][places] = values
        yield target, posterior


def _pieces(blocks: RowBlocks, part: int | None, among: range) -> Iterator[range]:
    """The global rows of each of some blocks, of one part or of all."""
    return map(blocks.rows, among) if part is None else blocks.pieces(part, among)


def _places(rows: NDArray[np.int64], first_row: int) -> slice | NDArray[np.int64]:
    """Where global rows lie on their rank; a slice where they have no gaps, which needs no copies of what is kept."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return slice(int(rows[0]) - first_row, int(rows[-1]) - first_row + 1)
    return rows - first_row


class _Clock:
    """Where the wall time of a sweep goes."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("e_step", "imbalance", "m_step", "communication"), 0.0)
        self.counts = np.zeros(3)
        self.totals = np.zeros(3)
        self._last = perf_counter()

    def lap(self, name: str) -> float:
        """Book the time since the last lap."""
        now = perf_counter()
        seconds, self._last = now - self._last, now
        if name in ("m_step", "communication"):
            self.seconds[name] += seconds
        return seconds

    def reduced(self, extras: Floats, own: float) -> None:
        """Book the counts and E-step times of all ranks, which came with the statistics; `own` is this rank's time."""
        self.totals += extras[:3]
        self.counts[:] = 0.0
        times = extras[3:]
        self.seconds["e_step"] += float(times.mean())
        self.seconds["imbalance"] += float(times.max() - times.mean())
        # What this rank waited for slower ones is imbalance, not communication.
        waited = float(times.max()) - own
        self.seconds["communication"] += max(self.lap("reduction") - waited, 0.0)

"""Truncated variational EM, plain and incremental, on any number of ranks with the same bits."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import kind_of
from prosper_ng.errors import NumericalError
from prosper_ng.estep.interface import EStep, RowArrays
from prosper_ng.estep.kept_rows import require_state, row_state_of
from prosper_ng.latents.posterior import Posterior
from prosper_ng.models.interface import Batch, DiscreteLatents
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import agree, during
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.training.annealing import AnnealingPoint
from prosper_ng.training.block_sums import BlockSums
from prosper_ng.training.clock import Clock
from prosper_ng.training.data_selection import Rows, best_explained
from prosper_ng.training.held_out import HeldOut, numbers_apart
from prosper_ng.training.joint_algebra import JointAlgebra
from prosper_ng.training.maximization import Carried, Maximization
from prosper_ng.training.owners import Owners
from prosper_ng.training.requirements import check_model
from prosper_ng.training.restarts import Leg, leg_of, seed_of
from prosper_ng.training.settings import Training
from prosper_ng.training.totals import PartTotals, kept_statistics_of, memory_of
from prosper_ng.training.visits import Visit, activity_of, add_statistics, posteriors

Floats = NDArray[np.float64]
Initial = Callable[[int], NamedArrays]
"""Gives the parameters that a start begins with, by its seed."""

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
    held_out: HeldOut | None = None
    """Rows among these that are not learned from."""
    weights: Floats | None = None
    """(n_local,) how many rows each of this rank counts as; None where each is one."""
    labels: NDArray[np.int64] | None = None
    """(n_local,) the class of each row of this rank, -1 where none is known; None of all."""

    @property
    def n_learned_from(self) -> int:
        """Rows that are not held out."""
        return self.blocks.n_rows - (0 if self.held_out is None else len(self.held_out))

    @property
    def first_row(self) -> int:
        """The global index of this rank's first row."""
        return self.blocks.starts(self.comm.size)[self.comm.rank]

    @property
    def n_observed(self) -> int:
        """D."""
        return int(self.values.shape[1])

    def owners(self) -> Owners:
        """Who does the M-steps."""
        return Owners(self.model, self.n_observed, self.comm)

    def local(self, rows: range) -> slice:
        """Where some of this rank's global rows lie in its arrays."""
        return self.blocks.local(rows, self.comm.rank, self.comm.size)


@dataclass
class TrainingState:
    """What training carries from sweep to sweep, and a checkpoint keeps."""

    sweep: int
    """Sweeps done from the present start."""
    params: NamedArrays
    """Parameters, the same on all ranks."""
    rows: RowArrays
    """What the E-step keeps of this rank's rows, by name; nothing where it makes all of it anew."""
    totals: PartTotals
    """Statistics by part, on root, or of each rank's share of the M-steps."""
    memory: NamedArrays = field(default_factory=lambda: NamedArrays({}))
    """What the M-step remembers besides the parameters, on root."""
    n_before: int = 0
    """Sweeps of restarts that are over."""
    tried: list[float] = field(default_factory=list)
    """The free energies per row that these came to, on root."""

    @property
    def n_done(self) -> int:
        """Sweeps done in all."""
        return self.n_before + self.sweep


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
    n_rows_used: float
    """Rows that the last M-step learned from, each as often as it counts (root)."""
    n_evaluated: float
    """States whose log joint was computed, per row."""
    n_accepted: float
    """States that entered a state set, per row."""
    seconds: dict[str, float]
    """Wall time of this sweep: e_step (mean over ranks), imbalance (longest minus mean), m_step, communication."""
    interrupted: bool
    """Whether some rank was asked to stop."""
    notes: tuple[str, ...]
    """What the M-steps had to say, and restarts that are over (root)."""
    leg: Leg = Leg(0, False, 1)
    """The start that was learned from."""
    held_out: float | None = None
    """F per row of those held out, as the E-steps of the sweep found it (root); None where there are none."""

    @property
    def settled(self) -> bool:
        """Whether annealing is over, in the sweeps after restarts."""
        return self.point.settled and not self.leg.is_trial


class TruncatedEM:
    """The EM algorithm: `for report in em.sweeps(state)`."""

    def __init__(
        self,
        problem: Problem,
        training: Training,
        interrupted: Callable[[], bool] = lambda: False,
        initial: Initial | None = None,
    ) -> None:
        """Set up buffers; `interrupted` says whether this rank was asked to stop, `initial` is needed for restarts.

        Raises UserError where the model does not offer what E-step and training need.
        """
        check_model(problem.model, problem.estep, training, problem.weights is not None)
        self.problem, self.training, self.interrupted = problem, training, interrupted
        self._seed, self._initial = problem.seed, initial
        n_apart = numbers_apart(problem.held_out is not None, problem.weights is not None)
        self._sums, self._held_out = BlockSums(problem.model, problem.n_observed, n_apart), np.zeros(n_apart)
        self._leg = Leg(0, False, 1)
        self._algebra = JointAlgebra(problem.comm, self._sums.statistics.shapes)
        self._owners = problem.owners()

    def sweeps(self, state: TrainingState) -> Iterator[SweepReport]:
        """Sweep over the data until the last sweep is done; `state` is brought up to date before each report."""
        first = state.n_done
        for n_done in range(first, self.training.all_sweeps):
            n_over, sweep = self.training.place(n_done)
            if n_done == first or sweep == 0:
                self._begin(state, n_over, sweep)
            point = self.training.at(sweep)
            clock = Clock()
            self._held_out[:] = 0.0
            for part in range(self.problem.blocks.n_parts):
                where = f"of {self._leg.where}sweep {sweep + 1}, update {part + 1}"
                with during(f"in the E-step {where}"):
                    seconds = self._expect(state, part, point, clock)
                with during(f"in the reduction {where}"):
                    sums = self._reduce(clock, seconds)
                update = partial(self._maximization.update, sums=sums, sweep=sweep, part=part, point=point)
                if self._owners.is_shared:
                    with during(f"in the M-step {where}"), self._owners.together():
                        state.params = update(Carried(state.params, state.totals, state.memory))
                    clock.lap("m_step")
                else:
                    self._maximize(state, update, clock, where)
            state.sweep = sweep + 1
            yield self._report(state, point, clock)

    def _begin(self, state: TrainingState, n_over: int, sweep: int) -> None:
        """Learn from the start whose turn it is after some restarts, which are forgotten but for what they came to."""
        problem = self.problem
        self._leg = leg = leg_of(self.training, n_over, state.tried, problem.comm)
        seed = seed_of(self._seed, leg.start)
        self.problem = problem._replace(seed=seed)
        self._maximization = Maximization(
            problem.model, problem.estep, self.training, problem.n_observed, seed, self._owners, leg.where
        )
        if n_over and sweep == 0:
            assert self._initial is not None, "restarts need first parameters"
            state.params, state.n_before, state.sweep = self._initial(seed), n_over * self.training.tried_sweeps, 0
            fill_rows(self.problem, state.params, state.rows)
            state.totals.clear()
            state.memory.buffer[:] = 0.0

    def _maximize(
        self, state: TrainingState, update: Callable[[Carried], NamedArrays], clock: Clock, where: str
    ) -> None:
        """The M-step of root, which brings new parameters to all ranks."""
        comm, failure = self.problem.comm, None
        with during(f"in the M-step {where}"), self._algebra.shared() as leads:
            if leads:
                try:
                    state.params = update(Carried(state.params, state.totals, state.memory))
                except Exception as error:
                    failure = error
        if comm.is_root:
            clock.lap("m_step")
        with during(f"in the broadcast {where}"):
            failed = self._broadcast(state.params, failure)
            clock.lap("communication")
        if failed:
            with during(f"in the M-step {where}"):
                agree(comm, failure, "updating the parameters" if comm.size > 1 else "")

    def _broadcast(self, params: NamedArrays, failure: Exception | None) -> bool:
        """Bring the parameters of root to all ranks; whether it failed instead, which comes along.

        Without that an error of root alone would leave the others waiting for its parameters.
        """
        message = np.append(params.buffer, failure is not None)
        self.problem.comm.broadcast_in_place(message)
        params.buffer[:] = message[:-1]
        return bool(message[-1])

    def _expect(self, state: TrainingState, part: int, point: AnnealingPoint, clock: Clock) -> float:
        """The E-step over this rank's rows of one part, whose statistics are summed exactly; the seconds it took."""
        self._sums.clear()
        visited, threshold = self._visit(state, part, point)
        for _, pieces in groupby(visited, self._block_of):
            for target, posterior in pieces:
                self._accumulate(target.batch, posterior, threshold)
                clock.counts[:2] += posterior.n_evaluated, posterior.n_accepted
            self._sums.end_block()
        clock.counts[2] += self.interrupted()
        return clock.lap("e_step")

    def _block_of(self, visit: Visit) -> int | None:
        """The block of the rows that were visited; None where none of a block were."""
        rows = visit[0].batch.rows
        return int(rows[0]) // self.problem.blocks.block_rows if len(rows) else None

    def _accumulate(self, batch: Batch, posterior: Posterior, threshold: float | None) -> None:
        """Add the statistics of some rows to those of their block."""
        held_out = self.problem.held_out
        kept = None if threshold is None else posterior.free_energy >= threshold
        if held_out is not None:
            held = held_out.among(batch.rows)
            kept = ~held if kept is None else kept & ~held
            self._sums.apart[0] += np.sum(batch.weighed(posterior.free_energy), where=held)
            self._sums.apart[1:] += batch.number_of(held)
        add_statistics(batch, posterior, kept, self._sums.statistics)

    def _reduce(self, clock: Clock, seconds: float) -> NamedArrays:
        """The statistics of a part over all ranks, for those who do M-steps; counts and `seconds` of the E-step ride
        along."""
        extras = np.zeros(3 + self.problem.comm.size)
        extras[:3], extras[3 + self.problem.comm.rank] = clock.counts, seconds
        comm, owners = self.problem.comm, self._owners
        if owners.is_shared:
            total, apart, extras = self._sums.reduce_shares(comm, extras, owners)
        else:
            total, apart, extras = self._sums.reduce(comm, extras)
        clock.reduced(extras, seconds)
        self._held_out += apart
        return total

    def _visit(self, state: TrainingState, part: int, point: AnnealingPoint) -> tuple[Iterable[Visit], float | None]:
        """The posteriors of a part, and the free energy above which a row counts; None where all rows do."""
        visited: Iterable[Visit] = posteriors(self.problem, state, part, point)
        if point.data_pruning == 0 or self.problem.estep.max_active is None:
            return visited, None
        found: list[Visit] = []
        free_energies, n_bytes = [np.empty(0)], 0
        held_out = self.problem.held_out
        for each in visited:
            learned_from = slice(None) if held_out is None else ~held_out.among(each[0].batch.rows)
            free_energies.append(each[1].free_energy[learned_from])
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

    def _report(self, state: TrainingState, point: AnnealingPoint, clock: Clock) -> SweepReport:
        last, n_rows, leg = self._maximization.last, self.problem.blocks.n_rows, self._leg
        notes = tuple(dict.fromkeys(self._maximization.take_notes()))
        if leg.is_trial and state.sweep == self.training.tried_sweeps:
            state.tried.append(last.free_energy)
            notes += (leg.told(state.tried, state.sweep),)
        return SweepReport(
            state.n_done, last.free_energy, last.entropy_gap, point, last.n_rows,
            clock.totals[0] / n_rows, clock.totals[1] / n_rows, clock.seconds, bool(clock.totals[2]), notes,
            leg, self._of_held_out(),
        )  # fmt: skip

    def _of_held_out(self) -> float | None:
        """F per row of those held out, as often as each counts; None where there are none."""
        held_out = self.problem.held_out
        if held_out is None:
            return None
        energy, n_rows = self._held_out[0], self._held_out[1] if len(self._held_out) > 1 else len(held_out)
        return float(energy / n_rows) if n_rows else None


def start(problem: Problem, params: NamedArrays, allocate: Callable[..., Any] = np.empty) -> TrainingState:
    """The state before the first sweep, with first values of what the E-step keeps of rows.

    They lie in arrays that `allocate(shape, dtype)` makes. Raises UserError where the E-step gives others than it says.
    """
    rows = initial_rows(problem, params, allocate)
    model, n_observed, is_root, owners = problem.model, problem.n_observed, problem.comm.is_root, problem.owners()
    kept = owners.statistics if owners.is_shared else kept_statistics_of(model, n_observed)
    totals = PartTotals(kept, problem.blocks.n_parts if owners.leads else 1)
    return TrainingState(0, params, rows, totals, NamedArrays(memory_of(model, n_observed) if is_root else {}))


def initial_rows(problem: Problem, params: NamedArrays, allocate: Callable[..., Any] = np.empty) -> RowArrays:
    """First values of what is kept of this rank's rows."""
    state = row_state_of(problem.estep, problem.model, problem.n_observed)
    kept = {name: allocate((len(problem.values), *shape), dtype=dtype) for name, (shape, dtype) in state.items()}
    fill_rows(problem, params, kept)
    return kept


def fill_rows(problem: Problem, params: NamedArrays, kept: RowArrays) -> None:
    """Put first values in the place of what is kept of this rank's rows, block by block."""
    draws, activity = stream(problem.seed, "initial state sets"), activity_of(problem.model, params)
    state = row_state_of(problem.estep, problem.model, problem.n_observed)
    blocks = map(problem.blocks.rows, problem.blocks.owned(problem.comm.rank, problem.comm.size))
    for rows in (range(problem.first_row, problem.first_row), *blocks) if state else ():
        numbers = np.array(rows, np.int64)
        first = problem.estep.initial_rows(problem.model, problem.n_observed, numbers, activity, draws)
        require_state(problem.estep, state, first)
        for name, values in first.items():
            kept[name][problem.local(rows)] = values

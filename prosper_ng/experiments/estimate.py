"""What a run will take on any number of ranks: memory, time, bytes on the wire and on disk.

Memory and bytes are formulas. Time is a pilot's, a few sweeps over some of the rows on this machine, put together as

sweep(R) = updates * (prepare + blocks of the busiest rank in a part * block + local + M-step + network(R)).
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.content import Content
from prosper_ng.data.dataset import Dataset
from prosper_ng.data.memory_settings import Memory
from prosper_ng.data.some_rows import SomeRows
from prosper_ng.errors import UserError
from prosper_ng.experiments.checkpoint_times import checkpoint_bytes, n_checkpoints, usual_seconds
from prosper_ng.experiments.run_config import Output, RunConfig
from prosper_ng.experiments.tasks.interface import Foresees, TaskContext, bytes_after
from prosper_ng.learning.all_rows import N_ROUNDS
from prosper_ng.learning.assembly import assemble, blocks_of, held_out_of
from prosper_ng.learning.census import take_census
from prosper_ng.learning.memory import Needs, needs_of, sizes_of
from prosper_ng.learning.rehearsal import rehearse
from prosper_ng.learning.taken_rows import size_of_coreset
from prosper_ng.numerics.named_arrays import segments
from prosper_ng.numerics.schedule import points_of, value_at
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.exact_sum import LEAST_CUT, message_length
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.training.annealing import Annealing
from prosper_ng.training.em import Problem, TrainingState, TruncatedEM
from prosper_ng.training.held_out import numbers_apart
from prosper_ng.training.joint_algebra import numbers_of_an_update
from prosper_ng.training.settings import Training
from prosper_ng.training.stopping import Stopping

BANDWIDTH = 1.25e9
"""Bytes a second between ranks where nothing is said: 10 Gbit/s."""
LATENCY = 5e-6
"""Seconds from one rank to another."""
_PILOT_BLOCKS = 8
_PILOT_SWEEPS, _FEWEST_SWEEPS = 20, 3
_PILOT_SECONDS = 5.0
_MOST_POINTS = 4
_PROGRAM_SECONDS = 2.0
"""Until Python and its libraries are loaded."""


class Costs(NamedTuple):
    """Seconds that a pilot measured, each the median over its sweeps but the first, which may load kernels."""

    prepare: float
    """What an update needs before its first block, on every rank."""
    block: float
    """The E-step of a block, statistics included, once nothing scheduled in it changes any more."""
    local: float
    """What a reduction takes without a network."""
    m_step: float
    """The M-step, on root."""
    n_blocks: int
    """Blocks of the pilot."""
    n_sweeps: int
    """Sweeps that were measured."""
    blocks: tuple[tuple[int, float], ...] = ()
    """The E-step of a block at some sweeps, where it has schedules, such as state sets that grow."""
    row: float = 0.0
    """Reading and counting a row."""
    rehearsal: float = 0.0
    """What loads the kernels."""
    task: float = 0.0
    """What the task does after the last sweep, on one rank, as far as it foresees that."""

    def block_at(self, sweep: int) -> float:
        """The E-step of a block in a sweep."""
        return value_at(self.blocks, sweep) if self.blocks else self.block


class Traffic(NamedTuple):
    """Bytes of the buffers that are reduced and broadcast in a sweep, on each rank."""

    reduced: int
    broadcast: int
    gathered: int = 0
    """What root alone gets of large buffers."""
    in_shares: bool = False
    """Whether each rank is sent a share of what is reduced."""

    def seconds(self, n_ranks: int, n_updates: int, bandwidth: float = BANDWIDTH) -> float:
        """What they take on a network by the usual model: bandwidth for large messages, latency for small ones.

        A reduction sends and receives its buffer about twice, one in shares once, as a broadcast does, each in steps of
        log2 of the ranks.
        """
        if n_ranks == 1:
            return 0.0
        steps = 3 * math.ceil(math.log2(n_ranks)) * n_updates
        n_bytes = (1 if self.in_shares else 2) * self.reduced + self.gathered + self.broadcast
        return n_bytes * (1 - 1 / n_ranks) / bandwidth + steps * LATENCY


class Estimate(NamedTuple):
    """What a run will take."""

    n_ranks: int
    n_observed: int
    blocks: RowBlocks
    n_sweeps: int
    needs: Needs
    """Of the rank that needs most memory."""
    traffic: Traffic
    checkpoint_bytes: int
    """State sets, statistics and parameters; the history comes on top."""
    costs: Costs | str
    """What the pilot found, or why there was none."""
    bandwidth: float
    row_fractions: tuple[float, ...] = ()
    """The share of the rows that each sweep visits."""
    output: Output = Output()
    """When checkpoints are written."""
    places: tuple[int, ...] = ()
    """The number of each sweep among those of its start, where there are restarts."""
    n_passed: int = 0
    """All rows where a coreset of them is learned from: two passes choose it, one tells how well all are explained."""

    @property
    def most_blocks(self) -> int:
        """The blocks of the rank that has most."""
        return max(len(self.blocks.owned(rank, self.n_ranks)) for rank in range(self.n_ranks))

    @property
    def network_seconds(self) -> float:
        """What the network takes of a sweep."""
        return self.traffic.seconds(self.n_ranks, self.blocks.n_parts, self.bandwidth)

    @property
    def sweep_seconds(self) -> float | None:
        """Seconds of a sweep; None without a pilot."""
        if isinstance(self.costs, str):
            return None
        return _sweep_seconds(self.costs, self.most_blocks, self.blocks.n_parts) + self.network_seconds

    @property
    def efficiency(self) -> float | None:
        """How many times as fast as on one rank, by the number of ranks; None without a pilot."""
        if isinstance(self.costs, str) or not self.sweep_seconds:
            return None
        alone = _sweep_seconds(self.costs, self.blocks.n_blocks, self.blocks.n_parts)
        return alone / (self.n_ranks * self.sweep_seconds)

    @property
    def sweeps_seconds(self) -> float | None:
        """Seconds of all sweeps, with their schedules; None without a pilot."""
        costs, seconds = self.costs, self.sweep_seconds
        if isinstance(costs, str) or seconds is None:
            return None
        in_part = math.ceil(self.most_blocks / self.blocks.n_parts)
        full = self.blocks.n_parts * in_part
        fractions = self.row_fractions or (1.0,) * self.n_sweeps
        places = self.places or range(self.n_sweeps)
        e_steps = sum(full * visited * costs.block_at(sweep) for sweep, visited in zip(places, fractions, strict=True))
        return e_steps + self.n_sweeps * (seconds - full * costs.block)

    @property
    def start_seconds(self) -> float | None:
        """Seconds before the first sweep; None without a pilot."""
        if isinstance(self.costs, str):
            return None
        n_read = self.most_blocks * self.blocks.block_rows + 2 * self.n_passed / self.n_ranks
        return _PROGRAM_SECONDS + self.costs.rehearsal + self.costs.row * n_read

    @property
    def n_checkpoints(self) -> int:
        """How many are written, by sweeps or minutes, and at the end."""
        return n_checkpoints(self.output, self.n_sweeps, self.sweeps_seconds or 0.0, self._checkpoint_seconds)

    @property
    def checkpoints_seconds(self) -> float:
        """Seconds of all checkpoints, on disks of a usual speed."""
        return self.n_checkpoints * self._checkpoint_seconds

    @property
    def _checkpoint_seconds(self) -> float:
        return usual_seconds(self.checkpoint_bytes, self.n_ranks)

    @property
    def task_seconds(self) -> float | None:
        """Seconds of what the task does after the last sweep, as far as it foresees that; None without a pilot."""
        if isinstance(self.costs, str):
            return None
        return (self.costs.task + N_ROUNDS * self.costs.block * self.n_passed / self.blocks.block_rows) / self.n_ranks

    @property
    def seconds(self) -> float | None:
        """Seconds of the whole run: start, sweeps, checkpoints, task; None without a pilot."""
        start, sweeps, task = self.start_seconds, self.sweeps_seconds, self.task_seconds
        if start is None or sweeps is None or task is None:
            return None
        return start + sweeps + self.checkpoints_seconds + task

    @property
    def core_hours(self) -> float | None:
        """Core hours of all sweeps; None without a pilot."""
        seconds = self.sweeps_seconds
        return None if seconds is None else seconds * self.n_ranks / 3600


def estimate(config: RunConfig, n_ranks: int, bandwidth: float = BANDWIDTH) -> Estimate:
    """What the run of a configuration will take; raises UserError where it could not be run at all."""
    dataset = config.data.open(config.seed)
    if dataset.n_rows == 0:
        raise UserError("the data have no rows; at least one is needed to learn from")
    config.task.check(dataset, config.model, config.learning.chosen_estep.estep)
    learning, held = config.learning, bytes_after(config.task, dataset)
    blocks, sizes = blocks_of(learning, dataset.n_rows), sizes_of(learning, dataset.n_observed, dataset, held)
    config.beside(dataset)
    held_out_of(learning, blocks)
    needs = (needs_of(sizes, config.memory, blocks, rank, n_ranks) for rank in range(n_ranks))
    training = config.training
    places = tuple(training.place(n_done)[1] for n_done in range(training.all_sweeps))
    return Estimate(
        n_ranks, dataset.n_observed, blocks, training.all_sweeps, max(needs, key=lambda each: each.total),
        traffic_of(config, dataset.n_observed, n_ranks), checkpoint_bytes(sizes, blocks),
        _pilot(config, dataset, blocks), bandwidth, _row_fractions(config, places),
        config.output, places, 0 if size_of_coreset(learning, dataset.n_rows) is None else dataset.n_rows,
    )  # fmt: skip


def _row_fractions(config: RunConfig, places: tuple[int, ...]) -> tuple[float, ...]:
    """The share of the rows that each sweep visits; nothing where all of them visit all."""
    annealing, n_sweeps, held = config.training.annealing, config.training.n_sweeps, config.learning.held_out or 0.0
    if all(value == 1 for _, value in points_of(annealing.row_fraction)):
        return ()
    return tuple(held + (1 - held) * annealing.at(sweep, n_sweeps).row_fraction for sweep in places)


def traffic_of(config: RunConfig, n_observed: int, n_ranks: int) -> Traffic:
    """Bytes of a sweep, exactly, but for control messages, for what is sent again where numbers outgrow their bins, and
    for what the checks of an M-step of all ranks send again.
    """
    sizes, n_updates = sizes_of(config.learning, n_observed), config.training.updates_per_sweep
    is_weighted = config.learning.coreset is not None or getattr(config.data, "weights", None) is not None
    n_apart = numbers_apart(config.learning.held_out is not None, is_weighted)
    n_segments = len(segments(config.model.statistics(n_observed))) + 2 + n_apart
    n_numbers = message_length(sizes.n_statistics + n_apart, n_segments, 3 + n_ranks)
    is_shared = 1 < n_ranks <= sizes.most_sharing
    is_cut = n_ranks > 1 and sizes.n_statistics + n_apart >= LEAST_CUT and not is_shared
    n_helped = numbers_of_an_update(config.model.statistics(n_observed), n_observed, n_ranks)
    n_broadcast, n_gathered = sizes.n_parameters + 1 + n_helped, sizes.n_statistics * is_cut
    traffic = Traffic(8 * n_numbers * n_updates, 8 * n_broadcast * n_updates, 8 * n_gathered * n_updates)
    return traffic._replace(in_shares=is_cut or is_shared)


def _sampled(blocks: RowBlocks) -> tuple[NDArray[np.int64], int]:
    """The rows of up to eight blocks, evenly spread, of which the last may be smaller, and how many blocks."""
    chosen = np.unique(np.linspace(0, blocks.n_blocks - 1, min(_PILOT_BLOCKS, blocks.n_blocks)).round().astype(int))
    return np.concatenate([np.arange(rows.start, rows.stop) for rows in map(blocks.rows, chosen.tolist())]), len(chosen)


def _pilot(config: RunConfig, dataset: Dataset, blocks: RowBlocks) -> Costs | str:
    """Sweeps without annealing over a sample of the rows; why not, where they do not fit into this machine."""
    numbers, n_blocks = _sampled(blocks)
    sample, n_updates = SomeRows(dataset, numbers), min(blocks.n_parts, n_blocks)
    training = replace(
        config.training, n_sweeps=1 + _PILOT_SWEEPS, updates_per_sweep=n_updates, block_rows=blocks.block_rows,
        annealing=Annealing(), stopping=Stopping(), restarts=1, restart_sweeps=None,
    )  # fmt: skip
    memory = Memory(precision=config.memory.precision)
    learning = replace(config.learning, training=training, memory=memory, held_out=None, coreset=None)
    try:
        parts = assemble(learning, sample, SerialCommunicator())
    except UserError as error:
        return f"no pilot could be run: {error}"
    reading = _seconds_of(lambda: Content(sample).read(0, sample.n_rows))
    reading += _seconds_of(lambda: take_census(parts.problem))
    rehearsal = _seconds_of(lambda: rehearse(parts))
    state, points = parts.start(), _turning_points(config)
    measured = [_sweeps_from(parts.problem, training, state, point, _PILOT_SECONDS / len(points)) for point in points]
    last = measured[-1]
    prepare = _shortest(lambda: config.model.prepare(state.params, 1.0))
    blocks_at = [max(median(each["e_step"] for each in found) - n_updates * prepare, 0.0) for found in measured]
    local, m_step = (median(each[name] for each in last) / n_updates for name in ("communication", "m_step"))
    by_point = tuple((point, seconds / n_blocks) for point, seconds in zip(points, blocks_at, strict=True))
    n_sweeps = sum(map(len, measured))
    context = TaskContext(parts.problem, dataset)
    task = config.task.seconds_after(context, state) if isinstance(config.task, Foresees) else 0.0
    scheduled = by_point if len(points) > 1 else ()
    return Costs(
        prepare,
        by_point[-1][1],
        local,
        m_step,
        n_blocks,
        n_sweeps,
        scheduled,
        reading / sample.n_rows,
        rehearsal,
        task,
    )


def _turning_points(config: RunConfig) -> list[int]:
    """Sweeps at which the E-step costs something else, as far as the run comes; between them lie straight lines."""
    last = config.training.n_sweeps - 1
    points = sorted({0, *(min(point, last) for point in config.learning.chosen_estep.estep.turning_points)})
    places = np.linspace(0, len(points) - 1, min(len(points), _MOST_POINTS)).round().astype(int)
    return [points[place] for place in np.unique(places)]


def _sweeps_from(
    problem: Problem, training: Training, state: TrainingState, first: int, patience: float
) -> list[dict[str, float]]:
    """The seconds of some sweeps from a sweep of the schedules on, without the first, which may load kernels."""
    state.sweep = first
    began, reports = time.perf_counter(), []
    for report in TruncatedEM(problem, replace(training, n_sweeps=first + 1 + _PILOT_SWEEPS)).sweeps(state):
        reports.append(report.seconds)
        if len(reports) > _FEWEST_SWEEPS and time.perf_counter() - began > patience:
            break
    return reports[1:]


def _sweep_seconds(costs: Costs, most_blocks: int, n_updates: int) -> float:
    """A sweep, without the network, where the busiest rank has so many blocks."""
    in_part = math.ceil(most_blocks / n_updates) * costs.block
    return n_updates * (costs.prepare + in_part + costs.local + costs.m_step)


def _seconds_of(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _shortest(action: Callable[[], object], n_times: int = 3) -> float:
    """Seconds of the fastest of some calls."""
    return min(_seconds_of(action) for _ in range(n_times))

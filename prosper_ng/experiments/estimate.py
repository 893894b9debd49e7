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

from prosper_ng.data.dataset import Dataset
from prosper_ng.data.memory_settings import Memory
from prosper_ng.data.preprocessing import PreparedRows
from prosper_ng.errors import UserError
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.learning.assembly import assemble, blocks_of
from prosper_ng.learning.memory import Needs, Sizes, needs_of, sizes_of
from prosper_ng.learning.rehearsal import rehearse
from prosper_ng.numerics.named_arrays import NamedArrays, segments
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.exact_sum import message_length
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.training.annealing import Annealing
from prosper_ng.training.em import TruncatedEM
from prosper_ng.training.stopping import Stopping

BANDWIDTH = 1.25e9
"""Bytes a second between ranks where nothing is said: 10 Gbit/s."""
LATENCY = 5e-6
"""Seconds from one rank to another."""
_PILOT_BLOCKS = 8
_PILOT_SWEEPS, _FEWEST_SWEEPS = 20, 3
_PILOT_SECONDS = 5.0


class Costs(NamedTuple):
    """Seconds that a pilot measured, each the median over its sweeps but the first, which may load kernels."""

    prepare: float
    """What an update needs before its first block, on every rank."""
    block: float
    """The E-step of a block, statistics included."""
    local: float
    """What a reduction takes without a network."""
    m_step: float
    """The M-step, on root."""
    n_blocks: int
    """Blocks of the pilot."""
    n_sweeps: int
    """Sweeps that were measured."""


class Traffic(NamedTuple):
    """Bytes of the buffers that are reduced and broadcast in a sweep, on each rank."""

    reduced: int
    broadcast: int

    def seconds(self, n_ranks: int, n_updates: int, bandwidth: float = BANDWIDTH) -> float:
        """What they take on a network by the usual model: bandwidth for large messages, latency for small ones.

        A reduction sends and receives its buffer about twice, a broadcast once, each in steps of log2 of the ranks.
        """
        if n_ranks == 1:
            return 0.0
        steps = 3 * math.ceil(math.log2(n_ranks)) * n_updates
        return (2 * self.reduced + self.broadcast) * (1 - 1 / n_ranks) / bandwidth + steps * LATENCY


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
    def core_hours(self) -> float | None:
        """Core hours of all sweeps; None without a pilot."""
        seconds = self.sweep_seconds
        return None if seconds is None else seconds * self.n_sweeps * self.n_ranks / 3600


def estimate(config: RunConfig, n_ranks: int, bandwidth: float = BANDWIDTH) -> Estimate:
    """What the run of a configuration will take; raises UserError where it could not be run at all."""
    dataset = config.data.open(config.seed)
    if dataset.n_rows == 0:
        raise UserError("the data have no rows; at least one is needed to learn from")
    config.task.check(dataset, config.model, config.learning.chosen_estep.estep)
    learning = config.learning
    blocks, sizes = blocks_of(learning, dataset.n_rows), sizes_of(learning, dataset.n_observed)
    needs = (needs_of(sizes, config.memory, blocks, rank, n_ranks) for rank in range(n_ranks))
    return Estimate(
        n_ranks, dataset.n_observed, blocks, config.training.n_sweeps, max(needs, key=lambda each: each.total),
        traffic_of(config, dataset.n_observed, n_ranks), checkpoint_bytes(sizes, blocks),
        _pilot(config, dataset, blocks), bandwidth,
    )  # fmt: skip


def traffic_of(config: RunConfig, n_observed: int, n_ranks: int) -> Traffic:
    """Bytes of a sweep, exactly, but for control messages and for what a sweep sends again where numbers outgrow their
    bins.
    """
    sizes, n_updates = sizes_of(config.learning, n_observed), config.training.updates_per_sweep
    n_segments = len(segments(config.model.statistics(n_observed))) + 2
    n_numbers = message_length(sizes.n_statistics, n_segments, 3 + n_ranks)
    return Traffic(8 * n_numbers * n_updates, 8 * (sizes.n_parameters + 1) * n_updates)


def checkpoint_bytes(sizes: Sizes, blocks: RowBlocks) -> int:
    """Bytes of the arrays in a checkpoint, exactly, without the history."""
    totals = (blocks.n_parts + 2) * sizes.n_kept + blocks.n_parts
    return blocks.n_rows * sizes.row_bytes + 8 * (totals + sizes.n_parameters + sizes.n_remembered)


class _Sample(PreparedRows):
    """Some blocks of a dataset."""

    truth: NamedArrays | None = None

    def __init__(self, dataset: Dataset, blocks: RowBlocks) -> None:
        """Up to eight blocks, evenly spread; the last may be smaller than the others."""
        chosen = np.unique(np.linspace(0, blocks.n_blocks - 1, min(_PILOT_BLOCKS, blocks.n_blocks)).round().astype(int))
        self._dataset, self._rows = dataset, [blocks.rows(int(block)) for block in chosen]
        self.n_rows, self.n_observed = sum(map(len, self._rows)), dataset.n_observed
        self.row_shape, self.where, self.preprocessing = dataset.row_shape, dataset.where, dataset.preprocessing
        self.n_blocks = len(chosen)

    def raw(self, start: int, stop: int) -> NDArray[np.float64]:
        """Rows start..stop of the sample."""
        found, first = [np.empty((0, self.n_observed))], 0
        for rows in self._rows:
            begin, end = max(start - first, 0), min(stop - first, len(rows))
            if begin < end:
                found.append(self._dataset.raw(rows.start + begin, rows.start + end))
            first += len(rows)
        return np.concatenate(found)


def _pilot(config: RunConfig, dataset: Dataset, blocks: RowBlocks) -> Costs | str:
    """Sweeps without annealing over a sample of the rows; why not, where they do not fit into this machine."""
    sample = _Sample(dataset, blocks)
    n_updates = min(blocks.n_parts, sample.n_blocks)
    training = replace(
        config.training, n_sweeps=1 + _PILOT_SWEEPS, updates_per_sweep=n_updates, block_rows=blocks.block_rows,
        annealing=Annealing(), stopping=Stopping(),
    )  # fmt: skip
    memory = Memory(precision=config.memory.precision)
    try:
        parts = assemble(replace(config.learning, training=training, memory=memory), sample, SerialCommunicator())
    except UserError as error:
        return f"no pilot could be run: {error}"
    rehearse(parts)
    state, began, reports = parts.start(), time.perf_counter(), []
    for report in TruncatedEM(parts.problem, training).sweeps(state):
        reports.append(report.seconds)
        if len(reports) > _FEWEST_SWEEPS and time.perf_counter() - began > _PILOT_SECONDS:
            break
    seconds = {name: median(each[name] for each in reports[1:]) for name in reports[0]}
    prepare = _shortest(lambda: config.model.prepare(state.params, 1.0))
    block = max(seconds["e_step"] - n_updates * prepare, 0.0) / sample.n_blocks
    local, m_step = (seconds[name] / n_updates for name in ("communication", "m_step"))
    return Costs(prepare, block, local, m_step, sample.n_blocks, len(reports) - 1)


def _sweep_seconds(costs: Costs, most_blocks: int, n_updates: int) -> float:
    """A sweep, without the network, where the busiest rank has so many blocks."""
    in_part = math.ceil(most_blocks / n_updates) * costs.block
    return n_updates * (costs.prepare + in_part + costs.local + costs.m_step)


def _shortest(action: Callable[[], object], n_times: int = 3) -> float:
    """Seconds of the fastest of some calls."""
    found = []
    for _ in range(n_times):
        began = time.perf_counter()
        action()
        found.append(time.perf_counter() - began)
    return min(found)

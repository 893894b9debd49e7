"""When a run writes a checkpoint, and what one costs."""

import time

from prosper_ng.experiments.run_config import Output
from prosper_ng.learning.memory import Sizes
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.storage.checkpoint import SHARD_BYTES

_SHARE = 0.02
"""Of the time of a run, what its checkpoints may take where the user says nothing of them."""
_LEAST = 60.0
"""Seconds of work that are worth one then."""
_OVERHEAD, _DISK = 0.05, 2e8
"""What a checkpoint takes whatever its size, in seconds, and bytes that one writer brings to a disk in a second."""


def checkpoint_bytes(sizes: Sizes, blocks: RowBlocks) -> int:
    """Bytes of the arrays in a checkpoint, exactly, without the history."""
    totals = (blocks.n_parts + 2) * sizes.n_kept + blocks.n_parts
    return blocks.n_rows * sizes.row_bytes + 8 * (totals + sizes.n_parameters + sizes.n_remembered)


def usual_seconds(n_bytes: int, n_ranks: int) -> float:
    """What a checkpoint of that size takes on disks of a usual speed, on which several ranks write side by side."""
    return _OVERHEAD + n_bytes / _DISK / min(n_ranks, max(1, n_bytes // SHARD_BYTES))


def n_checkpoints(output: Output, n_sweeps: int, seconds: float, cost: float) -> int:
    """How many a run writes whose sweeps take so many seconds in all, and a checkpoint `cost`; with the last one."""
    by_sweeps = (n_sweeps - 1) // output.checkpoint_sweeps if output.checkpoint_sweeps else 0
    if output.checkpoint_minutes == "auto":
        by_time = seconds / max(_LEAST, cost / _SHARE)
    else:
        by_time = seconds / 60 / output.checkpoint_minutes if output.checkpoint_minutes else 0
    return 1 + max(by_sweeps, int(by_time))


class CheckpointTimes:
    """When the next one is due, by the clock of this process and by what those before have cost."""

    def __init__(self, output: Output, usual: float) -> None:
        """The process begins to learn; a checkpoint is expected to take `usual` seconds before there was one."""
        self._sweeps, self._minutes = output.checkpoint_sweeps, output.checkpoint_minutes
        self._began = self._last = time.monotonic()
        self._spent = 0.0
        self.last_sweep = -1
        """The sweep of the newest; -1 before there was one."""
        self.usual = self._next = usual
        self.slowest = 0.0
        """Seconds; 0 before there was one."""

    def found(self, sweep: int) -> None:
        """An attempt before has left one of this sweep."""
        self.last_sweep, self._last = sweep, time.monotonic()

    def written(self, sweep: int, seconds: float) -> None:
        """One of this sweep was written, or tried, in so many seconds."""
        self.found(sweep)
        self._spent, self._next, self.slowest = self._spent + seconds, seconds, max(self.slowest, seconds)

    def is_due(self, sweep: int) -> bool:
        """Whether sweeps or minutes say so after this sweep."""
        if self._sweeps is not None and sweep - max(self.last_sweep, 0) >= self._sweeps:
            return True
        now = time.monotonic()
        if self._minutes == "auto":
            is_cheap = self._spent + self._next <= _SHARE * (now - self._began)
            return is_cheap and now - self._last >= _LEAST
        return self._minutes is not None and now - self._last >= 60 * self._minutes

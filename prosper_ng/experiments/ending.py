"""Whether a run goes on after a sweep: learned enough, asked to stop, or out of time. Root's clock decides."""

import time
from typing import NamedTuple

from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.experiments.run_folder import STOP_FILE, RunFolder
from prosper_ng.experiments.signals import StopRequests
from prosper_ng.learning.ending import Ending, rule_met
from prosper_ng.storage import batch_job
from prosper_ng.training.em import SweepReport
from prosper_ng.training.stopping import seconds_of

_SHARE, _LEAST, _MOST = 0.05, 1.0, 60.0
"""The margin is this share of the time there was, within these bounds in seconds."""


class Deadline(NamedTuple):
    """A moment by which the process must be over."""

    what: str
    end: float
    """By `time.monotonic`."""
    margin: float
    """Seconds for all that is not measured: the last files, and clocks that differ."""

    @classmethod
    def after(cls, what: str, seconds: float, now: float) -> "Deadline":
        """The deadline so many seconds after `now`."""
        return cls(what, now + seconds, margin_of(seconds))


class Endings:
    """Finds the reason to end; for root only.

    A sweep is begun only where its time, that of a checkpoint and a margin are left; both times are the slowest of this
    process. Before there was a checkpoint, one is taken to last as long as a sweep, or as its size needs.
    """

    def __init__(
        self,
        config: RunConfig,
        kept: RunFolder,
        requests: StopRequests,
        began: float,
        time_limit: float | None,
        ended_before: Ending | None = None,
    ) -> None:
        """`began` is when the process began, by `time.monotonic`; it may take `time_limit` seconds.

        `ended_before` is how the attempt before ended, where that counts still.
        """
        self._config, self._kept, self._requests = config, kept, requests
        self._began, self._last = began, time.monotonic()
        self._ended_before = ended_before
        self._slowest_sweep = 0.0
        self._deadlines = _deadlines(began, time_limit)

    def before(self) -> Ending | None:
        """Why not to begin at all: earlier attempts have learned enough."""
        return self._ended_before or self._rule_met(0.0, 0.0)

    def after(self, report: SweepReport) -> Ending | None:
        """Why to stop after this sweep; None to go on."""
        now = time.monotonic()
        self._slowest_sweep = max(self._slowest_sweep, now - self._last - self._kept.io_seconds)
        self._last = now
        where = f"after sweep {report.sweep} of {self._config.training.all_sweeps}"
        if report.sweep == self._config.training.all_sweeps:
            return None
        if report.interrupted or self._requests.name is not None:
            by = self._requests.name or "a signal to another rank"
            return Ending(False, f"stopped by {by} {where}")
        if self._kept.is_asked(STOP_FILE):
            return Ending(False, f"stopped by the file {self._kept.path / STOP_FILE} {where}")
        times = self._kept.checkpoint_times
        reserve = self._slowest_sweep + (times.slowest or max(self._slowest_sweep, times.usual))
        for deadline in self._deadlines:
            left = deadline.end - now
            if left < reserve + deadline.margin:
                return Ending(
                    False,
                    f"stopped {where}: {max(left, 0.0):.0f} s are left until {deadline.what}, and a sweep, a "
                    f"checkpoint and a margin take {reserve + deadline.margin:.0f} s",
                )
        wall_time = self._config.training.stopping.wall_time
        margin = 0.0 if wall_time is None else margin_of(seconds_of(wall_time))
        return self._rule_met(now - self._began, reserve + margin)

    def _rule_met(self, elapsed: float, reserve: float) -> Ending | None:
        return rule_met(self._config.training.stopping, self._kept.history, elapsed, reserve)


def margin_of(seconds: float) -> float:
    """The part of a time that is left unused for the sake of safety."""
    return min(max(_SHARE * seconds, _LEAST), _MOST)


def _deadlines(began: float, time_limit: float | None) -> list[Deadline]:
    """All that are known: of the command line and of the batch job."""
    deadlines = []
    if time_limit is not None:
        deadlines.append(Deadline.after(f"the time limit of {time_limit:g} s", time_limit, began))
    left = batch_job.seconds_left()
    if left is not None:
        deadlines.append(Deadline.after(f"the end of job {batch_job.job_id()}", left, time.monotonic()))
    return deadlines

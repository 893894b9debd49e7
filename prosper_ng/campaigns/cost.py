"""What a campaign will take: core hours and disk, from pilots of its points on this machine."""

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from prosper_ng.campaigns.plan import PlannedRun, by_point
from prosper_ng.errors import UserError
from prosper_ng.experiments.completion import completed
from prosper_ng.experiments.estimate import Estimate, estimate
from prosper_ng.experiments.run_config import RunConfig

_SECONDS_OF_A_START = 1.0
"""What a run takes besides its sweeps: data, kernels, files."""
_BYTES_OF_A_RUN = 200_000
"""What a run stores whatever its size: headers of files, provenance, log."""
_BYTES_OF_A_SWEEP = 20 * 8


class Cost(NamedTuple):
    """What some runs will take together."""

    n_runs: int
    core_hours: float
    """Of all sweeps, also where a stopping rule may end a run before its last one."""
    slowest: float
    """Seconds of the run that takes longest."""
    disk: float
    """Bytes in run folders."""
    n_points: int
    n_piloted: int
    """Points whose time was measured; the others are taken to be like the mean of these."""
    problems: tuple[str, ...]
    """Why some points could not be tried, each sentence once."""


def cost_of(runs: Sequence[PlannedRun], patience: float) -> Cost:
    """What runs will take; no pilot begins once `patience` seconds are over."""
    groups = by_point(runs)
    began, problems = time.monotonic(), dict[str, None]()
    seconds: list[float] = []
    bytes_: list[float] = []
    n_runs_piloted = 0
    for group in _spread(groups):
        if seconds and time.monotonic() - began > patience:
            break
        try:
            config = completed(group[0].loaded, group[0].folder).value
            found = estimate(config, group[0].n_ranks)
        except UserError as error:
            problems[str(error)] = None
            continue
        if found.sweeps_seconds is None:
            problems[str(found.costs)] = None
            continue
        seconds += [_SECONDS_OF_A_START + found.sweeps_seconds] * len(group)
        bytes_ += [_bytes(found, config)] * len(group)
        n_runs_piloted += 1
    n_ranks = runs[0].n_ranks if runs else 1
    mean_seconds = sum(seconds) / len(seconds) if seconds else math.nan
    mean_bytes = sum(bytes_) / len(bytes_) if bytes_ else math.nan
    return Cost(
        len(runs), mean_seconds * len(runs) * n_ranks / 3600, max(seconds, default=math.nan), mean_bytes * len(runs),
        len(groups), n_runs_piloted, tuple(problems),
    )  # fmt: skip


def _spread(groups: Sequence[list[PlannedRun]]) -> list[list[PlannedRun]]:
    """The groups in an order whose beginning is spread over all of them: first, last, middle, and so on."""
    order: dict[int, None] = {}
    n = len(groups)
    step = n
    while len(order) < n:
        for place in range(0, n + step, step):
            order.setdefault(min(place, n - 1))
        step = max(step // 2, 1)
    return [groups[place] for place in order]


def _bytes(found: Estimate, config: RunConfig) -> float:
    """The checkpoints that stay, and the run file."""
    checkpoints = config.output.last_checkpoints * found.checkpoint_bytes
    every = config.output.parameter_sweeps
    kept = 1 + (found.n_sweeps // every if every else 0)
    parameters = kept * found.traffic.broadcast / config.training.updates_per_sweep
    return checkpoints + parameters + found.n_sweeps * _BYTES_OF_A_SWEEP + _BYTES_OF_A_RUN

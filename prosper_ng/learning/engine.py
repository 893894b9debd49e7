"""Sweeps from a first state to an ending, whoever keeps what they come to: a run folder, or `learn` in its memory."""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from prosper_ng.learning.assembly import Assembly
from prosper_ng.learning.ending import Ending
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.storage.history import HELD_OUT, RESTART
from prosper_ng.training.em import SweepReport, TrainingState, TruncatedEM
from prosper_ng.training.settings import Training


class Keeper(Protocol):
    """Keeps what the sweeps come to, and ends them; all ranks call it together, and root decides for all."""

    def before(self) -> Ending | None:
        """Why not to begin at all; None to begin."""
        ...

    def after(self, report: SweepReport, state: TrainingState) -> Ending | None:
        """Keep what a sweep came to; why to stop after it, None to go on."""
        ...


def train(
    parts: Assembly,
    training: Training,
    state: TrainingState,
    keeper: Keeper,
    interrupted: Callable[[], bool] = lambda: False,
) -> Ending:
    """Sweep until the last sweep, or until the keeper ends it; `interrupted` says whether this rank was asked to stop.

    `state` is brought up to date in place. Raises NumericalError where the mathematics breaks down.
    """
    ending = keeper.before()
    if ending is not None:
        return ending
    for report in TruncatedEM(parts.problem, training, interrupted, parts.begin).sweeps(state):
        ending = keeper.after(report, state)
        if ending is not None:
            return ending
    tried = f" after {training.restarts} restarts of {training.tried_sweeps}" if training.restarts > 1 else ""
    return Ending(True, f"all {training.n_sweeps} sweeps are done{tried}")


def history_entry(
    report: SweepReport, params: NamedArrays, measured: Mapping[str, float], elapsed: float
) -> dict[str, float]:
    """What is kept of a sweep, besides parameters (without constants): numbers by name."""
    values = {
        "free_energy": report.free_energy,
        "entropy_gap": np.nan if report.entropy_gap is None else report.entropy_gap,
        "temperature": report.point.temperature,
        "data_pruning": report.point.data_pruning,
        "settled": float(report.settled),
        "n_rows_used": report.n_rows_used,
        "n_evaluated": report.n_evaluated,
        "n_accepted": report.n_accepted,
        "elapsed": elapsed,
        **{f"seconds_{name}": seconds for name, seconds in report.seconds.items()},
    }
    if report.held_out is not None:
        values[HELD_OUT] = report.held_out
    if report.leg.n_starts > 1:
        values[RESTART] = report.leg.start + 1
    for name, array in params.items():
        if array.ndim == 0:
            values[name] = float(array)
        elif array.ndim == 1:
            values[f"{name}_mean"] = float(array.mean())
    return values | dict(measured)

"""Why the sweeps end: all are done, or a stopping rule is met."""

from typing import NamedTuple

import numpy as np

from prosper_ng.storage.history import HELD_OUT, History
from prosper_ng.training.stopping import Stopping


class Ending(NamedTuple):
    """Why the sweeps ended."""

    finished: bool
    """Whether learning is over, rather than to be gone on with."""
    sentence: str


class _Record(NamedTuple):
    """An entry of the history, as the stopping rules look at it."""

    free_energy: float
    entropy_gap: float | None
    settled: bool
    held_out: float | None


def rule_met(rules: Stopping, history: History, elapsed: float, reserve: float) -> Ending | None:
    """The ending by the rule that is met after the last sweep of the history; see `Stopping.should_stop`."""
    stop = rules.should_stop(_records(history, rules.patience + 1), elapsed, reserve)
    return None if stop is None else Ending(stop.is_converged, stop.sentence)


def _records(history: History, n_last: int) -> list[_Record]:
    """The last entries of the history."""
    if len(history) == 0:
        return []
    columns = history.columns(max(len(history) - n_last, 0))
    unknown = np.full(len(columns["free_energy"]), np.nan)
    gaps, held = (
        [None if np.isnan(value) else float(value) for value in columns.get(name, unknown)]
        for name in ("entropy_gap", HELD_OUT)
    )
    return [
        _Record(float(energy), gap, bool(settled), held_out)
        for energy, gap, settled, held_out in zip(columns["free_energy"], gaps, columns["settled"], held, strict=True)
    ]

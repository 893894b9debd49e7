"""Which setting the data speak for, such as which observable: by rows held out, where enough starts agree."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from prosper_ng.campaigns.results import ResultTable
from prosper_ng.config.canonical import inline
from prosper_ng.errors import UserError

HELD_OUT, LEARNED_FROM = "held_out_free_energy", "free_energy"
_BEST, _SECOND = "restarts_best", "restarts_second"


class Verdict(NamedTuple):
    """What runs that differ in one setting only say of it."""

    point: dict[str, Any]
    """The other settings, and the seed."""
    best: Any
    """The value of the largest free energy."""
    next: Any
    """That of the next, and"""
    lead: float
    """by how much it is below, per row."""
    unsure: dict[str, float]
    """By how much the two best starts of a value differ, per row, where that is as much as it lacks to the best; NaN
    where its run had one start."""
    n_missing: int
    """Values whose run is not finished."""

    @property
    def doubt(self) -> str:
        """Why other starts may change it; empty where none is expected to."""
        if self.n_missing:
            return f"{self.n_missing} not finished"
        for value, spread in self.unsure.items():
            if np.isnan(spread):
                return "one start each; set training.restarts"
            return f"the two best starts of {value} differ by {spread:.3g}; try more restarts"
        return ""


def verdicts(table: ResultTable, axis: str) -> tuple[str, list[Verdict]]:
    """The measure that was compared, per row of the data, and a verdict for each point and seed apart from the axis.

    Rows held out count where there are any, since a model with more parameters always fits those better that it has
    learned from. Raises UserError where there is no such axis, or nothing to compare.
    """
    if axis not in table.axes:
        raise UserError(f"there is no axis {axis}; the campaign has {', '.join(table.axes) or 'none'}")
    measure = HELD_OUT if HELD_OUT in table.measures else LEARNED_FROM
    if measure not in table.measures:
        raise UserError("no run has a free energy yet")
    others = [name for name in table.axes if name != axis]
    groups: dict[str, list[int]] = {}
    for row in range(len(table.columns["id"])):
        groups.setdefault(inline([*(table.columns[name][row] for name in others), _seed(table, row)]), []).append(row)
    compared = [rows for rows in groups.values() if len(rows) > 1]
    if not compared:
        raise UserError(
            f"no two runs differ in {axis} alone: give all points the same seeds (`seeds: shared`), so that they see "
            "the same data"
        )
    return measure, [_verdict(table, rows, axis, others, measure) for rows in compared]


def _seed(table: ResultTable, row: int) -> int:
    return int(table.columns["seed"][row])


def _verdict(table: ResultTable, rows: Sequence[int], axis: str, others: Sequence[str], measure: str) -> Verdict:
    """Of runs that differ in the axis only."""
    columns = table.columns
    done = [row for row in rows if columns["state"][row] == "finished" and np.isfinite(columns[measure][row])]
    ranked = sorted(done, key=lambda row: -float(columns[measure][row]))
    point = {name: columns[name][rows[0]] for name in others} | {"seed": _seed(table, rows[0])}
    best, following = ([columns[axis][row] for row in ranked] + [None, None])[:2]
    lead = float(columns[measure][ranked[0]] - columns[measure][ranked[1]]) if len(ranked) > 1 else np.nan
    unsure = {
        inline(columns[axis][row]): _spread(table, row)
        for row in ranked[1:]
        if not _spread(table, row) < columns[measure][ranked[0]] - columns[measure][row]
    }
    return Verdict(point, best, following, lead, unsure, len(rows) - len(done))


def _spread(table: ResultTable, row: int) -> float:
    """By how much the two best starts of a run differ; NaN where it had one."""
    best, second = (table.columns.get(name) for name in (_BEST, _SECOND))
    return np.nan if best is None or second is None else float(best[row] - second[row])

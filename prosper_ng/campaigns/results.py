"""What the runs of a campaign came to: a tidy table with a row for each run, and one with a row for each point."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.campaigns.plan import CampaignPlan, PlannedRun
from prosper_ng.campaigns.run_state import RunState
from prosper_ng.config.canonical import inline
from prosper_ng.errors import UserError
from prosper_ng.models.rounding import is_rounding, without_rounding
from prosper_ng.storage import atomic, hdf5
from prosper_ng.storage.axes import name_all
from prosper_ng.storage.run_numbers import run_numbers
from prosper_ng.storage.run_record import RunFileError

RUNS_CSV, POINTS_CSV, TABLE_FILE = "runs.csv", "points.csv", "table.h5"
LOWER_IS_BETTER = frozenset({"elapsed", "n_evaluated", "sweeps", "entropy_gap"})
"""Measures whose best run is the one of the smallest value; of all others it is the one of the largest."""
_FIRST_MEASURES = ("recovered_all", "recovered_found", "psnr_after", "ssim_after", "free_energy")
"""What people ask for first; then for the noise level, and how long it took."""

_FIRST_WORDS = {RUNS_CSV: (b"id", b"seed", b"state"), POINTS_CSV: (b"n_runs", b"n_finished"), TABLE_FILE: (b"\x89HDF",)}
"""What the first lines of tables hold."""
_LONGEST_LINE = 1 << 20

Column = NDArray[Any] | list[Any]
Pair = tuple[PlannedRun, RunState]


class ResultTable(NamedTuple):
    """Columns of equal length."""

    columns: dict[str, Column]
    """Measures are float64 with NaN for what is not known; points are values as in the configuration."""
    axes: tuple[str, ...]
    """Columns that tell points apart."""
    measures: tuple[str, ...]
    """Columns with measured numbers, what people ask for first before the others."""


def collect(
    plan: CampaignPlan, run_states: Sequence[RunState], watched: Callable[[Sequence[Pair]], Iterable[Pair]] = iter
) -> ResultTable:
    """One row a run, in the order of the plan; failed and unfinished runs too, with what they have measured so far.

    `watched` passes the runs on, and may show how many of them were read.
    """
    pairs = list(zip(plan.runs, run_states, strict=True))
    found = [_numbers(run.folder, run_state) for run, run_state in watched(pairs)]
    numbers = [row for row, _ in found]
    known = dict.fromkeys(name for row in numbers for name in row)
    if not any(row.get("entropy_gap") for row in numbers):
        known.pop("entropy_gap", None)
    first = (*_FIRST_MEASURES, *(name for _, noise in found for name in noise), "elapsed")
    measures = tuple(dict.fromkeys((*(name for name in first if name in known), *known)))
    columns: dict[str, Column] = {"id": [run.id for run in plan.runs]}
    columns |= {axis: [run.point[axis] for run in plan.runs] for axis in plan.axes}
    columns |= {
        "repeat": np.array([run.repeat for run in plan.runs]),
        "seed": np.array([run.seed for run in plan.runs], dtype=np.uint64),
        "state": [run_state.state for run_state in run_states],
        "reason": [run_state.reason for run_state in run_states],
        "data_digest": [(run_state.status and run_state.status.data_digest) or "" for run_state in run_states],
    }
    columns |= {name: np.array([row.get(name, np.nan) for row in numbers], dtype=np.float64) for name in measures}
    return ResultTable(columns, plan.axes, measures)


def summarise(table: ResultTable) -> ResultTable:
    """One row a point: `n_runs`, `n_finished`, and of each measure of the finished runs NAME_mean, NAME_std (with
    n - 1), NAME_min, NAME_max and NAME_best, the id of the best run.

    Its measures are the means.
    """
    keys = [tuple(inline(table.columns[axis][row]) for axis in table.axes) for row in range(len(table.columns["id"]))]
    rows: dict[tuple[str, ...], list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    finished = [[row for row in group if table.columns["state"][row] == "finished"] for group in rows.values()]
    columns: dict[str, Column] = {
        axis: [table.columns[axis][group[0]] for group in rows.values()] for axis in table.axes
    }
    columns["n_runs"] = np.array([len(group) for group in rows.values()])
    columns["n_finished"] = np.array([len(group) for group in finished])
    for name in table.measures:
        columns |= _summary(name, table, finished)
    return ResultTable(columns, table.axes, tuple(f"{name}_mean" for name in table.measures))


def write_tables(table: ResultTable, points: ResultTable, folder: Path) -> list[Path]:
    """Write runs.csv, points.csv, and both tables into table.h5; their paths.

    Raises UserError where a file of such a name is none of these tables, but a person's own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, words in _FIRST_WORDS.items():
        if not _begins_with(folder / name, words):
            raise UserError(
                f"{folder / name} is not a table of this campaign, and would be replaced by one; move it, or give it "
                "another name"
            )
    atomic.write_text(folder / RUNS_CSV, _csv(table))
    atomic.write_text(folder / POINTS_CSV, _csv(points))
    with atomic.replacing(folder / TABLE_FILE) as temporary, hdf5.written(temporary) as file:
        for name, each in (("runs", table), ("points", points)):
            group = file.create_group(name, track_order=True)
            group.attrs["axes"], group.attrs["measures"] = list(each.axes), list(each.measures)
            for column, values in each.columns.items():
                group[column] = values if isinstance(values, np.ndarray) else [_text(value) for value in values]
        name_all(file, lambda path, n_axes: ("run" if path.startswith("runs/") else "point",), {})
    return [folder / name for name in (RUNS_CSV, POINTS_CSV, TABLE_FILE)]


def _begins_with(path: Path, words: tuple[bytes, ...]) -> bool:
    """Whether the first line of a file has these words; also where there is no file, or nothing in it."""
    try:
        with path.open("rb") as stream:
            first = stream.readline(_LONGEST_LINE)
    except FileNotFoundError:
        return True
    return not first or all(word in first for word in words)


def _numbers(folder: Path, run_state: RunState) -> tuple[dict[str, float], list[str]]:
    """What a run has measured, and which of it is its noise level; of one that was never begun nothing."""
    status = run_state.status
    if status is None:
        return {}, []
    sweeps = {"sweeps": float(status.iteration)}
    try:
        found = run_numbers(folder, status)
        return sweeps | _without_rounding(found.numbers), found.noise
    except RunFileError:
        return sweeps, []


def _without_rounding(numbers: dict[str, float]) -> dict[str, float]:
    """The numbers with 0 for an entropy gap that is nothing but rounding."""
    if "entropy_gap" not in numbers:
        return numbers
    gap = without_rounding(numbers["entropy_gap"], numbers.get("free_energy", 0.0))
    return numbers | {"entropy_gap": float(gap)}


def _deviation(sample: NDArray[Any]) -> float:
    """The standard deviation; 0 where nothing but rounding tells the numbers apart."""
    if sample.size < 2:
        return np.nan
    return 0.0 if is_rounding(np.ptp(sample), np.abs(sample).max()) else float(sample.std(ddof=1))


def _summary(name: str, table: ResultTable, groups: Sequence[Sequence[int]]) -> dict[str, Column]:
    values = np.asarray(table.columns[name])
    found: dict[str, Column] = {}
    known = [[row for row in group if np.isfinite(values[row])] for group in groups]
    samples = [values[group] for group in known]
    found[f"{name}_mean"] = np.array([sample.mean() if sample.size else np.nan for sample in samples])
    found[f"{name}_std"] = np.array([_deviation(sample) for sample in samples])
    found[f"{name}_min"] = np.array([sample.min() if sample.size else np.nan for sample in samples])
    found[f"{name}_max"] = np.array([sample.max() if sample.size else np.nan for sample in samples])
    best = np.argmin if name in LOWER_IS_BETTER else np.argmax
    ids = table.columns["id"]
    found[f"{name}_best"] = [ids[group[int(best(values[group]))]] if group else "" for group in known]
    return found


def _csv(table: ResultTable) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.columns)
    for row in zip(*table.columns.values(), strict=True):
        writer.writerow([_text(value) for value in row])
    return stream.getvalue()


def _text(value: Any) -> str:
    """A value as people write it, numbers in full; nothing for what is not known."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value != value:
        return ""
    return inline(value) if isinstance(value, Mapping | list | tuple) else str(value)

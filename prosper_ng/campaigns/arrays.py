"""The unfinished runs of a campaign as arrays of jobs: which task is which run, and how many go on at once."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prosper_ng import plugins
from prosper_ng.campaigns import submissions
from prosper_ng.campaigns.plan import CampaignPlan, PlannedRun, freeze, keep
from prosper_ng.errors import UserError
from prosper_ng.paths import absolute
from prosper_ng.slurm.options import JobOptions
from prosper_ng.slurm.script import array_script, pack_map, task_map
from prosper_ng.slurm.submission import SlurmError, submit
from prosper_ng.storage import atomic


@dataclass(frozen=True)
class Array:
    """One array of jobs."""

    runs: tuple[PlannedRun, ...]
    """Task n is the n-th of these, or the n-th pack of `runs_per_job`."""
    n_parallel: int | None
    """How many of its tasks may run at once; None for as many as there is room for."""
    after: int | None
    """The place in the list of the array that must have ended before; None where it need not wait."""
    runs_per_job: int = 1
    """How many runs a task has."""

    @property
    def tasks(self) -> str:
        """What `sbatch --array` takes."""
        return f"0-{(len(self.runs) - 1) // self.runs_per_job}" + (
            "" if self.n_parallel is None else f"%{self.n_parallel}"
        )


@dataclass(frozen=True)
class Files:
    """What is written for an array before it is submitted; the names come from the content, which never changes."""

    script: Path
    script_text: str
    tasks: Path
    tasks_text: str


def cut(runs: Sequence[PlannedRun], largest: int, n_parallel: int | None = None, runs_per_job: int = 1) -> list[Array]:
    """The runs in arrays of at most `largest` tasks, of which together at most `n_parallel` run at once.

    Slurm's limit holds for one array only, so it is shared among them; where it is smaller than the number of arrays,
    some wait for others to end.
    """
    size = largest * runs_per_job
    chunks = [tuple(runs[start : start + size]) for start in range(0, len(runs), size)]
    if n_parallel is None:
        return [Array(chunk, None, None, runs_per_job) for chunk in chunks]
    n_lanes = max(min(n_parallel, len(chunks)), 1)
    shares = [n_parallel // n_lanes + (lane < n_parallel % n_lanes) for lane in range(n_lanes)]
    return [
        Array(chunk, shares[place % n_lanes], place - n_lanes if place >= n_lanes else None, runs_per_job)
        for place, chunk in enumerate(chunks)
    ]


def files_of(plan: CampaignPlan, array: Array, options: JobOptions, site: str | None) -> Files:
    """The script and the task map of an array."""
    folder = absolute(plan.folder)
    is_packed = array.runs_per_job > 1
    if is_packed:
        tasks_text = pack_map([run.id for run in array.runs], array.runs_per_job)
    else:
        tasks_text = task_map([(absolute(run.folder) / "config.yaml", absolute(run.folder)) for run in array.runs])
    tasks = folder / submissions.FOLDER / f"tasks-{_digest(tasks_text)}.tsv"
    script_text = array_script(
        options, plan.name, tasks, folder / submissions.LOGS, plugins.arguments(), site, folder if is_packed else None
    )
    return Files(tasks.with_name(f"job-{_digest(script_text)}.sbatch"), script_text, tasks, tasks_text)


def submit_arrays(
    plan: CampaignPlan, arrays: Sequence[Array], options: JobOptions, site: str | None = None
) -> Iterator[tuple[Array, str]]:
    """Freeze and submit one array after the other, and say the job of each. Raises SlurmError where one is refused."""
    keep(plan)
    jobs: list[str] = []
    for array in arrays:
        files = files_of(plan, array, options, site)
        try:
            for folder in (submissions.FOLDER, submissions.LOGS):
                (plan.folder / folder).mkdir(parents=True, exist_ok=True)
            for run in array.runs:
                freeze(run)
            atomic.write_text(files.tasks, files.tasks_text)
            atomic.write_text(files.script, files.script_text)
        except OSError as error:
            raise UserError(f"{plan.folder} cannot be written to ({error.strerror})") from None
        waits = [] if array.after is None else [f"--dependency=afterany:{jobs[array.after]}"]
        try:
            jobs.append(submit(files.script, [f"--array={array.tasks}", *waits]))
        except SlurmError as error:
            error.add_note(
                f"of {len(arrays)} arrays {len(jobs)} were submitted; called again, the same command submits the rest"
            )
            raise
        submissions.record(plan.folder, jobs[-1], [run.id for run in array.runs], array.runs_per_job)
        yield array, jobs[-1]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]

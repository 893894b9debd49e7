"""Which batch jobs were submitted for which runs, from files in the campaign's folder."""

import json
from collections.abc import Sequence
from pathlib import Path

from prosper_ng.storage import atomic

FOLDER = "submissions"
LOGS = "logs"
"""Where array jobs write, in the campaign's folder: slurm-JOB_TASK.out."""


def record(folder: Path, job: str, run_ids: Sequence[str], runs_per_job: int = 1, is_array: bool = True) -> None:
    """Write down that task n of an array job is the n-th of these runs, or the n-th pack of so many.

    Or that a job without tasks is the only one.
    """
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    content = {"job": job, "is_array": is_array, "runs": list(run_ids), "runs_per_job": runs_per_job}
    atomic.write_json(folder / FOLDER / f"{int(job):012d}.json", content)


def latest_jobs(folder: Path) -> dict[str, str]:
    """The newest job of each run that was ever submitted, such as 123 or, in an array, 123_4; packed runs share one."""
    jobs: dict[str, str] = {}
    for path in sorted((folder / FOLDER).glob("*.json")):
        try:
            content = json.loads(path.read_bytes())
            for number, run_id in enumerate(content["runs"]):
                task = number // content.get("runs_per_job", 1)
                jobs[run_id] = f"{content['job']}_{task}" if content["is_array"] else str(content["job"])
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return jobs


def log_of(folder: Path, job: str) -> Path:
    """Where a job or task of a campaign writes what it prints."""
    return folder / LOGS / f"slurm-{job}.out"

"""What Slurm, or PBS, says about a job: when it ends, and whether it is gone."""

import os
import re
import subprocess
import time
from collections.abc import Sequence
from datetime import datetime

_PATIENCE = 10.0
"""Seconds that Slurm gets to answer; a run must not wait for a busy controller."""
HOLDING_NODES = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"})
"""States of jobs that have nodes, where something of theirs may still run."""
_UNKNOWN_JOB = "invalid job id"
_PBS_START = re.compile(r"^\s*stime = (.+)$", re.MULTILINE)
_PBS_LIMIT = re.compile(r"^\s*Resource_List\.walltime = (\d+):(\d+):(\d+)$", re.MULTILINE)


def job_id() -> str | None:
    """The batch job this process belongs to, `<array>_<task>` in an array of Slurm; None outside of Slurm and PBS."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID") or os.environ.get("PBS_JOBID")


def restart_count() -> str | None:
    """How many times Slurm has started this job again; None outside of Slurm."""
    return os.environ.get("SLURM_RESTART_COUNT", "0") if job_id() else None


def cluster() -> str | None:
    """The name of the cluster, within which numbers of jobs are unique; None outside of Slurm."""
    return os.environ.get("SLURM_CLUSTER_NAME")


def end_time() -> float | None:
    """When this job must be over, in seconds since 1970: by the environment, squeue or qstat; None where none says."""
    told = os.environ.get("SLURM_JOB_END_TIME", "")
    if told.isdecimal():
        return float(told)
    job = job_id()
    if job is not None and job == os.environ.get("PBS_JOBID"):
        answer = _answer(["qstat", "-f", job])
        return None if answer is None else end_by_qstat(answer.stdout)
    answer = None if job is None else _squeue(job, "%e")
    if answer is None or answer.returncode != 0:
        return None
    try:
        return datetime.fromisoformat(answer.stdout.split()[0]).timestamp()
    except (IndexError, ValueError):
        return None  # a job without a limit ends "NONE" or "N/A"


def end_by_qstat(description: str) -> float | None:
    """The end of a job of PBS, in seconds since 1970, from what `qstat -f` says of it; None where it does not say."""
    start, limit = _PBS_START.search(description), _PBS_LIMIT.search(description)
    if start is None or limit is None:
        return None
    hours, minutes, seconds = map(int, limit.groups())
    try:
        began = datetime.strptime(start[1].strip(), "%a %b %d %H:%M:%S %Y").timestamp()
    except ValueError:
        return None
    return began + (hours * 60 + minutes) * 60 + seconds


def is_gone(job: str) -> bool:
    """Whether Slurm knows for sure that a job no longer runs; False where it cannot be asked."""
    answer = _squeue(job, "%T")
    if answer is None:
        return False
    if answer.returncode != 0:
        return _UNKNOWN_JOB in answer.stderr.lower()
    return not HOLDING_NODES & set(answer.stdout.split())


def seconds_left() -> float | None:
    """Seconds until this job must be over; None where nobody says."""
    end = end_time()
    return None if end is None else end - time.time()


def _squeue(job: str, what: str) -> subprocess.CompletedProcess[str] | None:
    command = ["squeue", "--noheader", "--jobs", job, "--format", what]
    # How squeue writes times is a matter of taste that this variable settles, also to what nobody can read back.
    return _answer(command, SLURM_TIME_FORMAT="standard")


def _answer(command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str] | None:
    environment = {**os.environ, **variables}
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, env=environment, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None

"""How the runs of a campaign stand, why they ended, and what to do; from their folders and one look at the queue."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from prosper_ng.campaigns.plan import CampaignPlan, PlannedRun
from prosper_ng.campaigns.submissions import latest_jobs, log_of
from prosper_ng.slurm.queue import QueuedJob
from prosper_ng.storage.batch_job import HOLDING_NODES, job_id
from prosper_ng.storage.lock import is_held
from prosper_ng.storage.provenance import code, source
from prosper_ng.storage.status import NAME as STATUS_FILE
from prosper_ng.storage.status import Status, StatusError, read_status

State = Literal["waiting", "queued", "running", "stopped", "finished", "failed", "lost"]
STATES: tuple[State, ...] = ("finished", "running", "queued", "stopped", "waiting", "failed", "lost")
"""All of them, in the order in which people are told."""
BROKEN: frozenset[State] = frozenset({"failed", "lost"})
"""States of runs in which something went wrong."""
TO_DO: frozenset[State] = frozenset({"waiting", "stopped", "failed", "lost"})
"""States of runs that `campaign run` and `campaign submit` start, or start again."""
OUTPUT = "output.txt"
"""What a run that was started on this machine prints, in its folder."""
_TAIL_BYTES = 1 << 14
_CONTINUE = "call `campaign run` or `campaign submit` again: it goes on from its last checkpoint"
_REPAIR = (
    "what it has printed, and log.txt in its folder, say more; once the cause is gone, `campaign run` or `campaign "
    "submit` tries it again, and `campaign rerun` begins it anew"
)

_OTHER_DATA = (
    "runs of one table should have the same data: bring the data of the others back, or begin these anew with "
    "`campaign rerun ID`"
)


class RunState(NamedTuple):
    """How a run stands."""

    state: State
    status: Status | None
    reason: str = ""
    """Why it ended or waits."""
    advice: str = ""
    """What to do."""
    on_other_data: bool = False
    """Whether other runs, of which there are no fewer, have found other rows in the same data source."""
    log: Path | None = None
    """What it has printed last, where something went wrong."""


class _Cause(NamedTuple):
    """A way in which systems end runs, and how it shows in what they print."""

    pattern: re.Pattern[str]
    reason: str
    advice: str


_CAUSES = (
    _Cause(
        re.compile(r"oom[-_ ]kill|out of memory|exceeded memory limit", re.IGNORECASE),
        "out of memory",
        "give it more memory or more ranks, or lower memory.data_budget and memory.states_budget; `prosper-ng "
        "estimate` says what a run needs",
    ),
    _Cause(
        re.compile(r"DUE TO TIME LIMIT"),
        "time limit",
        f"{_CONTINUE}; allow more time, or more checkpoints (output.checkpoint_minutes)",
    ),
    _Cause(re.compile(r"NODE[_ ]FAIL|DUE TO NODE"), "node failure", _CONTINUE),
    _Cause(re.compile(r"CANCELLED|scancel"), "cancelled", _CONTINUE),
    _Cause(
        re.compile(r"ended by SIGKILL"),
        "killed (SIGKILL)",
        f"by hand, or by the system for want of memory; {_CONTINUE}",
    ),
)


def run_states(plan: CampaignPlan, queue: Mapping[str, QueuedJob]) -> list[RunState]:
    """How each run of the plan stands; `queue` holds the jobs that Slurm knows, by id such as 123 or 123_4."""
    jobs = latest_jobs(plan.folder)
    n_runs = Counter(jobs.values())
    found = []
    for run in plan.runs:
        job = jobs.get(run.id)
        is_packed = job is not None and n_runs[job] > 1
        found.append((_in_pack if is_packed else _run_state)(run, plan.folder, job, queue))
    return _telling_data_apart(found)


def run_state_of(plan: CampaignPlan, run: PlannedRun) -> RunState:
    """How one run stands, without a look at the queue."""
    return _run_state(run, plan.folder, None, {})


def other_versions(found: Sequence[RunState]) -> str | None:
    """A sentence where finished runs were made by another version of the program than this one; None where not."""
    known = Counter(each.status.code for each in found if each.state == "finished" and each.status is not None)
    now = code(source())
    others = {version: number for version, number in known.items() if version not in (now, None)}
    if not others:
        return None
    told = ", ".join(f"{number} by {version}" for version, number in sorted(others.items()))
    return f"finished runs were made by another version of the program ({told}), which is {now} now"


def other_data(found: Sequence[RunState]) -> str | None:
    """A sentence where runs with the same data source have learned from different rows; None where not."""
    n_runs = sum(each.on_other_data for each in found)
    if n_runs == 0:
        return None
    runs = "1 run has" if n_runs == 1 else f"{n_runs} runs have"
    return f"{runs} learned from other data than other runs with the same data source; `campaign status` names them"


def _telling_data_apart(found: list[RunState]) -> list[RunState]:
    """The states, with a reason where a run has learned from other rows than most with the same data source.

    By their status files alone: those of earlier versions say nothing of the data.
    """
    digests: dict[str, Counter[str]] = {}
    for status in (each.status for each in found):
        if status is not None and status.data_source and status.data_digest:
            digests.setdefault(status.data_source, Counter())[status.data_digest] += 1
    return [_told(each, _n_on_other_data(each.status, digests)) for each in found]


def _n_on_other_data(status: Status | None, digests: Mapping[str, Counter[str]]) -> int:
    """How many runs with the same data source have learned from other rows; 0 where this run is one of the most."""
    if status is None or not status.data_source or not status.data_digest:
        return 0
    known = digests[status.data_source]
    others = [number for digest, number in known.items() if digest != status.data_digest]
    return sum(others) if max(others, default=0) >= known[status.data_digest] else 0


def _told(run_state: RunState, n_others: int) -> RunState:
    if n_others == 0:
        return run_state
    runs = "1 run" if n_others == 1 else f"{n_others} runs"
    reason = f"learned from other data than {runs} with the same data source"
    reason = f"{run_state.reason}; {reason}" if run_state.reason else reason
    return run_state._replace(reason=reason, advice=run_state.advice or _OTHER_DATA, on_other_data=True)


def _run_state(run: PlannedRun, folder: Path, job: str | None, queue: Mapping[str, QueuedJob]) -> RunState:
    found = _judged(run, folder, job, queue)
    if found.state not in BROKEN:
        return found
    known = job or (None if found.status is None else found.status.job)
    return found._replace(log=_last_log(run.folder, folder, known))


def _in_pack(run: PlannedRun, folder: Path, job: str | None, queue: Mapping[str, QueuedJob]) -> RunState:
    """A run that shares a job with others: what the job does, and what it prints, is not of this run alone."""
    found, known = _run_state(run, folder, None, {}), queue.get(job or "")
    begins = known is not None and known.state not in HOLDING_NODES
    if known is not None and found.state in TO_DO and (begins or found.state != "failed"):
        reason = known.reason if begins else "its job has other runs to run first"
        return RunState("queued", found.status, reason)
    log = log_of(folder, job or "")
    if known is None and job != job_id() and log.is_file():
        cause = _cause_of(_tail(log))
        if found.state == "waiting":
            reason = _sentence(_tail(log) or "it printed nothing") if cause is None else cause.reason
            return RunState("lost", None, f"its job ended before it began: {reason}", _CONTINUE, log=log)
        if found.state == "lost" and cause is not None and _cause_of(_tail(found.log)) is None:
            return found._replace(reason=cause.reason, advice=cause.advice, log=log)
    return found


def _judged(run: PlannedRun, folder: Path, job: str | None, queue: Mapping[str, QueuedJob]) -> RunState:
    try:
        status = read_status(run.folder)
    except StatusError as error:
        return RunState("lost", None, str(error), _CONTINUE)
    if status is not None and status.state == "finished" and _has_all(status, run):
        return RunState("finished", status, status.reason or "")
    for known in (job, status.job if status else None):
        if known is not None and known in queue:
            return _in_queue(queue[known], status)
    if status is None:
        return _without_status(run, folder, job)
    if is_held(run.folder):
        return RunState("running", status)
    if status.state == "finished":
        reason = f"finished {status.iteration} sweeps, and {run.n_sweeps} are wanted now"
        return RunState("stopped", status, reason, _CONTINUE)
    if status.state == "running":
        again = _read_again(run.folder)
        return _lost(run, folder, job, status) if again == status else _judged(run, folder, job, queue)
    told = (status.reason or "").strip()
    reason = _failed_since(run.folder, _last_log(run.folder, folder, job)) or told
    if status.state == "stopped" and reason == told:
        return RunState("stopped", status, reason, _CONTINUE)
    return RunState("failed", status, reason, _REPAIR)


def _has_all(status: Status, run: PlannedRun) -> bool:
    """Whether a finished run has the sweeps that are wanted now, or has learned enough."""
    return status.iteration >= run.n_sweeps or status.iteration < (status.n_iterations or 0)


def _in_queue(job: QueuedJob, status: Status | None) -> RunState:
    if job.state in HOLDING_NODES:
        return RunState("running", status)
    return RunState("queued", status, job.reason)


def _read_again(folder: Path) -> Status | None:
    """The status once more: a run may have ended between the looks at its status and at its lock."""
    try:
        return read_status(folder)
    except StatusError:
        return None


def _without_status(run: PlannedRun, folder: Path, job: str | None) -> RunState:
    """A run that has not begun, or ended before it had opened its folder."""
    if is_held(run.folder):
        return RunState("running", None)
    text = _tail(_last_log(run.folder, folder, job))
    if not text:
        return RunState("waiting", None)
    found = _cause_of(text)
    if found is not None:
        return RunState("lost", None, found.reason, found.advice)
    return RunState("failed", None, _sentence(text), _REPAIR)


def _lost(run: PlannedRun, folder: Path, job: str | None, status: Status) -> RunState:
    """A run that says it is running, and is not."""
    found = _cause_of(_tail(_last_log(run.folder, folder, job or status.job)))
    where = f"after sweep {status.iteration}"
    if found is not None:
        return RunState("lost", status, f"{found.reason} {where}", found.advice)
    return RunState("lost", status, f"ended without a word {where} on {status.host}", _CONTINUE)


def _cause_of(text: str) -> _Cause | None:
    """The way in which the system ended a run; the last one that its output tells of."""
    ends = {cause: max((match.end() for match in cause.pattern.finditer(text)), default=-1) for cause in _CAUSES}
    latest = max(_CAUSES, key=lambda cause: ends[cause])
    return latest if ends[latest] >= 0 else None


def _last_log(run_folder: Path, folder: Path, job: str | None) -> Path | None:
    """What a run has printed into when it was started last; None where it has printed nothing."""
    places = [run_folder / OUTPUT, *run_folder.glob("slurm-*.out")]
    if job is not None:
        places.append(log_of(folder, job))
    logs = [place for place in places if place.is_file() and place.stat().st_size]
    return max(logs, key=lambda log: log.stat().st_mtime_ns, default=None)


def _tail(log: Path | None) -> str:
    """The end of a log."""
    if log is None:
        return ""
    with log.open("rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL_BYTES))
        return stream.read().decode(errors="replace").strip()


def _failed_since(run_folder: Path, log: Path | None) -> str | None:
    """Why the last attempt failed before it could open its folder; None where it did not."""
    if log is None or log.stat().st_mtime_ns < (run_folder / STATUS_FILE).stat().st_mtime_ns:
        return None
    text = _tail(log)
    return _sentence(text) if "error: " in text.lower() and _cause_of(text) is None else None


def _sentence(text: str) -> str:
    """The line that says most: the last error, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error: " in line.lower()]
    return (errors or lines)[-1].removeprefix("error: ")

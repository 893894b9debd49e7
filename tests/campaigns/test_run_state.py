"""How runs stand, and why they ended."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from typing import NamedTuple

import pytest

from prosper_ng import cli
from prosper_ng.campaigns import submissions
from prosper_ng.campaigns.plan import CampaignPlan, keep, load_plan
from prosper_ng.campaigns.run_state import OUTPUT, TO_DO, other_versions, run_states
from prosper_ng.storage.lock import RunLock
from prosper_ng.storage.status import Status
from tests.helpers.campaigns import planned


class Job(NamedTuple):
    state: str
    reason: str


@pytest.fixture
def plan(tmp_path) -> CampaignPlan:
    return planned(tmp_path, "repeats: 3\n")


def write_status(run, **fields):
    run.folder.mkdir(parents=True, exist_ok=True)
    fields = {"iteration": run.n_sweeps, "n_iterations": run.n_sweeps, **fields}
    (run.folder / "status.json").write_text(json.dumps(asdict(Status(**fields))), encoding="utf-8")


def write_output(run, text):
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / OUTPUT).write_text(text, encoding="utf-8")
    later = time.time() + 10
    os.utime(run.folder / OUTPUT, (later, later))


def first(plan, queue=None):
    return run_states(plan, queue or {})[0]


def test_what_was_never_begun_waits(plan):
    assert [run_state.state for run_state in run_states(plan, {})] == ["waiting"] * 3


@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_a_status_speaks_for_itself(plan, state):
    write_status(plan.runs[0], state=state, reason="why")
    found = first(plan)
    assert (found.state, found.reason) == (state, "why")
    assert (found.state in TO_DO) == (state != "finished")
    assert bool(found.advice) == (state != "finished")


def test_more_sweeps_make_a_finished_run_unfinished(plan):
    write_status(plan.runs[0], state="finished", iteration=4, n_iterations=4)
    found = first(plan)
    assert (found.state, found.reason) == ("stopped", "finished 4 sweeps, and 6 are wanted now")


def test_a_run_that_has_learned_enough_is_finished_however_many_sweeps_are_wanted(plan):
    write_status(plan.runs[0], state="finished", iteration=3, n_iterations=5)
    assert first(plan).state == "finished"


def test_a_run_whose_lock_is_held_runs_also_before_its_first_status(plan):
    run = plan.runs[0]
    run.folder.mkdir(parents=True)
    with RunLock(run.folder):
        assert first(plan).state == "running"
        write_status(run, state="running", iteration=2)
        assert first(plan).state == "running"
    assert first(plan).state == "lost"


def test_the_lock_of_a_dead_process_holds_nothing(plan):
    run = plan.runs[0]
    write_status(run, state="running", iteration=2)
    code = "import sys, os; from pathlib import Path; from prosper_ng.storage.lock import RunLock\n"
    code += "RunLock(Path(sys.argv[1])).acquire(); os._exit(9)"
    subprocess.run([sys.executable, "-c", code, run.folder], check=False, timeout=240)
    assert (run.folder / "run.lock").exists()
    assert first(plan).state == "lost"


ENDS = {
    "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=4.0": "out of memory",
    "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01 DUE TO TIME LIMIT ***": "time limit",
    "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01 DUE TO NODE FAILURE ***": "node failure",
    "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01 ***": "cancelled",
    "ended by SIGKILL": "killed (SIGKILL)",
}


@pytest.mark.parametrize("line", ENDS)
def test_what_the_system_says_is_the_reason(plan, line):
    run = plan.runs[0]
    write_status(run, state="running", iteration=2)
    write_output(run, f"error: something else\n{line}\n")
    assert first(plan)[:3:2] == ("lost", f"{ENDS[line]} after sweep 2")
    (run.folder / "status.json").unlink()
    assert first(plan)[:3:2] == ("lost", ENDS[line])


def test_the_log_of_a_task_tells_of_the_run_it_was_for(plan):
    submissions.record(plan.folder, "7", [plan.runs[1].id, plan.runs[0].id])
    log = submissions.log_of(plan.folder, "7_1")
    log.parent.mkdir()
    log.write_text("slurmstepd: error: *** STEP 7 CANCELLED DUE TO TIME LIMIT ***\n", encoding="utf-8")
    assert [run_state.state for run_state in run_states(plan, {})] == ["lost", "waiting", "waiting"]
    assert first(plan).reason == "time limit"


def test_jobs_in_the_queue_are_joined_by_submission_and_by_status(plan):
    a, b, c = plan.runs
    submissions.record(plan.folder, "6", [a.id, b.id])
    submissions.record(plan.folder, "7", [b.id, a.id])
    write_status(c, state="stopped", iteration=2, job="9")
    queue = {"7_1": Job("PENDING", "Resources"), "7_0": Job("RUNNING", "None"), "9": Job("PENDING", "BeginTime")}
    found = [(each.state, each.reason) for each in run_states(plan, queue)]
    assert found == [("queued", "Resources"), ("running", ""), ("queued", "BeginTime")]


def test_what_a_job_of_several_runs_says_is_told_of_each_as_far_as_it_concerns_it(plan, monkeypatch):
    a, b, c = plan.runs
    submissions.record(plan.folder, "7", [run.id for run in plan.runs], runs_per_job=3)
    for state, expected in {
        "PENDING": [("queued", "Priority"), ("queued", "Priority"), ("finished", "")],
        "RUNNING": [("failed", "no data"), ("queued", "its job has other runs to run first"), ("finished", "")],
    }.items():
        write_status(a, state="failed", reason="no data", iteration=2, job="7_0")
        write_status(c, state="finished", job="7_0")
        found = run_states(plan, {"7_0": Job(state, "Priority")})
        assert [(each.state, each.reason) for each in found] == expected
    log = submissions.log_of(plan.folder, "7_0")
    log.parent.mkdir()
    log.write_text("2 runs\nerror: no data\nslurmstepd: error: *** STEP 7 CANCELLED DUE TO TIME LIMIT ***\n")
    with monkeypatch.context() as job:  # as those see it that run in this very job
        job.setenv("SLURM_JOB_ID", "9")
        job.setenv("SLURM_ARRAY_JOB_ID", "7")
        job.setenv("SLURM_ARRAY_TASK_ID", "0")
        assert [each.state for each in run_states(plan, {})] == ["failed", "waiting", "finished"]
    found = run_states(plan, {})
    reason = "its job ended before it began: time limit"
    assert [(each.state, each.reason, each.log) for each in found[:2]] == [
        ("failed", "no data", log), ("lost", reason, log),
    ]  # fmt: skip
    write_status(b, state="running", iteration=2)
    assert run_states(plan, {})[1][:3:2] == ("lost", "time limit")
    write_output(b, "ended by SIGKILL")
    assert run_states(plan, {})[1].reason == "killed (SIGKILL) after sweep 2"


def test_an_early_error_is_the_reason_also_after_an_older_status(plan):
    run = plan.runs[0]
    write_output(run, "a warning\nerror: data.npy: no such file\n")
    assert first(plan)[:3:2] == ("failed", "data.npy: no such file")
    write_status(run, state="stopped", reason="before", iteration=2)
    assert first(plan)[:3:2] == ("failed", "data.npy: no such file")
    write_output(run, "")
    assert first(plan)[:3:2] == ("stopped", "before")


def test_a_defect_ends_with_its_last_line(plan):
    write_output(plan.runs[0], "Traceback (most recent call last):\n  File ...\nZeroDivisionError: division by zero\n")
    assert first(plan)[:3:2] == ("failed", "ZeroDivisionError: division by zero")


def test_a_damaged_status_is_a_reason(plan):
    write_status(plan.runs[0], state="finished")
    (plan.runs[0].folder / "status.json").write_text("{", encoding="utf-8")
    found = first(plan)
    assert found.state == "lost"
    assert "status.json is damaged" in found.reason


def test_results_of_another_version_are_told(plan):
    for run, version in zip(plan.runs, ("0.0.1", "0.0.1", None), strict=True):
        write_status(run, state="finished", code=version)
    assert "2 by 0.0.1" in other_versions(run_states(plan, {}))
    write_status(plan.runs[0], state="finished")
    write_status(plan.runs[1], state="finished")
    assert other_versions(run_states(plan, {})) is None


def test_thousands_of_runs_are_looked_at_in_a_moment(tmp_path, capsys, monkeypatch):
    plan = planned(tmp_path, "repeats: 2000\n")
    keep(plan)
    for run in plan.runs:
        write_status(run, state="finished")
    monkeypatch.setattr("prosper_ng.campaigns.points.Points.loaded", None)  # no configuration is checked again
    began = time.process_time()
    assert {each.state for each in run_states(load_plan(plan.path, folder=plan.folder), {})} == {"finished"}
    assert time.process_time() - began < 4  # 0.2 s on the machine of these lines
    assert cli.main(["campaign", "status", str(plan.path), "--output", str(plan.folder)]) == 0
    assert "2000 runs in" in capsys.readouterr().out

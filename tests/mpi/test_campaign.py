"""`prosper-ng campaign run` on this machine: side by side, disturbed, and called again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from prosper_ng import cli
from prosper_ng.campaigns.plan import load_plan
from prosper_ng.campaigns.run_state import run_states
from prosper_ng.storage.lock import is_held
from prosper_ng.storage.run_record import read_run
from prosper_ng.storage.status import read_status
from tests.conftest import PATIENCE, launcher
from tests.helpers.campaigns import BASE, write_campaign

COMMAND = (sys.executable, "-m", "prosper_ng", "campaign")
GRID = "repeats: 2\ngrid: {model.n_latents: [4, 6]}\n"
N_SWEEPS = 800
ONE_SHORT = "list: [{model.n_latents: 3, training.n_sweeps: 6}, {model.n_latents: 4}, {model.n_latents: 6}]\n"
LONG = BASE.replace("n_sweeps: 6, updates_per_sweep: 3", f"n_sweeps: {N_SWEEPS}").replace("_sweeps: 4}", "_sweeps: 50}")


def start(*arguments):
    """A campaign command in a session of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    return subprocess.Popen([*COMMAND, *map(str, arguments)], text=True, start_new_session=True, **pipes)


def ended(process, timeout=240):
    """Its exit status and what it said."""
    try:
        out, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, out


def campaign(action, *arguments):
    return ended(start(action, *arguments))


def wait_until(condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def digests(plan):
    return {run.id: read_status(run.folder).digest for run in plan.runs}


def finished_at(plan):
    """When the finished runs finished."""
    found = zip(plan.runs, run_states(plan, {}), strict=True)
    return {run.id: (run.folder / "status.json").stat().st_mtime_ns for run, each in found if each.state == "finished"}


def sweeps_done(run):
    status = read_status(run.folder)
    return 0 if status is None else status.iteration


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The folder of a campaign that was called once, its file, and how that ended."""
    folder = tmp_path_factory.mktemp("first")
    path = write_campaign(folder, GRID)
    return folder, path, campaign("run", path, "--output", folder / "out")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The digests of a campaign of one short and two long runs that nobody has disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    path = write_campaign(folder, ONE_SHORT, LONG)
    status, out = campaign("run", path, "--output", folder / "out")
    assert status == 0, out
    return digests(load_plan(path, folder=folder / "out"))


def test_all_runs_are_run_and_a_second_call_has_nothing_to_do(first):
    folder, path, (status, out) = first
    assert status == 0, out
    assert "4 to run" in out
    assert sum(" finished " in line for line in out.splitlines() if "/4" in line[:6]) == 4
    plan = load_plan(path, folder=folder / "out")
    before = finished_at(plan)
    status, out = campaign("run", path, "--output", folder / "out")
    assert (status, "0 to run" in out, len(before)) == (0, True, 4)
    assert finished_at(plan) == before


def test_a_run_of_a_campaign_has_the_bits_of_the_same_run_by_itself(first, tmp_path):
    _, path, _ = first
    plan = load_plan(path, folder=tmp_path / "out")
    campaign("run", path, "--output", plan.folder, "--set", "repeats=1", "--set", 'grid."model.n_latents"=[6]')
    run = next(each for each in plan.runs if each.folder.exists())
    alone = tmp_path / "alone"
    assert cli.main(["run", str(run.folder / "config.yaml"), "--output", str(alone), "--quiet"]) == 0
    of_all = digests(load_plan(path, folder=path.parent / "out"))
    assert read_status(alone).digest == read_status(run.folder).digest == of_all[run.id]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_campaign_that_is_stopped_goes_on_and_redoes_nothing(tmp_path, undisturbed, how):
    path = write_campaign(tmp_path, ONE_SHORT, LONG)
    plan = load_plan(path, folder=tmp_path / "out")
    process = start("run", path, "--output", plan.folder)
    wait_until(lambda: finished_at(plan) and any(sweeps_done(run) >= 40 for run in plan.runs[1:]))
    earlier = finished_at(plan)
    process.send_signal(how)
    status, out = ended(process)
    assert status == (130 if how == signal.SIGINT else -signal.SIGKILL), out
    wait_until(lambda: not any(is_held(run.folder) for run in plan.runs))
    finished = finished_at(plan)  # another may have finished before the signal arrived
    assert finished.items() >= earlier.items()
    done = {run.id: sweeps_done(run) for run in plan.runs[1:]}
    assert any(0 < n < N_SWEEPS for n in done.values())  # they stopped in the middle, with a checkpoint
    status, out = campaign("run", path, "--output", plan.folder)
    assert status == 0, out
    assert f"{len(finished)} are finished" in out
    assert finished_at(plan).items() >= finished.items()
    for run in plan.runs[1:]:
        if 0 < done[run.id] < N_SWEEPS:
            told = (run.folder / "log.txt").read_text(encoding="utf-8")
            assert f"resumed after sweep {done[run.id]} of {N_SWEEPS}" in told
    assert digests(plan) == undisturbed


def test_a_failing_run_does_not_take_others_along_and_can_be_begun_anew(tmp_path, capsys):
    text = "sum:\n  - list: [{data: {kind: npy, path: MISSING}}]\n  - grid: {model.n_latents: [4, 6]}\n"
    path = write_campaign(tmp_path, text.replace("MISSING", str(tmp_path / "data.npy")))
    where = ("--output", tmp_path / "out")
    status, out = campaign("run", path, *where)
    assert status == 1
    assert "2 finished, 1 failed" in out
    reason = f"{tmp_path / 'data.npy'}: no such file"
    assert f"1 failed: {reason}" in out
    words = ["campaign", "status", *map(str, (path, *where))]
    capsys.readouterr()
    assert cli.main([*words, "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [(run["state"], run["reason"]) for run in runs if run["state"] != "finished"] == [("failed", reason)]
    np.save(tmp_path / "data.npy", np.random.default_rng(1).normal(size=(50, 6)))
    status, out = campaign("rerun", path, *where)
    assert status == 0, out
    assert (tmp_path / "out" / "set-aside" / f"{runs[0]['id']}-1" / "output.txt").exists()
    assert cli.main(words) == 0
    assert "3 finished" in capsys.readouterr().out


def test_more_sweeps_go_on_where_the_runs_ended(first, tmp_path):
    folder, path, _ = first
    where = ("--output", shutil.copytree(folder / "out", tmp_path / "out"))
    longer = ("--set", 'fixed."training.n_sweeps"=9')
    status, out = campaign("run", path, *where, *longer)
    assert status == 0, out
    for run in load_plan(path, [longer[1]], tmp_path / "out").runs:
        assert sweeps_done(run) == 9
        assert "resumed after sweep 6 of 9" in (run.folder / "log.txt").read_text(encoding="utf-8")


def test_runs_on_ranks_are_started_by_a_launcher_and_stopped_with_a_checkpoint(tmp_path):
    launcher()
    path = write_campaign(tmp_path, GRID, LONG.replace(f"n_sweeps: {N_SWEEPS}", "n_sweeps: 400"))
    changes = ["ranks=2", "repeats=1", 'grid."model.n_latents"=[4]']
    where = ("--output", tmp_path / "out", *(word for change in changes for word in ("--set", change)))
    (run,) = load_plan(path, changes, tmp_path / "out").runs
    process = start("run", path, *where)
    wait_until(lambda: is_held(run.folder))  # its status says how far it is once in a second: too late
    process.send_signal(signal.SIGINT)
    status, out = ended(process)
    assert status == 130, out
    assert read_status(run.folder).state == "stopped"
    status, out = campaign("run", path, *where)
    assert status == 0, out
    assert read_run(run.folder).provenance["n_ranks"] == 2
    assert cli.main(["run", str(run.folder / "config.yaml"), "--output", str(tmp_path / "alone"), "--quiet"]) == 0
    assert read_status(run.folder).digest == read_status(tmp_path / "alone").digest


def test_one_campaign_is_run_by_one_process_at_a_time(tmp_path):
    path = write_campaign(tmp_path, GRID, LONG)
    process = start("run", path, "--output", tmp_path / "out")
    wait_until(lambda: (tmp_path / "out" / "run.lock").exists())
    status, out = campaign("run", path, "--output", tmp_path / "out")
    process.send_signal(signal.SIGINT)
    assert ended(process)[0] == 130
    assert status == 2
    assert f"error: {tmp_path / 'out'} is in use by process {process.pid}" in out

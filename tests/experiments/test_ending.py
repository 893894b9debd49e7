"""Runs that end in time: files in the run folder, time limits, the end of a Slurm job, and what remains behind."""

import json
import os
import stat
import time
from datetime import datetime

import pytest

from prosper_ng.experiments import ending
from prosper_ng.report.narrator import Narrator
from prosper_ng.storage import batch_job
from prosper_ng.storage.lock import LockError, RunLock
from prosper_ng.storage.run_record import read_run
from tests.helpers.small_runs import SEARCH, Runner, undisturbed


@pytest.fixture
def runner(tmp_path, capsys):
    return Runner(tmp_path / "run", SEARCH, capsys)


@pytest.fixture(scope="module")
def digest(tmp_path_factory):
    """The digest of an undisturbed run."""
    return read_run(undisturbed(tmp_path_factory.mktemp("reference") / "run")).attributes["digest"]


@pytest.fixture
def after_sweep(monkeypatch):
    """A function (sweep, action) that does something after a sweep, once."""
    original = Narrator.sweep

    def arrange(sweep, action):
        left = [action]

        def heard(self, done, *told):
            original(self, done, *told)
            if done == sweep and left:
                left.pop()()

        monkeypatch.setattr(Narrator, "sweep", heard)

    return arrange


def squeue(folder, monkeypatch, answer):
    """Puts a program `squeue` on the path that answers in shell."""
    program = folder / "squeue"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\n{answer}\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_file_stop_ends_the_run_with_a_checkpoint_and_is_taken_away(runner, digest, after_sweep):
    after_sweep(5, (runner.folder / "stop").touch)
    done = runner()
    sentence = f"stopped by the file {runner.folder}/stop after sweep 6 of 12"
    assert (done.status, runner.status.state, runner.status.reason) == (75, "stopped", sentence)
    assert runner.checkpoints[-1] == 6
    assert not (runner.folder / "stop").exists()
    assert runner().status == 0
    assert runner.digest == digest


def test_a_file_checkpoint_is_answered_by_one(runner, digest, after_sweep):
    after_sweep(5, (runner.folder / "checkpoint").touch)
    assert runner("output.keep_checkpoints=9").status == 0
    assert runner.checkpoints == [4, 6, 10, 12]  # of a finished run, too, since a number was given
    assert not (runner.folder / "checkpoint").exists()
    assert runner.digest == digest


def test_a_time_limit_ends_the_run_before_it_is_over(runner, digest, monkeypatch, after_sweep):
    monkeypatch.setattr(Runner, "arguments", with_limit(Runner.arguments, "1h"))
    after_sweep(3, lambda: monkeypatch.setattr(ending.time, "monotonic", later(3600 - 60)))
    done = runner()
    assert done.status == 75
    assert runner.status.reason.startswith("stopped after sweep 4 of 12: ")
    assert "s are left until the time limit of 3600 s, and a sweep, a checkpoint and a margin take" in done.out
    monkeypatch.undo()
    assert runner().status == 0
    assert runner.digest == digest


def with_limit(original, limit):
    return lambda self, *changes: [*original(self, *changes), "--time-limit", limit]


def later(seconds, original=time.monotonic):
    return lambda: original() + seconds


def test_what_is_reserved_was_measured(monkeypatch):
    class Kept:
        io_seconds, path = 0.0, None
        is_asked = staticmethod(lambda name: False)

        class checkpoint_times:
            slowest, usual = 40.0, 45.0

    class Requests:
        name = None

    class Training:
        all_sweeps = 10

        class stopping:
            wall_time, patience = None, 3
            should_stop = staticmethod(lambda *arguments: None)

    class Config:
        training = Training

    class Report:
        sweep, interrupted = 1, False

    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began)
    endings = ending.Endings(Config, Kept, Requests(), began, 1000.0)
    endings._kept.history = []
    endings._last -= 30.0
    assert endings.after(Report) is None
    # A sweep of 30 s, a checkpoint of 40 s and a margin of 50 s do not fit into 119 s.
    endings._deadlines = [ending.Deadline("the end", time.monotonic() + 119.0, ending.margin_of(1000.0))]
    stop = endings.after(Report)
    assert stop is not None
    assert not stop.finished
    assert "119 s are left until the end, and a sweep, a checkpoint and a margin take 120 s" in stop.sentence
    Kept.checkpoint_times.slowest = 0.0
    stop = endings.after(Report)
    assert stop is not None
    assert "a sweep, a checkpoint and a margin take 125 s" in stop.sentence


@pytest.mark.parametrize(("seconds", "margin"), [(0.001, 1.0), (100, 5.0), (86400, 60.0)])
def test_margins(seconds, margin):
    assert ending.margin_of(seconds) == margin


@pytest.mark.parametrize("limit", ["", "soon", "-5", "0", "1e3x"])
def test_no_time_limit(runner, monkeypatch, limit):
    monkeypatch.setattr(Runner, "arguments", with_limit(Runner.arguments, f"{limit}"))
    done = runner()
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert "--time-limit" in done.err
    assert not runner.folder.exists()


def test_the_end_of_a_job_ends_the_run(runner, digest, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time())))
    done = runner()
    assert done.status == 75
    assert "0 s are left until the end of job 77" in done.out
    assert runner.status.iteration == 1
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 86400))
    assert runner().status == 0
    assert runner.digest == digest


@pytest.mark.parametrize(
    ("answer", "seconds"), [("date -d '+90 seconds' +%Y-%m-%dT%H:%M:%S", 90), ("echo NONE", None), ("exit 1", None)]
)
def test_squeue_is_asked_where_the_environment_says_nothing(tmp_path, monkeypatch, answer, seconds):
    squeue(tmp_path, monkeypatch, answer)
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    assert batch_job.seconds_left() is None
    assert not (tmp_path / "asked").exists()
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    left = batch_job.seconds_left()
    assert (left is None) if seconds is None else seconds - 60 < left <= seconds
    assert (tmp_path / "asked").read_text() == "--noheader --jobs 77 --format %e\n"
    assert datetime.now().timestamp() == pytest.approx(time.time(), abs=5)


HOLDER = {"host": "node7", "pid": 5, "token": "x", "job": "77", "restart": "0", "cluster": "big"}


@pytest.mark.parametrize(
    ("own", "answer", "is_taken"),
    [
        ({"SLURM_JOB_ID": "77", "SLURM_RESTART_COUNT": "1", "SLURM_CLUSTER_NAME": "big"}, "exit 1", True),
        ({"SLURM_JOB_ID": "77", "SLURM_CLUSTER_NAME": "big"}, "exit 1", False),
        ({"SLURM_JOB_ID": "78", "SLURM_CLUSTER_NAME": "big"}, "echo 'Invalid job id specified' >&2; exit 1", True),
        ({"SLURM_JOB_ID": "78", "SLURM_CLUSTER_NAME": "big"}, "echo RUNNING", False),
        ({"SLURM_JOB_ID": "78", "SLURM_CLUSTER_NAME": "big"}, "echo PENDING", True),
        ({"SLURM_JOB_ID": "78", "SLURM_CLUSTER_NAME": "big"}, "exit 1", False),
        ({"SLURM_JOB_ID": "78", "SLURM_CLUSTER_NAME": "small"}, "echo 'Invalid job id specified' >&2; exit 1", False),
        ({}, "echo 'Invalid job id specified' >&2; exit 1", False),
    ],
)
def test_the_lock_of_a_job_that_is_over_is_taken_over(tmp_path, monkeypatch, own, answer, is_taken):
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    squeue(tmp_path, monkeypatch, answer)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.lock").write_text(json.dumps(HOLDER))
    lock = RunLock(tmp_path / "run")
    if is_taken:
        with lock:
            assert lock.took_over.startswith("process 5 of job 77 on host node7")
    else:
        with pytest.raises(LockError, match="in use by process 5 of job 77 on host node7"):
            lock.acquire()


def test_a_lock_is_whole_from_its_first_moment(tmp_path, monkeypatch):
    """Also where the file system knows no hard links, it is made for one process only."""
    monkeypatch.setattr("os.link", lambda source, target: (_ for _ in ()).throw(PermissionError(1, "no links")))
    with RunLock(tmp_path) as held:
        assert json.loads(held.path.read_text())["pid"] == os.getpid()
        with pytest.raises(LockError):
            RunLock(tmp_path).acquire()
    assert list(tmp_path.iterdir()) == []

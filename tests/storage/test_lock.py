"""The lock of a run folder: one holder at a time, and no holder for ever."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from prosper_ng.storage import lock
from prosper_ng.storage.lock import LockError, RunLock

HOLDER = """
import sys, time
from pathlib import Path
from prosper_ng.storage.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other_process(tmp_path):
    """A process that holds the lock of `tmp_path`, and its environment."""
    environment = {**os.environ, "SLURM_JOB_ID": "4711"}
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_lock_is_there_while_it_is_held(tmp_path):
    with RunLock(tmp_path) as held:
        content = json.loads(held.path.read_text())
        assert (content["host"], content["pid"], content["job"]) == (socket.gethostname(), os.getpid(), None)
        held.verify()
    assert list(tmp_path.iterdir()) == []
    with RunLock(tmp_path) as again:
        assert again.took_over is None


def test_a_second_process_is_refused_and_told_who_holds(tmp_path, other_process):
    with pytest.raises(LockError, match="is in use by process") as refusal:
        RunLock(tmp_path).acquire()
    for word in (str(other_process.pid), "job 4711", socket.gethostname(), str(tmp_path)):
        assert word in str(refusal.value)


def test_a_second_lock_of_the_same_process_is_refused(tmp_path):
    with RunLock(tmp_path), pytest.raises(LockError, match=f"process {os.getpid()} on host"):
        RunLock(tmp_path).acquire()


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, other_process):
    other_process.kill()
    other_process.wait()
    with RunLock(tmp_path) as held:
        assert held.took_over.startswith(f"process {other_process.pid} of job 4711")
        held.verify()


def test_a_zombie_holds_nothing(tmp_path, other_process):
    os.kill(other_process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, other_process.pid, os.WEXITED | os.WNOWAIT)
    with RunLock(tmp_path) as held:
        assert held.took_over is not None


def test_a_process_with_the_same_number_holds_nothing(tmp_path):
    content = {"host": socket.gethostname(), "pid": os.getpid(), "born": "1", "token": "x"}
    (tmp_path / lock.NAME).write_text(json.dumps(content))
    with RunLock(tmp_path) as held:
        held.verify()


def test_a_process_that_another_container_counts_is_not_taken_for_dead(tmp_path):
    """Containers may share the name of their host; of each other's processes they know nothing."""
    with subprocess.Popen(["true"]) as gone:
        pass
    there = {"host": socket.gethostname(), "pids": "pid:[1]", "pid": gone.pid, "born": "1", "token": "x"}
    write_lock(tmp_path, 0, **there)
    assert lock.is_held(tmp_path)
    with pytest.raises(LockError, match=f"in use by process {gone.pid} on host"):
        RunLock(tmp_path).acquire()
    write_lock(tmp_path, 400, **there)
    assert not lock.is_held(tmp_path)
    with RunLock(tmp_path) as held:
        held.verify()


def test_the_lock_of_an_earlier_version_counts(tmp_path):
    """Its lock does not say who else counts processes as it does."""
    before = {"host": socket.gethostname(), "pid": os.getpid(), "born": lock._birth(os.getpid()), "token": "x"}
    write_lock(tmp_path, 0, **before)
    with pytest.raises(LockError, match=f"in use by process {os.getpid()} on host"):
        RunLock(tmp_path).acquire()
    write_lock(tmp_path, 0, **before | {"born": "1"})
    with RunLock(tmp_path) as held:
        held.verify()


def write_lock(folder, age, **content):
    path = folder / lock.NAME
    path.write_text(json.dumps(content) if content else "")
    os.utime(path, (time.time() - age,) * 2)


@pytest.mark.parametrize("content", [{"host": "node7", "pid": 5, "token": "x"}, {}])
def test_a_lock_without_a_heartbeat_is_taken_over(tmp_path, content):
    write_lock(tmp_path, 200, **content)
    with pytest.raises(LockError, match="host node7" if content else "an unknown process"):
        RunLock(tmp_path, heartbeat_seconds=30).acquire()
    write_lock(tmp_path, 400, **content)
    with RunLock(tmp_path, heartbeat_seconds=30) as held:
        held.verify()


def test_a_busy_process_keeps_its_lock_fresh(tmp_path):
    with RunLock(tmp_path, heartbeat_seconds=0.02) as held:
        os.utime(held.path, (1, 1))
        deadline = time.monotonic() + 240
        while held.path.stat().st_mtime < 1000 and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(LockError):
            RunLock(tmp_path, heartbeat_seconds=5).acquire()


def test_a_process_that_lost_its_lock_is_told_and_leaves_it_alone(tmp_path):
    sleeper = RunLock(tmp_path)
    sleeper.acquire()
    write_lock(tmp_path, 0, host="node7", pid=5, token="other")
    with pytest.raises(LockError, match="now belongs to process 5 on host node7"):
        sleeper.verify()
    sleeper.release()
    assert json.loads((tmp_path / lock.NAME).read_text())["token"] == "other"


def test_of_many_that_find_a_stale_lock_one_gets_it(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_SETTLE_SECONDS", 1.5)  # a thread of a busy machine may stand still for a moment
    for _ in range(3):
        write_lock(tmp_path, 1000, host="node7", pid=5, token="x")
        locks = [RunLock(tmp_path) for _ in range(4)]

        def attempt(each):
            try:
                each.acquire()
                return True
            except LockError:
                return False

        with ThreadPoolExecutor(len(locks)) as pool:
            assert sum(pool.map(attempt, locks)) == 1
        for each in locks:
            each.release()
        assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(LockError, match="cannot be written to"):
        RunLock(tmp_path / "absent").acquire()

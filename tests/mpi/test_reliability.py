"""Bits over ranks, libraries and restarts; faults in every phase; nothing left behind."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prosper_ng import cli
from prosper_ng.diagnostics.selftest_ranks import Ranks
from prosper_ng.storage.run_record import read_run
from tests.conftest import PATIENCE, launcher, open_mpi, within
from tests.helpers.small_runs import SEARCH

PROGRAMS = Path(__file__).parent / "programs"
COMMAND = (sys.executable, "-m", "prosper_ng")
LIBRARIES = ("MPICH", "Open MPI")


@pytest.fixture(scope="module")
def libraries():
    """A function: name of a library -> its launcher, and the environment of its ranks."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = open_mpi() if name == "Open MPI" else (launcher(), {})
        return known[name]

    return of


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A configuration, and the digest of it without any launcher."""
    file = tmp_path_factory.mktemp("alone") / "search.yaml"
    file.write_text(SEARCH.replace("checkpoint_sweeps: 4", "checkpoint_sweeps: 1"), encoding="utf-8")
    assert cli.main(["--quiet", "run", str(file), "--output", str(file.with_suffix(""))]) == 0
    return file, read_run(file.with_suffix("")).attributes["digest"]


def start(library, n_ranks, *command, env=None):
    """The finished process; no rank of it is left."""
    command = [*library[0], "-n", str(n_ranks), *map(str, command)]
    environment = {**os.environ, **library[1], **(env or {})}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, check=False)
    # A launcher may end a moment before the ranks that it has killed.
    end = time.monotonic() + PATIENCE
    while processes_of(command[-1]) and time.monotonic() < end:
        time.sleep(0.05)
    assert processes_of(command[-1]) == []
    return done


def processes_of(folder):
    """The processes that have a folder in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(folder) in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize(("library", "n_ranks"), [("MPICH", 5), pytest.param("Open MPI", 5, marks=pytest.mark.slow)])
def test_either_library_on_any_number_of_ranks_gives_the_same_bits(libraries, alone, tmp_path, library, n_ranks):
    """Fewer ranks are in test_run.py, as are all bits that they leave."""
    file, digest = alone
    done = start(libraries(library), n_ranks, *COMMAND, "--quiet", "run", file, "--output", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert read_run(tmp_path / "run").attributes["digest"] == digest


@pytest.mark.parametrize(
    ("first", "numbers"), [(0, (2, 3, 1)), pytest.param(1, (3, 1, 7, 2, 4), marks=pytest.mark.slow)]
)
def test_killed_again_and_again_and_resumed_on_other_ranks_of_the_other_library(
    libraries, alone, tmp_path, first, numbers
):
    file, digest = alone
    arguments = ("run", file, "--output", tmp_path / "run")
    for turn, n_ranks in enumerate(numbers):
        library = libraries(LIBRARIES[(first + turn) % 2])
        program = (sys.executable, PROGRAMS / "run_disturbed.py", "SIGKILL", str(n_ranks - 1), str(2 * turn + 1))
        done = start(library, n_ranks, *program, *arguments, env={"DISTURBED_AT": str(tmp_path / "at")})
        assert done.returncode not in (0, 75)
    done = start(libraries(LIBRARIES[(first + 1) % 2]), 2, *COMMAND, *arguments)
    assert done.returncode == 0, done.stderr
    assert f"resumed after sweep {2 * len(numbers) - 2} of 12" in done.stdout
    assert read_run(tmp_path / "run").attributes["digest"] == digest


# The number of ranks, which one fails, the number of times that the phase goes well before, and what is said.
FAULTS = {
    "reading": (2, 1, 0, "while reading the data on rank 1 of 2"),
    "E-step": (3, 2, 7, r"in the E-step of sweep \d, update \d\n"),
    "reduction": (2, 1, 12, r"in the reduction of sweep \d, update \d\n"),
    "M-step": (2, 0, 12, r"in the M-step of sweep \d, update \d\n"),
    "broadcast": (3, 2, 12, r"in the broadcast of sweep \d, update \d\n"),
    "gather": (2, 1, 8, r"while gathering \w+ for the checkpoint after iteration \d\n"),
    "write": (2, 0, 3, r"while writing the checkpoint after iteration 4 on rank 0 of 2"),
    "rename": (2, 0, 12, r"while \w+ the checkpoint after iteration \d on rank 0 of 2"),
    "manifest": (2, 0, 3, r"while committing the checkpoint after iteration 4 on rank 0 of 2"),
    "prune": (2, 0, 3, r"while committing the checkpoint after iteration 4 on rank 0 of 2"),
}


SLOW = {(phase, "kill") for phase in ("reading", "reduction", "broadcast", "gather", "write", "prune")} | {
    (phase, "defect") for phase in ("M-step", "rename", "manifest")
}
"""Each phase has one fault that is not slow, and the E-step both."""


@pytest.mark.parametrize(
    ("phase", "how"),
    [
        pytest.param(phase, how, marks=[pytest.mark.slow] if (phase, how) in SLOW else [])
        for phase in FAULTS
        for how in ("defect", "kill")
    ],
)
def test_a_fault_in_any_phase_ends_all_ranks_and_loses_nothing(libraries, alone, tmp_path, capsys, phase, how):
    file, digest = alone
    n_ranks, rank, n_before, words = FAULTS[phase]
    clock, folder = tmp_path / "failed_at", tmp_path / "run"
    program = (sys.executable, PROGRAMS / "run_faulty.py", phase, how, str(rank), str(n_before))
    command = (*program, "run", file, "--output", folder)
    done = start(libraries("MPICH"), n_ranks, *command, env={"FAILED_AT": str(clock)})
    assert time.time() - float(clock.read_text()) < within(10)
    assert done.returncode not in (0, 75)
    if how == "defect":
        assert "ZeroDivisionError: injected by the test" in done.stderr
        assert re.search(words, done.stderr)
        assert re.search(rf"on rank {rank} of {n_ranks}, host \S+", done.stderr)
    else:
        # The launcher's own words, of MPICH or of Open MPI.
        assert re.search(r"RUNNING AT \S+", done.stdout) or re.search(r"exited on\s+signal 9", done.stderr)
    for path in folder.rglob("checkpoint-*.json"):
        assert len(list(path.parent.glob(f"{path.stem}-*.h5"))) == 1
    capsys.readouterr()
    assert cli.main(["run", str(file), "--output", str(folder)]) == 0
    said = capsys.readouterr()
    if how == "kill" and phase != "reading":
        assert re.search(r"which is gone, was taken over; its last sign was sweep \d at ", said.err)
    assert read_run(folder).attributes["digest"] == digest
    assert not list(folder.rglob(".*.tmp"))
    assert not (folder / "run.lock").exists()


@pytest.mark.parametrize("library", LIBRARIES)
def test_no_rank_outlives_its_launcher(libraries, alone, tmp_path, monkeypatch, library):
    start_command, environment = libraries(library)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    arguments = ["run", str(alone[0]), "--set", "training.n_sweeps=100000", "--output", str(tmp_path / "run")]
    ranks = Ranks(start_command, 2, arguments, tmp_path / "said")
    try:
        assert ranks.wait_for(lambda: (tmp_path / "run" / "checkpoints").exists()), ranks.output()
        assert len(ranks.ranks()) == 2
        assert ranks.kill([ranks.process.pid]) < within(10)
    finally:
        ranks.end()

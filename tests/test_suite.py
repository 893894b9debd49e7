"""How several processes share the tests, tried with a few that write down what runs when."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = "[tool:pytest]\naddopts = -q --import-mode=importlib\nmarkers =\n    mpi\n    slurm\n"
TESTS = """
import os, time
import pytest

def note(what):
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"{what} WHERE\\n")

@pytest.mark.parametrize("number", range(3))
def test_something(number):
    assert "LEFT_BEHIND" not in os.environ
    os.environ["LEFT_BEHIND"] = "1"
    note("begin")
    time.sleep(0.1)
    note("end")
"""


@pytest.mark.heavy
@pytest.mark.parametrize("n_files", [0, 3])
def test_what_starts_ranks_or_jobs_comes_last_and_shares_the_machine_with_the_other_only(tmp_path, n_files):
    """And no test finds in the environment what another one left there."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n", encoding="utf-8")
    (tmp_path / "setup.cfg").write_text(SETTINGS, encoding="utf-8")
    for name in (*(f"test_{number}" for number in range(n_files)), "mpi/test_ranks", "slurm/deeper/test_jobs"):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(TESTS.replace("WHERE", path.parent.name if "/" in name else "file"), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**inherited, "NOTES": str(tmp_path / "notes"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert re.match(rf"{3 * n_files + 6} passed in ", done.stdout.splitlines()[-1]), done.stdout
    notes = (tmp_path / "notes").read_text(encoding="utf-8").splitlines()
    for lane in ("mpi", "deeper"):
        assert [note for note in notes if note.endswith(lane)] == [f"begin {lane}", f"end {lane}"] * 3
    assert sorted(note for note in notes if note.endswith("file")) == ["begin file"] * 3 * n_files + ["end file"] * (
        3 * n_files
    )
    begun = [note for note in notes if note.startswith("begin")]
    # A worker that waits for its last file to end has begun a lane by then.
    assert set(begun[: max(0, 3 * n_files - 3)]) <= {"begin file"}

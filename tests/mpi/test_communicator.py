import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import on_libraries

PROGRAMS = Path(__file__).parent / "programs"


@on_libraries("n_ranks", [1, 2, 3], 3)
def test_every_method(mpiexec, n_ranks):
    done = mpiexec(n_ranks, sys.executable, PROGRAMS / "methods.py", env={"EXPECTED": str(n_ranks)})
    assert (done.returncode, done.stdout, done.stderr) == (0, f"checked {n_ranks}\n", "")


@pytest.fixture(scope="module")
def serial_sums():
    return subprocess.check_output([sys.executable, PROGRAMS / "sums.py"], text=True, timeout=240)


def test_the_serial_sums_are_real(serial_sums):
    assert len(set(map(str, json.loads(serial_sums)))) > 15


@on_libraries("n_ranks", [1, 2, 3], 3)
def test_exact_sums_and_selection_have_the_bits_of_a_single_process(mpiexec, serial_sums, n_ranks):
    done = mpiexec(n_ranks, sys.executable, PROGRAMS / "sums.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == serial_sums

import json
import os
import sys

import pytest

from tests.conftest import both_libraries

DOCTOR = [sys.executable, "-m", "prosper_ng", "doctor"]


@both_libraries
def test_a_group_is_examined_once(mpiexec, tmp_path):
    done = mpiexec(2, *DOCTOR, "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    found = {finding["topic"]: finding for finding in report["findings"]}
    assert done.returncode == (report["problems"] > 0)
    assert found["ranks"]["values"]["ranks"] == 2
    assert found["allreduce"]["values"]["small_seconds"] > 0
    assert found["MPI"]["values"]["library"]
    assert "libmpi" in found["MPI"]["values"]["file"]


def test_more_ranks_than_cores_are_a_problem_with_a_command(mpiexec, tmp_path):
    n_cores = len(os.sched_getaffinity(0))
    if n_cores > 4:
        pytest.skip("too many cores to crowd them")
    done = mpiexec(n_cores + 1, *DOCTOR, "--quiet", cwd=tmp_path)
    assert done.returncode == 1
    assert f"ranks {n_cores + 1}, threads {n_cores + 1}, cores {n_cores}: they wait for each other" in done.stdout
    assert f"mpiexec -n {n_cores} {sys.executable} -m prosper_ng doctor --quiet" in done.stdout


def test_singletons_and_a_missing_library_are_reported_once_for_the_host(mpiexec, tmp_path):
    done = mpiexec(2, *DOCTOR, cwd=tmp_path, env={"MPI4PY_LIBMPI": "/there/is/none.so"})
    assert done.returncode == 1
    assert done.stdout.count("problem  launch") == 1
    assert 'pip install "prosper_ng[mpi]"' in done.stdout
    assert done.stdout.endswith("\n1 problem\n")

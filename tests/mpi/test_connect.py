import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import prosper_ng
from tests.conftest import launcher, open_mpi
from tests.mpi.test_reliability import start

CONNECT = """
import sys
from prosper_ng.errors import UserError
from prosper_ng.parallel.mpi import connect
try:
    comm = connect({})
except UserError as error:
    print(error)
    sys.exit(2)
# In one piece, so that no line of another rank gets in between.
sys.stdout.write("%s %d %d %s\\n" % (type(comm).__name__, comm.rank, comm.size, "mpi4py.MPI" in sys.modules))
"""


def alone(expected="", **environment):
    """What a process says that no launcher of this MPI library has started."""
    command = [sys.executable, "-c", CONNECT.format(expected), "run", "a file.yaml"]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=240, check=False
    )


def test_without_a_launcher_no_mpi_library_is_touched():
    done = alone(MPI4PY_LIBMPI="/there/is/none.so", SLURM_NTASKS="4", SLURM_JOB_ID="1", SLURM_STEP_NUM_TASKS="1")
    assert done.stdout == "SerialCommunicator 0 1 False\n"


@pytest.mark.parametrize("name", ["SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"])
def test_singletons_are_refused_with_the_right_command(mpiexec, name):
    done = alone(**{name: "4"})
    assert done.returncode == 2
    assert "asked for 4 ranks, but this process finds itself in a group of 1" in done.stdout
    assert "mpiexec -n 4 -c run 'a file.yaml'" in done.stdout


def test_fewer_ranks_than_expected_are_refused(mpiexec):
    assert "expected 3 ranks, but no MPI launcher" in alone(expected=3).stdout
    done = mpiexec(2, code=CONNECT.format(3))
    assert done.returncode == 2
    assert done.stdout.count("asked for 3 ranks, but this process finds itself in a group of 2") == 2


def test_as_many_ranks_as_expected_are_connected(mpiexec):
    done = mpiexec(2, code=CONNECT.format(2))
    assert sorted(done.stdout.splitlines()) == [f"MpiCommunicator {rank} 2 True" for rank in range(2)]


def test_a_missing_library_is_named(mpiexec):
    done = mpiexec(2, code=CONNECT.format(""), env={"MPI4PY_LIBMPI": "/there/is/none.so"})
    assert done.returncode == 2
    assert "/there/is/none.so" in done.stdout
    assert 'pip install "prosper_ng[mpi]"' in done.stdout


@pytest.mark.parametrize("n_th", [0, 1])
def test_a_launcher_of_the_other_library_is_named_before_that_dies(n_th):
    command, library = open_mpi()
    own = str(Path(sys.prefix) / "bin" / "mpiexec")
    if launcher() != [own]:
        pytest.skip("all tests run under another launcher than that of the library in this environment")
    mixed = [([own], library), (command, {})][n_th]
    done = start(mixed, 2, sys.executable, "-c", CONNECT.format(2), "nobody else has this argument")
    assert done.returncode == 2
    words = [
        "the launcher of MPICH or Intel MPI started this process, by PMI, which the MPI library, Open MPI ",
        "the launcher of Open MPI started this process, by PMIx, which the MPI library, MPICH ",
    ]
    assert words[n_th] in done.stdout  # of one rank at least: the other one may be ended first
    assert "Fatal error" not in done.stderr


AFFINITY = "import os; print(*sorted(os.sched_getaffinity(0)), sep=',')"


@pytest.mark.parametrize(("n_ranks", "n_threads"), [(2, 1), (1, 2)])
def test_the_job_script_gives_each_rank_of_open_mpi_the_cores_of_its_threads(n_ranks, n_threads):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("two cores are needed")
    command, library = open_mpi()
    script = (Path(prosper_ng.__file__).parent / "slurm" / "job.sbatch").read_text(encoding="utf-8")
    mapping = re.search(r'--map-by "(slot:PE=\$threads)"', script)[1].replace("$threads", str(n_threads))
    policy = {"PRTE_MCA_rmaps_default_mapping_policy": mapping}
    done = start((command, library | policy), n_ranks, sys.executable, "-c", AFFINITY, "nobody else has this one")
    assert done.returncode == 0, done.stderr
    cores = [line.split(",") for line in done.stdout.splitlines()]
    assert [len(each) for each in cores] == [n_threads] * n_ranks
    assert len({core for each in cores for core in each}) == 2

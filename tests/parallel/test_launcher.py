import sys

import pytest

from prosper_ng.parallel.launcher import Launch, corrected_command, launch, speaks_for_host


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, None),  # a batch script
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_LOCALID": "0"}, None),  # srun -n 1
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "2"}, Launch(4, 2)),  # srun --mpi=none -n 4
        ({"PMI_RANK": "1", "PMI_SIZE": "3", "MPI_LOCALRANKID": "1"}, Launch(3, 1)),  # MPICH
        ({"PMI_RANK": "0", "PMI_SIZE": "1", "SLURM_STEP_NUM_TASKS": "2"}, Launch(1, 0)),  # MPICH's helpers are a step
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}, Launch(2, 1)),
        ({"PMIX_RANK": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1"}, Launch(4, 1)),  # srun --mpi=pmix
        ({"PMIX_RANK": "0"}, Launch(None, 0)),
        ({"PMI_SIZE": "4"}, Launch(4, 0)),
        ({"PMI_SIZE": "many"}, None),
    ],
)
def test_what_launchers_say(environment, expected):
    assert launch(environment) == expected
    assert speaks_for_host(environment) == (expected is None or expected.local_rank == 0)


def test_the_corrected_command_fits_library_and_job(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["/some/bin/prosper-ng", "run", "a b.yaml"])
    site = {"MPI4PY_LIBMPI": "libmpi.so"}
    job = {**site, "SLURM_JOB_ID": "7"}
    assert corrected_command(4, "MPICH", site) == "mpiexec -n 4 prosper-ng run 'a b.yaml'"
    assert corrected_command(4, "MPICH", job) == "srun --kill-on-bad-exit=1 --mpi=pmi2 -n 4 prosper-ng run 'a b.yaml'"
    assert (
        corrected_command(4, "Open MPI", job) == "srun --kill-on-bad-exit=1 --mpi=pmix -n 4 prosper-ng run 'a b.yaml'"
    )
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert corrected_command(4, "", {}).startswith("mpiexec -n 4")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "mpiexec").touch(mode=0o755)
    assert corrected_command(4, "", {"SLURM_JOB_ID": "7"}).startswith(f"{tmp_path}/bin/mpiexec -n 4 prosper-ng")
    monkeypatch.setattr(sys, "argv", ["/site-packages/prosper_ng/__main__.py", "doctor"])
    assert corrected_command(2, "", {}).endswith(f"-n 2 {sys.executable} -m prosper_ng doctor")

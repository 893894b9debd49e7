import sys

import pytest

from prosper_ng.parallel.launcher import Launch, corrected_command, launch, misfit, speaks_for_host


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


OMPI = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "PMIX_RANK": "1"}
HYDRA = {"PMI_RANK": "0", "PMI_SIZE": "2"}
BUILT = "MPICH Version: 5.0.2\nMPICH configure: --with-device=ch4:ofi"


@pytest.mark.parametrize(
    ("library", "version", "description", "environment", "launcher"),
    [
        ("MPICH", (5, 0, 2), BUILT, OMPI, "the launcher of Open MPI"),
        ("MPICH", (5, 0, 2), BUILT, {"PMIX_RANK": "0", "SLURM_STEP_ID": "0"}, "srun --mpi=pmix"),
        ("MPICH", (5, 0, 2), BUILT, {"PMIX_RANK": "0"}, "a launcher like Open MPI's"),
        ("MPICH", (5, 0, 2), f"{BUILT} --with-pmix=/opt", OMPI, None),
        ("MPICH", (3, 4), "CRAY MPICH version 8.1.29", {"PMIX_RANK": "0"}, None),  # does not say how it was built
        ("MPICH", (5, 0, 2), BUILT, HYDRA, None),
        ("MPICH", (5, 0, 2), BUILT, {**HYDRA, "PMIX_RANK": "0"}, None),
        ("Open MPI", (5, 0, 11), "", HYDRA, "the launcher of MPICH or Intel MPI"),
        ("Open MPI", (5, 0, 11), "", {**HYDRA, "SLURM_STEP_ID": "0"}, "srun --mpi=pmi2"),
        ("Open MPI", (5, 0, 11), "", {**HYDRA, "PMI_SIZE": "1"}, None),  # alone it needs no launcher
        ("Open MPI", (4, 1, 6), "", HYDRA, None),  # may be built for it
        ("Open MPI", (5, 0, 11), "", OMPI, None),
        ("Intel MPI", (2021, 12), "", OMPI, None),
        ("MPICH", (5, 0, 2), BUILT, {}, None),
    ],
)
def test_a_launcher_and_a_library_that_do_not_fit(library, version, description, environment, launcher):
    found = misfit(library, version, description, environment)
    assert (found is None) == (launcher is None)
    assert launcher is None or found.startswith(f"{launcher} started this process, by PMI")


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

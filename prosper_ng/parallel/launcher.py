"""What the environment says about how this process was started, without asking MPI."""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

# In the order in which they are believed: what a launcher of MPI says of its ranks, before what Slurm says of a step,
# which may hold the launcher's own helpers.
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
_RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "MV2_COMM_WORLD_RANK")
_LOCAL_RANKS = (
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "PALS_LOCAL_RANKID",
    "MV2_COMM_WORLD_LOCAL_RANK",
    "SLURM_LOCALID",
)
_LOCAL_SIZES = (
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MPI_LOCALNRANKS",
    "PALS_LOCAL_SIZE",
    "MV2_COMM_WORLD_LOCAL_SIZE",
    "SLURM_NTASKS_PER_NODE",
)


class Launch(NamedTuple):
    """A launcher's own account of a process it started."""

    size: int | None
    """How many ranks there should be; None where it does not say."""
    local_rank: int
    """The place among the ranks of this host, 0 where it does not say."""


def launch(environment: Mapping[str, str]) -> Launch | None:
    """How a launcher started this process as one rank; None without a launcher."""
    size = _first_number(environment, _SIZES)
    if _first_number(environment, _RANKS) is None and (size or 1) == 1:
        return None
    return Launch(size, _first_number(environment, _LOCAL_RANKS) or 0)


def local_size(environment: Mapping[str, str]) -> int:
    """How many ranks a launcher started on this host; all there are where it does not say, 1 without a launcher."""
    started = launch(environment)
    return 1 if started is None else _first_number(environment, _LOCAL_SIZES) or started.size or 1


def speaks_for_host(environment: Mapping[str, str]) -> bool:
    """Whether this process, before it has joined a group, is the one of its host that should report errors."""
    started = launch(environment)
    return started is None or started.local_rank == 0


def misfit(library: str, version: tuple[int, ...], description: str, environment: Mapping[str, str]) -> str | None:
    """Why an MPI library cannot join the ranks of the launcher that started this process; None where it may.

    `library` and `version` are what mpi4py calls the vendor, `description` is the library's account of itself. To be
    asked before MPI is initialized, at which these libraries end the process, or hang.
    """
    by_pmi, by_pmix = "PMI_RANK" in environment, "PMIX_RANK" in environment
    if library == "MPICH" and by_pmix and not by_pmi:
        # What says how it was built, and was built without PMIx, has no other way.
        fits, spoken = "pmix" in description.lower() or "configure:" not in description.lower(), "PMIx"
    elif library == "Open MPI" and version >= (5,) and by_pmi and not by_pmix:
        fits, spoken = environment.get("PMI_SIZE") == "1", "PMI"
    else:
        return None
    if fits:
        return None
    if "OMPI_COMM_WORLD_RANK" in environment:
        launcher = "the launcher of Open MPI"
    elif "SLURM_STEP_ID" in environment:
        launcher = f"srun --mpi={'pmix' if by_pmix else 'pmi2'}"
    else:
        launcher = "a launcher like Open MPI's" if by_pmix else "the launcher of MPICH or Intel MPI"
    number = ".".join(map(str, version))
    return f"{launcher} started this process, by {spoken}, which the MPI library, {library} {number}, does not speak"


def own_mpiexec() -> str | None:
    """The launcher of the MPI library that is installed in this environment; None where none is."""
    own = Path(sys.prefix) / "bin" / "mpiexec"
    return str(own) if os.access(own, os.X_OK) else None


def corrected_command(n_ranks: int, library: str, environment: Mapping[str, str]) -> str:
    """The command line of this process under a launcher that fits the MPI library, with `n_ranks` ranks.

    `library` is a vendor's name as mpi4py gives it (MPICH, Intel MPI, Open MPI, ...) or empty.
    """
    name = Path(sys.argv[0]).name
    program = shlex.join([*([sys.executable, "-m", "prosper_ng"] if name == "__main__.py" else [name]), *sys.argv[1:]])
    own = own_mpiexec()
    if own is not None and "MPI4PY_LIBMPI" not in environment:
        return f"{own} -n {n_ranks} {program}"
    if "SLURM_JOB_ID" in environment:
        return f"srun --kill-on-bad-exit=1 --mpi={'pmix' if library == 'Open MPI' else 'pmi2'} -n {n_ranks} {program}"
    return f"mpiexec -n {n_ranks} {program}"


def _first_number(environment: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    for name in names:
        if environment.get(name, "").isdecimal():
            return int(environment[name])
    return None

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

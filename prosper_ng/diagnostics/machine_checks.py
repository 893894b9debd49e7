"""What the doctor asks of the machine that root runs on: compiled kernels, files, leftovers, the Slurm job."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from prosper_ng.diagnostics.finding import Finding, Verdict
from prosper_ng.kernel_cache import places
from prosper_ng.parallel.shared_memory import FOLDER, SharedMemory, started

_MIB = 1 << 20
_TEST_FILE = 32 * _MIB
_LITTLE_SPACE = 1 << 30
_MANY_LEFTOVERS = 100 * _MIB
_SLURM = (
    "SLURM_JOB_ID",
    "SLURM_JOB_NODELIST",
    "SLURM_NTASKS",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_CPUS_PER_TASK",
    "SLURM_JOB_END_TIME",
    "SLURM_RESTART_COUNT",
)


def check_kernel_cache() -> Iterator[Finding]:
    """Where compiled kernels are kept, and how many."""
    found = places()
    compiled = {path.name: path for folder in found.read for path in folder.glob("*.nbc")}
    n_bytes = sum(path.stat().st_size for path in compiled.values())
    state = f"compiled: {len(compiled)}, {n_bytes / _MIB:.1f} MiB" if compiled else "empty: the first run compiles"
    values = {"folder": str(found.write or ""), "kernels": len(compiled), "bytes": n_bytes}
    if found.write is None:
        text = f"kept nowhere ({state}), so every process compiles: no folder can be written to, or the sources change"
        yield Finding("kernel cache", Verdict.WARNING, text, "set NUMBA_CACHE_DIR to a folder that lasts", values)
    elif _is_temporary(found.write.parent):
        text = f"{found.write} ({state}): no cache can be kept in the home folder, and this one may not last"
        yield Finding("kernel cache", Verdict.WARNING, text, "set XDG_CACHE_HOME to a folder that lasts", values)
    else:
        yield Finding("kernel cache", Verdict.OK, f"{found.write} ({state})", values=values)


def _is_temporary(folder: Path) -> bool:
    """Whether it is the one for want of a home folder that can be written to; such a folder may itself be temporary."""
    return folder.parent == Path(tempfile.gettempdir()) and folder.name.startswith("prosper_ng-")


def check_files(folder: Path) -> Iterator[Finding]:
    """Whether files can be written safely in a folder, and how fast."""
    kind = file_system(folder)
    try:
        free = shutil.disk_usage(folder).free
        speed = _write_speed(folder)
        _write_hdf5(folder)
    except OSError as error:
        reason = error.strerror or str(error)
        text = f"{folder} ({kind}): files cannot be written there: {reason}"
        yield Finding("files", Verdict.PROBLEM, text, "change to a writable folder, or use --output")
        return
    text = f"{folder} ({kind}): {free / 2**30:.1f} GiB free, {speed / _MIB:.0f} MiB/s with fsync, rename and HDF5 work"
    values = {"folder": str(folder), "type": kind, "free_bytes": free, "bytes_per_second": speed}
    if free < _LITTLE_SPACE:
        yield Finding("files", Verdict.WARNING, f"{text}; that is little space", "free some space", values)
    else:
        yield Finding("files", Verdict.OK, text, values=values)


def file_system(folder: Path) -> str:
    """The type of the file system that a folder lies on, "unknown" where the system does not tell."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    found, longest = "unknown", -1
    for mount in mounts:
        before, _, after = mount.partition(" - ")
        place = before.split()[4].encode().decode("unicode_escape")
        # A later mount hides an earlier one at the same place.
        if folder.resolve().is_relative_to(place) and len(place) >= longest:
            found, longest = after.split()[0], len(place)
    return found


def _write_speed(folder: Path) -> float:
    """Bytes per second of a file that is written, synced and renamed in a folder. Raises OSError."""
    content = os.urandom(_MIB) * (_TEST_FILE // _MIB)
    with tempfile.TemporaryDirectory(prefix=".prosper-ng-doctor-", dir=folder) as inside:
        start = time.perf_counter()
        with open(Path(inside, "new"), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(inside, "new").replace(Path(inside, "final"))
        seconds = time.perf_counter() - start
        if Path(inside, "final").stat().st_size != _TEST_FILE:
            raise OSError("a file that was just written has another size")
    return _TEST_FILE / seconds


def _write_hdf5(folder: Path) -> None:
    """Write an HDF5 file and read it back, locks included. Raises OSError."""
    import h5py

    with tempfile.TemporaryDirectory(prefix=".prosper-ng-doctor-", dir=folder) as inside:
        path = Path(inside, "test.h5")
        with h5py.File(path, "w", locking="best-effort") as file:
            file["numbers"] = [1.0, 2.0]
        with h5py.File(path, "r", locking="best-effort") as file:
            if file["numbers"][()].tolist() != [1.0, 2.0]:
                raise OSError("an HDF5 file that was just written reads differently")


def check_shared_memory(found: SharedMemory | None, n_started: int, n_cores: int) -> Iterator[Finding]:
    """Whether MPI finds the memory it needs, which it takes itself once it is initialized: `found` is from before.

    It must be enough for the ranks that a launcher started, else, where these are 0, for as many as there are cores.
    """
    if found is None:
        return
    values = {"total_bytes": found.total, "free_bytes": found.free, "ranks": found.n_ranks}
    if found.is_enough(n_started or n_cores):
        yield Finding("shared memory", Verdict.OK, found.words, values=values)
    elif n_started:
        text = f"{found.words}, {started(n_started)}"
        yield Finding("shared memory", Verdict.PROBLEM, text, found.remedy, values)
    else:
        cores = "1 core" if n_cores == 1 else f"{n_cores} cores"
        text = f"{found.words}, and there {'is' if n_cores == 1 else 'are'} {cores}: more ranks may die of a bus error"
        yield Finding("shared memory", Verdict.WARNING, text, found.remedy, values)


def check_leftovers(shared: Path = FOLDER) -> Iterator[Finding]:
    """Shared memory of this user that no process of theirs uses any more: what killed MPI ranks leave behind."""
    if not shared.is_dir():
        return
    in_use = _mapped_by_own_processes()
    leftovers = {}
    for path in shared.iterdir():
        status = path.lstat()
        is_old = time.time() - status.st_mtime > 3600
        if path.is_file() and status.st_uid == os.getuid() and is_old and str(path) not in in_use:
            leftovers[str(path)] = status.st_size
    n_bytes = sum(leftovers.values())
    text = f"unused files of yours in {shared}: {len(leftovers)}, {n_bytes / _MIB:.0f} MiB"
    if n_bytes > _MANY_LEFTOVERS:
        fix = f"rm {' '.join(sorted(leftovers)[:5])}{' ...' if len(leftovers) > 5 else ''}"
        yield Finding("memory", Verdict.WARNING, text, fix, {"files": leftovers})
    else:
        yield Finding("memory", Verdict.OK, text, values={"files": leftovers})


def _mapped_by_own_processes() -> set[str]:
    mapped: set[str] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            lines = maps.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue  # ended meanwhile, or somebody else's
        mapped.update(line.split(maxsplit=5)[5] for line in lines if "/dev/shm/" in line)
    return mapped


def check_slurm() -> Iterator[Finding]:
    """The job that this runs in."""
    told = {name: os.environ[name] for name in _SLURM if name in os.environ}
    if not told:
        yield Finding("Slurm", Verdict.OK, "not in a job")
        return
    words = " ".join(f"{name.removeprefix('SLURM_').lower()}={value}" for name, value in told.items())
    yield Finding("Slurm", Verdict.OK, words, values=told)

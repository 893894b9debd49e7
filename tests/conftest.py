"""Fixtures that run code on a group: threads in this process, or real MPI ranks in their own process group."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from prosper_ng.environment import prepare_environment
from prosper_ng.parallel.communicator import SerialCommunicator

prepare_environment()


class ThreadCommunicator(SerialCommunicator):
    """One of several threads that really reduce over each other, in an order that changes from sum to sum."""

    def __init__(self, rank: int, size: int, board: dict[int, Any], barrier: threading.Barrier) -> None:
        self.rank, self.size, self.is_root = rank, size, rank == 0
        self._board, self._barrier = board, barrier

    def sum_in_place(self, values: Any) -> None:
        self._reduce(values, np.add)

    def max_in_place(self, values: Any) -> None:
        self._reduce(values, np.maximum)

    def barrier(self) -> None:
        self._barrier.wait()

    def _reduce(self, values: Any, operation: Callable[..., Any]) -> None:
        self._board[self.rank] = values.copy()
        self._barrier.wait()
        ranks = random.sample(range(self.size), self.size)
        values[...] = self._board[ranks[0]]
        with np.errstate(invalid="ignore"):
            for rank in ranks[1:]:
                operation(values, self._board[rank], out=values)
        self._barrier.wait()


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

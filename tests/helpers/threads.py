"""A group of ranks that are threads of this process."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from prosper_ng.parallel.communicator import SerialCommunicator


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


def run_on_threads(size: int, task: Callable[[Any], Any], patience: float) -> list[Any]:
    """What `task(communicator)` returned on each of `size` threads; they wait `patience` seconds for each other."""
    barrier, board = threading.Barrier(size, timeout=patience), {}

    def guarded(rank: int) -> Any:
        try:
            return task(ThreadCommunicator(rank, size, board, barrier))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        return [future.result() for future in [pool.submit(guarded, rank) for rank in range(size)]]

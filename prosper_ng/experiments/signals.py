"""Requests to stop: a handler only raises a flag, the ranks agree on it at the next reduction."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_REQUESTS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopRequests:
    """Whether this process was asked to stop, and by which signal."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.name: str | None = None

    def __call__(self) -> bool:
        """Whether somebody has asked."""
        return self.name is not None

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Note the first request; a second Ctrl-C ends at once."""
        if self.name is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name


@contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Turn INT, TERM and USR1 into requests for as long as this lasts."""
    requests = StopRequests()
    before = {number: signal.signal(number, requests.receive) for number in _REQUESTS}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Where the wall time of a sweep goes, on one rank and over all of them."""

from time import perf_counter

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Clock:
    """Where the wall time of a sweep goes."""

    def __init__(self) -> None:
        """It begins to count now."""
        self.seconds = dict.fromkeys(("e_step", "imbalance", "m_step", "communication"), 0.0)
        self.counts = np.zeros(3)
        self.totals = np.zeros(3)
        self._last = perf_counter()

    def lap(self, name: str) -> float:
        """Book the time since the last lap."""
        now = perf_counter()
        seconds, self._last = now - self._last, now
        if name in ("m_step", "communication"):
            self.seconds[name] += seconds
        return seconds

    def reduced(self, extras: Floats, own: float) -> None:
        """Book the counts and E-step times of all ranks, which came with the statistics; `own` is this rank's time."""
        self.totals += extras[:3]
        self.counts[:] = 0.0
        times = extras[3:]
        self.seconds["e_step"] += float(times.mean())
        self.seconds["imbalance"] += float(times.max() - times.mean())
        # What this rank waited for slower ones is imbalance, not communication.
        waited = float(times.max()) - own
        self.seconds["communication"] += max(self.lap("reduction") - waited, 0.0)

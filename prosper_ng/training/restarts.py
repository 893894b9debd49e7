"""Several starts, each tried for a while: which one the sweeps of a run learn from.

Nothing is kept of a start that was tried but the free energy that it came to. The best one is learned once more from
the beginning, with the same bits, so that a run with restarts takes the memory of one without, and its parameters are
those of a run of that start alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from prosper_ng.components import LARGEST_SEED
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.training.settings import Training


class Leg(NamedTuple):
    """Sweeps from one start."""

    start: int
    """Its number, counted from 0."""
    is_trial: bool
    """Whether it is only tried."""
    n_starts: int

    @property
    def where(self) -> str:
        """The beginning of a sentence about one of its sweeps."""
        return f"restart {self.start + 1} of {self.n_starts}, " if self.is_trial else ""

    def told(self, tried: Sequence[float], n_tried_sweeps: int) -> str:
        """What a trial that is over came to, and after the last one which was the best."""
        found = f"restart {self.start + 1} of {self.n_starts} came to a free energy of {tried[-1]:.9g} per row"
        if len(tried) < self.n_starts:
            return f"{found} in {n_tried_sweeps} sweeps"
        return f"{found}; number {best_of(tried) + 1} is the best, and is learned from its start to the end"


def leg_of(training: Training, n_over: int, tried: Sequence[float], comm: Communicator) -> Leg:
    """What is learned after some restarts are over, of which root knows the free energies; all ranks call it."""
    is_trial = n_over < training.restarts and training.restarts > 1
    if is_trial or training.restarts == 1:
        return Leg(n_over, is_trial, training.restarts)
    best: int = comm.broadcast(best_of(tried) if comm.is_root else 0)
    return Leg(best, False, training.restarts)


def best_of(tried: Sequence[float]) -> int:
    """The start of the largest free energy, the first of equal ones."""
    return int(np.argmax(tried))


def seed_of(seed: int, start: int) -> int:
    """What the random numbers of a start are drawn from; those of the first are those of a run without restarts."""
    if start == 0:
        return seed
    generator = stream(seed, "restart").generator(start)
    return int(generator.integers(LARGEST_SEED, dtype=np.uint64, endpoint=True))

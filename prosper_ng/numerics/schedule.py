"""Schedules over the sweeps of a run: a constant, or points that are joined by straight lines."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

Position = int | float
"""A sweep, counted from 0, where it is an integer; else a fraction of the run, 0.0 the first sweep and 1.0 the last."""
Points = Sequence[tuple[Position, float]]
Track = float | tuple[tuple[Position, float], ...]
Switch = bool | tuple[tuple[Position, bool], ...]
SweepTrack = float | tuple[tuple[int, float], ...]
"""A schedule whose positions are sweeps."""
SweepSwitch = bool | tuple[tuple[int, bool], ...]

END = 1 << 60
"""A sweep after the last point of every schedule."""


def points_of(track: Track | Switch) -> Points:
    """The points of a schedule; a constant is one."""
    return track if isinstance(track, tuple) else ((0, track),)


def check_positions(name: str, points: Points) -> None:
    """Raise ValueError where a position is legal in no run, or positions of one unit do not ascend."""
    if not points:
        raise ValueError(f"{name} has no points; legal is a value, or points like [[0, 2.0], [0.7, 1.0]]")
    for position, _ in points:
        if isinstance(position, int) and position < 0:
            raise ValueError(f"{name}: position {position} is negative; sweeps are counted from 0")
        if isinstance(position, float) and not 0 <= position <= 1:
            raise ValueError(
                f"{name}: position {position} is no fraction of the run from 0.0 to 1.0; a sweep has no decimal point"
            )
    for unit in (int, float):
        for left, right in pairwise(position for position, _ in points if isinstance(position, unit)):
            if right < left:
                raise ValueError(f"{name}: position {right} comes after {left}; positions must ascend")


def sweep_of(position: Position, n_sweeps: int) -> float:
    """The sweep at a position of a run."""
    return position if isinstance(position, int) else position * (n_sweeps - 1)


def value_at(points: Points, sweep: int) -> float:
    """The value at a sweep, positions being sweeps; a switch keeps the value of the last point that was passed."""
    n_passed = bisect_right([position for position, _ in points], sweep)
    left, low = points[max(n_passed - 1, 0)]
    if n_passed in (0, len(points)) or isinstance(low, bool):
        return low
    right, high = points[n_passed]
    return low + (high - low) * (sweep - left) / (right - left)

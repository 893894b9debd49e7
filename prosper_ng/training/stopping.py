"""When a run has learned enough, or has no time left."""

import re
from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from typing import Annotated, Literal, NamedTuple, Protocol

from annotated_types import Ge, Gt

from prosper_ng.components import settings

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"(?=\d)" + "".join(rf"(?:(\d+(?:\.\d+)?)\s*{unit}\s*)?" for unit in _UNITS))


class SweepRecord(Protocol):
    """What the rules look at in a finished sweep."""

    @property
    def free_energy(self) -> float:
        """F per row at temperature 1."""
        ...

    @property
    def entropy_gap(self) -> float | None:
        """F per row minus its value by the entropy identity; None where the identity does not apply."""
        ...

    @property
    def held_out(self) -> float | None:
        """F per row of rows that are not learned from; None where there are none."""
        ...

    @property
    def settled(self) -> bool:
        """Whether annealing was over in this sweep."""
        ...


class Stop(NamedTuple):
    """Why a run ends before its last sweep."""

    rule: Literal["relative_change", "entropy_gap", "held_out_gain", "wall_time"]
    sentence: str

    @property
    def is_converged(self) -> bool:
        """Whether learning is over, rather than to be resumed."""
        return self.rule != "wall_time"


@settings
class Stopping:
    """Rules that end a run before its last sweep; the first that is met does.

    The rules on the free energy wait until annealing is over: they look at the last `patience` sweeps only where the
    temperature was 1 and nothing was changing in all of these.
    """

    relative_change: Annotated[float, Gt(0)] | None = None
    """Stop when the free energy changes by no more than this share of itself, in each of the last `patience` sweeps."""
    entropy_gap: Annotated[float, Gt(0)] | None = None
    """Stop when free energy and entropy identity differ by less than this per row, in each of the last sweeps."""
    held_out_gain: Annotated[float, Ge(0)] | None = None
    """Stop when the free energy of the rows that are held out rises by no more than this share of itself, or falls, in
    each of the last sweeps; 0 goes on as long as it rises at all."""
    patience: Annotated[int, Ge(1)] = 3
    """The number of consecutive sweeps in which a rule on the free energy must hold."""
    wall_time: str | float | None = None
    """Stop, to be resumed, before this time is over: a number of seconds, or like 90s, 45m, 1h30m, 2d."""

    def __post_init__(self) -> None:
        """Raise ValueError where `wall_time` is not a duration."""
        if self.wall_time is not None:
            seconds_of(self.wall_time)

    def should_stop(self, history: Sequence[SweepRecord], elapsed: float, reserve: float = 0.0) -> Stop | None:
        """The rule that is met after the last sweep of `history`, or None.

        `elapsed` are the seconds since this process began, `reserve` those that one more sweep and a checkpoint take.
        """
        return self._is_converged(history) or self._is_out_of_time(elapsed, reserve)

    def _is_converged(self, history: Sequence[SweepRecord]) -> Stop | None:
        recent = history[-self.patience :]
        if len(recent) < self.patience or not all(record.settled for record in recent):
            return None
        if self.entropy_gap is not None and all(_is_below(record.entropy_gap, self.entropy_gap) for record in recent):
            sentence = f"free energy and entropy identity differ by less than {self.entropy_gap:g} per row"
            return Stop("entropy_gap", f"{sentence} in each of the last {self.patience} sweeps")
        window = history[-self.patience - 1 :]
        if len(window) <= self.patience or not window[0].settled:
            return None
        most, values = self.relative_change, [record.free_energy for record in window]
        if most is not None and all(abs(new - old) <= most * abs(new) for old, new in pairwise(values)):
            sentence = f"the free energy changed by no more than {most:g} of itself"
            return Stop("relative_change", f"{sentence} in each of the last {self.patience} sweeps")
        least, held = self.held_out_gain, [record.held_out for record in window if record.held_out is not None]
        if least is not None and len(held) == len(window) and not any(_gains(*pair, least) for pair in pairwise(held)):
            sentence = f"the free energy of the rows held out rose by no more than {least:g} of itself"
            return Stop("held_out_gain", f"{sentence} in each of the last {self.patience} sweeps")
        return None

    def _is_out_of_time(self, elapsed: float, reserve: float) -> Stop | None:
        if self.wall_time is None or elapsed + reserve < seconds_of(self.wall_time):
            return None
        return Stop("wall_time", f"{elapsed:.0f} s have passed of the {self.wall_time} that stopping.wall_time allows")


def seconds_of(duration: str | float) -> float:
    """The seconds in a number of seconds, or in a text like 90s, 45m, 1h30m or 2d.

    Raises ValueError where it is neither, or not greater than 0.
    """
    seconds = float(duration) if isinstance(duration, int | float) else _parse(duration)
    if not (isfinite(seconds) and seconds > 0):
        raise ValueError(f"wall_time {duration} is not greater than 0 s")
    return seconds


def _parse(text: str) -> float:
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"wall_time {text!r} is not a duration; legal is a number of seconds, or like 90s, 45m, 1h30m, 2d"
        )
    return sum(float(number) * unit for number, unit in zip(match.groups(), _UNITS.values(), strict=True) if number)


def _gains(old: float, new: float, share: float) -> bool:
    return new - old > share * abs(new)


def _is_below(gap: float | None, limit: float) -> bool:
    return gap is not None and abs(gap) < limit

"""What a person sees while a run goes on: a bar on a terminal, a line now and then in a batch log."""

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

_LINE_SECONDS = 10.0
_REMEMBERED_SWEEPS = 20
_LABELS = {"free_energy": "F", "psnr": "PSNR", "temperature": "T"}
_FORMATS = {"free_energy": ".4f", "psnr": ".2f", "temperature": ".3g"}


class Progress:
    """Shows sweeps as they are done; for root only.

    On a terminal a bar; otherwise plain lines: the first sweep, the last one, and one every 10 s between them, or every
    sweep with `verbose`. Nothing with `quiet`.
    """

    def __init__(
        self,
        n_sweeps: int,
        quiet: bool = False,
        verbose: bool = False,
        n_done: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show the state before the first sweep; `n_done` sweeps were done by an earlier start of the run."""
        self._n_sweeps, self._quiet, self._verbose = n_sweeps, quiet, verbose
        self._stream = stream if stream is not None else sys.stdout
        self._clock = clock
        self._times: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED_SWEEPS + 1)
        self._last_line = -math.inf
        self._bar: Bar | None = None
        if not quiet and self._stream.isatty():
            console = Console(file=self._stream)
            self._bar = Bar(BarColumn(bar_width=24), TextColumn("{task.description}"), console=console)
            self._task = self._bar.add_task(f"sweep {n_done}/{n_sweeps}", total=n_sweeps, completed=n_done)
            self._bar.start()

    def update(self, sweep: int, values: Mapping[str, float], headline: Sequence[str] = ()) -> None:
        """Show that `sweep` sweeps are done, with `free_energy` (per row), the headline, `psnr` as far as known.

        Other values are shown with `verbose` only; what is not finite is left out.
        """
        self._times.append((sweep, self._clock()))
        if self._quiet:
            return
        text = self._text(sweep, values, headline)
        if self._bar is not None:
            self._bar.update(self._task, completed=sweep, description=text)
        elif self._is_due(sweep):
            self._last_line = self._clock()
            print(text, file=self._stream, flush=True)

    def close(self, message: str | None = None) -> None:
        """Take the bar away and say how it ended."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if message and not self._quiet:
            print(message, file=self._stream, flush=True)

    def seconds_left(self) -> float | None:
        """Until the last sweep, as fast as the latest ones; None before the second.

        The first sweep of a start does not count: kernels are compiled and files opened in it.
        """
        if len(self._times) < 2:
            return None
        (first, begun), (last, now) = self._times[0], self._times[-1]
        return (now - begun) / (last - first) * (self._n_sweeps - last)

    def _is_due(self, sweep: int) -> bool:
        is_end = sweep >= self._n_sweeps or self._last_line == -math.inf
        return self._verbose or is_end or self._clock() - self._last_line >= _LINE_SECONDS

    def _text(self, sweep: int, values: Mapping[str, float], headline: Sequence[str]) -> str:
        width = len(str(self._n_sweeps))
        parts = [f"sweep {sweep:>{width}}/{self._n_sweeps}"]
        first, *others = _LABELS
        names = [first, *headline, *others]
        names += [name for name in values if name not in names] if self._verbose else []
        for name in names:
            value = values.get(name, math.nan)
            # Temperature is news while it is not 1.
            if math.isfinite(value) and (name, value) != ("temperature", 1.0):
                unit = " dB" if name == "psnr" else ""
                parts.append(f"{_LABELS.get(name, name)} {value:{_FORMATS.get(name, '.4g')}}{unit}")
        left = self.seconds_left()
        if left is not None and sweep < self._n_sweeps:
            parts.append(f"{duration(left)} left")
        return "  ".join(parts)


def duration_in_full(seconds: float) -> str:
    """As `duration`, with hundredths below a minute."""
    return f"{seconds:.2f} s" if seconds < 60 else duration(seconds)


def duration(seconds: float) -> str:
    """A time for people: `7 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"

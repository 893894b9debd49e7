"""What a person sees while learning goes on: a bar on a terminal or in a notebook, a line now and then in a log."""

import html
import importlib
import math
import multiprocessing
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, TextIO

from prosper_ng.errors import UserError

Auto = Literal["auto"]

_LINE_SECONDS = 10.0
_BAR_SECONDS, _BAR_SHARE = 0.1, 0.02
"""Between two drawings of a bar at least, and the share of the time that drawing may take."""
_REMEMBERED_SWEEPS = 20
_LABELS = {"free_energy": "F", "psnr": "PSNR", "temperature": "T"}
_FORMATS = {"free_energy": ".4f", "psnr": ".2f", "temperature": ".3g"}


def is_wanted(progress: bool | Auto) -> bool:
    """Whether a caller from Python gets progress: as they say, and with "auto" where a person looks on.

    That is on a terminal and in a notebook, but not where output is captured, nor in worker processes, of which many
    share a terminal. Raises UserError for anything else.
    """
    if isinstance(progress, bool):
        return progress
    if progress != "auto":
        raise UserError(f'progress must be True, False or "auto", not {progress!r}')
    is_worker = multiprocessing.parent_process() is not None or "Loky" in multiprocessing.current_process().name
    return not is_worker and (_may_be_drawn_on(sys.stdout) or _is_notebook(sys.stdout))


_Shown = tuple[int, Mapping[str, float], Sequence[str]]
"""A sweep, its values, and which of them people look at first."""


class _Bar(Protocol):
    """Shows how many sweeps are done, and a text beside it."""

    def show(self, done: int, text: str) -> None:
        """Show a new state."""
        ...

    def close(self) -> None:
        """Leave the last state behind."""
        ...


class Progress:
    """Shows sweeps as they are done; for root only.

    On a terminal and in a notebook a bar; otherwise plain lines: the first sweep, the last one, and one every 10 s
    between them, or every sweep with `verbose`. Nothing with `quiet`. A terminal has one bar at a time: who comes while
    there is one writes lines.
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
        self._stream, self._clock = stream, clock
        self._times: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED_SWEEPS + 1)
        self._last_line = self._next_drawing = -math.inf
        self._last: _Shown | None = None
        self._undrawn: _Shown | None = None
        self._bar = None if quiet else _bar_on(stream or sys.stdout, n_sweeps, n_done)

    def update(self, sweep: int, values: Mapping[str, float], headline: Sequence[str] = ()) -> None:
        """Show that `sweep` sweeps are done, with `free_energy` (per row), the headline, `psnr` as far as known.

        Other values are shown with `verbose` only; what is not finite is left out.
        """
        now = self._clock()
        self._times.append((sweep, now))
        if self._quiet:
            return
        self._last = sweep, values, headline
        if self._bar is not None:
            if sweep >= self._n_sweeps or now >= self._next_drawing:
                self._bar.show(sweep, self._text(sweep, values, headline))
                self._undrawn, drawn = None, self._clock()
                self._next_drawing = drawn + max(_BAR_SECONDS, (drawn - now) / _BAR_SHARE)
            else:
                self._undrawn = sweep, values, headline
        elif self._is_due(sweep):
            self._last_line = now
            self._print(self._text(sweep, values, headline))

    def show(self, text: str) -> None:
        """Show how far what comes after the last sweep has come: beside the full bar, or a line every 10 s."""
        now = self._clock()
        if self._bar is not None and now >= self._next_drawing:
            self._bar.show(self._n_sweeps, text)
            self._undrawn, self._next_drawing = self._last, now + _BAR_SECONDS
        elif self._bar is None and not self._quiet and now - self._last_line >= _LINE_SECONDS:
            self._last_line = now
            self._print(text)

    def close(self, message: str | None = None) -> None:
        """Leave the bar as it was after the last sweep, and say how it ended."""
        if self._bar is not None:
            if self._undrawn is not None:
                self._bar.show(self._undrawn[0], self._text(*self._undrawn))
            self._bar.close()
            self._bar = None
        if message and not self._quiet:
            self._print(message)

    def _print(self, text: str) -> None:
        """To whatever stdout is at that moment, unless another stream was named: a bar may have come meanwhile."""
        print(text, file=self._stream or sys.stdout, flush=True)

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
                parts.append(
                    f"{_LABELS.get(name, name.removesuffix('_mean'))} {value:{_FORMATS.get(name, '.4g')}}{unit}"
                )
        left = self.seconds_left()
        if left is not None and sweep < self._n_sweeps:
            parts.append(f"{duration(left)} left")
        return "  ".join(parts)


def _bar_on(stream: TextIO, n_sweeps: int, n_done: int) -> _Bar | None:
    """A bar where the stream leads to a notebook, or to a terminal that has none yet."""
    if _is_notebook(stream):
        return _NotebookBar(n_sweeps, n_done)
    if _may_be_drawn_on(stream) and _TerminalBar.only_one.acquire(blocking=False):
        return _TerminalBar(stream, n_sweeps, n_done)
    return None


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at a stream: it is a terminal that has columns, and so is standard error.

    Launchers of MPI give ranks something like a terminal, of no size and for one of the two, whose end is a file.
    """
    if stream is None or sys.stderr is None:
        return False
    try:
        return stream.isatty() and sys.stderr.isatty() and os.get_terminal_size(stream.fileno()).columns > 0
    except (ValueError, OSError):  # it is closed, or has no file
        return False


def _may_be_drawn_on(stream: TextIO) -> bool:
    """Whether a stream is a terminal on which nothing of rich is drawn already."""
    rich = sys.modules.get("rich.file_proxy")  # imported by whoever draws
    return not (rich and isinstance(stream, rich.FileProxy)) and is_terminal(stream)


def _is_notebook(stream: TextIO) -> bool:
    """Whether a stream leads to the cell of a notebook, rather than to where somebody captures it."""
    if not type(stream).__module__.startswith("ipykernel"):
        return False
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


class _TerminalBar:
    """A bar of rich, drawn when there is news: a thread that draws it would take Python's lock from learning."""

    only_one = threading.Lock()
    """Held while there is one, since two would draw over each other."""

    def __init__(self, stream: TextIO, n_sweeps: int, n_done: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichBar

        columns = BarColumn(bar_width=24), TextColumn("{task.description}", markup=False)
        self._bar = RichBar(*columns, console=Console(file=stream), auto_refresh=False)
        self._task = self._bar.add_task(f"sweep {n_done}/{n_sweeps}", total=n_sweeps, completed=n_done)
        self._bar.start()
        self._bar.refresh()

    def show(self, done: int, text: str) -> None:
        self._bar.update(self._task, completed=done, description=text, refresh=True)

    def close(self) -> None:
        self._bar.stop()
        self.only_one.release()


class _NotebookBar:
    """An output of a cell that changes in place. That of rich needs ipywidgets, and is not kept with the notebook."""

    def __init__(self, n_sweeps: int, n_done: int) -> None:
        self._n_sweeps = n_sweeps
        shown = self._bundle(n_done, f"sweep {n_done}/{n_sweeps}")
        self._handle = importlib.import_module("IPython.display").display(shown, raw=True, display_id=True)

    def show(self, done: int, text: str) -> None:
        self._handle.update(self._bundle(done, text), raw=True)

    def close(self) -> None:
        """It stays as it is."""

    def _bundle(self, done: int, text: str) -> dict[str, str]:
        bar = f'<progress value="{done}" max="{self._n_sweeps}"></progress>'
        return {"text/plain": text, "text/html": f"<div>{bar} <code>{html.escape(text)}</code></div>"}


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

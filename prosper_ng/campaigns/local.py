"""Runs the runs of a campaign on this machine, as many side by side as its cores allow."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from multiprocessing import connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import FrameType
from typing import NamedTuple, Protocol

from prosper_ng.campaigns.plan import CONFIG_FILE, CampaignPlan, PlannedRun, command_of, freeze, keep
from prosper_ng.campaigns.run_state import OUTPUT, RunState, run_state_of
from prosper_ng.campaigns.worker import work
from prosper_ng.config import flatten
from prosper_ng.errors import UserError
from prosper_ng.experiments.run_folder import STOP_FILE
from prosper_ng.storage.lock import RunLock, is_held

ASIDE = "set-aside"
"""Where folders go whose runs are begun anew, within that of the campaign."""
_SERVER = "prosper_ng.campaigns.server"
_INTERVAL = 0.5
"""Seconds between two looks at requests to stop."""
_PATIENCE = 60.0
"""Seconds that runs which something else holds get to end."""
_LAST_MOMENT = 10.0
"""Seconds that runs get to stop after an error of the campaign itself."""
_LOOK_AHEAD = 50
"""Runs that are considered when others may not start yet."""


class Ended(NamedTuple):
    """A run that was started here and has ended."""

    run: PlannedRun
    run_state: RunState
    seconds: float


class CampaignListener(Protocol):
    """Whoever tells the user how the campaign goes."""

    def began(self, run: PlannedRun) -> None:
        """A run was started."""
        ...

    def ended(self, ended: Ended) -> None:
        """A run has ended."""
        ...

    def say(self, message: str) -> None:
        """Something the user should hear of."""
        ...


@dataclass
class StopRequest:
    """Whether the campaign was asked to stop: 0 for not at all, 2 for at once, and by which signal."""

    level: int = 0
    name: str = ""

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Note a request; the second Ctrl-C is impatient."""
        self.level = 2 if self.level and number == signal.SIGINT else max(self.level, 1)
        self.name = signal.Signals(number).name


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn INT, TERM and USR1 into requests for as long as this lasts."""
    stop = StopRequest()
    before = {number: signal.signal(number, stop.receive) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_side_by_side(
    plan: CampaignPlan,
    runs: Sequence[PlannedRun],
    n_cores: int,
    listener: CampaignListener,
    stop: StopRequest,
    preload: Sequence[str],
    is_part: bool = False,
) -> list[Ended]:
    """Start the runs in their order, each when there are cores for its ranks; how those ended that were started.

    A failing run does not take others along. On a request to stop, all runs stop with a checkpoint, and no other is
    started. Runs whose folders something else holds come last. `preload` names modules that all runs need: they are
    imported once, by a server that is forked for each run. Raises LockError where another process runs the campaign,
    unless `is_part` says that several may, each some of the runs; UserError where its folder cannot be written.
    """
    with _writing(plan.folder):
        plan.folder.mkdir(parents=True, exist_ok=True)
    with contextlib.nullcontext() if is_part else RunLock(plan.folder):
        with _writing(plan.folder):
            keep(plan)
        pool = _Pool(plan, n_cores, listener, stop, preload)
        try:
            pool.work_off(list(runs))
        finally:
            pool.close()
    return pool.ended


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be written: {error.strerror}") from None


class _Active(NamedTuple):
    process: ForkServerProcess
    run: PlannedRun
    began: float
    kernels: str


class _Pool:
    """The runs that are running."""

    def __init__(
        self, plan: CampaignPlan, n_cores: int, listener: CampaignListener, stop: StopRequest, preload: Sequence[str]
    ) -> None:
        self.ended: list[Ended] = []
        self._plan, self._n_cores, self._listener, self._stop = plan, n_cores, listener, stop
        self._active: list[_Active] = []
        self._known_kernels: set[str] = set()
        self._told = 0
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([_SERVER, *preload])

    def work_off(self, todo: list[PlannedRun]) -> None:
        """Start and await runs until there is none left, or none that can be started."""
        last_change = time.monotonic()
        while True:
            if not self._stop.level:
                self._start_what_fits(todo)
            if self._active:
                last_change = time.monotonic()
            elif not todo or self._stop.level:
                return
            elif time.monotonic() - last_change > _PATIENCE:
                self._listener.say(f"{len(todo)} runs are under way elsewhere and were left alone")
                return
            self._await()

    def close(self) -> None:
        """End what still runs after an error: with a checkpoint if it hurries, else without."""
        for active in self._active:
            active.process.terminate()
        end = time.monotonic() + _LAST_MOMENT
        for active in self._active:
            active.process.join(max(0.0, end - time.monotonic()))
            _signal_group(active.process, signal.SIGKILL)
            active.process.join()
        self._active.clear()

    def _start_what_fits(self, todo: list[PlannedRun]) -> None:
        self._know_kernels()
        n_looked_at = 0
        for run in list(todo):
            n_free = self._n_cores - sum(active.run.n_ranks for active in self._active)
            if (self._active and run.n_ranks > n_free) or n_looked_at == _LOOK_AHEAD:
                return
            if is_held(run.folder):
                continue
            n_looked_at += 1
            kernels = _kernels_of(run)
            if self._may_compile(kernels):
                todo.remove(run)
                self._start(run, kernels)

    def _know_kernels(self) -> None:
        """The kernels of a run are compiled once it has opened its folder."""
        for active in self._active:
            if active.kernels not in self._known_kernels and is_held(active.run.folder):
                self._known_kernels.add(active.kernels)

    def _may_compile(self, kernels: str) -> bool:
        """Whether no other run may be compiling the same: numba's cache is not made for several writers."""
        unknown = {active.kernels for active in self._active} - self._known_kernels
        return not unknown or kernels in self._known_kernels

    def _start(self, run: PlannedRun, kernels: str) -> None:
        stop_file = run.folder / STOP_FILE
        with _writing(run.folder):
            freeze(run)
            stop_file.unlink(missing_ok=True)  # of an attempt that was killed before it could look
        process = self._context.Process(target=work, args=(command_of(run), run.folder / OUTPUT, stop_file))
        process.start()
        self._active.append(_Active(process, run, time.monotonic(), kernels))
        self._listener.began(run)

    def _await(self) -> None:
        """Wait a moment; note who has ended, and pass on requests to stop."""
        if self._active:
            connection.wait([active.process.sentinel for active in self._active], _INTERVAL)
        else:
            time.sleep(_INTERVAL)
        for active in list(self._active):
            if not active.process.is_alive():
                self._active.remove(active)
                self._known_kernels.add(active.kernels)
                self._note(active)
        if self._stop.level > self._told:
            self._told = self._stop.level
            if self._told == 1:
                self._listener.say(f"{self._stop.name}: {len(self._active)} runs stop with a checkpoint")
            for active in self._active:
                if self._told == 1:
                    active.process.terminate()
                else:
                    _signal_group(active.process, signal.SIGKILL)

    def _note(self, active: _Active) -> None:
        code = active.process.exitcode or 0
        if code < 0 and code != -signal.SIGTERM:
            with (active.run.folder / OUTPUT).open("a", encoding="utf-8") as stream:
                stream.write(f"ended by {signal.Signals(-code).name}\n")
        ended = Ended(active.run, run_state_of(self._plan, active.run), time.monotonic() - active.began)
        self.ended.append(ended)
        self._listener.ended(ended)


def _kernels_of(run: PlannedRun) -> str:
    """The choices that may decide which kernels a run compiles: all texts and switches, but for names and paths."""
    resolved = run.load().resolved
    sections = ("model", "estep", "training", "task", "memory")
    flat = flatten({name: resolved[name] for name in sections if name in resolved})
    return repr(sorted((name, value) for name, value in flat.items() if isinstance(value, str | bool)))


def _signal_group(process: ForkServerProcess, number: signal.Signals) -> None:
    """Signal a run and whatever it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        assert process.pid is not None
        os.killpg(process.pid, number)


def set_aside(plan: CampaignPlan, run: PlannedRun) -> Path | None:
    """Move the folder of a run out of the way, all but its configuration, and say where to; None where there is none.

    Raises UserError where something writes there, ConfigError where the run could not be begun anew.
    """
    if not run.folder.exists():
        return None
    if is_held(run.folder):
        raise UserError(f"{run.folder} is in use; stop the run {run.id} before it is begun anew")
    freeze(run)
    place = plan.folder / ASIDE
    place.mkdir(exist_ok=True)
    taken = {each.name for each in place.iterdir()}
    target = place / next(name for n in count(1) if (name := f"{run.id}-{n}") not in taken)
    run.folder.rename(target)
    run.folder.mkdir()
    shutil.copy(target / CONFIG_FILE, run.folder)  # a plan that is kept in the campaign's folder knows no other
    return target

"""One run with its log and pictures: of the command `prosper-ng run`, and `prosper_ng.run` of Python."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import partial
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prosper_ng.components import components_of, kind_of
from prosper_ng.errors import UserError, warn
from prosper_ng.experiments.run import Outcome, RunListener
from prosper_ng.experiments.run import run as run_in_folder
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.experiments.signals import StopRequests
from prosper_ng.learning.learn import Asked
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.mpi import may_be_called_by_threads
from prosper_ng.parallel.together import together
from prosper_ng.paths import path_of
from prosper_ng.plugins import GROUPS
from prosper_ng.progress import Auto, is_wanted
from prosper_ng.report.log import print_warning
from prosper_ng.report.narrator import Narrator
from prosper_ng.running.interrupts import InterruptRequests
from prosper_ng.training.stopping import seconds_of

if TYPE_CHECKING:
    from prosper_ng.config import Loaded

_NAME = "run(...)"


def run(
    config: str | os.PathLike[str] | Mapping[str, Any] | RunConfig,
    folder: str | os.PathLike[str] | None = None,
    *,
    overrides: str | Sequence[str] = (),
    comm: Any = None,
    time_limit: float | str | None = None,
    progress: bool | Auto = "auto",
) -> Outcome:
    """What `prosper-ng run` does: train as a configuration says, in a run folder, and go on with what is there.

    `config` is the path of a YAML file, a mapping as YAML has it, whose parts may be components, or a `RunConfig`;
    `overrides` change it, such as "model.n_latents=64". The run folder is output.folder or runs/NAME unless `folder`
    names another one. On an MPI communicator `comm` of mpi4py all ranks call it together. It ends before `time_limit`
    seconds, or a time such as "1h30m", are over. `progress` is shown on terminals and in notebooks, always with True,
    never with False. Results have the bits of the command, which can go on with the run, and this with one of its runs.

    Raises UserError, which is a ValueError, where configuration, data or folder do not allow it, NumericalError where
    the mathematics breaks down; on all ranks. What is doubtful is a warning. Ctrl-C ends the run after the sweep that
    it is in; its KeyboardInterrupt has the attribute `outcome`, and the same call goes on. A second one ends it now.
    """
    named = None if folder is None else folder_of(folder, _NAME)
    seconds, is_shown = seconds_of_limit(time_limit, f"{_NAME}: time_limit"), is_wanted(progress)

    from prosper_ng.experiments.completion import completed

    def prepare() -> "tuple[Loaded[RunConfig], Path]":
        loaded = _loaded(config, [overrides] if isinstance(overrides, str) else overrides)
        place = named or loaded.value.folder
        return completed(loaded, place), place

    def task(prepared: "tuple[Loaded[RunConfig], Path]", ranks: Communicator) -> Outcome:
        return in_python(*ranks.broadcast(prepared), ranks, requests, is_shown, time_limit=seconds)

    requests = InterruptRequests(print_warning if is_shown else None)
    outcome = requests.wait_for(partial(together, comm, None, prepare, task), may_be_called_by_threads(comm))
    if requests():
        interrupt = KeyboardInterrupt(outcome.sentence)
        interrupt.outcome = outcome  # type: ignore[attr-defined]
        raise interrupt
    return outcome


def in_python(
    loaded: "Loaded[RunConfig]",
    folder: Path,
    ranks: Communicator,
    requests: InterruptRequests,
    is_shown: bool,
    asked: Asked | None = None,
    time_limit: float | None = None,
) -> Outcome:
    """A run for Python: warnings are warnings, and the thread of the caller shows, and is shown, what happens."""
    narrator = Narrator(loaded.value.training.all_sweeps, ranks.is_root, quiet=not is_shown, tell=warn)
    if asked is not None and asked.on_sweep is not None:
        asked = asked._replace(on_sweep=partial(requests.here, asked.on_sweep))
    argv = [f"prosper_ng.{'run' if asked is None else 'learn'}"]
    outcome = carry_out(loaded, folder, ranks, _InCallersThread(narrator, requests), requests, argv, time_limit, asked)
    is_stopped = np.array([float(requests())])
    ranks.max_in_place(is_stopped)
    if is_stopped[0] and not requests():
        requests.name = "a signal to another rank"
    return outcome


def carry_out(
    loaded: "Loaded[RunConfig]",
    folder: Path,
    comm: Communicator,
    narrator: RunListener,
    requests: StopRequests,
    argv: Sequence[str],
    time_limit: float | None = None,
    asked: Asked | None = None,
) -> Outcome:
    """Run, and draw the pictures of what is finished; all ranks together. Raises what `experiments.run.run` raises."""
    draws = comm.is_root and loaded.value.output.figures
    if draws:
        _say_without_matplotlib(narrator)
    try:
        outcome = run_in_folder(loaded, folder, comm, narrator, requests, argv, time_limit, asked)
        if draws and outcome.finished:
            _draw(folder, narrator)
        return outcome
    finally:
        narrator.close()


def _say_without_matplotlib(narrator: RunListener) -> None:
    from prosper_ng.drawing.style import absence_of_matplotlib

    lacking = absence_of_matplotlib()
    if lacking is not None:
        narrator.say(f"{lacking}; without it the run makes no pictures, and prosper-ng plot draws them later")


def _draw(folder: Path, narrator: RunListener) -> None:
    from prosper_ng.report.pictures import draw_run

    pictures = draw_run(folder, folder)
    for note in pictures.notes:
        narrator.note(note)
    if pictures.trouble is not None:
        narrator.say(pictures.trouble)


class _InCallersThread:
    """Has a narrator called by the thread that waits for the run."""

    def __init__(self, narrator: Narrator, requests: InterruptRequests) -> None:
        self._narrator, self._here = narrator, requests.here

    def opened(self, folder: Path, n_done: int) -> None:
        """The run folder is open."""
        self._here(self._narrator.opened, folder, n_done)

    def say(self, message: str) -> None:
        """Something the user should hear of."""
        self._here(self._narrator.say, message)

    def note(self, message: str) -> None:
        """Something for the log."""
        self._narrator.note(message)

    def sweep(self, done: int, values: Mapping[str, float], headline: Sequence[str]) -> None:
        """A sweep is done."""
        self._here(self._narrator.sweep, done, values, headline)

    def show(self, text: str) -> None:
        """How far the task has come."""
        self._here(self._narrator.show, text)

    def close(self) -> None:
        """The run has ended."""
        self._here(self._narrator.close)


def folder_of(folder: Any, name: str) -> Path:
    """The run folder that a caller names; UserError where it is no path."""
    if not isinstance(folder, str | os.PathLike):
        raise UserError(f"{name}: folder must be a path, not {type(folder).__name__}")
    return path_of(folder)


def seconds_of_limit(limit: Any, name: str) -> float | None:
    """The seconds in a time limit; UserError, which calls it by its name, where it is none."""
    if limit is None:
        return None
    if isinstance(limit, Real) or (isinstance(limit, str) and limit.isdecimal()):
        limit = float(limit)
    if not isinstance(limit, float | str):
        raise UserError(f"{name} is a number of seconds, or a text such as 1h30m, not {type(limit).__name__}")
    try:
        return seconds_of(limit)
    except ValueError as error:
        raise UserError(f"{name}: {str(error).removeprefix('wall_time ')}") from None


def _loaded(config: Any, overrides: Sequence[str]) -> "Loaded[RunConfig]":
    """The configuration that a caller has, held to the same rules whatever holds it."""
    from prosper_ng.campaigns.file_kinds import expecting
    from prosper_ng.config import load

    if isinstance(config, str | os.PathLike):
        path = path_of(config)
        with expecting("run", path):
            return load(path, RunConfig, overrides)
    if not isinstance(config, Mapping | RunConfig):
        raise UserError(
            f"{_NAME}: config must be the path of a YAML file, a mapping, or a RunConfig, not {type(config).__name__}"
        )
    return stored_as(config, _NAME, overrides)


def stored_as(config: Mapping[str, Any] | RunConfig, name: str, overrides: Sequence[str] = ()) -> "Loaded[RunConfig]":
    """A configuration in hand as a file would have it; `name` tells errors where it comes from.

    Raises UserError where a part of it is of a class that no file could name.
    """
    from prosper_ng.config import annotated_yaml, from_mapping
    from prosper_ng.config.construction import written

    for part in _parts(config):
        kinds = [kinds for group in GROUPS.values() if (kinds := components_of(group.package)).get(kind_of(part))]
        if type(part) not in [known[kind_of(part)] for known in kinds]:
            raise UserError(
                f"{name}: the folder of a run says by their kind what it was made with, and {type(part).__name__} is "
                'none; @prosper_ng.plugin("models"), or another group, makes a class one'
            )
    loaded = from_mapping(written(config), RunConfig, name, overrides)
    return replace(loaded, text=annotated_yaml(loaded.resolved, loaded.origins) + "\n")


def _parts(config: Any) -> Iterator[Any]:
    """The components in a configuration, however deep."""
    if isinstance(config, Mapping):
        values = list(config.values())
    elif isinstance(config, list | tuple):
        values = list(config)
    elif is_dataclass(config):
        values = [getattr(config, field.name) for field in fields(config)]
    else:
        return
    if hasattr(config, "kind"):
        yield config
    for value in values:
        yield from _parts(value)

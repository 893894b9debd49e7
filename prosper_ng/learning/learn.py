"""Learning from rows in hand, without a run folder: the engine of `prosper-ng run`, with the same bits."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from prosper_ng import compiling
from prosper_ng.config import ConfigError, SourceText
from prosper_ng.config.mistakes import Place
from prosper_ng.data.dataset import Dataset
from prosper_ng.data.sources._beside import NOTHING_BESIDE, Beside
from prosper_ng.errors import UserError, listed, warn
from prosper_ng.learning.assembly import Assembly, assemble
from prosper_ng.learning.digest import run_digest
from prosper_ng.learning.ending import Ending, rule_met
from prosper_ng.learning.engine import history_entry, train
from prosper_ng.learning.initial import Given
from prosper_ng.learning.rehearsal import rehearse
from prosper_ng.learning.settings import LearningSettings
from prosper_ng.models.interface import without_constants
from prosper_ng.models.roles import headline_of
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import decided
from prosper_ng.parallel.warm_up import warm_up
from prosper_ng.progress import Progress
from prosper_ng.storage.history import History
from prosper_ng.training.em import SweepReport, TrainingState

if TYPE_CHECKING:
    from prosper_ng.inference.learned import Learned

OnSweep = Callable[[SweepReport, NamedArrays], bool | None]

_NAME = "learn(...)"
_SHOWN = 10


class Asked(NamedTuple):
    """What a program in Python asks to learn."""

    settings: LearningSettings
    dataset: Dataset
    start: Given | None = None
    """Parameters to start from."""
    beside: Beside = NOTHING_BESIDE
    """Weights and labels of the rows."""
    on_sweep: OnSweep | None = None
    """Is called by root after each sweep, and ends learning where it returns True."""

    @property
    def start_digest(self) -> str | None:
        """SHA-256 of the parameters to start from; None where there are none."""
        if self.start is None:
            return None
        whole = hashlib.sha256()
        for name, values in sorted(self.start.arrays.items()):
            array = np.asarray(values, np.float64)
            whole.update(f"{name}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return whole.hexdigest()

    def ending(self, report: SweepReport, params: NamedArrays) -> Ending | None:
        """That of `on_sweep`, where it says so; for root only."""
        if self.on_sweep is None or self.on_sweep(report, params) is not True:
            return None
        return ended_by_listener(report.sweep, self.settings.training.all_sweeps)


def ended_by_listener(sweep: int, n_sweeps: int) -> Ending:
    """What is said where `on_sweep` ended learning."""
    return Ending(True, f"ended by on_sweep after sweep {sweep} of {n_sweeps}")


def learn_in_memory(asked: Asked, ranks: Communicator, progress: bool = False) -> "Learned":
    """What all ranks learn together; root shows progress where it is asked to.

    Raises UserError where arguments and data do not fit together, NumericalError where the mathematics breaks down, and
    what `on_sweep` raises; on all ranks. A KeyboardInterrupt has what the last whole sweep came to as its attribute
    `learned`, once there was one.
    """
    settings = asked.settings
    with compiling.told(ranks.is_root):
        folder = Path(gettempdir())
        parts = assemble(settings, asked.dataset, ranks, folder, start=asked.start, beside=asked.beside)
        if ranks.is_root:
            for warning in parts.warnings:
                warn(warning)
        warm_up(ranks, lambda: rehearse(parts))
    state = parts.start()
    shown = Progress(settings.training.all_sweeps, quiet=not (progress and ranks.is_root))
    keeper = _Keeper(asked, parts, shown)
    try:
        ending = train(parts, settings.training, state, keeper)
    except KeyboardInterrupt as interrupt:
        if keeper.params is not None:
            interrupt.learned = _result(settings, parts, keeper, None, "interrupted")  # type: ignore[attr-defined]
        raise
    finally:
        shown.close()
    told = parts.last_step(state, settings.training)
    keeper.params = without_constants(settings.model, parts.problem.n_observed, state.params)
    found = _result(settings, parts, keeper, _digest(parts, state, keeper.history), ending.sentence)
    return found if told is None else replace(found, on_all_rows=told.results)


class _Keeper:
    """Keeps the history, and lets the listener of root look on and end it."""

    def __init__(self, asked: Asked, parts: Assembly, progress: Progress) -> None:
        self.history = History()
        self.params: NamedArrays | None = None
        """Those after the last whole sweep."""
        self._asked, self._training, self._problem = asked, asked.settings.training, parts.problem
        self._progress = progress
        self._began = self._last = time.monotonic()
        self._slowest = 0.0

    def before(self) -> Ending | None:
        """Nothing speaks against it."""
        return None

    def after(self, report: SweepReport, state: TrainingState) -> Ending | None:
        """Add the sweep to the history; the ending that root finds, or its error, on all ranks."""
        params = without_constants(self._problem.model, self._problem.n_observed, state.params)
        self.params, now = params.copy(), time.monotonic()
        headline = headline_of(self._problem.model, self._problem.n_observed, state.params)
        values = history_entry(report, params, headline, now - self._began)
        self.history.append(report.sweep, values)
        self._progress.update(report.sweep, values, tuple(headline))
        self._slowest, self._last = max(self._slowest, now - self._last), now
        return decided(self._problem.comm, lambda: self._ending(report, params))

    def _ending(self, report: SweepReport, params: NamedArrays) -> Ending | None:
        ending = self._asked.ending(report, params)
        if ending is not None or report.sweep == self._training.all_sweeps:
            return ending
        return rule_met(self._training.stopping, self.history, time.monotonic() - self._began, self._slowest)


def settings_of(**given: Any) -> LearningSettings:
    """The settings of a call; ConfigError where they are none."""
    try:
        return LearningSettings(**given)
    except ConfigError as error:
        place = Place(SourceText(_NAME), width=0)
        raise ConfigError([replace(mistake, place=place) for mistake in error.mistakes]) from None


def given_by(start: "Learned | Mapping[str, Any] | None", dataset: Dataset) -> Given | None:
    """Parameters to start from, if any; UserError where they are of other units, or of columns in another order."""
    from prosper_ng.inference.learned import Learned

    if not isinstance(start, Learned):
        return None if start is None else Given(start, where="start")
    if start.preprocessing is None or not start.preprocessing.is_identity:
        raise UserError(
            f"start: {start.origin} has learned from rows that were whitened or whose means were removed; its "
            "parameters are none of the data as they are"
        )
    names, theirs = start.column_names, dataset.column_names
    if names is not None and theirs is not None and names != theirs:
        own, others = (listed([*map(repr, each)], _SHOWN) for each in (names, theirs))
        raise UserError(
            f"start: {start.origin} has learned from the columns {own}, and those of {dataset.where} are {others}; "
            "bring them into its order"
        )
    return Given(start.params, start.never_observed, "start")


def _digest(parts: Assembly, state: TrainingState, history: History) -> str:
    """Of all that learning came to; all ranks find it together."""
    free_energies = history.columns().get("free_energy", np.zeros(0))
    return str(parts.problem.comm.broadcast(run_digest(parts.problem, state, free_energies)))


def _result(settings: LearningSettings, parts: Assembly, keeper: _Keeper, digest: str | None, ending: str) -> "Learned":
    from prosper_ng.inference.learned import Learned

    columns = keeper.history.columns()
    assert keeper.params is not None, "at least one sweep is done"
    return Learned(
        model=settings.model,
        params=keeper.params,
        n_observed=parts.problem.n_observed,
        estep=settings.estep,
        seed=settings.seed,
        preprocessing=parts.dataset.preprocessing,
        history=columns if parts.problem.comm.is_root else {},
        n_sweeps=len(columns["free_energy"]),
        digest=digest,
        data_digest=parts.data_digest,
        never_observed=parts.unknown,
        column_names=parts.dataset.column_names,
        n_rows=parts.dataset.n_rows,
        row_shape=parts.dataset.row_shape if len(parts.dataset.row_shape) > 1 else None,
        ending=ending,
    )

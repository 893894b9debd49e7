"""Learning from rows in hand, without a run folder: the engine of `prosper-ng run`, with the same bits."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np

from prosper_ng import compiling
from prosper_ng.config import ConfigError, SourceText
from prosper_ng.config.mistakes import Place
from prosper_ng.data.content import require_same_rows
from prosper_ng.data.dataset import Dataset
from prosper_ng.data.memory_settings import Memory
from prosper_ng.data.sources._in_hand import dataset_of
from prosper_ng.errors import UserError, warn
from prosper_ng.estep.interface import EStep
from prosper_ng.inference.learned import Learned
from prosper_ng.learning.assembly import Assembly, assemble
from prosper_ng.learning.digest import run_digest
from prosper_ng.learning.ending import Ending, rule_met
from prosper_ng.learning.engine import history_entry, train
from prosper_ng.learning.initial import Given
from prosper_ng.learning.rehearsal import rehearse
from prosper_ng.learning.settings import LearningSettings
from prosper_ng.models.interface import Model, without_constants
from prosper_ng.models.roles import headline_of
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import collectively, decided, failing_together
from prosper_ng.parallel.mpi import group_of
from prosper_ng.parallel.team import on_team
from prosper_ng.parallel.threads import one_blas_thread, threads_of
from prosper_ng.parallel.warm_up import warm_up
from prosper_ng.storage.history import History
from prosper_ng.training.em import SweepReport, TrainingState
from prosper_ng.training.settings import Training

Kind = str
Fields = Mapping[str, Any]
OnSweep = Callable[[SweepReport, NamedArrays], bool | None]

_NAME = "learn(...)"
_SHOWN = 10


def learn(
    data: Any,
    model: Model | Fields | Kind,
    *,
    estep: EStep | Fields | Kind = "auto",
    training: Training | Fields | None = None,
    seed: int = 0,
    missing: bool = False,
    memory: Memory | Fields | None = None,
    comm: Any = None,
    n_jobs: int | None = None,
    start: Learned | Mapping[str, Any] | None = None,
    on_sweep: OnSweep | None = None,
) -> Learned:
    """The model, learned from the rows of `data` (N, D), of which NaN marks missing values where `missing` allows it.

    `data` is anything with a shape, a type and slices of rows: an array, a memmap, a dataset of h5py or zarr; a data
    frame, of which the columns keep their names; or a `Dataset` of this package. `model`, `estep`, `training` and
    `memory` are components, or mappings as a configuration has them, or a kind. `start` holds parameters to start from,
    by symbol, or is an earlier result; what it lacks is found from the data. After each sweep
    `on_sweep(report, params)` is called; where it returns True, learning ends.

    On an MPI communicator `comm` of mpi4py all ranks call it together, with the same arguments and the same data: each
    reads its own rows, root alone calls `on_sweep`, and all get the result, root with the history. Numbers do not
    depend on the ranks. With `n_jobs` threads of this process, -1 for as many as there are cores, the same is done side
    by side, with the same numbers. It writes no files but scratch files that `memory` asks for, and leaves signals as
    they are.

    Raises UserError, which is a ValueError, where arguments and data do not fit together, NumericalError where the
    mathematics breaks down, and what `on_sweep` raises; on all ranks. What is doubtful about the data is a warning. A
    KeyboardInterrupt has what the last whole sweep came to as its attribute `learned`, once there was one.
    """
    n_threads = threads_of(n_jobs)
    if n_threads > 1 and comm is not None:
        raise UserError(f"learn(...): n_jobs={n_jobs} asks for threads beside the ranks of comm; leave one of them out")

    def asked() -> tuple[LearningSettings, Dataset, Given | None]:
        settings = _settings(seed=seed, model=model, estep=estep, training=training or {}, memory=memory or {})
        dataset = dataset_of(data, missing=missing)
        return settings, dataset, None if start is None else _given(start, dataset)

    with one_blas_thread():
        if n_threads > 1:
            in_common = asked()  # once, since what reads a file for several threads has to be one object
            return on_team(n_threads, lambda ranks: _learned(*in_common, ranks, on_sweep))[0]
        with group_of(comm) as ranks, failing_together(ranks):
            with collectively(ranks, ""):
                own = asked()
            require_same_rows(own[1], ranks)
            return _learned(*own, ranks, on_sweep)


def _learned(
    settings: LearningSettings, dataset: Dataset, given: Given | None, ranks: Communicator, on_sweep: OnSweep | None
) -> Learned:
    """What all ranks learn together."""
    with compiling.told(ranks.is_root):
        parts = assemble(settings, dataset, ranks, Path(gettempdir()), start=given)
        if ranks.is_root:
            for warning in parts.warnings:
                warn(warning)
        warm_up(ranks, lambda: rehearse(parts))
    state, keeper = parts.start(), _Keeper(settings.training, parts, on_sweep)
    try:
        ending = train(parts, settings.training, state, keeper)
    except KeyboardInterrupt as interrupt:
        if keeper.params is not None:
            interrupt.learned = _result(settings, parts, keeper, None, "interrupted")  # type: ignore[attr-defined]
        raise
    return _result(settings, parts, keeper, _digest(parts, state, keeper.history), ending.sentence)


class _Keeper:
    """Keeps the history, and lets the listener of root look on and end it."""

    def __init__(self, training: Training, parts: Assembly, on_sweep: OnSweep | None) -> None:
        self.history = History()
        self.params: NamedArrays | None = None
        """Those after the last whole sweep."""
        self._training, self._problem, self._on_sweep = training, parts.problem, on_sweep
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
        self.history.append(report.sweep, history_entry(report, params, headline, now - self._began))
        self._slowest, self._last = max(self._slowest, now - self._last), now
        return decided(self._problem.comm, lambda: self._ending(report, params))

    def _ending(self, report: SweepReport, params: NamedArrays) -> Ending | None:
        if self._on_sweep is not None and self._on_sweep(report, params) is True:
            return Ending(True, f"ended by on_sweep after sweep {report.sweep} of {self._training.n_sweeps}")
        if report.sweep == self._training.n_sweeps:
            return None
        return rule_met(self._training.stopping, self.history, time.monotonic() - self._began, self._slowest)


def _settings(**given: Any) -> LearningSettings:
    """The settings of the call; ConfigError where they are none."""
    try:
        return LearningSettings(**given)
    except ConfigError as error:
        place = Place(SourceText(_NAME), width=0)
        raise ConfigError([replace(mistake, place=place) for mistake in error.mistakes]) from None


def _given(start: Learned | Mapping[str, Any], dataset: Dataset) -> Given:
    """Parameters to start from; UserError where they are those of other units, or of columns in another order."""
    if not isinstance(start, Learned):
        return Given(start, where="start")
    if start.preprocessing is None or not start.preprocessing.is_identity:
        raise UserError(
            f"start: {start.origin} has learned from rows that were whitened or whose means were removed; its "
            "parameters are none of the data as they are"
        )
    names, theirs = start.column_names, dataset.column_names
    if None not in (names, theirs) and names != theirs:
        raise UserError(
            f"start: {start.origin} has learned from the columns {_listed(names)}, and those of {dataset.where} are "
            f"{_listed(theirs)}; bring them into its order"
        )
    return Given(start.params, start.never_observed, "start")


def _listed(names: tuple[str, ...] | None) -> str:
    shown = ", ".join(map(repr, (names or ())[:_SHOWN]))
    return f"{shown} and {len(names) - _SHOWN} more" if names and len(names) > _SHOWN else shown


def _digest(parts: Assembly, state: TrainingState, history: History) -> str:
    """Of all that learning came to; all ranks find it together."""
    free_energies = history.columns().get("free_energy", np.zeros(0))
    return str(parts.problem.comm.broadcast(run_digest(parts.problem, state, free_energies)))


def _result(settings: LearningSettings, parts: Assembly, keeper: _Keeper, digest: str | None, ending: str) -> Learned:
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

"""One run from configuration to results."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from prosper_ng import compiling, plugins
from prosper_ng.components import kind_of
from prosper_ng.config import Loaded
from prosper_ng.data.dataset import Dataset
from prosper_ng.errors import Stopped, UserError
from prosper_ng.experiments.ending import Endings
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.experiments.run_folder import RunFolder
from prosper_ng.experiments.signals import StopRequests
from prosper_ng.experiments.tasks.interface import Task, TaskContext, bytes_after
from prosper_ng.learning.assembly import Assembly, assemble
from prosper_ng.learning.digest import input_digest, run_digest
from prosper_ng.learning.ending import Ending
from prosper_ng.learning.engine import history_entry, train
from prosper_ng.learning.learn import Asked, ended_by_listener
from prosper_ng.learning.rehearsal import rehearse
from prosper_ng.models.capabilities import offers
from prosper_ng.models.interface import KnowsFreeEnergy, without_constants
from prosper_ng.models.roles import elements_of, headline_of, of_role
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import collectively, decided
from prosper_ng.parallel.warm_up import warm_up
from prosper_ng.paths import path_of
from prosper_ng.storage.history import History
from prosper_ng.storage.own_files import files_named_in, files_of_run, require_run_folder
from prosper_ng.storage.provenance import collect
from prosper_ng.storage.run_record import ALL_ROWS, RunFileError, read_run
from prosper_ng.storage.status import StatusError, read_status
from prosper_ng.training.em import Problem, SweepReport, TrainingState

if TYPE_CHECKING:
    from prosper_ng.inference.learned import Learned

START = "start"
"""The attribute of run.h5 with the digest of parameters that a program gave to start from, where it did."""
MORE_TO_DO = 75
"""Exit status of a run that was stopped before its end and can go on (EX_TEMPFAIL)."""


class RunListener(Protocol):
    """Whoever tells the user how the run goes; root's is asked."""

    def opened(self, folder: Path, n_done: int) -> None:
        """The run folder is open, and so many sweeps were done by earlier attempts."""
        ...

    def say(self, message: str) -> None:
        """Something the user should hear of."""
        ...

    def note(self, message: str) -> None:
        """Something for the log."""
        ...

    def sweep(self, done: int, values: Mapping[str, float], headline: Sequence[str]) -> None:
        """A sweep is done; the values are those of its entry in the history, of which people look at some first."""
        ...

    def show(self, text: str) -> None:
        """How far the task has come after the last sweep."""
        ...

    def close(self) -> None:
        """The run has ended."""
        ...


@dataclass(frozen=True)
class Outcome:
    """How a run ended; results and sentence are root's."""

    finished: bool
    """Whether it is over, rather than to be gone on with by the same call or command."""
    sentence: str
    """Why it ended, or what it came to."""
    results: dict[str, Any] = field(repr=False)
    """Of its task, by name."""
    folder: Path
    """Where everything is."""

    @cached_property
    def learned(self) -> "Learned":
        """What it has learned, read from its folder when it is asked for first; UserError before the first sweep."""
        from prosper_ng.inference.stored import load

        return load(self.folder)


def run(
    loaded: Loaded[RunConfig],
    folder: Path,
    comm: Communicator,
    listener: RunListener,
    requests: StopRequests,
    argv: Sequence[str],
    time_limit: float | None = None,
    asked: Asked | None = None,
) -> Outcome:
    """Train, resume where there is something to resume, and do the task; all ranks together.

    It ends after the sweep in which `requests` says so, before `time_limit` seconds are over, and before the end of the
    batch job it is in. Of what a program in Python asks, rows, start and listener count; settings are those of the
    configuration. Raises UserError where the configuration, the data or the folder do not allow it, NumericalError
    where the mathematics breaks down; the run folder then says so.
    """
    config = loaded.value
    with collectively(comm, ""):
        if comm.is_root:
            require_run_folder(folder, files_read_by(loaded))
    began = time.monotonic()
    with compiling.told(comm.is_root) as compiled:
        parts = assemble_run(config, comm, folder, asked)
        _note_idle_ranks(parts, listener)
        for warning in parts.warnings:
            listener.say(warning)
        warm_up(comm, lambda: rehearse(parts, partial(_rehearse_task, config.task, parts.dataset)))
    state = parts.start()
    with RunFolder(folder, loaded, parts, listener.say) as kept:
        resumed = kept.resume(state)
        start = asked.start_digest if asked is not None else None
        with collectively(comm, ""):
            if resumed and comm.is_root:
                _require_same_start(folder, start)
        listener.opened(folder, state.n_done)
        for note in _notes(config, parts, compiled, loaded.notes):
            listener.note(note)
        is_listened_to = asked is not None and asked.on_sweep is not None
        ended_before = _ended_by_listener(folder, state.n_done, config) if is_listened_to and comm.is_root else None
        kept.begin(_provenance(parts, argv), _attributes(config, parts, start), resumed)
        endings = Endings(config, kept, requests, began, time_limit, ended_before) if comm.is_root else None
        keeper = _FolderKeeper(config, parts, kept, listener, endings, asked)
        ending = train(parts, config.training, state, keeper, requests)
        kept.checkpoint(state)
        context = TaskContext(parts.problem, parts.dataset, parts.unknown, kept.path, listener.show, requests)
        return _conclude(config, context, state, kept, ending, requests, parts, listener)


def _notes(config: RunConfig, parts: Assembly, compiled: compiling.Tally, found: Sequence[str]) -> Iterator[str]:
    """What the log says before the first sweep."""
    yield from found
    yield str(parts.plan)
    if compiled.n_kernels:
        yield str(compiled)
    yield f"E-step: {config.learning.chosen_estep.reason}"
    yield from parts.dataset.notes
    if parts.everything is not None:
        n_rows, n_all = parts.problem.blocks.n_rows, parts.dataset.n_rows
        yield f"a coreset of {n_rows} of {n_all} rows is learned from, weighted to stand for all"
    held_out = parts.problem.held_out
    if held_out is not None:
        fitted = "" if parts.dataset.preprocessing.whitening is None else "; whitening was fitted to all of them"
        yield f"{len(held_out)} of {held_out.n_rows} rows are held out{fitted}"


def _require_same_start(folder: Path, start: str | None) -> None:
    """Raise UserError where a run that goes on was begun with other parameters from a program."""
    try:
        before = read_run(folder).attributes.get(START)
    except RunFileError:
        return  # it is begun anew
    if before != start:
        how = "without `start`" if before is None else "from parameters given as `start`, which are missing here"
        if before is not None and start is not None:
            how = "from other parameters than those of `start`"
        raise UserError(f"{folder} holds a run that was begun {how}; begin with the same, or choose another folder")


def _ended_by_listener(folder: Path, n_done: int, config: RunConfig) -> Ending | None:
    """The ending of the attempt before, where a listener of a program ended it just here."""
    try:
        before = read_status(folder)
    except StatusError:
        return None
    ending = ended_by_listener(n_done, config.training.all_sweeps)
    return ending if before is not None and (before.state, before.reason) == ("finished", ending.sentence) else None


def files_read_by(loaded: Loaded[RunConfig]) -> Iterator[Path]:
    """The files that a run reads: its data, parameters to start from, and plug-ins."""
    yield from files_named_in({name: loaded.resolved.get(name) for name in ("data", "task")})
    initial = loaded.value.training.initial_file
    if initial is not None:
        yield from files_of_run(path_of(initial))
    yield from plugins.files()


def assemble_run(config: RunConfig, comm: Communicator, folder: Path = Path(), asked: Asked | None = None) -> Assembly:
    """What a run learns from, and first parameters; all ranks call it together, scratch files go to `folder`.

    Raises UserError on all ranks where there are no data, or they fit neither the task nor the rest.
    """
    with collectively(comm, "opening the data"):
        dataset = config.data.open(config.seed) if asked is None else asked.dataset
        beside = config.beside(dataset) if asked is None else asked.beside
        config.task.check(dataset, config.model, config.learning.chosen_estep.estep)
    held = bytes_after(config.task, dataset)
    if asked is not None:
        return assemble(config.learning, dataset, comm, folder, None, asked.start, held, beside)
    return assemble(config.learning, dataset, comm, folder, config.data, None, held, beside)


def _rehearse_task(task: Task, dataset: Dataset, problem: Problem, state: TrainingState) -> None:
    task.rehearse(TaskContext(problem, dataset), state)


def _note_idle_ranks(parts: Assembly, listener: RunListener) -> None:
    blocks, size = parts.problem.blocks, parts.problem.comm.size
    n_idle = sum(len(blocks.owned(rank, size)) == 0 for rank in range(size))
    if n_idle:
        listener.say(
            f"{n_idle} of {size} ranks have nothing to do: {blocks.n_rows} rows make {blocks.n_blocks} blocks of "
            f"{blocks.block_rows}; start fewer ranks, or choose a smaller training.block_rows"
        )


class _FolderKeeper:
    """Keeps sweeps in a run folder; root, which has `endings`, decides for all."""

    def __init__(
        self,
        config: RunConfig,
        parts: Assembly,
        kept: RunFolder,
        listener: RunListener,
        endings: Endings | None,
        asked: Asked | None,
    ) -> None:
        self._task, self._kept, self._listener, self._endings = config.task, kept, listener, endings
        self._asked = asked
        self._problem = parts.problem
        self._context = TaskContext(parts.problem, parts.dataset, parts.unknown, kept.path)
        self._before, self._began = _elapsed(kept.history), time.monotonic()

    def before(self) -> Ending | None:
        """Why not to begin at all: earlier attempts have learned enough."""
        return self._problem.comm.broadcast(self._endings.before() if self._endings else None)

    def after(self, report: SweepReport, state: TrainingState) -> Ending | None:
        """Measure, record, tell the listener, and write a checkpoint where one is due; why to stop, if anything."""
        kept, listener, comm = self._kept, self._listener, self._problem.comm
        measured = self._task.measure(self._context, state)
        begin_writing = time.monotonic()
        model, n_observed = self._problem.model, self._problem.n_observed
        params = without_constants(model, n_observed, state.params)
        headline = headline_of(model, n_observed, state.params)
        values = history_entry(report, params, headline | measured, self._before + begin_writing - self._began)
        kept.record(state, values | {"seconds_io": kept.io_seconds})
        ending, is_due = decided(comm, lambda: self._decision(report, params))
        if is_due and ending is None:
            kept.checkpoint(state)
        kept.io_seconds = time.monotonic() - begin_writing
        if comm.is_root:
            for note in report.notes:
                listener.note(f"sweep {report.sweep}: {note}")
            listener.sweep(report.sweep, values, tuple(headline))
        return ending

    def _decision(self, report: SweepReport, params: NamedArrays) -> tuple[Ending | None, bool]:
        """Why to stop, if anything, and whether a checkpoint is due; for root."""
        assert self._endings is not None
        own = self._asked.ending(report, params.copy()) if self._asked is not None else None
        ending = self._endings.after(report)
        return own or ending, self._kept.checkpoint_is_due(report.sweep)


def _elapsed(history: History) -> float:
    """Seconds that earlier attempts took, up to the checkpoint."""
    return float(history.columns()["elapsed"][-1]) if len(history) else 0.0


def _conclude(
    config: RunConfig,
    context: TaskContext,
    state: TrainingState,
    kept: RunFolder,
    ending: Ending,
    asked: StopRequests,
    parts: Assembly,
    listener: RunListener,
) -> Outcome:
    """The task's results where the run is finished, and the last entries in the run folder."""
    results: dict[str, Any] = {}
    sentence, problem = ending.sentence, context.problem
    if ending.finished:
        told = _of_all_rows(config, parts, state, kept, listener)
        try:
            results = config.task.finish(context, state, kept.path)
        except Stopped:
            by = asked.name or "a signal to another rank"
            sentence = f"stopped by {by} after the last sweep, before task {kind_of(config.task)} came to its results"
            ending = Ending(False, sentence)
    if ending.finished:
        results |= _dictionary_to_show(problem, context.dataset, state) | _of_restarts(state)
        results |= told
        line = config.task.closing_line(results) if problem.comm.is_root else None
        sentence = line or sentence
    free_energies = kept.history.columns().get("free_energy", np.zeros(0))
    digest = run_digest(problem, state, free_energies)
    kept.finish("finished" if ending.finished else "stopped", digest, ending.sentence, results)
    return Outcome(ending.finished, sentence, results, kept.path)


def _of_all_rows(
    config: RunConfig, parts: Assembly, state: TrainingState, kept: RunFolder, listener: RunListener
) -> dict[str, Any]:
    """How well all rows are explained after a last step on them, where a coreset of them was learned from."""
    found = parts.last_step(state, config.training)
    if found is None:
        return {}
    kept.set_parameters(state)
    listener.note(found.sentence)
    return {ALL_ROWS: found.results}


def _of_restarts(state: TrainingState) -> dict[str, Any]:
    """The free energies of the two best starts, which tell whether others are to be expected; nothing of one start."""
    ranked = sorted(state.tried, reverse=True)
    return {"restarts": {"best": ranked[0], "second": ranked[1]}} if len(ranked) > 1 else {}


def _dictionary_to_show(problem: Problem, dataset: Dataset, state: TrainingState) -> dict[str, Any]:
    """The dictionary in the units of the source, where the rows were whitened, or where no parameter holds it."""
    preprocessing = dataset.preprocessing
    W = elements_of(problem.model, problem.n_observed, state.params)
    is_parameter = of_role(problem.model.parameters(problem.n_observed), "dictionary") is not None
    if W is None or (is_parameter and preprocessing.whitening is None):
        return {}
    return {"dictionary": W if preprocessing.whitening is None else preprocessing.undo_directions(W.T).T}


def _attributes(config: RunConfig, parts: Assembly, start: str | None) -> dict[str, Any]:
    dataset = parts.dataset
    attributes: dict[str, Any] = {"name": config.name, "n_rows": dataset.n_rows, "n_observed": dataset.n_observed}
    if len(dataset.row_shape) > 1:
        attributes["patch_shape"] = np.array(dataset.row_shape)
    if dataset.column_names is not None:
        attributes["column_names"] = json.dumps(dataset.column_names)
    headline = headline_of(config.model, dataset.n_observed, parts.initial)
    attributes["headline"] = json.dumps(list(headline))
    if len(parts.unknown):
        attributes["never_observed"] = parts.unknown
    if start is not None:
        attributes[START] = start
    model: Any = config.model
    if offers(model, KnowsFreeEnergy):
        attributes["entropy_identity"] = model.identity
    return attributes


def _provenance(parts: Assembly, argv: Sequence[str]) -> dict[str, str | int]:
    comm, digest = parts.problem.comm, input_digest(parts.problem)
    return collect(comm.library, comm.size, digest, argv) if comm.is_root else {}

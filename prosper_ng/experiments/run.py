"""One run from configuration to results."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from prosper_ng.config import Loaded
from prosper_ng.experiments.ending import Ending, Endings
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.experiments.run_folder import RunFolder
from prosper_ng.experiments.signals import StopRequests, stop_requests
from prosper_ng.experiments.tasks.interface import TaskContext
from prosper_ng.learning.assembly import Assembly, assemble
from prosper_ng.learning.digest import input_digest, run_digest
from prosper_ng.learning.rehearsal import rehearse
from prosper_ng.models.capabilities import offers
from prosper_ng.models.interface import KnowsFreeEnergy, without_constants
from prosper_ng.models.roles import headline_of, of_role
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.warm_up import warm_up
from prosper_ng.storage.history import History
from prosper_ng.storage.provenance import collect
from prosper_ng.training.em import SweepReport, TrainingState, TruncatedEM

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


class Outcome(NamedTuple):
    """How a run ended; results and sentence are root's."""

    finished: bool
    sentence: str
    results: dict[str, Any]


def run(
    loaded: Loaded[RunConfig],
    folder: Path,
    comm: Communicator,
    listener: RunListener,
    argv: Sequence[str],
    time_limit: float | None = None,
) -> Outcome:
    """Train, resume where there is something to resume, and do the task; all ranks together.

    It ends before `time_limit` seconds are over, and before the end of the batch job it is in.
    Raises UserError where the configuration, the data or the folder do not allow it, NumericalError where the
    mathematics breaks down; the run folder then says so.
    """
    with stop_requests() as requests:
        began = time.monotonic()
        parts = assemble(loaded.value, comm, folder)
        _note_idle_ranks(parts, listener)
        for warning in parts.warnings:
            listener.say(warning)
        warm_up(comm, lambda: rehearse(loaded.value, parts))
        state = parts.start()
        with RunFolder(folder, loaded, parts, listener.say) as kept:
            resumed = kept.resume(state)
            listener.opened(folder, state.sweep)
            listener.note(str(parts.plan))
            listener.note(f"E-step: {loaded.value.chosen_estep.reason}")
            kept.begin(_provenance(parts, argv), _attributes(loaded.value, parts), resumed)
            endings = Endings(loaded.value, kept, requests, began, time_limit) if comm.is_root else None
            ending = _train(loaded.value, parts, state, kept, listener, requests, endings)
            kept.checkpoint(state)
            return _conclude(loaded.value, parts, state, kept, ending)


def _note_idle_ranks(parts: Assembly, listener: RunListener) -> None:
    blocks, size = parts.problem.blocks, parts.problem.comm.size
    n_idle = sum(len(blocks.owned(rank, size)) == 0 for rank in range(size))
    if n_idle:
        listener.say(
            f"{n_idle} of {size} ranks have nothing to do: {blocks.n_rows} rows make {blocks.n_blocks} blocks of "
            f"{blocks.block_rows}; start fewer ranks, or choose a smaller training.block_rows"
        )


def _train(
    config: RunConfig,
    parts: Assembly,
    state: TrainingState,
    kept: RunFolder,
    listener: RunListener,
    requests: StopRequests,
    endings: Endings | None,
) -> Ending:
    """Sweep until the last sweep, a stopping rule or a request to stop; root, which has `endings`, decides for all."""
    comm, training = parts.problem.comm, config.training
    context = TaskContext(parts.problem, parts.dataset, parts.unknown)
    before, began = _elapsed(kept.history), time.monotonic()
    ending = comm.broadcast(endings.before() if endings else None)
    if ending is not None:
        return ending
    for report in TruncatedEM(parts.problem, training, requests).sweeps(state):
        measured = config.task.measure(context, state)
        begin_writing = time.monotonic()
        params = without_constants(config.model, parts.problem.n_observed, state.params)
        headline = headline_of(config.model, parts.problem.n_observed, state.params)
        values = _values(report, params, headline | measured, before + begin_writing - began)
        kept.record(state, values | {"seconds_io": kept.io_seconds})
        decision = (endings.after(report), kept.checkpoint_is_due(state.sweep)) if endings else (None, False)
        ending, is_due = comm.broadcast(decision)
        if is_due and ending is None:
            kept.checkpoint(state)
        kept.io_seconds = time.monotonic() - begin_writing
        if comm.is_root:
            for note in report.notes:
                listener.note(f"sweep {report.sweep}: {note}")
            listener.sweep(report.sweep, values, tuple(headline))
        if ending is not None:
            return ending
    return Ending(True, f"all {training.n_sweeps} sweeps are done")


def _elapsed(history: History) -> float:
    """Seconds that earlier attempts took, up to the checkpoint."""
    return float(history.columns()["elapsed"][-1]) if len(history) else 0.0


def _values(
    report: SweepReport, params: NamedArrays, measured: Mapping[str, float], elapsed: float
) -> dict[str, float]:
    """The entry of a sweep in the history."""
    values = {
        "free_energy": report.free_energy,
        "entropy_gap": np.nan if report.entropy_gap is None else report.entropy_gap,
        "temperature": report.point.temperature,
        "data_pruning": report.point.data_pruning,
        "settled": float(report.settled),
        "n_rows_used": report.n_rows_used,
        "n_evaluated": report.n_evaluated,
        "n_accepted": report.n_accepted,
        "elapsed": elapsed,
        **{f"seconds_{name}": seconds for name, seconds in report.seconds.items()},
    }
    for name, array in params.items():
        if array.ndim == 0:
            values[name] = float(array)
        elif array.ndim == 1:
            values[f"{name}_mean"] = float(array.mean())
    return values | dict(measured)


def _conclude(config: RunConfig, parts: Assembly, state: TrainingState, kept: RunFolder, ending: Ending) -> Outcome:
    """The task's results where the run is finished, and the last entries in the run folder."""
    results: dict[str, Any] = {}
    sentence = ending.sentence
    if ending.finished:
        context = TaskContext(parts.problem, parts.dataset, parts.unknown)
        results = config.task.finish(context, state, kept.path)
        results |= _dictionary_to_show(parts, state)
        line = config.task.closing_line(results) if parts.problem.comm.is_root else None
        sentence = line or sentence
    free_energies = kept.history.columns().get("free_energy", np.zeros(0))
    digest = run_digest(parts.problem, state, free_energies)
    kept.finish("finished" if ending.finished else "stopped", digest, ending.sentence, results)
    return Outcome(ending.finished, sentence, results)


def _dictionary_to_show(parts: Assembly, state: TrainingState) -> dict[str, Any]:
    """The dictionary in the units of the source, where the rows were whitened."""
    preprocessing = parts.dataset.preprocessing
    name = of_role(parts.problem.model.parameters(parts.problem.n_observed), "dictionary")
    if name is None or preprocessing.whitening is None:
        return {}
    return {"dictionary": preprocessing.undo_directions(state.params[name].T).T}


def _attributes(config: RunConfig, parts: Assembly) -> dict[str, Any]:
    dataset = parts.dataset
    attributes: dict[str, Any] = {"name": config.name, "n_rows": dataset.n_rows, "n_observed": dataset.n_observed}
    if len(dataset.row_shape) > 1:
        attributes["patch_shape"] = np.array(dataset.row_shape)
    headline = headline_of(config.model, dataset.n_observed, parts.initial)
    attributes["headline"] = json.dumps(list(headline))
    if len(parts.unknown):
        attributes["never_observed"] = parts.unknown
    model: Any = config.model
    if offers(model, KnowsFreeEnergy):
        attributes["entropy_identity"] = model.identity
    return attributes


def _provenance(parts: Assembly, argv: Sequence[str]) -> dict[str, str | int]:
    comm, digest = parts.problem.comm, input_digest(parts.problem)
    return collect(comm.library, comm.size, digest, argv) if comm.is_root else {}

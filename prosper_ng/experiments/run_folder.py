"""The folder of a run while it runs: lock, status, run file, checkpoints. All ranks call it, root writes."""

import contextlib
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from prosper_ng import __version__
from prosper_ng.config import Loaded
from prosper_ng.errors import UserError
from prosper_ng.experiments.checkpoint_times import CheckpointTimes, checkpoint_bytes, usual_seconds
from prosper_ng.experiments.continuation import (
    DATA_DIGEST,
    MEMORY,
    PLUG_INS,
    STATISTICS,
    VERSION,
    Before,
    remembered,
    require_fitting,
    require_same,
    source_identity,
    written_by,
)
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.learning.assembly import Assembly
from prosper_ng.learning.memory import sizes_of
from prosper_ng.models.axes import axes_of
from prosper_ng.models.interface import without_constants
from prosper_ng.models.roles import roles_of
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.failure import collectively
from prosper_ng.storage import atomic
from prosper_ng.storage.checkpoint import FOLDER, Checkpoint, Checkpoints
from prosper_ng.storage.history import History
from prosper_ng.storage.lock import NAME as LOCK_FILE
from prosper_ng.storage.lock import LockError, RunLock
from prosper_ng.storage.plug_ins import used_by
from prosper_ng.storage.provenance import Provenance, code
from prosper_ng.storage.run_file import NAME as RUN_FILE
from prosper_ng.storage.run_file import RunFile, StoredConfig
from prosper_ng.storage.run_numbers import in_status, read_numbers
from prosper_ng.storage.run_record import RunFileError, Unreachable, read_run
from prosper_ng.storage.status import StatusError, StatusFile, read_status
from prosper_ng.training.em import TrainingState, start
from prosper_ng.training.totals import kept_statistics_of

Say = Callable[[str], None]

STOP_FILE, CHECKPOINT_FILE = "stop", "checkpoint"
"""Files by which somebody asks a run in its folder to stop, or to write a checkpoint; they are removed once it did."""
_STATUS_SECONDS = 1.0
"""Between two writings of the status while sweeps go on."""


class Kept(NamedTuple):
    """What the writers of root are; on other ranks there are none."""

    lock: RunLock
    status: StatusFile
    run_file: RunFile


class RunFolder:
    """Opens or continues a run folder: `with RunFolder(...) as folder`."""

    def __init__(self, path: Path, loaded: Loaded[RunConfig], parts: Assembly, say: Say) -> None:
        """`say` tells the user what they should hear of (on root)."""
        self.path, self.loaded, self.parts, self.problem, self.say = path, loaded, parts, parts.problem, say
        output = loaded.value.output
        self.checkpoints = Checkpoints(path / FOLDER, self.problem.comm, output.most_checkpoints)
        self.history = History()
        self.io_seconds = 0.0
        """What writing took after the sweep before."""
        self._output = output
        self._kept: Kept | None = None
        self._lock: RunLock | None = None
        n_bytes = checkpoint_bytes(sizes_of(loaded.value.learning, self.problem.n_observed), self.problem.blocks)
        self.checkpoint_times = CheckpointTimes(output, usual_seconds(n_bytes, self.problem.comm.size))
        self._standing: dict[str, Any] = {}
        self._last_status = -math.inf

    def __enter__(self) -> "RunFolder":
        with collectively(self.problem.comm, "opening the run folder"):
            if self.problem.comm.is_root:
                self._acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        # A folder whose lock was lost belongs to somebody else.
        if self._kept is not None and error is not None and not isinstance(error, LockError):
            reason = str(error) or type(error).__name__
            self._write_status(state="failed", reason=reason)
            self._tell(self._kept.run_file.flush())
        if self._lock is not None:
            self._lock.release()

    def _acquire(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the run folder {self.path} cannot be made: {error.strerror}") from None
        self._lock = RunLock(self.path)
        self._lock.acquire()
        # What killed writers left behind; not that of the lock, which others may be about to take.
        atomic.remove_leftovers(self.path, spared=LOCK_FILE)
        if self._lock.took_over is not None:
            self.say(f"the lock of {self._lock.took_over}, which is gone, was taken over{self._last_sign()}")

    def _last_sign(self) -> str:
        """How far the run before had come when it ended without a word."""
        try:
            before = read_status(self.path)
        except StatusError:
            before = None
        return "" if before is None else f"; its last sign was sweep {before.iteration} at {before.heartbeat}"

    def resume(self, state: TrainingState) -> bool:
        """Bring the state up to date with the newest good checkpoint; whether there was one.

        Raises UserError where the folder holds a run of another configuration or on other data, or more sweeps than
        are wanted.
        """
        blocks, comm = self.problem.blocks, self.problem.comm
        rows = blocks.owned_rows(comm.rank, comm.size)
        found, notes = self.checkpoints.load_latest(rows.start, rows.stop, blocks.n_rows, state.rows)
        for note in notes:
            self._tell(note)
        if found is None:
            self._refuse_strangers()
            if notes:
                # The rows of a damaged checkpoint may be in the place of the first ones.
                _overwrite(state.rows, start(self.problem, state.params).rows)
            return False
        attributes = found.attributes
        before = Before(
            attributes["config"], written_by(attributes), attributes.get(DATA_DIGEST), attributes.get(PLUG_INS, {})
        )
        self._tell(require_same(self.path, before, self.loaded, self.parts))
        training = self.loaded.value.training
        if found.iteration > training.all_sweeps:
            least = training.n_sweeps + found.iteration - training.all_sweeps
            raise UserError(
                f"{self.path} holds {least} sweeps of this run, more than training.n_sweeps, which is "
                f"{training.n_sweeps}; choose {least} or more, or another output folder"
            )
        with collectively(comm, "taking up the checkpoint"):
            require_fitting(self.path, found, state, self.parts)
            self._restore(found, state)
        comm.broadcast_in_place(state.params.buffer)
        whole = {name: np.asarray(found.root[f"totals/{name}"]) for name in state.totals.arrays() if comm.is_root}
        self.problem.owners().restore(state.totals, whole)
        self.checkpoint_times.found(state.n_done)
        return True

    def begin(self, provenance: Provenance, attributes: Mapping[str, Any], resumed: bool) -> None:
        """Open status and run file (on root).

        Raises UserError, on all ranks, where the run file so far can neither be read nor set aside.
        """
        with collectively(self.problem.comm, ""):
            if self._lock is not None:
                self._begin(self._lock, provenance, attributes, resumed)

    def _begin(self, lock: RunLock, provenance: Provenance, attributes: Mapping[str, Any], resumed: bool) -> None:
        attributes = {**attributes, DATA_DIGEST: self.parts.data_digest}
        config = StoredConfig(self.loaded.resolved, self.loaded.text, self.loaded.origins)
        try:
            run_file = RunFile(self.path, config, provenance, attributes, self.history if resumed else None)
        except OSError as error:
            raise UserError(f"the run cannot go on in {self.path}: {error}") from error
        run_file.set_preprocessing(self.parts.dataset.preprocessing.arrays())
        run_file.set_plug_ins(used_by(self.loaded.value, texts=True))
        model, n_observed = self.problem.model, self.problem.n_observed
        run_file.describe_parameters(roles_of(model, n_observed), axes_of(model, n_observed))
        self.history = run_file.history
        self._kept = Kept(lock, StatusFile(self.path, self.loaded.value.training.all_sweeps), run_file)
        for note in run_file.notes:
            self._tell(note)
        self._tell(run_file.flush())
        done = {name: values[-1] for name, values in self.history.columns().items() if len(values)}
        self._standing = {"iteration": int(done.get("sweep", 0)), "free_energy": done.get("free_energy")}
        data_source = source_identity(self.loaded.value, self.loaded.resolved)
        self._write_status(code=code(provenance), data_digest=self.parts.data_digest, data_source=data_source)

    def record(self, state: TrainingState, values: Mapping[str, float]) -> None:
        """Add a sweep to the history (on root)."""
        if self._kept is None:
            return
        every = self._output.parameter_sweeps
        keep = state.n_done if every is not None and state.n_done % every == 0 else None
        self._kept.run_file.record(state.n_done, values)
        self.set_parameters(state, keep)
        self._tell(self._kept.run_file.flush_when_due())
        self._standing = {"iteration": state.n_done, "free_energy": values["free_energy"]}
        if time.monotonic() - self._last_status >= _STATUS_SECONDS:
            self._write_status()

    def set_parameters(self, state: TrainingState, keep_as_sweep: int | None = None) -> None:
        """Replace the latest parameters, and keep a copy under the number of a sweep where one is given (on root)."""
        if self._kept is not None:
            params = without_constants(self.problem.model, self.problem.n_observed, state.params)
            self._kept.run_file.set_parameters(params, keep_as_sweep)

    def checkpoint_is_due(self, sweep: int) -> bool:
        """Whether it is time for one, by this rank's clock, or somebody asks for one."""
        return self.is_asked(CHECKPOINT_FILE) or self.checkpoint_times.is_due(sweep)

    def is_asked(self, name: str) -> bool:
        """Whether somebody has put a file of this name into the folder."""
        return os.path.exists(self.path / name)

    def checkpoint(self, state: TrainingState) -> None:
        """Write a checkpoint, unless the newest one is of this sweep."""
        if self.checkpoint_times.last_sweep == state.n_done:
            return
        began = time.monotonic()
        with collectively(self.problem.comm, "checking the lock"):
            if self._lock is not None:
                self._lock.verify()
        model, n_observed = self.problem.model, self.problem.n_observed
        whole = self.problem.owners().whole_totals(state.totals)
        totals = {f"totals/{name}": values for name, values in whole.items()}
        memory = {MEMORY: state.memory} if len(state.memory) else {}
        warning = self.checkpoints.save(
            state.n_done,
            root={"params": state.params, **memory, **totals, **self.history.to_arrays()},
            rows=state.rows,
            starts=self.problem.blocks.starts(self.problem.comm.size),
            attributes={
                "config": self.loaded.resolved,
                VERSION: __version__,
                DATA_DIGEST: self.parts.data_digest,
                PLUG_INS: used_by(self.loaded.value),
                STATISTICS: {name: list(shape) for name, shape in kept_statistics_of(model, n_observed).items()},
            },
        )
        self._tell(warning)
        self.checkpoint_times.written(state.n_done, time.monotonic() - began)
        self._answer(CHECKPOINT_FILE)

    def finish(self, state: str, digest: str | None, reason: str | None, results: Mapping[str, Any]) -> None:
        """Write down how the run ended (on root)."""
        if self._kept is None:
            return
        self._kept.run_file.set_attributes(digest=digest)
        self._kept.run_file.set_results(results)
        trouble = self._kept.run_file.flush()
        self._tell(trouble)
        numbers = in_status(read_numbers(self.path)) if state == "finished" and trouble is None else {}
        self._write_status(state=state, digest=digest, reason=reason, **numbers)
        if state == "finished" and trouble is None:
            self._tell(self.checkpoints.prune(self._output.last_checkpoints))
        self._answer(STOP_FILE)
        self._answer(CHECKPOINT_FILE)

    def _answer(self, name: str) -> None:
        """Remove the file of a request that was met (on root); one that cannot be removed asks again."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                (self.path / name).unlink(missing_ok=True)

    def _write_status(self, **changes: Any) -> None:
        if self._kept is not None:
            self._tell(self._kept.status.write(**self._standing, **changes))
            self._last_status = time.monotonic()

    def _restore(self, found: Checkpoint, state: TrainingState) -> None:
        training = self.loaded.value.training
        n_over, state.sweep = training.place(found.iteration)
        state.n_before = found.iteration - state.sweep
        _overwrite(state.rows, found.rows)
        if self.problem.comm.is_root:
            params = found.root["params"]
            assert isinstance(params, NamedArrays)
            # A checkpoint of a version without the constants of a model goes on as it began, with zeros.
            state.params = state.params.zeros_like()
            for name, values in params.items():
                state.params[name] = values
            for name, values in remembered(found).items():
                state.memory[name] = values
            self.history = History.from_arrays(found.root)
            ends = self.history.columns()["free_energy"][training.tried_sweeps - 1 :: max(training.tried_sweeps, 1)]
            state.tried = [float(each) for each in ends[:n_over]]

    def _refuse_strangers(self) -> None:
        """A folder without a checkpoint may be begun anew, but not over another run."""
        with collectively(self.problem.comm, "looking into the run folder"):
            if self.problem.comm.is_root and os.path.lexists(self.path / RUN_FILE):
                try:
                    before = read_run(self.path)
                except Unreachable:
                    raise  # it may be a sound run, and another one
                except RunFileError as error:
                    self.say(f"{error}; the run is begun anew")
                    return
                found = Before(before.config, before.writer, before.attributes.get(DATA_DIGEST), before.plug_ins)
                self._tell(require_same(self.path, found, self.loaded, self.parts))
                self.say(f"{self.path} holds this run without a checkpoint; it is begun anew")

    def _tell(self, message: str | None) -> None:
        if message is not None and self.problem.comm.is_root:
            self.say(message)


def _overwrite(kept: Mapping[str, Any], rows: Mapping[str, Any]) -> None:
    """Put these rows in the place of those that are kept, unless they are there already."""
    for name, values in kept.items():
        if rows[name] is not values:
            values[...] = rows[name]

"""Numbered, verified checkpoints of a run, the same whatever the number of ranks.

A checkpoint is a manifest, `checkpoint-000012.json`, and the data files it names with their sizes and SHA-256. It
exists from the moment its manifest is renamed into place, which is the last step, after the data were read back.
"""

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from prosper_ng.errors import NumericalError
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import collectively
from prosper_ng.storage import checkpoint_file, manifest
from prosper_ng.storage.checkpoint_file import Array, Header, RootArray, Writer
from prosper_ng.storage.checkpoint_folder import CheckpointFolder
from prosper_ng.storage.manifest import CheckpointError, Manifest

T = TypeVar("T")


class Checkpoint(NamedTuple):
    """The state of a run after an iteration, as one rank sees it."""

    iteration: int
    attributes: dict[str, Any]
    root: dict[str, RootArray]
    """Arrays that root alone keeps; empty on other ranks."""
    rows: dict[str, Array]
    """This rank's rows of the arrays over rows."""


class _Part(NamedTuple):
    """What one rank has to give."""

    arrays: dict[str, tuple[tuple[int, ...], str]]
    sick: list[str]
    """Names of arrays with numbers that no state may hold."""


class _Trouble(NamedTuple):
    """Why one rank could not take its rows, and whether the checkpoint is to blame."""

    reason: str
    is_damage: bool


class Checkpoints:
    """The checkpoints in one folder; every method is called by all ranks together, root alone decides and writes."""

    def __init__(self, folder: Path, comm: Communicator, keep: int = 2) -> None:
        """Checkpoints under `folder`, of which the newest `keep` stay; ValueError where that is less than 2."""
        if keep < 2:
            raise ValueError(f"keep is {keep}: at least 2, so that a good checkpoint outlives a damaged one")
        self.comm = comm
        self.folder = CheckpointFolder(folder, keep)

    def save(
        self,
        iteration: int,
        *,
        root: Mapping[str, RootArray],
        rows: Mapping[str, Array],
        starts: list[int],
        attributes: Mapping[str, Any],
    ) -> str | None:
        """None once the checkpoint is on disk and verified, else a sentence on what is wrong with the disk.

        `root` counts on root only; `rows` are this rank's rows (n_local, ...) of each array; `starts` are the first
        global rows of all ranks and, last, the number of rows; `attributes` are JSON. Checkpoints older than the newest
        `keep` are removed at the end. Raises NumericalError on all ranks where NamedArrays hold anything but finite
        numbers, or rows of floating point hold NaN or positive infinity.
        """
        parts = self.comm.gather(_part_of(rows))
        temporary = self.folder.temporary(iteration)
        writers: list[Writer] = []  # one on root, none elsewhere

        def begin() -> str | None:
            header, warning = self._plan(iteration, starts[-1], attributes, root, parts or [])
            if warning is None:
                writers.append(Writer(temporary, header, root))
            return warning

        warning = self._on_root("planning a checkpoint", begin)
        if warning is not None:
            return warning
        for name in sorted(rows):
            into = writers[0].rows(name) if writers else _ignore
            self.comm.gather_rows(np.ascontiguousarray(rows[name]), starts, into)
        return self._on_root("writing a checkpoint", lambda: self._commit(writers[0], temporary))

    def load_latest(self, start: int, stop: int, n_rows: int) -> tuple[Checkpoint | None, list[str]]:
        """The newest good checkpoint with rows start..stop of `n_rows`, or None; and notes on those passed over.

        A damaged one is renamed to *.bad with the reason next to it, and the one before is taken. Raises
        CheckpointError on all ranks where the newest was written by a newer version, holds another number of rows, or
        cannot be read by some rank.
        """
        notes: list[str] = []
        while True:
            arrays: dict[str, RootArray] = {}
            found, attributes, passed_over = self._on_root("looking for a checkpoint", self._finder(arrays))
            notes += passed_over
            if found is None:
                return None, notes
            path = f"{self.folder.path / manifest.stem(found.iteration)}.json"
            if found.n_rows != n_rows:
                raise CheckpointError(
                    f"{path} holds {found.n_rows} rows and the data {n_rows}: "
                    "continue with the data that the run was started with, or start in another folder"
                )
            rows, trouble = self._read_rows(found, start, stop)
            if trouble is None:
                return Checkpoint(found.iteration, attributes, arrays, rows), notes
            if not trouble.is_damage:
                raise CheckpointError(f"{path} cannot be read: {trouble.reason}")
            notes.append(self._on_root("", partial(self.folder.set_aside, found.iteration, trouble.reason)))

    def _plan(
        self,
        iteration: int,
        n_rows: int,
        attributes: Mapping[str, Any],
        root: Mapping[str, RootArray],
        parts: list[_Part],
    ) -> tuple[Header, str | None]:
        """The header of the new file, and why it cannot be written."""
        named = {name: value for name, value in root.items() if isinstance(value, NamedArrays)}
        sick = {name for name, value in named.items() if not np.isfinite(value.buffer).all()}
        sick.update(*(part.sick for part in parts))
        if sick:
            names = ", ".join(sorted(sick))
            raise NumericalError(f"after iteration {iteration}, not all numbers in {names} are finite")
        header = Header.of(iteration, n_rows, attributes, root, _joined(parts, n_rows))
        try:
            lack = self.folder.lack_of_room(header.n_bytes())
        except OSError as error:
            lack = str(error)
        return header, lack and _not_written(iteration, lack)

    def _commit(self, writer: Writer, temporary: Path) -> str | None:
        """Publish what was written; what went wrong with the disk."""
        try:
            writer.close()
            self.folder.publish(temporary, writer.header)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return _not_written(writer.header.iteration, str(error))
        try:
            self.folder.prune()
        except OSError as error:
            return f"old checkpoints could not be removed from {self.folder.path} ({error})"
        return None

    def _finder(self, arrays: dict[str, RootArray]) -> Callable[[], tuple[Manifest | None, dict[str, Any], list[str]]]:
        """What root does to find a checkpoint; root's arrays go into `arrays` and stay on root."""

        def find() -> tuple[Manifest | None, dict[str, Any], list[str]]:
            verified, notes = self.folder.newest()
            if verified is None:
                return None, {}, notes
            arrays.update(verified.root)
            return verified.manifest, verified.header.attributes, notes

        return find

    def _read_rows(self, found: Manifest, start: int, stop: int) -> tuple[dict[str, Array], _Trouble | None]:
        """This rank's rows, and the first trouble that any rank had."""
        rows: dict[str, Array] = {}
        trouble = None
        try:
            rows = checkpoint_file.read_slice(self.folder.path, found.files, start, stop)
            sick = _part_of(rows).sick
            if sick:
                trouble = _Trouble(f"{', '.join(sick)} holds NaN or infinity between rows {start} and {stop}", True)
        except OSError as error:
            trouble = _Trouble(f"rank {self.comm.rank}: {error}", False)
        troubles = self.comm.gather(trouble)
        first = self._on_root("", lambda: next((each for each in troubles or [] if each is not None), None))
        return rows, first

    def _on_root(self, doing: str, action: Callable[[], T]) -> T:
        """What root's action returns, on all ranks; what it raises is raised on all ranks."""
        result: T | None = None
        with collectively(self.comm, doing):
            if self.comm.is_root:
                result = action()
        return cast(T, self.comm.broadcast(result))


def _part_of(rows: Mapping[str, Array]) -> _Part:
    arrays = {name: (values.shape, values.dtype.str) for name, values in rows.items()}
    # The maximum is NaN where any number is; minus infinity is a probability of zero, and legal.
    sick = [
        name
        for name, values in rows.items()
        if values.dtype.kind == "f" and values.size > 0 and not values.max() < np.inf
    ]
    return _Part(arrays, sick)


def _joined(parts: list[_Part], n_rows: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shapes and types of the arrays over all ranks; ValueError where the ranks do not fit together."""
    joined = {}
    for name in sorted({name for part in parts for name in part.arrays}):
        found = [part.arrays.get(name, ((0,), "missing")) for part in parts]
        kinds = {(shape[1:], dtype) for shape, dtype in found}
        total = sum(shape[0] for shape, _ in found)
        if len(kinds) > 1 or total != n_rows:
            raise ValueError(f"the ranks hold {found} of {name}, which make no array of {n_rows} rows")
        row_shape, dtype = kinds.pop()
        joined[name] = ((n_rows, *row_shape), dtype)
    return joined


def _not_written(iteration: int, reason: str) -> str:
    return f"no checkpoint was written after iteration {iteration}, the one before stays: {reason}"


def _ignore(start: int, piece: Array) -> None:
    """Takes the pieces on ranks that do not write."""

"""Numbered, verified checkpoints of a run, the same whatever the number of ranks.

A checkpoint is a manifest, `checkpoint-000012.json`, and the data files it names with their sizes and SHA-256. It
exists from the moment its manifest is renamed into place, which is the last step, after the data were read back.
"""

import contextlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from prosper_ng import access
from prosper_ng.errors import NumericalError
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import collectively, during
from prosper_ng.storage import checkpoint_file, manifest
from prosper_ng.storage.checkpoint_file import Array, Header, RootArray, Writer
from prosper_ng.storage.checkpoint_folder import CheckpointFolder
from prosper_ng.storage.manifest import CheckpointError, Damaged, DataFile, Manifest

T = TypeVar("T")

FOLDER = "checkpoints"
"""In the folder of a run."""

SHARD_BYTES = 1 << 30
"""What one rank writes before others do, too."""


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
    not_finite: list[str]
    """Names of arrays with numbers that no state may hold."""


class _Trouble(NamedTuple):
    """Why one rank could not take its rows, and whether the checkpoint is to blame."""

    reason: str
    is_damage: bool


class Checkpoints:
    """The checkpoints in one folder; every method is called by all ranks together, root alone decides and commits."""

    def __init__(
        self,
        folder: Path,
        comm: Communicator,
        keep: int = 2,
        shard_bytes: int = SHARD_BYTES,
        reads_only: bool = False,
    ) -> None:
        """Checkpoints under `folder`, of which the newest `keep` stay; ValueError where that is less than 2.

        Rows of more than `shard_bytes` are written by several ranks, each into a file of about that size. Who
        `reads_only` leaves damaged checkpoints where they are: the folder is that of somebody else's run.
        """
        if keep < 2:
            raise ValueError(f"keep is {keep}: at least 2, so that a good checkpoint outlives a damaged one")
        self.comm = comm
        self.folder = CheckpointFolder(folder, reads_only)
        self._keep = keep
        self._shard_bytes = shard_bytes

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
        of = f"the checkpoint after iteration {iteration}"
        parts = self.comm.gather(_part_of(rows))
        writers, warning = self._on_root(
            f"planning {of}", lambda: self._plan(iteration, starts, attributes, root, parts or [])
        )
        if warning is not None:
            return warning
        writer = None
        if self.comm.rank in writers:
            taken = _rows_of_writer(self.comm.rank, writers, starts)
            own = (root, attributes) if self.comm.is_root else ({}, {})
            header = Header.of(iteration, len(taken), own[1], own[0], _shapes(rows, len(taken)))
            writer = Writer(self.folder.temporary(iteration, taken.start), header, own[0], taken.start)
        for name in sorted(rows):
            with during(f"while gathering {name} for {of}"):
                into = writer.rows(name) if writer else _ignore
                self.comm.gather_rows(np.ascontiguousarray(rows[name]), starts, into, writers)
        with collectively(self.comm, f"writing {of}"):
            shard = writer and self._finish(writer)
        shards = self.comm.gather(shard)
        return self._on_root(
            f"committing {of}", lambda: self._commit(iteration, starts[-1], [each for each in shards or [] if each])
        )

    def prune(self, keep: int) -> str | None:
        """Remove all but the newest `keep` (on root); a sentence where that cannot be."""
        try:
            self.folder.prune(keep)
        except OSError as error:
            return f"old checkpoints could not be removed from {self.folder.path} ({error})"
        return None

    def load_latest(
        self, start: int, stop: int, n_rows: int, into: Mapping[str, Array] | None = None
    ) -> tuple[Checkpoint | None, list[str]]:
        """The newest good checkpoint with rows start..stop of `n_rows`, or None; and notes on those passed over.

        A damaged one is renamed to *.bad with the reason next to it, unless nothing but reading is allowed, and the one
        before is taken. Rows are read into the arrays `into` where these have the right shape and type, which saves the
        memory of a second copy; where a checkpoint was passed over, numbers of it may be left in them. Raises
        CheckpointError on all ranks where the newest was written by a newer version, holds another number of rows, or
        cannot be read by some rank.
        """
        notes: list[str] = []
        while True:
            found, passed_over = self._on_root("looking for a checkpoint", self.folder.newest)
            notes += passed_over
            if found is None:
                return None, notes
            path = f"{self.folder.path / manifest.stem(found.iteration)}.json"
            if found.n_rows != n_rows:
                raise CheckpointError(
                    f"{path} holds {found.n_rows} rows and the data {n_rows}: "
                    "continue with the data that the run was started with, and its data.coreset if it had one, or "
                    "start in another folder"
                )
            checkpoint, trouble = self._read(found, start, stop, into or {})
            if checkpoint is not None:
                return checkpoint, notes
            if trouble is not None and not trouble.is_damage:
                raise CheckpointError(f"{path} cannot be taken up: {trouble.reason}")
            reason = trouble.reason if trouble else ""
            notes.append(self._on_root("", partial(self.folder.set_aside, found.iteration, reason)))

    def _plan(
        self,
        iteration: int,
        starts: list[int],
        attributes: Mapping[str, Any],
        root: Mapping[str, RootArray],
        parts: list[_Part],
    ) -> tuple[list[int], str | None]:
        """The ranks that write a file each, and why there can be no checkpoint."""
        named = {name: value for name, value in root.items() if isinstance(value, NamedArrays)}
        not_finite = {name for name, value in named.items() if not np.isfinite(value.buffer).all()}
        not_finite.update(*(part.not_finite for part in parts))
        if not_finite:
            names = ", ".join(sorted(not_finite))
            raise NumericalError(f"after iteration {iteration}, not all numbers in {names} are finite")
        n_bytes = Header.of(iteration, starts[-1], attributes, root, _joined(parts, starts[-1])).n_bytes()
        writers = _writers(starts, -(-n_bytes // self._shard_bytes))
        try:
            lack = self.folder.lack_of_room(n_bytes)
        except OSError as error:
            lack = str(error)
        return writers, lack and _not_written(iteration, lack)

    def _finish(self, writer: Writer) -> DataFile | str:
        """One file read back and under its final name, or what went wrong with the disk."""
        temporary = self.folder.temporary(writer.header.iteration, writer.first_row)
        try:
            writer.close()
            return self.folder.publish(temporary, writer.header, writer.first_row)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return f"rank {self.comm.rank}: {error}" if self.comm.rank else str(error)

    def _commit(self, iteration: int, n_rows: int, shards: list[DataFile | str]) -> str | None:
        """Bring the checkpoint into existence where every file is there; what went wrong with the disk."""
        failure = next((shard for shard in shards if isinstance(shard, str)), None)
        if failure is None:
            try:
                files = [shard for shard in shards if isinstance(shard, DataFile)]
                self.folder.commit(Manifest(iteration, n_rows, files))
            except OSError as error:
                failure = str(error)
        lingering = self.prune(self._keep)
        return _not_written(iteration, failure) if failure else lingering

    def _read(
        self, found: Manifest, start: int, stop: int, into: Mapping[str, Array]
    ) -> tuple[Checkpoint | None, _Trouble | None]:
        """The checkpoint of a manifest, or the first trouble that any rank had with it."""
        trouble = self._first(self._attempt(lambda: self._verify(found)))
        if trouble is not None:
            return None, trouble
        arrays: dict[str, RootArray] = {}
        attributes: dict[str, Any] = {}

        def read_root() -> None:
            if self.comm.is_root:
                header, root = self.folder.read_first(found)
                arrays.update(root)
                attributes.update(header.attributes)

        trouble = self._first(self._attempt(read_root))
        if trouble is not None:
            return None, trouble
        rows: dict[str, Array] = {}

        def read_rows() -> None:
            rows.update(checkpoint_file.read_slice(self.folder.path, found.files, start, stop, into))
            not_finite = _part_of(rows).not_finite
            if not_finite:
                raise Damaged(f"{', '.join(not_finite)} holds NaN or infinity between rows {start} and {stop}")

        trouble = self._first(self._attempt(read_rows))
        if trouble is not None:
            return None, trouble
        return Checkpoint(found.iteration, self.comm.broadcast(attributes), arrays, rows), None

    def _verify(self, found: Manifest) -> None:
        """Compare this rank's share of the files with the manifest; raises Damaged, or OSError."""
        for file in found.files[self.comm.rank :: self.comm.size]:
            if self.comm.rank and not (self.folder.path / file.name).exists():
                raise OSError(f"there is no {self.folder.path / file.name} on {os.uname().nodename}")
            file.verify(self.folder.path)

    def _attempt(self, action: Callable[[], None]) -> _Trouble | None:
        """What kept this rank from doing it: damage, or that it may not or cannot read what root can."""
        try:
            action()
        except Damaged as error:
            return _Trouble(str(error), True)
        except OSError as error:
            is_damage = self.comm.is_root and not isinstance(error, access.CannotOpen)
            return _Trouble(str(error) if self.comm.is_root else f"rank {self.comm.rank}: {error}", is_damage)
        return None

    def _first(self, trouble: _Trouble | None) -> _Trouble | None:
        """The trouble of the lowest rank that has one, on all ranks."""
        troubles = self.comm.gather(trouble)
        return self._on_root("", lambda: next((each for each in troubles or [] if each is not None), None))

    def _on_root(self, doing: str, action: Callable[[], T]) -> T:
        """What root's action returns, on all ranks; what it raises is raised on all ranks."""
        result: T | None = None
        with collectively(self.comm, doing):
            if self.comm.is_root:
                result = action()
        return cast(T, self.comm.broadcast(result))


def _writers(starts: list[int], n_wanted: int) -> list[int]:
    """Root and other ranks, evenly spread, up to that many; each has rows that begin after those of the one before."""
    size = len(starts) - 1
    n_writers, writers = min(n_wanted, size), [0]
    for rank in (size * writer // n_writers for writer in range(1, n_writers)):
        if starts[writers[-1]] < starts[rank] < starts[rank + 1]:
            writers.append(rank)
    return writers


def _rows_of_writer(rank: int, writers: list[int], starts: list[int]) -> range:
    """The global rows that go into the file of a writer: its own and those of the ranks up to the next writer."""
    after = [*writers, len(starts) - 1][writers.index(rank) + 1]
    return range(starts[rank], starts[after])


def _shapes(rows: Mapping[str, Array], n_rows: int) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: ((n_rows, *values.shape[1:]), values.dtype.str) for name, values in rows.items()}


def _part_of(rows: Mapping[str, Array]) -> _Part:
    arrays = {name: (values.shape, values.dtype.str) for name, values in rows.items()}
    # The maximum is NaN where any number is; minus infinity is a probability of zero, and legal.
    not_finite = [
        name
        for name, values in rows.items()
        if values.dtype.kind == "f" and values.size > 0 and not values.max() < np.inf
    ]
    return _Part(arrays, not_finite)


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

"""Results in a file that comes into being as a whole, or not at all, in the format that its name asks for."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from prosper_ng.errors import UserError
from prosper_ng.late_h5py import h5py
from prosper_ng.models.axes import Axes
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import agree, collectively
from prosper_ng.storage import atomic, axes, hdf5
from prosper_ng.storage.own_files import require_no_input
from prosper_ng.storage.result_formats import format_of, require_fit, require_no_folder

Values = NDArray[Any]

_CHUNK_BYTES = 1 << 18
_DECODED_BYTES = 1 << 24
_LONGEST_ATTRIBUTE = 4096


class ResultFile:
    """`with ResultFile(path, comm) as results: ...`: all ranks call it together, root writes.

    Rows are checksummed (fletcher32), and the bytes of the file are a function of what is written, whatever the number
    of ranks. An exception in the body leaves no file behind, and an older one as it was.
    """

    def __init__(
        self,
        path: Path,
        comm: Communicator,
        main: str,
        force: bool = False,
        inputs: Callable[[], Iterable[Path]] = tuple,
        has_picture: bool = False,
    ) -> None:
        """`force` allows to replace a file, but none of the `inputs`, for which root asks.

        `main` names the array that is written where the format has room for only one. Raises UserError where no format
        has the ending of the path; `has_picture` says whether pictures are formats, too.
        """
        self.path, self.comm, self.main, self.force, self.inputs = path, comm, main, force, inputs
        self.format = format_of(path, has_picture)
        self._writing = contextlib.ExitStack()
        self._file: h5py.File | None = None
        self._writers: dict[str, _RowWriter] = {}
        self._axes: dict[str, Axes] = {}
        self._labels: dict[str, list[str]] = {}

    def __enter__(self) -> ResultFile:
        """Raise UserError, on all ranks, where the file cannot be written, is there already, or is an input."""
        with collectively(self.comm, ""):
            if self.comm.is_root:
                require_place(self.path, self.force, self.inputs())
                try:
                    self._file = self._writing.enter_context(self._filled())
                except OSError as error:
                    raise self._refusal(error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        failure: Exception | None = None
        try:
            self._writing.__exit__(kind, error, at)
        except OSError as refused:
            failure = self._refusal(refused)
        except Exception as other:
            failure = other
        if error is None:
            agree(self.comm, failure)
        elif isinstance(failure, UserError):
            # What HDF5 said in the body was a consequence of what the disk says here.
            raise failure from error

    @contextlib.contextmanager
    def _filled(self) -> Iterator[h5py.File]:
        """The HDF5 file to fill, which becomes what the format asks for once the body is done."""
        with atomic.replacing(self.path) as temporary:
            if self.format.write is None:
                with hdf5.written(temporary) as file:
                    yield file
                    axes.name_all(file, self._axes_of, self._labels)
                return
            with atomic.beside(self.path) as first:
                with hdf5.written(first) as file:
                    yield file
                with h5py.File(first, "r", locking="best-effort") as file:
                    self.format.write(file, self.main, temporary)

    def holds(self, name: str) -> bool:
        """Whether an array of this name is written at all."""
        return name == self.main or not self.format.holds_one

    def require_fit(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """Raise UserError, on all ranks, where the format cannot hold an array that will come."""
        if self.holds(name):
            require_fit(self.path, self.format, name, shape, dtype)

    def set_attributes(self, values: Mapping[str, Any]) -> None:
        """Say something of the whole file; None is left out, and texts too long for HDF5 become datasets."""
        for name, value in values.items():
            if self._file is None or value is None:
                continue
            if name == "column_names":
                self._labels["D"] = json.loads(value)
            if isinstance(value, str) and len(value) > _LONGEST_ATTRIBUTE:
                self._file[f"notes/{name}"] = hdf5.storable(value)
            else:
                self._file.attrs[name] = hdf5.storable(value)

    def put(self, name: str, value: Any, meaning: str | None = None) -> None:
        """Write a number, text or small array that root has; see `announce` for its meaning."""
        self.require_fit(name, np.shape(value), np.asarray(value).dtype)
        if self._file is not None and self.holds(name):
            self._file[name] = hdf5.storable(value)
            if meaning is not None:
                self._file[name].attrs["meaning"] = meaning

    def put_parameters(self, params: Mapping[str, Any], axes: Mapping[str, Axes]) -> None:
        """Write the parameters of a model, whose axes have these names."""
        for name, value in params.items():
            self.put(f"parameters/{name}", value)
            self._axes[f"parameters/{name}"] = axes[name]

    def announce(
        self, name: str, shape: tuple[int, ...], dtype: DTypeLike, meaning: str, compress: bool = False
    ) -> None:
        """Make room for rows that `gather` brings; `shape` is that of all of them.

        The meaning begins with the names of the axes, as in "(N, D) the rows"; they become those in the file.
        """
        self.require_fit(name, shape, dtype)
        if self._file is None or not self.holds(name):
            return
        row_bytes = np.dtype(dtype).itemsize * int(np.prod(shape[1:]))
        chunk_rows = max(1, min(shape[0], _CHUNK_BYTES // max(row_bytes, 1)))
        packing = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if compress else {}
        dataset = self._file.create_dataset(
            name, shape, dtype, chunks=(chunk_rows, *shape[1:]), fletcher32=True, **packing
        )
        dataset.attrs["meaning"] = meaning
        self._writers[name] = _RowWriter(dataset)

    def gather(
        self, name: str, values: Values, starts: list[int], decode: Callable[[Values], Values] | None = None
    ) -> None:
        """Append the rows of all ranks in rank order; see `Communicator.gather_rows`.

        `decode` turns rows as they travel into rows as they are written. Raises UserError, on all ranks, where the disk
        does not take them.
        """
        if not self.holds(name):
            return
        failure: Exception | None = None
        try:
            self.comm.gather_rows(values, starts, lambda start, piece: self._writers[name].add(piece, decode))
        except OSError as error:
            failure = self._refusal(error)
        except Exception as error:
            failure = error
        agree(self.comm, failure)

    def _axes_of(self, path: str, n_axes: int) -> Axes | None:
        assert self._file is not None
        return self._axes.get(path) or axes.told_by(self._file[path].attrs.get("meaning"))

    def _refusal(self, error: OSError) -> UserError:
        return UserError(f"{self.path} cannot be written: {error.strerror or error}")


def require_place(path: Path, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Raise UserError where no file can come into being at this path, or one is there that must not be replaced.

    None of `inputs` is, also with `force`.
    """
    require_no_folder(path)
    if not os.path.isdir(path.parent):
        raise UserError(f"{path} cannot be written: there is no folder {path.parent}")
    require_no_input(path, inputs)
    if os.path.lexists(path) and not force:
        raise UserError(f"{path} exists already; choose another output, or replace it with --force")


class _RowWriter:
    """Writes rows that come in order in whole chunks, so that the file does not depend on the pieces they come in."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset = dataset
        self.waiting = np.empty(dataset.chunks, dataset.dtype)
        self.n_waiting = self.n_written = 0

    def add(self, rows: Values, decode: Callable[[Values], Values] | None) -> None:
        """Append rows, decoded a few at a time."""
        n_rows = max(1, _DECODED_BYTES // max(1, self.waiting[:1].nbytes))
        for start in range(0, len(rows), n_rows):
            piece = rows[start : start + n_rows]
            self._append(piece if decode is None else decode(piece))

    def _append(self, rows: Values) -> None:
        while len(rows):
            taken = rows[: len(self.waiting) - self.n_waiting]
            self.waiting[self.n_waiting : self.n_waiting + len(taken)] = taken
            self.n_waiting += len(taken)
            rows = rows[len(taken) :]
            n_done = self.n_written + self.n_waiting
            if self.n_waiting == len(self.waiting) or n_done == len(self.dataset):
                self.dataset[self.n_written : n_done] = self.waiting[: self.n_waiting]
                self.n_written, self.n_waiting = n_done, 0

"""One data file of a checkpoint: named arrays of root, named arrays over all rows, and a header.

Layout: `/header` (JSON as bytes), `/root/<name>`, `/rows/<name>`; a checksum on every dataset.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.late_h5py import h5py
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.storage import hdf5
from prosper_ng.storage.manifest import Damaged, DataFile

Array = NDArray[Any]
RootArray = Array | NamedArrays

_CHUNK_BYTES = 2**19
"""Small enough for HDF5's cache of one chunk, so that pieces may begin and end inside a chunk."""


class Header(NamedTuple):
    """What a data file says about itself."""

    iteration: int
    n_rows: int
    """Rows in this file."""
    attributes: dict[str, Any]
    """What the caller wants to keep, as JSON."""
    layouts: dict[str, list[tuple[str, list[int]]]]
    """Names and shapes of those root arrays that are NamedArrays."""
    datasets: dict[str, tuple[list[int], str]]
    """Shape and type of every dataset by its path."""

    @classmethod
    def of(
        cls,
        iteration: int,
        n_rows: int,
        attributes: Mapping[str, Any],
        root: Mapping[str, RootArray],
        rows: Mapping[str, tuple[tuple[int, ...], str]],
    ) -> Header:
        """The header for these arrays; rows are given as (shape, type)."""
        datasets = {f"rows/{name}": (list(shape), dtype) for name, (shape, dtype) in rows.items()}
        for name, value in root.items():
            array = plain(value)
            datasets[f"root/{name}"] = (list(array.shape), array.dtype.str)
        layouts = {
            name: [(part, list(shape)) for part, shape in value.shapes.items()]
            for name, value in root.items()
            if isinstance(value, NamedArrays)
        }
        return cls(iteration, n_rows, dict(attributes), layouts, datasets)

    def n_bytes(self) -> int:
        """The bytes of all datasets."""
        return sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in self.datasets.values())

    def to_bytes(self) -> Array:
        """Strict JSON; ValueError or TypeError where the attributes are not JSON."""
        return np.frombuffer(json.dumps(self._asdict(), allow_nan=False).encode(), dtype=np.uint8)

    @classmethod
    def from_bytes(cls, data: Array) -> Header:
        """The header that `to_bytes` made; ValueError, KeyError or TypeError where it makes no sense."""
        fields = json.loads(data.tobytes())
        fields["datasets"] = {path: (list(shape), str(dtype)) for path, (shape, dtype) in fields["datasets"].items()}
        return cls(**fields)


class Writer:
    """Fills one data file; after the first failure it goes on without doing anything, and `close` tells.

    Root takes part in every collective of a checkpoint whether or not its disk still does.
    """

    def __init__(self, path: Path, header: Header, root: Mapping[str, RootArray], first_row: int = 0) -> None:
        """Create the file with its header and root's arrays; it begins with this global row."""
        self.header, self.first_row = header, first_row
        self._context = hdf5.written(path)
        self._file: h5py.File | None = None
        self._error: Exception | None = None
        self._attempt(lambda: self._begin(root))

    def rows(self, name: str) -> Callable[[int, Array], None]:
        """A function that takes pieces (n, ...) of the rows of one array by the global row they start at."""

        def into(start: int, piece: Array) -> None:
            self._attempt(lambda: self._place(f"rows/{name}", start - self.first_row, piece))

        return into

    def close(self) -> None:
        """Close and sync; raises OSError where the disk failed, else the first error of all."""
        failure = self._error
        if self._file is not None:
            self._file = None
            try:
                self._context.__exit__(type(failure) if failure else None, failure, None)
            except Exception as error:
                failure = error
        if failure is not None:
            raise failure

    def _attempt(self, action: Callable[[], None]) -> None:
        if self._error is None:
            try:
                action()
            except Exception as error:
                self._error = error

    def _begin(self, root: Mapping[str, RootArray]) -> None:
        self._file = self._context.__enter__()
        data = self.header.to_bytes()
        _create(self._file, "header", data.shape, data.dtype.str)[...] = data
        for path, (shape, dtype) in self.header.datasets.items():
            _create(self._file, path, tuple(shape), dtype)
        for name, value in root.items():
            dataset = self._file[f"root/{name}"]
            dataset[...] = plain(value).reshape(dataset.shape)

    def _place(self, path: str, start: int, piece: Array) -> None:
        assert self._file is not None
        self._file[path][start : start + len(piece)] = piece


def read_header(path: Path) -> Header:
    """The header, once every dataset has been found to have the shape and type that it says; OSError where not."""
    with hdf5.opened(path) as file:
        return _checked_header(file)


def read_root(path: Path) -> dict[str, RootArray]:
    """Root's arrays under their names."""
    with hdf5.opened(path) as file:
        header = _checked_header(file)
        arrays: dict[str, RootArray] = {
            path.removeprefix("root/"): np.asarray(file[path][...]).reshape(shape)
            for path, (shape, _) in header.datasets.items()
            if path.startswith("root/")
        }
        for name, layout in header.layouts.items():
            arrays[name] = NamedArrays({part: tuple(shape) for part, shape in layout}, arrays[name])  # type: ignore[arg-type]
        return arrays


def read_slice(
    folder: Path, files: Sequence[DataFile], start: int, stop: int, into: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """Rows start..stop of every array over rows, from the files that hold them, in order of their rows.

    They go into the arrays `into` where these have the right shape and type, into new ones elsewhere.
    """
    rows: dict[str, Array] = {}
    for each in [file for file in files if file.start < stop and start < file.stop] or files[:1]:
        with hdf5.opened(folder / each.name) as file:
            names = list(file["rows"]) if "rows" in file else []
            if rows and rows.keys() != set(names):
                raise Damaged(f"its file {each.name} holds other arrays than the files before")
            for name in names:
                dataset = file[f"rows/{name}"]
                if name not in rows:
                    rows[name] = _room_for(dataset, stop - start, (into or {}).get(name))
                expected = (each.stop - each.start, *rows[name].shape[1:])
                if (dataset.shape, dataset.dtype) != (expected, rows[name].dtype):
                    raise Damaged(f"{name} in its file {each.name} is {dataset.dtype} {dataset.shape}")
                first, last = max(start, each.start), min(stop, each.stop)
                if first < last:
                    chosen = np.s_[first - each.start : last - each.start]
                    dataset.read_direct(rows[name], chosen, np.s_[first - start : last - start])
    return rows


def _room_for(dataset: h5py.Dataset, n_rows: int, given: Array | None) -> Array:
    shape = (n_rows, *dataset.shape[1:])
    if given is not None and (given.shape, given.dtype) == (shape, dataset.dtype) and given.flags.c_contiguous:
        return given
    return np.empty(shape, dataset.dtype)


def read_through(path: Path) -> Header:
    """The header, after every byte was read and compared with its checksum; OSError where one fails."""
    with hdf5.opened(path) as file:
        hdf5.read_through(file)
        return _checked_header(file)


def plain(value: RootArray) -> Array:
    """The one array that holds the values."""
    return value.buffer if isinstance(value, NamedArrays) else np.asarray(value)


def _checked_header(file: h5py.File) -> Header:
    try:
        header = Header.from_bytes(file["header"][()])
    except (ValueError, TypeError) as error:
        raise OSError(f"its header cannot be read ({error})") from error
    for path, (shape, dtype) in header.datasets.items():
        if path not in file:
            raise OSError(f"it lacks the dataset {path}")
        found = file[path]
        if list(found.shape) != (shape or [1]) or found.dtype != np.dtype(dtype):
            raise OSError(f"its dataset {path} is {found.dtype} {list(found.shape)}, not {np.dtype(dtype)} {shape}")
        if path.startswith("rows/") and shape[0] != header.n_rows:
            raise OSError(f"its dataset {path} has {shape[0]} rows, not {header.n_rows}")
    return header


def _create(file: h5py.File, path: str, shape: tuple[int, ...], dtype: str) -> h5py.Dataset:
    shape = shape or (1,)
    if math.prod(shape) == 0:
        return file.create_dataset(path, shape=shape, dtype=dtype)
    row_bytes = max(1, math.prod(shape[1:]) * np.dtype(dtype).itemsize)
    chunks = (min(shape[0], max(1, _CHUNK_BYTES // row_bytes)), *shape[1:])
    return file.create_dataset(path, shape=shape, dtype=dtype, chunks=chunks, fletcher32=True)

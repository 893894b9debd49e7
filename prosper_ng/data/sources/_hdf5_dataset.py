"""Datasets inside HDF5 files, without being led to other files."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from prosper_ng import access
from prosper_ng.data.dataset import DataError, require_memory
from prosper_ng.data.sources._arrays import ReadRows, Table, table_shape
from prosper_ng.data.sources._bands import by_chunks
from prosper_ng.data.sources._files import missing, unreadable
from prosper_ng.data.sources._hdf5_content import (
    doubts_of,
    is_axis_alone,
    not_a_dataset,
    require_numbers,
    require_readable,
)
from prosper_ng.data.sources._hdf5_written import unwritten_sentence
from prosper_ng.data.sources._netcdf_attributes import Packing, packing_of

# h5py has no error class of its own for damage: it raises whatever is nearest.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)
_MAX_LINKS = 16
_MAX_NAMES = 1000


def hdf5_table(
    path: Path, name: str, flatten: bool = False, transposed: bool = False, takes_vectors: bool = False
) -> Table:
    """The dataset `name` of an HDF5 file as a table; the last of its axes are the rows where `transposed`.

    The file stays open as long as the table is in use. Raises DataError where the file is damaged, or the dataset is
    missing, no table of real numbers, never written, or kept in other files.
    """
    with _sentences(path):
        dataset, where = _open(path, name)
        return _table(dataset, where, path, flatten, transposed, takes_vectors)


def table_in_hand(dataset: Any, where: str) -> Table:
    """A dataset of h5py that somebody has opened, as a table; otherwise as `hdf5_table`."""
    if not dataset:
        raise DataError(f"{where} belongs to a file that was closed")
    if not isinstance(dataset, h5py.Dataset):
        inside = f": {', '.join(_datasets(dataset))}" if isinstance(dataset, h5py.Group) else ""
        raise DataError(
            f"{where} is a {type(dataset).__name__.lower()} of h5py; give one of the datasets in it{inside}"
        )
    with _sentences(Path(dataset.file.filename)):
        if dataset.shape is None:
            raise DataError(f"{where} is empty")
        return _table(dataset, where, Path(dataset.file.filename), None, False)


def read_array(path: Path, name: str) -> Any:
    """The dataset `name` of an HDF5 file as an array or scalar.

    Raises DataError where the file is damaged, or the dataset is missing, not all written, or kept in other files.
    """
    with _sentences(path):
        dataset, where = _open(path, name)
        require_numbers(dataset, where)
        if (unwritten := _require_whole(dataset, where)) is not None:
            raise DataError(unwritten)
        require_memory(dataset.nbytes, where)
        return dataset[()]


def _table(
    dataset: h5py.Dataset,
    where: str,
    path: Path,
    flatten: bool | None,
    transposed: bool,
    takes_vectors: bool = False,
) -> Table:
    """A dataset as a table; DataError where it is none of real numbers, or cannot be read."""
    require_numbers(dataset, where)
    whole = dataset.shape[::-1] if transposed else dataset.shape
    shape = table_shape(where, whole, dataset.dtype, flatten, takes_vectors)
    unwritten = _require_whole(dataset, where, len(whole) - 1 if transposed else 0)
    packing, gaps = packing_of(dataset.attrs.get, dataset.dtype, where, _default_fill(dataset))
    if unwritten is not None and np.isnan(packing.unpacked(np.array([dataset.fillvalue]))).all():
        unwritten = None  # missing data, which are refused where they are not expected
    doubts = [*([] if unwritten is None else [unwritten]), *doubts_of(dataset, where, transposed)]
    rows = _reader(dataset, where, path, transposed, packing)
    if dataset.chunks is not None and not transposed and dataset.ndim > 1:
        rows = by_chunks(rows, dataset.chunks[0], shape, shape[1] * dataset.dtype.itemsize)
    return Table(where, shape, rows, row_shape=tuple(whole[1:]), gaps=gaps, doubts=tuple(doubts))


def _reader(dataset: h5py.Dataset, where: str, path: Path, transposed: bool, packing: Packing) -> ReadRows:
    def rows(start: int, stop: int) -> Any:
        try:
            found = dataset[..., start:stop].T if transposed else dataset[start:stop]
        except _DAMAGE as error:
            if not dataset:
                raise DataError(f"{where} belongs to a file that was closed while its rows were in use") from None
            known = access.cannot_open(error, path)
            reason = f"{where}: rows {start} to {stop} cannot be read, is the file damaged? ({error})"
            raise DataError(str(known or reason)) from error
        return found if packing == Packing() else packing.unpacked(found)

    return rows


def _require_whole(dataset: h5py.Dataset, where: str, row_axis: int = 0) -> str | None:
    """What the user should hear of the part of a dataset that was never written.

    Raises DataError where all of it is, or it cannot be unpacked here, or not within the memory.
    """
    if dataset.chunks is not None:
        # To read a row, all of the chunk that holds it is unpacked, however small it is in the file.
        require_memory(math.prod(dataset.chunks) * dataset.dtype.itemsize, f"{where}: one of its chunks")
    require_readable(dataset, where)
    return unwritten_sentence(dataset, where, row_axis)


def _default_fill(dataset: h5py.Dataset) -> Any:
    """What netCDF reads where nothing was written, unless it is told something else; None in other files.

    Of types of one byte all numbers are legal.
    """
    is_netcdf = "_NCProperties" in dataset.file.attrs or "_Netcdf4Dimid" in dataset.attrs
    is_given = dataset.id.get_create_plist().fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED
    return dataset.fillvalue if is_netcdf and is_given and dataset.dtype.itemsize > 1 else None


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """What h5py raises for a damaged file, as DataError."""
    try:
        yield
    except DataError:
        raise
    except _DAMAGE as error:
        raise unreadable(path, "an HDF5 file", error) from error


def _open(path: Path, name: str) -> tuple[h5py.Dataset, str]:
    """The dataset `name`, if its content lies in this file, and what to call it."""
    where = f"dataset '{name}' of {path}"
    dataset = _find(h5py.File(path, "r", locking="best-effort"), name, path)
    if dataset.shape is None or dataset.attrs.get("MATLAB_empty"):
        raise DataError(f"{where} is empty")
    if dataset.is_virtual or dataset.external:
        raise DataError(f"{where} is kept in other files; copy the numbers themselves into it")
    return dataset, where


def _find(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    """The dataset at `name`, every link on the way looked at before it is followed."""
    group: h5py.Group = file
    found: Any = file
    rest = [part for part in name.split("/") if part]
    n_links = 0
    while rest:
        part = rest.pop(0)
        link = found.get(part, getlink=True, default=None) if isinstance(found, h5py.Group) else None
        if link is None:
            raise missing("dataset", name, path, _datasets(file))
        if isinstance(link, h5py.ExternalLink):
            raise DataError(f"dataset '{name}' of {path} is a link to {link.filename}; name that file itself")
        if isinstance(link, h5py.SoftLink):
            n_links += 1
            if n_links > _MAX_LINKS:
                raise DataError(f"dataset '{name}' of {path} is a link that leads in a circle")
            rest = [step for step in link.path.split("/") if step and step != "."] + rest
            found = group = file if link.path.startswith("/") else group
            continue
        found = found[part]
        group = found if isinstance(found, h5py.Group) else group
    if not isinstance(found, h5py.Dataset):
        raise DataError(not_a_dataset(found, f"'{name}' of {path}", name))
    return found


def _datasets(file: h5py.File) -> list[str]:
    """The names of the datasets in a file; the first thousand objects are looked at."""
    names: list[str] = []
    sparse: list[str] = []
    n_seen = 0

    def note(name: str, thing: Any) -> bool | None:
        nonlocal n_seen
        n_seen += 1
        if isinstance(thing, h5py.Group) and "MATLAB_sparse" in thing.attrs:
            sparse.append(f"{name}/")
            names.append(name)
        elif (
            isinstance(thing, h5py.Dataset)
            and not name.startswith(("#", *sparse))  # what begins so is MATLAB's own
            and not is_axis_alone(thing)
        ):
            names.append(name)
        return True if n_seen >= _MAX_NAMES else None

    file.visititems(note)
    return names

"""Datasets inside HDF5 files, without being led to other files."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from prosper_ng import access
from prosper_ng.data.dataset import DataError, require_memory
from prosper_ng.data.sources._arrays import Table, table_shape
from prosper_ng.data.sources._files import missing, unreadable

# h5py has no error class of its own for damage: it raises whatever is nearest.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)
_MAX_LINKS = 16
_MAX_NAMES = 1000


def hdf5_table(path: Path, name: str, transposed: bool = False) -> Table:
    """The dataset `name` of an HDF5 file as a table; its columns are the rows of the table where `transposed`.

    The file stays open as long as the table is in use. Raises DataError where the file is damaged, or the dataset is
    missing, no table of real numbers, never written, or kept in other files.
    """
    with _sentences(path):
        dataset, where = _open(path, name)
        shape = table_shape(where, dataset.shape[::-1] if transposed else dataset.shape, dataset.dtype)

    def rows(start: int, stop: int) -> Any:
        try:
            return dataset[:, start:stop].T if transposed else dataset[start:stop]
        except _DAMAGE as error:
            found = access.cannot_open(error, path)
            reason = f"{where}: rows {start} to {stop} cannot be read, is the file damaged? ({error})"
            raise DataError(str(found or reason)) from error

    return Table(where, shape, rows)


def read_array(path: Path, name: str) -> Any:
    """The dataset `name` of an HDF5 file as an array or scalar.

    Raises DataError where the file is damaged, or the dataset is missing, never written, or kept in other files.
    """
    with _sentences(path):
        dataset, where = _open(path, name)
        require_memory(dataset.nbytes, where)
        return dataset[()]


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """What h5py raises for a damaged file, as DataError."""
    try:
        yield
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
    if dataset.attrs.get("MATLAB_class") == b"char":
        raise DataError(f"{where} holds text; only real numbers can be learned from")
    if dataset.chunks is not None:
        # To read a row, all of the chunk that holds it is unpacked, however small it is in the file.
        require_memory(math.prod(dataset.chunks) * dataset.dtype.itemsize, f"{where}: one of its chunks")
    if dataset.size > 0 and dataset.id.get_storage_size() == 0:
        raise DataError(f"{where} was declared with shape {dataset.shape} but never written")
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
        what = "a group" if isinstance(found, h5py.Group) else "a type"
        raise DataError(f"'{name}' of {path} is {what}, not a dataset (the file has {_listed(_datasets(file))})")
    return found


def _datasets(file: h5py.File) -> list[str]:
    """The names of the datasets in a file; the first thousand objects are looked at."""
    names: list[str] = []
    n_seen = 0

    def note(name: str, thing: Any) -> bool | None:
        nonlocal n_seen
        n_seen += 1
        if isinstance(thing, h5py.Dataset):
            names.append(name)
        return True if n_seen >= _MAX_NAMES else None

    file.visititems(note)
    return names


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:20]) or "none"

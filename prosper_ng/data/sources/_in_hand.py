"""Rows that a program has in hand: arrays, datasets of h5py and zarr, frames, and whatever has slices of rows."""

import os
import sys
from collections.abc import Callable
from itertools import accumulate
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError, Dataset
from prosper_ng.data.sources._arrays import ArrayDataset, ReadRows, Table, table_shape
from prosper_ng.data.sources._bands import by_bands, by_chunks
from prosper_ng.data.sources._frames import frame_table
from prosper_ng.data.sources._holes import doubts_of_mapped, require_uncut
from prosper_ng.data.sources._netcdf_attributes import packing_of
from prosper_ng.data.sources._objects import floats_of, shown


def dataset_of(data: Any, where: str | None = None, missing: bool = False) -> Dataset:
    """The dataset of what has a shape, a type and slices of rows, such as an array, a memmap, a dataset of h5py or
    zarr; of a data frame; and of what can be made an array of. Itself where it is one. Nothing is read yet.

    `where` is what to call it in errors. Raises DataError where it is no table of real numbers.
    """
    if hasattr(data, "raw") and hasattr(data, "preprocessing"):
        return cast(Dataset, data)
    return _dataset(_table_of(data, where), missing)


def more_than_array(data: Any, where: str) -> ArrayDataset | None:
    """The dataset of what says more than numpy would make of it, such as what is missing: a frame, a masked array, an
    array of h5py, zarr or xarray. Values in it may be missing. None of anything else; otherwise as `dataset_of`.
    """
    named = ("h5py", "HLObject"), ("zarr", "Array"), ("zarr", "Group"), ("xarray", "DataArray"), ("xarray", "Dataset")
    if isinstance(data, np.ma.MaskedArray) or any(_is_of(module, kind, data) for module, kind in named):
        return _dataset(_table_of(data, where), missing=True)
    table = None if isinstance(data, np.ndarray | list | tuple) else frame_table(data, where)
    return None if table is None else _dataset(table, missing=True)


def _dataset(table: Table, missing: bool) -> ArrayDataset:
    dataset = ArrayDataset(table, missing=missing)
    dataset.switch = "missing=True"
    return dataset


def _table_of(data: Any, where: str | None) -> Table:
    name = where or "the array"
    if isinstance(data, np.ndarray):
        return array_table(data, name)
    if isinstance(data, str | bytes | os.PathLike):
        raise DataError(
            f"{where or 'the data'}: {shown(data)} is the name of a file, and no rows; open it first, as by "
            "numpy.load(NAME, mmap_mode='r')"
        )
    if hasattr(data, "toarray"):
        raise DataError(f"{name} is a sparse {type(data).__name__}; give data.toarray()")
    if _is_of("h5py", "HLObject", data):
        from prosper_ng.data.sources._hdf5_dataset import table_in_hand

        return table_in_hand(data, name)
    if _is_of("zarr", "Group", data):
        raise DataError(f"{name} is a group of zarr; give one of the arrays in it: {', '.join(data.array_keys())}")
    if _is_of("zarr", "Array", data):
        return _zarr_table(data, name)
    if _is_of("xarray", "Dataset", data):
        raise DataError(f"{name} is a Dataset of xarray; give one of its variables: {', '.join(map(str, data))}")
    table = None if isinstance(data, list | tuple) else frame_table(data, where)
    if table is None:
        is_read_by_slices = isinstance(getattr(data, "dtype", None), np.dtype) and not hasattr(data, "__dlpack__")
        table = _sliced_table(data, name) if is_read_by_slices else array_table(_as_array(data, name), name)
    return table


def array_table(values: NDArray[Any], where: str = "the array") -> Table:
    """An array (N, D) in memory, or mapped into it, as a table; a mask marks missing values."""
    is_of_objects = values.dtype == object and values.ndim == 2
    shape = table_shape(where, values.shape, np.dtype(np.float64) if is_of_objects else values.dtype)
    gaps = "the mask" if isinstance(values, np.ma.MaskedArray) else None
    require_whole = require_uncut(values, where)

    def rows(start: int, stop: int) -> NDArray[Any]:
        require_whole()
        found = values[start:stop]
        if not is_of_objects:
            return found
        numbers = floats_of(np.ma.getdata(found), where, start, "column {} (counted from 0)".format)
        return np.ma.array(numbers, mask=np.ma.getmask(found))

    return Table(where, shape, rows, gaps=gaps, doubts=doubts_of_mapped(values, where))


def _sliced_table(data: Any, where: str) -> Table:
    """What has a shape, a type of numpy, and slices of rows, which are read when they are needed."""
    if any(length != length for length in data.shape):
        raise DataError(f"{where} has a shape that is not known yet, {data.shape}; call compute_chunk_sizes() on it")
    shape = table_shape(where, tuple(data.shape), data.dtype)
    read = _careful(lambda start, stop: np.ma.asanyarray(data[start:stop]), where)
    chunks = getattr(data, "chunks", None)
    if chunks is not None and len(chunks) == 2 and isinstance(chunks[0], tuple):  # as dask and xarray have them
        read = by_bands(read, [0, *accumulate(chunks[0][:-1])], shape, shape[1] * data.dtype.itemsize)
    return Table(where, shape, read, names=_labels(data))


def _zarr_table(data: Any, where: str) -> Table:
    """An array of zarr, unpacked chunk by chunk, with what its attributes say by the conventions of netCDF."""
    shape = table_shape(where, tuple(data.shape), data.dtype)
    packing, gaps = packing_of(data.attrs.get, data.dtype, where)
    row_bytes = 8 * shape[1]
    together = (getattr(data, "shards", None) or data.chunks)[0]
    whole = _careful(lambda start, stop: packing.unpacked(np.asarray(data[start:stop])), where)
    n_there, n_all, doubts = int(data.nchunks_initialized), int(data.nchunks), list[str]()
    if n_there == 0:
        raise DataError(f"{where} has the shape {shape}, and none of its chunks is there: nothing was written to it")
    if n_there < n_all:
        # Chunks of nothing but the fill value are not written by default.
        lacking = f"{where}: {n_all - n_there} of its {n_all} chunks are not there"
        if data.fill_value is None:
            raise DataError(f"{lacking}; what would be read there is left to chance: cut it to what was written")
        if not np.isnan(packing.unpacked(np.array([data.fill_value], data.dtype))).all():
            doubts.append(f"{lacking}, and are read as {data.fill_value}; cut it to what was written if that is none")
    rows = by_chunks(whole, together, shape, row_bytes)
    return Table(where, shape, rows, gaps=gaps, doubts=tuple(doubts))


def _as_array(data: Any, where: str) -> NDArray[Any]:
    """What numpy makes of something; DataError in its words, or those of the library that it is of, where it cannot."""
    try:
        found = np.asanyarray(data)
    except Exception as error:
        raise DataError(f"{where} is no table of numbers: {str(error).splitlines()[0]}") from None
    if found.ndim == 0 and found.dtype == object:
        raise DataError(f"{where} is a {type(data).__name__}; give an array or a frame of rows (N, D)")
    return found


def _careful(read: Callable[[int, int], Any], where: str) -> ReadRows:
    """Reads rows of somebody else's object, whatever it raises, as DataError."""

    def rows(start: int, stop: int) -> NDArray[Any]:
        try:
            return cast(NDArray[Any], read(start, stop))
        except DataError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{where}: rows {start} to {stop} cannot be read: {reason}") from error

    return rows


def _labels(data: Any) -> tuple[str, ...] | None:
    """The labels of the columns, as an array of xarray has them, where these are texts."""
    if not hasattr(data, "coords") or data.dims[1] not in data.coords:
        return None
    labels = data.coords[data.dims[1]].values
    return tuple(map(str, labels)) if labels.dtype.kind in "UOT" else None


def _is_of(module: str, kind: str, data: Any) -> bool:
    """Whether something is of a class of a library, which is imported already where this can be so."""
    return module in sys.modules and isinstance(data, getattr(sys.modules[module], kind))

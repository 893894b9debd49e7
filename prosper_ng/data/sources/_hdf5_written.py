"""How much of a dataset in an HDF5 file was ever written; the rest is read as its fill value, in silence."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from prosper_ng.data.dataset import DataError


class Unwritten(NamedTuple):
    """What was never written of a dataset."""

    share: float
    """Of its chunks."""
    n_rows: int = 0
    """Rows of which no value was written."""
    first_row: int | None = None
    """The first of these."""


def unwritten_of(dataset: h5py.Dataset, row_axis: int = 0) -> Unwritten | None:
    """What was never written; None where all was, or nobody can tell. Rows lie along `row_axis`."""
    if dataset.is_virtual or dataset.external:
        share = _absent(dataset) if dataset.is_virtual else _cut_off(dataset)
        return Unwritten(share) if share > 0 else None
    if dataset.chunks is None:
        return None
    n_all = math.prod(-(-length // chunk) for length, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    n_written = dataset.id.get_num_chunks()
    if n_written >= n_all:
        return None
    if not hasattr(dataset.id, "chunk_iter"):  # needs HDF5 1.12.3
        return Unwritten(1 - n_written / n_all)
    starts = set[int]()
    dataset.id.chunk_iter(lambda chunk: starts.add(int(chunk.chunk_offset[row_axis])))
    n_rows, together = dataset.shape[row_axis], dataset.chunks[row_axis]
    n_empty = n_rows - sum(min(together, n_rows - start) for start in starts)
    first = 0
    while first in starts:
        first += together
    return Unwritten(1 - n_written / n_all, n_empty, first if n_empty else None)


def unwritten_sentence(dataset: h5py.Dataset, where: str, row_axis: int = 0) -> str | None:
    """What the user should hear of what was never written; None where all was.

    Raises DataError where nothing was written, or nobody knows what is read in its place.
    """
    is_elsewhere = bool(dataset.is_virtual or dataset.external)
    if dataset.size > 0 and not is_elsewhere and dataset.id.get_storage_size() == 0:
        raise DataError(f"{where} was declared with shape {dataset.shape} but never written")
    found = unwritten_of(dataset, row_axis)
    if found is None:
        return None
    if is_elsewhere:
        sentence = f"{where}: {_percent(found.share)} of it is in no file that is there"
        if found.share == 1:
            raise DataError(f"{sentence}; bring the files that it is made of")
        return f"{sentence}, and is read as {dataset.fillvalue}; bring the files that it is made of"
    what = f"{where}: {_percent(found.share)} of its chunks were never written"
    if found.n_rows:
        left = f"{found.n_rows} of {dataset.shape[row_axis]} rows without a value"
        what += f", which leaves {left} (the first is row {found.first_row}, counted from 0)"
    pipeline = dataset.id.get_create_plist()
    is_undefined = pipeline.fill_value_defined() == h5py.h5d.FILL_VALUE_UNDEFINED
    if is_undefined or pipeline.get_fill_time() == h5py.h5d.FILL_TIME_NEVER:
        raise DataError(f"{what}; what would be read there is left to chance: cut it to what was written")
    return f"{what}; it is read as {dataset.fillvalue} there: cut it to what was written"


def _percent(share: float) -> str:
    if share == 1 or 1e-3 <= share <= 1 - 1e-3:
        return f"{100 * share:.3g}%"
    return "less than 0.1%" if share < 0.5 else "more than 99.9%"


def _absent(dataset: h5py.Dataset) -> float:
    """The share of a virtual dataset that lies in no file that is there; 0 where its sources are a pattern of names."""
    n_there, folder = 0, Path(dataset.file.filename).parent
    for source in dataset.virtual_sources():
        if "%" in source.file_name or "%" in source.dset_name:
            return 0.0
        n_points: Any = source.vspace.get_select_npoints()
        if source.file_name == "." or (folder / source.file_name).exists():
            n_there += int(n_points)
    return max(1 - n_there / dataset.size, 0.0) if dataset.size else 0.0


def _cut_off(dataset: h5py.Dataset) -> float:
    """The share of a dataset in files of raw numbers that is beyond their ends; missing ones are errors of HDF5."""
    n_there = 0
    for name, offset, n_bytes in dataset.external:
        file = Path(name) if Path(name).exists() else Path(dataset.file.filename).parent / name
        n_there += min(n_bytes, max(file.stat().st_size - offset, 0)) if file.exists() else n_bytes
    return max(1 - n_there / dataset.nbytes, 0.0) if dataset.nbytes else 0.0

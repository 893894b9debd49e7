"""The parameters of kept sweeps in `run.h5`, as one array (sweep, *shape) for each.

Earlier versions kept a group `parameters/sweep-000010` for each sweep; such files are read, and gone on with, as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import require_memory
from prosper_ng.late_h5py import h5py
from prosper_ng.numerics.named_arrays import NamedArrays, n_numbers
from prosper_ng.storage import hdf5
from prosper_ng.storage.axes import SWEEP, become_scale

GROUP = "parameter_history"
FORMER = "sweep-"
"""Before the number of a sweep in the names of the groups of earlier versions."""


def append(file: h5py.File, kept: Sequence[tuple[int, NamedArrays]]) -> None:
    """Add the parameters of later sweeps, in the place of what the file has from the first of them on."""
    if not kept:
        return
    group = file.require_group(GROUP)
    known = group[SWEEP][()] if SWEEP in group else np.empty(0)
    start = int(np.searchsorted(known, kept[0][0]))
    hdf5.extend(group, SWEEP, start, np.array([sweep for sweep, _ in kept], np.int64))
    become_scale(group[SWEEP])
    for place, (_, params) in enumerate(kept, start):
        for name in params:
            hdf5.extend(group, name, place, params[name][None])


def forget_after(file: h5py.File, last: float) -> list[str]:
    """Remove what was kept after a sweep; the paths of the groups of an earlier version that are to be removed."""
    group = file.get(GROUP, {})
    if SWEEP in group:
        n_kept = int(np.searchsorted(group[SWEEP][()], last, "right"))
        for item in group.values():
            if not hdf5.is_length(item):
                item.resize(n_kept, axis=0)
    return [f"parameters/{FORMER}{name}" for name, sweep in _former(file).items() if sweep > last]


def check(file: h5py.File) -> None:
    """Raise ValueError where the group holds no arrays that can grow along the sweeps."""
    group = file.get(GROUP, {})
    if isinstance(group, h5py.Dataset) or (len(group) and SWEEP not in group):
        raise ValueError(f"{GROUP} holds no sweeps")
    for name, item in group.items():
        if hdf5.is_length(item):
            continue
        if not isinstance(item, h5py.Dataset) or item.ndim == 0 or item.maxshape[0] is not None:
            raise ValueError(f"{GROUP}/{name} is no array that can grow")
        if len(item) != len(group[SWEEP]) or item.dtype.kind not in "if":
            raise ValueError(f"{GROUP}/{name} holds no numbers for each of its sweeps")
    if SWEEP in group and (group[SWEEP].ndim != 1 or (np.diff(group[SWEEP][()]) <= 0).any()):
        raise ValueError(f"{GROUP}/{SWEEP} holds no sweeps in their order")


def sweeps(file: h5py.File) -> list[int]:
    """Those after which parameters were kept."""
    check(file)
    now = file[GROUP][SWEEP][()].tolist() if len(file.get(GROUP, ())) else []
    return sorted({*now, *_former(file).values()})


def read(file: h5py.File) -> dict[str, NDArray[Any]]:
    """`sweep` (n,) and the parameters (n, *shape); NaN where one was not kept. Empty where nothing was.

    Raises DataError where they do not fit into memory, ValueError where the file is damaged.
    """
    order = {sweep: place for place, sweep in enumerate(sweeps(file))}
    if not order:
        return {}
    group = {name: item for name, item in file.get(GROUP, {}).items() if not hdf5.is_length(item)}
    former = {sweep: file["parameters"][f"{FORMER}{name}"] for name, sweep in _former(file).items()}
    shapes = {name: item.shape[1:] for name, item in group.items() if name != SWEEP}
    shapes |= {name: item.shape for each in former.values() for name, item in each.items() if not hdf5.is_length(item)}
    require_memory(
        8 * len(order) * n_numbers(shapes),
        f"the history of the parameters in {file.filename}",
    )
    found = {name: np.full((len(order), *shape), np.nan) for name, shape in shapes.items()}
    for sweep, each in former.items():
        for name in found.keys() & each.keys():
            found[name][order[sweep]] = each[name][()]
    if SWEEP in group:
        places = [order[sweep] for sweep in group[SWEEP][()].tolist()]
        for name in found.keys() & group.keys():
            found[name][places] = group[name][()]
    return {SWEEP: np.array(list(order), np.int64), **found}


def _former(file: h5py.File) -> dict[str, int]:
    """The numbers of the sweeps that an earlier version kept, as they are written there and as such."""
    names = [name.removeprefix(FORMER) for name in file.get("parameters", ()) if name.startswith(FORMER)]
    return {name: int(name) for name in names}

"""Names for the axes of arrays in HDF5 files, as netCDF-4 keeps them.

xarray, Panoply, MATLAB and ncdump then show `W (D, H)` instead of `W (phony_dim_0, phony_dim_1)`. A name is a dimension
scale: a dataset of that name whose attributes refer to the arrays and theirs to it. One that holds nothing, a dimension
without a variable in the words of netCDF, says how long the axis is; others hold what stands along it, such as names of
columns.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from prosper_ng.data.sources._hdf5_content import AXIS_ALONE
from prosper_ng.late_h5py import h5py
from prosper_ng.models.axes import Axes, distinct
from prosper_ng.storage import hdf5

SWEEP = "sweep"
KNOWN: dict[str, Axes] = {
    "preprocessing/mean": ("D",),
    "preprocessing/matrix": ("D", "D_2"),
    "preprocessing/inverse": ("D_2", "D"),
    "results/images": ("height", "width", "channel"),
}
"""Of arrays of `run.h5` that are no parameters, by their path or group."""
_IN_FULL = {"N": "row", "k": "top_k", "channels": "channel"}
"""How axes are called for which what is said of an array has a shorter word."""
_DAMAGE = (RuntimeError, KeyError, ValueError, TypeError)
"""What h5py raises where a file is damaged."""
_SHAPE = re.compile(r"\(((?:\w+, ?)*\w*)\) ")


def name_all(file: h5py.File, axes_of: Callable[[str, int], Axes | None], labels: Mapping[str, Sequence[str]]) -> None:
    """Name the axes of all arrays of a file that have no names yet.

    `axes_of` says the names for the path of an array and the number of its axes. What it does not know is named after
    the array, `image_0` and so on, since readers want all arrays to have names or none. `labels` are what stands along
    axes, by their names.
    """
    found: list[h5py.Dataset] = []

    def note(_: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim and not hdf5.is_scale(item):
            found.append(item)

    # Names are for readers; what is wrong with those of a damaged file must not keep a run from going on.
    with contextlib.suppress(*_DAMAGE):
        file.visititems(note)
    for dataset in found:
        with contextlib.suppress(*_DAMAGE):
            if not len(dataset.dims[0]):
                path = str(dataset.name).strip("/")
                _name(dataset, axes_of(path, dataset.ndim) or (), labels)


def unknown(name: str, n_axes: int) -> Axes:
    """The names of the axes of an array that nothing is known of."""
    return tuple(f"{name}_{place}" for place in range(n_axes))


def told_by(meaning: object) -> Axes | None:
    """The axes in what is said of an array: `row` and `H` in "(N, H) posterior means"; None where it tells none."""
    found = _SHAPE.match(meaning) if isinstance(meaning, str) else None
    words = [] if found is None else [word.strip() for word in found[1].split(",") if word.strip()]
    return tuple(_IN_FULL.get(word, word) for word in words) or None


def become_scale(dataset: h5py.Dataset) -> None:
    """Let the numbers of a dataset stand along the axis that is called like it."""
    with contextlib.suppress(*_DAMAGE):
        if not hdf5.is_scale(dataset):
            dataset.make_scale(str(dataset.name).rpartition("/")[2])


def remove(file: h5py.File, path: str) -> None:
    """Remove a dataset or group; names of axes would keep references to arrays that are gone."""

    def detach(_: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim and not hdf5.is_scale(item):
            for axis in range(item.ndim):
                for scale in list(item.dims[axis].values()):
                    item.dims[axis].detach_scale(scale)

    item = file[path]
    with contextlib.suppress(*_DAMAGE):
        detach(path, item) if isinstance(item, h5py.Dataset) else item.visititems(detach)
    del file[path]


def _name(dataset: h5py.Dataset, axes: Axes, labels: Mapping[str, Sequence[str]]) -> None:
    own = str(dataset.name).rpartition("/")[2]
    known = len(axes) == dataset.ndim
    names = distinct(axes) if known else unknown(own, dataset.ndim)
    scales = [
        _scale(dataset.file if known else dataset.parent, dataset.parent, name, length, labels.get(name))
        for name, length in zip(names, dataset.shape, strict=True)
    ]
    if not all(scales):
        if known:
            _name(dataset, (), labels)
        return
    for axis, scale in enumerate(scales):
        dataset.dims[axis].attach_scale(scale)


def _scale(
    home: h5py.Group, group: h5py.Group, name: str, length: int, labels: Sequence[str] | None
) -> h5py.Dataset | None:
    """The scale of this name that a reader of the group sees, made at `home` where there is none.

    None where something else has the name, or the axis has another length.
    """
    while name not in group and group.name != "/":
        group = group.parent
    if name in group:
        found = group[name]
        fits = isinstance(found, h5py.Dataset) and found.shape == (length,)
        return found if fits and found.attrs.get("CLASS") == b"DIMENSION_SCALE" else None
    if labels is not None and len(labels) == length:
        values = [hdf5.storable(label) for label in labels]
        made = home.create_dataset(name, data=values, dtype=h5py.string_dtype())
        made.make_scale(name)
    else:
        made = home.create_dataset(name, shape=(length,), dtype=np.int8)
        made.make_scale(f"{AXIS_ALONE}{length:10d}")
    return made

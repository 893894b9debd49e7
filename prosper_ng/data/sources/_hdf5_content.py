"""What objects in HDF5 files hold in the place of a table of numbers, by the marks of those who write them."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources._matlab_classes import NUMERIC, not_numbers
from prosper_ng.errors import listed
from prosper_ng.late_h5py import h5py

_NAMES = {
    4: "szip", 307: "bzip2", 32000: "lzf", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp",
    32015: "zstd", 32017: "sz", 32024: "sz3", 32026: "blosc2",
}  # fmt: skip
AXIS_ALONE = "This is a netCDF dimension but not a netCDF variable."
"""How netCDF marks a dataset that says how long an axis is, and holds nothing."""
_SPARSE = {"data", "indices", "indptr"}
_MOST_SHOWN = 10


def is_axis_alone(dataset: h5py.Dataset) -> bool:
    """Whether a dataset says how long an axis is, as netCDF writes it, and holds no data."""
    name = dataset.attrs.get("NAME")
    return isinstance(name, bytes) and name.startswith(AXIS_ALONE.encode())


def require_readable(dataset: h5py.Dataset, where: str) -> None:
    """Raise DataError where a dataset is packed by a filter that is not installed.

    Those that come with the package hdf5plugin are there once it is imported, which is tried.
    """
    lacking = [(code, name) for code, name in _filters_of(dataset) if not _can_unpack(code)]
    if lacking:
        with contextlib.suppress(ImportError):
            importlib.import_module("hdf5plugin")
        lacking = [(code, name) for code, name in lacking if not _can_unpack(code)]
    if lacking:
        code, given = lacking[0]
        name = _NAMES.get(code) or given.split(";")[0].strip() or "a filter"
        raise DataError(
            f"{where} is packed by {name} (HDF5 filter {code}), which is not installed here: pip install hdf5plugin, "
            "or where the filter is, write the file anew with h5repack -f GZIP=4 OLD NEW"
        )


def _filters_of(dataset: h5py.Dataset) -> list[tuple[int, str]]:
    """Number and name of each filter that a dataset went through."""
    pipeline = dataset.id.get_create_plist()
    found = [pipeline.get_filter(number) for number in range(pipeline.get_nfilters())]
    return [(code, name.decode("latin-1")) for code, _, _, name in found]


def _can_unpack(code: int) -> bool:
    return bool(h5py.h5z.filter_avail(code) and h5py.h5z.get_filter_info(code) & h5py.h5z.FILTER_CONFIG_DECODE_ENABLED)


def require_numbers(dataset: h5py.Dataset, where: str) -> None:
    """Raise DataError where the dataset holds an object of MATLAB, references, or rows of differing lengths."""
    matlab_class = _text(dataset.attrs.get("MATLAB_class"))
    is_complex = dataset.dtype.names == ("real", "imag")
    if matlab_class is not None:
        kind = "complex" if is_complex and matlab_class in NUMERIC else matlab_class
        if kind not in NUMERIC:
            raise DataError(not_numbers(where, str(dataset.name), kind))
    if is_complex:
        raise DataError(f"{where} holds complex numbers; only real numbers can be learned from")
    if h5py.check_ref_dtype(dataset.dtype) is not None:
        raise DataError(f"{where} holds references to other objects of the file; name the one that holds the numbers")
    if h5py.check_string_dtype(dataset.dtype) is not None:
        raise DataError(f"{where} holds text; only real numbers can be learned from")
    if h5py.check_vlen_dtype(dataset.dtype) is not None:
        raise DataError(f"{where} holds lists of differing lengths; save a table, with NaN where a list has ended")
    if dataset.dtype.subdtype is not None:
        base, shape = dataset.dtype.subdtype
        whole = dataset.shape + shape
        raise DataError(f"{where} holds arrays of shape {shape} (type {base}); save them as a dataset of shape {whole}")


def doubts_of(dataset: h5py.Dataset, where: str, is_transposed: bool) -> tuple[str, ...]:
    """What is doubtful about what the numbers mean."""
    found = []
    names = h5py.check_enum_dtype(dataset.dtype)
    if names is not None:
        shown = ", ".join(list(names)[:_MOST_SHOWN])
        found.append(f"{where}: its numbers stand for names ({shown}), and are learned as numbers")
    writer = "MATLAB" if "MATLAB_class" in dataset.attrs else None
    writer = "Octave" if "OCTAVE_NEW_FORMAT" in dataset.parent.attrs else writer
    if writer is not None and dataset.ndim > 1 and not is_transposed:
        found.append(
            f"{where} was written by {writer}, column by column: what are rows there are columns here; `kind: mat` "
            f"reads it as {writer} shows it"
        )
    return tuple(found)


def not_a_dataset(thing: Any, where: str, name: str) -> str:
    """The sentence that what is called `where` is no dataset but a group or a type, and what to read instead."""
    if not isinstance(thing, h5py.Group):
        return f"{where} is a type, not a dataset"
    members = set(thing.keys())
    matlab_class = _text(thing.attrs.get("MATLAB_class"))
    if "MATLAB_sparse" in thing.attrs:
        return not_numbers(where, name, "logical sparse" if matlab_class == "logical" else "sparse")
    if matlab_class is not None and matlab_class != "struct":
        return not_numbers(where, name, matlab_class)
    encoding = _text(thing.attrs.get("encoding-type")) or _text(thing.attrs.get("h5sparse_format")) or ""
    if members >= _SPARSE or encoding.startswith(("csr", "csc")):
        return (
            f"{where} is a group, not a dataset: a sparse matrix; save it as a full one, as in numpy.save('NEW.npy', "
            "anndata.read_h5ad(OLD).X.toarray())"
        )
    if "pandas_type" in thing.attrs:
        return _of_pandas(thing, where, name)
    if matlab_class == "struct":
        return f"{where} is a struct of MATLAB; name one of its fields: {_inside(thing, name)}"
    return f"{where} is a group, not a dataset; name one of those in it: {_inside(thing, name)}"


def _of_pandas(group: h5py.Group, where: str, name: str) -> str:
    blocks = sorted(each for each in group if each.startswith("block") and each.endswith("_values"))
    anew = "save its numbers, as in numpy.save('NEW.npy', pandas.read_hdf(OLD, KEY).to_numpy())"
    if len(blocks) == 1 and "table" not in group:
        anew = f"'{name.strip('/')}/{blocks[0]}' are its numbers"
    return f"{where} is a group, not a dataset: a DataFrame of pandas; {anew}"


def _inside(group: h5py.Group, name: str) -> str:
    """The datasets right in a group and one level below, with their shapes, under their names in the file."""
    found: list[str] = []
    prefix = name.strip("/")
    for key in list(group)[: 10 * _MOST_SHOWN]:
        link = group.get(key, getlink=True)
        thing = group[key] if isinstance(link, h5py.HardLink) else None
        path = f"{prefix}/{key}".strip("/")
        if isinstance(thing, h5py.Dataset):
            found.append(f"'{path}' of shape {thing.shape}")
        elif isinstance(thing, h5py.Group) and not key.startswith("#"):
            found.append(f"'{path}' (a group)")
    return listed(found, _MOST_SHOWN) or "none"


def _text(value: Any) -> str | None:
    """An attribute as text, None where it is none."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value) if isinstance(value, str) else None

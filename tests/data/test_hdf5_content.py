"""Objects of HDF5 files that hold no table of numbers, or one packed in a way that is not known here."""

import sys

import h5py
import numpy as np
import pytest

from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources._hdf5_content import AXIS_ALONE
from prosper_ng.data.sources._in_hand import dataset_of
from prosper_ng.data.sources.hdf5 import Hdf5

ROWS = np.arange(12.0).reshape(4, 3)


def opened(path, name="rows"):
    return Hdf5(path=str(path), dataset=name).open(0)


def refusal(path, name="rows"):
    with pytest.raises(DataError) as refused:
        opened(path, name)
    assert "damaged" not in str(refused.value)
    return str(refused.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "d.h5"


@pytest.mark.parametrize(("code", "said"), [(32001, "blosc"), (32015, "zstd"), (31999, "a filter")])
def test_a_filter_that_is_not_installed(path, monkeypatch, code, said):
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)  # as if it were not installed
    with h5py.File(path, "w") as file:
        options = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        options.set_chunk(ROWS.shape)
        # Optional filters may be lacking where a dataset is made.
        options.set_filter(code, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple(ROWS.shape)
        dataset = h5py.h5d.create(file.id, b"rows", h5py.h5t.NATIVE_DOUBLE, space, options)
        dataset.write_direct_chunk((0, 0), ROWS.tobytes())
    assert refusal(path) == (
        f"dataset 'rows' of {path} is packed by {said} (HDF5 filter {code}), which is not installed here: pip install "
        "hdf5plugin, or where the filter is, write the file anew with h5repack -f GZIP=4 OLD NEW"
    )
    with h5py.File(path) as file, pytest.raises(DataError, match="the array is packed by"):
        dataset_of(file["rows"])


def test_filters_that_come_with_h5py(path):
    with h5py.File(path, "w") as file:
        for name in ("gzip", "lzf"):
            file.create_dataset(name, data=ROWS, compression=name, shuffle=True, fletcher32=True)
    for name in ("gzip", "lzf"):
        np.testing.assert_array_equal(opened(path, name).read(0, 4), ROWS)


@pytest.mark.parametrize("dtype", ["f2", ">f4", ">i2", "u1", "bool"])
def test_numbers_of_any_kind_are_read(path, dtype):
    values = (ROWS % 2).astype(dtype)
    with h5py.File(path, "w") as file:
        file["rows"] = values
    dataset = opened(path)
    np.testing.assert_array_equal(dataset.read(0, 4), values.astype(float))
    assert dataset.doubts == ()


def test_what_is_no_number(path):
    with h5py.File(path, "w") as file:
        file["rows"] = ROWS
        file.create_dataset("references", data=np.array([[file["rows"].ref]], h5py.ref_dtype))
        file.create_dataset("lists", (3,), h5py.vlen_dtype("f8"))[0] = [1.0, 2.0]
        file.create_dataset("text", (3, 1), h5py.string_dtype())[0] = "a"
        file.create_dataset("arrays", (4,), np.dtype(("f8", (3,))))[:] = ROWS
        file.create_dataset("records", data=np.zeros(3, [("x", "f8"), ("y", "f4")]))
        file["complex"] = ROWS + 1j
        file["type"] = np.dtype("f8")
    for name, sentence in {
        "references": "holds references to other objects of the file; name the one that holds the numbers",
        "lists": "holds lists of differing lengths; save a table, with NaN where a list has ended",
        "text": "holds text; only real numbers can be learned from",
        "arrays": "holds arrays of shape (3,) (type float64); save them as a dataset of shape (4, 3)",
        "records": "holds records with the fields x, y; only real numbers can be learned from",
        "complex": "holds complex numbers; only real numbers can be learned from",
        "type": "'type' of ",
    }.items():
        assert sentence in refusal(path, name)


def test_numbers_that_stand_for_names_are_told(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("rows", (2, 2), h5py.enum_dtype({"rest": 0, "task": 1}))[:] = [[0, 1], [1, 0]]
    dataset = opened(path)
    assert dataset.doubts == (
        f"dataset 'rows' of {path}: its numbers stand for names (rest, task), and are learned as numbers",
    )
    np.testing.assert_array_equal(dataset.read(0, 2), [[0, 1], [1, 0]])


def test_groups_say_what_to_read_instead(path):
    with h5py.File(path, "w") as file:
        file["recording/data"] = ROWS
        file["recording/electrodes/x"] = 1.0
        for name, mark in (("X", ("encoding-type", "csr_matrix")), ("old", ("h5sparse_format", "csc"))):
            file.create_group(name).attrs[mark[0]] = mark[1]
        for member in ("data", "indices", "indptr", "shape"):
            file[f"matrix/{member}"] = [1]
        for name, blocks in (("fixed", 1), ("mixed", 2), ("table", 0)):
            file.create_group(name).attrs["pandas_type"] = np.bytes_("frame")
            for number in range(blocks):
                file[f"{name}/block{number}_values"] = ROWS
        file["table/table"] = np.zeros(3, [("index", "i8")])
        file.create_group("empty")
    sparse = "is a group, not a dataset: a sparse matrix; save it as a full one"
    for name, sentence in {
        "recording": "is a group, not a dataset; name one of those in it: 'recording/data' of shape (4, 3), "
        "'recording/electrodes' (a group)",
        "X": sparse,
        "old": sparse,
        "matrix": sparse,
        "fixed": "a DataFrame of pandas; 'fixed/block0_values' are its numbers",
        "mixed": "a DataFrame of pandas; save its numbers, as in numpy.save('NEW.npy', pandas.read_hdf(OLD, KEY)",
        "table": "a DataFrame of pandas; save its numbers",
        "empty": "name one of those in it: none",
    }.items():
        assert sentence in refusal(path, name)
    np.testing.assert_array_equal(opened(path, "fixed/block0_values").read(0, 4), ROWS)


def test_lengths_of_axes_are_not_offered_as_data(path):
    with h5py.File(path, "w") as file:
        file["rows"] = ROWS
        file.create_dataset("D", (3,), "i1").make_scale(f"{AXIS_ALONE}         3")
        file["rows"].dims[1].attach_scale(file["D"])
    assert refusal(path, "data").endswith("(it has 'rows')")
    assert (opened(path).read(0, 4) == ROWS).all()

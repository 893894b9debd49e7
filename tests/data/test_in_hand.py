"""Rows that a program has in hand: the same numbers from whatever holds them, and a sentence for what holds none."""

import io
import os
from decimal import Decimal

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr
import zarr

from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources import _bands
from prosper_ng.data.sources._in_hand import dataset_of

NAMES = ["a", "b", "c", "d"]
WHOLE = np.random.default_rng(0).normal(size=(20, 4))
GAPS = np.where(np.eye(20, 4) == 1, np.nan, WHOLE)
COUNTS = np.arange(80).reshape(20, 4) * 7
COUNTS_WITH_GAPS = np.where(np.eye(20, 4) == 1, np.nan, COUNTS)


def frame(values, names=NAMES):
    return pd.DataFrame(values, columns=names)


def nullable():
    return frame(COUNTS).astype("Int64").mask(np.eye(20, 4) == 1)


def whole_numbers_of_polars():
    rows = [[None if value != value else int(value) for value in row] for row in COUNTS_WITH_GAPS]
    return pl.DataFrame(rows, schema=NAMES, orient="row")


def zarr_of(values, version=3, **settings):
    return zarr.array(values, chunks=(6, 3), zarr_format=version, **settings)


HOLDERS = {
    "pandas": (lambda: frame(WHOLE), WHOLE),
    "pandas, gaps": (lambda: frame(GAPS), GAPS),
    "pandas, its index is no column": (lambda: frame(WHOLE).set_index(pd.date_range("2020", periods=20)), WHOLE),
    "pandas, nullable": (nullable, COUNTS_WITH_GAPS),
    "pandas, objects": (lambda: nullable().astype(object), COUNTS_WITH_GAPS),
    "pandas, sparse": (lambda: frame(WHOLE).astype(pd.SparseDtype(float)), WHOLE),
    "pandas, mixed": (lambda: frame(COUNTS).assign(d=[True, False] * 10), np.c_[COUNTS[:, :3], [1, 0] * 10]),
    "pandas, decimals": (lambda: frame([[Decimal("1.5"), 2, None, 4]] * 20), np.array([[1.5, 2, np.nan, 4]] * 20)),
    "pandas, numbers as names": (lambda: frame(WHOLE, [1990, 1991, 1992, 1993]), WHOLE),
    "polars": (lambda: pl.DataFrame(WHOLE, schema=NAMES), WHOLE),
    "polars, nulls": (lambda: pl.DataFrame(GAPS, schema=NAMES, nan_to_null=True), GAPS),
    "polars, whole numbers with nulls": (whole_numbers_of_polars, COUNTS_WITH_GAPS),
    "polars, a column of nulls": (lambda: pl.DataFrame({"a": [1.0] * 3, "b": [None] * 3}), [[1, np.nan]] * 3),
    "zarr 2": (lambda: zarr_of(WHOLE, 2), WHOLE),
    "zarr 3": (lambda: zarr_of(WHOLE), WHOLE),
    "zarr, packed": (lambda: zarr_of(COUNTS, attributes={"scale_factor": 0.5, "_FillValue": 14}), None),
    "xarray": (lambda: xr.DataArray(WHOLE, dims=("row", "column"), coords={"column": NAMES}), WHOLE),
    "list with None": (lambda: [[None if value != value else value for value in row] for row in GAPS.tolist()], GAPS),
    "array of objects": (lambda: GAPS.astype(object), GAPS),
    "mask": (lambda: np.ma.masked_invalid(GAPS), GAPS),
    "mask over whole numbers": (lambda: np.ma.array(COUNTS, mask=np.eye(20, 4) == 1), COUNTS_WITH_GAPS),
    "mask over objects": (lambda: np.ma.array(WHOLE.astype(object), mask=np.eye(20, 4) == 1), GAPS),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_whatever_holds_rows_they_are_the_same_in_any_slice(holder):
    made, expected = HOLDERS[holder]
    if expected is None:
        expected = np.where(COUNTS == 14, np.nan, COUNTS * 0.5)
    dataset = dataset_of(made(), missing=True)
    np.testing.assert_array_equal(dataset.raw(0, dataset.n_rows), expected)
    for start in range(0, len(expected) - 1, 3):
        np.testing.assert_array_equal(dataset.raw(start, start + 2), np.asarray(expected)[start : start + 2])
    assert dataset.doubts == ()


@pytest.mark.parametrize(
    ("module", "holder"),
    [
        ("pyarrow", lambda library: library.table(dict(zip(NAMES, WHOLE.T, strict=True)))),
        ("dask.array", lambda library: library.from_array(WHOLE, chunks=(7, 3))),
        ("torch", lambda library: library.from_numpy(WHOLE)),
    ],
)
def test_arrays_and_tables_of_libraries_that_may_be_there(module, holder):
    dataset = dataset_of(holder(pytest.importorskip(module)))
    np.testing.assert_array_equal(dataset.raw(3, 9), WHOLE[3:9])


def test_columns_have_their_names_unless_a_library_made_them_up():
    named = [frame(WHOLE), pl.DataFrame(WHOLE, schema=NAMES), xr.DataArray(WHOLE, coords={"y": NAMES}, dims=("x", "y"))]
    assert [dataset_of(each).column_names for each in named] == 3 * [tuple(NAMES)]
    unnamed = [WHOLE, pd.DataFrame(WHOLE), pl.DataFrame(WHOLE), xr.DataArray(WHOLE), frame(WHOLE, [0, 1, 2, 3])]
    assert [dataset_of(each).column_names for each in unnamed] == 5 * [None]
    assert dataset_of(frame(WHOLE, [1990, 1991, 1992, 1993])).column_names == ("1990", "1991", "1992", "1993")


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        (
            lambda: frame(WHOLE).assign(b="Paris"),
            "frame: column 1 ('b') holds text ('Paris' in row 0, counted from 0)",
        ),
        (lambda: pl.DataFrame({"a": [1, 2], "b": ["1.5", "-"]}), "column 1 ('b') holds text ('-' in row 1"),
        (lambda: frame(WHOLE).assign(a=pd.Categorical(["x"] * 20), c="y"), "so it is with 'c'; leave out what is no"),
        (lambda: frame(WHOLE).assign(c=pd.date_range("2020", periods=20)), "column 2 ('c') holds dates"),
        (lambda: frame(WHOLE + 1j), "column 0 ('a') holds values of type complex128"),
        (lambda: frame(WHOLE).assign(d=[*range(19), "x"]), "row 19, column 3 ('d') is 'x', which is no number"),
        (
            lambda: frame(GAPS),
            "row 0, column 0 ('a', counted from 0) is nan; every value must be a finite number",
        ),
        (nullable, "is nan; every value must be a finite number; set missing=True if NaN marks values that were not"),
        (lambda: frame(WHOLE, list("aabc")), "the frame has 2 columns 'a'; rename them"),
        (lambda: frame(WHOLE)[:0], "the frame has no rows"),
        (lambda: pd.DataFrame(index=range(3)), "the frame has no columns"),
        (lambda: frame(WHOLE)["a"], "is a Series, which is a single column; give a frame, as by data.to_frame()"),
        (lambda: pl.Series([1.0, 2.0]), "is a Series, which is a single column"),
        (lambda: pl.DataFrame(WHOLE).lazy(), "the frame is lazy: its rows are not there yet"),
        (lambda: xr.Dataset({"x": (("r", "c"), WHOLE)}), "is a Dataset of xarray; give one of its variables: x"),
        (lambda: xr.DataArray(WHOLE.reshape(5, 4, 4)), "has 3 dimensions (5, 4, 4), needed are 2"),
        (lambda: zarr.group(), "is a group of zarr; give one of the arrays in it"),
        (
            lambda: zarr.create_array({}, shape=(4, 2), dtype=float),
            "the shape (4, 2), and none of its chunks is there",
        ),
        (lambda: np.array([["a", 1]] * 20, object), "row 0, column 0 (counted from 0) is 'a', which is no number"),
        (lambda: np.ma.masked_invalid(GAPS), "is missing: it is NaN, or marked so (the mask), as 4 of the 80 values"),
        (lambda: {"a": [1.0]}, "is a dict; give an array or a frame"),
        (lambda: (row for row in WHOLE), "is a generator; give an array or a frame"),
        (lambda: "data.npy", "the data: 'data.npy' is the name of a file, and no rows; open it first"),
    ],
)
def test_what_holds_no_table_of_numbers_is_one_sentence(held, sentence):
    with pytest.raises(DataError) as refused:
        dataset_of(held()).raw(0, 20)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_column_that_counts_the_rows_is_doubtful():
    text = frame(WHOLE).to_csv()
    read_again = (pd.read_csv(io.StringIO(text)), " 'Unnamed: 0'"), (pl.read_csv(io.BytesIO(text.encode())), "")
    for table, name in read_again:
        (doubt,) = dataset_of(table).doubts
        assert doubt.startswith(f"the frame: the first column{name} seems to count the rows; leave it out")
    assert dataset_of(pd.read_csv(io.StringIO(text), index_col=0)).doubts == ()
    assert dataset_of(frame(COUNTS)).doubts == ()


def test_chunks_that_were_never_written_are_told():
    partly = zarr.create_array({}, shape=(20, 4), chunks=(6, 4), dtype=float)
    partly[:6] = WHOLE[:6]
    (doubt,) = dataset_of(partly).doubts
    assert doubt.startswith("the array: 3 of its 4 chunks are not there, and are read as 0.0; cut it to what was")
    gaps = zarr.create_array({}, shape=(20, 4), chunks=(6, 4), dtype=float, fill_value=np.nan)
    gaps[:6] = WHOLE[:6]
    assert dataset_of(gaps, missing=True).doubts == ()


def test_large_chunks_are_unpacked_once(monkeypatch):
    monkeypatch.setattr(_bands, "_SMALLEST", 1)
    asked = []

    def read(start, stop):
        asked.append((start, stop))
        return WHOLE[start:stop]

    rows = _bands.by_chunks(read, 8, (20, 4), 32)
    for start in range(0, 20, 3):
        np.testing.assert_array_equal(rows(start, min(start + 3, 20)), WHOLE[start : start + 3])
    assert asked == [(0, 8), (8, 16), (16, 20)]
    np.testing.assert_array_equal(rows(2, 2), WHOLE[2:2])


def test_what_is_closed_or_cut_off_meanwhile_is_one_sentence(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["rows"] = WHOLE
        dataset = dataset_of(file["rows"])
    with pytest.raises(DataError, match="belongs to a file that was closed while its rows were in use"):
        dataset.raw(0, 3)
    np.save(tmp_path / "d.npy", np.zeros((4096, 4)))
    whole = np.load(tmp_path / "d.npy", mmap_mode="r")
    dataset, part = dataset_of(whole), dataset_of(whole[10:])
    os.truncate(tmp_path / "d.npy", 5000)
    for each in (dataset, part):
        with pytest.raises(DataError, match=r"d\.npy was cut off while its rows were in use"):
            each.raw(4000, 4001)
    os.replace(tmp_path / "d.h5", tmp_path / "d.npy")  # what is mapped is another file now
    dataset.raw(0, 10)


def test_a_dataset_that_shrinks_meanwhile_is_one_sentence(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        rows = file.create_dataset("rows", data=WHOLE, maxshape=(None, 4), chunks=(5, 4))
        dataset = dataset_of(rows)
        rows.resize(25, 0)
        np.testing.assert_array_equal(dataset.raw(10, 20), WHOLE[10:20])
        rows.resize(12, 0)
        with pytest.raises(DataError, match=r"was changed while its rows were in use: rows 10 to 20 have"):
            dataset.raw(10, 20)


def test_rows_that_are_written_meanwhile_can_be_read(tmp_path):
    """By a writer and a reader of one file, as h5py's SWMR allows for."""
    with h5py.File(tmp_path / "d.h5", "w", libver="latest") as writer:
        rows = writer.create_dataset("rows", data=WHOLE, maxshape=(None, 4), chunks=(5, 4))
        writer.swmr_mode = True
        with h5py.File(tmp_path / "d.h5", "r", libver="latest", swmr=True, locking=False) as reader:
            dataset = dataset_of(reader["rows"])
            rows.resize(30, 0)
            rows[20:] = 1.0
            rows.flush()
            np.testing.assert_array_equal(dataset.raw(0, 20), WHOLE)

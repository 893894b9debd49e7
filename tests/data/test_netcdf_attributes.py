"""Numbers packed by the conventions of netCDF come out as they are meant, and NaN where they are missing."""

import h5py
import numpy as np
import pytest

from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources._in_hand import dataset_of
from prosper_ng.data.sources.hdf5 import Hdf5

PACKED = np.arange(-6, 6, dtype="i2").reshape(4, 3)


def saved(path, values=PACKED, fillvalue=None, is_netcdf=False, **attributes):
    with h5py.File(path, "w") as file:
        file.create_dataset("rows", data=values, fillvalue=fillvalue)
        file["rows"].attrs.update(attributes)
        if is_netcdf:
            file.attrs["_NCProperties"] = "version=2"
    return path


def read(path, missing=True):
    dataset = Hdf5(path=str(path), dataset="rows", missing=missing).open(0)
    whole = dataset.read(0, dataset.n_rows)
    assert dataset.read(dataset.n_rows - 1, dataset.n_rows).tobytes() == whole[-1:].tobytes()
    assert dataset.doubts == ()
    return whole


FORMS = {
    "scalar": np.int16(-5),
    "one element": np.array([-5], "i2"),
    "other type": -5.0,
    "several": np.array([-5, 99], "i8"),
    "text": "-5",
    "bytes": np.bytes_("-5.0"),
}


@pytest.mark.parametrize("name", ["_FillValue", "missing_value"])
@pytest.mark.parametrize("form", FORMS)
def test_the_fill_value_marks_what_is_missing(tmp_path, name, form):
    path = saved(tmp_path / "d.nc", **{name: FORMS[form]})
    expected = np.where(PACKED == -5, np.nan, PACKED.astype(float))
    np.testing.assert_array_equal(read(path), expected)
    with pytest.raises(DataError) as refused:
        read(path, missing=False)
    marks = f"{name} -5, {name} 99" if form == "several" else f"{name} -5"
    assert str(refused.value) == (
        f"dataset 'rows' of {path}: row 0, column 1 (counted from 0) is missing: it is NaN, or marked so "
        f"({marks}), as 1 of the 12 values of rows 0 to 4 are; set `missing: true` to learn from the others"
    )
    with h5py.File(path) as file:
        np.testing.assert_array_equal(dataset_of(file["rows"], missing=True).read(0, 4), expected)


def test_a_fill_value_in_single_precision(tmp_path):
    values = np.array([[1e20, 2.0], [3.0, 1e20]], "f4")
    for form in (1e20, np.float32(1e20)):
        path = saved(tmp_path / "d.nc", values, _FillValue=form)
        np.testing.assert_array_equal(read(path), [[np.nan, 2.0], [3.0, np.nan]])
    np.testing.assert_array_equal(
        read(saved(tmp_path / "e.nc", np.array([[np.nan, 2.0]]), _FillValue=np.nan)), [[np.nan, 2]]
    )


def test_a_fill_value_that_the_type_cannot_hold_marks_nothing(tmp_path):
    for value in (1e9, 0.5, np.nan):
        np.testing.assert_array_equal(read(saved(tmp_path / "d.nc", _FillValue=value), missing=False), PACKED)


def test_packed_numbers_are_unpacked(tmp_path):
    path = saved(tmp_path / "d.nc", scale_factor=np.array([0.5]), add_offset=10.0, _FillValue=np.int16(0))
    expected = np.where(PACKED == 0, np.nan, PACKED * 0.5 + 10.0)
    np.testing.assert_array_equal(read(path), expected)
    np.testing.assert_array_equal(read(saved(tmp_path / "e.nc", add_offset=1), missing=False), PACKED + 1.0)
    np.testing.assert_array_equal(read(saved(tmp_path / "f.nc", scale_factor=1.0), missing=False), PACKED)


@pytest.mark.parametrize("attributes", [{"valid_range": [-3, 2]}, {"valid_min": -3, "valid_max": np.int16(2)}])
def test_what_is_outside_of_the_valid_range_is_missing(tmp_path, attributes):
    attributes = {name: np.array(value, "i2") for name, value in attributes.items()}
    path = saved(tmp_path / "d.nc", scale_factor=0.5, **attributes)
    expected = np.where((PACKED < -3) | (PACKED > 2), np.nan, PACKED * 0.5)
    np.testing.assert_array_equal(read(path), expected)
    with pytest.raises(DataError, match=r"marked so \(outside of the valid range -3 to 2\)"):
        read(path, missing=False)


def test_a_valid_range_of_floating_point_numbers_is_that_of_what_is_meant(tmp_path):
    path = saved(tmp_path / "d.nc", scale_factor=0.5, valid_range=np.array([-1.5, 1.0]))
    np.testing.assert_array_equal(read(path), np.where((PACKED < -3) | (PACKED > 2), np.nan, PACKED * 0.5))


def test_bytes_without_a_sign(tmp_path):
    values = np.array([[1, 200], [255, 128]], "u1")
    path = saved(tmp_path / "d.nc", values.view("i1"), _Unsigned="true", _FillValue=np.int8(-1))
    np.testing.assert_array_equal(read(path), [[1, 200], [np.nan, 128]])
    path = saved(
        tmp_path / "e.nc", values.view("i1"), _Unsigned=np.bytes_("true"), valid_max=np.int8(-56), scale_factor=2.0
    )
    np.testing.assert_array_equal(read(path), [[2, 400], [np.nan, 256]])
    path = saved(tmp_path / "f.nc", values, _Unsigned="false")
    np.testing.assert_array_equal(read(path), values.view("i1"))


def test_the_default_fill_value_of_netcdf(tmp_path):
    fill = np.float32(9.969209968386869e36)
    values = np.array([[fill, 1.0]], "f4")
    path = saved(tmp_path / "d.nc", values, fill, is_netcdf=True)
    np.testing.assert_array_equal(read(path), [[np.nan, 1.0]])
    with pytest.raises(DataError, match=r"\(the default fill value of netCDF 9\.96921e\+36\)"):
        read(path, missing=False)
    np.testing.assert_array_equal(read(saved(tmp_path / "e.h5", values, fill)), values)
    small = np.array([[129, 1]], "u1")
    np.testing.assert_array_equal(read(saved(tmp_path / "f.nc", small, 129, is_netcdf=True)), small)


def test_what_was_never_written_is_missing_by_its_fill_value(tmp_path):
    with h5py.File(tmp_path / "d.nc", "w") as file:
        file.create_dataset("rows", (4, 3), "f4", chunks=(2, 3), fillvalue=-9.0)[:2] = 1.0
        file["rows"].attrs["_FillValue"] = np.float32(-9)
    np.testing.assert_array_equal(read(tmp_path / "d.nc"), [[1.0] * 3] * 2 + [[np.nan] * 3] * 2)


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"missing_value": "none"}, "its attribute missing_value is 'none', which is no number; correct or delete it"),
        ({"scale_factor": [1.0, 2.0]}, "its attribute scale_factor has 2 numbers, and only 1 makes sense"),
        ({"scale_factor": 0.0}, "its attribute scale_factor is 0"),
        ({"add_offset": np.nan}, "its attribute add_offset is nan, which is no finite number"),
        ({"valid_range": [1, 2, 3]}, "its attribute valid_range has 3 numbers, needed are 2"),
        ({"_FillValue": 1j}, "its attribute _FillValue is no number"),
    ],
)
def test_attributes_that_make_no_sense(tmp_path, attributes, sentence):
    with pytest.raises(DataError, match=f"^dataset 'rows' of .*: {sentence}"):
        read(saved(tmp_path / "d.nc", **attributes))


def test_slices_that_come_masked(tmp_path):
    """As those of variables of the package netCDF4, which unpacks by itself."""

    class Variable:
        shape, dtype = (4, 3), np.dtype("i2")

        def __getitem__(self, rows):
            return np.ma.masked_equal(PACKED, -5)[rows]

    expected = np.where(PACKED == -5, np.nan, PACKED.astype(float))
    np.testing.assert_array_equal(dataset_of(Variable(), missing=True).read(0, 4), expected)
    with pytest.raises(DataError, match=r"row 0, column 1 .* is nan"):
        dataset_of(Variable()).read(0, 4)

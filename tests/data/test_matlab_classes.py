"""Variables of MATLAB by their classes: numbers are read, all else is refused with what to do in MATLAB."""

import struct

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_array

from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources._in_hand import dataset_of
from prosper_ng.data.sources._matlab_classes import NUMERIC
from prosper_ng.data.sources.hdf5 import Hdf5
from prosper_ng.data.sources.mat import Mat

ROWS = np.arange(12.0).reshape(4, 3)
OBJECTS = {
    "string": "double(x)",
    "datetime": "posixtime(x)",
    "duration": "seconds(x)",
    "categorical": "double(x)",
    "table": "table2array(x)",
    "timetable": "x.Variables",
    "containers.Map": "cell2mat(values(x))",
    "my.own.Class": "double(x)",
}
METADATA = np.array([[0xDD000000, 2, 1, 1, 1, 1]], "u4")
"""What MATLAB stores of an object in the place of its content."""


def saved_73(path, fill, header=b"MATLAB 7.3 MAT-file,"):
    """A file of version 7.3 as MATLAB writes it, with a user block."""
    with h5py.File(path, "w", userblock_size=512) as file:
        fill(file)
    content = bytearray(path.read_bytes())
    content[: len(header)] = header
    content[124:128] = b"\0\2IM"
    path.write_bytes(content)
    return path


def put(file, name, values, matlab_class, **attributes):
    file[name] = values
    for key, value in {"MATLAB_class": np.bytes_(matlab_class), **attributes}.items():
        file[name].attrs[key] = value


def refusal(path, variable="x"):
    with pytest.raises(DataError) as refused:
        Mat(path=str(path), variable=variable).open(0)
    assert "damaged" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("matlab_class", OBJECTS)
def test_objects_are_no_numbers(tmp_path, matlab_class):
    """Version 7.3 keeps of a string or a date numbers that mean something else: places in a table of the file."""
    path = saved_73(
        tmp_path / "d.mat",
        lambda file: put(file, "x", METADATA, matlab_class, MATLAB_object_decode=np.int32(3)),
    )
    assert refusal(path) == (
        f"dataset 'x' of {path} is of class {matlab_class}; only a full matrix of real numbers can be learned from: in "
        f"MATLAB, x = {OBJECTS[matlab_class]}; save('NEW.mat', 'x', '-v7.3')"
    )
    with h5py.File(path) as file, pytest.raises(DataError, match=f"the array is of class {matlab_class};"):
        dataset_of(file["x"])


@pytest.mark.parametrize("matlab_class", OBJECTS)
def test_objects_beside_numbers_in_a_file_of_version_5(tmp_path, matlab_class):
    """scipy alone fails for all variables of a file in which one is such an object."""
    path = tmp_path / "d.mat"
    path.write_bytes(HEADER + opaque(b"x", matlab_class.encode()) + matrix(b"rows", ROWS))
    assert f"variable 'x' of {path} is of class {matlab_class};" in refusal(path)
    assert f"MATLAB, x = {OBJECTS[matlab_class]};" in refusal(path)
    np.testing.assert_array_equal(Mat(path=str(path), variable="rows").open(0).read(0, 4), ROWS)
    assert "(it has 'rows', 'x')" in refusal(path, "y")


HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"


def element(code, content):
    return struct.pack("<II", code, len(content)) + content + b"\0" * (-len(content) % 8)


def matrix(name, values, matlab_class=6):
    flags, sides = struct.pack("<II", matlab_class, 0), struct.pack("<ii", *values.shape)
    return element(
        14, element(6, flags) + element(5, sides) + element(1, name) + element(9, values.T.astype("<f8").tobytes())
    )


def opaque(name, matlab_class):
    parts = [element(1, text) for text in (name, b"MCOS", matlab_class)]
    return element(14, element(6, struct.pack("<II", 17, 0)) + b"".join(parts) + matrix(b"", np.ones((1, 2))))


@pytest.mark.parametrize("matlab_class", sorted(NUMERIC))
def test_classes_of_numbers_are_read(tmp_path, matlab_class):
    dtype = {"double": "f8", "single": "f4", "logical": "u1"}.get(matlab_class, matlab_class)
    path = saved_73(tmp_path / "d.mat", lambda file: put(file, "x", ROWS.T.astype(dtype), matlab_class))
    dataset = Mat(path=str(path), variable="x").open(0)
    np.testing.assert_array_equal(dataset.read(0, 4), ROWS)
    assert dataset.doubts == ()


def test_what_else_a_file_of_version_7_3_holds(tmp_path):
    def fill(file):
        put(file, "text", np.array([[104]], "u2"), "char", MATLAB_int_decode=np.int32(2))
        put(file, "complex", np.zeros((3, 4), [("real", "f8"), ("imag", "f8")]), "double")
        put(file, "cell", np.array([[file["text"].ref]], h5py.ref_dtype), "cell")
        put(file, "none", np.array([0, 0], "u8"), "double", MATLAB_empty=np.uint8(1))
        for name, matlab_class in (("S", "double"), ("L", "logical")):
            put(file.create_group(name), "data", [1.0], matlab_class)
            file[name].attrs.update(MATLAB_class=np.bytes_(matlab_class), MATLAB_sparse=np.uint64(5))
        file.create_group("s").attrs["MATLAB_class"] = np.bytes_("struct")
        put(file, "s/field", ROWS.T, "double")
        file.create_group("f").attrs["MATLAB_class"] = np.bytes_("function_handle")
        file["#refs#/a"] = 1.0

    path = saved_73(tmp_path / "d.mat", fill)
    sentences = {
        "text": "holds text (class char)",
        "complex": "holds complex numbers; only a full matrix of real numbers can be learned from: in MATLAB, complex",
        "cell": "is of class cell; only a full matrix of real numbers can be learned from: in MATLAB, cell = cell2mat(",
        "none": "is empty",
        "S": "is a sparse matrix (class sparse); only a full matrix of real numbers can be learned from: in MATLAB, "
        "S = full(S);",
        "L": "L = double(full(L));",
        "s": "is a struct of MATLAB; name one of its fields: 's/field' of shape (3, 4)",
        "f": "is a function (class function_handle)",
        "y": "(it has 'L', 'S', 'cell', 'complex', 'none', 's/field', 'text')",
    }
    for name, sentence in sentences.items():
        assert sentence in refusal(path, name)
    np.testing.assert_array_equal(Mat(path=str(path), variable="s/field").open(0).read(0, 4), ROWS)


def test_sparse_and_complex_in_a_file_of_version_5(tmp_path):
    path = tmp_path / "d.mat"
    savemat(path, {"S": csc_array(np.eye(3)), "L": csc_array(np.eye(3, dtype=bool)), "z": ROWS + 1j, "s": {"a": ROWS}})
    for name, sentence in {"S": "S = full(S);", "L": "L = double(full(L));", "z": "[real(z), imag(z)];"}.items():
        assert sentence in refusal(path, name)
    assert "is of class struct" in refusal(path, "s")
    assert "s = s.FIELD" in refusal(path, "s")


def test_a_file_of_the_first_version_7_3_is_told_by_its_version(tmp_path):
    path = saved_73(tmp_path / "d.mat", lambda file: put(file, "x", ROWS.T, "double"), b"MATLAB 7.0 MAT-file,")
    np.testing.assert_array_equal(Mat(path=str(path), variable="x").open(0).read(0, 4), ROWS)


def test_a_file_cut_off_behind_the_variable(tmp_path):
    path = tmp_path / "d.mat"
    path.write_bytes((HEADER + matrix(b"rows", ROWS) + matrix(b"more", ROWS))[:-8])
    with pytest.raises(DataError, match="is not a MATLAB file, or is damaged"):
        Mat(path=str(path), variable="rows").open(0)


def test_what_matlab_wrote_is_swapped_where_it_is_read_as_plain_hdf5(tmp_path):
    path = saved_73(tmp_path / "d.mat", lambda file: put(file, "x", ROWS.T, "double"))
    dataset = Hdf5(path=str(path), dataset="x").open(0)
    assert dataset.n_rows == 3
    (doubt,) = dataset.doubts
    assert "what are rows there are columns here; `kind: mat` reads it as MATLAB shows it" in doubt


def test_what_octave_wrote(tmp_path):
    """`save -hdf5` makes a group of each variable."""
    path = tmp_path / "d.h5"
    with h5py.File(path, "w") as file:
        file["x/type"], file["x/value"] = np.bytes_("matrix"), ROWS.T
        file["x"].attrs["OCTAVE_NEW_FORMAT"] = np.uint8(1)
    assert "name one of those in it: 'x/type' of shape (), 'x/value' of shape (3, 4)" in refusal(path)
    read = Mat(path=str(path), variable="x/value").open(0)
    np.testing.assert_array_equal(read.read(0, 4), ROWS)
    (doubt,) = Hdf5(path=str(path), dataset="x/value").open(0).doubts
    assert "was written by Octave, column by column" in doubt
    assert read.doubts == ()

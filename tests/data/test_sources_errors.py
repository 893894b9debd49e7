"""What can be wrong with a file, each said in one sentence that names the file and the place."""

import os
import pickle
import struct
import zipfile
from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_array

from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources._arrays import ArrayDataset
from prosper_ng.data.sources._in_hand import dataset_of
from prosper_ng.data.sources.hdf5 import Hdf5
from prosper_ng.data.sources.image import Image
from prosper_ng.data.sources.mat import Mat
from prosper_ng.data.sources.npy import Npy
from prosper_ng.data.sources.npz import Npz
from prosper_ng.errors import UserError

GOOD = np.arange(12.0).reshape(4, 3)

NOT_TABLES = [
    (np.arange(5.0), r"has 1 dimensions \(5,\).*save it as \(5, 1\)"),
    (np.zeros((3, 4, 5)), r"has 3 dimensions.*flatten"),
    (np.float64(3), r"has 0 dimensions"),
    (np.zeros((0, 3)), r"has no rows"),
    (np.zeros((3, 0)), r"has no columns"),
    (np.ones((2, 2), complex), r"holds complex numbers"),
    (np.array([[b"a", b"b"]]), r"holds text"),
    (np.ones((2, 2), [("x", "f8"), ("y", "f4")]), r"holds records with the fields x, y"),
]


def refusal(source):
    """The sentence with which a source is refused; it names the file."""
    sentence = sentence_of(source)
    assert sentence is not None
    assert source.path in sentence
    return sentence


def sentence_of(source):
    """What is said against reading all of a source, None where it can be read."""
    try:
        dataset = source.open(0)
        dataset.read(0, dataset.n_rows)
    except DataError as error:
        return str(error)
    return None


def source_of(kind, path):
    return {
        "hdf5": lambda: Hdf5(path=str(path), dataset="rows"),
        "npy": lambda: Npy(path=str(path)),
        "npz": lambda: Npz(path=str(path), array="rows"),
        "mat": lambda: Mat(path=str(path), variable="rows"),
    }[kind]()


def save(kind, path, values):
    if kind == "hdf5":
        with h5py.File(path, "w") as file:
            file["rows"] = values
    elif kind == "npy":
        with path.open("wb") as file:
            np.save(file, values)
    elif kind == "npz":
        with path.open("wb") as file:
            np.savez(file, rows=values)
    else:
        savemat(path, {"rows": values}, appendmat=False)


KINDS = ["hdf5", "npy", "npz", "mat"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_file(tmp_path, kind):
    assert "no such file" in refusal(source_of(kind, tmp_path / "data.x"))
    (tmp_path / "data.xy").write_bytes(b"x")
    assert f"did you mean {tmp_path}/data.xy?" in refusal(source_of(kind, tmp_path / "data.x"))
    assert f"there is no folder {tmp_path}/no" in refusal(source_of(kind, tmp_path / "no" / "data.x"))


@pytest.mark.parametrize("kind", KINDS)
def test_not_a_file_of_numbers(tmp_path, kind):
    assert "is a folder" in refusal(source_of(kind, tmp_path))
    path = tmp_path / "data"
    path.write_bytes(b"")
    assert "is empty" in refusal(source_of(kind, path))
    path.write_text("1 2 3\n4 5 6\n" * 100)
    assert "is not a" in refusal(source_of(kind, path))
    path.write_bytes(bytes(np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8)))
    assert "is not a" in refusal(source_of(kind, path))
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in refusal(source_of(kind, tmp_path / "pipe"))


def test_a_path_that_no_system_knows():
    with pytest.raises(UserError, match=r"`path` .* no configuration can hold"):
        Npy(path="data\0.npy")
    with pytest.raises(DataError, match="cannot be read"):
        Npy(path="x" * 5000).open(0)


@pytest.mark.parametrize("kind", ["hdf5", "npz", "mat"])
def test_a_missing_name_lists_what_there_is(tmp_path, kind):
    path = tmp_path / "d"
    if kind == "hdf5":
        with h5py.File(path, "w") as file:
            file["group/row"], file["other"] = GOOD, GOOD
        listed = "(it has 'group/row', 'other')"
    elif kind == "npz":
        with path.open("wb") as file:
            np.savez(file, row=GOOD, other=GOOD)
        listed = "did you mean 'row'? (it has 'other', 'row')"
    else:
        savemat(path, {"row": GOOD, "other": GOOD}, appendmat=False)
        listed = "did you mean 'row'? (it has 'other', 'row')"
    assert listed in refusal(source_of(kind, path))


@pytest.mark.parametrize("kind", ["hdf5", "npy", "npz"])
@pytest.mark.parametrize(("values", "sentence"), NOT_TABLES)
def test_not_a_table_of_real_numbers(tmp_path, kind, values, sentence):
    save(kind, tmp_path / "d", values)
    with pytest.raises(DataError, match=sentence):
        source_of(kind, tmp_path / "d").open(0)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.zeros((3, 4, 5)), "has 3 dimensions"),
        (np.zeros((0, 3)), "has no rows"),
        (np.ones((2, 2), complex), "complex numbers"),
        ("some text", "class char"),
        ({"a": 1}, "class struct"),
        (np.array([[1, "a"]], dtype=object), "class cell"),
        (csc_array(np.eye(3)), "class sparse"),
    ],
)
def test_not_a_matrix_in_a_matlab_file(tmp_path, values, sentence):
    save("mat", tmp_path / "d", values)
    assert sentence in refusal(source_of("mat", tmp_path / "d"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_by_its_global_row(tmp_path, kind, bad):
    values = np.arange(300.0).reshape(100, 3)
    values[67, 2], values[80, 0] = bad, np.nan
    save(kind, tmp_path / "d", values)
    dataset = source_of(kind, tmp_path / "d").open(0)
    dataset.read(0, 67)
    with pytest.raises(DataError, match=f"{tmp_path}/d: row 67, column 2 .* is {bad};") as caught:
        dataset.read(50, 100)
    assert ("set `missing: true`" in str(caught.value)) == np.isnan(bad)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_an_infinite_value_is_not_a_missing_one(tmp_path, kind, bad):
    values = np.full((100, 3), np.nan)
    values[67, 2] = bad
    save(kind, tmp_path / "d", values)
    dataset = replace(source_of(kind, tmp_path / "d"), missing=True).open(0)
    assert np.isnan(dataset.read(0, 67)).all()
    with pytest.raises(DataError, match=f"row 67, column 2 .* is {bad}; .* or NaN where it was not observed"):
        dataset.read(50, 100)


@pytest.mark.parametrize("kind", KINDS)
def test_no_truncation_goes_unnoticed(tmp_path, kind):
    path = tmp_path / "d"
    save(kind, path, np.random.default_rng(1).normal(size=(200, 3)))
    content = path.read_bytes()
    for n_bytes in (1, 5, 30, 100, 127, 128, 200, 1000, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:n_bytes])
        refusal(source_of(kind, path))


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_never_ends_in_anything_but_a_sentence(tmp_path, kind):
    path = tmp_path / "d"
    save(kind, path, GOOD)
    content = path.read_bytes()
    rng = np.random.default_rng(2)
    sentences = set()
    for _ in range(300):
        damaged = bytearray(content)
        damaged[rng.integers(min(len(content), 2000))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        sentences.add(sentence_of(source_of(kind, path)))
    assert len(sentences) > 5
    assert not any("\n" in sentence for sentence in sentences if sentence is not None)


def test_pickled_objects_are_not_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    objects = np.array([[Bomb(), 1]], dtype=object)
    np.save(tmp_path / "d.npy", objects, allow_pickle=True)
    assert "pickled Python objects" in refusal(Npy(path=str(tmp_path / "d.npy")))
    np.savez(tmp_path / "d.npz", rows=objects, allow_pickle=True)
    assert "pickled Python objects" in refusal(Npz(path=str(tmp_path / "d.npz"), array="rows"))
    (tmp_path / "plain.npy").write_bytes(pickle.dumps(Bomb()))
    assert "is not a file of kind npy but a pickle" in refusal(Npy(path=str(tmp_path / "plain.npy")))
    assert not (tmp_path / "exploded").exists()


def npy_bytes(shape, content=b""):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


@pytest.mark.parametrize("shape", [(10**15, 10**3), (10**9, 100), (2**63, 2**63), (5, 3)])
def test_a_shape_that_the_file_cannot_hold_is_refused_before_memory_is_taken(tmp_path, shape):
    (tmp_path / "d.npy").write_bytes(npy_bytes(shape, b"12345678"))
    assert "is cut off" in refusal(Npy(path=str(tmp_path / "d.npy")))
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("rows.npy", npy_bytes(shape, b"12345678"))
    assert "is cut off" in refusal(Npz(path=str(tmp_path / "d.npz"), array="rows"))


def test_negative_lengths_are_damage(tmp_path):
    (tmp_path / "d.npy").write_bytes(npy_bytes((-2, -3), b"x" * 48))
    assert "its shape reads (-2, -3)" in refusal(Npy(path=str(tmp_path / "d.npy")))


def test_more_rows_than_memory_are_refused(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        rows = file.create_dataset("rows", (10**12, 10**4), "f4", chunks=(1, 10**4))
        rows[5] = 1
    dataset = Hdf5(path=str(tmp_path / "d.h5"), dataset="rows").open(0)
    assert dataset.read(5, 6).sum() == 10**4
    with pytest.raises(DataError, match=r"rows 0 to 1000000000000 takes .* GiB; this machine has"):
        dataset.read(0, 10**12)


def test_hdf5_never_leads_to_another_file(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["rows"], file["group/rows"] = GOOD, GOOD
    (tmp_path / "raw").write_bytes(GOOD.tobytes())
    layout = h5py.VirtualLayout((4, 3), "f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "rows", (4, 3))
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["linked"] = h5py.ExternalLink("other.h5", "/rows")
        file["linked group"] = h5py.ExternalLink("other.h5", "/group")
        file["twice"] = h5py.SoftLink("/linked")
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", (4, 3), "f8", external=[(str(tmp_path / "raw"), 0, 96)])
        file["circle"] = h5py.SoftLink("/circle")
        file["dangling"] = h5py.SoftLink("/nowhere")
        file.create_dataset("unwritten", (4, 3), "f8")
        file["empty"] = h5py.Empty("f8")
        file["names"] = ["a", "b"]
        file["group/x"] = 1
    sentences = {
        "linked": "is a link to other.h5",
        "linked group/rows": "is a link to other.h5",
        "twice": "is a link to other.h5",
        "virtual": "kept in other files",
        "raw": "kept in other files",
        "circle": "leads in a circle",
        "dangling": "has no dataset 'dangling'",
        "unwritten": "never written",
        "empty": "is empty",
        "names": "holds text",
        "group": "is a group, not a dataset",
        "/": "is a group, not a dataset",
        "unwritten/below": "has no dataset 'unwritten/below'",
    }
    for name, sentence in sentences.items():
        assert sentence in refusal(Hdf5(path=str(tmp_path / "d.h5"), dataset=name))


def test_text_in_a_new_matlab_file(tmp_path):
    with h5py.File(tmp_path / "d.mat", "w") as file:
        file["rows"] = np.array([[104, 105]], "u2")
        file["rows"].attrs["MATLAB_class"] = np.bytes_("char")
    assert "holds text" in refusal(Mat(path=str(tmp_path / "d.mat"), variable="rows"))


@pytest.mark.parametrize("epsilon", [0.0, 1e-4])
def test_rows_that_are_all_equal_cannot_be_whitened(tmp_path, epsilon):
    np.save(tmp_path / "d.npy", np.ones((20, 3)))
    source = Npy(path=str(tmp_path / "d.npy"), whiten="zca", whiten_epsilon=epsilon)
    assert "all its rows are equal" in refusal(source)


def test_a_direction_without_variance_cannot_be_whitened_without_epsilon(tmp_path):
    np.save(tmp_path / "d.npy", np.random.default_rng(0).normal(size=(100, 4)))
    source = Npy(path=str(tmp_path / "d.npy"), remove_mean=True, whiten="zca", whiten_epsilon=0.0)
    assert "do not vary in 1 of 4 directions" in refusal(source)


@pytest.mark.parametrize("whiten", ["zca", "pca"])
def test_rows_with_missing_values_cannot_be_whitened(whiten):
    for refused in (
        lambda: Npy(path="d.npy", missing=True, whiten=whiten),
        lambda: Image(image="camera", patch_size=8, missing=0.1, whiten=whiten),
    ):
        with pytest.raises(ValueError, match="leave out `whiten` or `missing`"):
            refused()
    with pytest.raises(DataError, match=r"the array cannot be whitened: .* leave out `whiten` or `missing`"):
        ArrayDataset(dataset_of(GOOD).table, whiten=whiten, missing=True)


def test_arrays_in_memory_are_checked_too():
    with pytest.raises(DataError, match="the patches holds complex numbers"):
        dataset_of(np.ones((2, 2), complex), "the patches")
    gap = np.array([[1.0, np.nan]])
    with pytest.raises(DataError, match=r"the patches: row 0, column 1 .* is nan"):
        dataset_of(gap, "the patches").read(0, 1)
    np.testing.assert_array_equal(dataset_of(gap, missing=True).read(0, 1), gap)

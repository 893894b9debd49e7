import json
import resource
from itertools import pairwise

import h5py
import numpy as np
import pytest
import scipy.io

from prosper_ng.errors import UserError
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.storage.result_file import ResultFile
from prosper_ng.storage.result_formats import FORMATS, format_of, require_fit

ROWS = np.random.default_rng(0).normal(size=(3000, 4))
ROWS[7, 2], ROWS[8] = np.nan, (1e300, -0.0, 5e-324, 1 / 3)
CODES = (ROWS > 0).astype(np.int8)
IMAGE = np.linspace(-3.0, 260.0, 60).reshape(5, 4, 3)


def write(path, main, cuts=(0, 3000), force=False):
    with ResultFile(path, SerialCommunicator(), main, force, has_picture=True) as results:
        results.set_attributes({"seed": 3, "format": "x", "none": None, "scikit-image": "1", "long": "y" * 5000})
        results.put("parameters/W", ROWS[:3])
        results.put("parameters/sigma", 2.5)
        results.announce("data", ROWS.shape, np.float64, "rows")
        results.announce("states", CODES.shape, np.int8, "states", compress=True)
        for name, values in (("data", ROWS), ("states", CODES)):
            for start, stop in pairwise(cuts):
                results.gather(name, values[start:stop], [start, stop])
        if main == "image":
            results.put("image", IMAGE)


@pytest.mark.parametrize("ending", sorted(set(FORMATS) - {".png", ".tif", ".tiff", ".jpg", ".jpeg"}))
def test_the_bytes_of_a_file_do_not_depend_on_the_pieces_that_rows_come_in(ending, tmp_path):
    write(tmp_path / f"a{ending}", "data")
    write(tmp_path / f"b{ending}", "data", cuts=(0, 1, 1500, 1501, 2999, 3000))
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{ending}", f"b{ending}"]


def test_every_ending_holds_the_same_numbers_and_large_letters_are_small_ones(tmp_path):
    for ending in (".H5", ".npz", ".mat", ".NPY", ".csv", ".tsv", ".txt"):
        write(tmp_path / f"x{ending}", "data")
    with h5py.File(tmp_path / "x.H5") as file:
        expected = {"data": file["data"][()], "states": file["states"][()], "W": file["parameters/W"][()]}
    assert expected["data"].tobytes() == ROWS.tobytes()
    assert np.load(tmp_path / "x.NPY").tobytes() == ROWS.tobytes()
    for ending, separator in ((".csv", ","), (".tsv", "\t"), (".txt", None)):
        assert np.loadtxt(tmp_path / f"x{ending}", delimiter=separator).tobytes() == ROWS.tobytes()
    with np.load(tmp_path / "x.npz") as archive:
        assert archive["data"].tobytes() == ROWS.tobytes()
        assert (archive["states"].dtype, archive["states"].tolist()) == (np.int8, CODES.tolist())
        assert archive["parameters/W"].tolist() == ROWS[:3].tolist()
        assert archive["parameters/sigma"] == 2.5
        assert archive["notes/long"].item() == "y" * 5000
        assert json.loads(archive["attributes"].item()) == {"format": "x", "scikit-image": "1", "seed": 3}
    found = scipy.io.loadmat(tmp_path / "x.mat", simplify_cells=True)
    assert found["data"].tobytes() == ROWS.tobytes()
    assert (found["states"].dtype, found["parameters"]["sigma"]) == (np.int8, 2.5)
    assert found["attributes"] == {"format": "x", "scikit_image": "1", "seed": 3}


def test_pictures(tmp_path):
    iio = pytest.importorskip("imageio.v3")
    expected = np.clip(np.rint(IMAGE), 0, 255)
    for ending in (".png", ".tif", ".TIFF"):
        write(tmp_path / f"x{ending}", "image")
        assert iio.imread(tmp_path / f"x{ending}").tolist() == expected.tolist()
    write(tmp_path / "x.jpg", "image")
    assert iio.imread(tmp_path / "x.jpg").shape == IMAGE.shape


@pytest.mark.parametrize(
    ("name", "has_picture", "said"),
    [
        ("x.foo", False, r"x.foo ends in .foo, .*; legal are .h5, .hdf5, .npz, .mat, .npy, .csv, .tsv and .txt$"),
        ("x.foo", True, r"legal are .*, .jpg and .jpeg$"),
        ("x", False, "x has no ending"),
        (".h5", False, "has no ending"),
        ("x.png", False, "is a picture, and only `reconstruct` makes one"),
        ("", False, "is a folder; give the name of a file"),
    ],
)
def test_other_endings_are_refused(name, has_picture, said, tmp_path):
    with pytest.raises(UserError, match=said):
        format_of(tmp_path / name, has_picture)


@pytest.mark.parametrize(
    ("name", "array", "shape", "said"),
    [
        ("x.mat", "data", (1 << 16, 1 << 12), r"takes 2,147,483,648 bytes, and a .mat file holds arrays below 2 GiB"),
        ("x.mat", "means_" + "x" * 60, (3,), "MATLAB has no names like"),
        ("x.mat", "parameters/_W", (3,), "MATLAB has no names like parameters/_W"),
        ("x.csv", "image", (3, 3, 3), "holds a table of rows and columns, and image has the shape"),
    ],
)
def test_what_a_format_has_no_room_for_is_said_before_it_is_computed(name, array, shape, said, tmp_path):
    with pytest.raises(UserError, match=said):
        require_fit(
            tmp_path / name, format_of(tmp_path / name), array, shape, np.float32 if array == "x" else np.float64
        )
    require_fit(tmp_path / "x.npz", format_of(tmp_path / "x.npz"), array, shape, np.float64)


@pytest.mark.parametrize(
    ("ending", "n_bytes"),
    # Less than the file in HDF5 takes that comes first, and for text more than that.
    [(".h5", 40_000), (".npz", 40_000), (".mat", 40_000), (".npy", 40_000), (".csv", 40_000), (".csv", 130_000)],
)
def test_a_full_disk_is_one_sentence_and_leaves_the_file_before(ending, n_bytes, tmp_path):
    path = tmp_path / f"x{ending}"
    path.write_bytes(b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
        with pytest.raises(UserError, match="cannot be written: File too large"):
            write(path, "data", force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_as_long_as_names_can_be(tmp_path):
    write(tmp_path / ("ü" * 125 + "x.npy"), "data")
    assert len(list(tmp_path.iterdir())) == 1

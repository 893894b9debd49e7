"""Tables of several files, transposed, of some columns, in a shape: alike for every kind of file."""

import re

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources import _table_views
from prosper_ng.data.sources._named_files import files_named
from prosper_ng.data.sources.csv import Csv
from prosper_ng.data.sources.hdf5 import Hdf5
from prosper_ng.data.sources.mat import Mat
from prosper_ng.data.sources.npy import Npy
from prosper_ng.data.sources.npz import Npz
from prosper_ng.errors import UserError
from prosper_ng.parallel.team import on_team

KINDS = ["csv", "hdf5", "mat", "npy", "npz"]
VALUES = np.random.default_rng(4).normal(size=(50, 12))


def save(kind, path, values):
    if kind == "csv":
        np.savetxt(path, values, delimiter=",", fmt="%.17g")
    elif kind == "hdf5":
        with h5py.File(path, "w") as file:
            file["rows"] = values
    elif kind == "mat":
        savemat(path, {"rows": values}, appendmat=False)
    else:
        with path.open("wb") as file:
            np.save(file, values) if kind == "npy" else np.savez(file, rows=values)


def source(kind, path, **fields):
    paths = [str(each) for each in path] if isinstance(path, list) else str(path)
    return {
        "csv": lambda: Csv(path=paths, **fields),
        "hdf5": lambda: Hdf5(path=paths, dataset="rows", **fields),
        "mat": lambda: Mat(path=paths, variable="rows", **fields),
        "npy": lambda: Npy(path=paths, **fields),
        "npz": lambda: Npz(path=paths, array="rows", **fields),
    }[kind]()


def reads(dataset, expected):
    """Whether the dataset holds these rows, in any slice."""
    n = len(expected)
    assert (dataset.n_rows, dataset.n_observed) == expected.shape
    return all(
        dataset.read(start, stop).tobytes() == np.ascontiguousarray(expected[start:stop]).tobytes()
        for start, stop in [(0, n), (n // 2, n), (1, 3), (4, 4), (0, n // 2 + 1)]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_several_files_are_one_table(tmp_path, kind):
    for number, rows in ((1, slice(0, 20)), (2, slice(20, 21)), (10, slice(21, 50))):
        save(kind, tmp_path / f"part{number}.x", VALUES[rows])
    dataset = source(kind, tmp_path / "part*.x").open(0)
    assert reads(dataset, VALUES)
    assert "part1.x" in dataset.where
    order = re.findall(r"part\d+\.x", dataset.notes[0])
    assert order == ["part1.x", "part2.x", "part10.x"]
    assert dataset.stored is None
    listed = source(kind, [tmp_path / "part10.x", tmp_path / "part[12].x"]).open(0)
    assert reads(listed, np.concatenate([VALUES[21:], VALUES[:21]]))
    assert not listed.doubts


@pytest.mark.parametrize("kind", KINDS)
def test_transposed_tables_strip_by_strip(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(_table_views, "_STRIP_BYTES", 8 * 12 * 7)
    monkeypatch.setattr(_table_views, "_PIECE_BYTES", 8 * 50 * 5)
    save(kind, tmp_path / "a", VALUES.T)
    assert reads(source(kind, tmp_path / "a", transpose=True).open(0), VALUES)
    both = source(kind, [tmp_path / "a", tmp_path / "a"], transpose=True, columns=("3:7", 0, -1), row_shape=(2, 3))
    dataset = both.open(0)
    assert reads(dataset, np.concatenate([VALUES, VALUES])[:, [3, 4, 5, 6, 0, 11]])
    assert dataset.row_shape == (2, 3)
    assert "is named 2 times by path" in dataset.doubts[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("columns", "numbers"),
    [
        (3, [3]), (-1, [11]), ("2:5", [2, 3, 4]), (":3", [0, 1, 2]), ("-2:", [10, 11]), ("::4", [0, 4, 8]),
        ((5, "0:2", 11), [5, 0, 1, 11]), ("::-1", list(range(12))[::-1]),
    ],
)  # fmt: skip
def test_columns_by_number_and_slice(tmp_path, kind, columns, numbers):
    save(kind, tmp_path / "a", VALUES)
    assert reads(source(kind, tmp_path / "a", columns=columns).open(0), VALUES[:, numbers])


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (12, "there is no column 12 in .*a; it has 12, counted from 0 to 11"),
        ("3:13", "3:13 goes beyond the 12 columns of"),
        ("5:5", "5:5 goes beyond the 12 columns of .*, or names none"),
        ("::0", "has steps of 0"),
        ((1, "0:3"), "names column 1 of .* twice"),
        ("height", "'height' is a name, and the columns of .* have none; give numbers, or slices"),
        ((), "columns is an empty list"),
    ],
)
def test_columns_that_are_not_there(tmp_path, columns, sentence):
    save("npy", tmp_path / "a", VALUES)
    with pytest.raises(DataError, match=sentence):
        source("npy", tmp_path / "a", columns=columns).open(0)


def test_a_shape_of_rows(tmp_path):
    save("npy", tmp_path / "a", VALUES)
    whitened = source("npy", tmp_path / "a", row_shape=[2, 2, 3], whiten="zca").open(0)
    assert whitened.row_shape == (2, 2, 3)
    assert source("npy", tmp_path / "a").open(0).row_shape == (12,)
    with pytest.raises(DataError, match=r"row_shape \[5, 2\] needs rows of 5 x 2 = 10 values; those of .*a have 12"):
        source("npy", tmp_path / "a", row_shape=(5, 2)).open(0)
    with pytest.raises(UserError, match=r"`row_shape\.0` must be an integer greater than 0"):
        source("npy", tmp_path / "a", row_shape=(0, 12))


def test_files_that_do_not_go_together(tmp_path):
    save("npy", tmp_path / "a", VALUES)
    save("npy", tmp_path / "b", VALUES[:, :7])
    with pytest.raises(DataError, match=r"b has 7 columns, and .*a has 12; the files of a path need equal columns"):
        source("npy", [tmp_path / "a", tmp_path / "b"]).open(0)
    assert source("npy", [tmp_path / "a", tmp_path / "b"], columns="0:7").open(0).n_rows == 100
    for name, header in (("c", "x,y"), ("d", "y,x"), ("e", "x,z")):
        (tmp_path / name).write_text(f"{header}\n1,2\n", encoding="utf-8")
    with pytest.raises(
        DataError, match=r"column 0 .* of .*d is 'y', and that of .*c is 'x'.*so that they are taken by"
    ):
        source("csv", [tmp_path / "c", tmp_path / "d"]).open(0)
    by_name = source("csv", [tmp_path / "c", tmp_path / "d"], columns=("x", "y")).open(0)
    np.testing.assert_array_equal(by_name.read(0, 2), [[1, 2], [2, 1]])
    with pytest.raises(DataError, match=r"column 1 .* of .*e is 'z', and that of .*c is 'y'"):
        source("csv", [tmp_path / "c", tmp_path / "e"]).open(0)


def test_a_value_is_named_by_its_file(tmp_path):
    values = VALUES.copy()
    values[33, 2] = values[40, 0] = np.nan
    save("npy", tmp_path / "a", values[:30])
    save("npy", tmp_path / "b", values[30:])
    dataset = source("npy", [tmp_path / "a", tmp_path / "b"]).open(0)
    for start in (0, 31, 33):
        with pytest.raises(DataError, match=r"/b: row 3, column 2 .* is nan"):
            dataset.read(start, 50)
    dataset.read(0, 33)


def test_a_file_that_is_replaced_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr(_table_views, "_OPEN_FILES", 1)
    save("npy", tmp_path / "a", VALUES)
    save("npy", tmp_path / "b", VALUES)
    dataset = source("npy", [tmp_path / "a", tmp_path / "b"]).open(0)
    save("npy", tmp_path / "a", VALUES[:9])
    with pytest.raises(DataError, match="/a was changed while its rows were in use"):
        dataset.read(0, 60)


def test_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("p10.npy", "p9.npy", "p1a.npy", "q[1].npy", "sub/p2.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "p5.npy").mkdir()
    assert files_named("p*.npy") == ["p1a.npy", "p9.npy", "p10.npy"]
    assert files_named("**/p*.npy") == ["p1a.npy", "p9.npy", "p10.npy", "sub/p2.npy"]
    assert files_named("q[1].npy") == ["q[1].npy"]
    assert files_named(["p9.npy", "p1*"]) == ["p9.npy", "p1a.npy", "p10.npy"]
    assert files_named("missing.npy") == ["missing.npy"]
    with pytest.raises(DataError, match=r"x\*\.npy: no file has a name like this, seen from "):
        files_named("x*.npy")
    with pytest.raises(DataError, match="path is an empty list"):
        files_named([])


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_columns_by_name_are_read_by_several_threads_at_once(tmp_path, kind):
    """Each asks for its own view; the file below them has one position."""
    values = np.random.default_rng(7).normal(size=(3000, 4))
    path = tmp_path / f"rows.{kind}"
    if kind == "csv":
        np.savetxt(path, values, delimiter=",", fmt="%.17g", header="a,b,c,d", comments="")
    else:
        np.savez(path, rows=values)
    dataset = source(kind, path).open(0)
    names = ("d", "b") if kind == "csv" else None
    expected = values[:, [3, 1]] if kind == "csv" else values

    def read(comm):
        own = dataset if names is None else dataset.of_columns(names)
        starts = np.random.default_rng(comm.rank).integers(0, 2900, 60)
        return all(np.array_equal(own.read(start, start + 100), expected[start : start + 100]) for start in starts)

    assert on_team(4, read) == [True] * 4

"""How many rows a row counts as, out of files and the hands of a program: numbers, or one sentence."""

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from prosper_ng.data.dataset import DataError
from prosper_ng.data.some_rows import SomeRows
from prosper_ng.data.sources._beside import legal_weights, numbers_in_file, numbers_in_hand
from prosper_ng.data.sources._in_hand import dataset_of

W = np.array([0.0, 0.5, 2.0, 3.25, 1.0])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("w.npy", W)
    np.save("column.npy", W[:, None])
    np.savez("w.npz", w=W)
    with h5py.File("rows.h5", "w") as file:
        file["of/w"] = W
        file.create_dataset("packed", data=W, chunks=(2,), compression="gzip")
        file["table"] = np.stack([W, W], axis=1)
    savemat("w.mat", {"w": W})  # which MATLAB knows as a row
    lines = [f"{number},{weight}" for number, weight in enumerate(W)]
    (tmp_path / "table.csv").write_text("\n".join(["height,weight", *lines]), encoding="utf-8")
    (tmp_path / "w.txt").write_text("\n".join(map(str, W)), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "written",
    ["w.npy", "column.npy", "w.npz/w", "rows.h5/of/w", "rows.h5/packed", "w.mat/w", "table.csv/weight", "table.csv/1",
     "w.txt"],
)  # fmt: skip
def test_a_file_of_any_kind_holds_them(folder, written):
    found = numbers_in_file(written, "weights")
    assert (found.n_rows, found.n_observed) == (5, 1)
    assert (legal_weights(found.raw(1, 4), 1, found.where) == W[1:4]).all()


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("rows.h5", r"say which dataset of rows.h5 they are, as in rows.h5/weights"),
        (
            "rows.h5/table",
            r"dataset 'table' of rows.h5 has 2 columns, and one number for each row is needed",
        ),
        ("rows.h5/nothing", r"rows.h5 has no dataset 'nothing'"),
        ("table.csv", r"table.csv has 2 columns \(height, weight\), .*; say which column, as in table.csv/NAME"),
        ("table.csv/age", r"table.csv has no column 'age'"),
        ("w.npy/w", r"'w' is a name, and the columns of w.npy have none"),
        ("nothing.npy", r"nothing.npy: no such file"),
        ("weights.yaml", r"weights.yaml has no ending of a file of numbers"),
    ],
)
def test_what_holds_none_is_told(folder, written, sentence):
    with pytest.raises(DataError, match=sentence):
        numbers_in_file(written, "weights")


@pytest.mark.parametrize("held", [W, W.tolist(), W[:, None], W.astype(np.float32), np.ma.array(W)])
def test_whatever_has_them_in_hand(held):
    assert (numbers_in_hand(held, "weights").raw(0, 5)[:, 0] == W).all()


@pytest.mark.parametrize("held", [np.eye(3), 2.0, "w.npy", [1.0, "two"], np.zeros((2, 2, 2))])
def test_what_are_no_numbers_of_rows(held):
    with pytest.raises(DataError, match=r"weights are no numbers|weights have the shape"):
        numbers_in_hand(held, "weights")


@pytest.mark.parametrize("wrong", [-1.0, np.nan, -0.5e-300, 1e-200, 1e200])
def test_an_illegal_one_is_named_by_its_row(wrong):
    with pytest.raises(DataError, match=r"w: the weight of row 12 \(counted from 0\) is .*; legal are 0 and numbers"):
        legal_weights(np.array([[0.0], [1.0], [wrong]]), 10, "w")


def test_some_rows_are_those_of_their_numbers():
    values = np.random.default_rng(0).normal(size=(300, 3))
    numbers = np.array([0, 1, 2, 9, 30, 31, 100, 299])
    some = SomeRows(dataset_of(values), numbers)
    assert (some.read(0, 8) == values[numbers]).all()
    assert (some.read(3, 5) == values[[9, 30]]).all()
    assert some.read(2, 2).shape == (0, 3)

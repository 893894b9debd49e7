"""Axes have names in HDF5 files, and xarray reads them without a word."""

import json
import warnings

import h5py
import numpy as np
import pytest

from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.storage.axes import told_by
from prosper_ng.storage.history import History
from prosper_ng.storage.result_file import ResultFile
from prosper_ng.storage.run_file import RunFile, StoredConfig
from prosper_ng.storage.run_record import read_run

NAMES = ["blue", "größer", "", "d"]


def begin(folder, history=None, **attributes):
    said = {"name": "tiny", "n_observed": 4, "column_names": json.dumps(NAMES), **attributes}
    file = RunFile(folder, StoredConfig({"name": "tiny"}, "", {}), {"host": "node7"}, said, history)
    file.describe_parameters({"W": "dictionary"}, {"W": ("D", "H"), "Sigma": ("D", "D_2"), "sigma": ()})
    return file


def sweep_through(file, first, last):
    for sweep in range(first, last + 1):
        file.record(sweep, {"free_energy": -1.0 / sweep} | ({"psnr": 20.0} if sweep > 3 else {}))
        params = NamedArrays.of(W=np.full((4, 3), sweep), Sigma=np.full((4, 4), sweep), sigma=sweep)
        file.set_parameters(params, keep_as_sweep=sweep if sweep % 2 == 0 else None)
        assert file.flush() is None


def opened(path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # xarray warns of axes without a name
        with xarray.open_datatree(path, engine="h5netcdf") as tree:
            return tree.load()


def test_run_h5_is_a_tree_with_names(tmp_path):
    file = begin(tmp_path)
    sweep_through(file, 1, 5)
    file.set_preprocessing({"whiten": "zca", "mean": np.ones(4), "matrix": np.eye(4), "inverse": np.eye(4)})
    pixels = {"clean": np.ones((2, 2, 1)), "other": np.ones((2, 2))}
    file.set_results(
        {"images": pixels, "own": np.ones(5), "truth": {"W": np.ones((4, 7))}, "dictionary": np.ones((4, 3))}
    )
    assert file.flush() is None
    tree = opened(file.path)
    assert tree["D"].values.tolist() == NAMES
    dims = {
        "history/free_energy": ("sweep",),
        "history/psnr": ("sweep",),
        "parameters/latest/W": ("D", "H"),
        "parameters/latest/Sigma": ("D", "D_2"),
        "parameters/latest/sigma": (),
        "parameter_history/W": ("sweep", "D", "H"),
        "parameter_history/sigma": ("sweep",),
        "preprocessing/mean": ("D",),
        "preprocessing/matrix": ("D", "D_2"),
        "preprocessing/inverse": ("D_2", "D"),
        "results/images/clean": ("height", "width", "channel"),
        "results/images/other": ("other_0", "other_1"),
        "results/own": ("own_0",),
        "results/truth/W": ("D", "H_true"),
        "results/dictionary": ("D", "H"),
    }
    assert {path: tree[path].dims for path in dims} == dims
    assert tree["history"]["sweep"].values.tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(tree["history/psnr"], [np.nan] * 3 + [20.0] * 2)
    kept = tree["parameter_history/W"]
    assert kept.sel(sweep=4, D="größer").values.tolist() == [4.0] * 3
    assert tree["parameters/latest/W"].sel(D="blue").values.tolist() == [5.0] * 3


def test_names_outlive_what_is_removed_and_replaced(tmp_path):
    """A resumed run removes results and later sweeps, and writes others of another shape."""
    file = begin(tmp_path)
    sweep_through(file, 1, 5)
    file.set_results({"own": np.ones(5), "dictionary": np.ones((4, 3))})
    file.flush()
    for n_own in (6, 2):
        history = History({name: values[:3] for name, values in file.history.columns().items()})
        resumed = begin(tmp_path, history, column_names=json.dumps(NAMES))
        sweep_through(resumed, 4, 8)
        resumed.set_results({"own": np.ones(n_own), "dictionary": np.ones((4, 3))})
        assert resumed.flush() is None
        assert resumed.notes == []
        tree = opened(file.path)
        assert tree["parameter_history/W"].sizes == {"sweep": 4, "D": 4, "H": 3}
        assert tree["results/own"].shape == (n_own,)
        assert tree["results/dictionary"].dims == ("D", "H")
        assert tree["history/psnr"].dims == ("sweep",)


def test_names_take_no_room_and_no_part_in_what_is_read(tmp_path):
    file = begin(tmp_path, column_names=None, n_observed=3_000_000)
    file.set_parameters(NamedArrays.of(W=np.zeros((4, 3))))
    file.flush()
    with h5py.File(file.path, "r+") as plain:
        assert plain["H"].id.get_storage_size() == 0
        length = plain.create_dataset("columns", (3_000_000_000,), "i1")
        length.make_scale(f"This is a netCDF dimension but not a netCDF variable.{len(length):10d}")
    record = read_run(tmp_path)
    assert record.attributes.keys() >= {"n_observed", "name"}
    assert not record.attributes.keys() & {"D", "H", "columns"}
    assert begin(tmp_path, History()).notes == []


@pytest.mark.parametrize(
    ("meaning", "axes"),
    [
        ("(N, k, H) the k best states", ("row", "top_k", "H")),
        ("(N,) numbers", ("row",)),
        ("(height, width, channels) an image", ("height", "width", "channel")),
        ("numbers (N, D)", None),
        ("() a number", None),
        (None, None),
    ],
)
def test_what_is_said_of_an_array_tells_its_axes(meaning, axes):
    assert told_by(meaning) == axes


def test_results_have_names_as_far_as_they_are_told(tmp_path):
    path = tmp_path / "a.h5"
    with ResultFile(path, SerialCommunicator(), "data") as results:
        results.set_attributes({"column_names": json.dumps(NAMES)})
        results.put_parameters({"W": np.ones((4, 3)), "sigma": 1.0}, {"W": ("D", "H"), "sigma": ()})
        for name, meaning in (("data", "(N, D) the rows"), ("short", "(N, D) too few columns"), ("untold", "rows")):
            shape = (6, 2 if name == "short" else 4)
            results.announce(name, shape, float, meaning)
            results.gather(name, np.ones(shape), [0, 6])
    tree = opened(path)
    found = {name: tree[name].dims for name in ("data", "short", "untold", "parameters/W", "parameters/sigma")}
    assert found == {
        "data": ("row", "D"),
        "short": ("short_0", "short_1"),
        "untold": ("untold_0", "untold_1"),
        "parameters/W": ("D", "H"),
        "parameters/sigma": (),
    }
    assert tree["data"].sel(D="d").values.tolist() == [1.0] * 6


def test_other_formats_hold_arrays_and_no_names(tmp_path):
    path = tmp_path / "a.npz"
    with ResultFile(path, SerialCommunicator(), "data") as results:
        results.put("data", np.ones((2, 3)), "(N, D) the rows")
    with np.load(path) as found:
        assert sorted(found) == ["attributes", "data"]


def test_damaged_names_do_not_keep_a_run_from_going_on(tmp_path):
    """Attributes have no checksums."""
    file = begin(tmp_path)
    sweep_through(file, 1, 4)
    data = file.path.read_bytes()
    for mark in (b"DIMENSION_SCALE", b"REFERENCE_LIST", b"DIMENSION_LIST"):
        file.path.write_bytes(data.replace(mark, b"X" + mark[1:]))
        resumed = begin(tmp_path, file.history)
        sweep_through(resumed, 5, 6)
        assert not [note for note in resumed.notes if "damaged" not in note]
        assert read_run(tmp_path).sweeps == 6
        np.testing.assert_array_equal(read_run(tmp_path).params_history()["W"][-1], np.full((4, 3), 6.0))
        file.history = History({name: values[:4] for name, values in file.history.columns().items()})

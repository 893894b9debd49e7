"""Learned models and what they say of rows as trees and datasets of xarray, named as in their files."""

import pickle
import sys
import warnings

import numpy as np
import pytest

import prosper_ng
from prosper_ng.errors import UserError
from tests.helpers.inference_runs import train

NAMES = ("a", "b", "c", "d", "größer")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run over a table with names, whitened, that has kept its parameters."""
    folder = tmp_path_factory.mktemp("labeled")
    rng = np.random.default_rng(3)
    rows = (rng.random((80, 4)) < 0.3) @ rng.normal(0.0, 3.0, (4, 5)) + rng.standard_normal((80, 5))
    np.savetxt(folder / "data.csv", rows, delimiter=",", header=",".join(NAMES), comments="", encoding="utf-8")
    data = {"kind": "csv", "path": str(folder / "data.csv"), "whiten": "zca"}
    return train(folder, data=data, training={"n_sweeps": 5}, output={"parameter_sweeps": 2, "figures": False})


@pytest.fixture
def known(run):
    return prosper_ng.load(run, params_history=True)


def opened(path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with xarray.open_datatree(path, engine="h5netcdf") as tree:
            return tree.load()


def test_the_history_of_the_parameters_is_loaded_where_it_is_asked_for(run, known, tmp_path):
    assert prosper_ng.load(run).params_history == {}
    found = known.params_history
    assert found["sweep"].tolist() == [2, 4]
    assert {name: found[name].shape for name in known.params} == {
        name: (2, *values.shape) for name, values in known.params.items()
    }
    known.save(tmp_path / "kept.h5")
    again = prosper_ng.load(tmp_path / "kept.h5", params_history=True)
    again = pickle.loads(pickle.dumps(again))
    for name, values in found.items():
        np.testing.assert_array_equal(again.params_history[name], values)


@pytest.mark.parametrize("of_run", [True, False])
def test_a_tree_is_what_xarray_reads_of_the_file(run, known, tmp_path, of_run):
    path = run / "run.h5"
    if not of_run:
        path = tmp_path / "saved.h5"
        known.save(path)
    told, read = known.to_xarray(), opened(path)
    for group in ("parameters/latest", "history", "parameter_history", "preprocessing"):
        assert told[group].variables.keys() == read[group].variables.keys()
        for name, values in read[group].variables.items():
            assert told[group].variables[name].dims == values.dims
            np.testing.assert_array_equal(told[group].variables[name].values, values.values)
    assert told["D"].values.tolist() == read["D"].values.tolist() == list(NAMES)
    assert told.attrs["digest"] == read.attrs["digest"] == known.digest


def test_a_tree_says_what_it_is_and_can_be_written(known, tmp_path):
    pytest.importorskip("h5netcdf")
    pytest.importorskip("xarray")
    tree = known.to_xarray()
    assert '"kind": "bsc"' in tree.attrs["model"]
    W = tree["parameters/latest/W"]
    assert (W.dims, W.attrs["long_name"]) == (("D", "H"), "dictionary")
    np.testing.assert_array_equal(W.sel(D="größer"), known.params["W"][4])
    assert tree["history/elapsed"].attrs["units"] == "s"
    tree.to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    np.testing.assert_array_equal(opened(tmp_path / "tree.nc")["parameters/latest/W"], W)


def test_posteriors_and_reconstructions_have_names(known):
    pytest.importorskip("xarray")
    rows = np.random.default_rng(4).normal(size=(3, 5))
    found = known.posterior(rows, top_k=2)
    told = found.to_xarray()
    assert told["states"].sizes == {"row": 3, "top_k": 2, "H": known.params["W"].shape[1]}
    np.testing.assert_array_equal(told["means"], found.means)
    assert told.sizes.keys() == {"row", "top_k", "H"}
    predicted = known.reconstruct(rows)
    assert predicted.to_xarray()["filled"].dims == ("row", "D")
    np.testing.assert_array_equal(predicted.to_xarray()["prediction"], predicted.prediction)


def test_without_xarray_it_is_one_sentence(known, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(UserError, match="need the package xarray; install it with: pip install xarray"):
        known.to_xarray()

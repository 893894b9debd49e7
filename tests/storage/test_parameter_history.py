"""The parameters of kept sweeps are one array for each, in files of this version and of earlier ones."""

import os

import h5py
import numpy as np
import pytest

from prosper_ng.data.dataset import DataError
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.storage import hdf5
from prosper_ng.storage.history import History
from prosper_ng.storage.run_file import NAME, RunFile, StoredConfig
from prosper_ng.storage.run_record import RunFileError, read_run


def parameters(sweep):
    return NamedArrays.of(W=np.random.default_rng(sweep).normal(size=(4, 3)), sigma=float(sweep))


def begin(folder, history=None):
    return RunFile(folder, StoredConfig({}, "", {}), {}, {"name": "tiny"}, history)


def sweep_through(file, first, last, flush_every=1):
    for sweep in range(first, last + 1):
        file.record(sweep, {})
        file.set_parameters(parameters(sweep), keep_as_sweep=sweep)
        if sweep % flush_every == 0:
            assert file.flush() is None


def require_kept(folder, sweeps):
    found = read_run(folder).params_history()
    assert found["sweep"].tolist() == read_run(folder).kept_sweeps == list(sweeps)
    np.testing.assert_array_equal(found["W"], [parameters(sweep)["W"] for sweep in sweeps])
    assert found["sigma"].tolist() == list(map(float, sweeps))


def as_before(path):
    """The file as an earlier version wrote it: a group for each sweep."""
    with h5py.File(path, "r+") as file:
        kept = file["parameter_history"]
        for place, sweep in enumerate(kept["sweep"][:]):
            for name in ("W", "sigma"):
                file[f"parameters/sweep-{sweep:06d}/{name}"] = kept[name][place]
        del file["parameter_history"]


@pytest.mark.parametrize("flush_every", [1, 3])
@pytest.mark.parametrize("checkpointed", [0, 2, 5])
@pytest.mark.parametrize("former", [False, True])
def test_a_resumed_run_keeps_what_an_undisturbed_one_does(tmp_path, former, checkpointed, flush_every):
    file = begin(tmp_path)
    sweep_through(file, 1, 5)
    if former:
        as_before(file.path)
        require_kept(tmp_path, range(1, 6))
    resumed = begin(tmp_path, History({"sweep": np.arange(1.0, checkpointed + 1)}))
    assert resumed.flush() is None
    assert read_run(tmp_path).kept_sweeps == list(range(1, checkpointed + 1))
    sweep_through(resumed, checkpointed + 1, 9, flush_every)
    assert resumed.notes == []
    require_kept(tmp_path, range(1, 10))


def test_nothing_is_kept_twice_where_writing_failed_after_all_was_written(tmp_path, monkeypatch):
    """The error may come from the folder, after the new file is in its place."""
    file = begin(tmp_path)
    sweep_through(file, 1, 2)

    def fail(descriptor):
        raise OSError("the folder cannot be synced")

    file.record(3, {})
    file.set_parameters(parameters(3), keep_as_sweep=3)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        assert "was not brought up to date" in file.flush()
    assert file.flush() is None
    require_kept(tmp_path, [1, 2, 3])


def test_a_run_that_keeps_none_has_none(tmp_path):
    file = begin(tmp_path)
    file.set_parameters(parameters(1))
    file.flush()
    assert (read_run(tmp_path).params_history(), read_run(tmp_path).kept_sweeps) == ({}, [])


def test_large_parameters_are_cut_and_come_back(tmp_path):
    large = np.random.default_rng(0).normal(size=(700, 300, 2))
    file = begin(tmp_path)
    for sweep in (1, 2):
        file.record(sweep, {})
        file.set_parameters(NamedArrays.of(large=sweep * large, none=np.zeros((0, 3))), keep_as_sweep=sweep)
        file.flush()
    with h5py.File(tmp_path / NAME) as plain:
        chunks = plain["parameter_history/large"].chunks
        assert chunks[0] == 1
        assert 8 * np.prod(chunks) <= 1 << 20
    np.testing.assert_array_equal(read_run(tmp_path).params_history()["large"], [large, 2 * large])


def test_what_does_not_fit_into_memory_is_one_sentence(tmp_path):
    sweep_through(begin(tmp_path), 1, 2)
    with h5py.File(tmp_path / NAME, "r+") as file:
        sweeps = np.arange(1, 1_000_001)
        for name in file["parameter_history"]:
            file["parameter_history"][name].resize(len(sweeps), axis=0)
        file["parameter_history/sweep"][:] = sweeps
        file["parameter_history"].create_dataset(
            "huge", (len(sweeps), 1000, 1000), "f8", maxshape=(None, 1000, 1000), chunks=(1, 1000, 1000)
        )
    with pytest.raises((DataError, RunFileError), match=r"memory|never written"):
        read_run(tmp_path).params_history()


@pytest.mark.parametrize("damage", ["no sweeps", "short", "shuffled", "group", "text"])
def test_a_damaged_history_is_set_aside_or_one_sentence(tmp_path, damage):
    sweep_through(begin(tmp_path), 1, 3)
    with h5py.File(tmp_path / NAME, "r+") as file:
        kept = file["parameter_history"]
        if damage == "no sweeps":
            del kept["sweep"]
        elif damage == "short":
            kept["W"].resize(2, axis=0)
        elif damage == "shuffled":
            kept["sweep"][:] = [1, 3, 2]
        elif damage == "group":
            kept.create_group("more")
        else:
            kept["more"] = "text"
    with pytest.raises(RunFileError, match="damaged"):
        read_run(tmp_path).params_history()
    resumed = begin(tmp_path, History({"sweep": np.arange(1.0, 4.0)}))
    assert "begun anew" in resumed.notes[0]
    sweep_through(resumed, 4, 5)
    require_kept(tmp_path, [4, 5])


def test_extending_begins_with_nan(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        hdf5.extend(file, "a", 2, np.ones((1, 2)))
        np.testing.assert_array_equal(file["a"][:], [[np.nan] * 2, [np.nan] * 2, [1, 1]])
        hdf5.extend(file, "a", 1, np.zeros((1, 2)))
        np.testing.assert_array_equal(file["a"][:], [[np.nan] * 2, [0, 0]])

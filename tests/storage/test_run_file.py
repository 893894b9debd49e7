"""run.h5: sound after a kill at any moment, in step with the checkpoint, readable with plain h5py."""

import json
import os
import resource
import signal
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.storage.hdf5 import is_length
from prosper_ng.storage.history import History
from prosper_ng.storage.run_file import NAME, RunFile, StoredConfig
from prosper_ng.storage.run_record import RunFileError, read_run

CONFIG = StoredConfig(
    resolved={"name": "tiny", "model": {"kind": "bsc", "n_latents": 3}},
    text="name: tiny  # σ is learned\n",
    origins={"name": "tiny.yaml:1:7", "model.n_latents": "--set model.n_latents=3"},
)
PROVENANCE = {"host": "node7", "n_ranks": 2, "git_diff": "+x\n" * 40_000}


def parameters(sweep):
    rng = np.random.default_rng(sweep)
    return NamedArrays.of(W=rng.normal(size=(4, 3)), sigma=rng.random())


def sweep_through(file, first, last, flush_every=1):
    for sweep in range(first, last + 1):
        numbers = {"free_energy": -10.0 / sweep, "seconds_e_step": 0.5}
        file.record(sweep, numbers | ({"psnr": 20.0 + sweep} if sweep % 2 == 0 else {}))
        file.set_parameters(parameters(sweep), keep_as_sweep=sweep if sweep % 3 == 0 else None)
        if sweep % flush_every == 0:
            assert file.flush() is None


def begin(folder, history=None):
    return RunFile(folder, CONFIG, PROVENANCE, {"name": "tiny", "n_rows": 7, "patch_shape": (2, 2, 1)}, history)


@pytest.fixture
def finished(tmp_path):
    file = begin(tmp_path)
    sweep_through(file, 1, 7, flush_every=2)
    file.set_results({"psnr": {"before": 20.0, "after": 28.5}, "recovered": {"found": 3, "of": 3}, "text": "naïve"})
    file.set_results({"images": {"clean": np.arange(12.0).reshape(2, 2, 3)}, "nothing": None})
    file.set_attributes(digest="ab" * 32)
    assert file.flush() is None
    return tmp_path


def test_everything_comes_back(finished):
    record = read_run(finished)
    assert (record.config, record.config_text, record.origins) == CONFIG
    assert record.attributes["patch_shape"].tolist() == [2, 2, 1]
    assert (record.attributes["n_rows"], record.attributes["digest"]) == (7, "ab" * 32)
    assert {name: record.provenance[name] for name in PROVENANCE} == PROVENANCE
    assert record.sweeps == 7
    assert record.history["sweep"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    np.testing.assert_array_equal(record.history["psnr"], [np.nan, 22, np.nan, 24, np.nan, 26, np.nan])
    assert record.last("psnr") == 26
    assert record.last("absent") is None
    assert record.kept_sweeps == [3, 6]
    np.testing.assert_array_equal(record.parameters["W"], parameters(7)["W"])
    assert record.parameters["sigma"] == parameters(7)["sigma"]
    assert record.results["psnr"] == {"before": 20.0, "after": 28.5}
    assert record.results["recovered"] == {"found": 3, "of": 3}
    assert record.results["text"] == "naïve"
    assert record.results["images"]["clean"].shape == (2, 2, 3)
    assert "nothing" not in record.results
    assert read_run(finished / NAME).sweeps == 7


def test_plain_h5py_reads_it(finished):
    with h5py.File(finished / NAME) as file:
        assert file["history/free_energy"][:].tolist() == [-10.0 / sweep for sweep in range(1, 8)]
        assert file["results/psnr/after"][()] == 28.5
        kept = file["parameter_history"]
        assert kept["sweep"][:].tolist() == [3, 6]
        np.testing.assert_array_equal(kept["W"][:], [parameters(3)["W"], parameters(6)["W"]])
        assert kept["sigma"][:].tolist() == [parameters(3)["sigma"], parameters(6)["sigma"]]
        assert json.loads(file["config/resolved"][()]) == CONFIG.resolved
        assert file.attrs["name"] == "tiny"
        datasets = []
        file.visititems(lambda name, item: datasets.append(item) if isinstance(item, h5py.Dataset) else None)
        arrays = [each for each in datasets if each.ndim]
        assert len(arrays) > 5
        assert all(each.fletcher32 for each in arrays if not is_length(each))


def test_only_run_h5_is_left_in_the_folder(finished):
    assert [path.name for path in finished.iterdir()] == [NAME]


@pytest.mark.parametrize("checkpointed", [0, 3, 5, 7])
def test_a_resumed_run_goes_on_from_its_checkpoint(tmp_path, checkpointed):
    """Whatever was written after the checkpoint is gone, and the end is that of a run without an interruption."""
    file = begin(tmp_path)
    sweep_through(file, 1, 7)
    file.set_results({"psnr": {"after": 1.0}})
    file.set_attributes(digest="of another end")
    file.flush()
    history = History({name: values[:checkpointed] for name, values in file.history.columns().items()})
    resumed = begin(tmp_path, history)
    assert resumed.notes == []
    resumed.flush()
    record = read_run(tmp_path)
    assert record.sweeps == checkpointed
    assert record.results == {}
    assert "digest" not in record.attributes
    assert all(sweep <= checkpointed for sweep in record.kept_sweeps)
    assert "attempt-0002" in record.provenance
    sweep_through(resumed, checkpointed + 1, 9)

    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    sweep_through(begin(undisturbed), 1, 9)
    one, other = read_run(tmp_path), read_run(undisturbed)
    assert one.kept_sweeps == other.kept_sweeps
    assert one.history.keys() == other.history.keys()
    for name, values in other.history.items():
        np.testing.assert_array_equal(one.history[name], values)


def test_starts_are_counted(tmp_path):
    begin(tmp_path).flush()
    for _ in range(3):
        begin(tmp_path, History()).flush()
    found = read_run(tmp_path).provenance
    assert [name for name in found if name.startswith("attempt")] == ["attempt-0002", "attempt-0003", "attempt-0004"]
    assert found["attempt-0004"]["host"] == "node7"


def test_a_run_that_was_behind_its_checkpoint_is_filled_in(tmp_path):
    file = begin(tmp_path)
    sweep_through(file, 1, 6, flush_every=4)
    begin(tmp_path, file.history).flush()
    assert read_run(tmp_path).history["sweep"].tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("size", [0, 700, -1])
def test_a_damaged_file_is_set_aside_and_begun_anew(finished, size):
    path = finished / NAME
    if size < 0:
        path.unlink()
    else:
        os.truncate(path, size)
    resumed = begin(finished, History({"sweep": np.arange(1.0, 4.0)}))
    assert "begun anew" in resumed.notes[0]
    resumed.flush()
    assert read_run(finished).sweeps == 3
    assert (finished / f"{NAME}.bad").exists() == (size >= 0)


def test_writing_costs_little_at_thousands_of_sweeps(tmp_path):
    file = begin(tmp_path)
    n_flushed = 0
    for sweep in range(1, 3001):
        file.record(sweep, {"free_energy": -1.0})
        before = (tmp_path / NAME).stat().st_ino if (tmp_path / NAME).exists() else None
        assert file.flush_when_due() is None
        n_flushed += (tmp_path / NAME).stat().st_ino != before
    assert n_flushed <= 3
    file.flush()
    assert read_run(tmp_path).sweeps == 3000


def test_rewriting_the_same_does_not_grow_the_file(tmp_path):
    file = begin(tmp_path)
    sizes = []
    for sweep in range(1, 41):
        file.record(sweep, {"free_energy": -1.0})
        file.set_parameters(parameters(sweep))
        file.flush()
        sizes.append((tmp_path / NAME).stat().st_size)
    assert sizes[-1] == sizes[0]


def in_child(action):
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
    return os.waitpid(child, 0)[1]


def test_a_kill_at_any_step_leaves_the_old_or_the_new_file(tmp_path):
    steps = {"open", "write", "truncate", "fsync", "replace", "unlink", "sendfile"}
    for step in range(0, 100, 3):
        folder = tmp_path / str(step)
        folder.mkdir()
        file = begin(folder)
        sweep_through(file, 1, 2)

        def write_until(step=step, file=file):
            left = [step]

            def kill(frame, event, called):
                if event == "c_call" and called.__name__ in steps:
                    left[0] -= 1
                    if left[0] < 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.setprofile(kill)
            sweep_through(file, 3, 3)

        status = in_child(write_until)
        record = read_run(folder)
        assert record.sweeps in ({2, 3} if status else {3})
        np.testing.assert_array_equal(record.parameters["W"], parameters(record.sweeps)["W"])
        if status == 0:
            break
    assert 20 < step < 99


@pytest.mark.parametrize("limit", [0, 2_000, 15_000])
def test_a_full_disk_is_a_warning_and_nothing_is_lost(tmp_path, limit):
    file = begin(tmp_path)
    sweep_through(file, 1, 2)

    def write_against_a_limit():
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        file.record(3, {"free_energy": 0.0})
        file.set_attributes(digest="cd" * 32)
        file.set_results({"a": 1})
        file.set_parameters(parameters(3))
        assert "was not brought up to date" in file.flush()
        assert read_run(tmp_path).sweeps == 2
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert file.flush() is None

    assert in_child(write_against_a_limit) == 0
    record = read_run(tmp_path)
    assert (record.sweeps, record.attributes["digest"], record.results) == (3, "cd" * 32, {"a": 1})
    np.testing.assert_array_equal(record.parameters["W"], parameters(3)["W"])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 255))
def test_a_changed_byte_is_one_sentence_or_harmless(tmp_path_factory, place, mask):
    """No number comes back changed; texts have no checksum in HDF5. Any other exception fails the test."""
    folder = tmp_path_factory.mktemp("flipped")
    sweep_through(begin(folder), 1, 3)
    data = bytearray((folder / NAME).read_bytes())
    data[place % len(data)] ^= mask
    (folder / NAME).write_bytes(data)
    try:
        record = read_run(folder)
    except RunFileError:
        return
    for name in record.history.keys() & {"sweep", "free_energy"}:
        expected = {"sweep": [1, 2, 3], "free_energy": [-10.0 / sweep for sweep in (1, 2, 3)]}[name]
        assert record.history[name].tolist() == expected


def test_what_is_no_run_is_one_sentence(tmp_path):
    with pytest.raises(RunFileError, match="there is no run folder"):
        read_run(tmp_path / "absent")
    with pytest.raises(RunFileError, match=r"is not the folder of a run: it holds no run.h5"):
        read_run(tmp_path)
    (tmp_path / NAME).write_text("this is text")
    with pytest.raises(RunFileError, match="damaged or no file of a run"):
        read_run(tmp_path)
    with h5py.File(tmp_path / NAME, "w") as file:
        file["x"] = 1
    with pytest.raises(RunFileError, match="does not say that it is one"):
        read_run(tmp_path)
    (tmp_path / NAME).unlink()
    (tmp_path / "inner").mkdir()
    begin(tmp_path / "inner").flush()
    with pytest.raises(RunFileError, match="its folders inner do: name one of these"):
        read_run(tmp_path)


def test_a_newer_format_is_refused(finished):
    with h5py.File(finished / NAME, "r+") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(RunFileError, match=r"has format 99, .* update prosper_ng"):
        read_run(finished)


numbers = st.dictionaries(st.sampled_from("abcd"), st.floats(allow_nan=False), max_size=4)


@given(st.lists(numbers, max_size=8), st.integers(0, 8))
def test_history_is_what_was_appended(entries, since):
    history = History()
    for sweep, entry in enumerate(entries):
        history.append(sweep, entry)
    again = History.from_arrays({**history.to_arrays(), "parameters": np.zeros(2)})
    columns = again.columns(since)
    assert len(again) == len(entries)
    assert columns["sweep"].tolist() == list(range(len(entries)))[since:]
    for name in columns.keys() - {"sweep"}:
        np.testing.assert_array_equal(columns[name], [entry.get(name, np.nan) for entry in entries][since:])


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="different length"):
        History({"sweep": np.arange(3.0), "a": np.arange(2.0)})

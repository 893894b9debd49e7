"""run.h5 while another program holds it, or after one has spoiled it: nothing is lost, and nothing made up."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.storage.run_file import RunFile, StoredConfig
from prosper_ng.storage.run_record import read_run
from tests.helpers.busy_files import IN_USE, held

CONFIG = StoredConfig({"name": "tiny"}, "name: tiny\n", {})


def swept(file: RunFile, *sweeps: int) -> None:
    for sweep in sweeps:
        file.record(sweep, {"free_energy": -1.0 / sweep})
        file.set_parameters(NamedArrays.of(sigma=float(sweep)), keep_as_sweep=sweep)


@pytest.fixture
def half_written(tmp_path):
    """A run file with two sweeps on disk."""
    file = RunFile(tmp_path, CONFIG, {"host": "node7"}, {"name": "tiny"})
    swept(file, 1, 2)
    assert file.flush() is None
    return file


def test_what_could_not_be_written_is_written_later(half_written):
    with held(half_written.path):
        swept(half_written, 3)
        assert IN_USE in half_written.flush()
        swept(half_written, 4)
        half_written._flushed_at = -np.inf
        assert IN_USE in half_written.flush_when_due()
        half_written._flushed_at = -np.inf
        assert half_written.flush_when_due() is None, "the same sentence is not said twice in a row"
    swept(half_written, 5)
    assert half_written.flush() is None
    record = read_run(half_written.path)
    assert (record.sweeps, record.kept_sweeps) == (5, [1, 2, 3, 4, 5])
    assert record.attributes["opened by"] == "a notebook"
    assert np.isfinite(record.history["free_energy"]).all()
    assert sorted(path.name for path in half_written.path.parent.iterdir()) == ["run.h5"]


def test_a_start_beside_a_run_file_in_use_goes_on_with_it_later(half_written):
    with held(half_written.path):
        again = RunFile(half_written.path.parent, CONFIG, {"host": "node8"}, {"name": "tiny"}, half_written.history)
        assert [IN_USE in note for note in again.notes] == [True]
        swept(again, 3)
        assert IN_USE in again.flush()
    assert again.flush() is None
    record = read_run(half_written.path)
    assert (record.sweeps, record.kept_sweeps) == (3, [1, 2, 3])
    assert record.provenance["attempt-0002"]["host"] == "node8"


def removed(path: Path) -> None:
    path.unlink()


def overwritten(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = 1.0


def shortened(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["history/free_energy"].resize((1,))


def cut_off(path: Path) -> None:
    os.truncate(path, 900)


@pytest.mark.parametrize("spoil", [removed, overwritten, shortened, cut_off])
def test_a_run_file_that_another_program_spoiled_meanwhile_is_begun_anew(half_written, spoil):
    """Nothing is filled in where the numbers of earlier sweeps were."""
    spoil(half_written.path)
    swept(half_written, 3)
    assert "begun anew" in half_written.flush()
    assert half_written.flush() is None
    record = read_run(half_written.path)
    assert record.history["free_energy"].tolist() == [-1.0, -1 / 2, -1 / 3]
    assert (record.attributes["name"], record.config, record.provenance["host"]) == ("tiny", {"name": "tiny"}, "node7")
    assert record.parameters == {"sigma": 3.0}
    assert half_written.path.with_name("run.h5.bad").exists() == (spoil is not removed)

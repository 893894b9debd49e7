"""What an E-step keeps of rows goes by its names: another E-step than those of the package, on any number of ranks."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from prosper_ng.storage.run_record import read_run
from tests.helpers.small_runs import SEARCH, newest_checkpoint

pytestmark = pytest.mark.mpi

COMMAND = (sys.executable, Path(__file__).parent / "programs" / "run_walking.py")
TEXT = SEARCH.replace("{kind: search, n_states: 12}", "{kind: walking}").replace("n_sweeps: 12", "n_sweeps: 6")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of a run without a launcher, beside its configuration."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "walking.yaml").write_text(TEXT, encoding="utf-8")
    called("--quiet", "run", folder / "walking.yaml", "--output", folder / "run")
    return folder


def called(*arguments):
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_means_and_numbers_of_rows_are_learned_with_kept_and_gone_on_from(mpiexec, alone, tmp_path):
    expected = read_run(alone / "run")
    mine = newest_checkpoint(alone / "run", 120).rows
    assert {name: (rows.shape, rows.dtype) for name, rows in mine.items()} == {
        "means": ((120, 6), np.float64), "index": ((120,), np.int32)
    }  # fmt: skip
    assert (np.diff(expected.history["free_energy"]) > -1e-9).all()
    assert len(np.unique(mine["index"])) > 10
    file, budget = alone / "walking.yaml", ("--set", "memory.states_budget=1kB")
    first = ("run", file, "--set", "training.n_sweeps=3", "--output", tmp_path / "run", *budget)
    for n_ranks, arguments in ((2, first), (3, ("run", file, "--output", tmp_path / "run", *budget))):
        done = mpiexec(n_ranks, *COMMAND, *arguments, timeout=240)
        assert done.returncode == 0, done.stderr
    found, theirs = read_run(tmp_path / "run"), newest_checkpoint(tmp_path / "run", 120).rows
    assert found.attributes["digest"] == expected.attributes["digest"]
    assert found.history["free_energy"].tobytes() == expected.history["free_energy"].tobytes()
    assert all(theirs[name].tobytes() == rows.tobytes() for name, rows in mine.items())


def test_inference_goes_on_from_what_the_run_has_kept_whatever_its_name(alone, tmp_path):
    said = called("infer", alone / "run", "--sweeps", "3", "--output", tmp_path / "kept.h5")
    assert "starts from the states that the run has stored for each row after sweep 6" in said
    with h5py.File(tmp_path / "kept.h5") as file:
        assert file.attrs["mean_free_energy"] >= read_run(alone / "run").last("free_energy") - 1e-9
    other = ("--set", "estep={kind: search, n_states: 9}", "--sweeps", "1", "--output", tmp_path / "other.h5")
    assert (
        "the search starts from fresh states: the run has kept index (one number, int32), means (6, float64) for each "
        "row, and codes (9 x 1, uint64), log_joint (9, float64) is needed"
    ) in " ".join(called("infer", alone / "run", *other).split())

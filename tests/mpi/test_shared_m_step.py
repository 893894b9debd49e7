"""Many components, of which each rank maximizes its share: one digest, also of a run that was killed and goes on."""

import re
import subprocess
import sys

import numpy as np
import pytest

from prosper_ng.storage.run_record import read_run
from tests.conftest import on_libraries
from tests.helpers.small_runs import newest_checkpoint

pytestmark = pytest.mark.mpi

N_ROWS = 2500
TEXT = """
name: many
seed: 3
data: {kind: npy, path: ROWS, missing: true}
model: {kind: mixture, n_components: 500}
estep: {kind: clusters}
training: {n_sweeps: 6, updates_per_sweep: 2, block_rows: 256}
output: {figures: false, checkpoint_sweeps: 2}
"""
RUN = """
import os, signal, sys

from prosper_ng import cli
from prosper_ng.models.mixture import Mixture

CULPRIT, SWEEP, HOW = SAID
maximize, n_calls = Mixture.maximize, 0

def disturbed(self, params, sums, step):
    global n_calls
    from mpi4py import MPI
    n_calls += bool(sums["n"] > 1000)  # not those of a rehearsal
    if MPI.COMM_WORLD.rank == CULPRIT and n_calls == 2 * SWEEP:
        if HOW == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise FloatingPointError("a defect")
    return maximize(self, params, sums, step)

if CULPRIT >= 0:
    Mixture.maximize = disturbed
sys.exit(cli.main(["run", "FILE", "--output", "FOLDER"]))
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of an undisturbed run without a launcher."""
    folder = tmp_path_factory.mktemp("alone")
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((N_ROWS, 96)) + 20 * rng.standard_normal((300, 96))[rng.integers(0, 300, N_ROWS)]
    rows[rng.random(rows.shape) < 0.05] = np.nan
    np.save(folder / "rows.npy", rows)
    (folder / "many.yaml").write_text(TEXT.replace("ROWS", f"{folder}/rows.npy"), encoding="utf-8")
    code = script(folder, folder / "run", (-1, 0, ""))
    subprocess.run([sys.executable, "-c", code], check=True, timeout=240, capture_output=True)
    return folder


def script(alone, folder, said):
    return RUN.replace("FILE", f"{alone}/many.yaml").replace("FOLDER", str(folder)).replace("SAID", repr(said))


def assert_same_end(expected, folder):
    assert read_run(folder).attributes["digest"] == read_run(expected).attributes["digest"]
    mine, theirs = newest_checkpoint(expected, N_ROWS), newest_checkpoint(folder, N_ROWS)
    assert theirs.root["params"].buffer.tobytes() == mine.root["params"].buffer.tobytes()
    for name in ("parts", "seen", "high", "low"):
        assert theirs.root[f"totals/{name}"].tobytes() == mine.root[f"totals/{name}"].tobytes()


@on_libraries("n_ranks", [2, 3], 2)
def test_any_number_of_ranks_gives_the_bits_of_a_single_process(mpiexec, alone, tmp_path, n_ranks):
    done = mpiexec(n_ranks, code=script(alone, tmp_path / "run", (-1, 0, "")), timeout=240)
    assert done.returncode == 0, done.stderr
    assert_same_end(alone / "run", tmp_path / "run")


@pytest.mark.parametrize(("before", "after"), [(3, 2), (2, 1), (1, 3)])
def test_a_run_killed_amid_an_m_step_goes_on_on_other_ranks(mpiexec, alone, tmp_path, before, after):
    killed = mpiexec(before, code=script(alone, tmp_path / "run", (before - 1, 5, "kill")), timeout=240)
    assert killed.returncode != 0
    done = mpiexec(after, code=script(alone, tmp_path / "run", (-1, 0, "")), timeout=240)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^resumed after sweep 4 of 6$", done.stdout, re.MULTILINE)
    assert_same_end(alone / "run", tmp_path / "run")


def test_a_defect_on_one_rank_ends_all_with_one_message(mpiexec, alone, tmp_path):
    done = mpiexec(3, code=script(alone, tmp_path / "run", (1, 2, "defect")), timeout=240)
    assert done.returncode != 0
    assert done.stderr.count("FloatingPointError: a defect") == 1
    assert "updating the parameters on rank 1 of 3" in done.stderr

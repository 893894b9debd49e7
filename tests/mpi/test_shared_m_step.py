"""Shared M-steps of many components, and Gaussian posteriors: one digest, also of runs killed amid an M-step."""

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
GAUSSIAN = """
model: {kind: laplace, n_latents: 7}
estep: {kind: gaussian}
training:
  n_sweeps: 6
  updates_per_sweep: 2
  block_rows: 256
  annealing: {prior_weight: [[0, 0.8], [5, 1.0]], noise_weight: [[0, 0.4], [5, 1.0]]}
"""
TEXTS = {"many": TEXT, "gaussian": TEXT[: TEXT.index("model:")] + GAUSSIAN + TEXT[TEXT.index("output:") :]}
RUN = """
import os, signal, sys

from prosper_ng import cli
from prosper_ng.models.laplace import Laplace
from prosper_ng.models.mixture import Mixture

Model = Laplace if "NAME" == "gaussian" else Mixture
CULPRIT, SWEEP, HOW = SAID
maximize, n_calls = Model.maximize, 0

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
    Model.maximize = disturbed
sys.exit(cli.main(["run", "ALONE/NAME.yaml", "--output", "FOLDER/NAME"]))
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of undisturbed runs without a launcher."""
    folder = tmp_path_factory.mktemp("alone")
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((N_ROWS, 96)) + 20 * rng.standard_normal((300, 96))[rng.integers(0, 300, N_ROWS)]
    rows[rng.random(rows.shape) < 0.05] = np.nan
    np.save(folder / "rows.npy", rows)
    for name, text in TEXTS.items():
        (folder / f"{name}.yaml").write_text(text.replace("ROWS", f"{folder}/rows.npy"), encoding="utf-8")
        code = script(name, folder, folder, (-1, 0, ""))
        subprocess.run([sys.executable, "-c", code], check=True, timeout=240, capture_output=True)
    return folder


def script(name, alone, folder, said):
    text = RUN.replace("NAME", name).replace("SAID", repr(said))
    return text.replace("ALONE", str(alone)).replace("FOLDER", str(folder))


def assert_same_end(expected, folder):
    assert read_run(folder).attributes["digest"] == read_run(expected).attributes["digest"]
    mine, theirs = newest_checkpoint(expected, N_ROWS), newest_checkpoint(folder, N_ROWS)
    assert theirs.root["params"].buffer.tobytes() == mine.root["params"].buffer.tobytes()
    for name in ("parts", "seen", "high", "low"):
        assert theirs.root[f"totals/{name}"].tobytes() == mine.root[f"totals/{name}"].tobytes()


CASES = [("many", 2), ("many", 3), ("gaussian", 3)]


@on_libraries("name, n_ranks", CASES, CASES[0])
def test_any_number_of_ranks_gives_the_bits_of_a_single_process(mpiexec, alone, tmp_path, name, n_ranks):
    done = mpiexec(n_ranks, code=script(name, alone, tmp_path, (-1, 0, "")), timeout=240)
    assert done.returncode == 0, done.stderr
    assert_same_end(alone / name, tmp_path / name)


@pytest.mark.parametrize(
    ("name", "before", "culprit", "after"),
    [("many", 3, 2, 2), ("many", 2, 1, 1), ("many", 1, 0, 3), ("gaussian", 2, 0, 3)],
)
def test_a_run_killed_amid_an_m_step_goes_on_on_other_ranks(mpiexec, alone, tmp_path, name, before, culprit, after):
    killed = mpiexec(before, code=script(name, alone, tmp_path, (culprit, 5, "kill")), timeout=240)
    assert killed.returncode != 0
    done = mpiexec(after, code=script(name, alone, tmp_path, (-1, 0, "")), timeout=240)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^resumed after sweep 4 of 6$", done.stdout, re.MULTILINE)
    assert_same_end(alone / name, tmp_path / name)


def test_a_defect_on_one_rank_ends_all_with_one_message(mpiexec, alone, tmp_path):
    done = mpiexec(3, code=script("many", alone, tmp_path, (1, 2, "defect")), timeout=240)
    assert done.returncode != 0
    assert done.stderr.count("FloatingPointError: a defect") == 1
    assert "updating the parameters on rank 1 of 3" in done.stderr

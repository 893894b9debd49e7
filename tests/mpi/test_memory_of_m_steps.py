"""What M-steps remember survives whatever ends a run, on any number of ranks: a net that learns by Adam."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from prosper_ng.storage.run_record import read_run
from tests.helpers.sigmoid_nets.problems import binary_rows
from tests.helpers.small_runs import newest_checkpoint

pytestmark = pytest.mark.mpi

N_ROWS = 120
PROGRAMS = Path(__file__).parent / "programs"
NETS, RUN_EACH, DISTURBED = (PROGRAMS / f"{name}.py" for name in ("with_sigmoid_nets", "run_each", "run_disturbed"))
TEXT = """
name: net
seed: 3
data: {kind: npy, path: ROWS, missing: true}
model: {kind: sbn_adam, n_latents: 3, learns_from: part}
estep: {kind: search, n_states: 5}
training: {n_sweeps: 9, updates_per_sweep: 3, block_rows: 16}
output: {figures: false, checkpoint_sweeps: 2}
"""
TEXTS = {
    "part": TEXT,
    "total": TEXT.replace("learns_from: part", "learns_from: total"),
    "convergence": TEXT.replace("{kind: sbn_adam, n_latents: 3, learns_from: part}", "{kind: sbn, n_latents: 3}"),
}


PLAIN = """
import sys
from prosper_ng import cli
sys.exit(cli.main(sys.argv[1:]))
"""
FORGETFUL = """
import prosper_ng.models.sbn_adam as nets
del nets.SBNAdam.memory
nets.SBNAdam.maximize = lambda self, params, sums, step: params.copy()
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of undisturbed runs without a launcher, each beside its configuration."""
    folder = tmp_path_factory.mktemp("alone")
    np.save(folder / "rows.npy", binary_rows(N_ROWS, n_latents=3, missing=0.1))
    for name, text in TEXTS.items():
        (folder / f"{name}.yaml").write_text(text.replace("ROWS", f"{folder}/rows.npy"), encoding="utf-8")
    files = [folder / f"{name}.yaml" for name in TEXTS]
    subprocess.run([sys.executable, NETS, RUN_EACH, folder, *files], check=True, timeout=240)
    return folder


def assert_same_end(expected, folder):
    assert read_run(folder).attributes["digest"] == read_run(expected).attributes["digest"]
    mine, theirs = newest_checkpoint(expected, N_ROWS), newest_checkpoint(folder, N_ROWS)
    assert theirs.iteration == mine.iteration == 9
    assert theirs.root.keys() == mine.root.keys()
    for name in mine.root.keys() & {"params", "memory"}:
        assert theirs.root[name].shapes == mine.root[name].shapes
        assert theirs.root[name].buffer.tobytes() == mine.root[name].buffer.tobytes()


def test_what_is_remembered_is_kept_and_nothing_beyond_it(alone):
    found = newest_checkpoint(alone / "part", N_ROWS).root
    assert float(found["memory"]["n_steps"]) == 27
    assert found["memory"]["square_W"].min() > 0
    assert found["totals/parts"].shape == (3, 2)
    assert newest_checkpoint(alone / "total", N_ROWS).root["totals/parts"].shape[1] > 2
    assert "memory" not in newest_checkpoint(alone / "convergence", N_ROWS).root


def test_what_the_entropy_gap_means_is_written_down(alone):
    assert read_run(alone / "convergence").attributes["entropy_identity"] == "at convergence"
    assert np.isfinite(read_run(alone / "convergence").history["entropy_gap"]).all()
    assert "entropy_identity" not in read_run(alone / "part").attributes
    assert np.isnan(read_run(alone / "part").history["entropy_gap"]).all()


@pytest.mark.parametrize("n_ranks", [1, 2, 3])
def test_any_number_of_ranks_gives_the_bits_of_a_single_process(mpiexec, alone, tmp_path, n_ranks):
    files = [alone / f"{name}.yaml" for name in TEXTS]
    done = mpiexec(n_ranks, sys.executable, NETS, RUN_EACH, tmp_path, *files, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for name in TEXTS:
        assert_same_end(alone / name, tmp_path / name)


@pytest.mark.parametrize(("name", "before", "after"), [("part", 1, 2), ("part", 2, 1), ("total", 2, 2)])
def test_a_killed_run_goes_on_with_the_bits_of_an_undisturbed_one(mpiexec, alone, tmp_path, name, before, after):
    folder, clock = tmp_path / name, {"DISTURBED_AT": str(tmp_path / "disturbed_at")}
    command = ["run", alone / f"{name}.yaml", "--output", folder]
    killed = mpiexec(before, sys.executable, NETS, DISTURBED, "SIGKILL", str(before - 1), "5", *command, env=clock)
    assert killed.returncode != 0
    assert (tmp_path / "disturbed_at").exists()
    done = mpiexec(after, sys.executable, NETS, DISTURBED, "SIGKILL", "0", "-1", *command, env=clock)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^resumed after sweep 4 of 9$", done.stdout, re.MULTILINE)
    assert_same_end(alone / name, folder)


def test_coupled_latents_under_a_preselection_are_refused_before_a_run_begins(alone, tmp_path):
    changes = ["model.n_top=1", "estep={kind: preselection, n_candidates: 2, max_active: 1}"]
    overrides = [argument for change in changes for argument in ("--set", change)]
    program = tmp_path / "plain.py"
    program.write_text(PLAIN, encoding="utf-8")
    command = [sys.executable, NETS, program, "run", alone / "convergence.yaml", "--output", tmp_path / "run"]
    done = subprocess.run([*command, *overrides], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: estep.corrects_prior corrects the learned activities of latents that are ")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_without_what_is_remembered_is_refused(alone, tmp_path):
    """The folder of a net without memory, under the configuration of one with it, as another version may leave it."""
    program = tmp_path / "forgetful.py"
    program.write_text(FORGETFUL + PLAIN, encoding="utf-8")
    command = ["--quiet", "run", alone / "part.yaml", "--output", tmp_path / "run"]
    first = [sys.executable, NETS, program, *command, "--set", "training.n_sweeps=2"]
    subprocess.run(first, check=True, timeout=120)
    plain = tmp_path / "plain.py"
    plain.write_text(PLAIN, encoding="utf-8")
    again = subprocess.run([sys.executable, NETS, plain, *command], capture_output=True, text=True, timeout=120)
    assert again.returncode == 2
    assert "it holds the memory of the M-step none, and n_steps (a number), mean_W (6 x 3)" in again.stderr

"""The states that a run has stored, and what a search over its rows makes of them."""

import re
import shutil

import numpy as np
import pytest
from scipy.special import logsumexp

from prosper_ng.data.sources.bars import Bars
from prosper_ng.latents.space import LatentSpace
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.storage.checkpoint import Checkpoints
from prosper_ng.storage.run_record import read_run
from tests.helpers.inference_runs import N_ROWS, brute_force, commands, train

SEARCH = {"kind": "search", "n_states": 7, "variations": [{"kind": "evolution", "n_parents": 4}]}
LEARNING = {"n_sweeps": 6, "updates_per_sweep": 2, "annealing": {"temperature": [[0, 4.0], [3, 1.0]]}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("bars"))


@pytest.fixture
def call(tmp_path, capsys):
    return commands(tmp_path, capsys)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A run that has stored states, and two checkpoints."""
    output = {"figures": False, "checkpoint_sweeps": 4, "keep_checkpoints": 2}
    return train(tmp_path_factory.mktemp("searched"), estep=SEARCH, training=LEARNING, output=output)


@pytest.fixture
def copied(searched, tmp_path):
    """A copy of it that may be damaged."""
    return shutil.copytree(searched, tmp_path / "copied")


def stored_free_energies(run):
    """(n,) free energies over the states of the newest checkpoint, with the parameters of the run."""
    checkpoint, _ = Checkpoints(run / "checkpoints", SerialCommunicator(), reads_only=True).load_latest(
        0, N_ROWS, N_ROWS
    )
    joint, _, states = brute_force(run, Bars(n_bars=6, n_rows=N_ROWS).open(2).read(0, N_ROWS))
    places = LatentSpace(6).decode(checkpoint.rows["codes"]) @ (2 ** np.arange(5, -1, -1))
    assert (states[places[3]] == LatentSpace(6).decode(checkpoint.rows["codes"][3])).all()
    return logsumexp(np.take_along_axis(joint, places, axis=1), axis=1)


def test_a_search_over_the_rows_of_the_run_starts_from_the_states_it_has_stored(searched, call):
    least = stored_free_energies(searched)
    found, attributes, said = call("infer", searched, "--sweeps", "1")
    assert (found["free_energy"] >= least - 1e-9).all()
    assert attributes["mean_free_energy"] >= read_run(searched).last("free_energy") - 1e-9
    assert attributes["states_of_sweep"] == 6
    assert "starts from the states that the run has stored for each row after sweep 6" in said
    more, _, _ = call("infer", searched, "--sweeps", "1", "--set", "estep.n_states=20", "--force")
    assert (more["free_energy"] >= least - 1e-9).all()
    hard, attributes, said = call("infer", searched, "--adaptive", "--force")
    assert (hard["free_energy"] >= least - 1e-9).all()
    assert (attributes["n_certain"], attributes["n_unsettled"]) == (N_ROWS, 0)
    assert f"{N_ROWS} rows: the best state is certain, since all states were looked at" in said
    filled, attributes, _ = call("reconstruct", searched, "--force")
    assert (filled["free_energy"] >= least - 1e-9).all()
    assert attributes["states_of_sweep"] == 6


def test_fewer_states_than_the_run_has_stored_are_the_best_of_them(searched, call):
    fewer, attributes, _ = call("infer", searched, "--sweeps", "1", "--set", "estep.n_states=3", "--top-k", "3")
    assert attributes["states_of_sweep"] == 6
    best = call("infer", searched, "--sweeps", "1", "--top-k", "3", "--force")[0]
    assert fewer["states"].shape == best["states"].shape == (N_ROWS, 3, 6)
    assert (fewer["free_energy"] >= stored_free_energies(searched) - np.log(7 / 3) - 1e-9).all()


def test_states_are_for_the_rows_of_the_run_and_a_search_only(searched, call, tmp_path):
    np.save(tmp_path / "same.npy", Bars(n_bars=6, n_rows=N_ROWS).open(2).read(0, N_ROWS))
    for arguments in ([tmp_path / "same.npy"], ["--set", "estep={kind: preselection}"]):
        _, attributes, said = call("infer", searched, *arguments, "--force")
        assert "states_of_sweep" not in attributes
        assert "starts from" not in said


def damage(run):
    newest = max((run / "checkpoints").glob("*.h5"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 255
    newest.write_bytes(content)


DAMAGES = {
    "damaged": (damage, "after sweep 4, and the parameters are those after sweep 6"),
    "older": (lambda run: max((run / "checkpoints").glob("*.json")).unlink(), "was written after sweep 4"),
    "none": (lambda run: shutil.rmtree(run / "checkpoints"), "there is no checkpoint in .*checkpoints"),
}


@pytest.mark.parametrize(("change", "complaint"), list(DAMAGES.values()), ids=list(DAMAGES))
def test_without_the_states_that_go_with_the_parameters_a_search_says_so(change, complaint, copied, call):
    change(copied)
    before = sorted(path.name for path in copied.rglob("*"))
    found, attributes, said = call("infer", copied)
    assert re.search(f"the search starts from fresh states: .*{complaint}", said)
    assert "states_of_sweep" not in attributes
    assert np.isfinite(found["free_energy"]).all()
    # Who only reads a run leaves everything as it was.
    assert sorted(path.name for path in copied.rglob("*")) == before


def test_a_run_that_has_stored_no_states_has_none_to_start_from(run, call):
    _, attributes, said = call("infer", run, "--set", "estep={kind: search, n_states: 9}")
    assert "the search starts from fresh states: the E-step that the run has learned with stores no states" in said
    assert "states_of_sweep" not in attributes

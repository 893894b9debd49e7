"""Runs of earlier versions are shown, reported, inferred with and gone on with, or refused in a sentence.

The sentence names the version that wrote them. See tests/data/runs-0.1/README.md.
"""

import json
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from prosper_ng import cli
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.storage.checkpoint import Checkpoints
from prosper_ng.storage.run_record import read_run

ARCHIVE = Path(__file__).parents[1] / "data" / "runs-0.1" / "runs.tar.xz"
N_ROWS = 24
RUNS = ("preselection", "mean", "search", "whitened")


@pytest.fixture
def older(tmp_path, monkeypatch):
    """The folder with configurations, data and runs, which is the current one."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def done_or_refused(capsys, *arguments: str) -> bool:
    """Whether a command did its work; it fails the test where it neither did nor said in a sentence why not."""
    capsys.readouterr()
    status = cli.main([*arguments])
    said = capsys.readouterr()
    if status == 0:
        return True
    assert status == 2
    sentence, *phase = said.err.splitlines()
    assert [line for line in phase[:1] if line.startswith("  while ")] == phase
    assert "0.1.0" in sentence or "has learned from whitened rows" in sentence
    return False


@pytest.mark.parametrize("name", RUNS)
def test_it_is_shown(older, capsys, name):
    assert cli.main(["show", f"runs/{name}"]) == 0
    shown = capsys.readouterr().out
    assert name in shown
    assert "finished" in shown
    assert "4 of 4" in shown


@pytest.mark.parametrize("name", RUNS)
def test_it_is_drawn_and_reported(older, capsys, name):
    pytest.importorskip("matplotlib")
    assert cli.main(["plot", f"runs/{name}"]) == 0
    assert cli.main(["report", f"runs/{name}"]) == 0


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("data", [(), ("rows.npy",)], ids=["own data", "other data"])
def test_its_model_is_used(older, capsys, name, data):
    if data:
        n_observed = int(read_run(older / "runs" / name).attributes["n_observed"])
        np.save("rows.npy", np.random.default_rng(2).normal(size=(7, n_observed)))
    if done_or_refused(capsys, "infer", f"runs/{name}", *data, "--output", "inferred.h5"):
        assert (older / "inferred.h5").is_file()


@pytest.mark.parametrize("name", RUNS)
def test_it_goes_on(older, capsys, name):
    before = read_run(older / "runs" / name)
    kept = before.params_history()
    arguments = ["run", f"{name}.yaml", "--output", f"runs/{name}", "--set", "training.n_sweeps=6"]
    is_done = done_or_refused(capsys, *arguments)
    after = read_run(older / "runs" / name)
    assert after.sweeps == (6 if is_done else 4)
    np.testing.assert_array_equal(after.history["free_energy"][:4], before.history["free_energy"])
    assert after.kept_sweeps[: len(before.kept_sweeps)] == before.kept_sweeps
    assert kept.get("sweep", np.zeros(0)).tolist() == before.kept_sweeps == ([2, 4] if name == "preselection" else [])
    for parameter, values in after.params_history().items():
        np.testing.assert_array_equal(values[: len(before.kept_sweeps)], kept[parameter])
    assert not list((older / "runs" / name).rglob("*.bad"))
    if is_done:
        assert "attempt-0002" in after.provenance
        assert np.diff(after.history["free_energy"][3:]).min() > -1e-6


@pytest.mark.parametrize("name", RUNS)
def test_its_configuration_is_still_legal(older, capsys, name):
    assert cli.main(["validate", f"{name}.yaml"]) == 0


def rewritten(folder: Path, change) -> None:
    """The newest checkpoint once more, its attributes, root arrays and rows changed as by another version."""
    checkpoints = Checkpoints(folder / "checkpoints", SerialCommunicator())
    found, notes = checkpoints.load_latest(0, N_ROWS, N_ROWS)
    assert notes == []
    attributes, root, rows = found.attributes | {"prosper_ng": "0.7.3"}, dict(found.root), dict(found.rows)
    change(attributes, root, rows)
    warning = checkpoints.save(found.iteration, root=root, rows=rows, starts=[0, N_ROWS], attributes=attributes)
    assert warning is None


def without_a_parameter(attributes, root, rows):
    root["params"] = NamedArrays.of(**{name: values for name, values in root["params"].items() if name != "sigma"})


def with_more_statistics(attributes, root, rows):
    root["totals/parts"] = np.zeros((1, 99))


def with_statistics_in_another_order(attributes, root, rows):
    attributes["statistics"] = {"b": [2], "a": [1]}


def with_fewer_states(attributes, root, rows):
    rows.update({name: values[:, :2] for name, values in rows.items()})


def with_an_option_that_is_not_known(attributes, root, rows):
    attributes["config"] = attributes["config"] | {"tempering": 2}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_a_parameter, "it holds the parameters W (6 x 4), pi (4)"),
        (with_more_statistics, "it holds the totals parts (1 x 99)"),
        (with_statistics_in_another_order, "it holds the statistics b (2), a (1)"),
        (with_fewer_states, "it holds codes (2 x 1, uint64)"),
        (with_an_option_that_is_not_known, "unknown field `tempering`"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_with_its_version(older, capsys, change, said):
    folder = older / "runs" / "whitened"
    rewritten(folder, change)
    there = {path.name: path.read_bytes() for path in folder.rglob("*.h5")}
    assert cli.main(["run", "whitened.yaml", "--output", str(folder), "--set", "training.n_sweeps=6"]) == 2
    sentence = capsys.readouterr().err.splitlines()[0]
    assert "was written by prosper_ng 0.7.3" in sentence
    assert said in sentence
    assert {path.name: path.read_bytes() for path in folder.rglob("*.h5")} == there


def test_parameters_in_another_order_are_taken_by_name(older):
    def turned(attributes, root, rows):
        root["params"] = NamedArrays.of(**{name: root["params"][name] for name in reversed(list(root["params"]))})

    digests = []
    for name in ("as they were", "turned"):
        start = ["run", "search.yaml", "--output", name]
        assert cli.main(start) == 0
        if name == "turned":
            rewritten(Path(name), turned)
        assert cli.main([*start, "--set", "training.n_sweeps=6"]) == 0
        digests.append(read_run(Path(name)).attributes["digest"])
    assert digests[0] == digests[1]


def test_a_model_with_an_option_that_is_not_known_is_refused_with_its_version(older, capsys):
    with h5py.File("runs/mean/run.h5", "r+") as file:
        config = json.loads(file["config/resolved"][()]) | {"tempering": 2}
        file["config/resolved"][()] = json.dumps(config)
        file["provenance"].attrs["prosper_ng"] = "0.7.3"
    assert cli.main(["infer", "runs/mean", "--output", "inferred.h5"]) == 2
    said = capsys.readouterr().err
    assert "was written by prosper_ng 0.7.3, and its configuration is none of prosper_ng" in said
    assert "unknown field `tempering`" in said

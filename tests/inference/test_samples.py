"""`sample`: rows with the moments of the model, the same whoever makes them and however many there are."""

import os

import h5py
import numpy as np
import pytest
import yaml

from prosper_ng.cli import main
from prosper_ng.data.sources.hdf5 import Hdf5
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.storage.run_file import RunFile, StoredConfig
from prosper_ng.storage.run_record import read_run

CONFIG = {
    "name": "known",
    "data": {"kind": "bars"},
    "model": {"kind": "dsc", "n_latents": 4, "values": [0.0, -1.5, 2.0]},
    "estep": {"kind": "exhaustive"},
}
W = np.array([[3.0, 0, 1, 0], [0, 2, 1, 0], [0, 0, 4, 0], [1, 0, 0, 1], [0, 5, 0, 2]])
PARAMETERS = {"W": W, "sigma": np.array(0.5), "pi": np.array([0.6, 0.3, 0.1])}


@pytest.fixture
def config(tmp_path):
    np.savez(tmp_path / "known.npz", **PARAMETERS)
    path = tmp_path / "known.yaml"
    training = {"initial_file": str(tmp_path / "known.npz")}
    path.write_text(yaml.safe_dump(CONFIG | {"training": training}), encoding="utf-8")
    return path


@pytest.fixture
def run(tmp_path):
    """The folder of a run that has come to these parameters."""
    (tmp_path / "run").mkdir()
    file = RunFile(tmp_path / "run", StoredConfig(CONFIG, "", {}), {}, {"name": "known", "n_rows": 9, "n_observed": 5})
    file.set_parameters(NamedArrays.of(**PARAMETERS))
    file.record(7, {"free_energy": -1.0})
    file.set_attributes(digest="ab" * 32)
    assert file.flush() is None
    return tmp_path / "run"


def sample(source, output, *arguments):
    assert main(["sample", str(source), "--output", str(output), "--quiet", *map(str, arguments)]) == 0
    with h5py.File(output) as file:
        return {name: file[name][()] for name in ("data", "states") if name in file}, dict(file.attrs)


def test_rows_have_the_moments_of_the_model(run, tmp_path):
    made, _ = sample(run, tmp_path / "a.h5", "--rows", 40_000, "--states")
    states, data = made["states"], made["data"]
    assert sorted(np.unique(states)) == [-1.5, 0.0, 2.0]
    shares = [(states == value).mean() for value in (0.0, -1.5, 2.0)]
    assert shares == pytest.approx([0.6, 0.3, 0.1], abs=0.01)
    residual = data - states @ W.T
    assert residual.std() == pytest.approx(0.5, rel=0.01)
    assert np.abs(residual.mean(axis=0)).max() < 0.02
    mean, second = -0.45 + 0.2, 0.3 * 2.25 + 0.1 * 4.0
    assert data.mean(axis=0) == pytest.approx(mean * W.sum(axis=1), abs=0.1)
    expected = (second - mean**2) * W @ W.T + 0.25 * np.eye(5)
    assert np.cov(data.T) == pytest.approx(expected, abs=0.5)


def test_rows_are_a_function_of_the_seed_and_their_index(run, tmp_path, monkeypatch):
    monkeypatch.setenv(
        "GIT_DIR", os.devnull
    )  # the file tells the state of the checkout too, which may change meanwhile
    short, _ = sample(run, tmp_path / "a.h5", "--rows", 300, "--states")
    long, _ = sample(run, tmp_path / "b.h5", "--rows", 700, "--states")
    other, _ = sample(run, tmp_path / "c.h5", "--rows", 300, "--seed", 1)
    assert (short["data"] == long["data"][:300]).all()
    assert (short["states"] == long["states"][:300]).all()
    assert len(np.unique(long["data"], axis=0)) == 700
    assert not np.isin(other["data"], short["data"]).any()
    assert "states" not in other
    again = tmp_path / "d.h5"
    sample(run, again, "--rows", 300, "--states")
    assert again.read_bytes() == (tmp_path / "a.h5").read_bytes()


def test_many_waves_make_the_same_file(run, tmp_path, monkeypatch):
    from prosper_ng.inference import samples as inference_samples

    once, _ = sample(run, tmp_path / "a.h5", "--rows", 1000, "--states")
    monkeypatch.setattr(inference_samples, "_WAVE_BYTES", 1)
    often, _ = sample(run, tmp_path / "b.h5", "--rows", 1000, "--states")
    assert (once["data"] == often["data"]).all()
    assert (once["states"] == often["states"]).all()


def test_a_configuration_with_parameters_will_do(run, config, tmp_path):
    of_run, attributes = sample(run, tmp_path / "a.h5", "--rows", 20)
    of_config, _ = sample(config, tmp_path / "b.h5", "--rows", 20)
    assert (of_run["data"] == of_config["data"]).all()
    assert (attributes["seed"], attributes["n_rows"], attributes["run_sweeps"]) == (0, 20, 7)
    assert (attributes["run_name"], attributes["run_digest"]) == ("known", "ab" * 32)
    assert '"values": [0.0, -1.5, 2.0]' in attributes["model"]
    changed = config.with_name("changed.yaml")
    changed.write_text(config.read_text() + "  initial: {sigma: 1.0e-9}\n", encoding="utf-8")
    clean, _ = sample(changed, tmp_path / "c.h5", "--rows", 20, "--states")
    assert clean["data"] == pytest.approx(clean["states"] @ W.T, abs=1e-7)


def test_what_was_sampled_can_be_learned_from(run, tmp_path):
    made, _ = sample(run, tmp_path / "a.h5", "--rows", 20)
    assert (Hdf5(path=str(tmp_path / "a.h5"), dataset="data").open(0).read(0, 20) == made["data"]).all()
    with h5py.File(tmp_path / "a.h5") as file:
        assert {name: file[f"parameters/{name}"][()].tolist() for name in PARAMETERS} == {
            name: values.tolist() for name, values in read_run(run).parameters.items() if not np.isscalar(values)
        } | {"sigma": 0.5}


@pytest.mark.parametrize(
    ("source", "arguments", "complaint"),
    [
        ("nowhere", ["--rows", "3"], "there is no run folder nowhere"),
        ("none.yaml", ["--rows", "3"], "there is no such file"),
        ("bare.yaml", ["--rows", "3"], "gives no parameters of its model dsc"),
        ("partly.yaml", ["--rows", "3"], "does not give parameter sigma of model dsc"),
        ("other.yaml", ["--rows", "3"], r"W has the shape (5, 4), model dsc needs (5, 3)"),
        ("known.yaml", ["--rows", "0"], "'0' is not a whole number of 1 or more"),
        ("known.yaml", ["--rows", "3", "--seed", "-1"], "seed"),
        ("known.yaml", [], "--rows"),
        ("known.yaml", ["--rows", "3", "--output", "known.npz"], "which belongs to what is read here"),
        ("huge.yaml", ["--rows", "3"], "generates rows that are not finite"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(source, arguments, complaint, config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("partly.npz", W=W)
    given = {
        "bare": {},
        "partly": {"training": {"initial_file": "partly.npz"}},
        "other": {"training": {"initial_file": "known.npz"}, "model": CONFIG["model"] | {"n_latents": 3}},
        "huge": {"training": {"initial_file": "known.npz", "initial": {"W": 1.7e308}}},
    }
    for name, sections in given.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(CONFIG | sections), encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    output = [] if "--output" in arguments else ["--output", "out.h5"]
    assert main(["sample", source, *arguments, *output]) in (2, 3)
    said = capsys.readouterr().err
    assert complaint in said
    assert "Traceback" not in said
    assert sorted(tmp_path.iterdir()) == before

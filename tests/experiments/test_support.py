"""Data that a model cannot have made are refused by row and column; a model without dictionary and noise does all else.

The model is one of rows of zeros and ones, as a user might write it.
"""

import h5py
import numpy as np
import pytest
import yaml

from prosper_ng.cli import main
from prosper_ng.storage.run_record import read_run
from tests.helpers.coins import known_to_configurations
from tests.helpers.inference_runs import contents

N_ROWS, D = 300, 5
THETA = np.array([[0.9, 0.9, 0.2, 0.2, 0.5], [0.1, 0.2, 0.8, 0.7, 0.5]])
NEEDS = "model coins needs 0 or 1"


@pytest.fixture(autouse=True)
def _coins():
    with known_to_configurations():
        yield


def rows(seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random((N_ROWS, D)) < THETA[(rng.random(N_ROWS) < 0.3).astype(int)]).astype(float)


def configured(tmp_path, values=None, data=(), **sections):
    """The path of a configuration that learns from these rows."""
    np.save(tmp_path / "rows.npy", rows() if values is None else values)
    config = {
        "name": "coins",
        "data": {"kind": "npy", "path": str(tmp_path / "rows.npy"), **dict(data)},
        "model": {"kind": "coins"},
        "estep": {"kind": "exhaustive"},
        "training": {"n_sweeps": 30, "block_rows": 64},
        "output": {"figures": False},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config | sections), encoding="utf-8")
    return tmp_path / "run.yaml"


def learn(tmp_path, *arguments, **options):
    path = configured(tmp_path, **options)
    return main(["run", str(path), "--output", str(tmp_path / "run"), "--quiet", *arguments])


@pytest.fixture
def refusal(capsys):
    """A function (arguments) -> the sentence that the command ends with."""

    def refused(*arguments):
        assert main([*map(str, arguments)]) == 2
        return capsys.readouterr().err

    return refused


def test_a_model_without_a_dictionary_learns_infers_predicts_samples_and_reports(tmp_path, capsys):
    values = rows()
    values[3, 1] = np.nan
    assert main(["run", str(configured(tmp_path, values, [("missing", True)])), "--output", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    assert "rate 0." in shown
    assert "sigma" not in shown
    record = read_run(tmp_path / "run")
    assert record.roles == {"rate": "activity", "theta": ""}
    assert record.headline == {"rate": "activity"}
    bags = np.abs(record.parameters["theta"] - THETA).max() < np.abs(record.parameters["theta"] - THETA[::-1]).max()
    expected = THETA if bags else THETA[::-1]
    assert record.parameters["theta"] == pytest.approx(expected, abs=0.15)
    for command, name in (("infer", "means"), ("reconstruct", "prediction")):
        assert main([command, str(tmp_path / "run"), "--output", str(tmp_path / f"{command}.h5"), "--quiet"]) == 0
        assert np.isfinite(contents(tmp_path / f"{command}.h5")[0][name]).all()
    sample = ["sample", str(tmp_path / "run"), "--rows", "50", "--output", str(tmp_path / "sample.h5"), "--quiet"]
    assert main(sample) == 0
    assert set(np.unique(contents(tmp_path / "sample.h5")[0]["data"])) == {0.0, 1.0}
    assert main(["report", str(tmp_path / "run")]) == 0
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "mean activity rate" in page
    assert "noise level" not in page


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_value_beyond_the_support_is_named(tmp_path, refusal, precision, in_memory):
    values = rows()
    values[217, 3], values[250, 0] = 2.5, -1.0
    budget = None if in_memory else "1 KiB"
    path = configured(tmp_path, values, memory={"precision": precision, "data_budget": budget})
    said = refusal("run", path, "--output", tmp_path / "run")
    assert f"rows.npy: row 217, column 3 (counted from 0) is 2.5; {NEEDS}" in said


def test_missing_values_are_no_values(tmp_path, refusal):
    values = rows()
    values[:, 0] = np.where(np.arange(N_ROWS) < 290, np.nan, values[:, 0])
    assert learn(tmp_path, values=values, data=[("missing", True)]) == 0
    values[280, 1] = 0.25
    path = configured(tmp_path, values, [("missing", True)])
    assert "row 280, column 1 (counted from 0) is 0.25" in refusal("run", path, "--output", tmp_path / "other")


@pytest.mark.parametrize(
    ("data", "after"),
    [
        ([("remove_mean", True)], "after remove_mean"),
        ([("whiten", "zca")], "after whiten"),
        ([("remove_mean", True), ("whiten", "pca"), ("whiten_epsilon", 0.1)], "after remove_mean and whiten"),
    ],
)
def test_preprocessing_that_leaves_the_support_is_named(tmp_path, refusal, data, after):
    said = refusal("run", configured(tmp_path, data=data), "--output", tmp_path / "run")
    assert "rows.npy: row 0, column 0 (counted from 0) is " in said
    assert f"{after}; {NEEDS}" in said


@pytest.mark.parametrize("noise", [0.1, [[0, 0.5], [10, 0.0]], [[0, 0.0], [3, 0.1]]])
def test_noise_on_the_data_is_refused_before_anything_is_read(tmp_path, refusal, noise):
    path = configured(tmp_path, training={"n_sweeps": 20, "annealing": {"data_noise": noise}})
    (tmp_path / "rows.npy").unlink()
    said = refusal("run", path, "--output", tmp_path / "run")
    assert f"training.annealing.data_noise adds Gaussian noise to the data, and {NEEDS}; set it to 0" in said


def test_a_source_that_adds_noise_is_refused(tmp_path, refusal):
    bars = {"kind": "bars", "n_bars": 4, "n_rows": 50, "superposition": "max", "amplitude": 1.0}
    path = configured(tmp_path, data=bars.items())
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["data"].pop("path")
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    said = refusal("run", path, "--output", tmp_path / "run")
    assert f"data.noise adds Gaussian noise to the data, and {NEEDS}; set it to 0" in said
    assert main(["run", str(path), "--output", str(tmp_path / "run"), "--quiet", "--set", "data.noise=0"]) == 0
    assert "recovered" not in read_run(tmp_path / "run").results
    noisy = tmp_path / "noisy.yaml"
    noisy.write_text(yaml.safe_dump({"data": config["data"]}), encoding="utf-8")
    said = refusal("infer", tmp_path / "run", noisy, "--output", tmp_path / "out.h5")
    assert f"{noisy}: data.noise adds Gaussian noise to the data, and {NEEDS}" in said


@pytest.mark.parametrize("command", ["infer", "reconstruct"])
def test_other_rows_are_held_against_the_support_of_the_model(tmp_path, refusal, command):
    assert learn(tmp_path) == 0
    others = rows(1)
    others[211, 4] = 1 / 3
    np.save(tmp_path / "others.npy", others)
    arguments = (command, tmp_path / "run", tmp_path / "others.npy", "--output", tmp_path / "out.h5")
    assert f"others.npy: row 211, column 4 (counted from 0) is 0.333333; {NEEDS}" in refusal(*arguments)
    assert not (tmp_path / "out.h5").exists()


def test_columns_of_which_the_model_knows_nothing_may_hold_anything(tmp_path):
    values = rows()
    values[:, 2] = np.nan
    assert learn(tmp_path, values=values, data=[("missing", True)]) == 0
    values[:, 2] = 3.25
    np.save(tmp_path / "others.npy", values)
    arguments = [str(tmp_path / "run"), str(tmp_path / "others.npy"), "--output", str(tmp_path / "out.h5"), "--quiet"]
    assert main(["infer", *arguments]) == 0


def sampled(tmp_path, **parameters):
    given = {"rate": 0.3, "theta": THETA.tolist()} | parameters
    given = {name: value for name, value in given.items() if value is not None}
    data = {"kind": "sample", "model": {"kind": "coins"}, "n_rows": 200, "parameters": given}
    path = configured(tmp_path)
    config = yaml.safe_load(path.read_text(encoding="utf-8")) | {"data": data}
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def test_rows_are_sampled_from_a_model_without_a_dictionary(tmp_path):
    assert main(["run", str(sampled(tmp_path)), "--output", str(tmp_path / "run"), "--quiet"]) == 0
    assert read_run(tmp_path / "run").attributes["n_observed"] == D


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"theta": None}, "sample from coins needs the parameter theta of shape (2, D), D values in a row"),
        ({"theta": 0.5}, "sample from coins needs the parameter theta of shape (2, D), D values in a row"),
        ({"theta": [[0.5, 0.5]]}, "parameter theta has shape (1, 2), needed is (2, 2)"),
        ({"rate": 1.5}, "parameter rate (probability of bag 1) must be a number from 1e-06 to 0.999999, not 1.5"),
        ({"W": [[1.0]]}, "model coins has no parameter W"),
    ],
)
def test_what_parameters_of_a_sample_lack_is_said_by_their_names(tmp_path, refusal, parameters, sentence):
    assert sentence in refusal("run", sampled(tmp_path, **parameters), "--output", tmp_path / "run")


def test_what_another_model_has_sampled_is_refused(tmp_path, refusal):
    data = {"kind": "sample", "model": {"kind": "bsc", "n_latents": 1}, "n_rows": 20}
    data["parameters"] = {"W": [[1.0], [0.0]], "sigma": 0.1, "pi": [0.5]}
    path = configured(tmp_path)
    config = yaml.safe_load(path.read_text(encoding="utf-8")) | {"data": data}
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    said = refusal("run", path, "--output", tmp_path / "run")
    assert "sample from bsc: row 0, column 0 (counted from 0) is " in said
    assert NEEDS in said


def test_rows_are_generated_at_given_parameters(tmp_path):
    np.savez(tmp_path / "given.npz", theta=THETA, rate=0.25)
    path = configured(tmp_path, training={"initial_file": str(tmp_path / "given.npz"), "initial": {"rate": 0.5}})
    assert main(["sample", str(path), "--rows", "40", "--output", str(tmp_path / "out.h5"), "--quiet"]) == 0
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["data"].shape == (40, D)
        assert file["parameters/rate"][()] == 0.5


def test_a_page_of_a_run_from_before_roles_shows_what_it_did(tmp_path):
    config = {
        "name": "old", "data": {"kind": "bars", "n_bars": 6, "n_rows": 60}, "model": {"kind": "bsc", "n_latents": 6},
        "estep": {"kind": "exhaustive"}, "training": {"n_sweeps": 3}, "output": {"figures": False},
    }  # fmt: skip
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert main(["run", str(tmp_path / "old.yaml"), "--output", str(tmp_path / "old"), "--quiet"]) == 0
    pages = []
    for is_old in (False, True):
        if is_old:
            with h5py.File(tmp_path / "old" / "run.h5", "r+") as file:
                del file.attrs["headline"]
                for item in file["parameters/latest"].values():
                    del item.attrs["role"]
        record = read_run(tmp_path / "old")
        assert record.roles == {"W": "dictionary", "sigma": "noise", "pi": "activity"}
        assert record.headline == {"sigma": "noise", "pi_mean": "activity"}
        assert main(["report", str(tmp_path / "old")]) == 0
        pages.append((tmp_path / "old" / "report.html").read_text(encoding="utf-8"))
    assert pages[0] == pages[1]

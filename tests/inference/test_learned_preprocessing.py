"""What is done to rows belongs to what was learned from them: it is kept, done to others, and undone in results."""

import json
import re

import h5py
import numpy as np
import pytest
import yaml

from prosper_ng.cli import main
from prosper_ng.config import load
from prosper_ng.data.images import save_png
from prosper_ng.data.preprocessing import Preprocessing
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.report.pictures import dictionary_of
from prosper_ng.storage.run_record import RunFileError, read_run

N_ROWS, D = 120, 7
CONFIG = {
    "name": "prepared",
    "seed": 4,
    "model": {"kind": "bsc", "n_latents": 5},
    "estep": {"kind": "exhaustive"},
    "training": {"n_sweeps": 6},
    "output": {"figures": False},
}
KINDS = [
    {"whiten": "zca"},
    {"whiten": "pca", "whiten_epsilon": 0.01},
    {"remove_mean": True},
    {"remove_mean": True, "whiten": "zca"},
    {"remove_mean": True, "whiten": "pca"},
]


def numbers():
    rng = np.random.default_rng(8)
    sources = np.where(rng.random((N_ROWS, 5)) < 0.3, 4.0, 0.0)
    return sources @ rng.normal(size=(5, D)) + rng.normal(size=(N_ROWS, D)) + 10 * rng.normal(size=(N_ROWS, 1)) + 3


def train(folder, data, **changes):
    """The folder of a finished run on this data section."""
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(CONFIG | {"data": data} | changes), encoding="utf-8")
    assert main(["run", str(path), "--output", str(folder / "run"), "--quiet"]) == 0
    return folder / "run"


@pytest.fixture
def call(tmp_path):
    """A function (arguments) -> arrays and attributes of the file that the command wrote."""

    def run_command(*arguments):
        path = tmp_path / "out.h5"
        assert main([*map(str, arguments), "--output", str(path), "--force", "--quiet"]) == 0
        with h5py.File(path) as file:
            return {name: file[name][()] for name in file if isinstance(file[name], h5py.Dataset)}, dict(file.attrs)

    return run_command


def refused(capsys, tmp_path, *arguments):
    """The sentence that a command fails with."""
    assert main([*map(str, arguments), "--output", str(tmp_path / "refused.h5")]) == 2
    assert not (tmp_path / "refused.h5").exists()
    captured = capsys.readouterr()
    assert captured.out == ""
    sentence, *notes = captured.err.splitlines()
    assert len(notes) <= 1
    return sentence


def by_hand(run, raw):
    """Rows (n, D) as they are learned from, and the function that undoes it, by what run.h5 says alone."""
    with h5py.File(run / "run.h5") as file:
        stored = {name: item[()] for name, item in file["preprocessing"].items()}
    means = np.nanmean(raw, axis=1, keepdims=True) if stored["remove_mean"] else np.zeros((len(raw), 1))
    if stored["whiten"] == b"none":
        return raw - means, lambda rows: rows + means
    forth = (raw - means - stored["mean"]) @ stored["matrix"]
    return forth, lambda rows: rows @ stored["inverse"] + stored["mean"] + means


@pytest.mark.parametrize("fields", KINDS, ids=str)
def test_rows_of_the_training_file_are_the_same_rows_alone(tmp_path, call, fields):
    values = numbers()
    np.save(tmp_path / "all.npy", values)
    run = train(tmp_path, {"kind": "npy", "path": str(tmp_path / "all.npy"), **fields})
    whole, _ = call("infer", run)
    filled, _ = call("reconstruct", run)
    for name, rows in (("some", slice(40, 97)), ("one", slice(5, 6)), ("two", slice(118, 120))):
        np.save(tmp_path / f"{name}.npy", values[rows])
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["rows"] = values[rows]
        section = {"data": {"kind": "npy", "path": str(tmp_path / f"{name}.npy")}}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(section))
        for data in ([f"{name}.npy"], [f"{name}.h5", "--dataset", "rows"], [f"{name}.yaml"]):
            alone, attributes = call("infer", run, tmp_path / data[0], *data[1:])
            assert alone["free_energy"] == pytest.approx(whole["free_energy"][rows], rel=1e-11)
            assert alone["means"] == pytest.approx(whole["means"][rows], abs=1e-10)
            assert (alone["states"] == whole["states"][rows]).all()
            settings = json.loads(attributes["preprocessing"])
            assert {key: settings[key] for key in fields} == fields
            assert not set(fields) & set(json.loads(attributes["data_source"]))
        alone, _ = call("reconstruct", run, tmp_path / f"{name}.npy")
        assert alone["prediction"] == pytest.approx(filled["prediction"][rows], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("fields", [*KINDS, {}], ids=str)
def test_results_are_in_the_units_of_the_data(tmp_path, call, fields):
    values = numbers()
    np.save(tmp_path / "all.npy", values)
    run = train(tmp_path, {"kind": "npy", "path": str(tmp_path / "all.npy"), **fields})
    rows, undo = by_hand(run, values)
    W, sigma, pi = (read_run(run).parameters[name] for name in ("W", "sigma", "pi"))
    states = np.array(list(np.ndindex(*[2] * 5)))
    squares = ((rows[:, None] - states @ W.T) ** 2).sum(axis=2)
    joint = states @ np.log(pi) + (1 - states) @ np.log1p(-pi) - squares / 2 / sigma**2
    weights = np.exp(joint - joint.max(axis=1, keepdims=True))
    means = weights @ states / weights.sum(axis=1, keepdims=True)
    found, _ = call("reconstruct", run)
    assert found["prediction"] == pytest.approx(undo(means @ W.T), rel=1e-8, abs=1e-8)
    assert found["filled"].tolist() == values.tolist()


def test_gaps_are_filled_at_the_level_of_their_row(tmp_path, call):
    values = numbers()
    values[np.random.default_rng(1).random(values.shape) < 0.3] = np.nan
    values[[7, 50]] = np.nan
    np.save(tmp_path / "all.npy", values)
    run = train(tmp_path, {"kind": "npy", "path": str(tmp_path / "all.npy"), "remove_mean": True, "missing": True})
    found, _ = call("reconstruct", run)
    known = ~np.isnan(values)
    assert found["filled"][known].tolist() == values[known].tolist()
    assert found["filled"][~known].tolist() == found["prediction"][~known].tolist()
    expected = np.nanmean(values)
    # A row that is missing altogether is predicted by the prior, at the level of all that was observed.
    W, pi = (read_run(run).parameters[name] for name in ("W", "pi"))
    assert found["prediction"][7] == pytest.approx(W @ pi + expected, rel=1e-6)
    assert found["prediction"][7].tolist() == found["prediction"][50].tolist()
    levels = np.nanmean(values[:5], axis=1)
    assert np.abs(found["prediction"][:5].mean(axis=1) - levels).max() < 2.0
    assert np.ptp(levels) > 5


@pytest.mark.parametrize("fields", [*KINDS, {}], ids=str)
def test_samples_are_in_the_units_of_the_data(tmp_path, call, fields):
    np.save(tmp_path / "all.npy", numbers())
    run = train(tmp_path, {"kind": "npy", "path": str(tmp_path / "all.npy"), **fields})
    record = read_run(run)
    np.savez(tmp_path / "parameters.npz", **record.parameters)
    (tmp_path / "bare.yaml").write_text(
        yaml.safe_dump(
            CONFIG | {"data": {"kind": "bars"}, "training": {"initial_file": str(tmp_path / "parameters.npz")}}
        )
    )
    bare, _ = call("sample", tmp_path / "bare.yaml", "--rows", 300)
    found, attributes = call("sample", run, "--rows", 300)
    expected = bare["data"]
    with h5py.File(run / "run.h5") as file:
        if "mean" in file["preprocessing"]:
            expected = expected @ file["preprocessing/inverse"][()] + file["preprocessing/mean"][()]
    assert found["data"] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert ("mean of each row" in attributes["units"]) == fields.get("remove_mean", False)
    config = yaml.safe_load((tmp_path / "bare.yaml").read_text())
    config["training"]["initial_file"] = str(run)
    (tmp_path / "of_run.yaml").write_text(yaml.safe_dump(config))
    assert call("sample", tmp_path / "of_run.yaml", "--rows", 300)[0]["data"].tolist() == found["data"].tolist()


def test_patches_are_merged_from_the_same_whitening(tmp_path, call):
    i, j = np.indices((20, 17))
    save_png(tmp_path / "picture.png", 120.0 + 60 * ((i + j) % 5 > 2) + 30 * (i % 4 == 0))
    save_png(tmp_path / "cut.png", (120.0 + 60 * ((i + j) % 5 > 2) + 30 * (i % 4 == 0))[:9])
    source = {"kind": "image", "image": str(tmp_path / "picture.png"), "patch_size": 4, "whiten": "zca"}
    run = train(tmp_path, source, task={"kind": "denoise"})
    whole, _ = call("reconstruct", run)
    assert whole["image"] == pytest.approx(read_run(run).results["images"]["denoised"], rel=1e-9)
    (tmp_path / "cut.yaml").write_text(
        yaml.safe_dump({"data": {"kind": "image", "image": str(tmp_path / "cut.png"), "patch_size": 4}})
    )
    part, _ = call("reconstruct", run, tmp_path / "cut.yaml")
    # The patches of the upper part are the first ones; each pixel above its last row of patches is covered alike.
    assert part["prediction"] == pytest.approx(whole["prediction"][: len(part["prediction"])], rel=1e-9)
    assert part["image"][:6] == pytest.approx(whole["image"][:6], rel=1e-9)


CONTRADICTIONS = [
    ({"whiten": "none"}, "new.yaml:2:11: data.whiten is none, and .*run has learned with zca"),
    ({"remove_mean": True}, "data.remove_mean is true, and .*run has learned with false"),
    ({"whiten": "pca"}, "data.whiten is pca"),
    ({"whiten": "zca", "whiten_epsilon": 0.5}, "data.whiten_epsilon is 0.5, and .* with 0.0001, which belongs to its"),
]


@pytest.mark.parametrize(("fields", "said"), CONTRADICTIONS, ids=str)
def test_what_contradicts_the_run_is_refused(tmp_path, capsys, fields, said):
    np.save(tmp_path / "all.npy", numbers())
    run = train(tmp_path, {"kind": "npy", "path": str(tmp_path / "all.npy"), "whiten": "zca"})
    items = "".join(f"  {name}: {json.dumps(value)}\n" for name, value in fields.items())
    (tmp_path / "new.yaml").write_text(f"data:\n{items}  kind: npy\n  path: {tmp_path}/all.npy\n")
    words = refused(capsys, tmp_path, "infer", run, tmp_path / "new.yaml")
    assert re.search(said, words), words
    assert "leave" in words


def test_what_agrees_with_the_run_is_allowed(tmp_path, call):
    np.save(tmp_path / "all.npy", numbers())
    np.save(tmp_path / "some.npy", numbers()[:30])
    fields = {"whiten": "zca", "remove_mean": True}
    run = train(tmp_path, {"kind": "npy", "path": str(tmp_path / "all.npy"), **fields})
    section = {"kind": "npy", "path": str(tmp_path / "some.npy"), **fields}
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(CONFIG | {"data": section}))
    whole, _ = call("infer", run)
    some, _ = call("infer", run, tmp_path / "new.yaml")
    assert some["free_energy"] == pytest.approx(whole["free_energy"][:30], rel=1e-11)


@pytest.mark.parametrize("command", ["infer", "reconstruct"])
def test_a_row_with_gaps_cannot_be_whitened(tmp_path, capsys, call, command):
    values = numbers()
    np.save(tmp_path / "all.npy", values)
    run = train(tmp_path, {"kind": "npy", "path": str(tmp_path / "all.npy"), "whiten": "pca"})
    assert len(call(command, run, "--missing")[0]["free_energy"]) == N_ROWS
    values[33, 2] = np.nan
    np.save(tmp_path / "gaps.npy", values)
    said = refused(capsys, tmp_path, command, run, tmp_path / "gaps.npy", "--missing")
    assert "gaps.npy: row 33 (counted from 0) misses values; a row is whitened from all its values" in said


def forget(run):
    """Make the run one of a version that kept no preprocessing."""
    with h5py.File(run / "run.h5", "r+") as file:
        del file["preprocessing"]


def test_an_earlier_run_without_its_whitening_says_so(tmp_path, capsys, call):
    np.save(tmp_path / "all.npy", numbers())
    run = train(tmp_path, {"kind": "npy", "path": str(tmp_path / "all.npy"), "whiten": "zca"})
    expected, _ = call("infer", run)
    forget(run)
    assert call("infer", run)[0]["free_energy"].tolist() == expected["free_energy"].tolist()
    for arguments in (["infer", run, tmp_path / "all.npy"], ["sample", run, "--rows", "3"]):
        said = refused(capsys, tmp_path, *arguments)
        assert "has learned from whitened rows with an earlier version of prosper_ng" in said
    assert dictionary_of(read_run(run))[0] is None
    assert main(["run", str(tmp_path / "run.yaml"), "--output", str(run), "--quiet"]) == 0
    assert call("infer", run, tmp_path / "all.npy")[0]["free_energy"].tolist() == expected["free_energy"].tolist()


def test_an_earlier_run_that_only_removed_means_needs_nothing_more(tmp_path, call):
    np.save(tmp_path / "all.npy", numbers())
    run = train(tmp_path, {"kind": "npy", "path": str(tmp_path / "all.npy"), "remove_mean": True})
    expected, _ = call("reconstruct", run)
    forget(run)
    assert call("reconstruct", run, tmp_path / "all.npy")[0]["prediction"].tolist() == expected["prediction"].tolist()


def test_damaged_whitening_is_a_sentence(tmp_path, capsys):
    np.save(tmp_path / "all.npy", numbers())
    run = train(tmp_path, {"kind": "npy", "path": str(tmp_path / "all.npy"), "whiten": "zca"})
    with h5py.File(run / "run.h5", "r+") as file:
        del file["preprocessing/inverse"]
        file["preprocessing/inverse"] = np.eye(3)
    assert "is damaged or no file of a run: its whitening is `zca`" in refused(capsys, tmp_path, "infer", run)


def test_the_dictionary_is_shown_in_units_of_the_data_without_the_data(tmp_path):
    i, j = np.indices((20, 17))
    save_png(tmp_path / "picture.png", 120.0 + 60 * ((i + j) % 5 > 2))
    source = {"kind": "image", "image": str(tmp_path / "picture.png"), "patch_size": 4, "whiten": "pca"}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "stop").touch()
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(CONFIG | {"data": source}), encoding="utf-8")
    assert main(["run", str(path), "--output", str(tmp_path / "run"), "--quiet"]) == 75
    (tmp_path / "picture.png").rename(tmp_path / "elsewhere.png")
    record = read_run(tmp_path / "run")
    assert "dictionary" not in record.results
    W, shape = dictionary_of(record)
    with h5py.File(tmp_path / "run" / "run.h5") as file:
        expected = record.parameters["W"].T @ file["preprocessing/inverse"][()]
    np.testing.assert_allclose(W, expected.T, rtol=1e-9, atol=1e-12)
    assert shape == (4, 4, 1)


@pytest.mark.parametrize("fields", [*KINDS, {}], ids=str)
def test_what_is_stored_is_what_was_done(tmp_path, fields):
    np.save(tmp_path / "all.npy", numbers())
    run = train(tmp_path, {"kind": "npy", "path": str(tmp_path / "all.npy"), **fields})
    done = load(tmp_path / "run.yaml", RunConfig).value.data.open(4).preprocessing
    stored = read_run(run).preprocessing()
    assert stored.settings == done.settings
    assert stored.apply(numbers()).tobytes() == done.apply(numbers()).tobytes()
    assert stored.undo(numbers()).tobytes() == done.undo(numbers()).tobytes()
    with pytest.raises(ValueError, match="lacks"):
        Preprocessing.from_arrays({"whiten": "zca", "remove_mean": 0}, D)
    with pytest.raises(RunFileError, match="there is no run folder"):
        read_run(tmp_path / "nothing")

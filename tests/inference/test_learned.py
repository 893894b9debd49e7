"""A learned model as an object: what it says of rows, kept and taken up again, and the same as the commands say."""

import json
import pickle
import re
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
import yaml

import prosper_ng
from prosper_ng.cli import main
from prosper_ng.components import component
from prosper_ng.data.preprocessing import Preprocessing, Whitening
from prosper_ng.errors import NumericalError, UserError
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.search import Search
from prosper_ng.inference import local_rows
from prosper_ng.inference.learned import Learned
from prosper_ng.models.bsc import BSC
from prosper_ng.models.gsc import GSC
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.testing import random_parameters
from tests.helpers.inference_runs import brute_force, commands, contents, train

SEARCH = {"kind": "search", "n_states": 7}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run over rows in a file, of which some values are missing, prepared."""
    folder = tmp_path_factory.mktemp("learned")
    rng = np.random.default_rng(5)
    values = (rng.random((90, 6)) < 0.3) @ rng.normal(0.0, 3.0, (8, 6)).T + rng.standard_normal((90, 8)) + 5.0
    values[rng.random(values.shape) < 0.1] = np.nan
    np.save(folder / "data.npy", values)
    data = {"kind": "npy", "path": str(folder / "data.npy"), "missing": True, "remove_mean": True}
    return train(folder, data=data, estep=SEARCH, training={"n_sweeps": 6})


@pytest.fixture
def data(run):
    return np.load(run.parent / "data.npy")


@pytest.fixture
def known(run):
    return prosper_ng.load(run)


@pytest.fixture
def call(tmp_path, capsys):
    return commands(tmp_path, capsys)


def by_hand(**changes):
    """A learned model that was never learned."""
    model = GSC(n_latents=4)
    params = random_parameters(model, 5, np.random.default_rng(3))
    return Learned(**{"model": model, "params": params, "n_observed": 5, "estep": Exhaustive(), **changes})


def test_a_run_is_loaded_by_its_folder_and_by_its_file(run, known):
    assert (known.name, known.n_sweeps, known.n_observed, known.seed, known.origin) == ("bars", 6, 8, 2, str(run))
    assert known.ending == "all 6 sweeps are done"
    assert len(known.history["free_energy"]) == 6
    assert known.preprocessing == Preprocessing(remove_mean=True)
    of_file = prosper_ng.load(str(run / "run.h5"))
    assert (of_file.digest, of_file.params.buffer.tobytes()) == (known.digest, known.params.buffer.tobytes())


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_object_says_of_rows_what_the_command_says(run, known, data, call, adaptive):
    options = ["--adaptive"] if adaptive else []
    file = [run.parent / "data.npy", "--missing"]
    expected, _, _ = call("infer", run, *file, "--top-k", "3", "--sweeps", "5", *options)
    found = known.posterior(data, top_k=3, n_sweeps=5, adaptive=adaptive, missing=True)
    for name in ("states", "probabilities", "log_joints", "means", "free_energy", "certain", "unsettled", "unimproved"):
        assert (getattr(found, name) == expected[name]).all(), name
    assert (found.states.dtype, found.states.shape) == (np.int8, (90, 3, 6))
    assert found.other_means == {}
    assert (known.free_energy(data, n_sweeps=5, adaptive=adaptive, missing=True) == found.free_energy).all()


def test_it_reconstructs_and_samples_as_the_commands_do(run, known, data, call, tmp_path):
    expected, _, _ = call("reconstruct", run, run.parent / "data.npy", "--missing", "--sweeps", "5")
    found = known.reconstruct(data, n_sweeps=5, missing=True)
    assert (found.prediction == expected["prediction"]).all()
    assert (found.filled == expected["filled"]).all()
    assert (found.free_energy == expected["free_energy"]).all()
    assert (found.filled[~np.isnan(data)] == data[~np.isnan(data)]).all()
    assert (
        main(["sample", str(run), "--rows", "300", "--seed", "4", "--states", "--output", str(tmp_path / "s.h5")]) == 0
    )
    arrays, _ = contents(tmp_path / "s.h5")
    rows, states = known.sample(300, seed=4)
    assert (rows == arrays["data"]).all()
    assert (states == arrays["states"]).all()
    assert (known.sample(7, seed=4)[0] == rows[:7]).all()


def test_what_is_said_of_a_row_does_not_depend_on_the_others(known, data):
    complete = data[~np.isnan(data).any(axis=1)]
    together = known.posterior(complete)
    alone = [known.posterior(row[None]) for row in complete[:4]]
    assert (np.concatenate([each.means for each in alone]) == together.means[:4]).all()
    assert (known.posterior(complete[::-1]).free_energy == together.free_energy[::-1]).all()


def test_it_agrees_with_brute_force(tmp_path):
    folder = train(tmp_path, estep={"kind": "exhaustive"}, training={"n_sweeps": 4})
    rows, _ = prosper_ng.load(folder).sample(25, seed=1)
    joint, weights, states = brute_force(folder, rows)
    found = prosper_ng.load(folder).posterior(rows)
    assert found.means == pytest.approx(weights @ states, abs=1e-9)
    assert (found.states[:, 0] == states[joint.argmax(axis=1)]).all()
    assert found.certain.all()


def test_other_hidden_variables_have_means_too():
    known = by_hand()
    found = known.posterior(known.sample(20)[0])
    assert {name: values.shape for name, values in found.other_means.items()} == {"s_z": (20, 4)}


@pytest.mark.parametrize("kind", ["none", "means", "white"])
def test_what_is_saved_is_loaded_again_bit_for_bit(tmp_path, known, data, kind):
    rng = np.random.default_rng(1)
    covariance = np.cov(rng.standard_normal((40, 8)).T)
    white = Whitening.of_moments("zca", np.arange(8.0), covariance, 1e-4, "here")
    preprocessing = {"none": Preprocessing(), "means": Preprocessing(True), "white": Preprocessing(False, white)}[kind]
    first = replace(known, preprocessing=preprocessing, never_observed=np.array([3]))
    first.save(tmp_path / "model.h5")
    again = prosper_ng.load(tmp_path / "model.h5")
    assert (again.model, again.estep, again.seed, again.digest) == (first.model, first.estep, first.seed, first.digest)
    assert (again.name, again.n_sweeps, again.data_digest, again.ending) == (
        first.name, first.n_sweeps, first.data_digest, first.ending,
    )  # fmt: skip
    assert again.params.buffer.tobytes() == first.params.buffer.tobytes()
    assert again.never_observed.tolist() == [3]
    assert again.history.keys() == first.history.keys()
    assert all(np.array_equal(again.history[name], column, equal_nan=True) for name, column in first.history.items())
    rows = np.nan_to_num(data)
    assert (again.reconstruct(rows).filled == first.reconstruct(rows).filled).all()
    again.save(tmp_path / "again.h5")
    assert (prosper_ng.load(tmp_path / "again.h5").free_energy(rows) == first.free_energy(rows)).all()


def test_a_saved_file_serves_the_commands_and_says_its_settings_as_text(tmp_path, run, known, call, capsys):
    path = tmp_path / "model.h5"
    known.save(path)
    with h5py.File(path) as file:
        text = yaml.safe_load(file["config/text"].asstr()[()])
    assert (text["name"], text["seed"], text["model"]["kind"], text["estep"]["n_states"]) == ("bars", 2, "bsc", 7)
    rows = [run.parent / "data.npy", "--missing"]
    expected, _, _ = call("infer", run, *rows, "--force")
    found, attributes, _ = call("infer", path, *rows, "--force")
    assert (found["states"] == expected["states"]).all()
    assert attributes["run"] == str(path)
    assert "does not say where its rows came from; name the rows to work on as DATA" in call("infer", path, "--force")
    assert main(["show", str(path)]) == 0
    assert re.search(r"name +bars", capsys.readouterr().out)


def test_files_are_not_replaced_by_accident_and_written_whole(tmp_path, known):
    path = tmp_path / "model.h5"
    known.save(path)
    before = path.read_bytes()
    with pytest.raises(UserError, match="exists already; choose another path, or replace it with force=True"):
        known.save(path)
    assert path.read_bytes() == before
    replace(known, name="other").save(str(path), force=True)
    assert prosper_ng.load(path).name == "other"
    with pytest.raises(UserError, match="there is no folder"):
        known.save(tmp_path / "nowhere" / "model.h5")
    assert [each.name for each in tmp_path.iterdir()] == ["model.h5"]


@pytest.mark.parametrize(
    ("section", "change", "sentence"),
    [
        ("model", {"kind": "bsk"}, "unknown kind `bsk` of `model`; did you mean `bsc`?"),
        ("model", {"tempering": 8}, "unknown field `tempering` in `model` (bsc)"),
        ("estep", {"n_states": -1}, "`estep.n_states` must be an integer greater than 0"),
        ("tempering", {"kind": "new"}, "unknown field `tempering`"),
    ],
)
def test_a_file_of_another_version_that_says_what_this_one_does_not_know_is_one_sentence(
    tmp_path, known, section, change, sentence
):
    path = tmp_path / "model.h5"
    known.save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file["config/resolved"].asstr()[()])
        config[section] = config.get(section, {}) | change
        del file["config/resolved"]
        file["config/resolved"] = json.dumps(config)
        file["provenance"].attrs["prosper_ng"] = "9.9"
    with pytest.raises(UserError) as caught:
        prosper_ng.load(path)
    assert str(caught.value).startswith(f"{path} was written by prosper_ng 9.9, and its configuration is none of")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_newer_version_says_of_other_sections_does_not_matter(tmp_path, run):
    copied = shutil.copytree(run, tmp_path / "run")
    with h5py.File(copied / "run.h5", "r+") as file:
        config = json.loads(file["config/resolved"].asstr()[()])
        config["training"]["tempering"] = 8
        del file["config/resolved"]
        file["config/resolved"] = json.dumps(config)
    assert prosper_ng.load(copied).digest == prosper_ng.load(run).digest


def test_damaged_and_foreign_files_are_one_sentence(tmp_path):
    (tmp_path / "text.h5").write_text("nothing", encoding="utf-8")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = [1.0]
    damaged, absent = "is damaged or no file of a run", "there is no run folder"
    for name, sentence in {"text.h5": damaged, "other.h5": damaged, "none.h5": absent}.items():
        with pytest.raises(UserError, match=sentence) as caught:
            prosper_ng.load(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_it_can_be_pickled(known, data):
    again = pickle.loads(pickle.dumps(known))
    assert (again.model, again.estep, again.digest) == (known.model, known.estep, known.digest)
    assert (again.free_energy(data, missing=True) == known.free_energy(data, missing=True)).all()
    again.params.buffer[:] = 1.0
    assert (again.params["W"] == 1.0).all()
    assert isinstance(again.params, NamedArrays)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda known, rows: known.posterior(rows[:, :4]), "the rows of the array have 4 values, and the model of"),
        (lambda known, rows: known.posterior(rows[0]), "the array has 1 dimensions (8,), needed are 2"),
        (lambda known, rows: known.posterior(rows[:0]), "the array has no rows"),
        (lambda known, rows: known.posterior(rows), "is nan; every value must be a finite number"),
        (lambda known, rows: known.posterior(rows, missing=True, top_k=0), "top_k must be 1 or more, not 0"),
        (lambda known, rows: known.free_energy(rows, missing=True, n_sweeps=0), "n_sweeps must be 1 or more, not 0"),
        (lambda known, rows: known.sample(0), "n_rows must be 1 or more, not 0"),
        (lambda known, rows: replace(known, preprocessing=None).posterior(rows), "which did not keep the whitening"),
        (lambda known, rows: replace(known, preprocessing=None).save("x.h5"), "which did not keep the whitening"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(known, data, ask, sentence):
    with pytest.raises(UserError) as caught:
        ask(known, data)
    assert sentence in str(caught.value)


def test_rows_that_cannot_be_explained_name_the_model():
    known = by_hand()
    with pytest.raises(
        UserError,
        match=r"row 0, column 0 \(counted from 0\) is 1e\+200, whose squares, added up, leave",
    ):
        known.posterior(np.full((1, 5), 1e200))
    model = BSC(n_latents=4)
    known = by_hand(model=model, params=random_parameters(model, 5, np.random.default_rng(3)))
    known.params["sigma"] = 1e-30
    with pytest.raises(
        NumericalError, match=r"row 0 .* with the parameters of learn\(\.\.\.\): its values reach 1e\+139"
    ):
        known.posterior(np.full((1, 5), 1e139))


def test_what_no_configuration_can_name_is_not_saved(tmp_path):
    @component
    class Own(Search):
        """A search of somebody's own, which has the name of this file as its kind."""

    with pytest.raises(UserError, match=r"learn\(\.\.\.\) cannot be saved: unknown kind `test_learned` of `estep`"):
        by_hand(estep=Own()).save(tmp_path / "own.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["infer", "reconstruct"])
def test_beyond_the_budget_rows_and_results_lie_in_files_and_nothing_else_changes(
    tmp_path, run, data, call, command, monkeypatch
):
    source = {"kind": "npy", "path": str(run.parent / "data.npy"), "missing": True, "remove_mean": True}
    memory = {"data_budget": "1kB", "scratch": str(tmp_path / "scratch")}
    tight = train(tmp_path, data=source, estep=SEARCH, training={"n_sweeps": 6}, memory=memory)
    expected, _, said = call(command, run, "--force")
    mapped, original = [], local_rows.mapped_array
    monkeypatch.setattr(local_rows, "mapped_array", lambda *a: mapped.append(a[2]) or original(*a))
    found, _, also_said = call(command, tight, "--force")
    assert set(mapped) == {tmp_path / "scratch"}
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    assert also_said.replace(str(tight), str(run)) == said
    assert list((tmp_path / "scratch").iterdir()) == []

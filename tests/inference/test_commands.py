"""`infer` and `reconstruct` from run folder to file."""

import json
import re
import resource
from itertools import pairwise

import h5py
import numpy as np
import pytest
import scipy.io
import yaml
from scipy.special import logsumexp

from prosper_ng.cli import main
from prosper_ng.config import load
from prosper_ng.data.images import save_png
from prosper_ng.data.sources.bars import Bars
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.storage.result_file import ResultFile
from prosper_ng.storage.run_record import read_run
from tests.helpers.inference_runs import CONFIG, N_ROWS, brute_force, commands, contents, train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("bars"))


@pytest.fixture(scope="module")
def rows():
    return Bars(n_bars=6, n_rows=40).open(77).read(0, 40)


@pytest.fixture
def call(tmp_path, capsys):
    return commands(tmp_path, capsys)


# infer


def test_infer_writes_the_exact_posterior_of_new_rows(run, rows, call, tmp_path):
    np.save(tmp_path / "new.npy", rows)
    found, attributes, said = call(
        "infer", run, tmp_path / "new.npy", "--set", "estep={kind: exhaustive}", "--top-k", "3"
    )
    joint, weights, states = brute_force(run, rows)
    order = np.argsort(-joint, axis=1)[:, :3]
    assert (found["states"] == states[order]).all()
    assert found["states"].dtype == np.int8
    assert found["probabilities"] == pytest.approx(np.take_along_axis(weights, order, axis=1), abs=1e-9)
    assert found["log_joints"] == pytest.approx(np.take_along_axis(joint, order, axis=1), rel=1e-9)
    assert found["means"] == pytest.approx(weights @ states, abs=1e-9)
    assert found["free_energy"] == pytest.approx(logsumexp(joint, axis=1), rel=1e-9)
    assert found["parameters/W"].tolist() == read_run(run).parameters["W"].tolist()
    assert attributes["mean_free_energy"] == pytest.approx(found["free_energy"].mean())
    assert json.loads(attributes["estep"]) == {"kind": "exhaustive"}
    assert json.loads(attributes["model"])["n_latents"] == 6
    assert attributes["run_digest"] == read_run(run).attributes["digest"]
    assert (attributes["n_best"], attributes["n_rows"], attributes["n_unsettled"], attributes["adaptive"]) == (
        3,
        40,
        0,
        0,
    )
    assert said.splitlines() == [
        f"free energy {attributes['mean_free_energy']:.6g} per row",
        f"results are in {tmp_path / 'out.h5'}",
    ]


def test_infer_takes_the_data_and_the_estep_of_the_run_where_none_are_given(run, call):
    found, attributes, said = call("infer", run)
    assert json.loads(attributes["estep"])["n_candidates"] == 4
    assert attributes["data"] == "of the run"
    assert found["states"].shape == (N_ROWS, 5, 6)
    values = Bars(n_bars=6, n_rows=N_ROWS).open(2).read(0, N_ROWS)
    joint, _, _ = brute_force(run, values)
    assert (found["free_energy"] <= logsumexp(joint, axis=1) + 1e-9).all()
    assert (found["unsettled"].sum() > 0) == ("--adaptive looks harder" in said)
    wide, attributes, said = call("infer", run, "--adaptive", "--force")
    assert attributes["n_unsettled"] == 0
    assert wide["n_widened"].max() > 0
    assert "adaptive" not in said
    assert (wide["free_energy"] >= found["free_energy"] - 1e-9).all()


def test_infer_writes_into_the_run_folder_by_default_and_replaces_nothing_unasked(run, call):
    output = run / "inference.h5"
    assert main(["infer", str(run), "--quiet", "--top-k", "1"]) == 0
    first = output.read_bytes()
    assert "exists already" in call("infer", run, output=False)
    assert main(["infer", str(run), "--quiet", "--top-k", "2", "--force"]) == 0
    assert contents(output)[0]["states"].shape == (N_ROWS, 2, 6)
    assert main(["infer", str(run / "run.h5"), "--quiet", "--top-k", "1", "--force"]) == 0
    assert contents(output)[0]["free_energy"].tolist() == contents_of(first, run)["free_energy"].tolist()
    output.unlink()


def contents_of(content, run):
    path = run / "copy.h5"
    path.write_bytes(content)
    return contents(path)[0]


@pytest.mark.parametrize("kind", ["h5", "hdf5", "npy", "npz", "mat", "yaml", "run.yaml"])
def test_infer_reads_rows_wherever_they_are(run, rows, call, tmp_path, kind):
    path = tmp_path / f"new.{kind}"
    name = ["--dataset", "rows"]
    if kind in ("h5", "hdf5"):
        with h5py.File(path, "w") as file:
            file["rows"] = rows
    elif kind == "npy":
        np.save(path, rows)
        name = []
    elif kind == "npz":
        np.savez(path, rows=rows)
    elif kind == "mat":
        scipy.io.savemat(path, {"rows": rows})
    else:
        other = {"seed": 77, "data": {"kind": "bars", "n_bars": 6, "n_rows": 40}}
        path.write_text(yaml.safe_dump(CONFIG | other if kind == "run.yaml" else other), encoding="utf-8")
        name = []
    found, attributes, _ = call("infer", run, path, *name)
    np.save(tmp_path / "expected.npy", rows)
    expected, _, _ = call("infer", run, tmp_path / "expected.npy", "--force")
    assert found["free_energy"] == pytest.approx(expected["free_energy"], rel=1e-12)
    assert (found["states"] == expected["states"]).all()
    assert attributes["data"] == str(path)


def test_rows_of_a_file_are_treated_like_those_that_were_learned_from(rows, call, tmp_path):
    np.save(tmp_path / "rows.npy", rows + np.arange(40)[:, None])
    source = {"kind": "npy", "path": str(tmp_path / "rows.npy"), "remove_mean": True}
    folder = train(tmp_path, data=source, training={"n_sweeps": 3})
    own, _, _ = call("infer", folder)
    given, attributes, _ = call("infer", folder, tmp_path / "rows.npy", "--force")
    assert (own["free_energy"] == given["free_energy"]).all()
    assert json.loads(attributes["preprocessing"])["remove_mean"]


def test_infer_with_missing_values_looks_at_the_observed_ones_only(run, rows, call, tmp_path):
    values = np.where(np.random.default_rng(0).random(rows.shape) < 0.5, rows, np.nan)
    values[3] = np.nan
    np.save(tmp_path / "new.npy", values)
    assert "NaN" in call("infer", run, tmp_path / "new.npy") or "nan" in call("infer", run, tmp_path / "new.npy")
    found, _, _ = call("infer", run, tmp_path / "new.npy", "--missing", "--set", "estep={kind: exhaustive}")
    joint, weights, states = brute_force(run, values)
    assert found["free_energy"] == pytest.approx(logsumexp(joint, axis=1), rel=1e-9, abs=1e-9)
    assert found["free_energy"][3] == pytest.approx(0.0, abs=1e-9)
    assert found["means"] == pytest.approx(weights @ states, abs=1e-9)


def test_a_search_begins_with_fresh_states_and_repeats_itself(run, rows, call, tmp_path):
    np.save(tmp_path / "new.npy", rows)
    search = ["--set", "estep={kind: search, n_states: 12}"]
    first, attributes, _ = call("infer", run, tmp_path / "new.npy", *search, "--sweeps", "6")
    again, _, _ = call("infer", run, tmp_path / "new.npy", *search, "--sweeps", "6", "--force")
    short, _, _ = call("infer", run, tmp_path / "new.npy", *search, "--sweeps", "1", "--force")
    assert attributes["n_sweeps"] == 6
    assert all((first[name] == again[name]).all() for name in first if name != "notes/git_diff")
    assert (first["free_energy"] >= short["free_energy"] - 1e-12).all()
    assert first["free_energy"].mean() > short["free_energy"].mean()
    exact = logsumexp(brute_force(run, rows)[0], axis=1)
    assert (first["free_energy"] <= exact + 1e-9).all()
    assert (first["free_energy"] > exact - 1.0).mean() > 0.8


# reconstruct


def test_reconstruct_fills_what_is_missing_better_than_the_mean_of_its_column(run, rows, call, tmp_path):
    observed = np.random.default_rng(0).random(rows.shape) < 0.6
    observed[5] = False
    np.save(tmp_path / "new.npy", np.where(observed, rows, np.nan))
    found, _, said = call("reconstruct", run, tmp_path / "new.npy", "--missing", "--set", "estep={kind: exhaustive}")
    joint, weights, states = brute_force(run, np.where(observed, rows, np.nan))
    assert found["prediction"] == pytest.approx(weights @ states @ read_run(run).parameters["W"].T, abs=1e-8)
    assert (found["filled"][observed] == rows[observed]).all()
    assert (found["filled"][~observed] == found["prediction"][~observed]).all()
    of_columns = np.nanmean(np.where(observed, rows, np.nan), axis=0)
    errors = [np.square(guess - rows)[~observed].mean() for guess in (found["prediction"], of_columns + 0 * rows)]
    assert errors[0] < 0.5 * errors[1]
    assert found["free_energy"] == pytest.approx(logsumexp(joint, axis=1), rel=1e-9, abs=1e-9)
    assert "image" not in found
    assert said.splitlines()[-1] == f"results are in {tmp_path / 'out.h5'}"


def test_reconstruct_puts_the_patches_of_an_image_back_together(call, tmp_path):
    i, j = np.indices((14, 11))
    picture = 120.0 + 60 * ((i + j) % 5 > 2) + 30 * (i % 4 == 0)
    save_png(tmp_path / "picture.png", picture)
    source = {"kind": "image", "image": str(tmp_path / "picture.png"), "patch_size": 4, "noise": 5.0, "missing": 0.2}
    folder = train(tmp_path, data=source, training={"n_sweeps": 4})
    found, _, said = call("reconstruct", folder)
    patches = found["prediction"].reshape(11, 8, 4, 4)
    assert np.isfinite(found["filled"]).all()
    assert found["image"].shape == (14, 11, 1)
    assert np.isfinite(found["image"]).all()
    assert (tmp_path / "out.png").stat().st_size > 0
    assert said.splitlines()[-1] == f"results are in {tmp_path / 'out.png'}"
    # A corner pixel is covered by one patch only, whose mean was removed and is put back.
    dataset = load(tmp_path / "config.yaml", RunConfig).value.data.open(2)
    corner = dataset.noisy[:4, :4, 0]
    assert found["image"][0, 0, 0] == pytest.approx(patches[0, 0, 0, 0], rel=1e-12)
    assert abs(patches[0, 0].mean() - np.nanmean(corner)) < 20
    assert (found["filled"][0].reshape(4, 4)[~np.isnan(corner)] == corner[~np.isnan(corner)]).all()
    assert np.corrcoef(found["image"].ravel(), picture.ravel())[0, 1] > 0.5
    (tmp_path / "out.h5").unlink()
    assert "out.png exists already" in call("reconstruct", folder)


# What goes wrong


WRONG = [
    (["RUN/nothing"], "there is no run folder"),
    (["EMPTY"], "is not the folder of a run"),
    (["BEGUN"], "holds no parameters yet"),
    (["RUN", "wide.npy"], "have 5 values, and the model of .* has learned from rows of 9"),
    (["RUN", "nothing.npy"], "no such file"),
    (["RUN", "rows.doc"], r"rows\.doc: the name of a file of data ends in \.csv"),
    (["RUN", "rows.npz"], "no array 'data'.*has 'rows'"),
    (["RUN", "rows.npz", "--dataset", "row"], "did you mean 'rows'"),
    (["RUN", "wide.npy", "--dataset", "x"], "holds a single array"),
    (["RUN", "--dataset", "x"], "names an array in a file of numbers"),
    (["RUN", "--missing"], "data of kind bars have no NaN"),
    (["RUN", "bad.yaml"], "`data`"),
    (["RUN", "--set", "model.n_latents=4"], "only the E-step can be changed"),
    (["RUN", "--set", "estep.n_candidate=4"], "did you mean `n_candidates`"),
    (["RUN", "--set", "estep={kind: preselection, n_candidates: 6, max_active: 0}"], "max_active"),
    (["RUN", "--sweeps", "x"], "'x' is not a whole number of 1 or more"),
    (["RUN", "--output", "EMPTY"], "is a folder"),
    (["RUN", "--output", "none/out.h5"], "there is no folder none"),
    (["RUN", "--output", "wide.npy"], "exists already"),
]


@pytest.mark.parametrize(
    ("command", "arguments", "complaint"),
    [
        *[(command, *case) for command in ("infer", "reconstruct") for case in WRONG],
        ("infer", ["RUN", "--top-k", "0"], "'0' is not a whole number of 1 or more"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(command, arguments, complaint, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "BEGUN").mkdir()
    (tmp_path / "rows.doc").write_text("1 2 3")
    (tmp_path / "bad.yaml").write_text("seed: 3\n")
    np.save(tmp_path / "wide.npy", np.zeros((3, 5)))
    np.savez(tmp_path / "rows.npz", rows=np.zeros((3, 9)))
    with h5py.File(run / "run.h5") as file, h5py.File(tmp_path / "BEGUN" / "run.h5", "w") as begun:
        for name in file:
            if name != "parameters":
                file.copy(name, begun)
        begun.attrs.update(file.attrs)
    output = [] if "--output" in arguments else ["--output", "out.h5"]
    assert main([command, *(text.replace("RUN", str(run)) for text in arguments), *output]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert re.search(complaint, said), said
    assert not (tmp_path / "out.h5").exists()
    assert not list(tmp_path.glob(".*.tmp"))


# The file


def test_a_full_disk_leaves_the_old_file_and_a_sentence(run, call, tmp_path):
    before, _, _ = call("infer", run)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, hard))
    try:
        said = call("infer", run, "--force")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said.startswith(f"error: {tmp_path / 'out.h5'} cannot be written: ")
    assert contents(tmp_path / "out.h5")[0]["means"].tolist() == before["means"].tolist()


def test_an_exception_leaves_no_file(tmp_path):
    def fail():
        with ResultFile(tmp_path / "a.h5", SerialCommunicator(), "means") as results:
            results.put("x", 1.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_the_bytes_of_a_file_do_not_depend_on_the_pieces_that_rows_come_in(tmp_path):
    rows = np.random.default_rng(0).normal(size=(70_000, 3))
    for name, cuts in (("a", [0, 70_000]), ("b", [0, 1, 20_000, 20_001, 69_999, 70_000])):
        with ResultFile(tmp_path / f"{name}.h5", SerialCommunicator(), "means") as results:
            results.set_attributes({"text": "x" * 5000, "none": None, "n": 3})
            results.announce("plain", (70_000, 3), float, "rows")
            results.announce("packed", (70_000, 3), float, "rows", compress=True)
            for array in ("plain", "packed"):
                for start, stop in pairwise(cuts):
                    results.gather(array, rows[start:stop], [start, stop], lambda piece: 2 * piece)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    found, attributes = contents(tmp_path / "a.h5")
    assert (found["plain"] == 2 * rows).all()
    assert (found["packed"] == 2 * rows).all()
    assert (found["notes/text"], attributes) == (b"x" * 5000, {"n": 3})

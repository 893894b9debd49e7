"""Configurations that leave their sizes to be found from the picture: what is found, kept, told and refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import prosper_ng
from prosper_ng import cli
from prosper_ng.campaigns.cost import cost_of
from prosper_ng.campaigns.data_check import problems_of
from prosper_ng.campaigns.plan import freeze, load_plan
from prosper_ng.components import kind_of
from prosper_ng.config import ConfigError, from_mapping, load
from prosper_ng.data.images import load as load_image
from prosper_ng.experiments import completion
from prosper_ng.experiments.completion import completed
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.restoration.noise_level import noise_of
from prosper_ng.restoration.sizes import N_SWEEPS, sizes_for
from prosper_ng.storage.run_record import read_run
from tests.helpers.small_runs import Runner, complaint, write_image

OPEN = "name: open\ndata: {kind: image, image: IMAGE, noise: 25}\ntask: restore\noutput: {figures: false}\n"
SIZES = sizes_for((64, 64, 1), noise_of(load_image("camera", crop=(0, 0, 64, 64))))


@pytest.fixture
def text(tmp_path):
    """A whole configuration on a small picture."""
    write_image(tmp_path / "image.png", (30, 34))
    return OPEN.replace("IMAGE", str(tmp_path / "image.png"))


def loaded(**sections):
    data = {"kind": "image", "image": "camera", "crop": [0, 0, 64, 64], **sections.pop("data", {})}
    return from_mapping({"name": "open", "task": "restore", "data": data, **sections}, RunConfig)


def test_a_picture_and_the_task_are_a_whole_configuration(text, tmp_path, capsys):
    runner = Runner(tmp_path / "run", text, capsys)
    done = runner()
    assert (done.status, done.err) == (0, "")
    record = read_run(runner.folder)
    sizes = sizes_for((30, 34, 1), noise_of(record.results["images"]["noisy"]))
    assert record.config["data"]["patch_size"] == sizes.patch_size[0]
    assert record.config["model"]["n_latents"] == sizes.n_latents
    assert record.config["training"]["n_sweeps"] == N_SWEEPS == record.sweeps
    sigma = record.config["training"]["initial"]["sigma"]
    assert float(record.parameters["sigma"]) == sigma
    assert record.results["psnr"]["after"] > record.results["psnr"]["before"]
    told = [line for line in runner.log().splitlines() if "noise level" in line]
    assert len(told) == 1
    assert f"data.patch_size {sizes.patch_size[0]}" in told[0]
    for command in (["show"], ["report"]):
        assert cli.main(["--quiet", *command, str(runner.folder)]) == 0


def test_a_begun_run_keeps_its_sizes_when_the_rule_changes(text, tmp_path, capsys, monkeypatch):
    runner = Runner(tmp_path / "run", text, capsys)
    assert runner("training.n_sweeps=1").status == 0
    before = read_run(runner.folder).config
    through = Runner(tmp_path / "through", text, capsys)
    assert through("training.n_sweeps=2").status == 0
    monkeypatch.setattr(completion, "sizes_for", lambda *_: sizes_for((30, 34, 1), None)._replace(n_latents=3))
    done = runner("training.n_sweeps=2")
    assert (done.status, done.err) == (0, "")
    after = read_run(runner.folder).config
    assert after == before | {"training": before["training"] | {"n_sweeps": 2}}
    assert runner.digest == through.digest
    assert "as this run was begun: data.patch_size" in runner.log()
    # In another folder the new rule counts, and this run is not gone on with once a size is given that it has not.
    other = Runner(tmp_path / "other", text, capsys)
    assert other().status == 0
    assert read_run(other.folder).config["model"]["n_latents"] == 3
    assert "model.n_latents: " in runner("model={kind: gsc, n_latents: 5}").err


def test_what_is_given_stays():
    model = {"kind": "gsc", "shared_pi": False}
    training = {"n_sweeps": 7, "learn": ["W"]}
    found = completed(
        loaded(data={"stride": 3}, model=model, training=training, estep={"n_states": 9}), Path("no such folder")
    )
    config = found.value
    assert (config.data.stride, config.model.shared_pi, config.training.n_sweeps) == (3, False, 7)
    assert (config.training.learn, config.training.initial, config.estep.n_states) == (("W",), {}, 9)
    assert config.data.patch_size == SIZES.patch_size[0]
    assert found.left_open == ()
    assert found.origins["training.n_sweeps"] == loaded(training=training).origins["training.n_sweeps"]
    assert "noise level" in found.origins["model.n_latents"]
    assert from_mapping(found.resolved, RunConfig).value == config


def test_a_configuration_that_lacks_nothing_is_as_it_was():
    whole = loaded(data={"patch_size": 6}, model={"kind": "gsc", "n_latents": 8})
    assert whole.left_open == ()
    assert completed(whole, Path("no such folder")) is whole
    assert whole.value.training.n_sweeps == 50


def test_other_models_get_their_latents_and_learn_their_noise():
    config = completed(loaded(model="bsc"), Path("no such folder")).value
    assert config.model.n_latents == SIZES.n_latents
    assert config.training.learn is None


def test_factor_analyzers_have_components_in_the_place_of_latents():
    config = completed(loaded(model="mfa"), Path("no such folder")).value
    model, training = config.model, config.training
    assert (model.n_components, model.n_factors, model.noise) == (SIZES.n_components, SIZES.n_factors, "shared")
    assert (kind_of(config.estep), training.learn) == ("clusters", ("W", "A", "pi"))
    assert training.initial == completed(loaded(), Path("no such folder")).value.training.initial
    own = {"kind": "mfa", "n_components": 3, "n_factors": 2, "noise": "scalar"}
    given = completed(loaded(model=own), Path("no such folder")).value
    assert (given.model.n_components, given.model.n_factors, given.model.noise) == (3, 2, "scalar")
    assert (given.training.learn, given.training.initial) == (None, {})


@pytest.mark.parametrize(
    "sections", [{"task": "denoise"}, {"task": "train"}, {"task": "restore", "data": {"kind": "bars"}}]
)
def test_other_tasks_and_data_need_them(sections):
    with pytest.raises(ConfigError, match="model"):
        from_mapping({"name": "x", "data": {"kind": "image", "image": "camera"}, **sections}, RunConfig)


def test_the_identity_does_not_depend_on_what_is_found(monkeypatch):
    open_, whole = loaded(), completed(loaded(), Path("no such folder"))
    assert "model" not in open_.lasting
    assert "patch_size" not in open_.lasting["data"]
    assert open_.lasting == from_mapping(open_.resolved, RunConfig).lasting
    assert open_.lasting != whole.lasting
    assert replace(open_, value=whole.value).lasting == open_.lasting


def test_gaps_without_noise_have_sizes_of_their_own():
    config = completed(loaded(data={"missing": 0.5}), Path("no such folder")).value
    assert config.data.patch_size == sizes_for((64, 64, 1), None).patch_size[0]
    assert config.training.learn is None


@pytest.mark.parametrize(
    ("data", "model"),
    [
        ({"whiten": "zca"}, None),
        ({"missing": 0.7, "noise": 20}, None),
        ({}, {"kind": "gsc", "noise": "diagonal"}),
        ({}, {"kind": "gsc", "slab": "full"}),
    ],
)
def test_the_noise_level_is_held_only_where_it_is_known_in_the_units_of_the_rows(data, model):
    config = completed(loaded(data=data, **({} if model is None else {"model": model})), Path("no such folder")).value
    assert (config.training.learn, config.training.initial) == (None, {})


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((15, 40)), "15 x 40 pixels, and 16 x 16 are needed"),
        (np.full((40, 40), 9), "the same value everywhere"),
    ],
)
def test_a_picture_that_tells_nothing_is_refused(pixels, words, tmp_path, capsys):
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "image.png")
    (tmp_path / "run.yaml").write_text(OPEN.replace("IMAGE", str(tmp_path / "image.png")).replace(", noise: 25", ""))
    for command in ("validate", "run", "estimate"):
        assert words in complaint(capsys, command, tmp_path / "run.yaml")


def test_many_pictures_are_refused_as_ever(tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(OPEN.replace("IMAGE", "[camera, coins]"))
    assert "needs the patches of an image" in complaint(capsys, "validate", tmp_path / "run.yaml")


def test_validate_and_estimate_know_the_sizes(text, tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(text)
    assert cli.main(["validate", str(tmp_path / "run.yaml"), "--output", str(tmp_path / "run")]) == 0
    assert "noise level" in capsys.readouterr().out
    assert cli.main(["validate", "--no-data", str(tmp_path / "run.yaml")]) == 0
    assert "found from the picture when it is run: data.patch_size" in capsys.readouterr().out


def test_points_of_a_campaign_have_sizes_of_their_own(text, tmp_path):
    (tmp_path / "base.yaml").write_text(text)
    grid = "grid: {data.noise: [5.0, 60.0]}\nfixed: {data.stride: 4, training.n_sweeps: 1, task.groups: false}\n"
    (tmp_path / "all.yaml").write_text(f"name: all\nbase: base.yaml\n{grid}")
    runs = load_plan(tmp_path / "all.yaml", folder=tmp_path / "all").runs
    frozen = [load(freeze(run), RunConfig) for run in runs]
    assert [each.left_open for each in frozen] == [run.loaded.left_open for run in runs]
    assert [each.lasting for each in frozen] == [run.loaded.lasting for run in runs]
    configs = [completed(each, run.folder).value for each, run in zip(frozen, runs, strict=True)]
    assert [each.task.n_rounds for each in configs] == [2, 3]
    assert 4 < configs[0].training.initial["sigma"] < 15 < 45 < configs[1].training.initial["sigma"] < 75
    assert {each.training.n_sweeps for each in configs} == {run.n_sweeps for run in runs} == {1}
    assert problems_of(runs) == []
    assert cost_of(runs, 0.0).problems == ()


def test_python_runs_a_mapping_without_sizes(text, tmp_path):
    data = {"kind": "image", "image": str(tmp_path / "image.png"), "noise": 40.0}
    config = {"name": "open", "data": data, "task": "restore", "output": {"figures": False}}
    outcome = prosper_ng.run(config, tmp_path / "run", overrides=["training.n_sweeps=1", "task.groups=false"])
    assert outcome.finished
    assert outcome.learned.n_observed == outcome.learned.params["W"].shape[0] > 1
    assert outcome.learned.model.n_latents > 1

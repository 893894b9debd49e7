"""What `infer`, `reconstruct` and `sample` write, by the ending of the output."""

import os
import shutil

import h5py
import numpy as np
import pytest
import yaml

import prosper_ng
from prosper_ng import cli
from prosper_ng.errors import UserError
from tests.helpers.inference_runs import train
from tests.helpers.small_runs import complaint, write_image

QUICK = {"training": {"n_sweeps": 2}, "estep": {"kind": "exhaustive"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs on a table, on one with gaps, on a picture and on one in color; each beside its data."""
    place = tmp_path_factory.mktemp("runs")
    rows = np.random.default_rng(1).normal(size=(40, 9)).round(3)
    np.save(place / "rows.npy", rows)
    rows[3, 2] = np.nan
    np.save(place / "gaps.npy", rows)
    write_image(place / "photo.png", (12, 16))
    sources = {
        "rows": {"kind": "npy", "path": str(place / "rows.npy")},
        "gaps": {"kind": "npy", "path": str(place / "gaps.npy"), "missing": True},
        "photo": {"kind": "image", "image": str(place / "photo.png"), "patch_size": 3, "noise": 5.0},
    }
    for name, source in sources.items():
        (place / name).mkdir()
        train(place / name, data=source, **QUICK)
    return place


@pytest.fixture
def here(folder, tmp_path, monkeypatch):
    """A copy of all of it, which is the present folder."""
    shutil.copytree(folder, tmp_path / "all")
    monkeypatch.chdir(tmp_path / "all")
    return tmp_path / "all"


def test_infer_writes_the_posterior_means_where_there_is_room_for_one_array(here, capsys):
    for ending in ("h5", "csv", "npy", "npz"):
        assert cli.main(["infer", "rows/run", "--output", f"out.{ending}"]) == 0
    assert "out.csv holds the posterior means of the latents and nothing else" in capsys.readouterr().out
    with h5py.File("out.h5") as file:
        means = file["means"][()]
    assert np.load("out.npy").tobytes() == means.tobytes()
    assert np.loadtxt("out.csv", delimiter=",").tobytes() == means.tobytes()
    with np.load("out.npz") as archive:
        assert archive["means"].tobytes() == means.tobytes()
        assert {"states", "probabilities", "free_energy", "parameters/W", "attributes"} <= set(archive)


@pytest.mark.parametrize(("run", "array"), [("rows", "prediction"), ("gaps", "filled"), ("photo", "image")])
def test_reconstruct_writes_what_it_is_for(run, array, here, capsys):
    assert cli.main(["reconstruct", f"{run}/run", "--output", "all.h5"]) == 0
    assert cli.main(["reconstruct", f"{run}/run", "--output", "one.npy"]) == 0
    words = {"prediction": "the predicted rows", "filled": "predictions where values are missing", "image": "the image"}
    assert words[array] in capsys.readouterr().out
    with h5py.File("all.h5") as file:
        assert np.load("one.npy").tobytes() == file[array][()].tobytes()
    assert (here / "one.png").exists() == (run == "photo")


def test_reconstruct_writes_a_picture_of_a_picture_only(here, capsys):
    assert cli.main(["--quiet", "reconstruct", "photo/run", "--output", "all.h5"]) == 0
    assert cli.main(["--quiet", "reconstruct", "photo/run", "--output", "alone.png"]) == 0
    assert (here / "alone.png").read_bytes() == (here / "all.png").read_bytes()
    assert "rows.npy is no image" in complaint(capsys, "reconstruct", "rows/run", "--output", "x.png")
    assert "only `reconstruct` makes one" in complaint(capsys, "infer", "photo/run", "--output", "x.png")
    assert not list(here.glob("x*"))


def test_samples_are_data_again(here):
    words = ["--quiet", "sample", "rows/run", "--rows", "5", "--states", "--output"]
    assert cli.main([*words, "s.npy"]) == 0
    assert cli.main([*words, "s.npz"]) == 0
    with np.load("s.npz") as archive:
        assert archive["data"].tobytes() == np.load("s.npy").tobytes()
        assert archive["states"].shape == (5, 6)
    assert cli.main(["--quiet", "infer", "rows/run", "s.npz", "--output", "t.csv"]) == 0
    assert cli.main(["--quiet", "infer", "rows/run", "s.npy", "--output", "u.csv"]) == 0
    assert (here / "t.csv").read_bytes() == (here / "u.csv").read_bytes()


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["infer", "rows/run"], "ORIGINAL"),
        (["infer", "rows/run", "new.npy"], "new.npy"),
        (["infer", "rows/run", "new.npy"], "./rows/../hard.npy"),
        (["infer", "rows/run", "new.npy"], "soft.npy"),
        (["infer", "rows/run", "new.yaml"], "new.npy"),
        (["infer", "rows/run"], "rows/run/run.h5"),
        (["infer", "rows/run/run.h5"], "rows/run/run.h5"),
        (["infer", "rows/run"], "rows/run/log.txt"),
        (["infer", "rows/run"], "CHECKPOINT"),
        (["reconstruct", "photo/run", "photo.yaml"], "photo.png"),
        (["reconstruct", "photo/run", "photo.yaml"], "photo.h5"),
        (["sample", "rows/run", "--rows", "3"], "ORIGINAL"),
        (["sample", "given.yaml", "--rows", "3"], "given.npz"),
        (["sample", "given.yaml", "--rows", "3"], "new.npy"),
    ],
)
def test_what_is_read_is_never_replaced(words, output, folder, here, capsys):
    shutil.copy("rows.npy", "new.npy")
    (here / "hard.npy").hardlink_to("new.npy")
    (here / "soft.npy").symlink_to("new.npy")
    np.savez("given.npz", W=np.ones((9, 6)), pi=np.full(6, 0.2), sigma=1.0)
    configuration = yaml.safe_load((here / "rows" / "config.yaml").read_text(encoding="utf-8"))
    configuration["data"]["path"] = "new.npy"
    configuration["training"]["initial_file"] = "given.npz"
    (here / "given.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    (here / "new.yaml").write_text("data: {kind: npy, path: new.npy}\n", encoding="utf-8")
    (here / "photo.yaml").write_text("data: {kind: image, image: photo.png, patch_size: 3}\n", encoding="utf-8")
    output = output.replace("CHECKPOINT", os.fspath(next((here / "rows" / "run" / "checkpoints").glob("*.h5"))))
    output = output.replace("ORIGINAL", str(folder / "rows.npy"))
    before = {path: path.read_bytes() for place in (here, folder) for path in place.rglob("*") if path.is_file()}
    assert "is never replaced, not even with --force" in complaint(capsys, *words, "--output", output, "--force")
    assert {path: path.read_bytes() for path in before} == before


def test_a_model_is_not_saved_over_what_it_was_loaded_from(here):
    known = prosper_ng.load("rows/run")
    known.save("model.h5")
    for path in ("rows/run/run.h5", "rows/../rows/run/run.h5"):
        with pytest.raises(UserError, match="is never replaced"):
            known.save(path, force=True)
    again = prosper_ng.load("model.h5")
    with pytest.raises(UserError, match="is never replaced"):
        again.save("model.h5", force=True)
    known.save("model.h5", force=True)
    with pytest.raises(UserError, match=r"model.npy: a learned model is saved as HDF5"):
        known.save("model.npy")


def test_home_is_meant_wherever_a_file_is_named(here, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(here))
    assert cli.main(["--quiet", "infer", "~/rows/run", "~/rows.npy", "--output=~/out.npy"]) == 0
    assert (here / "out.npy").exists()
    assert prosper_ng.load("~/rows/run").n_observed == 9
    prosper_ng.load("~/rows/run").save("~/model.hdf5")
    assert cli.main(["--quiet", "sample", "~/model.hdf5", "--rows", "2", "--output=~/s.csv"]) == 0
    assert "there is no user 'nosuchuser' here" in complaint(capsys, "show", "~nosuchuser/run")
    assert not (here / "~").exists()

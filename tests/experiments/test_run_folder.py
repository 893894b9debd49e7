"""Where runs lie: folders of people's own, paths of people's machines, names that are no text."""

import os

import h5py
import numpy as np
import pytest

from prosper_ng import cli
from prosper_ng.storage.run_record import read_run
from tests.helpers.small_runs import SEARCH, Runner, write_image

EXHAUSTIVE = SEARCH.replace("{kind: search, n_states: 12}", "{kind: exhaustive}")


@pytest.fixture
def runner(tmp_path, capsys):
    """A function (text, folder name) -> a Runner."""
    return lambda text=SEARCH, name="run": Runner(tmp_path / name, text, capsys)


def test_a_persons_own_folder_is_left_alone(runner, tmp_path):
    run = runner()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").touch()
    done = run()
    assert (done.status, done.out) == (2, "")
    assert "is not empty and holds no run, but notes.txt; choose a new folder for the run" in done.err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]
    (tmp_path / "run" / "notes.txt").rename(tmp_path / "run" / "mine.yaml")
    assert run().status == 0


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("run.h5", ("data={kind: hdf5, path: DATA, dataset: data}",)),
        ("curves.png", ("data={kind: image, image: DATA, patch_size: 2}", "model.n_latents=4")),
        ("run.h5", ("training.initial_file=DATA",)),
        ("run.h5", ("training.initial_file=FOLDER",)),
    ],
)
def test_a_run_does_not_write_over_what_it_reads(name, changes, runner, tmp_path):
    run = runner()
    (tmp_path / "run").mkdir()
    data = tmp_path / "run" / name
    if name.endswith("h5"):
        with h5py.File(data, "w") as file:
            file["data"] = np.zeros((20, 4))
    else:
        write_image(data, (6, 6))
    before = data.read_bytes()
    done = run(*(change.replace("DATA", str(data)).replace("FOLDER", str(tmp_path / "run")) for change in changes))
    assert done.status == 2
    assert f"the run reads {data} and would replace it" in done.err
    assert data.read_bytes() == before
    assert [path.name for path in (tmp_path / "run").iterdir()] == [name]


def test_a_run_that_was_stopped_before_its_first_checkpoint_goes_on(runner, tmp_path):
    run = runner()
    assert run().status == 0
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.unlink()
    (tmp_path / "run" / "notes.txt").touch()
    assert run().status == 0
    assert (tmp_path / "run" / "notes.txt").exists()


def test_home_is_meant_in_the_configuration(runner, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    run = runner(EXHAUSTIVE.replace("output: {", "output: {folder: ~/out, "))
    changes = ["training.n_sweeps=2", "memory={data_budget: 1kB, scratch: ~/scratch}"]
    words = [word for change in changes for word in ("--set", change)]
    assert cli.main(["--quiet", "run", str(run.file), *words]) == 0
    assert (tmp_path / "home" / "scratch").is_dir()
    assert not (tmp_path / "~").exists()
    record = read_run(tmp_path / "home" / "out")
    assert record.config["output"]["folder"] == "~/out"
    assert record.config["memory"]["scratch"] == "~/scratch"
    np.savez(tmp_path / "home" / "first.npz", **record.parameters)
    words = ["--set", "training={n_sweeps: 2, initial_file: ~/first.npz}", "--output=~/more"]
    assert cli.main(["--quiet", "run", str(run.file), *words]) == 0
    assert (tmp_path / "home" / "more" / "run.h5").exists()


def test_names_of_files_that_are_no_text(runner, tmp_path):
    run = runner(EXHAUSTIVE)
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/no\xfftext")
    assert cli.main(["--quiet", "run", str(run.file), "--set", "training.n_sweeps=2", "--output", folder]) == 0
    assert cli.main(["--quiet", "infer", folder, "--output", f"{folder}.h5"]) == 0
    with h5py.File(f"{folder}.h5") as file:
        assert file.attrs["run"].endswith("no\\udcfftext")

"""The command plot: one picture by its name, in three formats, with elements of choice."""

import re

import numpy as np
import pytest
from PIL import Image

from prosper_ng import cli
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.storage.run_file import RunFile, StoredConfig
from tests.helpers.small_runs import complaint

N_ELEMENTS = 6


@pytest.fixture
def make_run(tmp_path):
    """A function (attributes) -> the folder of a run that was not learned."""

    def made(config=None, **attributes):
        folder = tmp_path / "run"
        folder.mkdir()
        about = {"name": "run", "n_observed": 16, **attributes}
        file = RunFile(folder, StoredConfig({"name": "run", **(config or {})}, "name: run\n", {}), {}, about)
        file.record(1, {"free_energy": -5.0, "sigma": 2.0})
        W = np.random.default_rng(0).normal(size=(16, N_ELEMENTS))
        file.set_parameters(NamedArrays.of(W=W, sigma=2.0, pi=np.full(N_ELEMENTS, 0.2)))
        assert file.flush() is None
        return folder

    return made


def drawn(capsys, *arguments):
    """The files that a call has written, as it says."""
    assert cli.main(["plot", *map(str, arguments)]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(("ending", "begins"), [("pdf", b"%PDF"), ("svg", b"<?xml"), ("PNG", b"\x89PNG")])
def test_one_picture_by_the_name_of_the_file(make_run, tmp_path, capsys, ending, begins):
    run, path = make_run(patch_shape=(4, 4)), tmp_path / "new" / f"dictionary.{ending}"
    assert drawn(capsys, run, "--output", path) == [str(path)]
    first = path.read_bytes()
    assert first.startswith(begins)
    assert drawn(capsys, run, "--output", path) == [str(path)]
    assert path.read_bytes() == first
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_file_of_any_name_says_which_picture(make_run, tmp_path, capsys):
    run, path = make_run(patch_shape=(4, 4)), tmp_path / "fig1.svg"
    said = complaint(capsys, "plot", run, "--output", path)
    assert "fig1.svg is one picture, and a run has several" in said
    assert "--picture curves, dictionary, recovery, comparison or fields" in said
    assert drawn(capsys, run, "--output", path, "--picture", "curves") == [str(path)]
    assert "sweeps over the data" in path.read_text()


def test_all_pictures_in_another_format(make_run, capsys):
    run = make_run(patch_shape=(4, 4))
    assert drawn(capsys, run, "--format", "svg") == [str(run / "curves.svg"), str(run / "dictionary.svg")]


def test_elements_of_choice_come_in_that_order_with_their_numbers(make_run, tmp_path, capsys):
    run, path = make_run(patch_shape=(4, 4)), tmp_path / "some.svg"
    drawn(capsys, run, "--output", path, "--elements", "4,0-2")
    text = path.read_text()
    assert "Dictionary: 4 of 6 elements" in text
    assert re.findall(r">(\d)</text>", text) == ["4", "0", "1", "2"]
    assert drawn(capsys, run, "--elements", "5") == [str(run / "dictionary.png")]
    assert Image.open(run / "dictionary.png").size[0] > 500


def test_elements_of_rows_without_a_shape_are_drawn_where_that_is_asked_for(make_run, capsys):
    run = make_run()
    curves, hint = drawn(capsys, run)
    assert curves == str(run / "curves.png")
    assert hint.endswith("or its data have no shape to look at; --picture dictionary draws its elements as curves")
    assert drawn(capsys, run, "--picture", "dictionary", "--format", "svg") == [str(run / "dictionary.svg")]
    assert "zero is the gray line" in (run / "dictionary.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--output", "a.jpg"], "a.jpg: pictures are written as .png, .pdf or .svg; end the name so, or name a folder"),
        (["--output", "curves.EPS"], "curves.EPS: pictures are written as .png, .pdf or .svg"),
        (["--output", "curves.svg", "--format", "pdf"], "curves.svg is a picture as svg, and --format pdf asks for"),
        (["--elements", "6"], "'6' in '6' names no dictionary elements: give numbers and ranges from 0 to 5"),
        (["--elements", "0", "--picture", "curves"], "and --picture curves shows none"),
        (["--picture", "recovery"], "the run knows no true dictionary"),
        (["--picture", "comparison"], "the run has no images of one size"),
        (["--picture", "all"], "all"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(make_run, tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert said in complaint(capsys, "plot", make_run(patch_shape=(4, 4)), *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_may_have_the_name_of_a_picture(make_run, tmp_path, capsys):
    (tmp_path / "set.svg").mkdir()
    run = make_run()
    assert drawn(capsys, run, "--output", tmp_path / "set.svg")[0] == str(tmp_path / "set.svg" / "curves.png")


def test_what_the_run_has_read_is_not_replaced(make_run, tmp_path, capsys):
    source = tmp_path / "curves.png"
    source.write_bytes(b"data")
    run = make_run(config={"data": {"kind": "image", "image": str(source)}})
    assert "never replaced" in complaint(capsys, "plot", run, "--output", source)
    assert source.read_bytes() == b"data"

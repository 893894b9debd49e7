"""The commands show and plot, on run folders as a run writes them."""

import json
import os
import re
import sys

import numpy as np
import pytest
from PIL import Image

from prosper_ng import cli
from prosper_ng.drawing import figures
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.report.pictures import draw_run
from prosper_ng.storage import run_file, status
from prosper_ng.storage.run_file import RunFile, StoredConfig
from prosper_ng.storage.status import StatusFile
from tests.helpers.small_runs import complaint


def write_run(folder, n_sweeps=3, attributes=None, results=None, state="finished"):
    folder.mkdir(exist_ok=True)
    file = RunFile(
        folder, StoredConfig({"name": "demo"}, "name: demo\n", {}), {}, {"name": "demo", **(attributes or {})}
    )
    W = np.linspace(-1, 1, 32).reshape(16, 2)
    for sweep in range(1, n_sweeps + 1):
        file.record(sweep, {"free_energy": -5.0 / sweep, "sigma": 2.0, "pi": 0.1})
        file.set_parameters(NamedArrays.of(W=W, sigma=2.0, pi=np.array([0.1, 0.3])))
    file.set_results(results or {})
    if state == "finished":
        file.set_attributes(digest="ab" * 32)
    assert file.flush() is None
    StatusFile(folder, n_iterations=n_sweeps).write(
        state=state, iteration=n_sweeps, free_energy=-5.0 / max(n_sweeps, 1)
    )
    return folder


@pytest.fixture
def finished(tmp_path):
    image = np.random.default_rng(0).uniform(0, 255, size=(32, 32, 1))
    results = {
        "psnr": {"before": 20.25, "after": 28.5},
        "recovered": {"found": 9, "of": 10},
        "images": {"denoised": image + 1, "clean": image, "noisy": image + 25},
    }
    return write_run(tmp_path / "demo", attributes={"patch_shape": (4, 4, 1)}, results=results)


def shown(capsys, *arguments):
    assert cli.main(["show", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_json_tells_all_there_is_to_compare(finished, capsys):
    found = json.loads(shown(capsys, finished, "--json"))
    assert found["state"] == "finished"
    assert (found["iterations"], found["n_iterations"]) == (3, 3)
    assert found["free_energy"] == -5.0 / 3
    assert found["digest"] == "ab" * 32
    assert found["parameters"] == {
        "W": {"shape": [16, 2], "min": -1.0, "max": 1.0, "mean": pytest.approx(0)},
        "pi": {"shape": [2], "min": 0.1, "max": 0.3, "mean": pytest.approx(0.2)},
        "sigma": 2.0,
    }
    assert found["psnr"] == {"before": 20.25, "after": 28.5}
    assert found["recovered"] == {"found": 9, "of": 10}
    assert "images" not in found


def test_text_reads_well_in_a_pipe(finished, capsys):
    text = shown(capsys, finished)
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert lines["state"].strip() == "finished"
    assert lines["sweeps"].strip() == "3 of 3"
    assert lines["digest"].strip() == "ab" * 32
    assert lines["recovered"].strip() == "9 of 10"
    assert "20.25 before, 28.5 after" in lines["PSNR"]
    assert lines["W"].strip().startswith("16 x 2 values, -1 to 1, mean")
    assert "\x1b" not in text


def test_a_run_that_goes_on_is_shown_as_far_as_it_is(tmp_path, capsys):
    folder = write_run(tmp_path / "demo", n_sweeps=2, state="running")
    StatusFile(folder, n_iterations=50).write(iteration=7, free_energy=-0.5)
    found = json.loads(shown(capsys, folder, "--json"))
    assert (found["state"], found["iterations"], found["free_energy"]) == ("running", 7, -0.5)
    assert found["digest"] is None
    assert "psnr" not in found
    assert "running" in shown(capsys, folder)


def test_a_silent_run_is_said_to_be_silent(tmp_path, capsys):
    folder = write_run(tmp_path / "demo", state="running")
    content = json.loads((folder / status.NAME).read_text())
    (folder / status.NAME).write_text(json.dumps({**content, "heartbeat": "2020-01-01T00:00:00+00:00"}))
    assert "running, but silent for" in shown(capsys, folder)
    assert json.loads(shown(capsys, folder, "--json"))["state"] == "running"


@pytest.mark.parametrize("text", [None, "{"])
def test_without_a_status_the_run_file_speaks(finished, capsys, text):
    (finished / status.NAME).unlink()
    if text is not None:
        (finished / status.NAME).write_text(text)
    found = json.loads(shown(capsys, finished, "--json"))
    assert (found["state"], found["iterations"], found["free_energy"]) == (None, 3, -5.0 / 3)


def test_a_failed_run_says_why(tmp_path, capsys):
    folder = write_run(tmp_path / "demo", state="running")
    StatusFile(folder).write(state="failed", iteration=3, reason="the disk is full")
    assert "failed (the disk is full)" in shown(capsys, folder)


def test_what_is_not_finite_is_null(tmp_path, capsys):
    folder = write_run(tmp_path / "demo", results={"psnr": {"before": 20.0, "after": np.inf}})
    assert json.loads(shown(capsys, folder, "--json"))["psnr"] == {"before": 20.0, "after": None}
    assert re.search(r"PSNR \(dB\) +before 20 *\n", shown(capsys, folder))
    none = write_run(tmp_path / "none", results={"psnr": {"before": np.inf, "after": -np.inf}})
    assert "PSNR" not in shown(capsys, none)


@pytest.mark.parametrize("command", ["show", "plot"])
def test_what_is_no_run_is_one_sentence(tmp_path, capsys, command):
    assert "there is no run folder" in complaint(capsys, command, tmp_path / "absent")
    assert "holds no run.h5" in complaint(capsys, command, tmp_path)
    (tmp_path / run_file.NAME).write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(1000))
    assert "is damaged or no file of a run" in complaint(capsys, command, tmp_path)


@pytest.mark.parametrize("command", ["show", "plot"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_a_truncated_run_file_is_one_sentence(finished, capsys, command, share):
    path = finished / run_file.NAME
    os.truncate(path, int(share * path.stat().st_size))
    assert "run.h5 is damaged" in complaint(capsys, command, finished)


def test_plot_needs_nothing_but_run_h5(finished, tmp_path, capsys):
    (tmp_path / "alone").mkdir()
    (finished / run_file.NAME).rename(tmp_path / "alone" / run_file.NAME)
    pictures = tmp_path / "some" / "where"
    assert cli.main(["plot", str(tmp_path / "alone"), "--output", str(pictures)]) == 0
    names = ["comparison.png", "curves.png", "dictionary.png"]
    assert sorted(path.name for path in pictures.iterdir()) == names
    assert all(Image.open(pictures / name).size[0] > 500 for name in names)
    assert sorted(capsys.readouterr().out.split()) == sorted(str(pictures / name) for name in names)


def test_plot_puts_pictures_next_to_the_run_and_can_be_quiet(finished, capsys):
    assert cli.main(["plot", "--quiet", str(finished)]) == 0
    assert (finished / "curves.png").exists()
    assert capsys.readouterr().out == ""


def test_plot_says_what_it_cannot_draw(tmp_path, capsys):
    folder = write_run(tmp_path / "demo", n_sweeps=0, attributes={"patch_shape": (5, 4, 1)})
    assert cli.main(["plot", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "no curves: the run has not finished a sweep yet",
        "no picture of the dictionary: the run has none, or its data have no shape to look at",
    ]


def test_plot_into_a_place_that_is_taken_is_one_sentence(finished, tmp_path, capsys):
    (tmp_path / "taken").touch()
    assert "the pictures cannot be written to" in complaint(capsys, "plot", finished, "--output", tmp_path / "taken")


def test_a_finished_run_does_not_fail_for_its_pictures(finished, tmp_path, monkeypatch):
    written, notes, trouble = draw_run(finished, finished)
    assert [path.name for path in written] == ["curves.png", "dictionary.png", "comparison.png"]
    assert (notes, trouble) == ([], None)
    again = f"; the results of the run are kept, and prosper-ng plot {finished} draws the pictures"
    trouble = draw_run(finished, tmp_path / "absent").trouble
    assert trouble.startswith(f"the pictures cannot be written to {tmp_path / 'absent'} (")
    assert trouble.endswith(again)
    with monkeypatch.context() as patch:
        patch.setattr(figures, "dictionary", lambda *_: [][0])
        trouble = draw_run(finished, finished).trouble
    assert trouble == f"the pictures could not be drawn (IndexError: list index out of range){again}"
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pictures need the package matplotlib" in draw_run(finished, finished).trouble

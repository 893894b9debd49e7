"""Pictures restored from themselves alone: what groups of similar patches add, what is kept, what is told."""

import numpy as np
import pytest

from prosper_ng import cli
from prosper_ng.config import load
from prosper_ng.experiments.estimate import estimate
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.experiments.signals import StopRequests
from prosper_ng.experiments.tasks.denoise import Denoise
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.running.run import carry_out
from prosper_ng.storage.run_record import read_run
from tests.helpers.pages import Page
from tests.helpers.small_runs import DENOISE, Runner, write_image

RESTORE = DENOISE.replace("kind: denoise", "kind: restore")


@pytest.fixture
def restore(tmp_path, capsys):
    """A function (changes) -> the Runner of a finished run on a small picture, and its last line."""

    def run(*changes, text=RESTORE, name="run"):
        write_image(tmp_path / "image.png", (30, 34))
        runner = Runner(tmp_path / name, text.replace("IMAGE", str(tmp_path / "image.png")), capsys)
        done = runner("training.n_sweeps=3", "output.figures=false", *changes)
        assert (done.status, done.err) == (0, "")
        return runner, done.out.splitlines()[-1]

    return run


def test_groups_of_similar_patches_restore_more_than_the_model(restore):
    run, line = restore()
    record = read_run(run.folder)
    results = record.results
    alone, _ = restore("task.groups=false", name="alone")
    assert results["psnr"]["after"] > read_run(alone.folder).results["psnr"]["after"] > results["psnr"]["before"]
    np.testing.assert_allclose(results["rounds"]["psnr"][-1], results["psnr"]["after"])
    assert len(results["rounds"]["sigma"]) == 3
    assert results["deviation"].shape == results["images"]["restored"].shape
    assert line.startswith(f"PSNR {results['psnr']['before']:.2f} dB before, {results['psnr']['after']:.2f} dB after")
    assert {"noisy.png", "restored.png", "uncertainty.png"} <= {path.name for path in run.folder.iterdir()}
    assert cli.main(["--quiet", "report", str(run.folder)]) == 0
    page = Page(run.folder / "report.html")
    assert any("restored image, 30 x 34 pixels" in image["alt"] for image in page.all("img"))


def test_without_groups_a_picture_without_gaps_is_denoised_as_ever(restore):
    run, _ = restore("task.groups=false")
    denoised, _ = restore(text=DENOISE, name="denoised")
    found, expected = (read_run(each.folder).results["images"] for each in (run, denoised))
    np.testing.assert_array_equal(found["restored"], expected["denoised"])
    assert Denoise().result == "denoised"


def test_what_was_observed_without_noise_is_kept_and_the_gaps_are_filled(restore):
    run, line = restore("data.missing=0.4", "data.noise=0", "data.missing_per=value", "task.n_rounds=3")
    results = read_run(run.folder).results
    images = results["images"]
    hidden = np.isnan(images["noisy"])
    np.testing.assert_array_equal(images["restored"][~hidden], images["clean"][~hidden])
    np.testing.assert_array_equal(results["deviation"][~hidden], 0.0)
    assert (results["deviation"][hidden] > 0).all()
    assert np.std(images["restored"][hidden] - images["clean"][hidden]) < np.std(images["clean"])
    assert f"{hidden.mean():.1%} of which were missing; what was observed is kept as it is" in line


@pytest.mark.parametrize("changes", [("data.noise=20",), ("data.noise=0", "task.observed_noise=true")])
def test_noise_and_gaps_at_once(restore, changes):
    run, _ = restore("data.missing=0.2", *changes, "task.n_rounds=2")
    results = read_run(run.folder).results
    images, observed = results["images"], ~np.isnan(results["images"]["noisy"])
    assert (images["restored"][observed] != images["noisy"][observed]).any()
    assert np.isfinite(images["restored"]).all()
    assert (results["rounds"]["sigma"] > 0).all()


def test_a_run_is_stopped_while_groups_are_restored_and_goes_on_with_them(restore, tmp_path):
    undisturbed, _ = restore()

    class Narrator:
        """Asks for a stop when it hears of the second round."""

        def __init__(self, requests):
            self.requests, self.shown = requests, []

        def show(self, text):
            self.shown.append(text)
            if "round 2 of 3" in text and self.requests is not None:
                self.requests.name = "SIGINT"

        def hear(self, *_):
            pass

        opened = say = note = sweep = close = hear

    changes = ["training.n_sweeps=3", "output.figures=false"]
    loaded, folder = load(undisturbed.file, RunConfig, changes), tmp_path / "stopped"
    for stops in (True, False):
        requests = StopRequests()
        narrator = Narrator(requests if stops else None)
        outcome = carry_out(loaded, folder, SerialCommunicator(), narrator, requests, ["run"])
        assert outcome.finished != stops
        assert narrator.shown[0] == "groups of similar patches: round 1 of 3, 0%"
        if stops:
            assert outcome.sentence.startswith("stopped by SIGINT after the last sweep, before task restore")
            assert not any("round 3" in text for text in narrator.shown)
            assert read_run(folder).results == {}
    found, expected = (read_run(each).results["images"]["restored"] for each in (folder, undisturbed.folder))
    np.testing.assert_array_equal(found, expected)


def test_pictures_of_some_sweeps_may_be_asked_for_at_any_time(restore):
    run, _ = restore("training.n_sweeps=2", "task.pictures_every=1", "task.every=2")
    pictures = {path.name for path in run.folder.glob("restored-*.png")}
    assert pictures == {"restored-0001.png", "restored-0002.png"}
    assert np.isfinite(run.history["psnr"]).tolist() == [False, True]
    done = run("training.n_sweeps=5", "output.figures=false", "task.pictures_every=2", "task.groups=true")
    assert (done.status, done.err) == (0, "")
    pictures |= {path.name for path in run.folder.glob("restored-*.png")}
    assert pictures == {f"restored-000{sweep}.png" for sweep in (1, 2, 4)}


def test_what_groups_take_is_estimated(restore, capsys):
    run, _ = restore("task.groups=false")
    found = {}
    for groups in ("true", "false"):
        changes = ["task.kind=restore", "task.every=null", f"task.groups={groups}"]
        config = load(run.file, RunConfig, changes).value
        found[groups] = estimate(config, 2)
    taken = found["true"].needs.program - found["false"].needs.program
    assert taken == 8 * 22 * 30 * 34
    assert (found["true"].task_seconds > 0, found["false"].task_seconds) == (True, 0.0)
    assert found["true"].seconds > found["true"].task_seconds
    capsys.readouterr()
    assert cli.main(["estimate", str(run.file)]) == 0
    assert "for the task after them; pictures come on top" in capsys.readouterr().out

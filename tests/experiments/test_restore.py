"""Pictures restored from themselves alone: what groups of similar patches add, what is kept, what is told."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from prosper_ng import cli
from prosper_ng.config import load
from prosper_ng.data.interpolation import interpolated
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

    def run(*changes, text=RESTORE, name="run", doubts=""):
        write_image(tmp_path / "image.png", (30, 34))
        runner = Runner(tmp_path / name, text.replace("IMAGE", str(tmp_path / "image.png")), capsys)
        done = runner("training.n_sweeps=3", "output.figures=false", *changes)
        assert done.status == 0
        assert (doubts in done.err) if doubts else (done.err == "")
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


MFA = "{kind: mfa, n_components: 4, n_factors: 3, noise: shared}"


@pytest.mark.parametrize("model", [MFA, "{kind: mixture, n_components: 20, noise: scalar}"])
def test_mixtures_restore_pictures(restore, model):
    run, _ = restore(f"model={model}", "estep=clusters")
    record = read_run(run.folder)
    sigma = float(record.parameters["sigma"])
    assert 5 < sigma < 40
    assert record.history["psnr"][-1] > record.results["psnr"]["before"]
    assert record.results["psnr"]["after"] > record.results["psnr"]["before"] + 3


def test_factor_analyzers_fill_gaps_better_than_interpolation(restore):
    run, _ = restore(f"model={MFA}", "estep=clusters", "data.missing=0.4", "data.noise=0", "task.groups=false")
    images = read_run(run.folder).results["images"]
    hidden = np.isnan(images["noisy"])
    np.testing.assert_array_equal(images["restored"][~hidden], images["clean"][~hidden])
    crude = interpolated(images["noisy"])
    assert np.std((images["restored"] - images["clean"])[hidden]) < np.std((crude - images["clean"])[hidden])


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
    assert f"{hidden.mean():.1%} of the pixels were missing; what was observed is kept as it is" in line


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


def picture_with(tmp_path, gaps, channels=3):
    """A float picture in a file, with NaN where `gaps` (30, 34, 3) are, and what was there."""
    write_image(tmp_path / "whole.png", (30, 34))
    values = np.repeat(np.asarray(Image.open(tmp_path / "whole.png"), np.float32)[..., None], 3, axis=2)
    values = (values * np.array([1.0, 0.7, 0.4], np.float32))[..., :channels]
    kind = "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite(
        tmp_path / "holey.tif", np.squeeze(np.where(gaps[..., :channels], np.nan, values)), photometric=kind
    )
    tifffile.imwrite(tmp_path / "clean.tif", np.squeeze(values), photometric=kind)
    holes = f"data.image={tmp_path / 'holey.tif'}", f"data.clean={tmp_path / 'clean.tif'}", "data.mask=nan"
    return *holes, "data.peak=255", "data.noise=0", "task.n_rounds=3", "training.n_sweeps=2"


def gaps_of(kind):
    """(30, 34, 3) which values are missing."""
    gaps = np.zeros((30, 34, 3), bool)
    places = {
        "a row": np.s_[11],
        "the border": np.s_[:, -3:],
        "a hole larger than patches and windows": np.s_[5:27, 4:30],
        "values of one channel": np.s_[::2, ::3, 1],
        "nearly all": np.s_[2:, 5:],
    }
    gaps[places[kind]] = True
    return gaps


@pytest.mark.parametrize(
    "kind", ["a row", "the border", "a hole larger than patches and windows", "values of one channel", "nearly all"]
)
def test_whatever_is_missing_is_filled_in_and_all_else_is_kept(restore, tmp_path, kind):
    gaps = gaps_of(kind)
    doubts = "rows hold no observed value" if gaps.mean() > 0.3 else ""
    run, _ = restore(*picture_with(tmp_path, gaps), "data.channels=color", "task.window=9", doubts=doubts)
    images = read_run(run.folder).results["images"]
    np.testing.assert_array_equal(images["restored"][~gaps], images["clean"][~gaps])
    assert np.isfinite(images["restored"]).all()
    observed = images["clean"][~gaps]
    assert (np.abs(images["restored"][gaps] - observed.mean()) < 2 * np.ptp(observed)).all()


def test_a_gray_picture_with_a_row_missing_is_nearer_than_its_interpolation(restore, tmp_path):
    gaps = np.repeat(np.random.default_rng(0).random((30, 34, 1)) < 0.3, 3, axis=2)
    gaps[12] = True
    run, _ = restore(*picture_with(tmp_path, gaps, 1))
    images = read_run(run.folder).results["images"]
    hidden = np.isnan(images["noisy"])
    crude = interpolated(images["noisy"])
    assert np.std((images["restored"] - images["clean"])[hidden]) < np.std((crude - images["clean"])[hidden])


def test_a_channel_that_is_missing_as_a_whole_stays_so_and_the_last_line_says_it(restore, tmp_path):
    gaps = np.zeros((30, 34, 3), bool)
    gaps[..., 2] = True
    gaps[::3, ::4, 0] = True
    run, line = restore(*picture_with(tmp_path, gaps), "data.channels=color", doubts="observed")
    restored = read_run(run.folder).results["images"]["restored"]
    np.testing.assert_array_equal(np.isnan(restored), np.broadcast_to([False, False, True], restored.shape))
    assert f"{30 * 34} of the {30 * 34 * 3} values were missing and have no estimate" in line


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (("data.mask=nan", "data.image=HOLEY"), "has no pixel that is not missing; at least one is needed"),
        (
            ("data.patch_size=[4, 40]", "data.missing=0.5"),
            "patches of 4 x 40 pixels do not fit into an image of 30 x 34",
        ),
    ],
)
def test_what_cannot_be_restored_is_one_sentence(tmp_path, capsys, changes, sentence):
    write_image(tmp_path / "image.png", (30, 34))
    tifffile.imwrite(tmp_path / "holey.tif", np.full((30, 34), np.nan, np.float32))
    runner = Runner(tmp_path / "run", RESTORE.replace("IMAGE", str(tmp_path / "image.png")), capsys)
    done = runner(*(change.replace("HOLEY", str(tmp_path / "holey.tif")) for change in changes), "data.noise=0")
    assert done.status == 2
    assert sentence in done.err
    assert "Traceback" not in done.err


@pytest.mark.slow
def test_a_picture_with_four_fifths_of_its_values_missing(tmp_path, capsys):
    """A small crop of a photograph, 4 dB better than crude interpolation."""
    text = (Path(__file__).parents[2] / "configs" / "runs" / "restore-gaps.yaml").read_text()
    runner = Runner(tmp_path / "run", text, capsys)
    done = runner("data.crop=[40, 150, 128, 128]", "output.figures=false", "training.updates_per_sweep=4")
    assert (done.status, done.err) == (0, "")
    images = read_run(runner.folder).results["images"]
    crude, restored = (
        np.mean((each - images["clean"]) ** 2) for each in (interpolated(images["noisy"]), images["restored"])
    )
    assert 10 * np.log10(crude / restored) > 4

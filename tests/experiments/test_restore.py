"""Pictures restored from themselves alone: what groups of similar patches add, what is kept, what is told."""

import numpy as np
import pytest

from prosper_ng import cli
from prosper_ng.experiments.tasks.denoise import Denoise
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
    assert f"{hidden.mean():.1%} of which were missing" in line


@pytest.mark.parametrize("changes", [("data.noise=20",), ("data.noise=0", "task.observed_noise=true")])
def test_noise_and_gaps_at_once(restore, changes):
    run, _ = restore("data.missing=0.2", *changes, "task.n_rounds=2")
    results = read_run(run.folder).results
    images, observed = results["images"], ~np.isnan(results["images"]["noisy"])
    assert (images["restored"][observed] != images["noisy"][observed]).any()
    assert np.isfinite(images["restored"]).all()
    assert (results["rounds"]["sigma"] > 0).all()

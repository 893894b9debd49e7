"""What is said of a denoised picture: PSNR where a clean one is known, and never where none is."""

import json
import sys

import numpy as np
import pytest
import tifffile

from prosper_ng import cli
from prosper_ng.experiments.tasks.denoise import Denoise
from prosper_ng.storage.run_record import last_numbers, read_run
from tests.helpers.pages import Page
from tests.helpers.small_runs import DENOISE, Runner, write_image


@pytest.fixture
def denoise(tmp_path, capsys):
    """A function (changes) -> the Runner of a finished run on a small picture, and its last line."""

    def run(*changes, shape=(20, 24)):
        write_image(tmp_path / "image.png", shape)
        runner = Runner(tmp_path / "run", DENOISE.replace("IMAGE", str(tmp_path / "image.png")), capsys)
        done = runner("training.n_sweeps=3", "task.every=1", "output.figures=false", *changes)
        assert (done.status, done.err) == (0, "")
        return runner, done.out.splitlines()[-1], done.out

    return run


@pytest.mark.parametrize("changes", [("data.noise=0",), ("data.noise=1e-300",), ("data.noise=0", "model.kind=gsc")])
def test_a_photograph_without_a_clean_one_has_no_psnr(denoise, changes, tmp_path, capsys):
    run, line, out = denoise(*changes)
    record = read_run(run.folder)
    sigma = record.parameters["sigma"]
    assert line == (
        f"denoised with a learned sigma of {sigma:.4g}: see noisy.png and denoised.png (no PSNR without a clean image)"
    )
    assert "psnr" not in record.history
    assert record.results["learned_sigma"] == sigma
    assert set(record.results) == {"learned_sigma", "images"}
    assert set(record.results["images"]) == {"noisy", "denoised"}
    assert not any("psnr" in name or "ssim" in name for name in last_numbers(record))
    assert not (run.folder / "clean.png").exists()
    assert {"noisy.png", "denoised.png"} <= {path.name for path in run.folder.iterdir()}
    assert cli.main(["show", str(run.folder), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["learned_sigma"] == sigma
    assert cli.main(["--quiet", "report", str(run.folder)]) == 0
    page = Page(run.folder / "report.html")
    assert [image["alt"] for image in page.all("img")][:2] == [
        "The noisy image, 20 x 24 pixels.",
        f"The denoised image, 20 x 24 pixels. learned σ {sigma:.4g}.",
    ]
    for said in (out, page.text.partition("Configuration")[0], json.dumps(shown)):
        assert not any(word in said for word in ("PSNR in", "inf dB", "nan dB", "PSNR went", "psnr", "clean image,"))


def test_a_picture_of_other_values_is_also_written_in_these(denoise, tmp_path):
    values = np.random.default_rng(0).normal(1000, 300, (20, 24)).astype(np.float32)
    tifffile.imwrite(tmp_path / "scan.tif", values)
    run, _, _ = denoise(
        f"data.image={tmp_path}/scan.tif", "data.noise=0", "data.low=-1000", "data.peak=3000", "training.n_sweeps=2"
    )
    denoised = read_run(run.folder).results["images"]["denoised"]
    written = tifffile.imread(run.folder / "denoised.tif")
    np.testing.assert_allclose(written, denoised[:, :, 0] * 4000 / 255 - 1000, rtol=1e-5)
    assert abs(written.mean() - values.mean()) < 20


def test_a_learned_sigma_of_whitened_rows_is_not_on_the_scale_of_the_picture(denoise):
    run, line, _ = denoise("data.noise=0", "data.whiten=zca")
    assert line == "denoised: see noisy.png and denoised.png (no PSNR without a clean image)"
    assert not any(name.startswith("learned") for name in read_run(run.folder).results)


@pytest.mark.parametrize("noise", [0, 10])
def test_hidden_pixels_are_compared_with_what_they_are(denoise, noise):
    run, line, _ = denoise("data.missing=0.4", f"data.noise={noise}")
    results = read_run(run.folder).results
    images = results["images"]
    hidden = np.isnan(images["noisy"])
    assert hidden.any()
    assert not np.isnan(images["clean"]).any()
    error = np.mean((images["clean"] - images["denoised"]) ** 2)
    assert results["psnr"] == {"after": pytest.approx(10 * np.log10(255**2 / error))}
    assert set(results["ssim"]) == {"after"}
    after, share = results["psnr"]["after"], hidden.mean()
    assert line == f"PSNR {after:.2f} dB over the whole image; {share:.1%} of the pixels were missing"
    assert run.history["psnr"][-1] == after
    assert cli.main(["--quiet", "report", str(run.folder)]) == 0
    page = Page(run.folder / "report.html")
    assert f"; the PSNR is {after:.2f} dB." in page.text
    assert f"{after:.2f} dB" in page.texts["dd"]
    assert f"The noisy image, 20 x 24 pixels. {share:.1%} of the pixels are missing." in {
        image["alt"] for image in page.all("img")
    }


def test_pixels_of_which_nothing_was_learned_leave_no_psnr(denoise):
    run, line, _ = denoise("data.missing=0.3", "data.stride=9", "model.n_latents=2", "training.updates_per_sweep=1")
    results = read_run(run.folder).results
    n_left = np.isnan(results["images"]["denoised"]).sum()
    assert n_left > 0
    assert line == f"no PSNR: {n_left} of the 480 values were missing and have no estimate"
    assert "psnr" not in results


def test_pictures_too_small_for_ssim_have_a_psnr_all_the_same(denoise):
    run, line, _ = denoise(
        "data.patch_size=2", "training.updates_per_sweep=1", "training.block_rows=1", "model.n_latents=3", shape=(2, 6)
    )
    assert set(read_run(run.folder).results) == {"psnr", "images"}
    assert line.startswith("PSNR ")
    assert "nan" not in line


def test_the_last_line_of_what_came_out_even():
    image = np.full((4, 4, 1), 7.0)
    images = {"clean": image, "noisy": image + 1, "denoised": image}
    line = Denoise().closing_line
    assert line({"psnr": {"before": 48.0}, "images": images}) == "PSNR infinite, every value is right"
    said = line({"psnr": {"before": 20.001, "after": 20.0}, "images": images})
    assert said == "PSNR 20.00 dB before, 20.00 dB after (+0.00 dB)"


def test_what_measuring_needs_is_missed_before_the_first_sweep(tmp_path, capsys, monkeypatch):
    write_image(tmp_path / "image.png")
    run = Runner(tmp_path / "run", DENOISE.replace("IMAGE", str(tmp_path / "image.png")), capsys)
    monkeypatch.setitem(sys.modules, "skimage", None)
    done = run()
    assert done.status == 2
    assert done.err.startswith(
        'error: images need the package skimage; install it with: pip install "prosper_ng[image]"\n'
    )
    assert not run.folder.exists()

"""Images of photons and with lost pixels: what their rows are, and files that hold counts already."""

import numpy as np
import pytest
import tifffile

from prosper_ng.cli import main
from prosper_ng.config.mistakes import ConfigError
from prosper_ng.data.dataset import DataError
from prosper_ng.data.image_noise.poisson import Poisson
from prosper_ng.data.image_noise.salt_and_pepper import SaltAndPepper
from prosper_ng.data.sources.image import Image
from prosper_ng.storage.run_record import read_run

CROP = (40, 100, 40, 50)


def camera(**changes):
    return Image(**{"image": "camera", "crop": CROP, "patch_size": 5, "remove_mean": False} | changes)


def test_rows_are_counts_in_proportion_to_brightness():
    dataset = camera(noise=Poisson(peak=30.0)).open(1)
    rows = dataset.read(0, dataset.n_rows)
    assert (rows == np.floor(rows)).all()
    assert rows.min() >= 0
    expected = dataset.clean / 255 * 30
    counts = dataset.noisy / 255 * 30
    assert np.abs(counts.mean() - expected.mean()) < 5 * np.sqrt(expected.mean() / expected.size)
    assert np.var(counts - expected) == pytest.approx(expected.mean(), rel=0.1)
    assert rows[0] == pytest.approx(counts[:5, :5].ravel())


def test_estimates_of_counts_are_put_back_on_the_scale_of_the_image():
    dataset = camera(noise=Poisson(peak=30.0)).open(1)
    sums = np.zeros(dataset.noisy.shape)
    dataset.add_patches(0, dataset.read(0, dataset.n_rows), sums)
    assert dataset.merge(sums) == pytest.approx(dataset.noisy)


def test_noise_is_a_function_of_the_seed_and_of_nothing_else():
    def rows(seed, **changes):
        return camera(noise=Poisson(peak=4.0), **changes).open(seed).read(0, 50)

    assert (rows(1) == rows(1)).all()
    assert (rows(1) != rows(2)).any()
    assert (rows(1, noise_seed=7) == rows(2, noise_seed=7)).all()
    assert camera(noise=Poisson(peak=4.0)).depends_on_seed
    assert not camera(noise=Poisson(peak=4.0, added=False)).depends_on_seed
    assert not camera(noise=Poisson(peak=4.0)).adds_noise


def test_several_pictures_are_counts_as_well():
    several = Image(image=("camera", "coins"), patch_size=6, n_patches=200, remove_mean=False, noise=Poisson(peak=9.0))
    rows = several.open(3).read(0, 200)
    assert (rows == np.floor(rows)).all()
    assert 1 < rows.mean() < 9


@pytest.mark.parametrize("channels", ["gray", "color"])
def test_lost_pixels_are_white_or_black_in_all_channels(channels):
    picture = Image(
        image="astronaut", crop=(0, 0, 100, 100), patch_size=5, channels=channels, noise=SaltAndPepper(share=0.2)
    ).open(5)
    changed = picture.noisy != picture.clean
    lost = changed.any(axis=2)
    assert lost.mean() == pytest.approx(0.2, abs=0.02)
    values = picture.noisy[lost]
    assert set(np.unique(values)) == {0.0, 255.0}
    assert (values == values[:, :1]).all()
    assert (values[:, 0] == 255).mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_file_of_counts_is_taken_as_it_is(dtype, tmp_path):
    counts = np.random.default_rng(0).poisson(6.0, (20, 30))
    tifffile.imwrite(tmp_path / "counts.tif", counts.astype(dtype))
    source = Image(
        image=str(tmp_path / "counts.tif"), patch_size=4, remove_mean=False, noise=Poisson(peak=12.0, added=False)
    )
    dataset = source.open(1)
    assert (dataset.read(0, 1)[0] == counts[:4, :4].ravel()).all()
    assert dataset.noisy[:, :, 0] == pytest.approx(counts / 12 * 255)


@pytest.mark.parametrize(
    ("value", "said"), [(2.5, "holds 2.5 in row 3, column 7"), (-1.0, "holds -1 in row 3, column 7")]
)
def test_a_file_that_holds_no_counts_is_refused(value, said, tmp_path):
    counts = np.random.default_rng(0).poisson(6.0, (20, 30)).astype(np.float32)
    counts[3, 7] = value
    tifffile.imwrite(tmp_path / "counts.tif", counts)
    source = Image(image=str(tmp_path / "counts.tif"), patch_size=4, noise=Poisson(peak=12.0, added=False))
    with pytest.raises(DataError, match=said):
        source.open(1)


def test_white_is_said_once():
    with pytest.raises(ConfigError, match="an image of counts has no other low and peak"):
        camera(noise=Poisson(peak=12.0, added=False), peak=4095.0)


RUN = """
name: photons
data: {kind: image, image: camera, crop: [40, 100, 24, 24], noise: {kind: poisson, peak: 4}, patch_size: 4%s}
model: {kind: ef_mca, observable: poisson, n_latents: 4}
estep: {kind: search, n_states: 6}
training: {n_sweeps: 3}
task: %s
output: {figures: false}
"""


def run(text, tmp_path):
    (tmp_path / "run.yaml").write_text(text, encoding="utf-8")
    return main(["run", str(tmp_path / "run.yaml"), "--output", str(tmp_path / "run"), "--quiet"])


def test_counts_whose_mean_is_removed_are_no_counts(tmp_path, capsys):
    assert run(RUN % ("", "denoise"), tmp_path) == 2
    assert (
        "after remove_mean; model ef_mca with observable poisson needs counts 0, 1, 2, ..." in capsys.readouterr().err
    )


@pytest.mark.parametrize("task", ["denoise", "restore"])
def test_a_picture_of_photons_comes_out_with_less_noise(task, tmp_path):
    assert run(RUN % (", remove_mean: false", task), tmp_path) == 0
    results = read_run(tmp_path / "run").results
    assert results["psnr"]["after"] > results["psnr"]["before"] + 6
    assert "sigma" not in results.get("rounds", {})


def test_pixels_that_are_missing_among_photons_are_filled_in(tmp_path):
    assert run(RUN % (", remove_mean: false, missing: 0.2", "restore"), tmp_path) == 0
    images = read_run(tmp_path / "run").results["images"]
    assert np.isnan(images["noisy"]).any()
    assert np.sqrt(np.mean((images["restored"] - images["clean"]) ** 2)) < 30


def test_sizes_are_not_found_from_counts(tmp_path, capsys):
    text = "name: open\ndata: {kind: image, image: camera, noise: {kind: poisson, peak: 4}}\ntask: restore\n"
    assert run(text, tmp_path) == 2
    said = capsys.readouterr().err
    assert "counts of photons, and sizes are known for Gaussian noise only; give data.patch_size and model" in said

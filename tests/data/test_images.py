"""Images from files and from scikit-image, on the 8-bit scale; their quality; PNG files."""

import os
import struct
import subprocess
import sys
import textwrap
import zlib

import imageio.v3 as imageio
import numpy as np
import pytest
import skimage.data
from PIL import Image as PillowImage

from prosper_ng.data.dataset import DataError
from prosper_ng.data.images import SHIPPED, load, quality, save_png, shown
from prosper_ng.data.sources.image import Image

RNG = np.random.default_rng(1)
GRAY = RNG.integers(0, 256, (12, 9), dtype=np.uint8)
COLOR = RNG.integers(0, 256, (12, 9, 3), dtype=np.uint8)


def written(folder, pixels, name="image.png"):
    imageio.imwrite(folder / name, pixels)
    return str(folder / name)


@pytest.mark.parametrize("name", ["gray.png", "gray.tif", "gray.bmp"])
def test_eight_bits_are_taken_as_they_are(tmp_path, name):
    pixels = load(written(tmp_path, GRAY, name))
    assert pixels.dtype == np.float64
    np.testing.assert_array_equal(pixels, GRAY[:, :, None])


@pytest.mark.parametrize("name", ["gray.png", "gray.tif"])
def test_sixteen_bits_are_divided_by_257(tmp_path, name):
    deep = GRAY.astype(np.uint16) * 257
    np.testing.assert_allclose(load(written(tmp_path, deep, name)), GRAY[:, :, None], atol=1e-12)


def test_bits_become_black_and_white(tmp_path):
    PillowImage.fromarray(GRAY > 100).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(load(str(tmp_path / "bits.png"))[:, :, 0], np.where(GRAY > 100, 255, 0))


def test_floating_point_in_0_to_1_is_scaled_and_in_0_to_255_taken(tmp_path):
    fractions = (GRAY / 255).astype(np.float32)
    np.testing.assert_allclose(load(written(tmp_path, fractions, "a.tif")), GRAY[:, :, None], atol=1e-4)
    np.testing.assert_array_equal(load(written(tmp_path, GRAY.astype(np.float32), "b.tif")), GRAY[:, :, None])


def test_color_and_its_luminance(tmp_path):
    path = written(tmp_path, COLOR)
    np.testing.assert_array_equal(load(path, "color"), COLOR)
    expected = 0.2125 * COLOR[..., 0] + 0.7154 * COLOR[..., 1] + 0.0721 * COLOR[..., 2]
    np.testing.assert_allclose(load(path, "gray")[:, :, 0], expected)


def test_a_palette_is_expanded(tmp_path):
    palette = PillowImage.fromarray(COLOR).quantize(16)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(load(str(tmp_path / "palette.png"), "color"), np.asarray(palette.convert("RGB")))


def test_transparency_is_blended_over_white(tmp_path):
    alpha = np.full((12, 9), 255, np.uint8)
    alpha[0], alpha[1] = 0, 51
    pixels = load(written(tmp_path, np.dstack([COLOR, alpha])), "color")
    np.testing.assert_array_equal(pixels[0], 255)
    np.testing.assert_allclose(pixels[1], 0.2 * COLOR[1] + 0.8 * 255)
    np.testing.assert_array_equal(pixels[2:], COLOR[2:])
    PillowImage.fromarray(np.dstack([GRAY, alpha]), mode="LA").save(tmp_path / "la.png")
    np.testing.assert_allclose(load(str(tmp_path / "la.png"))[1, :, 0], 0.2 * GRAY[1] + 0.8 * 255)


def test_images_of_scikit_image():
    np.testing.assert_array_equal(load("camera")[:, :, 0], skimage.data.camera())
    assert load("china").shape == load("flower").shape == (427, 640, 1)
    np.testing.assert_array_equal(load("chelsea"), load("cat"))
    for name in SHIPPED:
        pixels = load(name)
        assert pixels.ndim == 3
        assert pixels.shape[2] == 1
        assert 0 <= pixels.min() < pixels.max() <= 255 + 1e-9


def test_a_file_goes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, GRAY)
    os.rename("image.png", "camera")
    np.testing.assert_array_equal(load("camera"), GRAY[:, :, None])


def test_crop():
    np.testing.assert_array_equal(load("camera", crop=(10, 20, 30, 40))[:, :, 0], skimage.data.camera()[10:40, 20:60])
    assert load("camera", crop=(0, 0, 512, 512)).shape == (512, 512, 1)
    for crop in [(0, 0, 513, 10), (500, 0, 20, 10), (0, 505, 10, 8), (-1, 0, 5, 5), (0, 0, 0, 5)]:
        with pytest.raises(DataError, match=r"does not lie in image camera of height 512 and width 512"):
            load("camera", crop=crop)


def test_unknown_names_and_paths(tmp_path):
    with pytest.raises(DataError, match="scikit-image has no image 'camra'; did you mean 'camera'"):
        load("camra")
    with pytest.raises(DataError, match="scikit-image has no image 'data_dir'"):
        load("data_dir")
    with pytest.raises(DataError, match="no such file"):
        load("camera.png")
    with pytest.raises(DataError, match="is a folder"):
        load(str(tmp_path))


def test_what_is_not_an_image(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "noise.jpg").write_bytes(RNG.bytes(3000))
    imageio.imwrite(tmp_path / "whole.png", COLOR)
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:200])
    for name in ("text.png", "noise.jpg", "half.png"):
        with pytest.raises(DataError, match=f"{name} is not an image, or is damaged") as caught:
            load(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_an_absurd_size_is_refused_before_memory_is_taken(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 2**30, 2**30, 8, 0, 0, 0, 0)
    content = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0" * 99)) + chunk(b"IEND", b"")
    )
    (tmp_path / "huge.png").write_bytes(content)
    with pytest.raises(DataError, match=r"huge.png"):
        load(str(tmp_path / "huge.png"))


def test_images_that_are_not_understood(tmp_path):
    cases = {
        "frames.tif": (
            np.stack([GRAY] * 5),
            "holds 5 pictures; choose one by `page`, counted from 0: legal are 0 to 4",
        ),
        "nan.tif": (
            np.where(GRAY > 200, np.nan, GRAY / 255).astype(np.float32),
            "is not a finite number; set `mask: nan` if NaN marks missing pixels",
        ),
        "inf.tif": (np.where(GRAY > 200, np.inf, GRAY).astype(np.float32), r"is not a finite number$"),
        "flat.tif": (np.full((12, 9), -700, np.int16), "white .* must lie above black"),
    }
    for name, (pixels, sentence) in cases.items():
        with pytest.raises(DataError, match=sentence):
            load(written(tmp_path, pixels, name))
    with pytest.raises(DataError, match="has no color; use channels: gray"):
        load(written(tmp_path, GRAY), "color")
    for name in ("inks.tif", "inks.jpg"):
        PillowImage.fromarray(COLOR).convert("CMYK").save(tmp_path / name)
        with pytest.raises(DataError, match="CMYK"):
            load(str(tmp_path / name))


def test_quality_of_noise():
    clean = load("camera", crop=(0, 0, 256, 256))
    noisy = clean + np.random.default_rng(0).normal(0, 25, clean.shape)
    found = quality(clean, noisy)
    assert found.psnr == pytest.approx(10 * np.log10(255**2 / np.mean((clean - noisy) ** 2)))
    assert found.psnr == pytest.approx(20.17, abs=0.1)
    assert 0 < found.ssim < 0.5
    assert quality(clean, clean) == (np.inf, 1.0)
    assert quality(clean, clean + 5).ssim > found.ssim


def test_quality_in_color_and_of_small_images():
    clean = load("astronaut", "color", (0, 0, 64, 64))
    assert 0 < quality(clean, clean + RNG.normal(0, 20, clean.shape)).ssim < 1
    assert quality(clean[:4, :5], clean[:4, :5]).ssim == 1
    assert np.isnan(quality(clean[:2], clean[:2]).ssim)


def test_png_files_are_rounded_and_clipped(tmp_path):
    image = np.array([[[-7.0], [0.4]], [[254.6], [999.0]]])
    save_png(tmp_path / "a.png", image)
    np.testing.assert_array_equal(imageio.imread(tmp_path / "a.png"), [[0, 0], [255, 255]])
    save_png(tmp_path / "b.png", COLOR.astype(float))
    np.testing.assert_array_equal(imageio.imread(tmp_path / "b.png"), COLOR)


def test_missing_pixels_are_black_unless_asked_otherwise(tmp_path):
    image = np.array([[[np.nan], [100.0]], [[200.0], [np.nan]]])
    np.testing.assert_array_equal(shown(image)[..., 0], [[0, 100], [200, 0]])
    np.testing.assert_array_equal(shown(image, 127.5)[..., 0], [[127.5, 100], [200, 127.5]])
    assert np.isnan(image).sum() == 2
    save_png(tmp_path / "a.png", image)
    np.testing.assert_array_equal(imageio.imread(tmp_path / "a.png"), [[0, 100], [200, 0]])
    save_png(tmp_path / "b.png", np.where(COLOR > 99, np.nan, COLOR))
    np.testing.assert_array_equal(imageio.imread(tmp_path / "b.png"), np.where(COLOR > 99, 0, COLOR))


def test_quality_of_an_image_that_lacks_pixels_is_unknown():
    clean = load("astronaut", "color", (0, 0, 32, 32))
    lacking = clean.copy()
    lacking[20, 20] = np.nan
    assert np.isnan(quality(clean, lacking)).all()


def test_pixels_are_hidden_with_all_their_channels_after_the_noise():
    fields = {"image": "astronaut", "channels": "color", "crop": (100, 100, 80, 90), "noise": 25.0, "patch_size": 8}
    plain, hidden, other = (
        Image(**fields).open(3),
        Image(missing=0.8, **fields).open(3),
        Image(missing=0.8, **fields).open(4),
    )
    gaps, other_gaps = np.isnan(hidden.noisy), np.isnan(other.noisy)
    np.testing.assert_array_equal(hidden.clean, plain.clean)
    np.testing.assert_array_equal(hidden.noisy, np.where(gaps, np.nan, plain.noisy))
    assert (gaps == gaps[:, :, :1]).all()
    assert gaps.mean() == pytest.approx(0.8, abs=0.02)
    assert abs(np.corrcoef(gaps[..., 0].ravel(), other_gaps[..., 0].ravel())[0, 1]) < 0.05
    assert hidden.noisy.tobytes() == Image(missing=0.8, **fields).open(3).noisy.tobytes()
    few = Image(missing=0.2, **fields).open(3)
    assert (gaps >= np.isnan(few.noisy)).all()
    quiet = Image(missing=0.8, **fields | {"noise": 0.0}).open(3)
    np.testing.assert_array_equal(quiet.noisy, np.where(gaps, np.nan, plain.clean))
    assert not np.isnan(quiet.clean).any()
    np.testing.assert_array_equal(np.isnan(quiet.read(7, 8)), quiet.grid.extract(gaps.astype(float), 7, 8) == 1)


def test_noise_is_a_function_of_the_seed():
    source = Image(image="camera", crop=(100, 100, 80, 90), noise=25.0, patch_size=8)
    first, again, other = source.open(3), source.open(3), source.open(4)
    assert first.noisy.tobytes() == again.noisy.tobytes()
    noise = first.noisy - first.clean
    assert noise.std() == pytest.approx(25, rel=0.03)
    assert abs(np.corrcoef(noise.ravel(), (other.noisy - other.clean).ravel())[0, 1]) < 0.05
    assert Image(image="camera", patch_size=8).open(3).noisy is not None
    np.testing.assert_array_equal(Image(image="camera", patch_size=8).open(3).noisy[:, :, 0], skimage.data.camera())


def test_the_image_source():
    dataset = Image(image="astronaut", channels="color", patch_size=(6, 4), stride=50, remove_mean=False).open(0)
    assert (dataset.n_observed, dataset.row_shape) == (72, (6, 4, 3))
    np.testing.assert_array_equal(dataset.read(1, 2)[0].reshape(6, 4, 3), skimage.data.astronaut()[:6, 50:54])
    with pytest.raises(DataError, match="patches of 6 x 6 pixels do not fit into an image of 5 x 30"):
        Image(image="camera", crop=(0, 0, 5, 30), patch_size=6).open(0)


def test_without_scikit_image_the_extra_is_named(tmp_path):
    """In a process in which it is not installed."""
    program = """
        import sys
        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in ("skimage", "imageio", "PIL"):
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.meta_path.insert(0, Missing())
        from prosper_ng.errors import UserError
        from prosper_ng.data.images import load
        try:
            load("camera")
        except UserError as error:
            print(error)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=240)
    assert run.stdout.strip() == (
        'images need the package skimage; install it with: pip install "prosper_ng[image]"'
    ), run.stderr

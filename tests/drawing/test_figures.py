"""Pictures show what they are given: pixel for pixel, in the right order, with the right numbers."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from prosper_ng.drawing import curves, figures
from prosper_ng.drawing.style import save
from prosper_ng.report.images import notes_on


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def find(picture, part):
    """Top left corners of all places where `part` (height, width, 3) occurs, pixel for pixel."""
    height, width, _ = part.shape
    windows = np.lib.stride_tricks.sliding_window_view(picture, (1, 8, 3))[:, :, 0, 0]
    places = np.argwhere((windows == part[0, :8]).all(axis=(2, 3)))
    return [tuple(at) for at in places if np.array_equal(picture[at[0] : at[0] + height, at[1] : at[1] + width], part)]


def enlarged(image, zoom):
    return np.kron(np.atleast_3d(image), np.ones((zoom, zoom, 1))).astype(np.uint8) * np.ones((1, 1, 3), np.uint8)


@pytest.fixture(scope="module")
def camera():
    return data.camera()[100:228, 200:328].astype(np.float64)


def test_comparison_shows_every_pixel_as_it_is(tmp_path, camera):
    darker = np.clip(camera - 40, 0, 255)
    save(
        figures.comparison([("clean", camera[..., None]), ("darker", darker[..., None])], ["", ""]), tmp_path / "a.png"
    )
    picture = pixels(tmp_path / "a.png")
    (clean_at,) = find(picture, enlarged(camera, 4))
    (darker_at,) = find(picture, enlarged(darker, 4))
    assert clean_at[0] == darker_at[0]
    assert clean_at[1] < darker_at[1]


def test_comparison_clips_and_rounds_for_display_only(tmp_path, camera, monkeypatch):
    said = []
    monkeypatch.setattr(figures, "_say", lambda figure, left, bottom, text, **style: said.append(text))
    noisy = camera + np.random.default_rng(0).normal(scale=60, size=camera.shape)
    images = [("clean", camera[..., None]), ("noisy", noisy[..., None])]
    save(figures.comparison(images, notes_on(images, {})), tmp_path / "a.png")
    assert find(pixels(tmp_path / "a.png"), enlarged(np.clip(np.rint(noisy), 0, 255), 4))
    expected = peak_signal_noise_ratio(camera, noisy, data_range=255)
    assert f"PSNR {expected:.2f} dB" in said[-1]
    assert "SSIM 0." in said[-1]


def test_color_stays_color(tmp_path):
    image = data.astronaut()[:64, :64].astype(np.float64)
    save(figures.comparison([("clean", image), ("same", image)], ["", ""]), tmp_path / "a.png")
    assert len(find(pixels(tmp_path / "a.png"), enlarged(image, 8))) == 2


def test_a_large_image_is_not_shrunk(tmp_path):
    image = np.arange(700 * 600).reshape(700, 600) % 256
    save(
        figures.comparison([("clean", image.astype(float)), ("same", image.astype(float))], ["", ""]),
        tmp_path / "a.png",
    )
    assert len(find(pixels(tmp_path / "a.png"), enlarged(image, 1))) == 2


def test_fields_are_drawn_in_order_of_use_and_scaled_around_zero(tmp_path):
    rng = np.random.default_rng(1)
    W = rng.normal(size=(16, 6)) * np.array([1, 10, 100, 0.1, 1e-9, 5])
    use = np.array([0.1, 0.5, 0.2, 0.9, 0.05, 0.6])
    save(figures.dictionary(W, (4, 4, 1), use), tmp_path / "a.png")
    picture = pixels(tmp_path / "a.png")
    places = []
    for h in np.argsort(-use):
        field = W[:, h].reshape(4, 4)
        tile = np.rint(127.5 + 127.5 * field / np.abs(field).max())
        (at,) = find(picture, enlarged(tile, 40))
        places.append(at)
    assert places == sorted(places)


def test_a_field_of_zeros_is_gray(tmp_path):
    save(figures.dictionary(np.zeros((4, 1)), (2, 2, 1), None), tmp_path / "a.png")
    assert find(pixels(tmp_path / "a.png"), np.full((160, 160, 3), 128, np.uint8))


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("n_fields", [1, 7, 3000])
def test_any_number_of_fields_makes_a_picture_of_moderate_size(tmp_path, n_fields, n_channels):
    W = np.random.default_rng(0).normal(size=(12 * 12 * n_channels, n_fields))
    save(figures.dictionary(W, (12, 12, n_channels), np.ones(n_fields)), tmp_path / "a.png")
    height, width, _ = pixels(tmp_path / "a.png").shape
    assert max(height, width) < 2600


PANELS = curves.panels_of({"sigma": "noise", "pi": "activity"})


def history(n_sweeps, **columns):
    sweeps = np.arange(1.0, n_sweeps + 1)
    base = {"sweep": sweeps, "free_energy": -100 / sweeps, "sigma": 25 + 1 / sweeps, "pi": np.full(n_sweeps, 0.02)}
    return base | {"held_out_free_energy": -101 / sweeps} | columns


@pytest.mark.parametrize("n_sweeps", [1, 2, 40, 10_000])
@pytest.mark.parametrize("anneals", [False, True])
def test_curves_of_any_length(tmp_path, n_sweeps, anneals):
    temperature = np.linspace(3 if anneals else 1, 1, n_sweeps)
    save(figures.curves(history(n_sweeps, temperature=temperature), PANELS), tmp_path / "a.png")
    picture = pixels(tmp_path / "a.png")
    for panel in PANELS[:4]:
        assert (picture == list(bytes.fromhex(panel.color[1:]))).all(axis=2).any()
    orange = (picture[..., 0] > picture[..., 2].astype(int) + 12) & (picture[..., 2] > 150)
    assert (orange.mean() > 0.1) == anneals


def test_curves_that_pause_are_drawn_and_missing_ones_left_out(tmp_path):
    psnr = np.where(np.arange(40) % 10 == 0, 28.0, np.nan)
    save(figures.curves(history(40), PANELS), tmp_path / "without.png")
    save(figures.curves(history(40, psnr=psnr, pi=np.full(40, np.nan)), PANELS), tmp_path / "instead.png")
    save(figures.curves(history(40, psnr=psnr), PANELS), tmp_path / "with.png")
    heights = [len(pixels(tmp_path / f"{name}.png")) for name in ("without", "instead", "with")]
    assert heights[0] == heights[1] < heights[2]


def test_the_mean_of_an_array_is_drawn_like_a_number(tmp_path):
    means = history(40)
    means["pi_mean"] = means.pop("pi")
    save(figures.curves(history(40), PANELS), tmp_path / "a.png")
    save(figures.curves(means, curves.panels_of({"sigma": "noise", "pi_mean": "activity"})), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_pictures_do_not_depend_on_the_settings_of_the_user(tmp_path):
    import matplotlib

    save(figures.curves(history(5), PANELS), tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        save(figures.curves(history(5), PANELS), tmp_path / "b.png")
        assert matplotlib.rcParams["font.size"] == 30
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_without_matplotlib_one_sentence_says_what_to_install(tmp_path):
    code = """
import sys
sys.modules["matplotlib"] = None
import numpy as np
from pathlib import Path
from prosper_ng.errors import UserError
from prosper_ng.drawing import figures
from prosper_ng.drawing.style import save
try:
    save(figures.curves({"sweep": np.ones(1), "free_energy": np.ones(1)}, []), Path("a.png"))
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == 'pictures need the package matplotlib; install it with: pip install "prosper_ng[plot]"\n'
    assert list(tmp_path.iterdir()) == []


def test_matplotlib_is_loaded_for_a_picture_only():
    code = "import sys, prosper_ng.drawing.figures; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

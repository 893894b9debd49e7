"""Pictures made of pixels show what matplotlib shows."""

import numpy as np
import pytest
from PIL import Image

from prosper_ng.drawing import curves, figures
from prosper_ng.drawing.style import as_pixels, save

PANELS = curves.panels_of({"sigma": "noise", "pi": "activity"})
RNG = np.random.default_rng(1)
W, USE, IMAGE = RNG.normal(size=(48, 30)), RNG.random(30), 255 * RNG.random((30, 40))


def history(n_sweeps, hottest):
    sweeps = np.arange(1.0, n_sweeps + 1)
    return {
        "sweep": sweeps,
        "free_energy": -1e7 / sweeps,
        "sigma": 25 + 1 / sweeps,
        "pi": np.full(n_sweeps, 0.02),
        "psnr": np.where(sweeps % 3 == 0, 28.0, np.nan),
        "temperature": np.linspace(hottest, 1, n_sweeps),
    }


PICTURES = {
    "annealed": lambda: figures.curves(history(7, 3.0), PANELS),
    "long": lambda: figures.curves(history(1000, 1.0), PANELS),
    "one sweep": lambda: figures.curves(history(1, 1.0), PANELS),
    "dictionary": lambda: figures.dictionary(W, (4, 4, 3), USE),
    "more than are drawn": lambda: figures.dictionary(np.tile(W, 40), (4, 4, 3), np.tile(USE, 40)),
    "recovery": lambda: figures.recovery(W[:, :12], W[:, 3:], (8, 6, 1)),
    "comparison": lambda: figures.comparison([("clean", IMAGE), ("noisy", IMAGE)], ["", "PSNR 20.00 dB"]),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_of_pixels_looks_like_that_of_matplotlib(tmp_path, name):
    save(PICTURES[name](), tmp_path / "a.png")
    with as_pixels():
        figure = PICTURES[name]()
    assert type(figure).__name__ == "PixelFigure"
    save(figure, tmp_path / "b.png")
    a, b = (np.asarray(Image.open(tmp_path / f"{each}.png").convert("RGB"), float) for each in "ab")
    assert a.shape == b.shape
    # Text and thin lines may lie a pixel or two elsewhere: what is compared are means of 10 x 10 pixels.
    height, width = (10 * (side // 10) for side in a.shape[:2])
    blocks = [each[:height, :width].reshape(height // 10, 10, width // 10, 10, 3).mean(axis=(1, 3)) for each in (a, b)]
    assert np.corrcoef(blocks[0].ravel(), blocks[1].ravel())[0, 1] > 0.85
    assert np.corrcoef(blocks[0].ravel(), blocks[1][::-1].ravel())[0, 1] < 0.7


def test_the_same_picture_comes_to_the_same_bytes(tmp_path):
    for name in "ab":
        with as_pixels():
            save(PICTURES["annealed"](), tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()

"""A learned model in a line and in a notebook: what was learned, in the colors of the page, and no more than text."""

import base64
import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from prosper_ng.components import kind_of
from prosper_ng.data.preprocessing import Preprocessing
from prosper_ng.drawing.elements import draw_elements, shown_of
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.inference.learned import Learned
from prosper_ng.inference.plots import dictionary_of, learned_use
from prosper_ng.models.axes import counted_by
from prosper_ng.models.bsc import BSC
from prosper_ng.models.gsc import GSC
from prosper_ng.testing import random_parameters
from tests.helpers.model_cases import instances
from tests.helpers.pages import Page

CASES = instances()
HOSTILE = "<script>alert(1)</script>\"'&"


def known(model=None, n_observed=6, **changes):
    """A learned model that was never learned."""
    model = model or BSC(n_latents=4)
    params = random_parameters(model, n_observed, np.random.default_rng(3))
    history = {"sweep": np.arange(1.0, 4.0), "free_energy": np.array([-30.0, -20.5, np.nan])}
    about = {"n_sweeps": 3, "history": history, "digest": "ab" * 32, "n_rows": 1200}
    return Learned(model=model, params=params, n_observed=n_observed, estep=Exhaustive(), **about | changes)


def page_of(found, tmp_path):
    """What a browser makes of it."""
    path = tmp_path / "page.html"
    path.write_text(found._repr_html_(), encoding="utf-8")
    return Page(path)


def test_a_line_says_what_it_is():
    assert repr(known()) == "<Learned BSC: D=6, H=4, N=1200, 3 sweeps, F=-20.5 per row>"
    assert repr(known(n_sweeps=1, history={}, n_rows=None)) == "<Learned BSC: D=6, H=4, 1 sweep>"
    assert repr(known(n_sweeps=None, history={}, n_rows=None)) == "<Learned BSC: D=6, H=4>"


def test_a_table_says_what_was_learned(tmp_path):
    found = known(GSC(n_latents=4, noise="diagonal"), preprocessing=Preprocessing(remove_mean=True), ending="enough")
    page = page_of(found, tmp_path)
    rows = dict(zip(page.texts["th"], page.texts["td"], strict=True))
    assert page.texts["strong"] == ["GSC with 4 latents"]
    assert rows["options"] == "noise: diagonal"
    assert rows["data"] == "1,200 rows of 6 values, mean of each row removed"
    assert rows["E-step"] == "exhaustive"
    assert rows["learning"] == "3 sweeps; enough"
    assert rows["free energy per row"] == "−20.5 nats"
    assert rows["digest"] == "abababababab"
    assert {"from", "digest of the data", "never observed"}.isdisjoint(rows)
    assert float(rows["mean activity π (probability)"]) == pytest.approx(found.params["pi"].mean(), rel=1e-3)


def test_what_is_known_of_rows_and_of_the_ending_is_said_once(tmp_path):
    found = known(
        row_shape=(3, 2), n_rows=None, never_observed=np.array([1]), ending="all 3 sweeps are done", origin="runs/a"
    )
    page = page_of(found, tmp_path)
    rows = dict(zip(page.texts["th"], page.texts["td"], strict=True))
    assert rows["data"] == "rows of 6 values (3 × 2)"
    assert rows["learning"] == "all 3 sweeps are done"
    assert rows["never observed"] == "1 column, of which nothing is known"
    assert rows["from"] == "runs/a"


def test_names_are_only_names_and_colors_those_of_the_page(tmp_path):
    page = page_of(known(origin=HOSTILE, ending=HOSTILE), tmp_path)
    assert {element.tag for element in page.elements} == {
        "div", "strong", "table", "tbody", "tr", "th", "td", "svg", "polyline"
    }  # fmt: skip
    assert HOSTILE in page.texts["td"]
    assert not re.search(r"#[0-9a-f]{3}|rgb|(?<![a-z-])color:|background", page.source)


@pytest.mark.parametrize(
    ("shape", "n_latents", "n_shown"),
    [((3, 4), 4, 4), ((2, 2, 3), 60, 48), ((200, 130), 3, 3), ((1, 1), 1, 1)],
)
def test_a_small_picture_shows_the_most_active_elements(tmp_path, shape, n_latents, n_shown):
    found = known(BSC(n_latents=n_latents), int(np.prod(shape)), row_shape=shape)
    page = page_of(found, tmp_path)
    (image,) = page.all("img")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2]))))
    assert pixels.shape[:2] == pytest.approx((2 * int(image["height"]), 2 * int(image["width"])), abs=1)
    assert pixels.shape[1] <= 12 * 56
    # Frames begin where there is nothing above or left of them.
    solid = np.pad(pixels[..., 3] > 0, 1)
    corners = solid[1:, 1:] & ~solid[:-1, 1:] & ~solid[1:, :-1]
    assert corners.sum() == n_shown
    count = f"{n_shown} of {n_latents} dictionary elements" if n_shown < n_latents else "dictionary elements"
    assert any(text.startswith(count) for text in page.texts["div"])


@pytest.mark.parametrize(("n_observed", "n_latents"), [(1, 1), (6, 30), (5000, 3)])
def test_rows_without_a_shape_are_small_curves(tmp_path, n_observed, n_latents):
    page = page_of(known(BSC(n_latents=n_latents), n_observed), tmp_path)
    assert len(page.all("polyline")) == 2 * min(n_latents, 24)
    assert len(page.source) < 60_000


@pytest.mark.parametrize("name", list(CASES))
def test_every_model_says_what_it_is_and_shows_its_dictionary(tmp_path, name):
    model = CASES[name](4)
    found = known(model, row_shape=(2, 3))
    page = page_of(found, tmp_path)
    word = counted_by(model)[0].word
    assert page.texts["strong"] == [f"{kind_of(model).upper().replace('_', ' ')} with 4 {word}"]
    assert len(page.texts["th"]) == len(page.texts["td"])
    assert len(page.all("img")) == 1
    W = dictionary_of(found)
    shown = shown_of(W.shape[1], learned_use(found, W.shape[1]))
    draw_elements(Figure().add_subplot(), W, shown, None)

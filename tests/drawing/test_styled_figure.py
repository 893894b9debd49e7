"""Figures of this package in a process that has figures of its own: neither changes the other."""

import base64
import io
import os
import pickle
import re
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from prosper_ng.drawing import figures
from prosper_ng.drawing.curves import panels_of

HISTORY = {"sweep": np.arange(1.0, 6.0), "free_energy": -100 / np.arange(1.0, 6.0), "temperature": np.ones(5)}
W = np.random.default_rng(0).normal(size=(16, 6))


def drawings():
    """Whole figures of either kind."""
    return [figures.curves(HISTORY, panels_of({})), figures.dictionary(W, (4, 4, 1), np.arange(6.0), numbered=True)]


def saved(figure, form):
    stream = io.BytesIO()
    figure.savefig(stream, format=form)
    return stream.getvalue()


@pytest.mark.parametrize("form", ["png", "pdf", "svg"])
def test_the_same_figure_comes_to_the_same_bytes(form, monkeypatch, tmp_path):
    import matplotlib

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    first = [saved(figure, form) for figure in drawings()]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    later = drawings()
    theirs = {
        "savefig.facecolor": "red", "savefig.dpi": 30, "svg.fonttype": "path", "pdf.fonttype": 3,
        "font.family": "serif", "savefig.bbox": "tight", "image.interpolation": "bilinear", "axes.unicode_minus": False,
    }  # fmt: skip
    with matplotlib.rc_context(theirs):
        assert [saved(figure, form) for figure in later] == first
        assert [saved(figure, form) for figure in drawings()] == first
        later[0].savefig(tmp_path / f"a.{form.upper()}")
    assert (tmp_path / f"a.{form.upper()}").read_bytes() == first[0]


def test_text_stays_text_and_pictures_are_not_resampled():
    _, figure = drawings()
    svg = saved(figure, "svg").decode()
    assert ">Dictionary: 6 elements, the most active first</text>" in svg
    assert "<dc:date>" not in svg
    (picture,) = re.findall(r"data:image/png;base64,\s*([^\"]+)\"", svg)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("L"))
    pdf = saved(figure, "pdf")
    assert b"/CreationDate" not in pdf
    assert b"/FontFile2" in pdf  # TrueType, as journals ask for
    height, width = pixels.shape
    assert f"/Width {width}".encode() in pdf
    assert f"/Height {height}".encode() in pdf
    tile = np.rint(127.5 + 127.5 * W[:, 5].reshape(4, 4) / np.abs(W[:, 5]).max())
    assert (pixels[1:161, 1:161] == tile.repeat(40, 0).repeat(40, 1)).all()
    assert any(b"BT" in part for part in _streams(pdf))


def _streams(pdf):
    for found in re.finditer(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        try:
            yield zlib.decompress(found[1])
        except zlib.error:
            continue


def test_notebooks_show_it_by_itself():
    figure = drawings()[1]
    data, about = figure._repr_mimebundle_(include=None, exclude=None)
    png = base64.b64decode(data["image/png"])
    assert png == figure._repr_png_() == saved(figure, "png")
    width, height = Image.open(io.BytesIO(png)).size
    assert about == {"image/png": {"width": width // 2, "height": height // 2}}


def test_a_figure_can_be_worked_on_and_pickled():
    figure = drawings()[0]
    again = pickle.loads(pickle.dumps(figure))
    assert saved(again, "svg") == saved(figure, "svg")
    again.axes[0].set_title("of my own")
    assert b"of my own" in saved(again, "svg")


def test_figures_of_several_threads_are_those_of_one():
    import matplotlib

    kept = {name: matplotlib.rcParams[name] for name in ("font.size", "svg.fonttype", "axes.edgecolor")}
    alone = [saved(figure, "svg") for figure in drawings()]
    found, begin = {}, threading.Barrier(4)

    def draw(thread):
        begin.wait()
        found[thread] = [saved(figure, "svg") for figure in drawings()]

    threads = [threading.Thread(target=draw, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[thread] for thread in range(4)] == 4 * [alone]
    assert {name: matplotlib.rcParams[name] for name in kept} == kept


HOST = """
import os, sys
import matplotlib
import matplotlib.pyplot as plt
theirs = plt.figure()
plt.rcParams["font.size"] = 31
kept = dict(matplotlib.rcParams)
import numpy as np
from prosper_ng.drawing import figures
figure = figures.dictionary(np.eye(4), None)
figure.savefig("a.pdf")
figure._repr_png_()
assert dict(matplotlib.rcParams) == kept
assert plt.get_fignums() == [theirs.number] and plt.gcf() is theirs
assert plt.get_backend() == "agg", plt.get_backend()
_, axes = plt.subplots()
from prosper_ng.drawing.elements import draw_elements, shown_of
draw_elements(axes, np.eye(4), shown_of(4, None), None)
assert axes.title.get_fontsize() > 31 and dict(matplotlib.rcParams) == kept
print(sorted(name for name in os.environ if name.startswith("MPL")))
"""


def test_pyplot_with_its_figures_and_settings_stays_as_it_is(tmp_path):
    environment = os.environ | {"MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, "-c", HOST], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "MPLBACKEND" in done.stdout

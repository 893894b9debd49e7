"""Figures of this package in a process that has figures of its own: neither changes the other."""

import base64
import io
import pickle
import re
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from prosper_ng.drawing import figures
from prosper_ng.drawing.curves import panels_of
from prosper_ng.drawing.elements import draw_elements, shown_of

HISTORY = {"sweep": np.arange(1.0, 6.0), "free_energy": -100 / np.arange(1.0, 6.0), "temperature": np.ones(5)}
W = np.random.default_rng(0).normal(size=(16, 6))


def drawing():
    """A dictionary, with text, lines and pixels."""
    return figures.dictionary(W, (4, 4, 1), np.arange(6.0), numbered=True)


def saved(figure, form):
    stream = io.BytesIO()
    figure.savefig(stream, format=form)
    return stream.getvalue()


@pytest.mark.parametrize("form", ["png", "pdf", "svg"])
def test_the_same_figure_comes_to_the_same_bytes(form, monkeypatch, tmp_path):
    import matplotlib

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    first = saved(drawing(), form)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    theirs = {
        "savefig.facecolor": "red", "savefig.dpi": 30, "svg.fonttype": "path", "pdf.fonttype": 3,
        "font.family": "serif", "savefig.bbox": "tight", "image.interpolation": "bilinear", "axes.unicode_minus": False,
    }  # fmt: skip
    with matplotlib.rc_context(theirs):
        drawing().savefig(tmp_path / f"a.{form.upper()}")
    assert (tmp_path / f"a.{form.upper()}").read_bytes() == first


def test_text_stays_text_and_pictures_are_not_resampled():
    figure = drawing()
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
    figure = drawing()
    data, about = figure._repr_mimebundle_(include=None, exclude=None)
    png = base64.b64decode(data["image/png"])
    assert png == figure._repr_png_() == saved(figure, "png")
    width, height = Image.open(io.BytesIO(png)).size
    assert about == {"image/png": {"width": width // 2, "height": height // 2}}


def test_a_figure_can_be_worked_on_and_pickled():
    figure = figures.curves(HISTORY, panels_of({}))
    again = pickle.loads(pickle.dumps(figure))
    assert saved(again, "svg") == saved(figure, "svg")
    again.axes[0].set_title("of my own")
    assert b"of my own" in saved(again, "svg")


def test_figures_of_several_threads_are_those_of_one():
    import matplotlib

    kept = {name: matplotlib.rcParams[name] for name in ("font.size", "svg.fonttype", "axes.edgecolor")}
    alone = saved(drawing(), "svg")
    found, begin = {}, threading.Barrier(4)

    def draw(thread):
        begin.wait()
        found[thread] = saved(drawing(), "svg")

    threads = [threading.Thread(target=draw, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[thread] for thread in range(4)] == 4 * [alone]
    assert {name: matplotlib.rcParams[name] for name in kept} == kept


def test_pyplot_with_its_figures_and_settings_stays_as_it_is():
    import matplotlib
    import matplotlib.pyplot as plt

    with matplotlib.rc_context({"font.size": 31}):
        theirs, axes = plt.subplots()
        kept, numbers, backend = dict(matplotlib.rcParams), plt.get_fignums(), plt.get_backend()
        saved(drawing(), "svg")
        drawing()._repr_png_()
        draw_elements(axes, W, shown_of(6, None, numbered=True), None)
        axes.set_title("in their style")
        assert axes.title.get_fontsize() > 31
        assert (dict(matplotlib.rcParams), plt.get_fignums(), plt.get_backend()) == (kept, numbers, backend)
        assert plt.gcf() is theirs
        plt.close(theirs)

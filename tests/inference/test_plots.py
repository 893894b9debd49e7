"""What a learned model shows of itself: its dictionary in the units of the data, and the course of learning."""

import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

import prosper_ng
from prosper_ng.data.preprocessing import Preprocessing, Whitening
from prosper_ng.drawing.pixels import grid_of_tiles
from prosper_ng.errors import UserError
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.inference.learned import Learned
from prosper_ng.inference.plots import dictionary_of
from prosper_ng.models.bsc import BSC
from prosper_ng.testing import random_parameters

D, H = 12, 5
HISTORY = {
    "sweep": np.arange(1.0, 5.0), "free_energy": -10 / np.arange(1.0, 5.0), "sigma": np.full(4, 2.0),
    "pi_mean": np.full(4, 0.2), "elapsed": np.arange(4.0), "psnr": np.full(4, np.nan),
}  # fmt: skip


def learned(**changes):
    """A learned model that was never learned."""
    params = random_parameters(BSC(n_latents=H), D, np.random.default_rng(3))
    params["pi"] = [0.1, 0.4, 0.2, 0.3, 0.05]
    known = {"model": BSC(n_latents=H), "params": params, "n_observed": D, "estep": Exhaustive(), "history": HISTORY}
    return Learned(**known | changes)


def texts(figure):
    """All that stands in a figure outside of its axes."""
    return [text.get_text() for text in figure.texts]


def numbers(axes):
    return [int(text.get_text()) for text in axes.texts]


def test_elements_come_with_their_numbers_the_most_active_first():
    figure = learned(row_shape=(3, 4)).plot_dictionary()
    assert texts(figure) == [
        "Dictionary: 5 elements, the most active first",
        "each scaled to its own largest magnitude; zero is gray",
    ]
    elements, use = figure.axes
    assert numbers(elements) == [1, 3, 2, 0, 4]
    assert use.patches[0].get_data().values.tolist() == [0.4, 0.3, 0.2, 0.1, 0.05]
    W = learned().params["W"]
    pixels = elements.images[0].get_array()
    grid = grid_of_tiles(H, 3, 4, foot=26)
    for place, h in enumerate(numbers(elements)):
        top, left = grid.corner(place)
        expected = np.rint(127.5 + 127.5 * W[:, h].reshape(3, 4) / np.abs(W[:, h]).max())
        zoom = (grid.width - 2) // 4
        tile = pixels[top + 1 : top + grid.height - 1 : zoom, left + 1 : left + grid.width - 1 : zoom]
        assert (tile == expected[..., None]).all()


def test_receptive_fields_of_pictures():
    rows, columns = np.mgrid[:6, :7]
    params = random_parameters(BSC(n_latents=2), 42, np.random.default_rng(3))
    blob = np.exp(-((rows - 2.0) ** 2 + (columns - 3.0) ** 2) / 3)
    params["W"] = np.stack([blob.ravel(), np.random.default_rng(1).normal(size=42)], axis=1)
    known = learned(model=BSC(n_latents=2), params=params, n_observed=42)
    found = known.receptive_fields(patch_shape=(6, 7))
    assert found["kind"].tolist() == ["globular", "neither"]
    assert (found["dog_row"][0], found["dog_column"][0]) == pytest.approx((2, 3), abs=1e-3)
    assert {values.shape for values in found.values()} == {(2,)}
    with pytest.raises(UserError, match=r"sides of at least 6 pixels; give patch_shape=\(height, width\)"):
        known.receptive_fields()
    with pytest.raises(UserError, match="5 x 7 makes 35 values"):
        known.receptive_fields(patch_shape=(5, 7))
    with pytest.raises(UserError, match="does not say how its data were whitened"):
        learned(preprocessing=None, row_shape=(3, 4)).receptive_fields()


def test_elements_that_are_chosen_come_in_that_order():
    figure = learned().plot_dictionary([4, -2])
    assert texts(figure)[0] == "Dictionary: 2 of 5 elements"
    assert [numbers(axes) for axes in figure.axes] == [[4, 3]]


def test_another_use_gives_another_order():
    figure = learned().plot_dictionary(use=[1, 2, 3, 5, 4])
    assert numbers(figure.axes[0]) == [3, 4, 2, 1, 0]
    params = learned().params.copy()
    params["pi"] = np.full(H, 0.3)
    alike = learned(params=params).plot_dictionary()
    assert texts(alike)[0] == "Dictionary: 5 elements"
    assert [numbers(axes) for axes in alike.axes] == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("row_shape", "patch_shape", "is_picture"),
    [
        (None, None, False), ((3, 4), None, True), ((3, 4, 1), None, True), ((2, 2, 3), None, True),
        ((3, 2, 2), None, False), (None, (3, 4), True), (None, [2, 2, 3], True), ((3, 4), (12,), False),
        ((3, 4), np.array([4, 3]), True), ((1, 2, 3, 2), None, False),
    ],
)  # fmt: skip
def test_patches_are_tiles_and_other_rows_bars(row_shape, patch_shape, is_picture):
    figure = learned(row_shape=row_shape).plot_dictionary(patch_shape=patch_shape)
    assert bool(figure.axes[0].images) == is_picture
    assert texts(figure)[1].endswith("zero is gray" if is_picture else "zero is the gray line")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"patch_shape": (3, 5)}, "3 x 5 makes 15 values, and elements have 12"),
        ({"patch_shape": (3, 2, 2)}, "pictures have 1 or 3 channels, not 2"),
        ({"patch_shape": 12}, r"patch_shape is \(height, width\), .* not 12"),
        ({"patch_shape": (3.0, 4.0)}, "patch_shape is"),
        ({"patch_shape": (-3, -4)}, "patch_shape is"),
        ({"patch_shape": ()}, "patch_shape is"),
        ({"use": [1, 2]}, "5 numbers of at least 0"),
        ({"use": [1, 2, 3, 4, np.nan]}, "5 numbers of at least 0"),
        ({"use": "often"}, "5 numbers of at least 0"),
        ({"elements": 5}, "there is no element 5"),
        ({"ax": Figure().subplots(1, 2)}, "one Axes of matplotlib to draw in, not ndarray"),
        ({"ax": Figure()}, "not Figure"),
    ],
)
def test_what_does_not_fit_the_model_is_one_sentence(arguments, said):
    with pytest.raises(UserError, match=said):
        learned().plot_dictionary(**arguments)


def test_elements_are_in_the_units_of_the_data():
    rng = np.random.default_rng(1)
    factor = rng.normal(size=(D, D))
    whitening = Whitening.of_moments("zca", rng.normal(size=D), factor @ factor.T, 0.0, "data")
    known = learned(preprocessing=Preprocessing(True, whitening))
    W = known.params["W"]
    assert dictionary_of(known) == pytest.approx(np.linalg.inv(whitening.matrix).T @ W)
    unknown = learned(preprocessing=None)
    assert dictionary_of(unknown) is unknown.params["W"]
    assert "of whitened data, since the file does not say how" in texts(unknown.plot_dictionary())[1]


def test_a_model_without_a_dictionary_says_so():
    class Bare(BSC):
        def parameters(self, n_observed):
            return {name: spec._replace(role="") for name, spec in super().parameters(n_observed).items()}

    bare = learned(model=Bare(n_latents=H))
    with pytest.raises(UserError, match="model bsc has no dictionary to draw; its parameters are W, sigma, pi"):
        bare.plot_dictionary()
    assert "img" not in bare._repr_html_()


def test_history_shows_what_people_look_at_first_or_what_is_named():
    figure = learned().plot_history()
    assert [axes.get_ylabel().replace("\n", " ") for axes in figure.axes][::-1] == [
        "free energy per row (nats)", "noise level σ (units of the data)", "mean activity π (probability)",
    ]  # fmt: skip
    named = learned().plot_history(["elapsed", "sigma"])
    assert [axes.get_ylabel().replace("\n", " ") for axes in named.axes] == [
        "noise level σ (units of the data)", "elapsed (seconds)",
    ]  # fmt: skip
    assert named.axes[1].lines[0].get_xydata().tolist() == [[1, 0], [2, 1], [3, 2], [4, 3]]


@pytest.mark.parametrize("names", ["pi", ["sigma", "psnr"], [], 3, [None], "sweep"])
def test_columns_that_are_not_there_are_named_with_those_that_are(names):
    with pytest.raises(UserError, match="names are columns of the history, elapsed, free_energy, pi_mean, sigma; not"):
        learned().plot_history(names)


def test_without_a_history_one_sentence_says_why():
    with pytest.raises(UserError, match="gives it to the first rank alone"):
        learned(history={}).plot_history()


def test_axes_of_ones_own_are_drawn_in_and_come_back():
    import matplotlib

    kept = matplotlib.rcParams["font.size"]
    left, right = Figure().subplots(1, 2)
    assert learned(row_shape=(3, 4)).plot_dictionary(slice(2), ax=left) is left
    assert left.get_title() == "2 of 5 elements"
    assert len(left.images) == 1
    assert learned().plot_history(ax=right) is right
    assert right.get_ylabel() == "free energy per row (nats)"
    with pytest.raises(UserError, match="room for one curve, not for 2"):
        learned().plot_history(["sigma", "elapsed"], ax=right)
    assert matplotlib.rcParams["font.size"] == kept


def test_the_shape_of_rows_is_kept(tmp_path):
    known = learned(row_shape=(2, 2, 3), n_rows=70)
    known.save(tmp_path / "a.h5")
    again = prosper_ng.load(tmp_path / "a.h5")
    assert (again.row_shape, again.n_rows) == ((2, 2, 3), 70)
    learned().save(tmp_path / "b.h5")
    again = prosper_ng.load(tmp_path / "b.h5")
    assert (again.row_shape, again.n_rows) == (None, None)


def test_without_matplotlib_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    known = learned(row_shape=(3, 4))
    assert "<img" in known._repr_html_()
    for draw in (known.plot_dictionary, known.plot_history):
        with pytest.raises(
            UserError, match=r'need the package matplotlib; install it with: pip install "prosper_ng\[plot\]"'
        ):
            draw()

"""Receptive fields: what was put into a picture is found again, and noise is not taken for a field."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.numerics import receptive_fields as module
from prosper_ng.numerics.receptive_fields import GABOR, GLOBULAR, NEITHER, dog_family, gabor_family, receptive_fields

H = 24


def pixels(height, width):
    return np.mgrid[:height, :width].reshape(2, 1, -1)


def gabors(rng, height, width, n_x=(0.25, 0.7), n_y=(0.25, 1.0)):
    """Gabor functions (H, D) written out once more, and what they are made of."""
    truth = {
        "row": rng.uniform(3, height - 4, H), "column": rng.uniform(3, width - 4, H),
        "frequency": rng.uniform(0.09, 0.35, H), "orientation": rng.uniform(0, 180, H),
        "n_x": rng.uniform(*n_x, H), "n_y": rng.uniform(*n_y, H),
    }  # fmt: skip
    phase = rng.uniform(-180, 180, H)
    rows, columns = pixels(height, width)
    down, across = rows - truth["row"][:, None], columns - truth["column"][:, None]
    stripes = np.radians(truth["orientation"])[:, None]
    # Along stripes of 90 degrees one goes up; the wave goes to the right, a quarter of a turn clockwise.
    v = np.cos(stripes) * across - np.sin(stripes) * down
    u = np.sin(stripes) * across + np.cos(stripes) * down
    f = truth["frequency"][:, None]
    q = (u * f / truth["n_x"][:, None]) ** 2 + (v * f / truth["n_y"][:, None]) ** 2
    return np.exp(-q / 2) * np.cos(2 * np.pi * f * u + np.radians(phase)[:, None]), truth, np.abs(phase)


def blobs(rng, height, width):
    """Differences of round Gaussians (H, D), half of them with a dark center."""
    truth = {
        "dog_row": rng.uniform(2, height - 3, H), "dog_column": rng.uniform(2, width - 3, H),
        "center_width": rng.uniform(0.9, 2.5, H), "center_sign": rng.choice([-1.0, 1.0], H),
    }  # fmt: skip
    rows, columns = pixels(height, width)
    square = (rows - truth["dog_row"][:, None]) ** 2 + (columns - truth["dog_column"][:, None]) ** 2
    q = square / truth["center_width"][:, None] ** 2
    surround, k = rng.uniform(0.15, 0.6, (H, 1)), rng.uniform(1.6, 3.0, (H, 1))
    return truth["center_sign"][:, None] * (np.exp(-q / 2) - surround * np.exp(-q / (2 * k**2))), truth


def noisy(pictures, rng, share):
    """With white noise of so much of the length of each."""
    lengths = np.linalg.norm(pictures, axis=1, keepdims=True)
    return pictures + share * lengths * rng.normal(size=pictures.shape) / np.sqrt(pictures.shape[1])


@pytest.mark.parametrize(("height", "width"), [(16, 16), (10, 19)])
def test_what_gabor_functions_are_made_of_is_found(height, width):
    rng = np.random.default_rng(height)
    pictures, truth, phase = gabors(rng, height, width)
    found = receptive_fields(3.0 * pictures.T, (height, width))
    assert found.share(GABOR) == 1
    assert found.explained_gabor.min() > 1 - 1e-6
    for name in ("row", "column", "frequency", "n_x", "n_y"):
        np.testing.assert_allclose(getattr(found, name), truth[name], atol=1e-3, err_msg=name)
    np.testing.assert_allclose(found.phase, phase, atol=0.1)
    turned = (found.orientation - truth["orientation"] + 90) % 180 - 90
    np.testing.assert_allclose(turned, 0, atol=0.1)
    np.testing.assert_allclose(found.n_x, found.sigma_x * found.frequency)


def test_gabor_functions_under_noise():
    """A third of the sum of squares is noise, and that is what is not explained."""
    rng = np.random.default_rng(1)
    pictures, truth, _ = gabors(rng, 16, 16)
    found = receptive_fields(noisy(pictures, rng, 0.7).T, (16, 16, 1))
    assert found.share(GABOR) == 1
    np.testing.assert_allclose(found.explained_gabor.mean(), 1 / 1.49, atol=0.02)
    assert np.quantile(np.abs(found.frequency - truth["frequency"]), 0.95) < 0.02
    turned = (found.orientation - truth["orientation"] + 90) % 180 - 90
    assert np.quantile(np.abs(turned), 0.95) < 5


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_round_fields_are_globular(noise):
    rng = np.random.default_rng(2)
    pictures, truth = blobs(rng, 16, 16)
    found = receptive_fields(noisy(pictures, rng, noise).T, (16, 16))
    assert found.share(GLOBULAR) == 1
    assert (found.center_sign == truth["center_sign"]).all()
    away = np.hypot(found.dog_row - truth["dog_row"], found.dog_column - truth["dog_column"])
    assert np.quantile(away, 0.9) < 0.5 * noise + 1e-3
    if noise == 0:
        assert np.median(np.abs(found.center_width - truth["center_width"])) < 1e-3
        assert found.explained_dog.min() > 0.999
    assert (found.surround_width > found.center_width).all()


def test_a_blob_without_a_surround_is_globular_and_a_long_one_is_not():
    rows, columns = pixels(16, 16)
    square = np.concatenate([(rows - 7.3) ** 2 + (columns - 8.1) ** 2, (rows - 7.3) ** 2 + (columns - 8.1) ** 2 / 6])
    found = receptive_fields(np.exp(-square / 4).T, (16, 16))
    assert found.kind.tolist() == [GLOBULAR, GABOR]
    np.testing.assert_allclose(found.aspect, [1, 6], rtol=0.05)


def test_noise_and_zeros_are_neither():
    rng = np.random.default_rng(3)
    W = rng.normal(size=(100, 40))
    W[:, 7] = 0
    found = receptive_fields(W, (10, 10))
    assert found.share(NEITHER) == 1
    assert found.explained_gabor.max() < 0.4
    assert found.explained_gabor[7] == found.explained_dog[7] == 0
    assert np.isnan([getattr(found, name)[7] for name in found._fields[3:]]).all()
    assert np.isfinite([np.delete(getattr(found, name), 7) for name in found._fields[1:]]).all()


@settings(max_examples=3, deadline=None)
@given(scale=st.floats(1e-150, 1e150), seed=st.integers(0, 99))
def test_units_and_order_do_not_matter(scale, seed):
    rng = np.random.default_rng(seed)
    pictures = gabors(rng, 8, 8)[0][:4]
    order = rng.permutation(4)
    some, others = (receptive_fields(W, (8, 8)) for W in (pictures.T, scale * pictures[order].T))
    assert others.kind.tolist() == some.kind[order].tolist()
    np.testing.assert_allclose(others.explained_gabor, some.explained_gabor[order], atol=1e-6)


def test_many_are_fitted_like_few(monkeypatch):
    pictures = gabors(np.random.default_rng(4), 8, 9)[0][:8]
    whole = receptive_fields(pictures.T, (8, 9))
    monkeypatch.setattr("prosper_ng.numerics.separable_fits._TOGETHER", 1000)
    for one, other in zip(whole[1:], receptive_fields(pictures.T, (8, 9))[1:], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_fields_in_color_are_seen_along_their_main_direction():
    """Red against green has no mean over the channels."""
    pictures, truth, _ = gabors(np.random.default_rng(5), 9, 12)
    colored = np.einsum("hp,c->hpc", pictures, [1.0, -0.9, -0.1]).reshape(H, -1)
    found = receptive_fields(colored.T, (9, 12, 3))
    assert found.share(GABOR) == 1
    np.testing.assert_allclose(np.median(np.abs(found.frequency - truth["frequency"])), 0, atol=1e-4)


@pytest.mark.parametrize("family", [gabor_family, dog_family])
def test_slopes_are_derivatives(family):
    rng = np.random.default_rng(6)
    made = family(9, 11)
    p = made.bank.reshape(-1, 6)[:: made.bank.size // 60] + 0.01
    c = rng.normal(size=(len(p), 2))

    def value(at):
        return np.einsum("ndi,ni->nd", made.pair(at), c)

    for which, step in enumerate(1e-6 * np.eye(6)):
        numeric = (value(p + step) - value(p - step)) / 2e-6
        np.testing.assert_allclose(made.slopes(p, c)[:, :, which], numeric, atol=1e-6)


def test_small_pictures_have_none():
    assert receptive_fields(np.ones((5 * 9, 3)), (5, 9)) is None
    assert receptive_fields(np.ones((12, 3)), (1, 12)) is None
    assert receptive_fields(np.ones((36, 0)), (6, 6)) is None
    assert module.LEAST_SIDE == 6


@pytest.mark.parametrize("W", [np.ones((35, 2)), np.ones(36), np.full((36, 2), np.nan)])
def test_what_is_no_dictionary_is_refused(W):
    with pytest.raises(ValueError, match=r"expected elements of 6 x 6 x 1 values|not finite"):
        receptive_fields(W, (6, 6))


@pytest.mark.heavy
def test_three_hundred_fields_take_seconds():
    """Some three of processor time; the bound leaves room for other machines."""
    rng = np.random.default_rng(7)
    pictures = np.concatenate([gabors(rng, 16, 16)[0] for _ in range(13)])[:300]
    began = time.process_time()
    assert receptive_fields(pictures.T, (16, 16)).share(GABOR) > 0.98
    assert time.process_time() - began < 15
